//! What a command may do without, by kind: no capability for what is in the database, CAP_NET_ADMIN for network devices.

use std::process::Stdio;

use serde_json::{Value, json};

use super::support::{BINARY, Switch};

/// Runs the plugin with these capabilities and no others, as setpriv(1) names them. Gives its exit status and its answer.
fn with_capabilities(switch: &Switch, capabilities: &[&str], command: &str, arguments: &Value) -> (bool, String) {
    let kept = capabilities.iter().map(|capability| format!(",+{capability}")).collect::<String>();
    let mut run = switch.tool("setpriv");
    run.args(["--inh-caps", "-all", "--bounding-set", &format!("-all{kept}"), "--no-new-privs", "--", BINARY, command]);
    run.arg(arguments.to_string()).env("OVS_PLUGIN_DB", switch.remote()).env("OVS_PLUGIN_DATAPATH_TYPE", "netdev");
    let output = run.stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_is_in_the_database_takes_no_capability() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").start();
    for device in ["e1", "e2"] {
        switch.net.up(device);
    }
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5})),
        ("port-set", json!({"port": "e1", "vlan": 6})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b"}})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
        ("port-list", json!({"bridge": "br0"})),
        ("show", json!({})),
        ("doctor", json!({})),
        ("stats", json!({})),
        ("vlan-del", json!({"master": "br0", "vlan": 7})),
        ("port-del", json!({"port": "e1"})),
        // The members are up.
        ("bond-add", json!({"bridge": "br0", "port": "b0", "links": ["e1", "e2"]})),
        ("bond-del", json!({"port": "b0"})),
        ("bridge-del", json!({"bridge": "br0"})),
    ] {
        let (done, answer) = with_capabilities(&switch, &[], command, &arguments);
        assert!(done, "{command} {arguments}: {answer}");
    }
}

#[test]
fn network_devices_take_net_admin_and_without_it_nothing_changes() {
    let switch = Switch::builder().veth("e1", "a").veth("e2", "b").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "net"}));
    // Members that are down have to be set up.
    switch.net.run(&["ip", "link", "set", "e1", "down"]);
    let calls = [
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("vtep-ensure", json!({"bridge": "br0", "vnid": 8})),
        ("bond-add", json!({"bridge": "br0", "port": "b0", "links": ["e1", "e2"]})),
        ("port-set", json!({"port": "br0", "up": true})),
        ("port-set", json!({"port": "net", "addresses": ["192.0.2.1/24"]})),
    ];
    for (command, arguments) in &calls {
        let (done, answer) = switch.unchanged_by(|| with_capabilities(&switch, &[], command, arguments));
        assert!(!done && answer.contains("CAP_NET_ADMIN"), "{command} {arguments}: {answer}");
    }
    for (command, arguments) in &calls {
        let (done, answer) = with_capabilities(&switch, &["net_admin"], command, arguments);
        assert!(done, "{command} {arguments}: {answer}");
    }
    let delete = ("vxlan-del", json!({"vxlan": 7}));
    let (done, answer) = with_capabilities(&switch, &[], delete.0, &delete.1);
    assert!(!done && answer.contains("CAP_NET_ADMIN") && answer.contains("vtep7"), "{answer}");
    // What had to be done in the database is done, and the rest is done by whoever may.
    switch.ok("gc", json!({"grace_seconds": 0}));
    assert!(!switch.net.run(&["ip", "link"]).contains("vtep7"));
}
