//! Rows that are in no topology of the switch and that only checks look at: mirrors, quality of service, and the maps of
//! settings of all.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::Row;
use ovsdb::transaction::OperationResult;
use ovsdb::value::{Atom, Map, Optional, Set, Uuid, Value};
use ovsdb::wire::json;
use serde::Deserialize;

use crate::error::Error;
use crate::vswitch::asked;
use crate::vswitch::rules::{self, COLUMNS_OF_MAPS};
use crate::vswitch::tables::{BRIDGE, INTERFACE, MIRROR, OPEN_VSWITCH, QOS, QUEUE};
use crate::vswitch::topology::Tables;
use crate::vswitch::unit::{Unit, unreadable};
use crate::vswitch::verify::InterfaceStatus;

/// The columns that are read of each table; every schema since Open vSwitch 2.5 has them.
const COLUMNS: &[(&str, &[&str])] = &[
    (MIRROR, &["_uuid", "name", "select_all", "select_src_port", "select_dst_port", "output_port", "output_vlan"]),
    (QOS, &["_uuid", "queues"]),
    (QUEUE, &["_uuid"]),
];

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Further {
    /// The mirrors of each bridge, by the bridge's name.
    pub(super) mirrors: BTreeMap<String, Vec<MirrorRow>>,
    /// The rows of QoS that no port refers to.
    pub(super) unused_qos: BTreeSet<String>,
    /// The rows of Queue that no row of QoS refers to.
    pub(super) unused_queues: BTreeSet<String>,
    /// Values that Open vSwitch can't read.
    pub(super) unreadable: Vec<Unreadable>,
    /// What interfaces ask for and do not have, with their names.
    pub(super) differences: Vec<(String, String)>,
}

/// A value in a map that Open vSwitch can't read.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    pub(super) table: &'static str,
    /// What the row is called: its name, its target or its identity; nothing for the one row of the root table.
    pub(super) name: String,
    pub(super) problem: String,
}

impl Unreadable {
    /// Those in rows of a table.
    fn of(table: &'static str, columns: &[&str], rows: &[Row]) -> Vec<Unreadable> {
        let mut found = Vec::new();
        for row in rows {
            let identity = columns.first().and_then(|column| row.get(*column));
            let name = match identity {
                Some(Value::Atom(Atom::String(name))) => name.to_string(),
                Some(Value::Atom(Atom::Uuid(uuid))) if table != OPEN_VSWITCH => uuid.to_text(),
                // Of the root table there is one row.
                _ => String::new(),
            };
            for column in &columns[1..] {
                let pairs = row.get(*column).and_then(Value::as_map).into_iter().flatten();
                for (key, value) in pairs {
                    let (Atom::String(key), Atom::String(text)) = (key, value) else { continue };
                    if let Some(problem) = rules::of_value(table, column, key, text) {
                        found.push(Unreadable { table, name: name.clone(), problem });
                    }
                }
            }
        }
        found.sort_by(|one, other| (one.table, &one.name).cmp(&(other.table, &other.name)));
        found
    }
}

/// A mirror. A column that the schema lacks is none, and what it might have said is not held against the mirror.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MirrorRow {
    _uuid: Uuid,
    /// Its name, which may be that of others, too.
    pub(super) name: String,
    /// Whether it selects every frame.
    select_all: Option<bool>,
    select_src_port: Option<Set<Uuid>>,
    select_dst_port: Option<Set<Uuid>>,
    output_port: Option<Optional<Uuid>>,
    output_vlan: Option<Optional<i64>>,
    /// The ports that it names and that are not on its bridge, so that ovs-vswitchd leaves them out.
    #[serde(skip)]
    pub(super) elsewhere: Vec<String>,
}

impl MirrorRow {
    /// Whether it selects frames: all of them, or those of some port. `select_vlan` only takes away from these.
    pub(super) fn has_source(&self) -> bool {
        let mut ports = [&self.select_src_port, &self.select_dst_port].into_iter();
        self.select_all.unwrap_or(true) || ports.any(|ports| ports.as_ref().is_none_or(|ports| !ports.0.is_empty()))
    }

    /// Whether it has both outputs, of which only the port counts.
    pub(super) fn has_two_outputs(&self) -> bool {
        let is_given = |given: Option<bool>| given.unwrap_or(false);
        is_given(self.output_port.map(|port| port.0.is_some()))
            && is_given(self.output_vlan.map(|vlan| vlan.0.is_some()))
    }

    /// The ports that it selects or sends to.
    fn ports(&self) -> impl Iterator<Item = Uuid> + '_ {
        let selected = [&self.select_src_port, &self.select_dst_port].into_iter().flatten().flat_map(|ports| &*ports.0);
        selected.copied().chain(self.output_port.and_then(|port| port.0))
    }

    /// Whether it sends what it selects anywhere.
    pub(super) fn has_output(&self) -> bool {
        self.output_port.is_none_or(|port| port.0.is_some()) || self.output_vlan.is_none_or(|vlan| vlan.0.is_some())
    }
}

#[derive(Deserialize)]
struct QosRow {
    _uuid: Uuid,
    queues: Map<i64, Uuid>,
}

#[derive(Deserialize)]
struct QueueRow {
    _uuid: Uuid,
}

impl Further {
    fn of(tables: &Tables, results: &[OperationResult]) -> Result<Further, json::Error> {
        fn rows<R: serde::de::DeserializeOwned>(
            results: &[OperationResult],
            table: &str,
        ) -> Result<Vec<R>, json::Error> {
            let place = COLUMNS.iter().position(|(name, _)| *name == table);
            Ok(place.and_then(|place| results.get(place)).map(OperationResult::rows).transpose()?.unwrap_or_default())
        }
        let mirrors: BTreeMap<Uuid, MirrorRow> =
            rows::<MirrorRow>(results, MIRROR)?.into_iter().map(|row| (row._uuid, row)).collect();
        let (qos, queues) = (rows::<QosRow>(results, QOS)?, rows::<QueueRow>(results, QUEUE)?);
        let used: BTreeSet<Uuid> = tables.ports.values().filter_map(|port| port.qos).collect();
        let (qos, queues_of): (Vec<Uuid>, Vec<Map<i64, Uuid>>) =
            qos.into_iter().map(|row| (row._uuid, row.queues)).unzip();
        let used_queues: BTreeSet<Uuid> = queues_of.into_iter().flatten().map(|(_, queue)| queue).collect();
        let unused = |rows: Vec<Uuid>, used: &BTreeSet<Uuid>| {
            rows.iter().filter(|uuid| !used.contains(uuid)).map(Uuid::to_text).collect()
        };
        let of_bridge = |uuids: &[Uuid], ports: &[Uuid]| {
            let mut of_bridge: Vec<MirrorRow> = uuids.iter().filter_map(|uuid| mirrors.get(uuid).cloned()).collect();
            for mirror in &mut of_bridge {
                let elsewhere = mirror.ports().filter(|port| !ports.contains(port));
                let mut names: Vec<String> =
                    elsewhere.filter_map(|port| Some(tables.ports.get(&port)?.name.clone())).collect();
                names.sort();
                names.dedup();
                mirror.elsewhere = names;
            }
            of_bridge.sort_by(|one, other| one.name.cmp(&other.name));
            of_bridge
        };
        Ok(Further {
            mirrors: tables
                .bridges
                .values()
                .map(|row| (row.name.clone(), of_bridge(&row.mirrors, &row.ports)))
                .collect(),
            unused_qos: unused(qos, &used),
            unused_queues: unused(queues.iter().map(|row| row._uuid).collect(), &used_queues),
            unreadable: Vec::new(),
            differences: Vec::new(),
        })
    }
}

impl Unit<'_> {
    /// Reads the whole switch, and the rows that no topology has, in one request.
    pub(super) async fn tables_and_further(&mut self) -> Result<(Tables, Further), Error> {
        let interfaces = &[(INTERFACE, asked::COMPARED)];
        let wanted: Vec<_> = COLUMNS.iter().chain(COLUMNS_OF_MAPS).chain(interfaces).copied().collect();
        let (tables, mut results) = self.tables_and(&wanted).await?;
        let interfaces = results.pop();
        let maps = results.split_off(COLUMNS.len().min(results.len()));
        let mut further = Further::of(&tables, &results).map_err(unreadable)?;
        let mut hwaddrs: BTreeMap<String, String> = BTreeMap::new();
        for ((table, columns), result) in COLUMNS_OF_MAPS.iter().zip(maps) {
            let rows = result.into_rows().map_err(unreadable)?;
            further.unreadable.extend(Unreadable::of(table, columns, &rows));
            if *table == BRIDGE {
                hwaddrs.extend(rows.iter().filter_map(|row| {
                    let hwaddr = row.get("other_config")?.get_str("hwaddr")?;
                    Some((row.get("name")?.as_str()?.to_owned(), hwaddr.to_owned()))
                }));
            }
        }
        if let Some(result) = interfaces {
            let statuses: Vec<InterfaceStatus> = result.rows().map_err(unreadable)?;
            let rows = result.into_rows().map_err(unreadable)?;
            for (row, status) in rows.iter().zip(statuses) {
                let hwaddr = hwaddrs.get(&status.name).map(String::as_str);
                let differences = asked::not_met(row, &status, hwaddr);
                further.differences.extend(differences.into_iter().map(|difference| (status.name.clone(), difference)));
            }
            further.differences.sort();
        }
        Ok((tables, further))
    }
}
