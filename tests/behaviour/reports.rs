//! dry_run and report, which every command has.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Switch, wait_until, without_reports};

fn with(arguments: &Value, flag: &str) -> Value {
    let mut arguments = arguments.clone();
    arguments[flag] = json!(true);
    arguments
}

#[test]
fn a_dry_run_tells_what_the_real_run_then_does_and_changes_nothing() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start();
    switch.net.run(&["ip", "link", "set", "e2", "down"]);
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0", "options": {"stp_enable": true, "other_config:a": "b"}})),
        ("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5, "trunks": [1, "3-4"]})),
        ("port-set", json!({"port": "e1", "vlan": 0, "mtu": 1400, "external_ids": {"k": "v"}})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"], "lacp": true})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"other_config:a": "c", "stp_enable": false}})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 9, "name": "net"})),
        ("vtep-ensure", json!({"bridge": "br0", "vnid": 10})),
        ("vtep-del", json!({"vnid": 10})),
        ("bond-member-del", json!({"port": "bond0", "link": "e3", "force": true})),
        ("bond-member-add", json!({"port": "bond0", "link": "e3"})),
        ("bond-del", json!({"port": "bond0"})),
        ("vxlan-del", json!({"vxlan": 9})),
        ("vlan-del", json!({"master": "br0", "vlan": 7})),
        ("port-del", json!({"port": "e1"})),
        ("bridge-list", json!({})),
        ("port-list", json!({"bridge": "br0"})),
        ("show", json!({})),
        ("stats", json!({})),
        ("doctor", json!({})),
        ("version", json!({})),
        ("bridge-del", json!({"bridge": "br0"})),
    ] {
        let dry = switch.unchanged_by(|| switch.ok(command, with(&arguments, "dry_run")));
        let real = switch.ok(command, with(&arguments, "report"));
        match command {
            // What there is to find and to count goes on changing by itself.
            "stats" | "doctor" => {}
            _ => assert_eq!(without_reports(&dry["result"]), without_reports(&real["result"]), "{command}"),
        }
        assert_eq!(dry["changed"], real["changed"], "{command}");
        assert_eq!(dry["changes"], real["changes"], "{command}");
        assert_eq!(dry["interfaces"], json!([]), "{command}");
        let reads = ["bridge-list", "port-list", "show", "stats", "doctor", "version"].contains(&command);
        assert_eq!(real["changed"], json!(!reads), "{command}: {real}");
    }
}

/// Arguments with which a command changes something on the switch of the next test, and whether it is one that changes
/// anything at all.
fn case(command: &str) -> (Value, bool) {
    match command {
        "bridge-add" => (json!({"bridge": "br2"}), true),
        "bridge-del" => (json!({"bridge": "br1"}), true),
        "bridge-list" => (json!({}), false),
        "port-add" => (json!({"bridge": "br0", "port": "e4", "vlan": 5}), true),
        "port-set" => (json!({"port": "e3", "vlan": 9}), true),
        "port-del" => (json!({"port": "e3"}), true),
        "port-list" => (json!({"bridge": "br0"}), false),
        "bond-add" => (json!({"bridge": "br0", "port": "bond1", "links": ["e4", "e5"]}), true),
        "bond-del" => (json!({"port": "bond0"}), true),
        "bond-member-add" => (json!({"port": "bond0", "link": "e4"}), true),
        "bond-member-del" => (json!({"port": "bond0", "link": "e2", "force": true}), true),
        "set" => (json!({"table": "Port", "record": "e3", "values": {"tag": 9}}), true),
        "vtep-ensure" => (json!({"bridge": "br0", "vnid": 8}), true),
        "vtep-del" => (json!({"vnid": 7}), true),
        "vlan-ensure" => (json!({"master": "br0", "vlan": 9}), true),
        "vlan-del" => (json!({"master": "br0", "vlan": 5}), true),
        "vxlan-ensure" => (json!({"master": "br0", "vxlan": 9}), true),
        "vxlan-del" => (json!({"vxlan": 6}), true),
        "gc" => (json!({"grace_seconds": 0}), true),
        "show" | "stats" | "doctor" | "version" => (json!({}), false),
        other => panic!(
            "{other} has not been tried dry; add arguments for it to `case` in tests/behaviour/reports.rs, with which it \
             changes something, if it ever does"
        ),
    }
}

#[test]
fn every_command_of_the_registry_changes_nothing_in_a_dry_run() {
    let switch = Switch::builder().veth("e1", "e2").veth("e3", "e4").veth("e5", "e6").start();
    for bridge in ["br0", "br1"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]}));
    switch.ok("port-add", json!({"bridge": "br1", "port": "e3"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
    switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": 7}));
    for entry in ovs_plugin::commands::REGISTRY {
        let (arguments, changes) = case(entry.name);
        for name in std::iter::once(&entry.name).chain(entry.aliases) {
            let dry = switch.unchanged_by(|| switch.ok(name, with(&arguments, "dry_run")));
            assert_eq!(dry["changed"], changes, "{name}: {dry:#}");
            assert_eq!(dry["changes"].as_array().unwrap().is_empty(), !changes, "{name}: {dry:#}");
        }
    }
}

#[test]
fn a_report_tells_old_and_new_values_and_how_the_interfaces_are() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let added = switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "mtu": 1400, "report": true}));
    assert_eq!(added["result"], Value::Null);
    let interface = &added["interfaces"][0];
    assert_eq!(
        (&interface["name"], &interface["mtu"].is_i64(), &interface["error"]),
        (&json!("e1"), &true, &Value::Null)
    );
    assert_eq!(interface["link_state"], json!("up"));
    assert!(interface["ofport"].as_i64().unwrap() > 0);
    let bridge = added["changes"].as_array().unwrap().iter().find(|change| change["table"] == "Bridge").unwrap();
    assert_eq!(bridge["columns"]["ports"], json!({"added": ["e1"], "removed": []}));

    let values = json!({"mtu_request": 1300, "external_ids:a": "b"});
    let set = switch.ok("set", json!({"table": "Interface", "record": "e1", "values": values, "report": true}));
    let columns = &set["changes"][0]["columns"];
    assert_eq!(columns["mtu_request"], json!({"old": 1400, "new": 1300}));
    assert_eq!(columns["external_ids"], json!({"old": {}, "new": {"a": "b"}}));
    // ovs-vswitchd reports the MTU when it next looks at the device, which may be later.
    assert!(set["interfaces"][0]["mtu"].is_i64());
    assert!(wait_until(Duration::from_secs(10), || switch.vsctl(&["get", "Interface", "e1", "mtu"]).trim() == "1300"));

    let again = switch.ok("set", json!({"table": "Interface", "record": "e1", "values": values, "report": true}));
    assert_eq!((&again["changed"], &again["changes"]), (&json!(false), &json!([])));
}

#[test]
fn a_dry_run_refuses_what_the_real_run_would_refuse() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("port-add", json!({"bridge": "br0", "port": "br0"})),
        ("vlan-ensure", json!({"master": "nobr", "vlan": 5})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"nope": 1}})),
    ] {
        let real = switch.refused(command, arguments.clone());
        assert_eq!(switch.refused(command, with(&arguments, "dry_run")), real, "{command}");
    }
}

#[test]
fn a_dry_run_needs_no_ovs_vswitchd() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.stop_vswitchd();
    let report = switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "dry_run": true}));
    assert_eq!((&report["result"], &report["changed"]), (&json!("vlbr5"), &json!(true)));
}

#[test]
fn a_flag_that_is_no_boolean_is_named() {
    let switch = Switch::new();
    for flag in ["dry_run", "report", "verify"] {
        let message = switch.refused("bridge-add", json!({"bridge": "br0", flag: "yes"}));
        assert!(message.contains(flag) && message.contains("yes"), "{message}");
    }
}
