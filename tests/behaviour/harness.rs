//! The ground that the other tests stand on holds.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Namespace, Switch, VOLATILE};

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
fn what_the_daemons_write_by_themselves_is_no_change() {
    let switch = Switch::builder().without_vswitchd().start();
    switch.vsctl(&["--no-wait", "add-br", "br0", "--", "set-controller", "br0", "tcp:192.0.2.1:6653"]);
    switch.vsctl(&["--no-wait", "set-manager", "ptcp:0:127.0.0.1"]);
    let mirror = ["--id=@m", "create", "Mirror", "name=m", "output_vlan=5"];
    switch.vsctl(&[&["--no-wait", "set", "Bridge", "br0", "mirrors=@m", "--"], &mirror[..]].concat());
    switch.vsctl(&[
        "--no-wait",
        "create",
        "Datapath",
        "datapath_version=1",
        "--",
        "set",
        "Open_vSwitch",
        ".",
        "external_ids:a=b",
    ]);
    let schema = switch.database.request("get_schema", json!(["Open_vSwitch"])).unwrap();
    let map = |key: &str, value: Value| json!(["map", [[key, value]]]);
    let mut tables = 0;
    for (table, columns) in VOLATILE {
        if switch.database.rows(table).is_empty() {
            continue;
        }
        tables += 1;
        let row: serde_json::Map<String, Value> = columns
            .iter()
            .filter_map(|column| {
                let of_type = schema["tables"][table]["columns"][*column].get("type")?;
                // The key's type, and the value's if it is a map; of either the bare name or an object.
                let name = |part: &Value| part["type"].as_str().or(part.as_str()).unwrap_or_default().to_owned();
                let other = |kind: &str| match kind {
                    "integer" => json!(77),
                    "boolean" => json!(true),
                    _ => json!("other"),
                };
                let key = name(of_type.get("key").unwrap_or(of_type));
                let allowed = of_type["key"]["enum"][1][0].clone();
                let value = match of_type.get("value") {
                    Some(value) => map("other", other(&name(value))),
                    None if allowed.is_null() => other(&key),
                    None => allowed,
                };
                Some(((*column).to_owned(), value))
            })
            .collect();
        assert!(!row.is_empty(), "{table}");
        switch.unchanged_by(|| switch.transact(&[json!({"op": "update", "table": table, "where": [], "row": row})]));
    }
    assert!(tables >= 7, "{tables}");
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
