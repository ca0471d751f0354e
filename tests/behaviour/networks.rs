//! vlan-ensure, vxlan-ensure, vtep-ensure, vtep-del: new, again, refused, and repaired from every partial state.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_bridges() -> Switch {
    let switch = Switch::builder().veth("e1", "a").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch
}

fn next_cfg(switch: &Switch) -> Value {
    switch.database.rows("Open_vSwitch")[0]["next_cfg"].clone()
}

fn refused(switch: &Switch, command: &str, arguments: Value, words: &[&str]) {
    // Every time that it is asked again.
    for _ in 0..2 {
        let message = switch.refused(command, arguments.clone());
        assert!(words.iter().all(|word| message.contains(word)), "{command} {arguments}: {message}");
    }
}

/// The VLAN's bridge is joined to its master, and carries nothing that was not asked for.
fn assert_joined(switch: &Switch, master: &str, vlan: i64, bridge: &str) {
    let state = switch.state();
    let (outer, inner) = (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
    let port = &state["bridges"][master]["ports"][&outer];
    assert_eq!(port["tag"], if vlan == 0 { Value::Null } else { json!(vlan) }, "{port}");
    assert!(port["vlan_mode"].is_null() && port["trunks"].is_null(), "{port}");
    for (bridge, name, peer) in [(master, &outer, &inner), (bridge, &inner, &outer)] {
        let interface = &state["bridges"][bridge]["ports"][name]["interfaces"][name];
        assert_eq!((&interface["type"], &interface["options"]), (&json!("patch"), &json!({"peer": peer})));
        assert_eq!(interface["attached"], json!(true));
    }
    assert!(state["bridges"][bridge]["ports"][&inner]["tag"].is_null());
    assert_eq!(state["bridges"][bridge]["datapath_type"], state["bridges"][master]["datapath_type"]);
}

#[test]
fn a_vlan_that_is_in_place_is_not_touched() {
    let switch = switch_with_bridges();
    for (arguments, bridge) in [
        (json!({"master": "br0", "vlan": 5}), "vlbr5"),
        (json!({"master": "br0", "vlan": "6", "name": "six"}), "six"),
        (json!({"master": "br0"}), "vlbr0"),
        (json!({"master": "six", "vlan": 4094}), "vlbr4094"),
    ] {
        assert_eq!(switch.ok("vlan-ensure", arguments.clone()), json!(bridge));
        assert_joined(
            &switch,
            arguments["master"].as_str().unwrap(),
            arguments["vlan"].as_i64().unwrap_or(if bridge == "six" { 6 } else { 0 }),
            bridge,
        );
        let before = next_cfg(&switch);
        assert_eq!(switch.unchanged_by(|| switch.ok("vlan_ensure", arguments)), json!(bridge));
        assert_eq!(next_cfg(&switch), before, "nothing is written, not even a number");
    }
    assert_eq!(switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 6})), json!("six"));
}

#[test]
fn a_vlan_that_is_tied_elsewhere_or_asked_for_wrongly_is_refused() {
    let switch = switch_with_bridges();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 8, "name": "net"}));
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    for (arguments, words) in [
        (json!({"master": "nobr", "vlan": 5}), &["master bridge nobr does not exist"][..]),
        (json!({"master": "br1", "vlan": 5}), &["VLAN 5", "another master", "br0"]),
        (json!({"master": "br0", "vlan": 5, "name": "six"}), &["VLAN 5", "another bridge", "five"]),
        (json!({"master": "br0", "vlan": 6, "name": "five"}), &["five", "VLAN 5"]),
        (json!({"master": "br0", "vlan": 6, "name": "net"}), &["net", "VXLAN 8"]),
        (json!({"master": "br0", "vlan": 6, "name": "br0"}), &["name", "master"]),
        (json!({"master": "fake7", "vlan": 6, "name": "br0"}), &["name", "master"]),
        (json!({"master": "br0", "vlan": 6, "name": "fake7"}), &["fake7"]),
        (json!({"master": "br0", "vlan": 6, "name": "e1"}), &["a port named e1 already exists on bridge br0"]),
        (json!({"master": "br0", "vlan": 6, "name": "sixteen-bytes-ab"}), &["name", "15 bytes"]),
        (json!({"master": "br0", "vlan": 4095}), &["vlan", "0 to 4094"]),
        (json!({"master": "br0", "vlan": -1}), &["vlan", "0 to 4094"]),
        (json!({"vlan": 5}), &["master", "missing"]),
    ] {
        refused(&switch, "vlan-ensure", arguments, words);
    }
}

#[test]
fn a_vlan_is_repaired_whatever_is_missing_or_wrong() {
    let switch = switch_with_bridges();
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    for damage in [
        &["del-br", "five"][..],
        &["del-port", "br0", "vlbr5p"],
        &["del-port", "five", "vlbr5in"],
        &["del-port", "br0", "vlbr5p", "--", "del-port", "five", "vlbr5in"],
        &["clear", "Port", "vlbr5p", "tag"],
        &["set", "Port", "vlbr5p", "tag=6", "vlan_mode=trunk", "trunks=1,2"],
        &["set", "Port", "vlbr5in", "tag=6"],
        &["set", "Interface", "vlbr5p", "type=internal", "options={}"],
        &["set", "Interface", "vlbr5in", "options:peer=other"],
        &["set", "Bridge", "five", "datapath_type=system"],
    ] {
        switch.vsctl(&[&["--no-wait"][..], damage].concat());
        assert_eq!(
            switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"})),
            json!("five"),
            "{damage:?}"
        );
        assert_joined(&switch, "br0", 5, "five");
    }
}

#[test]
fn a_network_that_lost_its_ports_gets_its_named_bridge_back_and_no_second_one() {
    let switch = switch_with_bridges();
    let bridges = |switch: &Switch| switch.ok("bridge-list", json!({}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "backend"}));
    switch.ok("vxlan-ensure", json!({"master": "br1", "vxlan": 7, "name": "overlay"}));
    let before = bridges(&switch);
    for lost in [&["vlbr5in"][..], &["vlbr5p"], &["vlbr5in", "vlbr5p"]] {
        for port in lost {
            switch.vsctl(&["del-port", port]);
        }
        let dry = switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "dry_run": true}));
        assert_eq!(dry["result"], "backend", "{dry:#}");
        assert_eq!(switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5})), "backend", "{lost:?}");
        assert_joined(&switch, "br0", 5, "backend");
        assert_eq!(bridges(&switch), before);
    }
    switch.vsctl(&["del-port", "vtep7"]);
    assert_eq!(switch.ok("vxlan-ensure", json!({"master": "br1", "vxlan": 7})), "overlay");
    assert_eq!(bridges(&switch), before);

    // Who asks for another bridge gets it, and then it is not clear any more which one was meant.
    for port in ["vlbr5in", "vlbr5p"] {
        switch.vsctl(&["del-port", port]);
    }
    assert_eq!(switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "other"})), "other");
    switch.vsctl(&["del-port", "vlbr5in"]);
    refused(&switch, "vlan-ensure", json!({"master": "br0", "vlan": 5}), &["backend, other", "\"name\""]);

    switch.vsctl(&["del-port", "vtep7"]);
    assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 7})), "overlay");
    assert!(!bridges(&switch).to_string().contains("overlay"));
}

#[test]
fn a_bridge_that_exists_is_joined_unless_others_have_joined_it_elsewhere() {
    let switch = switch_with_bridges();
    switch.ok("bridge-add", json!({"bridge": "mine"}));
    switch.ok("port-add", json!({"bridge": "mine", "port": "e1"}));
    assert_eq!(switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "mine"})), json!("mine"));
    assert_joined(&switch, "br0", 5, "mine");
    let patch = json!({"type": "patch", "options:peer": "q"});
    switch.ok("port-add", json!({"bridge": "br1", "port": "p", "options": patch}));
    refused(&switch, "vlan-ensure", json!({"master": "br0", "vlan": 6, "name": "br1"}), &["br1", "patch port p"]);
}

#[test]
fn a_vxlan_has_a_device_over_its_master_and_is_repaired() {
    let switch = switch_with_bridges();
    let ensure = || switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 300, "name": "net"}));
    assert_eq!(ensure(), json!("net"));
    let whole = switch.state();
    let link = &whole["vxlan_links"]["vtep300"];
    assert_eq!((&link["id"], &link["dev"], &link["group"]), (&json!(300), &json!("br0"), &json!("239.0.0.2")));
    assert_eq!((&link["port"], &link["learning"], &link["up"]), (&json!(8472), &json!(true), &json!(true)));
    assert_eq!(link["mtu"], json!(1450));
    let before = next_cfg(&switch);
    switch.unchanged_by(ensure);
    assert_eq!(next_cfg(&switch), before);
    for damage in [
        &["ip", "link", "del", "vtep300"][..],
        &["ip", "link", "set", "vtep300", "down"],
        &["ovs-vsctl", "--no-wait", "del-port", "vtep300"],
        &["ovs-vsctl", "--no-wait", "del-br", "net"],
    ] {
        match damage {
            ["ovs-vsctl", words @ ..] => drop(switch.vsctl(words)),
            words => drop(switch.net.run(words)),
        }
        assert_eq!(ensure(), json!("net"), "{damage:?}");
        assert_eq!(switch.state(), whole, "{damage:?}");
    }
    assert_eq!(switch.ok("vxlan_ensure", json!({"master": "br0", "vxlan": "300"})), json!("net"));
}

#[test]
fn a_vxlan_that_is_tied_elsewhere_or_asked_for_wrongly_is_refused_and_leaves_no_device() {
    let switch = switch_with_bridges();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 8, "name": "net"}));
    for (arguments, words) in [
        (json!({"master": "nobr", "vxlan": 9}), &["master bridge nobr does not exist"][..]),
        (json!({"master": "br1", "vxlan": 8}), &["VXLAN 8", "another master", "br0"]),
        (json!({"master": "br0", "vxlan": 8, "name": "x"}), &["VXLAN 8", "another bridge", "net"]),
        (json!({"master": "br0", "vxlan": 9, "name": "net"}), &["net", "VXLAN 8"]),
        (json!({"master": "br0", "vxlan": 9, "name": "five"}), &["five", "VLAN 5"]),
        (json!({"master": "br0", "vxlan": 9, "name": "br0"}), &["name", "master"]),
        (json!({"master": "br0", "vxlan": 9, "name": "e1"}), &["a port named e1 already exists"]),
        (json!({"master": "br0", "vxlan": 0}), &["vxlan", "1 to 16777215"]),
        (json!({"master": "br0", "vxlan": 16777216}), &["vxlan", "1 to 16777215"]),
        (json!({"master": "br0"}), &["vxlan", "missing"]),
    ] {
        refused(&switch, "vxlan-ensure", arguments, words);
    }
}

#[test]
fn a_vtep_needs_a_device_below_it_and_no_database() {
    let switch = switch_with_bridges();
    switch.stop_vswitchd();
    switch.stop_database();
    assert_eq!(switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": 42})), json!("vtep42"));
    assert_eq!(switch.ok("vtep-ensure", json!({"bridge": "e1", "vnid": "16777215"})), json!("vtep16777215"));
    let links = switch.net.run(&["ip", "-d", "link", "show", "vtep16777215"]);
    assert!(links.contains("group 239.1.0.0") && links.contains("dev e1"), "{links}");
    let fail = |command: &str, arguments: Value| switch.plugin(command, arguments).failed();
    assert!(fail("vtep-ensure", json!({"bridge": "br1", "vnid": 42})).contains("over br0, not over br1"));
    assert!(fail("vtep-ensure", json!({"bridge": "nodev", "vnid": 43})).contains("nodev"));
    assert!(fail("vtep-ensure", json!({"bridge": "br0", "vnid": 0})).contains("1 to 16777215"));
    switch.net.run(&["ip", "link", "add", "vtep7", "type", "veth", "peer", "name", "vtep7p"]);
    assert!(fail("vtep-ensure", json!({"bridge": "br0", "vnid": 7})).contains("veth"));
    assert!(fail("vtep-del", json!({"vnid": 7})).contains("veth"));
    assert!(switch.net.has_link("vtep7"));
    // Another device has the VNI: looking again would not help, and the kernel's words are told.
    switch.net.run(&[
        "ip",
        "link",
        "add",
        "other",
        "type",
        "vxlan",
        "id",
        "9",
        "group",
        "239.0.0.1",
        "dev",
        "br0",
        "dstport",
        "8472",
    ]);
    assert!(fail("vtep-ensure", json!({"bridge": "br0", "vnid": 9})).contains("VNI"));
    switch.ok("vtep-del", json!({"vnid": 42}));
    assert!(fail("vtep-del", json!({"vnid": 42})).contains("vtep42"));
}
