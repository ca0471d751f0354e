//! Arguments that a command does not take, or takes once and was given twice: what is said of them, with the argument that
//! was probably meant.
//!
//! The original ignored keys that it did not know, so they are accepted. But a port that was to be on a VLAN and is on
//! all of them, because the key was another, must not look like a success: each is told in a note, or refused where the
//! caller asks for that. Refused in any case is what would be the opposite of what is meant: a change where `dry-run` was
//! asked for.

use serde_json::Value;

use super::arguments::{Arguments, Repeated};
use super::schema::{COMMON, STRICT, VERIFY};
use crate::error::Error;
use crate::vswitch::tables::{self, BRIDGE, INTERFACE, PORT};

/// What other programs call a setting, and what it may be called here: arguments, or columns for `options`. Of these the
/// first that the command takes is meant. `-` counts as `_`.
///
/// The words are those of ovs-vsctl(8) and ovs-vswitchd.conf.db(5), Ansible's collection openvswitch.openvswitch
/// (`openvswitch_bridge`, `openvswitch_port`, `openvswitch_bond`), netplan(5), nmstate and nm-settings(5).
const SYNONYMS: &[(&[&str], &[&str])] = &[
    (
        &[
            "tag",
            "vlan",
            "vlan_tag",
            "vlan_id",
            "vlanid",
            "vid",
            "pvid",
            "access",
            "access_vlan",
            "native_vlan",
            "native",
        ],
        &["vlan", "tag"],
    ),
    (
        &["trunk", "trunks", "trunk_tags", "trunk_vlans", "allowed_vlans", "tagged", "tagged_vlans", "vlans"],
        &["trunks"],
    ),
    (&["mode", "vlan_mode", "port_mode"], &["mode", "vlan_mode"]),
    (&["mtu", "mtu_request", "mtu_bytes"], &["mtu", "mtu_request"]),
    (
        &["bridge", "br", "br_name", "bridge_name", "ovs_bridge", "switch", "vswitch", "parent", "parent_bridge"],
        &["bridge", "master"],
    ),
    (&["master", "master_bridge"], &["master", "bridge"]),
    (&["name", "port_name"], &["name", "port", "bridge", "record"]),
    (
        &[
            "port",
            "iface",
            "iface_name",
            "if_name",
            "ifname",
            "interface",
            "interface_name",
            "nic",
            "dev",
            "device",
            "bond",
            "bond_name",
        ],
        &["port", "link"],
    ),
    (&["link", "member", "slave"], &["link", "links", "port"]),
    (
        &[
            "links",
            "ports",
            "ifaces",
            "interfaces",
            "members",
            "slaves",
            "nics",
            "devices",
            "bond_members",
            "bond_slaves",
            "bond_interfaces",
            "link_aggregation",
        ],
        &["links", "link", "port"],
    ),
    (&["bond_mode", "balance"], &["mode", "bond_mode"]),
    (&["lacp", "lacp_mode", "lacp_active"], &["lacp"]),
    (&["address", "addresses", "ip", "ips", "cidr", "ip_address", "ipv4", "ipv6"], &["addresses"]),
    (&["lacp_time", "lacp_rate"], &["lacp_time"]),
    (&["lacp_fallback_ab"], &["lacp_fallback"]),
    (&["bond_primary", "primary_slave", "primary_member", "active_slave"], &["primary"]),
    (&["up_delay", "updelay"], &["bond_updelay"]),
    (&["down_delay", "downdelay"], &["bond_downdelay"]),
    (&["external_id", "external_ids", "ext_ids", "ids"], &["external_ids"]),
    (&["other_config", "config"], &["other_config"]),
    (&["vxlan", "vxlan_id", "vni", "vnid", "nid"], &["vxlan", "vnid"]),
    (&["id"], &["vlan", "vxlan", "vnid"]),
    (&["set", "settings", "columns", "column", "values", "value", "options", "option", "args"], &["values", "options"]),
    (&["row", "rec"], &["record"]),
    (&["stp"], &["stp_enable"]),
    (&["rstp"], &["rstp_enable"]),
    (&["mcast_snooping"], &["mcast_snooping_enable"]),
    (&["datapath"], &["datapath_type"]),
    (
        &[
            "check",
            "check_mode",
            "check_only",
            "dry",
            "no_act",
            "noop",
            "noact",
            "plan",
            "preview",
            "simulate",
            "test",
            "what_if",
        ],
        &["dry_run"],
    ),
    (&["verified", "verification"], &["verify"]),
];

/// Columns that people set and that [`tables::configuration`] leaves out, because not every schema has them.
const YOUNG_COLUMNS: &[(&str, &str)] = &[(PORT, "cvlans"), (PORT, "protected")];

/// The arguments of all commands that say how careful a command is to be: the caller relies on them.
const CARE: &[&str] = &["dry_run", VERIFY, "durable", STRICT];

/// An argument that has no effect.
pub struct Ignored {
    key: String,
    /// Why, and what may have been meant.
    problem: String,
    /// Whether ignoring it would do what the caller does not want.
    is_harmful: bool,
}

/// The arguments that are none of a command that takes these.
pub fn of(command: &str, arguments: &Arguments, known: &[&'static str]) -> Vec<Ignored> {
    let unknown = arguments.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    unknown.map(|(key, value)| Ignored::new(command, key, value, known)).collect()
}

/// One that was given more than once. In the same letters that is JSON, in which the last one counts; it is ignored, unless
/// the caller relies on it.
pub fn repeated(repeated: &Repeated) -> Option<Ignored> {
    let is_harmful = CARE.contains(&repeated.name.as_str());
    let problem = "is given more than once, maybe in other letters, and the last one counts; expected one".to_owned();
    let ignored = Ignored { key: repeated.name.clone(), problem, is_harmful };
    Some(ignored).filter(|_| is_harmful || repeated.in_other_letters)
}

impl Ignored {
    fn new(command: &str, key: &str, value: &Value, known: &[&'static str]) -> Self {
        let meant = meant(command, key, known);
        let hint = match &meant {
            Some(meant) => format!("did you mean {}?", meant.in_json()),
            None if known.is_empty() => "it takes none of its own".to_owned(),
            None => format!("expected one of {}", known.join(", ")),
        };
        let is_care = |meant: &Meant| matches!(meant, Meant::Argument(name) if CARE.contains(name));
        Ignored {
            key: key.to_owned(),
            problem: format!("{command} does not take it; {hint}"),
            is_harmful: asks_for_it(value) && meant.as_ref().is_some_and(is_care),
        }
    }

    /// Says that it is ignored, in the words of [`refuse`].
    pub fn note(&self) -> String {
        format!("{} (ignored)", Error::argument(&self.key, &self.problem))
    }
}

/// Whether a value switches something on. Whatever else stands there is no wish that could be missed: `{"test": "x"}`.
fn asks_for_it(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(word) => ["true", "yes", "on", "1", "strict"].iter().any(|yes| yes.eq_ignore_ascii_case(word)),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The error about arguments that have no effect: about all if the caller wants that, else about those of which ignoring
/// them would do harm.
pub fn refuse(ignored: &[Ignored], all: bool) -> Result<(), Error> {
    let mut refused = ignored.iter().filter(|one| all || one.is_harmful);
    let Some(first) = refused.next() else { return Ok(()) };
    let mut problem = first.problem.clone();
    for Ignored { key, problem: another, .. } in refused {
        problem.push_str(&format!("; {key:?}: {another}"));
    }
    Err(Error::argument(&first.key, problem))
}

/// What was probably meant by a word.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// An argument.
    Argument(&'static str),
    /// A column, by the name that it has in the argument `options`.
    Option(String),
}

impl Meant {
    fn in_json(&self) -> String {
        match self {
            Meant::Argument(name) => format!("{name:?}"),
            Meant::Option(column) => format!("\"options\": {{{column:?}: …}}"),
        }
    }

    /// As a person types it.
    pub fn as_flag(&self) -> String {
        match self {
            Meant::Argument(name) => format!("--{}", name.replace('_', "-")),
            Meant::Option(column) => format!("--options {column}=…"),
        }
    }
}

/// What was probably meant by a key that a command with these arguments does not know.
pub fn meant(command: &str, key: &str, known: &[&'static str]) -> Option<Meant> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let common = COMMON.iter().map(|(name, ..)| *name);
    let arguments = || known.iter().copied().chain(common.clone());
    let argument = |name: &str| arguments().find(|known| *known == name).map(Meant::Argument);
    let column = |name: &str| known.contains(&"options").then(|| option(command, name)).flatten();
    let synonyms = SYNONYMS.iter().filter(|(words, _)| words.contains(&key.as_str())).flat_map(|(_, names)| *names);
    let mut synonyms = synonyms.map(|name| argument(name).or_else(|| column(name)));
    if let Some(found) = argument(&key).or_else(|| synonyms.find_map(|found| found)).or_else(|| column(&key)) {
        return Some(found);
    }
    let limit = (key.chars().count() / 3).clamp(1, 3);
    let near = arguments().map(|name| (strsim::osa_distance(&key, name), name));
    let near = near.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance);
    near.map(|(_, name)| Meant::Argument(name))
}

/// How the `options` of a command name a column, if they take it.
fn option(command: &str, column: &str) -> Option<Meant> {
    let has = |table| tables::configuration(table).contains(&column) || YOUNG_COLUMNS.contains(&(table, column));
    let rows: &[(&str, &str)] = match command {
        "bridge-add" => &[(BRIDGE, "")],
        "bond-add" => &[(PORT, "")],
        "port-add" | "port-set" => &[(INTERFACE, ""), (PORT, super::port_settings::PORT_PREFIX)],
        _ => &[],
    };
    // Names are what rows are found by; they are set by the command alone.
    let (_, prefix) = rows.iter().find(|(table, _)| column != "name" && has(table))?;
    Some(Meant::Option(format!("{prefix}{column}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const PORT_ADD: &[&str] =
        &["bridge", "port", "vlan", "trunks", "vlan_mode", "mtu", "external_ids", "other_config", "options"];
    const BOND_ADD: &[&str] =
        &["bridge", "port", "links", "mode", "lacp", "lacp_time", "primary", "bond_updelay", "options"];

    #[test]
    fn what_other_programs_call_it_leads_to_what_it_is_called_here() {
        for (command, known, key, expected) in [
            ("port-add", PORT_ADD, "tag", "\"vlan\""),
            ("port-add", PORT_ADD, "vlan-mode", "\"vlan_mode\""),
            ("port-add", PORT_ADD, "VLAN_TAG", "\"vlan\""),
            ("port-add", PORT_ADD, "trunk", "\"trunks\""),
            ("port-add", PORT_ADD, "trunk-tags", "\"trunks\""),
            ("port-add", PORT_ADD, "mode", "\"vlan_mode\""),
            ("port-add", PORT_ADD, "mtu_request", "\"mtu\""),
            ("port-add", PORT_ADD, "br", "\"bridge\""),
            ("port-add", PORT_ADD, "brigde", "\"bridge\""),
            ("port-add", PORT_ADD, "iface", "\"port\""),
            ("port-add", PORT_ADD, "name", "\"port\""),
            ("port-add", PORT_ADD, "dry-run", "\"dry_run\""),
            ("port-add", PORT_ADD, "dryrun", "\"dry_run\""),
            ("port-add", PORT_ADD, "type", "\"options\": {\"type\": …}"),
            ("port-add", PORT_ADD, "cvlans", "\"options\": {\"port.cvlans\": …}"),
            ("bond-add", BOND_ADD, "slaves", "\"links\""),
            ("bond-add", BOND_ADD, "interfaces", "\"links\""),
            ("bond-add", BOND_ADD, "bond_mode", "\"mode\""),
            ("bond-add", BOND_ADD, "lacp-rate", "\"lacp_time\""),
            ("bond-add", BOND_ADD, "up-delay", "\"bond_updelay\""),
            ("bond-add", BOND_ADD, "vlan", "\"options\": {\"tag\": …}"),
            ("bridge-add", &["bridge", "options"], "name", "\"bridge\""),
            ("bridge-add", &["bridge", "options"], "fail-mode", "\"options\": {\"fail_mode\": …}"),
            ("bridge-add", &["bridge", "options"], "rstp", "\"options\": {\"rstp_enable\": …}"),
            ("vlan-ensure", &["master", "vlan", "name"], "bridge", "\"master\""),
            ("vlan-ensure", &["master", "vlan", "name"], "tag", "\"vlan\""),
            ("vxlan-ensure", &["master", "vxlan", "name"], "vni", "\"vxlan\""),
            ("vtep-del", &["vnid"], "vxlan", "\"vnid\""),
            ("set", &["table", "record", "values", "options"], "columns", "\"values\""),
        ] {
            assert_eq!(meant(command, key, known).unwrap().in_json(), expected, "{command} {key}");
        }
        for key in ["unknown", "state", "timeout", "x", "é"] {
            assert_eq!(meant("port-add", key, PORT_ADD), None, "{key}");
        }
    }

    #[test]
    fn a_refusal_and_a_note_have_the_same_words_for_each_key() {
        let arguments: Arguments =
            ["tag", "bridge", "zzzzz"].into_iter().map(|key| (key.to_owned(), Value::Bool(true))).collect();
        let unknown = of("port-add", &arguments, PORT_ADD);
        let notes: Vec<String> = unknown.iter().map(Ignored::note).collect();
        let tag = "argument \"tag\": port-add does not take it; did you mean \"vlan\"?";
        assert_eq!(notes.len(), 2);
        assert_eq!(notes[0], format!("{tag} (ignored)"));
        assert!(refuse(&unknown, false).is_ok());
        let error = refuse(&unknown, true).unwrap_err();
        assert_eq!(error.field(), Some("tag"));
        assert!(
            error.to_string().starts_with(tag) && error.to_string().contains("\"zzzzz\": port-add does not take it"),
            "{error}"
        );
        assert!(refuse(&[], true).is_ok());
    }

    #[test]
    fn what_asks_for_care_in_another_spelling_is_never_ignored() {
        let refused = |key: &str, value: Value| {
            let arguments: Arguments = [(key.to_owned(), value)].into_iter().collect();
            refuse(&of("port-add", &arguments, PORT_ADD), false).is_err()
        };
        for key in ["dry-run", "dryrun", "check_mode", "simulate", "noop", "dry_runs", "verfy", "strict_", "no_act"] {
            assert!(refused(key, Value::Bool(true)) && refused(key, "yes".into()), "{key}");
            assert!(!refused(key, Value::Bool(false)) && !refused(key, "no".into()), "{key}");
        }
        assert!(refused("check", 1.into()) && !refused("test", "x".into()) && !refused("plan", serde_json::json!({})));
        for key in ["tag", "reprot", "nonsense", "timeout"] {
            assert!(!refused(key, Value::Bool(true)), "{key}");
        }
        for (name, is_refused) in [("dry_run", true), ("verify", true), ("vlan", false)] {
            let twice = |in_other_letters| repeated(&Repeated { name: name.to_owned(), in_other_letters });
            assert_eq!(refuse(&[twice(true).unwrap()], false).is_err(), is_refused, "{name}");
            assert_eq!(twice(false).is_some(), is_refused, "{name}");
        }
    }
}
