//! The same over a WebSocket, where many calls share one connection.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::serving::{LIMIT, Server, request, with_status};
use crate::support::{Switch, wait_until};

pub type Socket = WebSocket<UnixStream>;

pub fn connect(server: &Server) -> Socket {
    let stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    tungstenite::client("ws://localhost/", stream).unwrap().0
}

pub fn send(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).unwrap();
}

pub fn receive(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[test]
fn calls_on_one_websocket_run_at_once_and_are_answered_by_id() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let mut socket = connect(&server);
    for vlan in 1..=50 {
        send(&mut socket, &request(vlan, "vlan-ensure", json!({"master": "br0", "vlan": vlan})));
    }
    let answers: BTreeMap<u64, Value> = (1..=50)
        .map(|_| receive(&mut socket))
        .map(|answer| (answer["id"].as_u64().unwrap(), answer["result"].clone()))
        .collect();
    let expected: BTreeMap<u64, Value> = (1..=50).map(|vlan| (vlan, json!(format!("vlbr{vlan}")))).collect();
    assert_eq!(answers, expected);
    assert_eq!(server.ok("bridge-list", json!({})).as_array().unwrap().len(), 51);
}

#[test]
fn a_websocket_answers_errors_and_batches_like_http() {
    let server = Server::new();
    let mut socket = connect(&server);
    for body in [
        request(1, "bridge-add", json!({})),
        request(2, "nonsense", json!({})),
        json!([request(3, "bridge-list", json!({})), request(4, "bridge-del", json!({"bridge": "br0"}))]),
        json!({"jsonrpc": "2.0", "id": 5, "method": "rpc.discover"}),
    ] {
        send(&mut socket, &body);
        assert_eq!(receive(&mut socket), server.ask(&body), "{body}");
    }
    // A notification is carried out, and answered with nothing.
    send(&mut socket, &json!({"jsonrpc": "2.0", "method": "ovs.bridge-add", "params": {"bridge": "br0"}}));
    assert!(wait_until(LIMIT, || server.switch.net.has_link("br0")));
    send(&mut socket, &request(6, "bridge-list", json!({})));
    assert_eq!(receive(&mut socket), json!({"jsonrpc": "2.0", "id": 6, "result": ["br0"]}));
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_websocket_goes_on() {
    let server = Server::on(Switch::new(), &["--max-request-size", "4096"], &[]);
    let mut socket = connect(&server);
    send(&mut socket, &request(1, "bridge-del", json!({"bridge": "x".repeat(5000)})));
    let answer = receive(&mut socket);
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32007)), "{answer}");
    send(&mut socket, &request(2, "bridge-list", json!({})));
    assert_eq!(receive(&mut socket)["result"], json!([]));
}

#[test]
fn an_open_websocket_counts_as_a_connection_until_it_is_closed() {
    let server = Server::on(Switch::new(), &["--max-connections", "1"], &[]);
    // Whether the end of the one before has been noticed already is not known.
    let mut opened = None;
    let connected = wait_until(LIMIT, || {
        let stream = UnixStream::connect(&server.socket).unwrap();
        opened = tungstenite::client("ws://localhost/", stream).ok();
        opened.is_some()
    });
    assert!(connected);
    let mut socket = opened.unwrap().0;
    send(&mut socket, &request(1, "version", json!({})));
    receive(&mut socket);
    let (status, text) = server.page("/healthz");
    assert_eq!((status, text.trim()), (503, "there are 1 connections already"));
    socket.close(None).unwrap();
    drop(socket);
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200));
}

#[test]
fn a_handshake_that_fails_leaves_no_connection_behind() {
    let server = Server::new();
    let mut command = server.curl();
    command.args(["--header", "Connection: Upgrade", "--header", "Upgrade: websocket", "http://localhost/"]);
    let (status, text) = with_status(command);
    assert!(status == 400 && text.contains("Could not upgrade connection"), "{status} {text}");
    assert!(wait_until(LIMIT, || server.connections() == 1));
    drop(connect(&server));
    assert!(wait_until(LIMIT, || server.connections() == 1));
}
