//! Our own client, of the library and at a shell, on TCP: with tokens, with TLS, and what it says where it gets nowhere.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovs_plugin::client::{Client, ClientError, Credentials};
use ovs_plugin::error::Committed;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server, skipped};
use crate::support::{Answer, Switch, is_root};
use crate::tls::{Authority, listening};

const TOKEN: &str = "0123456789abcdef";

fn secret(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

fn call(switch: &Switch, address: &str, words: &[&str]) -> Answer {
    let server = format!("tcp:{address}");
    switch.call().args(&["call", "bridge-list", "--server", &server]).args(words).run()
}

#[track_caller]
fn succeeds(answer: Answer) {
    assert_eq!((answer.exit, answer.stdout.as_str(), answer.stderr.as_str()), (Some(0), "[]\n", ""), "{answer:?}");
}

#[track_caller]
fn fails(answer: Answer, expected: &str) {
    assert_eq!((answer.exit, answer.stdout.as_str()), (Some(1), ""), "{answer:?}");
    assert!(answer.stderr.starts_with("ovs-plugin: ") && answer.stderr.contains(expected), "{expected}: {answer:?}");
}

/// A server that wants certificates, who signs them, and the files of a client: its certificate and key.
fn server_for_certificates(further: &[&str]) -> (Server, String, Authority, (String, String)) {
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let of_client = authority.sign("client");
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", authority.file()];
    let (server, address) = listening(switch, &[&words, further].concat());
    (server, address, authority, of_client)
}

/// Runs in the switch's network namespace, where the server listens.
fn in_namespace<T: Send>(switch: &Switch, work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            switch.net.enter();
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn client(address: &str, credentials: &Credentials) -> Client {
    Client::at(format!("tcp:{address}").parse().unwrap(), credentials, LIMIT).unwrap()
}

#[test]
fn a_shell_calls_over_tcp_with_the_token() {
    let switch = Switch::new();
    let right = secret(switch.directory(), "token", "0123456789abcdef\n");
    let wrong = secret(switch.directory(), "wrong", "0123456789abcdeF\n");
    let (server, address) = listening(switch, &["--token-file", &right]);
    succeeds(call(&server.switch, &address, &["--token-file", &right]));
    let expected = "the server refused the request: the token is missing or wrong; expected Authorization: Bearer and \
                    the token (HTTP status 401)";
    fails(call(&server.switch, &address, &["--token-file", &wrong]), expected);
    fails(call(&server.switch, &address, &[]), expected);
    // The unix socket, by either option.
    let socket = server.socket.display().to_string();
    for words in [["--socket", socket.as_str()], ["--server", &format!("unix:{socket}")]] {
        succeeds(server.switch.call().args(&["call", "bridge-list"]).args(&words).run());
    }
}

#[test]
fn a_shell_calls_over_tls_with_a_certificate() {
    let (server, address, authority, (certificate, key)) = server_for_certificates(&[]);
    let other = Authority::new(server.switch.directory(), "other-ca");
    let (of_stranger, key_of_stranger) = other.sign("stranger");
    let with = |words: &[&str]| call(&server.switch, &address, words);
    let ca = authority.file();
    succeeds(with(&["--tls-ca", ca, "--tls-cert", &certificate, "--tls-key", &key]));
    let place = format!("no TLS with the server at tcp:{address}: ");
    fails(with(&["--tls-ca", ca]), &format!("{place}the server asks for a certificate of ours; expected --tls-cert"));
    fails(
        with(&["--tls-ca", ca, "--tls-cert", &of_stranger, "--tls-key", &key_of_stranger]),
        &format!("{place}the server does not know who has signed our certificate"),
    );
    fails(
        with(&["--tls-ca", other.file(), "--tls-cert", &certificate, "--tls-key", &key]),
        &format!("{place}invalid peer certificate: UnknownIssuer"),
    );
    fails(with(&[]), "does it expect TLS?");
}

#[test]
fn a_certificate_may_be_for_a_name_and_a_token_go_with_it() {
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign_for("server", "ovs.example.org");
    let token = secret(switch.directory(), "token", TOKEN);
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--token-file", &token];
    let (server, address) = listening(switch, &words);
    let with = |words: &[&str]| call(&server.switch, &address, &[&["--tls-ca", authority.file()], words].concat());
    fails(with(&["--token-file", &token]), "invalid peer certificate: certificate not valid for name");
    fails(with(&["--token-file", &token, "--tls-name", "other.example.org"]), "not valid for name");
    fails(with(&["--tls-name", "ovs.example.org"]), "(HTTP status 401)");
    succeeds(with(&["--token-file", &token, "--tls-name", "ovs.example.org"]));
}

#[test]
fn a_shell_is_told_where_no_server_is_on_tcp() {
    let switch = Switch::builder().without_database().start();
    fails(call(&switch, "127.0.0.1:1", &[]), "no server at tcp:127.0.0.1:1: Connection refused");
    let authority = Authority::new(switch.directory(), "ca");
    let words = ["--tls-ca", authority.file()];
    fails(call(&switch, "[::1]:1", &words), "no server at tcp:[::1]:1: Connection refused");
}

#[test]
fn what_a_shell_says_of_a_server_has_to_make_sense() {
    let switch = Switch::builder().without_database().start();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("client");
    let (_, other_key) = authority.sign("other");
    let token = secret(switch.directory(), "token", TOKEN);
    let empty = secret(switch.directory(), "empty", "");
    let readable = secret(switch.directory(), "readable", TOKEN);
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o644)).unwrap();
    let readable_key = secret(switch.directory(), "readable.key", &fs::read_to_string(&key).unwrap());
    fs::set_permissions(&readable_key, fs::Permissions::from_mode(0o604)).unwrap();
    let ca = authority.file();
    let tcp = ["--server", "tcp:127.0.0.1:1"];
    for (words, expected) in [
        (vec!["--server", "tcp:ovs.example.org:1"], "expected unix:/PATH, tcp:IP:PORT".to_owned()),
        (vec!["--server", "unix:/x", "--socket", "/x"], "cannot be used with".into()),
        (vec!["--server", "unix:/x", "--token-file", &token], "not for unix:/x; expected tcp:IP:PORT".into()),
        (vec!["--tls-ca", ca], "expected tcp:IP:PORT".into()),
        ([&tcp[..], &["--token-file", "/nonexistent"]].concat(), "--token-file /nonexistent: No such file".into()),
        ([&tcp[..], &["--token-file", &empty]].concat(), format!("--token-file {empty}: no token in it")),
        ([&tcp[..], &["--token-file", &readable]].concat(), format!("--token-file {readable}: everybody may use it")),
        ([&tcp[..], &["--tls-ca", &empty]].concat(), format!("--tls-ca {empty}: no certificate in it")),
        ([&tcp[..], &["--tls-ca", ca, "--tls-name", "a b"]].concat(), "--tls-name \"a b\": expected a DNS name".into()),
        ([&tcp[..], &["--tls-name", "a"]].concat(), "--tls-ca <FILE>".into()),
        ([&tcp[..], &["--tls-ca", ca, "--tls-cert", &certificate]].concat(), "--tls-key <FILE>".into()),
        (
            [&tcp[..], &["--tls-ca", ca, "--tls-cert", &certificate, "--tls-key", &readable_key]].concat(),
            format!("--tls-key {readable_key}: everybody may use it (mode 0604)"),
        ),
        (
            [&tcp[..], &["--tls-ca", ca, "--tls-cert", &certificate, "--tls-key", &other_key]].concat(),
            format!("--tls-key {other_key}: "),
        ),
        (
            vec!["--server", "tcp:192.0.2.1:1", "--token-file", &token],
            format!("--token-file {token}: on the way to tcp:192.0.2.1:1 anybody could read it; expected --tls-ca"),
        ),
    ] {
        let refused = switch.call().args(&["call", "version"]).args(&words).run();
        let failed = refused.exit.is_some_and(|status| status != 0) && refused.stdout.is_empty();
        assert!(failed && refused.stderr.contains(&expected), "{expected}: {refused:?}");
    }
}

#[test]
fn the_client_calls_over_tls_and_knows_what_came_of_it() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let (server, address, authority, (certificate, key)) = server_for_certificates(&[]);
    let ours = Credentials {
        tls_ca: Some(authority.file().into()),
        tls_cert: Some(certificate.into()),
        tls_key: Some(key.into()),
        ..Credentials::default()
    };
    in_namespace(&server.switch, async || {
        let known = client(&address, &ours);
        known.call::<()>("ovs.bridge-add", &json!({"bridge": "br0"})).await.unwrap();
        for _ in 0..5 {
            assert_eq!(known.call::<Vec<String>>("ovs.bridge-list", &json!({})).await.unwrap(), ["br0"]);
        }
        let error = known.call::<()>("ovs.bridge-add", &json!({"bridge": "br0"})).await.unwrap_err();
        assert!(matches!(&error, ClientError::Call(error) if error.code == 1102), "{error:?}");

        // The server hears that there is no certificate when the client believes that all is well: again and again, as
        // it depends on the moment who notices what first.
        let unknown = client(&address, &Credentials { tls_cert: None, tls_key: None, ..ours.clone() });
        for _ in 0..30 {
            let error = unknown.call::<()>("ovs.bridge-add", &json!({"bridge": "br1"})).await.unwrap_err();
            assert!(matches!(&error, ClientError::Tls { .. }), "{error:?}");
            assert_eq!(error.committed(), Committed::No);
        }
        assert_eq!(known.call::<Vec<String>>("ovs.bridge-list", &json!({})).await.unwrap(), ["br0"]);
    });
    let (_, metrics) = server.page("/metrics");
    // The client's only one, that of this page, and the one that looked whether the server listens.
    let served = "ovs_plugin_connections_accepted_total{outcome=\"served\"} 3\n";
    assert!(metrics.contains(served), "one connection was enough for all calls: {metrics}");
}

#[test]
fn the_client_names_the_host_and_the_token_and_does_not_know_what_a_server_did_that_went_away() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let switch = Switch::builder().without_database().start();
    let token = secret(switch.directory(), "token", TOKEN);
    in_namespace(&switch, async || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}}") {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap();
                assert!(count > 0, "half a request: {request:?}");
                request.extend_from_slice(&bytes[..count]);
            }
            String::from_utf8(request).unwrap()
        });
        let credentials = Credentials { token_file: Some(token.into()), ..Credentials::default() };
        let client = client(&address, &credentials);
        let error = client.call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert!(matches!(error, ClientError::Lost(_)), "{error:?}");
        assert_eq!(error.committed(), Committed::Unknown);
        let request = asked.join().unwrap().to_lowercase();
        for line in [format!("host: {address}"), format!("authorization: bearer {TOKEN}")] {
            assert!(request.lines().any(|found| found == line), "{line}: {request}");
        }
    });
}

#[test]
fn nothing_is_done_where_no_connection_came_about() {
    if !is_root() {
        return skipped("only root can enter the namespace of the server");
    }
    let switch = Switch::builder().without_database().start();
    let authority = Authority::new(switch.directory(), "ca");
    let tls = Credentials { tls_ca: Some(PathBuf::from(authority.file())), ..Credentials::default() };
    in_namespace(&switch, async || {
        let nobody = client("127.0.0.1:1", &tls).call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert!(matches!(nobody, ClientError::NotConnected { .. }), "{nobody:?}");

        // It listens and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let silent = Client::at(format!("tcp:{address}").parse().unwrap(), &tls, Duration::from_millis(300)).unwrap();
        let late = silent.call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert_eq!(late.to_string(), format!("no server at tcp:{address}: no connection within 0.3 s"));
        drop(listener.accept().unwrap());

        // It speaks something else.
        let speaker = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-nothing\r\n").unwrap();
            // Until the client has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let other = client(&address.to_string(), &tls).call::<Value>("ovs.version", &json!({})).await.unwrap_err();
        assert!(matches!(other, ClientError::Tls { .. }), "{other:?}");
        speaker.join().unwrap();
        for error in [nobody, late, other] {
            assert_eq!(error.committed(), Committed::No, "{error:?}");
        }
    });
}
