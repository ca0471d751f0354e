//! `serve` and `watch` with database servers that are not the usual one: relays, old ones, and such without a database.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use crate::serving::{LIMIT, Server};
use crate::support::cluster::Server as DatabaseServer;
use crate::support::proxy::{Proxy, as_open_vswitch_2_5, is_write};
use crate::support::{BINARY, Switch, spawn_daemon, wait_until};

fn skipped() -> bool {
    if Switch::database_is_in_docker() {
        println!("skipped: the image's ovsdb-server is started for single databases only");
    }
    Switch::database_is_in_docker()
}

fn is_ready(server: &Server) -> bool {
    server.page("/readyz").0 == 200
}

#[test]
fn a_relay_that_has_lost_its_source_is_not_ready() {
    if skipped() {
        return;
    }
    let switch = Switch::new();
    let relay = DatabaseServer::relay_of(&switch.remote());
    assert!(wait_until(LIMIT, || relay.is(true, false)));
    let server = Server::on(switch, &[], &[("OVS_PLUGIN_DB", &relay.remote())]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    // What was committed elsewhere just before is known.
    for number in 10..20 {
        server.switch.vsctl(&["--no-wait", "add-br", &format!("new{number}")]);
        let bridges = server.ok("bridge-list", json!({}));
        assert!(bridges.as_array().unwrap().contains(&json!(format!("new{number}"))), "{bridges}");
    }
    assert!(wait_until(LIMIT, || is_ready(&server)));
    // The relay goes on saying for half a minute that it is connected.
    server.switch.stop_database();
    assert!(!is_ready(&server));
    server.switch.start_database();
    assert!(wait_until(LIMIT, || is_ready(&server)), "{}", server.said());
    server.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
}

#[test]
fn a_relay_is_left_for_a_server_that_is_up_to_date_once_there_is_one() {
    if skipped() {
        return;
    }
    let switch = Switch::new();
    let relay = DatabaseServer::relay_of(&switch.remote());
    assert!(wait_until(LIMIT, || relay.is(true, false)));
    let socket = switch.directory().join("proxy.sock");
    let remotes = format!("{},unix:{}", relay.remote(), socket.display());
    let server = Server::on(switch, &[], &[("OVS_PLUGIN_DB", &remotes)]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let direct = Proxy::new(&socket, server.switch.database.socket());
    let mut number = 0;
    let is_used = wait_until(LIMIT, || {
        number += 1;
        let values = json!({"external_ids:number": number.to_string()});
        server.ok("set", json!({"table": "Bridge", "record": "br0", "values": values}));
        direct.take().iter().any(|passed| is_write(&passed.message))
    });
    assert!(is_used, "{}", server.said());
}

#[test]
fn a_server_of_open_vswitch_2_5_is_replicated_too() {
    let switch = Switch::new();
    let old = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), as_open_vswitch_2_5);
    let server = Server::on(switch, &[], &[("OVS_PLUGIN_DB", &old.remote())]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    assert_eq!(server.ok("vlan-ensure", json!({"master": "br0", "vlan": 5})), "vlbr5");
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0", "vlbr5"]));
    // What others change and take away is seen.
    server.switch.vsctl(&["set", "port", "vlbr5p", "tag=6"]);
    let told = server.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "report": true}));
    assert_eq!(told["changed"], true, "{told}");
    server.switch.vsctl(&["del-br", "vlbr5"]);
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0"]));
    server.ok("bridge-del", json!({"bridge": "br0"}));
    assert!(is_ready(&server), "{}", server.said());
}

/// The lines that a program prints, as they come.
fn lines_of(stream: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    lines
}

/// Runs `ovs-plugin watch` with these remotes, and gives what it prints on stdout and on stderr.
fn watch(switch: &Switch, remotes: &str) -> (std::process::Child, mpsc::Receiver<String>, mpsc::Receiver<String>) {
    let mut command = switch.tool("setpriv");
    command.args(["--pdeathsig", "KILL", "--", BINARY, "watch"]).env("OVS_PLUGIN_DB", remotes);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_daemon(command);
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    (child, lines_of(stdout), lines_of(stderr))
}

#[test]
fn a_server_of_open_vswitch_2_5_is_watched_too() {
    let switch = Switch::builder().without_vswitchd().start();
    let old = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), as_open_vswitch_2_5);
    let (mut child, events, _errors) = watch(&switch, &old.remote());
    let next = || -> Value { serde_json::from_str(&events.recv_timeout(LIMIT).unwrap()).unwrap() };
    assert_eq!(next()["event"], "picture");
    let change = |kind: &str| loop {
        let event = next();
        let rows = event["rows"].as_array().unwrap().clone();
        let found =
            rows.into_iter().find(|row| row["name"] == "br0" && row["table"] == "Bridge" && row["change"] == kind);
        if let Some(row) = found {
            break row;
        }
    };
    switch.vsctl(&["--no-wait", "add-br", "br0"]);
    assert_eq!(change("inserted")["new"]["name"], "br0");
    switch.vsctl(&["--no-wait", "set", "bridge", "br0", "stp_enable=true"]);
    let changed = change("modified");
    assert_eq!((&changed["old"], &changed["new"]), (&json!({"stp_enable": false}), &json!({"stp_enable": true})));
    switch.vsctl(&["--no-wait", "del-br", "br0"]);
    assert_eq!(change("deleted")["old"]["stp_enable"], true);
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_watcher_is_told_why_there_is_nothing_to_see_and_watches_once_there_is() {
    if skipped() {
        return;
    }
    let switch = Switch::builder().without_database().start();
    let without = DatabaseServer::without_database();
    let (mut child, events, errors) = watch(&switch, &format!("{},{}", without.remote(), switch.remote()));
    let mut said = String::new();
    while !said.contains("the server has no database Open_vSwitch") {
        said += &errors.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    }
    assert!(said.contains("No such file or directory"), "{said}");
    switch.start_database();
    let event: Value = serde_json::from_str(&events.recv_timeout(LIMIT).unwrap()).unwrap();
    assert_eq!(event["event"], "picture");
    let _ = child.kill();
    let _ = child.wait();
}
