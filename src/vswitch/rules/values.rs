//! Values in maps of strings that Open vSwitch can't read. It takes its default then, or a part of the value, at most with a
//! line in its log.
//!
//! What is read how is told in ovs-vswitchd.conf.db(5) and in the source of Open vSwitch: `smap_get_int`, `smap_get_bool`
//! and their like (lib/smap.c), and who calls them: vswitchd/bridge.c, lib/bfd.c, lib/lldp, lib/netdev-linux.c (QoS),
//! lib/netdev-vport.c (tunnels), lib/netdev-dpdk.c. Keys that are not here may have any value; what comes of `hwaddr` is told
//! by `asked.rs`.

use super::number;

/// How a value is read.
#[derive(Clone, Copy)]
enum Kind {
    /// `true` or `false` in letters of any case; anything else is the default (lib/smap.c, `smap_get_bool`).
    Flag,
    /// `true` or `false` in exactly these letters (lib/netdev-vport.c, `set_tunnel_config`).
    ExactFlag,
    /// A number without a sign.
    Whole,
    /// A number as strtoul(3) reads it with base 0: `0x8000` as well.
    AnyBase,
    /// A number, maybe with a sign.
    Integer,
    /// One of these words, exactly.
    Word(&'static [&'static str]),
    /// One of these words, in letters of any case.
    AnyCase(&'static [&'static str]),
    /// A port of TCP or UDP.
    TransportPort,
    /// A byte of an IP header, or the word for that of the inner packet.
    ByteOrInherit,
    /// A VLAN, or a word.
    VlanOrRandom,
    /// The MAC address of one device.
    Mac,
    /// An IPv4 address.
    Ipv4,
    /// The identifier of a datapath in OpenFlow.
    DatapathId,
}

/// Keys of one column that are read in the same way.
type Keys = (&'static str, &'static str, Kind, &'static [&'static str]);

const KEYS: &[Keys] = &[
    (
        "Open_vSwitch",
        "other_config",
        Kind::Flag,
        &[
            "enable-statistics",
            "flow-restore-wait",
            "hw-offload",
            "offload-rebalance",
            "per-port-memory",
            "pmd-auto-lb",
            "pmd-perf-metrics",
            "pmd-rxq-isolate",
            "smc-enable",
            "userspace-tso-enable",
            "vhost-iommu-support",
        ],
    ),
    (
        "Open_vSwitch",
        "other_config",
        Kind::Whole,
        &[
            "bundle-idle-timeout",
            "emc-insert-inv-prob",
            "flow-limit",
            "max-idle",
            "max-revalidator",
            "min-revalidate-pps",
            "n-handler-threads",
            "n-revalidator-threads",
            "pmd-auto-lb-rebal-interval",
            "stats-update-interval",
            "tx-flush-interval",
            "vlan-limit",
        ],
    ),
    ("Open_vSwitch", "other_config", Kind::AnyCase(&["false", "true", "try"]), &["dpdk-init"]),
    ("Open_vSwitch", "other_config", Kind::Word(&["cycles", "group", "roundrobin"]), &["pmd-rxq-assign"]),
    (
        "Bridge",
        "other_config",
        Kind::Flag,
        &["disable-in-band", "forward-bpdu", "mcast-snooping-disable-flood-unregistered"],
    ),
    (
        "Bridge",
        "other_config",
        Kind::Whole,
        &["mac-aging-time", "mac-table-size", "mcast-snooping-aging-time", "mcast-snooping-table-size"],
    ),
    (
        "Bridge",
        "other_config",
        Kind::AnyBase,
        &[
            "rstp-ageing-time",
            "rstp-force-protocol-version",
            "rstp-forward-delay",
            "rstp-max-age",
            "rstp-priority",
            "rstp-transmit-hold-count",
            "stp-forward-delay",
            "stp-hello-time",
            "stp-max-age",
            "stp-priority",
        ],
    ),
    ("Bridge", "other_config", Kind::DatapathId, &["datapath-id"]),
    (
        "Port",
        "other_config",
        Kind::Flag,
        &[
            "all-members-active",
            "all-slaves-active",
            "lacp-fallback-ab",
            "lb-output-action",
            "mcast-snooping-flood",
            "mcast-snooping-flood-reports",
            "rstp-enable",
            "rstp-port-auto-edge",
            "rstp-port-mcheck",
            "stp-enable",
        ],
    ),
    ("Port", "other_config", Kind::Whole, &["bond-miimon-interval", "bond-rebalance-interval", "lacp-system-priority"]),
    (
        "Port",
        "other_config",
        Kind::AnyBase,
        &[
            "rstp-path-cost",
            "rstp-port-num",
            "rstp-port-priority",
            "stp-path-cost",
            "stp-port-num",
            "stp-port-priority",
        ],
    ),
    ("Port", "other_config", Kind::Integer, &["bond-hash-basis"]),
    ("Port", "other_config", Kind::Word(&["carrier", "miimon"]), &["bond-detect-mode"]),
    ("Port", "other_config", Kind::AnyCase(&["fast", "slow"]), &["lacp-time"]),
    ("Port", "other_config", Kind::Word(&["802.1ad", "802.1q"]), &["qinq-ethtype"]),
    ("Interface", "options", Kind::ExactFlag, &["csum", "df_default", "seq"]),
    (
        "Interface",
        "options",
        Kind::Flag,
        &["dpdk-lsc-interrupt", "flow-ctrl-autoneg", "rx-flow-ctrl", "tx-flow-ctrl", "use-need-wakeup"],
    ),
    ("Interface", "options", Kind::TransportPort, &["dst_port"]),
    ("Interface", "options", Kind::ByteOrInherit, &["tos", "ttl"]),
    ("Interface", "options", Kind::Whole, &["n_rxq", "n_rxq_desc", "n_txq_desc"]),
    ("Interface", "other_config", Kind::Flag, &["cfm_demand", "cfm_extended", "emc-enable"]),
    (
        "Interface",
        "other_config",
        Kind::Whole,
        &["cfm_ccm_pcp", "cfm_interval", "lacp-aggregation-key", "lacp-port-id", "lacp-port-priority"],
    ),
    ("Interface", "other_config", Kind::VlanOrRandom, &["cfm_ccm_vlan"]),
    ("Interface", "bfd", Kind::Flag, &["check_tnl_key", "cpath_down", "enable", "forwarding_if_rx"]),
    ("Interface", "bfd", Kind::Whole, &["decay_min_rx", "min_rx", "min_tx", "mult"]),
    ("Interface", "bfd", Kind::Mac, &["bfd_local_dst_mac", "bfd_local_src_mac", "bfd_remote_dst_mac"]),
    ("Interface", "bfd", Kind::Ipv4, &["bfd_dst_ip", "bfd_src_ip"]),
    ("Interface", "lldp", Kind::Flag, &["enable"]),
    ("QoS", "other_config", Kind::Whole, &["cbs", "cir", "ebs", "eir", "max-rate"]),
    ("Queue", "other_config", Kind::Whole, &["burst", "dscp", "max-rate", "min-rate", "priority"]),
    (
        "IPFIX",
        "other_config",
        Kind::Flag,
        &["enable-input-sampling", "enable-output-sampling", "enable-tunnel-sampling"],
    ),
    ("Controller", "other_config", Kind::Whole, &["dscp"]),
    ("Manager", "other_config", Kind::Whole, &["dscp"]),
];

/// The columns in which values are looked at, by table, with one that names the row first where there is one. Every schema
/// since Open vSwitch 2.5 has them.
pub const COLUMNS_OF_MAPS: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["_uuid", "other_config"]),
    ("Bridge", &["name", "other_config"]),
    ("Port", &["name", "other_config"]),
    ("Interface", &["name", "options", "other_config", "bfd", "lldp"]),
    ("QoS", &["_uuid", "other_config"]),
    ("Queue", &["_uuid", "other_config"]),
    ("IPFIX", &["_uuid", "other_config"]),
    ("Controller", &["target", "other_config"]),
    ("Manager", &["target", "other_config"]),
];

/// What is wrong with a value in a map, if Open vSwitch can't read it.
pub fn of_value(table: &str, column: &str, key: &str, value: &str) -> Option<String> {
    let is_it = |(of, map, _, keys): &&Keys| *of == table && *map == column && keys.contains(&key);
    let (.., kind, _) = KEYS.iter().find(is_it)?;
    let expected = kind.refuses(value)?;
    Some(format!("{column}:{key} {value:?} can't be read by Open vSwitch; expected {expected}"))
}

impl Kind {
    /// What was expected, if a value is not readable.
    fn refuses(self, value: &str) -> Option<String> {
        let is_any_case = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        let (is_readable, expected) = match self {
            Kind::Flag => (is_any_case(&["true", "false"]), "true or false".to_owned()),
            Kind::ExactFlag => (matches!(value, "true" | "false"), "true or false, in these letters".to_owned()),
            Kind::Whole => (is_whole(value), "a whole number".to_owned()),
            Kind::AnyBase => (number(value).is_some(), "a whole number".to_owned()),
            Kind::Integer => (is_whole(value.strip_prefix('-').unwrap_or(value)), "an integer".to_owned()),
            Kind::Word(words) => (words.contains(&value), words.join(" or ")),
            Kind::AnyCase(words) => (is_any_case(words), words.join(" or ")),
            Kind::TransportPort => {
                (is_whole(value) && value.parse::<u16>().is_ok(), "a port number from 0 to 65535".to_owned())
            }
            Kind::ByteOrInherit => {
                let is_byte = number(value).is_some_and(|number| number <= 255);
                (is_byte || value == "inherit", "a number from 0 to 255, or inherit".to_owned())
            }
            Kind::VlanOrRandom => {
                (is_whole(value) || value.eq_ignore_ascii_case("random"), "a VLAN, or random".to_owned())
            }
            Kind::Mac => (is_mac_of_one(value), "the MAC address of one device, like 02:00:00:00:00:01".to_owned()),
            Kind::Ipv4 => (value.parse::<std::net::Ipv4Addr>().is_ok(), "an IPv4 address".to_owned()),
            Kind::DatapathId => (is_datapath_id(value), "16 hexadecimal digits".to_owned()),
        };
        (!is_readable).then_some(expected)
    }
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The first byte of the address of a group is odd (IEEE 802-2014 section 8.4).
fn is_mac_of_one(text: &str) -> bool {
    let first = text.split(':').next().and_then(|byte| u8::from_str_radix(byte, 16).ok());
    super::is_mac(text) && first.is_some_and(|byte| byte & 1 == 0)
}

fn is_datapath_id(text: &str) -> bool {
    let short = text.strip_prefix("0x").is_some_and(|rest| (1..=16).contains(&rest.len()) && is_hex(rest));
    short || (text.len() == 16 && is_hex(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_open_vswitch_cannot_read_are_told() {
        for (table, column, key, good, bad) in [
            ("Open_vSwitch", "other_config", "hw-offload", &["true", "False"][..], &["yes", "1", "on"][..]),
            ("Open_vSwitch", "other_config", "max-idle", &["500"], &["5s", "-1", ""]),
            ("Open_vSwitch", "other_config", "dpdk-init", &["TRUE", "try"], &["yes"]),
            ("Port", "other_config", "lacp-fallback-ab", &["true", "FALSE"], &["yes", "1", ""]),
            ("Port", "other_config", "bond-detect-mode", &["carrier", "miimon"], &["mii", "Carrier"]),
            ("Port", "other_config", "lacp-time", &["fast", "slow"], &["rapid"]),
            ("Port", "other_config", "bond-rebalance-interval", &["0", "10000"], &["5s", "1.5", "-1"]),
            ("Port", "other_config", "bond-hash-basis", &["0", "-7"], &["0x1", "-"]),
            ("Queue", "other_config", "max-rate", &["250000000"], &["2.5e8", "10M", "1000.5"]),
            ("QoS", "other_config", "max-rate", &["1000"], &["1 000"]),
            ("Bridge", "other_config", "datapath-id", &["0000000000000001", "0x1"], &["1", "zz", "0x"]),
            ("Bridge", "other_config", "stp-priority", &["32768", "0x8000"], &["high", "1.5"]),
            ("Interface", "options", "dst_port", &["4789", "0"], &["abc", "65536"]),
            ("Interface", "options", "ttl", &["64", "inherit", "0x10"], &["999", "much"]),
            ("Interface", "options", "tos", &["inherit", "16"], &["zz"]),
            ("Interface", "options", "csum", &["true", "false"], &["True", "1"]),
            ("Interface", "options", "whatever", &["zz"], &[]),
            ("Interface", "bfd", "enable", &["true"], &["yes"]),
            (
                "Interface",
                "bfd",
                "bfd_local_src_mac",
                &["02:00:00:00:00:01"],
                &["03:00:00:00:00:01", "2-0", "0:0:0:0:0:0"],
            ),
            ("Interface", "bfd", "bfd_src_ip", &["192.0.2.1"], &["192.0.2", "::1"]),
            ("Interface", "other_config", "cfm_ccm_vlan", &["5", "random"], &["any"]),
        ] {
            for value in good {
                assert_eq!(of_value(table, column, key, value), None, "{key}={value}");
            }
            for value in bad {
                let problem = of_value(table, column, key, value).expect(value);
                assert!(problem.contains(key) && problem.contains("expected"), "{problem}");
            }
        }
    }

    #[test]
    fn a_key_is_listed_once() {
        let all = KEYS.iter().flat_map(|(table, column, _, keys)| keys.iter().map(move |key| (table, column, key)));
        let mut seen = std::collections::BTreeSet::new();
        for key in all {
            assert!(seen.insert(key), "{key:?}");
        }
        for (table, column, ..) in KEYS {
            let is_read = |(of, columns): &(&str, &[&str])| of == table && columns.contains(column);
            assert!(COLUMNS_OF_MAPS.iter().any(is_read), "{table}.{column}");
        }
    }
}
