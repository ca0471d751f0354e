//! What is in the database and in the kernel, in forms that can be compared.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::Namespace;
use super::database::{self, Database};

/// The columns of the normalised state, for each table.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("Open_vSwitch", &["external_ids", "other_config"]),
    (
        "Bridge",
        &[
            "datapath_type",
            "fail_mode",
            "stp_enable",
            "rstp_enable",
            "mcast_snooping_enable",
            "protocols",
            "flood_vlans",
            "other_config",
            "external_ids",
        ],
    ),
    (
        "Port",
        &[
            "tag",
            "trunks",
            "vlan_mode",
            "cvlans",
            "bond_mode",
            "bond_updelay",
            "bond_downdelay",
            "bond_fake_iface",
            "fake_bridge",
            "lacp",
            "mac",
            "protected",
            "other_config",
            "external_ids",
        ],
    ),
    (
        "Interface",
        &[
            "type",
            "options",
            "mac",
            "mtu_request",
            "ofport_request",
            "ingress_policing_rate",
            "ingress_policing_burst",
            "lldp",
            "bfd",
            "other_config",
            "external_ids",
        ],
    ),
];

/// Sets of any size, shown as sorted lists also when they have one element.
const LISTS: [&str; 4] = ["protocols", "flood_vlans", "trunks", "cvlans"];

/// Numbers that may be absent, so that 0 is a value and not the default.
const OPTIONAL_NUMBERS: [&str; 3] = ["tag", "mtu_request", "ofport_request"];

/// Columns that say how the switch is doing and not how it should be: what ovs-vswitchd (vswitchd/bridge.c) and
/// ovsdb-server (ovsdb/ovsdb-server.c) write by themselves, at any time. Nothing that is compared has them.
pub const VOLATILE: [(&str, &[&str]); 8] = [
    ("Bridge", &["datapath_id", "datapath_version", "rstp_status", "status"]),
    ("Controller", &["is_connected", "role", "status"]),
    ("Datapath", &["capabilities", "datapath_version"]),
    (
        "Interface",
        &[
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_mpid",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "ifindex",
            "lacp_current",
            "link_resets",
            "link_speed",
            "link_state",
            "mac_in_use",
            "mtu",
            "ofport",
            "statistics",
            "status",
        ],
    ),
    ("Manager", &["is_connected", "status"]),
    ("Mirror", &["statistics"]),
    (
        "Open_vSwitch",
        &[
            "cur_cfg",
            "datapath_types",
            "dpdk_initialized",
            "dpdk_version",
            "iface_types",
            "next_cfg",
            "ovs_version",
            "statistics",
        ],
    ),
    ("Port", &["bond_active_slave", "rstp_statistics", "rstp_status", "statistics", "status"]),
];

/// Two equal readings a little apart: devices come and go a moment after the command that asked for it.
pub fn settled(database: &Database, net: &Namespace) -> Value {
    let end = Instant::now() + Duration::from_secs(10);
    let mut last = normalised(database, net);
    loop {
        thread::sleep(Duration::from_millis(60));
        let next = normalised(database, net);
        if next == last {
            return next;
        }
        assert!(Instant::now() < end, "the state does not settle:\n{}", difference(&last, &next));
        last = next;
    }
}

/// The state as it is now. What the database says is null if the server does not answer.
fn normalised(database: &Database, net: &Namespace) -> Value {
    let (bridges, open_vswitch, unreachable) = match Rows::read(database) {
        Ok(rows) => rows.normalised(),
        Err(_) => (Value::Null, Value::Null, Vec::new()),
    };
    let mut state = json!({"bridges": bridges, "open_vswitch": open_vswitch, "vxlan_links": vxlan_links(net)});
    if !unreachable.is_empty() {
        state["unreachable_bridges"] = json!(unreachable);
    }
    state
}

/// The rows of the tables of [`COLUMNS`] by their uuids, and plain.
struct Rows {
    tables: BTreeMap<&'static str, BTreeMap<String, Map<String, Value>>>,
}

impl Rows {
    fn read(database: &Database) -> Result<Rows, String> {
        let names: Vec<_> = COLUMNS.iter().map(|(table, _)| (*table).to_owned()).collect();
        let tables = database.snapshot(&names)?;
        let tables = COLUMNS.iter().zip(tables).map(|((name, _), rows)| {
            let rows = rows.iter().map(|row| {
                let row = row.as_object().expect("a row is an object");
                let columns = row.iter().map(|(column, value)| (column.clone(), database::plain(value))).collect();
                (database::plain(&row["_uuid"]).as_str().expect("a uuid is a text").to_owned(), columns)
            });
            (*name, rows.collect())
        });
        Ok(Rows { tables: tables.collect() })
    }

    /// Bridges by their names, the columns of the root row, and the names of bridges that the root row does not hold.
    fn normalised(&self) -> (Value, Value, Vec<String>) {
        let mut bridges = Map::new();
        let mut open_vswitch = Value::Null;
        let mut reached = Vec::new();
        for root in self.tables["Open_vSwitch"].values() {
            open_vswitch = shown("Open_vSwitch", root).into();
            for (uuid, name, row) in self.children("Bridge", &root["bridges"]) {
                let mut bridge = shown("Bridge", row);
                bridge.insert("ports".into(), self.ports(row).into());
                bridges.insert(name, bridge.into());
                reached.push(uuid);
            }
        }
        let unreachable = self.tables["Bridge"].iter().filter(|(uuid, _)| !reached.contains(uuid));
        (bridges.into(), open_vswitch, unreachable.map(|(_, row)| text(&row["name"])).collect())
    }

    fn ports(&self, bridge: &Map<String, Value>) -> Map<String, Value> {
        let ports = self.children("Port", &bridge["ports"]).map(|(_, name, row)| {
            let mut port = shown("Port", row);
            port.insert("interfaces".into(), self.interfaces(row).into());
            (name, port.into())
        });
        ports.collect()
    }

    fn interfaces(&self, port: &Map<String, Value>) -> Map<String, Value> {
        let interfaces = self.children("Interface", &port["interfaces"]).map(|(_, name, row)| {
            let mut interface = shown("Interface", row);
            interface.insert("attached".into(), row["ofport"].as_i64().is_some_and(|number| number > 0).into());
            (name, interface.into())
        });
        interfaces.collect()
    }

    /// The rows of a table that a set of uuids refers to, each with its uuid and its name.
    fn children<'a>(
        &'a self,
        table: &str,
        references: &Value,
    ) -> impl Iterator<Item = (&'a String, String, &'a Map<String, Value>)> {
        let uuids: Vec<_> = elements(references).iter().map(text).collect();
        self.tables[table]
            .iter()
            .filter(move |(uuid, _)| uuids.contains(uuid))
            .map(|(uuid, row)| (uuid, text(&row["name"]), row))
    }
}

/// The columns of a row that the state shows, those with their default value left out.
fn shown(table: &str, row: &Map<String, Value>) -> Map<String, Value> {
    let (_, columns) = COLUMNS.iter().find(|(name, _)| *name == table).expect("a table of the state");
    let mut shown = Map::new();
    for column in *columns {
        let Some(value) = row.get(*column) else { continue };
        let value = match value {
            value if LISTS.contains(column) => {
                let mut list = elements(value).to_vec();
                list.sort_by_key(|element| (element.as_i64(), element.to_string()));
                list.into()
            }
            Value::Object(map) if *column == "external_ids" => map
                .iter()
                .filter(|(key, _)| !key.starts_with("ovs-plugin"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            value => value.clone(),
        };
        let is_default = match &value {
            Value::Array(elements) => elements.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0) && !OPTIONAL_NUMBERS.contains(column),
            value => *value == false,
        };
        if !is_default {
            shown.insert((*column).into(), value);
        }
    }
    shown
}

/// The elements of a set, of which one alone stands without its set.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        element => std::slice::from_ref(element),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn vxlan_links(net: &Namespace) -> Value {
    let links = links(net, &["type", "vxlan"]).into_iter().map(|link| {
        let data = &link["linkinfo"]["info_data"];
        let shown = json!({
            "id": data["id"],
            "group": data["group"],
            "dev": data["link"],
            "port": data["port"],
            "learning": data["learning"],
            "mtu": link["mtu"],
            "up": is_up(&link),
        });
        (text(&link["ifname"]), shown)
    });
    links.collect::<Map<_, _>>().into()
}

fn is_up(link: &Value) -> bool {
    link["flags"].as_array().is_some_and(|flags| flags.contains(&json!("UP")))
}

fn links(net: &Namespace, filter: &[&str]) -> Vec<Value> {
    let words = [&["ip", "-details", "-json", "link", "show"], filter].concat();
    let output = net.run(&words);
    // ip prints nothing at all, instead of an empty list, when it knows no link of a type.
    let links: Vec<Value> = if output.trim().is_empty() { Vec::new() } else { serde_json::from_str(&output).unwrap() };
    // Older versions of ip leave an empty object in the place of each link that a filter hides.
    links.into_iter().filter(|link| link.get("ifname").is_some()).collect()
}

/// The configuration in the database by table and row, and the kernel's links by their names. This is the one way to
/// compare a switch before and after something.
pub fn dump(database: &Database, net: &Namespace) -> Value {
    let rows = database.snapshot(&database.tables()).map(|tables| database.tables().into_iter().zip(tables));
    let rows = rows.map(|tables| {
        let tables = tables.map(|(table, rows)| {
            let volatile = VOLATILE.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, columns)| columns);
            let rows = rows.into_iter().map(|row| {
                let row = row.as_object().expect("a row is an object");
                let key = text(&database::plain(&row["_uuid"]));
                let persistent = row
                    .iter()
                    .filter(|(column, _)| !column.starts_with('_') && !volatile.contains(&column.as_str()))
                    .map(|(column, value)| (column.clone(), database::plain(value)));
                (key, Value::Object(persistent.collect()))
            });
            (table, Value::Object(rows.collect()))
        });
        Value::Object(tables.collect())
    });
    let links = links(net, &[]).into_iter().map(|link| {
        let kept = ["address", "ifindex", "link", "linkinfo", "master", "mtu"];
        let mut shown: Map<_, _> =
            kept.iter().filter_map(|key| Some(((*key).to_owned(), link.get(*key)?.clone()))).collect();
        shown.insert("up".into(), is_up(&link).into());
        (text(&link["ifname"]), Value::Object(shown))
    });
    json!({"database": rows.unwrap_or(Value::Null), "links": Value::Object(links.collect())})
}

/// What `show` answers, without what ovs-vswitchd writes by itself at any time.
pub fn without_reports(picture: &Value) -> Value {
    // Members of the picture that have another name than the columns that they come from.
    const MEMBERS: [&str; 5] = ["active_member", "connected", "egress", "mac", "spanning_tree"];
    let is_reported =
        |member: &str| MEMBERS.contains(&member) || VOLATILE.iter().any(|(_, columns)| columns.contains(&member));
    match picture {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !is_reported(name));
            kept.map(|(name, value)| (name.clone(), without_reports(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(elements) => elements.iter().map(without_reports).collect(),
        other => other.clone(),
    }
}

/// The places at which two values differ, a line each.
pub fn difference(before: &Value, after: &Value) -> String {
    fn walk(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
        match (before, after) {
            (Value::Object(a), Value::Object(b)) => {
                let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
                for key in keys {
                    let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                    walk(&format!("{path}/{key}"), a, b, lines);
                }
            }
            _ if before == after => {}
            _ => lines.push(format!("{path}: {before} -> {after}")),
        }
    }
    let mut lines = Vec::new();
    walk("", before, after, &mut lines);
    lines.join("\n")
}
