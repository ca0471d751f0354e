//! A change set told to people and programs: which rows and columns change, from what to what, and which devices.

use std::collections::BTreeMap;

use ovsdb::value::{Atom, UuidRef, Value};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::change_set::{Change as ColumnChange, ChangeSet, Fate, LinkChange, Row, RowKey};
use super::transaction::Committed;
use crate::vswitch::secrets;

/// One row or one kernel device that changes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Change {
    /// A row of the database.
    Row(RowChange),
    /// A network device.
    Link(LinkEffect),
}

/// What happens to a row.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RowChange {
    /// The table.
    table: String,
    /// The row's name, or its UUID if it has none.
    row: String,
    /// "insert", "update" or "delete".
    action: &'static str,
    /// By column: `{"new"}` for an insert; `{"old", "new"}` for an update, where a map shows only the keys that change;
    /// `{"added", "removed"}` for a set of rows. References show the names of the rows; `(hidden)` stands for secrets.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Json>")]
    columns: Map<String, Json>,
}

/// What happens to a network device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LinkEffect {
    /// The device's name.
    link: String,
    /// "add", "set up", "add address" or "delete".
    action: &'static str,
    /// Of an added device its kind, VNI, multicast group and MTU; of an added address the address.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Json>")]
    attributes: Map<String, Json>,
}

impl ChangeSet {
    /// The changes that are made. `committed` tells the values just before, where they were not known earlier.
    pub(crate) fn changes(&self, committed: Option<&Committed>) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in &self.touched {
            let Some(row) = self.rows.get(key) else { continue };
            let (action, columns) = match row.fate {
                Fate::Inserted => ("insert", self.inserted_columns(&key.table, row)),
                Fate::Stays if row.is_changed() => ("update", self.updated_columns(key, row, committed)),
                Fate::Stays => continue,
                Fate::Deleted | Fate::Collected => ("delete", Map::new()),
            };
            let row = self.row_name(key);
            changes.push(Change::Row(RowChange { table: key.table.to_string(), row, action, columns }));
        }
        changes.extend(self.links.iter().map(|change| Change::Link(link_effect(change))));
        changes
    }

    fn inserted_columns(&self, table: &str, row: &Row) -> Map<String, Json> {
        let columns = row.changes.iter().filter_map(|(column, change)| {
            let value = change.applied_to(None).filter(|value| !value.is_empty())?;
            Some((column.to_string(), json!({ "new": self.plain(&secrets::hidden(table, column, &value)) })))
        });
        columns.collect()
    }

    fn updated_columns(&self, key: &RowKey, row: &Row, committed: Option<&Committed>) -> Map<String, Json> {
        let before = match (&key.id, committed) {
            (UuidRef::Row(uuid), Some(committed)) => committed.before.get(uuid),
            _ => None,
        };
        let columns = row.changed_columns().map(|(column, change)| {
            let old = before.and_then(|before| before.get(column)).or_else(|| row.stored.get(column));
            let plain = |value: &Value| self.plain(&secrets::hidden(&key.table, column, value));
            let told = match change {
                ColumnChange::Replace(new) => {
                    json!({ "old": old.map(plain), "new": plain(new) })
                }
                ColumnChange::Elements { insert, delete } => {
                    let names = |atoms: &mut dyn Iterator<Item = &Atom>| -> Vec<Json> {
                        atoms.map(|a| self.plain_atom(a)).collect()
                    };
                    json!({ "added": names(&mut insert.iter()), "removed": names(&mut delete.iter()) })
                }
                ColumnChange::Pairs { put, delete } => {
                    let mut pairs = old.and_then(Value::as_map).cloned().unwrap_or_default();
                    pairs.retain(|key, _| put.contains_key(key) || delete.contains(key));
                    json!({ "old": plain(&Value::Map(pairs)), "new": plain(&Value::Map(put.clone())) })
                }
            };
            (column.to_string(), told)
        });
        columns.collect()
    }

    /// A value as ordinary JSON: sets as arrays, maps as objects, references as the names of the rows.
    fn plain(&self, value: &Value) -> Json {
        match value {
            Value::Atom(atom) => self.plain_atom(atom),
            Value::Set(atoms) => atoms.iter().map(|atom| self.plain_atom(atom)).collect(),
            Value::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| {
                    let key = match self.plain_atom(key) {
                        Json::String(text) => text,
                        other => other.to_string(),
                    };
                    (key, self.plain_atom(value))
                });
                Json::Object(pairs.collect())
            }
        }
    }

    fn plain_atom(&self, atom: &Atom) -> Json {
        let named = |id: UuidRef| {
            // A reference does not tell its table, and identities are unique over all of them.
            let row = self.rows.iter().find(|(key, _)| key.id == id).map(|(key, _)| self.row_name(key));
            row.unwrap_or_else(|| identity(&id))
        };
        match atom {
            Atom::Integer(number) => json!(number),
            Atom::Real(number) => json!(number),
            Atom::Boolean(truth) => json!(truth),
            Atom::String(text) => json!(text),
            Atom::Uuid(uuid) => json!(named(UuidRef::Row(*uuid))),
            Atom::NamedUuid(name) => json!(named(UuidRef::New(name.clone()))),
        }
    }

    fn row_name(&self, key: &RowKey) -> String {
        match self.name(key) {
            name if name.is_empty() => identity(&key.id),
            name => name,
        }
    }
}

fn identity(id: &UuidRef) -> String {
    match id {
        UuidRef::Row(uuid) => uuid.to_text(),
        UuidRef::New(name) => name.0.to_string(),
    }
}

fn link_effect(change: &LinkChange) -> LinkEffect {
    let (link, action, attributes) = match change {
        LinkChange::AddVxlan(vxlan, over) => {
            let attributes = [
                ("kind", json!("vxlan")),
                ("vni", json!(vxlan.vni)),
                ("group", json!(vxlan.group.to_string())),
                ("mtu", json!(vxlan.mtu)),
                ("over", json!(over)),
            ];
            let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            (&vxlan.name, "add", attributes)
        }
        LinkChange::SetUp(name) | LinkChange::SetUpOwn(name) => (name, "set up", Map::new()),
        LinkChange::AddAddress(name, address) => {
            (name, "add address", Map::from_iter([("address".to_owned(), json!(address.to_string()))]))
        }
        LinkChange::Delete(link) | LinkChange::DeleteUnused(link) => (&link.name, "delete", Map::new()),
    };
    LinkEffect { link: link.clone(), action, attributes }
}
