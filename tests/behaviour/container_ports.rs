//! Ports that containers left behind: the host agent uses ids again, so port-add takes them over.

use serde_json::json;

use super::support::Switch;

/// A switch with a port of this name on br1, with settings of its own.
fn with_stale(name: &str) -> Switch {
    let switch = Switch::builder().veth(name, "peer").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    let options = json!({"external_ids:old": "1", "ingress_policing_rate": 5, "port.other_config:old": "1"});
    switch.ok("port-add", json!({"bridge": "br1", "port": name, "vlan": 9, "mtu": 1300, "options": options}));
    switch
}

#[test]
fn a_port_of_a_container_that_is_gone_is_taken_over_from_any_bridge() {
    for name in ["cont5-0", "contm12-3"] {
        for bridge in ["br0", "br1"] {
            let switch = with_stale(name);
            let call = json!({"bridge": bridge, "port": name, "options": {"external_ids:new": "2"}, "report": true});
            let answer = switch.plugin("port-add", call);
            assert!(answer.stderr.contains(name) && answer.stderr.contains("taken over"), "{}", answer.stderr);
            let report = answer.ok();
            assert!(report["notes"][0].as_str().unwrap().contains("taken over"), "{report}");
            let state = switch.state();
            let port = &state["bridges"][bridge]["ports"][name];
            assert!(port["tag"].is_null() && port["other_config"].is_null(), "{port}");
            let interface = &port["interfaces"][name];
            assert_eq!(interface["external_ids"], json!({"new": "2"}));
            assert!(interface["mtu_request"].is_null() && interface["ingress_policing_rate"].is_null(), "{interface}");
            assert_eq!(interface["attached"], json!(true));
            let other = if bridge == "br0" { "br1" } else { "br0" };
            assert!(state["bridges"][other]["ports"][name].is_null());
        }
    }
}

#[test]
fn every_other_name_that_is_taken_is_refused() {
    for name in ["cont5-0p", "cont5", "contx-0", "eth0"] {
        let switch = with_stale(name);
        for bridge in ["br0", "br1"] {
            let message = switch.refused("port-add", json!({"bridge": bridge, "port": name}));
            assert!(message.contains(name) && message.contains("br1"), "{message}");
        }
    }
}

#[test]
fn a_bridge_or_a_bond_member_of_such_a_name_is_not_a_port_to_take_over() {
    let switch = Switch::builder().veth("cont1-0", "a").veth("e1", "b").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "cont2-0"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["cont1-0", "e1"]}));
    for name in ["cont1-0", "cont2-0"] {
        let message = switch.refused("port-add", json!({"bridge": "br0", "port": name}));
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn if_the_new_port_does_not_work_the_old_one_is_back() {
    let switch = with_stale("cont5-0");
    switch.net.run(&["ip", "link", "del", "cont5-0"]);
    // The row that comes back has another identity, so only what it holds can be compared.
    let before = switch.state();
    let message = switch.plugin("port-add", json!({"bridge": "br0", "port": "cont5-0", "vlan": 3})).failed();
    assert!(message.contains("No such device") && message.contains("taken back"), "{message}");
    let mut after = switch.state();
    let port = &mut after["bridges"]["br1"]["ports"]["cont5-0"];
    assert_eq!((&port["tag"], &port["other_config"]), (&json!(9), &json!({"old": "1"})));
    // Without its device it no longer has a number, which it had kept until somebody looked again.
    port["interfaces"]["cont5-0"]["attached"] = json!(true);
    assert_eq!(after, before);
}
