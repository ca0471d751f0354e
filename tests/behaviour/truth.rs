//! An answer is true, whatever others do at the same moment, and a kernel device is there exactly if something refers to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::proxy::{Fate, From, Proxy, is_write};
use crate::support::{Answer, Switch, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

/// So many rounds of each race; `RACE_ROUNDS` asks for more.
fn rounds() -> usize {
    std::env::var("RACE_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap())
}

/// Starts all commands before any has ended, and waits for all answers.
fn at_once<'a>(switch: &Switch, calls: impl IntoIterator<Item = (&'a str, Value)>) -> Vec<Answer> {
    let running: Vec<_> = calls
        .into_iter()
        .map(|(command, arguments)| switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "60"))
        .map(|call| call.limit(Duration::from_secs(90)).spawn())
        .collect();
    running.into_iter().map(|running| running.wait()).collect()
}

fn switch_with_bridge() -> Switch {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn has(switch: &Switch, table: &str, name: &str) -> bool {
    switch.database.rows(table).iter().any(|row| row["name"] == name)
}

/// The network of VNI 7 is wholly there or wholly gone.
#[track_caller]
fn assert_whole_or_gone(switch: &Switch) {
    let port = has(switch, "Interface", "vtep7");
    let settled = wait_until(LIMIT, || switch.net.has_link("vtep7") == port && switch.net.has_link("vxlbr7") == port);
    assert!(settled && has(switch, "Bridge", "vxlbr7") == port, "port: {port}, {:#}", switch.state());
    if port {
        let attached =
            || switch.state()["bridges"]["vxlbr7"]["ports"]["vtep7"]["interfaces"]["vtep7"]["attached"] == true;
        assert!(wait_until(LIMIT, attached), "{:#}", switch.state());
    }
}

// ---- success that rests on what others write ----

/// Everybody has a device of that name, so no bridge can have one. The port's type does not exist.
#[test]
fn nobody_is_told_of_success_for_what_somebody_else_takes_back() {
    let switch = switch_with_bridge();
    switch.net.veth("e1", "e1-p");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let calls = [
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "lo"})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7, "name": "lo"})),
        ("port-set", json!({"port": "e1", "options": {"type": "bogus"}})),
        ("set", json!({"table": "Interface", "record": "e1", "values": {"type": "bogus"}})),
    ];
    for round in 0..rounds() {
        for (command, arguments) in &calls {
            let count = 2 + round % 2;
            let answers = switch.unchanged_by(|| at_once(&switch, (0..count).map(|_| (*command, arguments.clone()))));
            for answer in answers {
                let message = answer.failed();
                assert!(message.contains("does not work"), "{command}: {message}");
            }
        }
    }
}

/// A bridge of the kernel's datapath does not work without the kernel's module.
#[test]
fn nobody_is_told_of_success_on_a_datapath_that_is_not_there() {
    if std::path::Path::new("/sys/module/openvswitch").exists() {
        return;
    }
    let switch = Switch::new();
    switch.database.transact(&[
        json!({"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "sys", "type": "internal"}}),
        json!({"op": "insert", "table": "Port", "uuid-name": "p", "row": {"name": "sys", "interfaces": ["named-uuid", "i"]}}),
        json!({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {
            "name": "sys", "datapath_type": "system", "ports": ["named-uuid", "p"]}}),
        json!({"op": "mutate", "table": "Open_vSwitch", "where": [],
            "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}),
    ]);
    for _ in 0..rounds() {
        let same = json!({"master": "sys", "vlan": 5});
        for answer in at_once(&switch, (0..3).map(|_| ("vlan-ensure", same.clone()))) {
            let message = answer.failed();
            assert!(message.contains("not work"), "{message}");
        }
        assert!(!has(&switch, "Bridge", "vlbr5"));
    }
}

/// It does not work, and nothing takes it back: the answer is the same for whoever asks again, and it tells who changed
/// nothing.
#[test]
fn a_network_that_stopped_working_is_no_success() {
    let switch = switch_with_bridge();
    let arguments = json!({"master": "br0", "vlan": 5, "name": "lo", "verify": false});
    assert_eq!(switch.ok("vlan-ensure", arguments.clone()), "lo");
    let looked_at = json!({"master": "br0", "vlan": 5});
    let message = switch.refused("vlan-ensure", looked_at);
    assert!(message.contains("interface lo does not work") && message.contains("changed nothing"), "{message}");
    assert_eq!(switch.ok("vlan-ensure", arguments), "lo", "nothing is judged");
}

#[test]
fn a_device_that_is_back_is_taken_by_whoever_asks_again() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5, "verify": false}));
    let same = json!({"port": "e1", "vlan": 5});
    let message = switch.refused("port-set", same.clone());
    assert!(message.contains("interface e1 does not work") && message.contains("changed nothing"), "{message}");
    switch.net.veth("e1", "e1-p");
    switch.ok("port-set", same);
    assert_eq!(switch.state()["bridges"]["br0"]["ports"]["e1"]["interfaces"]["e1"]["attached"], true);
}

// ---- refusals that rest on what others write ----

#[test]
fn nothing_is_refused_because_of_what_somebody_else_takes_back() {
    let switch = switch_with_bridge();
    for round in 0..rounds() {
        let mut calls = [
            // It can't work, and takes the VLAN's place for a moment.
            ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "lo"})),
            ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"})),
        ];
        if round % 2 == 1 {
            calls.reverse();
        }
        let answers = at_once(&switch, calls.clone());
        for (answer, (_, arguments)) in answers.into_iter().zip(calls) {
            if arguments["name"] == "five" {
                assert_eq!(answer.ok(), json!("five"));
            } else {
                answer.failed();
            }
        }
        switch.ok("vlan-del", json!({"master": "br0", "vlan": 5}));
    }
}

// ---- kernel devices ----

#[test]
fn a_vxlan_that_is_ensured_while_it_is_deleted_is_whole_or_gone() {
    let switch = switch_with_bridge();
    let ensure = || ("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    let delete = || ("vxlan-del", json!({"vxlan": 7}));
    for round in 0..rounds() * 2 {
        switch.plugin("vxlan-ensure", ensure().1).ok();
        let mut calls = vec![ensure(), delete()];
        if round % 4 == 3 {
            calls.push(delete());
        }
        if round % 2 == 1 {
            calls.reverse();
        }
        for (answer, (command, _)) in at_once(&switch, calls.clone()).into_iter().zip(calls) {
            match command {
                "vxlan-ensure" if answer.exit == Some(0) => assert_eq!(answer.ok(), json!("vxlbr7")),
                // It lost the race too late to begin again.
                "vxlan-ensure" => {
                    let message = answer.failed();
                    assert!(message.contains("went away while it was carried out"), "{message}");
                }
                _ if answer.exit == Some(0) => assert_eq!(answer.ok(), json!("vxlbr7")),
                _ => {
                    let message = answer.failed();
                    assert!(message.contains("has neither a bridge nor a device"), "{message}");
                }
            }
        }
        assert_whole_or_gone(&switch);
    }
}

#[test]
fn who_deletes_a_vxlan_together_with_others_is_told_that_it_is_gone() {
    let switch = switch_with_bridge();
    for _ in 0..rounds() * 2 {
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
        let answers = at_once(&switch, (0..3).map(|_| ("vxlan-del", json!({"vxlan": 7}))));
        assert!(answers.iter().any(|answer| answer.exit == Some(0)), "{answers:#?}");
        for answer in answers.into_iter().filter(|answer| answer.exit != Some(0)) {
            let message = answer.failed();
            assert!(message.contains("has neither a bridge nor a device"), "{message}");
        }
        assert!(!switch.net.has_link("vtep7") && !has(&switch, "Bridge", "vxlbr7"));
    }
}

/// Neither of them has made it.
#[test]
fn a_vtep_that_was_there_before_outlives_those_who_fail() {
    let switch = switch_with_bridge();
    switch.ok("vtep-ensure", json!({"bridge": "br0", "vnid": 7}));
    for answer in at_once(&switch, (0..2).map(|_| ("vxlan-ensure", json!({"master": "br0", "vxlan": 7, "name": "lo"}))))
    {
        answer.failed();
    }
    assert!(switch.net.has_link("vtep7"));
}

#[test]
fn a_vxlan_that_is_deleted_while_ovs_vswitchd_is_away_leaves_no_device() {
    for force in [false, true] {
        let switch = switch_with_bridge();
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
        switch.pause_vswitchd();
        let call = switch.prepare("vxlan-del", json!({"vxlan": 7, "force": force})).env("OVS_PLUGIN_TIMEOUT", "2");
        let message = call.run().failed();
        assert!(message.contains("has not applied it"), "{message}");
        assert!(!switch.net.has_link("vtep7"));
        switch.resume_vswitchd();
        assert_whole_or_gone(&switch);
    }
}

/// A proxy that does this to the first transaction that writes, or to the answer to it.
fn proxy(switch: &Switch, fate: Fate, answer: bool) -> Proxy {
    let (sent, done) = (AtomicBool::new(false), AtomicBool::new(false));
    Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), move |from, message| {
        let is_request = from == From::Client && is_write(message);
        let is_victim = match answer {
            false => is_request,
            true => from == From::Server && sent.load(Ordering::SeqCst) && message["result"].is_array(),
        };
        sent.fetch_or(is_request, Ordering::SeqCst);
        if is_victim && !done.swap(true, Ordering::SeqCst) { fate } else { Fate::Pass }
    })
}

#[test]
fn a_vxlan_whose_end_is_unknown_has_a_device_exactly_if_something_refers_to_it() {
    for (command, fate, answer) in [
        ("vxlan-ensure", Fate::Cut, false),
        ("vxlan-ensure", Fate::Cut, true),
        ("vxlan-ensure", Fate::Lose, false),
        ("vxlan-del", Fate::Cut, false),
        ("vxlan-del", Fate::Cut, true),
    ] {
        let switch = switch_with_bridge();
        let arguments = json!({"master": "br0", "vxlan": 7});
        if command == "vxlan-del" {
            switch.ok("vxlan-ensure", arguments.clone());
        }
        let proxy = proxy(&switch, fate, answer);
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", proxy.remote());
        let message = call.env("OVS_PLUGIN_TIMEOUT", "3").run().failed();
        assert!(message.contains("it is unknown whether"), "{command}: {message}");
        assert_whole_or_gone(&switch);
    }
}

#[test]
fn a_device_that_is_left_because_the_database_is_gone_is_named() {
    let switch = switch_with_bridge();
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    switch.pause_vswitchd();
    let call = switch.prepare("vxlan-del", json!({"vxlan": 7})).env("OVS_PLUGIN_TIMEOUT", "3").spawn();
    assert!(wait_until(LIMIT, || !has(&switch, "Bridge", "vxlbr7")));
    switch.stop_database();
    let message = call.wait().failed();
    assert!(message.contains("the network device vtep7 is left"), "{message}");
    switch.start_database();
    switch.resume_vswitchd();
    // The next one of that network deletes it.
    assert_eq!(switch.ok("vxlan-del", json!({"vxlan": 7})), "vxlbr7");
    assert_whole_or_gone(&switch);
}

#[test]
fn what_a_killed_ensure_or_del_of_a_vxlan_leaves_is_put_right_by_the_next() {
    let switch = switch_with_bridge();
    for moment in (1..12).step_by(2) {
        for (first, next) in [("vxlan-ensure", "vxlan-del"), ("vxlan-del", "vxlan-del"), ("vxlan-del", "vxlan-ensure")]
        {
            let arguments = json!({"master": "br0", "vxlan": 7});
            if first == "vxlan-del" {
                switch.ok("vxlan-ensure", arguments.clone());
            }
            let running = switch.prepare(first, arguments.clone()).spawn();
            thread::sleep(Duration::from_millis(moment));
            running.signal(Signal::SIGKILL);
            running.wait();
            switch.plugin(next, arguments.clone());
            assert_whole_or_gone(&switch);
            switch.plugin("vxlan-del", arguments);
        }
    }
}

// ---- whose device it is ----

#[test]
fn only_a_vxlan_device_of_that_very_name_and_vni_is_deleted_or_used() {
    let switch = switch_with_bridge();
    let net = &switch.net;
    net.run(&["ip", "link", "add", "vtep5", "type", "vxlan", "id", "999", "dstport", "4789"]);
    net.run(&["ip", "link", "add", "foo", "type", "vxlan", "id", "6", "dstport", "4789"]);
    net.run(&["ip", "link", "property", "add", "dev", "foo", "altname", "vtep6"]);
    for (vni, device, words) in [(5, "vtep5", "VNI 999"), (6, "foo", "another name of the network device foo")] {
        for (command, arguments) in [
            ("vtep-del", json!({"vnid": vni})),
            ("vtep-ensure", json!({"bridge": "br0", "vnid": vni})),
            ("vxlan-ensure", json!({"master": "br0", "vxlan": vni})),
        ] {
            let message = switch.refused(command, arguments);
            assert!(message.contains(words), "{command}: {message}");
        }
        let message = switch.refused("vxlan-del", json!({"vxlan": vni}));
        assert!(message.contains("neither a bridge nor a device"), "{message}");
        assert!(switch.net.has_link(device));
    }
}
