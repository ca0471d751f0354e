//! port-add and port-set, argument by argument, and the lists as ovs-vsctl gives them.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn port(switch: &Switch, name: &str) -> Value {
    switch.state()["bridges"]["br0"]["ports"][name].clone()
}

/// Arguments for a port of br0, and more of them.
fn of(port: &str, more: Value) -> Value {
    let mut arguments = json!({"bridge": "br0", "port": port});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

#[test]
fn trunks_are_ids_strings_and_ranges_in_any_order_and_may_overlap() {
    let switch = switch_with_bridge();
    for (trunks, expected) in [
        (json!([]), Value::Null),
        (json!([0]), json!([0])),
        (json!([4095]), json!([4095])),
        (json!(["5"]), json!([5])),
        (json!(["10-12"]), json!([10, 11, 12])),
        (json!(["7-7"]), json!([7])),
        (json!([30, "10-12", "11-13", 12, "2"]), json!([2, 10, 11, 12, 13, 30])),
        (json!(["0-4095"]), (0..=4095).collect::<Value>()),
    ] {
        switch.ok("port-add", of("e1", json!({"trunks": trunks})));
        assert_eq!(port(&switch, "e1")["trunks"], expected, "{trunks}");
        switch.ok("port-del", json!({"port": "e1"}));
    }
}

#[test]
fn trunks_that_are_none_are_refused_with_what_was_given() {
    let switch = switch_with_bridge();
    switch.ok("port-add", of("e2", json!({"trunks": [1]})));
    for (trunks, word) in [
        (json!([4096]), "4096"),
        (json!([-1]), "-1"),
        (json!([1.5]), "1.5"),
        (json!(["9-3"]), "9-3"),
        (json!(["1-4096"]), "1-4096"),
        (json!(["-5"]), "-5"),
        (json!(["5-"]), "5-"),
        (json!(["1-2-3"]), "1-2-3"),
        (json!([" 1"]), " 1"),
        (json!([""]), "\"\""),
        (json!([true]), "true"),
        (json!([[1]]), "[1]"),
        (json!(7), "7"),
        (json!("1-3"), "1-3"),
        (json!({"1": 2}), "list"),
    ] {
        for (command, name) in [("port-add", "e1"), ("port-set", "e2")] {
            let message = switch.refused(command, of(name, json!({"trunks": trunks})));
            assert!(message.contains("\"trunks\"") && message.contains(word), "{message}");
        }
    }
}

#[test]
fn each_vlan_mode_is_stored_and_others_are_refused_with_the_list() {
    let switch = switch_with_bridge();
    let modes = ["access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"];
    switch.ok("port-add", of("e2", json!({})));
    for mode in modes {
        // A trunk has no VLAN of its own.
        let vlan = if mode == "trunk" { 0 } else { 5 };
        switch.ok("port-add", of("e1", json!({"vlan": vlan, "vlan_mode": mode})));
        assert_eq!(port(&switch, "e1")["vlan_mode"], mode);
        switch.ok("port-del", json!({"port": "e1"}));
        switch.ok("port-set", json!({"port": "e2", "vlan_mode": mode}));
        assert_eq!(port(&switch, "e2")["vlan_mode"], mode);
    }
    for wrong in [json!("hybrid"), json!("Access"), json!("native_tagged"), json!(""), json!(1)] {
        let message = switch.refused("port-add", of("e1", json!({"vlan_mode": wrong})));
        assert!(message.contains("\"vlan_mode\""), "{message}");
    }
    let message = switch.refused("port-add", of("e1", json!({"vlan_mode": "hybrid"})));
    assert!(modes.iter().all(|mode| message.contains(mode)), "{message}");
}

#[test]
fn the_mtu_that_is_asked_for_is_that_of_the_device() {
    let switch = switch_with_bridge();
    let mtu = |device: &str| switch.dump()["links"][device]["mtu"].clone();
    switch.ok("port-add", of("e1", json!({"mtu": 1400})));
    assert_eq!(mtu("e1"), 1400);
    switch.ok("port-add", of("in1", json!({"mtu": "1350", "options": {"type": "internal"}})));
    assert_eq!(mtu("in1"), 1350);
    switch.ok("port-set", json!({"port": "e1", "mtu": 9000}));
    assert_eq!(mtu("e1"), 9000);
    switch.ok("port-set", json!({"port": "e1", "mtu": 0}));
    assert!(port(&switch, "e1")["interfaces"]["e1"]["mtu_request"].is_null());
    switch.ok("port-add", of("e2", json!({"mtu": 0})));
    assert!(port(&switch, "e2")["interfaces"]["e2"]["mtu_request"].is_null());
    for wrong in [json!(-1), json!(65536), json!(1.5), json!("many"), json!(true), json!([])] {
        let message = switch.refused("port-set", json!({"port": "e1", "mtu": wrong}));
        assert!(message.contains("\"mtu\"") && message.contains("65535"), "{message}");
    }
}

#[test]
fn external_ids_are_on_port_and_interface_and_other_config_on_the_port() {
    let switch = switch_with_bridge();
    let ids = json!({"owner": "me", "number": 7, "flag": true, "with: all=signs,{}[]\"": "a b\\c", "empty": ""});
    let stored = json!({"owner": "me", "number": "7", "flag": "true", "with: all=signs,{}[]\"": "a b\\c", "empty": ""});
    switch.ok("port-add", of("e1", json!({"external_ids": ids, "other_config": ids})));
    let found = port(&switch, "e1");
    assert_eq!((&found["external_ids"], &found["other_config"]), (&stored, &stored));
    let interface = &found["interfaces"]["e1"];
    assert_eq!((&interface["external_ids"], &interface["other_config"]), (&stored, &Value::Null));
    for argument in ["external_ids", "other_config"] {
        for wrong in [json!([]), json!("a=b"), json!(1), json!({"a": []}), json!({"a": {}}), json!({"a": null})] {
            let message = switch.refused("port-add", of("e2", json!({ argument: wrong })));
            assert!(message.contains(argument), "{message}");
        }
    }
}

#[test]
fn options_come_after_the_arguments_and_reach_both_rows() {
    let switch = switch_with_bridge();
    let options = json!({"mtu_request": 1300, "port.tag": 9, "port.other_config:a": "2", "external_ids:a": "3"});
    let arguments = json!({"vlan": 5, "mtu": 1400, "other_config": {"a": "1"}, "external_ids": {"a": "1"}});
    let mut arguments = of("e1", arguments);
    arguments["options"] = options;
    switch.ok("port-add", arguments);
    let found = port(&switch, "e1");
    assert_eq!((&found["tag"], &found["other_config"]), (&json!(9), &json!({"a": "2"})));
    assert_eq!(found["external_ids"], json!({"a": "1"}));
    let interface = &found["interfaces"]["e1"];
    assert_eq!((&interface["mtu_request"], &interface["external_ids"]), (&json!(1300), &json!({"a": "3"})));
}

#[test]
fn port_set_changes_each_field_alone() {
    let switch = switch_with_bridge();
    let first = json!({"vlan": 5, "trunks": [1], "vlan_mode": "native-tagged", "mtu": 1400,
                       "external_ids": {"a": "1"}, "other_config": {"a": "1"}});
    switch.ok("port-add", of("e1", first));
    let mut expected = port(&switch, "e1");
    for (setting, path, value) in [
        (json!({"vlan": 6}), "/tag", json!(6)),
        (json!({"trunks": ["2-3"]}), "/trunks", json!([2, 3])),
        (json!({"vlan_mode": "native-untagged"}), "/vlan_mode", json!("native-untagged")),
        (json!({"mtu": 1450}), "/interfaces/e1/mtu_request", json!(1450)),
        (json!({"other_config": {"b": "2"}}), "/other_config", json!({"a": "1", "b": "2"})),
        (json!({"other_config": {"a": "3"}}), "/other_config", json!({"a": "3", "b": "2"})),
        (json!({"options": {"port.tag": 7}}), "/tag", json!(7)),
        (json!({"options": {"mtu_request": 1350}}), "/interfaces/e1/mtu_request", json!(1350)),
    ] {
        switch.ok("port-set", of("e1", setting.clone()));
        *expected.pointer_mut(path).unwrap() = value;
        assert_eq!(port(&switch, "e1"), expected, "{setting}");
    }
    switch.ok("port-set", json!({"port": "e1", "external_ids": {"b": "2"}}));
    let found = port(&switch, "e1");
    assert_eq!(found["external_ids"], json!({"a": "1", "b": "2"}));
    assert_eq!(found["interfaces"]["e1"]["external_ids"], json!({"a": "1", "b": "2"}));

    switch
        .ok("port-set", json!({"port": "e1", "vlan": 0, "trunks": [], "mtu": 0, "options": {"port.vlan_mode": "[]"}}));
    let found = port(&switch, "e1");
    for cleared in ["/tag", "/trunks", "/vlan_mode", "/interfaces/e1/mtu_request"] {
        assert!(found.pointer(cleared).is_none(), "{found}");
    }
}

#[test]
fn port_set_of_a_bond_applies_to_all_members() {
    let switch = switch_with_bridge();
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]}));
    switch.ok("port-set", json!({"port": "bond0", "vlan": 4, "mtu": 1400, "external_ids": {"a": "b"}}));
    let found = port(&switch, "bond0");
    assert_eq!((&found["tag"], &found["external_ids"]), (&json!(4), &json!({"a": "b"})));
    for member in ["e1", "e2"] {
        let expected = json!({"attached": true, "mtu_request": 1400, "external_ids": {"a": "b"}});
        assert_eq!(found["interfaces"][member], expected);
        assert_eq!(switch.dump()["links"][member]["mtu"], 1400);
    }
}

#[test]
fn port_set_refuses_what_it_cannot_mean() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("port-add", of("e1", json!({})));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e2-p"]}));
    for (arguments, words) in [
        (json!({"port": "e1"}), "nothing to set"),
        (json!({"port": "e1", "bridge": "br0", "options": {}}), "nothing to set"),
        (json!({"vlan": 5}), "\"port\": is missing"),
        (json!({"port": "e1", "vlan": 4096}), "4096 is not a whole number from 0 to 4095"),
        (json!({"port": "nope", "vlan": 5}), "no port named nope"),
        // A member is an interface, not a port.
        (json!({"port": "e2", "vlan": 5}), "no port named e2"),
        (json!({"port": "e1", "bridge": "br1", "vlan": 5}), "bridge br1 does not have a port e1 (it is on bridge br0)"),
        (json!({"port": "e1", "bridge": "nobr", "vlan": 5}), "no bridge named nobr"),
        (json!({"port": "e1", "options": {"port.no_such": "1"}}), "no_such"),
        (json!({"port": "e1", "options": {"no_such": "1"}}), "no_such"),
        (json!({"port": "e1", "vlan": 5, "options": {"port.tag": "9999"}}), "9999"),
    ] {
        let message = switch.refused("port-set", arguments);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn lists_are_those_of_ovs_vsctl_for_real_and_fake_bridges_and_bonds() {
    let switch = switch_with_bridge();
    let lines = |text: String| text.lines().map(|line| json!(line)).collect::<Value>();
    assert_eq!(Switch::new().ok("bridge-list", json!({})), json!([]));
    switch.net.veth("e3", "e3-p");
    switch.net.veth("e4", "e4-p");
    // Byte order is not that of a dictionary.
    for bridge in ["Zbr", "abr", "_br", "br10", "br9"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    switch.vsctl(&["add-br", "fake0", "br0", "0"]);
    switch.vsctl(&["add-port", "fake7", "e1"]);
    switch.vsctl(&["add-port", "br0", "e2", "tag=8"]);
    switch.ok("bond-add", json!({"bridge": "br9", "port": "bond0", "links": ["e3", "e4"]}));
    switch.ok("port-add", of("e1-p", json!({"vlan": 7})));
    switch.ok("port-add", of("e2-p", json!({"vlan": 0})));
    // A port that says it is a fake bridge but has no VLAN is none.
    switch.vsctl(&["add-port", "br10", "e3-p", "--", "set", "Port", "e3-p", "fake_bridge=true"]);
    let bridges = switch.ok("bridge-list", json!({}));
    assert_eq!(bridges, lines(switch.vsctl(&["list-br"])));
    for bridge in bridges.as_array().unwrap() {
        let name = bridge.as_str().unwrap();
        let ports = switch.ok("port-list", json!({"bridge": name}));
        assert_eq!(ports, lines(switch.vsctl(&["list-ports", name])), "{name}");
    }
    for wrong in ["nobr", "e1", "bond0", "BR0"] {
        assert_eq!(switch.refused("port-list", json!({"bridge": wrong})), format!("no bridge named {wrong}"));
    }
}

#[test]
fn version_tells_null_where_nobody_has_said() {
    let switch = Switch::new();
    for column in ["ovs_version", "dpdk_version", "system_type", "system_version"] {
        switch.vsctl(&["--no-wait", "clear", "Open_vSwitch", ".", column]);
    }
    let versions = switch.ok("version", json!({}));
    for key in ["ovs", "dpdk", "system"] {
        assert_eq!(versions[key], Value::Null, "{versions}");
    }
    let schema = switch.database.request("get_schema", json!(["Open_vSwitch"])).unwrap();
    assert_eq!(versions["schema"], schema["version"]);
    switch.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "system_type=zos", "dpdk_version=\"DPDK 22.11.1\""]);
    let versions = switch.ok("version", json!({}));
    assert_eq!((&versions["system"], &versions["dpdk"]), (&json!("zos"), &json!("DPDK 22.11.1")));

    let empty = Switch::builder().empty_database().start();
    assert_eq!(empty.ok("version", json!({}))["system"], Value::Null);
}
