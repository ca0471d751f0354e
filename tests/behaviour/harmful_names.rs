//! Names with characters that a terminal obeys: nobody's terminal gets to see them, whatever is printed.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::support::terminal;
use super::support::{BINARY, Switch};

/// Sets a colour (CSI as one character), deletes, and turns the direction of the text around.
const HARMFUL: &str = "\u{9b}31m\u{7f}\u{85}\u{202e}\u{2066}";

#[track_caller]
fn is_harmless(text: &str) {
    let harmful =
        |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert_eq!(text.chars().find(harmful), None, "{text:?}");
}

/// A switch with a bridge in whose rows such a name is.
fn switch() -> Switch {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    // A port that ovs-vswitchd can't set up, and knows nothing else of.
    switch.ok("port-add", json!({"bridge": "br0", "port": "p0", "verify": false}));
    for table in ["Port", "Interface"] {
        switch.transact(&[json!({
            "op": "update", "table": table, "where": [["name", "==", "p0"]],
            "row": {"external_ids": ["map", [["note", HARMFUL], [HARMFUL, "1"]]]},
        })]);
    }
    switch.transact(&[json!({
        "op": "update", "table": "Open_vSwitch", "where": [],
        "row": {"system_type": HARMFUL, "ovs_version": format!("1{HARMFUL}")},
    })]);
    switch
}

#[test]
fn json_on_a_terminal_is_harmless_and_says_the_same_as_in_a_pipe() {
    let switch = switch();
    let answer = switch.ok("show", json!({}));
    assert!(answer.to_string().contains('\u{9b}'), "the name is there: {answer}");
    for words in [["show", "--output", "json"], ["show", "--format", "json"], ["show", "--output", "agent"]] {
        let seen = terminal::run(switch.call().args(&words).into_command());
        is_harmless(&seen.screen);
        let json = seen.screen.trim_start_matches("20:::").trim_end_matches("\n:::\n");
        assert_eq!(serde_json::from_str::<Value>(json).unwrap(), answer, "{words:?}");
    }
    for words in [["show"].as_slice(), &["show", "--format", "dot"], &["show", "--format", "mermaid"], &["doctor"]] {
        is_harmless(&terminal::run(switch.call().args(words).args(&["--color", "never"]).into_command()).screen);
    }
}

#[test]
fn errors_and_warnings_on_stderr_are_harmless() {
    let switch = Switch::builder().veth("cont1-0", "peer").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    // A bridge that somebody else made, with a port that a container has left behind.
    switch.transact(&[
        json!({"op": "insert", "table": "Interface", "row": {"name": "cont1-0"}, "uuid-name": "i"}),
        json!({"op": "insert", "table": "Port", "row": {"name": "cont1-0", "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"}),
        json!({
            "op": "insert", "table": "Bridge", "uuid-name": "b",
            "row": {"name": HARMFUL, "datapath_type": "netdev", "ports": ["named-uuid", "p"]},
        }),
        json!({
            "op": "mutate", "table": "Open_vSwitch", "where": [],
            "mutations": [["bridges", "insert", ["named-uuid", "b"]]],
        }),
    ]);
    let warned = switch.plugin("port-add", json!({"bridge": "br0", "port": "cont1-0"}));
    assert!(warned.stderr.contains("left on bridge \u{fffd}31m"), "{warned:?}");
    is_harmless(&warned.stderr);

    // A server may say anything.
    let socket = switch.directory().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let body = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": format!("no {HARMFUL}\u{1b}[2J")}});
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.to_string().len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
    });
    let failed = switch.call().args(&["call", "version", "--socket", socket.to_str().unwrap()]).run();
    server.join().unwrap();
    assert!(failed.exit == Some(1) && failed.stderr.contains("\u{fffd}31m"), "{failed:?}");
    is_harmless(&failed.stderr);
    let failed = switch.call().args(&["call", "version", "--socket", &format!("/x{HARMFUL}")]).run();
    assert!(failed.exit == Some(1) && failed.stderr.contains("\u{fffd}31m"), "{failed:?}");
    is_harmless(&failed.stderr);
}

/// With stdin closed there is one descriptor for whatever opens something first, the program's libraries for instance.
#[test]
fn a_process_that_may_open_nothing_beside_its_streams_answers_all_the_same() {
    for limit in 1..=3 {
        let mut command = Command::new("sh");
        let script = "exec <&-; ulimit -n \"$1\"; exec \"$2\" bridge-list '{}'";
        command.args(["-c", script, "sh", &limit.to_string(), BINARY]);
        command.env_clear().env("OVS_PLUGIN_DB", "unix:/absent/db.sock").env("OVS_PLUGIN_TIMEOUT", "0.1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with("20:::\"") && text.ends_with("\n\n:::\n"), "{limit}: {output:?}");
        assert!(text.contains("Too many open files"), "{limit}: {output:?}");
        assert_eq!(output.status.code(), Some(1));
    }
}
