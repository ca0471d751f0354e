//! A Python program with the libraries of PyPI, in a virtual environment under target/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ovs_plugin::commands::REGISTRY;
use serde_json::{Value, json};

use crate::serving::{Server, skipped};
use crate::support::{output_of, run_to_end};

#[test]
fn a_python_program_calls_commands_in_batches_and_at_once() {
    let Some(python) = python() else { return };
    let server = Server::new();
    let mut command = Command::new(python);
    command.arg(here().join("client.py")).arg(&server.socket);
    let seen: Value = serde_json::from_str(&output_of(command)).unwrap();
    assert_eq!(seen["add"], Value::Null);
    let message = "cannot create a bridge named backplane because a bridge named backplane already exists";
    let data = json!({"kind": "exists", "field": null, "hint": null, "committed": "no"});
    assert_eq!(seen["again"], json!({"code": 1102, "message": message, "data": data}));
    assert_eq!(seen["batch"], json!(["vlbr1", "vlbr2", "vlan"]));
    assert_eq!(seen["notified"], json!([204, ""]));
    assert_eq!(seen["at once"], json!((10..30).map(|vlan| format!("vlbr{vlan}")).collect::<Vec<_>>()));
    let commands: usize = REGISTRY.iter().map(|entry| 1 + entry.aliases.len()).sum();
    let watching = ["ovs.watch", "ovs.unwatch"].len();
    assert_eq!(seen["methods"], commands + watching);
    assert_eq!(seen["health"], "ok\n");
    // The bridge itself, two of the batch, the notified one, twenty at once.
    assert_eq!(server.ok("bridge-list", json!({})).as_array().unwrap().len(), 24);
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server")
}

/// A Python with what the program needs. None, and a word on why, when the libraries can't be fetched.
fn python() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = place.join("bin/python");
    let requirements = fs::read_to_string(here().join("requirements.txt")).unwrap();
    let installed = place.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|there| there == requirements) {
        return Some(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&place);
    output_of(make);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    install.arg(here().join("requirements.txt"));
    let output = run_to_end(&mut install);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        skipped(&format!("pip can't fetch the libraries: {said}"));
        return None;
    }
    fs::write(installed, requirements).unwrap();
    Some(python)
}
