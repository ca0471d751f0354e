//! The commit that is built.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::output;

/// Where the sources come from.
#[derive(Debug)]
pub struct Checkout {
    /// The commit, with `-dirty` behind it when the sources differ from it; `unknown` without a repository.
    pub commit: String,
    /// When it was made, in seconds since 1970; becomes the time of everything in the image.
    pub time: u64,
}

impl Checkout {
    /// Looks at a directory. `SOURCE_DATE_EPOCH` (reproducible-builds.org) goes before the time of the commit.
    pub fn of(directory: &Path) -> Result<Checkout> {
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|value| !value.is_empty());
        let epoch = epoch.map(|value| {
            value.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {value:?}, seconds since 1970 were expected"))
        });
        let epoch = epoch.transpose()?;
        // An unpacked archive of the sources; one that lies in some other repository is not taken for that one.
        if !directory.join(".git").exists() {
            return Ok(Checkout { commit: "unknown".to_owned(), time: epoch.unwrap_or(0) });
        }
        let directory = directory.to_str().context("the checkout's path is not UTF-8")?;
        let git = |arguments: &[&str]| output("git", &[&["-C", directory], arguments].concat());
        let mut commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
        if !git(&["status", "--porcelain"])?.trim().is_empty() {
            commit.push_str("-dirty");
        }
        let time = match epoch {
            Some(time) => time,
            None => git(&["log", "-1", "--format=%ct"])?.trim().parse().context("the time of the commit")?,
        };
        Ok(Checkout { commit, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_its_own_time_and_changed_sources_are_marked() {
        let directory = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let common = ["-C", directory.path().to_str().unwrap(), "-c", "user.name=t", "-c", "user.email=t@t"];
            let status = std::process::Command::new("git")
                .args(common.iter().chain(arguments))
                .env("GIT_COMMITTER_DATE", "1700000000 +0100")
                .stdout(std::process::Stdio::null())
                .status();
            assert!(status.unwrap().success());
        };
        assert_eq!(Checkout::of(directory.path()).unwrap().commit, "unknown");
        git(&["init", "-q"]);
        std::fs::write(directory.path().join("file"), "1").unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "first"]);
        let clean = Checkout::of(directory.path()).unwrap();
        assert_eq!((clean.commit.len(), clean.time), (40, 1_700_000_000));
        std::fs::write(directory.path().join("file"), "2").unwrap();
        let dirty = Checkout::of(directory.path()).unwrap();
        assert_eq!((dirty.commit, dirty.time), (format!("{}-dirty", clean.commit), 1_700_000_000));
    }
}
