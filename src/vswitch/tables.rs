//! The part of the Open_vSwitch database (ovs-vswitchd.conf.db(5)) that this program knows by name.

/// The database.
pub const DATABASE: &str = "Open_vSwitch";

/// Its root table, with exactly one row.
pub const OPEN_VSWITCH: &str = "Open_vSwitch";
/// Bridges.
pub const BRIDGE: &str = "Bridge";
/// Ports of bridges.
pub const PORT: &str = "Port";
/// Interfaces of ports: one, or several in a bond.
pub const INTERFACE: &str = "Interface";
/// Mirrors of bridges; their references to ports are weak.
pub const MIRROR: &str = "Mirror";
/// What shapes the traffic of ports.
pub const QOS: &str = "QoS";
/// The classes of what shapes traffic.
pub const QUEUE: &str = "Queue";
/// OpenFlow controllers of bridges.
pub const CONTROLLER: &str = "Controller";
/// OVSDB managers of the switch.
pub const MANAGER: &str = "Manager";
/// Sampling sets; a root table whose rows keep their bridge alive.
pub const FLOW_SAMPLE_COLLECTOR_SET: &str = "Flow_Sample_Collector_Set";

/// The key in `external_ids` that marks what this program made; the value tells as what.
pub const MARK: &str = "ovs-plugin";

/// Whether the rows of a table have `external_ids`, so that a mark can be left there. The root row is nobody's work.
pub(super) fn takes_mark(table: &str) -> bool {
    const WITH_EXTERNAL_IDS: &[&str] = &[
        BRIDGE,
        PORT,
        INTERFACE,
        MIRROR,
        CONTROLLER,
        MANAGER,
        FLOW_SAMPLE_COLLECTOR_SET,
        "Flow_Table",
        "QoS",
        "Queue",
        "NetFlow",
        "sFlow",
        "IPFIX",
        "SSL",
        "Datapath",
        "CT_Zone",
        "CT_Timeout_Policy",
    ];
    WITH_EXTERNAL_IDS.contains(&table)
}

/// Whether a column is written by ovs-vswitchd alone, besides those that the schema calls ephemeral
/// (ovs-vswitchd.conf.db(5)). What start-up scripts write, `ovs_version` for instance, is none of these.
pub(super) fn is_report(table: &str, column: &str) -> bool {
    match table {
        OPEN_VSWITCH => {
            matches!(column, "cur_cfg" | "datapath_types" | "iface_types" | "dpdk_initialized" | "dpdk_version")
        }
        BRIDGE => column == "datapath_version",
        INTERFACE => matches!(column, "ofport" | "error" | "cfm_flap_count"),
        _ => false,
    }
}

/// The columns that are read of every row of a table, or `None` for all there are.
///
/// Never `Bridge.ports` or `Open_vSwitch.bridges`, which grow with the switch. Only columns that common schemas have:
/// where one is not there, each command has to ask twice.
pub(super) fn usual_columns(table: &str) -> Option<&'static [&'static str]> {
    Some(match table {
        OPEN_VSWITCH => &["_uuid", "cur_cfg", "next_cfg"],
        BRIDGE => &["_uuid", "name", "datapath_type", "external_ids"],
        PORT => &["_uuid", "name", "interfaces", "tag", "trunks", "vlan_mode", "fake_bridge", "external_ids"],
        INTERFACE => &["_uuid", "name", "type", "options", "external_ids", "ofport"],
        FLOW_SAMPLE_COLLECTOR_SET => &["_uuid", "bridge"],
        _ => return None,
    })
}

/// Every table and column that the program names itself; others only come from callers.
pub const RELIED_ON: &[(&str, &[&str])] = &[
    (
        OPEN_VSWITCH,
        &[
            "bridges",
            "cur_cfg",
            "next_cfg",
            "datapath_types",
            "dpdk_version",
            "manager_options",
            "other_config",
            "ovs_version",
            "system_type",
            "system_version",
        ],
    ),
    (
        BRIDGE,
        &[
            "name",
            "ports",
            "datapath_type",
            "external_ids",
            "controller",
            "mirrors",
            "fail_mode",
            "netflow",
            "sflow",
            "ipfix",
            "auto_attach",
            "stp_enable",
            "rstp_enable",
        ],
    ),
    (
        PORT,
        &[
            "name",
            "interfaces",
            "tag",
            "trunks",
            "vlan_mode",
            "fake_bridge",
            "external_ids",
            "other_config",
            "bond_mode",
            "bond_active_slave",
            "bond_updelay",
            "bond_downdelay",
            "lacp",
            "qos",
            "rstp_status",
            "status",
        ],
    ),
    (
        INTERFACE,
        &[
            "name",
            "type",
            "options",
            "external_ids",
            "mtu_request",
            "ofport_request",
            "ofport",
            "error",
            "admin_state",
            "link_state",
            "mtu",
            "mac_in_use",
            "ifindex",
            "lacp_current",
            "statistics",
            "status",
        ],
    ),
    (CONTROLLER, &["target", "is_connected"]),
    (MANAGER, &["target", "is_connected"]),
    (MIRROR, &["name", "select_all", "select_src_port", "select_dst_port", "output_port", "output_vlan"]),
    (QOS, &["queues"]),
    ("Flow_Table", &["name"]),
    (FLOW_SAMPLE_COLLECTOR_SET, &["id", "bridge"]),
];

/// The columns by which people configure a row, as far as the schema has them. ovs-vswitchd writes none.
pub(crate) fn configuration(table: &str) -> &'static [&'static str] {
    match table {
        OPEN_VSWITCH => {
            &["bridges", "manager_options", "ssl", "system_type", "system_version", "other_config", "external_ids"]
        }
        BRIDGE => &[
            "name",
            "ports",
            "mirrors",
            "netflow",
            "sflow",
            "ipfix",
            "controller",
            "protocols",
            "fail_mode",
            "flood_vlans",
            "flow_tables",
            "auto_attach",
            "stp_enable",
            "rstp_enable",
            "mcast_snooping_enable",
            "datapath_type",
            "other_config",
            "external_ids",
        ],
        PORT => &[
            "name",
            "interfaces",
            "tag",
            "trunks",
            "vlan_mode",
            "qos",
            "mac",
            "lacp",
            "bond_mode",
            "bond_updelay",
            "bond_downdelay",
            "bond_fake_iface",
            "fake_bridge",
            "other_config",
            "external_ids",
        ],
        INTERFACE => &[
            "name",
            "type",
            "options",
            "mac",
            "mtu_request",
            "ofport_request",
            "ingress_policing_rate",
            "ingress_policing_burst",
            "bfd",
            "lldp",
            "other_config",
            "external_ids",
        ],
        _ => &[],
    }
}

/// Columns that ovs-vswitchd or the server writes. A decision never rests on them and a row is never restored to them.
pub(super) fn is_reported(column: &str) -> bool {
    const REPORTED: &[&str] = &[
        "_uuid",
        "_version",
        "admin_state",
        "bfd_status",
        "bond_active_slave",
        "cfm_fault",
        "cfm_fault_status",
        "cfm_flap_count",
        "cfm_health",
        "cfm_remote_mpids",
        "cfm_remote_opstate",
        "cur_cfg",
        "datapath_id",
        "datapath_version",
        "duplex",
        "error",
        "ifindex",
        "lacp_current",
        "link_resets",
        "link_speed",
        "link_state",
        "mac_in_use",
        "mtu",
        "next_cfg",
        "ofport",
        "rstp_status",
        "rstp_statistics",
        "statistics",
        "status",
    ];
    REPORTED.contains(&column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb::schema::DatabaseSchema;

    #[test]
    fn every_table_that_can_hold_a_mark_is_known_but_for_the_root() {
        let text = include_str!("../../tests/data/vswitch-8.3.1.ovsschema");
        let schema: DatabaseSchema = serde_json::from_str(text).unwrap();
        for (name, table) in &schema.tables {
            let expected = table.columns.contains_key("external_ids") && name != OPEN_VSWITCH;
            assert_eq!(takes_mark(name), expected, "{name}");
        }
    }
}
