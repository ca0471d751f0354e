//! What callers are told while `ovsdb-server` is killed again and again.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::serving::{LIMIT, Server, request};
use crate::support::Switch;

/// Seconds for which it goes on; more by `OVS_PLUGIN_TEST_KILLING`.
const SECONDS: u64 = 12;

/// Those who call at the same time, each over a WebSocket of its own.
const CALLERS: usize = 8;

#[test]
fn no_call_is_lost_and_none_answered_wrongly_while_the_database_is_killed_every_second() {
    let server = Server::on(Switch::new(), &[], &[("OVS_PLUGIN_TIMEOUT", "6")]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let seconds = std::env::var("OVS_PLUGIN_TEST_KILLING").ok().and_then(|seconds| seconds.parse().ok());
    let stop = AtomicBool::new(false);
    let told: Vec<(String, Value)> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                scope.spawn({
                    let (server, stop) = (&server, &stop);
                    move || call(server, caller, stop)
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
        while Instant::now() < end {
            thread::sleep(Duration::from_secs(1));
            server.switch.kill_database_and_start_it();
        }
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });

    let names: Vec<Value> = server.switch.database.rows("Bridge").into_iter().map(|row| row["name"].clone()).collect();
    let (mut done, mut refused) = (0, 0);
    for (name, answer) in &told {
        let is_there = names.contains(&json!(name));
        match answer["error"]["data"]["committed"].as_str() {
            None => {
                assert!(answer.get("result").is_some(), "{answer:#}");
                assert!(is_there, "{name} was answered with success and is not there");
                done += 1;
            }
            Some("yes") => assert!(is_there, "{name} is not there: {answer:#}"),
            Some("no") => {
                assert!(!is_there, "{name} is there: {answer:#}");
                refused += 1;
            }
            Some(other) => assert_eq!(other, "unknown", "{answer:#}"),
        }
    }
    println!("{} calls: {done} done, {refused} not committed", told.len());
    assert!(done > 0, "nothing succeeded at all: {told:#?}");
    // And it goes on as if nothing had been.
    server.ok("bridge-add", json!({"bridge": "after"}));
}

/// Adds one bridge after the other; what each was called, and the answer.
fn call(server: &Server, caller: usize, stop: &AtomicBool) -> Vec<(String, Value)> {
    let stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut socket = tungstenite::client("ws://localhost/", stream).unwrap().0;
    let mut told = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("b{caller}-{}", told.len());
        let id = u32::try_from(told.len()).unwrap();
        let call = request(id, "bridge-add", json!({"bridge": name, "options": {"datapath_type": "netdev"}}));
        socket.send(Message::text(call.to_string())).unwrap();
        let answer: Value = loop {
            if let Message::Text(text) = socket.read().unwrap() {
                break serde_json::from_str(&text).unwrap();
            }
        };
        assert_eq!(answer["id"], id, "{answer:#}");
        told.push((name, answer));
    }
    told
}
