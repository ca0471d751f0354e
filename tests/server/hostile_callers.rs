//! Arguments that nobody in their right mind would send, made from the schemas of the commands.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use ovs_plugin::commands::{Entry, REGISTRY};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server};
use crate::support::{Switch, difference, wait_until};

/// What stands in the place of an argument, as JSON text.
fn any_hostile() -> impl Strategy<Value = String> {
    let fixed = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "4096",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "1.5",
        "1e308",
        "-0.0",
        "1e-300",
        "\"\"",
        "\" \"",
        "\".\"",
        "\"..\"",
        "\"a/b\"",
        "\"%d\"",
        "\"--\"",
        "\"-h\"",
        "\"0\"",
        "\"br0\"",
        "\"lo\"",
        "\"all\"",
        "\"default\"",
        "\"p0\"",
        "\"abcdefghijklmnop\"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\u001b[2J\"",
        "\"\\n\"",
        "\"\\u202e\"",
        "\"\u{10ffff}\"",
        "\"'; drop\"",
        "\"$(id)\"",
        "\"[\"",
        "\"{}\"",
        "\"a=b\"",
        "\"::\"",
        "[]",
        "[[]]",
        "[null]",
        "[\"br0\"]",
        "[\"br0\", \"br0\"]",
        "[-1]",
        "[4096]",
        "[\"20-10\"]",
        "[\"0-4095\"]",
        "{}",
        "{\"\": \"\"}",
        "{\"a\": null}",
        "{\"a\": {\"b\": 1}}",
        "{\"a\\u0000\": 1}",
        "{\"_uuid\": \"x\"}",
        "{\"name\": \"x\"}",
        "{\"type\": \"bogus\"}",
        "{\"external_ids:a\": \"b\"}",
        "{\"external_ids\": \"{a=\"}",
        "{\"tag\": \"1e9\"}",
        "{\"ports\": \"[]\"}",
        "{\"options:remote_ip\": \"::\"}",
    ];
    // What is no JSON, or more of it than anybody reads.
    let broken = ["", "[", "nul", "01", "1e999", "\"\\ud800\"", "\"\\x\"", "{\"a\": 1,}", "\"\t\"", "// x"];
    prop_oneof![
        8 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(broken.to_vec()).prop_map(str::to_owned),
        1 => (1_usize..3000).prop_map(|deep| format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        1 => (1_usize..200_000).prop_map(|long| format!("\"{}\"", "x".repeat(long))),
        1 => (1_usize..5_000).prop_map(|many| {
            let members: Vec<String> = (0..many).map(|number| format!("\"external_ids:k{number}\":\"v\"")).collect();
            format!("{{{}}}", members.join(","))
        }),
        2 => ".{0,20}".prop_map(|text| Value::from(text).to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| Value::from(number).to_string()),
    ]
}

/// One argument object: which of the command's arguments have their example's value, and which another.
#[derive(Clone, Debug)]
struct Attack {
    kept: Vec<bool>,
    hostile: Vec<(prop::sample::Index, String)>,
    twice: bool,
}

fn any_attack() -> impl Strategy<Value = Attack> {
    let hostile = prop::collection::vec((any::<prop::sample::Index>(), any_hostile()), 1..3);
    (prop::collection::vec(prop::bool::weighted(0.8), 32), hostile, prop::bool::weighted(0.1))
        .prop_map(|(kept, hostile, twice)| Attack { kept, hostile, twice })
}

impl Attack {
    /// The text of the argument object.
    fn on(&self, entry: &Entry) -> String {
        let schema = (entry.arguments_schema)();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
        let flags = ["dry_run", "report", "verify", "unknown"].map(str::to_owned);
        let names: Vec<String> = properties.cloned().chain(flags).collect();
        let example: Value = serde_json::from_str(entry.example.0).unwrap();
        let mut members: Vec<(String, String)> = Vec::new();
        for (name, kept) in names.iter().zip(self.kept.iter().chain(std::iter::repeat(&false))) {
            if let (true, Some(value)) = (kept, example.get(name)) {
                members.push((name.clone(), value.to_string()));
            }
        }
        for (at, value) in &self.hostile {
            let name = &names[at.index(names.len())];
            if !self.twice {
                members.retain(|(other, _)| other != name);
            }
            members.push((name.clone(), value.clone()));
        }
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A connection that stays.
struct Caller(UnixStream);

impl Caller {
    fn new(server: &Server) -> Caller {
        let stream = UnixStream::connect(&server.socket).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Caller(stream)
    }

    /// Posts a request; the one answer that comes, of a server that keeps the connection.
    fn post(&mut self, body: &str) -> Result<Value, String> {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut ask = || -> std::io::Result<Vec<u8>> {
            self.0.write_all(head.as_bytes())?;
            self.0.write_all(body.as_bytes())?;
            let mut heard = Vec::new();
            let mut piece = vec![0; 1 << 16];
            loop {
                let end = heard.windows(4).position(|window| window == b"\r\n\r\n");
                let length = end.and_then(|end| {
                    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                    length.map(|length: usize| (end + 4, length))
                });
                if let Some((start, length)) = length
                    && heard.len() >= start + length
                {
                    assert_eq!(heard.len(), start + length, "more than one answer");
                    return Ok(heard.split_off(start));
                }
                let read = self.0.read(&mut piece)?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                heard.extend_from_slice(&piece[..read]);
            }
        };
        let answer = ask().map_err(|error| format!("no answer: {error}"))?;
        serde_json::from_slice(&answer).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&answer)))
    }
}

fn runner(default: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").map_or(default, |cases| cases.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 32, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A switch with something to damage on it.
fn furnish(call: impl Fn(&str, Value)) {
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("bridge-add", json!({"bridge": "backplane"})),
        ("port-add", json!({"bridge": "br0", "port": "p0", "options": {"type": "internal"}})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 7})),
    ] {
        call(command, arguments);
    }
}

#[test]
fn whatever_is_called_is_answered_once_and_what_is_refused_changes_nothing() {
    let server = Server::on(Switch::new(), &[], &[("OVS_PLUGIN_TIMEOUT", "10")]);
    furnish(|command, arguments| drop(server.ok(command, arguments)));
    let mut caller = Caller::new(&server);
    // Each command has its turn.
    let mut turns = REGISTRY.iter().cycle();
    let caller = std::cell::RefCell::new(&mut caller);
    let before = std::cell::RefCell::new(server.switch.dump());
    let entry = std::cell::Cell::new(&REGISTRY[0]);
    let mut runner = runner(8);
    for _ in 0..REGISTRY.len() {
        entry.set(turns.next().unwrap());
        let outcome = runner.run(&any_attack(), |attack| {
            let arguments = attack.on(entry.get());
            let method = entry.get().name;
            let body = format!(r#"{{"jsonrpc":"2.0","id":5,"method":"ovs.{method}","params":{arguments}}}"#);
            let shown: String = arguments.chars().take(300).collect();
            let answer = caller
                .borrow_mut()
                .post(&body)
                .map_err(|error| TestCaseError::fail(format!("{method} {shown}: {error}")))?;
            let error = &answer["error"];
            // What is no JSON at all has no id.
            prop_assert!(
                answer["id"] == 5 || error["code"] == -32700 || error["code"] == -32600,
                "{method} {shown}: {answer}"
            );
            prop_assert!(answer.get("result").is_some() != error.is_object(), "{method} {shown}: {answer}");
            prop_assert!(error["code"] != -32603, "{method} {shown}: {answer}");
            let length = error["message"].as_str().unwrap_or_default().len();
            prop_assert!(length < 300_000, "{method} {shown}: an error of {length} bytes");
            let committed = error["data"]["committed"].as_str().unwrap_or("no");
            if !error.is_object() || committed != "no" {
                before.replace(server.switch.dump());
                return Ok(());
            }
            let before = before.borrow();
            let mut now = server.switch.dump();
            wait_until(std::time::Duration::from_secs(2), || {
                now = server.switch.dump();
                now == *before
            });
            prop_assert!(now == *before, "{method} {shown}: {answer}\n{}", difference(&before, &now));
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    }
    assert_eq!(server.page("/healthz").0, 200);
}

/// The same at the host agent's door: one answer in its frame, whatever the arguments are.
#[test]
fn whatever_the_host_agent_passes_is_answered_in_one_frame() {
    let switch = Switch::new();
    furnish(|command, arguments| drop(switch.ok(command, arguments)));
    let mut runner = runner(2);
    for entry in REGISTRY {
        let outcome = runner.run(&any_attack(), |attack| {
            // A longer argument is refused by the kernel before there is a process.
            let arguments = attack.on(entry);
            prop_assume!(!arguments.contains('\0') && arguments.len() < 100_000);
            let call = switch.call().arg(entry.name).arg(&arguments).env("OVS_PLUGIN_TIMEOUT", "10").run();
            let shown: String = arguments.chars().take(300).collect();
            prop_assert!(call.framing_ok && matches!(call.exit, Some(0 | 1)), "{} {shown}: {call:#?}", entry.name);
            let internal = call.error.as_ref().is_some_and(|error| error.contains("internal error"));
            prop_assert!(!internal, "{} {shown}: {call:#?}", entry.name);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    }
}
