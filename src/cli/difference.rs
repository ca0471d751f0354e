//! A report or a dry run for people: a line for each row and each network device that changes, `+` for what is new, `-`
//! for what goes, `~` for what changes, in the notation of ovs-vsctl.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::draw::style::{ERROR, FAINT, GOOD, STRONG, WARNING, paint, printable};
use crate::draw::tree::ranges;
use crate::vswitch::health;

/// A report as programs get it. What is not drawn is not read.
#[derive(Deserialize)]
pub(super) struct Report {
    /// What the command answers otherwise.
    pub(super) result: Value,
    changed: bool,
    changes: Vec<Change>,
    interfaces: Vec<Interface>,
    notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Change {
    Row {
        table: String,
        row: String,
        action: String,
        #[serde(default)]
        columns: BTreeMap<String, Column>,
    },
    Link {
        link: String,
        action: String,
        #[serde(default)]
        attributes: Map<String, Value>,
    },
}

/// What happens to a column. Which of the four are there tells which kind of change it is.
#[derive(Deserialize)]
struct Column {
    #[serde(default, deserialize_with = "given")]
    old: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    new: Option<Value>,
    #[serde(default)]
    added: Vec<Value>,
    #[serde(default)]
    removed: Vec<Value>,
}

/// A value that is there, also where it is `null`: an old value that is not known.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Interface {
    name: String,
    r#type: String,
    ofport: Option<i64>,
    error: Option<String>,
    admin_state: Option<String>,
    link_state: Option<String>,
    mtu: Option<i64>,
    mac_in_use: Option<String>,
}

impl Report {
    /// The answer as a report, if it is one.
    pub(super) fn of(answer: &Value) -> Option<Report> {
        // Any other answer lacks these members, so an error means that it is none.
        Report::deserialize(answer).ok()
    }
}

/// Longer values are cut: a row is one line.
const VALUE_MAX: usize = 60;
/// Of longer lists only the beginning is shown.
const LIST_MAX: usize = 8;
/// What stands for an empty column.
const NONE: &str = "none";

/// Draws the report. `result` is what the command answers otherwise, as it is drawn for people.
pub(super) fn draw(report: &Report, result: &str) -> String {
    let mut lines: Vec<String> = report.changes.iter().map(change).collect();
    if !report.changed {
        lines.push(paint(FAINT, "no change"));
    }
    lines.extend(report.interfaces.iter().map(interface));
    lines.extend(report.notes.iter().map(|note| paint(WARNING, format!("note: {}", printable(note)))));
    let mut page = lines.join("\n");
    page.push('\n');
    match result.lines().count() {
        0 => {}
        1 => page.push_str(&format!("result: {result}")),
        _ => page.push_str(&format!("result:\n{result}")),
    }
    page
}

/// The sign of an action, its colour, and the words for one that is no plain change.
fn sign(action: &str) -> (String, Option<&str>) {
    match action {
        "insert" | "add" => (paint(GOOD, '+'), None),
        "delete" => (paint(ERROR, '-'), None),
        "update" => (paint(WARNING, '~'), None),
        other => (paint(WARNING, '~'), Some(other)),
    }
}

fn change(change: &Change) -> String {
    let mut words = Vec::new();
    match change {
        Change::Row { table, row, action, columns } => {
            words.push(format!("{} {} {}", sign(action).0, printable(table), paint(STRONG, printable(row))));
            // Its name says it already.
            let columns = columns.iter().filter(|(name, _)| *name != "name" || action != "insert");
            words.extend(columns.flat_map(|(name, column)| column_words(name, column)));
        }
        Change::Link { link, action, attributes } => {
            let (sign, words_of_it) = sign(action);
            words.push(format!("{sign} device {}", paint(STRONG, printable(link))));
            words.extend(words_of_it.map(printable));
            let attributes = attributes.iter().map(|(name, value)| format!("{}={}", printable(name), text(value)));
            words.extend(attributes);
        }
    }
    words.join("  ")
}

/// What changes in a column: `tag=3 → 5`, `ports +eth0 -eth1`, and for a map each key of its own.
fn column_words(name: &str, column: &Column) -> Vec<String> {
    let name = printable(name);
    let mut words = Vec::new();
    match (&column.old, &column.new) {
        (None, None) => {
            let elements = |sign, style, elements: &[Value]| {
                let shown =
                    elements.iter().take(LIST_MAX).map(|element| paint(style, format!("{sign}{}", text(element))));
                let mut shown: Vec<String> = shown.collect();
                shown.extend((elements.len() > LIST_MAX).then(|| format!("… ({} in all)", elements.len())));
                shown
            };
            let mut parts = vec![name];
            parts.extend(elements('+', GOOD, &column.added));
            parts.extend(elements('-', ERROR, &column.removed));
            words.push(parts.join(" "));
        }
        (old, Some(Value::Object(new))) => {
            let nothing = Map::new();
            let old = match old {
                Some(Value::Object(old)) => old,
                _ => &nothing,
            };
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let label = format!("{name}:{}", printable(key));
                match (old.get(key), new.get(key)) {
                    (old, new) if old == new => {}
                    (None, Some(new)) => words.push(format!("{label}={}", text(new))),
                    (old, new) => words.push(format!("{label}={} → {}", known(old), known(new))),
                }
            }
            if words.is_empty() {
                words.push(format!("{name}: a value that is hidden"));
            }
        }
        (None, Some(new)) => words.push(format!("{name}={}", text(new))),
        (Some(Value::Null), Some(new)) => words.push(format!("{name}=? → {}", text(new))),
        (Some(old), Some(new)) => words.push(format!("{name}={} → {}", text(old), text(new))),
        (Some(old), None) => words.push(format!("{name}={} → {NONE}", text(old))),
    }
    words
}

fn known(value: Option<&Value>) -> String {
    value.map_or(NONE.into(), text)
}

/// A value in short: `none` for an empty one, numbers as ranges, long ones cut.
fn text(value: &Value) -> String {
    let whole = match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(elements) if elements.is_empty() => NONE.to_owned(),
        Value::Object(members) if members.is_empty() => NONE.to_owned(),
        Value::Array(elements) => match elements.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>() {
            Some(numbers) => ranges(&numbers),
            None => {
                let mut shown: Vec<String> = elements.iter().take(LIST_MAX).map(text).collect();
                shown.extend((elements.len() > LIST_MAX).then(|| format!("… ({} in all)", elements.len())));
                shown.join(",")
            }
        },
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| format!("{}={}", printable(key), text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        other => printable(&other.to_string()),
    };
    if whole.chars().count() <= VALUE_MAX {
        return whole;
    }
    let length = whole.chars().count();
    format!("{}… ({length} characters)", whole.chars().take(VALUE_MAX).collect::<String>())
}

fn interface(interface: &Interface) -> String {
    let mut words = vec![format!("interface {}", paint(STRONG, printable(&interface.name)))];
    words.extend((!matches!(interface.r#type.as_str(), "" | "system")).then(|| printable(&interface.r#type)));
    let works = health::is_set_up(interface.ofport);
    words.extend(interface.ofport.filter(|_| works).map(|number| paint(FAINT, format!("#{number}"))));
    // A device that is set down has no link to speak of.
    let state = match &interface.admin_state {
        Some(state) if state == "down" => Some(state),
        _ => interface.link_state.as_ref().or(interface.admin_state.as_ref()),
    };
    if let Some(state) = state.filter(|_| interface.r#type != "patch") {
        words.push(paint(if state == "up" { GOOD } else { FAINT }, printable(state)));
        words.extend(interface.mtu.map(|mtu| paint(FAINT, format!("MTU {mtu}"))));
        words.extend(interface.mac_in_use.as_ref().map(|mac| paint(FAINT, printable(mac))));
    }
    match (&interface.error, works) {
        (Some(error), _) => words.push(paint(ERROR, format!("✗ {}", printable(error)))),
        (None, false) => words.push(paint(ERROR, "✗ ovs-vswitchd could not set it up")),
        (None, true) => {}
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(report: Value, result: &str) -> String {
        let page = draw(&Report::of(&report).unwrap(), result);
        anstream::adapter::strip_str(&page).to_string()
    }

    fn of_columns(columns: Value) -> String {
        let change = json!({"table": "Port", "row": "e3", "action": "update", "columns": columns});
        let page =
            drawn(json!({"result": null, "changed": true, "changes": [change], "interfaces": [], "notes": []}), "");
        page.strip_prefix("~ Port e3  ").unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn each_row_and_each_device_is_one_line() {
        let report = json!({
            "result": "vxlbr300",
            "changed": true,
            "changes": [
                {"table": "Interface", "row": "e1", "action": "insert",
                 "columns": {"name": {"new": "e1"}, "external_ids": {"new": {"ovs-plugin": "port"}}}},
                {"table": "Bridge", "row": "br0", "action": "update", "columns": {"ports": {"added": ["e1"], "removed": ["e2"]}}},
                {"table": "Port", "row": "e2", "action": "delete"},
                {"link": "vtep300", "action": "add", "attributes": {"kind": "vxlan", "vni": 300}},
                {"link": "br0", "action": "set up"},
                {"link": "br0", "action": "add address", "attributes": {"address": "10.0.0.1/24"}},
                {"link": "vtep7", "action": "delete"},
            ],
            "interfaces": [
                {"name": "e1", "type": "", "ofport": 3, "error": null, "admin_state": "up", "link_state": "up",
                 "mtu": 1500, "mac_in_use": "aa:bb:cc:00:00:01", "ifindex": 4, "status": {}},
                {"name": "br0", "type": "internal", "ofport": 65534, "error": null, "admin_state": "down",
                 "link_state": "up", "mtu": null, "mac_in_use": null},
                {"name": "p", "type": "patch", "ofport": 4, "error": "No usable peer", "admin_state": "up",
                 "link_state": "up", "mtu": null, "mac_in_use": "aa:bb:cc:00:00:02"},
                {"name": "gone", "type": "", "ofport": -1, "error": null, "admin_state": null, "link_state": null,
                 "mtu": null, "mac_in_use": null},
            ],
            "notes": ["a note"],
        });
        assert_eq!(
            drawn(report, "vxlbr300\n"),
            "+ Interface e1  external_ids:ovs-plugin=port\n\
             ~ Bridge br0  ports +e1 -e2\n\
             - Port e2\n\
             + device vtep300  kind=vxlan  vni=300\n\
             ~ device br0  set up\n\
             ~ device br0  add address  address=10.0.0.1/24\n\
             - device vtep7\n\
             interface e1  #3  up  MTU 1500  aa:bb:cc:00:00:01\n\
             interface br0  internal  #65534  down\n\
             interface p  patch  #4  ✗ No usable peer\n\
             interface gone  ✗ ovs-vswitchd could not set it up\n\
             note: a note\n\
             result: vxlbr300\n"
        );
    }

    #[test]
    fn nothing_to_do_is_said_and_a_result_of_several_lines_stands_below() {
        let report = json!({"result": ["e1", "e2"], "changed": false, "changes": [], "interfaces": [], "notes": []});
        assert_eq!(drawn(report, "e1\ne2\n"), "no change\nresult:\ne1\ne2\n");
    }

    #[test]
    fn columns_tell_old_and_new() {
        for (columns, expected) in [
            (json!({"tag": {"old": 3, "new": 5}}), "tag=3 → 5"),
            (json!({"tag": {"old": [], "new": 5}}), "tag=none → 5"),
            (json!({"tag": {"old": 5, "new": []}}), "tag=5 → none"),
            (json!({"tag": {"old": null, "new": 5}}), "tag=? → 5"),
            (json!({"vlan_mode": {"old": "", "new": "trunk"}}), "vlan_mode=\"\" → trunk"),
            (json!({"trunks": {"old": [1, 2], "new": [1, 2, 3, 7]}}), "trunks=1-2 → 1-3,7"),
            (json!({"other_config": {"old": {"a": "1", "b": "2"}, "new": []}}), "other_config={a=1,b=2} → none"),
            (json!({"up": {"old": false, "new": true}}), "up=false → true"),
            (
                json!({"other_config": {"old": {"a": "1", "c": "x", "same": "s"}, "new": {"a": "5", "b": "6", "same": "s"}}}),
                "other_config:a=1 → 5  other_config:b=6  other_config:c=x → none",
            ),
            (json!({"other_config": {"old": {"a": "1"}, "new": {}}}), "other_config:a=1 → none"),
        ] {
            assert_eq!(of_columns(columns.clone()), expected, "{columns}");
        }
    }

    #[test]
    fn long_values_and_lists_are_cut() {
        let long = "x".repeat(70);
        let expected = format!("psk={}… (70 characters)", "x".repeat(60));
        assert_eq!(of_columns(json!({"psk": {"new": long}})), expected);
        let names: Vec<String> = (0..9).map(|number| format!("p{number}")).collect();
        assert_eq!(
            of_columns(json!({"ports": {"added": names, "removed": []}})),
            "ports +p0 +p1 +p2 +p3 +p4 +p5 +p6 +p7 … (9 in all)"
        );
        assert_eq!(of_columns(json!({"protocols": {"new": names}})), "protocols=p0,p1,p2,p3,p4,p5,p6,p7,… (9 in all)");
        let all: Vec<i64> = (0..4096).collect();
        assert_eq!(of_columns(json!({"trunks": {"new": all}})), "trunks=0-4095");
    }

    #[test]
    fn names_with_control_characters_do_not_move_the_cursor() {
        let evil = "e\u{1b}[2J";
        let report = json!({
            "result": null, "changed": true,
            "changes": [
                {"table": evil, "row": evil, "action": "update",
                 "columns": {evil: {"old": evil, "new": [evil]}, "m": {"old": {evil: evil}, "new": {}}, "s": {"added": [evil], "removed": [evil]}}},
                {"link": evil, "action": evil, "attributes": {evil: evil}},
            ],
            "interfaces": [{"name": evil, "type": evil, "ofport": 1, "error": evil, "admin_state": evil,
                            "link_state": evil, "mtu": 1, "mac_in_use": evil}],
            "notes": [evil],
        });
        let page = draw(&Report::of(&report).unwrap(), "");
        assert!(!page.contains("\u{1b}[2J"), "{page:?}");
        assert_eq!(page.lines().count(), 4, "{page}");
    }

    #[test]
    fn other_answers_are_no_report() {
        for answer in [json!(null), json!("vlbr5"), json!(["a"]), json!({"bridges": []}), json!({"result": 1})] {
            assert!(Report::of(&answer).is_none(), "{answer}");
        }
    }
}
