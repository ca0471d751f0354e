//! Bonds: their settings, their members' devices, and how they change and end.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_bridge() -> Switch {
    let mut switch = Switch::builder();
    for device in ["e1", "e2", "e3"] {
        switch = switch.veth(device, &format!("{device}-p"));
    }
    let switch = switch.start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

/// Arguments for a bond of e1 and e2 on br0, and more of them.
fn bond(more: Value) -> Value {
    let mut arguments = json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

fn port(switch: &Switch, name: &str) -> Value {
    switch.state()["bridges"]["br0"]["ports"][name].clone()
}

fn members(switch: &Switch) -> Vec<String> {
    port(switch, "bond0")["interfaces"].as_object().unwrap().keys().cloned().collect()
}

fn is_up(switch: &Switch, device: &str) -> bool {
    switch.dump()["links"][device]["up"] == true
}

fn down(switch: &Switch, device: &str) {
    switch.net.run(&["ip", "link", "set", "dev", device, "down"]);
}

#[test]
fn balance_tcp_goes_with_lacp_active_or_passive_from_wherever_it_is_asked() {
    let switch = switch_with_bridge();
    for refused in [
        json!({"mode": "balance-tcp"}),
        json!({"mode": "balance-tcp", "lacp": false}),
        json!({"mode": "balance-tcp", "lacp": true, "options": {"lacp": "off"}}),
        json!({"mode": "balance-tcp", "lacp": true, "options": {"lacp": "[]"}}),
        json!({"mode": "balance-tcp", "options": {"lacp": "off"}}),
        json!({"options": {"bond_mode": "balance-tcp"}}),
        json!({"mode": "active-backup", "options": {"bond_mode": "balance-tcp"}}),
    ] {
        let message = switch.refused("bond-add", bond(refused.clone()));
        assert!(message.contains("balance-tcp needs LACP") && message.contains("drops"), "{refused}: {message}");
    }
    for accepted in [
        json!({"mode": "balance-tcp", "lacp": true}),
        json!({"mode": "balance-tcp", "options": {"lacp": "passive"}}),
        json!({"mode": "balance-tcp", "options": {"lacp": "active"}}),
        json!({"lacp": true, "options": {"bond_mode": "balance-tcp"}}),
        json!({"mode": "balance-tcp", "options": {"bond_mode": "balance-slb"}}),
    ] {
        switch.ok("bond-add", bond(accepted));
        switch.ok("bond-del", json!({"port": "bond0"}));
    }
}

#[test]
fn each_mode_is_stored_and_others_are_refused_with_the_list() {
    let switch = switch_with_bridge();
    for (more, mode, lacp) in [
        (json!({}), "balance-slb", Value::Null),
        (json!({"mode": ""}), "balance-slb", Value::Null),
        (json!({"mode": "balance-slb"}), "balance-slb", Value::Null),
        (json!({"mode": "active-backup", "lacp": false}), "active-backup", Value::Null),
        (json!({"mode": "active-backup", "lacp": true}), "active-backup", json!("active")),
    ] {
        switch.ok("bond-add", bond(more));
        let found = port(&switch, "bond0");
        assert_eq!((&found["bond_mode"], &found["lacp"]), (&json!(mode), &lacp));
        switch.ok("bond-del", json!({"port": "bond0"}));
    }
    for wrong in [json!("802.3ad"), json!("Balance-slb"), json!("stable"), json!(1)] {
        let message = switch.refused("bond-add", bond(json!({"mode": wrong})));
        assert!(message.contains("\"mode\""), "{message}");
    }
    let message = switch.refused("bond-add", bond(json!({"mode": "802.3ad"})));
    assert!(["802.3ad", "active-backup", "balance-slb", "balance-tcp"].iter().all(|word| message.contains(word)));
}

#[test]
fn each_setting_reaches_its_column() {
    let switch = switch_with_bridge();
    for (more, path, value) in [
        (json!({"bond_updelay": 100}), "/bond_updelay", json!(100)),
        (json!({"bond_updelay": "31000"}), "/bond_updelay", json!(31000)),
        (json!({"bond_downdelay": 200}), "/bond_downdelay", json!(200)),
        (json!({"lacp_time": "fast"}), "/other_config/lacp-time", json!("fast")),
        (json!({"lacp_time": "slow"}), "/other_config/lacp-time", json!("slow")),
        (json!({"lacp_fallback": true}), "/other_config/lacp-fallback-ab", json!("true")),
        (json!({"lacp_fallback": false}), "/other_config/lacp-fallback-ab", json!("false")),
        (json!({"primary": "e2"}), "/other_config/bond-primary", json!("e2")),
        (
            json!({"options": {"other_config:bond-rebalance-interval": 0}}),
            "/other_config",
            json!({"bond-rebalance-interval": "0"}),
        ),
        (json!({"options": {"bond_updelay": 7, "tag": 3}, "bond_updelay": 100}), "/bond_updelay", json!(7)),
    ] {
        switch.ok("bond-add", bond(more.clone()));
        assert_eq!(port(&switch, "bond0").pointer(path), Some(&value), "{more}");
        switch.ok("bond-del", json!({"port": "bond0"}));
    }
    switch.ok("bond-add", bond(json!({"primary": "", "bond_updelay": 0})));
    assert!(port(&switch, "bond0")["other_config"].is_null());
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let switch = switch_with_bridge();
    for (more, words) in [
        (json!({"primary": "e3"}), ["\"primary\"", "not one of the links"]),
        (json!({"primary": 5}), ["\"primary\"", "5"]),
        (json!({"lacp_time": "often"}), ["\"lacp_time\"", "often"]),
        (json!({"lacp_fallback": "yes"}), ["\"lacp_fallback\"", "yes"]),
        (json!({"lacp": 1}), ["\"lacp\"", "1"]),
        (json!({"bond_updelay": -1}), ["\"bond_updelay\"", "-1"]),
        (json!({"bond_downdelay": "soon"}), ["\"bond_downdelay\"", "soon"]),
        (json!({"links": ["e1"]}), ["\"links\"", "more than one"]),
        (json!({"links": []}), ["\"links\"", "more than one"]),
        (json!({"links": ["e1", "e1"]}), ["\"links\"", "twice"]),
        (json!({"links": ["e1", ""]}), ["\"links\"", "empty"]),
        (json!({"links": ["e1", "a/b"]}), ["\"links\"", "a/b"]),
        (json!({"links": "e1"}), ["\"links\"", "e1"]),
        (json!({"options": {"updelay": 5}}), ["updelay", "did you mean bond_updelay"]),
    ] {
        let message = switch.refused("bond-add", bond(more));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn members_that_are_down_are_set_up_and_down_again_if_the_bond_fails() {
    let switch = switch_with_bridge();
    down(&switch, "e1");
    down(&switch, "e2");
    let failing = json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e3", "nodev"]});
    let message = switch.refused("bond-add", failing.clone());
    assert!(message.contains("nodev"), "{message}");
    assert!(!is_up(&switch, "e1") && is_up(&switch, "e3"), "e1 was down before, e3 was up");

    switch.refused("bond-add", bond(json!({"options": {"no_such": "1"}})));
    switch.refused("bond-add", bond(json!({"options": {"other_config:bond-detect-mode": "x", "tag": 5000}})));
    assert!(!is_up(&switch, "e1") && !is_up(&switch, "e2"));

    let mut unverified = failing;
    unverified["verify"] = json!(false);
    switch.ok("bond-add", unverified);
    assert!(is_up(&switch, "e1"), "what stays in the database has its members up");
    switch.ok("bond-del", json!({"port": "bond0"}));
    switch.ok("bond-add", bond(json!({})));
    assert!(is_up(&switch, "e1") && is_up(&switch, "e2"));
    // They are not the plugin's to set down again.
    switch.ok("bond-del", json!({"port": "bond0"}));
    assert!(is_up(&switch, "e1") && is_up(&switch, "e2"));
}

#[test]
fn a_member_that_is_added_is_set_up_and_down_again_if_it_does_not_work() {
    let switch = switch_with_bridge();
    switch.ok("bond-add", bond(json!({})));
    down(&switch, "e3");
    switch.ok("bond-member-add", json!({"port": "bond0", "link": "e3"}));
    assert!(is_up(&switch, "e3"));
    assert!(switch.refused("bond-member-add", json!({"port": "bond0", "link": "nodev"})).contains("No such device"));
    // lo is a device, but none that ovs-vswitchd takes.
    down(&switch, "lo");
    switch.refused("bond-member-add", json!({"port": "bond0", "link": "lo"}));
    assert!(!is_up(&switch, "lo"));
}

#[test]
fn the_same_bond_again_is_refused_and_told_to_be_the_same_whatever_the_order() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("bond-add", bond(json!({})));
    for (again, same) in [
        (bond(json!({})), true),
        (bond(json!({"links": ["e2", "e1"], "mode": "active-backup"})), true),
        (bond(json!({"bridge": "br1"})), true),
        (bond(json!({"links": ["e1", "e3"]})), false),
        (bond(json!({"links": ["e1", "e2", "e3"]})), false),
    ] {
        let message = switch.refused("bond-add", again.clone());
        assert!(message.contains("bond0") && message.contains("already exists on bridge br0"), "{message}");
        assert_eq!(message.contains("with the same members"), same, "{again}: {message}");
    }
    let other_name = json!({"bridge": "br0", "port": "bond1", "links": ["e1", "e2"]});
    let message = switch.refused("bond-add", other_name);
    assert!(message.contains("already exists on bridge br0 (in port bond0)"), "{message}");
}

#[test]
fn bond_del_takes_bonds_and_nothing_else() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e3"}));
    let before = switch.state();
    switch.ok("bond-add", bond(json!({"vlan": 5, "lacp": true})));
    for (arguments, words) in [
        (json!({"port": "nope"}), "no port named nope"),
        (json!({"port": "e1"}), "no port named e1"),
        (json!({"port": "e3"}), "not a bond"),
        (json!({"port": "br0"}), "local port"),
        (json!({"port": "bond0", "bridge": "br1"}), "it is on bridge br0"),
        (json!({"port": "bond0", "bridge": "nobr"}), "no bridge named nobr"),
        (json!({}), "\"port\": is missing"),
    ] {
        let message = switch.refused("bond-del", arguments);
        assert!(message.contains(words), "{message}");
    }
    switch.ok("bond-del", json!({"port": "bond0", "bridge": "br0"}));
    assert_eq!(switch.state(), before);
    assert!(switch.refused("bond-del", json!({"port": "bond0"})).contains("no port named bond0"));
}

#[test]
fn bond_member_add_refuses_whatever_is_in_use() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("bond-add", bond(json!({})));
    switch.ok("port-add", json!({"bridge": "br1", "port": "e3"}));
    for (arguments, words) in [
        (json!({"port": "bond0", "link": "e1"}), "e1 already exists on bridge br0 (in port bond0)"),
        (json!({"port": "bond0", "link": "e3"}), "e3 already exists on bridge br1"),
        (json!({"port": "bond0", "link": "br1"}), "bridge named br1 already exists"),
        (json!({"port": "bond0", "link": "a/b"}), "\"link\""),
        (json!({"port": "bond0", "link": "e3-p", "bridge": "br1"}), "it is on bridge br0"),
        (json!({"port": "nope", "link": "e3-p"}), "no port named nope"),
        (json!({"port": "bond0"}), "\"link\": is missing"),
    ] {
        let message = switch.refused("bond-member-add", arguments);
        assert!(message.contains(words), "{message}");
    }
    // The device of br1 is down, and stays so.
    switch.refused("bond-add", json!({"bridge": "br0", "port": "bond1", "links": ["e2-p", "br1"]}));
    switch.ok("bond-member-add", json!({"port": "bond0", "link": "e3-p", "bridge": "br0"}));
    assert_eq!(members(&switch), ["e1", "e2", "e3-p"]);
}

#[test]
fn a_port_becomes_a_bond_with_its_second_member_and_keeps_its_settings() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 7}));
    switch.ok("bond-member-add", json!({"port": "e1", "link": "e2"}));
    let found = port(&switch, "e1");
    assert_eq!(found["tag"], 7);
    assert_eq!(found["interfaces"].as_object().unwrap().len(), 2);
    switch.ok("bond-del", json!({"port": "e1"}));
}

#[test]
fn the_local_port_of_a_bridge_does_not_become_a_bond() {
    let switch = switch_with_bridge();
    let message = switch.refused("bond-member-add", json!({"port": "br0", "link": "e1"}));
    assert!(message.contains("br0") && message.contains("local port"), "{message}");
}

#[test]
fn bond_member_del_leaves_two_members_unless_forced_and_never_none() {
    let switch = switch_with_bridge();
    switch.ok("bond-add", bond(json!({"links": ["e1", "e2", "e3"], "lacp": true, "primary": "e1"})));
    for (arguments, words) in [
        (json!({"port": "bond0", "link": "e9"}), "no member e9; it has e1, e2, e3"),
        (json!({"port": "bond0", "link": "bond0"}), "no member bond0"),
        (json!({"port": "bond0", "link": "e1", "bridge": "nobr"}), "no bridge named nobr"),
        (json!({"port": "e1", "link": "e1"}), "no port named e1"),
        (json!({"port": "bond0", "link": "e1", "force": "yes"}), "\"force\""),
        (json!({"port": "br0", "link": "br0", "force": true}), "br0"),
    ] {
        let message = switch.refused("bond-member-del", arguments);
        assert!(message.contains(words), "{message}");
    }
    switch.ok("bond-member-del", json!({"port": "bond0", "link": "e3"}));
    assert_eq!(members(&switch), ["e1", "e2"]);
    for force in [json!({}), json!({"force": false})] {
        let mut call = json!({"port": "bond0", "link": "e2"});
        call.as_object_mut().unwrap().extend(force.as_object().unwrap().clone());
        assert!(switch.refused("bond-member-del", call).contains("\"force\": true"));
    }
    switch.ok("bond-member-del", json!({"port": "bond0", "link": "e2", "force": true}));
    assert_eq!(members(&switch), ["e1"]);
    assert_eq!(port(&switch, "bond0")["lacp"], "active");
    for force in [false, true] {
        let message = switch.refused("bond-member-del", json!({"port": "bond0", "link": "e1", "force": force}));
        assert!(message.contains("only interface"), "{message}");
    }
    // What was taken out is free again.
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    switch.ok("port-del", json!({"port": "bond0"}));
}
