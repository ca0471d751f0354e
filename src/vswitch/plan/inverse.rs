//! The inverse of a change set: a transaction that puts back what was there before and takes out what was added, guarded
//! by what was written, so that nobody else's later change is undone with it.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::{Condition, Mutation, Mutator, Name, Operation, Row as Columns, Until};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Atom, NamedUuid, Uuid, UuidRef, Value};

use super::change_set::{Change, ChangeSet, Fate, Row, RowKey};
use super::transaction::{ASKED_AND_HAD, Committed, OFPORT_MAX, OFPORT_REQUEST};
use crate::vswitch::tables::{INTERFACE, OPEN_VSWITCH, configuration, is_reported};

impl ChangeSet {
    /// The transaction that undoes the change set, and what is to follow once ovs-vswitchd has applied it.
    pub(crate) fn inverse(&self, committed: &Committed) -> Result<(Transaction, Vec<Operation>), String> {
        let mut withdrawals = Vec::new();
        let mut inverse = Transaction::new();
        let real = |value: &Value| translate(value, &committed.uuids);
        // Rows that went away come back as new rows, under names for the references between them.
        let gone: BTreeMap<Uuid, NamedUuid> = self
            .touched
            .iter()
            .filter_map(|key| match (&key.id, self.rows.get(key)) {
                (UuidRef::Row(uuid), Some(row)) if row.is_gone() => Some((*uuid, inverse.name_row())),
                _ => None,
            })
            .collect();

        let mut changes = Vec::new();
        for key in &self.touched {
            let Some(row) = self.rows.get(key) else { continue };
            match (&key.id, row.fate) {
                // Once nothing refers to it, it goes by itself. The root row does no harm.
                (UuidRef::New(name), _) => {
                    if let Some(uuid) = committed.uuids.get(name).filter(|_| key.table != OPEN_VSWITCH) {
                        let written = row
                            .changes
                            .iter()
                            .filter_map(|(column, change)| Some((column.clone(), real(&change.applied_to(None)?))));
                        // What was not written had its default, and has to have it still. A port number may be asked for
                        // by another command that finds the interface's device anew (`Unit::reopen`); that keeps nothing.
                        let untouched = configuration(&key.table).iter().filter(|column| **column != OFPORT_REQUEST);
                        let untouched = untouched.map(|column| Name::from(*column));
                        guard(&mut inverse, key, *uuid, Vec::new(), written.collect(), untouched);
                    }
                }
                (UuidRef::Row(uuid), Fate::Stays) => {
                    let before = committed.before.get(uuid);
                    let mut operations = take_back_row(&mut inverse, key, *uuid, row, before, &real, &gone)?;
                    if let (Some(before), INTERFACE) = (before, &*key.table) {
                        withdrawals.extend(operations.iter_mut().flat_map(|it| ask_for_what_it_had(it, *uuid, before)));
                    }
                    changes.extend(operations);
                }
                (UuidRef::Row(uuid), _) => changes.push(bring_back(key, *uuid, row, &gone)?),
            }
        }
        inverse.operations.extend(changes);
        Ok((inverse, withdrawals))
    }
}

/// An interface that no longer asks for an MTU, a MAC address or a port number keeps what it was given. So it asks for what
/// it had before. Returns what ends that.
fn ask_for_what_it_had(operation: &mut Operation, uuid: Uuid, before: &Columns) -> Vec<Operation> {
    let Operation::Update { table, row, .. } = operation else { return Vec::new() };
    let mut withdrawals = Vec::new();
    for (asked, had) in ASKED_AND_HAD {
        let value = before.get(*had).filter(|value| !value.is_empty());
        // The local port of a bridge has a number that nobody can ask for, and a broken interface has -1.
        let can_be_asked =
            |value: &&Value| *had != "ofport" || value.as_integer().is_some_and(|n| (1..=OFPORT_MAX).contains(&n));
        if let (Some(asks), Some(value)) = (row.get_mut(*asked), value.filter(can_be_asked))
            && asks.is_empty()
        {
            *asks = value.clone();
            withdrawals.push(Operation::Update {
                table: table.clone(),
                r#where: vec![Condition::is_row(uuid), Condition::equal(*asked, value.clone())],
                row: Columns::from([(Name::from(*asked), Value::empty())]),
            });
        }
    }
    withdrawals
}

/// Goes on only if the row still has what we wrote, and in further columns their defaults.
fn guard(
    inverse: &mut Transaction,
    key: &RowKey,
    uuid: Uuid,
    mut conditions: Vec<Condition>,
    written: Columns,
    further: impl IntoIterator<Item = Name>,
) {
    conditions.insert(0, Condition::is_row(uuid));
    let columns: BTreeSet<Name> = written.keys().cloned().chain(further).collect();
    inverse.push(Operation::Wait {
        timeout: Some(0),
        table: key.table.clone(),
        r#where: conditions,
        columns: columns.into_iter().collect(),
        until: Until::Equal,
        rows: vec![written],
    });
}

/// Puts the guards of a changed row in front and returns the operations that restore it.
fn take_back_row(
    inverse: &mut Transaction,
    key: &RowKey,
    uuid: Uuid,
    row: &Row,
    before: Option<&Columns>,
    real: &impl Fn(&Value) -> Value,
    gone: &BTreeMap<Uuid, NamedUuid>,
) -> Result<Vec<Operation>, String> {
    let before = |column: &Name| {
        before.and_then(|before| before.get(column)).ok_or_else(|| format!("the previous value of {column} is unknown"))
    };
    let identity = || Columns::from([(Name::from("_uuid"), Value::from(uuid))]);
    let mut written = Columns::new();
    let mut old = Columns::new();
    let mut mutations = Vec::new();
    for (column, change) in row.changed_columns() {
        match change {
            Change::Replace(value) => {
                written.insert(column.clone(), real(value));
                old.insert(column.clone(), before(column)?.clone());
            }
            Change::Elements { insert, delete } => {
                let inserted = real(&Value::set(insert.iter().cloned()));
                if !inserted.is_empty() {
                    let includes = vec![Condition::includes(column.clone(), inserted.clone())];
                    guard(inverse, key, uuid, includes, identity(), []);
                    mutations.push(Mutation(column.clone(), Mutator::Delete, inserted));
                }
                let back = delete.iter().map(|atom| match atom {
                    Atom::Uuid(uuid) => gone.get(uuid).map_or_else(|| atom.clone(), |name| name.clone().into()),
                    other => other.clone(),
                });
                let back = Value::set(back);
                if !back.is_empty() {
                    mutations.push(Mutation(column.clone(), Mutator::Insert, back));
                }
            }
            Change::Pairs { put, delete } => {
                let put_value = Value::Map(put.clone());
                if !put.is_empty() {
                    let includes = vec![Condition::includes(column.clone(), put_value.clone())];
                    guard(inverse, key, uuid, includes, identity(), []);
                    mutations.push(Mutation(column.clone(), Mutator::Delete, put_value));
                }
                let before = before(column)?;
                let pairs = before.as_map().cloned();
                let pairs = pairs.ok_or_else(|| format!("the previous value of {column} is no map: {before:?}"))?;
                let back: BTreeMap<Atom, Atom> =
                    pairs.into_iter().filter(|(key, _)| put.contains_key(key) || delete.contains(key)).collect();
                if !back.is_empty() {
                    mutations.push(Mutation(column.clone(), Mutator::Insert, Value::Map(back)));
                }
            }
        }
    }
    let this = || vec![Condition::is_row(uuid)];
    let mut operations = Vec::new();
    if !written.is_empty() {
        guard(inverse, key, uuid, Vec::new(), written, []);
        operations.push(Operation::Update { table: key.table.clone(), r#where: this(), row: old });
    }
    if !mutations.is_empty() {
        operations.push(Operation::Mutate { table: key.table.clone(), r#where: this(), mutations });
    }
    Ok(operations)
}

/// Inserts a row again that the unit took away. Only possible if all of it was read.
fn bring_back(key: &RowKey, uuid: Uuid, row: &Row, gone: &BTreeMap<Uuid, NamedUuid>) -> Result<Operation, String> {
    if !row.whole {
        return Err(format!("the {} row that was deleted is not known in full", key.table));
    }
    let renamed = |atom: &Atom| match atom {
        Atom::Uuid(uuid) => gone.get(uuid).map_or_else(|| atom.clone(), |name| name.clone().into()),
        other => other.clone(),
    };
    let columns = row.stored.iter().filter(|(column, value)| !is_reported(column) && !value.is_empty());
    let columns = columns.map(|(column, value)| {
        let value = match value {
            Value::Map(pairs) => Value::Map(pairs.iter().map(|(key, value)| (key.clone(), renamed(value))).collect()),
            set => Value::set(set.atoms().map(renamed)),
        };
        (column.clone(), value)
    });
    Ok(Operation::Insert {
        table: key.table.clone(),
        row: columns.collect(),
        uuid_name: gone.get(&uuid).map(|name| name.0.clone()),
        uuid: None,
    })
}

/// A value with the identities that rows were given in place of the names they had in the transaction.
fn translate(value: &Value, uuids: &BTreeMap<NamedUuid, Uuid>) -> Value {
    let real = |atom: &Atom| match atom {
        Atom::NamedUuid(name) => uuids.get(name).map_or_else(|| atom.clone(), |uuid| Atom::Uuid(*uuid)),
        other => other.clone(),
    };
    match value {
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(key, value)| (real(key), real(value))).collect()),
        set => Value::set(set.atoms().map(real)),
    }
}
