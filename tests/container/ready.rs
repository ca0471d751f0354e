//! `ovs-plugin wait-ready` tells honestly, and writes nothing.

use nix::sys::signal::Signal;

use crate::place::{Place, said};
use crate::start::Started;
use crate::support::Switch;

fn wait_ready(place: &Place, seconds: &str) -> Result<String, String> {
    said(&mut place.plugin(&["wait-ready", "--timeout", seconds]))
}

#[test]
fn without_a_database_it_names_the_socket() {
    let place = Place::new();
    let said = wait_ready(&place, "0.3").unwrap_err();
    assert!(said.contains(&place.run().join("db.sock").display().to_string()), "{said}");
    assert!(place.files().is_empty(), "{:?}", place.files().keys());
}

#[test]
fn without_ovs_vswitchd_it_says_so() {
    for builder in [Switch::builder().without_vswitchd(), Switch::builder().empty_database().without_vswitchd()] {
        let switch = builder.start();
        let call = switch.call().arg("wait-ready").arg("--timeout").arg("3");
        let answer = switch.unchanged_by(|| call.run());
        assert_eq!(answer.exit, Some(1), "{answer:?}");
        assert!(answer.stderr.contains("vswitchd"), "{}", answer.stderr);
    }
}

#[test]
fn it_returns_once_everything_answers_and_writes_nothing() {
    let started = Started::ready(Place::new());
    let before = started.place.database_bytes();
    for _ in 0..5 {
        wait_ready(&started.place, "10").unwrap();
    }
    assert!(started.place.database_bytes() == before, "the database has been written");
}

#[test]
fn an_ovs_vswitchd_that_hangs_is_not_ready_whatever_the_database_says_of_it() {
    let started = Started::ready(Place::new());
    let daemon = started.pid_of("ovs-vswitchd");
    started.signal(daemon, Signal::SIGSTOP);
    let said = wait_ready(&started.place, "3").unwrap_err();
    assert!(said.contains("ovs-vswitchd does not answer on") && said.contains(".ctl"), "{said}");
    started.signal(daemon, Signal::SIGCONT);
    wait_ready(&started.place, "30").unwrap();
}

#[test]
fn an_ovs_vswitchd_that_has_been_stopped_is_not_ready_although_the_database_is_up_to_date() {
    let switch = Switch::new();
    let wait_ready = || switch.call().arg("wait-ready").arg("--timeout").arg("3").run();
    assert_eq!(wait_ready().exit, Some(0));
    switch.stop_vswitchd();
    let answer = wait_ready();
    assert!(answer.exit == Some(1) && answer.stderr.contains("ovs-vswitchd does not run"), "{answer:?}");
}

#[test]
fn an_ovsdb_server_that_hangs_is_not_ready() {
    let started = Started::ready(Place::new());
    let daemon = started.pid_of("ovsdb-server");
    started.signal(daemon, Signal::SIGSTOP);
    let said = wait_ready(&started.place, "3").unwrap_err();
    assert!(said.contains("waiting for the database to answer"), "{said}");
    started.signal(daemon, Signal::SIGCONT);
    wait_ready(&started.place, "30").unwrap();
}
