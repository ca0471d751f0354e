//! The cause of an error is stated only when it was checked.

use serde_json::{Value, json};

use super::support::{Switch, output_of};

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn port(name: &str, options: Value) -> Value {
    json!({"bridge": "br0", "port": name, "options": options})
}

/// What the command and, of the same port, the doctor say; nothing is left of the port.
fn told(switch: &Switch, mut call: Value) -> [String; 2] {
    let refused = switch.refused("port-add", call.clone());
    call["verify"] = json!(false);
    let name = call["port"].clone();
    switch.ok("port-add", call);
    let findings = switch.ok("doctor", json!({}))["findings"].clone();
    let broken = |finding: &&Value| finding["interface"] == name && finding["code"] == "interface-broken";
    let broken = findings.as_array().unwrap().iter().find(broken).unwrap_or_else(|| panic!("{findings:#}"));
    switch.ok("port-del", json!({"port": name}));
    [refused, broken["message"].as_str().unwrap().to_owned()]
}

#[test]
fn the_command_and_the_doctor_tell_the_same_checked_cause() {
    let switch = switch_with_bridge();
    switch.ok("port-add", port("tunnel", json!({"type": "vxlan", "options:remote_ip": "127.0.0.1"})));
    for (name, options, cause) in [
        ("nodev", json!({}), "(there is no network device named nodev)"),
        ("p1", json!({"type": "bogus"}), "(ovs-vswitchd knows no interface type \"bogus\")"),
        ("d1", json!({"type": "dpdk"}), "(ovs-vswitchd knows no interface type \"dpdk\")"),
        ("e1", json!({"type": "internal"}), "(a network device named e1 exists already)"),
        ("e1", json!({"type": "tap"}), "(a network device named e1 exists already)"),
        ("lo", json!({}), "(lo is the loopback device, which can't be a port)"),
        ("ovs-netdev", json!({}), "(Open vSwitch keeps the name ovs-netdev for a device of its own)"),
        ("vxlan_sys_4789", json!({}), "(Open vSwitch keeps the name vxlan_sys_4789 for a device of its own)"),
        (
            "v2",
            json!({"type": "vxlan", "options:remote_ip": "127.0.0.1", "options:key": "0"}),
            "(the tunnel interface tunnel has the same configuration)",
        ),
        ("v3", json!({"type": "vxlan"}), "vxlan type requires valid 'remote_ip' argument"),
    ] {
        for message in told(&switch, port(name, options)) {
            assert!(message.contains(cause), "{message:?} lacks {cause:?}");
            assert!(!message.contains("possible cause"), "{message}");
        }
    }
}

#[test]
fn what_a_wrong_setting_is_needs_no_further_cause() {
    let switch = switch_with_bridge();
    for options in [
        json!({"type": "patch"}),
        json!({"type": "patch", "options": "{peer=p2,other=x}"}),
        json!({"type": "gre", "options:remote_ip": "no address"}),
    ] {
        for message in told(&switch, port("p1", options)) {
            assert!(!message.contains('('), "{message}");
        }
    }
}

#[test]
fn a_device_of_the_bridges_name_is_told_as_what_is_in_the_way() {
    let switch = switch_with_bridge();
    let message = switch.refused("bridge-add", json!({"bridge": "e1"}));
    assert!(message.contains("(a network device named e1 exists already)"), "{message}");
}

#[test]
fn where_the_kernel_can_not_be_asked_a_cause_is_only_possible() {
    if Switch::database_is_in_docker() {
        println!("skipped: the container of the database has a network of its own");
        return;
    }
    let switch = switch_with_bridge();
    // Over TCP the switch is on another machine, as far as is known.
    let mut add_remote = switch.tool("ovs-appctl");
    add_remote.args(["--target", "ovsdb-server", "ovsdb-server/add-remote", "ptcp:6640:127.0.0.1"]);
    output_of(add_remote);
    let over_tcp =
        |call: Value| switch.prepare("port-add", call).env("OVS_PLUGIN_DB", "tcp:127.0.0.1:6640").run().failed();
    let message = over_tcp(port("nodev", json!({})));
    assert!(message.contains("(possible cause: there is no network device of that name)"), "{message}");
    // What the database tells needs no kernel.
    let message = over_tcp(port("p1", json!({"type": "bogus"})));
    assert!(message.contains("(ovs-vswitchd knows no interface type \"bogus\")"), "{message}");
}
