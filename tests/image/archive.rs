//! What is in the archives, without running it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use toml::Table;

use crate::files::{directory, manifest};
use crate::support::{output_of, scratch_directory};

const PLUGIN: &str = "var/lib/corex/plugins/ovs-plugin";

/// An entry of an archive.
struct Entry {
    /// As it stands in the archive.
    name: String,
    kind: &'static str,
    mode: u32,
    owner: (u64, u64),
    time: u64,
    target: Option<String>,
    bytes: Vec<u8>,
}

impl Entry {
    /// The path below the root of the container.
    fn path(&self) -> &str {
        self.name.trim_start_matches("./").trim_end_matches('/')
    }
}

fn entries(archive: impl Read) -> Vec<Entry> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => "dir",
            tar::EntryType::Regular => "file",
            tar::EntryType::Symlink => "symlink",
            other => panic!("an entry of type {other:?}"),
        };
        let (mode, time) = (header.mode().unwrap() & 0o7777, header.mtime().unwrap());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let target = entry.link_name().unwrap().map(|target| target.to_str().unwrap().to_owned());
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        Entry { name, kind, mode, owner, time, target, bytes }
    };
    archive.entries().unwrap().map(entry).collect()
}

/// The root of the container, as a hub gets it.
fn image() -> Option<Vec<Entry>> {
    let file = File::open(directory()?.join("ovs.tar.gz")).unwrap();
    Some(entries(GzDecoder::new(file)))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn find<'a>(image: &'a [Entry], path: &str) -> &'a Entry {
    image.iter().find(|entry| entry.path() == path).unwrap_or_else(|| panic!("{path} is not in the image"))
}

#[test]
fn the_manifest_explains_every_entry_of_the_archive_and_nothing_else() {
    let (Some(image), Some(manifest)) = (image(), manifest()) else { return };
    let told: BTreeMap<String, Value> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap().trim_start_matches('/').to_owned(), file.clone()))
        .collect();
    let found: BTreeSet<_> = image.iter().map(Entry::path).filter(|path| !path.is_empty()).collect();
    assert_eq!(told.keys().map(String::as_str).filter(|path| !path.is_empty()).collect::<BTreeSet<_>>(), found);
    for entry in image.iter().filter(|entry| !entry.path().is_empty()) {
        let told = &told[entry.path()];
        assert_eq!(told["kind"], entry.kind, "{told}");
        assert_eq!(told["mode"], format!("{:04o}", entry.mode), "{told}");
        assert!(told["why"].as_str().is_some_and(|why| !why.is_empty()), "{told}");
        match entry.kind {
            "file" => {
                assert_eq!(told["size"], entry.bytes.len(), "{told}");
                assert_eq!(told["sha256"], sha256(&entry.bytes), "{told}");
                assert!(told["package"].is_string() && told["version"].is_string(), "{told}");
            }
            "symlink" => assert_eq!(told["target"].as_str(), entry.target.as_deref(), "{told}"),
            _ => {}
        }
    }
}

#[test]
fn the_manifest_names_the_archives_by_their_hashes() {
    let (Some(directory), Some(manifest)) = (directory(), manifest()) else { return };
    let archives = manifest["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 2);
    for archive in archives {
        let bytes = fs::read(directory.join(archive["name"].as_str().unwrap())).unwrap();
        assert_eq!((&archive["sha256"], &archive["size"]), (&json!(sha256(&bytes)), &json!(bytes.len())));
    }
}

#[test]
fn the_root_of_the_container_is_at_the_top_of_the_archive() {
    let Some(image) = image() else { return };
    for path in [".plugin.toml", ".startup.toml", "usr", "etc", PLUGIN, "usr/sbin/ovsdb-server"] {
        find(&image, path);
    }
    for entry in &image {
        let path = Path::new(entry.path());
        assert!(!entry.name.starts_with('/'), "{}", entry.name);
        assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{}", entry.name);
    }
}

#[test]
fn entries_are_sorted_and_belong_to_root_at_one_time_and_come_once() {
    let Some(image) = image() else { return };
    let paths: Vec<_> = image.iter().map(|entry| Path::new(entry.path())).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
    assert!(image.iter().all(|entry| entry.owner == (0, 0)));
    assert_eq!(image.iter().map(|entry| entry.time).collect::<BTreeSet<_>>().len(), 1);
    for entry in image.iter().filter(|entry| entry.kind != "symlink") {
        let sticky = entry.mode & 0o1000 != 0;
        assert!(entry.mode & 0o6000 == 0 && (entry.mode & 0o002 == 0 || sticky), "{}: {:o}", entry.name, entry.mode);
    }
}

#[test]
fn there_is_no_shell_no_interpreter_and_no_script() {
    let Some(image) = image() else { return };
    let programs = ["ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-appctl", "ovs-vsctl", "ovs-plugin"];
    let mut found = BTreeSet::new();
    for entry in image.iter().filter(|entry| entry.kind == "file") {
        let name = entry.path().rsplit('/').next().unwrap();
        assert!(!entry.bytes.starts_with(b"#!"), "{} is a script", entry.name);
        let is_library = name.contains(".so") && (name.starts_with("lib") || name.starts_with("ld"));
        // e_type 2 and 3 of elf(5): programs, and libraries or programs.
        let is_elf = entry.bytes.starts_with(b"\x7fELF");
        if (is_elf || entry.mode & 0o111 != 0) && !is_library {
            assert!(programs.contains(&name), "{} is a program", entry.name);
            found.insert(name);
        }
    }
    assert_eq!(found, programs.into_iter().collect());
}

#[test]
fn it_is_smaller_than_40_mb() {
    let (Some(image), Some(manifest)) = (image(), manifest()) else { return };
    let size: usize = image.iter().map(|entry| entry.bytes.len()).sum();
    assert!(size < 40_000_000, "{size}");
    assert_eq!(manifest["unpacked_size"], size);
}

#[test]
fn the_plugin_needs_no_library() {
    let (Some(image), Some(_)) = (image(), directory()) else { return };
    let plugin = find(&image, PLUGIN);
    assert_eq!(plugin.mode, 0o755);
    // Alone in a root of its own, it still runs.
    let root = scratch_directory();
    fs::write(root.join("ovs-plugin"), &plugin.bytes).unwrap();
    output_of({
        let mut command = Command::new("chmod");
        command.arg("755").arg(root.join("ovs-plugin"));
        command
    });
    let mut command = Command::new("chroot");
    command.arg(&root).args(["/ovs-plugin", "--version"]);
    assert!(output_of(command).starts_with("ovs-plugin "));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_the_host_agent_reads_is_what_the_plugin_in_the_image_prints() {
    let (Some(image), Some(directory)) = (image(), directory()) else { return };
    for which in ["plugin", "startup"] {
        let mut command = Command::new("chroot");
        command.arg(directory.join("root")).args([&format!("/{PLUGIN}"), "manifest", which]);
        crate::support::clear_settings(&mut command);
        let printed = output_of(command);
        assert_eq!(find(&image, &format!(".{which}.toml")).bytes, printed.as_bytes());
    }
}

#[test]
fn what_the_host_agent_starts_is_in_the_image_and_executable() {
    let Some(image) = image() else { return };
    let file = |path: &str| -> Table { String::from_utf8_lossy(&find(&image, path).bytes).parse().unwrap() };
    let plugin = file(".plugin.toml")["plugin"]["ovs"]["path"].as_str().unwrap().to_owned();
    let startup = file(".startup.toml");
    let services: Vec<_> = startup["startup"].as_table().unwrap().values().collect();
    let mut programs: Vec<_> =
        services.iter().map(|service| service["args"]["name"].as_str().unwrap().to_owned()).collect();
    let words = services.iter().flat_map(|service| service["args"]["args"].as_array().unwrap());
    // `ovs-plugin vswitchd /usr/sbin/ovs-vswitchd …` names a program too.
    programs.extend(words.filter_map(|word| word.as_str()).filter(|word| word.contains("bin/")).map(str::to_owned));
    programs.push(plugin);
    assert!(programs.len() >= 5, "{programs:?}");
    for program in programs {
        let entry = find(&image, program.trim_start_matches('/'));
        assert!(entry.mode & 0o111 == 0o111 && entry.kind == "file", "{program}");
    }
}

#[test]
fn the_oci_archive_holds_the_same_root() {
    let Some(directory) = directory() else { return };
    let packed = fs::read(directory.join("ovs.tar.gz")).unwrap();
    let layer = format!("blobs/sha256/{}", sha256(&packed));
    let oci = entries(File::open(directory.join("ovs.oci.tar")).unwrap());
    assert!(find(&oci, &layer).bytes == packed);
    let docker: Value = serde_json::from_slice(&find(&oci, "manifest.json").bytes).unwrap();
    assert_eq!(docker[0]["Layers"], json!([layer]));
    let config: Value = serde_json::from_slice(&find(&oci, docker[0]["Config"].as_str().unwrap()).bytes).unwrap();
    assert_eq!(config["config"]["Entrypoint"], json!([format!("/{PLUGIN}"), "start"]));
    assert_eq!(config["config"]["Healthcheck"]["Test"][2], "wait-ready");
}

#[test]
fn two_builds_are_the_same_to_the_byte() {
    let Some(directory) = directory() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let builds = [(); 2].map(|()| {
        let output = scratch_directory();
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(project).args([
            "run",
            "--quiet",
            "--locked",
            "--profile",
            "tool",
            "--package",
            "flist",
            "--",
        ]);
        command.arg("--plugin").arg(directory.join("root").join(PLUGIN)).arg("--output").arg(&output);
        output_of(command);
        let hashes = ["ovs.tar.gz", "ovs.oci.tar", "manifest.json"].map(|name| {
            let bytes = fs::read(output.join(name)).unwrap();
            (name, sha256(&bytes))
        });
        fs::remove_dir_all(output).unwrap();
        hashes
    });
    assert_eq!(builds[0], builds[1]);
}
