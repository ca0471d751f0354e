//! Arguments that a command does not take, values that JSON spells in another way, and the words of refusals.

use serde_json::{Value, json};

use super::support::{Switch, terminal};

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

#[test]
fn a_key_that_is_unknown_is_ignored_and_told_with_the_argument_that_was_meant() {
    let switch = switch_with_bridge();
    let call = json!({"bridge": "br0", "port": "e1", "tag": 100, "report": true});
    let answer = switch.plugin("port-add", call);
    let note = "argument \"tag\": port-add does not take it; did you mean \"vlan\"? (ignored)";
    assert!(answer.stderr.contains(note), "{}", answer.stderr);
    assert_eq!(answer.ok()["notes"][0], note);
    assert!(switch.state()["bridges"]["br0"]["ports"]["e1"]["tag"].is_null());

    for (command, arguments, meant) in [
        ("port-set", json!({"port": "e1", "vlan": 5, "trunk": [7]}), "\"trunks\""),
        ("port-set", json!({"port": "e1", "vlan": 6, "VLAN-Mode": "access"}), "\"vlan_mode\""),
        ("port-set", json!({"port": "e1", "vlan": 7, "mtu_request": 1400}), "\"mtu\""),
        ("bond-add", json!({"bridge": "br0", "port": "b", "links": ["e2", "e1-p"], "tag": 5}), "\"options\": {\"tag\""),
        ("bond-member-add", json!({"port": "b", "link": "e2-p", "interfaces": []}), "\"link\""),
        ("bridge-add", json!({"bridge": "br1", "fail-mode": "secure"}), "\"options\": {\"fail_mode\""),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "bridge": "x"}), "\"master\""),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 5, "vni": 6}), "\"vxlan\""),
        ("bridge-list", json!({"dry-run": false}), "\"dry_run\""),
        ("bridge-list", json!({"nonsense": 1}), "it takes none of its own"),
        ("vtep-del", json!({"vnid": 5, "nonsense": 1, "dry_run": true}), "expected one of vnid"),
    ] {
        let answer = switch.plugin(command, arguments.clone());
        assert!(answer.stderr.contains(meant), "{command} {arguments}: {}", answer.stderr);
        answer.ok();
    }
    // One that was given twice: the last one counts, as it did for the original.
    let answer = switch.call().args(&["port-set", r#"{"port": "e1", "VLAN": 8, "vlan": 9}"#]).run();
    assert!(answer.stderr.contains("argument \"vlan\": is given more than once"), "{}", answer.stderr);
    answer.ok();
    assert_eq!(switch.state()["bridges"]["br0"]["ports"]["e1"]["tag"], 9);
    // Also when it fails: it may be why.
    let answer = switch.plugin("port-add", json!({"brigde": "br0", "port": "e3"}));
    assert!(answer.stderr.contains("did you mean \"bridge\"?"), "{}", answer.stderr);
    assert!(answer.failed().contains("\"bridge\": is missing"));
    // What is known is not told, nor is what counts as absent.
    for arguments in [json!({"BRIDGE": "br0", "Dry_Run": true}), json!({"bridge": "br0", "tag": null})] {
        let answer = switch.plugin("port-list", arguments);
        assert_eq!(answer.stderr, "");
        answer.ok();
    }
}

#[test]
fn strict_refuses_what_is_unknown_whatever_the_command() {
    let switch = switch_with_bridge();
    for entry in ovs_plugin::commands::REGISTRY {
        let message = switch.refused(entry.name, json!({"strict": true, "nonsense": 1}));
        let expected = format!("argument \"nonsense\": {} does not take it; ", entry.name);
        assert!(message.starts_with(&expected), "{message}");
    }
    let call = json!({"bridge": "br0", "port": "e1", "tag": 5, "trunk": [7], "strict": true});
    let message = switch.refused("port-add", call);
    let words = ["argument \"tag\": port-add does not take it; did you mean \"vlan\"?", "\"trunk\"", "\"trunks\""];
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5, "strict": true}));
    assert!(switch.refused("port-del", json!({"port": "e1", "strict": "yes"})).contains("\"strict\""));
    let twice = ["port-set", r#"{"port": "e1", "VLAN": 8, "vlan": 9, "strict": true}"#];
    let message = switch.unchanged_by(|| switch.call().args(&twice).run().failed());
    assert!(message.contains("\"vlan\": is given more than once"), "{message}");
    // As a flag, which is a person's way to call it.
    let flags = ["port-del", "--strict", r#"{"port": "e1", "nonsense": 1}"#];
    let answer = switch.unchanged_by(|| switch.call().args(&flags).run());
    assert!(
        answer.exit == Some(1) && answer.stderr.contains("argument \"nonsense\": port-del does not take it"),
        "{answer:?}"
    );
}

#[test]
fn who_asks_for_a_dry_run_in_other_words_gets_no_change() {
    let switch = switch_with_bridge();
    for json in [
        r#"{"bridge": "br0", "port": "e1", "dry-run": true}"#,
        r#"{"bridge": "br0", "port": "e1", "check_mode": true}"#,
        r#"{"bridge": "br0", "port": "e1", "DryRun": 1}"#,
        r#"{"bridge": "br0", "port": "e1", "dry_run": true, "DRY_RUN": false}"#,
        r#"{"bridge": "br0", "port": "e1", "verifi": "strict"}"#,
    ] {
        let message = switch.unchanged_by(|| switch.call().args(&["port-add", json]).run().failed());
        assert!(message.contains("dry_run") || message.contains("verify"), "{json}: {message}");
    }
}

#[test]
fn numbers_mean_what_they_say_however_json_spells_them() {
    let switch = switch_with_bridge();
    let raw = |command: &str, json: &str| switch.call().arg(command).arg(json).run();
    raw("port-add", r#"{"bridge":"br0","port":"e1","vlan":1e2,"trunks":[5.0,1e1],"mtu":1.4e3}"#).ok();
    let port = &switch.state()["bridges"]["br0"]["ports"]["e1"];
    assert_eq!((&port["tag"], &port["trunks"]), (&json!(100), &json!([5, 10])));
    assert_eq!(port["interfaces"]["e1"]["mtu_request"], 1400);

    let uuids = switch.vsctl(&[
        "--",
        "--id=@q",
        "create",
        "Queue",
        "dscp=1",
        "--",
        "--id=@qos",
        "create",
        "QoS",
        "type=linux-htb",
        "queues:0=@q",
        "--",
        "set",
        "Port",
        "e1",
        "qos=@qos",
    ]);
    let queue = uuids.lines().next().unwrap().to_owned();
    let set = format!(
        r#"{{"table":"Queue","record":"{queue}","values":{{"other_config:max-rate":2.5e8,"other_config:x":0.5}}}}"#
    );
    raw("set", &set).ok();
    assert_eq!(switch.vsctl(&["get", "Queue", &queue, "other_config"]), r#"{max-rate="250000000", x="0.5"}"#);
    let set = r#"{"table":"Interface","record":"e1","values":{"mtu_request":1300.0}}"#;
    raw("set", set).ok();
    assert_eq!(switch.vsctl(&["get", "Interface", "e1", "mtu_request"]), "1300");

    for (json, words) in [
        (r#"{"port":"e1","vlan":1.5}"#, ["\"vlan\"", "1.5"]),
        (r#"{"port":"e1","trunks":[1.5]}"#, ["\"trunks\"", "1.5"]),
        (r#"{"port":"e1","other_config":{"a":9007199254740993.0}}"#, ["\"other_config\"", "string"]),
    ] {
        let message = switch.unchanged_by(|| raw("port-set", json).failed());
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn refusals_are_in_the_words_of_people() {
    let switch = switch_with_bridge();
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    for (command, arguments, words) in [
        (
            "bond-add",
            json!({"bridge": "br0", "port": "b", "links": ["e1", "e2"]}),
            "cannot create an interface named e2",
        ),
        ("bond-add", json!({"bridge": "br0", "port": "e2", "links": ["e1", "e1-p"]}), "cannot create a port named e2"),
        (
            "bond-add",
            json!({"bridge": "br0", "port": "b", "links": ["e1", "e1-p"], "mode": "802.3ad"}),
            "\"802.3ad\" is not one of active-backup, balance-slb and balance-tcp",
        ),
        (
            "port-set",
            json!({"port": "e2", "vlan_mode": 1}),
            "1 is not one of access, trunk, native-tagged, native-untagged and dot1q-tunnel",
        ),
        ("doctor", json!({"severity": ["error"]}), "[\"error\"] is not one of error, warning and note"),
        ("port-set", json!({"port": "e2", "options": {"cvlans": 5}}), "column of table Port: write \"port.cvlans\""),
        ("port-set", json!({"port": "e2", "options": {"vlan-mode": 5}}), "write \"port.vlan_mode\""),
        (
            "port-set",
            json!({"port": "e2", "options": {"port.mtu_request": 5}}),
            "column of table Interface: write \"mtu_request\"",
        ),
        (
            "bond-add",
            json!({"bridge": "br0", "port": "b", "links": ["e1", "e1-p"], "options": {"mtu_request": 5}}),
            "mtu_request is a column of table Interface",
        ),
        ("set", json!({"table": "Interface", "record": "e2", "values": {"tag": 5}}), "tag is a column of table Port"),
    ] {
        let message = switch.refused(command, arguments);
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("invalid type") && !message.contains("``"), "{message}");
    }
}

#[test]
fn a_line_end_in_an_error_parts_sentences_on_a_terminal() {
    let switch = switch_with_bridge();
    let call = switch.call().args(&["port-add", r#"{"bridge": "br0", "port": "x\ny"}"#, "--output", "text"]);
    let seen = terminal::run(call.into_command());
    assert_eq!(seen.exit, Some(1), "{seen:?}");
    assert!(!format!("{seen:?}").contains('\u{fffd}'), "{seen:?}");
    // ovs-vswitchd puts the errors of a tunnel on lines of their own.
    let options = json!({"type": "vxlan", "options:egress_pkt_mark": "x"});
    let tunnel = json!({"bridge": "br0", "port": "vx", "options": options}).to_string();
    let seen = terminal::run(switch.call().args(&["port-add", &tunnel]).into_command());
    assert!(seen.stderr.contains("remote_ip") && !format!("{seen:?}").contains('\u{fffd}'), "{seen:?}");
    assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), Value::from(Vec::<Value>::new()));
}
