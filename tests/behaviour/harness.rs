//! The ground that the other tests stand on holds.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Namespace, Switch};

#[test]
fn two_switches_do_not_see_each_other() {
    let (one, other) = (Switch::new(), Switch::new());
    one.net.veth("e1", "e1-p");
    one.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]);
    one.vsctl(&["add-port", "br0", "e1", "tag=7"]);
    assert_eq!(one.vsctl(&["list-br"]), "br0");
    assert_eq!(
        one.state()["bridges"]["br0"]["ports"]["e1"],
        json!({"tag": 7, "interfaces": {"e1": {"attached": true}}})
    );
    assert_eq!(other.vsctl(&["list-br"]), "");
    assert_eq!(other.state(), json!({"bridges": {}, "open_vswitch": {}, "vxlan_links": {}}));
    assert!(one.net.has_link("br0") && !other.net.has_link("br0"));
}

#[test]
fn nothing_is_left_of_a_switch_that_was_dropped() {
    let switch = Switch::new();
    let directory = switch.directory().to_owned();
    let pids: Vec<_> = ["ovsdb-server.pid", "ovs-vswitchd.pid"]
        .iter()
        .map(|file| std::fs::read_to_string(directory.join(file)).unwrap().trim().to_owned())
        .chain([switch.net.pid().to_string()])
        .collect();
    assert!(pids.iter().all(|pid| Path::new("/proc").join(pid).exists()));
    switch.pause_vswitchd();
    drop(switch);
    assert!(!pids.iter().any(|pid| Path::new("/proc").join(pid).exists()));
    assert!(!directory.exists());
}

#[test]
fn daemons_can_be_stopped_paused_and_started() {
    let switch = Switch::builder().without_database().veth("e1", "e1-p").start();
    assert_eq!(switch.state()["bridges"], Value::Null);
    assert!(!switch.database.socket().exists());
    switch.start_database();
    switch.start_vswitchd();
    switch.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]);
    assert!(switch.net.has_link("br0"));
    switch.stop_vswitchd();
    switch.vsctl(&["--no-wait", "add-br", "br1", "--", "set", "Bridge", "br1", "datapath_type=netdev"]);
    assert!(!switch.net.has_link("br1"));
    switch.start_vswitchd();
    assert!(switch.net.has_link("br1"));
    switch.pause_vswitchd();
    switch.vsctl(&["--no-wait", "add-port", "br0", "e1"]);
    assert_eq!(switch.state()["bridges"]["br0"]["ports"]["e1"]["interfaces"]["e1"]["attached"], false);
    switch.resume_vswitchd();
    assert_eq!(switch.state()["bridges"]["br0"]["ports"]["e1"]["interfaces"]["e1"]["attached"], true);
    switch.pause_database();
    switch.resume_database();
    switch.stop_database();
    assert!(!switch.database.socket().exists());
    switch.start_database();
    assert!(switch.state()["bridges"]["br0"]["ports"]["e1"].is_object());
}

#[test]
fn an_empty_database_has_no_row() {
    let switch = Switch::builder().empty_database().start();
    assert!(switch.database.tables().iter().all(|table| switch.database.rows(table).is_empty()));
}

#[test]
fn a_change_is_noticed() {
    let switch = Switch::new();
    let before = switch.dump();
    switch.unchanged_by(|| switch.vsctl(&["show"]));
    switch.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]);
    let after = switch.dump();
    assert_eq!(after["links"].as_object().unwrap().len(), 3, "lo, br0 and ovs-netdev: {after:#}");
    assert_eq!(before["database"]["Bridge"], json!({}));
    assert_eq!(after["database"]["Bridge"].as_object().unwrap().len(), 1);
}

#[test]
fn namespaces_reach_each_other_only_where_they_are_connected() {
    let (one, two, alone) = (Namespace::new(), Namespace::new(), Namespace::new());
    one.veth_to(&two, "e1", "e1");
    one.veth_to(&alone, "e2", "e2");
    one.addr("e1", "10.0.0.1/24");
    two.addr("e1", "10.0.0.2/24");
    alone.addr("e2", "10.0.0.3/24");
    assert!(one.reaches("10.0.0.2"));
    assert!(two.reaches("10.0.0.1"));
    assert!(alone.never_reaches("10.0.0.1"));
}
