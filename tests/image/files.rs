//! Where the built image is.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::docker::image_directory;
use crate::support::is_root;

/// The directory that `make flist` fills; none when the tests of the image are skipped.
pub fn directory() -> Option<PathBuf> {
    if !is_root() {
        // Past the test runner, which would keep it to itself.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "{test}: skipped, only root can run the container's image");
        return None;
    }
    Some(image_directory())
}

/// What the build says about the image.
pub fn manifest() -> Option<Value> {
    let text = fs::read_to_string(directory()?.join("manifest.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}
