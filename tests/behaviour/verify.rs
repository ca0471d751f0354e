//! What was added or changed and does not work is taken back, down to the last key; what others did meanwhile is not.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::support::proxy::{Fate, From, Proxy, is_write};
use super::support::{Answer, Database, Switch};

/// Two devices and a bridge.
fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn add(port: &str, options: Value) -> Value {
    json!({"bridge": "br0", "port": port, "options": options})
}

fn set(record: &str, values: Value) -> Value {
    json!({"table": "Interface", "record": record, "values": values})
}

#[track_caller]
fn has(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
}

/// A port's one interface, as the state shows it.
fn interface(switch: &Switch, port: &str) -> Value {
    switch.state()["bridges"]["br0"]["ports"][port]["interfaces"][port].clone()
}

/// An update by somebody else, to the row of this name.
fn update(table: &str, name: &str, row: Value) -> Value {
    json!({"op": "update", "table": table, "where": [["name", "==", name]], "row": row})
}

/// Runs a command, and has somebody else change the database just before the command's write of this number arrives:
/// 0 is the commit, 1 is the taking back.
pub fn with_change_before_write(
    switch: &Switch,
    write: usize,
    change: Vec<Value>,
    command: &str,
    arguments: impl Into<Value>,
) -> Answer {
    let other = Database::new(switch.database.socket().to_owned());
    let seen = AtomicUsize::new(0);
    let socket = switch.directory().join("between.sock");
    let _ = std::fs::remove_file(&socket);
    let proxy = Proxy::with(&socket, switch.database.socket(), move |from, message| {
        let is_ours = from == From::Client && is_write(message);
        if is_ours && seen.fetch_add(1, Ordering::SeqCst) == write {
            other.transact(&change);
        }
        Fate::Pass
    });
    let answer = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", proxy.remote()).run();
    let writes = proxy.take().iter().filter(|one| one.from == From::Client && is_write(&one.message)).count();
    assert!(writes > write, "{command} wrote {writes} times");
    answer
}

#[test]
fn each_thing_that_cannot_work_says_why_and_once_put_right_it_works() {
    let switch = switch_with_bridge();
    switch.ok("port-add", add("tunnel", json!({"type": "vxlan", "options:remote_ip": "127.0.0.1"})));
    let vxlan = |more: Value| {
        let mut options = json!({"type": "vxlan"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    for (port, wrong, words, right) in [
        ("e1", json!({"type": "bogus"}), &["Address family not supported", "\"bogus\""][..], json!({})),
        ("v1", vxlan(json!({})), &["remote_ip"], vxlan(json!({"options:remote_ip": "127.0.0.2"}))),
        (
            "v2",
            vxlan(json!({"options:remote_ip": "127.0.0.1"})),
            &["File exists", "the tunnel interface tunnel has the same configuration"],
            vxlan(json!({"options:remote_ip": "127.0.0.1", "options:key": "7"})),
        ),
        ("g1", json!({"type": "gre"}), &["remote_ip"], json!({"type": "gre", "options:remote_ip": "127.0.0.1"})),
        ("p1", json!({"type": "patch"}), &["peer"], json!({"type": "patch", "options:peer": "p2"})),
        (
            "p2",
            json!({"type": "patch", "options:peer": "p2"}),
            &["peer"],
            json!({"type": "patch", "options:peer": "p1"}),
        ),
        ("e2", json!({"type": "internal"}), &["e2 exists already"], json!({"type": "system"})),
        ("d1", json!({"type": "dpdk"}), &["d1"], json!({"type": "internal"})),
    ] {
        let message = switch.refused("port-add", add(port, wrong));
        has(&message, words);
        has(&message, &["interface", port, "nothing is left of it"]);
        switch.ok("port-add", add(port, right));
        assert_eq!(interface(&switch, port)["attached"], true, "{port}");
    }
}

#[test]
fn a_device_that_comes_after_the_error_can_be_added() {
    let switch = switch_with_bridge();
    let call = add("late", json!({"external_ids:a": "b"}));
    has(&switch.refused("port-add", call.clone()), &["late", "No such device", "no network device named late"]);
    switch.net.veth("late", "late-p");
    switch.ok("port-add", call);
    assert_eq!(interface(&switch, "late")["attached"], true);
}

#[test]
fn lo_can_never_be_a_port() {
    let switch = switch_with_bridge();
    has(
        &switch.refused("port-add", add("lo", json!({}))),
        &["lo is the loopback device", "Invalid argument", "nothing is left of it"],
    );
    // Asked for as an internal port it is in the way of a device that has yet to be made.
    has(&switch.refused("port-add", add("lo", json!({"type": "internal"}))), &["interface lo does not work"]);
}

#[test]
fn what_is_on_a_bridge_already_is_refused_before_anything_is_tried() {
    let switch = switch_with_bridge();
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("port-add", add("e1", json!({})));
    let message = switch.refused("port-add", json!({"bridge": "br1", "port": "e1"}));
    has(&message, &["e1", "already exists on bridge br0"]);
    let message = switch.refused("bond-add", json!({"bridge": "br1", "port": "bond0", "links": ["e2", "e1"]}));
    has(&message, &["e1", "already exists on bridge br0"]);
}

#[test]
fn on_a_bridge_without_a_datapath_nothing_works_and_the_error_names_module_and_remedy() {
    if std::path::Path::new("/sys/module/openvswitch").exists() {
        return;
    }
    let switch = switch_with_bridge();
    let system = json!({"bridge": "brsys", "options": {"datapath_type": "system"}});
    let words = &["brsys", "kernel module openvswitch", "datapath_type netdev", "nothing is left of it"];
    has(&switch.refused("bridge-add", system.clone()), words);
    let mut unverified = system;
    unverified["verify"] = json!(false);
    switch.ok("bridge-add", unverified);

    let words = &["kernel module openvswitch", "datapath_type netdev"];
    let on_it = json!({"bridge": "brsys", "port": "e1"});
    has(&switch.refused("port-add", on_it.clone()), words);
    let bond = json!({"bridge": "brsys", "port": "bond0", "links": ["e1", "e2"]});
    has(&switch.refused("bond-add", bond), words);
    has(&switch.refused("vlan-ensure", json!({"master": "brsys", "vlan": 5})), words);

    switch.ok("set", json!({"table": "Bridge", "record": "brsys", "values": {"datapath_type": "netdev"}}));
    switch.ok("port-add", on_it);
    switch.ok("vlan-ensure", json!({"master": "brsys", "vlan": 5}));
}

#[test]
fn every_kind_of_change_that_breaks_an_interface_is_put_back() {
    let switch = switch_with_bridge();
    let tunnel = json!({"type": "vxlan", "options": "{remote_ip=127.0.0.1,key=2}"});
    switch.ok("port-add", add("v2", tunnel));
    switch.ok("port-add", add("p1", json!({"type": "patch", "options:peer": "p2"})));
    switch.ok("port-add", add("e1", json!({"external_ids": "{a=1,b=2}", "mtu_request": 1400})));
    for (record, values) in [
        // A key that changes, keys that are added, and a whole map in place of another.
        ("v2", json!({"options:remote_ip": "no address"})),
        ("v2", json!({"options:local_ip": "flow", "options:ttl": "5"})),
        ("p1", json!({"options:peer": "p1"})),
        ("p1", json!({"options:no_key_of_a_patch_port": "x"})),
        ("v2", json!({"options": "{remote_ip=nowhere,key=1}"})),
        ("v2", json!({"options": "{}"})),
        ("v2", json!({"options": "{ttl=5}", "options:key": "9"})),
        // A whole column, alone and with others of every shape.
        ("v2", json!({"type": "bogus"})),
        ("e1", json!({"type": "bogus"})),
        ("e1", json!({"type": "bogus", "external_ids:a": "changed", "external_ids:c": "added"})),
        ("e1", json!({"type": "bogus", "external_ids": "{only=this}", "mtu_request": "[]"})),
        ("e1", json!({"type": "bogus", "external_ids": "{}", "mac": "\"02:00:00:00:00:01\"", "ofport_request": 77})),
        ("e1", json!({"type": "vxlan", "options:key": "flow", "other_config:x": "y", "mtu_request": 1300})),
    ] {
        let message = switch.refused("set", set(record, values.clone()));
        has(&message, &[record, "does not work", "nothing is left of it"]);
        assert_eq!(interface(&switch, record)["attached"], true, "{record} after {values}");
    }
}

#[test]
fn port_set_that_breaks_a_port_puts_port_and_interfaces_back() {
    let switch = switch_with_bridge();
    switch.net.veth("p1", "p1-p");
    switch.ok("port-add", json!({"bridge": "br0", "port": "p1", "vlan": 5}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]}));
    for port in ["p1", "bond0"] {
        let settings = json!({
            "port": port, "vlan": 6, "trunks": ["7-9"], "mtu": 1300, "external_ids": {"a": "b"},
            "other_config": {"c": "d"}, "options": {"type": "bogus"},
        });
        has(&switch.refused("port-set", settings), &["does not work", "\"bogus\"", "nothing is left of it"]);
    }
    let state = switch.state();
    let members = &state["bridges"]["br0"]["ports"]["bond0"]["interfaces"];
    assert!(members["e1"]["attached"] == true && members["e2"]["attached"] == true, "{members}");
}

#[test]
fn of_several_broken_interfaces_each_is_named() {
    let switch = switch_with_bridge();
    let message = switch.refused("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["no1", "e1", "no2"]}));
    has(&message, &["interface no1 does not work", "interface no2 does not work"]);
    assert!(!message.contains("interface e1"), "{message}");
}

#[test]
fn somebody_elses_later_value_in_a_column_that_was_set_is_not_undone() {
    let switch = switch_with_bridge();
    switch.ok("port-add", add("p1", json!({"type": "internal", "external_ids": "{a=1}"})));
    let call = set("p1", json!({"type": "bogus", "external_ids:a": "2"}));
    for (change, kept) in [
        (json!({"external_ids": ["map", [["a", "3"]]]}), json!({"a": "3"})),
        (json!({"type": "other"}), json!({"a": "2"})),
    ] {
        let later = vec![update("Interface", "p1", change)];
        let answer = with_change_before_write(&switch, 1, later, "set", call.clone());
        has(&answer.failed(), &["p1", "still there", "somebody else has changed it since"]);
        let found = interface(&switch, "p1");
        assert_eq!(found["external_ids"], kept);
        assert_ne!(found["type"], "internal");
        let restore = json!({"type": "internal", "external_ids": ["map", [["a", "1"]]]});
        switch.transact(&[update("Interface", "p1", restore)]);
        // So that the next round begins with an interface that works.
        switch.vsctl(&["set", "Interface", "p1", "type=internal"]);
    }
}

#[test]
fn what_others_change_next_to_it_meanwhile_does_not_keep_a_change_from_being_taken_back() {
    let switch = switch_with_bridge();
    switch.ok("port-add", add("p1", json!({"type": "internal", "external_ids": "{a=1}"})));
    let theirs = json!({"op": "mutate", "table": "Interface", "where": [["name", "==", "p1"]],
                        "mutations": [["external_ids", "insert", ["map", [["theirs", "1"]]]]]});
    let later = vec![theirs, update("Interface", "p1", json!({"mtu_request": 1300}))];
    let call = set("p1", json!({"type": "bogus", "external_ids:a": "2", "external_ids:b": "2"}));
    has(&with_change_before_write(&switch, 1, later, "set", call).failed(), &["p1", "nothing is left of it"]);
    let found = interface(&switch, "p1");
    assert_eq!(found["external_ids"], json!({"a": "1", "theirs": "1"}));
    assert_eq!((&found["type"], &found["mtu_request"]), (&json!("internal"), &json!(1300)));
}

#[test]
fn a_map_that_was_replaced_whole_is_not_put_back_over_somebody_elses_key() {
    let switch = switch_with_bridge();
    switch.ok("port-add", add("p1", json!({"type": "internal", "external_ids": "{a=1}"})));
    let later = json!({"op": "mutate", "table": "Interface", "where": [["name", "==", "p1"]],
                       "mutations": [["external_ids", "insert", ["map", [["theirs", "1"]]]]]});
    let call = set("p1", json!({"type": "bogus", "external_ids": "{new=1}"}));
    has(&with_change_before_write(&switch, 1, vec![later], "set", call).failed(), &["still there", "somebody else"]);
    assert_eq!(interface(&switch, "p1")["external_ids"], json!({"new": "1", "theirs": "1"}));
}

#[test]
fn a_value_that_somebody_set_just_before_is_the_one_that_comes_back() {
    let switch = switch_with_bridge();
    switch.ok("port-add", add("p1", json!({"type": "internal", "external_ids": "{a=1}", "mtu_request": 1400})));
    let before = vec![update("Interface", "p1", json!({"mtu_request": 1350, "external_ids": ["map", [["a", "7"]]]}))];
    let call = set("p1", json!({"type": "bogus", "mtu_request": 1300, "external_ids:a": "2"}));
    has(&with_change_before_write(&switch, 0, before, "set", call).failed(), &["nothing is left of it"]);
    let found = interface(&switch, "p1");
    assert_eq!((&found["external_ids"], &found["mtu_request"]), (&json!({"a": "7"}), &json!(1350)));
}

#[test]
fn a_port_that_somebody_else_has_configured_since_stays_whatever_they_changed() {
    let switch = switch_with_bridge();
    for (table, row) in [
        ("Port", json!({"tag": 7})),
        ("Port", json!({"lacp": "active"})),
        ("Port", json!({"external_ids": ["map", [["theirs", "1"]]]})),
        ("Port", json!({"other_config": ["map", [["theirs", "1"]]]})),
        ("Interface", json!({"mtu_request": 1300})),
        ("Interface", json!({"external_ids": ["map", [["theirs", "1"]]]})),
        ("Interface", json!({"options": ["map", [["theirs", "1"]]]})),
        ("Interface", json!({"type": "other"})),
    ] {
        let later = vec![update(table, "nodev", row.clone())];
        let answer = with_change_before_write(&switch, 1, later, "port-add", add("nodev", json!({})));
        has(&answer.failed(), &["nodev", "still there", "somebody else has changed it since"]);
        assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["nodev"]), "{table} {row}");
        switch.ok("port-del", json!({"port": "nodev"}));
    }
}

#[test]
fn a_bridge_that_got_a_port_from_somebody_else_stays_with_it() {
    let switch = switch_with_bridge();
    let later = vec![
        json!({"op": "insert", "table": "Interface", "row": {"name": "e1"}, "uuid-name": "i"}),
        json!({"op": "insert", "table": "Port", "row": {"name": "e1", "interfaces": ["named-uuid", "i"]},
               "uuid-name": "p"}),
        json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", "br1"]],
               "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]]}),
    ];
    // A device of the bridge's name is in the way of its local port.
    switch.net.veth("br1", "br1-p");
    let call = json!({"bridge": "br1"});
    has(&with_change_before_write(&switch, 1, later, "bridge-add", call).failed(), &["br1", "still there"]);
    assert!(switch.state()["bridges"]["br1"]["ports"]["e1"].is_object());
}

#[test]
fn a_port_that_somebody_else_has_deleted_since_is_gone_and_nothing_comes_back() {
    let switch = switch_with_bridge();
    let before = switch.dump();
    let ports = switch.database.rows("Bridge")[0]["ports"].clone();
    let later = vec![update("Bridge", "br0", json!({"ports": ports}))];
    let answer = with_change_before_write(&switch, 1, later, "port-add", add("nodev", json!({})));
    has(&answer.failed(), &["nodev", "No such device"]);
    assert_eq!(switch.dump(), before);
}

#[test]
fn with_verify_false_every_command_commits_what_does_not_work() {
    let switch = switch_with_bridge();
    let unverified = |mut arguments: Value| {
        arguments["verify"] = json!(false);
        arguments
    };
    switch.ok("port-add", unverified(add("nodev", json!({"type": "bogus", "external_ids:a": "b"}))));
    switch.ok("port-add", add("p1", json!({"type": "internal"})));
    switch.ok("set", unverified(set("p1", json!({"type": "bogus"}))));
    switch.ok("port-set", unverified(json!({"port": "nodev", "vlan": 3, "options": {"type": "other"}})));
    switch.ok("bond-add", unverified(json!({"bridge": "br0", "port": "bond0", "links": ["e1", "no1"]})));
    switch.ok("bond-member-add", unverified(json!({"port": "bond0", "link": "no2"})));
    switch.ok("bridge-add", unverified(json!({"bridge": "br1", "options": {"datapath_type": "nosuch"}})));
    switch.ok("vlan-ensure", unverified(json!({"master": "br1", "vlan": 5})));
    let state = switch.state();
    let ports = &state["bridges"]["br0"]["ports"];
    assert_eq!(ports["nodev"]["interfaces"]["nodev"]["type"], "other");
    assert_eq!(ports["nodev"]["tag"], 3);
    assert_eq!(ports["p1"]["interfaces"]["p1"]["type"], "bogus");
    let members = &ports["bond0"]["interfaces"];
    assert!(members["e1"]["attached"] == true && members["no1"]["attached"] == false, "{members}");
    assert_eq!(members["no2"]["attached"], false);
    assert_eq!(state["bridges"]["vlbr5"]["datapath_type"], "nosuch");
    assert_eq!(state["bridges"]["vlbr5"]["ports"]["vlbr5in"]["interfaces"]["vlbr5in"]["attached"], false);
}

#[test]
fn with_verify_false_a_report_still_tells_how_the_interfaces_are() {
    let switch = switch_with_bridge();
    let mut call = add("nodev", json!({}));
    call["verify"] = json!(false);
    call["report"] = json!(true);
    let report = switch.ok("port-add", call);
    let interface = &report["interfaces"][0];
    assert_eq!((&interface["name"], &interface["ofport"]), (&json!("nodev"), &json!(-1)));
    has(interface["error"].as_str().unwrap(), &["No such device"]);
}

#[test]
fn a_broken_interface_next_to_it_fails_no_command() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "bad", "verify": false, "options": {"type": "bogus"}}));
    for (command, arguments) in [
        ("port-add", add("e1", json!({}))),
        ("port-set", json!({"port": "e1", "vlan": 7})),
        ("set", set("e1", json!({"external_ids:a": "b"}))),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"other_config:a": "b"}})),
        ("port-del", json!({"port": "e1"})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]})),
        ("bond-del", json!({"port": "bond0"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 6})),
        ("vlan-del", json!({"master": "br0", "vlan": 5})),
        ("vxlan-del", json!({"vxlan": 6})),
        ("bridge-add", json!({"bridge": "br1"})),
        ("bridge-del", json!({"bridge": "br1"})),
        ("port-del", json!({"port": "bad"})),
    ] {
        let answer = switch.plugin(command, arguments);
        assert!(!answer.stderr.contains("nodev"), "{command}: {}", answer.stderr);
        answer.ok();
    }
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["nodev"]));
}

#[test]
fn an_interface_that_was_broken_before_is_changed_with_a_warning_only() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    for (command, arguments) in [
        ("set", set("nodev", json!({"external_ids:a": "b"}))),
        ("set", set("nodev", json!({"type": "bogus"}))),
        ("port-set", json!({"port": "nodev", "mtu": 1300})),
    ] {
        let answer = switch.plugin(command, arguments);
        has(&answer.stderr, &["nodev", "did not work before and still does not"]);
        answer.ok();
    }
    // In a report the same is among the notes, and once it works there is nothing to tell.
    let mut call = set("nodev", json!({"external_ids:a": "c"}));
    call["report"] = json!(true);
    has(switch.ok("set", call)["notes"][0].as_str().unwrap(), &["nodev", "still does not"]);
    switch.net.veth("nodev", "nodev-p");
    let repaired = switch.plugin("set", set("nodev", json!({"type": "system"})));
    assert!(!repaired.stderr.contains("still does not"), "{}", repaired.stderr);
    repaired.ok();
    assert_eq!(interface(&switch, "nodev")["attached"], true);
    has(&switch.refused("set", set("nodev", json!({"type": "bogus"}))), &["nodev", "nothing is left of it"]);
}

#[test]
fn a_patch_port_without_its_peer_is_told_in_stderr_and_in_the_report() {
    let switch = switch_with_bridge();
    let mut call = add("p1", json!({"type": "patch", "options:peer": "p2"}));
    call["report"] = json!(true);
    let answer = switch.plugin("port-add", call);
    has(&answer.stderr, &["p1", "p2"]);
    let report = answer.ok();
    has(report["notes"][0].as_str().unwrap(), &["p1", "p2"]);
    assert_eq!(report["notes"].as_array().unwrap().len(), 1, "said once, by us or by ovs-vswitchd: {report}");
    assert!(report["interfaces"][0]["ofport"].as_i64().unwrap() > 0, "{report}");

    let answer = switch.plugin("port-add", add("p2", json!({"type": "patch", "options:peer": "p1"})));
    assert!(!answer.stderr.contains("p1"), "{}", answer.stderr);
    answer.ok();
}

#[test]
fn without_ovs_vswitchd_nothing_is_judged_and_the_change_stays() {
    let switch = switch_with_bridge();
    switch.stop_vswitchd();
    for (command, arguments) in [
        ("port-add", add("nodev", json!({}))),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "no1"]})),
        ("set", set("e1", json!({"type": "bogus"}))),
    ] {
        let message = switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "2").run().failed();
        has(&message, &["database holds the change", "has not applied it"]);
        assert!(!message.contains("does not work") && !message.contains("taken back"), "{message}");
    }
    let state = switch.state();
    let ports = &state["bridges"]["br0"]["ports"];
    assert!(ports["nodev"].is_object(), "{ports}");
    assert_eq!(ports["bond0"]["interfaces"]["e1"]["type"], "bogus");
    // What could not be judged then is nobody's to take back later.
    switch.start_vswitchd();
    switch.ok("port-add", add("e2", json!({})));
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["bond0", "e2", "nodev"]));
}
