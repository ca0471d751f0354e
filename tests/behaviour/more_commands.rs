//! What the original lacks: settings of ports as arguments, port-set, bonds that change, deletion of networks, lists.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn port(switch: &Switch, name: &str) -> Value {
    switch.state()["bridges"]["br0"]["ports"][name].clone()
}

#[test]
fn port_add_takes_vlans_mtu_and_maps_as_arguments() {
    let switch = switch_with_bridge();
    let arguments = json!({
        "bridge": "br0", "port": "e1", "vlan": "5", "trunks": [1, "3-4", "7"], "vlan_mode": "native-untagged",
        "mtu": 1400, "external_ids": {"owner": "me", "n": 7}, "other_config": {"priority-tags": true},
    });
    switch.ok("port-add", arguments);
    let found = port(&switch, "e1");
    assert_eq!(found["tag"], json!(5));
    assert_eq!(found["trunks"], json!([1, 3, 4, 7]));
    assert_eq!(found["vlan_mode"], json!("native-untagged"));
    assert_eq!(found["external_ids"], json!({"owner": "me", "n": "7"}));
    assert_eq!(found["other_config"], json!({"priority-tags": "true"}));
    let interface = &found["interfaces"]["e1"];
    assert_eq!((&interface["mtu_request"], &interface["external_ids"]["owner"]), (&json!(1400), &json!("me")));
    for (wrong, words) in [
        (json!({"trunks": [4096]}), ["trunks", "4096"]),
        (json!({"trunks": ["9-3"]}), ["trunks", "9-3"]),
        (json!({"vlan_mode": "hybrid"}), ["vlan_mode", "hybrid"]),
        (json!({"mtu": -1}), ["mtu", "-1"]),
        (json!({"external_ids": ["a"]}), ["external_ids", "object"]),
        (json!({"vlan": 4096}), ["vlan", "4096"]),
    ] {
        let mut arguments = wrong;
        arguments["bridge"] = json!("br0");
        arguments["port"] = json!("e2");
        let message = switch.refused("port-add", arguments);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn port_set_changes_what_it_names_and_clears_what_is_zero_or_empty() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5, "mtu": 1400, "external_ids": {"a": "1"}}));
    switch.ok("port-set", json!({"port": "e1", "trunks": [1, 2], "external_ids": {"b": "2"}, "bridge": "br0"}));
    let found = port(&switch, "e1");
    assert_eq!((&found["tag"], &found["trunks"]), (&json!(5), &json!([1, 2])));
    assert_eq!(found["external_ids"], json!({"a": "1", "b": "2"}));
    switch.ok("port-set", json!({"port": "e1", "vlan": 0, "trunks": [], "mtu": 0}));
    let found = port(&switch, "e1");
    assert!(found["tag"].is_null() && found["trunks"].is_null(), "{found}");
    assert!(found["interfaces"]["e1"]["mtu_request"].is_null());
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    for (arguments, word) in [
        (json!({"port": "e1"}), "nothing to set"),
        (json!({"port": "nope", "vlan": 1}), "no port named nope"),
        (json!({"port": "e1", "bridge": "br1", "vlan": 1}), "br0"),
    ] {
        let message = switch.refused("port-set", arguments);
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_bond_has_its_settings_and_its_members_are_up() {
    let switch = switch_with_bridge();
    switch.net.run(&["ip", "link", "set", "e1", "down"]);
    let bond = json!({
        "bridge": "br0", "port": "bond0", "links": ["e1", "e2"], "mode": "balance-tcp", "lacp": true,
        "lacp_time": "fast", "lacp_fallback": true, "bond_updelay": 100, "bond_downdelay": "200", "primary": "e2",
    });
    switch.ok("bond-add", bond.clone());
    let found = port(&switch, "bond0");
    assert_eq!((&found["bond_mode"], &found["lacp"]), (&json!("balance-tcp"), &json!("active")));
    assert_eq!((&found["bond_updelay"], &found["bond_downdelay"]), (&json!(100), &json!(200)));
    let config = json!({"lacp-time": "fast", "lacp-fallback-ab": "true", "bond-primary": "e2"});
    assert_eq!(found["other_config"], config);
    assert!(switch.net.run(&["ip", "link", "show", "e1"]).contains(",UP"));

    let message = switch.refused("bond-add", bond);
    assert!(message.contains("same members"), "{message}");
    let message = switch.refused("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    assert!(message.contains("bond0") && !message.contains("same members"), "{message}");
}

#[test]
fn balance_tcp_without_lacp_is_refused_however_it_is_asked_for() {
    let switch = switch_with_bridge();
    let bond = |more: Value| {
        let mut bond = json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]});
        bond.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bond
    };
    for more in [
        json!({"mode": "balance-tcp"}),
        json!({"options": {"bond_mode": "balance-tcp"}}),
        json!({"mode": "balance-tcp", "options": {"lacp": "off"}}),
    ] {
        let message = switch.refused("bond-add", bond(more));
        assert!(message.contains("LACP"), "{message}");
    }
    let message = switch.refused("bond-add", bond(json!({"primary": "e3"})));
    assert!(message.contains("primary") && message.contains("e3"), "{message}");
    switch.ok("bond-add", bond(json!({"mode": "balance-tcp", "options": {"lacp": "passive"}})));
}

#[test]
fn members_come_and_go() {
    let switch = switch_with_bridge();
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]}));
    switch.ok("bond-member-add", json!({"port": "bond0", "link": "e3"}));
    switch.ok("bond-member-del", json!({"port": "bond0", "link": "e1", "bridge": "br0"}));
    let members =
        |switch: &Switch| port(switch, "bond0")["interfaces"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&switch), ["e2", "e3"]);
    for (command, arguments, word) in [
        ("bond-member-del", json!({"port": "bond0", "link": "e2"}), "force"),
        ("bond-member-del", json!({"port": "bond0", "link": "e1"}), "e2, e3"),
        ("bond-member-add", json!({"port": "bond0", "link": "e2"}), "e2"),
        ("bond-member-add", json!({"port": "bond0", "link": "nodev"}), "No such device"),
        ("bond-member-add", json!({"port": "nope", "link": "e1"}), "no port named nope"),
    ] {
        let message = switch.refused(command, arguments);
        assert!(message.contains(word), "{command}: {message}");
    }
    switch.ok("bond-member-del", json!({"port": "bond0", "link": "e2", "force": true}));
    let message = switch.refused("bond-member-del", json!({"port": "bond0", "link": "e3", "force": true}));
    assert!(message.contains("only"), "{message}");
    let message = switch.refused("bond-del", json!({"port": "bond0"}));
    assert!(message.contains("port-del"), "{message}");
    switch.ok("bond-member-add", json!({"port": "bond0", "link": "e1"}));
    switch.ok("bond-del", json!({"port": "bond0"}));
    assert!(port(&switch, "bond0").is_null());
}

#[test]
fn lists_are_those_of_ovs_vsctl() {
    let switch = switch_with_bridge();
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 7}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 9}));
    let lines = |text: String| text.lines().map(|line| json!(line)).collect::<Vec<_>>();
    let bridges = switch.ok("bridge-list", json!({}));
    assert_eq!(bridges, json!(lines(switch.vsctl(&["list-br"]))));
    for bridge in bridges.as_array().unwrap() {
        let name = bridge.as_str().unwrap();
        let ports = switch.ok("port-list", json!({"bridge": name}));
        assert_eq!(ports, json!(lines(switch.vsctl(&["list-ports", name]))), "{name}");
    }
    assert!(switch.refused("port-list", json!({"bridge": "nobr"})).contains("nobr"));
}

#[test]
fn version_tells_of_plugin_and_schema_and_what_the_database_knows() {
    let switch = Switch::new();
    switch.vsctl(&[
        "--no-wait",
        "set",
        "Open_vSwitch",
        ".",
        "ovs_version=3.1.0",
        "system_type=zos",
        "system_version=7",
    ]);
    let versions = switch.ok("version", json!({}));
    assert_eq!(versions["plugin"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!((&versions["ovs"], &versions["system"]), (&json!("3.1.0"), &json!("zos 7")));
    assert!(versions["schema"].as_str().unwrap().starts_with("8."));
}

#[test]
fn a_vlan_and_a_vxlan_go_whole_and_can_come_again() {
    let switch = switch_with_bridge();
    let before = switch.dump();
    for _ in 0..2 {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
        assert_eq!(switch.ok("vlan-del", json!({"master": "br0", "vlan": 5})), json!("five"));
        assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 6, "master": "br0"})), json!("vxlbr6"));
        assert!(!switch.net.has_link("vtep6"));
        assert_eq!(switch.state()["bridges"].as_object().unwrap().len(), 1);
    }
    assert_eq!(before.as_object().unwrap().len(), switch.dump().as_object().unwrap().len());
    assert!(switch.refused("vlan-del", json!({"master": "br0", "vlan": 5})).contains("VLAN 5"));
    assert!(switch.refused("vxlan-del", json!({"vxlan": 6})).contains("VXLAN 6"));
}

#[test]
fn a_network_with_ports_of_others_goes_only_by_force() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
    switch.ok("port-add", json!({"bridge": "vlbr5", "port": "e1"}));
    switch.ok("port-add", json!({"bridge": "vxlbr6", "port": "e2"}));
    for (command, arguments, words) in [
        ("vlan-del", json!({"master": "br0", "vlan": 5}), ["e1", "force"]),
        ("vxlan-del", json!({"vxlan": 6}), ["e2", "force"]),
        ("vlan-del", json!({"master": "br1", "vlan": 5, "force": true}), ["br0", "br1"]),
        ("vxlan-del", json!({"vxlan": 6, "master": "br1", "force": true}), ["br0", "br1"]),
        ("vlan-del", json!({"master": "br0", "vlan": 5, "name": "x", "force": true}), ["vlbr5", "x"]),
    ] {
        let message = switch.refused(command, arguments);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    switch.ok("vlan-del", json!({"master": "br0", "vlan": 5, "force": true}));
    switch.ok("vxlan-del", json!({"vxlan": 6, "force": true}));
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0", "br1"]));
}

#[test]
fn what_the_original_made_is_recognised_by_its_names() {
    let switch = switch_with_bridge();
    for words in [
        &["add-br", "vlbr5", "--", "set", "Bridge", "vlbr5", "datapath_type=netdev"][..],
        &[
            "add-port",
            "br0",
            "vlbr5p",
            "tag=5",
            "--",
            "set",
            "Interface",
            "vlbr5p",
            "type=patch",
            "options:peer=vlbr5in",
        ],
        &["add-port", "vlbr5", "vlbr5in", "--", "set", "Interface", "vlbr5in", "type=patch", "options:peer=vlbr5p"],
    ] {
        switch.vsctl(words);
    }
    let again = switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "report": true}));
    assert_eq!(again["changed"], json!(false), "{again}");
    assert_eq!(switch.ok("vlan-del", json!({"master": "br0", "vlan": 5})), json!("vlbr5"));
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0"]));

    // Where a bridge can't be set up, ovs-vsctl fails since Open vSwitch 3.6.
    let settings = ["datapath_type=netdev", "external_ids:ovs-plugin=bridge"];
    switch.vsctl(&[&["add-br", "vlbr6", "--", "set", "Bridge", "vlbr6"], &settings[..]].concat());
    assert!(switch.refused("vlan-del", json!({"master": "br0", "vlan": 6})).contains("VLAN 6"));
}

#[test]
fn what_the_plugin_makes_is_marked() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
    for (table, name, mark) in [
        ("Bridge", "br0", "bridge"),
        ("Interface", "br0", "bridge"),
        ("Port", "e1", "port"),
        ("Port", "bond0", "bond"),
        ("Interface", "e2", "bond"),
        ("Bridge", "vlbr5", "\"vlan:5\""),
        ("Port", "vlbr5p", "\"vlan:5\""),
        ("Port", "vtep6", "\"vxlan:6\""),
    ] {
        let found = switch.vsctl(&["get", table, name, "external_ids:ovs-plugin"]);
        assert_eq!(found.trim(), mark, "{table} {name}");
    }
}
