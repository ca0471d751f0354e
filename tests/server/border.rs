//! What strangers and careless callers can do to the server: nothing that anybody else would notice.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::serving::{LIMIT, Server, request, skipped, with_status};
use crate::support::{Switch, is_root, wait_until};
use crate::tls::{Authority, listening};
use crate::websocket;

const TOKEN: &str = "0123456789abcdef";

/// A server that wants a token on TCP, and its address there.
fn with_token(arguments: &[&str]) -> (Server, String) {
    let switch = Switch::new();
    let token = switch.directory().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let words = [&["--token-file", token.to_str().unwrap()], arguments].concat();
    listening(switch, &words)
}

/// Connections to an address in the switch's namespace, which only root can enter.
fn connect(switch: &Switch, address: &str, count: usize) -> Vec<TcpStream> {
    let address: SocketAddr = address.parse().unwrap();
    std::thread::scope(|scope| {
        let connect = || {
            switch.net.enter();
            let open =
                || TcpStream::connect_timeout(&address, LIMIT).inspect(|s| s.set_read_timeout(Some(LIMIT)).unwrap());
            (0..count).map(|_| open().unwrap()).collect()
        };
        scope.spawn(connect).join().unwrap()
    })
}

/// Whether the other side has closed the connection, which is waited for.
fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok()
}

fn tcp_page(server: &Server, url: &str, arguments: &[&str]) -> (u16, String) {
    let mut command: Command = server.switch.net.command("curl");
    command.args(["--silent", "--max-time", "60", "--header", &format!("Authorization: Bearer {TOKEN}")]);
    command.args(arguments).arg(url);
    with_status(command)
}

// ---- places ----

#[test]
fn silent_strangers_on_tcp_take_no_place_of_the_unix_socket_and_are_told_from_callers() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let few = ["--max-connections", "4", "--max-unauthenticated", "3", "--handshake-timeout", "5"];
    let (server, address) = with_token(&few);
    let url = format!("http://{address}/healthz");
    let (mut strangers, mut answer) = (Vec::new(), (0, String::new()));
    let is_full = wait_until(LIMIT, || {
        strangers = connect(&server.switch, &address, 8);
        answer = tcp_page(&server, &url, &[]);
        answer.0 == 503
    });
    let expected = "there are 3 connections already of which it is not known yet whose they are";
    assert!(is_full && answer.1.trim() == expected, "{answer:?}");
    // More than can even be told so.
    strangers.extend(connect(&server.switch, &address, 60));
    let callers: Vec<_> = (0..3).map(|_| server.take_place()).collect();
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200), "with {} callers", callers.len());
    assert!(wait_until(LIMIT, || tcp_page(&server, &url, &[]).0 == 200), "the strangers are not sent away");
    for stranger in strangers {
        assert!(is_closed(stranger));
    }
}

#[test]
fn one_caller_too_many_on_tcp_is_told_so_and_keeps_nobody_out_of_the_unix_socket() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let (server, address) = with_token(&["--max-connections", "1", "--handshake-timeout", "1"]);
    let ask = |stream: &mut TcpStream| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        // The rest of the answer is there when the next one is read.
        while !{
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte == *b"k"
        } {}
        stream.read_exact(&mut [0]).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let mut known = connect(&server.switch, &address, 1).remove(0);
    assert_eq!(ask(&mut known), "HTTP/1.1 200");
    let (status, text) = tcp_page(&server, &format!("http://{address}/healthz"), &[]);
    assert_eq!((status, text.trim()), (503, "there are 1 connections already"));
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200), "the unix socket has a place of its own");
    // Who came later and said nothing is sent away; who is known may stay.
    assert!(is_closed(connect(&server.switch, &address, 1).remove(0)));
    assert_eq!(ask(&mut known), "HTTP/1.1 200");
}

#[test]
fn who_does_not_begin_tls_is_sent_away_and_one_too_many_is_told_so_over_tls() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let (of_client, key_of_client) = authority.sign("client");
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", authority.file()];
    let few = ["--max-unauthenticated", "2", "--handshake-timeout", "2"];
    let (server, address) = listening(switch, &[&words[..], &few].concat());
    let url = format!("https://{address}/healthz");
    let with = ["--cacert", authority.file(), "--cert", &of_client, "--key", &key_of_client];
    let mut told = BTreeSet::new();
    let is_full = wait_until(LIMIT, || {
        let strangers = connect(&server.switch, &address, 6);
        let (status, text) = tcp_page(&server, &url, &with);
        told.insert(text);
        drop(strangers);
        status == 503
    });
    assert!(
        is_full && told.iter().any(|text| text.starts_with("there are 2 connections already of which")),
        "{told:?}"
    );
    let silent = connect(&server.switch, &address, 1).remove(0);
    assert!(is_closed(silent));
    assert_eq!(tcp_page(&server, &url, &with).0, 200);
}

#[test]
fn who_may_not_use_the_unix_socket_takes_no_place_of_it() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let server = Server::on(Switch::new(), &["--max-connections", "1", "--handshake-timeout", "2"], &[]);
    fs::set_permissions(&server.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let silent = std::thread::scope(|scope| {
        let connect = || {
            // SAFETY: it changes the user of this thread alone, which does nothing but connect. (That of the C library would
            // change all threads.)
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, 54321, 54321, 54321) };
            assert_eq!(changed, 0);
            UnixStream::connect(&server.socket).unwrap()
        };
        scope.spawn(connect).join().unwrap()
    });
    assert!(wait_until(LIMIT, || server.page("/healthz").0 == 200));
    silent.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!((&silent).read(&mut [0]).unwrap(), 0, "he is not sent away");
    assert!(server.said().contains("uid 54321 is neither root nor the owner of this socket"), "{}", server.said());
}

#[test]
fn a_flood_of_refusals_is_a_few_lines_that_tell_how_many_there_were() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", authority.file()];
    let (server, address) = listening(switch, &words);
    let mut refused = 0;
    let told = wait_until(LIMIT, || {
        let mut stream = connect(&server.switch, &address, 1).remove(0);
        // It may have closed the connection already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
        refused += 1;
        server.said().contains("lines like this one were left out)")
    });
    let said = server.said();
    let lines = said.lines().filter(|line| line.contains("a connection is refused: TLS fails")).count();
    assert!(told && lines < refused, "{lines} lines for {refused} connections:\n{said}");
}

// ---- memory ----

/// A number of kB that the kernel tells of the server: VmHWM is the most that it has had in memory, VmRSS what it has now.
fn memory(server: &Server, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_batch_takes_no_more_memory_than_its_answer_may_and_gives_it_back() {
    let server = Server::on(Switch::new(), &["--max-response-size", "1048576"], &[]);
    let bridges: Vec<Value> =
        (0..60).map(|n| request(n, "bridge-add", json!({"bridge": format!("br{n}"), "verify": false}))).collect();
    assert_eq!(server.ask(&Value::Array(bridges)).as_array().unwrap().len(), 60);
    let begin = memory(&server, "VmRSS");
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"});
    for (call, count) in [(discover, 1024), (request(1, "show", json!({})), 200)] {
        let answers = server.ask(&Value::Array(vec![call; count]));
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), count);
        for answer in answers {
            let is_told = answer["error"]["data"]["kind"] == "answer-too-large";
            assert!(answer["id"] == 1 && (answer.get("result").is_some() || is_told), "{answer}");
        }
    }
    // An answer may have 1 MiB, and is there twice while it is put together. All of them would be hundreds.
    let most = memory(&server, "VmHWM");
    assert!(most < begin + 60_000, "{most} kB at most, {begin} kB before");
    let back = || memory(&server, "VmRSS") < begin + 20_000;
    assert!(wait_until(LIMIT, back), "{} kB now, {begin} kB before", memory(&server, "VmRSS"));
}

#[test]
fn each_call_of_a_batch_is_told_whether_it_was_carried_out_when_its_answer_does_not_fit() {
    let server = Server::on(Switch::new(), &["--max-response-size", "1024"], &[]);
    let add = |n: u32, dry: bool| {
        let arguments = json!({"bridge": format!("br{n}"), "verify": false, "report": true, "dry_run": dry});
        request(n, "bridge-add", arguments)
    };
    let calls = (0..4).map(|n| add(n, n == 3)).chain([request(9, "bridge-del", json!({"bridge": "x".repeat(600)}))]);
    let answers = server.ask(&Value::Array(calls.collect()));
    let mut too_large = 0;
    for (n, answer) in answers.as_array().unwrap()[..4].iter().enumerate() {
        assert_eq!(answer["id"], n, "{answer}");
        if answer.get("error").is_some() {
            assert_eq!(answer["error"]["data"]["committed"], if n == 3 { "no" } else { "yes" }, "{answer}");
            too_large += 1;
        }
    }
    assert!(too_large > 0, "{answers:#}");
    // An error is always told.
    assert_eq!((&answers[4]["id"], &answers[4]["error"]["data"]["committed"]), (&json!(9), &json!("no")), "{answers}");
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0", "br1", "br2"]));
}

#[test]
fn callers_who_take_no_answers_make_the_server_hold_a_limited_amount_and_hinder_nobody() {
    let server = Server::on(Switch::new(), &["--max-response-total", "1048576"], &[]);
    let begin = memory(&server, "VmRSS");
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"});
    let mut sockets: Vec<_> = (0..20).map(|_| websocket::connect(&server)).collect();
    for socket in &mut sockets {
        for _ in 0..20 {
            websocket::send(socket, &discover);
        }
    }
    server.ok("bridge-add", json!({"bridge": "br0"}));
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0"]));
    assert!(memory(&server, "VmHWM") < begin + 60_000, "{} kB", memory(&server, "VmHWM"));
    let mut codes = BTreeSet::new();
    for socket in &mut sockets {
        for _ in 0..20 {
            let answer = websocket::receive(socket);
            codes.extend(answer["error"]["code"].as_i64());
        }
    }
    assert_eq!(codes, BTreeSet::from([-32009]));
    assert!(server.ask(&discover).get("result").is_some(), "it is free again");
}

// ---- messages ----

const IDS: [&str; 8] = ["-1", "1.5", "18446744073709551616", "0", "1e2", r#""a\u0041""#, r#""""#, "null"];
const NO_IDS: [&str; 4] = ["{}", "[]", "true", r#"{"a":1}"#];

fn add(id: &str, bridge: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ovs.bridge-add","params":{{"bridge":"{bridge}"}}}}"#)
}

#[test]
fn strings_and_numbers_are_ids_and_come_back_as_they_went() {
    let server = Server::new();
    let mut socket = websocket::connect(&server);
    let mut batch = Vec::new();
    for (n, id) in IDS.iter().enumerate() {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#);
        assert_eq!(server.post(&add(id, &format!("a{n}"))), (200, expected.clone()));
        socket.send(Message::text(add(id, &format!("b{n}")))).unwrap();
        assert_eq!(receive_text(&mut socket), expected);
        batch.push(add(id, &format!("c{n}")));
    }
    let answers = IDS.map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#));
    assert_eq!(server.post(&format!("[{}]", batch.join(","))), (200, format!("[{}]", answers.join(","))));
    assert_eq!(server.ok("bridge-list", json!({})).as_array().unwrap().len(), 3 * IDS.len());
}

#[test]
fn a_request_with_something_else_as_its_id_is_not_carried_out() {
    let server = Server::new();
    let mut socket = websocket::connect(&server);
    let is_refused = |answer: &Value| answer["id"] == Value::Null && answer["error"]["code"] == -32600;
    for id in NO_IDS {
        let (status, text) = server.post(&add(id, "br0"));
        assert!(status == 200 && is_refused(&serde_json::from_str(&text).unwrap()), "{id}: {text}");
        socket.send(Message::text(add(id, "br0"))).unwrap();
        let text = receive_text(&mut socket);
        assert!(is_refused(&serde_json::from_str(&text).unwrap()), "{id}: {text}");
    }
    let batch = NO_IDS.map(|id| add(id, "br0")).join(",");
    let answers: Value = serde_json::from_str(&server.post(&format!("[{batch}]")).1).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), NO_IDS.len());
    assert!(answers.as_array().unwrap().iter().all(is_refused), "{answers}");
    assert_eq!(server.ok("bridge-list", json!({})), json!([]));
}

fn receive_text(socket: &mut websocket::Socket) -> String {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return text.as_str().to_owned();
        }
    }
}

#[test]
fn who_wants_to_watch_without_a_websocket_is_told_what_to_use() {
    let server = Server::new();
    for method in ["ovs.watch", "ovs.unwatch"] {
        let answer = server.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("need a WebSocket") && message.contains("ovs-plugin watch"), "{answer}");
        assert_eq!(answer["error"]["code"], -32600);
    }
    let called = server.switch.call().args(&["call", "watch"]).run();
    assert!(called.exit == Some(1) && called.stderr.contains("need a WebSocket"), "{called:?}");
}

#[test]
fn a_websocket_ends_the_subscriptions_that_it_began_and_no_others() {
    let server = Server::new();
    let mut socket = websocket::connect(&server);
    let mut ask = |method: &str, params: Value| {
        websocket::send(&mut socket, &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        loop {
            let answer = websocket::receive(&mut socket);
            if answer.get("id").is_some() {
                return answer;
            }
        }
    };
    let subscription = ask("ovs.watch", json!([]))["result"].clone();
    assert_eq!(ask("ovs.unwatch", json!([subscription]))["result"], true);
    assert_eq!(ask("ovs.unwatch", json!([subscription]))["result"], false);
    assert_eq!(ask("ovs.unwatch", json!([4711]))["result"], false);
    assert_eq!(ask("ovs.unwatch", json!(["x"]))["error"]["code"], -32602);
}

// ---- pages of others ----

#[test]
fn a_page_of_somebody_else_cannot_call() {
    let (server, address) =
        with_token(&["--allow-origin", "https://ovs.example.org", "--allow-host", "ovs.example.org"]);
    let add = request(1, "bridge-add", json!({"bridge": "br0"})).to_string();
    let call = |header: &str| {
        let json = ["--header", "Content-Type: application/json", "--data", &add];
        tcp_page(&server, &format!("http://{address}/"), &[&json[..], &["--header", header]].concat())
    };
    for (header, expected) in [
        ("Origin: https://evil.example", "Origin: \"https://evil.example\" may not call"),
        ("Origin: null", "Origin: \"null\" may not call"),
        ("Host: evil.example", "Host: \"evil.example\" is no name of this server"),
    ] {
        let (status, text) = call(header);
        assert!(status == 403 && text.contains(expected), "{header}: {status} {text}");
    }
    assert_eq!(server.ok("bridge-list", json!({})), json!([]));
    for header in ["Origin: https://ovs.example.org", "Host: ovs.example.org:1", "Host: localhost"] {
        assert_eq!(call(header).0, 200, "{header}");
    }
    assert!(server.switch.net.has_link("br0"));
}

#[test]
fn a_page_of_somebody_else_gets_no_websocket() {
    let server = Server::on(Switch::new(), &["--allow-origin", "https://ovs.example.org"], &[]);
    let handshake = |origin: &'static str| {
        let mut request = "ws://localhost/".into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        // The status that the handshake was answered with.
        match tungstenite::client(request, UnixStream::connect(&server.socket).unwrap()) {
            Ok((_, answer)) => answer.status().as_u16(),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => answer.status().as_u16(),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(handshake("https://evil.example"), 403);
    assert_eq!(handshake("https://ovs.example.org"), 101);
}

// ---- what the database and the disk hold ----

#[test]
fn a_key_of_statistics_cannot_forge_a_metric() {
    let server = Server::on(Switch::builder().veth("e1", "e1-p").start(), &[], &[]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    // Or it would write its own ones.
    server.switch.pause_vswitchd();
    let keys = ["x 1\novs_plugin_database_connected 0\nforged", "a-b{c=\"d\"}", "ü", "rx_bytes", "counters_read"];
    let statistics: Vec<Value> = keys.iter().enumerate().map(|(n, key)| json!([key, n])).collect();
    server.switch.transact(&[json!({
        "op": "update", "table": "Interface", "where": [["name", "==", "e1"]],
        "row": {"statistics": ["map", statistics]},
    })]);
    let (status, text) = server.page("/metrics");
    server.switch.resume_vswitchd();
    assert_eq!(status, 200);
    for line in [
        "ovs_plugin_database_connected 1",
        "ovs_plugin_interface_x_1_ovs_plugin_database_connected_0_forged{bridge=\"br0\",interface=\"e1\"} 0",
        "ovs_plugin_interface_a_b_c__d__{bridge=\"br0\",interface=\"e1\"} 1",
        "ovs_plugin_interface__{bridge=\"br0\",interface=\"e1\"} 2",
        "ovs_plugin_interface_rx_bytes{bridge=\"br0\",interface=\"e1\"} 3",
        "ovs_plugin_interface_counters_read_{bridge=\"br0\",interface=\"e1\"} 4",
        "ovs_plugin_interface_counters_read 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(
            name.starts_with("ovs_plugin_") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{line}"
        );
    }
    assert!(!text.lines().any(|line| line.starts_with("forged") || line.ends_with("connected 0")), "{text}");
}

#[test]
fn a_token_that_somebody_else_could_change_is_refused() {
    let switch = Switch::builder().without_database().start();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let file = switch.directory().join("token");
    fs::write(&file, TOKEN).unwrap();
    let (token, ca) = (file.to_str().unwrap(), authority.file());
    let tcp = ["serve", "--listen", "tcp:127.0.0.1:0"];
    let by_token = [&tcp[..], &["--token-file", token]].concat();
    let by_certificate = [&tcp[..], &["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", ca]].concat();
    let chmod = |file: &str, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    let refused = |words: &[&str], expected: &str| {
        let answer = switch.call().args(words).run();
        assert!(answer.exit == Some(1) && answer.stderr.contains(expected), "{expected}: {answer:?}");
    };
    for (mode, expected) in [(0o660, "its group may write it (mode 0660)"), (0o602, "everybody may use it (mode 0602)")]
    {
        chmod(token, mode);
        refused(&by_token, expected);
    }
    for (mode, expected) in
        [(0o664, "its group may write it (mode 0664)"), (0o646, "everybody may write it (mode 0646)")]
    {
        chmod(ca, mode);
        refused(&by_certificate, expected);
    }
    if !is_root() {
        return skipped("only root can give a file to somebody else");
    }
    for (file, mode, words) in [(token, 0o600, &by_token), (ca, 0o644, &by_certificate)] {
        chmod(file, mode);
        std::os::unix::fs::chown(file, Some(54321), None).unwrap();
        refused(words, "it belongs to uid 54321, who could change it; expected root or uid 0");
    }
}

#[test]
fn a_fifo_in_place_of_a_file_is_named_and_not_waited_for() {
    let switch = Switch::builder().without_database().start();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let fifo = switch.directory().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let (fifo, ca) = (fifo.to_str().unwrap(), authority.file());
    let tcp = ["serve", "--listen", "tcp:127.0.0.1:0"];
    for words in [
        ["--token-file", fifo].as_slice(),
        &["--tls-cert", fifo, "--tls-key", &key, "--client-ca", ca],
        &["--tls-cert", &certificate, "--tls-key", fifo, "--client-ca", ca],
        &["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", fifo],
    ] {
        let refused = switch.call().args(&tcp).args(words).run();
        let expected = format!("{fifo}: it is no regular file");
        assert!(refused.exit == Some(1) && refused.stderr.contains(&expected), "{words:?}: {refused:?}");
    }
    let lock = switch.directory().join("ovs-plugin.sock.lock");
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    // Nobody reads it, and then somebody does.
    let refused = |_: &Option<fs::File>| {
        let refused = switch.call().arg("serve").run();
        let expected = "ovs-plugin.sock.lock: expected a regular file, or none";
        assert!(refused.exit == Some(1) && refused.stderr.contains(expected), "{refused:?}");
    };
    refused(&None);
    refused(&Some(fs::File::options().read(true).write(true).open(&lock).unwrap()));
    assert!(lock.exists());
}

#[test]
fn a_server_that_is_too_busy_to_accept_is_not_waited_for_and_not_replaced() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let switch = Switch::builder().without_database().start();
    let socket = switch.directory().join("ovs-plugin.sock");
    let address = SocketAddrUnix::new(&socket).unwrap();
    let new = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = new();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut waiting = Vec::new();
    while let (connection, Ok(())) = {
        let connection = new();
        let connected = rustix::net::connect(&connection, &address);
        (connection, connected)
    } {
        waiting.push(connection);
    }
    let refused = switch.call().arg("serve").run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("another server is running there"), "{refused:?}");
    assert!(socket.exists() && !waiting.is_empty());
}

#[test]
fn a_server_that_stops_leaves_its_successors_files_alone() {
    let mut server = Server::new();
    let lock = server.socket.with_extension("sock.lock");
    fs::remove_file(&server.socket).unwrap();
    fs::remove_file(&lock).unwrap();
    let mut successor = server.switch.call().arg("serve").spawn();
    assert!(wait_until(LIMIT, || UnixStream::connect(&server.socket).is_ok()));
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.ended().code(), Some(0));
    assert!(lock.exists() && server.page("/healthz").0 == 200);
    assert!(!successor.has_ended());
    successor.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(successor.wait().exit, Some(0));
    assert!(!lock.exists() && !server.socket.exists());
}
