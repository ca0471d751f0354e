//! Calls: what they answer, what errors tell, how many of them go together.

use std::process::Stdio;

use ovs_plugin::commands::REGISTRY;
use serde_json::{Value, json};

use crate::serving::{LIMIT, Server, request};
use crate::support::{Switch, wait_until};

#[test]
fn a_command_answers_the_same_over_the_socket_as_at_the_shell() {
    let server = Server::new();
    assert_eq!(server.ok("bridge-add", json!({"bridge": "backplane"})), Value::Null);
    assert_eq!(server.ok("vlan-ensure", json!({"master": "backplane", "vlan": 7, "name": "seven"})), "seven");
    assert!(server.switch.net.has_link("seven"));
    for (command, arguments) in [
        ("bridge-list", json!({})),
        ("port-list", json!({"bridge": "backplane"})),
        ("version", json!({})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 8, "dry_run": true})),
        ("vlan-ensure", json!({"master": "backplane", "vlan": 7, "report": true})),
    ] {
        assert_eq!(server.ok(command, arguments.clone()), server.switch.ok(command, arguments), "{command}");
    }
}

#[test]
fn devices_are_configured_over_the_socket_and_taken_back_as_at_the_shell() {
    let server = Server::new();
    let net = &server.switch.net;
    server.ok("bridge-add", json!({"bridge": "br0", "up": true, "addresses": ["10.0.0.1/24"]}));
    let told = net.run(&["ip", "address", "show", "dev", "br0"]);
    assert!(told.contains(",UP") && told.contains("inet 10.0.0.1/24"), "{told}");
    net.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"]);
    let error = server.failed("vlan-ensure", json!({"master": "br0", "vlan": 5, "addresses": ["fd00::1/64"]}));
    assert_eq!(error["data"]["committed"], "no", "{error}");
    assert!(wait_until(LIMIT, || !net.has_link("vlbr5")), "{error}");
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0"]));
}

#[test]
fn params_are_an_object_or_an_array_of_one_or_absent() {
    let server = Server::new();
    assert_eq!(server.ok("bridge-add", json!([{"BRIDGE": "br0"}])), Value::Null);
    for params in [json!({}), json!([]), json!([{}])] {
        assert_eq!(server.ok("bridge-list", params), json!(["br0"]));
    }
    let answer = server.ask(&json!({"jsonrpc": "2.0", "id": "x", "method": "ovs.bridge-list"}));
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "x", "result": ["br0"]}));
    // Of repeated keys the last counts, as at the shell.
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ovs.bridge-add","params":{"bridge":"no/name","bridge":"br1"}}"#;
    assert_eq!(serde_json::from_str::<Value>(&server.post(twice).1).unwrap()["result"], Value::Null);
    assert!(server.switch.net.has_link("br1"));

    let error = server.failed("bridge-add", json!([{"bridge": "br2"}, {"bridge": "br3"}]));
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("an array of 2"), "{error}");
    assert_eq!(server.failed("bridge-add", json!(["br2"]))["code"], -32602);
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0", "br1"]));
}

#[test]
fn every_command_is_a_method_and_is_discovered() {
    let server = Server::new();
    let answer = server.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}));
    let methods = answer["result"]["methods"].as_array().unwrap();
    for entry in REGISTRY {
        for name in std::iter::once(&entry.name).chain(entry.aliases) {
            let method = format!("ovs.{name}");
            assert!(methods.iter().any(|known| known["name"] == *method), "{method}");
            let error = server.failed(name, json!({"dry_run": "perhaps"}));
            assert_eq!(error["data"]["field"], "dry_run", "{method}: {error}");
        }
    }
    for method in ["ovs.watch", "ovs.unwatch"] {
        assert!(methods.iter().any(|known| known["name"] == method), "{method}");
    }
    let published = include_str!("../../schemas/openrpc.json");
    assert_eq!(answer["result"], serde_json::from_str::<Value>(published).unwrap());
}

#[test]
fn an_argument_that_is_unknown_is_refused_unless_strict_is_false() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let before = server.switch.dump();
    let call = json!({"master": "br0", "vlan": 5, "bridge": "five"});
    for strict in [Value::Null, json!(true)] {
        let mut call = call.clone();
        call["strict"] = strict;
        let error = server.failed("vlan-ensure", call);
        assert_eq!((&error["code"], &error["data"]["field"]), (&json!(-32602), &json!("bridge")), "{error:#}");
        let words = "vlan-ensure does not take it; did you mean \"master\"?";
        assert!(error["message"].as_str().unwrap().contains(words), "{error:#}");
    }
    assert_eq!(server.switch.dump(), before);
    let mut call = call;
    call["strict"] = json!(false);
    call["report"] = json!(true);
    let report = server.ok("vlan-ensure", call);
    assert_eq!(report["result"], "vlbr5");
    assert!(report["notes"][0].as_str().unwrap().contains("did you mean \"master\"?"), "{report:#}");
}

#[test]
fn errors_tell_a_code_a_kind_the_field_and_whether_anything_was_committed() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    for (command, arguments, code, kind, field) in [
        ("bridge-add", json!({}), -32602, "bad-argument", json!("bridge")),
        ("vlan-ensure", json!({"master": "br0", "vlan": 4095}), -32602, "bad-argument", json!("vlan")),
        ("bridge-add", json!({"bridge": "br0"}), 1102, "exists", Value::Null),
        ("bridge-del", json!({"bridge": "br9"}), 1101, "not-found", Value::Null),
        ("port-add", json!({"bridge": "br0", "port": "nodev"}), 1302, "interface", Value::Null),
        ("brigde-add", json!({"bridge": "br1"}), -32601, "unknown-command", Value::Null),
    ] {
        let before = server.switch.dump();
        let error = server.failed(command, arguments.clone());
        assert_eq!(error["code"], code, "{command}: {error:#}");
        assert_eq!(error["data"]["kind"], kind, "{command}: {error:#}");
        assert_eq!(error["data"]["field"], field, "{command}: {error:#}");
        assert_eq!(error["data"]["committed"], "no", "{command}: {error:#}");
        let message = error["message"].as_str().unwrap();
        if kind == "unknown-command" {
            assert!(message.contains("did you mean ovs.bridge-add?"), "{message}");
        } else {
            assert_eq!(message, server.switch.plugin(command, arguments).failed());
        }
        assert_eq!(server.switch.dump(), before, "{command}");
    }
}

#[test]
fn what_is_no_request_is_told_so() {
    let server = Server::new();
    for (body, status, code) in [
        ("{", 200, -32700),
        (r#"{"jsonrpc":"2.0","id":1}"#, 200, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ovs.version"}"#, 200, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ovs.version","params":"x"}"#, 200, -32602),
        ("[]", 200, -32600),
        ("", 400, -32700),
    ] {
        let (got, text) = server.post(body);
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{body}: {e}: {text:?}"));
        assert_eq!((got, answer["error"]["code"].clone()), (status, json!(code)), "{body}: {text}");
    }
    assert_eq!(server.page("/").0, 405);
    let mut command = server.curl();
    command.args(["--data", "{}", "http://localhost/"]);
    assert_eq!(crate::serving::with_status(command).0, 415);
}

#[test]
fn a_batch_answers_each_call_and_carries_out_notifications() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let mut batch: Vec<Value> =
        (1..=20).map(|vlan| request(vlan, "vlan-ensure", json!({"master": "br0", "vlan": vlan}))).collect();
    batch.push(json!({"jsonrpc": "2.0", "method": "ovs.vlan-ensure", "params": {"master": "br0", "vlan": 21}}));
    batch.push(request(22, "vlan-ensure", json!({"master": "br0", "vlan": "many"})));
    batch.push(json!(23));
    let answers = server.ask(&Value::Array(batch));
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 22);
    for (index, answer) in answers[..20].iter().enumerate() {
        let vlan = index + 1;
        assert_eq!((&answer["id"], &answer["result"]), (&json!(vlan), &json!(format!("vlbr{vlan}"))), "{answer}");
    }
    assert_eq!((&answers[20]["id"], &answers[20]["error"]["data"]["field"]), (&json!(22), &json!("vlan")));
    assert_eq!((&answers[21]["id"], &answers[21]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!(server.ok("bridge-list", json!({})).as_array().unwrap().len(), 22);

    // Only notifications: nothing is answered, all of it is done.
    let (status, text) = server.post(r#"[{"jsonrpc":"2.0","method":"ovs.bridge-del","params":{"bridge":"vlbr21"}}]"#);
    assert_eq!((status, text.as_str()), (204, ""));
    assert!(!server.switch.net.has_link("vlbr21"));
}

#[test]
fn a_call_that_waits_for_vswitchd_does_not_hold_up_others() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.switch.pause_vswitchd();
    let body = request(1, "vlan-ensure", json!({"master": "br0", "vlan": 1})).to_string();
    let mut waiting = server.posting(&body).stdout(Stdio::piped()).spawn().unwrap();
    let there = || server.ok("bridge-list", json!({})) == json!(["br0", "vlbr1"]);
    assert!(wait_until(LIMIT, there), "the other call's bridge is seen while that call still waits");
    assert!(waiting.try_wait().unwrap().is_none());
    server.switch.resume_vswitchd();
    let answer: Value = serde_json::from_slice(&waiting.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(answer["result"], "vlbr1");
}

#[test]
fn a_deadline_that_passes_is_told_with_what_the_database_holds() {
    let server = Server::on(Switch::new(), &[], &[("OVS_PLUGIN_TIMEOUT", "1")]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.switch.pause_vswitchd();
    let error = server.failed("bridge-add", json!({"bridge": "br1"}));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(1303), &json!("not-applied")));
    assert_eq!(error["data"]["committed"], "yes");
    assert!(error["data"]["hint"].as_str().unwrap().contains("ovs-vswitchd"), "{error}");
    server.switch.resume_vswitchd();

    server.switch.stop_database();
    let error = server.failed("bridge-add", json!({"bridge": "br2"}));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(1201), &json!("not-connected")));
    assert_eq!(error["data"]["committed"], "no");
    server.switch.start_database();
    assert_eq!(server.ok("bridge-list", json!({})), json!(["br0", "br1"]), "the server goes on with the new database");
}

#[test]
fn a_command_is_finished_when_its_caller_goes_away() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.switch.pause_vswitchd();
    // It is going to fail, and then has to be taken back.
    let body = request(1, "port-add", json!({"bridge": "br0", "port": "nodev"})).to_string();
    let mut caller = server.posting(&body).stdout(Stdio::null()).spawn().unwrap();
    let has_port = || server.ok("port-list", json!({"bridge": "br0"})).to_string().contains("nodev");
    assert!(wait_until(LIMIT, has_port));
    caller.kill().unwrap();
    caller.wait().unwrap();
    server.switch.resume_vswitchd();
    assert!(wait_until(LIMIT, || !has_port()), "the port that does not work is still there");
}
