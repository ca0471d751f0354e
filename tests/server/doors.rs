//! Who gets in: the socket's file, the peers it is for, tokens on TCP.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::serving::{LIMIT, Server, is_alive, skipped, with_status};
use crate::support::{Call, Switch, is_root, wait_until};

/// Some users and groups that own nothing here.
const USER: &str = "54321";
const OTHER_USER: &str = "54324";
const GROUP: &str = "54322";
const OTHER_GROUP: &str = "54323";

/// curl as another user, with these groups; `arguments` of setpriv(1).
fn page_as(server: &Server, arguments: &[&str]) -> (u16, String) {
    page_of(server, USER, arguments)
}

fn page_of(server: &Server, user: &str, arguments: &[&str]) -> (u16, String) {
    let curl = server.curl();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user]).args(arguments).arg("--");
    // Without the namespace, which only root may enter; a unix socket is reached from any.
    let words: Vec<_> = curl.get_args().skip_while(|word| *word != "--").skip(1).collect();
    command.args(words).arg("http://localhost/metrics");
    with_status(command)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    let server = Server::new();
    assert_eq!(mode(&server.socket), 0o600);
    assert_eq!(server.page("/healthz"), (200, "ok\n".into()));
}

#[test]
fn another_user_is_refused_even_where_the_file_would_let_him_in() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let server = Server::new();
    let alone = ["--regid", GROUP, "--clear-groups"];
    assert_eq!(page_as(&server, &alone).0, 0, "the file's mode keeps him out");
    fs::set_permissions(&server.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (status, text) = page_as(&server, &alone);
    assert_eq!((status, text.trim()), (403, "uid 54321 is neither root nor the owner of this socket"));
    let (_, metrics) = server.page("/metrics");
    assert!(metrics.contains("ovs_plugin_connections_accepted_total{outcome=\"refused\"} 1\n"), "{metrics}");
}

#[test]
fn a_group_may_be_let_in_whether_it_is_the_callers_first_or_not() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let server = Server::on(Switch::new(), &["--allow-group", GROUP], &[]);
    assert_eq!(mode(&server.socket), 0o660);
    assert_eq!(fs::metadata(&server.socket).unwrap().gid().to_string(), GROUP);
    assert_eq!(page_as(&server, &["--regid", GROUP, "--clear-groups"]).0, 200);
    assert_eq!(page_as(&server, &["--regid", OTHER_GROUP, "--groups", GROUP]).0, 200);
    assert_eq!(page_as(&server, &["--regid", OTHER_GROUP, "--clear-groups"]).0, 0, "the file's mode keeps him out");
    fs::set_permissions(&server.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (status, text) = page_as(&server, &["--regid", OTHER_GROUP, "--clear-groups"]);
    assert!(status == 403 && text.contains("nor in group 54322"), "{status} {text}");
}

#[test]
fn an_ordinary_users_server_is_for_him_and_for_root() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let alone = ["--regid", GROUP, "--clear-groups"];
    let server = Server::of_user(Switch::new(), USER, &alone, &[], &[]);
    let file = fs::metadata(&server.socket).unwrap();
    assert_eq!((file.uid().to_string().as_str(), file.mode() & 0o7777), (USER, 0o600));
    assert_eq!(page_of(&server, USER, &alone).0, 200);
    assert_eq!(server.page("/metrics").0, 200, "root may, too");
    assert_eq!(page_of(&server, OTHER_USER, &alone).0, 0, "the file's mode keeps him out");
    fs::set_permissions(&server.socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (status, text) = page_of(&server, OTHER_USER, &alone);
    assert_eq!((status, text.trim()), (403, "uid 54324 is neither root nor the owner of this socket"));
}

#[test]
fn an_ordinary_user_may_let_in_a_group_that_he_is_in() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let in_both = ["--regid", OTHER_GROUP, "--groups", GROUP];
    let server = Server::of_user(Switch::new(), USER, &in_both, &["--allow-group", GROUP], &[]);
    assert_eq!(page_of(&server, OTHER_USER, &["--regid", GROUP, "--clear-groups"]).0, 200);
    assert_eq!(page_of(&server, OTHER_USER, &["--regid", OTHER_GROUP, "--clear-groups"]).0, 0);
    assert_eq!(server.page("/metrics").0, 200, "root may, too");

    let in_one = ["--regid", OTHER_GROUP, "--clear-groups"];
    let (command, socket) =
        crate::serving::command_of_user(&server.switch, OTHER_USER, &in_one, &["--allow-group", GROUP], &[]);
    let refused = Call::of(command).run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("it can't be given to group 54322"), "{refused:?}");
    assert!(!socket.exists());
}

#[test]
fn a_server_that_may_not_open_the_database_says_so_at_once_and_goes_on_when_it_may() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let alone = ["--regid", GROUP, "--clear-groups"];
    let server = Server::of_user(Switch::new(), USER, &alone, &[], &[]);
    let expected = format!(
        "not connected to the database {}: Permission denied (os error 13); nothing was changed",
        server.switch.remote()
    );
    for (command, arguments) in [("bridge-list", json!({})), ("bridge-add", json!({"bridge": "br0"}))] {
        let error = server.failed(command, arguments);
        // At the end of its deadline it would speak of that as well.
        assert_eq!(error["message"], expected);
        assert_eq!((&error["code"], &error["data"]["committed"]), (&json!(1201), &json!("no")));
    }
    fs::set_permissions(server.switch.database.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(server.ok("bridge-list", json!({})), json!([]));
}

#[test]
fn who_watches_and_may_not_open_the_database_is_told_so() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let switch = Switch::new();
    let mut command = crate::serving::program_of_user(&switch, USER, &["--regid", GROUP, "--clear-groups"]);
    command.arg("watch");
    let told = Call::of(command).run();
    assert_eq!((told.exit, told.stdout.as_str()), (Some(1), ""));
    assert!(told.stderr.contains("Permission denied (os error 13); nothing was changed"), "{told:?}");
}

#[test]
fn a_database_that_is_away_is_waited_for_beside_one_that_may_not_be_opened() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let switch = Switch::new();
    let remotes = format!("{},unix:{}/other.sock", switch.remote(), switch.directory().display());
    let variables = [("OVS_PLUGIN_DB", remotes.as_str()), ("OVS_PLUGIN_TIMEOUT", "1")];
    let server = Server::of_user(switch, USER, &["--regid", GROUP, "--clear-groups"], &[], &variables);
    let error = server.failed("bridge-list", json!({}));
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("No such file or directory (os error 2), and the deadline of 1 s passed"), "{text}");
}

#[test]
fn the_socket_of_a_dead_server_is_replaced() {
    let mut server = Server::new();
    server.signal(Signal::SIGKILL);
    server.ended();
    assert!(server.socket.exists() && !is_alive(&server.socket));
    server.start_again();
    assert_eq!(server.page("/healthz").0, 200);
    assert_eq!(mode(&server.socket), 0o600);
}

#[test]
fn a_second_server_is_refused_and_does_no_harm_to_the_first() {
    let server = Server::new();
    let second = server.switch.call().arg("serve").run();
    assert_eq!(second.exit, Some(1));
    let address = format!("unix:{}", server.socket.display());
    assert_eq!(second.stderr, format!("ovs-plugin: can't listen on {address}: another server is running there\n"));
    assert_eq!(server.page("/healthz").0, 200);
}

#[test]
fn of_servers_that_start_at_once_in_place_of_a_dead_one_one_serves() {
    let mut server = Server::new();
    server.signal(Signal::SIGKILL);
    server.ended();
    let mut started: Vec<_> = (0..6).map(|_| server.switch.call().arg("serve").spawn()).collect();
    assert!(wait_until(LIMIT, || {
        let running = started.iter_mut().filter_map(|server| (!server.has_ended()).then_some(())).count();
        running == 1 && is_alive(&server.socket)
    }));
    assert_eq!(server.page("/healthz").0, 200);
    for (index, mut other) in started.into_iter().enumerate() {
        if !other.has_ended() {
            other.signal(Signal::SIGTERM);
        }
        let answer = other.wait();
        let refused = answer.exit == Some(1) && answer.stderr.contains("another server is running there");
        assert!(refused || answer.exit == Some(0), "{index}: {answer:?}");
    }
    assert!(!server.socket.exists());
}

#[test]
fn what_is_in_the_way_of_the_socket_and_not_a_dead_servers_stays() {
    let switch = Switch::builder().without_database().start();
    let socket = switch.directory().join("ovs-plugin.sock");
    fs::write(&socket, "a file").unwrap();
    let refused = switch.call().arg("serve").run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("which is no socket"), "{refused:?}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "a file");

    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    let refused = switch.call().arg("serve").run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("another server is running there"), "{refused:?}");
    assert!(is_alive(&socket));
    drop(other);
    assert!(!socket.with_extension("sock.lock").exists());
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let switch = Switch::builder().without_database().start();
    let refused = switch.call().args(&["serve", "--listen", "unix:/nonexistent/x.sock"]).run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("/nonexistent/x.sock"), "{refused:?}");
}

#[test]
fn tcp_needs_a_token_that_others_cannot_read() {
    let switch = Switch::builder().without_database().start();
    let listen = ["serve", "--listen", "tcp:127.0.0.1:0"];
    let refused = switch.call().args(&listen).run();
    assert!(refused.exit == Some(1) && refused.stderr.contains("expected --token-file"), "{refused:?}");

    let file = switch.directory().join("token");
    for (text, mode, expected) in [
        ("0123456789abcdef\n", 0o644, "everybody may use it (mode 0644)"),
        ("short\n", 0o600, "no token in it"),
        ("0123456789abcdef and more\n", 0o600, "no token in it"),
        ("", 0o600, "no token in it"),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let refused = switch.call().args(&listen).arg("--token-file").arg(&file).run();
        assert!(refused.exit == Some(1) && refused.stderr.contains(expected), "{refused:?}");
    }
}

#[test]
fn tcp_answers_those_who_have_the_token() {
    let switch = Switch::new();
    let file = switch.directory().join("token");
    fs::write(&file, "0123456789abcdef\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let unix = format!("unix:{}/ovs-plugin.sock", switch.directory().display());
    let words = ["--listen", &unix, "--listen", "tcp:127.0.0.1:0", "--token-file", file.to_str().unwrap()];
    let server = Server::on(switch, &words, &[]);
    assert_eq!(server.page("/healthz").0, 200, "the unix socket needs no token");

    assert!(wait_until(LIMIT, || server.said().contains("listening on tcp:")));
    let address = server.tcp_address();
    let over_tcp = |path: &str, authorization: Option<&str>| {
        let mut command = server.switch.net.command("curl");
        command.args(["--silent", "--max-time", "60", "--header", "Content-Type: application/json"]);
        command.args(authorization.iter().flat_map(|value| ["--header", value]));
        if path == "/" {
            command.args(["--data", &crate::serving::request(1, "bridge-add", json!({"bridge": "br0"})).to_string()]);
        }
        command.arg(format!("http://{address}{path}"));
        with_status(command)
    };
    for path in ["/", "/metrics", "/readyz"] {
        for wrong in [None, Some("Authorization: Bearer 0123456789abcdeF"), Some("Authorization: 0123456789abcdef")] {
            let (status, text) = over_tcp(path, wrong);
            assert!(status == 401 && text.contains("Authorization: Bearer"), "{path} {wrong:?}: {status} {text}");
        }
    }
    assert!(!server.switch.net.has_link("br0"));
    let (status, text) = over_tcp("/", Some("Authorization: Bearer 0123456789abcdef"));
    assert_eq!((status, text.as_str()), (200, r#"{"jsonrpc":"2.0","id":1,"result":null}"#));
    assert_eq!(over_tcp("/healthz", Some("Authorization: Bearer 0123456789abcdef")).0, 200);
}

#[test]
fn a_token_that_crosses_a_network_in_the_clear_is_warned_of() {
    let switch = Switch::new();
    let file = switch.directory().join("token");
    fs::write(&file, "0123456789abcdef\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let unix = format!("unix:{}/ovs-plugin.sock", switch.directory().display());
    let words = ["--listen", &unix, "--listen", "tcp:0.0.0.0:0", "--listen", "tcp:[::1]:0", "--token-file"];
    let server = Server::on(switch, &[&words[..], &[file.to_str().unwrap()]].concat(), &[]);
    assert!(wait_until(LIMIT, || server.said().contains("listening on tcp:[::1]:")));
    let said = server.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("in the clear")).collect();
    assert!(matches!(warnings.as_slice(), [one] if one.contains("tcp:0.0.0.0:0 can be reached")), "{said}");
}
