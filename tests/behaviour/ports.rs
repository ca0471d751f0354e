//! port-add and port-del.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_bridges() -> Switch {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").veth("e3", "c").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch
}

fn refused(switch: &Switch, command: &str, arguments: Value, words: &str) {
    let message = switch.refused(command, arguments.clone());
    assert!(message.contains(words), "{command} {arguments}: {message:?} lacks {words:?}");
}

#[test]
fn a_port_is_untagged_or_on_the_vlan_asked_for() {
    let switch = switch_with_bridges();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2", "vlan": 0}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e3", "vlan": "4095"}));
    let ports = switch.state()["bridges"]["br0"]["ports"].clone();
    assert!(ports["e1"]["tag"].is_null() && ports["e2"]["tag"].is_null());
    assert_eq!(ports["e3"]["tag"], json!(4095));
    for name in ["e1", "e2", "e3"] {
        assert_eq!(ports[name]["interfaces"][name]["attached"], json!(true));
    }
}

#[test]
fn options_go_to_the_interface_and_with_their_prefix_to_the_port() {
    let switch = switch_with_bridges();
    let options =
        json!({"type": "internal", "external_ids:a": "b:c", "port.external_ids:d": 5, "port.protected": true});
    switch.ok("port-add", json!({"bridge": "br0", "port": "in0", "options": options}));
    let port = &switch.state()["bridges"]["br0"]["ports"]["in0"];
    assert_eq!((&port["external_ids"], &port["protected"]), (&json!({"d": "5"}), &json!(true)));
    assert_eq!(port["interfaces"]["in0"]["external_ids"], json!({"a": "b:c"}));
    assert!(switch.net.has_link("in0"));
    let tunnel = json!({"type": "vxlan", "options:remote_ip": "127.0.0.9", "options:key": 7});
    switch.ok("port-add", json!({"bridge": "br0", "port": "a-tunnel-of-a-long-name", "options": tunnel}));
}

#[test]
fn what_cannot_be_added_is_refused_with_the_reason() {
    let switch = switch_with_bridges();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let add = |bridge: &str, port: &str, more: Value| {
        let mut arguments = json!({"bridge": bridge, "port": port});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    for (arguments, words) in [
        (add("br0", "e1", json!({})), "a port named e1 already exists on bridge br0"),
        (add("br1", "e1", json!({})), "a port named e1 already exists on bridge br0"),
        (add("br0", "br1", json!({})), "a bridge named br1 already exists"),
        (add("nobr", "e2", json!({})), "no bridge named nobr"),
        (add("nobr", "e1", json!({})), "a port named e1 already exists"),
        (add("br0", "", json!({})), "port"),
        (add("br0", "e2", json!({"vlan": 4096})), "0 to 4095"),
        (add("br0", "e2", json!({"vlan": "five"})), "five"),
        (add("br0", "e2", json!({"options": {"nosuch": 1}})), "nosuch"),
        (add("br0", "e2", json!({"options": {"port.updelay": 1}})), "bond_updelay"),
        (add("br0", "e2", json!({"options": {"mtu_request": 0}})), "less than minimum"),
        (add("br0", "sixteen-bytes-ab", json!({"options": {"type": "internal"}})), "15 bytes"),
        (add("br0", "--", json!({})), "No such device"),
        (add("br0", "-- del-br br0", json!({})), "white space"),
    ] {
        refused(&switch, "port-add", arguments, words);
    }
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
}

#[test]
fn a_port_is_taken_from_its_own_bridge_only() {
    let switch = switch_with_bridges();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    for (arguments, words) in [
        (json!({"port": "nope"}), "no port named nope"),
        (json!({"port": "e2"}), "no port named e2"),
        (json!({"port": "br0"}), "it is the local port for bridge br0"),
        (json!({"port": "e1", "bridge": "br1"}), "bridge br1 does not have a port e1 (it is on bridge br0)"),
        (json!({"port": "e1", "bridge": "nobr"}), "no bridge named nobr"),
        (json!({"port": "--", "bridge": "e1"}), "no port named --"),
        (json!({}), "\"port\": is missing"),
    ] {
        refused(&switch, "port-del", arguments, words);
    }
    switch.ok("port-del", json!({"port": "e1", "bridge": "br0"}));
    switch.ok("port-del", json!({"port": "bond0", "bridge": ""}));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!([]));
    refused(&switch, "port-del", json!({"port": "e1"}), "no port named e1");
}

#[test]
fn ports_of_a_vlan_bridge_of_ovs_vsctl_have_its_tag() {
    let switch = switch_with_bridges();
    switch.vsctl(&["add-br", "fake7", "br0", "7"]);
    switch.ok("port-add", json!({"bridge": "fake7", "port": "e1"}));
    switch.ok("port-add", json!({"bridge": "fake7", "port": "e2", "vlan": 9}));
    let ports = switch.state()["bridges"]["br0"]["ports"].clone();
    assert_eq!((&ports["e1"]["tag"], &ports["e2"]["tag"]), (&json!(7), &json!(9)));
    refused(&switch, "port-del", json!({"port": "e1", "bridge": "br0"}), "although its child bridge fake7 does");
    refused(&switch, "port-del", json!({"port": "fake7"}), "local port");
    switch.ok("port-del", json!({"port": "e1", "bridge": "fake7"}));
}
