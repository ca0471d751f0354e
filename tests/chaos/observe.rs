//! What is in the database and in the kernel, read without any code of the plugin: rows with a client of a few lines
//! (`support::Database`), devices with `ip -json link`.

use serde_json::{Map, Value, json};

use crate::support::{Switch, plain};

/// Columns that tell how the switch is doing and not how it should be.
const VOLATILE: &[&str] = &[
    "admin_state",
    "bfd_status",
    "bond_active_slave",
    "cfm_fault",
    "cfm_fault_status",
    "cfm_flap_count",
    "cfm_health",
    "cfm_mpid",
    "cfm_remote_mpids",
    "cfm_remote_opstate",
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
    "ofport",
    "rstp_statistics",
    "rstp_status",
    "statistics",
    "status",
];

/// The state of the switch: bridges with their ports and these with their interfaces, the settings of the root row, and
/// the kernel's devices that the switch or the plugin has made. Default values, identities and the plugin's own marks
/// are left out. An error if the database does not answer.
pub fn observe(switch: &Switch) -> Result<Value, String> {
    let tables = ["Open_vSwitch", "Bridge", "Port", "Interface"].map(String::from);
    let tables = switch.database.snapshot(&tables)?;
    let mut bridges = Map::new();
    let mut reached = 0;
    for bridge in children(&tables[1], &tables[0][0]["bridges"]) {
        let mut ports = Map::new();
        for port in children(&tables[2], &bridge["ports"]) {
            let mut interfaces = Map::new();
            for interface in children(&tables[3], &port["interfaces"]) {
                interfaces.insert(name(interface), columns(interface).into());
                reached += 1;
            }
            let mut shown = columns(port);
            shown.insert("interfaces".into(), interfaces.into());
            ports.insert(name(port), shown.into());
            reached += 1;
        }
        let mut shown = columns(bridge);
        shown.insert("ports".into(), ports.into());
        bridges.insert(name(bridge), shown.into());
        reached += 1;
    }
    let rows: usize = tables[1..].iter().map(Vec::len).sum();
    Ok(json!({
        "bridges": bridges,
        "root": root(&tables[0][0]),
        "unreachable rows": rows - reached,
        "devices": devices(switch),
    }))
}

fn root(row: &Value) -> Value {
    json!({"external_ids": own_left_out(&plain(&row["external_ids"])), "other_config": plain(&row["other_config"])})
}

fn name(row: &Value) -> String {
    row["name"].as_str().unwrap().to_owned()
}

/// The rows of a table that a set of references holds.
fn children<'a>(table: &'a [Value], references: &Value) -> impl Iterator<Item = &'a Value> {
    let plain = plain(references);
    let uuids = match plain {
        Value::Array(uuids) => uuids,
        uuid => vec![uuid],
    };
    table.iter().filter(move |row| uuids.contains(&row["_uuid"][1]))
}

fn columns(row: &Value) -> Map<String, Value> {
    let mut shown = Map::new();
    for (column, value) in row.as_object().unwrap() {
        let structure = ["name", "ports", "interfaces"].contains(&column.as_str()) || column.starts_with('_');
        if structure || VOLATILE.contains(&column.as_str()) {
            continue;
        }
        let value = if column == "external_ids" { own_left_out(&plain(value)) } else { plain(value) };
        let is_default = match &value {
            Value::Array(elements) => elements.is_empty(),
            Value::Object(pairs) => pairs.is_empty(),
            Value::String(text) => text.is_empty(),
            value => *value == false || *value == 0,
        };
        if !is_default {
            shown.insert(column.clone(), value);
        }
    }
    shown
}

fn own_left_out(external_ids: &Value) -> Value {
    let pairs = external_ids.as_object().unwrap().iter().filter(|(key, _)| !key.starts_with("ovs-plugin"));
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The devices of bridges (of the datapath type netdev, they are tun devices) and VXLAN devices.
fn devices(switch: &Switch) -> Value {
    let links: Vec<Value> =
        serde_json::from_str(&switch.net.run(&["ip", "-details", "-json", "link", "show"])).unwrap();
    let shown = links.iter().filter_map(|link| {
        let name = link["ifname"].as_str().filter(|name| *name != "ovs-netdev")?;
        let shown = match link["linkinfo"]["info_kind"].as_str()? {
            "vxlan" => {
                json!({"vni": link["linkinfo"]["info_data"]["id"], "over": link["linkinfo"]["info_data"]["link"]})
            }
            "tun" => json!("bridge"),
            _ => return None,
        };
        Some((name.to_owned(), shown))
    });
    Value::Object(shown.collect())
}
