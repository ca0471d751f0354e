//! Several processes at once: whoever asks for the same thing gets the same thing, and nothing is left half done.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::proxy::{Fate, From, Proxy};
use crate::support::{Answer, Database, Switch, wait_until};

/// Starts all commands before any has ended, and waits for all answers.
fn at_once(switch: &Switch, calls: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<Answer> {
    let running: Vec<_> = calls
        .into_iter()
        // Sixteen at once on a small machine take their time.
        .map(|(command, arguments)| switch.prepare(command, arguments).env("OVS_PLUGIN_TIMEOUT", "60"))
        .map(|call| call.limit(std::time::Duration::from_secs(90)).spawn())
        .collect();
    running.into_iter().map(|running| running.wait()).collect()
}

fn switch_with(bridges: &[&str]) -> Switch {
    let switch = Switch::new();
    for bridge in bridges {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch
}

/// Every reference in the database is accounted for: each port is on one bridge, each interface on one port, each
/// bridge has its local port, and each patch port has the peer that points back at it.
#[track_caller]
fn assert_sound(switch: &Switch) {
    let strings = |value: &Value| -> Vec<String> {
        // A set of one is written as its element.
        match value[0].as_str() {
            Some("set") => value[1].as_array().unwrap().iter().map(|uuid| uuid[1].as_str().unwrap().into()).collect(),
            _ => vec![value[1].as_str().unwrap().into()],
        }
    };
    let uuid = |row: &Value| row["_uuid"][1].as_str().unwrap().to_owned();
    let tables = ["Open_vSwitch", "Bridge", "Port", "Interface"].map(String::from);
    let tables = switch.database.snapshot(&tables).unwrap();
    for (parents, column, children) in [(0, "bridges", 1), (1, "ports", 2), (2, "interfaces", 3)] {
        let mut referred: Vec<_> = tables[parents].iter().flat_map(|row| strings(&row[column])).collect();
        let mut existing: Vec<_> = tables[children].iter().map(uuid).collect();
        referred.sort();
        existing.sort();
        assert_eq!(referred, existing, "{column}");
    }
    for bridge in &tables[1] {
        let ports = strings(&bridge["ports"]);
        let is_local = |port: &&Value| ports.contains(&uuid(port)) && port["name"] == bridge["name"];
        assert!(tables[2].iter().any(|port| is_local(&port)), "{} has no local port", bridge["name"]);
    }
    let option = |row: &Value, key: &str| {
        let pairs = row["options"][1].as_array().unwrap();
        pairs.iter().find(|pair| pair[0] == key).map(|pair| pair[1].clone())
    };
    for patch in tables[3].iter().filter(|row| row["type"] == "patch") {
        let peer = option(patch, "peer").unwrap();
        let other = tables[3].iter().find(|row| row["name"] == peer);
        let other = other.unwrap_or_else(|| panic!("the peer {peer} of {} does not exist", patch["name"]));
        assert_eq!(option(other, "peer").unwrap(), patch["name"]);
    }
}

/// What a VLAN's bridge looks like when nothing went wrong.
#[track_caller]
fn assert_vlan(state: &Value, master: &str, vlan: u16, bridge: &str) {
    let outer = &state["bridges"][master]["ports"][format!("vlbr{vlan}p")];
    let inner_name = format!("vlbr{vlan}in");
    assert_eq!(outer["tag"], if vlan == 0 { Value::Null } else { json!(vlan) }, "{state:#}");
    let peer = &outer["interfaces"][format!("vlbr{vlan}p")]["options"]["peer"];
    assert_eq!(*peer, json!(inner_name), "{state:#}");
    let ports = state["bridges"][bridge]["ports"].as_object().unwrap();
    assert_eq!(ports.keys().collect::<Vec<_>>(), [bridge, &inner_name], "{state:#}");
}

#[test]
fn all_who_ask_for_the_same_vlan_get_the_same_bridge() {
    for count in [2, 16] {
        let switch = switch_with(&["br0"]);
        for (vlan, name) in [(5, None), (6, Some("six"))] {
            let arguments = json!({"master": "br0", "vlan": vlan, "name": name});
            let bridge = name.map_or_else(|| format!("vlbr{vlan}"), str::to_owned);
            for answer in at_once(&switch, (0..count).map(|_| ("vlan-ensure", arguments.clone()))) {
                assert_eq!(answer.ok(), json!(bridge));
            }
            assert_vlan(&switch.state(), "br0", vlan, &bridge);
            assert_sound(&switch);
            switch.unchanged_by(|| switch.ok("vlan-ensure", arguments));
        }
        assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0", "six", "vlbr5"]));
    }
}

#[test]
fn all_who_ask_for_the_same_vxlan_get_the_same_bridge() {
    for count in [2, 16] {
        let switch = switch_with(&["br0"]);
        let arguments = json!({"master": "br0", "vxlan": 10001});
        for answer in at_once(&switch, (0..count).map(|_| ("vxlan-ensure", arguments.clone()))) {
            assert_eq!(answer.ok(), json!("vxlbr10001"));
        }
        let state = switch.state();
        let ports = state["bridges"]["vxlbr10001"]["ports"].as_object().unwrap();
        assert_eq!(ports.keys().collect::<Vec<_>>(), ["vtep10001", "vxlbr10001"], "{state:#}");
        assert_sound(&switch);
        assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0", "vxlbr10001"]));
        switch.unchanged_by(|| switch.ok("vxlan-ensure", arguments));
    }
}

#[test]
fn what_others_do_between_two_looks_is_no_reason_to_refuse() {
    let switch = switch_with(&["br0"]);
    let other = Database::new(switch.database.socket().to_owned());
    let requests = AtomicUsize::new(0);
    let proxy = Proxy::with(&switch.directory().join("p.sock"), switch.database.socket(), move |from, _| {
        // After the plugin has seen that there is no such bridge, and before it looks for such an interface.
        if from == From::Client && requests.fetch_add(1, Ordering::SeqCst) == 1 {
            other.transact(&[
                json!({"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "net", "type": "internal"}}),
                json!({"op": "insert", "table": "Port", "uuid-name": "p", "row": {
                    "name": "net", "interfaces": ["named-uuid", "i"]}}),
                json!({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {
                    "name": "net", "datapath_type": "netdev", "ports": ["named-uuid", "p"]}}),
                json!({"op": "mutate", "table": "Open_vSwitch", "where": [],
                    "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}),
            ]);
        }
        Fate::Pass
    });
    // A dry run looks at once for whoever may have the name.
    let arguments = json!({"master": "br0", "vlan": 5, "name": "net", "dry_run": true});
    let answer = switch.prepare("vlan-ensure", arguments).env("OVS_PLUGIN_DB", proxy.remote()).run();
    assert_eq!(answer.ok()["result"], "net");
}

#[test]
fn all_who_ask_for_the_same_vtep_get_the_same_device() {
    let switch = switch_with(&["br0"]);
    for answer in at_once(&switch, (0..16).map(|_| ("vtep-ensure", json!({"bridge": "br0", "vnid": 7})))) {
        assert_eq!(answer.ok(), json!("vtep7"));
    }
    assert!(switch.net.has_link("vtep7"));
}

#[test]
fn different_vlans_and_vxlans_at_once_all_come_to_be() {
    for count in [2, 16] {
        let switch = switch_with(&["br0"]);
        let calls = (1..=count).map(|number| match number % 2 {
            0 => ("vlan-ensure", json!({"master": "br0", "vlan": number})),
            _ => ("vxlan-ensure", json!({"master": "br0", "vxlan": number})),
        });
        for (answer, number) in at_once(&switch, calls.clone()).into_iter().zip(1..) {
            let kind = if number % 2 == 0 { "vlbr" } else { "vxlbr" };
            assert_eq!(answer.ok(), json!(format!("{kind}{number}")));
        }
        let state = switch.state();
        for vlan in (2..=count).step_by(2) {
            assert_vlan(&state, "br0", vlan, &format!("vlbr{vlan}"));
        }
        assert_eq!(switch.ok("bridge-list", json!({})).as_array().unwrap().len(), usize::from(count) + 1);
        assert_sound(&switch);
        switch.unchanged_by(|| calls.for_each(|(command, arguments)| drop(switch.ok(command, arguments))));
    }
}

/// VLAN 5 may be tied to one name only, and to one master only.
#[test]
fn of_those_who_want_a_vlan_under_different_names_or_masters_one_succeeds() {
    let switch = switch_with(&["br0", "br1"]);
    let names = |number: usize| ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": format!("net{number}")}));
    let masters = |number: usize| ("vlan-ensure", json!({"master": format!("br{}", number % 2), "vlan": 6}));
    for answers in [at_once(&switch, (0..8).map(names)), at_once(&switch, [masters(0), masters(1)])] {
        let succeeded = answers.iter().filter(|answer| answer.exit == Some(0)).count();
        assert_eq!(succeeded, 1, "{answers:#?}");
        for answer in answers.into_iter().filter(|answer| answer.exit != Some(0)) {
            let message = answer.failed();
            assert!(message.contains("already tied"), "{message}");
        }
    }
    assert_eq!(switch.ok("bridge-list", json!({})).as_array().unwrap().len(), 4);
    assert_sound(&switch);
}

#[test]
fn of_those_who_add_the_same_bridge_exactly_one_succeeds() {
    for count in [2, 16] {
        let switch = switch_with(&[]);
        let mut answers = at_once(&switch, (0..count).map(|_| ("bridge-add", json!({"bridge": "br0"}))));
        answers.sort_by_key(|answer| answer.exit);
        let mut answers = answers.into_iter();
        assert_eq!(answers.next().unwrap().ok(), Value::Null);
        for answer in answers {
            let message = answer.failed();
            assert!(message.contains("br0") && message.contains("already exists"), "{message}");
        }
        assert!(switch.net.has_link("br0"));
        assert_sound(&switch);
    }
}

#[test]
fn the_first_commands_on_an_empty_database_make_one_root_row() {
    let switch = Switch::builder().empty_database().start();
    let calls = (0..8).map(|number| ("bridge-add", json!({"bridge": format!("br{number}")})));
    for answer in at_once(&switch, calls) {
        answer.ok();
    }
    assert_eq!(switch.database.rows("Open_vSwitch").len(), 1);
    assert_eq!(switch.ok("bridge-list", json!({})).as_array().unwrap().len(), 8);
    assert_sound(&switch);
}

#[test]
fn ports_that_are_added_to_one_bridge_at_once_are_all_there() {
    let switch = switch_with(&["br0"]);
    let ports: Vec<_> = (0..16).map(|number| format!("e{number}")).collect();
    for port in &ports {
        switch.net.veth(port, &format!("{port}p"));
    }
    let calls =
        ports.iter().zip(100..).map(|(port, tag)| ("port-add", json!({"bridge": "br0", "port": port, "vlan": tag})));
    for answer in at_once(&switch, calls) {
        answer.ok();
    }
    let state = switch.state();
    for (port, tag) in ports.iter().zip(100..) {
        let found = &state["bridges"]["br0"]["ports"][port];
        assert_eq!((&found["tag"], &found["interfaces"][port]["attached"]), (&json!(tag), &json!(true)), "{state:#}");
    }
    for answer in at_once(&switch, ports.iter().map(|port| ("port-del", json!({"port": port})))) {
        answer.ok();
    }
    assert_eq!(switch.state()["bridges"]["br0"]["ports"].as_object().unwrap().len(), 1);
    assert_sound(&switch);
}

#[test]
fn of_those_who_add_or_delete_the_same_port_one_succeeds() {
    let switch = switch_with(&["br0", "br1"]);
    switch.net.veth("e1", "e1p");
    for _ in 0..5 {
        let add = |bridge: &str| ("port-add", json!({"bridge": bridge, "port": "e1"}));
        let answers = at_once(&switch, ["br0", "br1", "br0", "br1"].map(add));
        assert_eq!(answers.iter().filter(|answer| answer.exit == Some(0)).count(), 1, "{answers:#?}");
        for answer in answers.into_iter().filter(|answer| answer.exit != Some(0)) {
            let message = answer.failed();
            assert!(message.contains("already exists"), "{message}");
        }
        let answers = at_once(&switch, (0..4).map(|_| ("port-del", json!({"port": "e1"}))));
        assert_eq!(answers.iter().filter(|answer| answer.exit == Some(0)).count(), 1, "{answers:#?}");
        for answer in answers.into_iter().filter(|answer| answer.exit != Some(0)) {
            let message = answer.failed();
            assert!(message.contains("no port named e1"), "{message}");
        }
        assert_sound(&switch);
    }
}

/// The host agent's ports are taken over, not refused, so that both of a race may succeed; there is one in the end.
#[test]
fn a_container_port_that_is_added_several_times_at_once_is_there_once() {
    let switch = switch_with(&["br0", "br1"]);
    switch.net.veth("cont5-0", "cont5-0p");
    let add = |number: usize| ("port-add", json!({"bridge": format!("br{}", number % 2), "port": "cont5-0"}));
    for answer in at_once(&switch, (0..8).map(add)) {
        if answer.exit != Some(0) {
            let message = answer.failed();
            assert!(message.contains("cont5-0"), "{message}");
        }
    }
    assert_sound(&switch);
    let ports = switch.database.rows("Port");
    assert_eq!(ports.iter().filter(|port| port["name"] == "cont5-0").count(), 1);
}

#[test]
fn a_bridge_that_goes_while_ports_come_takes_them_along() {
    let switch = switch_with(&[]);
    switch.net.veth("e1", "e1p");
    for round in 0..8 {
        switch.ok("bridge-add", json!({"bridge": "br0"}));
        let mut calls =
            [("port-add", json!({"bridge": "br0", "port": "e1"})), ("bridge-del", json!({"bridge": "br0"}))];
        // Whoever starts first has a small lead.
        if round % 2 == 1 {
            calls.reverse();
        }
        for (answer, (command, _)) in at_once(&switch, calls.clone()).into_iter().zip(calls) {
            match command {
                "bridge-del" => assert_eq!(answer.ok(), json!("")),
                _ if answer.exit == Some(0) => {}
                _ => {
                    let message = answer.failed();
                    assert!(message.contains("no bridge named br0"), "{message}");
                }
            }
        }
        for table in ["Bridge", "Port", "Interface"] {
            assert_eq!(switch.database.rows(table), Vec::<Value>::new());
        }
        assert!(wait_until(std::time::Duration::from_secs(10), || !switch.net.has_link("br0")));
    }
}

#[test]
fn a_vlan_that_is_ensured_while_its_bridge_is_deleted_is_whole_or_gone() {
    let switch = switch_with(&["br0"]);
    for round in 0..8 {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
        let mut calls =
            [("bridge-del", json!({"bridge": "vlbr5"})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))];
        if round % 2 == 1 {
            calls.reverse();
        }
        for (answer, (command, _)) in at_once(&switch, calls.clone()).into_iter().zip(calls) {
            match command {
                "bridge-del" => assert_eq!(answer.ok(), json!("")),
                _ => assert_eq!(answer.ok(), json!("vlbr5")),
            }
        }
        assert_sound(&switch);
        let state = switch.state();
        if state["bridges"]["vlbr5"].is_null() {
            assert_eq!(state["bridges"]["br0"]["ports"].as_object().unwrap().len(), 1, "{state:#}");
        } else {
            assert_vlan(&state, "br0", 5, "vlbr5");
        }
    }
}

#[test]
fn a_master_that_goes_while_a_vlan_comes_leaves_no_patch_port_behind() {
    let switch = switch_with(&[]);
    for round in 0..8 {
        switch.ok("bridge-add", json!({"bridge": "br0"}));
        let mut calls =
            [("bridge-del", json!({"bridge": "br0"})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))];
        if round % 2 == 1 {
            calls.reverse();
        }
        for (answer, (command, _)) in at_once(&switch, calls.clone()).into_iter().zip(calls) {
            match command {
                "bridge-del" => assert_eq!(answer.ok(), json!("")),
                _ if answer.exit == Some(0) => assert_eq!(answer.ok(), json!("vlbr5")),
                _ => {
                    let message = answer.failed();
                    assert!(message.contains("br0") && message.contains("does not exist"), "{message}");
                }
            }
        }
        assert_sound(&switch);
        let patches = switch.database.rows("Interface").iter().filter(|row| row["type"] == "patch").count();
        assert_eq!(patches, 0);
        // The VLAN's own bridge stays, without a way out, if it came to be before its master went.
        switch.plugin("bridge-del", json!({"bridge": "vlbr5"}));
    }
}

/// The kernel may kill everything in the container at any moment; whoever comes next puts things right.
#[test]
fn what_a_killed_command_leaves_is_whole_or_is_made_whole_by_the_next() {
    let switch = switch_with(&["br0"]);
    // A run takes some milliseconds, in which each of these moments is another.
    for number in (1..=16u64).step_by(2) {
        let calls = [
            ("vlan-ensure", json!({"master": "br0", "vlan": number}), format!("vlbr{number}")),
            ("vxlan-ensure", json!({"master": "br0", "vxlan": number}), format!("vxlbr{number}")),
        ];
        for (command, arguments, bridge) in calls {
            let running = switch.prepare(command, arguments.clone()).spawn();
            std::thread::sleep(std::time::Duration::from_millis(number));
            running.signal(nix::sys::signal::Signal::SIGKILL);
            running.wait();
            assert_sound(&switch);
            assert_eq!(switch.ok(command, arguments.clone()), json!(bridge));
            assert!(switch.net.has_link(&bridge));
            switch.unchanged_by(|| switch.ok(command, arguments));
        }
        assert_sound(&switch);
        assert_vlan(&switch.state(), "br0", number.try_into().unwrap(), &format!("vlbr{number}"));
    }
}

#[test]
fn a_storm_of_everything_leaves_a_sound_switch() {
    let switch = switch_with(&["br0", "br1"]);
    for number in 0..4 {
        switch.net.veth(&format!("e{number}"), &format!("e{number}p"));
    }
    let known = ["already", "no port named", "no bridge named", "does not exist", "is tied", "has no bridge"];
    for round in 0..3 {
        let calls = (0..24usize).map(|number| {
            let master = format!("br{}", (number + round) % 2);
            let thing = number % 4;
            match (number + round) % 8 {
                0 => ("vlan-ensure", json!({"master": master, "vlan": thing})),
                1 => ("vxlan-ensure", json!({"master": "br0", "vxlan": thing + 1})),
                2 => ("port-add", json!({"bridge": master, "port": format!("e{thing}")})),
                3 => ("port-del", json!({"port": format!("e{thing}")})),
                4 => ("bridge-add", json!({"bridge": "br2"})),
                5 => ("bridge-del", json!({"bridge": "br2"})),
                6 => ("bridge-del", json!({"bridge": format!("vlbr{thing}")})),
                _ => ("set", json!({"table": "Bridge", "record": master, "values": {"external_ids:n": number}})),
            }
        });
        for answer in at_once(&switch, calls) {
            if answer.exit != Some(0) {
                let message = answer.failed();
                assert!(known.iter().any(|words| message.contains(words)), "{message}");
            }
        }
        assert_sound(&switch);
    }
    // Afterwards everything can be had, and had again.
    switch.plugin("bridge-del", json!({"bridge": "br2"}));
    for vlan in 10..14 {
        switch.ok("vlan-ensure", json!({"master": "br0", "vlan": vlan}));
        switch.unchanged_by(|| switch.ok("vlan-ensure", json!({"master": "br0", "vlan": vlan})));
    }
    for vxlan in 1..5 {
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": vxlan}));
        switch.unchanged_by(|| switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": vxlan})));
    }
    assert_sound(&switch);
}

#[test]
fn a_network_that_comes_under_another_master_between_two_looks_is_not_deleted() {
    // Whichever of the requests of vlan-del it comes before.
    for place in 0..6 {
        let switch = switch_with(&["br0", "br1"]);
        let ensure = switch.prepare("vlan-ensure", json!({"master": "br1", "vlan": 5, "name": "five"})).into_command();
        let (requests, ensure) = (AtomicUsize::new(0), std::sync::Mutex::new(ensure));
        let proxy = Proxy::with(&switch.directory().join("p.sock"), switch.database.socket(), move |from, _| {
            if from == From::Client && requests.fetch_add(1, Ordering::SeqCst) == place {
                assert!(ensure.lock().unwrap().output().unwrap().status.success());
            }
            Fate::Pass
        });
        let call = switch.prepare("vlan-del", json!({"master": "br0", "vlan": 5}));
        let message = call.env("OVS_PLUGIN_DB", proxy.remote()).run().failed();
        let is_true = ["VLAN 5 has no bridge on master br0", "VLAN 5 is tied to another master"];
        let was_too_late = ["VLAN 5 is already tied to another master"];
        assert!(is_true.iter().chain(&was_too_late).any(|words| message.contains(words)), "{place}: {message}");
        if switch.ok("bridge-list", json!({})) != json!(["br0", "br1"]) {
            assert!(switch.state()["bridges"]["five"]["ports"]["vlbr5in"].is_object(), "{place}");
        }
    }
}
