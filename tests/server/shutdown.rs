//! SIGTERM: what is in flight is finished, the socket is gone, the exit status is 0.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server, is_alive, request};
use crate::support::{Switch, wait_until};
use crate::websocket;

/// A call that waits for ovs-vswitchd, which is paused. Its bridge is in the database when this returns.
fn waiting_call(server: &Server, bridge: &str) -> Child {
    server.switch.pause_vswitchd();
    let body = request(1, "bridge-add", json!({"bridge": bridge})).to_string();
    let call = server.posting(&body).stdout(Stdio::piped()).spawn().unwrap();
    assert!(wait_until(LIMIT, || server.ok("bridge-list", json!({})).to_string().contains(bridge)));
    call
}

fn answer_to(call: Child) -> Value {
    let output = call.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_call_in_flight_is_finished_and_the_socket_is_gone() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::new();
        let call = waiting_call(&server, "br0");
        let mut websocket = websocket::connect(&server);
        websocket::send(&mut websocket, &request(2, "bridge-add", json!({"bridge": "br1"})));
        assert!(wait_until(LIMIT, || server.ok("bridge-list", json!({})) == json!(["br0", "br1"])));
        // It reads all the time, as programs do, and so has answered the server's ping before the end.
        let answer = std::thread::spawn(move || websocket::receive(&mut websocket));
        server.signal(signal);
        assert!(wait_until(LIMIT, || !server.socket.exists()), "the socket goes first");
        assert!(!is_alive(&server.socket));
        server.switch.resume_vswitchd();
        assert_eq!(answer_to(call)["result"], Value::Null);
        assert_eq!(answer.join().unwrap(), json!({"jsonrpc": "2.0", "id": 2, "result": null}));
        assert_eq!(server.ended().code(), Some(0));
        assert!(!server.socket.with_extension("sock.lock").exists());
    }
}

#[test]
fn what_is_not_finished_in_time_is_told_so_and_the_exit_status_is_0() {
    let mut server = Server::on(Switch::new(), &["--grace", "0.2"], &[]);
    let call = waiting_call(&server, "br0");
    server.signal(Signal::SIGTERM);
    let error = answer_to(call)["error"].clone();
    assert_eq!((&error["data"]["kind"], &error["data"]["committed"]), (&json!("not-applied"), &json!("yes")));
    assert!(error["message"].as_str().unwrap().starts_with("stopped by SIGTERM"), "{error}");
    assert_eq!(server.ended().code(), Some(0));
    server.switch.resume_vswitchd();
}

#[test]
fn a_second_signal_ends_the_waiting() {
    let mut server = Server::on(Switch::new(), &["--grace", "1000"], &[]);
    let call = waiting_call(&server, "br0");
    server.signal(Signal::SIGTERM);
    assert!(wait_until(LIMIT, || !server.socket.exists()));
    server.signal(Signal::SIGTERM);
    assert_eq!(answer_to(call)["error"]["data"]["kind"], "not-applied");
    assert_eq!(server.ended().code(), Some(0));
    server.switch.resume_vswitchd();
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut server = Server::on(Switch::new(), &["--grace", "1000"], &[]);
    let _idle = std::os::unix::net::UnixStream::connect(&server.socket).unwrap();
    let _websocket = websocket::connect(&server);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn the_service_manager_is_told() {
    let switch = Switch::new();
    let path = switch.directory().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(LIMIT)).unwrap();
    let mut server = Server::on(switch, &[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let received = || {
        let mut bytes = [0; 100];
        let length = notify.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    assert_eq!(received(), "READY=1");
    server.signal(Signal::SIGTERM);
    assert_eq!(received(), "STOPPING=1");
    assert_eq!(server.ended().code(), Some(0));
}
