//! `manifest.json`: what is in the image, and where each file comes from.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::checkout::Checkout;
use crate::contents::Contents;
use crate::debian::Package;
use crate::hash::sha256;
use crate::image::{Kind, Origin};
use crate::oci;

#[derive(Serialize)]
struct Manifest<'a> {
    plugin_version: &'a str,
    ovs_version: &'a str,
    commit: &'a str,
    time: u64,
    architecture: &'a str,
    unpacked_size: u64,
    archives: Vec<Archive<'a>>,
    packages: Vec<&'a Package>,
    files: Vec<File<'a>>,
}

/// A file that was made from the image.
#[derive(Serialize)]
pub struct Archive<'a> {
    /// Its name, beside the manifest.
    pub name: &'a str,
    /// Its size.
    pub size: usize,
    /// Its SHA-256.
    pub sha256: String,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    kind: &'static str,
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    /// The path in the package, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    why: &'a str,
}

/// Makes the text of it.
pub fn text(contents: &Contents, checkout: &Checkout, archives: Vec<Archive>) -> Result<String> {
    let mut files = Vec::new();
    for (path, entry) in contents.image.entries() {
        let shown = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        let (kind, bytes, target) = match &entry.kind {
            Kind::Directory => ("dir", None, None),
            Kind::File(bytes) => ("file", Some(bytes), None),
            Kind::Link(target) => ("symlink", None, Some(target.as_str())),
        };
        let (package, version, source) = match &entry.origin {
            Origin::Machine(source) => {
                let owner = contents.owners.get(path).with_context(|| format!("{shown} has no package"))?;
                (Some(owner.name.as_str()), Some(owner.version.as_str()), source.to_str())
            }
            Origin::Project => (Some("ovs-plugin"), Some(contents.plugin_version.as_str()), None),
            Origin::Layout => (None, None, None),
        };
        files.push(File {
            path: shown,
            kind,
            mode: format!("{:04o}", entry.mode),
            size: bytes.map(Vec::len),
            sha256: bytes.map(|bytes| sha256(bytes)),
            target,
            package,
            version,
            source: source.filter(|source| *source != shown),
            why: &entry.why,
        });
    }
    let packages: BTreeMap<_, _> = contents.owners.values().map(|package| (&package.name, package)).collect();
    let manifest = Manifest {
        plugin_version: &contents.plugin_version,
        ovs_version: &contents.ovs_version,
        commit: &checkout.commit,
        time: checkout.time,
        architecture: oci::architecture(contents.machine)?,
        unpacked_size: contents.image.size(),
        archives,
        packages: packages.into_values().collect(),
        files,
    };
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}
