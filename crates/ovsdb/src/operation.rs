//! The operations of a transaction (RFC 7047 section 5.2), as data.
//!
//! ```
//! use ovsdb::operation::{Condition, Operation};
//!
//! let select = Operation::Select {
//!     table: "Port".into(),
//!     r#where: vec![Condition::equal("tag", 7i64)],
//!     columns: Some(vec!["name".into()]),
//! };
//! let expected = r#"{"op":"select","table":"Port","where":[["tag","==",7]],"columns":["name"]}"#;
//! assert_eq!(serde_json::to_string(&select)?, expected);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeTuple, Serializer};

use crate::value::{PlainUuid, Value};

/// The name of a table or a column: known at compile time, or taken from a schema.
pub type Name = Cow<'static, str>;

/// Columns and their values, of a row that is written or compared.
pub type Row = BTreeMap<Name, Value>;

/// One operation of a `transact` request.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Adds a row; columns left out get their defaults.
    Insert {
        /// The table.
        table: Name,
        /// The columns.
        row: Row,
        /// The name by which the rest of the transaction refers to the row.
        #[serde(rename = "uuid-name", skip_serializing_if = "Option::is_none")]
        uuid_name: Option<Name>,
        /// The identity to give to the row (an Open vSwitch extension, since 2.14).
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<PlainUuid>,
    },
    /// Reads rows.
    Select {
        /// The table.
        table: Name,
        /// Which rows: all conditions must hold.
        r#where: Vec<Condition>,
        /// Which columns; `None` is all, with `_uuid` and `_version`.
        #[serde(skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<Name>>,
    },
    /// Writes columns of the rows that match.
    Update {
        /// The table.
        table: Name,
        /// Which rows.
        r#where: Vec<Condition>,
        /// The new values.
        row: Row,
    },
    /// Changes columns in place, without knowing the rest of their contents.
    Mutate {
        /// The table.
        table: Name,
        /// Which rows.
        r#where: Vec<Condition>,
        /// What to change.
        mutations: Vec<Mutation>,
    },
    /// Removes the rows that match.
    Delete {
        /// The table.
        table: Name,
        /// Which rows.
        r#where: Vec<Condition>,
    },
    /// Goes on only if (or once) the rows that match are, or are not, the given ones.
    Wait {
        /// Milliseconds; 0 fails at once, `None` waits for ever.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// The table.
        table: Name,
        /// Which rows.
        r#where: Vec<Condition>,
        /// The columns to compare.
        columns: Vec<Name>,
        /// Whether the rows must be the given ones.
        until: Until,
        /// The rows to compare with; columns left out have their defaults.
        rows: Vec<Row>,
    },
    /// Asks for the result on disk before the reply.
    Commit {
        /// Whether to wait for the disk.
        durable: bool,
    },
    /// Makes the transaction fail.
    Abort,
    /// Leaves a text in the log of the database.
    Comment {
        /// The text.
        comment: String,
    },
    /// Fails unless the connection holds the lock.
    Assert {
        /// The lock's name.
        lock: String,
    },
}

/// The sense of a `wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Until {
    /// The rows are the given ones.
    #[serde(rename = "==")]
    Equal,
    /// The rows differ from the given ones.
    #[serde(rename = "!=")]
    NotEqual,
}

/// How a condition compares (RFC 7047 section 5.1 `<function>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Function {
    /// Less than.
    #[serde(rename = "<")]
    Less,
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// Greater than.
    #[serde(rename = ">")]
    Greater,
    /// Holds all of the given elements.
    #[serde(rename = "includes")]
    Includes,
    /// Holds none of the given elements.
    #[serde(rename = "excludes")]
    Excludes,
}

/// One condition of a `where`.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A comparison with a column.
    Column(Name, Function, Value),
    /// True or false for every row (an Open vSwitch extension).
    Always(bool),
}

impl Condition {
    /// The row with this identity; the server finds it without looking at others.
    pub fn is_row(row: impl Into<Value>) -> Self {
        Condition::Column("_uuid".into(), Function::Equal, row.into())
    }

    /// A column equals a value.
    pub fn equal(column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Condition::Column(column.into(), Function::Equal, value.into())
    }

    /// A set or map column holds a value.
    pub fn includes(column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Condition::Column(column.into(), Function::Includes, value.into())
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Condition::Column(column, function, value) => triple(serializer, column, function, value),
            Condition::Always(truth) => serializer.serialize_bool(*truth),
        }
    }
}

/// How a mutation changes a column (RFC 7047 section 5.1 `<mutator>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Mutator {
    /// Adds to a number, or to each number of a set.
    #[serde(rename = "+=")]
    Add,
    /// Subtracts.
    #[serde(rename = "-=")]
    Subtract,
    /// Multiplies.
    #[serde(rename = "*=")]
    Multiply,
    /// Divides.
    #[serde(rename = "/=")]
    Divide,
    /// Takes the remainder.
    #[serde(rename = "%=")]
    Remainder,
    /// Adds elements to a set, or pairs to a map whose keys are not there yet.
    #[serde(rename = "insert")]
    Insert,
    /// Takes elements from a set, or keys or exact pairs from a map.
    #[serde(rename = "delete")]
    Delete,
}

/// One change of a `mutate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation(pub Name, pub Mutator, pub Value);

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        triple(serializer, &self.0, &self.1, &self.2)
    }
}

fn triple<S: Serializer>(serializer: S, column: &Name, how: &impl Serialize, value: &Value) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(3)?;
    tuple.serialize_element(column)?;
    tuple.serialize_element(how)?;
    tuple.serialize_element(value)?;
    tuple.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_look_as_the_rfc_writes_them() {
        let bridge = vec![Condition::equal("name", "br0")];
        let row = Row::from([("tag".into(), Value::from(5i64))]);
        for (operation, expected) in [
            (
                Operation::Insert {
                    table: "Port".into(),
                    row: row.clone(),
                    uuid_name: Some("row1".into()),
                    uuid: None,
                },
                json!({"op": "insert", "table": "Port", "row": {"tag": 5}, "uuid-name": "row1"}),
            ),
            (
                Operation::Select {
                    table: "Bridge".into(),
                    r#where: bridge.clone(),
                    columns: Some(vec!["ports".into()]),
                },
                json!({"op": "select", "table": "Bridge", "where": [["name", "==", "br0"]], "columns": ["ports"]}),
            ),
            (
                Operation::Update { table: "Port".into(), r#where: vec![], row: row.clone() },
                json!({"op": "update", "table": "Port", "where": [], "row": {"tag": 5}}),
            ),
            (
                Operation::Mutate {
                    table: "Open_vSwitch".into(),
                    r#where: vec![Condition::Always(true)],
                    mutations: vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())],
                },
                json!({"op": "mutate", "table": "Open_vSwitch", "where": [true], "mutations": [["next_cfg", "+=", 1]]}),
            ),
            (
                Operation::Delete { table: "Bridge".into(), r#where: bridge.clone() },
                json!({"op": "delete", "table": "Bridge", "where": [["name", "==", "br0"]]}),
            ),
            (
                Operation::Wait {
                    timeout: Some(0),
                    table: "Port".into(),
                    r#where: vec![],
                    columns: vec!["tag".into()],
                    until: Until::Equal,
                    rows: vec![row],
                },
                json!({"op": "wait", "timeout": 0, "table": "Port", "where": [], "columns": ["tag"], "until": "==",
                       "rows": [{"tag": 5}]}),
            ),
            (Operation::Commit { durable: true }, json!({"op": "commit", "durable": true})),
            (Operation::Abort, json!({"op": "abort"})),
            (Operation::Comment { comment: "why".into() }, json!({"op": "comment", "comment": "why"})),
            (Operation::Assert { lock: "lk".into() }, json!({"op": "assert", "lock": "lk"})),
        ] {
            assert_eq!(serde_json::to_value(&operation).unwrap(), expected);
        }
    }
}
