//! An error means that nothing changed: interfaces are looked at after the commit, and what does not work is taken back.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::support::proxy::{Fate, From, Proxy, is_write};
use super::support::{Switch, wait_until};

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

/// Refused, nothing is left, and each of the words is in the message.
fn refused(switch: &Switch, command: &str, arguments: Value, words: &[&str]) {
    let message = switch.refused(command, arguments.clone());
    for word in words {
        assert!(message.contains(word), "{command} {arguments}: {message:?} lacks {word:?}");
    }
}

#[test]
fn an_interface_that_ovs_vswitchd_cannot_set_up_is_an_error_with_its_words_and_the_likely_cause() {
    let switch = switch_with_bridge();
    let port = |name: &str, options: Value| json!({"bridge": "br0", "port": name, "options": options});
    for (arguments, words) in [
        (port("nodev", json!({})), ["No such device", "no network device named nodev"]),
        (port("p1", json!({"type": "bogus"})), ["Address family not supported", "no interface type \"bogus\""]),
        (port("p1", json!({"type": "vxlan"})), ["remote_ip", "taken back"]),
        (port("p1", json!({"type": "patch"})), ["peer", "taken back"]),
        (port("lo", json!({})), ["Invalid argument", "lo is the loopback device"]),
    ] {
        refused(&switch, "port-add", arguments, &words);
    }
    switch.ok("port-add", port("p1", json!({"type": "vxlan", "options:remote_ip": "127.0.0.1"})));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
}

#[test]
fn a_bridge_whose_datapath_cannot_be_made_is_an_error_that_names_the_cause() {
    let switch = Switch::new();
    let bridge = |kind: &str| json!({"bridge": "br0", "options": {"datapath_type": kind}});
    refused(&switch, "bridge-add", bridge("nosuch"), &["br0", "\"nosuch\""]);
    if !std::path::Path::new("/sys/module/openvswitch").exists() {
        refused(&switch, "bridge-add", bridge("system"), &["kernel module openvswitch", "netdev"]);
    }
    switch.ok("bridge-add", json!({"bridge": "br0"}));
}

#[test]
fn a_setting_that_breaks_an_interface_is_put_back_whole() {
    let switch = switch_with_bridge();
    let old = json!({"external_ids:keep": "1", "external_ids:change": "old", "mtu_request": 1400});
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "options": old}));
    for values in [
        json!({"type": "bogus"}),
        json!({"type": "bogus", "external_ids:change": "new", "external_ids:add": "x", "mtu_request": 1300}),
        json!({"type": "bogus", "external_ids": "{other=1}", "options": "{a=b,c=d}"}),
        json!({"type": "patch", "options:peer": ""}),
    ] {
        let values: Value = match values["options:peer"] {
            Value::Null => values,
            _ => json!({"type": "patch"}),
        };
        refused(&switch, "set", json!({"table": "Interface", "record": "e1", "values": values}), &["e1", "taken back"]);
    }
    assert!(switch.state()["bridges"]["br0"]["ports"]["e1"]["interfaces"]["e1"]["attached"].as_bool().unwrap());
}

#[test]
fn with_verify_false_nobody_looks() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["no1", "no2"], "verify": false}));
    switch.ok("set", json!({"table": "Interface", "record": "nodev", "values": {"type": "bogus"}, "verify": false}));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["bond0", "nodev"]));
}

#[test]
fn interfaces_that_were_broken_before_do_not_fail_other_commands() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("set", json!({"table": "Bridge", "record": "br0", "values": {"stp_enable": true}}));
    let set = json!({"table": "Interface", "record": "nodev", "values": {"external_ids:a": "b"}});
    let answer = switch.plugin("set", set);
    assert!(answer.stderr.contains("nodev") && answer.stderr.contains("still does not"), "{}", answer.stderr);
    answer.ok();
}

#[test]
fn a_patch_port_whose_peer_is_yet_to_come_is_a_warning() {
    let switch = switch_with_bridge();
    let patch = |name: &str, peer: &str| json!({"bridge": "br0", "port": name, "options": {"type": "patch", "options:peer": peer}});
    let answer = switch.plugin("port-add", patch("p1", "p2"));
    assert!(answer.stderr.contains("p1") && answer.stderr.contains("peer"), "{}", answer.stderr);
    answer.ok();
    let report = switch.plugin("port-add", patch("p3", "p4"));
    assert!(report.ok().is_null());
}

/// Has the plugin commit while ovs-vswitchd is paused, changes something meanwhile, and lets both go on.
fn meanwhile(
    switch: &Switch,
    command: &str,
    arguments: Value,
    committed: impl Fn() -> bool,
    change: impl FnOnce(),
) -> String {
    switch.pause_vswitchd();
    let call = switch.prepare(command, arguments).spawn();
    assert!(wait_until(std::time::Duration::from_secs(10), committed), "nothing was committed");
    change();
    switch.resume_vswitchd();
    call.wait().failed()
}

#[test]
fn what_somebody_else_has_changed_since_is_not_taken_back() {
    let switch = switch_with_bridge();
    let has_port = || switch.database.rows("Port").iter().any(|row| row["name"] == json!("nodev"));
    let message = meanwhile(&switch, "port-add", json!({"bridge": "br0", "port": "nodev"}), has_port, || {
        switch.vsctl(&["--no-wait", "set", "Port", "nodev", "tag=7"]);
    });
    assert!(message.contains("still there") && message.contains("somebody else"), "{message}");
    assert_eq!(switch.state()["bridges"]["br0"]["ports"]["nodev"]["tag"], json!(7));

    switch.ok("port-del", json!({"port": "nodev"}));
    let has_bridge = || switch.database.rows("Bridge").iter().any(|row| row["name"] == json!("br1"));
    // A device of the bridge's name is in the way of its local port.
    switch.net.veth("br1", "br1-p");
    let bridge = json!({"bridge": "br1"});
    let message = meanwhile(&switch, "bridge-add", bridge, has_bridge, || {
        switch.vsctl(&["--no-wait", "add-port", "br1", "e1"]);
    });
    assert!(message.contains("still there"), "{message}");
    assert!(switch.state()["bridges"]["br1"]["ports"]["e1"].is_object());
}

#[test]
fn what_others_do_to_the_same_bridge_meanwhile_survives() {
    let switch = switch_with_bridge();
    let has_port = || switch.database.rows("Port").iter().any(|row| row["name"] == json!("nodev"));
    let message = meanwhile(&switch, "port-add", json!({"bridge": "br0", "port": "nodev"}), has_port, || {
        switch.vsctl(&["--no-wait", "add-port", "br0", "e1", "tag=3"]);
    });
    assert!(message.contains("taken back"), "{message}");
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["e1"]));
}

#[test]
fn a_bond_with_a_member_that_does_not_work_leaves_no_member_up() {
    let switch = switch_with_bridge();
    switch.net.run(&["ip", "link", "set", "e1", "down"]);
    let bond = json!({"bridge": "br0", "port": "bond0", "links": ["e1", "nodev"]});
    refused(&switch, "bond-add", bond, &["nodev", "No such device"]);
    assert!(!switch.net.run(&["ip", "link", "show", "e1"]).contains(",UP"), "e1 was down before");
}

#[test]
fn a_taking_back_whose_answer_is_lost_is_not_said_to_have_failed() {
    let switch = switch_with_bridge();
    // The ids of the requests that write: the change, and its taking back, whose reply never comes.
    let writes = Mutex::new(Vec::new());
    let proxy = Proxy::with(&switch.directory().join("p.sock"), switch.database.socket(), move |from, message| {
        let mut writes = writes.lock().unwrap();
        match from {
            From::Client if is_write(message) => writes.push(message["id"].clone()),
            From::Server if writes.get(1) == Some(&message["id"]) => return Fate::Cut,
            _ => {}
        }
        Fate::Pass
    });
    let call = switch.prepare("port-add", json!({"bridge": "br0", "port": "nodev"}));
    let message = call.env("OVS_PLUGIN_DB", proxy.remote()).run().failed();
    let expected = ["nodev", "unknown end", "it is unknown whether the database holds the change"];
    assert!(expected.iter().all(|part| message.contains(part)) && !message.contains("still there"), "{message}");
    assert!(wait_until(std::time::Duration::from_secs(10), || switch.ok("port-list", json!({"bridge": "br0"}))
        == json!([])));
}

#[test]
fn a_device_has_its_former_mtu_and_port_number_again_after_a_change_is_taken_back() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "options": {"ofport_request": 5}}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2", "options": {"ofport_request": 7}}));
    switch.ok("set", json!({"table": "Interface", "record": "e1", "values": {"ofport_request": "[]"}}));
    let change = json!({"port": "e1", "mtu": 1280, "options": {"ofport_request": 7}, "verify": "strict"});
    refused(&switch, "port-set", change, &["ofport", "nothing is left of it"]);
    let interface = || switch.database.rows("Interface").into_iter().find(|row| row["name"] == "e1").unwrap();
    for asked in ["mtu_request", "ofport_request"] {
        assert_eq!(interface()[asked], json!(["set", []]), "{asked}");
    }
    let link = || switch.net.run(&["ip", "-o", "link", "show", "dev", "e1"]);
    assert!(wait_until(std::time::Duration::from_secs(10), || link().contains("mtu 1500")), "{}", link());
    assert_eq!(interface()["ofport"], 5);
}
