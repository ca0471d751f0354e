//! `gc`: what killed processes and dead containers leave goes, and nothing else.

use serde_json::{Value, json};

use crate::support::{Switch, wait_until};

fn gc(arguments: Value) -> Value {
    let mut arguments = arguments;
    arguments["grace_seconds"] = json!(1);
    arguments
}

/// A switch with everything that could be taken for a leftover, and two leftovers of each kind.
fn switch_with_leftovers() -> Switch {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    for port in ["cont1-0", "cont2-0", "e1", "e2", "e3", "m1", "m2"] {
        switch.net.veth(port, &format!("{port}p"));
    }
    for port in ["cont1-0", "cont2-0", "e1", "e2"] {
        switch.ok("port-add", json!({"bridge": "br0", "port": port}));
    }
    switch.vsctl(&["add-port", "br0", "e3"]);
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["m1", "m2"]}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "i1", "options": {"type": "internal"}}));
    for vni in [8, 9] {
        switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": vni}));
    }
    for link in ["vtep5 type vxlan id 999 dstport 4789", "mine type vxlan id 6 dstport 4789"] {
        let words: Vec<&str> = ["ip", "link", "add"].into_iter().chain(link.split(' ')).collect();
        switch.net.run(&words);
    }
    switch.net.run(&["ip", "link", "property", "add", "dev", "mine", "altname", "vtep6"]);
    for device in ["cont2-0", "e2", "e3", "m1", "m2"] {
        switch.net.run(&["ip", "link", "del", device]);
    }
    switch
}

#[test]
fn what_is_left_is_shown_and_then_removed_and_what_others_use_is_not() {
    let switch = switch_with_leftovers();
    let shown = switch.unchanged_by(|| switch.ok("gc", gc(json!({"dry_run": true}))));
    let expected = json!({"devices": ["vtep8", "vtep9"], "ports": ["cont2-0", "e2"]});
    let sorted = |answer: &Value| {
        let names = |kind: &str| {
            let mut names: Vec<String> = serde_json::from_value(answer[kind].clone()).unwrap();
            names.sort();
            names
        };
        json!({"devices": names("devices"), "ports": names("ports")})
    };
    assert_eq!(sorted(&shown["result"]), expected);
    assert_eq!(sorted(&switch.ok("gc", gc(json!({})))), expected);
    let ports = switch.ok("port-list", json!({"bridge": "br0"}));
    assert_eq!(ports, json!(["bond0", "cont1-0", "e1", "e3", "i1"]));
    for device in ["vtep5", "mine", "vtep7", "vxlbr7", "br0", "cont1-0", "e1", "i1"] {
        assert!(switch.net.has_link(device), "{device}");
    }
    assert!(!switch.net.has_link("vtep8") && !switch.net.has_link("vtep9"));
    let nothing = switch.unchanged_by(|| switch.ok("gc", gc(json!({}))));
    assert_eq!(nothing, json!({"devices": [], "ports": []}));
}

#[test]
fn what_comes_to_be_used_in_the_grace_period_stays() {
    let switch = switch_with_leftovers();
    let running = switch.prepare("gc", json!({"grace_seconds": 4})).spawn();
    // The container is started anew, and the network gets its bridge.
    switch.net.veth("cont2-0", "cont2-0p");
    switch.ok("port-add", json!({"bridge": "br0", "port": "cont2-0"}));
    switch.net.veth("e2", "e2p");
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 8}));
    assert_eq!(running.wait().ok(), json!({"devices": ["vtep9"], "ports": []}));
    assert!(switch.net.has_link("vtep8"));
    let attached = || switch.state()["bridges"]["br0"]["ports"]["cont2-0"]["interfaces"]["cont2-0"]["attached"] == true;
    assert!(wait_until(std::time::Duration::from_secs(10), attached));
}

#[test]
fn a_grace_period_beyond_the_deadline_is_refused() {
    let switch = Switch::new();
    let message = switch.refused("gc", json!({"grace_seconds": 60}));
    assert!(message.contains("grace_seconds") && message.contains("OVS_PLUGIN_TIMEOUT"), "{message}");
}

/// In another network namespace all devices seem to be gone.
#[test]
fn where_the_switchs_own_devices_are_not_nothing_is_removed() {
    let switch = switch_with_leftovers();
    let elsewhere = Switch::builder().without_database().start();
    let call = elsewhere.prepare("gc", gc(json!({}))).env("OVS_PLUGIN_DB", switch.remote());
    let message = switch.unchanged_by(|| call.run().failed());
    assert!(message.contains("are not in this network namespace"), "{message}");
}

#[test]
fn people_are_told_in_lines_what_was_removed() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": 8}));
    let removed = || switch.call().args(&["gc", "--grace-seconds", "0"]).run().stdout;
    assert_eq!(removed(), "device vtep8\n");
    assert_eq!(removed(), "nothing to remove\n");
}
