//! A database in memory that does what RFC 7047 says of transactions, slowly and plainly.
//!
//! Tests of what builds transactions use it in place of a server. `tests/client/database_in_memory.rs` holds it against a real
//! ovsdb-server.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::operation::{Condition, Function, Mutation, Mutator, Name, Operation, Row, Until};
use ovsdb::schema::{BaseType, ColumnType, DatabaseSchema, RefType, TableSchema};
use ovsdb::value::{Atom, Uuid, Value};

/// The rows of a database.
#[derive(Clone, Debug)]
pub struct Model {
    schema: DatabaseSchema,
    rows: BTreeMap<String, BTreeMap<Uuid, Row>>,
    made: u64,
}

/// What an operation brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Nothing,
    Inserted(Uuid),
    Count(usize),
    Rows(Vec<Row>),
}

/// Why nothing happened: the place of the operation, or none for the commit as a whole; and the server's word.
pub type Refusal = (Option<usize>, &'static str);

impl Model {
    pub fn new(schema: DatabaseSchema) -> Self {
        let rows = schema.tables.keys().map(|table| (table.clone(), BTreeMap::new())).collect();
        Model { schema, rows, made: 0 }
    }

    /// The rows of a table, each with all of its columns.
    pub fn table(&self, table: &str) -> &BTreeMap<Uuid, Row> {
        &self.rows[table]
    }

    /// Carries a transaction out, wholly or not at all.
    pub fn transact(&mut self, operations: &[Operation]) -> Result<Vec<Outcome>, Refusal> {
        let mut after = self.clone();
        // A row may be referred to before it is inserted.
        let mut names = BTreeMap::new();
        let mut identities = Vec::new();
        for operation in operations {
            let mut identity = None;
            if let Operation::Insert { uuid_name, uuid, .. } = operation {
                after.made += 1;
                let made = uuid.map_or(Uuid(uuid::Uuid::from_u128(u128::from(after.made))), |uuid| uuid.0);
                identity = Some(made);
                if let Some(name) = uuid_name
                    && names.insert(name.clone(), made).is_some()
                {
                    return Err((Some(identities.len()), "duplicate uuid-name"));
                }
            }
            identities.push(identity);
        }
        let mut outcomes = Vec::new();
        for (place, (operation, identity)) in operations.iter().zip(identities).enumerate() {
            outcomes.push(after.carry_out(operation, identity, &names).map_err(|word| (Some(place), word))?);
        }
        after.commit().map_err(|word| (None, word))?;
        *self = after;
        Ok(outcomes)
    }

    fn carry_out(
        &mut self,
        operation: &Operation,
        identity: Option<Uuid>,
        names: &BTreeMap<Name, Uuid>,
    ) -> Result<Outcome, &'static str> {
        match operation {
            Operation::Insert { table, row, .. } => {
                let identity = identity.ok_or("internal error")?;
                let mut columns: Row = self
                    .table_schema(table)?
                    .columns
                    .iter()
                    .map(|(name, column)| (Name::from(name.clone()), column.ty.default_value()))
                    .collect();
                for (column, value) in row {
                    columns.insert(column.clone(), self.checked(table, column, resolved(value, names)?)?);
                }
                self.rows.get_mut(&**table).ok_or("unknown table")?.insert(identity, columns);
                Ok(Outcome::Inserted(identity))
            }
            Operation::Select { table, r#where, columns } => {
                let mut rows = Vec::new();
                for identity in self.matching(table, r#where, names)? {
                    rows.push(self.projected(table, identity, columns.as_deref())?);
                }
                Ok(Outcome::Rows(rows))
            }
            Operation::Update { table, r#where, row } => {
                let mut checked = Row::new();
                for (column, value) in row {
                    if !self.column(table, column)?.1 {
                        return Err("constraint violation");
                    }
                    checked.insert(column.clone(), self.checked(table, column, resolved(value, names)?)?);
                }
                let matching = self.matching(table, r#where, names)?;
                for identity in &matching {
                    self.row(table, identity)?.extend(checked.clone());
                }
                Ok(Outcome::Count(matching.len()))
            }
            Operation::Mutate { table, r#where, mutations } => {
                for Mutation(column, mutator, argument) in mutations {
                    let ty = self.column(table, column)?.0;
                    if matches!(mutator, Mutator::Insert | Mutator::Delete) {
                        allowed(ty, argument)?;
                    }
                }
                let matching = self.matching(table, r#where, names)?;
                for identity in &matching {
                    for Mutation(column, mutator, argument) in mutations {
                        let argument = resolved(argument, names)?;
                        let old = self.row(table, identity)?.get(column).cloned().ok_or("unknown column")?;
                        let new = mutated(&old, *mutator, &argument)?;
                        let new = self.checked(table, column, new).map_err(|_| "constraint violation")?;
                        self.row(table, identity)?.insert(column.clone(), new);
                    }
                }
                Ok(Outcome::Count(matching.len()))
            }
            Operation::Delete { table, r#where } => {
                let matching = self.matching(table, r#where, names)?;
                for identity in &matching {
                    self.rows.get_mut(&**table).ok_or("unknown table")?.remove(identity);
                }
                Ok(Outcome::Count(matching.len()))
            }
            Operation::Wait { table, r#where, columns, until, rows, .. } => {
                let mut found = BTreeSet::new();
                for identity in self.matching(table, r#where, names)? {
                    found.insert(self.projected(table, identity, Some(columns))?);
                }
                let mut wanted = BTreeSet::new();
                for row in rows {
                    let mut whole = Row::new();
                    for column in columns {
                        let value = match row.get(column) {
                            Some(value) if column == "_uuid" => resolved(value, names)?,
                            Some(value) => self.checked(table, column, resolved(value, names)?)?,
                            None => self.column(table, column)?.0.default_value(),
                        };
                        whole.insert(column.clone(), value);
                    }
                    wanted.insert(whole);
                }
                if (found == wanted) == (*until == Until::Equal) { Ok(Outcome::Nothing) } else { Err("timed out") }
            }
            Operation::Comment { .. } | Operation::Commit { .. } => Ok(Outcome::Nothing),
            Operation::Abort => Err("aborted"),
            Operation::Assert { .. } => Err("not owner"),
        }
    }

    /// What the server does at the end (ovsdb/transaction.c, `ovsdb_txn_precommit`).
    fn commit(&mut self) -> Result<(), &'static str> {
        let referred = |model: &Model| {
            let mut referred: BTreeSet<(String, Uuid)> = BTreeSet::new();
            for (table, rows) in &model.rows {
                for row in rows.values() {
                    for (column, value) in row {
                        let ty = &model.schema.tables[table].columns[&**column].ty;
                        for (base, atom) in atoms_of(ty, value) {
                            if let (Some(target), RefType::Strong, Atom::Uuid(uuid)) =
                                (&base.ref_table, base.ref_type, atom)
                            {
                                referred.insert((target.clone(), *uuid));
                            }
                        }
                    }
                }
            }
            referred
        };
        if referred(self).iter().any(|(table, uuid)| !self.rows[table].contains_key(uuid)) {
            return Err("referential integrity violation");
        }
        // Rows that nothing refers to any more go, and then those that only they referred to.
        loop {
            let referred = referred(self);
            let before: usize = self.rows.values().map(BTreeMap::len).sum();
            for (table, rows) in &mut self.rows {
                if !self.schema.tables[table].is_root {
                    rows.retain(|uuid, _| referred.contains(&(table.clone(), *uuid)));
                }
            }
            if self.rows.values().map(BTreeMap::len).sum::<usize>() == before {
                break;
            }
        }
        for (table, rows) in &self.rows {
            if self.schema.tables[table].max_rows.is_some_and(|most| rows.len() as u64 > most) {
                return Err("constraint violation");
            }
        }
        let there: BTreeMap<String, BTreeSet<Uuid>> =
            self.rows.iter().map(|(table, rows)| (table.clone(), rows.keys().copied().collect())).collect();
        for (table, rows) in &mut self.rows {
            for row in rows.values_mut() {
                for (column, value) in row {
                    let ty = &self.schema.tables[table].columns[&**column].ty;
                    let dangles = |base: &BaseType, atom: &Atom| match (&base.ref_table, base.ref_type, atom) {
                        (Some(target), RefType::Weak, Atom::Uuid(uuid)) => !there[target].contains(uuid),
                        _ => false,
                    };
                    *value = match (&*value, &ty.value) {
                        (Value::Map(pairs), Some(of_values)) => Value::Map(
                            pairs
                                .iter()
                                .filter(|(key, value)| !dangles(&ty.key, key) && !dangles(of_values, value))
                                .map(|(key, value)| (key.clone(), value.clone()))
                                .collect(),
                        ),
                        (set, _) => Value::set(set.atoms().filter(|atom| !dangles(&ty.key, atom)).cloned()),
                    };
                    if length(value) < ty.min {
                        return Err("constraint violation");
                    }
                }
            }
        }
        for (table, rows) in &self.rows {
            for index in &self.schema.tables[table].indexes {
                let mut seen = BTreeSet::new();
                for row in rows.values() {
                    let key: Vec<&Value> = index.iter().map(|column| &row[&**column]).collect();
                    if !seen.insert(key) {
                        return Err("constraint violation");
                    }
                }
            }
        }
        Ok(())
    }

    fn table_schema(&self, table: &str) -> Result<&TableSchema, &'static str> {
        self.schema.tables.get(table).ok_or("unknown table")
    }

    /// A column's type, and whether it may be changed.
    fn column(&self, table: &str, column: &str) -> Result<(&ColumnType, bool), &'static str> {
        let schema = self.table_schema(table)?.columns.get(column).ok_or("unknown column")?;
        Ok((&schema.ty, schema.mutable))
    }

    /// A value, if its column takes it. An empty set is an empty map as well.
    fn checked(&self, table: &str, column: &str, value: Value) -> Result<Value, &'static str> {
        let ty = self.column(table, column)?.0;
        let value = match (value, &ty.value) {
            (Value::Set(atoms), Some(_)) if atoms.is_empty() => Value::Map(BTreeMap::new()),
            (value, _) => value,
        };
        if length(&value) < ty.min || ty.max.is_some_and(|most| length(&value) > most) {
            // In a request, that is a value of another type.
            return Err("syntax error");
        }
        allowed(ty, &value)?;
        Ok(value)
    }

    fn row(&mut self, table: &str, identity: &Uuid) -> Result<&mut Row, &'static str> {
        self.rows.get_mut(table).and_then(|rows| rows.get_mut(identity)).ok_or("internal error")
    }

    fn projected(&self, table: &str, identity: Uuid, columns: Option<&[Name]>) -> Result<Row, &'static str> {
        let row = self.rows[table].get(&identity).ok_or("internal error")?;
        let with_identity = |name: &Name| match &**name {
            "_uuid" => Some(Value::from(identity)),
            name => row.get(name).cloned(),
        };
        match columns {
            None => Ok(row.clone().into_iter().chain([("_uuid".into(), identity.into())]).collect()),
            Some(columns) => {
                columns.iter().map(|name| Ok((name.clone(), with_identity(name).ok_or("unknown column")?))).collect()
            }
        }
    }

    fn matching(
        &self,
        table: &str,
        conditions: &[Condition],
        names: &BTreeMap<Name, Uuid>,
    ) -> Result<Vec<Uuid>, &'static str> {
        self.table_schema(table)?;
        for condition in conditions {
            if let Condition::Column(column, function, wanted) = condition
                && column != "_uuid"
            {
                match function {
                    Function::Includes | Function::Excludes => allowed(self.column(table, column)?.0, wanted)?,
                    _ => drop(self.checked(table, column, wanted.clone())?),
                }
            }
        }
        let mut found = Vec::new();
        for (identity, row) in &self.rows[table] {
            let mut all = true;
            for condition in conditions {
                let (column, function, wanted) = match condition {
                    Condition::Always(truth) => {
                        all &= truth;
                        continue;
                    }
                    Condition::Column(column, function, wanted) => (column, function, resolved(wanted, names)?),
                };
                let value = match &**column {
                    "_uuid" => Value::from(*identity),
                    name => row.get(name).cloned().ok_or("unknown column")?,
                };
                all &= match function {
                    Function::Equal => is_same(&value, &wanted),
                    Function::NotEqual => !is_same(&value, &wanted),
                    Function::Includes => includes(&value, &wanted),
                    Function::Excludes => excludes(&value, &wanted),
                    Function::Less => value < wanted,
                    Function::AtMost => value <= wanted,
                    Function::AtLeast => value >= wanted,
                    Function::Greater => value > wanted,
                };
            }
            if all {
                found.push(*identity);
            }
        }
        Ok(found)
    }
}

/// Whether each atom is one that its column takes. A server says so when it reads a request.
fn allowed(ty: &ColumnType, value: &Value) -> Result<(), &'static str> {
    let outside = |base: &BaseType, atom: &Atom| match atom {
        Atom::Integer(number) => {
            base.min_integer.is_some_and(|min| *number < min) || base.max_integer.is_some_and(|max| *number > max)
        }
        _ => false,
    };
    let refused = atoms_of(ty, value).any(|(base, atom)| {
        outside(base, atom) || base.allowed.as_ref().is_some_and(|allowed| !allowed.contains(atom))
    });
    if refused { Err("constraint violation") } else { Ok(()) }
}

/// The empty set and the empty map are one in the database.
fn is_same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_empty() && other.is_empty())
}

fn includes(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Map(pairs), Value::Map(wanted)) => wanted.iter().all(|(key, of)| pairs.get(key) == Some(of)),
        (value, wanted) => wanted.atoms().all(|atom| value.atoms().any(|has| has == atom)),
    }
}

fn excludes(value: &Value, unwanted: &Value) -> bool {
    match (value, unwanted) {
        (Value::Map(pairs), Value::Map(unwanted)) => unwanted.iter().all(|(key, of)| pairs.get(key) != Some(of)),
        (value, unwanted) => unwanted.atoms().all(|atom| value.atoms().all(|has| has != atom)),
    }
}

/// RFC 7047 section 5.1, `<mutation>`.
fn mutated(old: &Value, mutator: Mutator, argument: &Value) -> Result<Value, &'static str> {
    let arithmetic = |of: fn(i64, i64) -> Option<i64>| {
        let by = argument.as_integer().ok_or("syntax error")?;
        let mut new = Vec::new();
        for atom in old.atoms() {
            let Atom::Integer(number) = atom else { return Err("syntax error") };
            new.push(Atom::Integer(of(*number, by).ok_or("range error")?));
        }
        Ok(Value::set(new))
    };
    match (mutator, old, argument) {
        (Mutator::Add, ..) => arithmetic(i64::checked_add),
        (Mutator::Subtract, ..) => arithmetic(i64::checked_sub),
        (Mutator::Multiply, ..) => arithmetic(i64::checked_mul),
        (Mutator::Divide, ..) => arithmetic(i64::checked_div),
        (Mutator::Remainder, ..) => arithmetic(i64::checked_rem),
        (Mutator::Insert, Value::Map(pairs), Value::Map(further)) => {
            // A key that is there keeps its value.
            let mut all = further.clone();
            all.extend(pairs.clone());
            Ok(Value::Map(all))
        }
        (Mutator::Insert, old, further) => Ok(Value::set(old.atoms().chain(further.atoms()).cloned())),
        (Mutator::Delete, Value::Map(pairs), gone) => {
            let stays = |key: &Atom, value: &Atom| match gone {
                Value::Map(gone) => gone.get(key) != Some(value),
                keys => keys.atoms().all(|gone| gone != key),
            };
            let left = pairs.iter().filter(|(key, value)| stays(key, value));
            Ok(Value::Map(left.map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        (Mutator::Delete, old, gone) => {
            Ok(Value::set(old.atoms().filter(|atom| gone.atoms().all(|gone| gone != *atom)).cloned()))
        }
    }
}

fn length(value: &Value) -> u64 {
    match value {
        Value::Map(pairs) => pairs.len() as u64,
        set => set.atoms().count() as u64,
    }
}

fn atoms_of<'a>(ty: &'a ColumnType, value: &'a Value) -> impl Iterator<Item = (&'a BaseType, &'a Atom)> {
    let pairs = value.as_map().into_iter().flatten();
    let in_pairs = pairs.flat_map(|(key, value)| [Some((&ty.key, key)), ty.value.as_ref().map(|ty| (ty, value))]);
    value.atoms().map(|atom| (&ty.key, atom)).chain(in_pairs.flatten())
}

/// A value with identities in place of the names of this transaction.
fn resolved(value: &Value, names: &BTreeMap<Name, Uuid>) -> Result<Value, &'static str> {
    let real = |atom: &Atom| match atom {
        Atom::NamedUuid(name) => names.get(&name.0).map(|uuid| Atom::Uuid(*uuid)).ok_or("syntax error"),
        other => Ok(other.clone()),
    };
    Ok(match value {
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| Ok((real(key)?, real(value)?))).collect::<Result<_, &str>>()?)
        }
        set => Value::set(set.atoms().map(real).collect::<Result<Vec<_>, &str>>()?),
    })
}
