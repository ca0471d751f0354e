//! What can be wrong with a text, beginning with the words of ovs-vsctl.

use std::fmt;

/// The most numbers that `A-B` may stand for.
pub(super) const MAX_RANGE: u64 = 4096;

/// Why a text is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotationError {
    /// No table is called that.
    #[error("unknown table \"{name}\"{nearest}")]
    UnknownTable {
        /// The name that was given.
        name: String,
        /// Names like it.
        nearest: NearMisses,
    },
    /// Several tables begin with it.
    #[error("\"{name}\" matches multiple table names: {}", matches.join(", "))]
    AmbiguousTable {
        /// The name that was given.
        name: String,
        /// The tables.
        matches: Vec<String>,
    },
    /// No column of the table is called that.
    #[error("{table} does not contain a column whose name matches \"{name}\"{nearest}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name that was given.
        name: String,
        /// Names like it.
        nearest: NearMisses,
    },
    /// Several columns begin with it.
    #[error("{table} contains more than one column whose name matches \"{name}\": {}", matches.join(", "))]
    AmbiguousColumn {
        /// The table.
        table: String,
        /// The name that was given.
        name: String,
        /// The columns.
        matches: Vec<String>,
    },
    /// The column can only be set while its row is new.
    #[error("cannot modify read-only column {column} in table {table}")]
    ReadOnly {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The text breaks off before it names a column.
    #[error("{problem} (table {table}: expected COLUMN=VALUE or COLUMN:KEY=VALUE)")]
    Argument {
        /// The table.
        table: String,
        /// What is wrong.
        problem: Problem,
    },
    /// The column does not take that value.
    #[error(transparent)]
    Value(Box<ValueError>),
}

/// Why a column does not take a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} ({table}.{column}{}: expected {expected})", key.as_ref().map(|key| format!(":{key}")).unwrap_or_default())]
pub struct ValueError {
    /// The table.
    pub table: String,
    /// The column, as the schema spells it.
    pub column: String,
    /// The key that was given.
    pub key: Option<String>,
    /// The value that was given, in full.
    pub value: Option<String>,
    /// What is wrong, in ovs-vsctl's words.
    pub problem: Problem,
    /// What would have been accepted.
    pub expected: String,
}

/// What is wrong with a text, as ovs-vsctl(8) says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It begins with a delimiter.
    #[error("{0}: missing column name")]
    NoColumn(String),
    /// Something stands between the column and `=`, or nothing after it.
    #[error("{0}: argument does not end in \"=\" followed by a value.")]
    NoValue(String),
    /// A quote is not closed.
    #[error("{0}: quoted string extends past end of argument")]
    OpenQuote(String),
    /// A backslash has nothing to protect.
    #[error("{0}: backslash at end of argument")]
    BackslashAtEnd(String),
    /// A key for a column without keys.
    #[error("cannot specify key to set for non-map column {0}")]
    NotAMap(String),
    /// Only white space.
    #[error("use {0}")]
    Nothing(&'static str),
    /// A delimiter where an element should begin.
    #[error("{0}: unexpected \"{1}\" parsing {2}")]
    Unexpected(String, char, String),
    /// A key without its value.
    #[error("{0}: syntax error at \"{1}\" expecting \"=\"")]
    NoEquals(String, String),
    /// A bracket is not closed.
    #[error("{0}: missing \"{1}\" at end of data")]
    Unclosed(String, char),
    /// Something follows the closing bracket.
    #[error("{0}: trailing garbage after \"{1}\"")]
    Trailing(String, char),
    /// Fewer elements than the column has at least.
    #[error("{0}: {1} {2} specified but the minimum number is {3}")]
    TooFew(String, u64, &'static str, u64),
    /// More elements than the column has at most.
    #[error("{0}: {1} {2} specified but the maximum number is {3}")]
    TooMany(String, u64, &'static str, u64),
    /// The same element or key twice.
    #[error("{0}: {1}")]
    Duplicate(String, &'static str),
    /// No integer.
    #[error("\"{0}\" is not a valid integer or range")]
    NotAnInteger(String),
    /// A range that ends before it begins.
    #[error("\"{0}\" is not a valid range. Range end cannot be before start.")]
    RangeBackwards(String),
    /// A range of too many numbers.
    #[error("constraint violation: Range \"{0}-{1}\" is too big. Maximum allowed size is {MAX_RANGE}.")]
    RangeTooBig(i64, i64),
    /// A range of keys; here ovs-vsctl crashes.
    #[error("\"{0}\" is a range, which cannot be the key of a map")]
    RangeAsKey(String),
    /// No real number.
    #[error("\"{0}\" is not a valid real number")]
    NotAReal(String),
    /// No boolean.
    #[error("\"{0}\" is not a valid boolean (use \"true\" or \"false\")")]
    NotABoolean(String),
    /// No UUID.
    #[error("\"{0}\" is not a valid UUID")]
    NotAUuid(String),
    /// `@NAME`, which stands for a row that another command creates.
    #[error("row id \"{0}\" is referenced but never created (e.g. with \"-- --id={0} create ...\")")]
    NeverCreated(String),
    /// No text at all where a string is needed.
    #[error("An empty string is not valid as input; use \"\" to represent the empty string")]
    EmptyString,
    /// Quotes or escapes that make no sense.
    #[error("{0}: {1}")]
    Quoting(String, String),
    /// A null character, which OVSDB can't hold (and which no argument of ovs-vsctl can contain).
    #[error("null bytes not supported in strings")]
    NullByte,
    /// The second half of a surrogate pair on its own.
    #[error("constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xed {0:#x}")]
    NotUtf8(u32),
    /// Not one of the few values that the column takes.
    #[error("constraint violation: {0} is not one of the allowed values ([{1}]){2}")]
    NotAllowed(String, String, NearMisses),
    /// A number too small or too great, a string too short or too long.
    #[error("constraint violation: {0}")]
    OutOfBounds(String),
}

/// Names that may have been meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearMisses(pub Vec<String>);

impl fmt::Display for NearMisses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            [only] => write!(f, " (did you mean {only}?)"),
            [others @ .., last] => write!(f, " (did you mean {} or {last}?)", others.join(", ")),
        }
    }
}

impl NotationError {
    /// The caller's row exists, and the column can't be changed any more.
    pub fn read_only(table: &str, column: &str) -> Self {
        NotationError::ReadOnly { table: table.to_owned(), column: column.to_owned() }
    }

    /// The table at fault, or in which the fault is.
    pub fn table(&self) -> &str {
        match self {
            NotationError::UnknownTable { name: table, .. } | NotationError::AmbiguousTable { name: table, .. } => {
                table
            }
            NotationError::UnknownColumn { table, .. }
            | NotationError::AmbiguousColumn { table, .. }
            | NotationError::ReadOnly { table, .. }
            | NotationError::Argument { table, .. } => table,
            NotationError::Value(error) => &error.table,
        }
    }

    /// The column at fault, or in which the fault is.
    pub fn column(&self) -> Option<&str> {
        match self {
            NotationError::UnknownTable { .. }
            | NotationError::AmbiguousTable { .. }
            | NotationError::Argument { .. } => None,
            NotationError::UnknownColumn { name: column, .. } | NotationError::AmbiguousColumn { name: column, .. } => {
                Some(column)
            }
            NotationError::ReadOnly { column, .. } => Some(column),
            NotationError::Value(error) => Some(&error.column),
        }
    }

    /// The key that the text names.
    pub fn key(&self) -> Option<&str> {
        self.value_error()?.key.as_deref()
    }

    /// The value in the text.
    pub fn value(&self) -> Option<&str> {
        self.value_error()?.value.as_deref()
    }

    fn value_error(&self) -> Option<&ValueError> {
        match self {
            NotationError::Value(error) => Some(error),
            _ => None,
        }
    }
}
