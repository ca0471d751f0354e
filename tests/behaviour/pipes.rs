//! What people see in a pipe, and how reports and dry runs look: plain text, whoever reads it.

use std::fs::OpenOptions;
use std::process::{Output, Stdio};

use serde_json::json;

use super::support::{Answer, BINARY, Call, Switch, run_to_end, terminal};

/// A pipeline in bash, which fails if any part of it does. `ovs-plugin` is the one that is tested.
fn pipeline(switch: &Switch, line: &str) -> Output {
    let script = format!("set -o pipefail; ovs-plugin() {{ {BINARY} \"$@\"; }}; {line}");
    // Its environment and namespace, without the plugin itself.
    let plugin = switch.call().into_command();
    let mut command = switch.net.command("bash");
    for (name, value) in plugin.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run_to_end(command.args(["-c", &script]))
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_command_that_is_typed_alone_is_plain_in_a_pipe() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let tree = stdout(&pipeline(&switch, "ovs-plugin show | cat"));
    assert!(tree.starts_with("Open vSwitch") && tree.contains("└─ vlbr5p"), "{tree}");
    assert!(!tree.contains('\u{1b}'), "colours are for terminals: {tree}");
    let summary = stdout(&pipeline(&switch, "ovs-plugin doctor | grep -c 'nothing is wrong\\|warning\\|note'"));
    assert_ne!(summary.trim(), "0");
    assert_eq!(stdout(&pipeline(&switch, "ovs-plugin bridge-list | wc -l")).trim(), "2");
    assert_eq!(stdout(&pipeline(&switch, "ovs-plugin bridge-list | sort -r")), "vlbr5\nbr0\n");
    let version = stdout(&pipeline(&switch, "ovs-plugin version | grep plugin"));
    assert!(version.contains(':'), "{version}");
    // With flags as well, also where the command needs arguments.
    assert_eq!(stdout(&pipeline(&switch, "ovs-plugin port-list --bridge br0 | cat")), "vlbr5p\n");
    assert_eq!(stdout(&pipeline(&switch, "ovs-plugin vlan-ensure --master br0 --vlan 6 | cat")), "vlbr6\n");
    assert_eq!(stdout(&pipeline(&switch, "ovs-plugin show --bridge vlbr5 | grep -c patch")).trim(), "1");
}

#[test]
fn a_pipe_that_is_closed_early_is_no_error() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for line in ["show", "stats", "doctor", "version", "bridge-list", "schema", "man", "completions bash", "help"] {
        // The reader is gone before anything is written.
        let output = pipeline(&switch, &format!("{{ sleep 0.2; ovs-plugin {line}; }} | true"));
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        let output = pipeline(&switch, &format!("ovs-plugin {line} | head -n 1"));
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "{line}: {output:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let switch = Switch::new();
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for words in [&["bridge-list"][..], &["show"], &["version", "--output", "json"], &["schema"], &["man"], &["watch"]]
    {
        let mut command = switch.call().args(words).into_command();
        // `bridge-list` has nothing to say on this switch, and nothing fails to be written.
        let expected = if words == ["bridge-list"] { Some(0) } else { Some(1) };
        let output = command.stdin(Stdio::null()).stdout(full()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), expected, "{words:?}: {stderr}");
        assert!(expected == Some(0) || stderr.contains("can't be written to stdout"), "{words:?}: {stderr}");
    }
}

#[test]
fn errors_of_who_types_go_to_stderr_in_a_pipe_too() {
    let switch = Switch::new();
    for line in ["port-list --bridge nope", "show --bridge nope"] {
        let output = pipeline(&switch, &format!("ovs-plugin {line} | cat"));
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "ovs-plugin: no bridge named nope\n");
    }
    let away = switch.call().arg("bridge-list").env("OVS_PLUGIN_DB", "unix:/nowhere").env("OVS_PLUGIN_TIMEOUT", "0.1");
    let away = away.run();
    assert_eq!((away.exit, away.stdout.as_str()), (Some(1), ""), "{away:?}");
    assert!(away.stderr.contains("/nowhere"), "{away:?}");
}

#[test]
fn json_makes_it_the_host_agents_call_and_so_does_a_missing_one_that_is_needed() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let framed = |answer: &Answer| answer.stdout.starts_with("20:::") && answer.stdout.ends_with("\n\n:::\n");
    for words in [&["bridge-list", "{}"][..], &["show", "{}"], &["doctor", "{}"], &["bridge-list", "null"]] {
        let answer = switch.call().args(words).run();
        assert!(answer.exit == Some(0) && framed(&answer), "{words:?}: {answer:?}");
    }
    assert!(switch.call().args(&["bridge-list", ""]).run().failed().contains("expected one JSON object"));
    for entry in ovs_plugin::commands::REGISTRY {
        let required =
            (entry.arguments_schema)().to_value()["required"].as_array().is_some_and(|names| !names.is_empty());
        assert_eq!((entry.needs_no_arguments)(), !required, "{}", entry.name);
        if required {
            // What the host agent would get, word for word.
            let answer = Call::alone().arg(entry.name).run();
            assert!(answer.failed().contains("expected one JSON object"), "{}", entry.name);
        }
    }
    assert!(Call::alone().arg("no-such-command").run().failed().contains("unknown command"));
}

#[test]
fn a_dry_run_and_a_report_are_drawn_as_a_difference() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let typed = |line: &str| {
        let answer = line.split(' ').fold(switch.call(), |call, word| call.arg(word)).run();
        assert_eq!((answer.exit, answer.stderr.as_str()), (Some(0), ""), "{answer:?}");
        answer.stdout
    };
    let dry = switch.unchanged_by(|| typed("vxlan-ensure --master br0 --vxlan 300 --dry-run"));
    for line in [
        "+ Bridge vxlbr300  datapath_type=netdev  external_ids:ovs-plugin=vxlan:300  ports=vxlbr300,vtep300",
        "+ device vtep300  group=239.0.0.2  kind=vxlan  mtu=1450  over=br0  vni=300",
        "result: vxlbr300",
    ] {
        assert!(dry.lines().any(|drawn| drawn == line), "{line} in\n{dry}");
    }
    assert!(
        dry.lines().any(|line| line.starts_with("~ Open_vSwitch ") && line.ends_with("  bridges +vxlbr300")),
        "{dry}"
    );

    let report = typed("port-add --bridge br0 --port e1 --vlan 7 --report");
    assert!(report.contains("+ Port e1  external_ids:ovs-plugin=port  interfaces=e1  tag=7\n"), "{report}");
    assert!(report.contains("~ Bridge br0  ports +e1\n"), "{report}");
    assert!(
        report.lines().any(|line| line.starts_with("interface e1  #") && line.contains("  MTU 1500  ")),
        "{report}"
    );
    let changed =
        typed("port-set --port e1 --vlan 8 --trunks 1-3,9 --vlan-mode native-untagged --external-ids a=b --dry-run");
    for part in ["~ Port e1  ", "tag=7 → 8", "trunks=none → 1-3,9", "external_ids:a=b"] {
        assert!(changed.contains(part), "{part} in {changed}");
    }
    assert!(typed("port-set --port e1 --vlan 7 --report").starts_with("no change\n"));
    let gone = typed("port-del --port e1 --dry-run");
    assert!(gone.lines().any(|line| line == "- Port e1") && gone.contains("ports -e1"), "{gone}");
    // What reads has a report, too, and its answer looks as ever.
    assert_eq!(typed("bridge-list --report"), "no change\nresult: br0\n");
    assert!(typed("show --report").contains("result:\nOpen vSwitch"));

    // Programs get what they got.
    let json: serde_json::Value = serde_json::from_str(&typed("port-del --port e1 --dry-run --output json")).unwrap();
    assert_eq!(json["changes"][0]["action"], "update", "{json:#}");
    let seen = terminal::run(switch.call().args(&["port-del", r#"{"port": "e1", "dry_run": true}"#]).into_command());
    assert!(seen.screen.contains("\u{1b}[31m-") || seen.screen.contains("\u{1b}[1m\u{1b}[31m-"), "{seen:?}");
    let both = switch.call().args(&["show", "--format", "dot", "--dry-run"]).run();
    assert!(both.exit == Some(2) && both.stderr.contains("--format draws the switch"), "{both:?}");
}
