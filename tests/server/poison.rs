//! What one caller or one lost message does to all the others: nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::serving::{LIMIT, Server, request};
use crate::support::proxy::{Fate, From, Proxy};
use crate::support::{Switch, wait_until};

/// Over how many connections to the database the server has been current so far.
fn connections(server: &Server) -> u64 {
    let (_, text) = server.page("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix("ovs_plugin_database_connections_total "));
    line.unwrap_or_else(|| panic!("the metric is not in\n{text}")).parse().unwrap()
}

/// A server whose database is behind a proxy.
fn behind(judge: impl Fn(From, &Value) -> Fate + Send + Sync + 'static) -> (Server, Proxy) {
    let switch = Switch::new();
    let proxy = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), judge);
    let server = Server::on(switch, &[], &[("OVS_PLUGIN_DB", &proxy.remote())]);
    (server, proxy)
}

#[test]
fn a_nul_of_one_caller_costs_nobody_else_a_call() {
    let (server, proxy) = behind(|_, _| Fate::Pass);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let poison = [
        ("bridge-del", json!({"bridge": "a\0b"})),
        ("set", json!({"table": "Bridge", "record": "a\0", "values": {"external_ids:a": "b"}})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b\0"}})),
        ("port-add", json!({"bridge": "br0", "port": "p", "external_ids": {"a\0": "b"}})),
    ];
    let all: Vec<Value> = (0..40)
        .map(|number| match poison.get(number % 8) {
            Some((command, arguments)) => request(number as u32, command, arguments.clone()),
            None => {
                let values = json!({"external_ids:number": number.to_string()});
                request(number as u32, "set", json!({"table": "Bridge", "record": "br0", "values": values}))
            }
        })
        .collect();
    let answers = server.ask(&Value::Array(all));
    for answer in answers.as_array().unwrap() {
        let is_poison = answer["id"].as_u64().unwrap() % 8 < 4;
        match is_poison {
            true => assert!(answer["error"]["message"].as_str().unwrap().contains("NUL"), "{answer}"),
            false => assert!(answer.get("result").is_some(), "{answer}"),
        }
    }
    assert_eq!(connections(&server), 1, "the connection that all share is still the first");
    assert!(!proxy.take().iter().any(|passed| passed.message.to_string().contains("\\u0000")));
}

#[test]
fn a_lost_answer_to_an_echo_is_noticed_and_calls_go_on() {
    let (lose, echo) = (Arc::new(AtomicBool::new(false)), Mutex::new(None));
    let losing = lose.clone();
    let (server, _proxy) = behind(move |from, message| {
        let mut echo = echo.lock().unwrap();
        if from == From::Client && message["method"] == "echo" && losing.swap(false, Ordering::SeqCst) {
            *echo = Some(message["id"].clone());
        }
        if from == From::Server && message.get("method").is_none() && echo.as_ref() == Some(&message["id"]) {
            *echo = None;
            return Fate::Lose;
        }
        Fate::Pass
    });
    server.ok("bridge-add", json!({"bridge": "br0"}));
    for expected in 2..4 {
        lose.store(true, Ordering::SeqCst);
        assert_eq!(server.ok("bridge-list", json!({})), json!(["br0"]));
        assert_eq!(connections(&server), expected);
        assert_eq!(server.page("/healthz").0, 200);
    }
}

#[test]
fn where_no_echo_is_answered_the_pages_say_so_until_it_is() {
    let refuse = Arc::new(AtomicBool::new(false));
    let (refusing, loses) = (refuse.clone(), Arc::new(AtomicBool::new(false)));
    let losing = loses.clone();
    let (server, _proxy) = behind(move |from, message| match message["method"] == "echo" && from == From::Client {
        true if losing.load(Ordering::SeqCst) => Fate::Lose,
        true if refusing.load(Ordering::SeqCst) => Fate::UnknownMethod,
        _ => Fate::Pass,
    });
    server.ok("bridge-add", json!({"bridge": "br0"}));
    for fault in [&loses, &refuse] {
        fault.store(true, Ordering::SeqCst);
        for page in ["/healthz", "/readyz"] {
            let (status, text) = server.page(page);
            assert_eq!(status, 503, "{page}: {text}");
        }
        fault.store(false, Ordering::SeqCst);
        for page in ["/healthz", "/readyz"] {
            assert!(wait_until(LIMIT, || server.page(page).0 == 200), "{page}: {}", server.said());
        }
        assert_eq!(server.ok("bridge-list", json!({})), json!(["br0"]));
    }
}

#[test]
fn a_server_that_always_hangs_up_is_not_connected_to_without_end() {
    let (cut, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (cutting, count) = (cut.clone(), connections.clone());
    let (server, _proxy) = behind(move |from, message| {
        // After everything has come, so that the replica was current.
        if from == From::Client && message["method"] == "get_schema" {
            count.fetch_add(1, Ordering::SeqCst);
        }
        let is_echo = from == From::Client && message["method"] == "echo";
        if is_echo && cutting.load(Ordering::SeqCst) { Fate::Cut } else { Fate::Pass }
    });
    server.ok("bridge-add", json!({"bridge": "br0"}));
    cut.store(true, Ordering::SeqCst);
    let before = connections.load(Ordering::SeqCst);
    // A sync point goes on over the next connection, where its echo is cut off again.
    let (status, text) = server.page("/healthz");
    assert_eq!(status, 503, "{text}");
    let tries = connections.load(Ordering::SeqCst) - before;
    assert!((1..=40).contains(&tries), "{tries} connections in 5 s");
    cut.store(false, Ordering::SeqCst);
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200), "{}", server.said());
}

#[test]
fn a_read_on_which_the_server_hangs_up_twice_is_given_up_over_the_server_too() {
    // What the replica does not hold is asked of the server.
    let (server, proxy) = behind(|from, message| {
        let is_it = from == From::Client && message.to_string().contains("Manager") && message["method"] == "transact";
        if is_it { Fate::Cut } else { Fate::Pass }
    });
    let arguments = json!({"table": "Manager", "record": ".", "values": {"inactivity_probe": 7}});
    let error = server.failed("set", arguments);
    let is_it = |message: &Value| message["method"] == "transact" && message.to_string().contains("Manager");
    let sent = proxy.take();
    let sent = sent.iter().filter(|passed| passed.from == From::Client && is_it(&passed.message)).count();
    assert!(sent <= 2, "sent {sent} times: {error}");
    assert_eq!(error["data"]["committed"], "no", "{error}");
}
