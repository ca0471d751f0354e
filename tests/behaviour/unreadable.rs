//! An answer that can't be read is an error with its cause: never "there is none", and never success.
//!
//! A proxy in front of `ovsdb-server` spoils what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::proxy::{From, Proxy};
use super::support::{Answer, Switch};

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

/// Runs a command against a server of which `spoil` alters the rows in answers to transactions, and the contents of the
/// answers to monitors. It tells whether it has altered something.
fn spoiled(
    switch: &Switch,
    spoil: impl Fn(&mut Value) -> bool + Send + Sync + 'static,
    command: &str,
    arguments: Value,
) -> Answer {
    let socket = switch.directory().join("spoiled.sock");
    let _ = std::fs::remove_file(&socket);
    let was_spoiled = Arc::new(AtomicBool::new(false));
    let noted = was_spoiled.clone();
    let proxy = Proxy::editing(&socket, switch.database.socket(), move |from, message| {
        let is_answer = from == From::Server && message.get("method").is_none();
        if is_answer && spoil(&mut message["result"]) {
            noted.store(true, Ordering::SeqCst);
        }
    });
    let answer = switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_DB", proxy.remote()).run();
    assert!(was_spoiled.load(Ordering::SeqCst), "nothing was spoiled: {command} {arguments}");
    answer
}

/// The rows in the answer to a transaction.
fn rows(result: &mut Value) -> impl Iterator<Item = &mut Value> {
    let results = result.as_array_mut().into_iter().flatten();
    results.filter_map(|result| result.get_mut("rows")?.as_array_mut()).flatten()
}

/// Gives the rows that have all of these columns another value in the first of them, or takes that away.
fn column(
    columns: &'static [&'static str],
    value: Option<Value>,
) -> impl Fn(&mut Value) -> bool + Send + Sync + 'static {
    move |result| {
        let mut altered = false;
        for row in rows(result).filter(|row| columns.iter().all(|column| row.get(*column).is_some())) {
            let row = row.as_object_mut().unwrap();
            match &value {
                Some(value) => row.insert(columns[0].to_owned(), value.clone()),
                None => row.remove(columns[0]),
            };
            altered = true;
        }
        altered
    }
}

#[track_caller]
fn has(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
}

#[test]
fn a_row_that_cannot_be_read_is_not_taken_for_none() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let bridge: &[&str] = &["datapath_type", "name"];
    let identity: &[&str] = &["_uuid", "name"];
    for (columns, value, command, arguments, words) in [
        (identity, None, "port-add", json!({"bridge": "br0", "port": "e2"}), ["unreadable rows", "_uuid"]),
        (identity, Some(json!(7)), "port-add", json!({"bridge": "br0", "port": "e2"}), ["unreadable rows", "_uuid"]),
        (bridge, None, "vlan-ensure", json!({"master": "br0", "vlan": 5}), ["unreadable rows", "datapath_type"]),
        (identity, None, "port-del", json!({"port": "e1"}), ["unreadable rows", "_uuid"]),
        (&["ports"], None, "port-list", json!({"bridge": "br0"}), ["unreadable rows", "ports"]),
        (&["ports"], Some(json!(["set", ["x"]])), "bridge-del", json!({"bridge": "br0"}), ["unreadable rows", "ports"]),
        (identity, None, "bridge-list", json!({}), ["unreadable rows", "_uuid"]),
        (&["ofport", "name"], Some(json!("x")), "show", json!({}), ["unreadable rows", "expected"]),
    ] {
        let message = switch.unchanged_by(|| spoiled(&switch, column(columns, value), command, arguments).failed());
        has(&message, &words);
        has(&message, &["nothing was committed"]);
    }
}

#[test]
fn a_change_whose_number_cannot_be_read_is_not_taken_for_applied() {
    let switch = switch_with_bridge();
    for (port, value) in [("e1", Some(json!("many"))), ("e2", None)] {
        let call = json!({"bridge": "br0", "port": port});
        // Rows that are only read have the number as well; here the answer to the change is meant, which has identities.
        let number = column(&["next_cfg"], value);
        let of_change = move |result: &mut Value| {
            let results = result.as_array().into_iter().flatten();
            results.filter(|result| result.get("uuid").is_some()).count() > 0 && number(result)
        };
        let message = spoiled(&switch, of_change, "port-add", call).failed();
        has(&message, &["next_cfg", "the database holds the change", "has not applied it, as far as is known"]);
        assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})).as_array().unwrap().last().unwrap(), port);
    }
}

#[test]
fn progress_that_cannot_be_read_is_an_error_at_once_and_not_waited_for_until_the_deadline() {
    let switch = switch_with_bridge();
    let in_monitor = |spoil: fn(&mut Value)| {
        move |result: &mut Value| {
            let rows = result.get_mut("Open_vSwitch").and_then(Value::as_object_mut);
            let mut altered = false;
            for row in rows.into_iter().flat_map(|rows| rows.values_mut()) {
                spoil(row);
                altered = true;
            }
            altered
        }
    };
    for (port, spoil) in [
        ("e1", (|row: &mut Value| row["new"]["cur_cfg"] = json!("far")) as fn(&mut Value)),
        ("e2", |row: &mut Value| *row = json!(7)),
    ] {
        let call = json!({"bridge": "br0", "port": port});
        let answer = spoiled(&switch, in_monitor(spoil), "port-add", call);
        // The deadline is 30 s.
        assert!(answer.elapsed < Duration::from_secs(20), "{answer:?}");
        has(&answer.failed(), &["cur_cfg", "the database holds the change"]);
    }
}

#[test]
fn what_cannot_be_read_after_the_commit_says_that_the_change_was_made() {
    let switch = switch_with_bridge();
    // How the interface is; that of a peer; what was there before; the identities of new rows.
    let status: &[&str] = &["link_state"];
    let call = |port: &str| json!({"bridge": "br0", "port": port, "options": {"type": "internal"}});
    let message = spoiled(&switch, column(status, Some(json!({}))), "port-add", call("p1")).failed();
    has(&message, &["the change was made", "unreadable status"]);

    // ovs-vswitchd says the same of a lone patch port, at some time or other.
    let peer = |result: &mut Value| {
        let mut altered = false;
        for row in rows(result) {
            match row.as_object_mut() {
                Some(row) if row.contains_key("error") => drop(row.insert("error".into(), json!(["set", []]))),
                Some(columns) if columns.len() == 1 && columns.contains_key("type") => {
                    *row = json!("peer");
                    altered = true;
                }
                _ => {}
            }
        }
        altered
    };
    let patch = json!({"bridge": "br0", "port": "p2", "options": {"type": "patch", "options:peer": "p1"}});
    has(&spoiled(&switch, peer, "port-add", patch).failed(), &["the change was made", "unreadable status"]);

    let former = |result: &mut Value| {
        let is_former = |row: &&mut Value| {
            row.as_object().is_some_and(|row| row.contains_key("mtu_request") && !row.contains_key("name"))
        };
        rows(result).filter(is_former).map(|row| *row = json!([])).count() > 0
    };
    let set = json!({"table": "Interface", "record": "p1", "values": {"mtu_request": 1400}});
    has(&spoiled(&switch, former, "set", set).failed(), &["the change was made", "former values"]);

    let identities = |result: &mut Value| {
        let results = result.as_array_mut().into_iter().flatten();
        results.filter_map(|result| result.as_object_mut()?.remove("uuid")).count() > 0
    };
    let message = spoiled(&switch, identities, "port-add", call("p3")).failed();
    has(&message, &["the change was made", "identity of a new row"]);
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!(["p1", "p2", "p3"]));
}

#[test]
fn a_bridge_that_is_in_place_is_not_promised_by_a_switch_whose_state_cannot_be_read() {
    let switch = switch_with_bridge();
    let call = json!({"master": "br0", "vlan": 5});
    switch.ok("vlan-ensure", call.clone());
    for value in [json!(["set", []]), json!("many")] {
        let answer = spoiled(&switch, column(&["next_cfg", "cur_cfg"], Some(value)), "vlan-ensure", call.clone());
        has(&answer.failed(), &["Open_vSwitch.next_cfg", "nothing was committed"]);
    }
}
