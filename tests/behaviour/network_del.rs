//! vlan-del and vxlan-del: whole or half-built networks, of whatever making, and nobody else's bridges.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_masters() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    for bridge in ["br0", "br1"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch
}

fn vlan(more: Value) -> Value {
    let mut arguments = json!({"master": "br0", "vlan": 5});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

fn patch(switch: &Switch, bridge: &str, port: &str, peer: &str, tag: &[&str]) {
    let peer = format!("options:peer={peer}");
    switch.vsctl(
        &[&["add-port", bridge, port][..], tag, &["--", "set", "Interface", port, "type=patch", &peer]].concat(),
    );
}

/// What the original makes for VLAN 5 of br0, which marks nothing.
fn original_vlan(switch: &Switch, bridge: &str) {
    switch.vsctl(&["add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"]);
    patch(switch, "br0", "vlbr5p", "vlbr5in", &["tag=5"]);
    patch(switch, bridge, "vlbr5in", "vlbr5p", &[]);
}

fn original_vxlan(switch: &Switch, bridge: &str) {
    let device = ["vtep6", "type", "vxlan", "id", "6", "group", "239.0.0.1", "dev", "br0", "dstport", "4789"];
    switch.net.run(&[&["ip", "link", "add"][..], &device].concat());
    switch.net.up("vtep6");
    switch.vsctl(&["add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"]);
    switch.vsctl(&["add-port", bridge, "vtep6"]);
}

#[test]
fn ensuring_and_deleting_any_number_of_times_leaves_nothing() {
    let switch = switch_with_masters();
    switch.unchanged_by(|| {
        for name in [json!({}), json!({"name": "net"}), json!({})] {
            for (id, bridge) in [(0, "vlbr0"), (5, "vlbr5"), (4094, "vlbr4094")] {
                let arguments = vlan(json!({"vlan": id}));
                let mut ensure = arguments.clone();
                ensure.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
                let made = switch.ok("vlan-ensure", ensure);
                assert_eq!(made, name.get("name").cloned().unwrap_or_else(|| json!(bridge)));
                assert_eq!(switch.ok("vlan-del", arguments), made);
            }
            let mut ensure = json!({"master": "br0", "vxlan": 6});
            ensure.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
            let made = switch.ok("vxlan-ensure", ensure);
            assert!(switch.net.has_link("vtep6"));
            assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 6})), made);
        }
    });
}

#[test]
fn networks_on_top_of_each_other_go_one_by_one() {
    let switch = switch_with_masters();
    switch.unchanged_by(|| {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 2313, "name": "vxbackend"}));
        switch.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 6}));
        switch.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 7}));
        assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 7, "master": "vxbackend"})), "vxlbr7");
        assert!(switch.net.has_link("vtep6") && !switch.net.has_link("vtep7"));
        assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 6, "master": "vxbackend"})), "vxlbr6");
        assert_eq!(switch.ok("vlan-del", json!({"master": "br0", "vlan": 2313, "name": "vxbackend"})), "vxbackend");
    });
}

#[test]
fn only_the_network_that_is_asked_for_goes() {
    let switch = switch_with_masters();
    for id in [5, 50, 55] {
        switch.ok("vlan-ensure", vlan(json!({"vlan": id})));
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": id}));
    }
    let before = switch.state();
    switch.ok("vlan-ensure", json!({"master": "br1", "vlan": 6}));
    switch.ok("vxlan-ensure", json!({"master": "br1", "vxlan": 6}));
    switch.ok("vlan-del", json!({"master": "br1", "vlan": 6}));
    switch.ok("vxlan-del", json!({"master": "br1", "vxlan": 6}));
    assert_eq!(switch.state(), before);
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let switch = switch_with_masters();
    switch.ok("vlan-ensure", json!({"master": "br1", "vlan": 7}));
    for (command, arguments, words) in [
        ("vlan-del", vlan(json!({})), "VLAN 5 has no bridge on master br0"),
        ("vlan-del", vlan(json!({"force": true})), "VLAN 5 has no bridge on master br0"),
        ("vlan-del", vlan(json!({"name": "nobr"})), "VLAN 5 has no bridge on master br0"),
        ("vlan-del", vlan(json!({"master": "nobr"})), "nobr does not exist"),
        ("vlan-del", vlan(json!({"vlan": 4095})), "\"vlan\""),
        ("vlan-del", json!({"vlan": 5}), "\"master\": is missing"),
        ("vlan-del", json!({"master": "br0"}), "\"vlan\": is missing"),
        ("vlan-del", vlan(json!({"vlan": 7})), "vlbr7p is on bridge br1, not on br0"),
        ("vxlan-del", json!({"vxlan": 6}), "VXLAN 6 has neither a bridge nor a device"),
        ("vxlan-del", json!({"vxlan": 0}), "\"vxlan\""),
        ("vxlan-del", json!({}), "\"vxlan\": is missing"),
    ] {
        let message = switch.refused(command, arguments);
        assert!(message.contains(words), "{command}: {message}");
    }
}

#[test]
fn ports_of_others_hold_a_network_unless_it_is_forced() {
    let switch = switch_with_masters();
    let before = switch.state();
    switch.ok("vlan-ensure", vlan(json!({"name": "five"})));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
    switch.ok("port-add", json!({"bridge": "five", "port": "e2"}));
    switch.ok("port-add", json!({"bridge": "five", "port": "e1"}));
    switch.ok("bond-add", json!({"bridge": "vxlbr6", "port": "bond0", "links": ["e1-p", "e2-p"]}));
    for (command, arguments, words) in [
        ("vlan-del", vlan(json!({})), "bridge five still has the ports e1, e2; \"force\": true"),
        ("vlan-del", vlan(json!({"force": false})), "bridge five still has the ports e1, e2"),
        ("vxlan-del", json!({"vxlan": 6}), "bridge vxlbr6 still has the ports bond0; \"force\": true"),
        ("vlan-del", vlan(json!({"force": 1})), "\"force\""),
        // Force is about ports, not about whose network it is.
        ("vlan-del", vlan(json!({"force": true, "name": "other"})), "five, not other"),
        ("vlan-del", vlan(json!({"force": true, "master": "br1"})), "on bridge br0, not on br1"),
        ("vxlan-del", json!({"vxlan": 6, "force": true, "name": "other"}), "vxlbr6, not other"),
        ("vxlan-del", json!({"vxlan": 6, "force": true, "master": "br1"}), "runs over br0, not over br1"),
    ] {
        let message = switch.refused(command, arguments);
        assert!(message.contains(words), "{command}: {message}");
    }
    switch.ok("vlan-del", vlan(json!({"force": true})));
    switch.ok("vxlan-del", json!({"vxlan": 6, "force": true}));
    assert_eq!(switch.state(), before);
    // The devices of others are only detached.
    assert!(["e1", "e2", "e1-p", "e2-p"].iter().all(|device| switch.net.has_link(device)));
}

#[test]
fn a_network_over_which_another_runs_is_held_by_it() {
    let switch = switch_with_masters();
    switch.ok("vlan-ensure", vlan(json!({"name": "net"})));
    switch.ok("vlan-ensure", json!({"master": "net", "vlan": 9}));
    let message = switch.refused("vlan-del", vlan(json!({})));
    assert!(message.contains("net still has the ports vlbr9p"), "{message}");
    switch.ok("vlan-del", json!({"master": "net", "vlan": 9}));
    switch.ok("vlan-del", vlan(json!({})));
}

#[test]
fn half_of_a_vlan_goes_too() {
    for (what, break_it) in [
        ("only the port on the master", &["del-br", "vlbr5"][..]),
        ("only the bridge", &["del-port", "vlbr5p", "--", "del-port", "vlbr5in"]),
        ("the bridge with its port", &["del-port", "vlbr5p"]),
        ("the bridge without its port", &["del-port", "vlbr5in"]),
    ] {
        let switch = switch_with_masters();
        let before = switch.dump();
        switch.ok("vlan-ensure", vlan(json!({})));
        switch.vsctl(break_it);
        assert_eq!(switch.ok("vlan-del", vlan(json!({}))), "vlbr5", "{what}");
        switch.unchanged_by(|| assert!(switch.refused("vlan-del", vlan(json!({}))).contains("no bridge"), "{what}"));
        assert_eq!(switch.dump(), before, "{what}");
    }
}

#[test]
fn half_of_a_named_vlan_goes_by_its_mark() {
    let switch = switch_with_masters();
    let before = switch.dump();
    switch.ok("vlan-ensure", vlan(json!({"name": "five"})));
    switch.vsctl(&["del-port", "vlbr5p", "--", "del-port", "vlbr5in"]);
    assert_eq!(switch.ok("vlan-del", vlan(json!({"name": "five"}))), "five");
    assert_eq!(switch.dump(), before);

    switch.ok("vlan-ensure", vlan(json!({"name": "five"})));
    switch.vsctl(&["del-port", "vlbr5p", "--", "del-port", "vlbr5in"]);
    assert_eq!(switch.ok("vlan-del", vlan(json!({}))), "five", "without its name");
    assert_eq!(switch.dump(), before);
}

#[test]
fn half_of_a_vxlan_goes_too() {
    for what in ["device", "bridge", "bridge with port", "bridge and device"] {
        let switch = switch_with_masters();
        let before = switch.dump();
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 6}));
        match what {
            "device" => drop(switch.vsctl(&["del-br", "vxlbr6"])),
            "bridge and device" => drop(switch.vsctl(&["del-port", "vtep6"])),
            "bridge with port" => drop(switch.net.run(&["ip", "link", "del", "vtep6"])),
            _ => {
                switch.vsctl(&["del-port", "vtep6"]);
                switch.net.run(&["ip", "link", "del", "vtep6"]);
            }
        }
        assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 6})), "vxlbr6", "{what}");
        assert!(switch.refused("vxlan-del", json!({"vxlan": 6})).contains("VXLAN 6 has neither"), "{what}");
        assert_eq!(switch.dump(), before, "{what}");
    }
}

#[test]
fn what_the_original_made_goes_under_its_default_and_under_another_name() {
    for bridge in ["vlbr5", "net5"] {
        let switch = switch_with_masters();
        let before = switch.dump();
        original_vlan(&switch, bridge);
        assert_eq!(switch.ok("vlan-del", vlan(json!({}))), bridge);
        assert_eq!(switch.dump(), before, "{bridge}");
    }
    for bridge in ["vxlbr6", "net6"] {
        let switch = switch_with_masters();
        let before = switch.dump();
        original_vxlan(&switch, bridge);
        assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 6, "master": "br0"})), bridge);
        assert_eq!(switch.dump(), before, "{bridge}");
    }
    // Half of it: only a bridge of the default name.
    let switch = switch_with_masters();
    let before = switch.dump();
    for (command, arguments, bridge) in
        [("vlan-del", vlan(json!({})), "vlbr5"), ("vxlan-del", json!({"vxlan": 6}), "vxlbr6")]
    {
        switch.vsctl(&["add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"]);
        assert_eq!(switch.ok(command, arguments), bridge);
    }
    assert_eq!(switch.dump(), before);
}

#[test]
fn a_bridge_that_merely_has_the_name_is_not_touched() {
    let switch = switch_with_masters();
    // bridge-add marks what it makes, so it is known to be somebody's own.
    switch.ok("bridge-add", json!({"bridge": "vlbr5"}));
    switch.ok("bridge-add", json!({"bridge": "vxlbr6"}));
    switch.ok("vlan-ensure", vlan(json!({"vlan": 8, "name": "vlbr9"})));
    switch.vsctl(&["add-br", "vlbr10", "br0", "10"]);
    for force in [false, true] {
        for (command, arguments) in [
            ("vlan-del", vlan(json!({"force": force}))),
            ("vlan-del", vlan(json!({"force": force, "name": "vlbr5"}))),
            ("vlan-del", vlan(json!({"force": force, "name": "br1"}))),
            ("vlan-del", vlan(json!({"force": force, "name": "br0"}))),
            ("vlan-del", vlan(json!({"force": force, "vlan": 9}))),
            ("vlan-del", vlan(json!({"force": force, "vlan": 10}))),
            ("vxlan-del", json!({"vxlan": 6, "force": force})),
            ("vxlan-del", json!({"vxlan": 6, "force": force, "name": "br1"})),
        ] {
            switch.refused(command, arguments);
        }
    }
}

#[test]
fn the_master_never_goes_with_its_networks() {
    // The network's own port was put onto the master itself.
    let switch = switch_with_masters();
    patch(&switch, "br0", "vlbr5p", "vlbr5in", &["tag=5"]);
    patch(&switch, "br0", "vlbr5in", "vlbr5p", &[]);
    let device = ["vtep6", "type", "vxlan", "id", "6", "group", "239.0.0.1", "dev", "br1", "dstport", "4789"];
    switch.net.run(&[&["ip", "link", "add"][..], &device].concat());
    switch.vsctl(&["add-port", "br1", "vtep6"]);
    for force in [false, true] {
        let message = switch.refused("vlan-del", vlan(json!({"force": force})));
        assert!(message.contains("br0"), "{message}");
        let message = switch.refused("vxlan-del", json!({"vxlan": 6, "force": force}));
        assert!(message.contains("br1"), "{message}");
    }
}

#[test]
fn a_device_that_is_no_vxlan_stays() {
    let switch = switch_with_masters();
    switch.net.veth("vtep6", "vtep6-p");
    assert!(switch.refused("vxlan-del", json!({"vxlan": 6})).contains("VXLAN 6"));
    // Another VNI under this name is not this network's device either.
    let device = ["vtep7", "type", "vxlan", "id", "77", "group", "239.0.0.1", "dev", "br0", "dstport", "4789"];
    switch.net.run(&[&["ip", "link", "add"][..], &device].concat());
    assert!(switch.refused("vxlan-del", json!({"vxlan": 7})).contains("VXLAN 7"));
    assert!(switch.net.has_link("vtep6") && switch.net.has_link("vtep7"));
}

#[test]
fn patch_ports_that_others_point_into_the_bridge_go_with_it() {
    let switch = switch_with_masters();
    switch.ok("vlan-ensure", vlan(json!({})));
    patch(&switch, "vlbr5", "mine", "theirs", &[]);
    patch(&switch, "br1", "theirs", "mine", &[]);
    let message = switch.refused("vlan-del", vlan(json!({})));
    assert!(message.contains("the ports mine"), "{message}");
    switch.ok("vlan-del", vlan(json!({"force": true})));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br1"})), json!([]));
}
