//! Which settings of a row work together. One place for all who write them, and for the doctor.
//!
//! Open vSwitch takes any values. Of settings that exclude each other it uses one and ignores the other, at most with a
//! line in its log; some combinations carry no traffic at all. What is told here is read in ovs-vswitchd.conf.db(5) and
//! in Open vSwitch 2.5 to 4.0: vswitchd/bridge.c (`port_configure`, `port_configure_lacp`, `port_configure_bond`,
//! `bridge_configure_spanning_tree`), ofproto/ofproto-dpif.c (`bundle_set`), ofproto/bond.c (`bond_check_admissibility`,
//! `choose_output_member`), lib/netdev-vport.c (`parse_key`). Only what is certain is here.
//!
//! These are functions over plain values. What they are asked for, and what comes of it, is in `conflicts.rs` for
//! commands and in `doctor/settings.rs`.

mod values;

use std::collections::{BTreeMap, BTreeSet};

pub use values::{COLUMNS_OF_MAPS, of_value};

/// The settings of a port that rules are about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortSettings {
    /// `tag`.
    pub tag: Option<i64>,
    /// `trunks`.
    pub trunks: BTreeSet<i64>,
    /// `vlan_mode`.
    pub vlan_mode: Option<String>,
    /// `cvlans`; Open vSwitch before 2.8 has none.
    pub cvlans: BTreeSet<i64>,
    /// `bond_mode`.
    pub bond_mode: Option<String>,
    /// `lacp`.
    pub lacp: Option<String>,
    /// `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// How many interfaces the port has.
    pub interfaces: usize,
    /// The names of its interfaces, if all are known.
    pub members: Option<BTreeSet<String>>,
}

/// The settings of a bridge that rules are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeSettings {
    /// `stp_enable`.
    pub stp: bool,
    /// `rstp_enable`.
    pub rstp: bool,
}

/// What Open vSwitch makes of settings that do not work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The port or bridge carries nothing.
    Lost,
    /// A setting is ignored in favour of another.
    Ignored,
    /// A setting does nothing until something else is set. It may be there in advance.
    Idle,
}

/// Settings that do not work together.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The column of the setting that has no effect, or not the one that it should have.
    pub column: &'static str,
    /// The columns because of which it has none.
    pub because: &'static [&'static str],
    /// What Open vSwitch makes of it.
    pub effect: Effect,
    /// The settings, and what Open vSwitch makes of them.
    pub problem: String,
    /// What would work.
    pub expected: &'static str,
}

impl Conflict {
    /// All columns that it is about.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.column).chain(self.because.iter().copied())
    }
}

/// The columns of a port that say which VLANs it carries, and that every schema has.
const VLANS: &[&str] = &["tag", "trunks", "vlan_mode"];
/// The columns of a port that say how its interfaces work together.
const BOND: &[&str] = &["bond_mode", "lacp", "other_config", "interfaces"];
/// The keys in a port's `other_config` that rules are about.
pub const KEYS_OF_PORTS: &[&str] = &["bond-primary", "lacp-fallback-ab", "lacp-system-id", "lacp-time", "qinq-ethtype"];
/// The mode of a port for VLANs inside of a VLAN. It came with the column `cvlans` (Open vSwitch 2.8).
pub const TUNNEL: &str = "dot1q-tunnel";

/// The columns that have to be known to judge a change of one column of a port. All schemas have them.
pub fn companions_in_port(column: &str) -> &'static [&'static str] {
    match column {
        "tag" | "trunks" | "vlan_mode" | "cvlans" => VLANS,
        "bond_mode" | "lacp" | "interfaces" => BOND,
        _ => &[],
    }
}

/// The same for a bridge.
pub fn companions_in_bridge(column: &str) -> &'static [&'static str] {
    match column {
        "stp_enable" | "rstp_enable" => &["stp_enable", "rstp_enable"],
        _ => &[],
    }
}

/// The keys in a tunnel's `options` that rules are about: a number, or the word `flow`.
pub const KEYS_OF_TUNNELS: &[&str] = &["key", "in_key", "out_key"];

/// The columns besides, if a port's `other_config` changes in one of those keys.
pub const COMPANIONS_OF_KEYS: &[&str] = &["vlan_mode", "bond_mode", "lacp", "other_config", "interfaces"];

/// What does not work together in a port.
pub fn of_port(port: &PortSettings) -> Vec<Conflict> {
    let mut found = Vec::new();
    of_vlans(port, &mut found);
    of_trunks(port, &mut found);
    of_inner_vlans(port, &mut found);
    of_lacp(port, &mut found);
    of_bond(port, &mut found);
    found
}

/// What does not work together in a bridge.
pub fn of_bridge(bridge: BridgeSettings) -> Vec<Conflict> {
    match bridge {
        BridgeSettings { stp: true, rstp: true } => vec![Conflict {
            column: "stp_enable",
            because: &["rstp_enable"],
            effect: Effect::Ignored,
            problem: "stp_enable and rstp_enable are both true, and Open vSwitch ignores stp_enable then".to_owned(),
            expected: "only one of stp_enable and rstp_enable",
        }],
        _ => Vec::new(),
    }
}

/// What does not work together in an interface of this type.
pub fn of_interface(kind: &str, options: &BTreeMap<String, String>) -> Vec<Conflict> {
    // The identifier has so many bits on the wire (RFC 7348, RFC 8926, RFC 2890).
    let most = match kind {
        "vxlan" | "geneve" => 0xff_ffff,
        "gre" | "ip6gre" => 0xffff_ffff,
        _ => return Vec::new(),
    };
    let keys = KEYS_OF_TUNNELS.iter().filter_map(|key| Some((key, options.get(*key)?)));
    let unusable = keys.filter(|(_, value)| *value != "flow" && number(value).is_none_or(|number| number > most));
    let conflict = |(key, value): (&&str, &String)| Conflict {
        column: "options",
        because: &["type"],
        effect: Effect::Ignored,
        problem: format!(
            "options:{key} {value:?} of type {kind} is no number from 0 to {most}, so it is ignored by Open vSwitch, which \
             takes what it can read of it, or 0"
        ),
        expected: "the identifier of the network as a number, or flow",
    };
    unusable.map(conflict).collect()
}

/// A number as strtoull(3) reads it with base 0, if it reads all of it.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, base) = match text.strip_prefix('0') {
        Some(rest) if rest.starts_with(['x', 'X']) => (&rest[1..], 16),
        Some(rest) if !rest.is_empty() => (rest, 8),
        _ => (text, 10),
    };
    // Rust would take another sign.
    u64::from_str_radix(digits, base).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Adds a conflict by its parts, in the order in which [`Conflict`] has them.
fn adding_to(
    found: &mut Vec<Conflict>,
) -> impl FnMut(&'static str, &'static [&'static str], Effect, String, &'static str) {
    |column, because, effect, problem, expected| {
        found.push(Conflict { column, because, effect, problem, expected });
    }
}

fn of_vlans(port: &PortSettings, found: &mut Vec<Conflict>) {
    let mode = port.vlan_mode.as_deref();
    let mut add = adding_to(found);
    match (mode, port.tag) {
        // A port that is to carry nothing, as OpenStack makes it dead: 4095 is no VLAN (IEEE 802.1Q), and the only trunk.
        (Some("trunk"), Some(4095)) if port.trunks.iter().eq([&4095]) => {}
        (Some("trunk"), Some(tag)) => add(
            "tag",
            &["vlan_mode"],
            Effect::Ignored,
            format!("tag {tag} is ignored by Open vSwitch with vlan_mode trunk"),
            "vlan_mode native-untagged or native-tagged for a native VLAN beside the trunks, access for this VLAN alone, \
             or no tag",
        ),
        (Some(mode @ ("native-tagged" | "native-untagged")), None) => add(
            "vlan_mode",
            &["tag"],
            Effect::Idle,
            format!("vlan_mode {mode} without a tag: Open vSwitch takes 0 for the native VLAN"),
            "a tag",
        ),
        (Some(TUNNEL), None) => add(
            "vlan_mode",
            &["tag"],
            Effect::Idle,
            format!("vlan_mode {TUNNEL} without a tag: Open vSwitch takes 0 for the outer VLAN"),
            "a tag",
        ),
        _ => {}
    }
}

/// Trunks that carry nothing.
fn of_trunks(port: &PortSettings, found: &mut Vec<Conflict>) {
    let mode = port.vlan_mode.as_deref();
    let mut add = adding_to(found);
    if !port.trunks.is_empty() {
        let trunks = list(&port.trunks);
        match (mode, port.tag) {
            (None, Some(tag)) => add(
                "trunks",
                &["tag", "vlan_mode"],
                Effect::Ignored,
                format!(
                    "trunks {trunks} are ignored by Open vSwitch: with tag {tag} and no vlan_mode the port is an access \
                     port of VLAN {tag}"
                ),
                "vlan_mode native-untagged or native-tagged for a native VLAN beside the trunks, or only one of tag and \
                 trunks",
            ),
            (Some("access"), _) => add(
                "trunks",
                &["vlan_mode"],
                Effect::Ignored,
                format!("trunks {trunks} are ignored by Open vSwitch with vlan_mode access"),
                "vlan_mode native-untagged or native-tagged for a native VLAN beside the trunks, trunk for the trunks \
                 alone, or no trunks",
            ),
            (Some(TUNNEL), _) => add(
                "trunks",
                &["vlan_mode"],
                Effect::Ignored,
                format!("trunks {trunks} are ignored by Open vSwitch with vlan_mode {TUNNEL}"),
                "cvlans for the VLANs inside of that of the tag, or no trunks",
            ),
            _ => {}
        }
    }
    if let (Some("native-tagged" | "native-untagged"), Some(tag @ 1..)) = (mode, port.tag)
        && port.trunks.contains(&0)
    {
        add(
            "trunks",
            &["tag", "vlan_mode"],
            Effect::Ignored,
            format!("VLAN 0 among the trunks is ignored by Open vSwitch: frames without a tag are those of VLAN {tag}"),
            "trunks without 0, or no native VLAN",
        );
    }
}

/// VLANs inside of VLANs, which only a tunnel of them has.
fn of_inner_vlans(port: &PortSettings, found: &mut Vec<Conflict>) {
    let mode = port.vlan_mode.as_deref();
    let mut add = adding_to(found);
    if mode != Some(TUNNEL) {
        let mode = mode.map_or_else(|| "without a vlan_mode".to_owned(), |mode| format!("with vlan_mode {mode}"));
        if !port.cvlans.is_empty() {
            add(
                "cvlans",
                &["vlan_mode"],
                Effect::Ignored,
                format!("cvlans {} are ignored by Open vSwitch {mode}", list(&port.cvlans)),
                "vlan_mode dot1q-tunnel, or no cvlans",
            );
        }
        if let Some(kind) = port.other_config.get("qinq-ethtype") {
            add(
                "other_config",
                &["vlan_mode"],
                Effect::Ignored,
                format!("other_config:qinq-ethtype {kind} is ignored by Open vSwitch {mode}"),
                "vlan_mode dot1q-tunnel, or no qinq-ethtype",
            );
        }
    }
}

/// LACP also runs on a port with one interface.
fn of_lacp(port: &PortSettings, found: &mut Vec<Conflict>) {
    let config = |key: &str| port.other_config.get(key).map(String::as_str);
    if speaks_lacp(port) {
        if let Some(id) = config("lacp-system-id").filter(|id| !is_mac(id)) {
            found.push(Conflict {
                column: "lacp",
                because: &["other_config"],
                effect: Effect::Ignored,
                problem: format!(
                    "other_config:lacp-system-id {id:?} is no MAC address or a zero one, and Open vSwitch turns LACP off then"
                ),
                expected: "a MAC address like 02:00:00:00:00:01, or no lacp-system-id",
            });
        }
        return;
    }
    let fallback = config("lacp-fallback-ab").filter(|fallback| *fallback == "true").map(|_| "lacp-fallback-ab");
    let time = config("lacp-time").map(|_| "lacp-time");
    for key in [fallback, time].into_iter().flatten() {
        found.push(Conflict {
            column: "other_config",
            because: &["lacp"],
            effect: Effect::Idle,
            problem: format!("other_config:{key} does nothing while LACP is off"),
            expected: "lacp active or passive",
        });
    }
}

fn of_bond(port: &PortSettings, found: &mut Vec<Conflict>) {
    if port.interfaces < 2 {
        if let Some(mode) = &port.bond_mode {
            found.push(Conflict {
                column: "bond_mode",
                because: &["interfaces"],
                effect: Effect::Idle,
                problem: format!("bond_mode {mode} does nothing while the port has one interface"),
                expected: "a second interface (bond-member-add)",
            });
        }
        return;
    }
    // Without a mode it is that.
    let mode = port.bond_mode.as_deref().unwrap_or("active-backup");
    let has_lacp = speaks_lacp(port) && port.other_config.get("lacp-system-id").is_none_or(|id| is_mac(id));
    if mode == "balance-tcp" && !has_lacp {
        found.push(Conflict {
            column: "bond_mode",
            because: &["lacp", "other_config", "interfaces"],
            effect: Effect::Lost,
            problem: "bond_mode balance-tcp needs LACP, which is off: Open vSwitch drops every frame that comes in on \
                      the bond or would go out of it"
                .to_owned(),
            expected: "lacp active or passive with it, or another bond_mode",
        });
    }
    let Some(primary) = port.other_config.get("bond-primary") else { return };
    let falls_back = port.other_config.get("lacp-fallback-ab").is_some_and(|fallback| fallback == "true");
    if mode != "active-backup" && !falls_back {
        found.push(Conflict {
            column: "other_config",
            because: &["bond_mode"],
            effect: Effect::Idle,
            problem: format!("other_config:bond-primary {primary} does nothing with bond_mode {mode}"),
            expected: "bond_mode active-backup, or LACP with lacp-fallback-ab",
        });
    } else if port.members.as_ref().is_some_and(|members| !members.contains(primary)) {
        found.push(Conflict {
            column: "other_config",
            because: &["interfaces"],
            effect: Effect::Ignored,
            problem: format!(
                "other_config:bond-primary {primary:?} is ignored by Open vSwitch, as it is none of the members {}",
                port.members.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            expected: "the name of a member",
        });
    }
}

fn speaks_lacp(port: &PortSettings) -> bool {
    matches!(port.lacp.as_deref(), Some("active" | "passive"))
}

fn is_mac(text: &str) -> bool {
    let is_byte = |byte: &str| (1..=2).contains(&byte.len()) && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_zero = |byte: &str| byte.bytes().all(|digit| digit == b'0');
    text.split(':').count() == 6 && text.split(':').all(is_byte) && !text.split(':').all(is_zero)
}

/// VLAN ids for people, runs of them as "a-b", and not all if they are many.
fn list(ids: &BTreeSet<i64>) -> String {
    const SHOWN: usize = 8;
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let shown = runs.iter().take(SHOWN);
    let text = |(first, last): &(i64, i64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let mut text = shown.map(text).collect::<Vec<_>>().join(", ");
    if runs.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(mode: &str, tag: Option<i64>, trunks: &[i64]) -> PortSettings {
        PortSettings {
            vlan_mode: Some(mode.to_owned()).filter(|mode| !mode.is_empty()),
            tag,
            trunks: trunks.iter().copied().collect(),
            interfaces: 1,
            ..PortSettings::default()
        }
    }

    fn bond(mode: &str, lacp: &str, other_config: &[(&str, &str)]) -> PortSettings {
        PortSettings {
            bond_mode: Some(mode.to_owned()).filter(|mode| !mode.is_empty()),
            lacp: Some(lacp.to_owned()).filter(|lacp| !lacp.is_empty()),
            other_config: other_config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            interfaces: 2,
            members: Some(["e1", "e2"].map(str::to_owned).into()),
            ..PortSettings::default()
        }
    }

    #[track_caller]
    fn judged(port: &PortSettings, expected: &[(&str, Effect)]) {
        let found = of_port(port);
        let found: Vec<_> = found.iter().map(|conflict| (conflict.column, conflict.effect)).collect();
        assert_eq!(found, expected, "{port:?}");
    }

    #[test]
    fn of_tag_trunks_and_mode_a_part_may_be_ignored() {
        let (tag, trunks) = (("tag", Effect::Ignored), ("trunks", Effect::Ignored));
        let odd = ("vlan_mode", Effect::Idle);
        for (mode, plain, tagged, trunked, both) in [
            ("", &[][..], &[][..], &[][..], &[trunks][..]),
            ("access", &[], &[], &[trunks], &[trunks]),
            ("trunk", &[], &[tag], &[], &[tag]),
            ("native-tagged", &[odd], &[], &[odd], &[]),
            ("native-untagged", &[odd], &[], &[odd], &[]),
            ("dot1q-tunnel", &[odd], &[], &[odd, trunks], &[trunks]),
        ] {
            judged(&port(mode, None, &[]), plain);
            judged(&port(mode, Some(7), &[]), tagged);
            // VLAN 0 is one that may be asked for.
            judged(&port(mode, Some(0), &[]), tagged);
            judged(&port(mode, None, &[10]), trunked);
            judged(&port(mode, Some(7), &[10]), both);
        }
    }

    #[test]
    fn without_a_tag_frames_have_one_vlan_only() {
        for mode in ["native-tagged", "native-untagged"] {
            judged(&port(mode, Some(7), &[0, 10]), &[("trunks", Effect::Ignored)]);
            judged(&port(mode, Some(0), &[0, 10]), &[]);
        }
        judged(&port("trunk", None, &[0, 10]), &[]);
    }

    #[test]
    fn a_port_that_is_meant_to_be_dead_is_in_order() {
        judged(&port("trunk", Some(4095), &[4095]), &[]);
        judged(&port("trunk", Some(4095), &[7]), &[("tag", Effect::Ignored)]);
    }

    #[test]
    fn what_belongs_to_a_dot1q_tunnel_is_ignored_elsewhere() {
        for mode in ["", "access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"] {
            let mut port = port(mode, Some(7).filter(|_| mode != "trunk"), &[]);
            judged(&port, &[]);
            let ignored = |column| if mode == TUNNEL { Vec::new() } else { vec![(column, Effect::Ignored)] };
            port.cvlans = [1].into();
            judged(&port, &ignored("cvlans"));
            port.cvlans.clear();
            port.other_config.insert("qinq-ethtype".into(), "802.1q".into());
            judged(&port, &ignored("other_config"));
        }
    }

    #[test]
    fn balance_tcp_needs_lacp_and_two_members() {
        let lost = [("bond_mode", Effect::Lost)];
        judged(&bond("balance-tcp", "", &[]), &lost);
        judged(&bond("balance-tcp", "off", &[]), &lost);
        // The fallback is one of LACP.
        let fallback = [("lacp-fallback-ab", "true")];
        judged(&bond("balance-tcp", "off", &fallback), &[("other_config", Effect::Idle), lost[0]]);
        judged(&bond("balance-tcp", "active", &fallback), &[]);
        judged(&bond("balance-tcp", "passive", &[]), &[]);
        for mode in ["", "active-backup", "balance-slb"] {
            judged(&bond(mode, "", &[]), &[]);
            judged(&bond(mode, "active", &[]), &[]);
        }
        let alone = PortSettings { interfaces: 1, ..bond("balance-tcp", "", &[]) };
        judged(&alone, &[("bond_mode", Effect::Idle)]);
        // LACP on one interface is nothing odd.
        judged(&PortSettings { interfaces: 1, ..bond("", "active", &[("lacp-time", "fast")]) }, &[]);
    }

    #[test]
    fn lacp_with_a_system_id_that_is_none_is_off() {
        let off = ("lacp", Effect::Ignored);
        judged(&bond("active-backup", "active", &[("lacp-system-id", "02:00:00:00:00:0a")]), &[]);
        for id in ["", "7", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01"] {
            judged(&bond("active-backup", "active", &[("lacp-system-id", id)]), &[off]);
            let lost = ("bond_mode", Effect::Lost);
            judged(&bond("balance-tcp", "active", &[("lacp-system-id", id)]), &[off, lost]);
        }
    }

    #[test]
    fn a_primary_is_a_member_of_a_bond_that_has_one() {
        let primary = |name| [("bond-primary", name)];
        judged(&bond("active-backup", "", &primary("e2")), &[]);
        judged(&bond("", "", &primary("e2")), &[]);
        judged(&bond("active-backup", "", &primary("e3")), &[("other_config", Effect::Ignored)]);
        judged(&bond("balance-slb", "", &primary("e2")), &[("other_config", Effect::Idle)]);
        let falls_back = [("bond-primary", "e3"), ("lacp-fallback-ab", "true")];
        judged(&bond("balance-tcp", "active", &falls_back), &[("other_config", Effect::Ignored)]);
        let unknown = PortSettings { members: None, ..bond("active-backup", "", &primary("e3")) };
        judged(&unknown, &[]);
    }

    #[test]
    fn the_key_of_a_tunnel_is_a_number_of_its_protocol_or_flow() {
        let found = |kind, key: &str, value: &str| -> Vec<Effect> {
            of_interface(kind, &[(key.to_owned(), value.to_owned())].into()).iter().map(|found| found.effect).collect()
        };
        let (none, ignored) = (Vec::new(), vec![Effect::Ignored]);
        for value in ["0", "7", "+7", " 7", "16777215", "0x10", "0XfF", "010", "flow"] {
            assert_eq!(found("vxlan", "key", value), none, "{value}");
        }
        for value in ["", "zz", "7x", "0x", "0x+1", "08", "-1", "7 ", "16777216", "1e3", "99999999999999999999"] {
            assert_eq!(found("vxlan", "key", value), ignored, "{value}");
        }
        assert_eq!(found("geneve", "out_key", "x"), ignored);
        assert_eq!(found("gre", "in_key", "16777216"), none);
        // Of other types the key is another thing, or none.
        for kind in ["", "internal", "patch", "gtpu"] {
            assert_eq!(found(kind, "key", "zz"), none, "{kind}");
        }
        assert_eq!(found("vxlan", "remote_ip", "zz"), none);
    }

    #[test]
    fn of_two_spanning_trees_one_is_ignored() {
        for (stp, rstp) in [(false, false), (true, false), (false, true)] {
            assert_eq!(of_bridge(BridgeSettings { stp, rstp }), []);
        }
        let found = of_bridge(BridgeSettings { stp: true, rstp: true });
        assert_eq!((found[0].column, found[0].effect), ("stp_enable", Effect::Ignored));
    }

    #[test]
    fn ids_are_listed_as_people_write_them() {
        assert_eq!(list(&[1, 3, 4, 5, 9].into()), "1, 3-5, 9");
        assert_eq!(list(&(0..=4095).collect()), "0-4095");
        assert_eq!(list(&(0..40).step_by(2).collect()), "0, 2, 4, 6, 8, 10, 12, 14, …");
    }
}
