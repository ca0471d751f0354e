//! dry_run and report beyond the ordinary: refusals, races, a switch that does not run, and what the answer is made of.

use serde_json::{Value, json};

use super::support::Switch;
use super::verify::with_change_before_write;

fn with(arguments: &Value, flags: &[&str]) -> Value {
    let mut arguments = arguments.clone();
    for flag in flags {
        arguments[*flag] = json!(true);
    }
    arguments
}

/// br0 with a bond, br1 with e3, VLAN 5 and VXLAN 6 on br0.
fn furnished_switch() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").veth("e4", "e4-p").start();
    for bridge in ["br0", "br1"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]}));
    switch.ok("port-add", json!({"bridge": "br1", "port": "e3", "vlan": 3}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
    switch
}

#[test]
fn a_dry_run_refuses_in_the_same_words_whatever_the_command() {
    let switch = furnished_switch();
    switch.ok("port-add", json!({"bridge": "vlbr5", "port": "e4"}));
    let refusals = [
        ("bridge-add", json!({"bridge": "br0"})),
        ("bridge-add", json!({"bridge": "e3"})),
        ("bridge-add", json!({"bridge": "e1"})),
        ("bridge-add", json!({"bridge": "br2", "options": {"no_such": "1"}})),
        ("bridge-del", json!({"bridge": "nobr"})),
        ("port-add", json!({"bridge": "nobr", "port": "e9"})),
        ("port-add", json!({"bridge": "br0", "port": "e3"})),
        ("port-add", json!({"bridge": "br0", "port": "e1"})),
        ("port-add", json!({"bridge": "br0", "port": "a/b"})),
        ("port-add", json!({"bridge": "br0", "port": "x", "trunks": ["a"]})),
        ("port-set", json!({"port": "e3"})),
        ("port-set", json!({"port": "e3", "bridge": "br0", "vlan": 1})),
        ("port-del", json!({"port": "br0"})),
        ("port-del", json!({"port": "nope"})),
        ("port-list", json!({"bridge": "nobr"})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]})),
        ("bond-add", json!({"bridge": "br0", "port": "bond1", "links": ["e3", "e5"]})),
        ("bond-add", json!({"bridge": "br0", "port": "bond1", "links": ["e5", "e6"], "mode": "balance-tcp"})),
        ("bond-del", json!({"port": "e3"})),
        ("bond-member-add", json!({"port": "bond0", "link": "e3"})),
        ("bond-member-del", json!({"port": "bond0", "link": "e1"})),
        ("bond-member-del", json!({"port": "bond0", "link": "e3"})),
        ("set", json!({"table": "Port", "record": "e3", "values": {"tag": 5000}})),
        ("set", json!({"table": "Port", "record": "nope", "values": {"tag": 5}})),
        ("vtep-ensure", json!({"bridge": "nobr", "vnid": 9})),
        ("vtep-ensure", json!({"bridge": "br1", "vnid": 6})),
        ("vtep-del", json!({"vnid": 9})),
        ("vlan-ensure", json!({"master": "br1", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "other"})),
        ("vlan-del", json!({"master": "br0", "vlan": 5})),
        ("vlan-del", json!({"master": "br0", "vlan": 7})),
        ("vxlan-ensure", json!({"master": "br1", "vxlan": 6})),
        ("vxlan-del", json!({"vxlan": 6, "master": "br1"})),
        ("vxlan-del", json!({"vxlan": 7})),
    ];
    switch.unchanged_by(|| {
        for (command, arguments) in &refusals {
            let real = switch.plugin(command, arguments.clone()).failed();
            for flags in [&["dry_run"][..], &["dry_run", "report"]] {
                assert_eq!(switch.plugin(command, with(arguments, flags)).failed(), real, "{command} {arguments}");
            }
        }
    });
}

#[test]
fn a_dry_run_cannot_know_what_ovs_vswitchd_would_say() {
    let switch = furnished_switch();
    let call = json!({"bridge": "br0", "port": "nodev"});
    let dry = switch.unchanged_by(|| switch.ok("port-add", with(&call, &["dry_run"])));
    assert_eq!((&dry["changed"], &dry["interfaces"]), (&json!(true), &json!([])));
    assert!(switch.refused("port-add", call).contains("No such device"));
}

#[test]
fn whatever_is_there_already_changes_nothing_and_says_so() {
    let switch = furnished_switch();
    switch.ok("vtep-ensure", json!({"bridge": "br1", "vnid": 9}));
    for (command, arguments) in [
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": "5", "name": "vlbr5"})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 6})),
        ("vtep-ensure", json!({"bridge": "br1", "vnid": 9})),
        ("port-set", json!({"port": "e3", "vlan": 3, "trunks": [], "mtu": 0})),
        ("set", json!({"table": "Port", "record": "e3", "values": {"tag": 3, "trunks": "[]"}})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:ovs-plugin": "bridge"}})),
        ("bridge-list", json!({})),
        ("port-list", json!({"bridge": "br0"})),
        ("version", json!({})),
    ] {
        for flags in [&["report"][..], &["dry_run"]] {
            let report = switch.unchanged_by(|| switch.ok(command, with(&arguments, flags)));
            assert_eq!((&report["changed"], &report["changes"]), (&json!(false), &json!([])), "{command} {arguments}");
        }
    }
}

#[test]
fn a_report_has_five_parts_and_each_interface_what_ovs_vswitchd_tells() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let parts = ["changed", "changes", "interfaces", "notes", "result"];
    let bridge = switch.ok("bridge-add", json!({"bridge": "br0", "report": true}));
    assert_eq!(keys(&bridge), parts);
    assert_eq!(bridge["interfaces"][0]["name"], "br0");
    let dry = switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "dry_run": true}));
    assert_eq!(keys(&dry), parts);
    let report = switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "report": true}));
    assert_eq!(keys(&report), parts);
    assert_eq!((&report["result"], &report["notes"]), (&Value::Null, &json!([])));
    let interface = &report["interfaces"][0];
    for key in ["name", "type", "ofport", "error", "admin_state", "link_state", "mtu", "mac_in_use", "ifindex"] {
        assert!(interface.get(key).is_some(), "{key}: {interface}");
    }
    assert_eq!(interface["ofport"].to_string(), switch.vsctl(&["get", "Interface", "e1", "ofport"]));
    assert_eq!(interface["error"], Value::Null);
    // Without either flag there is the bare result.
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["e1"]));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0", "report": true}))["result"], json!(["e1"]));
}

#[test]
fn an_update_tells_old_and_new_of_every_shape_of_value() {
    let switch = furnished_switch();
    // Its tag makes an access port of it, which has no trunks; only others write such a thing.
    switch.vsctl(&["set", "Port", "e3", "other_config={a=1,keep=2}", "trunks=1,2"]);
    let values = json!({
        "tag": "[]", "trunks": "7", "vlan_mode": "trunk", "other_config:a": "5", "other_config:b": "6",
        "external_ids": "{x=y}", "bond_updelay": 30,
    });
    let call = json!({"table": "Port", "record": "e3", "values": values});
    let dry = switch.ok("set", with(&call, &["dry_run"]));
    let report = switch.ok("set", with(&call, &["report"]));
    let change = &report["changes"][0];
    assert_eq!((&change["table"], &change["row"], &change["action"]), (&json!("Port"), &json!("e3"), &json!("update")));
    let expected = json!({
        "tag": {"old": 3, "new": []},
        "trunks": {"old": [1, 2], "new": 7},
        "vlan_mode": {"old": [], "new": "trunk"},
        "other_config": {"old": {"a": "1"}, "new": {"a": "5", "b": "6"}},
        "external_ids": {"old": {"ovs-plugin": "port"}, "new": {"x": "y"}},
        "bond_updelay": {"old": 0, "new": 30},
    });
    assert_eq!(change["columns"], expected);
    assert_eq!(dry["changes"], report["changes"]);
}

#[test]
fn the_old_value_that_is_told_is_the_one_just_before_the_change() {
    let switch = furnished_switch();
    switch.ok("set", json!({"table": "Interface", "record": "e3", "values": {"external_ids:a": "1"}}));
    let theirs = json!({"op": "update", "table": "Interface", "where": [["name", "==", "e3"]],
                        "row": {"external_ids": ["map", [["a", "theirs"]]], "mtu_request": 1350}});
    let values = json!({"external_ids:a": "2", "mtu_request": 1300});
    let call = json!({"table": "Interface", "record": "e3", "values": values, "report": true});
    let report = with_change_before_write(&switch, 0, vec![theirs], "set", call).ok();
    let columns = &report["changes"][0]["columns"];
    assert_eq!(columns["external_ids"], json!({"old": {"a": "theirs"}, "new": {"a": "2"}}));
    assert_eq!(columns["mtu_request"], json!({"old": 1350, "new": 1300}));
}

#[test]
fn kernel_devices_are_told_with_what_is_done_to_them() {
    let switch = furnished_switch();
    let links = |report: &Value| -> Vec<Value> {
        report["changes"].as_array().unwrap().iter().filter(|change| change.get("link").is_some()).cloned().collect()
    };
    let call = json!({"bridge": "br0", "vnid": 300});
    let dry = switch.unchanged_by(|| switch.ok("vtep-ensure", with(&call, &["dry_run"])));
    let attributes = json!({"kind": "vxlan", "vni": 300, "group": "239.0.0.2", "mtu": 1450, "over": "br0"});
    let expected = [json!({"link": "vtep300", "action": "add", "attributes": attributes})];
    assert_eq!(links(&dry), expected);
    assert_eq!(links(&switch.ok("vtep-ensure", with(&call, &["report"]))), expected);
    assert!(switch.net.run(&["ip", "link", "show", "dev", "vtep300"]).contains(" mtu 1450 "));

    switch.net.run(&["ip", "link", "set", "vtep300", "down"]);
    switch.net.run(&["ip", "link", "set", "e4", "down"]);
    switch.net.veth("e5", "e5-p");
    for (command, call, expected) in [
        ("vtep-ensure", call, json!({"link": "vtep300", "action": "set up"})),
        (
            "bond-add",
            json!({"bridge": "br0", "port": "bond1", "links": ["e4", "e5"]}),
            json!({"link": "e4", "action": "set up"}),
        ),
        ("vtep-del", json!({"vnid": 300}), json!({"link": "vtep300", "action": "delete"})),
        ("vxlan-del", json!({"vxlan": 6}), json!({"link": "vtep6", "action": "delete"})),
    ] {
        let dry = switch.unchanged_by(|| switch.ok(command, with(&call, &["dry_run"])));
        assert_eq!(links(&dry), std::slice::from_ref(&expected), "{command}");
        assert_eq!(links(&switch.ok(command, with(&call, &["report"]))), [expected], "{command}");
    }
}

#[test]
fn without_ovs_vswitchd_a_dry_run_answers_and_a_report_does_not() {
    let switch = furnished_switch();
    switch.stop_vswitchd();
    switch.unchanged_by(|| {
        for (command, arguments) in [
            ("bridge-add", json!({"bridge": "br2"})),
            ("port-add", json!({"bridge": "br0", "port": "e4"})),
            ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
            ("vxlan-del", json!({"vxlan": 6})),
            ("set", json!({"table": "Port", "record": "e3", "values": {"tag": 9}})),
        ] {
            let report = switch.ok(command, with(&arguments, &["dry_run", "report"]));
            assert_eq!(report["changed"], true, "{command}");
        }
    });
    let call = json!({"bridge": "br0", "port": "e4", "report": true});
    let message = switch.prepare("port-add", call).env("OVS_PLUGIN_TIMEOUT", "3").run().failed();
    assert!(message.contains("has not applied it"), "{message}");
}

#[test]
fn on_an_empty_database_a_dry_run_tells_of_the_root_row() {
    let switch = Switch::builder().empty_database().start();
    let dry = switch.unchanged_by(|| switch.ok("bridge-add", json!({"bridge": "br0", "dry_run": true})));
    let tables: Vec<_> = dry["changes"].as_array().unwrap().iter().map(|change| change["table"].clone()).collect();
    assert!(tables.contains(&json!("Open_vSwitch")) && tables.contains(&json!("Bridge")), "{dry}");
}

#[test]
fn flags_of_another_type_are_refused_by_every_command_and_null_is_no_flag() {
    let switch = furnished_switch();
    switch.unchanged_by(|| {
        for entry in ovs_plugin::commands::REGISTRY {
            for flag in ["dry_run", "report", "verify"] {
                for wrong in [json!("true"), json!(1), json!([]), json!({})] {
                    let message = switch.plugin(entry.name, json!({ flag: wrong })).failed();
                    let values = if flag == "verify" { "true, false or \"strict\"" } else { "true or false" };
                    let expected = format!("argument {flag:?}: {wrong} is not {values}");
                    assert_eq!(message, expected, "{}", entry.name);
                }
            }
        }
        let nulls = json!({"bridge": "br0", "dry_run": null, "report": null, "verify": null});
        assert!(switch.ok("port-list", nulls).is_array());
        let answer = switch.ok("port-list", json!({"bridge": "br0", "DRY_RUN": true}));
        assert_eq!(answer["changed"], false);
    });
}

#[test]
fn a_dry_run_says_which_devices_are_not_there() {
    let switch = Switch::builder().veth("e1", "a").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let notes = |command: &str, mut arguments: Value| {
        arguments["dry_run"] = json!(true);
        switch.unchanged_by(|| switch.ok(command, arguments))["notes"].to_string()
    };
    let missing = "interface eth7 would not work, and the change would be taken back: there is no network device";
    assert!(notes("port-add", json!({"bridge": "br0", "port": "eth7"})).contains(missing));
    assert!(notes("bond-add", json!({"bridge": "br0", "port": "b", "links": ["e1", "eth7"]})).contains(missing));
    for (command, arguments) in [
        ("port-add", json!({"bridge": "br0", "port": "e1"})),
        ("port-add", json!({"bridge": "br0", "port": "eth7", "verify": false})),
        ("port-add", json!({"bridge": "br0", "port": "i1", "options": {"type": "internal"}})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 5})),
    ] {
        let notes = notes(command, arguments.clone());
        assert!(!notes.contains("would not work"), "{command} {arguments}: {notes}");
    }
}
