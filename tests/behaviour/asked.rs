//! What was asked of an interface is what it gets, or the answer says that it is not.

use serde_json::{Value, json};

use super::support::{Answer, Switch};

fn switch_with_bridge() -> Switch {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn set(table: &str, record: &str, values: Value) -> Value {
    json!({"table": table, "record": record, "values": values})
}

fn internal(port: &str, mut options: Value) -> Value {
    options["type"] = json!("internal");
    json!({"bridge": "br0", "port": port, "options": options})
}

/// The command succeeds, and tells each of the words, in its report's notes as on stderr.
#[track_caller]
fn noted(switch: &Switch, command: &str, mut arguments: Value, words: &[&str]) {
    arguments["report"] = json!(true);
    let answer = switch.plugin(command, arguments.clone());
    for word in words {
        assert!(answer.stderr.contains(word), "{command} {arguments}: {:?} lacks {word:?}", answer.stderr);
    }
    let notes = answer.ok()["notes"].to_string();
    for word in words {
        assert!(notes.contains(word), "{command} {arguments}: {notes} lacks {word:?}");
    }
}

/// The command succeeds and has nothing to add.
#[track_caller]
fn silent(answer: Answer) {
    assert_eq!(answer.stderr, "");
    answer.ok();
}

#[test]
fn a_port_number_that_another_port_asks_for_as_well_is_told() {
    let switch = switch_with_bridge();
    silent(switch.plugin("port-add", internal("p1", json!({"ofport_request": 77}))));
    noted(&switch, "port-add", internal("p2", json!({"ofport_request": 77})), &["interface p2", "asks for 77"]);
    // A number that is free is no news, nor is a command that asks for nothing.
    silent(switch.plugin("set", set("Interface", "p2", json!({"ofport_request": 78}))));
    silent(switch.plugin("set", set("Interface", "p2", json!({"external_ids:a": "b"}))));
    noted(&switch, "port-set", json!({"port": "p2", "options": {"ofport_request": 77}}), &["p2", "asks for 77"]);
    noted(&switch, "set", set("Interface", "br0", json!({"ofport_request": 5})), &["br0", "65534", "local port"]);
}

#[test]
fn a_mac_address_that_open_vswitch_ignores_is_told_with_where_it_belongs() {
    let switch = switch_with_bridge();
    silent(switch.plugin("port-add", internal("p1", json!({"mac": "\"02:00:00:00:00:0A\""}))));
    silent(switch.plugin("set", set("Interface", "p1", json!({"mac": "\"02:00:00:00:00:0b\""}))));
    let mac = |record: &str, mac: &str| set("Interface", record, json!({"mac": format!("{mac:?}")}));
    let words = ["interface br0", "02:00:00:00:00:0c", "other_config:hwaddr of the Bridge"];
    noted(&switch, "set", mac("br0", "02:00:00:00:00:0c"), &words);
    noted(&switch, "set", mac("p1", "03:00:00:00:00:0c"), &["interface p1", "multicast"]);
    let call = json!({"bridge": "br0", "port": "e1", "options": {"mac": "\"02:00:00:00:00:0d\""}});
    noted(&switch, "port-add", call, &["interface e1", "internal interfaces only"]);
}

#[test]
fn the_address_of_a_bridge_is_compared_with_that_of_its_local_port() {
    let switch = switch_with_bridge();
    let hwaddr = |bridge: &str, mac: &str| set("Bridge", bridge, json!({"other_config:hwaddr": mac}));
    silent(switch.plugin("set", hwaddr("br0", "02:00:00:00:00:0E")));
    noted(&switch, "set", hwaddr("br0", "nonsense"), &["bridge br0", "hwaddr asks for nonsense", "hexadecimal"]);
    noted(&switch, "set", hwaddr("br0", "01:00:00:00:00:0e"), &["bridge br0", "multicast"]);
    let bridge = |name: &str, mac: &str| json!({"bridge": name, "options": {"other_config:hwaddr": mac}});
    silent(switch.plugin("bridge-add", bridge("br1", "02:00:00:00:00:0f")));
    noted(&switch, "bridge-add", bridge("br2", "01:00:00:00:00:0f"), &["bridge br2", "multicast"]);
}

#[test]
fn an_mtu_that_the_device_refuses_is_told() {
    let switch = switch_with_bridge();
    silent(switch.plugin("port-add", json!({"bridge": "br0", "port": "e1", "mtu": 1400})));
    silent(switch.plugin("port-set", json!({"port": "e1", "mtu": 1450})));
    noted(&switch, "set", set("Interface", "e1", json!({"mtu_request": 70000})), &["e1", "asks for 70000", "has 1450"]);
    let call = json!({"bridge": "br0", "port": "e2", "options": {"mtu_request": 70000}});
    noted(&switch, "port-add", call, &["interface e2", "asks for 70000"]);
    let tunnel = json!({"bridge": "br0", "port": "v1", "mtu": 1400,
                        "options": {"type": "vxlan", "options:remote_ip": "127.0.0.1"}});
    noted(&switch, "port-add", tunnel, &["interface v1", "asks for 1400", "no MTU"]);
}

#[test]
fn with_strict_verification_what_an_interface_did_not_get_is_taken_back() {
    let switch = switch_with_bridge();
    let strict = |mut arguments: Value| {
        arguments["verify"] = json!("strict");
        arguments
    };
    switch.ok("port-add", strict(internal("p1", json!({"ofport_request": 77}))));
    for (command, arguments, words) in [
        ("port-add", internal("p2", json!({"ofport_request": 77})), ["interface p2", "asks for 77"]),
        ("port-add", json!({"bridge": "br0", "port": "e1", "options": {"mtu_request": 70000}}), ["e1", "70000"]),
        ("set", set("Interface", "p1", json!({"mac": "\"03:00:00:00:00:01\""})), ["p1", "multicast"]),
        ("set", set("Interface", "br0", json!({"mac": "\"02:00:00:00:00:01\""})), ["br0", "hwaddr"]),
        ("set", set("Bridge", "br0", json!({"other_config:hwaddr": "nonsense"})), ["br0", "nonsense"]),
        ("bridge-add", json!({"bridge": "br1", "options": {"other_config:hwaddr": "nonsense"}}), ["br1", "nonsense"]),
    ] {
        let message = switch.refused(command, strict(arguments));
        assert!(message.contains("nothing is left of it"), "{message}");
        for word in words {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    }
    switch.ok("port-set", strict(json!({"port": "p1", "mtu": 1400})));
}

#[test]
fn without_verification_nothing_is_compared() {
    let switch = switch_with_bridge();
    let mut call = set("Interface", "br0", json!({"mac": "\"02:00:00:00:00:01\""}));
    call["verify"] = json!(false);
    silent(switch.plugin("set", call));
}

#[test]
fn strict_verification_can_be_asked_for_at_a_shell_and_anything_else_is_refused_by_name() {
    let switch = switch_with_bridge();
    let run = |words: &[&str]| {
        let mut call = switch.call();
        for word in ["set", "--table", "Interface", "--record", "br0", "--values", "mac=\"02:00:00:00:00:01\""] {
            call = call.arg(word);
        }
        for word in words {
            call = call.arg(*word);
        }
        call.run()
    };
    let refused = |words: &[&str]| {
        let answer = run(words);
        assert_eq!(answer.exit, Some(1), "{words:?}: {answer:?}");
        format!("{answer:?}")
    };
    let message = refused(&["--verify", "strict"]);
    assert!(message.contains("other_config:hwaddr") && message.contains("nothing is left of it"), "{message}");
    assert!(refused(&["--verify=strict"]).contains("nothing is left of it"));
    let answer = run(&["--verify", "loosely"]);
    assert_eq!(answer.exit, Some(2));
    assert!(answer.stderr.contains("strict"), "{}", answer.stderr);
    assert_eq!(run(&["--no-verify"]).exit, Some(0));
    switch.ok("set", set("Interface", "br0", json!({"mac": "[]"})));
    assert_eq!(run(&["--verify"]).exit, Some(0));

    let mut call = set("Interface", "br0", json!({"mac": "\"02:00:00:00:00:01\""}));
    call["verify"] = json!("sometimes");
    let message = switch.refused("set", call);
    assert!(message.contains("argument \"verify\": \"sometimes\" is not true, false or \"strict\""), "{message}");
}
