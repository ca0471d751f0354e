//! Ports of containers that are gone: which rows are taken over, what is left of them, and how they come back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::{Namespace, Switch, difference};

/// Two bridges, and a device for a container.
fn switch_with_device(name: &str) -> Switch {
    let switch = Switch::builder().veth(name, "peer").start();
    for bridge in ["br0", "br1"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch
}

/// Leaves a row on br1 that has a value in every column a port and an interface may have one in.
fn leave(switch: &Switch, name: &str) {
    switch.vsctl(&["add-port", "br1", name, "tag=9", "vlan_mode=native-tagged", "trunks=1,2,3", "lacp=passive"]);
    switch.vsctl(&["set", "Port", name, "external_ids={old=1,more=2}", "other_config={old=1}", "protected=true"]);
    switch.vsctl(&["set", "Port", name, "qos=@q", "--", "--id=@q", "create", "QoS", "type=linux-noop"]);
    let interface = ["external_ids={old=1}", "other_config={old=1}", "ingress_policing_rate=5000", "mtu_request=1300"];
    switch.vsctl(&[&["set", "Interface", name][..], &interface, &["ingress_policing_burst=500"]].concat());
    switch.vsctl(&["set", "Interface", name, "ofport_request=77", "bfd:enable=false", "options:old=1"]);
}

/// The host agent makes a new device before it asks for the port.
fn make_device_again(switch: &Switch, name: &str) {
    switch.net.run(&["ip", "link", "del", name]);
    switch.net.veth(name, "peer");
}

/// The database's part of a dump, in which rows with names are told by these, as one that was deleted and inserted
/// again has a new identity.
fn by_name(dump: &Value) -> Value {
    let tables = dump["database"].as_object().unwrap();
    let names: BTreeMap<&str, String> = tables
        .iter()
        .flat_map(|(table, rows)| rows.as_object().unwrap().iter().map(move |(uuid, row)| (table, uuid, row)))
        .filter_map(|(table, uuid, row)| Some((uuid.as_str(), format!("{table} {}", row["name"].as_str()?))))
        .collect();
    fn renamed(value: &Value, names: &BTreeMap<&str, String>) -> Value {
        let name = |text: &str| names.get(text).cloned().unwrap_or_else(|| text.to_owned());
        match value {
            Value::String(text) => name(text).into(),
            Value::Array(elements) => {
                let mut elements: Vec<_> = elements.iter().map(|element| renamed(element, names)).collect();
                elements.sort_by_key(Value::to_string);
                elements.into()
            }
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (name(k), renamed(v, names))).collect()),
            other => other.clone(),
        }
    }
    renamed(&dump["database"], &names)
}

#[test]
fn nothing_of_the_old_port_survives_in_any_column() {
    for bridge in ["br0", "br1"] {
        // What the same call makes where there was nothing before.
        let fresh = switch_with_device("cont7-0");
        let call = json!({"bridge": bridge, "port": "cont7-0", "vlan": 4, "options": {"external_ids:new": "1"}});
        fresh.ok("port-add", call.clone());

        let switch = switch_with_device("cont7-0");
        leave(&switch, "cont7-0");
        make_device_again(&switch, "cont7-0");
        switch.ok("port-add", call);
        assert_eq!(switch.state(), fresh.state(), "taken over to {bridge}");
    }
}

#[test]
fn a_container_that_uses_a_name_again_is_reached_through_its_new_device() {
    let switch = switch_with_device("e1");
    let neighbour = Namespace::new();
    switch.net.veth_to(&neighbour, "cont9-0", "eth0");
    neighbour.addr("eth0", "10.0.0.9/24");
    switch.ok("port-add", json!({"bridge": "br0", "port": "cont9-0"}));
    let mut containers = Vec::new();
    for (round, bridge) in ["br0", "br0", "br0", "br1", "br0"].iter().enumerate() {
        // As the kernel does when it takes a container's namespace down.
        if round > 0 {
            switch.net.run(&["ip", "link", "del", "cont5-0"]);
        }
        let container = Namespace::new();
        switch.net.veth_to(&container, "cont5-0", "eth0");
        container.addr("eth0", "10.0.0.5/24");
        switch.ok("port-add", json!({"bridge": bridge, "port": "cont5-0"}));
        if *bridge == "br0" {
            assert!(container.reaches("10.0.0.9"), "round {round}");
        }
        containers.push(container);
    }
}

#[test]
fn a_port_number_that_is_asked_for_is_given_to_a_port_that_is_taken_over() {
    let switch = switch_with_device("cont5-0");
    let call = json!({"bridge": "br1", "port": "cont5-0", "options": {"ofport_request": 33}, "report": true});
    for _ in 0..2 {
        let report = switch.ok("port-add", call.clone());
        assert_eq!(report["interfaces"][0]["ofport"], 33, "{report}");
    }
    switch.ok("port-add", json!({"bridge": "br1", "port": "cont5-0"}));
    let state = switch.state();
    assert_eq!(state["bridges"]["br1"]["ports"]["cont5-0"], json!({"interfaces": {"cont5-0": {"attached": true}}}));
}

#[test]
fn without_ovs_vswitchd_a_port_that_is_taken_over_is_stored_as_asked() {
    let switch = switch_with_device("cont5-0");
    switch.ok("port-add", json!({"bridge": "br1", "port": "cont5-0", "vlan": 9}));
    switch.stop_vswitchd();
    let call = json!({"bridge": "br1", "port": "cont5-0", "vlan": 4});
    let message = switch.prepare("port-add", call).env("OVS_PLUGIN_TIMEOUT", "3").run().failed();
    assert!(message.contains("has not applied it"), "{message}");
    switch.start_vswitchd();
    let expected = json!({"tag": 4, "interfaces": {"cont5-0": {"attached": true}}});
    assert_eq!(switch.state()["bridges"]["br1"]["ports"]["cont5-0"], expected);
}

#[test]
fn the_new_device_is_the_one_that_is_attached() {
    let switch = switch_with_device("contm3-12");
    leave(&switch, "contm3-12");
    make_device_again(&switch, "contm3-12");
    let report = switch.ok("port-add", json!({"bridge": "br0", "port": "contm3-12", "report": true}));
    let link = switch.net.run(&["ip", "-oneline", "link", "show", "contm3-12"]);
    let interface = &report["interfaces"][0];
    assert_eq!(interface["name"], "contm3-12");
    assert_eq!(interface["ifindex"].to_string(), link.split(':').next().unwrap());
    assert!(interface["ofport"].as_i64().unwrap() > 0, "{report}");
}

#[test]
fn taking_over_is_told_on_stderr_and_in_the_report_with_the_old_bridge() {
    let switch = switch_with_device("cont1-0");
    leave(&switch, "cont1-0");
    let call = json!({"bridge": "br0", "port": "cont1-0", "report": true});
    let answer = switch.plugin("port-add", call);
    for words in ["cont1-0", "left on bridge br1", "taken over"] {
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    }
    let report = answer.ok();
    let notes = report["notes"].as_array().unwrap();
    assert!(notes.len() == 1 && notes[0].as_str().unwrap().contains("left on bridge br1"), "{report}");
    let changes = report["changes"].as_array().unwrap();
    let rows = |action: &str| {
        let of_port = changes.iter().filter(|change| change["row"] == "cont1-0" && change["action"] == action);
        of_port.map(|change| change["table"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((rows("delete"), rows("insert")), (vec!["Interface", "Port"], vec!["Interface", "Port"]), "{report}");
}

#[test]
fn a_dry_run_of_a_take_over_tells_the_same_and_leaves_the_old_port() {
    for bridge in ["br0", "br1"] {
        let switch = switch_with_device("cont1-0");
        leave(&switch, "cont1-0");
        let call = |flag: &str| json!({"bridge": bridge, "port": "cont1-0", "vlan": 3, flag: true});
        let dry = switch.unchanged_by(|| switch.ok("port-add", call("dry_run")));
        let real = switch.ok("port-add", call("report"));
        assert_eq!((&dry["changes"], &dry["notes"]), (&real["changes"], &real["notes"]));
    }
}

#[test]
fn a_port_that_was_never_there_is_added_without_a_word() {
    let switch = switch_with_device("cont1-0");
    let answer = switch.plugin("port-add", json!({"bridge": "br0", "port": "cont1-0"}));
    assert!(!answer.stderr.contains("taken over"), "{}", answer.stderr);
    answer.ok();
}

#[test]
fn names_of_nearly_that_form_are_refused_and_nothing_changes() {
    for name in ["cont5", "cont-5", "cont5-", "cont5-0p", "contmm5-0", "xcont5-0", "cont5-0-1", "Cont5-0", "cont5_0"] {
        let switch = switch_with_device(name);
        leave(&switch, name);
        for bridge in ["br0", "br1"] {
            let message = switch.refused("port-add", json!({"bridge": bridge, "port": name, "vlan": 3}));
            let expected = format!("a port named {name} already exists on bridge br1");
            assert!(message.contains(&expected), "{message}");
        }
    }
}

#[test]
fn a_bridge_a_fake_bridge_and_a_bond_member_of_such_a_name_stay() {
    let switch = switch_with_device("cont1-0");
    switch.net.veth("e1", "e1-p");
    switch.ok("bond-add", json!({"bridge": "br1", "port": "bond0", "links": ["cont1-0", "e1"]}));
    switch.ok("bridge-add", json!({"bridge": "cont2-0"}));
    switch.vsctl(&["add-br", "cont3-0", "br1", "33"]);
    for (name, words) in [
        ("cont1-0", "interface named cont1-0 already exists on bridge br1 (in port bond0)"),
        ("cont2-0", "bridge named cont2-0 already exists"),
        ("cont3-0", "bridge named cont3-0 already exists"),
    ] {
        for bridge in ["br0", "br1"] {
            let message = switch.refused("port-add", json!({"bridge": bridge, "port": name}));
            assert!(message.contains(words), "{message}");
        }
    }
}

#[test]
fn if_the_bridge_is_missing_or_the_arguments_are_wrong_the_old_port_stays() {
    let switch = switch_with_device("cont1-0");
    leave(&switch, "cont1-0");
    for arguments in [
        json!({"bridge": "nobr", "port": "cont1-0"}),
        json!({"bridge": "br0", "port": "cont1-0", "vlan": 5000}),
        json!({"bridge": "br0", "port": "cont1-0", "options": {"no_such_column": "1"}}),
        json!({"bridge": "br0", "port": "cont1-0", "options": {"mtu_request": "-7"}}),
    ] {
        switch.refused("port-add", arguments);
    }
}

#[test]
fn if_the_new_port_does_not_work_all_of_the_old_one_is_back() {
    for (bridge, options, without_device) in
        [("br0", json!({}), true), ("br1", json!({}), true), ("br0", json!({"type": "bogus"}), false)]
    {
        let switch = switch_with_device("cont1-0");
        leave(&switch, "cont1-0");
        if without_device {
            switch.net.run(&["ip", "link", "del", "cont1-0"]);
        }
        let before = by_name(&switch.dump());
        let call = json!({"bridge": bridge, "port": "cont1-0", "vlan": 3, "mtu": 1400, "options": options});
        let message = switch.plugin("port-add", call).failed();
        assert!(message.contains("cont1-0") && message.contains("taken back"), "{message}");
        let after = by_name(&switch.dump());
        assert!(after == before, "{}", difference(&before, &after));
    }
}

#[test]
fn a_bond_of_such_a_name_is_taken_over_with_its_members_and_comes_back_with_them() {
    let switch = switch_with_device("cont1-0");
    switch.net.veth("e1", "e1-p");
    switch.net.veth("e2", "e2-p");
    switch.ok("bond-add", json!({"bridge": "br1", "port": "cont1-0", "links": ["e1", "e2"], "mode": "active-backup"}));
    let before = by_name(&switch.dump());
    let broken = json!({"bridge": "br0", "port": "cont1-0", "options": {"type": "bogus"}});
    let message = switch.plugin("port-add", broken).failed();
    assert!(message.contains("taken back"), "{message}");
    let after = by_name(&switch.dump());
    assert!(after == before, "{}", difference(&before, &after));

    switch.ok("port-add", json!({"bridge": "br0", "port": "cont1-0"}));
    let state = switch.state();
    assert_eq!(state["bridges"]["br0"]["ports"]["cont1-0"]["interfaces"], json!({"cont1-0": {"attached": true}}));
    assert!(state["bridges"]["br1"]["ports"]["cont1-0"].is_null());
    assert!(switch.database.rows("Interface").iter().all(|row| row["name"] != "e1" && row["name"] != "e2"));
}

#[test]
fn mirrors_of_the_old_port_are_as_before_if_the_new_one_does_not_work() {
    let switch = switch_with_device("cont1-0");
    leave(&switch, "cont1-0");
    let mirror = ["--id=@p", "get", "Port", "cont1-0", "--", "--id=@m", "create", "Mirror", "name=m", "output_vlan=5"];
    let select = ["select_src_port=@p", "select_dst_port=@p", "--", "set", "Bridge", "br1", "mirrors=@m"];
    switch.vsctl(&[&mirror[..], &select].concat());
    let before = by_name(&switch.dump());
    let broken = json!({"bridge": "br1", "port": "cont1-0", "options": {"type": "bogus"}});
    switch.plugin("port-add", broken).failed();
    let after = by_name(&switch.dump());
    assert!(after == before, "{}", difference(&before, &after));
}

#[test]
fn of_two_who_take_over_at_once_both_succeed_and_there_is_one_port() {
    let switch = switch_with_device("cont1-0");
    for _ in 0..8 {
        let stale = json!({"bridge": "br1", "port": "cont1-0", "vlan": 9, "options": {"external_ids:old": "1"}});
        switch.ok("port-add", stale);
        let calls: Vec<_> = [("br0", 1), ("br1", 2)]
            .into_iter()
            .map(|(bridge, vlan)| json!({"bridge": bridge, "port": "cont1-0", "vlan": vlan}))
            .map(|arguments| switch.prepare("port-add", arguments).spawn())
            .collect();
        for call in calls {
            call.wait().ok();
        }
        let state = switch.state();
        let found: Vec<_> = ["br0", "br1"]
            .iter()
            .filter_map(|bridge| Some((*bridge, state["bridges"][bridge]["ports"].get("cont1-0")?.clone())))
            .collect();
        let [(bridge, port)] = &found[..] else { panic!("{found:?}") };
        let vlan = if *bridge == "br0" { 1 } else { 2 };
        assert_eq!(*port, json!({"tag": vlan, "interfaces": {"cont1-0": {"attached": true}}}));
        switch.ok("port-del", json!({"port": "cont1-0"}));
    }
}
