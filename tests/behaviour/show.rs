//! ovs.show: the switch as a tree.

use serde_json::{Value, json};

use super::support::Switch;

#[track_caller]
fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().unwrap().iter().find(|element| element["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|element| element["name"].as_str().unwrap()).collect()
}

#[test]
fn everything_that_was_configured_is_shown() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0", "options": {"fail_mode": "secure", "rstp_enable": true}}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5, "trunks": [7, "9-10"]}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"], "mode": "balance-slb"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 10001}));
    switch.vsctl(&["set-controller", "br0", "tcp:127.0.0.1:9"]);
    switch.vsctl(&["set-manager", "ptcp:0:127.0.0.1"]);
    let options = "options:remote_ip=127.0.0.9";
    switch.vsctl(&["add-port", "br0", "tun", "--", "set", "interface", "tun", "type=vxlan", options, "options:key=77"]);

    let picture = switch.ok("show", json!({}));
    assert_eq!(names(&picture["bridges"]), ["br0", "five", "vxlbr10001"]);
    assert_eq!(picture["cur_cfg"], picture["next_cfg"]);
    assert_eq!(picture["managers"], json!([{"target": "ptcp:0:127.0.0.1", "connected": false}]));

    let br0 = named(&picture["bridges"], "br0");
    assert_eq!(br0["datapath_type"], "netdev");
    assert_eq!((&br0["fail_mode"], &br0["stp"], &br0["rstp"]), (&json!("secure"), &json!(false), &json!(true)));
    assert_eq!(br0["controllers"], json!([{"target": "tcp:127.0.0.1:9", "connected": false}]));
    assert_eq!(br0["mark"], "bridge");
    assert_eq!(br0.get("network"), None);
    assert_eq!(names(&br0["ports"]), ["bond0", "br0", "e1", "tun", "vlbr5p"]);

    let e1 = named(&br0["ports"], "e1");
    assert_eq!((&e1["tag"], &e1["trunks"], &e1["mark"]), (&json!(5), &json!([7, 9, 10]), &json!("port")));
    let interface = &e1["interfaces"][0];
    assert_eq!((&interface["type"], &interface["mtu"]), (&json!("system"), &json!(1500)));
    assert_eq!((&interface["admin_state"], &interface["link_state"]), (&json!("up"), &json!("up")));
    assert!(interface["ofport"].as_i64().unwrap() > 0);
    assert!(switch.net.run(&["ip", "link", "show", "e1"]).contains(interface["mac"].as_str().unwrap()));

    let bond = named(&br0["ports"], "bond0");
    assert_eq!((&bond["bond"]["mode"], &bond["bond"]["lacp"]), (&json!("balance-slb"), &json!("off")));
    assert_eq!(names(&bond["interfaces"]), ["e2", "e3"]);

    let tunnel = &named(&br0["ports"], "tun")["interfaces"][0]["tunnel"];
    assert_eq!((&tunnel["remote"], &tunnel["vni"]), (&json!("127.0.0.9"), &json!("77")));

    let outer = named(&br0["ports"], "vlbr5p");
    assert_eq!((&outer["tag"], &outer["mark"]), (&json!(5), &json!("vlan:5")));
    assert_eq!(outer["interfaces"][0]["patch"], json!({"peer": "vlbr5in", "bridge": "five"}));

    let five = named(&picture["bridges"], "five");
    assert_eq!(five["network"], json!({"kind": "vlan", "id": 5, "master": "br0"}));
    assert_eq!(five["mark"], "vlan:5");
    let overlay = named(&picture["bridges"], "vxlbr10001");
    assert_eq!(overlay["network"], json!({"kind": "vxlan", "id": 10001}));
}

#[test]
fn a_bond_tells_its_active_member_by_name() {
    let switch = Switch::builder().veth("e2", "e2-p").veth("e3", "e3-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let bond =
        json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"], "mode": "active-backup", "primary": "e3"});
    switch.ok("bond-add", bond);
    let active = || {
        let picture = switch.ok("show", json!({}));
        named(&picture["bridges"][0]["ports"], "bond0")["bond"]["active_member"].clone()
    };
    let limit = std::time::Duration::from_secs(15);
    assert!(super::support::wait_until(limit, || active() == "e3"), "{}", active());
}

#[test]
fn one_bridge_alone_is_shown_on_demand() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let picture = switch.ok("show", json!({"bridge": "vlbr5"}));
    assert_eq!(names(&picture["bridges"]), ["vlbr5"]);
    // It still knows of the others.
    let inner = named(&picture["bridges"][0]["ports"], "vlbr5in");
    assert_eq!(inner["interfaces"][0]["patch"]["bridge"], "br0");
    assert!(switch.refused("show", json!({"bridge": "nope"})).contains("no bridge named nope"));
}

#[test]
fn vlan_bridges_of_ovs_vsctl_are_shown_with_their_ports() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&["add-br", "seven", "br0", "7", "--", "add-port", "seven", "e1", "--", "add-port", "br0", "e2"]);
    let picture = switch.ok("show", json!({}));
    for bridge in ["br0", "seven"] {
        let mut ports = names(&named(&picture["bridges"], bridge)["ports"]);
        ports.retain(|port| *port != bridge);
        let expected = switch.vsctl(&["list-ports", bridge]);
        assert_eq!(ports, expected.lines().collect::<Vec<_>>(), "{bridge}");
    }
    let seven = named(&picture["bridges"], "seven");
    assert_eq!(seven["parent"], json!({"bridge": "br0", "vlan": 7}));
    assert_eq!(seven["datapath_type"], "netdev");
    assert_eq!(named(&picture["bridges"], "br0").get("parent"), None);
}

#[test]
fn an_interface_that_does_not_work_is_shown_with_its_error() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let picture = switch.ok("show", json!({}));
    let interface = &named(&picture["bridges"][0]["ports"], "nodev")["interfaces"][0];
    assert!(interface["error"].as_str().unwrap().contains("No such device"), "{interface}");
}

#[test]
fn secrets_are_not_shown() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let options = ["options:remote_ip=127.0.0.9", "options:psk=geheim"];
    switch.vsctl(&["add-port", "br0", "tun", "--", "set", "interface", "tun", "type=vxlan", options[0], options[1]]);
    let answer = switch.plugin("show", json!({}));
    assert!(!answer.stdout.contains("geheim"), "{}", answer.stdout);
    assert!(answer.stdout.contains("(hidden)"), "{}", answer.stdout);
}

#[test]
fn ten_thousand_ports_are_shown() {
    let switch = Switch::builder().without_vswitchd().start();
    let mut operations = Vec::new();
    let mut bridges = Vec::new();
    for bridge in 0..10 {
        let mut ports = Vec::new();
        for port in 0..1_000 {
            let (name, id) = (format!("p{bridge}-{port}"), format!("{bridge}_{port}"));
            let interface = json!({"name": name, "type": "internal"});
            operations
                .push(json!({"op": "insert", "table": "Interface", "row": interface, "uuid-name": format!("i{id}")}));
            let row = json!({"name": name, "interfaces": ["named-uuid", format!("i{id}")], "tag": port});
            operations.push(json!({"op": "insert", "table": "Port", "row": row, "uuid-name": format!("p{id}")}));
            ports.push(json!(["named-uuid", format!("p{id}")]));
        }
        let row = json!({"name": format!("b{bridge}"), "ports": ["set", ports]});
        operations.push(json!({"op": "insert", "table": "Bridge", "row": row, "uuid-name": format!("b{bridge}")}));
        bridges.push(json!(["named-uuid", format!("b{bridge}")]));
    }
    let mutations = json!([["bridges", "insert", ["set", bridges]]]);
    operations.push(json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutations}));
    switch.transact(&operations);
    let picture = switch.ok("show", json!({}));
    let ports = picture["bridges"].as_array().unwrap().iter().map(|bridge| bridge["ports"].as_array().unwrap().len());
    assert_eq!(ports.collect::<Vec<_>>(), [1_000; 10]);
    let port = named(&picture["bridges"][3]["ports"], "p3-77");
    assert_eq!((&port["tag"], &port["interfaces"][0]["name"]), (&json!(77), &json!("p3-77")));
}
