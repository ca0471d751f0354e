//! bridge-add and bridge-del.

use serde_json::json;

use super::support::Switch;

fn names(switch: &Switch) -> Vec<String> {
    switch.state()["bridges"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_bridge_is_a_network_device_and_has_the_default_datapath_type_unless_told_otherwise() {
    let switch = Switch::new();
    assert!(switch.ok("bridge-add", json!({"bridge": "br0"})).is_null());
    assert!(switch.net.has_link("br0"));
    let state = switch.state();
    assert_eq!(state["bridges"]["br0"]["datapath_type"], json!("netdev"));
    assert_eq!(state["bridges"]["br0"]["ports"]["br0"]["interfaces"]["br0"]["type"], json!("internal"));
    let other = switch.prepare("bridge-add", json!({"bridge": "br1", "options": {"datapath_type": "netdev"}}));
    other.env("OVS_PLUGIN_DATAPATH_TYPE", "system").run().ok();
    assert!(switch.net.has_link("br1"));
}

#[test]
fn a_name_that_is_taken_is_refused_whoever_has_it() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").veth("e3", "c").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    for (name, words) in [
        ("br0", "a bridge named br0 already exists"),
        ("e1", "a port named e1 already exists on bridge br0"),
        ("bond0", "a port named bond0 already exists on bridge br0"),
        ("e2", "an interface named e2 already exists on bridge br0 (in port bond0)"),
        ("fake7", "a bridge named fake7 already exists"),
    ] {
        let message = switch.refused("bridge-add", json!({"bridge": name}));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_wrong_option_makes_no_bridge() {
    let switch = Switch::new();
    for (options, words) in [
        (json!({"nosuch": 1}), ["options", "nosuch"]),
        (json!({"stp": true, "fail_mode": "safe"}), ["safe", "standalone"]),
        (json!({"tag": 5}), ["Bridge", "tag"]),
        (json!({"name": "other"}), ["read-only", "name"]),
        (json!({"stp_enable": "maybe"}), ["maybe", "boolean"]),
        (json!({"stp_enable": {}}), ["stp_enable", "string"]),
    ] {
        let message = switch.refused("bridge-add", json!({"bridge": "br0", "options": options}));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let options =
        json!({"stp_enable": "yes", "other_config:a": "b c", "protocols": "OpenFlow10,OpenFlow13", "flood_vlans": 5});
    switch.ok("bridge-add", json!({"bridge": "br0", "options": options}));
    let bridge = &switch.state()["bridges"]["br0"];
    assert_eq!((&bridge["stp_enable"], &bridge["other_config"]), (&json!(true), &json!({"a": "b c"})));
    assert_eq!((&bridge["protocols"], &bridge["flood_vlans"]), (&json!(["OpenFlow10", "OpenFlow13"]), &json!([5])));
}

#[test]
fn names_that_linux_cannot_hold_are_refused_before_anything_is_written() {
    let switch = Switch::new();
    for name in ["", "sixteen-bytes-ab", "a/b", "a b", "a\tb", ".", "..", "a%d", "br\u{7}"] {
        let message = switch.refused("bridge-add", json!({"bridge": name}));
        assert!(message.contains("bridge") && message.contains("expected"), "{message}");
    }
}

#[test]
fn the_root_row_of_an_empty_database_is_made() {
    let switch = Switch::builder().empty_database().start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    assert_eq!(switch.database.rows("Open_vSwitch").len(), 1);
    assert_eq!(names(&switch), ["br0"]);
}

#[test]
fn a_bridge_goes_with_its_ports_and_the_patch_ports_that_pointed_into_it() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 6}));
    switch.ok("port-add", json!({"bridge": "five", "port": "e2"}));
    assert_eq!(switch.ok("bridge-del", json!({"bridge": "five"})), json!(""));
    assert_eq!(names(&switch), ["br0", "vlbr6"]);
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["e1", "vlbr6p"]));
    assert!(!switch.net.has_link("five"));
    switch.ok("bridge-del", json!({"bridge": "br0"}));
    assert_eq!(switch.ok("port-list", json!({"bridge": "vlbr6"})), json!([]));
    assert!(switch.refused("bridge-del", json!({"bridge": "br0"})).contains("no bridge named br0"));
    assert!(switch.refused("bridge-del", json!({"bridge": "--help"})).contains("--help"));
}

#[test]
fn a_master_of_many_vlans_leaves_no_patch_port_behind() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for vlan in 1..=40 {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": vlan}));
    }
    assert_eq!(switch.database.rows("Port").len(), 1 + 40 * 3);
    switch.ok("bridge-del", json!({"bridge": "br0"}));
    assert_eq!(switch.database.rows("Port").len(), 40, "each VLAN's bridge keeps its local port only");
}

#[test]
fn a_bridge_that_is_sampled_goes_with_its_sampling() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&[
        "--id=@b",
        "get",
        "Bridge",
        "br0",
        "--",
        "create",
        "Flow_Sample_Collector_Set",
        "id=1",
        "bridge=@b",
    ]);
    switch.ok("bridge-del", json!({"bridge": "br0"}));
    assert!(switch.database.rows("Bridge").is_empty());
    switch.ok("bridge-add", json!({"bridge": "br0"}));
}

#[test]
fn a_vlan_bridge_of_ovs_vsctl_goes_with_the_ports_of_its_vlan() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    switch.ok("port-add", json!({"bridge": "fake7", "port": "e1"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    switch.ok("bridge-del", json!({"bridge": "fake7"}));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["e2"]));
}

#[test]
fn what_would_not_be_on_a_vlan_bridge_of_ovs_vsctl_is_refused_or_told() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&["add-br", "seven", "br0", "7"]);
    let message = switch.refused("port-set", json!({"port": "seven", "vlan": 0}));
    assert!(message.contains("port seven is the VLAN bridge seven of ovs-vsctl itself"), "{message}");
    let on_parent = "so it is on bridge br0 and not on the VLAN bridge seven of ovs-vsctl, which is VLAN 7";
    for (command, arguments) in [
        ("vlan-ensure", json!({"master": "seven", "vlan": 8})),
        ("port-add", json!({"bridge": "seven", "port": "e1", "vlan": 8})),
        ("port-add", json!({"bridge": "seven", "port": "e1", "options": {"port.tag": 8}})),
        ("bond-add", json!({"bridge": "seven", "port": "b0", "links": ["e1", "e2"], "options": {"tag": 8}})),
    ] {
        let mut dry = arguments.clone();
        dry["dry_run"] = json!(true);
        let report = switch.ok(command, dry);
        assert!(report["notes"].to_string().contains(on_parent), "{arguments}: {report:#}");
    }
    let report = switch.ok("port-add", json!({"bridge": "seven", "port": "e1", "vlan": 7, "report": true}));
    assert_eq!(report["notes"], json!([]));
    switch.ok("port-set", json!({"port": "e1", "bridge": "seven", "vlan": 7, "trunks": []}));
    let message = switch.refused("port-set", json!({"port": "e1", "bridge": "seven", "vlan": 0}));
    assert!(message.contains("takes port e1 away from the VLAN bridge seven"), "{message}");
    let report = switch.ok("port-set", json!({"port": "e1", "vlan": 0, "report": true}));
    assert!(
        report["notes"][0].as_str().unwrap().contains("takes port e1 away from the VLAN bridge seven"),
        "{report:#}"
    );
}
