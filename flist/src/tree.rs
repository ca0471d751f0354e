//! A tree of files that can be looked into: the machine's own, or the image's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What looking for programs and libraries needs of a file system. All paths are absolute.
pub trait Tree {
    /// The path of an existing file or directory with no symbolic link left in it.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;

    /// What a file contains.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The file system of the machine that builds.
pub struct Machine;

impl Tree for Machine {
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        fs::canonicalize(path).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
}
