//! The container's image in the machine's Docker engine, and what this process makes of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::process;

/// Runs a command of docker that has to succeed.
pub fn docker(words: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(words);
    process::output_of(command).trim_end().to_owned()
}

/// Where `make flist` has put the image, or `OVS_PLUGIN_FLIST` says that it is.
pub fn image_directory() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = std::env::var_os("OVS_PLUGIN_FLIST").map_or_else(|| project.join("target/flist"), PathBuf::from);
    for file in ["manifest.json", "ovs.tar.gz", "ovs.oci.tar", "root/.plugin.toml"] {
        assert!(directory.join(file).exists(), "{} is missing: run make flist first", directory.join(file).display());
    }
    directory
}

/// The label of all containers of this process, and its name for the image.
pub fn own_name() -> String {
    format!("ovs-plugin-test-{}", std::process::id())
}

/// A name for a container that no other has.
pub fn container_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", own_name(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes a container in whatever state it is.
pub fn remove(container: &str) {
    let _ = Command::new("docker").args(["rm", "--force", "--volumes", container]).output();
}

/// The image, loaded under a name of this process's own. A process at the end of a pipe removes it, and what may be left
/// of the containers, when this process ends, however it does.
pub fn image() -> &'static str {
    static IMAGE: OnceLock<(String, Child)> = OnceLock::new();
    let (image, _) = IMAGE.get_or_init(|| {
        let name = own_name();
        let archive = image_directory().join("ovs.oci.tar");
        let script = "cat; docker ps --all --quiet --filter label=$1 | xargs -r docker rm --force; docker rmi $1";
        let remover = Command::new("sh")
            .args(["-c", script, "remover", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut list = Command::new("tar");
        list.args(["-xOf"]).arg(&archive).arg("manifest.json");
        let contents: Value = serde_json::from_str(&process::output_of(list)).unwrap();
        let tags: Vec<_> =
            contents[0]["RepoTags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        // Somebody may have these tags on an image of theirs: they get them back.
        let before: Vec<_> = tags.iter().map(|tag| id(tag)).collect();
        docker(&["load", "--quiet", "--input", archive.to_str().unwrap()]);
        docker(&["tag", tags[0], &name]);
        for (tag, before) in tags.iter().zip(before) {
            match before {
                Some(id) => docker(&["tag", &id, tag]),
                None => docker(&["rmi", tag]),
            };
        }
        (name, remover)
    });
    image
}

/// The id of an image, if it is there.
fn id(image: &str) -> Option<String> {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "--format", "{{.Id}}", image]);
    let output = process::run(&mut command);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
