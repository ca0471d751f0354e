//! The unit of work: what a command reads and what it wants changed, ending in one guarded transaction.
//!
//! A command looks rows up, asks for changes, and commits. Look-ups see the rows as the unit has changed them so far.
//! They go to the server as targeted selects, and whatever was asked for together goes in one request. What a decision
//! rested on is remembered, and the transaction begins by making sure that it still holds.
//!
//! Nothing is written before the commit (in `commit.rs`), so a command that fails half-way has changed nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use ovsdb::operation::{Condition, Name, Operation, Row as Columns};
use ovsdb::transaction::{OperationResult, Transaction};
use ovsdb::value::{Atom, UuidRef, Value};

use super::bridge::Bridge;
use super::device::DeviceSettings;
use super::plan::change_set::{ChangeSet, RowKey};
use super::plan::query::{Filter, Query, Question, Wanted};
use super::rest::Rest;
use super::session::Session;
use super::tables::{self, OPEN_VSWITCH};
use super::topology::Tables;
use crate::error::Error;
use crate::links::Link;

/// The rows that answer a question, and what has been read of them.
struct Answer {
    known: Wanted,
    rows: BTreeSet<RowKey>,
}

/// A change set, and the session that reads for it. See the module's description.
pub struct Unit<'s> {
    pub(super) session: &'s mut Session,
    pub(super) set: ChangeSet,
    /// Whether names are looked up before rows of that name are inserted. The server's unique indexes do it anyway,
    /// so the first attempt leaves it to them and the second finds out who is in the way.
    pub(super) careful: bool,
    answers: BTreeMap<Question, Answer>,
    /// Every request for rows so far, with how many rows each of its selects found.
    asked: Vec<(Transaction, Vec<usize>)>,
    /// What the answer rests on and the unit does not change (`rest.rs`).
    pub(super) rest: Rest,
    /// VXLAN devices that were found, or made by the unit, and that the rows are to refer to.
    pub(super) found_devices: Vec<Link>,
    /// Whether a device that is to be deleted may as well stay, if an interface refers to it by then.
    pub(super) leaves_what_is_used: bool,
    /// Devices that were asked to be up.
    pub(super) expected_up: Vec<String>,
    /// Devices to be configured once ovs-vswitchd has made them.
    pub(super) devices: Vec<DeviceSettings>,
    /// Ports that are added to VLAN bridges of ovs-vsctl, with these.
    pub(super) on_vlan_bridges: Vec<(RowKey, Bridge)>,
}

/// A unit is a change set with somebody to ask: everything that needs nobody is the change set's.
impl Deref for Unit<'_> {
    type Target = ChangeSet;

    fn deref(&self) -> &ChangeSet {
        &self.set
    }
}

impl DerefMut for Unit<'_> {
    fn deref_mut(&mut self) -> &mut ChangeSet {
        &mut self.set
    }
}

/// From this many look-ups of one kind on, reading the table once is cheaper than having the server scan it for each.
const MANY: usize = 32;

/// Rows that can't be read, before anything was changed.
pub(super) fn unreadable(error: ovsdb::wire::json::Error) -> Error {
    Error::NotCommitted { cause: format!("unreadable rows: {error}") }
}

/// The columns that a select asks for; none is all of them.
fn asked_columns(select: &Operation) -> Option<&[Name]> {
    match select {
        Operation::Select { columns, .. } => columns.as_deref(),
        // No other operation has rows for an answer that columns are asked of.
        _ => None,
    }
}

/// A row that lacks what was asked for, before anything was changed.
fn lacks(table: &str, column: &str) -> Error {
    Error::NotCommitted { cause: format!("unreadable rows: a row of {table} comes without its column {column}") }
}

impl<'s> Unit<'s> {
    /// A unit for one attempt of a command. `mark` tells what the rows are that it inserts.
    pub(crate) fn new(session: &'s mut Session, comment: String, mark: &str, careful: bool) -> Self {
        Unit {
            session,
            set: ChangeSet::new(comment, mark),
            careful,
            answers: BTreeMap::new(),
            asked: Vec::new(),
            rest: Rest::default(),
            found_devices: Vec::new(),
            leaves_what_is_used: false,
            expected_up: Vec::new(),
            devices: Vec::new(),
            on_vlan_bridges: Vec::new(),
        }
    }

    /// The settings of the session.
    pub fn settings(&self) -> &crate::settings::Settings {
        &self.session.settings
    }

    /// The database's schema; downloaded the first time.
    pub async fn schema(&mut self) -> Result<std::sync::Arc<ovsdb::schema::DatabaseSchema>, Error> {
        self.session.schema().await
    }

    // ---- reading ----

    /// Asks several questions in one request, so that the look-ups which follow need none.
    pub async fn fetch(&mut self, queries: impl IntoIterator<Item = Query>) -> Result<(), Error> {
        let queries: BTreeSet<Query> =
            queries.into_iter().filter(|query| !self.is_answered(query) && !query.question.is_about_new()).collect();
        if queries.is_empty() {
            return Ok(());
        }
        let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
        let hub = self.session.hub();
        for query in &queries {
            // In memory, as many look-ups by an index are cheap.
            if let Some(kind @ (table, column, _)) = query.kind()
                && !hub.is_some_and(|hub| hub.is_indexed(table, column))
            {
                *kinds.entry(kind).or_default() += 1;
            }
        }
        let (bulk, single): (Vec<&Query>, Vec<&Query>) = queries
            .iter()
            .partition(|query| query.kind().is_some_and(|kind| kinds.get(&kind).is_some_and(|count| *count >= MANY)));

        let mut selects = Transaction::new();
        for query in &single {
            selects.push(query.select());
        }
        let mut whole_tables: Vec<(&Name, &Name)> = Vec::new();
        for (table, column, _) in kinds.iter().filter(|(_, count)| **count >= MANY).map(|(kind, _)| *kind) {
            let mut columns: Vec<Name> =
                tables::usual_columns(table).unwrap_or(&["_uuid"]).iter().map(|&column| column.into()).collect();
            if !columns.contains(column) {
                columns.push(column.clone());
            }
            selects.push(Operation::Select { table: table.clone(), r#where: Vec::new(), columns: Some(columns) });
            whole_tables.push((table, column));
        }

        // Rows mean something only with what ovs-vswitchd had applied at that moment (`rest.rs`).
        let mut with_root = selects.clone();
        with_root.select(OPEN_VSWITCH, Vec::new(), &["cur_cfg", "next_cfg"]);
        let mut results = self.session.read(&with_root).await?;
        let confirmed = match results.pop() {
            Some(root) => self.rest.read_root(root)?,
            None => false,
        };
        let mut counts = Vec::with_capacity(results.len());
        let mut results = results.into_iter();
        for ((query, select), result) in single.iter().zip(&selects.operations).zip(results.by_ref()) {
            let rows = result.into_rows().map_err(unreadable)?;
            counts.push(rows.len());
            let Query { question, wanted } = query;
            let mut keys = BTreeSet::new();
            for row in rows {
                keys.insert(self.remember(&question.table, row, asked_columns(select), confirmed)?);
            }
            let rows = keys;
            self.answers.insert(question.clone(), Answer { known: wanted.clone(), rows });
        }
        let of_tables = whole_tables.into_iter().zip(selects.operations.iter().skip(single.len()));
        for (((table, column), select), result) in of_tables.zip(results) {
            let rows = result.into_rows().map_err(unreadable)?;
            counts.push(rows.len());
            self.answer_from_table((table, column), rows, asked_columns(select), &bulk, confirmed)?;
        }
        self.asked.push((selects, counts));
        Ok(())
    }

    fn is_answered(&self, query: &Query) -> bool {
        self.answers.get(&query.question).is_some_and(|answer| answer.known.covers(&query.wanted))
    }

    /// Whether the database is still as the unit read it. What several requests told may be a mix of states that never
    /// was, and nothing may be refused because of that.
    pub(crate) async fn still_holds(&mut self) -> Result<bool, Error> {
        if self.asked.len() < 2 {
            return Ok(true);
        }
        self.is_as_read().await
    }

    /// Asks everything again, and compares.
    pub(super) async fn is_as_read(&mut self) -> Result<bool, Error> {
        let mut again = Transaction::new();
        let mut expected = Vec::new();
        for (selects, counts) in &self.asked {
            for (select, count) in selects.operations.iter().zip(counts) {
                let Operation::Select { table, .. } = select else { continue };
                expected.push((table.clone(), *count));
                again.push(select.clone());
            }
        }
        let results = self.session.read(&again).await?;
        for ((table, count), result) in expected.iter().zip(results) {
            let rows = result.into_rows().map_err(unreadable)?;
            if rows.len() != *count || !rows.iter().all(|row| self.is_as_remembered(table, row)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Answers many queries of one kind from the rows of the whole table.
    fn answer_from_table(
        &mut self,
        (table, column): (&Name, &Name),
        rows: Vec<Columns>,
        asked: Option<&[Name]>,
        queries: &[&Query],
        confirmed: bool,
    ) -> Result<(), Error> {
        let mut by_atom: BTreeMap<Atom, BTreeSet<RowKey>> = BTreeMap::new();
        for row in rows {
            let atoms: Vec<Atom> = match row.get(column) {
                Some(value) => value.atoms().cloned().collect(),
                // Then no row has anything in it.
                None if self.session.lacks(table, column) => Vec::new(),
                None => return Err(lacks(table, column)),
            };
            let key = self.remember(table, row, asked, confirmed)?;
            for atom in atoms {
                by_atom.entry(atom).or_default().insert(key.clone());
            }
        }
        for query in queries {
            let (Some((of_table, of_column, _)), Some(Filter::Equals(_, value) | Filter::Includes(_, value))) =
                (query.kind(), &query.question.filter)
            else {
                continue;
            };
            if of_table == table && of_column == column {
                // One-atom values are all that is ever asked for in bulk: names and references. One that no row of the
                // table has is in none.
                let rows = value.atoms().next().and_then(|atom| by_atom.get(atom)).cloned().unwrap_or_default();
                self.answers.insert(query.question.clone(), Answer { known: Wanted::Usual, rows });
            }
        }
        Ok(())
    }

    /// Keeps what the server told of a row. The same row may come from several queries, with different columns; `asked`
    /// are those of this one, or all. A row that lacks one of them, though the schema has it, can't be read: what is decided
    /// from it would rest on nothing.
    fn remember(
        &mut self,
        table: &Name,
        columns: Columns,
        asked: Option<&[Name]>,
        confirmed: bool,
    ) -> Result<RowKey, Error> {
        let mut missing = asked.into_iter().flatten().filter(|column| !columns.contains_key(*column));
        if let Some(missing) = missing.find(|column| !self.session.lacks(table, column)) {
            return Err(lacks(table, missing));
        }
        let whole = asked.is_none();
        self.set.remember(table, columns, whole, confirmed).ok_or_else(|| lacks(table, "_uuid"))
    }

    /// The rows that match, as this unit leaves them.
    pub async fn find(&mut self, query: Query) -> Result<Vec<RowKey>, Error> {
        self.fetch([query.clone()]).await?;
        let Question { table, filter } = &query.question;
        // The server was not asked about a row that does not exist yet, and has none that would answer.
        let server = self.answers.get(&query.question).map(|answer| answer.rows.clone()).unwrap_or_default();
        Ok(self.set.matching(table, filter.as_ref(), &server))
    }

    /// The only row that matches, or the first.
    pub async fn find_one(&mut self, query: Query) -> Result<Option<RowKey>, Error> {
        Ok(self.find(query).await?.into_iter().next())
    }

    /// Whether a row's set includes a value. The server need not look at any other row.
    pub async fn includes(&mut self, row: &RowKey, column: &'static str, value: &RowKey) -> Result<bool, Error> {
        Ok(match Unit::membership(row, column, value) {
            Some(query) => self.find_one(query).await?.is_some(),
            None => self.includes_by_itself(row, column, value),
        })
    }

    /// The question that [`Unit::includes`] asks, to be fetched along with others.
    pub fn membership(row: &RowKey, column: &'static str, value: &RowKey) -> Option<Query> {
        let UuidRef::Row(uuid) = row.id else { return None };
        Some(Query::of(row.table.clone(), Some(Filter::RowIncludes(uuid, column.into(), value.reference().into()))))
    }

    /// A column's value as this unit leaves it. What is decided from it will be guarded.
    pub async fn column(&mut self, row: &RowKey, column: &str) -> Result<Value, Error> {
        if self.peek(row, column).is_none()
            && let UuidRef::Row(uuid) = row.id
        {
            let mut select = Transaction::new();
            select.push(Operation::Select {
                table: row.table.clone(),
                r#where: vec![Condition::is_row(uuid)],
                columns: Some(vec!["_uuid".into(), Name::from(column.to_owned())]),
            });
            let results = self.session.read(&select).await?;
            let mut found = 0;
            for result in results {
                for columns in result.into_rows().map_err(unreadable)? {
                    self.remember(&row.table, columns, select.operations.first().and_then(asked_columns), false)?;
                    found += 1;
                }
            }
            // A row that is no longer there has nothing in the column; that it was there is guarded.
            self.asked.push((select, vec![found]));
        }
        Ok(self.value(row, column))
    }

    /// The rows that a set of references in a row points to, those of the same unit included.
    pub async fn references(
        &mut self,
        row: &RowKey,
        column: &'static str,
        table: &'static str,
    ) -> Result<Vec<RowKey>, Error> {
        let set = self.column(row, column).await?;
        self.fetch(set.uuids().map(|uuid| Query::row(table, uuid))).await?;
        let mut rows = Vec::new();
        for atom in set.atoms() {
            let id = match atom {
                Atom::Uuid(uuid) => UuidRef::Row(*uuid),
                Atom::NamedUuid(name) => UuidRef::New(name.clone()),
                Atom::Integer(_) | Atom::Real(_) | Atom::Boolean(_) | Atom::String(_) => {
                    let cause = format!("unreadable rows: {}.{column} has a value that is no reference", row.table);
                    return Err(Error::NotCommitted { cause });
                }
            };
            let key = RowKey { table: table.into(), id };
            // A row that was deleted between two requests is gone; the set that refers to it is guarded.
            if self.rows.get(&key).is_some_and(|row| !row.is_gone()) {
                rows.push(key);
            }
        }
        Ok(rows)
    }

    /// The one row of the root table, inserted when the database is empty.
    pub async fn root(&mut self) -> Result<RowKey, Error> {
        match self.find_one(Query::all(OPEN_VSWITCH)).await? {
            Some(root) => Ok(root),
            None => Ok(self.insert(OPEN_VSWITCH, [])),
        }
    }

    // ---- kernel devices ----

    /// The network device of this name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.session.links()?.get(name)?)
    }

    /// The name of the network device with this index.
    pub fn link_name(&mut self, index: u32) -> Result<Option<String>, Error> {
        Ok(self.session.links()?.name_of(index)?)
    }
}

impl Unit<'_> {
    /// Reads the whole switch, in one request.
    pub async fn tables(&mut self) -> Result<Tables, Error> {
        Ok(self.tables_and(&[]).await?.0)
    }

    /// Reads the whole switch and columns of further tables, in one request; these as they come, in this order.
    pub(crate) async fn tables_and(
        &mut self,
        further: &[(&'static str, &[&'static str])],
    ) -> Result<(Tables, Vec<OperationResult>), Error> {
        let mut selects = Tables::selects();
        let own = selects.operations.len();
        for (table, columns) in further {
            selects.select(table, Vec::new(), columns);
        }
        let mut results = self.session.read(&selects).await?;
        let of_further = results.split_off(own.min(results.len()));
        let tables = Tables::of(&results);
        let tables = tables.map_err(unreadable)?;
        Ok((tables, of_further))
    }
}
