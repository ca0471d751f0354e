//! The unit of work: what a command reads and what it wants changed, ending in one guarded transaction.
//!
//! A command looks rows up, asks for changes, and commits. Look-ups see the rows as the unit has changed them so far.
//! They go to the server as targeted selects, and whatever was asked for together goes in one request. What a decision
//! rested on is remembered, and the transaction begins by making sure that it still holds.
//!
//! Nothing is written before the commit (in `commit.rs`), so a command that fails half-way has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::{Condition, Name, Operation, Row as Columns};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Atom, NamedUuid, Uuid, UuidRef, Value};

use super::bridge::Bridge;
use super::device::DeviceSettings;
use super::rest::Rest;
use super::session::Session;
use super::tables::{self, BRIDGE, INTERFACE, MARK, OPEN_VSWITCH, PORT};
use crate::error::Error;
use crate::links::{Address, Link, Vxlan};

/// A row that exists, or one that this unit will insert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The row's table.
    pub table: Name,
    /// Its identity.
    pub id: UuidRef,
}

/// What is known of a row, and what shall become of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// Columns as the server gave them.
    pub(super) stored: Columns,
    /// Whether `stored` has every column of the table.
    pub(super) whole: bool,
    /// Columns whose stored value a decision rested on.
    pub(super) relied: BTreeSet<Name>,
    /// Whether a decision rested on the row being there.
    pub(super) seen: bool,
    pub(super) changes: BTreeMap<Name, Change>,
    /// The arguments of the caller that columns were set by, where that is known.
    pub(super) arguments: BTreeMap<Name, &'static str>,
    pub(super) fate: Fate,
    /// Whether the row is in [`Unit::touched`].
    pub(super) touched: bool,
    /// Whether ovs-vswitchd had applied all that the database held when the row was read.
    pub(super) confirmed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
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
pub(super) enum Change {
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

/// A question to the database: the rows of a table whose column equals, or includes, a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    question: Question,
    wanted: Wanted,
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    table: Name,
    filter: Option<Filter>,
}

/// Which columns of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Those that commands usually read of the table.
    Usual,
    /// These besides.
    With(BTreeSet<Name>),
    /// Every column.
    Whole,
}

/// The rows that answer a question, and what has been read of them.
struct Answer {
    known: Wanted,
    rows: BTreeSet<RowKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Filter {
    Equals(Name, Value),
    Includes(Name, Value),
    /// One row, and only if its set holds the value; the server looks at no other row.
    RowIncludes(Uuid, Name, Value),
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

/// See the module's description.
pub struct Unit<'s> {
    pub(super) session: &'s mut Session,
    /// Names the command in the database's log.
    pub(super) comment: String,
    /// Whether names are looked up before rows of that name are inserted. The server's unique indexes do it anyway,
    /// so the first attempt leaves it to them and the second finds out who is in the way.
    pub(super) careful: bool,
    pub(super) rows: BTreeMap<RowKey, Row>,
    answers: BTreeMap<Question, Answer>,
    /// Every request for rows so far, with how many rows each of its selects found.
    asked: Vec<(Transaction, Vec<usize>)>,
    /// Sets that were found to include a value, as (row, column, value).
    pub(super) relations: BTreeSet<(RowKey, Name, Value)>,
    /// Values that no row must have, or include, when the unit is committed, as (table, column, value).
    pub(super) absent: BTreeSet<(Name, Name, Value)>,
    /// Rows in the order in which they were first changed.
    pub(super) touched: Vec<RowKey>,
    /// What `external_ids:ovs-plugin` says of inserted rows.
    mark: String,
    inserted: usize,
    pub(super) links: Vec<LinkChange>,
    /// Interfaces that ovs-vswitchd shall look at again though their rows do not change.
    pub(super) nudged: Vec<RowKey>,
    /// Interfaces whose devices ovs-vswitchd is to open again: it may hold one open that is gone.
    pub(super) reopened: Vec<RowKey>,
    /// Interfaces whose devices the caller will use as soon as it has the answer.
    pub(super) promised: Vec<String>,
    /// What the answer rests on and the unit does not change (`rest.rs`).
    pub(super) rest: Rest,
    /// VXLAN devices that were found, or made by the unit, and that the rows are to refer to.
    pub(super) found_devices: Vec<Link>,
    /// Whether a device that is to be deleted may as well stay, if an interface refers to it by then.
    pub(super) leaves_what_is_used: bool,
    /// Network devices that must not be there when the unit is committed.
    pub(super) absent_devices: Vec<String>,
    /// Devices that were asked to be up.
    pub(super) expected_up: Vec<String>,
    /// The interfaces of the bridges that the unit changes, to see afterwards whether they still work.
    pub(super) neighbours: Vec<Uuid>,
    /// Devices to be configured once ovs-vswitchd has made them.
    pub(super) devices: Vec<DeviceSettings>,
    /// Ports that are added to VLAN bridges of ovs-vsctl, with these.
    pub(super) on_vlan_bridges: Vec<(RowKey, Bridge)>,
    /// Things worth saying to people, for stderr.
    pub(super) notes: Vec<String>,
}

/// From this many look-ups of one kind on, reading the table once is cheaper than having the server scan it for each.
const MANY: usize = 32;

impl Query {
    /// The rows whose column has this value.
    pub fn equals(table: impl Into<Name>, column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Query::of(table, Some(Filter::Equals(column.into(), value.into())))
    }

    /// The rows whose set or map includes this value.
    pub fn includes(table: impl Into<Name>, column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Query::of(table, Some(Filter::Includes(column.into(), value.into())))
    }

    /// All rows. Not for tables that grow with the switch.
    pub fn all(table: impl Into<Name>) -> Self {
        Query::of(table, None)
    }

    /// The row with this identity.
    pub fn row(table: impl Into<Name>, uuid: Uuid) -> Self {
        Query::equals(table, "_uuid", uuid)
    }

    /// The bridge of this name.
    pub fn bridge(name: &str) -> Self {
        Query::equals(BRIDGE, "name", name)
    }

    /// The port of this name.
    pub fn port(name: &str) -> Self {
        Query::equals(PORT, "name", name)
    }

    /// The interface of this name.
    pub fn interface(name: &str) -> Self {
        Query::equals(INTERFACE, "name", name)
    }

    fn of(table: impl Into<Name>, filter: Option<Filter>) -> Self {
        Query { question: Question { table: table.into(), filter }, wanted: Wanted::Usual }
    }

    /// The same rows, with every column they have.
    pub fn whole(mut self) -> Self {
        self.wanted = Wanted::Whole;
        self
    }

    /// The same rows, with these columns.
    pub fn with(mut self, wanted: &Wanted) -> Self {
        self.wanted = match (wanted, tables::usual_columns(&self.question.table)) {
            (Wanted::With(columns), Some(usual)) => {
                let further = columns.iter().filter(|column| !usual.contains(&column.as_ref()));
                let further: BTreeSet<Name> = further.cloned().collect();
                if further.is_empty() { Wanted::Usual } else { Wanted::With(further) }
            }
            // Of other tables all columns are usual.
            (Wanted::With(_), None) => Wanted::Whole,
            (wanted, _) => wanted.clone(),
        };
        self
    }

    fn select(&self) -> Operation {
        let Question { table, filter } = &self.question;
        let columns = match filter {
            // Only whether it is so is asked, of a row that has been read already.
            Some(Filter::RowIncludes(..)) => Some(vec!["_uuid".into()]),
            _ => self.wanted.columns(table),
        };
        Operation::Select { table: table.clone(), r#where: self.question.conditions(), columns }
    }

    /// What makes many queries one kind: the same column of the same table.
    fn kind(&self) -> Option<(&Name, &Name, bool)> {
        match &self.question.filter {
            _ if self.wanted != Wanted::Usual => None,
            Some(Filter::Equals(column, _)) if column != "_uuid" => Some((&self.question.table, column, false)),
            Some(Filter::Includes(column, _)) => Some((&self.question.table, column, true)),
            _ => None,
        }
    }
}

impl Question {
    fn conditions(&self) -> Vec<Condition> {
        match &self.filter {
            None => Vec::new(),
            Some(Filter::Equals(column, value)) => vec![Condition::equal(column.clone(), value.clone())],
            Some(Filter::Includes(column, value)) => vec![Condition::includes(column.clone(), value.clone())],
            Some(Filter::RowIncludes(row, column, value)) => {
                vec![Condition::is_row(*row), Condition::includes(column.clone(), value.clone())]
            }
        }
    }

    /// Whether it is about a row that does not exist yet, which is nothing to bother the server with.
    fn is_about_new(&self) -> bool {
        match &self.filter {
            Some(Filter::Equals(_, value) | Filter::Includes(_, value) | Filter::RowIncludes(_, _, value)) => {
                value.atoms().any(|atom| matches!(atom, Atom::NamedUuid(_)))
            }
            None => false,
        }
    }
}

impl Wanted {
    /// As a select names them; `None` is all.
    fn columns(&self, table: &str) -> Option<Vec<Name>> {
        let named = |columns: &'static [&'static str]| columns.iter().map(|&column| Name::from(column));
        match (self, tables::usual_columns(table)) {
            (Wanted::Whole, _) | (_, None) => None,
            (Wanted::Usual, Some(usual)) => Some(named(usual).collect()),
            (Wanted::With(further), Some(usual)) => Some(named(usual).chain(further.iter().cloned()).collect()),
        }
    }

    /// Whether who knows these columns knows the others.
    fn covers(&self, others: &Wanted) -> bool {
        match (self, others) {
            (Wanted::Whole, _) | (_, Wanted::Usual) => true,
            (Wanted::With(columns), Wanted::With(others)) => columns.is_superset(others),
            (Wanted::Usual, _) | (Wanted::With(_), Wanted::Whole) => false,
        }
    }
}

impl Row {
    /// The value a column will have after the commit, if that can be told.
    fn effective(&self, column: &str) -> Option<Value> {
        let stored = self.stored.get(column);
        match self.changes.get(column) {
            None if self.fate == Fate::Inserted => Some(Value::empty()),
            None => stored.cloned(),
            Some(change) => change.applied_to(stored),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.fate, Fate::Deleted | Fate::Collected)
    }

    /// Whether the row matches a filter now, given whether it did for the server.
    fn matches(&self, filter: Option<&Filter>, server_says: bool) -> bool {
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
    pub(super) fn applied_to(&self, stored: Option<&Value>) -> Option<Value> {
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
    fn stored(table: &Name, uuid: Uuid) -> Self {
        RowKey { table: table.clone(), id: UuidRef::Row(uuid) }
    }

    /// A reference to the row, to be put into a column.
    pub fn reference(&self) -> Atom {
        self.id.clone().into()
    }
}

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
            comment,
            careful,
            rows: BTreeMap::new(),
            answers: BTreeMap::new(),
            asked: Vec::new(),
            relations: BTreeSet::new(),
            absent: BTreeSet::new(),
            touched: Vec::new(),
            mark: mark.to_owned(),
            inserted: 0,
            links: Vec::new(),
            nudged: Vec::new(),
            reopened: Vec::new(),
            promised: Vec::new(),
            rest: Rest::default(),
            found_devices: Vec::new(),
            leaves_what_is_used: false,
            absent_devices: Vec::new(),
            expected_up: Vec::new(),
            neighbours: Vec::new(),
            devices: Vec::new(),
            on_vlan_bridges: Vec::new(),
            notes: Vec::new(),
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

    /// Tells people something that is no failure.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// From here on, inserted rows are marked as this.
    pub fn mark_as(&mut self, mark: String) {
        self.mark = mark;
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

    fn is_as_remembered(&self, table: &Name, columns: &Columns) -> bool {
        let uuid = columns.get("_uuid").and_then(|uuid| uuid.uuids().next());
        let Some(row) = uuid.and_then(|uuid| self.rows.get(&RowKey::stored(table, uuid))) else { return false };
        columns.iter().all(|(column, value)| tables::is_reported(column) || row.stored.get(column) == Some(value))
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
        mut columns: Columns,
        asked: Option<&[Name]>,
        confirmed: bool,
    ) -> Result<RowKey, Error> {
        let mut missing = asked.into_iter().flatten().filter(|column| !columns.contains_key(*column));
        if let Some(missing) = missing.find(|column| !self.session.lacks(table, column)) {
            return Err(lacks(table, missing));
        }
        let uuid = columns.remove("_uuid").and_then(|uuid| uuid.uuids().next()).ok_or_else(|| lacks(table, "_uuid"))?;
        let key = RowKey::stored(table, uuid);
        let row = self.rows.entry(key.clone()).or_insert_with(|| Row { confirmed, ..Row::default() });
        row.whole |= asked.is_none();
        for (column, value) in columns {
            // The first reading stays: decisions may rest on it already, and the guards compare with it.
            row.stored.entry(column).or_insert(value);
        }
        Ok(key)
    }

    /// The rows that match, as this unit leaves them.
    pub async fn find(&mut self, query: Query) -> Result<Vec<RowKey>, Error> {
        self.fetch([query.clone()]).await?;
        let Question { table, filter } = &query.question;
        // The server was not asked about a row that does not exist yet, and has none that would answer.
        let server = self.answers.get(&query.question).map(|answer| answer.rows.clone()).unwrap_or_default();
        let mut candidates = server.clone();
        candidates.extend(self.touched.iter().filter(|key| key.table == *table).cloned());
        let mut found = Vec::new();
        for key in candidates {
            let by_server = server.contains(&key);
            let Some(row) = self.rows.get_mut(&key) else { continue };
            // A touched row of another identity is no answer to a question about one row.
            if matches!(filter, Some(Filter::RowIncludes(uuid, ..)) if key.id != UuidRef::Row(*uuid)) {
                continue;
            }
            if row.is_gone() || !row.matches(filter.as_ref(), by_server) {
                continue;
            }
            row.seen = true;
            match filter {
                Some(Filter::Includes(column, value) | Filter::RowIncludes(_, column, value)) if by_server => {
                    self.relations.insert((key.clone(), column.clone(), value.clone()));
                }
                // Names never change; other columns may.
                Some(Filter::Equals(column, _)) if by_server && row.stored.contains_key(column) && column != "name" => {
                    row.relied.insert(column.clone());
                }
                _ => {}
            }
            found.push(key);
        }
        Ok(found)
    }

    /// The only row that matches, or the first.
    pub async fn find_one(&mut self, query: Query) -> Result<Option<RowKey>, Error> {
        Ok(self.find(query).await?.into_iter().next())
    }

    /// Whether a row's set includes a value. The server need not look at any other row.
    pub async fn includes(&mut self, row: &RowKey, column: &'static str, value: &RowKey) -> Result<bool, Error> {
        Ok(match Unit::membership(row, column, value) {
            Some(query) => self.find_one(query).await?.is_some(),
            None => self.rows.get(row).is_some_and(|row| {
                row.matches(Some(&Filter::Includes(column.into(), value.reference().into())), false)
            }),
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

    // ---- changing ----

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
                // What this unit added itself is not there yet, so there is nothing to take away.
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

    fn touch(&mut self, key: &RowKey) {
        if let Some(row) = self.rows.get_mut(key)
            && !std::mem::replace(&mut row.touched, true)
        {
            self.touched.push(key.clone());
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;

    #[test]
    fn every_inserted_row_that_can_hold_a_mark_has_it() {
        let settings = crate::settings::Settings::from_env().unwrap();
        let (deadline, _stop) = Deadline::after(settings.timeout);
        let mut session = Session::new(settings, deadline);
        let mut unit = Unit::new(&mut session, String::new(), "here", false);
        let mark = |unit: &Unit<'_>, row: &RowKey| unit.peek(row, "external_ids")?.get_str(MARK).map(str::to_owned);
        for table in [BRIDGE, PORT, INTERFACE, "Mirror", "QoS", "Queue", "Controller", "Manager", "sFlow", "SSL"] {
            let row = unit.insert(table, []);
            assert_eq!(mark(&unit, &row).as_deref(), Some("here"), "{table}");
        }
        unit.mark_as("there".into());
        let theirs = unit.insert("Queue", [("external_ids", Value::string_map([("a", "b")]))]);
        assert_eq!(mark(&unit, &theirs).as_deref(), Some("there"));
        assert_eq!(unit.peek(&theirs, "external_ids").unwrap().get_str("a"), Some("b"));
        for table in [OPEN_VSWITCH, "AutoAttach"] {
            let row = unit.insert(table, []);
            assert_eq!(mark(&unit, &row), None, "{table}");
        }
    }
}
