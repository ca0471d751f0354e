//! The bootstrap that README.md documents, as it stands there.

use serde_json::{Value, json};

use super::devices::answer_for_own_addresses_only;
use super::support::{Namespace, Switch};

/// The calls of the bootstrap: command, JSON, and the answer that is shown.
fn documented() -> Vec<(String, Value, Value)> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let chapter = text.split("\n## ").find(|chapter| chapter.starts_with("The documented bootstrap")).unwrap();
    let block = chapter.split("```").nth(1).unwrap();
    let calls = block.split("$ ovs-plugin ").skip(1).map(|call| {
        let (line, answer) = call.split_once('\n').unwrap();
        let (command, json) = line.split_once(' ').unwrap();
        let json = json.trim().strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
        let answer = answer.strip_prefix("20:::").unwrap().strip_suffix("\n\n:::\n").unwrap();
        (command.to_owned(), serde_json::from_str(json).unwrap(), serde_json::from_str(answer).unwrap())
    });
    calls.collect()
}

#[test]
fn after_the_documented_bootstrap_nothing_is_wrong_and_the_vxlan_carries_traffic() {
    let calls = documented();
    assert_eq!(calls.len(), 3, "{calls:?}");
    let switch = Switch::new();
    for (command, arguments, expected) in calls {
        let answer = switch.plugin(&command, arguments);
        assert_eq!(answer.stderr, "", "{command}: nothing to warn of");
        assert_eq!(answer.ok(), expected, "{command}");
    }
    let diagnosis = switch.ok("doctor", json!({}));
    assert_eq!((&diagnosis["errors"], &diagnosis["warnings"]), (&json!(0), &json!(0)), "{diagnosis:#}");

    // Another node on VLAN 2313 of the backplane, with the same VXLAN by the kernel alone. A veth leaves checksums to a
    // network card that is not there, so it has to do without; and a port must not answer in the bridge's place.
    answer_for_own_addresses_only(&switch.net);
    let node = Namespace::new();
    switch.net.veth_to(&node, "node2", "eth0");
    switch.ok("port-add", json!({"bridge": "backplane", "port": "node2", "vlan": 2313}));
    node.addr("eth0", "10.240.0.2/24");
    assert!(node.reaches("10.240.0.1"));
    let vxlan = "link add vxlan10001 type vxlan id 10001 group 239.0.0.40 dev eth0 dstport 8472 noudpcsum";
    node.run(&["ip"].into_iter().chain(vxlan.split(' ')).collect::<Vec<_>>());
    node.addr("vxlan10001", "10.1.0.2/24");
    node.up("vxlan10001");
    let container = Namespace::new();
    switch.net.veth_to(&container, "cont1", "eth0");
    switch.ok("port-add", json!({"bridge": "vxlbr10001", "port": "cont1"}));
    container.addr("eth0", "10.1.0.1/24");
    assert!(container.reaches("10.1.0.2") && node.reaches("10.1.0.1"));
}
