//! The shipped binary, and a switch for it to work on.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::{Answer, Call, Switch, search_path};

/// The binary that is shipped. One that is older than its sources would pass, or fail, for another's sake.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("OVS_PLUGIN_BINARY").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return named.canonicalize().unwrap_or_else(|e| panic!("OVS_PLUGIN_BINARY is {}: {e}", named.display()));
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = project.join("target/ovs-plugin");
    let built = modified(&binary)
        .unwrap_or_else(|e| panic!("the static binary {} is missing ({e}); `make build` builds it", binary.display()));
    for source in ["src", "crates/ovsdb/src", "Cargo.toml", "Cargo.lock", "scripts/build"] {
        if let Some(newer) = newer_than(built, &project.join(source)) {
            panic!("the static binary {} is older than {}; run `make build`", binary.display(), newer.display());
        }
    }
    binary
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// A file at or below `path` that was changed after `time`.
fn newer_than(time: SystemTime, path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().find_map(|entry| newer_than(time, &entry.unwrap().path()));
    }
    (modified(path).unwrap() > time).then(|| path.to_owned())
}

/// A switch with the bridge `backplane`, made by the shipped binary, as is all that follows.
pub struct Shipped {
    pub switch: Switch,
    binary: PathBuf,
}

impl Shipped {
    pub fn new() -> Shipped {
        // First, so that what is missing is told at once.
        let binary = binary();
        let shipped = Shipped { switch: Switch::new(), binary };
        shipped.run(&[], "bridge-add", &json!({"bridge": "backplane"})).ok();
        shipped
    }

    /// Executes one command of the plugin. `under` is the program that watches it do so, with its arguments.
    pub fn run(&self, under: &[&str], command: &str, arguments: &Value) -> Answer {
        Call::of(self.command(under, command, arguments)).run()
    }

    /// The environment is always the same and small: it lies in the program's memory, and is searched through.
    pub fn command(&self, under: &[&str], command: &str, arguments: &Value) -> Command {
        let binary = self.binary.clone().into_os_string();
        let mut words = under.iter().map(OsString::from).chain([binary]);
        let mut run = self.switch.net.command(words.next().expect("the binary is one"));
        run.args(words).arg(command).arg(arguments.to_string());
        run.current_dir(self.switch.directory())
            .env_clear()
            .env("PATH", search_path())
            .env("OVS_PLUGIN_DB", self.switch.remote())
            .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
            .env("OVS_PLUGIN_TIMEOUT", "10");
        run
    }
}

/// Commands that find everything in place after they were executed once.
pub fn ensures() -> [(&'static str, &'static str, Value); 3] {
    [
        ("vlan-ensure", "vlan-ensure", json!({"master": "backplane", "vlan": 5})),
        ("vlan-ensure-named", "vlan-ensure", json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"})),
        ("vxlan-ensure", "vxlan-ensure", json!({"master": "backplane", "vxlan": 10001})),
    ]
}

/// Panics when the machine lacks a program that a test watches the plugin with.
pub fn need(program: &str) {
    let found = std::env::split_paths(&search_path()).any(|directory| directory.join(program).exists());
    assert!(found, "the test cannot run here: {program} not found; `make setup` installs what is missing");
}

/// Says that the test is not run, past the test runner, which would keep it to itself.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: skipped, {why}");
}
