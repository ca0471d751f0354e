//! What the host agent reads: both files are TOML, and name only what there is.

use std::collections::BTreeSet;
use std::path::Path;

use ovs_plugin::commands::REGISTRY;
use toml::{Table, Value};

use crate::support::{BINARY, output_of};

fn manifest(which: &str) -> Table {
    let mut command = std::process::Command::new(BINARY);
    command.args(["manifest", which]);
    crate::support::clear_settings(&mut command);
    let text = output_of(command);
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn every_command_is_exported_and_nothing_else() {
    let file = manifest("plugin");
    let plugin = &file["plugin"]["ovs"];
    assert_eq!(plugin["path"].as_str(), Some("/var/lib/corex/plugins/ovs-plugin"));
    // One command at a time: each waits for the one before it.
    assert_eq!(plugin["queue"].as_bool(), Some(true));
    let exports = strings(&plugin["exports"]);
    let expected: BTreeSet<_> =
        REGISTRY.iter().flat_map(|entry| entry.aliases.iter().copied().chain([entry.name])).collect();
    assert_eq!(exports.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(exports.len(), expected.len(), "a name is exported twice: {exports:?}");
}

#[test]
fn services_start_after_services_that_exist() {
    let file = manifest("startup");
    let services = file["startup"].as_table().unwrap();
    assert!(services.len() >= 3, "{file}");
    let mut before = BTreeSet::new();
    // Each name is only waited for when it stands before: so there is no circle.
    for name in ["ovs-init", "ovsdb-server", "ovs-vswitchd"] {
        for after in services[name].get("after").map(strings).unwrap_or_default() {
            assert!(before.contains(after), "{name} waits for {after}");
        }
        before.insert(name);
    }
    for (name, service) in services {
        for after in service.get("after").map(strings).unwrap_or_default() {
            assert!(services.contains_key(after), "{name} waits for {after}");
        }
    }
}

#[test]
fn daemons_come_back_and_only_init_is_waited_for_to_end() {
    let file = manifest("startup");
    for (name, service) in file["startup"].as_table().unwrap() {
        assert_eq!(service["name"].as_str(), Some("core.system"), "{name}");
        let program = service["args"]["name"].as_str().unwrap();
        assert!(Path::new(program).is_absolute(), "{name}: {program}");
        let protected = service.get("protected").and_then(Value::as_bool).unwrap_or(false);
        let waited_for = service.get("running_delay").and_then(Value::as_integer) == Some(-1);
        assert_eq!((protected, waited_for), if name == "ovs-init" { (false, true) } else { (true, false) }, "{name}");
        assert_eq!(service.get("running_match").is_some(), protected, "{name}");
    }
}

#[test]
fn daemons_stay_in_the_foreground() {
    let file = manifest("startup");
    for (name, service) in file["startup"].as_table().unwrap() {
        let arguments = strings(&service["args"]["args"]);
        assert!(!arguments.iter().any(|word| word.starts_with("--detach") || *word == "--monitor"), "{name}");
    }
}
