//! Commands over a hub: they answer and do what the program does when it runs one of them, on real switches.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ovs_plugin::commands;
use ovs_plugin::deadline::Deadline;
use ovs_plugin::error::{Committed, Error};
use ovs_plugin::settings::{self, Settings};
use ovs_plugin::vswitch::run::{self, Body, Mode, Verify, Working};
use ovs_plugin::vswitch::{Hub, Session, Unit};
use ovsdb::replica::Phase;
use serde_json::{Value, json};
use support::{Switch, is_root};

/// A hub of a switch, and what its commands are given.
#[derive(Clone)]
struct Commands {
    hub: Arc<Hub>,
    settings: Settings,
}

impl Commands {
    fn new(switch: &Switch, seconds: &str) -> Commands {
        let settings = Settings::read(|name| match name {
            settings::DB => Some(switch.remote()),
            settings::DATAPATH_TYPE => Some("netdev".into()),
            settings::TIMEOUT => Some(seconds.to_owned()),
            _ => None,
        });
        let settings = settings.unwrap();
        Commands { hub: Hub::start(&settings), settings }
    }

    async fn call(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        let (deadline, _stop) = Deadline::after(self.settings.timeout);
        let mut session = Session::over(self.hub.clone(), self.settings.clone(), deadline);
        commands::find(command).unwrap().execute(&arguments.to_string(), &mut session).await
    }

    async fn ok(&self, command: &str, arguments: Value) -> Value {
        self.call(command, arguments.clone()).await.unwrap_or_else(|error| panic!("{command} {arguments}: {error}"))
    }
}

/// Runs in the switch's network namespace, on a thread of its own, as kernel devices belong to it.
fn in_namespace<T, F>(switch: &Switch, work: impl FnOnce() -> F + Send) -> T
where
    T: Send,
    F: Future<Output = T>,
{
    std::thread::scope(|scope| {
        let run = || {
            if is_root() {
                switch.net.enter();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, work())
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What is asked for, one after the other; some of it is refused.
fn script() -> Vec<(&'static str, Value)> {
    let mut script = vec![
        ("bridge-add", json!({"bridge": "backplane"})),
        ("bridge-add", json!({"bridge": "backplane"})),
        ("bridge-add", json!({"bridge": "plain", "options": {"other_config:hwaddr": "52:54:00:00:00:01"}})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 2314, "report": true, "dry_run": true})),
        ("vlan-ensure", json!({"master": "nobody", "vlan": 5})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 5000})),
        ("port-add", json!({"bridge": "backplane", "port": "e1", "vlan": 7})),
        ("port-add", json!({"bridge": "backplane", "port": "e1"})),
        ("port-add", json!({"bridge": "plain", "port": "backplane"})),
        ("port-add", json!({"bridge": "plain", "port": "nodev"})),
        ("port-add", json!({"bridge": "nobody", "port": "e2"})),
        ("port-set", json!({"port": "e1", "vlan": 9})),
        ("port-list", json!({"bridge": "backplane"})),
        ("bond-add", json!({"bridge": "plain", "port": "bond0", "links": ["e2", "e3"]})),
        ("bond-member-del", json!({"port": "bond0", "link": "e3"})),
        ("set", json!({"table": "bridge", "record": "plain", "values": {"other_config:a": "b"}})),
        ("set", json!({"table": "bridge", "record": "plain", "values": {"nothing": "b"}})),
        ("port-del", json!({"port": "e1", "bridge": "plain"})),
        ("port-del", json!({"port": "e1"})),
        ("port-del", json!({"port": "e1"})),
        ("bridge-list", json!({})),
        ("vlan-del", json!({"master": "backplane", "vlan": 2313})),
    ];
    if is_root() {
        script.extend([
            ("vlan-ensure", json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"})),
            ("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001})),
            ("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001})),
            ("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 0})),
            ("vxlan-del", json!({"vxlan": 10001})),
        ]);
    }
    script.extend([
        ("bridge-del", json!({"bridge": "plain"})),
        ("bridge-del", json!({"bridge": "plain"})),
        ("bridge-del", json!({"bridge": "backplane"})),
    ]);
    script
}

fn switch_with_devices() -> Switch {
    Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start()
}

#[test]
fn commands_over_a_hub_answer_and_do_what_single_ones_do() {
    let (single, shared) = (switch_with_devices(), switch_with_devices());
    in_namespace(&shared, || async {
        let commands = Commands::new(&shared, "30");
        for (command, arguments) in script() {
            let answer = single.plugin(command, arguments.clone());
            let expected = answer.result.clone().ok_or_else(|| answer.error.clone().unwrap());
            let got = commands.call(command, arguments.clone()).await.map_err(|error| error.to_string());
            assert_eq!(got, expected, "{command} {arguments}");
            let (is, should) = (shared.state(), single.state());
            let difference = support::difference(&should, &is);
            assert!(is == should, "after {command} {arguments}:\n{difference}");
        }
    });
}

#[test]
fn commands_that_run_at_once_all_do_their_part() {
    let switch = Switch::new();
    in_namespace(&switch, || async {
        let commands = Commands::new(&switch, "30");
        commands.ok("bridge-add", json!({"bridge": "backplane"})).await;
        // Each VLAN is asked for by four, so most of them lose a race.
        let calls = (0..40u32).map(|number| {
            let commands = commands.clone();
            tokio::task::spawn_local(async move {
                commands.ok("vlan-ensure", json!({"master": "backplane", "vlan": 100 + number % 10})).await
            })
        });
        for (number, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(call.await.unwrap(), json!(format!("vlbr{}", 100 + number % 10)));
        }
        assert_eq!(switch.database.rows("Bridge").len(), 11);
        // Nothing is left to be done.
        let before = switch.dump();
        for vlan in 100..110 {
            commands.ok("vlan-ensure", json!({"master": "backplane", "vlan": vlan})).await;
        }
        assert_eq!(switch.dump(), before);
    });
}

#[test]
fn what_somebody_else_has_just_committed_is_known() {
    let switch = Switch::new();
    in_namespace(&switch, || async {
        let commands = Commands::new(&switch, "30");
        for round in 0..30 {
            let name = format!("br{round}");
            let add = ["add-br", &name, "--", "set", "bridge", &name, "datapath_type=netdev"];
            switch.vsctl(&[&["--no-wait"], &add[..]].concat());
            assert_eq!(commands.ok("bridge-list", json!({})).await, json!([name]));
            let refused = commands.call("bridge-add", json!({"bridge": name})).await.unwrap_err();
            assert!(matches!(refused, Error::Exists(_)), "{refused}");
            switch.vsctl(&["--no-wait", "del-br", &name]);
            assert_eq!(commands.ok("bridge-list", json!({})).await, json!([]));
            let refused = commands.call("bridge-del", json!({"bridge": name})).await.unwrap_err();
            assert!(matches!(refused, Error::NotFound(_)), "{refused}");
        }
    });
}

#[test]
fn while_ovs_vswitchd_is_paused_a_change_is_committed_and_not_confirmed() {
    let switch = Switch::new();
    in_namespace(&switch, || async {
        let commands = Commands::new(&switch, "1");
        commands.ok("bridge-add", json!({"bridge": "br0"})).await;
        switch.pause_vswitchd();
        let error = commands.call("bridge-add", json!({"bridge": "br1"})).await.unwrap_err();
        assert!(matches!(error, Error::NotApplied { .. }), "{error}");
        assert_eq!(switch.database.rows("Bridge").len(), 2);
        // What needs nothing waits for nothing.
        commands.ok("bridge-list", json!({})).await;
        switch.resume_vswitchd();
        commands.ok("vlan-ensure", json!({"master": "br1", "vlan": 5})).await;
    });
}

#[test]
fn a_restart_of_the_database_is_waited_for() {
    let switch = Switch::new();
    in_namespace(&switch, || async {
        let commands = Commands::new(&switch, "30");
        commands.ok("bridge-add", json!({"bridge": "br0"})).await;
        switch.stop_database();
        let mut state = commands.hub.replica().state();
        state.wait_for(|state| state.phase == Phase::Connecting).await.unwrap();
        let waiting = {
            let commands = commands.clone();
            tokio::task::spawn_local(
                async move { commands.ok("vlan-ensure", json!({"master": "br0", "vlan": 5})).await },
            )
        };
        // It has begun, and finds nobody.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        switch.start_database();
        assert_eq!(waiting.await.unwrap(), json!("vlbr5"));
    });
}

#[test]
fn without_a_database_a_command_says_so_and_nothing_has_happened() {
    let switch = Switch::builder().without_database().start();
    in_namespace(&switch, || async {
        let commands = Commands::new(&switch, "0.3");
        let error = commands.call("bridge-add", json!({"bridge": "br0"})).await.unwrap_err();
        assert_eq!(error.committed(), Committed::No);
        let text = error.to_string();
        assert!(text.starts_with(&format!("not connected to the database {}", switch.remote())), "{text}");
        assert!(text.contains("the deadline of 0.3 s passed"), "{text}");
    });
}

#[test]
fn while_the_database_is_restarted_again_and_again_every_answer_is_true() {
    // Nobody confirms a change, so a command that gets that far says after its deadline that it is committed.
    let switch = Switch::builder().without_vswitchd().start();
    let is_over = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                // At another moment each time.
                std::thread::sleep(Duration::from_millis(40 + round * 37 % 100));
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                switch.stop_database();
                switch.start_database();
            }
        });
        let outcomes = in_namespace(&switch, || async {
            let commands = Commands::new(&switch, "0.6");
            let mut outcomes =
                vec![("backplane".into(), commands.call("bridge-add", json!({"bridge": "backplane"})).await)];
            for round in 0..8 {
                let calls: Vec<_> = (0..40)
                    .map(|number| {
                        let commands = commands.clone();
                        tokio::task::spawn_local(async move {
                            tokio::time::sleep(Duration::from_millis(number * 5)).await;
                            let name = format!("br{}", round * 40 + number);
                            let outcome = commands.call("bridge-add", json!({"bridge": name})).await;
                            (name, outcome)
                        })
                    })
                    .collect();
                for call in calls {
                    outcomes.push(call.await.unwrap());
                }
            }
            outcomes
        });
        is_over.store(true, Ordering::Relaxed);
        outcomes
    });
    let bridges: Vec<Value> = switch.database.rows("Bridge").iter().map(|row| row["name"].clone()).collect();
    let mut committed = 0;
    for (name, outcome) in outcomes {
        let is_there = bridges.contains(&json!(name));
        match outcome.as_ref().map_err(Error::committed) {
            Ok(_) | Err(Committed::Yes) => {
                committed += 1;
                assert!(is_there, "{name}: {outcome:?}");
            }
            Err(Committed::No) => assert!(!is_there, "{name}: {outcome:?}"),
            Err(Committed::Unknown) => {}
        }
    }
    assert!(committed > 0, "not one got through");
}

/// A command that asks for devices to be up, and changes nothing.
struct AsksUp(&'static str);

impl Body for AsksUp {
    fn run<'a>(&'a self, unit: &'a mut Unit<'_>) -> Working<'a> {
        unit.expect_up(self.0);
        Box::pin(std::future::ready(Ok(Value::Null)))
    }
}

#[test]
fn a_device_that_was_asked_to_be_up_and_is_not_is_told_and_with_strict_verification_an_error() {
    if !is_root() {
        println!("skipped: only root can enter a network namespace");
        return;
    }
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.net.run(&["ip", "link", "set", "e2", "down"]);
    in_namespace(&switch, async || {
        let commands = Commands::new(&switch, "30");
        for (device, problem) in [("e1", None), ("e2", Some("it is down")), ("e3", Some("there is no such device"))] {
            for verify in [Verify::No, Verify::Yes, Verify::Strict] {
                let (deadline, _stop) = Deadline::after(commands.settings.timeout);
                let mut session = Session::over(commands.hub.clone(), commands.settings.clone(), deadline);
                let mode = Mode { dry_run: false, report: true, verify, durable: false };
                let told = match run::run(&mut session, "test", "test", mode, &AsksUp(device)).await {
                    Ok(report) if verify != Verify::Strict || problem.is_none() => report.notes.join("; "),
                    Err(error @ Error::Interface { .. }) if verify == Verify::Strict => error.to_string(),
                    other => panic!("{device} {verify:?}: {other:?}"),
                };
                match problem.filter(|_| verify != Verify::No) {
                    Some(problem) => assert!(told.contains(device) && told.contains(problem), "{verify:?}: {told}"),
                    None => assert_eq!(told, "", "{device} {verify:?}"),
                }
            }
        }
    });
}
