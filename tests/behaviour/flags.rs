//! Arguments as people type them: flags, alone or beside JSON.

use serde_json::{Value, json};

use super::support::{Answer, Call, Switch, terminal};

/// What is typed, as a person gets it: plain.
fn plain(switch: &Switch, line: &str) -> Answer {
    line.split(' ').fold(switch.call(), |call, word| call.arg(if word == "''" { "" } else { word })).run()
}

/// The same, with the answer framed, so that its value can be looked at.
fn typed(switch: &Switch, line: &str) -> Answer {
    plain(switch, &format!("{line} --output agent"))
}

#[track_caller]
fn usage_error(answer: &Answer, words: &[&str]) {
    assert_eq!((answer.exit, answer.stdout.as_str()), (Some(2), ""), "{answer:?}");
    for word in words {
        assert!(answer.stderr.contains(word), "{word} in {answer:?}");
    }
}

#[test]
fn a_network_is_made_with_flags_as_with_json() {
    let switch = Switch::new();
    // Flags are typed by people, who get plain answers in a pipe as well.
    let added = plain(&switch, "bridge-add --bridge backplane --options stp_enable=true");
    assert_eq!((added.exit, added.stdout.as_str()), (Some(0), ""), "null is nothing to see: {added:?}");
    assert_eq!(switch.vsctl(&["get", "bridge", "backplane", "stp_enable"]), "true");
    let line = "vlan-ensure --master backplane --vlan 2313 --name=vxbackend";
    assert_eq!(plain(&switch, line).stdout, "vxbackend\n");
    assert_eq!(typed(&switch, line).ok(), "vxbackend");
    let same = json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"});
    switch.unchanged_by(|| assert_eq!(switch.ok("vlan-ensure", same), "vxbackend"));
    let seen = terminal::run(switch.call().args(&line.split(' ').collect::<Vec<_>>()).into_command());
    assert_eq!((seen.exit, seen.screen.as_str()), (Some(0), "vxbackend\n"), "{seen:?}");
    assert_eq!(plain(&switch, &format!("{line} --output json")).stdout, "\"vxbackend\"\n");
    // An alias of a command has them, too.
    assert_eq!(typed(&switch, "vlan_ensure --master backplane --vlan 2313").ok(), "vxbackend");
}

#[test]
fn lists_maps_and_booleans_are_typed_as_the_manual_says() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").veth("e3", "e3-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let bond = "bond-add --bridge br0 --port bond0 --links e1,e2 --mode active-backup --no-lacp-fallback \
                --options other_config:bond-detect-mode=miimon --options external_ids:note=a=b";
    assert_eq!(typed(&switch, bond).ok(), Value::Null);
    assert_eq!(switch.vsctl(&["get", "port", "bond0", "bond_mode"]), "active-backup");
    let column = |column: &str| switch.vsctl(&["get", "port", "bond0", column]);
    assert_eq!(column("other_config"), r#"{bond-detect-mode=miimon, lacp-fallback-ab="false"}"#);
    assert_eq!(column("external_ids:note"), "\"a=b\"", "the value begins after the first =");

    assert_eq!(typed(&switch, "port-set --port bond0 --trunks 5,10-12 --trunks 20").ok(), Value::Null);
    assert_eq!(column("trunks"), "[5, 10, 11, 12, 20]");
    assert_eq!(typed(&switch, "port-set --port bond0 --trunks ''").ok(), Value::Null);
    assert_eq!(column("trunks"), "[]");

    let set = "set --table Interface --record e1 --values mtu_request=1400 --values external_ids={rack=7}";
    assert_eq!(typed(&switch, set).ok(), Value::Null);
    assert_eq!(switch.vsctl(&["get", "interface", "e1", "mtu_request", "external_ids"]), "1400\n{rack=\"7\"}");

    let line = "port-set --port bond0 --vlan 7 --dry-run";
    let report = switch.unchanged_by(|| typed(&switch, line).ok());
    assert_eq!((&report["changed"], &report["changes"][0]["row"]), (&json!(true), &json!("bond0")), "{report:#}");
    let report = typed(&switch, "port-add --bridge br0 --port nodev --no-verify --report").ok();
    assert_eq!(report["interfaces"][0]["name"], "nodev", "{report:#}");
    assert_eq!(plain(&switch, "stats --bridge br0 --interval 0 --output json").exit, Some(0));
}

#[test]
fn flags_complete_json_and_do_not_contradict_it() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let both = |json: &str, flags: &[&str]| {
        switch.call().arg("vlan-ensure").arg(json).args(flags).args(&["--output", "agent"]).run()
    };
    assert_eq!(both(r#"{"MASTER": "br0", "vlan": null}"#, &["--vlan", "5"]).ok(), "vlbr5");
    assert_eq!(switch.call().args(&["vlan-ensure", "--vlan", "6", r#"{"master": "br0"}"#]).run().stdout, "vlbr6\n");
    switch.unchanged_by(|| {
        usage_error(
            &both(r#"{"master": "br0", "VLAN": 7}"#, &["--vlan", "7"]),
            &["--vlan: the JSON has \"vlan\", too"],
        );
        // The command says what it would say to anybody.
        let unreadable = both("{\"master\"", &["--vlan", "7"]).failed();
        assert_eq!(unreadable, both("{\"master\"", &[]).failed());
        let word = both("7", &["--master", "br0"]).failed();
        assert!(word.contains("expected one JSON object"), "{word}");
    });
}

#[test]
fn wrong_flags_are_told_on_stderr_and_wrong_values_by_the_command() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.unchanged_by(|| {
        usage_error(&typed(&switch, "vlan-ensure --mastr br0"), &["--mastr", "'--master'"]);
        usage_error(&typed(&switch, "port-set --port br0 --vlan_mode trunk"), &["'--vlan-mode'"]);
        usage_error(&typed(&switch, "vlan-ensure --master br0 --vlan"), &["a value is required for '--vlan <VLAN>'"]);
        usage_error(&typed(&switch, "vlan-ensure --master br0 --master br0"), &["--master", "multiple times"]);
        usage_error(
            &typed(&switch, "set --table t --record r --values a=1 --values a=2"),
            &["--values: \"a\" is given twice"],
        );
        usage_error(&typed(&switch, "set --table t --record r --values stp"), &["--values: \"stp\" is not KEY=VALUE"]);
        usage_error(
            &typed(&switch, "port-set --port br0 --vlan-mode trunks"),
            &["'trunks'", "native-tagged", "'trunk'"],
        );
        usage_error(&typed(&switch, "vlan-ensur --master br0"), &["'vlan-ensure'"]);
        // Also by what other programs call it.
        usage_error(&typed(&switch, "port-add --bridge br0 --port e1 --tag 5"), &["'--vlan'"]);
        usage_error(&typed(&switch, "port-add --bridge br0 --port e1 --type vxlan"), &["'--options type=…'"]);
        usage_error(&typed(&switch, "bond-add --slaves e1"), &["'--links'"]);
        usage_error(&plain(&switch, "show --format dot --report"), &["--report"]);
        usage_error(&plain(&switch, "bond-add --bridge br0 --lacp true"), &["\"true\"", "--lacp takes no value"]);
        usage_error(&plain(&switch, "schema vlan-ensur"), &["vlan-ensur"]);
        for (line, expected) in [
            ("vlan-ensure --vlan 5", "argument \"master\": is missing"),
            (
                "vlan-ensure --master br0 --vlan 5000",
                "argument \"vlan\": \"5000\" is not a whole number from 0 to 4094",
            ),
            ("vlan-ensure --master br0 --vlan -1", "argument \"vlan\": \"-1\" is not a whole number from 0 to 4094"),
            ("vlan-ensure --master ''", "argument \"master\": is empty; expected a name"),
            ("bond-add --bridge br0 --port b --links e1", "argument \"links\": a bond needs more than one link, got 1"),
            ("stats --interval soon", "argument \"interval\": \"soon\" is not a number of seconds, 0 or more"),
        ] {
            assert!(typed(&switch, line).failed().starts_with(expected), "{line}: {:?}", typed(&switch, line));
            let answer = plain(&switch, line);
            assert_eq!((answer.exit, answer.stdout.as_str()), (Some(1), ""), "{answer:?}");
            assert!(answer.stderr.starts_with(&format!("ovs-plugin: {expected}")), "{answer:?}");
        }
    });
}

#[test]
fn what_begins_with_a_single_dash_or_stands_first_stays_the_agents() {
    for (words, expected) in [
        (&["-v", "{}"][..], "unknown command: -v"),
        (&["--bridge", "{}"], "unknown command: --bridge"),
        (&["bridge-add", "-1"], "expected one JSON object"),
        (&["bridge-add", "-"], "expected one JSON object"),
        (&["bridge-add", "{}", "-x"], "takes one JSON object, got 2 arguments"),
    ] {
        let message = Call::alone().args(words).run().failed();
        assert!(message.contains(expected), "{words:?}: {message}");
    }
}

#[test]
fn help_lists_flags_with_what_they_mean() {
    let help = |words: &[&str]| {
        let answer = Call::alone().args(words).run();
        assert_eq!(answer.exit, Some(0), "{answer:?}");
        // Lines are wrapped between words.
        answer.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for words in [&["vlan-ensure", "--help"][..], &["vlan-ensure", "-h"], &["help", "vlan-ensure"]] {
        let said = help(words);
        for expected in [
            "Usage: ovs-plugin vlan-ensure --master <MASTER> [OPTIONS] [JSON]",
            "--vlan <VLAN> The VLAN id; 0 is untagged, and what a missing one meant for the original [default: 0]",
            "--dry-run Answer with the changes that would be made",
            "--no-verify The opposite of --verify",
            "ovs-plugin vlan-ensure --master backplane --name vxbackend --vlan 2313",
            r#"ovs-plugin vlan-ensure '{"master": "backplane", "vlan": 2313, "name": "vxbackend"}'"#,
        ] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
    }
    let (short, long) = (help(&["bond-add", "-h"]), help(&["bond-add", "--help"]));
    assert!(!short.contains("Those that are down are set up"), "{short}");
    assert!(long.contains("Those that are down are set up"), "{long}");
    assert!(long.contains("balance-tcp: Spread by flow; needs LACP"), "{long}");
    assert!(short.contains("[default: balance-slb] [possible values: active-backup,"), "{short}");
}
