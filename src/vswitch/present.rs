//! What of a request a schema has.
//!
//! Databases may have an older schema than this program knows of: that of an older Open vSwitch, or one that nobody has
//! converted. Nothing that only reads needs a table or a column to be there. So requests name what is wanted, and if the
//! server refuses one for a name, what its schema lacks is left out ([`Session::read`](super::Session), the rollback in
//! `undo.rs`). A column that was left out reads as its default, a table as an empty one.

use ovsdb::error::{ErrorClass, ServerError};
use ovsdb::operation::{Condition, Name, Operation};
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::{OperationResult, Transaction};

/// Whether a server may have refused a request because its schema lacks something that the request names.
///
/// Where a column of a list is not there, the server calls that a syntax error (ovsdb/column.c,
/// `ovsdb_column_set_from_json`), so only the schema can tell.
pub(super) fn may_be_about_names(error: &ServerError) -> bool {
    matches!(error.class(), ErrorClass::UnknownColumn | ErrorClass::UnknownTable | ErrorClass::SyntaxError)
}

/// Whether the schema has the column. Every table has its identity and its version.
pub(super) fn has(schema: &DatabaseSchema, table: &str, column: &str) -> bool {
    let known = schema.tables.get(table);
    known.is_some_and(|table| matches!(column, "_uuid" | "_version") || table.columns.contains_key(column))
}

/// A transaction without the tables and columns that a schema lacks.
pub(super) struct Narrowed {
    /// What is left of it.
    pub(super) transaction: Transaction,
    /// For each of its operations, whether that is left.
    kept: Vec<bool>,
}

impl Narrowed {
    /// Leaves out what selects and waits read and the schema lacks; `None` if it lacks nothing of that. What is written
    /// stays, since leaving that out would be something else than what was asked for.
    pub(super) fn of(transaction: &Transaction, schema: &DatabaseSchema) -> Option<Narrowed> {
        let mut narrowed = Narrowed { transaction: Transaction::new(), kept: Vec::new() };
        let mut is_narrower = false;
        for operation in &transaction.operations {
            let mut operation = operation.clone();
            let kept = match &mut operation {
                Operation::Select { table, r#where, columns } => {
                    is_narrower |= columns.as_mut().is_some_and(|columns| keep_present(columns, schema, table));
                    // A row that has no such column is none that was asked for.
                    schema.tables.contains_key(table.as_ref())
                        && r#where.iter().all(|condition| match condition {
                            Condition::Column(column, ..) => has(schema, table, column),
                            Condition::Always(_) => true,
                        })
                }
                Operation::Wait { table, columns, .. } => {
                    is_narrower |= keep_present(columns, schema, table);
                    true
                }
                _ => true,
            };
            is_narrower |= !kept;
            narrowed.kept.push(kept);
            if kept {
                narrowed.transaction.push(operation);
            }
        }
        is_narrower.then_some(narrowed)
    }

    /// Results for the whole transaction, from those of what is left of it: no rows from what is not there.
    pub(super) fn widen(&self, results: Vec<OperationResult>) -> Vec<OperationResult> {
        let mut results = results.into_iter();
        let mut result = |kept: &bool| if *kept { results.next() } else { Some(OperationResult::known(Vec::new())) };
        self.kept.iter().map_while(&mut result).collect()
    }
}

/// What a transaction writes, or reads just before it writes that, and the schema lacks; in words.
pub(super) fn lacking(transaction: &Transaction, schema: &DatabaseSchema) -> Option<String> {
    let version = &schema.version;
    transaction.operations.iter().filter_map(named).find_map(|(table, columns)| {
        if !schema.tables.contains_key(table.as_ref()) {
            return Some(format!("the database's schema {version} has no table {table}"));
        }
        let unknown = columns.into_iter().find(|column| !has(schema, table, column))?;
        Some(format!("the database's schema {version} has no column {table}.{unknown}"))
    })
}

/// The table and the columns that an operation changes, or reads just before it changes them.
fn named(operation: &Operation) -> Option<(&Name, Vec<&Name>)> {
    match operation {
        Operation::Insert { table, row, .. } | Operation::Update { table, row, .. } => {
            Some((table, row.keys().collect()))
        }
        Operation::Mutate { table, mutations, .. } => {
            Some((table, mutations.iter().map(|mutation| &mutation.0).collect()))
        }
        Operation::Select { table, columns: Some(columns), .. } => Some((table, columns.iter().collect())),
        _ => None,
    }
}

/// Whether something was left out.
fn keep_present(columns: &mut Vec<Name>, schema: &DatabaseSchema, table: &str) -> bool {
    let before = columns.len();
    columns.retain(|column| has(schema, table, column));
    columns.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb::operation::{Row, Until};
    use ovsdb::value::Value;

    fn schema() -> DatabaseSchema {
        let text = r#"{"name": "Open_vSwitch", "version": "7.4.0", "tables": {
            "Port": {"columns": {"name": {"type": "string"}, "tag": {"type": "integer"}}}}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_the_schema_lacks_is_left_out_of_what_is_read_and_reads_as_nothing() {
        let mut asked = Transaction::new();
        asked.select("Port", Vec::new(), &["_uuid", "name", "cvlans"]);
        asked.select("AutoAttach", Vec::new(), &["_uuid"]);
        asked.select("Port", vec![Condition::equal("cvlans", 5i64)], &["name"]);
        asked.select("Port", vec![Condition::equal("tag", 5i64)], &["name"]);
        let narrowed = Narrowed::of(&asked, &schema()).unwrap();
        let columns = |operation: &Operation| match operation {
            Operation::Select { columns: Some(columns), .. } => columns.join(" "),
            other => panic!("{other:?}"),
        };
        let left: Vec<String> = narrowed.transaction.operations.iter().map(columns).collect();
        assert_eq!(left, ["_uuid name", "name"]);
        let row = Row::from([("name".into(), Value::from("p"))]);
        let results = vec![OperationResult::known(vec![row.clone()]), OperationResult::known(vec![row])];
        let counts: Vec<usize> =
            narrowed.widen(results).into_iter().map(|result| result.into_rows().unwrap().len()).collect();
        assert_eq!(counts, [1, 0, 0, 1]);
    }

    #[test]
    fn guards_compare_what_is_there_and_what_is_written_stays() {
        let row = || Row::from([("name".into(), Value::from("p"))]);
        let mut asked = Transaction::new();
        asked.push(Operation::Wait {
            timeout: Some(0),
            table: "Port".into(),
            r#where: Vec::new(),
            columns: vec!["cvlans".into(), "name".into()],
            until: Until::Equal,
            rows: vec![row()],
        });
        asked.insert("AutoAttach", row());
        let narrowed = Narrowed::of(&asked, &schema()).unwrap();
        assert_eq!(narrowed.transaction.operations[1], asked.operations[1]);
        let Operation::Wait { columns, rows, .. } = &narrowed.transaction.operations[0] else { panic!("no wait") };
        assert_eq!((columns.join(" "), rows), ("name".to_owned(), &vec![row()]));
    }

    #[test]
    fn a_request_of_which_all_is_there_stays_as_it_is() {
        let mut asked = Transaction::new();
        asked.select("Port", vec![Condition::Always(true)], &["_uuid", "_version", "name"]);
        asked.push(Operation::Select { table: "Port".into(), r#where: Vec::new(), columns: None });
        assert!(Narrowed::of(&asked, &schema()).is_none());
    }
}
