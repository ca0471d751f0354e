//! A change of a bridge is looked at on all of its interfaces, and one that takes its datapath away is taken back.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Switch, wait_until};

fn switch_with_port() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch
}

fn set(bridge: &str, values: Value) -> Value {
    json!({"table": "Bridge", "record": bridge, "values": values})
}

fn datapath_type(kind: &str) -> Value {
    json!({"datapath_type": kind})
}

/// How many ports a bridge really has, which the database does not tell of a bridge that has lost its datapath.
fn ports_of_datapath(switch: &Switch) -> usize {
    let pid = std::fs::read_to_string(switch.directory().join("ovs-vswitchd.pid")).unwrap();
    let socket = switch.directory().join(format!("ovs-vswitchd.{}.ctl", pid.trim()));
    let mut command = switch.tool("ovs-appctl");
    command.arg("-t").arg(socket).arg("dpif/show");
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    told.lines().filter(|line| line.contains("/")).count()
}

#[test]
fn a_datapath_type_that_ovs_vswitchd_does_not_know_is_refused_by_name_before_anything_is_written() {
    let switch = switch_with_port();
    let ports = ports_of_datapath(&switch);
    let known = ["netdev", "system"];
    for kind in ["dpdk", "foo"] {
        for (command, arguments) in [
            ("set", set("br0", datapath_type(kind))),
            ("bridge-add", json!({"bridge": "br1", "options": datapath_type(kind)})),
            ("bridge-add", json!({"bridge": "br1", "options": datapath_type(kind), "dry_run": true})),
        ] {
            let message = switch.refused(command, arguments);
            assert!(message.contains(&format!("{kind:?}")) && message.contains("datapath_type"), "{message}");
            assert!(known.iter().all(|known| message.contains(known)), "{message}");
            assert!(!message.contains("taken back"), "{message}");
        }
        assert_eq!(ports_of_datapath(&switch), ports, "the ports of br0");
    }
    // From the environment, and from the master of a derived bridge.
    let call = switch.prepare("bridge-add", json!({"bridge": "br1"})).env("OVS_PLUGIN_DATAPATH_TYPE", "foo");
    assert!(call.run().failed().contains("\"foo\""));
    let mut unverified = set("br0", datapath_type("foo"));
    unverified["verify"] = json!(false);
    switch.ok("set", unverified);
    let message = switch.refused("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    assert!(message.contains("\"foo\"") && message.contains("vlbr5"), "{message}");
}

#[test]
fn a_datapath_that_cannot_be_made_is_an_error_that_is_taken_back_with_all_ports_alive() {
    if std::path::Path::new("/sys/module/openvswitch").exists() {
        return;
    }
    let switch = switch_with_port();
    let ports = ports_of_datapath(&switch);
    for kind in ["system", ""] {
        let call = set("br0", json!({"datapath_type": format!("{kind:?}"), "fail_mode": "secure"}));
        let message = switch.plugin("set", call).failed();
        let row = switch.database.rows("Bridge").remove(0);
        assert_eq!((&row["datapath_type"], &row["fail_mode"]), (&json!("netdev"), &json!(["set", []])), "{row}");
        for word in ["bridge br0", "\"system\"", "kernel module openvswitch", "nothing is left of it"] {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
        assert_eq!(ports_of_datapath(&switch), ports, "the ports of br0");
    }
    // A bridge that had no datapath before is changed with a note, and can be repaired.
    let mut unverified = set("br0", datapath_type("system"));
    unverified["verify"] = json!(false);
    switch.ok("set", unverified);
    let answer = switch.plugin("set", set("br0", datapath_type("\"\"")));
    assert!(answer.stderr.contains("had no datapath before and still has none"), "{}", answer.stderr);
    answer.ok();
    let answer = switch.plugin("set", set("br0", datapath_type("netdev")));
    assert_eq!(answer.stderr, "");
    answer.ok();
    assert_eq!(ports_of_datapath(&switch), ports, "the ports of br0");
}

#[test]
fn an_interface_that_a_change_of_its_bridge_breaks_is_an_error() {
    let switch = switch_with_port();
    switch.ok("port-add", json!({"bridge": "br0", "port": "p1", "options": {"type": "internal"}}));
    // Somebody else breaks a port at the same moment: ovs-vswitchd finds both changes when it wakes up.
    switch.pause_vswitchd();
    let bogus =
        json!({"op": "update", "table": "Interface", "where": [["name", "==", "p1"]], "row": {"type": "bogus"}});
    switch.transact(&[bogus]);
    let number = || switch.database.rows("Open_vSwitch")[0]["next_cfg"].clone();
    let before = number();
    let running = switch.prepare("set", set("br0", json!({"stp_enable": true}))).spawn();
    assert!(wait_until(Duration::from_secs(20), || number() != before), "nothing was written");
    switch.resume_vswitchd();
    let message = running.wait().failed();
    assert!(message.contains("interface p1 does not work") && message.contains("nothing is left of it"), "{message}");
    let state = switch.state();
    assert_ne!(state["bridges"]["br0"]["stp_enable"], json!(true), "{state}");
    // What does not work from before is of no concern, and neither are notes of others on the bridge.
    for values in [json!({"stp_enable": true}), json!({"external_ids:a": "b"}), json!({"other_config:c": "d"})] {
        let answer = switch.plugin("set", set("br0", values));
        assert_eq!(answer.stderr, "");
        answer.ok();
    }
}
