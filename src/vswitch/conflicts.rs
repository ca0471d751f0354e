//! Asks the rules about the rows that a unit of work changes: whatever writes a setting passes here.
//!
//! A command answers for what it changes. Settings that did not work together before, and that it leaves alone, are none
//! of its business: the doctor tells of them.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::Name;
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::Transaction;
use ovsdb::value::{Atom, UuidRef, Value};

use super::plan::change_set::{Change, Fate, RowKey};
use super::plan::query::{Query, Wanted};
use super::rules::{self, BridgeSettings, Conflict, Effect, PortSettings};
use super::tables::{BRIDGE, INTERFACE, PORT};
use super::topology::Tables;
use super::unit::Unit;
use crate::error::Error;

/// At which moment a row is looked at.
#[derive(Clone, Copy)]
enum When {
    Before,
    After,
}

impl Unit<'_> {
    /// Notes by which argument the caller has set a column of a row, for errors about it.
    pub fn asked_by(&mut self, key: &RowKey, column: impl Into<Name>, argument: &'static str) {
        if let Some(row) = self.rows.get_mut(key) {
            row.arguments.insert(column.into(), argument);
        }
    }

    /// Refuses changes after which settings of a row do not work together, and values that Open vSwitch can't read.
    pub(super) async fn refuse_conflicts(&mut self) -> Result<(), Error> {
        self.refuse_unreadable_values()?;
        self.note_other_vlans();
        let changed: Vec<(RowKey, BTreeSet<Name>)> =
            self.touched.iter().filter_map(|key| self.changed_settings(key)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.fetch_companions(&changed).await?;
        for (key, columns) in &changed {
            let conflicts = self.conflicts(key, When::After).await?;
            let before = match key.id {
                UuidRef::Row(_) if !conflicts.is_empty() => self.conflicts(key, When::Before).await?,
                _ => Vec::new(),
            };
            for conflict in conflicts {
                self.judge(key, columns, conflict, &before)?;
            }
        }
        Ok(())
    }

    fn refuse_unreadable_values(&self) -> Result<(), Error> {
        for key in &self.touched {
            let Some(row) = self.rows.get(key).filter(|row| !row.is_gone()) else { continue };
            for (column, change) in row.changed_columns() {
                let stored = row.stored.get(column).and_then(Value::as_map);
                let written = match change {
                    Change::Pairs { put, .. } => put,
                    Change::Replace(Value::Map(pairs)) => pairs,
                    Change::Replace(_) | Change::Elements { .. } => continue,
                };
                for (name, value) in written {
                    let (Atom::String(map_key), Atom::String(text)) = (name, value) else { continue };
                    // What was there before is not this command's business.
                    if stored.is_some_and(|stored| stored.get(name) == Some(value)) {
                        continue;
                    }
                    if let Some(problem) = rules::of_value(&key.table, column, map_key, text) {
                        let argument = row.arguments.get(column).copied().unwrap_or_default();
                        return Err(Error::argument(argument, format!("{}: {problem}", self.subject(key))));
                    }
                }
            }
        }
        Ok(())
    }

    /// A row in a sentence: `port eth0`, or its table where it has no name.
    fn subject(&self, key: &RowKey) -> String {
        match self.name(key) {
            name if name.is_empty() => format!("table {}", key.table),
            name => format!("{} {name}", key.table.to_ascii_lowercase()),
        }
    }

    async fn conflicts(&mut self, key: &RowKey, when: When) -> Result<Vec<Conflict>, Error> {
        Ok(match &*key.table {
            PORT => rules::of_port(&self.port_settings(key, when).await?),
            INTERFACE => {
                let (kind, options) = (self.setting(key, "type", when), self.setting(key, "options", when));
                rules::of_interface(kind.as_str().unwrap_or_default(), &strings(&options))
            }
            BRIDGE => rules::of_bridge(self.bridge_settings(key, when)),
            _ => Vec::new(),
        })
    }

    fn judge(
        &mut self,
        key: &RowKey,
        changed: &BTreeSet<Name>,
        conflict: Conflict,
        before: &[Conflict],
    ) -> Result<(), Error> {
        let is_changed = |column: &str| changed.contains(column);
        let was_there =
            before.iter().any(|earlier| earlier.column == conflict.column && earlier.effect == conflict.effect);
        if !conflict.columns().any(is_changed) || (was_there && !is_changed(conflict.column)) {
            return Ok(());
        }
        let Conflict { problem, expected, effect, .. } = &conflict;
        let problem = format!("{}: {problem}; expected {expected}", self.subject(key));
        let argument = |column| self.rows.get(key)?.arguments.get(column).copied();
        let argument = conflict.columns().filter(|column| is_changed(column)).find_map(argument);
        match (effect, argument) {
            (Effect::Lost | Effect::Ignored, Some(argument)) => Err(Error::argument(argument, problem)),
            (Effect::Lost, None) => Err(Error::Conflict(problem)),
            // What the caller has not asked for by a value, like a member that goes, is no reason to refuse.
            (Effect::Ignored, None) | (Effect::Idle, _) => {
                self.note(problem);
                Ok(())
            }
        }
    }

    /// The settings of a row that change and that rules are about, if there are such.
    fn changed_settings(&self, key: &RowKey) -> Option<(RowKey, BTreeSet<Name>)> {
        let row = self.rows.get(key).filter(|row| !row.is_gone())?;
        let is_ruled = |column: &str, change: &Change| match &*key.table {
            PORT if column == "other_config" => changes_key(change, rules::KEYS_OF_PORTS),
            INTERFACE if column == "options" => changes_key(change, rules::KEYS_OF_TUNNELS),
            INTERFACE => column == "type",
            PORT => !rules::companions_in_port(column).is_empty(),
            BRIDGE => !rules::companions_in_bridge(column).is_empty(),
            _ => false,
        };
        // Of a new row, what is empty has not been asked for.
        let is_change = |change: &Change| {
            row.fate != Fate::Inserted || change.applied_to(None).is_none_or(|value| !value.is_empty())
        };
        let columns = row.changed_columns().filter(|(column, change)| is_ruled(column, change) && is_change(change));
        let columns: BTreeSet<Name> = columns.map(|(column, _)| column.clone()).collect();
        // A new port has interfaces anyway; that alone is no setting.
        let is_plain = row.fate == Fate::Inserted && columns.iter().all(|column| column == "interfaces");
        (!columns.is_empty() && !is_plain).then(|| (key.clone(), columns))
    }

    /// Reads what has to be known and is not, in one request.
    async fn fetch_companions(&mut self, changed: &[(RowKey, BTreeSet<Name>)]) -> Result<(), Error> {
        let mut queries = Vec::new();
        for (key, columns) in changed {
            let (UuidRef::Row(uuid), Some(row)) = (&key.id, self.rows.get(key)) else { continue };
            let mut needed: BTreeSet<Name> = BTreeSet::new();
            for column in columns {
                let companions = match &*key.table {
                    PORT if column == "other_config" => rules::COMPANIONS_OF_KEYS,
                    PORT => rules::companions_in_port(column),
                    INTERFACE => &["type", "options"],
                    _ => rules::companions_in_bridge(column),
                };
                needed.extend(companions.iter().map(|column| Name::from(*column)));
            }
            // Only a schema that has this mode has the column.
            let was_tunnel = row.stored.get("vlan_mode").and_then(Value::as_str) == Some(rules::TUNNEL);
            if columns.contains("vlan_mode") && was_tunnel {
                needed.extend([Name::from("cvlans"), Name::from("other_config")]);
            }
            needed.retain(|column| !row.stored.contains_key(column));
            if !needed.is_empty() && !row.whole {
                queries.push(Query::row(key.table.clone(), *uuid).with(&Wanted::With(needed)));
            }
        }
        self.fetch(queries).await
    }

    async fn port_settings(&mut self, key: &RowKey, when: When) -> Result<PortSettings, Error> {
        let mut settings = settings_of(|column| self.setting(key, column, when));
        if settings.other_config.contains_key("bond-primary") && matches!(when, When::After) {
            let rows = self.references(key, "interfaces", INTERFACE).await?;
            settings.members = Some(rows.iter().map(|row| self.name(row)).collect());
        }
        Ok(settings)
    }

    /// The settings of all ports, by name, for the doctor. Columns that the schema lacks are empty.
    pub(super) async fn all_port_settings(
        &mut self,
        schema: &DatabaseSchema,
        tables: &Tables,
    ) -> Result<BTreeMap<String, PortSettings>, Error> {
        let known = |column: &&&str| schema.tables.get(PORT).is_some_and(|table| table.columns.contains_key(**column));
        let columns: Vec<&'static str> = COLUMNS.iter().filter(known).copied().collect();
        let mut select = Transaction::new();
        select.select(PORT, Vec::new(), &columns);
        let mut all = BTreeMap::new();
        for result in self.session.read(&select).await? {
            let rows = result
                .into_rows()
                .map_err(|error| Error::NotCommitted { cause: format!("unreadable rows: {error}") })?;
            for row in rows {
                let mut settings = settings_of(|column| row.get(column).cloned().unwrap_or_else(Value::empty));
                let members = row.get("interfaces").into_iter().flat_map(Value::uuids);
                settings.members = members.map(|uuid| Some(tables.interfaces.get(&uuid)?.name.clone())).collect();
                let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
                all.insert(name.to_owned(), settings);
            }
        }
        Ok(all)
    }

    fn bridge_settings(&mut self, key: &RowKey, when: When) -> BridgeSettings {
        let mut is_on = |column| self.setting(key, column, when).as_bool() == Some(true);
        BridgeSettings { stp: is_on("stp_enable"), rstp: is_on("rstp_enable") }
    }

    /// A column as it was, or will be; empty when the schema has none, or when nothing had to be known of it. What the unit
    /// does not set itself is relied on, and will be guarded.
    fn setting(&mut self, key: &RowKey, column: &str, when: When) -> Value {
        let row = self.rows.get(key);
        match (when, row.and_then(|row| row.changes.get(column))) {
            (When::Before, _) => row.and_then(|row| row.stored.get(column)).cloned(),
            (When::After, Some(Change::Replace(_) | Change::Elements { .. })) => self.peek(key, column),
            (When::After, Some(Change::Pairs { .. }) | None) => Some(self.value(key, column)),
        }
        .unwrap_or_else(Value::empty)
    }
}

/// The columns of a port that rules are about, and its name.
const COLUMNS: &[&str] =
    &["name", "interfaces", "tag", "trunks", "vlan_mode", "cvlans", "bond_mode", "lacp", "other_config"];

/// The settings in a row of table Port, whose members are not known yet.
fn settings_of(mut column: impl FnMut(&str) -> Value) -> PortSettings {
    let integers = |value: Value| {
        let integer = |atom: &Atom| if let Atom::Integer(number) = atom { Some(*number) } else { None };
        value.atoms().filter_map(integer).collect()
    };
    let text = |value: Value| value.as_str().map(str::to_owned);
    PortSettings {
        tag: column("tag").as_integer(),
        trunks: integers(column("trunks")),
        vlan_mode: text(column("vlan_mode")),
        cvlans: integers(column("cvlans")),
        bond_mode: text(column("bond_mode")),
        lacp: text(column("lacp")),
        other_config: strings(&column("other_config")),
        interfaces: column("interfaces").atoms().count(),
        members: None,
    }
}

/// A map of strings.
fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_map().into_iter().flatten().filter_map(|(key, value)| match (key, value) {
        (Atom::String(key), Atom::String(value)) => Some((key.to_string(), value.to_string())),
        _ => None,
    });
    pairs.collect()
}

/// Whether a map changes, as far as is known, in one of these keys.
fn changes_key(change: &Change, keys: &[&str]) -> bool {
    let is_one = |key: &Atom| matches!(key, Atom::String(key) if keys.contains(&&**key));
    match change {
        Change::Pairs { put, delete } => put.keys().chain(delete).any(is_one),
        Change::Replace(value) => value.as_map().is_some_and(|pairs| pairs.keys().any(is_one)),
        Change::Elements { .. } => false,
    }
}
