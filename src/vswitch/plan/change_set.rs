//! What a command has read and what it wants changed, in memory.
//!
//! A change set remembers rows as they were told, which of that a decision rested on, and what shall become of them. Rows
//! are seen as it leaves them. Nothing here asks anybody: `Unit` does, and puts what it hears in here.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::{Name, Row as Columns};
use ovsdb::value::{Atom, NamedUuid, Uuid, UuidRef, Value};

use super::query::Filter;
use crate::links::{Address, Link, Vxlan};
use crate::vswitch::tables::{self, MARK};

/// A row that exists, or one that this change set will insert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The row's table.
    pub table: Name,
    /// Its identity.
    pub id: UuidRef,
}

/// What is known of a row, and what shall become of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Columns as the server gave them.
    pub(crate) stored: Columns,
    /// Whether `stored` has every column of the table.
    pub(crate) whole: bool,
    /// Columns whose stored value a decision rested on.
    pub(crate) relied: BTreeSet<Name>,
    /// Whether a decision rested on the row being there.
    pub(crate) seen: bool,
    pub(crate) changes: BTreeMap<Name, Change>,
    /// The arguments of the caller that columns were set by, where that is known.
    pub(crate) arguments: BTreeMap<Name, &'static str>,
    pub(crate) fate: Fate,
    /// Whether the row is in [`ChangeSet::touched`].
    pub(crate) touched: bool,
    /// Whether ovs-vswitchd had applied all that the database held when the row was read.
    pub(crate) confirmed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Stays,
    Inserted,
    /// By a `delete` operation.
    Deleted,
    /// By the server, because nothing refers to it any more (RFC 7047 section 3.2, `isRoot`).
    Collected,
}

/// How a column of a stored row changes. Inserted rows only know [`Change::Replace`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Replace(Value),
    /// Elements of a set, whatever else it holds.
    Elements {
        insert: BTreeSet<Atom>,
        delete: BTreeSet<Atom>,
    },
    /// Pairs of a map, whatever else it holds.
    Pairs {
        put: BTreeMap<Atom, Atom>,
        delete: BTreeSet<Atom>,
    },
}

/// What shall happen to a kernel device, besides the transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkChange {
    /// Make a VXLAN device over the device of this name and set it up, before the transaction that refers to it.
    AddVxlan(Vxlan, String),
    /// Set an existing device up.
    SetUp(String),
    /// Delete a device that is ours, whoever uses it.
    Delete(Link),
    /// Delete a device that is ours, after the transaction that no longer refers to it, unless an interface of its name
    /// has come meanwhile.
    DeleteUnused(Link),
    /// Set the device of an interface up that ovs-vswitchd makes, once it has made it.
    SetUpOwn(String),
    /// Give the device of such an interface an address.
    AddAddress(String, Address),
}

impl Row {
    /// The value a column will have after the commit, if that can be told.
    pub(crate) fn effective(&self, column: &str) -> Option<Value> {
        let stored = self.stored.get(column);
        match self.changes.get(column) {
            None if self.fate == Fate::Inserted => Some(Value::empty()),
            None => stored.cloned(),
            Some(change) => change.applied_to(stored),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.fate, Fate::Deleted | Fate::Collected)
    }

    /// Whether the row matches a filter now, given whether it did for the server.
    pub(crate) fn matches(&self, filter: Option<&Filter>, server_says: bool) -> bool {
        let (column, value, includes) = match filter {
            None => return true,
            Some(Filter::Equals(column, value)) => (column, value, false),
            Some(Filter::Includes(column, value) | Filter::RowIncludes(_, column, value)) => (column, value, true),
        };
        match self.changes.get(column) {
            None if self.fate == Fate::Inserted => false,
            None => server_says,
            Some(Change::Elements { insert, delete }) if includes => {
                value.atoms().all(|atom| insert.contains(atom) || (server_says && !delete.contains(atom)))
            }
            Some(change) => match change.applied_to(self.stored.get(column)) {
                Some(now) if includes => match (value.as_map(), now.as_map()) {
                    (Some(pairs), now) => now.is_some_and(|now| pairs.iter().all(|(key, of)| now.get(key) == Some(of))),
                    (None, _) => value.atoms().all(|atom| now.atoms().any(|element| element == atom)),
                },
                Some(now) => now == *value,
                None => server_says,
            },
        }
    }
}

impl Change {
    /// The value after the change; `None` when it depends on a stored value that is not known.
    pub(crate) fn applied_to(&self, stored: Option<&Value>) -> Option<Value> {
        match self {
            Change::Replace(value) => Some(value.clone()),
            Change::Elements { insert, delete } => {
                let kept = stored?.atoms().filter(|atom| !delete.contains(atom)).cloned();
                Some(Value::set(kept.chain(insert.iter().cloned())))
            }
            Change::Pairs { put, delete } => {
                // An empty value is an empty map as well.
                let mut pairs = stored?.as_map().cloned().unwrap_or_default();
                pairs.retain(|key, _| !delete.contains(key));
                pairs.extend(put.iter().map(|(key, value)| (key.clone(), value.clone())));
                Some(Value::Map(pairs))
            }
        }
    }
}

impl RowKey {
    pub(crate) fn stored(table: &Name, uuid: Uuid) -> Self {
        RowKey { table: table.clone(), id: UuidRef::Row(uuid) }
    }

    /// A reference to the row, to be put into a column.
    pub fn reference(&self) -> Atom {
        self.id.clone().into()
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct ChangeSet {
    /// Names the command in the database's log.
    pub(crate) comment: String,
    pub(crate) rows: BTreeMap<RowKey, Row>,
    /// Sets that were found to include a value, as (row, column, value).
    pub(crate) relations: BTreeSet<(RowKey, Name, Value)>,
    /// Values that no row must have, or include, at the commit, as (table, column, value).
    pub(crate) absent: BTreeSet<(Name, Name, Value)>,
    /// Rows in the order in which they were first changed.
    pub(crate) touched: Vec<RowKey>,
    /// What `external_ids:ovs-plugin` says of inserted rows.
    mark: String,
    inserted: usize,
    pub(crate) links: Vec<LinkChange>,
    /// Interfaces that ovs-vswitchd shall look at again though their rows do not change.
    pub(crate) nudged: Vec<RowKey>,
    /// Interfaces whose devices ovs-vswitchd is to open again: it may hold one open that is gone.
    pub(crate) reopened: Vec<RowKey>,
    /// Interfaces whose devices the caller will use as soon as it has the answer.
    pub(crate) promised: Vec<String>,
    /// Network devices that must not be there at the commit.
    pub(crate) absent_devices: Vec<String>,
    /// The interfaces of the bridges that are changed, to see afterwards whether they still work.
    pub(crate) neighbours: Vec<Uuid>,
    /// Things worth saying to people, for stderr.
    pub(crate) notes: Vec<String>,
}

impl ChangeSet {
    /// An empty one. `mark` tells what the rows are that it inserts.
    pub fn new(comment: String, mark: &str) -> Self {
        ChangeSet { comment, mark: mark.to_owned(), ..ChangeSet::default() }
    }

    // ---- what is known ----

    /// Keeps what was told of a row, under the identity in its `_uuid`; none if it has none. The same row may be told more
    /// than once, with other columns. `whole` says that these are all that it has, and `confirmed` that ovs-vswitchd had
    /// applied everything by then.
    pub fn remember(&mut self, table: &Name, mut columns: Columns, whole: bool, confirmed: bool) -> Option<RowKey> {
        let uuid = columns.remove("_uuid").and_then(|uuid| uuid.uuids().next())?;
        let key = RowKey::stored(table, uuid);
        let row = self.rows.entry(key.clone()).or_insert_with(|| Row { confirmed, ..Row::default() });
        row.whole |= whole;
        for (column, value) in columns {
            // The first reading stays: decisions may rest on it already, and the guards compare with it.
            row.stored.entry(column).or_insert(value);
        }
        Some(key)
    }

    /// The rows that match a filter as this change set leaves them, given those that matched when they were read. What is
    /// decided from that will be guarded.
    pub(crate) fn matching(&mut self, table: &Name, filter: Option<&Filter>, read: &BTreeSet<RowKey>) -> Vec<RowKey> {
        let mut candidates = read.clone();
        candidates.extend(self.touched.iter().filter(|key| key.table == *table).cloned());
        let mut found = Vec::new();
        for key in candidates {
            let was_read = read.contains(&key);
            let Some(row) = self.rows.get_mut(&key) else { continue };
            // A touched row of another identity is no answer to a question about one row.
            if matches!(filter, Some(Filter::RowIncludes(uuid, ..)) if key.id != UuidRef::Row(*uuid)) {
                continue;
            }
            if row.is_gone() || !row.matches(filter, was_read) {
                continue;
            }
            row.seen = true;
            match filter {
                Some(Filter::Includes(column, value) | Filter::RowIncludes(_, column, value)) if was_read => {
                    self.relations.insert((key.clone(), column.clone(), value.clone()));
                }
                // Names never change; other columns may.
                Some(Filter::Equals(column, _)) if was_read && row.stored.contains_key(column) && column != "name" => {
                    row.relied.insert(column.clone());
                }
                _ => {}
            }
            found.push(key);
        }
        found
    }

    /// Whether a row's set includes a value, as far as the change set itself says.
    pub(crate) fn includes_by_itself(&self, row: &RowKey, column: &'static str, value: &RowKey) -> bool {
        let filter = Filter::Includes(column.into(), value.reference().into());
        self.rows.get(row).is_some_and(|row| row.matches(Some(&filter), false))
    }

    /// What there is to tell people, once.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Tells people something that is no failure.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// A column that has been read already; empty when it has not. What is decided from it will be guarded.
    pub fn value(&mut self, row: &RowKey, column: &str) -> Value {
        if let Some(row) = self.rows.get_mut(row)
            && row.stored.contains_key(column)
            && !tables::is_reported(column)
        {
            row.relied.insert(Name::from(column.to_owned()));
        }
        self.peek(row, column).unwrap_or_else(Value::empty)
    }

    /// A column's value without relying on it, for messages.
    pub fn peek(&self, row: &RowKey, column: &str) -> Option<Value> {
        self.rows.get(row)?.effective(column)
    }

    /// The `name` column; empty in tables whose rows have no names.
    pub fn name(&self, row: &RowKey) -> String {
        self.peek(row, "name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Inserts a row. It is marked as made by this program, if its table has a place for that.
    pub fn insert(&mut self, table: &'static str, columns: impl IntoIterator<Item = (&'static str, Value)>) -> RowKey {
        self.inserted += 1;
        let key = RowKey { table: table.into(), id: UuidRef::New(NamedUuid(format!("row{}", self.inserted).into())) };
        let changes = columns.into_iter().map(|(column, value)| (column.into(), Change::Replace(value))).collect();
        self.rows.insert(key.clone(), Row { changes, fate: Fate::Inserted, ..Row::default() });
        self.touch(&key);
        if tables::takes_mark(table) {
            let mark = self.mark.clone();
            self.put(&key, "external_ids", MARK, mark);
        }
        key
    }

    /// Replaces a column. The value it has already is no change.
    pub fn set(&mut self, key: &RowKey, column: impl Into<Name>, value: impl Into<Value>) {
        let (column, value) = (column.into(), value.into());
        self.touch(key);
        let Some(row) = self.rows.get_mut(key) else { return };
        if row.fate != Fate::Inserted && row.stored.get(&column) == Some(&value) {
            row.changes.remove(&column);
            row.relied.insert(column);
        } else {
            row.changes.insert(column, Change::Replace(value));
        }
    }

    /// Puts a pair into a map of strings and leaves the other pairs alone.
    pub fn put(&mut self, key: &RowKey, column: impl Into<Name>, map_key: impl Into<Atom>, value: impl Into<Atom>) {
        let (column, map_key, value) = (column.into(), map_key.into(), value.into());
        self.touch(key);
        let Some(row) = self.rows.get_mut(key) else { return };
        match row.changes.get_mut(&column) {
            Some(Change::Replace(whole)) => {
                let mut pairs = whole.as_map().cloned().unwrap_or_default();
                pairs.insert(map_key, value);
                *whole = Value::Map(pairs);
            }
            Some(Change::Pairs { put, delete }) => {
                delete.remove(&map_key);
                put.insert(map_key, value);
            }
            _ if row.fate == Fate::Inserted => {
                row.changes.insert(column, Change::Replace(Value::Map(BTreeMap::from([(map_key, value)]))));
            }
            _ => {
                let stored = row.stored.get(&column).and_then(Value::as_map).and_then(|pairs| pairs.get(&map_key));
                if stored == Some(&value) {
                    row.relied.insert(column);
                } else {
                    let put = BTreeMap::from([(map_key, value)]);
                    row.changes.insert(column, Change::Pairs { put, delete: BTreeSet::new() });
                }
            }
        }
    }

    /// Adds a reference to a row's set and leaves the other elements alone.
    pub fn add_to(&mut self, key: &RowKey, column: &'static str, element: &RowKey) {
        self.change_elements(key, column, element.reference(), true);
    }

    /// Takes a reference out of a row's set and leaves the other elements alone.
    pub fn take_from(&mut self, key: &RowKey, column: &'static str, element: &RowKey) {
        self.change_elements(key, column, element.reference(), false);
    }

    fn change_elements(&mut self, key: &RowKey, column: &'static str, element: Atom, add: bool) {
        self.touch(key);
        let Some(row) = self.rows.get_mut(key) else { return };
        let none = match row.fate {
            Fate::Inserted => Change::Replace(Value::empty()),
            _ => Change::Elements { insert: BTreeSet::new(), delete: BTreeSet::new() },
        };
        match row.changes.entry(column.into()).or_insert(none) {
            Change::Elements { insert, delete } => {
                let (to, from) = if add { (insert, delete) } else { (delete, insert) };
                // What the change set added itself is not there yet, so there is nothing to take away.
                if !from.remove(&element) {
                    to.insert(element);
                }
            }
            Change::Replace(whole) => {
                let mut elements: BTreeSet<Atom> = whole.atoms().filter(|atom| **atom != element).cloned().collect();
                if add {
                    elements.insert(element);
                }
                *whole = Value::set(elements);
            }
            Change::Pairs { .. } => {}
        }
    }

    /// Deletes a row of a root table.
    pub fn delete(&mut self, key: &RowKey) {
        self.end(key, Fate::Deleted);
    }

    /// Notes that the server will delete a row, because its last reference was taken away.
    pub fn collected(&mut self, key: &RowKey) {
        self.end(key, Fate::Collected);
    }

    fn end(&mut self, key: &RowKey, fate: Fate) {
        self.touch(key);
        if let Some(row) = self.rows.get_mut(key) {
            row.changes.clear();
            row.fate = fate;
        }
    }

    pub(crate) fn touch(&mut self, key: &RowKey) {
        if let Some(row) = self.rows.get_mut(key)
            && !std::mem::replace(&mut row.touched, true)
        {
            self.touched.push(key.clone());
        }
    }

    /// Plans a change of a kernel device; it happens with the commit.
    pub fn change_link(&mut self, change: LinkChange) {
        if !self.links.contains(&change) {
            self.links.push(change);
        }
    }

    /// Promises the caller that the device of an interface is there when the command answers, even if the command finds
    /// its row in place: who put it there may still be waiting for ovs-vswitchd.
    pub fn promise(&mut self, interface: &str) {
        self.promised.push(interface.to_owned());
    }

    /// Has ovs-vswitchd open the device of an interface again: of one that exists, or of a new one that takes the place
    /// of one of the same name on the same bridge. It would go on with the device that it has open, which may be gone and
    /// another of that name there.
    pub fn reopen(&mut self, interface: RowKey) {
        if matches!(interface.id, UuidRef::Row(_)) {
            self.nudge(interface.clone());
        }
        self.reopened.push(interface);
    }

    /// Has ovs-vswitchd take a device that was made for an interface that exists. Of a row that it had not applied, it has no
    /// device open, and whoever wrote the row may have to take it back as it was.
    pub fn take_device(&mut self, interface: RowKey) {
        match self.rows.get(&interface) {
            Some(row) if row.confirmed => self.reopen(interface),
            _ => self.nudge(interface),
        }
    }

    /// Commits only if there is no network device of this name.
    pub fn require_no_device(&mut self, name: &str) {
        self.absent_devices.push(name.to_owned());
    }

    /// Has ovs-vswitchd look at an interface again, and waits for it, even if the database does not change: a device
    /// that it missed has come.
    pub fn nudge(&mut self, interface: RowKey) {
        self.nudged.push(interface);
    }

    pub(crate) fn is_as_remembered(&self, table: &Name, columns: &Columns) -> bool {
        let uuid = columns.get("_uuid").and_then(|uuid| uuid.uuids().next());
        let Some(row) = uuid.and_then(|uuid| self.rows.get(&RowKey::stored(table, uuid))) else { return false };
        columns.iter().all(|(column, value)| tables::is_reported(column) || row.stored.get(column) == Some(value))
    }
}
