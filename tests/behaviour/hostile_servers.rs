//! Servers that hang up, talk something else, or send more than anybody wants.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::Switch;
use crate::support::proxy::{Fate, From, Proxy, operations};

/// What a server does with a connection of its own.
type Conduct = dyn Fn(UnixStream) + Send + Sync;

/// A server of the test's own; it ends with the test process. Returns its address, and how often somebody has connected.
fn server(socket: &Path, conduct: impl Fn(UnixStream) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = UnixListener::bind(socket).unwrap();
    let (conduct, connections): (Arc<Conduct>, _) = (Arc::new(conduct), Arc::new(AtomicUsize::new(0)));
    let count = connections.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let (client, conduct) = (client.unwrap(), conduct.clone());
            thread::spawn(move || conduct(client));
        }
    });
    (format!("unix:{}", socket.display()), connections)
}

/// Answers each request with what `answer` makes of it, until the client goes away.
fn answering(answer: impl Fn(usize, &Value) -> Vec<u8>) -> impl Fn(UnixStream) {
    move |mut client| {
        let (mut heard, mut piece, mut number) = (Vec::new(), vec![0; 1 << 16], 0);
        while let Ok(length @ 1..) = client.read(&mut piece) {
            heard.extend_from_slice(&piece[..length]);
            let mut texts = serde_json::Deserializer::from_slice(&heard).into_iter::<Value>();
            let mut answers = Vec::new();
            while let Some(Ok(request)) = texts.next() {
                answers.extend(answer(number, &request));
                number += 1;
            }
            let used = texts.byte_offset();
            heard.drain(..used);
            if client.write_all(&answers).is_err() {
                return;
            }
        }
    }
}

/// What a server with a database in a file says of itself.
fn standing(request: &Value) -> Vec<u8> {
    let row = json!({"name": "Open_vSwitch", "model": "standalone", "connected": true, "leader": true});
    json!({"id": request["id"], "result": [{"rows": [row]}], "error": null}).to_string().into_bytes()
}

#[test]
fn a_name_with_a_nul_is_refused_and_nothing_is_sent() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let proxy = Proxy::new(&switch.directory().join("proxy.sock"), switch.database.socket());
    for (command, field, arguments) in [
        ("bridge-del", "bridge", json!({"bridge": "a\0b"})),
        ("set", "record", json!({"table": "Bridge", "record": "\0", "values": {}})),
        ("set", "values", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b\0"}})),
        ("bridge-add", "external_ids", json!({"bridge": "br1", "external_ids": {"a\0": "b"}})),
        ("port-add", "options", json!({"bridge": "br0", "port": "p", "options": {"type": "\0"}})),
        ("vlan-ensure", "name", json!({"master": "br0", "vlan": 5, "name": "a\0"})),
    ] {
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", proxy.remote());
        let message = switch.unchanged_by(|| call.run().failed());
        assert!(message.contains(&format!("argument {field:?}")) && message.contains("NUL"), "{message}");
    }
    assert!(proxy.take().is_empty(), "nothing was asked of the database");
}

#[test]
fn a_request_on_which_the_server_hangs_up_twice_is_not_sent_a_third_time() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let is_read = |message: &Value| {
        message["params"][0] == "Open_vSwitch" && operations(message).is_some_and(|all| all[0]["op"] == "select")
    };
    let proxy = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), move |from, message| {
        if from == From::Client && is_read(message) { Fate::Cut } else { Fate::Pass }
    });
    for (command, arguments) in [("bridge-list", json!({})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))] {
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", proxy.remote());
        let message = switch.unchanged_by(|| call.run().failed());
        assert!(message.contains("the server closed the connection twice after this request"), "{message}");
        assert!(message.contains("nothing was"), "{message}");
        let sent = proxy.take().iter().filter(|passed| passed.from == From::Client && is_read(&passed.message)).count();
        assert!(sent <= 2, "{command}: sent {sent} times");
    }
}

#[test]
fn a_server_that_hangs_up_at_once_is_told_as_such_and_not_asked_without_end() {
    let switch = Switch::new();
    let (remote, connections) = server(&switch.directory().join("closing.sock"), drop);
    let call = |remotes: &str| switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", remotes);
    let message = call(&remote).env("OVS_PLUGIN_TIMEOUT", "2").run().failed();
    assert!(message.contains("closed the connection before it said anything"), "{message}");
    let asked = connections.load(Ordering::SeqCst);
    assert!((2..=15).contains(&asked), "{asked} times in 2 s");
    assert_eq!(call(&format!("{remote},{}", switch.remote())).run().ok(), json!([]));
}

#[test]
fn a_server_that_talks_no_ovsdb_is_told_by_what_it_said() {
    let switch = Switch::new();
    for (name, said, shown) in [
        (
            "http",
            &b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>"[..],
            "\"HTTP/1.1 400 Bad Request\\r\\n",
        ),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", "\"SSH-2.0-OpenSSH_9.6\\r\\n\""),
        ("tls", b"\x15\x03\x01\x00\x02\x02\x46", "\"\\x15\\x03\\x01\\x00\\x02\\x02F\""),
        ("list", b"[1, 2]", "\"[1, 2]\""),
        ("json", b"{\"hello\": \"world\"}", "\"{\\\"hello\\\": \\\"world\\\"}\""),
        ("rpc2", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"x\"}}", "\"{\\\"jsonrpc\\\""),
        ("broken", b"{\"id\":1,,}", "\"{\\\"id\\\":1,,}\""),
        ("text", b"{\"id\":\"\xff\"}", "\\xff"),
    ] {
        let (remote, connections) = server(&switch.directory().join(name), move |mut client| {
            let _ = client.write_all(said);
            // Closing with unread requests would be a reset, at which what was said may be lost.
            let mut rest = [0; 4096];
            while let Ok(1..) = client.read(&mut rest) {}
        });
        let call = |remotes: &str| switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", remotes);
        let message = call(&remote).run().failed();
        assert!(message.contains("this is no OVSDB") && message.contains(shown), "{name}: {message}");
        assert!(!message.contains("deadline") && message.len() < 500, "{name}: {message}");
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{name}: it will not learn it");
        assert_eq!(call(&format!("{remote},{}", switch.remote())).run().ok(), json!([]), "{name}");
    }
}

#[test]
fn what_a_server_sends_is_repeated_up_to_a_length() {
    let switch = Switch::new();
    let long = "\u{1b}[31mé".repeat(1 << 16);
    let errors = [
        json!({"result": null, "error": long}),
        json!({"result": null, "error": {"error": long, "details": long, "syntax": long}}),
        json!({"result": [{"error": long, "details": long, "syntax": long}], "error": null}),
        json!({"result": long, "error": null}),
        json!({"result": [{"rows": [{"_uuid": long}]}], "error": null}),
    ];
    for (number, error) in errors.into_iter().enumerate() {
        let (remote, _) = server(
            &switch.directory().join(format!("long{number}")),
            answering(move |_, request| {
                if request["params"][0] == "_Server" {
                    return standing(request);
                }
                let mut answer = error.clone();
                answer["id"] = request["id"].clone();
                answer.to_string().into_bytes()
            }),
        );
        for (command, arguments) in [("bridge-list", json!({})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))] {
            let answer = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", &remote).run();
            let length = answer.stdout.len();
            assert!(length < 8192 && answer.stderr.len() < 8192, "{number} {command}: {length} bytes");
            answer.failed();
        }
    }
}

#[test]
fn an_answer_beyond_the_limit_is_not_read_and_not_asked_for_again() {
    let switch = Switch::new();
    let (remote, connections) = server(
        &switch.directory().join("large.sock"),
        answering(|_, request| {
            if request["params"][0] == "_Server" {
                return standing(request);
            }
            let operations = request["params"].as_array().unwrap().len() - 1;
            let mut answer = format!("{{\"id\":{},\"error\":null,\"result\":[", request["id"]).into_bytes();
            answer.resize(3 << 20, b' ');
            answer.extend(vec![r#"{"rows":[]}"#; operations].join(",").bytes());
            answer.extend(b"]}");
            answer
        }),
    );
    let call = || switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", &remote);
    assert_eq!(call().run().ok(), json!([]));
    let before = connections.load(Ordering::SeqCst);
    let message = call().env("OVS_PLUGIN_MAX_REPLY", "2").run().failed();
    assert!(message.contains("larger than 2097152 bytes") && message.contains("OVS_PLUGIN_MAX_REPLY"), "{message}");
    assert_eq!(connections.load(Ordering::SeqCst), before + 1);
}

/// How a server changes what it would have answered.
#[derive(Clone, Debug)]
enum Twist {
    /// Another value in a place.
    Replace(prop::sample::Index, Value),
    /// Only so much of it.
    Cut(prop::sample::Index),
    /// A byte of it differs.
    Damage(prop::sample::Index, u8),
    /// Something before it.
    Precede(Value),
    /// Twice.
    Repeat,
    /// Nothing.
    Silence,
}

fn any_json() -> impl Strategy<Value = Value> {
    let uuid = json!(["uuid", "11111111-2222-3333-4444-555555555555"]);
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(uuid),
        Just(json!(["set", []])),
        Just(json!(["map", [["a"]]])),
        Just(json!("x".repeat(100_000))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("(error|rows|uuid|count|name|_uuid|[a-z]{1,4})", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), any_json()).prop_map(|(at, value)| Twist::Replace(at, value)),
        1 => any::<prop::sample::Index>().prop_map(Twist::Cut),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Twist::Damage(at, byte)),
        2 => any_json().prop_map(Twist::Precede),
        1 => Just(Twist::Repeat),
        1 => Just(Twist::Silence),
    ]
}

/// All values inside of a value, itself included.
fn places(value: &mut Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter_mut().map(places).sum(),
        Value::Object(members) => members.values_mut().map(places).sum(),
        _ => 0,
    }
}

fn replace(value: &mut Value, at: &mut usize, new: &Value) {
    if *at == 0 {
        *value = new.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        _ if *at == usize::MAX => {}
        Value::Array(elements) => elements.iter_mut().for_each(|element| replace(element, at, new)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, at, new)),
        _ => {}
    }
}

impl Twist {
    fn apply(&self, answer: &Value) -> Vec<u8> {
        let mut answer = answer.clone();
        let mut bytes = answer.to_string().into_bytes();
        match self {
            Twist::Replace(at, new) => {
                let mut at = at.index(places(&mut answer));
                replace(&mut answer, &mut at, new);
                return answer.to_string().into_bytes();
            }
            Twist::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Twist::Damage(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Twist::Precede(value) => return [value.to_string().into_bytes(), bytes].concat(),
            Twist::Repeat => bytes.extend(bytes.clone()),
            Twist::Silence => bytes.clear(),
        }
        bytes
    }
}

/// Of each request, the answer of a server is twisted in one place, or two. Whatever comes of it: one answer in its frame, an
/// exit status of 0 or 1, and no more than the deadline allows.
#[test]
fn whatever_a_server_answers_there_is_one_answer_in_its_frame() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let cases = std::env::var("PROPTEST_CASES").map_or(40, |cases| cases.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 16, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let commands = [
        ("bridge-list", json!({})),
        ("show", json!({})),
        ("doctor", json!({})),
        ("stats", json!({})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 6})),
        ("bridge-del", json!({"bridge": "br0"})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b"}})),
        ("version", json!({})),
    ];
    let strategy = (prop::sample::select(commands.to_vec()), prop::collection::vec((0_usize..6, any_twist()), 1..3));
    let number = AtomicUsize::new(0);
    let outcome = runner.run(&strategy, |((command, arguments), twists)| {
        let socket = switch.directory().join(format!("twisted{}", number.fetch_add(1, Ordering::SeqCst)));
        // What the real server answers, asked over a connection of its own. The twisted one commits nothing.
        let real = switch.database.socket().to_owned();
        let (remote, _) = server(
            &socket,
            answering(move |number, request| {
                let database = crate::support::Database::new(real.clone());
                let mut params = request["params"].clone();
                if let (Some("transact"), Some(all)) = (request["method"].as_str(), params.as_array_mut()) {
                    all.push(json!({"op": "abort"}));
                }
                let mut result = match request["method"].as_str() {
                    Some("monitor") => json!({}),
                    Some(method) => database.request(method, params).unwrap_or_else(Value::from),
                    None => return Vec::new(),
                };
                if let (Some("transact"), Some(all)) = (request["method"].as_str(), result.as_array_mut()) {
                    all.pop();
                }
                let answer = json!({"id": request["id"], "result": result, "error": null});
                match twists.iter().find(|(place, _)| *place == number) {
                    Some((_, twist)) => twist.apply(&answer),
                    None => answer.to_string().into_bytes(),
                }
            }),
        );
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", remote).env("OVS_PLUGIN_TIMEOUT", "1");
        let answer = call.run();
        let framed = answer.framing_ok && matches!(answer.exit, Some(0 | 1));
        prop_assert!(framed && answer.stdout.len() < 64 * 1024, "{answer:#?}");
        prop_assert!(answer.error.as_ref().is_none_or(|error| !error.contains("internal error")), "{answer:#?}");
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0", "vlbr5"]), "the database was never written to");
}
