//! ovs.doctor: every code, provoked for real where that is possible without the kernel's datapath.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{SCHEMA_FILE, Switch, output_of, search_path, wait_until};

fn findings(switch: &Switch) -> Vec<Value> {
    switch.ok("doctor", json!({}))["findings"].as_array().unwrap().clone()
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// The only finding, which has this code.
#[track_caller]
fn only(switch: &Switch, code: &str) -> Value {
    let findings = findings(switch);
    assert_eq!(codes(&findings), [code], "{findings:#?}");
    findings.into_iter().next().unwrap()
}

/// The finding of this code, among others.
#[track_caller]
fn among(switch: &Switch, code: &str) -> Value {
    let findings = findings(switch);
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {findings:#?}")).clone()
}

#[track_caller]
fn healthy(switch: &Switch) {
    let diagnosis = switch.ok("doctor", json!({}));
    assert_eq!(diagnosis, json!({"errors": 0, "warnings": 0, "notes": 0, "findings": []}), "{diagnosis:#}");
}

/// Waits for what ovs-vswitchd reports some time after it has applied a change.
#[track_caller]
fn eventually(switch: &Switch, code: &str) -> Value {
    let mut last = Vec::new();
    let found = wait_until(Duration::from_secs(15), || {
        last = findings(switch);
        codes(&last).contains(&code)
    });
    assert!(found, "no {code} in {last:#?}");
    last.into_iter().find(|finding| finding["code"] == code).unwrap()
}

/// Executes the command that an advice ends with, as a person would.
#[track_caller]
fn follow(switch: &Switch, finding: &Value) {
    let advice = finding["advice"].as_str().unwrap();
    let (_, command) = advice.split_once(": ovs-plugin ").unwrap_or_else(|| panic!("no command in {advice}"));
    let (name, arguments) = command.split_once(' ').unwrap();
    switch.ok(name, serde_json::from_str::<Value>(arguments.trim_matches('\'')).unwrap());
}

/// A pair of patch ports.
fn patch(switch: &Switch, one: (&str, &str), other: (&str, &str)) {
    for ((bridge, port), peer) in [(one, other.1), (other, one.1)] {
        let peer = format!("options:peer={peer}");
        switch.vsctl(&["--no-wait", "add-port", bridge, port, "--", "set", "interface", port, "type=patch", &peer]);
    }
}

#[test]
fn a_switch_with_everything_in_place_is_healthy() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start();
    healthy(&switch);
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.net.up("br0");
    switch.net.addr("br0", "10.0.0.1/24");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 0}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 10001}));
    switch.vsctl(&["add-br", "seven", "br0", "7"]);
    switch.ok("vlan-ensure", json!({"master": "seven", "vlan": 8}));
    eventually_healthy(&switch);
}

#[track_caller]
fn eventually_healthy(switch: &Switch) {
    // Links of new devices come up a moment later.
    wait_until(Duration::from_secs(10), || findings(switch).is_empty());
    healthy(switch);
}

#[test]
fn every_code_is_in_the_tests() {
    let tests = [include_str!("doctor.rs"), include_str!("health.rs")].concat();
    let names: BTreeSet<&str> = ovs_plugin::vswitch::doctor::CODES.iter().map(|code| code.name).collect();
    assert_eq!(names.len(), ovs_plugin::vswitch::doctor::CODES.len(), "a code is there twice");
    for name in names {
        assert!(tests.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn severities_are_counted_and_filtered() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.net.addr("e1", "10.0.0.1/24");
    switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": 7}));
    for (severity, expected) in [
        ("error", vec!["interface-broken"]),
        ("warning", vec!["interface-broken", "nic-addresses"]),
        ("note", vec!["interface-broken", "nic-addresses", "vtep-unused"]),
    ] {
        let diagnosis = switch.ok("doctor", json!({"severity": severity}));
        assert_eq!(codes(diagnosis["findings"].as_array().unwrap()), expected, "{severity}");
        let counts = [&diagnosis["errors"], &diagnosis["warnings"], &diagnosis["notes"]];
        assert_eq!(counts, [&json!(1); 3], "{severity}");
    }
    assert!(switch.refused("doctor", json!({"severity": "bad"})).contains("severity"));
}

#[test]
fn an_ovs_vswitchd_that_is_gone_is_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    assert!(switch.ok("show", json!({})).get("problems").is_none());
    switch.stop_vswitchd();
    let finding = only(&switch, "vswitchd-dead");
    // In the picture, too: what it tells of interfaces is from before.
    let picture = switch.ok("show", json!({}));
    assert_eq!(
        picture["problems"],
        json!([{"code": "vswitchd-dead", "severity": "error", "message": finding["message"]}])
    );
}

#[test]
fn an_ovs_vswitchd_that_does_not_answer_is_found() {
    let switch = Switch::new();
    switch.pause_vswitchd();
    let finding = only(&switch, "vswitchd-dead");
    assert!(finding["message"].as_str().unwrap().contains("does not answer"), "{finding}");
}

#[test]
fn a_short_deadline_still_leaves_time_for_the_findings() {
    let switch = Switch::new();
    switch.pause_vswitchd();
    let diagnosis = switch.prepare("doctor", json!({})).env("OVS_PLUGIN_TIMEOUT", "2").run().ok();
    assert_eq!(codes(diagnosis["findings"].as_array().unwrap()), ["vswitchd-dead"]);
}

#[test]
fn of_a_switch_on_another_machine_only_the_database_is_looked_at() {
    if Switch::database_is_in_docker() {
        println!("skipped: the container of the database has a network of its own");
        return;
    }
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.stop_vswitchd();
    let mut add_remote = switch.tool("ovs-appctl");
    output_of({
        add_remote.args(["--target", "ovsdb-server", "ovsdb-server/add-remote", "ptcp:6640:127.0.0.1"]);
        add_remote
    });
    let remote = switch.prepare("doctor", json!({})).env("OVS_PLUGIN_DB", "tcp:127.0.0.1:6640").run().ok();
    assert_eq!(codes(remote["findings"].as_array().unwrap()), ["interface-broken"]);
    let mut local = findings(&switch);
    local.retain(|finding| finding["code"] == "vswitchd-dead");
    assert_eq!(local.len(), 1);
}

#[test]
fn an_ovs_vswitchd_that_answers_and_does_not_apply_is_found() {
    let switch = Switch::new();
    // As if another one were in charge: without its lock it does nothing (ovs-vswitchd(8)).
    let mut thief = UnixStream::connect(switch.database.socket()).unwrap();
    thief.write_all(json!({"id": 1, "method": "steal", "params": ["ovs_vswitchd"]}).to_string().as_bytes()).unwrap();
    let bump = json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]});
    assert!(wait_until(Duration::from_secs(20), || {
        switch.transact(std::slice::from_ref(&bump));
        codes(&findings(&switch)) == ["vswitchd-behind"]
    }));
    drop(thief);
}

#[test]
fn a_database_without_its_row_is_found() {
    let switch = Switch::builder().empty_database().start();
    among(&switch, "database-empty");
}

#[test]
fn a_schema_that_lacks_columns_is_found() {
    let switch = Switch::builder().without_database().start();
    let mut schema: Value = serde_json::from_slice(&std::fs::read(SCHEMA_FILE).unwrap()).unwrap();
    schema["version"] = json!("7.12.1");
    schema["tables"]["Interface"]["columns"].as_object_mut().unwrap().remove("mtu_request");
    let (file, old) = (switch.directory().join("conf.db"), switch.directory().join("old.ovsschema"));
    std::fs::write(&old, schema.to_string()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let mut tool = Command::new("ovsdb-tool");
    output_of({
        tool.env("PATH", search_path()).arg("create").arg(&file).arg(&old);
        tool
    });
    switch.start_database();
    let finding = among(&switch, "schema-old");
    let expected = "schema 7.12.1 has no Interface.mtu_request (an MTU can't be asked for)";
    assert_eq!(finding["message"], expected);
}

#[test]
fn a_bridge_without_its_datapath_is_found_and_its_ports_are_not_listed() {
    let switch = Switch::new();
    let nonsense = json!({"bridge": "br0", "options": {"datapath_type": "nonsense"}, "verify": false});
    switch.ok("bridge-add", nonsense);
    let finding = only(&switch, "datapath-unknown");
    assert_eq!(finding["bridge"], "br0");
    switch.ok("bridge-del", json!({"bridge": "br0"}));

    if Path::new("/sys/module/openvswitch").exists() {
        println!("the kernel has its datapath, so it can't be missing");
        return;
    }
    switch.ok("bridge-add", json!({"bridge": "br1", "options": {"datapath_type": "system"}, "verify": false}));
    assert_eq!(only(&switch, "kernel-module-missing")["bridge"], "br1");
}

#[test]
fn interfaces_that_do_not_work_are_found() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let finding = only(&switch, "interface-broken");
    assert_eq!(
        (&finding["bridge"], &finding["port"], &finding["interface"]),
        (&json!("br0"), &json!("nodev"), &json!("nodev"))
    );
    assert!(finding["message"].as_str().unwrap().contains("there is no network device named nodev"), "{finding}");
    switch.ok("port-del", json!({"port": "nodev"}));

    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let is_e1 = json!([["name", "==", "e1"]]);
    let update = |row: Value| json!({"op": "update", "table": "Interface", "where": is_e1, "row": row});
    // Nobody writes these columns again before something changes.
    switch.transact(&[update(json!({"ofport": ["set", []]}))]);
    only(&switch, "interface-pending");
    switch.transact(&[update(json!({"ofport": 7, "error": "it itches"}))]);
    assert!(only(&switch, "interface-complaint")["message"].as_str().unwrap().contains("it itches"));
}

#[test]
fn names_that_are_longer_than_those_of_devices_are_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    // The commands refuse such names.
    let add = |name: &str, kind: &str| {
        let kind = format!("type={kind}");
        switch.vsctl(&["--no-wait", "add-port", "br0", name, "--", "set", "Interface", name, &kind]);
        // Waits for ovs-vswitchd, and does not mind an interface that can't be set up.
        switch.vsctl(&["set", "Open_vSwitch", ".", &format!("external_ids:added={name}")]);
    };
    add("fifteen-bytes-x", "internal");
    add("sixteen-bytes-ya", "internal");
    let finding = only(&switch, "name-cut");
    assert_eq!(finding["interface"], "sixteen-bytes-ya");
    assert!(finding["message"].as_str().unwrap().ends_with(" is named sixteen-bytes-y"), "{finding}");
    // A second device of that name can't be made.
    add("sixteen-bytes-yb", "internal");
    let message = among(&switch, "interface-broken")["message"].to_string();
    assert!(message.contains("the interface sixteen-bytes-ya has a network device named sixteen-bytes-y"), "{message}");
    assert!(!codes(&findings(&switch)).contains(&"names-alike"));
    switch.vsctl(&["--no-wait", "del-port", "sixteen-bytes-yb"]);
    // A port that takes the first one as a device of the system has what another port has.
    add("sixteen-bytes-yc", "system");
    let message = among(&switch, "names-alike")["message"].to_string();
    assert!(message.contains("sixteen-bytes-ya and sixteen-bytes-yc stand for one network device"), "{message}");
}

#[test]
fn devices_that_are_down_are_found() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.net.run(&["ip", "link", "set", "e1-p", "down"]);
    assert_eq!(eventually(&switch, "interface-no-link")["port"], "e1");
    switch.net.run(&["ip", "link", "set", "e1", "down"]);
    assert_eq!(eventually(&switch, "interface-down")["port"], "e1");
}

#[test]
fn ports_of_dead_containers_are_found() {
    let switch = Switch::builder().veth("cont5-0", "peer").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "cont5-0"}));
    healthy(&switch);
    switch.net.run(&["ip", "link", "del", "cont5-0"]);
    let finding = only(&switch, "container-leftover");
    assert_eq!(finding["port"], "cont5-0");
    follow(&switch, &finding);
    healthy(&switch);
}

#[test]
fn dangling_patch_ports_are_found() {
    let switch = Switch::new();
    for bridge in ["br0", "br1"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    let lone = json!({"bridge": "br0", "port": "p0", "options": {"type": "patch", "options:peer": "p1"}});
    switch.ok("port-add", lone);
    let finding = only(&switch, "patch-no-peer");
    assert_eq!((&finding["bridge"], &finding["port"]), (&json!("br0"), &json!("p0")));

    let third = json!({"bridge": "br1", "port": "p1", "options": {"type": "patch", "options:peer": "p2"}});
    switch.ok("port-add", third);
    let found = findings(&switch);
    assert_eq!(codes(&found).into_iter().collect::<BTreeSet<_>>(), ["patch-no-peer", "patch-peer-elsewhere"].into());

    switch.ok("set", json!({"table": "Interface", "record": "p1", "values": {"options:peer": "p0"}}));
    healthy(&switch);
    let other = json!({"table": "Bridge", "record": "br1", "values": {"datapath_type": "nonsense"}, "verify": false});
    switch.ok("set", other);
    assert_eq!(among(&switch, "patch-datapaths")["port"], "p0");
}

#[test]
fn half_built_vlans_are_found_and_the_advice_completes_them() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let breakages: [&[&str]; 6] = [
        &["del-port", "vlbr5in"],
        &["set", "port", "vlbr5p", "tag=6"],
        &["set", "port", "vlbr5p", "trunks=5"],
        &["set", "interface", "vlbr5p", "options:peer=nothing"],
        &["set", "interface", "vlbr5in", "type=internal"],
        &["set", "port", "vlbr5in", "tag=5"],
    ];
    for breakage in breakages {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
        healthy(&switch);
        switch.vsctl(breakage);
        let finding = only(&switch, "vlan-incomplete");
        assert_eq!(finding["bridge"], "five", "{breakage:?}");
        follow(&switch, &finding);
        healthy(&switch);
    }
    // Without the port on the master nobody knows which one it was.
    switch.vsctl(&["del-port", "vlbr5p"]);
    let finding = only(&switch, "vlan-incomplete");
    assert!(finding["advice"].as_str().unwrap().contains("\"master\": \"MASTER\""), "{finding}");
    switch.ok("vlan-del", json!({"master": "br0", "vlan": 5}));
    healthy(&switch);
    // One that was replaced by another is told, too, and is found under any name.
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.vsctl(&["del-port", "vlbr5p", "--", "del-port", "vlbr5in"]);
    assert_eq!(only(&switch, "vlan-incomplete")["bridge"], "five");
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "other"}));
    let finding = only(&switch, "vlan-incomplete");
    assert_eq!(finding["bridge"], "five");
    assert!(finding["message"].as_str().unwrap().ends_with("is not joined to it: bridge other is"), "{finding}");
    switch.ok("bridge-del", json!({"bridge": "five"}));
    healthy(&switch);
}

#[test]
fn half_built_vxlans_are_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.net.up("br0");
    switch.net.addr("br0", "10.0.0.1/24");
    let ensure = || switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 10001, "name": "net"}));
    ensure();
    eventually_healthy(&switch);

    switch.net.run(&["ip", "link", "set", "vtep10001", "down"]);
    assert_eq!(only(&switch, "vtep-down")["interface"], "vtep10001");
    ensure();
    switch.net.run(&["ip", "link", "set", "br0", "down"]);
    let finding = only(&switch, "vtep-down");
    assert!(finding["message"].as_str().unwrap().contains("runs over br0"), "{finding}");
    switch.net.up("br0");

    switch.net.run(&["ip", "link", "del", "vtep10001"]);
    assert_eq!(only(&switch, "vtep-missing")["bridge"], "net");
    ensure();
    eventually_healthy(&switch);

    switch.ok("port-del", json!({"port": "vtep10001"}));
    let finding = only(&switch, "vxlan-incomplete");
    assert_eq!(finding["bridge"], "net");
    // The device tells over which bridge it runs.
    follow(&switch, &finding);
    eventually_healthy(&switch);

    switch.ok("port-del", json!({"port": "vtep10001"}));
    switch.net.run(&["ip", "link", "del", "vtep10001"]);
    switch.net.run(&["ip", "link", "add", "vtep10001", "up", "type", "veth", "peer", "name", "x"]);
    switch.vsctl(&["add-port", "net", "vtep10001"]);
    assert_eq!(among(&switch, "vtep-wrong")["interface"], "vtep10001");
}

#[test]
fn an_overlay_with_too_small_an_mtu_is_found() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.net.up("br0");
    switch.net.addr("br0", "10.0.0.1/24");
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 10001, "name": "net"}));
    switch.ok("port-add", json!({"bridge": "net", "port": "e1"}));
    switch.net.run(&["ip", "link", "set", "e1", "mtu", "1500"]);
    switch.net.run(&["ip", "link", "set", "br0", "mtu", "1400"]);
    let finding = eventually(&switch, "overlay-mtu");
    assert_eq!((&finding["bridge"], &finding["interface"]), (&json!("net"), &json!("vtep10001")));
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains("1350 bytes") && message.contains("e1 (1500)"), "{message}");
    switch.net.run(&["ip", "link", "set", "e1", "mtu", "1350"]);
    eventually_healthy(&switch);
}

#[test]
fn bonds_that_do_not_work_are_found() {
    let switch = Switch::builder().veth("e2", "f2").veth("e3", "f3").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"], "lacp": true}));
    let finding = eventually(&switch, "bond-no-lacp-partner");
    assert_eq!((&finding["bridge"], &finding["port"]), (&json!("br0"), &json!("bond0")));
    switch.ok("bond-add", json!({"bridge": "br1", "port": "bond1", "links": ["f2", "f3"], "lacp": true}));
    assert!(wait_until(Duration::from_secs(40), || findings(&switch).is_empty()), "{:#?}", findings(&switch));

    switch.net.run(&["ip", "link", "set", "f2", "down"]);
    let finding = eventually(&switch, "bond-member-down");
    assert!(["e2", "f2"].contains(&finding["interface"].as_str().unwrap()), "{finding}");
    switch.net.run(&["ip", "link", "set", "f3", "down"]);
    eventually(&switch, "bond-no-member");
}

#[test]
fn a_vlan_or_a_vni_that_is_there_twice_is_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for bridge in ["a", "b"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
        patch(&switch, ("br0", &format!("to-{bridge}")), (bridge, &format!("from-{bridge}")));
        // Waits for ovs-vswitchd, which then has both ends.
        switch.vsctl(&["set", "port", &format!("to-{bridge}"), "tag=5"]);
    }
    let finding = only(&switch, "vlan-duplicate");
    assert!(finding["message"].as_str().unwrap().ends_with("VLAN 5 of bridge br0 is that of a, b"), "{finding}");
    switch.vsctl(&["set", "port", "to-b", "tag=6"]);
    healthy(&switch);

    for (bridge, remote) in [("a", "127.0.0.2"), ("b", "127.0.0.3")] {
        let (port, remote) = (format!("tun-{bridge}"), format!("options:remote_ip={remote}"));
        let set = ["set", "interface", &port, "type=vxlan", "options:key=77", &remote];
        switch.vsctl(&[&["add-port", bridge, &port, "--"], set.as_slice()].concat());
    }
    let finding = only(&switch, "vni-duplicate");
    assert!(finding["message"].as_str().unwrap().contains("VNI 77 is that of the bridges a, b"), "{finding}");
}

#[test]
fn rings_of_patch_ports_are_found_unless_a_spanning_tree_breaks_them() {
    // A ring that forwards would keep the machine busy.
    let switch = Switch::builder().without_vswitchd().start();
    for bridge in ["a", "b", "c"] {
        switch.vsctl(&["--no-wait", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]);
    }
    patch(&switch, ("a", "ab"), ("b", "ba"));
    patch(&switch, ("b", "bc"), ("c", "cb"));
    let has_ring = || codes(&findings(&switch)).contains(&"loop-risk");
    assert!(!has_ring());
    patch(&switch, ("c", "ca"), ("a", "ac"));
    assert!(has_ring());
    switch.vsctl(&["--no-wait", "set", "port", "ac", "tag=7"]);
    assert!(!has_ring(), "another VLAN is no ring");
    switch.vsctl(&["--no-wait", "remove", "port", "ac", "tag", "7"]);
    assert!(has_ring());
    switch.vsctl(&["--no-wait", "set", "bridge", "a", "rstp_enable=true"]);
    assert!(!has_ring(), "the spanning tree breaks it");
}

#[test]
fn a_port_with_addresses_is_found() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    healthy(&switch);
    switch.net.addr("br0", "10.0.0.1/24");
    healthy(&switch);
    switch.net.addr("e1", "10.0.1.1/24");
    switch.net.addr("e1", "fd00::1/64");
    let finding = only(&switch, "nic-addresses");
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains("10.0.1.1") && message.contains("fd00::1") && !message.contains("fe80"), "{message}");
}

#[test]
fn a_controller_that_is_away_is_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&["set-controller", "br0", "ptcp:0:127.0.0.1"]);
    healthy(&switch);
    switch.vsctl(&["set-controller", "br0", "tcp:127.0.0.1:9"]);
    assert_eq!(only(&switch, "controller-away")["bridge"], "br0");
}

#[test]
fn values_that_open_vswitch_cannot_read_are_found_in_every_table() {
    let switch = Switch::builder().veth("e1", "f1").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.vsctl(&["set-controller", "br0", "ptcp:0:127.0.0.1"]);
    for (row, setting, words, about) in [
        (["Open_vSwitch", "."], "other_config:flow-limit", "Open_vSwitch: other_config:flow-limit", ["", ""]),
        (["Bridge", "br0"], "other_config:stp-priority", "Bridge br0: ", ["br0", ""]),
        (["Port", "e1"], "other_config:bond-miimon-interval", "Port e1: ", ["br0", "e1"]),
        (["Interface", "e1"], "bfd:mult", "Interface e1: bfd:mult", ["br0", "e1"]),
        (["Controller", "br0"], "other_config:dscp", "Controller ptcp:0:127.0.0.1: ", ["", ""]),
    ] {
        switch.vsctl(&["set", row[0], row[1], &format!("{setting}=many")]);
        let finding = only(&switch, "settings-unreadable");
        let message = finding["message"].as_str().unwrap();
        assert!(message.starts_with(words) && message.contains("\"many\" can't be read"), "{finding}");
        let is_about = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or_default();
        assert_eq!([is_about("bridge"), is_about("port")], about, "{finding}");
        let (column, key) = setting.split_once(':').unwrap();
        switch.vsctl(&["remove", row[0], row[1], column, key]);
        healthy(&switch);
    }
}

#[test]
fn settings_that_exclude_each_other_are_found_with_what_would_work() {
    let switch = Switch::builder().veth("e1", "f1").veth("e2", "f2").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 1}));
    for (settings, advice) in [
        (&["trunks=10"][..], "native-untagged"),
        (&["vlan_mode=trunk"], "native-untagged"),
        (&["cvlans=7"], "dot1q-tunnel"),
    ] {
        let undo = ["trunks=[]", "vlan_mode=[]", "cvlans=[]"];
        switch.vsctl(&[&["set", "port", "e1"], settings].concat());
        let finding = only(&switch, "settings-ignored");
        assert_eq!((&finding["bridge"], &finding["port"]), (&json!("br0"), &json!("e1")), "{finding}");
        assert!(finding["message"].as_str().unwrap().contains("ignored by Open vSwitch"), "{finding}");
        assert!(finding["advice"].as_str().unwrap().contains(advice), "{finding}");
        switch.vsctl(&[&["set", "port", "e1"], &undo[..]].concat());
        healthy(&switch);
    }
    switch.vsctl(&["set", "bridge", "br0", "stp_enable=true", "rstp_enable=true"]);
    assert_eq!(among(&switch, "settings-ignored")["bridge"], "br0");
    switch.vsctl(&["set", "bridge", "br0", "stp_enable=false", "rstp_enable=false"]);

    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "f2"]}));
    switch.vsctl(&["set", "port", "bond0", "bond_mode=balance-tcp"]);
    let finding = among(&switch, "settings-broken");
    assert_eq!((&finding["port"], &finding["severity"]), (&json!("bond0"), &json!("error")));
    assert!(finding["advice"].as_str().unwrap().contains("lacp active"), "{finding}");
}
