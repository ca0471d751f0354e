//! The same root as an OCI image in one archive, for `docker load` and `podman load`.
//!
//! Its only layer is the archive for hubs, byte for byte. Beside the OCI image layout (`oci-layout`, `index.json`) there
//! is the `manifest.json` of `docker save`, since engines before 25 read only that; both refer to the same blobs.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use object::elf;
use serde_json::{Value, json};

use crate::archive;
use crate::contents::PLUGIN;
use crate::hash::sha256;

/// The name that the image gets when it is loaded.
pub const NAME: &str = "ovs-plugin";

/// What is told about the image.
pub struct About<'a> {
    /// The processor.
    pub machine: elf::Machine,
    /// The version of the plugin, which becomes the tag.
    pub version: &'a str,
    /// The version of Open vSwitch.
    pub ovs_version: &'a str,
    /// The commit that it was built from.
    pub commit: &'a str,
    /// The time of everything in it, in seconds since 1970.
    pub time: u64,
}

/// Makes the archive around a layer, which is given both packed and unpacked.
pub fn archive(layer: &[u8], unpacked_layer: &[u8], about: &About) -> Result<Vec<u8>> {
    let config = serde_json::to_vec(&config(unpacked_layer, about)?)?;
    let descriptor = |kind: &str, bytes: &[u8]| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", sha256(bytes)),
            "size": bytes.len(),
        })
    };
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config),
        "layers": [descriptor("layer.v1.tar+gzip", layer)],
    }))?;

    let tags = [about.version, "latest"];
    let images = tags.map(|tag| {
        let mut image = descriptor("manifest.v1+json", &manifest);
        image["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{NAME}:{tag}"),
            "org.opencontainers.image.ref.name": tag,
        });
        image["platform"] = json!({"architecture": architecture(about.machine)?, "os": "linux"});
        Ok(image)
    });
    let images: Vec<Value> = images.into_iter().collect::<Result<_>>()?;
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": images,
    }))?;
    let docker = serde_json::to_vec(&json!([{
        "Config": blob(&config),
        "RepoTags": tags.map(|tag| format!("{NAME}:{tag}")),
        "Layers": [blob(layer)],
    }]))?;

    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let blobs: BTreeMap<String, &[u8]> =
        [config.as_slice(), &manifest, layer].into_iter().map(|bytes| (blob(bytes), bytes)).collect();
    let files = blobs.iter().map(|(path, bytes)| (path.as_str(), *bytes)).chain([
        ("index.json", index.as_slice()),
        ("manifest.json", &docker),
        ("oci-layout", layout),
    ]);
    archive::of_files(files, about.time)
}

/// How the container is run: as PID 1, the plugin starts what the host agent would.
fn config(unpacked_layer: &[u8], about: &About) -> Result<Value> {
    const SECOND: u64 = 1_000_000_000;
    let created = UNIX_EPOCH.checked_add(Duration::from_secs(about.time)).context("the time is out of range")?;
    let created = humantime::format_rfc3339_seconds(created).to_string();
    Ok(json!({
        "architecture": architecture(about.machine)?,
        "os": "linux",
        "created": created,
        "config": {
            "Entrypoint": [PLUGIN, "start"],
            // The one that the host agent sets.
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            // Docker's addition to the format; others pass over it.
            "Healthcheck": {
                "Test": ["CMD", PLUGIN, "wait-ready", "--timeout", "5"],
                "Interval": 10 * SECOND,
                "Timeout": 10 * SECOND,
                "StartPeriod": 30 * SECOND,
                // Understood by Docker 25 and later: healthy as soon as it is.
                "StartInterval": SECOND,
                "Retries": 3,
            },
            "Labels": {
                "org.opencontainers.image.title": NAME,
                "org.opencontainers.image.description": "Open vSwitch and the ovs.* commands of Zero-OS",
                "org.opencontainers.image.version": about.version,
                "org.opencontainers.image.revision": about.commit,
                "org.openvswitch.version": about.ovs_version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(unpacked_layer))]},
        "history": [{"created": created, "created_by": "make flist"}],
    }))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes))
}

/// The processor's name in OCI images.
pub fn architecture(machine: elf::Machine) -> Result<&'static str> {
    match machine {
        elf::EM_X86_64 => Ok("amd64"),
        elf::EM_AARCH64 => Ok("arm64"),
        other => anyhow::bail!("the processor {other:?} has no name here"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ABOUT: About =
        About { machine: elf::EM_X86_64, version: "1.2.3", ovs_version: "3.1.0", commit: "abc", time: 1_700_000_000 };

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        files.collect()
    }

    fn blob_of<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(digest, format!("sha256:{}", sha256(bytes)));
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    #[test]
    fn both_kinds_of_engine_find_the_same_image_under_both_tags() {
        let files = files(&archive(b"packed", b"unpacked", &ABOUT).unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(docker[0]["RepoTags"], json!(["ovs-plugin:1.2.3", "ovs-plugin:latest"]));
        for (image, tag) in index["manifests"].as_array().unwrap().iter().zip(["1.2.3", "latest"]) {
            assert_eq!(image["annotations"]["org.opencontainers.image.ref.name"], tag);
            let manifest: Value = serde_json::from_slice(blob_of(&files, image)).unwrap();
            assert_eq!(blob_of(&files, &manifest["layers"][0]), b"packed");
            let config = blob_of(&files, &manifest["config"]);
            assert_eq!(files[docker[0]["Config"].as_str().unwrap()], config);
            let config: Value = serde_json::from_slice(config).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", sha256(b"unpacked"))]));
            assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        }
        assert_eq!(files[docker[0]["Layers"][0].as_str().unwrap()], b"packed");
    }

    #[test]
    fn the_same_layer_makes_the_same_archive() {
        let make = || archive(b"packed", b"unpacked", &ABOUT).unwrap();
        assert_eq!(make(), make());
    }
}
