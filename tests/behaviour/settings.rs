//! Settings that do not work together: what they come to, by whatever way they are asked for, and what the doctor says.

use serde_json::{Value, json};

use super::support::{Answer, Switch};

fn switch_with_bridge() -> Switch {
    let mut switch = Switch::builder();
    for device in ["e1", "e2", "e3"] {
        switch = switch.veth(device, &format!("{device}-p"));
    }
    let switch = switch.start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn port(switch: &Switch, name: &str) -> Value {
    switch.state()["bridges"]["br0"]["ports"][name].clone()
}

fn vlans(switch: &Switch, name: &str) -> (Value, Value, Value) {
    let port = port(switch, name);
    (port["tag"].clone(), port["trunks"].clone(), port["vlan_mode"].clone())
}

/// A report of something that succeeded, whose notes have been told on stderr as well.
#[track_caller]
fn noted(answer: Answer, words: &[&str]) -> Value {
    let stderr = answer.stderr.clone();
    let report = answer.ok();
    let notes: Vec<&str> = report["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(notes.iter().any(|note| words.iter().all(|word| note.contains(word))), "no {words:?} in {notes:?}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    report
}

#[track_caller]
fn refused(switch: &Switch, command: &str, arguments: Value, words: &[&str]) {
    for dry_run in [false, true] {
        let mut arguments = arguments.clone();
        arguments["dry_run"] = dry_run.into();
        let message = switch.refused(command, arguments.clone());
        assert!(words.iter().all(|word| message.contains(word)), "{command} {arguments}: {message}");
    }
}

fn set(table: &str, record: &str, values: Value) -> Value {
    json!({"table": table, "record": record, "values": values})
}

/// Codes of findings with what they are about.
fn findings(switch: &Switch) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let diagnosis = switch.ok("doctor", json!({}));
    let findings = diagnosis["findings"].as_array().unwrap();
    findings.iter().map(|found| (text(&found["code"]), text(&found["port"]), text(&found["message"]))).collect()
}

#[test]
fn a_vlan_beside_trunks_is_the_native_vlan_of_a_trunk_and_the_report_says_so() {
    let switch = switch_with_bridge();
    let native = json!("native-untagged");
    let call = json!({"bridge": "br0", "port": "e1", "vlan": 1, "trunks": [10], "report": true});
    noted(switch.plugin("port-add", call), &["e1", "native-untagged was chosen", "VLAN 1"]);
    assert_eq!(vlans(&switch, "e1"), (json!(1), json!([10]), native.clone()));

    // In whichever order they come.
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2", "vlan": 2}));
    let call = json!({"port": "e2", "trunks": [20], "report": true});
    let dry = switch.ok("port-set", json!({"port": "e2", "trunks": [20], "dry_run": true}));
    assert!(dry["notes"][0].as_str().unwrap().contains("was chosen"), "{dry:#}");
    noted(switch.plugin("port-set", call), &["e2", "native-untagged was chosen"]);
    assert_eq!(vlans(&switch, "e2"), (json!(2), json!([20]), native.clone()));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e3", "trunks": [30]}));
    noted(switch.plugin("port-set", json!({"port": "e3", "vlan": 3, "report": true})), &["e3", "was chosen"]);
    assert_eq!(vlans(&switch, "e3"), (json!(3), json!([30]), native.clone()));

    // Once it is set, there is nothing to choose.
    let report = switch.ok("port-set", json!({"port": "e3", "vlan": 4, "trunks": [40], "report": true}));
    assert_eq!(report["notes"], json!([]));
    assert_eq!(vlans(&switch, "e3"), (json!(4), json!([40]), native));
    assert_eq!(findings(&switch), []);
}

#[test]
fn what_was_chosen_goes_with_the_native_vlan() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 1, "trunks": [10]}));
    noted(switch.plugin("port-set", json!({"port": "e1", "vlan": 0, "report": true})), &["e1", "taken away"]);
    assert_eq!(vlans(&switch, "e1"), (Value::Null, json!([10]), Value::Null));

    switch.ok("port-set", json!({"port": "e1", "vlan": 1}));
    // Nothing is opened or closed in silence: without trunks it carries all VLANs.
    noted(
        switch.plugin("port-set", json!({"port": "e1", "trunks": [], "report": true})),
        &["e1", "all VLANs", "access"],
    );
    assert_eq!(vlans(&switch, "e1"), (json!(1), Value::Null, json!("native-untagged")));
    switch.ok("port-set", json!({"port": "e1", "vlan": 0, "trunks": []}));
    assert_eq!(vlans(&switch, "e1"), (Value::Null, Value::Null, Value::Null));

    // A mode that the same call sets stays.
    switch.ok("port-set", json!({"port": "e1", "vlan": 0, "vlan_mode": "native-tagged"}));
    assert_eq!(vlans(&switch, "e1").2, "native-tagged");
    // Empty trunks are none: this is an access port.
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2", "vlan": 5, "trunks": []}));
    assert_eq!(vlans(&switch, "e2"), (json!(5), Value::Null, Value::Null));
}

#[test]
fn settings_of_vlans_of_which_a_part_would_be_ignored_are_refused_by_name() {
    let switch = switch_with_bridge();
    for (more, words) in [
        (json!({"vlan": 7, "vlan_mode": "trunk"}), ["\"vlan\"", "tag 7 is ignored", "native-untagged"]),
        (json!({"vlan": 7, "trunks": [1, 2, 3], "vlan_mode": "trunk"}), ["\"vlan\"", "tag 7 is ignored", "trunk"]),
        (json!({"vlan": 7, "trunks": [1, 2, 3, 9], "vlan_mode": "access"}), ["\"trunks\"", "1-3, 9", "access"]),
        (json!({"trunks": [1], "vlan_mode": "access"}), ["\"trunks\"", "trunks 1 are ignored", "access"]),
        (json!({"vlan": 7, "trunks": [1], "vlan_mode": "dot1q-tunnel"}), ["\"trunks\"", "dot1q-tunnel", "cvlans"]),
        (json!({"options": {"port.tag": 7, "port.trunks": 1}}), ["\"options\"", "trunks 1 are ignored", "vlan_mode"]),
        (json!({"vlan": 7, "options": {"port.trunks": 1}}), ["\"options\"", "trunks 1 are ignored", "vlan_mode"]),
        (json!({"options": {"port.tag": 7, "port.vlan_mode": "trunk"}}), ["\"options\"", "tag 7", "trunk"]),
        (json!({"options": {"port.cvlans": "5"}}), ["\"options\"", "cvlans 5", "dot1q-tunnel"]),
        (json!({"vlan": 7, "options": {"port.cvlans": "5"}}), ["\"options\"", "cvlans 5", "dot1q-tunnel"]),
        (json!({"other_config": {"qinq-ethtype": "802.1q"}}), ["\"other_config\"", "qinq-ethtype", "dot1q-tunnel"]),
    ] {
        let mut arguments = json!({"bridge": "br0", "port": "e1"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&switch, "port-add", arguments, &words);
    }
    let tunnel = json!({"port.cvlans": "5", "port.other_config:qinq-ethtype": "802.1q"});
    let tunnel = json!({"bridge": "br0", "port": "e1", "vlan": 7, "vlan_mode": "dot1q-tunnel", "options": tunnel});
    switch.ok("port-add", tunnel);
    // What belongs to it is left behind by another mode.
    refused(&switch, "port-set", json!({"port": "e1", "vlan_mode": "access"}), &["\"vlan_mode\"", "cvlans 5"]);
    let together = json!({"vlan_mode": "access", "cvlans": "[]", "other_config": "{}"});
    switch.ok("set", set("Port", "e1", together));

    refused(&switch, "port-set", json!({"port": "e1", "vlan_mode": "trunk"}), &["\"vlan_mode\"", "tag 7 is ignored"]);
    refused(&switch, "port-set", json!({"port": "e1", "trunks": [5]}), &["\"trunks\"", "trunks 5", "access"]);
    refused(&switch, "set", set("Port", "e1", json!({"trunks": "5"})), &["\"values\"", "trunks 5", "access"]);
    refused(&switch, "set", set("Port", "e1", json!({"tag": 8, "vlan_mode": "trunk"})), &["\"values\"", "tag 8"]);
    let modeless = json!({"tag": 8, "trunks": "5", "vlan_mode": "[]"});
    refused(&switch, "set", set("Port", "e1", modeless), &["\"values\"", "access port of VLAN 8", "native-untagged"]);
    assert_eq!(vlans(&switch, "e1"), (json!(7), Value::Null, json!("access")));
}

#[test]
fn a_bond_that_would_carry_nothing_is_refused_by_whatever_way_it_is_asked_for() {
    let switch = switch_with_bridge();
    let needs_lacp = ["port bond0", "balance-tcp needs LACP", "drops"];
    let bond = json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]});
    for (more, argument) in [
        (json!({"mode": "balance-tcp"}), "\"mode\""),
        (json!({"options": {"bond_mode": "balance-tcp"}}), "\"options\""),
        (json!({"mode": "balance-tcp", "lacp_fallback": true}), "\"mode\""),
    ] {
        let mut bond = bond.clone();
        bond.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&switch, "bond-add", bond, &[&needs_lacp[..], &[argument]].concat());
    }
    switch.ok("bond-add", bond);
    refused(&switch, "set", set("Port", "bond0", json!({"bond_mode": "balance-tcp"})), &needs_lacp);
    refused(&switch, "set", set("po", "bond0", json!({"bond_m": "balance-tcp"})), &needs_lacp);
    let options = json!({"port.bond_mode": "balance-tcp"});
    refused(
        &switch,
        "port-set",
        json!({"port": "bond0", "options": options}),
        &[&needs_lacp[..], &["\"options\""]].concat(),
    );
    switch.ok("set", set("Port", "bond0", json!({"bond_mode": "balance-tcp", "lacp": "passive"})));
    for lacp in ["off", "[]"] {
        refused(&switch, "set", set("Port", "bond0", json!({"lacp": lacp})), &needs_lacp);
    }
    let id = json!({"other_config:lacp-system-id": "me"});
    refused(&switch, "set", set("Port", "bond0", id), &["\"values\"", "lacp-system-id", "MAC address"]);

    // A port becomes a bond with its second member.
    switch.ok("port-add", json!({"bridge": "br0", "port": "e3", "options": {"port.bond_mode": "balance-tcp"}}));
    refused(&switch, "bond-member-add", json!({"port": "e3", "link": "e3-p"}), &["port e3", "balance-tcp needs LACP"]);
    switch.ok("set", set("Port", "e3", json!({"lacp": "active"})));
    switch.ok("bond-member-add", json!({"port": "e3", "link": "e3-p"}));
}

#[test]
fn a_primary_that_is_no_member_and_a_second_spanning_tree_are_refused() {
    let switch = switch_with_bridge();
    let bond =
        json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"], "mode": "active-backup", "primary": "e2"});
    switch.ok("bond-add", bond);
    let primary = |name: &str| set("Port", "bond0", json!({"other_config:bond-primary": name}));
    refused(&switch, "set", primary("e3"), &["\"values\"", "bond-primary", "e3", "e1, e2"]);
    switch.ok("set", primary("e1"));
    // A member may go all the same; the doctor tells what is left of it.
    switch.ok("bond-member-add", json!({"port": "bond0", "link": "e3"}));
    let call = json!({"port": "bond0", "link": "e1", "report": true});
    noted(switch.plugin("bond-member-del", call), &["bond-primary", "e1", "e2, e3"]);
    assert_eq!(findings(&switch)[0].0, "settings-ignored");

    switch.ok("set", set("Bridge", "br0", json!({"stp_enable": true})));
    refused(
        &switch,
        "set",
        set("Bridge", "br0", json!({"rstp_enable": true})),
        &["bridge br0", "stp_enable", "only one"],
    );
    let both = json!({"bridge": "br1", "options": {"stp_enable": true, "rstp_enable": true}});
    refused(&switch, "bridge-add", both, &["\"options\"", "bridge br1", "only one"]);
    switch.ok("set", set("Bridge", "br0", json!({"stp_enable": false, "rstp_enable": true})));
}

#[test]
fn a_key_of_a_tunnel_that_would_be_read_as_another_is_refused() {
    let switch = switch_with_bridge();
    let tunnel = |key: Value| {
        let options = json!({"type": "vxlan", "options:remote_ip": "127.0.0.9", "options:key": key});
        json!({"bridge": "br0", "port": "vx", "options": options})
    };
    for key in [json!("zz"), json!("7x"), json!(16_777_216), json!(-1)] {
        refused(&switch, "port-add", tunnel(key), &["\"options\"", "interface vx", "options:key", "flow"]);
    }
    switch.ok("port-add", tunnel(json!(1e3)));
    refused(&switch, "set", set("Interface", "vx", json!({"options:in_key": "x"})), &["\"values\"", "options:in_key"]);
    switch.ok("set", set("Interface", "vx", json!({"options:key": "flow", "options:dst_port": 4790})));
    assert_eq!(findings(&switch), []);
    switch.vsctl(&["set", "interface", "vx", "options:key=net7"]);
    assert_eq!(findings(&switch)[0].0, "settings-ignored");
}

#[test]
fn vlan_ensure_puts_a_port_right_whatever_settings_are_left_on_it() {
    let switch = switch_with_bridge();
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.vsctl(&["set", "port", "vlbr5p", "vlan_mode=dot1q-tunnel", "cvlans=7"]);
    noted(switch.plugin("vlan-ensure", json!({"master": "br0", "vlan": 5, "report": true})), &["vlbr5p", "cvlans 7"]);
    assert_eq!(vlans(&switch, "vlbr5p"), (json!(5), Value::Null, Value::Null));
}

#[test]
fn a_setting_that_does_nothing_yet_is_taken_with_a_note() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    for (values, words) in [
        (json!({"bond_mode": "balance-slb"}), ["e1", "bond_mode", "one interface"]),
        (json!({"other_config:lacp-time": "fast"}), ["e1", "lacp-time", "LACP is off"]),
        (json!({"vlan_mode": "native-tagged"}), ["e1", "native-tagged", "without a tag"]),
    ] {
        let mut call = set("Port", "e1", values);
        call["report"] = true.into();
        noted(switch.plugin("set", call), &words);
    }
    let call = json!({"table": "Port", "record": "e1", "values": {"external_ids:a": "b"}, "report": true});
    assert_eq!(switch.ok("set", call)["notes"], json!([]));
    assert_eq!(findings(&switch), []);
}

#[test]
fn what_was_wrong_before_and_is_left_alone_is_for_the_doctor_to_tell() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 1}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    assert_eq!(findings(&switch), []);
    switch.vsctl(&["set", "port", "e1", "trunks=10", "cvlans=5"]);
    switch.vsctl(&["set", "port", "bond0", "bond_mode=balance-tcp"]);
    switch.vsctl(&["set", "bridge", "br0", "stp_enable=true", "rstp_enable=true"]);
    let found = findings(&switch);
    let found: Vec<_> = found.iter().map(|(code, port, _)| (code.as_str(), port.as_str())).collect();
    assert_eq!(found[0], ("settings-broken", "bond0"));
    for ignored in [("settings-ignored", ""), ("settings-ignored", "e1")] {
        assert!(found.contains(&ignored), "{found:?}");
    }
    for (command, arguments) in [
        ("port-set", json!({"port": "e1", "mtu": 1400})),
        ("set", set("Port", "e1", json!({"external_ids:a": "b", "other_config:c": "d"}))),
        ("set", set("Port", "bond0", json!({"bond_updelay": 100, "tag": 7}))),
        ("set", set("Bridge", "br0", json!({"other_config:a": "b", "mcast_snooping_enable": true}))),
        // Put right, one after the other.
        ("set", set("Port", "e1", json!({"vlan_mode": "native-untagged"}))),
        ("set", set("Port", "e1", json!({"cvlans": "[]"}))),
        ("set", set("Port", "bond0", json!({"lacp": "active"}))),
        ("set", set("Bridge", "br0", json!({"stp_enable": false}))),
    ] {
        switch.ok(command, arguments);
    }
    assert!(findings(&switch).iter().all(|(code, ..)| !code.starts_with("settings-")), "{:#?}", findings(&switch));
}

#[test]
fn values_that_open_vswitch_cannot_read_are_refused_by_name() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let queue = switch.vsctl(&["create", "Queue", "dscp=0"]);
    let set = |table: &str, record: &str, values: Value| json!({"table": table, "record": record, "values": values});
    for (command, arguments, words) in [
        (
            "set",
            set("Port", "e1", json!({"other_config:lacp-fallback-ab": "yes"})),
            ["lacp-fallback-ab", "true or false"],
        ),
        ("set", set("Queue", queue.trim(), json!({"other_config:max-rate": "10M"})), ["max-rate", "whole number"]),
        ("set", set("Queue", queue.trim(), json!({"other_config:max-rate": 1000.5})), ["max-rate", "whole number"]),
        ("port-set", json!({"port": "e1", "other_config": {"bond-detect-mode": "mii"}}), ["mii", "carrier or miimon"]),
        ("bridge-add", json!({"bridge": "br1", "options": {"other_config:datapath-id": "1"}}), ["datapath-id", "16"]),
    ] {
        refused(&switch, command, arguments, &words);
    }
    refused(&switch, "port-set", json!({"port": "e1", "options": {"options:ttl": "999"}}), &["ttl", "0 to 255"]);
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    let both = json!({"port": "bond0", "options": {"ofport_request": 41}});
    refused(&switch, "port-set", both, &["ofport_request 41", "e2, e3"]);
}
