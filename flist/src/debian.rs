//! Which Debian package a file comes from, and whether it is still what the package brought.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::command;
use crate::hash::md5;

/// An installed package.
#[derive(Clone, Debug, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The source package that it was built from, and that one's version.
    pub source: String,
    /// The version of the source package.
    pub source_version: String,
}

/// The packages of some files.
#[derive(Debug, Default)]
pub struct Packages {
    owners: HashMap<PathBuf, String>,
    packages: BTreeMap<String, Package>,
    /// By package: the MD5 sum of each file, by its path without the first slash.
    sums: HashMap<String, HashMap<String, String>>,
}

impl Packages {
    /// Asks dpkg for the packages of files, which are given by canonical path.
    pub fn of_files(files: &[PathBuf]) -> Result<Packages> {
        let mut packages = Packages::default();
        if files.is_empty() {
            return Ok(packages);
        }
        let all = files.iter().flat_map(|file| names_in_packages(file));
        // Exit status 1: some of the names were not found. Each file is looked for under several.
        let found = dpkg_query(["--search".into()].into_iter().chain(all))?;
        for line in found.lines() {
            if line.starts_with("diversion by ") {
                continue;
            }
            if let Some((owners, path)) = line.split_once(": ") {
                // Several packages may own a directory, but files have one.
                packages.owners.insert(path.into(), owners.to_owned());
            }
        }
        let mut names: Vec<PathBuf> = packages.owners.values().map(PathBuf::from).collect();
        names.sort();
        names.dedup();
        packages.describe(&names)?;
        Ok(packages)
    }

    fn describe(&mut self, names: &[PathBuf]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let format = "--showformat=${binary:Package}\\t${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t\
                      ${source:Version}\\n";
        for line in dpkg_query(["--show".into(), format.into()].into_iter().chain(names.iter().cloned()))?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [id, name, version, architecture, source, source_version] = fields[..] else {
                bail!("dpkg-query printed {line:?}, six fields were expected");
            };
            let text = str::to_owned;
            self.packages.insert(
                id.to_owned(),
                Package {
                    name: text(name),
                    version: text(version),
                    architecture: text(architecture),
                    source: text(source),
                    source_version: text(source_version),
                },
            );
        }
        for name in names.iter().map(|name| name.display().to_string()) {
            let list = dpkg_query(["--control-show".into(), PathBuf::from(&name), "md5sums".into()])?;
            let sums = list.lines().filter_map(|line| line.split_once("  "));
            self.sums.insert(name, sums.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect());
        }
        Ok(())
    }

    /// The package that a file comes from. It is an error when none has it, or when it was changed since.
    pub fn owner(&self, file: &Path, bytes: &[u8]) -> Result<&Package> {
        let names = names_in_packages(file);
        let (path, id) = names
            .iter()
            .find_map(|name| Some((name, self.owners.get(name)?)))
            .with_context(|| format!("{} comes from no Debian package, so its origin can't be told", file.display()))?;
        let package = self.packages.get(id).with_context(|| format!("dpkg does not describe its package {id}"))?;
        let relative = path.to_string_lossy();
        let sum = self.sums.get(id).and_then(|sums| sums.get(relative.trim_start_matches('/')));
        let sum = sum.with_context(|| format!("the package {id} has no checksum of {}", path.display()))?;
        ensure!(
            *sum == md5(bytes),
            "{} is not what the package {id} brought; put that back with: apt-get install --reinstall {}",
            path.display(),
            package.name
        );
        Ok(package)
    }
}

/// Packages made before `/usr` was merged still call their files `/lib/...`.
fn names_in_packages(file: &Path) -> Vec<PathBuf> {
    let unmerged = ["bin", "sbin", "lib", "lib32", "lib64"].iter().find_map(|directory| {
        Some(Path::new("/").join(directory).join(file.strip_prefix(Path::new("/usr").join(directory)).ok()?))
    });
    [file.to_owned()].into_iter().chain(unmerged).collect()
}

/// The output of dpkg-query. That something was not found is told by its absence.
fn dpkg_query(arguments: impl IntoIterator<Item = PathBuf>) -> Result<String> {
    let output = match command::run("dpkg-query", arguments) {
        Err(error) if is_not_found(&error) => {
            bail!("dpkg-query is not there; the image is built on Debian or Ubuntu, from their packages")
        }
        other => other?,
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(matches!(output.status.code(), Some(0 | 1)), "dpkg-query failed: {}", errors.trim());
    String::from_utf8(output.stdout).context("the output of dpkg-query")
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Machine, Tree};

    fn file(path: &str) -> (PathBuf, Vec<u8>) {
        let path = Machine.canonical(Path::new(path)).unwrap();
        let bytes = Machine.read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_file_of_a_merged_directory_has_its_package() {
        let (path, bytes) = file("/lib64/ld-linux-x86-64.so.2");
        let packages = Packages::of_files(std::slice::from_ref(&path)).unwrap();
        let package = packages.owner(&path, &bytes).unwrap();
        assert_eq!((package.name.as_str(), package.source.as_str()), ("libc6", "glibc"));
        assert!(package.version.starts_with(|first: char| first.is_ascii_digit()), "{package:?}");
    }

    #[test]
    fn a_changed_file_is_refused_with_the_command_that_puts_it_back() {
        let (path, mut bytes) = file("/usr/sbin/ovsdb-server");
        let packages = Packages::of_files(std::slice::from_ref(&path)).unwrap();
        assert_eq!(packages.owner(&path, &bytes).unwrap().name, "openvswitch-common");
        bytes.push(0);
        let error = packages.owner(&path, &bytes).unwrap_err().to_string();
        assert!(error.ends_with("apt-get install --reinstall openvswitch-common"), "{error}");
    }

    #[test]
    fn a_file_of_no_package_is_refused() {
        let file = std::env::current_exe().unwrap();
        let packages = Packages::of_files(std::slice::from_ref(&file)).unwrap();
        let error = packages.owner(&file, b"").unwrap_err().to_string();
        assert!(error.contains("comes from no Debian package"), "{error}");
    }
}
