//! Real frames, from one network namespace to another, through what the plugin has set up.

use std::thread;

use serde_json::json;

use crate::support::{Namespace, Switch};

/// A container of the host agent: a namespace whose device is attached to a bridge by `port-add`.
fn container(switch: &Switch, bridge: &str, port: &str, address: &str) -> Namespace {
    let container = attached(switch, port, address);
    switch.ok("port-add", json!({"bridge": bridge, "port": port}));
    container
}

/// A namespace whose device has its other end beside the switch, attached to nothing yet.
fn attached(switch: &Switch, port: &str, address: &str) -> Namespace {
    let container = Namespace::new();
    switch.net.veth_to(&container, port, "eth0");
    container.addr("eth0", address);
    container
}

/// No echo request from any of these namespaces to its address is answered. All are tried at once, to save time.
#[track_caller]
fn assert_apart(pairs: &[(&Namespace, &str)]) {
    let apart = thread::scope(|scope| {
        let tries: Vec<_> = pairs.iter().map(|(from, to)| scope.spawn(|| from.never_reaches(to))).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    for ((_, to), apart) in pairs.iter().zip(apart) {
        assert!(apart, "{to} is reached");
    }
}

#[test]
fn containers_on_one_vlan_reach_each_other_and_no_other() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "backplane"}));
    for vlan in [5, 6] {
        switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": vlan}));
    }
    let one = container(&switch, "vlbr5", "cont1-0", "10.0.0.1/24");
    let two = container(&switch, "vlbr5", "cont2-0", "10.0.0.2/24");
    let other = container(&switch, "vlbr6", "cont3-0", "10.0.0.3/24");
    let another = container(&switch, "vlbr6", "cont4-0", "10.0.0.4/24");
    // On the master itself, a port with a tag is on that VLAN, too.
    let tagged = attached(&switch, "e5", "10.0.0.5/24");
    switch.ok("port-add", json!({"bridge": "backplane", "port": "e5", "vlan": 5}));

    assert!(one.reaches("10.0.0.2") && two.reaches("10.0.0.1"));
    assert!(other.reaches("10.0.0.4") && another.reaches("10.0.0.3"));
    assert!(one.reaches("10.0.0.5") && tagged.reaches("10.0.0.2"));
    assert_apart(&[(&one, "10.0.0.3"), (&two, "10.0.0.4"), (&other, "10.0.0.1"), (&tagged, "10.0.0.4")]);

    // A VLAN's bridge takes its containers' connection along, and nobody else's.
    assert_eq!(switch.ok("bridge-del", json!({"bridge": "vlbr5"})), json!(""));
    assert_apart(&[(&one, "10.0.0.2")]);
    assert!(other.reaches("10.0.0.4"));

    // Ensured anew, it carries its VLAN again.
    switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": 5}));
    for port in ["cont1-0", "cont2-0"] {
        switch.ok("port-add", json!({"bridge": "vlbr5", "port": port}));
    }
    assert!(one.reaches("10.0.0.2") && one.reaches("10.0.0.5"));
    assert_apart(&[(&one, "10.0.0.3")]);
}

#[test]
fn a_port_that_was_taken_away_carries_nothing() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let one = container(&switch, "br0", "cont1-0", "10.0.0.1/24");
    let _two = container(&switch, "br0", "cont2-0", "10.0.0.2/24");
    assert!(one.reaches("10.0.0.2"));
    switch.ok("port-del", json!({"port": "cont2-0"}));
    assert_apart(&[(&one, "10.0.0.2")]);
}

#[test]
fn frames_of_a_vlan_are_tagged_on_the_wire_and_those_of_vlan_0_are_not() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "backplane"}));
    switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": 5}));
    switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": 0}));
    let five = container(&switch, "vlbr5", "cont1-0", "10.0.0.1/24");
    let untagged = container(&switch, "vlbr0", "cont2-0", "10.0.0.2/24");

    // Another machine on the wire, which was set up by other means.
    let other = Switch::new();
    other.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]);
    let others = [("v5", "10.0.0.5/24", "5"), ("v6", "10.0.0.6/24", "6"), ("v0", "10.0.0.10/24", "")];
    let others = others.map(|(port, address, tag)| {
        let namespace = attached(&other, port, address);
        // A port for untagged frames only: not a trunk, which a port without a tag would be.
        let tag = if tag.is_empty() { "vlan_mode=access".to_owned() } else { format!("tag={tag}") };
        other.vsctl(&["add-port", "br0", port, &tag]);
        namespace
    });
    switch.net.veth_to(&other.net, "uplink", "uplink");
    other.vsctl(&["add-port", "br0", "uplink"]);
    switch.ok("port-add", json!({"bridge": "backplane", "port": "uplink"}));

    assert!(five.reaches("10.0.0.5") && others[0].reaches("10.0.0.1"));
    assert!(untagged.reaches("10.0.0.10") && others[2].reaches("10.0.0.2"));
    assert_apart(&["10.0.0.6", "10.0.0.10", "10.0.0.2"].map(|address| (&five, address)));
    assert_apart(&["10.0.0.5", "10.0.0.6", "10.0.0.1"].map(|address| (&untagged, address)));
}

/// A host with a backplane over one wire, as the host agent sets it up.
fn host(address: &str) -> Switch {
    let switch = Switch::builder().start();
    switch.ok("bridge-add", json!({"bridge": "backplane"}));
    switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"}));
    // The device over which the VXLANs run.
    switch.net.up("vxbackend");
    switch.net.addr("vxbackend", address);
    switch
}

fn wire(one: &Switch, other: &Switch, device: &str) {
    one.net.veth_to(&other.net, device, device);
    for switch in [one, other] {
        switch.ok("port-add", json!({"bridge": "backplane", "port": device}));
    }
}

#[test]
fn two_hosts_reach_each_other_over_a_vxlan_and_another_one_is_apart() {
    let (a, b) = (host("192.168.0.1/24"), host("192.168.0.2/24"));
    wire(&a, &b, "eth0");
    assert!(a.net.reaches("192.168.0.2"), "the hosts themselves");
    for switch in [&a, &b] {
        for vxlan in [10001, 10002] {
            switch.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": vxlan}));
        }
    }
    let one = container(&a, "vxlbr10001", "cont1-0", "10.0.0.1/24");
    let two = container(&b, "vxlbr10001", "cont1-0", "10.0.0.2/24");
    let other = container(&b, "vxlbr10002", "cont2-0", "10.0.0.3/24");
    let another = container(&a, "vxlbr10002", "cont2-0", "10.0.0.4/24");
    assert!(one.reaches("10.0.0.2") && two.reaches("10.0.0.1"));
    assert!(other.reaches("10.0.0.4") && another.reaches("10.0.0.3"));
    assert_apart(&[(&one, "10.0.0.3"), (&one, "10.0.0.4"), (&two, "10.0.0.3"), (&other, "10.0.0.2")]);

    // The host agent's own tests delete the bridge on one of the hosts.
    a.ok("bridge-del", json!({"bridge": "vxlbr10001"}));
    assert_apart(&[(&one, "10.0.0.2"), (&two, "10.0.0.1")]);
    assert!(other.reaches("10.0.0.4"));

    a.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001}));
    a.ok("port-add", json!({"bridge": "vxlbr10001", "port": "cont1-0"}));
    assert!(one.reaches("10.0.0.2"));
    assert_apart(&[(&one, "10.0.0.3")]);
}

#[test]
fn a_vlan_and_a_vxlan_of_one_number_do_not_mix() {
    let switch = host("192.168.0.1/24");
    switch.ok("vlan-ensure", json!({"master": "backplane", "vlan": 100}));
    switch.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 100}));
    let one = container(&switch, "vlbr100", "cont1-0", "10.0.0.1/24");
    let _two = container(&switch, "vxlbr100", "cont2-0", "10.0.0.2/24");
    let three = container(&switch, "vxlbr100", "cont3-0", "10.0.0.3/24");
    assert!(three.reaches("10.0.0.2"));
    assert_apart(&[(&one, "10.0.0.2")]);
}

/// Two hosts whose backplanes are joined by a bond of two wires on one side, and two ports of one switch on the other.
fn bonded(arguments: serde_json::Value) -> (Switch, Switch) {
    let (host, upstream) = (Switch::new(), Switch::new());
    for switch in [&host, &upstream] {
        switch.ok("bridge-add", json!({"bridge": "br0"}));
    }
    for device in ["eth0", "eth1"] {
        host.net.veth_to(&upstream.net, device, device);
    }
    let mut bond = json!({"bridge": "br0", "port": "bond0", "links": ["eth0", "eth1"]});
    bond.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
    host.ok("bond-add", bond.clone());
    if bond["lacp"] == true {
        upstream.ok("bond-add", bond);
    } else {
        for device in ["eth0", "eth1"] {
            upstream.ok("port-add", json!({"bridge": "br0", "port": device}));
        }
    }
    (host, upstream)
}

#[track_caller]
fn assert_survives(arguments: serde_json::Value) {
    let (host, upstream) = bonded(arguments);
    let one = container(&host, "br0", "cont1-0", "10.0.0.1/24");
    let two = container(&upstream, "br0", "cont1-0", "10.0.0.2/24");
    assert!(one.reaches("10.0.0.2") && two.reaches("10.0.0.1"));
    for lost in ["eth0", "eth1"] {
        upstream.net.run(&["ip", "link", "set", "dev", lost, "down"]);
        assert!(one.reaches("10.0.0.2") && two.reaches("10.0.0.1"), "without {lost}");
        upstream.net.up(lost);
        assert!(one.reaches("10.0.0.2"), "with {lost} again");
    }
    for device in ["eth0", "eth1"] {
        upstream.net.run(&["ip", "link", "set", "dev", device, "down"]);
    }
    assert_apart(&[(&one, "10.0.0.2")]);
}

#[test]
fn a_bond_carries_traffic_and_survives_the_loss_of_either_member() {
    assert_survives(json!({}));
}

#[test]
fn a_bond_of_mode_active_backup_survives_the_loss_of_either_member() {
    assert_survives(json!({"mode": "active-backup"}));
}

#[test]
fn a_bond_with_lacp_survives_the_loss_of_either_member() {
    assert_survives(json!({"lacp": true, "lacp_time": "fast"}));
}

#[test]
fn a_bond_of_mode_balance_tcp_survives_the_loss_of_either_member() {
    assert_survives(json!({"mode": "balance-tcp", "lacp": true, "lacp_time": "fast"}));
}
