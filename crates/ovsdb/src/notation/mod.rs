//! The `COLUMN[:KEY]=VALUE` notation of ovs-vsctl(8), typed by the server's own schema.
//!
//! People and scripts know this notation with all its corners, so it is followed to the letter, and so are the texts
//! of its errors: each of ours begins with what ovs-vsctl would say, and goes on to say where and what is accepted.
//! `tests/notation_oracle.rs` compares both with the installed ovs-vsctl.
//!
//! Three things differ. A range as a key of a map is refused (ovs-vsctl crashes), `@NAME` is always refused (there is
//! no command that would create such a row), and hexadecimal, infinite and undefined reals are (JSON can't hold the
//! latter two, and no column of Open vSwitch is real).
//!
//! ```
//! use ovsdb::notation;
//! use ovsdb::schema::DatabaseSchema;
//! use ovsdb::value::Value;
//!
//! let schema: DatabaseSchema = serde_json::from_str(r#"{"name": "Db", "version": "1.0.0", "tables": {"Port": {"columns": {
//!     "tag": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}, "min": 0, "max": 1}},
//!     "external_ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}}}}}"#)?;
//! let (name, table) = notation::table(&schema, "port")?;
//! assert_eq!(notation::assignment(name, table, "tag=7")?.value, Value::from(7i64));
//! assert_eq!(notation::assignment(name, table, "external-ids:vm=17")?.key, Some("vm".into()));
//! let error = notation::assignment(name, table, "tag=4096").unwrap_err();
//! assert!(error.to_string().contains("not in the valid range 0 to 4095"), "{error}");
//! assert_eq!(notation::to_text(&Value::string_map([("vm", "17 a")])), r#"{vm="17 a"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atoms;
mod error;
mod names;

use std::collections::BTreeMap;
use std::fmt;

use atoms::{atom, token, whole};
pub use error::{NearMisses, NotationError, Problem, ValueError};
pub use names::{column, table};

pub use crate::print::to_text;

use crate::operation::Row;
use crate::schema::{AtomicType, ColumnSchema, ColumnType, TableSchema};
use crate::value::{Atom, Value};

/// One `COLUMN[:KEY]=VALUE`, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment<'s> {
    /// The column, as the schema spells it.
    pub column: &'s str,
    /// Its schema; whether it may be written at all depends on whether the row is new, so that is for the caller.
    pub schema: &'s ColumnSchema,
    /// The key of a map that is added or overwritten; without it, the whole column is replaced.
    pub key: Option<Atom>,
    /// The value of the key or of the column.
    pub value: Value,
}

/// Reads one `COLUMN[:KEY]=VALUE`.
pub fn assignment<'s>(
    table_name: &str,
    table: &'s TableSchema,
    argument: &str,
) -> Result<Assignment<'s>, NotationError> {
    let malformed = |problem| NotationError::Argument { table: table_name.to_owned(), problem };
    let mut rest = argument;
    let name = token(&mut rest).map_err(malformed)?;
    if name.is_empty() {
        return Err(malformed(Problem::NoColumn(argument.to_owned())));
    }
    let (name, schema) = column(table_name, table, &name)?;
    let mut place = Place { table: table_name, column: name, key: None, value: None };
    let expectation = schema.ty.expectation();

    let key = match rest.strip_prefix(':') {
        None => None,
        Some(after) => {
            rest = after;
            Some(token(&mut rest).map_err(|problem| place.refuse(problem, expectation))?)
        }
    };
    place.key = key.as_deref();
    let Some(text) = rest.strip_prefix('=').filter(|text| !text.is_empty()) else {
        return Err(place.refuse(Problem::NoValue(argument.to_owned()), expectation));
    };
    place.value = Some(text);

    let (key, value) = match (&key, &schema.ty.value) {
        (None, _) => {
            let value = whole(&schema.ty, text).map_err(|problem| place.refuse_column(problem, &schema.ty))?;
            (None, value)
        }
        (Some(_), None) => {
            let expected = format_args!("no key and {expectation}").to_string();
            return Err(place.refuse(Problem::NotAMap(name.to_owned()), expected));
        }
        (Some(key), Some(value_type)) => {
            let key_type = &schema.ty.key;
            let key = atom(key_type, key).map_err(|problem| place.refuse(problem, format!("{key_type} as key")))?;
            // Not split into tokens: whatever follows the first "=" is the value, down to the last blank.
            let value = atom(value_type, text).map_err(|problem| place.refuse(problem, value_type))?;
            (Some(key), Value::Atom(value))
        }
    };

    // Last, as ovs-vsctl only finds out when all else is in order.
    let unknown = |atom: &Atom| match atom {
        Atom::NamedUuid(name) => Some(Problem::NeverCreated(name.0.clone().into_owned())),
        _ => None,
    };
    let pairs = value.as_map().into_iter().flatten().flat_map(|(key, value)| [key, value]);
    if let Some(problem) = key.iter().chain(value.atoms()).chain(pairs).find_map(unknown) {
        return Err(place.refuse(problem, expectation));
    }
    Ok(Assignment { column: name, schema, key, value })
}

/// The new values of the columns that are assigned to, from left to right; `current` holds what the row has, and a
/// column missing in it has its default.
pub fn apply<'s>(current: &Row, assignments: impl IntoIterator<Item = Assignment<'s>>) -> BTreeMap<&'s str, Value> {
    let mut changed = BTreeMap::new();
    for Assignment { column, schema, key, value } in assignments {
        let (Some(key), Value::Atom(value)) = (key, &value) else {
            changed.insert(column, value);
            continue;
        };
        let old = || current.get(column).cloned().unwrap_or_else(|| schema.ty.default_value());
        if let Value::Map(pairs) = changed.entry(column).or_insert_with(old) {
            pairs.insert(key, value.clone());
        }
    }
    changed
}

/// Where in a text we are, for its errors.
struct Place<'a> {
    table: &'a str,
    column: &'a str,
    key: Option<&'a str>,
    value: Option<&'a str>,
}

impl Place<'_> {
    fn refuse(&self, problem: Problem, expected: impl fmt::Display) -> NotationError {
        NotationError::Value(Box::new(ValueError {
            table: self.table.to_owned(),
            column: self.column.to_owned(),
            key: self.key.map(str::to_owned),
            value: self.value.map(str::to_owned),
            problem,
            expected: expected.to_string(),
        }))
    }

    /// For the value of a whole column, where the commonest mistake with strings is worth an explanation.
    fn refuse_column(&self, problem: Problem, ty: &ColumnType) -> NotationError {
        let holds_strings =
            [Some(&ty.key), ty.value.as_ref()].into_iter().flatten().any(|base| base.atomic == AtomicType::String);
        let expectation = ty.expectation();
        match problem {
            Problem::Unexpected(..) | Problem::NoEquals(..) if holds_strings => self.refuse(
                problem,
                format_args!("{expectation}; a string with any of :=, []{{}}!<> in it must be \"quoted\""),
            ),
            problem => self.refuse(problem, expectation),
        }
    }
}

#[cfg(test)]
mod tests;
