//! Schemas of older releases of Open vSwitch: the present one, with what came later taken away.
//!
//! What came with which release is told by the history of `vswitchd/vswitch.ovsschema` in openvswitch/ovs.

use serde_json::{Value, json};

use super::proxy::{From, operations};

const PRESENT: &str = include_str!("../data/vswitch-8.3.1.ovsschema");

/// A release, the version of its schema, and the columns that came after the release before it. A table without columns
/// came as a whole.
type Release = (&'static str, &'static str, &'static [(&'static str, &'static [&'static str])]);

/// Releases in the order in which they came; what the first one has is not listed.
const RELEASES: &[Release] = &[
    ("1.9", "6.10.0", &[]),
    (
        "2.1",
        "7.4.0",
        &[
            ("Bridge", &["ipfix"]),
            ("Interface", &["mac_in_use", "ifindex", "ofport_request", "bfd", "bfd_status", "cfm_flap_count"]),
            ("Flow_Table", &["prefixes"]),
            ("IPFIX", &[]),
            ("Flow_Sample_Collector_Set", &[]),
        ],
    ),
    ("2.3", "7.6.0", &[("Flow_Table", &["external_ids"])]),
    (
        "2.5",
        "7.12.1",
        &[
            ("Open_vSwitch", &["datapath_types", "iface_types"]),
            ("Bridge", &["datapath_version", "rstp_enable", "rstp_status", "mcast_snooping_enable", "auto_attach"]),
            ("Port", &["bond_active_slave", "rstp_status", "rstp_statistics"]),
            ("Interface", &["lldp", "error"]),
            ("IPFIX", &["other_config"]),
            ("AutoAttach", &[]),
        ],
    ),
    ("2.6", "7.14.0", &[("Interface", &["mtu_request"]), ("Mirror", &["snaplen"])]),
    ("2.9", "7.15.1", &[("Port", &["cvlans", "protected"])]),
    ("2.10", "7.16.1", &[("Open_vSwitch", &["dpdk_initialized", "dpdk_version"])]),
    (
        "2.13",
        "8.2.0",
        &[
            ("Open_vSwitch", &["datapaths"]),
            ("Controller", &["type", "controller_queue_size"]),
            ("Datapath", &[]),
            ("CT_Zone", &[]),
            ("CT_Timeout_Policy", &[]),
        ],
    ),
    ("3.1", "8.3.1", &[("Interface", &["ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst"])]),
];

/// The schema of a release.
pub fn of_release(release: &str) -> Value {
    let mut schema: Value = serde_json::from_str(PRESENT).unwrap();
    let place = RELEASES.iter().position(|(name, ..)| *name == release).expect("a release of the list");
    schema["version"] = json!(RELEASES[place].1);
    let tables = schema["tables"].as_object_mut().unwrap();
    for (_, _, added) in &RELEASES[place + 1..] {
        for (table, columns) in *added {
            match columns {
                [] => drop(tables.remove(*table).unwrap_or_else(|| panic!("no table {table}"))),
                // A whole table may go with a release before that of its columns.
                columns => {
                    for column in *columns {
                        let known = tables.get_mut(*table).map(|known| known["columns"].as_object_mut().unwrap());
                        known.map(|known| known.remove(*column).unwrap_or_else(|| panic!("no {table}.{column}")));
                    }
                }
            }
        }
    }
    schema
}

/// The present schema without some columns, as `Table.column`.
pub fn without(columns: &[&str]) -> Value {
    let mut schema: Value = serde_json::from_str(PRESENT).unwrap();
    schema["version"] = json!("8.3.0");
    for column in columns {
        let (table, column) = column.split_once('.').unwrap();
        let known = &mut schema["tables"][table];
        known["columns"].as_object_mut().unwrap().remove(column).unwrap();
        // An index over it goes with it.
        if let Some(indexes) = known.get_mut("indexes").and_then(Value::as_array_mut) {
            indexes.retain(|index| index.as_array().is_some_and(|index| !index.contains(&json!(column))));
        }
    }
    schema
}

/// Makes of what a daemon writes what the daemon of that schema would write: without columns that the schema lacks. A
/// present ovs-vswitchd reads any schema, but its writes are refused as a whole for each column that is not there.
pub fn writes_of_that_time(schema: &Value, from: From, message: &mut Value) {
    if from == From::Server || operations(message).is_none() {
        return;
    }
    let Some(operations) = message["params"].as_array_mut() else { return };
    for operation in &mut operations[1..] {
        let known = &schema["tables"][operation["table"].as_str().unwrap_or_default()]["columns"];
        if let Some(row) = operation.get_mut("row").and_then(Value::as_object_mut) {
            row.retain(|column, _| known.get(column).is_some());
        }
    }
}
