//! The schema of the database.

use ovsdb::schema::DatabaseSchema;

use super::{About, Code, Examination, Findings, Severity};
use crate::vswitch::tables::{BRIDGE, FLOW_SAMPLE_COLLECTOR_SET, INTERFACE, OPEN_VSWITCH, PORT, RELIED_ON};

pub(super) const OLD: Code = Code {
    name: "schema-old",
    severity: Severity::Warning,
    meaning: "The database has the schema of an older Open vSwitch. What the message names is missing; everything else \
              works.",
    advice: "If the installed Open vSwitch is newer, convert the database to its schema: `ovs-plugin init` does it before \
             the daemons start, `ovsdb-client convert` while they run. Until then, an ovs-vswitchd that is newer than the \
             schema may be unable to tell the database what it has done.",
};

/// What is missing where a column is, by table and column. Columns that are in no list of the program yet do no harm.
const LIMITS: &[(&str, &str, &str)] = &[
    (OPEN_VSWITCH, "datapath_types", "a datapath type that ovs-vswitchd does not know is not found"),
    (OPEN_VSWITCH, "iface_types", "an interface type that ovs-vswitchd does not know is not found"),
    (OPEN_VSWITCH, "dpdk_version", "`version` does not tell that of DPDK"),
    (BRIDGE, "auto_attach", "auto-attach can't be set"),
    (BRIDGE, "ipfix", "IPFIX can't be set"),
    (BRIDGE, "rstp_enable", "the Rapid Spanning Tree Protocol can't be set"),
    (PORT, "bond_active_slave", "the active member of a bond is not told"),
    (PORT, "rstp_status", "a port's part in a rapid spanning tree is not told"),
    (INTERFACE, "error", "why an interface does not work is not told"),
    (INTERFACE, "ifindex", "the kernel's number of a device is not told"),
    (INTERFACE, "mac_in_use", "MAC addresses are not told"),
    (INTERFACE, "mtu_request", "an MTU can't be asked for"),
    (INTERFACE, "ofport_request", "a port that a container has left on the same bridge can't be taken over"),
    (FLOW_SAMPLE_COLLECTOR_SET, "", "sampling sets can't be set"),
];

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let Some(schema) = &examination.schema else { return };
    let missing = missing(schema);
    if !missing.is_empty() {
        findings.add(&OLD, About::SWITCH, format!("schema {} has no {}", schema.version, missing.join(", no ")));
    }
}

/// What the schema lacks of what the program knows by name, each with what follows.
fn missing(schema: &DatabaseSchema) -> Vec<String> {
    let told = |table: &str, column: &str| {
        let limit = LIMITS.iter().find(|limit| (limit.0, limit.1) == (table, column));
        let name = if column.is_empty() { table.to_owned() } else { format!("{table}.{column}") };
        limit.map_or_else(|| name.clone(), |(.., limit)| format!("{name} ({limit})"))
    };
    let mut missing = Vec::new();
    for (table, columns) in RELIED_ON {
        match schema.tables.get(*table) {
            None => missing.push(told(table, "")),
            Some(known) => {
                let unknown = columns.iter().filter(|column| !known.columns.contains_key(**column));
                missing.extend(unknown.map(|column| told(table, column)));
            }
        }
    }
    missing
}
