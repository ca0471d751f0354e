//! The transcripts of the original plugin in `tests/golden/`, replayed: the same answers and the same state after each
//! step, and better ones where the original was wrong. `tests/golden/README.md` describes the format.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use serde_json::{Map, Value};

use crate::support::{Answer, Call, Switch, difference, run_to_end};

/// One test for each scenario, and the list of them all.
macro_rules! scenarios {
    ($($name:ident,)*) => {
        const SCENARIOS: &[&str] = &[$(stringify!($name),)*];
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*
    };
}

scenarios! {
    bond_add_modes,
    bond_add_refused,
    bond_balance_tcp_without_lacp,
    bond_links_injection,
    bond_no_such_device,
    bond_twice_and_members,
    bootstrap_documented,
    bridge_add_del,
    bridge_add_options,
    bridge_add_options_refused,
    bridge_del_with_ports,
    bridge_name_dash,
    bridge_name_impossible,
    bridge_name_taken_by_port,
    bridge_name_too_long,
    database_appears,
    database_stopped,
    database_stopped_message,
    derived_bridges_inherit_datapath,
    door_arguments,
    door_decoding,
    door_missing_fields,
    door_repeated_keys,
    door_underscore_names,
    fake_bridge,
    option_values_not_strings,
    parallel_different_vlans,
    parallel_same_bridge_add,
    parallel_same_vlan,
    port_add_bad_option_leaves_nothing,
    port_add_no_such_device,
    port_add_options,
    port_add_plain_and_tagged,
    port_add_refused,
    port_add_unknown_type,
    port_add_vlan_refused,
    port_del,
    port_del_injection,
    port_name_double_dash,
    port_vlan_4095,
    set_breaks_interface,
    set_lookups,
    set_notation,
    set_options_spelling,
    set_refused,
    set_tables,
    settings_database,
    vlan_ensure_after_bridge_del,
    vlan_ensure_many,
    vlan_ensure_name_is_master,
    vlan_ensure_name_is_port,
    vlan_ensure_names,
    vlan_ensure_refused,
    vlan_master_deleted,
    vlan_repair_bridge_only,
    vlan_repair_master_port_left,
    vlan_repair_peer_only,
    vlan_repair_ports_but_no_patch,
    vlan_repair_wrong_port,
    vswitchd_paused,
    vswitchd_stopped,
    vswitchd_stopped_reading,
    vtep_del_wrong_device,
    vtep_down,
    vtep_ensure_del,
    vtep_over_plain_device,
    vtep_range,
    vtep_wide_id,
    vtep_wrong_device,
    vtep_wrong_id,
    vxlan_ensure_name_is_master,
    vxlan_ensure_names,
    vxlan_ensure_vtep_exists,
    vxlan_ensure_zero,
    vxlan_failure_leaves_no_vtep,
    vxlan_repair_bridge_only,
    vxlan_repair_port_missing,
}

#[test]
fn every_transcript_is_replayed() {
    let mut files: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().replace('-', "_"))
        .collect();
    files.sort();
    assert_eq!(files, SCENARIOS);
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Plays a scenario on a fresh switch to its end, and panics with all that was not as it has to be.
fn replay(test: &str) {
    let name = test.replace('_', "-");
    let text = fs::read_to_string(directory().join(&name).with_extension("json")).unwrap();
    let scenario: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(scenario["name"], *name);
    let compare = scenario.get("compare").map_or("result", |compare| compare.as_str().unwrap());
    assert_eq!(compare, "result", "no scenario compares the texts of errors so far");

    let no_expectations = Map::new();
    let better = scenario.get("better").map_or(&no_expectations, |better| better.as_object().unwrap());
    let first_better = better.keys().map(|step| step.parse::<usize>().unwrap()).min().unwrap_or(usize::MAX);

    let switch = switch_with(&scenario["links"]);
    let mut before = switch.state();
    let mut mismatches = Vec::new();
    for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let done = perform(step, &switch);
        let after = switch.state();
        let moment = Moment { done: &done, before: &before, after: &after };
        let mut found = if number < first_better {
            moment.differs_from(&step["observed"])
        } else {
            better.get(&number.to_string()).map_or_else(Vec::new, |expected| moment.violates(expected))
        };
        found.extend(moment.badly_framed());
        if !found.is_empty() {
            let what: Map<_, _> =
                step.as_object().unwrap().clone().into_iter().filter(|(k, _)| k != "observed").collect();
            mismatches.push(format!("step {number}, {}\n  {}\n  {done:#?}", Value::from(what), found.join("\n  ")));
        }
        before = after;
    }
    assert!(
        mismatches.is_empty(),
        "{name}: {}\n{}\n\n{}",
        scenario["about"],
        scenario.get("defect").map_or(String::new(), |defect| format!("the original: {defect}")),
        mismatches.join("\n\n")
    );
}

fn switch_with(links: &Value) -> Switch {
    let mut builder = Switch::builder();
    for link in links.as_array().unwrap() {
        assert_eq!(link["type"], "veth", "the only type of link so far");
        builder = builder.veth(link["name"].as_str().unwrap(), link["peer"].as_str().unwrap());
    }
    builder.start()
}

/// What a step came to.
#[derive(Debug)]
enum Done {
    /// The plugin's answer; several from calls at once.
    Called(Vec<Answer>),
    /// The exit status of a change from outside.
    Shell(i32),
    Switched,
}

fn perform(step: &Value, switch: &Switch) -> Done {
    if let Some(action) = step.get("switch") {
        switch_daemon(action, switch);
        return Done::Switched;
    }
    if let Some(script) = step.get("shell") {
        let mut command = switch.tool("timeout");
        command.args(["20", "sh", "-c", script.as_str().unwrap()]);
        return Done::Shell(run_to_end(&mut command).status.code().unwrap());
    }
    if let Some(calls) = step.get("parallel") {
        let running: Vec<_> = calls.as_array().unwrap().iter().map(|call| prepare(call, switch).spawn()).collect();
        return Done::Called(running.into_iter().map(|call| call.wait()).collect());
    }
    let call = prepare(step, switch);
    let answer = thread::scope(|scope| {
        if let Some(meanwhile) = step.get("meanwhile") {
            scope.spawn(|| {
                thread::sleep(Duration::from_secs_f64(meanwhile["after_s"].as_f64().unwrap()));
                switch_daemon(&meanwhile["switch"], switch);
            });
        }
        call.run()
    });
    Done::Called(vec![answer])
}

fn switch_daemon(action: &Value, switch: &Switch) {
    match action.as_str().unwrap() {
        "start vswitchd" => switch.start_vswitchd(),
        "stop vswitchd" => switch.stop_vswitchd(),
        "pause vswitchd" => switch.pause_vswitchd(),
        "resume vswitchd" => switch.resume_vswitchd(),
        "start ovsdb-server" => switch.start_database(),
        "stop ovsdb-server" => switch.stop_database(),
        "pause ovsdb-server" => switch.pause_database(),
        "resume ovsdb-server" => switch.resume_database(),
        other => panic!("unknown action {other:?}"),
    }
}

/// The plugin with the arguments and the environment of a step.
fn prepare(step: &Value, switch: &Switch) -> Call {
    let mut call = switch.call();
    match step.get("argv") {
        Some(arguments) => {
            for argument in arguments.as_array().unwrap() {
                call = call.arg(argument.as_str().unwrap());
            }
        }
        None => {
            let arguments = &step["args"];
            let raw = arguments.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("raw"));
            let text = raw.and_then(Value::as_str).map_or_else(|| arguments.to_string(), str::to_owned);
            call = call.arg(step["command"].as_str().unwrap()).arg(text);
        }
    }
    for (name, value) in step.get("env").and_then(Value::as_object).into_iter().flatten() {
        call = match value.as_str() {
            Some(value) => call.env(name, value.replace("$OVS_RUNDIR", switch.directory().to_str().unwrap())),
            None => call.without_env(name),
        };
    }
    match step.get("limit_s") {
        Some(limit) => call.limit(Duration::from_secs_f64(limit.as_f64().unwrap())),
        None => call,
    }
}

/// A step that was taken: what it came to, and the states around it.
#[derive(Clone, Copy)]
struct Moment<'a> {
    done: &'a Done,
    before: &'a Value,
    after: &'a Value,
}

impl Moment<'_> {
    fn answers(&self) -> &[Answer] {
        match self.done {
            Done::Called(answers) => answers,
            Done::Shell(_) | Done::Switched => &[],
        }
    }

    /// Answers that the host agent could not read.
    fn badly_framed(&self) -> Vec<String> {
        let bad = self.answers().iter().filter(|answer| !answer.timed_out && !answer.framing_ok);
        bad.map(|answer| format!("framing: not one block around one JSON value: {:?}", answer.stdout)).collect()
    }

    /// How the step differs from what the original did.
    fn differs_from(&self, observed: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let (mut expected, mut got) = match (self.done, observed.get("parallel")) {
            (Done::Switched, _) => (Vec::new(), Vec::new()),
            (Done::Shell(exit), _) => (vec![format!("exit {}", observed["exit"])], vec![format!("exit {exit}")]),
            (Done::Called(answers), Some(list)) => {
                (list.as_array().unwrap().iter().map(recorded).collect(), answers.iter().map(played).collect())
            }
            (Done::Called(answers), None) => (vec![recorded(observed)], answers.iter().map(played).collect()),
        };
        // Calls at once may end in any order.
        expected.sort();
        got.sort();
        if expected != got {
            found.push(format!("answer: expected {expected:?}, got {got:?}"));
        }
        if observed["state"] != *self.after {
            found.push(format!("state, expected -> got:\n{}", difference(&observed["state"], self.after)));
        }
        found
    }

    /// Which of the expectations are not met.
    fn violates(&self, expectations: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for (kind, expected) in expectations.as_object().unwrap() {
            match kind.as_str() {
                "exit" => {
                    let exits: Vec<_> = match self.done {
                        Done::Called(answers) => answers.iter().map(|answer| Value::from(answer.exit)).collect(),
                        Done::Shell(exit) => vec![Value::from(*exit)],
                        Done::Switched => vec![Value::from(0)],
                    };
                    let wrong = exits.iter().filter(|exit| *exit != expected);
                    found.extend(wrong.map(|exit| format!("exit: expected {expected}, got {exit}")));
                }
                "result" => {
                    let wrong = self.answers().iter().filter(|answer| answer.result.as_ref() != Some(expected));
                    found.extend(wrong.map(|answer| format!("result: expected {expected}, got {:?}", answer.body)));
                }
                "error_has" => {
                    for answer in self.answers() {
                        let text = answer.error.as_deref().unwrap_or_default().to_lowercase();
                        let words = expected.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
                        let missing: Vec<_> = words.filter(|word| !text.contains(&word.to_lowercase())).collect();
                        if !missing.is_empty() {
                            found.push(format!("error: {missing:?} not in {:?}", answer.error));
                        }
                    }
                }
                "unchanged" => {
                    assert_eq!(*expected, true);
                    if self.before != self.after {
                        found.push(format!("the state has changed:\n{}", difference(self.before, self.after)));
                    }
                }
                "state" => match_pattern("state", expected, Some(self.after), &mut found),
                "max_s" => {
                    let limit = Duration::from_secs_f64(expected.as_f64().unwrap());
                    let late = self.answers().iter().filter(|answer| answer.elapsed > limit);
                    found.extend(late.map(|answer| format!("ended after {:?}, not within {limit:?}", answer.elapsed)));
                }
                "any_of" => {
                    let ways: Vec<_> = expected.as_array().unwrap().iter().map(|way| self.violates(way)).collect();
                    if !ways.iter().any(Vec::is_empty) {
                        found.push(format!("none of the ways: {ways:#?}"));
                    }
                }
                other => panic!("unknown expectation {other:?}"),
            }
        }
        found
    }
}

/// A recorded answer in the form of [`played`]. Of an error counts only that it is one, and a text.
fn recorded(observed: &Value) -> String {
    let framing = observed.get("framing").is_some_and(|framing| framing == "ok");
    let outcome = match (observed.get("result"), observed.get("error")) {
        (Some(result), None) => format!("result {result}"),
        (None, Some(error)) if error.is_string() => "error".to_owned(),
        _ => "nothing".to_owned(),
    };
    let timeout = observed.get("timeout").is_some_and(|timeout| *timeout == true);
    format!("exit {}, framing {framing}, timeout {timeout}, {outcome}", observed["exit"])
}

fn played(answer: &Answer) -> String {
    let outcome = match (&answer.result, &answer.error) {
        (Some(result), None) => format!("result {result}"),
        (None, Some(_)) => "error".to_owned(),
        _ => "nothing".to_owned(),
    };
    let (exit, framing, timeout) = (Value::from(answer.exit), answer.framing_ok, answer.timed_out);
    format!("exit {exit}, framing {framing}, timeout {timeout}, {outcome}")
}

/// A pattern is a part of a state: what it names has to be as it says, the rest is free.
fn match_pattern(path: &str, pattern: &Value, value: Option<&Value>, found: &mut Vec<String>) {
    match (pattern, value) {
        (Value::Null, None) => {}
        (Value::Null, Some(value)) => found.push(format!("{path}: expected to be absent, got {value}")),
        (Value::Object(pattern), Some(Value::Object(value))) => {
            for (key, pattern) in pattern.iter().filter(|(key, _)| *key != "$only") {
                match_pattern(&format!("{path}/{key}"), pattern, value.get(key), found);
            }
            if pattern.get("$only").is_some_and(|only| *only == true) {
                let others = value.keys().filter(|key| !pattern.contains_key(*key));
                found.extend(others.map(|key| format!("{path}/{key}: expected to be absent")));
            }
        }
        (pattern, value) if Some(pattern) == value => {}
        (pattern, Some(value)) => found.push(format!("{path}: expected {pattern}, got {value}")),
        (pattern, None) => found.push(format!("{path}: expected {pattern}, got nothing")),
    }
}

#[test]
fn a_pattern_finds_what_is_wrong() {
    let state = serde_json::json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"});
    let violations = |pattern: Value| {
        let mut found = Vec::new();
        match_pattern("", &pattern, Some(&state), &mut found);
        found.len()
    };
    assert_eq!(violations(serde_json::json!({"a": {"b": 1, "z": null}})), 0);
    assert_eq!(violations(serde_json::json!({"a": {"$only": true, "b": 1, "c": [1, 2]}})), 0);
    assert_eq!(violations(serde_json::json!({"a": {"$only": true, "b": 1}})), 1);
    assert_eq!(violations(serde_json::json!({"a": {"b": null, "c": [2, 1]}, "d": "y", "e": {}})), 4);
}
