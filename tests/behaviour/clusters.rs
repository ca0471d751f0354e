//! Databases with several servers: which of them a command believes and writes to.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::cluster::{Cluster, Server, call};
use crate::support::proxy::{From, Proxy, is_write};
use crate::support::{Switch, wait_until};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

fn skipped() -> bool {
    if Switch::database_is_in_docker() {
        println!("skipped: the image's ovsdb-server is started for single databases only");
    }
    Switch::database_is_in_docker()
}

#[test]
fn a_member_that_is_cut_off_is_passed_over_by_every_command() {
    if skipped() {
        return;
    }
    let cluster = Cluster::new(3);
    let (leader, followers) = cluster.by_leadership();
    let all = [leader, followers[0], followers[1]];
    cluster.plugin(&all, "bridge-add", json!({"bridge": "br0"})).ok();
    cluster.plugin(&all, "vlan-ensure", json!({"master": "br0", "vlan": 5})).ok();
    leader.cut_off();
    // The member that is cut off still has the VLAN's bridge.
    cluster.plugin(&followers, "vlan-del", json!({"master": "br0", "vlan": 5})).ok();

    assert_eq!(cluster.plugin(&all, "bridge-list", json!({})).ok(), json!(["br0"]));
    let shown = cluster.plugin(&all, "show", json!({})).ok();
    assert_eq!(shown["bridges"].as_array().map(Vec::len), Some(1), "{shown:#}");
    let again = cluster.plugin(&all, "vlan-ensure", json!({"master": "br0", "vlan": 5, "report": true})).ok();
    assert_eq!((&again["result"], &again["changed"]), (&json!("vlbr5"), &json!(true)), "{again:#}");
    // The first thing that it sends is a change.
    cluster.plugin(&all, "bridge-add", json!({"bridge": "br1"})).ok();
    assert_eq!(cluster.plugin(&followers, "bridge-list", json!({})).ok(), json!(["br0", "br1", "vlbr5"]));
    let ready = cluster.call(&all).args(&["wait-ready", "--timeout", "30"]).run();
    assert_eq!(ready.exit, Some(0), "{ready:?}");
    // It sees the bridges that are there now.
    cluster.plugin(&all, "bridge-del", json!({"bridge": "br1"})).ok();
    let found = cluster.plugin(&all, "doctor", json!({})).ok();
    assert!(found["findings"].is_array() && !found.to_string().contains("br1"), "{found:#}");
}

#[test]
fn a_member_that_is_cut_off_and_alone_is_told_as_such() {
    if skipped() {
        return;
    }
    let cluster = Cluster::new(3);
    let (leader, _) = cluster.by_leadership();
    leader.cut_off();
    for (command, arguments) in [
        ("bridge-list", json!({})),
        ("show", json!({})),
        ("doctor", json!({})),
        ("bridge-add", json!({"bridge": "br0"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
    ] {
        let call = cluster.call(&[leader]).arg(command).arg(arguments.to_string()).env("OVS_PLUGIN_TIMEOUT", "1");
        let message = call.run().failed();
        assert!(message.contains("the server is not connected to its cluster"), "{command}: {message}");
        assert!(message.contains("deadline of 1 s passed; nothing was changed"), "{command}: {message}");
    }
    let ready = cluster.call(&[leader]).args(&["wait-ready", "--timeout", "1"]).run();
    assert!(ready.exit == Some(1) && ready.stderr.contains("not connected to its cluster"), "{ready:?}");
}

#[test]
fn of_several_members_the_leader_is_used_and_a_follower_where_there_is_no_other() {
    if skipped() {
        return;
    }
    let cluster = Cluster::new(3);
    let (leader, followers) = cluster.by_leadership();
    let directory = crate::support::scratch_directory();
    let overheard = Proxy::new(&directory.join("proxy.sock"), followers[0].database.socket());
    let remotes = format!("{},{}", overheard.remote(), leader.remote());
    let asked = |command: &str, arguments: serde_json::Value| {
        call(&cluster.net, &directory, &remotes).arg(command).arg(arguments.to_string()).run().ok()
    };
    asked("bridge-add", json!({"bridge": "br0"}));
    asked("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let writes =
        overheard.take().iter().filter(|passed| passed.from == From::Client && is_write(&passed.message)).count();
    assert_eq!(writes, 0, "the follower was asked for its place only");
    // Nobody else is listed, or all of them follow.
    cluster.plugin(&followers[..1], "vlan-ensure", json!({"master": "br0", "vlan": 6})).ok();
    cluster.plugin(&followers, "vlan-ensure", json!({"master": "br0", "vlan": 7})).ok();
    assert_eq!(cluster.plugin(&[leader], "bridge-list", json!({})).ok(), json!(["br0", "vlbr5", "vlbr6", "vlbr7"]));
}

#[test]
fn a_leader_that_dies_is_followed_by_the_next_one() {
    if skipped() {
        return;
    }
    let mut cluster = Cluster::new(3);
    let leader = cluster.members.iter().position(|member| member.is(true, true)).unwrap();
    cluster.members[leader].kill();
    let all: Vec<&Server> = cluster.members.iter().collect();
    cluster.plugin(&all, "bridge-add", json!({"bridge": "br0"})).ok();
    assert_eq!(cluster.plugin(&all, "bridge-list", json!({})).ok(), json!(["br0"]));
}

#[test]
fn a_member_that_has_not_joined_yet_is_passed_over_or_waited_for() {
    if skipped() {
        return;
    }
    let cluster = Cluster::new(1);
    let first = &cluster.members[0];
    let never = Server::that_never_joins();
    cluster.plugin(&[&never, first], "bridge-add", json!({"bridge": "br0"})).ok();
    assert_eq!(cluster.plugin(&[&never, first], "bridge-list", json!({})).ok(), json!(["br0"]));
    let alone = cluster.call(&[&never]).arg("bridge-list").arg("{}").env("OVS_PLUGIN_TIMEOUT", "1").run().failed();
    assert!(alone.contains("the server is not connected to its cluster"), "{alone}");

    first.signal(Signal::SIGSTOP);
    let joining = Server::joining(first);
    let mut waiting = cluster.call(&[&joining]).arg("bridge-list").arg("{}").env("OVS_PLUGIN_TIMEOUT", "600").spawn();
    assert!(!wait_until(std::time::Duration::from_millis(300), || waiting.has_ended()));
    first.signal(Signal::SIGCONT);
    assert_eq!(waiting.wait().ok(), json!(["br0"]));
}

#[test]
fn a_server_without_the_database_is_passed_over_or_waited_for() {
    if skipped() {
        return;
    }
    let switch = Switch::new();
    let without = Server::without_database();
    let remotes = format!("{},{}", without.remote(), switch.remote());
    for (command, arguments) in [("bridge-add", json!({"bridge": "br0"})), ("bridge-list", json!({}))] {
        switch.prepare(command, arguments).env("OVS_PLUGIN_DB", &remotes).run().ok();
    }
    for (command, arguments) in [
        ("bridge-list", json!({})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"stp_enable": true}})),
    ] {
        let call = switch.prepare(command, arguments).env("OVS_PLUGIN_DB", without.remote());
        let message = call.env("OVS_PLUGIN_TIMEOUT", "1").run().failed();
        assert!(message.contains("the server has no database Open_vSwitch"), "{message}");
        assert!(message.len() < 300, "{message}");
    }
}

#[test]
fn a_relay_is_used_while_it_has_its_source_and_only_if_there_is_nothing_better() {
    if skipped() {
        return;
    }
    let switch = Switch::new();
    let relay = Server::relay_of(&switch.remote());
    assert!(wait_until(LIMIT, || relay.is(true, false)));
    let through_relay = |command: &str, arguments: serde_json::Value| {
        switch.prepare(command, arguments).env("OVS_PLUGIN_DB", relay.remote())
    };
    through_relay("bridge-add", json!({"bridge": "br0"})).run().ok();
    through_relay("vlan-ensure", json!({"master": "br0", "vlan": 5})).run().ok();
    // What was committed elsewhere just before is known.
    for number in 10..20 {
        switch.vsctl(&["--no-wait", "add-br", &format!("new{number}")]);
        let bridges = through_relay("bridge-list", json!({})).run().ok();
        assert!(bridges.as_array().unwrap().contains(&json!(format!("new{number}"))), "{bridges}");
    }
    let overheard = Proxy::new(&switch.directory().join("proxy.sock"), relay.database.socket());
    let both = format!("{},{}", overheard.remote(), switch.remote());
    switch.prepare("vlan-ensure", json!({"master": "br0", "vlan": 6})).env("OVS_PLUGIN_DB", &both).run().ok();
    let asked = overheard.take();
    let databases: Vec<_> = asked.iter().filter(|passed| is_write(&passed.message)).collect();
    assert!(databases.is_empty(), "{databases:?}");

    switch.stop_database();
    // The relay goes on saying for half a minute that it is connected.
    for (command, arguments) in [("bridge-list", json!({})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))] {
        let message = through_relay(command, arguments).env("OVS_PLUGIN_TIMEOUT", "1").run().failed();
        assert!(message.contains("the relay is not connected to its source"), "{message}");
        assert!(message.contains("nothing was changed"), "{message}");
    }
}
