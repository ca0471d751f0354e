//! Every command ends by its deadline, and says truly whether the database holds the change.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::proxy::{Fate, From, Proxy, is_write};
use crate::support::{Answer, Call, Switch, difference, run_to_end, wait_until};

/// More than anything takes that does not hang.
const LIMIT: Duration = Duration::from_secs(45);

/// What tells the errors apart.
const NOT_CONNECTED: &str = "not connected to the database";
const NOT_COMMITTED: &str = "nothing was committed";
const UNKNOWN: &str = "it is unknown whether the database holds the change";
const NOT_APPLIED: &str = "the database holds the change, but ovs-vswitchd has not applied it";

/// The error is of this kind and could not be taken for another.
#[track_caller]
fn assert_kind(message: &str, kind: &str) {
    for other in [NOT_CONNECTED, NOT_COMMITTED, UNKNOWN, NOT_APPLIED] {
        assert_eq!(message.contains(other), other == kind, "{other:?} in {message:?}");
    }
}

fn switch_with_bridge() -> Switch {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn vlan(vlan: u16) -> Value {
    json!({"master": "br0", "vlan": vlan})
}

/// Whether the database has all that belongs to a VLAN.
fn holds(switch: &Switch, vlan: u16) -> bool {
    let has = |table: &str, name: String| switch.database.rows(table).iter().any(|row| row["name"] == name.as_str());
    has("Bridge", format!("vlbr{vlan}"))
        && has("Port", format!("vlbr{vlan}"))
        && has("Port", format!("vlbr{vlan}p"))
        && has("Port", format!("vlbr{vlan}in"))
}

/// Asked again, the VLAN is complete.
#[track_caller]
fn assert_complete(switch: &Switch, tag: u16) {
    assert!(holds(switch, tag));
    let bridge = format!("vlbr{tag}");
    switch.unchanged_by(|| assert_eq!(switch.ok("vlan-ensure", vlan(tag)), json!(bridge)));
    assert!(switch.net.has_link(&bridge));
}

// ---- ovs-vswitchd does not work ----

#[test]
fn a_change_that_ovs_vswitchd_does_not_apply_is_told_and_is_there_afterwards() {
    let switch = switch_with_bridge();
    switch.net.veth("e1", "e1-p");
    let calls = [
        ("vlan-ensure", vlan(5), json!("vlbr5")),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7}), json!("vxlbr7")),
        ("bridge-add", json!({"bridge": "br1"}), json!(null)),
        ("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 9}), json!(null)),
    ];
    for paused in [true, false] {
        if paused {
            switch.pause_vswitchd()
        } else {
            switch.stop_vswitchd()
        }
        for (command, arguments, _) in &calls {
            let call = switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_TIMEOUT", "2");
            let message = call.run().failed();
            assert_kind(&message, NOT_APPLIED);
        }
        assert!(holds(&switch, 5));
        if paused {
            switch.resume_vswitchd()
        } else {
            switch.start_vswitchd()
        }
        for (command, arguments, result) in &calls[..2] {
            switch.unchanged_by(|| assert_eq!(switch.ok(command, arguments.clone()), *result));
        }
        for (command, arguments, _) in &calls[2..] {
            assert!(switch.refused(command, arguments.clone()).contains("already exists"));
        }
        let state = switch.state();
        assert_eq!(state["bridges"]["br0"]["ports"]["e1"]["tag"], 9);
        assert_eq!(state["bridges"]["br0"]["ports"]["e1"]["interfaces"]["e1"]["attached"], true);
        for device in ["vlbr5", "vxlbr7", "vtep7", "br1"] {
            assert!(switch.net.has_link(device), "{device}");
        }
        for (command, arguments) in [
            ("bridge-del", json!({"bridge": "vlbr5"})),
            ("bridge-del", json!({"bridge": "vxlbr7"})),
            ("vtep-del", json!({"vnid": 7})),
            ("bridge-del", json!({"bridge": "br1"})),
            ("port-del", json!({"port": "e1"})),
        ] {
            switch.ok(command, arguments);
        }
    }
}

#[test]
fn deleting_while_ovs_vswitchd_is_stopped_is_told_and_done() {
    let switch = switch_with_bridge();
    switch.ok("vlan-ensure", vlan(5));
    switch.pause_vswitchd();
    let call = switch.prepare("bridge-del", json!({"bridge": "vlbr5"})).env("OVS_PLUGIN_TIMEOUT", "2");
    assert_kind(&call.run().failed(), NOT_APPLIED);
    switch.resume_vswitchd();
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0"]));
    assert!(wait_until(LIMIT, || !switch.net.has_link("vlbr5")));

    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    switch.pause_vswitchd();
    let delete = json!({"master": "br0", "vxlan": 7});
    let call = switch.prepare("vxlan-del", delete.clone()).env("OVS_PLUGIN_TIMEOUT", "2");
    assert_kind(&call.run().failed(), NOT_APPLIED);
    switch.resume_vswitchd();
    // The device goes only when ovs-vswitchd has let go of it; that is for the repetition to do.
    switch.plugin("vxlan-del", delete);
    assert!(wait_until(LIMIT, || !switch.net.has_link("vxlbr7")));
    assert!(!switch.net.has_link("vtep7"), "the repetition leaves nothing behind");
}

#[test]
fn what_changes_nothing_does_not_wait_for_ovs_vswitchd() {
    let switch = switch_with_bridge();
    switch.ok("vlan-ensure", vlan(5));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    switch.pause_vswitchd();
    // There is a change that ovs-vswitchd has not applied, but it is none of these commands' doing.
    let pending = switch.prepare("bridge-add", json!({"bridge": "br1"})).env("OVS_PLUGIN_TIMEOUT", "2");
    assert_kind(&pending.run().failed(), NOT_APPLIED);
    let patient = |command: &str, arguments: Value| {
        switch.unchanged_by(|| switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "600").run())
    };
    assert_eq!(patient("vlan-ensure", vlan(5)).ok(), json!("vlbr5"));
    assert_eq!(patient("vxlan-ensure", json!({"master": "br0", "vxlan": 7})).ok(), json!("vxlbr7"));
    assert_eq!(patient("bridge-list", json!({})).ok(), json!(["br0", "br1", "vlbr5", "vxlbr7"]));
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("bridge-add", json!({"bridge": "br1"})),
        ("bridge-del", json!({"bridge": "br2"})),
        ("port-add", json!({"bridge": "br2", "port": "e1"})),
        ("port-del", json!({"port": "e1"})),
        ("vlan-ensure", json!({"master": "vxlbr7", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "other"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 4095})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7, "name": "other"})),
        ("set", json!({"table": "Bridge", "record": "br2", "values": {"stp_enable": true}})),
    ] {
        patient(command, arguments).failed();
    }
    switch.resume_vswitchd();
}

/// The host agent looks for the bridge's device as soon as it has the answer.
#[test]
fn an_answer_comes_only_when_the_device_is_there_also_for_the_second_who_asks() {
    let switch = switch_with_bridge();
    switch.pause_vswitchd();
    for (command, arguments, device) in
        [("vlan-ensure", vlan(5), "vlbr5"), ("vxlan-ensure", json!({"master": "br0", "vxlan": 7}), "vxlbr7")]
    {
        for _ in 0..2 {
            let answer = switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_TIMEOUT", "2").run();
            assert_kind(&answer.failed(), NOT_APPLIED);
        }
        assert!(!switch.net.has_link(device));
    }
    let second = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_TIMEOUT", "600").spawn();
    switch.resume_vswitchd();
    assert_eq!(second.wait().ok(), json!("vlbr5"));
    assert!(switch.net.has_link("vlbr5"));
}

// ---- ovsdb-server does not work ----

#[test]
fn an_absent_database_is_named() {
    let switch = Switch::builder().without_database().start();
    for (command, arguments) in [
        ("vlan-ensure", vlan(5)),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("bridge-add", json!({"bridge": "br0"})),
        ("bridge-list", json!({})),
    ] {
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "2");
        let message = call.run().failed();
        assert_kind(&message, NOT_CONNECTED);
        assert!(message.contains(&switch.remote()), "{message}");
    }
    switch.start_database();
    assert_eq!(switch.ok("bridge-list", json!({})), json!([]));
}

#[test]
fn every_address_that_was_tried_is_named() {
    let switch = Switch::builder().without_database().start();
    let remotes = format!("unix:/absent/db.sock, tcp:127.0.0.1:6640, {}", switch.remote());
    let call = switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", &remotes).env("OVS_PLUGIN_TIMEOUT", "2");
    let message = call.run().failed();
    assert_kind(&message, NOT_CONNECTED);
    assert!(message.contains(&remotes), "{message}");
}

#[test]
fn a_database_that_appears_within_the_deadline_is_waited_for() {
    let switch = Switch::builder().without_database().start();
    let running = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_TIMEOUT", "600").spawn();
    let second = switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_TIMEOUT", "600").spawn();
    thread::sleep(Duration::from_millis(300));
    switch.start_database();
    switch.start_vswitchd();
    let answers = [running.wait().ok(), second.wait().ok()];
    assert_eq!(answers[0], Value::Null);
    assert!(answers[1] == json!([]) || answers[1] == json!(["br0"]), "{answers:?}");
    assert!(switch.net.has_link("br0"));
}

/// A socket's file outlives the server that was killed.
#[test]
fn a_socket_that_nobody_listens_at_is_waited_for_like_an_absent_one() {
    let switch = Switch::builder().without_database().start();
    drop(UnixListener::bind(switch.database.socket()).unwrap());
    let call = || switch.prepare("bridge-list", json!({}));
    assert_kind(&call().env("OVS_PLUGIN_TIMEOUT", "2").run().failed(), NOT_CONNECTED);
    let running = call().env("OVS_PLUGIN_TIMEOUT", "600").spawn();
    std::fs::remove_file(switch.database.socket()).unwrap();
    switch.start_database();
    assert_eq!(running.wait().ok(), json!([]));
}

#[test]
fn a_database_that_does_not_answer_has_got_nothing() {
    let switch = switch_with_bridge();
    switch.pause_database();
    let calls = [("vlan-ensure", vlan(5)), ("bridge-add", json!({"bridge": "br1"})), ("bridge-list", json!({}))];
    for (command, arguments) in calls {
        let message = switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "2").run().failed();
        assert_kind(&message, NOT_COMMITTED);
    }
    switch.resume_database();
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0"]));
}

#[test]
fn a_server_that_accepts_and_says_nothing_does_not_hold_a_command_up() {
    let switch = Switch::builder().without_database().start();
    let listener = UnixListener::bind(switch.database.socket()).unwrap();
    let accepted = thread::spawn(move || {
        // Reads to the end, which comes when the plugin gives up.
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        stream.read_to_end(&mut asked).unwrap();
        asked
    });
    let call = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_TIMEOUT", "2");
    assert_kind(&call.run().failed(), NOT_COMMITTED);
    assert!(!accepted.join().unwrap().is_empty());
}

#[test]
fn a_server_that_hangs_up_at_once_is_tried_until_the_deadline() {
    let switch = Switch::builder().without_database().start();
    let listener = UnixListener::bind(switch.database.socket()).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let call = switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_TIMEOUT", "2");
    let message = call.run().failed();
    assert!(message.contains(NOT_CONNECTED) || message.contains(NOT_COMMITTED), "{message}");
}

#[test]
fn something_that_does_not_speak_ovsdb_is_an_error_by_the_deadline() {
    let switch = Switch::builder().without_database().start();
    let listener = UnixListener::bind(switch.database.socket()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let call = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_TIMEOUT", "2");
    let message = call.run().failed();
    assert!(message.contains(NOT_CONNECTED) || message.contains(NOT_COMMITTED), "{message}");
}

// ---- the connection breaks ----

/// A proxy in front of the switch's database that does this to what is a `victim`, once.
fn proxy(switch: &Switch, fate: Fate, victim: impl Fn(From, &Value) -> bool + Send + Sync + 'static) -> Proxy {
    let done = AtomicBool::new(false);
    let socket = switch.directory().join("proxy.sock");
    Proxy::with(&socket, switch.database.socket(), move |from, message| {
        if victim(from, message) && !done.swap(true, Ordering::SeqCst) { fate } else { Fate::Pass }
    })
}

/// Whether a message is the reply to the transaction that creates a VLAN's bridge: nothing else inserts rows here, and
/// only inserts are answered with a `uuid`.
fn is_reply_to_write(from: From, message: &Value) -> bool {
    let results = message["result"].as_array();
    from == From::Server && results.is_some_and(|all| all.iter().any(|result| result.get("uuid").is_some()))
}

#[test]
fn a_commit_whose_answer_never_comes_is_unknown_and_can_be_repeated() {
    for fate in [Fate::Lose, Fate::Cut] {
        let switch = switch_with_bridge();
        let proxy = proxy(&switch, fate, is_reply_to_write);
        let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
        let message = call.env("OVS_PLUGIN_TIMEOUT", "3").run().failed();
        assert_kind(&message, UNKNOWN);
        assert!(wait_until(LIMIT, || switch.net.has_link("vlbr5")), "this time the database holds it");
        assert_complete(&switch, 5);
    }
}

#[test]
fn a_commit_that_never_arrives_is_unknown_too_and_can_be_repeated() {
    for fate in [Fate::Lose, Fate::Cut] {
        let switch = switch_with_bridge();
        let proxy = proxy(&switch, fate, |from, message| from == From::Client && is_write(message));
        let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
        let message = switch.unchanged_by(|| call.env("OVS_PLUGIN_TIMEOUT", "3").run().failed());
        assert_kind(&message, UNKNOWN);
        let repeated = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
        assert_eq!(repeated.run().ok(), json!("vlbr5"));
        assert_complete(&switch, 5);
    }
}

/// The device of a VXLAN is made before the commit, and may be in use if nobody knows whether there was one.
#[test]
fn an_unknown_commit_of_a_vxlan_keeps_its_device_and_can_be_repeated() {
    let switch = switch_with_bridge();
    let vxlan = || json!({"master": "br0", "vxlan": 7});
    let proxy = proxy(&switch, Fate::Lose, is_reply_to_write);
    let call = switch.prepare("vxlan-ensure", vxlan()).env("OVS_PLUGIN_DB", proxy.remote());
    assert_kind(&call.env("OVS_PLUGIN_TIMEOUT", "3").run().failed(), UNKNOWN);
    assert!(switch.net.has_link("vtep7"));
    assert!(wait_until(LIMIT, || switch.net.has_link("vxlbr7")));
    switch.unchanged_by(|| assert_eq!(switch.ok("vxlan-ensure", vxlan()), json!("vxlbr7")));
}

#[test]
fn a_connection_that_breaks_before_anything_was_written_is_made_anew() {
    let switch = switch_with_bridge();
    let is_first_answer = |from, message: &Value| from == From::Server && message.get("result").is_some();
    let proxy = proxy(&switch, Fate::Cut, is_first_answer);
    let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
    assert_eq!(call.run().ok(), json!("vlbr5"));
    assert_complete(&switch, 5);
}

#[test]
fn a_connection_that_breaks_while_ovs_vswitchd_is_waited_for_is_made_anew() {
    let switch = switch_with_bridge();
    let is_update = |from, message: &Value| from == From::Server && message["method"] == "update";
    let proxy = proxy(&switch, Fate::Cut, is_update);
    let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
    assert_eq!(call.run().ok(), json!("vlbr5"));
    assert_complete(&switch, 5);
}

#[test]
fn a_database_that_restarts_while_ovs_vswitchd_is_waited_for_is_asked_again() {
    let switch = switch_with_bridge();
    switch.pause_vswitchd();
    let patient = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_TIMEOUT", "600").limit(LIMIT * 2).spawn();
    assert!(wait_until(LIMIT, || holds(&switch, 5)));
    switch.stop_database();
    switch.start_database();
    let hasty = switch.prepare("vlan-ensure", vlan(6)).env("OVS_PLUGIN_TIMEOUT", "2").run().failed();
    assert_kind(&hasty, NOT_APPLIED);
    switch.resume_vswitchd();
    assert_eq!(patient.wait().ok(), json!("vlbr5"));
    assert_complete(&switch, 5);
    assert_complete(&switch, 6);
}

#[test]
fn a_database_that_goes_for_good_while_ovs_vswitchd_is_waited_for_ends_the_wait_at_the_deadline() {
    let switch = switch_with_bridge();
    switch.pause_vswitchd();
    let running = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_TIMEOUT", "2").spawn();
    assert!(wait_until(LIMIT, || holds(&switch, 5)));
    switch.stop_database();
    let message = running.wait().failed();
    assert!(message.contains("the database holds the change") && message.contains(&switch.remote()), "{message}");
    assert!(!message.contains("nothing was"), "the database does hold the change: {message}");
}

#[test]
fn a_commit_whose_outcome_cannot_be_looked_at_is_told_as_committed() {
    let switch = switch_with_bridge();
    let written = AtomicBool::new(false);
    let is_look_afterwards = move |from, message: &Value| {
        let before = written.fetch_or(from == From::Client && is_write(message), Ordering::SeqCst);
        before && from == From::Client && message["method"] == "transact"
    };
    let proxy = proxy(&switch, Fate::Lose, is_look_afterwards);
    let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", proxy.remote());
    let message = call.env("OVS_PLUGIN_TIMEOUT", "3").run().failed();
    assert_kind(&message, NOT_APPLIED);
    assert_complete(&switch, 5);
}

// ---- at any moment ----

/// Ensures one VLAN or VXLAN after the other, each cut short a little later than the one before by `stop`, and compares
/// what the answer claims with what there is. Gives how many did not get to their end.
fn cut_short(switch: &Switch, stop: impl Fn(Call, u16) -> Answer) -> usize {
    let mut stopped = 0;
    for number in 1..=16 {
        for (command, arguments, bridge, device) in [
            ("vlan-ensure", vlan(number), format!("vlbr{number}"), None),
            (
                "vxlan-ensure",
                json!({"master": "br0", "vxlan": number}),
                format!("vxlbr{number}"),
                Some(format!("vtep{number}")),
            ),
        ] {
            let before = switch.dump();
            let answer = stop(switch.prepare(command, arguments.clone()), number);
            let is_there = switch.database.rows("Bridge").iter().any(|row| row["name"] == bridge.as_str());
            if answer.exit == Some(0) {
                assert_eq!(answer.ok(), json!(bridge));
                assert!(switch.net.has_link(&bridge));
                continue;
            }
            stopped += 1;
            // A signal may come before the program is ready to answer it; then it has done nothing yet.
            let message = if answer.signal.is_some() { NOT_COMMITTED.to_owned() } else { answer.failed() };
            if message.contains(NOT_APPLIED) {
                assert!(is_there, "{bridge} is not in the database: {message}");
                assert!(device.is_none_or(|device| switch.net.has_link(&device)), "{message}");
            } else if !message.contains(UNKNOWN) {
                assert!(message.contains(NOT_COMMITTED) || message.contains(NOT_CONNECTED), "{message}");
                let after = switch.dump();
                assert!(before == after, "something has changed: {message}\n{}", difference(&before, &after));
            }
            assert_eq!(switch.ok(command, arguments), json!(bridge));
            assert!(switch.net.has_link(&bridge));
        }
    }
    stopped
}

#[test]
fn whenever_the_deadline_passes_the_answer_is_true() {
    let switch = switch_with_bridge();
    let stopped = cut_short(&switch, |call, number| {
        call.env("OVS_PLUGIN_TIMEOUT", format!("{}", f64::from(number) * 0.0004)).run()
    });
    assert!(stopped > 0, "the shortest time is too long");
}

#[test]
fn whenever_a_signal_comes_the_answer_is_true() {
    let switch = switch_with_bridge();
    let stopped = cut_short(&switch, |call, number| {
        let running = call.spawn();
        thread::sleep(Duration::from_micros(u64::from(number) * 700));
        running.signal(Signal::SIGTERM);
        running.wait()
    });
    assert!(stopped > 0, "the first signal comes too late");
}

// ---- several remotes ----

#[test]
fn the_first_remote_that_can_be_reached_is_used() {
    let switch = switch_with_bridge();
    let absent = switch.directory().join("absent.sock");
    let remotes = format!("unix:{}, tcp:127.0.0.1:6640,{}", absent.display(), switch.remote());
    let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", remotes);
    assert_eq!(call.run().ok(), json!("vlbr5"));
    assert_complete(&switch, 5);
}

/// A server that takes connections and never says a word.
fn silent_socket(switch: &Switch) -> (UnixListener, String) {
    let path = switch.directory().join("silent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (listener, format!("unix:{}", path.display()))
}

#[test]
fn a_remote_that_says_nothing_leaves_time_for_the_others() {
    let switch = switch_with_bridge();
    let (_listener, silent) = silent_socket(&switch);
    // Nobody has the second address, which the kernel finds out after 3 s.
    switch.net.veth("e1", "e1-p");
    switch.net.addr("e1", "192.0.2.1/24");
    let real = switch.remote();
    for (vlan_id, remotes) in [
        (5, format!("{silent},{real}")),
        (7, format!("tcp:192.0.2.2:6640,{silent},{real}")),
        // Who is silent is asked again, as long as there is time.
        (8, format!("{silent},unix:/absent/db.sock,{real},unix:/absent/db.sock")),
    ] {
        let call = switch.prepare("vlan-ensure", vlan(vlan_id)).env("OVS_PLUGIN_DB", &remotes);
        assert_eq!(call.env("OVS_PLUGIN_TIMEOUT", "5").run().ok(), json!(format!("vlbr{vlan_id}")), "{remotes}");
        assert_complete(&switch, vlan_id);
    }
    let call = switch.prepare("bridge-list", json!({})).env("OVS_PLUGIN_DB", format!("tcp:192.0.2.2:6640,{real}"));
    assert_eq!(call.env("OVS_PLUGIN_TIMEOUT", "2").run().ok()[0], "br0");
    // Where the schema is the first question.
    let set = json!({"table": "Bridge", "record": "br0", "values": {"stp_enable": true}});
    let call = switch.prepare("set", set).env("OVS_PLUGIN_DB", format!("{silent},{real}"));
    call.env("OVS_PLUGIN_TIMEOUT", "5").run().ok();
    assert_eq!(switch.state()["bridges"]["br0"]["stp_enable"], json!(true));
}

#[test]
fn remotes_that_all_say_nothing_end_with_the_deadline_and_nothing_is_changed() {
    let switch = switch_with_bridge();
    let (_listener, silent) = silent_socket(&switch);
    let remotes = format!("{silent},unix:/absent/db.sock,{silent}");
    let call = switch.prepare("vlan-ensure", vlan(5)).env("OVS_PLUGIN_DB", &remotes).env("OVS_PLUGIN_TIMEOUT", "1");
    let message = call.run().failed();
    assert!(message.contains("the deadline of 1 s passed"), "{message}");
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0"]));
}

#[test]
fn a_database_is_reached_over_tcp() {
    if Switch::database_is_in_docker() {
        println!("skipped: the container of the database has a network of its own");
        return;
    }
    let switch = switch_with_bridge();
    for listener in ["ptcp:6640:127.0.0.1", "ptcp:6641:[::1]"] {
        let mut add_remote = switch.tool("ovs-appctl");
        add_remote.args(["-t", "ovsdb-server", "ovsdb-server/add-remote", listener]);
        let output = run_to_end(&mut add_remote);
        assert!(output.status.success(), "{output:?}");
    }
    for (remote, tag) in [("tcp:127.0.0.1:6640", 5), ("tcp:[::1]:6641", 6), ("tcp:127.0.0.1", 7)] {
        let call = switch.prepare("vlan-ensure", vlan(tag)).env("OVS_PLUGIN_DB", remote);
        assert_eq!(call.run().ok(), json!(format!("vlbr{tag}")));
        assert_complete(&switch, tag);
    }
}
