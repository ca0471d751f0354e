//! A change set as one transaction: guards, inserts, changes, deletes, and the request to ovs-vswitchd.

use std::collections::BTreeMap;

use ovsdb::error::ErrorClass;
use ovsdb::operation::{Condition, Mutation, Mutator, Name, Operation, Row as Columns, Until};
use ovsdb::transaction::{TransactError, Transaction};
use ovsdb::value::{NamedUuid, Uuid, UuidRef, Value};

use super::change_set::{Change, ChangeSet, Fate, Row};
use crate::vswitch::health;
use crate::vswitch::tables::{BRIDGE, INTERFACE, OPEN_VSWITCH, is_reported};

/// The column by which a bridge asks for a datapath.
pub(crate) const DATAPATH_TYPE: &str = "datapath_type";

/// The column that ovs-vswitchd writes once a bridge has a datapath.
pub(crate) const DATAPATH_ID: &str = "datapath_id";

/// What an interface asks for, and the column that tells what it has. When it no longer asks, ovs-vswitchd leaves it what it
/// has, so this has to be asked for again when a change is taken back (`inverse.rs`).
pub(crate) const ASKED_AND_HAD: &[(&str, &str)] =
    &[("mtu_request", "mtu"), ("mac", "mac_in_use"), (OFPORT_REQUEST, "ofport")];

/// The column of an interface that asks for a port number.
pub(crate) const OFPORT_REQUEST: &str = "ofport_request";

/// The highest port number that may be asked for (ovs-vswitchd.conf.db(5), Interface `ofport_request`).
pub(crate) const OFPORT_MAX: i64 = 65279;

/// What became of a commit that did not fail.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// The identities that the inserted rows were given.
    pub(crate) uuids: BTreeMap<NamedUuid, Uuid>,
    /// The columns that were changed in rows that existed, as they were just before.
    pub(crate) before: BTreeMap<Uuid, Columns>,
    /// Whether ovs-vswitchd had applied everything when the change was made, so that `before` tells how interfaces were.
    pub(crate) was_applied: bool,
    /// Whether there was something to commit.
    pub(crate) wrote: bool,
}

impl Committed {
    /// Whether an interface that existed worked just before.
    pub(crate) fn worked(&self, interface: &Uuid) -> bool {
        let ofport = self.before.get(interface).and_then(|before| before.get("ofport"));
        health::is_set_up(ofport.and_then(Value::as_integer))
    }
}

/// Where in the transaction the results stand that matter afterwards.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) transaction: Transaction,
    /// The guards are the operations before this one.
    pub(crate) guards: usize,
    /// The places of the inserts, by the names of their rows.
    pub(crate) inserts: Vec<(NamedUuid, usize)>,
    /// The places of the selects that read changed rows just before the change.
    pub(crate) before: Vec<(Uuid, usize)>,
    /// The place of the select of `next_cfg`.
    pub(crate) target: usize,
}

/// Has an interface ask for a port number, or for none. If `instead_of` is given, only if it asks for that one now.
pub(crate) fn ask_for_port_number(uuid: Uuid, instead_of: Option<i64>, number: Value) -> Operation {
    let mut r#where = vec![Condition::is_row(uuid)];
    r#where.extend(instead_of.map(|number| Condition::equal(OFPORT_REQUEST, number)));
    Operation::Update { table: INTERFACE.into(), r#where, row: Columns::from([(OFPORT_REQUEST.into(), number)]) }
}

impl ChangeSet {
    /// Whether the command promises something of rows, and does not only tell of them.
    pub(crate) fn is_about_rows(&self) -> bool {
        !self.touched.is_empty() || !self.promised.is_empty()
    }

    /// Whether the database changes at all. If not, nothing is sent and nothing is waited for.
    pub(crate) fn writes(&self) -> bool {
        self.touched.iter().filter_map(|key| self.rows.get(key)).any(Row::is_changed)
    }

    /// All of it as one transaction: guards, inserts, changes, deletes, and the request to ovs-vswitchd.
    /// Interfaces to open anew ask for this port number, if for none of their own.
    pub(crate) fn plan(&self, port_number: Option<i64>) -> Plan {
        let mut transaction = Transaction::new();
        self.guard(&mut transaction);
        let guards = transaction.operations.len();

        let mut inserts = Vec::new();
        let mut new_root = None;
        for key in &self.touched {
            let (Some(row), UuidRef::New(name)) = (self.rows.get(key), &key.id) else {
                continue;
            };
            if row.fate != Fate::Inserted {
                continue;
            }
            let columns = row.changes.iter().filter_map(|(column, change)| {
                // Empty is the default anyway.
                change.applied_to(None).filter(|value| !value.is_empty()).map(|value| (column.clone(), value))
            });
            let mut columns: Columns = columns.collect();
            if let Some(number) = port_number.filter(|_| self.reopened.contains(key)) {
                columns.insert(OFPORT_REQUEST.into(), number.into());
            }
            let place = transaction.push(Operation::Insert {
                table: key.table.clone(),
                row: columns,
                uuid_name: Some(name.0.clone()),
                uuid: None,
            });
            inserts.push((name.clone(), place));
            if key.table == OPEN_VSWITCH {
                new_root = Some(key.reference());
            }
        }
        let mut before = Vec::new();
        for key in &self.touched {
            let (Some(row), UuidRef::Row(uuid)) = (self.rows.get(key), &key.id) else {
                continue;
            };
            let columns = row.columns_to_remember(&key.table);
            if row.fate == Fate::Stays && !columns.is_empty() {
                let r#where = vec![Condition::is_row(*uuid)];
                let select = Operation::Select { table: key.table.clone(), r#where, columns: Some(columns) };
                before.push((*uuid, transaction.push(select)));
            }
        }
        for uuid in &self.neighbours {
            before.push((*uuid, transaction.select(INTERFACE, vec![Condition::is_row(*uuid)], &["ofport"])));
        }
        // The change of a row that is both changed and opened again comes after this, and counts.
        for key in &self.reopened {
            if let (Some(number), UuidRef::Row(uuid)) = (port_number, &key.id) {
                transaction.push(ask_for_port_number(*uuid, None, Value::from(number)));
            }
        }
        for key in &self.touched {
            let (Some(row), UuidRef::Row(uuid)) = (self.rows.get(key), &key.id) else {
                continue;
            };
            match row.fate {
                Fate::Stays => change_row(&mut transaction, &key.table, *uuid, row),
                Fate::Deleted => {
                    transaction
                        .push(Operation::Delete { table: key.table.clone(), r#where: vec![Condition::is_row(*uuid)] });
                }
                Fate::Inserted | Fate::Collected => {}
            }
        }

        let target = ask_for_application(&mut transaction, new_root.map(Value::Atom), &self.comment);
        Plan { transaction, guards, inserts, before, target }
    }

    /// Whatever a decision rested on must still hold, or nothing happens. Rows are addressed by their identity, which
    /// costs the server no search. That names are still free is left to the unique indexes.
    pub(crate) fn guard(&self, transaction: &mut Transaction) {
        let identity = |uuid: &Uuid| Columns::from([(Name::from("_uuid"), Value::from(*uuid))]);
        let mut wait = |table: &Name, conditions: Vec<Condition>, row: Columns| {
            transaction.push(Operation::Wait {
                timeout: Some(0),
                table: table.clone(),
                r#where: conditions,
                columns: row.keys().cloned().collect(),
                until: Until::Equal,
                rows: vec![row],
            });
        };
        for (key, row) in &self.rows {
            let UuidRef::Row(uuid) = &key.id else { continue };
            if !(row.seen || row.touched || !row.relied.is_empty()) {
                continue;
            }
            // Of two who change a column at once, the second has to see what the first has made of it: it takes that for the
            // value to be put back.
            let replaced = row.changes.iter().filter(|(column, change)| {
                matches!(change, Change::Replace(_)) && row.fate == Fate::Stays && !is_reported(column)
            });
            let replaced = replaced.map(|(column, _)| column);
            let mut relied: Columns = row
                .relied
                .iter()
                .chain(replaced)
                .filter_map(|column| Some((column.clone(), row.stored.get(column)?.clone())))
                .collect();
            if relied.is_empty() {
                relied = identity(uuid);
            }
            wait(&key.table, vec![Condition::is_row(*uuid)], relied);
        }
        for (key, column, value) in &self.relations {
            let UuidRef::Row(uuid) = &key.id else { continue };
            let conditions = vec![Condition::is_row(*uuid), Condition::includes(column.clone(), value.clone())];
            wait(&key.table, conditions, identity(uuid));
        }
        let mut none = |table: Name, conditions: Vec<Condition>| {
            transaction.push(Operation::Wait {
                timeout: Some(0),
                table,
                r#where: conditions,
                columns: vec!["_uuid".into()],
                until: Until::Equal,
                rows: Vec::new(),
            });
        };
        for (table, column, value) in &self.absent {
            none(table.clone(), vec![Condition::includes(column.clone(), value.clone())]);
        }
        if self.touched.iter().any(|key| key.table == OPEN_VSWITCH && matches!(key.id, UuidRef::New(_))) {
            none(OPEN_VSWITCH.into(), Vec::new());
        }
    }
}

impl Row {
    /// Whether the transaction writes to this row.
    pub(crate) fn is_changed(&self) -> bool {
        match self.fate {
            Fate::Inserted | Fate::Deleted => true,
            Fate::Collected => false,
            Fate::Stays => self.changed_columns().next().is_some(),
        }
    }

    /// The columns of a stored row that will differ, as far as is known.
    pub(crate) fn changed_columns(&self) -> impl Iterator<Item = (&Name, &Change)> {
        self.changes.iter().filter(|(column, change)| change.is_change(self.stored.get(*column)))
    }

    /// What has to be known of a stored row to take its change back. Sets of references are not read, as they may be
    /// large: taking out what was put in needs no knowledge of the rest.
    fn columns_to_remember(&self, table: &str) -> Vec<Name> {
        let mut columns: Vec<Name> = self
            .changed_columns()
            .filter(|(_, change)| !matches!(change, Change::Elements { .. }))
            .map(|(column, _)| column.clone())
            .collect();
        if table == INTERFACE && !columns.is_empty() {
            // Whether it worked before, and what it had of what is asked for.
            let had = ASKED_AND_HAD.iter().filter(|(asked, _)| columns.iter().any(|column| column == asked));
            let had: Vec<Name> = had.map(|(_, had)| Name::from(*had)).chain([Name::from("ofport")]).collect();
            for column in had {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        if table == BRIDGE && self.changes_datapath() {
            columns.push(DATAPATH_ID.into());
        }
        columns
    }

    /// Whether ovs-vswitchd creates the bridge of this row anew.
    pub(crate) fn changes_datapath(&self) -> bool {
        self.changed_columns().any(|(column, _)| column == DATAPATH_TYPE)
    }

    /// Whether the bridge of this row changes in a way that ovs-vswitchd acts upon. Its ports have rows of their own, and
    /// `external_ids` are notes of others.
    pub(crate) fn changes_bridge(&self) -> bool {
        self.changed_columns().any(|(column, _)| column != "ports" && column != "external_ids")
    }
}

impl Change {
    /// Whether the column differs afterwards, as far as is known.
    fn is_change(&self, stored: Option<&Value>) -> bool {
        match self {
            Change::Elements { insert, delete } if insert.is_empty() && delete.is_empty() => false,
            Change::Pairs { put, delete } if put.is_empty() && delete.is_empty() => false,
            change => match (stored, change.applied_to(stored)) {
                (Some(before), Some(after)) => *before != after,
                _ => true,
            },
        }
    }
}

/// The operations that change one stored row: an update for whole columns, a mutate for parts of them.
fn change_row(transaction: &mut Transaction, table: &Name, uuid: Uuid, row: &Row) {
    let mut replaced = Columns::new();
    let mut mutations = Vec::new();
    for (column, change) in row.changed_columns() {
        match change {
            Change::Replace(value) => {
                replaced.insert(column.clone(), value.clone());
            }
            Change::Elements { insert, delete } => {
                for (mutator, atoms) in [(Mutator::Delete, delete), (Mutator::Insert, insert)] {
                    if !atoms.is_empty() {
                        mutations.push(Mutation(column.clone(), mutator, Value::set(atoms.iter().cloned())));
                    }
                }
            }
            Change::Pairs { put, delete } => {
                // Inserting a pair never overwrites one of the same key (RFC 7047 section 5.1), so the key goes first.
                let keys = Value::Set(delete.iter().chain(put.keys()).cloned().collect());
                mutations.push(Mutation(column.clone(), Mutator::Delete, keys));
                if !put.is_empty() {
                    mutations.push(Mutation(column.clone(), Mutator::Insert, Value::Map(put.clone())));
                }
            }
        }
    }
    if table == BRIDGE && row.changes_datapath() {
        // See `datapath.rs`.
        replaced.insert(DATAPATH_ID.into(), Value::empty());
    }
    let this = vec![Condition::is_row(uuid)];
    if !replaced.is_empty() {
        transaction.push(Operation::Update { table: table.clone(), r#where: this.clone(), row: replaced });
    }
    if !mutations.is_empty() {
        transaction.push(Operation::Mutate { table: table.clone(), r#where: this, mutations });
    }
}

/// A guard that no longer holds, or a name that was taken meanwhile.
pub(crate) fn is_lost_race(error: &TransactError, guards: usize) -> bool {
    match (error.operation, error.error.class()) {
        (Some(index), ErrorClass::TimedOut) => index < guards,
        // The only constraint that is checked at commit is a unique index (ovsdb/transaction.c).
        (None, ErrorClass::ConstraintViolation) => true,
        _ => false,
    }
}

/// Ends a transaction: counts `next_cfg` up, so that ovs-vswitchd can tell when it has caught up, and says in the
/// database's log who did it. Returns the place of the new count.
pub(crate) fn ask_for_application(transaction: &mut Transaction, new_root: Option<Value>, comment: &str) -> usize {
    // The root table has exactly one row (its schema says so), so there is no need to know which.
    let root: Vec<Condition> = new_root.map(Condition::is_row).into_iter().collect();
    transaction.push(Operation::Mutate {
        table: OPEN_VSWITCH.into(),
        r#where: root.clone(),
        mutations: vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())],
    });
    let target = transaction.select(OPEN_VSWITCH, root, &["next_cfg", "cur_cfg"]);
    transaction.push(Operation::Comment { comment: comment.to_owned() });
    target
}
