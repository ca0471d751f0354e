//! Replicated tables: rows, ways to find them, and what changes them.

mod indexes;

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use indexes::{References, Unique, uuid_of};

use super::packed::{ColumnShape, ColumnView, Packed, Parts};
use super::{Change, Changes, RowChange, TableRequest};
use crate::monitor::{MonitorRequest, MonitorRequests};
use crate::operation::{Condition, Function, Name, Row as Columns};
use crate::schema::DatabaseSchema;
use crate::value::{Atom, Uuid, Value};

/// The replicated part of a database, as of one transaction.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Table>,
    hasher: DefaultHashBuilder,
    parts: Parts,
    /// The last transaction, where the server tells them.
    transaction: Option<Uuid>,
    /// How many notifications were applied.
    applied: u64,
    /// What the notification that is being applied changes, if somebody wants to know.
    changes: Option<Vec<RowChange>>,
}

/// A replicated table.
#[derive(Debug)]
pub struct Table {
    shape: Arc<TableShape>,
    rows: Vec<Option<Row>>,
    free: Vec<u32>,
    by_uuid: HashTable<u32>,
    unique: Vec<Unique>,
    references: Vec<References>,
    /// While the whole table comes anew: the rows that came.
    came: Option<Vec<bool>>,
}

/// A table's name and its replicated columns, in the order of their names.
#[derive(Debug, PartialEq)]
pub struct TableShape {
    /// The table's name.
    pub name: Name,
    /// Its columns.
    pub columns: Vec<ColumnShape>,
}

#[derive(Debug)]
struct Row {
    uuid: Uuid,
    packed: Packed,
}

/// A row of a replicated table.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    shape: &'a TableShape,
    uuid: Uuid,
    packed: &'a Packed,
}

/// A row as it was, independent of the replica.
#[derive(Clone, Debug)]
pub struct FormerRow {
    shape: Arc<TableShape>,
    uuid: Uuid,
    packed: Packed,
}

impl FormerRow {
    /// The row.
    pub fn view(&self) -> RowView<'_> {
        RowView { shape: &self.shape, uuid: self.uuid, packed: &self.packed }
    }
}

impl TableShape {
    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.binary_search_by(|column| column.name.as_ref().cmp(name)).ok()
    }
}

impl<'a> RowView<'a> {
    /// The row's identity.
    pub fn uuid(self) -> Uuid {
        self.uuid
    }

    /// A column, if it is replicated.
    pub fn get(self, column: &str) -> Option<ColumnView<'a>> {
        self.shape.column(column).map(|column| self.at(column))
    }

    /// The column at a place of [`TableShape::columns`].
    fn at(self, column: usize) -> ColumnView<'a> {
        ColumnView::new(&self.shape.columns[column], self.bytes(column))
    }

    fn bytes(self, column: usize) -> &'a [u8] {
        self.packed.column(column, self.shape.columns.len())
    }

    /// All replicated columns.
    pub fn columns(self) -> impl Iterator<Item = (&'a Name, ColumnView<'a>)> {
        self.shape.columns.iter().enumerate().map(move |(column, shape)| (&shape.name, self.at(column)))
    }
}

/// What of the requested tables and columns the schema has, typed by it.
pub(super) fn shapes(requests: &[TableRequest], schema: &DatabaseSchema) -> Vec<Arc<TableShape>> {
    let mut shapes = Vec::new();
    for request in requests {
        let Some(table) = schema.tables.get(request.table.as_ref()) else { continue };
        let mut columns: Vec<ColumnShape> = request
            .columns
            .iter()
            .filter_map(|name| Some(ColumnShape::new(name.clone(), &table.columns.get(name.as_ref())?.ty)))
            .collect();
        columns.sort_by(|one, other| one.name.cmp(&other.name));
        columns.dedup_by(|one, other| one.name == other.name);
        shapes.push(Arc::new(TableShape { name: request.table.clone(), columns }));
    }
    shapes
}

/// The request for tables of these shapes.
pub(super) fn monitor_requests(shapes: &[Arc<TableShape>]) -> MonitorRequests {
    let request = |shape: &TableShape| {
        let columns = Some(shape.columns.iter().map(|column| column.name.clone()).collect());
        vec![MonitorRequest { columns, ..MonitorRequest::default() }]
    };
    shapes.iter().map(|shape| (shape.name.clone(), request(shape))).collect()
}

impl Tables {
    /// A table, if it is replicated.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.shape.name == name)
    }

    /// All replicated tables.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    /// The id of the last transaction, if the server tells them and a database has them: one in a file has none.
    pub fn transaction(&self) -> Option<Uuid> {
        self.transaction
    }

    /// How many notifications have been applied since the beginning.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Answers a `select`, if all that it names is replicated and typed as it expects; otherwise the server has to.
    pub fn select(&self, table: &str, conditions: &[Condition], columns: &[Name]) -> Option<Vec<Columns>> {
        self.table(table)?.select(conditions, columns, &self.hasher)
    }

    /// Whether [`Tables::select`] has an answer.
    pub fn can_select(&self, table: &str, conditions: &[Condition], columns: &[Name]) -> bool {
        self.table(table).is_some_and(|table| table.prepare(conditions, columns).is_some())
    }

    /// Whether rows are found by a column without looking at all of them.
    pub fn is_indexed(&self, table: &str, column: &str) -> bool {
        let Some(table) = self.table(table) else { return false };
        let column = table.shape.column(column);
        let unique = table.unique.iter().map(|index| index.column);
        unique.chain(table.references.iter().map(|index| index.column)).any(|indexed| Some(indexed) == column)
    }

    /// The row with this value in a column that the replica was asked to find rows by; `None` also where it was not.
    pub fn find(&self, table: &str, column: &str, value: impl Into<Value>) -> Option<RowView<'_>> {
        let table = self.table(table)?;
        let column = table.shape.column(column)?;
        let bytes = table.shape.columns[column].pack(&value.into())?;
        let index = table.unique.iter().find(|index| index.column == column)?;
        index.find(table, &bytes, &self.hasher).and_then(|row| table.view(row))
    }

    /// The row with this identity.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<RowView<'_>> {
        let table = self.table(table)?;
        table.view(table.handle(uuid, &self.hasher)?)
    }

    /// The rows whose set of references includes a row; none where the replica was not asked to follow them.
    pub fn referrers(&self, table: &str, column: &str, uuid: Uuid) -> Vec<RowView<'_>> {
        let Some(table) = self.table(table) else { return Vec::new() };
        let references = table.references.iter().find(|index| Some(index.column) == table.shape.column(column));
        let handles = references.map(|index| index.find(uuid, &self.hasher)).unwrap_or_default();
        handles.into_iter().filter_map(|handle| table.view(handle)).collect()
    }

    // ---- applying ----

    /// Whether rows of these shapes can go on being changed; if not, everything is forgotten.
    pub(super) fn reshape(&mut self, requests: &[TableRequest], shapes: &[Arc<TableShape>]) -> bool {
        if self.tables.len() == shapes.len()
            && self.tables.iter().zip(shapes).all(|(table, shape)| table.shape == *shape)
        {
            return true;
        }
        self.transaction = None;
        self.tables = shapes
            .iter()
            .map(|shape| {
                let request = requests.iter().find(|request| request.table == shape.name);
                let places =
                    |names: &[Name]| names.iter().filter_map(|name| shape.column(name)).collect::<Vec<usize>>();
                let unique = request.map(|request| places(&request.unique)).unwrap_or_default();
                let references = request.map(|request| places(&request.references)).unwrap_or_default();
                Table {
                    shape: shape.clone(),
                    rows: Vec::new(),
                    free: Vec::new(),
                    by_uuid: HashTable::new(),
                    unique: unique.into_iter().map(|column| Unique { column, rows: HashTable::new() }).collect(),
                    references: references
                        .into_iter()
                        .map(|column| References { column, rows: HashTable::new() })
                        .collect(),
                    came: None,
                }
            })
            .collect();
        false
    }

    /// From here on, changes are noted for [`Tables::take_changes`].
    pub(super) fn note_changes(&mut self) {
        self.changes = Some(Vec::new());
    }

    /// What has changed since [`Tables::note_changes`].
    pub(super) fn take_changes(&mut self) -> Option<Changes> {
        let rows = self.changes.take()?;
        Some(Changes { transaction: self.transaction, reset: false, rows })
    }

    /// The place of a table.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.shape.name == name)
    }

    /// Where the columns of a row of a table are put before [`Tables::put`] or [`Tables::modify`].
    pub(super) fn room(&mut self, table: usize) -> (&[ColumnShape], &mut Parts) {
        (&self.tables[table].shape.columns, &mut self.parts)
    }

    /// The whole contents follow: what does not come is no longer there.
    pub(super) fn begin_whole(&mut self) {
        for table in &mut self.tables {
            table.came = Some(vec![false; table.rows.len()]);
        }
    }

    /// The whole contents have come.
    pub(super) fn end_whole(&mut self) {
        for table in 0..self.tables.len() {
            let Some(came) = self.tables[table].came.take() else { continue };
            let gone = came.iter().zip(&self.tables[table].rows).filter(|(came, _)| !**came);
            let gone: Vec<Uuid> = gone.filter_map(|(_, row)| row.as_ref().map(|row| row.uuid)).collect();
            for uuid in gone {
                self.delete(table, uuid);
            }
            // Room for growth doubles, and after a whole load there may be much of it.
            let table = &mut self.tables[table];
            table.rows.shrink_to_fit();
        }
    }

    /// A notification has been applied to its end.
    pub(super) fn reached(&mut self, transaction: Option<Uuid>) {
        self.transaction = transaction.filter(|uuid| !uuid.0.is_nil());
        self.applied += 1;
    }

    /// A row is there, with what stands in the room and defaults for the rest.
    pub(super) fn put(&mut self, table: usize, uuid: Uuid) {
        let Tables { tables, hasher, parts, changes, .. } = self;
        let table = &mut tables[table];
        let packed = parts.pack_new(&table.shape.columns);
        let Some(handle) = table.handle(uuid, hasher) else {
            table.insert(uuid, packed, hasher);
            if let Some(changes) = changes {
                changes.push(RowChange { table: table.shape.name.clone(), uuid, what: Change::Inserted });
            }
            return;
        };
        if let Some(came) = table.came.as_mut().and_then(|came| came.get_mut(handle as usize)) {
            *came = true;
        }
        let old = table.replace(handle, packed, None, hasher);
        if let (Some(changes), Some(old)) = (changes, old) {
            changes.extend(table.modified(handle, old));
        }
    }

    /// A row changes by what stands in the room; `false` if it is not there.
    pub(super) fn modify(&mut self, table: usize, uuid: Uuid) -> bool {
        let Tables { tables, hasher, parts, changes, .. } = self;
        let table = &mut tables[table];
        let Some(handle) = table.handle(uuid, hasher) else { return false };
        let Some(row) = &table.rows[handle as usize] else { return false };
        let packed = parts.pack_changed(&table.shape.columns, &row.packed);
        let old = table.replace(handle, packed, Some(parts), hasher);
        if let (Some(changes), Some(old)) = (changes, old) {
            changes.extend(table.modified(handle, old));
        }
        true
    }

    /// A row is gone.
    pub(super) fn delete(&mut self, table: usize, uuid: Uuid) {
        let Tables { tables, hasher, changes, .. } = self;
        let table = &mut tables[table];
        let Some(packed) = table.handle(uuid, hasher).and_then(|handle| table.remove(handle, hasher)) else { return };
        if let Some(changes) = changes {
            let former = FormerRow { shape: table.shape.clone(), uuid, packed };
            changes.push(RowChange { table: table.shape.name.clone(), uuid, what: Change::Deleted { former } });
        }
    }
}

impl Table {
    /// Its name and columns.
    pub fn shape(&self) -> &TableShape {
        &self.shape
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = RowView<'_>> {
        self.rows.iter().flatten().map(|row| RowView { shape: &self.shape, uuid: row.uuid, packed: &row.packed })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_uuid.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.by_uuid.is_empty()
    }

    fn view(&self, handle: u32) -> Option<RowView<'_>> {
        let row = self.rows.get(handle as usize)?.as_ref()?;
        Some(RowView { shape: &self.shape, uuid: row.uuid, packed: &row.packed })
    }

    fn handle(&self, uuid: Uuid, hasher: &DefaultHashBuilder) -> Option<u32> {
        let is_it = |handle: &u32| self.rows[*handle as usize].as_ref().is_some_and(|row| row.uuid == uuid);
        self.by_uuid.find(hasher.hash_one(uuid), is_it).copied()
    }

    fn insert(&mut self, uuid: Uuid, packed: Packed, hasher: &DefaultHashBuilder) {
        let handle = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            // Rows are of some hundred bytes, and so are many less than 2^32.
            (self.rows.len() - 1) as u32
        });
        let columns = self.shape.columns.len();
        let rows = &mut self.rows;
        rows[handle as usize] = Some(Row { uuid, packed });
        if let Some(came) = &mut self.came {
            came.resize(rows.len(), false);
            came[handle as usize] = true;
        }
        let uuid_of = |handle: &u32| rows[*handle as usize].as_ref().map(|row| row.uuid).unwrap_or(uuid);
        self.by_uuid.insert_unique(hasher.hash_one(uuid), handle, |handle| hasher.hash_one(uuid_of(handle)));
        let Some(row) = &rows[handle as usize] else { return };
        for index in &mut self.unique {
            index.insert(rows, handle, row.packed.column(index.column, columns), columns, hasher);
        }
        for index in &mut self.references {
            let shape = &self.shape.columns[index.column];
            for entry in shape.entries(row.packed.column(index.column, columns)) {
                index.insert(entry, handle, hasher);
            }
        }
    }

    /// Puts other contents into a row and returns the old ones, or nothing where they are the same. `difference` is by
    /// what they differ, if that is known.
    fn replace(
        &mut self,
        handle: u32,
        packed: Packed,
        difference: Option<&Parts>,
        hasher: &DefaultHashBuilder,
    ) -> Option<Packed> {
        let columns = self.shape.columns.len();
        let row = self.rows[handle as usize].as_mut()?;
        if row.packed == packed {
            return None;
        }
        let old = std::mem::replace(&mut row.packed, packed);
        let rows = &self.rows;
        let new = &rows[handle as usize].as_ref()?.packed;
        for index in &mut self.unique {
            let (before, after) = (old.column(index.column, columns), new.column(index.column, columns));
            if before != after {
                index.remove(handle, before, hasher);
                index.insert(rows, handle, after, columns, hasher);
            }
        }
        for index in &mut self.references {
            let (column, shape) = (index.column, &self.shape.columns[index.column]);
            let (before, after) = (old.column(column, columns), new.column(column, columns));
            // A large set that changes by one element must not cost its whole size.
            let toggled = difference.filter(|_| !shape.single).map(|parts| parts.get(column).unwrap_or_default());
            match toggled {
                Some(toggled) => {
                    for entry in shape.entries(toggled) {
                        match shape.contains(after, entry) {
                            true => index.insert(entry, handle, hasher),
                            false => index.remove(entry, handle, hasher),
                        }
                    }
                }
                None if before == after => {}
                None => {
                    shape.entries(before).for_each(|entry| index.remove(entry, handle, hasher));
                    shape.entries(after).for_each(|entry| index.insert(entry, handle, hasher));
                }
            }
        }
        Some(old)
    }

    fn remove(&mut self, handle: u32, hasher: &DefaultHashBuilder) -> Option<Packed> {
        let columns = self.shape.columns.len();
        let row = self.rows[handle as usize].take()?;
        self.free.push(handle);
        if let Ok(entry) = self.by_uuid.find_entry(hasher.hash_one(row.uuid), |other| *other == handle) {
            entry.remove();
        }
        for index in &mut self.unique {
            index.remove(handle, row.packed.column(index.column, columns), hasher);
        }
        for index in &mut self.references {
            let shape = &self.shape.columns[index.column];
            shape
                .entries(row.packed.column(index.column, columns))
                .for_each(|entry| index.remove(entry, handle, hasher));
        }
        Some(row.packed)
    }

    /// How a row has changed, if it has.
    fn modified(&self, handle: u32, old: Packed) -> Option<RowChange> {
        let row = self.view(handle)?;
        let former = FormerRow { shape: self.shape.clone(), uuid: row.uuid, packed: old };
        let places = 0..self.shape.columns.len();
        let changed = places.filter(|column| former.view().bytes(*column) != row.bytes(*column));
        let columns = changed.map(|column| self.shape.columns[column].name.clone()).collect();
        let what = Change::Modified { columns, former };
        Some(RowChange { table: self.shape.name.clone(), uuid: row.uuid, what })
    }

    // ---- answering ----

    /// Conditions and columns in the terms of packed rows, if they are replicated.
    fn prepare(&self, conditions: &[Condition], columns: &[Name]) -> Option<(Vec<Test>, Vec<Option<usize>>)> {
        let tests = conditions.iter().map(|condition| self.test(condition)).collect::<Option<_>>()?;
        let place = |name: &Name| match name.as_ref() {
            "_uuid" => Some(None),
            name => self.shape.column(name).map(Some),
        };
        Some((tests, columns.iter().map(place).collect::<Option<_>>()?))
    }

    fn select(&self, conditions: &[Condition], columns: &[Name], hasher: &DefaultHashBuilder) -> Option<Vec<Columns>> {
        let (tests, wanted) = self.prepare(conditions, columns)?;
        let candidates = tests.iter().find_map(|test| self.candidates(test, hasher));
        let found: Vec<RowView<'_>> = match candidates {
            Some(handles) => handles.into_iter().filter_map(|handle| self.view(handle)).collect(),
            None => self.rows().collect(),
        };
        let found = found.into_iter().filter(|row| tests.iter().all(|test| test.holds(*row)));
        Some(
            found
                .map(|row| {
                    columns
                        .iter()
                        .zip(&wanted)
                        .map(|(name, place)| {
                            let value = place.map_or(Value::from(row.uuid), |place| row.at(place).to_value());
                            (name.clone(), value)
                        })
                        .collect()
                })
                .collect(),
        )
    }

    /// The rows among which those are that pass a test, where that takes no search.
    fn candidates(&self, test: &Test, hasher: &DefaultHashBuilder) -> Option<Vec<u32>> {
        match test {
            Test::Is(uuid) => Some(self.handle(*uuid, hasher).into_iter().collect()),
            Test::Equal(column, bytes) => {
                let index = self.unique.iter().find(|index| index.column == *column)?;
                Some(index.find(self, bytes, hasher).into_iter().collect())
            }
            Test::Includes(column, bytes) => {
                let index = self.references.iter().find(|index| index.column == *column)?;
                let first = self.shape.columns[*column].entries(bytes).next()?;
                Some(index.find(uuid_of(first), hasher))
            }
        }
    }

    fn test(&self, condition: &Condition) -> Option<Test> {
        let Condition::Column(name, function, value) = condition else { return None };
        match (name.as_ref(), function) {
            ("_uuid", Function::Equal) => match value {
                Value::Atom(Atom::Uuid(uuid)) => Some(Test::Is(*uuid)),
                _ => None,
            },
            (name, Function::Equal) => {
                let column = self.shape.column(name)?;
                // What is no value of a scalar is for the server to refuse.
                let bytes = self.shape.columns[column].pack(value)?;
                (!self.shape.columns[column].scalar || !bytes.is_empty()).then_some(Test::Equal(column, bytes))
            }
            (name, Function::Includes) => {
                let column = self.shape.column(name)?;
                Some(Test::Includes(column, self.shape.columns[column].pack(value)?))
            }
            _ => None,
        }
    }
}

/// A condition, in the terms of packed rows.
enum Test {
    Is(Uuid),
    Equal(usize, Vec<u8>),
    Includes(usize, Vec<u8>),
}

impl Test {
    fn holds(&self, row: RowView<'_>) -> bool {
        match self {
            Test::Is(uuid) => row.uuid == *uuid,
            Test::Equal(column, bytes) => row.bytes(*column) == bytes,
            Test::Includes(column, bytes) => {
                let shape = &row.shape.columns[*column];
                shape.entries(bytes).all(|entry| shape.contains(row.bytes(*column), entry))
            }
        }
    }
}
