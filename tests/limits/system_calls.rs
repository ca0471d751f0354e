//! The system calls with which the plugin talks to the database.

use std::collections::BTreeSet;
use std::fs;

use crate::shipped::{Shipped, ensures, need, skipped};
use crate::support::run_to_end;

const READS: [&str; 6] = ["read", "readv", "recv", "recvfrom", "recvmsg", "recvmmsg"];
const WRITES: [&str; 6] = ["write", "writev", "send", "sendto", "sendmsg", "sendmmsg"];

/// They move no data.
const OTHERS: [&str; 12] = [
    "close",
    "connect",
    "epoll_ctl",
    "fcntl",
    "getpeername",
    "getsockname",
    "getsockopt",
    "poll",
    "ppoll",
    "setsockopt",
    "shutdown",
    "socket",
];

#[test]
fn a_repeated_ensure_writes_to_the_database_at_most_twice_and_reads_at_most_thrice() {
    need("strace");
    let shipped = Shipped::new();
    let refusal = run_to_end(shipped.switch.net.command("strace").args(["-o", "/dev/null", "true"]));
    if !refusal.status.success() {
        return skipped(&format!("strace cannot trace here: {}", String::from_utf8_lossy(&refusal.stderr).trim()));
    }
    for (_, command, arguments) in ensures() {
        let expected = shipped.run(&[], command, &arguments).ok();
        let file = shipped.switch.directory().join("strace.out");
        // Each file descriptor with what it is; threads too.
        let under = ["strace", "-f", "-y", "-qq", "-e", "signal=none", "-o", file.to_str().unwrap()];
        assert_eq!(shipped.run(&under, command, &arguments).ok(), expected);
        let trace = fs::read_to_string(&file).unwrap();
        let calls = on_socket(&trace, shipped.switch.database.socket().to_str().unwrap());
        let count = |kinds: &[&str]| calls.iter().filter(|call| kinds.contains(call)).count();
        for call in &calls {
            let known = READS.contains(call) || WRITES.contains(call) || OTHERS.contains(call);
            assert!(known, "this test does not know what {call} does to the socket\n{trace}");
        }
        // Attempts that find nothing to read count, too. None at all would mean that the test no longer sees them.
        assert!((1..=2).contains(&count(&WRITES)), "{command} {arguments}: {calls:?}\n{trace}");
        // One of them is what the server says of its place in a cluster, which is a message of its own.
        assert!((1..=3).contains(&count(&READS)), "{command} {arguments}: {calls:?}\n{trace}");
    }
}

/// The names of the system calls on connections to `socket`, in order.
fn on_socket<'a>(trace: &'a str, socket: &str) -> Vec<&'a str> {
    // With -f, lines begin with a process id. What a call that was interrupted resumes as has no name.
    let calls: Vec<_> = trace
        .lines()
        .map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '))
        .filter_map(|call| call.split_once('('))
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .collect();
    let path = format!("sun_path=\"{socket}\"");
    // 11<socket:[3376246]>: the number of the descriptor may be used again, what it stands for not.
    let sockets: BTreeSet<_> = calls
        .iter()
        .filter(|(name, arguments)| *name == "connect" && arguments.contains(&path))
        .map(|(_, arguments)| &arguments[arguments.find('<').unwrap()..=arguments.find('>').unwrap()])
        .collect();
    assert!(!sockets.is_empty(), "no connection to {socket}\n{trace}");
    let on_any = |arguments: &str| sockets.iter().any(|socket| arguments.contains(socket));
    calls.into_iter().filter(|(_, arguments)| on_any(arguments)).map(|(name, _)| name).collect()
}
