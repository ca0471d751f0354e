//! Whatever happens to the plugin, the host agent gets exactly one answer, and nothing that looks like another.

use std::ffi::OsStr;
use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde_json::{Value, json};

use crate::support::agent_reader::{PAGE, READ_MAX, Reader, cut, result, result_of};
use crate::support::{Call, Running, Switch, wait_until};

const PLUGIN: &str = env!("CARGO_BIN_EXE_ovs-plugin");

/// Longer than any run in these tests takes that does not hang.
const LIMIT: Duration = Duration::from_secs(20);

// ---- no answer is ever lost ----

/// Runs a command that nobody knows, whose name is repeated in the answer, and gives what each read of at most
/// 32 KiB got.
fn answer_that_repeats(name: &str) -> Vec<Vec<u8>> {
    let (mut ours, theirs) = pipe().unwrap();
    let mut command = Call::alone().arg(name).into_command();
    let mut child = command.stdin(Stdio::null()).stdout(theirs).stderr(Stdio::null()).spawn().unwrap();
    // Holds the writing end of the pipe.
    drop(command);
    let mut pieces = Vec::new();
    let mut piece = vec![0; READ_MAX];
    while let length @ 1.. = ours.read(&mut piece).unwrap() {
        pieces.push(piece[..length].to_vec());
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    pieces
}

fn slices(pieces: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    pieces.iter().map(Vec::as_slice)
}

/// The places where reads may end when bytes come through a pipe page by page: all of them for a few pages, and for
/// more the regular ones, each place alone, and some at random.
fn page_cuts(length: usize) -> Vec<Vec<usize>> {
    let boundaries: Vec<usize> = (1..).map(|page| page * PAGE).take_while(|place| *place < length).collect();
    let chosen = |keep: &dyn Fn(usize) -> bool| {
        boundaries.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, place)| *place).collect()
    };
    if boundaries.len() <= 6 {
        return (0..1 << boundaries.len()).map(|pattern: u32| chosen(&|index| pattern >> index & 1 == 1)).collect();
    }
    let regular = (1..=READ_MAX / PAGE).map(|pages| chosen(&|index| (index + 1) % pages == 0));
    let alone = (0..boundaries.len()).map(|one| chosen(&|index| index == one));
    // Any numbers will do, as long as they differ; multiplying by Knuth's constant spreads the bits.
    let random = (1..8u32).map(|seed| {
        let pattern = seed.wrapping_add(length as u32).wrapping_mul(2_654_435_761);
        chosen(&|index| pattern.rotate_left(index as u32) & 1 == 1)
    });
    regular.chain(alone).chain(random).collect()
}

#[test]
fn answers_up_to_100_kb_survive_every_cut_that_a_pipe_makes() {
    // Around a boundary, every length: what precedes the repeated name in the answer, and what follows, is the same.
    let base = answer_that_repeats("x").concat().len();
    let around = |boundary: usize| (boundary - 12..boundary + 4).map(move |length| length.saturating_sub(base).max(1));
    let lengths = (1..=100_000 / PAGE).flat_map(|pages| around(pages * PAGE)).chain([1, 50, 5_000, 100_000]);
    for length in lengths {
        let name = "x".repeat(length);
        let pieces = answer_that_repeats(&name);
        let bytes = pieces.concat();
        let expected = |found: Option<&[u8]>, how: &dyn std::fmt::Debug| {
            let Some(data) = found else {
                panic!("the answer of {} bytes is lost when read as {how:?}", bytes.len());
            };
            let text: String = serde_json::from_slice(data).unwrap();
            assert!(text.starts_with(&format!("unknown command: {name};")), "{text}");
        };
        let lengths: Vec<usize> = slices(&pieces).map(<[u8]>::len).collect();
        let as_read = result_of(slices(&pieces));
        expected(as_read.as_ref().map(|message| &message.data[..]), &lengths);
        for places in page_cuts(bytes.len()) {
            let message = result_of(cut(&bytes, &places));
            assert!(message == as_read, "the answer of {} bytes is lost or changed by cuts at {places:?}", bytes.len());
        }
    }
}

#[test]
fn a_large_result_survives_every_cut_that_a_pipe_makes() {
    let switch = Switch::new();
    for length in (4_050..4_110).step_by(7).chain([32_000, 60_000]) {
        let options = json!({"external_ids:note": "n".repeat(length)});
        let answer = switch.plugin("bridge-add", json!({"bridge": "br0", "options": options, "dry_run": true}));
        let bytes = answer.stdout.clone().into_bytes();
        let whole = answer.ok();
        for places in page_cuts(bytes.len()) {
            let message = result_of(cut(&bytes, &places)).expect("the result is not lost");
            assert_eq!(serde_json::from_slice::<Value>(&message.data).unwrap(), whole);
        }
    }
}

#[test]
fn a_small_answer_survives_a_cut_anywhere_but_inside_of_its_header_and_terminator() {
    let switch = Switch::new();
    let calls = [
        switch.prepare("bridge-add", json!({"bridge": "br0"})),
        switch.prepare("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        switch.prepare("bridge-list", json!({})),
        switch.prepare("bridge-del", json!({"bridge": "vlbr5"})),
        switch.prepare("bridge-del", json!({"bridge": "vlbr5"})),
        Call::alone().arg("\u{fc}n\u{ef}\u{1f980}\n:::\n20:::1"),
    ];
    for call in calls {
        let answer = call.run();
        assert!(answer.framing_ok, "{answer:?}");
        let bytes = answer.stdout.as_bytes();
        let terminator = bytes.len() - 5;
        for place in 1..bytes.len() {
            let body = result_of(cut(bytes, &[place])).and_then(|message| serde_json::from_slice(&message.data).ok());
            let survives = place >= 5 && !(terminator + 2..bytes.len()).contains(&place);
            assert_eq!(body, answer.body.clone().filter(|_| survives), "{:?} cut at {place}", answer.stdout);
        }
        // However small the pieces between the two.
        let bytewise: Vec<usize> = (5..=terminator).collect();
        let message = result_of(cut(bytes, &bytewise)).expect("the answer is not lost");
        assert_eq!(serde_json::from_slice::<Value>(&message.data).ok(), answer.body);
    }
}

// ---- one write, and nothing else ----

/// What a run of the plugin wrote, one element for each write(2).
struct Writes {
    status: ExitStatus,
    stdout: Vec<Vec<u8>>,
    stderr: Vec<Vec<u8>>,
}

fn writes_of(call: Call) -> Writes {
    // Sockets of this type keep the borders of what is sent.
    let stream = || {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let ours = UnixDatagram::from(ours);
        let collector = thread::spawn(move || {
            let mut packet = vec![0; 1 << 20];
            let mut packets = Vec::new();
            while let Ok(length @ 1..) = ours.recv(&mut packet) {
                packets.push(packet[..length].to_vec());
            }
            packets
        });
        (collector, theirs)
    };
    let ((stdout, their_stdout), (stderr, their_stderr)) = (stream(), stream());
    let mut command = call.into_command();
    let mut child = command.stdin(Stdio::null()).stdout(their_stdout).stderr(their_stderr).spawn().unwrap();
    drop(command);
    let ended = wait_until(LIMIT, || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(ended, "the plugin hangs");
    Writes { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

impl Writes {
    /// What the agent makes of it: one result, from the one write to stdout, whatever was logged.
    #[track_caller]
    fn answer(&self) -> Value {
        assert_eq!(self.stdout.len(), 1, "writes to stdout");
        for line in &self.stderr {
            let text = String::from_utf8_lossy(line);
            assert!(text.starts_with("ovs-plugin: "), "{text:?}");
            assert_eq!(
                line.iter().position(|byte| *byte == b'\n'),
                Some(line.len() - 1),
                "one line per write: {text:?}"
            );
        }
        let mut stdout = Reader::new(1);
        cut(&self.stdout[0], &[]).into_iter().for_each(|piece| stdout.read(piece));
        let mut stderr = Reader::new(2);
        slices(&self.stderr).for_each(|line| stderr.read(line));
        let (stdout, stderr) = (stdout.finish(), stderr.finish());
        assert_eq!(stdout.len(), 1, "messages on stdout: {stdout:?}");
        assert!(stderr.iter().all(|message| message.level == 2), "messages on stderr: {stderr:?}");
        let both: Vec<_> = stdout.into_iter().chain(stderr).collect();
        serde_json::from_slice(&result(&both).unwrap().data).unwrap()
    }
}

#[test]
fn an_answer_of_any_size_is_one_write() {
    for length in [1, 3_000, 4_096, 32_768, 65_536, 130_000] {
        let writes = writes_of(Call::alone().arg("y".repeat(length)));
        assert_eq!(writes.status.code(), Some(1));
        assert!(writes.answer().as_str().unwrap().contains(&"y".repeat(length)));
        assert_eq!(writes.stderr, Vec::<Vec<u8>>::new());
    }
}

#[test]
fn everything_logged_is_a_line_of_its_own_with_the_name_of_the_program() {
    let switch = Switch::new();
    let logging = |command, arguments| switch.prepare(command, arguments).env("OVS_PLUGIN_LOG", "trace");
    let absent = format!("unix:{}/absent, {}", switch.directory().display(), switch.remote());
    for (call, expected) in [
        (logging("bridge-add", json!({"bridge": "br0"})), json!(null)),
        (logging("vlan-ensure", json!({"master": "br0", "vlan": 5})), json!("vlbr5")),
        (logging("vxlan-ensure", json!({"master": "br0", "vxlan": 5})), json!("vxlbr5")),
        (logging("bridge-list", json!({})).env("OVS_PLUGIN_DB", absent), json!(["br0", "vlbr5", "vxlbr5"])),
    ] {
        let writes = writes_of(call);
        assert_eq!(writes.answer(), expected);
        assert_eq!(writes.status.code(), Some(0));
    }
    let silent =
        logging("bridge-list", json!({})).env("OVS_PLUGIN_TIMEOUT", "0.3").env("OVS_PLUGIN_DB", "unix:/absent");
    let writes = writes_of(silent);
    writes.answer();
    assert!(!writes.stderr.is_empty(), "a trace tells that there is no connection");
}

#[test]
fn line_ends_in_arguments_cannot_forge_a_result() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let forged = "x\n20:::\"pwned\"\n:::\n";
    for (command, arguments) in [
        ("port-add", json!({"bridge": "br0", "port": forged})),
        ("port-add", json!({"bridge": forged, "port": "x"})),
        ("port-add", json!({"bridge": "br0", "port": "x", "options": {"type": forged}})),
        ("port-del", json!({"port": forged})),
        ("bridge-add", json!({"bridge": forged})),
        ("bridge-add", json!({"bridge": "br1", "options": {forged: "1"}})),
        ("bridge-del", json!({"bridge": forged})),
        ("vlan-ensure", json!({"master": forged, "vlan": 7})),
        ("vlan-ensure", json!({"master": "br0", "vlan": forged})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 7, "name": forged})),
        ("set", json!({"table": forged, "record": "br0", "values": {"stp_enable": "true"}})),
        ("set", json!({"table": "Bridge", "record": forged, "values": {"stp_enable": "true"}})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"fail_mode": forged}})),
        (forged, json!({})),
    ] {
        for level in ["warn", "trace"] {
            let writes = writes_of(switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_LOG", level));
            let message = writes.answer();
            assert_eq!(writes.status.code(), Some(1), "{command} {arguments}: {message}");
            assert_ne!(message, "pwned");
        }
    }
    // An address is logged as it is.
    let address = format!("unix:/absent/{forged}/db.sock");
    let call = switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", address).env("OVS_PLUGIN_TIMEOUT", "0.2");
    let writes = writes_of(call.env("OVS_PLUGIN_LOG", "trace"));
    assert!(writes.answer().as_str().unwrap().contains("pwned"));
    assert!(
        writes.stderr.iter().any(|line| String::from_utf8_lossy(line).contains("pwned")),
        "it is not logged at all"
    );

    // Here the value is taken as it is, and goes into the log of the database's messages at most.
    let values = json!({"external_ids:note": "\"x\\n20:::pwned\\n:::\\n\""});
    let set = json!({"table": "Bridge", "record": "br0", "values": values});
    let writes = writes_of(switch.prepare("set", set).env("OVS_PLUGIN_LOG", "trace"));
    assert_eq!(writes.answer(), Value::Null);
    let writes = writes_of(switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_LOG", "\n20:::pwned\n:::\n="));
    assert_eq!(writes.answer(), json!(["br0"]));
}

// ---- an answer on every way out ----

#[test]
fn arguments_that_make_no_sense_are_answered_with_what_is_expected() {
    let call = |words: &[&[u8]]| words.iter().fold(Call::alone(), |call, word| call.arg(OsStr::from_bytes(word)));
    let deep = "[".repeat(100_000);
    let cases: &[(&[&[u8]], &str)] = &[
        (&[], "missing command"),
        (&[b""], "unknown command"),
        (&[b"bridge-add"], "JSON"),
        (&[b"bridge-add", b""], "JSON"),
        (&[b"bridge-ad", b"{}"], "bridge-ad"),
        (&[b"BRIDGE-ADD", b"{}"], "BRIDGE-ADD"),
        (&[b"-v", b"{}"], "-v"),
        (&[b"bridge-add", b"{"], "JSON object"),
        (&[b"bridge-add", b"{\"bridge\": }"], "JSON object"),
        (&[b"bridge-add", b"{\"bridge\": \"br0\"} {}"], "JSON object"),
        (&[b"bridge-add", b"[\"br0\"]"], "JSON object"),
        (&[b"bridge-add", b"\"br0\""], "JSON object"),
        (&[b"bridge-add", b"7"], "JSON object"),
        (&[b"bridge-add", deep.as_bytes()], "JSON object"),
        (&[b"bridge-add", b"{\"bridge\": \"\\ud800\"}"], "JSON object"),
        (&[b"bridge-add", b"{\"bridge\": \"\\udc00\\ud800\"}"], "JSON object"),
        (&[b"bridge-add", b"{\"bridge\": \"br\xff\"}"], "not UTF-8"),
        (&[b"bridge\xff", b"{}"], "not UTF-8"),
        (&[b"bridge-add", b"{}", b"{}"], "one JSON object"),
        (&[b"bridge-add", b"{\"bridge\": \"br0\"}", b"\xff"], "one JSON object"),
        (&[b"bridge-add", b"{}"], "bridge"),
        (&[b"bridge-add", b"null"], "bridge"),
        (&[b"bridge-add", b"{\"bridge\": \"br\\u00000\"}"], "bridge"),
    ];
    for (words, expected) in cases {
        let writes = writes_of(call(words));
        let answer = writes.answer();
        assert_eq!(writes.status.code(), Some(1), "{answer}");
        let message = answer.as_str().unwrap();
        assert!(message.contains(expected), "{message:?} does not tell {expected:?}");
    }
}

#[test]
fn a_wrong_setting_is_named_with_its_value() {
    for (variable, value) in [
        ("OVS_PLUGIN_DB", "nonsense"),
        ("OVS_PLUGIN_DB", "unix:"),
        ("OVS_PLUGIN_DB", "tcp:somewhere.example:6640"),
        ("OVS_PLUGIN_TIMEOUT", "0"),
        ("OVS_PLUGIN_TIMEOUT", "-1"),
        ("OVS_PLUGIN_TIMEOUT", "soon"),
        ("OVS_PLUGIN_TIMEOUT", "nan"),
    ] {
        let call = Call::alone().arg("bridge-add").arg(r#"{"bridge": "br0"}"#).env(variable, value);
        let message = call.run().failed();
        assert!(message.contains(variable) && message.contains(&format!("{value:?}")), "{message}");
    }
    // What is logged must never keep a switch from being set up.
    let switch = Switch::new();
    let call = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_LOG", "a=b=c");
    let answer = call.run();
    assert!(answer.stderr.contains("OVS_PLUGIN_LOG") && answer.stderr.contains("a=b=c"), "{answer:?}");
    answer.ok();
}

#[test]
fn a_datapath_type_that_does_not_exist_leaves_nothing_behind() {
    let switch = Switch::new();
    let call = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_DATAPATH_TYPE", "nonsense");
    let message = switch.unchanged_by(|| call.run().failed());
    assert!(message.contains("br0"), "{message}");
}

/// Returns when the process would survive the signal for long enough to answer: it has a handler for it, or reads it.
fn wait_until_caught(running: &Running, signal: Signal) {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        ["SigCgt:", "SigBlk:"].into_iter().any(|name| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
        })
    };
    assert!(wait_until(LIMIT, caught), "{signal} is not caught");
}

const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

#[test]
fn a_signal_while_ovs_vswitchd_is_waited_for_is_answered() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.pause_vswitchd();
    for (signal, vlan) in SIGNALS.into_iter().zip(1..) {
        let call = switch.prepare("vlan-ensure", json!({"master": "br0", "vlan": vlan}));
        let running = call.env("OVS_PLUGIN_TIMEOUT", "600").spawn();
        let bridge = format!("vlbr{vlan}");
        let holds = || switch.database.rows("Bridge").iter().any(|row| row["name"] == bridge.as_str());
        assert!(wait_until(LIMIT, holds), "{bridge} is not in the database");
        running.signal(signal);
        let message = running.wait().failed();
        assert!(message.contains(signal.as_str()), "{message}");
        assert!(message.contains("the database holds the change"), "{message}");
    }
    switch.resume_vswitchd();
    for vlan in 1..=3 {
        switch.unchanged_by(|| switch.ok("vlan-ensure", json!({"master": "br0", "vlan": vlan})));
    }
}

#[test]
fn a_signal_while_the_database_is_waited_for_is_answered() {
    let paused = Switch::new();
    paused.ok("bridge-add", json!({"bridge": "br0"}));
    paused.pause_database();
    let absent = Switch::builder().without_database().start();
    for signal in SIGNALS {
        for (switch, nothing) in [(&paused, "nothing was committed"), (&absent, "nothing was changed")] {
            let call = switch.prepare("vlan-ensure", json!({"master": "br0", "vlan": 5}));
            let running = call.env("OVS_PLUGIN_TIMEOUT", "600").spawn();
            wait_until_caught(&running, signal);
            running.signal(signal);
            let message = running.wait().failed();
            assert!(message.contains(signal.as_str()) && message.contains(nothing), "{message}");
        }
    }
    paused.resume_database();
    assert_eq!(paused.ok("bridge-list", json!({})), json!(["br0"]));
}

/// With very few file descriptors, something fails at a different place for each number of them.
#[test]
fn a_process_out_of_file_descriptors_answers_all_the_same() {
    let mut messages = Vec::new();
    // With less than 4, not even the program's libraries can be loaded.
    for limit in 4..12 {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$1\"; exec \"$2\" bridge-list '{}'", "sh", &limit.to_string(), PLUGIN]);
        command.env_clear().env("OVS_PLUGIN_DB", "unix:/absent/db.sock").env("OVS_PLUGIN_TIMEOUT", "0.1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let message = result_of(cut(&output.stdout, &[])).map(|message| String::from_utf8(message.data).unwrap());
        let message = message.unwrap_or_else(|| panic!("no answer with {limit} file descriptors: {output:?}"));
        assert_eq!(output.status.code(), Some(1), "{message}");
        messages.push(message);
    }
    assert!(messages.iter().any(|message| message.contains("Too many open files")), "{messages:#?}");
}

// ---- a hostile or poor environment ----

#[test]
fn nobody_listening_is_no_reason_to_hang() {
    let switch = Switch::new();
    let end = |mut command: Command| {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        drop(command);
        let ended = wait_until(LIMIT, || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        let status = child.wait().unwrap();
        assert!(ended, "the plugin hangs");
        assert_eq!(status.signal(), None);
        status.code().unwrap()
    };
    let add = |name: &str| switch.prepare("bridge-add", json!({"bridge": name})).env("OVS_PLUGIN_LOG", "trace");

    let mut command = add("br1").into_command();
    command.stdout(pipe().unwrap().1).stderr(Stdio::null());
    assert_eq!(end(command), 1, "an answer that nobody can read is a failure");

    let mut command = add("br2").into_command();
    command.stdout(Stdio::null()).stderr(pipe().unwrap().1);
    assert_eq!(end(command), 0, "a log that nobody reads matters to nobody");

    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = add("br3").into_command();
    command.stdout(full()).stderr(full());
    assert_eq!(end(command), 1);

    let closed = add("br4").into_command();
    let mut command = switch.tool("sh");
    command
        .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", PLUGIN])
        .args(closed.get_args().skip_while(|a| *a != PLUGIN).skip(1));
    command.envs(closed.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(end(command), 0);
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br1", "br2", "br3", "br4"]));
}

#[test]
fn the_descriptors_3_and_4_of_the_agent_are_left_alone() {
    let switch = Switch::new();
    let commands = "{\"id\": \"next\", \"command\": \"core.ping\"}\n".repeat(100);
    for (command, arguments, exit) in [
        ("bridge-add", json!({"bridge": "br0"}), 0),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5}), 0),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 5}), 0),
        ("bridge-add", json!({"bridge": "br0"}), 1),
        ("no-such-command", json!({}), 1),
    ] {
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_LOG", "trace").into_command();
        let (mut commands_end, mut agents_end) = pipe().unwrap();
        agents_end.write_all(commands.as_bytes()).unwrap();
        let (mut messages_end, results) = pipe().unwrap();
        // The shell takes them as stdin and stderr, since these a process can be given by ordinary means.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0 4>&2 </dev/null 2>/dev/null; exec \"$@\"", "sh"]);
        command.arg(call.get_program()).args(call.get_args());
        command.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let stdin = OwnedFd::from(commands_end.try_clone().unwrap());
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(results).spawn().unwrap();
        drop(command);
        let mut answer = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(exit));
        assert!(result_of(cut(&answer, &[])).is_some());

        let (mut left, mut written) = (String::new(), String::new());
        drop(agents_end);
        commands_end.read_to_string(&mut left).unwrap();
        messages_end.read_to_string(&mut written).unwrap();
        assert_eq!(left, commands);
        assert_eq!(written, "");
    }
}

#[test]
fn an_almost_empty_environment_is_enough() {
    let switch = Switch::new();
    // A device that can carry an overlay, so that there is nothing to warn of.
    let add = json!({
        "bridge": "br0", "options": {"datapath_type": "netdev"}, "up": true, "addresses": ["10.0.0.1/24"],
    });
    for (command, arguments, expected) in [
        ("bridge-add", add, json!(null)),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5}), json!("vlbr5")),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 5}), json!("vxlbr5")),
        ("vtep-ensure", json!({"bridge": "br0", "vnid": 6}), json!("vtep6")),
        ("vtep-del", json!({"vnid": 6}), json!(null)),
        ("bridge-del", json!({"bridge": "br0"}), json!("")),
    ] {
        let mut call = switch.prepare(command, arguments).into_command();
        call.env_clear().env("OVS_RUNDIR", switch.directory()).current_dir("/").stdin(Stdio::null());
        let output = call.output().unwrap();
        let message = result_of(cut(&output.stdout, &[])).unwrap_or_else(|| panic!("no answer: {output:?}"));
        assert_eq!(serde_json::from_slice::<Value>(&message.data).unwrap(), expected);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
