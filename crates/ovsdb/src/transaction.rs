//! Transactions: operations in order, names for the rows they insert, and what the reply means.
//!
//! ```
//! use ovsdb::ErrorClass;
//! use ovsdb::operation::Row;
//! use ovsdb::transaction::{TransactReply, Transaction};
//!
//! let mut transaction = Transaction::new();
//! let name = transaction.insert("Queue", Row::from([("dscp".into(), 10i64.into())]));
//! assert_eq!(name.0, "row1");
//!
//! // Of a refused commit each operation looks well; the error comes as one result more.
//! let reply: TransactReply =
//!     serde_json::from_str(r#"[{"uuid":["uuid","11111111-2222-3333-4444-555555555555"]},{"error":"constraint violation"}]"#)?;
//! let error = reply.check(transaction.operations.len()).unwrap_err();
//! assert_eq!((error.operation, error.error.class()), (None, ErrorClass::ConstraintViolation));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Kept, REPEATED, ServerError, Syntax, Words, beginning_of};
use crate::operation::{Condition, Name, Operation, Row};
use crate::rows;
use crate::value::{NamedUuid, Uuid};
use crate::wire::json;

/// Operations that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// The operations, in order.
    pub operations: Vec<Operation>,
    rows: usize,
}

impl Transaction {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Transaction::default()
    }

    /// Appends an operation and tells at which place its result will stand.
    pub fn push(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// A name for a row to be inserted, unique in this transaction.
    pub fn name_row(&mut self) -> NamedUuid {
        self.rows += 1;
        NamedUuid(format!("row{}", self.rows).into())
    }

    /// Reads columns of the rows that match; the result stands at the returned place.
    pub fn select(&mut self, table: &'static str, r#where: Vec<Condition>, columns: &[&'static str]) -> usize {
        let columns = Some(columns.iter().map(|&column| Name::from(column)).collect());
        self.push(Operation::Select { table: table.into(), r#where, columns })
    }

    /// Adds a row under a new name.
    pub fn insert(&mut self, table: impl Into<Name>, row: Row) -> NamedUuid {
        let name = self.name_row();
        self.push(Operation::Insert { table: table.into(), row, uuid_name: Some(name.0.clone()), uuid: None });
        name
    }
}

/// The parameters of a `transact` request: the database's name, then the operations.
pub(crate) struct TransactParams<'a>(pub(crate) &'a str, pub(crate) &'a [Operation]);

impl Serialize for TransactParams<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(1 + self.1.len()))?;
        sequence.serialize_element(self.0)?;
        for operation in self.1 {
            sequence.serialize_element(operation)?;
        }
        sequence.end()
    }
}

/// What one operation brought.
#[derive(Debug, Default)]
pub struct OperationResult {
    uuid: Option<Uuid>,
    count: Option<u64>,
    rows: Option<Rows>,
}

/// The rows of a select.
#[derive(Debug)]
enum Rows {
    /// As the server wrote them.
    Text(Box<RawValue>),
    /// From memory.
    Known(Vec<Row>),
}

impl OperationResult {
    /// The rows of a select that was answered from memory.
    pub fn known(rows: Vec<Row>) -> Self {
        OperationResult { rows: Some(Rows::Known(rows)), ..OperationResult::default() }
    }

    /// The identity of an inserted row.
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// How many rows an update, mutate or delete matched. 0 is no error for the server.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// The rows of a select.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, json::Error> {
        match &self.rows {
            Some(Rows::Text(rows)) => json::from_raw(rows),
            Some(Rows::Known(rows)) => rows.iter().map(|row| rows::read_row(row)).collect(),
            None => Err(serde::de::Error::missing_field("rows")),
        }
    }

    /// The rows of a select, as columns and values.
    pub fn into_rows(self) -> Result<Vec<Row>, json::Error> {
        match self.rows {
            Some(Rows::Known(rows)) => Ok(rows),
            _ => self.rows(),
        }
    }
}

/// The reply to `transact`, before it is known whether it tells of success.
#[derive(Debug)]
pub struct TransactReply(Vec<Element>);

#[derive(Debug)]
enum Element {
    Done(OperationResult),
    Failed(ServerError),
    /// `null`: an operation after the one that failed.
    Skipped,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            uuid: Option<Uuid>,
            count: Option<u64>,
            rows: Option<Box<RawValue>>,
            error: Option<Words>,
            details: Option<Words>,
            syntax: Option<Box<RawValue>>,
        }

        Ok(match Option::<Fields>::deserialize(deserializer)? {
            None => Element::Skipped,
            Some(Fields { error: Some(Kept(error)), details, syntax, .. }) => {
                let details = details.map(|Kept(details)| details);
                Element::Failed(ServerError { error, details, syntax: syntax.map(|syntax| plain(&syntax)) })
            }
            Some(Fields { uuid, count, rows, .. }) => {
                Element::Done(OperationResult { uuid, count, rows: rows.map(Rows::Text) })
            }
        })
    }
}

/// `syntax` is JSON text inside of a JSON string.
fn plain(syntax: &RawValue) -> String {
    json::from_raw(syntax).map_or_else(|_| beginning_of(syntax.get(), REPEATED), |Kept(text): Syntax| text)
}

impl<'de> Deserialize<'de> for TransactReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(TransactReply)
    }
}

/// Why a transaction changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactError {
    /// The place of the operation that failed; `None` when each succeeded and the commit as a whole was refused.
    pub operation: Option<usize>,
    /// The server's words.
    pub error: ServerError,
}

impl fmt::Display for TransactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Some(index) => write!(f, "operation {} of the transaction failed: {}", index + 1, self.error),
            None => write!(f, "the transaction was refused: {}", self.error),
        }
    }
}

impl std::error::Error for TransactError {}

impl TransactReply {
    /// The results of all operations, or the first error among them.
    ///
    /// A failed commit looks like success for every operation and appends one element with the error (RFC 7047
    /// section 4.1.3), so every element is looked at, and the number of them too.
    pub fn check(self, operations: usize) -> Result<Vec<OperationResult>, TransactError> {
        let count = self.0.len();
        let mut results = Vec::with_capacity(count);
        for (index, element) in self.0.into_iter().enumerate() {
            match element {
                Element::Done(result) => results.push(result),
                Element::Failed(error) => {
                    return Err(TransactError { operation: (index < operations).then_some(index), error });
                }
                Element::Skipped => break,
            }
        }
        if results.len() == operations {
            return Ok(results);
        }
        let details = format!("{} results for {operations} operations", results.len());
        let error = ServerError { error: "unexpected reply".into(), details: Some(details), syntax: None };
        Err(TransactError { operation: None, error })
    }
}

/// Reads any result and forgets it, for calls whose success is all that matters.
#[derive(Debug)]
pub struct Done;

impl<'de> Deserialize<'de> for Done {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use crate::value::{Map, Optional, Set};

    fn reply(text: &str) -> TransactReply {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn results_stand_in_the_order_of_the_operations() {
        let results = reply(
            r#"[{},{"uuid":["uuid","11111111-2222-3333-4444-555555555555"]},{"count":2},{"rows":[{"tag":5},{"tag":["set",[]]}]}]"#,
        )
        .check(4)
        .unwrap();
        assert_eq!(results[1].uuid().unwrap().to_text(), "11111111-2222-3333-4444-555555555555");
        assert_eq!(results[2].count(), Some(2));
        let rows: Vec<Row> = results[3].rows().unwrap();
        assert_eq!(rows[0]["tag"].as_integer(), Some(5));
        assert!(rows[1]["tag"].is_empty());
        assert!(results[0].rows::<Row>().is_err(), "a wait has no rows");
    }

    #[test]
    fn rows_from_memory_are_read_as_those_from_the_wire() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Typed {
            _uuid: Uuid,
            name: String,
            tag: Optional<i64>,
            up: Optional<bool>,
            trunks: Set<i64>,
            ports: Set<Uuid>,
            options: Map<String, String>,
        }
        let text = r#"[{"rows":[{"_uuid":["uuid","11111111-2222-3333-4444-555555555555"],"name":"a","tag":["set",[]],
            "up":true,"trunks":["set",[1,2]],"ports":["uuid","11111111-2222-3333-4444-555555555556"],
            "options":["map",[["k","v"]]]}]}]"#;
        let wire = reply(text).check(1).unwrap().remove(0);
        let known = OperationResult::known(wire.rows().unwrap());
        assert_eq!(known.rows::<Row>().unwrap(), wire.rows::<Row>().unwrap());
        assert_eq!(known.rows::<Typed>().unwrap(), wire.rows::<Typed>().unwrap());
        assert_eq!(known.into_rows().unwrap(), wire.into_rows().unwrap());
    }

    #[test]
    fn an_operation_that_fails_is_named_by_its_place() {
        let error = reply(r#"[{},{"error":"timed out","details":"\"where\" clause test failed"},null]"#).check(3);
        let error = error.unwrap_err();
        assert_eq!(error.operation, Some(1));
        assert_eq!(error.error.class(), ErrorClass::TimedOut);
    }

    #[test]
    fn a_refused_commit_is_an_error_after_the_last_result() {
        let text = r#"[{"count":1},{"error":"constraint violation","details":"rows","syntax":"{\"a\":1}"}]"#;
        let error = reply(text).check(1).unwrap_err();
        assert_eq!(error.operation, None);
        assert_eq!(error.error.class(), ErrorClass::ConstraintViolation);
        assert_eq!(error.error.syntax.as_deref(), Some(r#"{"a":1}"#));
    }

    #[test]
    fn too_few_results_are_no_success() {
        assert!(reply("[{}]").check(2).is_err());
        assert!(reply("[{},null]").check(2).is_err());
        assert!(reply("[{},{},{}]").check(2).is_err());
    }
}
