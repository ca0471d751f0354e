//! The client of the library, and `ovs-plugin call`.

use std::time::Duration;

use nix::sys::signal::Signal;
use ovs_plugin::client::{Client, ClientError};
use ovs_plugin::error::Committed;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server};
use crate::support::Switch;

fn in_runtime<T>(work: impl AsyncFnOnce() -> T) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
}

#[test]
fn the_client_has_typed_results_and_errors() {
    let server = Server::new();
    in_runtime(async || {
        let client = Client::new(&server.socket, LIMIT);
        client.call::<()>("ovs.bridge-add", &json!({"bridge": "br0"})).await.unwrap();
        let bridges: Vec<String> = client.call("ovs.bridge-list", &json!({})).await.unwrap();
        assert_eq!(bridges, ["br0"]);

        let error = client.call::<()>("ovs.bridge-add", &json!({"bridge": "br0"})).await.unwrap_err();
        assert_eq!(error.committed(), Committed::No);
        let ClientError::Call(error) = error else { panic!("{error:?}") };
        assert_eq!((error.code, error.data.unwrap().kind.as_str()), (1102, "exists"));

        let error = client.call::<u32>("ovs.bridge-list", &json!({})).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable(_)), "{error:?}");
    });
}

#[test]
fn calls_of_one_client_run_at_the_same_time() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    in_runtime(async || {
        let client = Client::new(&server.socket, LIMIT);
        let ensure = async |vlan: u32| {
            let arguments = json!({"master": "br0", "vlan": vlan});
            client.call::<String>("ovs.vlan-ensure", &arguments).await.unwrap()
        };
        let names = futures_util::future::join_all((1..=40).map(ensure)).await;
        assert_eq!(names, (1..=40).map(|vlan| format!("vlbr{vlan}")).collect::<Vec<_>>());
    });
}

#[test]
fn the_client_goes_on_with_a_server_that_was_started_again() {
    let mut server = Server::new();
    in_runtime(async || {
        let client = Client::new(&server.socket, LIMIT);
        client.call::<Value>("ovs.version", &json!({})).await.unwrap();
        server.signal(Signal::SIGTERM);
        server.ended();
        let error = client.call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert!(matches!(error, ClientError::NotConnected { .. }), "{error:?}");
        assert_eq!(error.committed(), Committed::No);
        server.start_again();
        client.call::<Value>("ovs.version", &json!({})).await.unwrap();
    });
}

#[test]
fn the_client_does_not_wait_longer_than_it_may() {
    let server = Server::new();
    server.switch.pause_vswitchd();
    in_runtime(async || {
        let client = Client::new(&server.socket, Duration::from_millis(300));
        let error = client.call::<()>("ovs.bridge-add", &json!({"bridge": "br0"})).await.unwrap_err();
        assert!(matches!(error, ClientError::Expired(_)), "{error:?}");
        assert_eq!(error.committed(), Committed::Unknown);
    });
    server.switch.resume_vswitchd();
}

#[test]
fn the_shell_calls_methods_by_either_name() {
    let server = Server::new();
    let call = |words: &[&str]| server.switch.call().arg("call").args(words).run();
    let done = call(&["bridge-add", r#"{"bridge": "br0"}"#]);
    assert_eq!((done.exit, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "null\n", ""));
    let done = call(&["ovs.bridge-list"]);
    assert_eq!((done.exit, done.stdout.as_str()), (Some(0), "[\"br0\"]\n"));
    let done = call(&["rpc.discover"]);
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["info"]["title"], "ovs-plugin");

    let failed = call(&["bridge-add", r#"{"bridge": "br0"}"#]);
    assert_eq!((failed.exit, failed.stdout.as_str()), (Some(1), ""));
    assert!(failed.stderr.starts_with("ovs-plugin: cannot create a bridge named br0"), "{}", failed.stderr);
    for (words, expected) in [
        (&["bridge-add", "{"][..], "expected one object"),
        (&["bridge-add", "[1, 2]"], "an array of 2"),
        (&["nonsense"], "unknown command: ovs.nonsense"),
    ] {
        let failed = call(words);
        assert!(failed.exit == Some(1) && failed.stderr.contains(expected), "{failed:?}");
    }
}

#[test]
fn the_shell_is_told_where_no_server_is() {
    let switch = Switch::builder().without_database().start();
    let failed = switch.call().args(&["call", "version"]).run();
    let expected = format!("ovs-plugin: no server at {}/ovs-plugin.sock: ", switch.directory().display());
    assert!(failed.exit == Some(1) && failed.stderr.starts_with(&expected), "{failed:?}");
    let failed = switch.call().args(&["call", "version", "--socket", "/nonexistent"]).run();
    assert!(failed.exit == Some(1) && failed.stderr.contains("no server at /nonexistent"), "{failed:?}");
}

#[test]
fn a_server_that_is_full_is_told_from_a_call_that_failed() {
    let server = Server::on(Switch::new(), &["--max-connections", "1"], &[]);
    let place = server.take_place();
    in_runtime(async || {
        let client = Client::new(&server.socket, LIMIT);
        let error = client.call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 503, .. }), "{error:?}");
        assert_eq!(error.committed(), Committed::No);
    });
    drop(place);
}
