//! The rows of a switch as Rust structs, decoded straight from the wire.
//!
//! A column that is left out, as monitors do with default values, and selects with what the schema lacks, has its
//! default.

use std::collections::{BTreeMap, HashMap};

use ovsdb::operation::Name;
use ovsdb::replica;
use ovsdb::transaction::{OperationResult, Transaction};
use ovsdb::value::{Map, Optional, Set, Uuid, Value};
use ovsdb::wire::json;
use serde::{Deserialize, Deserializer};

use crate::vswitch::tables::{BRIDGE, CONTROLLER, INTERFACE, MANAGER, OPEN_VSWITCH, PORT};

/// A map column of strings.
pub type Strings = BTreeMap<String, String>;

/// All rows that a topology is made of, by identity. Nothing here depends on where they come from.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The root row, if the database has one.
    pub root: Option<RootRow>,
    /// Table Bridge.
    pub bridges: HashMap<Uuid, BridgeRow>,
    /// Table Port.
    pub ports: HashMap<Uuid, PortRow>,
    /// Table Interface.
    pub interfaces: HashMap<Uuid, InterfaceRow>,
    /// Table Controller.
    pub controllers: HashMap<Uuid, RemoteRow>,
    /// Table Manager.
    pub managers: HashMap<Uuid, RemoteRow>,
    /// The rows that could not be read and are missing here, each with what is wrong with it.
    pub unreadable: Vec<String>,
}

/// The one row of the table Open_vSwitch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RootRow {
    /// The configuration that ovs-vswitchd has applied.
    pub cur_cfg: i64,
    /// The configuration that the database holds.
    pub next_cfg: i64,
    /// The version of Open vSwitch.
    #[serde(deserialize_with = "optional")]
    pub ovs_version: Option<String>,
    /// The datapath types that ovs-vswitchd knows.
    #[serde(deserialize_with = "set")]
    pub datapath_types: Vec<String>,
    /// Settings, `stats-update-interval` among them.
    #[serde(deserialize_with = "map")]
    pub other_config: Strings,
    /// The managers.
    #[serde(deserialize_with = "set")]
    pub manager_options: Vec<Uuid>,
}

/// A row of the table Bridge.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BridgeRow {
    /// Its name.
    pub name: String,
    /// Its ports.
    #[serde(deserialize_with = "set")]
    pub ports: Vec<Uuid>,
    /// `system`, which may be spelled as the empty string, or `netdev`.
    pub datapath_type: String,
    /// What happens without a controller: `standalone` or `secure`.
    #[serde(deserialize_with = "optional")]
    pub fail_mode: Option<String>,
    /// The OpenFlow controllers.
    #[serde(deserialize_with = "set")]
    pub controller: Vec<Uuid>,
    /// The mirrors.
    #[serde(deserialize_with = "set")]
    pub mirrors: Vec<Uuid>,
    /// Whether the Spanning Tree Protocol runs.
    pub stp_enable: bool,
    /// Whether the Rapid Spanning Tree Protocol runs.
    pub rstp_enable: bool,
    /// Whatever others note.
    #[serde(deserialize_with = "map")]
    pub external_ids: Strings,
}

/// A row of the table Port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PortRow {
    /// Its name.
    pub name: String,
    /// Its interfaces: one, or several in a bond.
    #[serde(deserialize_with = "set")]
    pub interfaces: Vec<Uuid>,
    /// The VLAN of an access port, or the native one of a trunk.
    #[serde(deserialize_with = "optional")]
    pub tag: Option<i64>,
    /// The VLANs of a trunk; none means all.
    #[serde(deserialize_with = "set")]
    pub trunks: Vec<i64>,
    /// `access`, `trunk`, `native-tagged`, `native-untagged` or `dot1q-tunnel`.
    #[serde(deserialize_with = "optional")]
    pub vlan_mode: Option<String>,
    /// How a bond spreads its traffic.
    #[serde(deserialize_with = "optional")]
    pub bond_mode: Option<String>,
    /// The MAC address of the active member of a bond.
    #[serde(deserialize_with = "optional")]
    pub bond_active_slave: Option<String>,
    /// `active`, `passive` or `off`.
    #[serde(deserialize_with = "optional")]
    pub lacp: Option<String>,
    /// Whether the port is a VLAN bridge of ovs-vsctl.
    pub fake_bridge: bool,
    /// Its quality of service.
    #[serde(deserialize_with = "optional")]
    pub qos: Option<Uuid>,
    /// Settings, `lacp-fallback-ab` among them.
    #[serde(deserialize_with = "map")]
    pub other_config: Strings,
    /// The port's part in the Spanning Tree Protocol.
    #[serde(deserialize_with = "map")]
    pub status: Strings,
    /// The port's part in the Rapid Spanning Tree Protocol.
    #[serde(deserialize_with = "map")]
    pub rstp_status: Strings,
    /// Whatever others note.
    #[serde(deserialize_with = "map")]
    pub external_ids: Strings,
}

/// A row of the table Interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// Its type; empty is a network device of the system.
    pub r#type: String,
    /// What the type takes: the peer of a patch port, the remote of a tunnel.
    #[serde(deserialize_with = "map")]
    pub options: Strings,
    /// The OpenFlow port number; -1 when the interface could not be set up, none when nobody has tried.
    #[serde(deserialize_with = "optional")]
    pub ofport: Option<i64>,
    /// What is wrong with it.
    #[serde(deserialize_with = "optional")]
    pub error: Option<String>,
    /// Whether it is set up administratively: `up` or `down`.
    #[serde(deserialize_with = "optional")]
    pub admin_state: Option<String>,
    /// Whether it has a link: `up` or `down`.
    #[serde(deserialize_with = "optional")]
    pub link_state: Option<String>,
    /// The MTU in bytes.
    #[serde(deserialize_with = "optional")]
    pub mtu: Option<i64>,
    /// The MAC address.
    #[serde(deserialize_with = "optional")]
    pub mac_in_use: Option<String>,
    /// Whether the LACP partner's information is current.
    #[serde(deserialize_with = "optional")]
    pub lacp_current: Option<bool>,
    /// What the driver tells, and through which device a tunnel leaves (`tunnel_egress_iface`).
    #[serde(deserialize_with = "map")]
    pub status: Strings,
    /// Whatever others note.
    #[serde(deserialize_with = "map")]
    pub external_ids: Strings,
}

/// A row of the table Controller or Manager.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RemoteRow {
    /// Where it is, like `tcp:192.0.2.1:6653`.
    pub target: String,
    /// Whether the daemon is connected to it.
    pub is_connected: bool,
}

/// The columns of each table, those of the structs above.
pub const COLUMNS: &[(&str, &[&str])] = &[
    (
        OPEN_VSWITCH,
        &["_uuid", "cur_cfg", "next_cfg", "ovs_version", "datapath_types", "other_config", "manager_options"],
    ),
    (
        BRIDGE,
        &[
            "_uuid",
            "name",
            "ports",
            "datapath_type",
            "fail_mode",
            "controller",
            "mirrors",
            "stp_enable",
            "rstp_enable",
            "external_ids",
        ],
    ),
    (
        PORT,
        &[
            "_uuid",
            "name",
            "interfaces",
            "tag",
            "trunks",
            "vlan_mode",
            "bond_mode",
            "bond_active_slave",
            "lacp",
            "fake_bridge",
            "qos",
            "other_config",
            "status",
            "rstp_status",
            "external_ids",
        ],
    ),
    (
        INTERFACE,
        &[
            "_uuid",
            "name",
            "type",
            "options",
            "ofport",
            "error",
            "admin_state",
            "link_state",
            "mtu",
            "mac_in_use",
            "lacp_current",
            "status",
            "external_ids",
        ],
    ),
    (CONTROLLER, &["_uuid", "target", "is_connected"]),
    (MANAGER, &["_uuid", "target", "is_connected"]),
];

fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Optional::deserialize(deserializer).map(|Optional(value)| value)
}

fn set<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Set::deserialize(deserializer).map(|Set(elements)| elements.into_vec())
}

fn map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strings, D::Error> {
    Map::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
}

/// A row of a select, which tells its identity among its columns.
struct Selected<R> {
    uuid: Uuid,
    row: R,
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Selected<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SelectedVisitor(std::marker::PhantomData))
    }
}

struct SelectedVisitor<R>(std::marker::PhantomData<R>);

impl<'de, R: Deserialize<'de>> serde::de::Visitor<'de> for SelectedVisitor<R> {
    type Value = Selected<R>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row with its _uuid")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Selected<R>, A::Error> {
        let mut uuid = None;
        let columns = WithoutUuid { map, uuid: &mut uuid };
        let row = R::deserialize(serde::de::value::MapAccessDeserializer::new(columns))?;
        let uuid = uuid.ok_or_else(|| serde::de::Error::missing_field("_uuid"))?;
        Ok(Selected { uuid, row })
    }
}

/// The columns of a row as they come, with the identity put aside.
struct WithoutUuid<'a, A> {
    map: A,
    uuid: &'a mut Option<Uuid>,
}

impl<'de, A: serde::de::MapAccess<'de>> serde::de::MapAccess<'de> for WithoutUuid<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(column) = self.map.next_key::<String>()? {
            if column != "_uuid" {
                return seed.deserialize(serde::de::value::StringDeserializer::new(column)).map(Some);
            }
            *self.uuid = Some(self.map.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl Tables {
    /// The selects that read everything, in one request and at one point in time.
    pub(crate) fn selects() -> Transaction {
        let mut selects = Transaction::new();
        for &(table, columns) in COLUMNS {
            selects.select(table, Vec::new(), columns);
        }
        selects
    }

    /// The rows of a replica that has [`COLUMNS`], as of one transaction. A row that can't be read is left out and told in
    /// [`Tables::unreadable`]. A table or column that the schema does not have is empty.
    pub fn of_replica(tables: &replica::Tables) -> Tables {
        let mut unreadable = Vec::new();
        let mut read = Tables {
            root: replicated(tables, OPEN_VSWITCH, &mut unreadable).into_values().next(),
            bridges: replicated(tables, BRIDGE, &mut unreadable),
            ports: replicated(tables, PORT, &mut unreadable),
            interfaces: replicated(tables, INTERFACE, &mut unreadable),
            controllers: replicated(tables, CONTROLLER, &mut unreadable),
            managers: replicated(tables, MANAGER, &mut unreadable),
            unreadable: Vec::new(),
        };
        unreadable.sort();
        read.unreadable = unreadable;
        read
    }

    /// Reads the answers to [`Tables::selects`].
    pub(crate) fn of(results: &[OperationResult]) -> Result<Tables, json::Error> {
        fn rows<R: serde::de::DeserializeOwned>(
            results: &[OperationResult],
            table: &str,
        ) -> Result<HashMap<Uuid, R>, json::Error> {
            let place = COLUMNS.iter().position(|(name, _)| *name == table);
            let result = place.and_then(|place| results.get(place));
            let rows: Vec<Selected<R>> = result.map(OperationResult::rows).transpose()?.unwrap_or_default();
            Ok(rows.into_iter().map(|Selected { uuid, row }| (uuid, row)).collect())
        }
        Ok(Tables {
            root: rows(results, OPEN_VSWITCH)?.into_values().next(),
            bridges: rows(results, BRIDGE)?,
            ports: rows(results, PORT)?,
            interfaces: rows(results, INTERFACE)?,
            controllers: rows(results, CONTROLLER)?,
            managers: rows(results, MANAGER)?,
            // One row that can't be read fails the whole request.
            unreadable: Vec::new(),
        })
    }
}

/// The rows of a replicated table. What can't be read is told in `unreadable`.
fn replicated<R: serde::de::DeserializeOwned>(
    tables: &replica::Tables,
    table: &'static str,
    unreadable: &mut Vec<String>,
) -> HashMap<Uuid, R> {
    // The schema has no such table.
    let Some(shape) = tables.table(table).map(replica::Table::shape) else { return HashMap::new() };
    let wanted = COLUMNS.iter().filter(|(name, _)| *name == table).flat_map(|(_, columns)| columns.iter().copied());
    let columns = wanted.filter(|column| *column == "_uuid" || shape.column(column).is_some());
    let columns: Vec<Name> = columns.map(Name::from).collect();
    let Some(rows) = tables.select(table, &[], &columns) else {
        unreadable.push(format!("{table}: the replica does not tell its rows"));
        return HashMap::new();
    };
    let mut read = HashMap::with_capacity(rows.len());
    for row in rows {
        let name = row.get("name").and_then(Value::as_str).map(|name| format!(" {name}")).unwrap_or_default();
        match OperationResult::known(vec![row]).rows::<Selected<R>>() {
            Ok(rows) => read.extend(rows.into_iter().map(|Selected { uuid, row }| (uuid, row))),
            Err(error) => unreadable.push(format!("{table}{name}: {error}")),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn a_row_is_read_with_its_identity_wherever_that_stands() {
        for row in [
            json!({"_uuid": ["uuid", ID], "name": "p", "tag": 5, "trunks": ["set", []]}),
            json!({"name": "p", "tag": ["set", [5]], "zzz": 1, "_uuid": ["uuid", ID]}),
        ] {
            let selected: Selected<PortRow> = serde_json::from_str(&row.to_string()).unwrap();
            assert_eq!(selected.uuid.to_text(), ID);
            assert_eq!(selected.row, PortRow { name: "p".into(), tag: Some(5), ..PortRow::default() });
        }
        assert!(serde_json::from_value::<Selected<PortRow>>(json!({"name": "p"})).is_err());
    }
}
