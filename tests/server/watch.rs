//! `ovs.watch` over a WebSocket, and `ovs-plugin watch`: a picture, then every change.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server};
use crate::support::{BINARY, SCHEMA_FILE, Switch, schemas};
use crate::websocket::{Socket, connect, receive, send};

/// The rows of the first change that has one that fits; what is not about it is passed over.
fn change_with(next: &mut impl FnMut() -> Value, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    loop {
        let event = next();
        assert_eq!(event["event"], "change", "{event:#}");
        let rows = event["rows"].as_array().unwrap();
        if rows.iter().any(&fits) {
            return rows.clone();
        }
    }
}

#[track_caller]
fn row<'r>(rows: &'r [Value], table: &str, name: &str) -> &'r Value {
    let found = rows.iter().find(|row| row["table"] == table && row["name"] == name);
    found.unwrap_or_else(|| panic!("no {table} {name} in {rows:#?}"))
}

/// What a watcher is told while a VLAN comes, is changed by somebody else, and goes.
fn a_vlan_comes_changes_and_goes(switch: &Switch, next: &mut impl FnMut() -> Value) {
    let picture = next();
    assert_eq!((&picture["event"], &picture["reason"]), (&json!("picture"), &json!("start")), "{picture:#}");
    assert_eq!(picture["picture"]["bridges"][0]["name"], "br0");

    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let rows = change_with(next, |row| row["name"] == "vlbr5" && row["change"] == "inserted");
    // One command is one transaction, and so one event.
    for (table, name) in [("Bridge", "vlbr5"), ("Port", "vlbr5p"), ("Port", "vlbr5in"), ("Interface", "vlbr5in")] {
        assert_eq!(row(&rows, table, name)["change"], "inserted");
    }
    assert_eq!(row(&rows, "Port", "vlbr5p")["new"]["tag"], 5);

    switch.vsctl(&["set", "port", "vlbr5p", "tag=6"]);
    let rows = change_with(next, |row| row["table"] == "Port" && row["change"] == "modified");
    let port = row(&rows, "Port", "vlbr5p");
    assert_eq!((&port["old"], &port["new"]), (&json!({"tag": 5}), &json!({"tag": 6})));

    switch.ok("bridge-del", json!({"bridge": "vlbr5"}));
    let rows = change_with(next, |row| row["change"] == "deleted" && row["table"] == "Bridge");
    assert_eq!(row(&rows, "Port", "vlbr5p")["change"], "deleted");
    assert_eq!(row(&rows, "Bridge", "vlbr5")["old"]["name"], "vlbr5");
}

/// The next event of a subscription.
fn told(socket: &mut Socket, subscription: &Value) -> Value {
    let message = receive(socket);
    assert_eq!((&message["method"], &message["params"]["subscription"]), (&json!("ovs.watch"), subscription));
    message["params"]["result"].clone()
}

#[test]
fn a_subscriber_is_told_a_picture_and_then_every_transaction() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let mut socket = connect(&server);
    send(&mut socket, &json!({"jsonrpc": "2.0", "id": 1, "method": "ovs.watch"}));
    let subscription = receive(&mut socket)["result"].clone();
    a_vlan_comes_changes_and_goes(&server.switch, &mut || told(&mut socket, &subscription));

    send(&mut socket, &json!({"jsonrpc": "2.0", "id": 2, "method": "ovs.unwatch", "params": [subscription]}));
    let answer = loop {
        let message = receive(&mut socket);
        if message["id"] == 2 {
            break message;
        }
    };
    assert_eq!(answer["result"], true);
}

#[test]
fn a_subscription_with_arguments_is_refused_and_one_over_http_has_no_way_back() {
    let server = Server::new();
    let mut socket = connect(&server);
    let with_arguments = json!({"jsonrpc": "2.0", "id": 1, "method": "ovs.watch", "params": {"bridge": "br0"}});
    send(&mut socket, &with_arguments);
    let answer = receive(&mut socket);
    assert_eq!(answer["error"]["data"]["kind"], "bad-argument", "{answer}");
    let answer = server.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ovs.watch"}));
    assert!(answer["error"].is_object(), "{answer}");
}

#[test]
fn a_server_that_is_told_to_stop_does_not_wait_for_those_who_watch() {
    let mut server = Server::new();
    let mut socket = connect(&server);
    send(&mut socket, &json!({"jsonrpc": "2.0", "id": 1, "method": "ovs.watch"}));
    let subscription = receive(&mut socket)["result"].clone();
    assert_eq!(told(&mut socket, &subscription)["event"], "picture");
    server.signal(Signal::SIGTERM);
    assert!(server.ended().success());
    assert!(!server.said().contains("not everything is finished"), "{}", server.said());
}

/// `ovs-plugin watch` at work; killed when dropped.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(switch: &Switch) -> Watching {
        let mut command = switch.tool(BINARY);
        command.arg("watch").env("OVS_PLUGIN_DB", switch.remote());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Watching { child, lines }
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(LIMIT).expect("an event within the limit");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    lines
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_or_the_agent_watches_line_by_line_until_told_to_stop() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let mut watching = Watching::start(&switch);
    a_vlan_comes_changes_and_goes(&switch, &mut || watching.next());
    kill(Pid::from_raw(watching.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(watching.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watcher_is_told_when_the_database_goes_and_what_changed_meanwhile() {
    let switch = Switch::builder().without_vswitchd().start();
    let watching = Watching::start(&switch);
    assert_eq!(watching.next()["event"], "picture");
    switch.stop_database();
    assert_eq!(watching.next()["event"], "disconnected");
    switch.start_database();
    assert_eq!(watching.next()["event"], "connected");
    switch.vsctl(&["--no-wait", "add-br", "later"]);
    change_with(&mut || watching.next(), |row| row["name"] == "later" && row["change"] == "inserted");
}

#[test]
fn a_watcher_is_told_the_same_where_the_schema_is_older() {
    for release in ["1.9", "2.1", "2.5"] {
        let switch = Switch::builder().schema(schemas::of_release(release)).start();
        switch.ok("bridge-add", json!({"bridge": "br0"}));
        let watching = Watching::start(&switch);
        a_vlan_comes_changes_and_goes(&switch, &mut || watching.next());
    }
}

#[test]
fn who_watches_is_told_no_secrets_and_neither_is_the_log() {
    let variables = [("OVS_PLUGIN_LOG", "trace")];
    let server = Server::on(Switch::builder().veth("e1", "e1-p").start(), &[], &variables);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let watching = Watching::start(&server.switch);
    let mut told = vec![watching.next()];
    let secrets = ["geheim-one", "geheim-two"];
    let options = json!({"options:psk": secrets[0], "external_ids:token": secrets[0], "options:key": "5"});
    told.push(server.ok("port-add", json!({"bridge": "br0", "port": "e1", "options": options, "report": true})));
    let values = json!({"options": format!("{{psk={},key=6}}", secrets[1]), "external_ids:token": secrets[1]});
    told.push(server.ok("set", json!({"table": "Interface", "record": "e1", "values": values, "report": true})));
    told.push(server.failed("set", json!({"table": "Port", "record": "e1", "values": {"tag:psk": secrets[1]}})));
    server.ok("port-del", json!({"port": "e1"}));
    let is_gone = |row: &Value| row["name"] == "e1" && row["table"] == "Interface" && row["change"] == "deleted";
    loop {
        told.push(watching.next());
        if told.last().unwrap()["rows"].as_array().is_some_and(|rows| rows.iter().any(is_gone)) {
            break;
        }
    }
    let text = format!("{told:?}\n{}", server.said());
    assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    let psk = |row: &Value, key: &str| format!("{:?}", row[key]["options"]).contains("(hidden)");
    let rows: Vec<&Value> = told.iter().filter_map(|event| event["rows"].as_array()).flatten().collect();
    assert!(rows.iter().any(|row| row["change"] == "modified" && psk(row, "old") && psk(row, "new")), "{told:#?}");
}

#[test]
fn one_row_that_cannot_be_read_leaves_the_others_in_the_picture_and_is_told() {
    // In this schema a port may have two tags, which is one more than there is room for in a picture.
    let mut schema: Value = serde_json::from_slice(&std::fs::read(SCHEMA_FILE).unwrap()).unwrap();
    schema["tables"]["Port"]["columns"]["tag"]["type"]["max"] = json!(2);
    let switch = Switch::builder().schema(schema).without_vswitchd().start();
    let port = |name: &str, tag: Value| {
        [
            json!({"op": "insert", "table": "Interface", "row": {"name": name}, "uuid-name": format!("i{name}")}),
            json!({"op": "insert", "table": "Port", "uuid-name": format!("p{name}"),
                   "row": {"name": name, "interfaces": ["named-uuid", format!("i{name}")], "tag": tag}}),
        ]
    };
    let ports = json!(["set", [["named-uuid", "pgood"], ["named-uuid", "pbad"]]]);
    let mut operations = [port("good", json!(5)), port("bad", json!(["set", [6, 7]]))].concat();
    operations.extend([
        json!({"op": "insert", "table": "Bridge", "row": {"name": "br0", "ports": ports}, "uuid-name": "b"}),
        json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": ["named-uuid", "b"]}}),
    ]);
    switch.transact(&operations);
    let picture = Watching::start(&switch).next()["picture"].clone();
    assert_eq!(
        (&picture["bridges"][0]["name"], &picture["bridges"][0]["ports"][0]["name"]),
        (&json!("br0"), &json!("good"))
    );
    let unreadable = picture["unreadable"].as_array().unwrap();
    assert!(unreadable.len() == 1 && unreadable[0].as_str().unwrap().starts_with("Port bad: "), "{picture:#}");
}
