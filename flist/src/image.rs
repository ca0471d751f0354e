//! The image while it is being put together: a tree of files in memory.
//!
//! Only what is written here gets into it. Owners, times and the umask of the machine have no way in, which makes the
//! archives reproducible.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::elf::is_elf;
use crate::libraries;
use crate::tree::Tree;

/// One thing in the image.
#[derive(Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// What it is for.
    pub why: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file, with its contents.
    File(Vec<u8>),
    /// A symbolic link, with its target.
    Link(String),
}

/// Where an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The machine's file of this path, which a package owns.
    Machine(PathBuf),
    /// This project.
    Project,
    /// The layout of the image.
    Layout,
}

/// The tree, by absolute path, sorted.
#[derive(Debug)]
pub struct Image {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Image {
    /// An empty root directory.
    pub fn new() -> Image {
        let mut image = Image { entries: BTreeMap::new() };
        image.entries.insert("/".into(), directory("the root", 0o755));
        image
    }

    /// Everything, parents before what is in them.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// The bytes in all files.
    pub fn size(&self) -> u64 {
        let size = |entry: &Entry| if let Kind::File(bytes) = &entry.kind { bytes.len() as u64 } else { 0 };
        self.entries.values().map(size).sum()
    }

    /// Makes a directory and those above it.
    pub fn add_directory(&mut self, path: &Path, mode: u32, why: &str) -> Result<()> {
        self.add(path, directory(why, mode))
    }

    /// Makes a symbolic link. A relative one: the host agent also follows links from outside of the container.
    pub fn add_link(&mut self, path: &Path, target: &str, why: &str) -> Result<()> {
        ensure!(!target.starts_with('/'), "the link {} to {target} leads out of the image", path.display());
        let kind = Kind::Link(target.to_owned());
        self.add(path, Entry { kind, mode: 0o777, why: why.to_owned(), origin: Origin::Layout })
    }

    /// Makes a file.
    pub fn add_file(&mut self, path: &Path, mode: u32, bytes: Vec<u8>, why: &str, origin: Origin) -> Result<()> {
        self.add(path, Entry { kind: Kind::File(bytes), mode, why: why.to_owned(), origin })
    }

    fn add(&mut self, path: &Path, entry: Entry) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("{} can't be added to the image", path.display());
        };
        if self.canonical(parent).is_none() {
            let why = format!("leads to {}", path.display());
            self.add_directory(parent, 0o755, &why)?;
        }
        let parent = self.canonical(parent).with_context(|| format!("{} is not in the image", parent.display()))?;
        let path = parent.join(name);
        match self.entries.get(&path) {
            Some(there) if there.kind == entry.kind && there.mode == entry.mode => Ok(()),
            Some(there) => bail!("{} is twice in the image: {}; {}", path.display(), there.why, entry.why),
            None => {
                self.entries.insert(path, entry);
                Ok(())
            }
        }
    }

    /// The contents of a file, if there is one of this path.
    pub fn file(&self, path: &Path) -> Option<&[u8]> {
        match &self.entries.get(&self.canonical(path)?)?.kind {
            Kind::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Checks what holds for the image as a whole.
    pub fn check(&self, size_limit: u64) -> Result<()> {
        let mut programs = Vec::new();
        for (path, entry) in self.entries() {
            let shown = path.display();
            match &entry.kind {
                Kind::File(bytes) if bytes.starts_with(b"#!") => {
                    bail!("{shown} is a script, and the image has no interpreter");
                }
                Kind::File(bytes) if entry.mode & 0o111 != 0 && is_elf(bytes) => programs.push(path.to_owned()),
                Kind::File(_) if entry.mode & 0o111 != 0 => bail!("{shown} is executable, but not a program"),
                Kind::Link(target) => {
                    ensure!(self.canonical(path).is_some(), "{shown} leads to {target}, which is not in the image");
                }
                _ => {}
            }
        }
        self.check_libraries(&programs)?;
        let size = self.size();
        ensure!(size <= size_limit, "the image has {size} bytes unpacked, more than {size_limit}");
        Ok(())
    }

    /// Every program finds its libraries in the image itself, and there is none that no program needs.
    fn check_libraries(&self, programs: &[PathBuf]) -> Result<()> {
        let needed = libraries::closure(self, programs).context("in the finished image")?;
        for loader in needed.iter().filter(|needed| needed.is_loader) {
            let entry = self.canonical(&loader.path).and_then(|path| self.entries.get(&path));
            let runs = entry.is_some_and(|entry| entry.mode & 0o111 != 0);
            ensure!(runs, "{}, the {}, is not executable", loader.path.display(), loader.why);
        }
        let mut used: BTreeSet<PathBuf> = needed.iter().filter_map(|needed| self.canonical(&needed.path)).collect();
        used.extend(programs.iter().cloned());
        for (path, entry) in self.entries() {
            if let Kind::File(bytes) = &entry.kind {
                ensure!(!is_elf(bytes) || used.contains(path), "nothing in the image needs {}", path.display());
            }
        }
        Ok(())
    }
}

fn directory(why: &str, mode: u32) -> Entry {
    Entry { kind: Kind::Directory, mode, why: why.to_owned(), origin: Origin::Layout }
}

impl Tree for Image {
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect();
        // As many links as the kernel follows.
        let mut links = 40;
        while let Some(part) = rest.pop() {
            match part.components().next()? {
                Component::RootDir => at = "/".into(),
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => {
                    let next = at.join(name);
                    match &self.entries.get(&next)?.kind {
                        Kind::Link(target) => {
                            links -= 1;
                            if links == 0 {
                                return None;
                            }
                            let target = Path::new(target).components().rev();
                            rest.extend(target.map(|part| PathBuf::from(part.as_os_str())));
                        }
                        _ => at = next,
                    }
                }
                _ => {}
            }
        }
        Some(at)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.file(path).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let mut image = Image::new();
        image.add_link(Path::new("/lib"), "usr/lib", "").unwrap();
        image.add_directory(Path::new("/usr/lib"), 0o755, "").unwrap();
        image
    }

    fn add(image: &mut Image, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        image.add_file(Path::new(path), mode, bytes.to_vec(), "a test", Origin::Project)
    }

    #[test]
    fn a_file_is_found_under_every_name_of_its_directory() {
        let mut image = image();
        add(&mut image, "/lib/deep/file", 0o644, b"x").unwrap();
        assert_eq!(image.file(Path::new("/usr/lib/deep/file")), Some(&b"x"[..]));
        assert_eq!(image.file(Path::new("/lib/deep/../deep/file")), Some(&b"x"[..]));
        assert_eq!(image.canonical(Path::new("/lib")).unwrap(), Path::new("/usr/lib"));
        assert_eq!(image.canonical(Path::new("/lib/nothing")), None);
    }

    #[test]
    fn two_files_under_one_path_are_refused() {
        let mut image = image();
        add(&mut image, "/lib/file", 0o644, b"x").unwrap();
        add(&mut image, "/usr/lib/file", 0o644, b"x").unwrap();
        let error = add(&mut image, "/usr/lib/file", 0o644, b"y").unwrap_err().to_string();
        assert!(error.starts_with("/usr/lib/file is twice in the image"), "{error}");
    }

    #[test]
    fn a_script_is_refused() {
        let mut image = image();
        add(&mut image, "/usr/bin/ovs-pki", 0o644, b"#!/bin/sh\n").unwrap();
        assert!(image.check(1000).unwrap_err().to_string().starts_with("/usr/bin/ovs-pki is a script"));
    }

    #[test]
    fn an_executable_that_is_no_program_is_refused() {
        let mut image = image();
        add(&mut image, "/usr/bin/odd", 0o755, b"odd").unwrap();
        assert!(image.check(1000).unwrap_err().to_string().starts_with("/usr/bin/odd is executable"));
    }

    #[test]
    fn a_link_to_nowhere_is_refused() {
        let mut image = image();
        image.add_link(Path::new("/lib64"), "usr/lib64", "").unwrap();
        assert!(image.check(1000).unwrap_err().to_string().starts_with("/lib64 leads to usr/lib64"));
        assert!(image.add_link(Path::new("/x"), "/usr", "").is_err());
    }

    #[test]
    fn an_image_that_is_too_big_is_refused() {
        let mut image = image();
        add(&mut image, "/big", 0o644, &[0; 1000]).unwrap();
        image.check(1000).unwrap();
        assert!(image.check(999).unwrap_err().to_string().contains("1000 bytes"));
    }

    #[test]
    fn a_program_without_its_libraries_is_refused() {
        let mut image = image();
        add(&mut image, "/usr/sbin/ovsdb-server", 0o755, &std::fs::read("/usr/sbin/ovsdb-server").unwrap()).unwrap();
        let error = format!("{:#}", image.check(u64::MAX).unwrap_err());
        assert!(error.contains("the loader of /usr/sbin/ovsdb-server, is missing"), "{error}");
    }

    #[test]
    fn a_loader_that_can_not_be_executed_is_refused() {
        let mut image = image();
        let program = std::fs::read("/usr/sbin/ovsdb-server").unwrap();
        add(&mut image, "/usr/sbin/ovsdb-server", 0o755, &program).unwrap();
        let needed = libraries::closure(&crate::tree::Machine, &["/usr/sbin/ovsdb-server".into()]).unwrap();
        for library in needed {
            let path = library.path.to_str().unwrap();
            add(&mut image, path, 0o644, &std::fs::read(path).unwrap()).unwrap();
        }
        let error = image.check(u64::MAX).unwrap_err().to_string();
        assert!(error.ends_with("the loader of /usr/sbin/ovsdb-server, is not executable"), "{error}");
    }
}
