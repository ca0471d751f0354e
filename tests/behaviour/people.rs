//! What people see: plain answers, a coloured tree, help, completions, manual pages.

use std::process::Command;

use serde_json::{Value, json};

use super::support::terminal::{self, Seen};
use super::support::{Answer, Call, Switch, run_to_end, scratch_directory, without_reports};

/// A run of the plugin with these words.
fn words(switch: &Switch, words: &[&str]) -> Call {
    words.iter().fold(switch.call(), |call, word| call.arg(word))
}

fn in_pipe(switch: &Switch, arguments: &[&str]) -> Answer {
    words(switch, arguments).run()
}

fn on_terminal(switch: &Switch, arguments: &[&str]) -> Seen {
    terminal::run(words(switch, arguments).into_command())
}

const ESCAPE: char = '\u{1b}';

#[test]
fn with_json_in_a_pipe_the_answer_is_framed_and_on_a_terminal_it_is_plain() {
    let switch = Switch::new();
    let vlan = r#"{"master": "br0", "vlan": 5}"#;
    assert_eq!(on_terminal(&switch, &["bridge-add", r#"{"bridge": "br0"}"#]).screen, "", "null is nothing to see");
    assert_eq!(in_pipe(&switch, &["vlan-ensure", vlan]).stdout, "20:::\"vlbr5\"\n\n:::\n");
    let seen = on_terminal(&switch, &["vlan-ensure", vlan]);
    assert_eq!((seen.exit, seen.screen.as_str()), (Some(0), "vlbr5\n"), "{seen:?}");
    assert_eq!(on_terminal(&switch, &["bridge-list"]).screen, "br0\nvlbr5\n");
    // An alias of a command is one for people, too.
    assert_eq!(on_terminal(&switch, &["vlan_ensure", vlan]).screen, "vlbr5\n");
}

#[test]
fn output_decides_before_and_after_the_command() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let framed = "20:::[\"br0\"]\n\n:::\n";
    for (how, expected) in [("agent", framed), ("json", "[\n  \"br0\"\n]\n"), ("text", "br0\n")] {
        let one = format!("--output={how}");
        for arguments in [
            ["--output", how, "bridge-list", "{}"].as_slice(),
            &["bridge-list", "--output", how],
            &["bridge-list", "{}", &one],
            &[&one, "bridge-list"],
        ] {
            let answer = in_pipe(&switch, arguments);
            assert_eq!((answer.exit, answer.stdout.as_str()), (Some(0), expected), "{arguments:?}");
            assert_eq!(on_terminal(&switch, arguments).screen, expected, "{arguments:?}");
        }
    }
}

#[test]
fn errors_of_people_go_to_stderr() {
    let switch = Switch::new();
    for how in ["json", "text"] {
        let answer = in_pipe(&switch, &["--output", how, "port-list", r#"{"bridge": "nope"}"#]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (Some(1), ""), "{answer:?}");
        assert_eq!(answer.stderr, "ovs-plugin: no bridge named nope\n");
    }
    let seen = on_terminal(&switch, &["port-list", r#"{"bridge": "nope"}"#]);
    assert_eq!((seen.exit, seen.screen.as_str()), (Some(1), ""), "{seen:?}");
    assert_eq!(seen.stderr, "ovs-plugin: no bridge named nope\n");
    let framed = in_pipe(&switch, &["--output", "agent", "port-list", r#"{"bridge": "nope"}"#]);
    assert!(framed.failed().contains("no bridge named nope"));
    let answer = in_pipe(&switch, &["--output", "yaml", "bridge-list"]);
    assert!(answer.exit != Some(0) && answer.stderr.contains("yaml"), "{answer:?}");
}

#[test]
fn the_tree_shows_the_switch_and_problems_stand_out() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let healthy = on_terminal(&switch, &["show"]);
    assert_eq!(healthy.exit, Some(0), "{healthy:?}");
    assert!(healthy.screen.contains(ESCAPE), "{}", healthy.screen);
    for expected in ["br0", "├─ e1", "VLAN 5", "└─ vlbr5p", "→ vlbr5in on vlbr5", "VLAN 5 of br0"] {
        assert!(healthy.screen.contains(expected), "{expected} in\n{}", healthy.screen);
    }
    assert!(!healthy.screen.contains('✗'), "{}", healthy.screen);

    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let broken = on_terminal(&switch, &["show"]);
    let line = broken.screen.lines().find(|line| line.contains("nodev")).unwrap();
    assert!(line.contains("\u{1b}[31m") || line.contains("\u{1b}[1m\u{1b}[31m"), "not red: {line:?}");
    assert!(line.contains("✗ ") && line.contains("No such device"), "{line}");
}

#[test]
fn colours_are_for_terminals_unless_told_otherwise() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let coloured = |seen: &str| seen.contains(ESCAPE);
    assert!(coloured(&on_terminal(&switch, &["show"]).screen));
    assert!(!coloured(&on_terminal(&switch, &["show", "--color", "never"]).screen));
    assert!(!coloured(&in_pipe(&switch, &["show"]).stdout));
    assert!(!coloured(&in_pipe(&switch, &["show", "--format", "tree"]).stdout));
    assert!(!coloured(&in_pipe(&switch, &["show", "--output", "text", "--color=auto"]).stdout));
    assert!(coloured(&in_pipe(&switch, &["--color", "always", "show", "--format", "tree"]).stdout));
    let without = |value: &str| words(&switch, &["show"]).env("NO_COLOR", value).into_command();
    assert!(!coloured(&terminal::run(without("1")).screen), "no-color.org");
    assert!(coloured(&terminal::run(without("")).screen), "an empty variable counts as none");
}

#[test]
fn the_picture_comes_in_every_format() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.vsctl(&["add-port", "br0", "odd\"<name>", "--", "set", "interface", "odd\"<name>", "type=internal"]);
    let format = |format: &str| {
        let answer = in_pipe(&switch, &["show", "--format", format]);
        assert_eq!(answer.exit, Some(0), "{answer:?}");
        answer.stdout
    };
    let json: Value = serde_json::from_str(&format("json")).unwrap();
    assert_eq!(without_reports(&json), without_reports(&switch.ok("show", json!({}))));

    let dot = format("dot");
    assert!(dot.starts_with("graph switch {\n") && dot.ends_with("}\n"), "{dot}");
    assert_eq!(dot.matches("label=\"VLAN 5\"").count(), 1, "one line for the two ends of a patch:\n{dot}");
    assert!(dot.contains(r#"label="odd\"<name>""#), "{dot}");
    assert!(dot.contains(r#"label="br0\nnetdev""#), "{dot}");

    let mermaid = format("mermaid");
    assert!(mermaid.starts_with("graph LR\n"), "{mermaid}");
    assert!(mermaid.contains(r#"["br0<br>netdev"]"#) && mermaid.contains(r#"---|"VLAN 5"|"#), "{mermaid}");
    assert!(mermaid.contains("odd#34;#60;name#62;"), "{mermaid}");

    let both = in_pipe(&switch, &["show", "--format", "dot", "--output", "json"]);
    assert!(both.exit == Some(2) && both.stderr.contains("exclude each other"), "{both:?}");
    let wrong = in_pipe(&switch, &["show", "--format", "svg"]);
    assert!(wrong.exit == Some(2) && wrong.stderr.contains("mermaid"), "{wrong:?}");
}

#[test]
fn the_doctor_is_readable_on_a_terminal() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let healthy = on_terminal(&switch, &["doctor"]);
    assert!(healthy.exit == Some(0) && healthy.screen.contains("nothing is wrong"), "{healthy:?}");
    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let answer = in_pipe(&switch, &["doctor", "--output", "text"]);
    let mut lines = answer.stdout.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("error[interface-broken] interface nodev does not work"), "{first}");
    assert!(first.ends_with("(bridge br0, port nodev)"), "{first}");
    assert!(answer.stdout.ends_with("\n1 error, 0 warnings, 0 notes\n"), "{}", answer.stdout);
    assert_eq!(answer.exit, Some(0), "it is a report");
    assert!(on_terminal(&switch, &["doctor"]).screen.contains(ESCAPE));
}

#[test]
fn counters_are_a_table_on_a_terminal() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let text = in_pipe(&switch, &["stats", "--output", "text"]).stdout;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["bridge", "interface", "rx", "packets"], "{text}");
    assert_eq!((lines[1][1], lines[2][1]), ("br0", "e1"), "{text}");
    assert!(!text.contains("bit/s"), "{text}");
    let rates = in_pipe(&switch, &["stats", r#"{"interval": 6}"#, "--output", "text"]).stdout;
    assert!(rates.contains("rx bit/s") && rates.contains("~5 s"), "{rates}");
}

#[test]
fn names_with_control_characters_do_not_reach_the_terminal() {
    let switch = Switch::builder().without_vswitchd().start();
    let row = json!({"name": "evil\u{1b}[2J", "external_ids": ["map", []]});
    let insert = json!({"op": "insert", "table": "Bridge", "row": row, "uuid-name": "b"});
    let mutations = json!([["bridges", "insert", ["named-uuid", "b"]]]);
    let mutate = json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutations});
    switch.transact(&[insert, mutate]);
    for command in ["show", "bridge-list"] {
        let seen = on_terminal(&switch, &[command]);
        assert!(seen.screen.contains("evil") && !seen.screen.contains("\u{1b}[2J"), "{:?}", seen.screen);
    }
}

#[test]
fn help_has_examples_and_knows_every_command() {
    let help = Call::alone().arg("--help").run();
    assert_eq!(help.exit, Some(0));
    for entry in ovs_plugin::commands::REGISTRY {
        assert!(help.stdout.contains(entry.name), "{}", entry.name);
        let help = Call::alone().arg(entry.name).arg("--help").run();
        // Lines are wrapped between words.
        let said = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("ovs-plugin {} '{}'", entry.name, entry.example.0)), "{}", help.stdout);
        assert!(help.stdout.contains("--output"), "{}", help.stdout);
    }
    let nothing = terminal::run(Call::alone().into_command());
    assert!(nothing.stderr.contains("Usage") || nothing.screen.contains("Usage"), "{nothing:?}");
    let typo = terminal::run(Call::alone().arg("vlan-ensur").into_command());
    assert!(typo.stderr.contains("vlan-ensure"), "{typo:?}");
}

/// Each prints what its shell makes of `ovs-plugin vlan-ensure --m`, and of the beginning of a command's name. $1 is the
/// file with the completions, in a directory of its own.
const BASH: &str = r#"
source "$1"
complete_last() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ovs__plugin ovs-plugin "${!#}" "${@: -2:1}"; }
complete_last ovs-plugin vlan-e; echo "${COMPREPLY[@]}"
complete_last ovs-plugin vlan-ensure --m; echo "${COMPREPLY[@]}"
complete_last ovs-plugin bond-add --mode balance-; echo "${COMPREPLY[@]}"
"#;
/// zsh only completes on a terminal. There, the program is a function that prints its arguments.
const ZSH: &str = r#"
zsh -n "$1" || exit
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${1:h} \$fpath); autoload -Uz compinit; compinit -D -u; ovs-plugin() { print -r -- \"<\$*>\" }"
for line in vlan-e 'vlan-ensure --m' 'bond-add --mode balance-t'; do
    zpty -w -n shell "ovs-plugin $line"$'\t\n'
    zpty -r -m shell seen '*<[^$]*>*'
    seen=${seen##*<}
    print -r -- ${${seen%%>*}% }
done
zpty -d shell
"#;
const FISH: &str = r#"
source $argv[1]
for line in vlan-e 'vlan-ensure --m' 'bond-add --mode balance-'
    echo (complete -C "ovs-plugin $line" | string split -f 1 \t)
end
"#;

#[test]
fn completions_know_every_command_and_its_flags_and_are_read_by_their_shell() {
    let modes = "balance-slb balance-tcp";
    for (shell, options, script, expected) in [
        ("bash", &["--norc"][..], BASH, ["vlan-ensure", "--master", modes]),
        ("zsh", &["-f"], ZSH, ["vlan-ensure", "vlan-ensure --master", "bond-add --mode balance-tcp"]),
        ("fish", &["--no-config"], FISH, ["vlan-ensure", "--master", modes]),
    ] {
        let answer = Call::alone().arg("completions").arg(shell).run();
        assert_eq!(answer.exit, Some(0), "{answer:?}");
        for entry in ovs_plugin::commands::REGISTRY {
            assert!(answer.stdout.contains(entry.name), "{shell}: {}", entry.name);
        }
        let directory = scratch_directory();
        let (file, script_file) = (directory.join("_ovs-plugin"), directory.join("script"));
        std::fs::write(&file, &answer.stdout).unwrap();
        std::fs::write(&script_file, script).unwrap();
        // A shell that waits for more on its terminal does so for ever.
        let mut command = Command::new("timeout");
        command.args(["30", shell]).args(options).arg(&script_file).arg(&file).env("HOME", &directory);
        let output = run_to_end(&mut command);
        let lines = String::from_utf8_lossy(&output.stdout);
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{shell}: {output:?}");
        std::fs::remove_dir_all(directory).unwrap();
    }
    let wrong = Call::alone().arg("completions").arg("tcsh").run();
    assert!(wrong.exit == Some(2) && wrong.stderr.contains("fish"), "{wrong:?}");
}

#[test]
fn there_is_a_manual_page_for_the_program_and_for_each_command() {
    let directory = scratch_directory();
    let answer = Call::alone().arg("man").arg("--output-dir").arg(&directory).run();
    assert_eq!(answer.exit, Some(0), "{answer:?}");
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let main = page("ovs-plugin.1");
    assert!(main.contains(".TH ovs-plugin 1") && main.contains("OVS_PLUGIN_DB"), "{main}");
    for entry in ovs_plugin::commands::REGISTRY {
        let page = page(&format!("ovs-plugin-{}.1", entry.name));
        assert!(page.contains(".SH SYNOPSIS") && page.contains("\\-\\-dry\\-run"), "{page}");
    }
    let printed = Call::alone().arg("man").run();
    assert!(printed.stdout.contains(".TH ovs-plugin 1"), "{printed:?}");
    std::fs::remove_dir_all(directory).unwrap();
    let unusable = Call::alone().arg("man").arg("--output-dir").arg("/proc/nowhere").run();
    assert!(unusable.exit == Some(1) && unusable.stderr.contains("/proc/nowhere"), "{unusable:?}");
}
