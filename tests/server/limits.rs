//! How much of everything there may be, and what is said when there is more.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::serving::{LIMIT, Server, request};
use crate::support::{Switch, wait_until};
use crate::websocket;

#[test]
fn a_request_that_is_too_large_is_refused() {
    let server = Server::on(Switch::new(), &["--max-request-size", "2000"], &[]);
    let fits = request(1, "bridge-del", json!({"bridge": "x".repeat(1500)})).to_string();
    assert_eq!(server.post(&fits).0, 200);
    let (status, text) = server.post(&request(1, "bridge-del", json!({"bridge": "x".repeat(2000)})).to_string());
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(-32007)), "{text}");
    // Without its length said before, too.
    let mut command = server.posting(&"x".repeat(100_000));
    command.args(["--header", "Transfer-Encoding: chunked"]);
    assert_eq!(crate::serving::with_status(command).0, 413);
}

#[test]
fn an_answer_that_is_too_large_is_an_error() {
    let server = Server::on(Switch::new(), &["--max-response-size", "1024"], &[]);
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"});
    assert_eq!(server.ask(&discover)["error"]["code"], -32008);
    assert_eq!(server.ok("bridge-list", json!({})), json!([]));
    let many: Vec<Value> = (0..100).map(|id| request(id, "bridge-list", json!({}))).collect();
    let answers = server.ask(&Value::Array(many));
    let answers = answers.as_array().unwrap();
    let codes: Vec<i64> = answers.iter().filter_map(|answer| answer["error"]["code"].as_i64()).collect();
    assert!(answers.len() == 100 && !codes.is_empty() && codes.len() < 100, "{codes:?}");
    assert!(codes.iter().all(|code| *code == -32011), "{codes:?}");
}

#[test]
fn a_batch_that_is_too_long_does_nothing() {
    let server = Server::on(Switch::new(), &["--max-batch", "3"], &[]);
    let add = |id: u32| request(id, "bridge-add", json!({"bridge": format!("br{id}")}));
    let answer = server.ask(&json!([add(1), add(2), add(3), add(4)]));
    assert_eq!(answer["error"]["code"], -32010, "{answer}");
    assert_eq!(server.ok("bridge-list", json!({})), json!([]));
    assert_eq!(server.ask(&json!([add(1), add(2), add(3)])).as_array().unwrap().len(), 3);
}

#[test]
fn too_many_connections_are_told_so_and_a_freed_place_is_used_again() {
    let server = Server::on(Switch::new(), &["--max-connections", "2"], &[]);
    let idle: Vec<_> = (0..2).map(|_| server.take_place()).collect();
    let (status, text) = server.page("/healthz");
    assert_eq!((status, text.trim()), (503, "there are 2 connections already"));
    drop(idle);
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200));
}

#[test]
fn a_call_that_finds_no_place_within_its_deadline_has_changed_nothing() {
    let server = Server::on(Switch::new(), &["--max-calls", "1"], &[("OVS_PLUGIN_TIMEOUT", "3")]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.switch.pause_vswitchd();
    let first = server.posting(&request(1, "bridge-add", json!({"bridge": "br1"})).to_string());
    let mut first = { first }.stdout(Stdio::piped()).spawn().unwrap();
    let waits = || server.page("/metrics").1.contains("ovs_plugin_commands_in_flight 1\n");
    assert!(wait_until(LIMIT, waits));
    // The second gets its turn when the first has used its time up, and then has hardly any left.
    let error = server.failed("bridge-add", json!({"bridge": "br2"}));
    first.wait().unwrap();
    server.switch.resume_vswitchd();
    let holds = server.ok("bridge-list", json!({})).to_string().contains("br2");
    match error["data"]["committed"].as_str() {
        Some("no") => assert!(!holds, "{error}"),
        Some("yes") => assert!(holds, "{error}"),
        other => panic!("{other:?}: {error}"),
    }
}

#[test]
fn a_connection_that_does_nothing_in_time_is_closed() {
    let server = Server::on(Switch::new(), &["--idle-timeout", "0.5"], &[]);
    let begun = |text: &str| {
        let mut stream = UnixStream::connect(&server.socket).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut answer = String::new();
    begun("POST / HTTP/1.1\r\nHost: ").read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "", "half a header");

    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut half_a_body = begun(&format!("{head}Content-Length: 100\r\n\r\n{{"));
    let mut status = [0; 12];
    half_a_body.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");

    // An answer of some megabytes, which nobody reads.
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"});
    let body = Value::Array(vec![discover; 100]).to_string();
    let _unread = begun(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert!(wait_until(LIMIT, || server.connections() == 2));
    assert!(wait_until(LIMIT, || server.connections() == 1), "who reads nothing keeps his place");
}

#[test]
fn calls_without_end_are_refused_before_they_fill_the_memory() {
    let server = Server::on(Switch::new(), &["--max-calls", "1"], &[]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.switch.pause_vswitchd();
    let mut socket = websocket::connect(&server);
    for vlan in 1..=40 {
        websocket::send(&mut socket, &request(vlan, "vlan-ensure", json!({"master": "br0", "vlan": vlan})));
    }
    // The one that runs and the fifteen that wait have no answer yet.
    for _ in 0..24 {
        let error = websocket::receive(&mut socket)["error"].clone();
        assert_eq!((&error["data"]["kind"], &error["data"]["committed"]), (&json!("not-committed"), &json!("no")));
        assert!(error["message"].as_str().unwrap().starts_with("too many calls are waiting"), "{error}");
    }
    server.switch.resume_vswitchd();
    for _ in 0..16 {
        let answer = websocket::receive(&mut socket);
        assert_eq!(answer["result"], format!("vlbr{}", answer["id"]), "{answer}");
    }
}
