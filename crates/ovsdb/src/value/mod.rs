//! Values as they stand on the wire (RFC 7047 section 5.1): atoms, sets, maps and references to rows.
//!
//! Two families live here. [`Value`] holds any column of any table, for code that learns a column's type at run
//! time (the text notation, generic transactions). [`Set`], [`Map`], [`Optional`], [`Uuid`] and [`UuidRef`] are for
//! rows written as Rust structs, decoded by serde straight from the wire.
//!
//! The wire has two spellings for a set of one (`x` and `["set",[x]]`) and no order inside sets and maps. Both
//! differences end here: everything is kept in one canonical form, so equality means "the database holds the same".
//!
//! ```
//! use ovsdb::value::{Atom, Value};
//!
//! let bare: Value = serde_json::from_str("7")?;
//! let wrapped: Value = serde_json::from_str(r#"["set", [7]]"#)?;
//! assert_eq!(bare, wrapped);
//! assert_eq!(bare, Value::from(7i64));
//! let trunks = Value::set([20, 10].map(Atom::Integer));
//! assert_eq!(serde_json::to_string(&trunks)?, r#"["set",[10,20]]"#);
//! let ids = Value::string_map([("vm", "17")]);
//! assert_eq!(ids.get_str("vm"), Some("17"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod spelling;
mod typed;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "tokio")]
pub(crate) use spelling::{Tag, content_seed};
pub use typed::{Map, Optional, Set};

/// A row's identity: `["uuid", "550e8400-…"]` on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub uuid::Uuid);

/// A row's identity as bare text, the way monitor updates and an `insert` with a chosen UUID spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlainUuid(pub Uuid);

/// A row inserted by the same transaction: `["named-uuid", "name"]`.
///
/// The name must be an `<id>` of RFC 7047 section 3.1 (`[A-Za-z_][A-Za-z0-9_]*`), so it can't be made from a user's
/// words; [`crate::transaction`] numbers its rows instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedUuid(pub Cow<'static, str>);

/// A reference in a row that is being written: to a row that exists, or to one of the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UuidRef {
    /// A row that the database holds.
    Row(Uuid),
    /// A row that this transaction inserts.
    New(NamedUuid),
}

/// One value that is neither set nor map (RFC 7047 `<atom>`).
#[derive(Clone, Debug)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A double; the server prints at most 15 digits of it.
    Real(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// UTF-8 text.
    String(String),
    /// A reference to an existing row.
    Uuid(Uuid),
    /// A reference to a row of the same transaction.
    NamedUuid(NamedUuid),
}

/// A column's value in canonical form: a set of one is always [`Value::Atom`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A single atom; also a set that holds exactly one element.
    Atom(Atom),
    /// No element, or more than one.
    Set(BTreeSet<Atom>),
    /// Pairs, by key.
    Map(BTreeMap<Atom, Atom>),
}

impl Uuid {
    /// The identity as 36 lower-case characters.
    pub fn to_text(&self) -> String {
        self.0.hyphenated().to_string()
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of 36 characters")]
pub struct NotAUuid;

impl FromStr for Uuid {
    type Err = NotAUuid;

    /// Only the 36-character form: the library would also take braces, URNs and 32 bare digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(NotAUuid);
        }
        uuid::Uuid::try_parse(text).map(Uuid).map_err(|_| NotAUuid)
    }
}

impl Value {
    /// The empty set, which is also what an optional column without a value holds.
    pub fn empty() -> Self {
        Value::Set(BTreeSet::new())
    }

    /// A set in canonical form; duplicates collapse.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut atoms: BTreeSet<Atom> = atoms.into_iter().collect();
        if atoms.len() == 1
            && let Some(only) = atoms.pop_first()
        {
            return Value::Atom(only);
        }
        Value::Set(atoms)
    }

    /// A map of strings, the commonest kind of map by far.
    pub fn string_map<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Value::Map(pairs.into_iter().map(|(k, v)| (Atom::String(k.into()), Atom::String(v.into()))).collect())
    }

    /// The elements of a set, a set of one included. A map has none.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        let (one, many) = match self {
            Value::Atom(atom) => (Some(atom), None),
            Value::Set(atoms) => (None, Some(atoms)),
            Value::Map(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The text of a string column, or of an optional one that is set.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Atom(Atom::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer column, or of an optional one that is set.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Atom(Atom::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The truth of a boolean column.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Atom(Atom::Boolean(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// The pairs of a map column.
    pub fn as_map(&self) -> Option<&BTreeMap<Atom, Atom>> {
        match self {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value under a key of a map of strings.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        match self.as_map()?.get(&Atom::from(key))? {
            Atom::String(text) => Some(text),
            _ => None,
        }
    }

    /// The rows a set of references points to, those of the same transaction left out.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> {
        self.atoms().filter_map(|atom| match atom {
            Atom::Uuid(uuid) => Some(*uuid),
            _ => None,
        })
    }

    /// Whether this is what an optional column, a set or a map holds when it holds nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Atom(_) => false,
            Value::Set(atoms) => atoms.is_empty(),
            Value::Map(pairs) => pairs.is_empty(),
        }
    }
}

impl Atom {
    // The order of kinds; inside a column all atoms are of one kind, so it only has to be stable.
    fn rank(&self) -> u8 {
        match self {
            Atom::Integer(_) => 0,
            Atom::Real(_) => 1,
            Atom::Boolean(_) => 2,
            Atom::String(_) => 3,
            Atom::Uuid(_) => 4,
            Atom::NamedUuid(_) => 5,
        }
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a.cmp(b),
            (Atom::Real(a), Atom::Real(b)) => a.total_cmp(b),
            (Atom::Boolean(a), Atom::Boolean(b)) => a.cmp(b),
            (Atom::String(a), Atom::String(b)) => a.cmp(b),
            (Atom::Uuid(a), Atom::Uuid(b)) => a.cmp(b),
            (Atom::NamedUuid(a), Atom::NamedUuid(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Atom {}

macro_rules! from_atom {
    ($($source:ty => |$name:ident| $atom:expr;)*) => {$(
        impl From<$source> for Atom {
            fn from($name: $source) -> Self {
                $atom
            }
        }

        impl From<$source> for Value {
            fn from(source: $source) -> Self {
                Value::Atom(source.into())
            }
        }
    )*};
}

from_atom! {
    i64 => |number| Atom::Integer(number);
    u16 => |number| Atom::Integer(i64::from(number));
    u32 => |number| Atom::Integer(i64::from(number));
    f64 => |number| Atom::Real(number);
    bool => |truth| Atom::Boolean(truth);
    &str => |text| Atom::String(text.to_owned());
    &String => |text| Atom::String(text.clone());
    String => |text| Atom::String(text);
    Uuid => |uuid| Atom::Uuid(uuid);
    NamedUuid => |name| Atom::NamedUuid(name);
    UuidRef => |reference| match reference {
        UuidRef::Row(uuid) => Atom::Uuid(uuid),
        UuidRef::New(name) => Atom::NamedUuid(name),
    };
}

impl From<Atom> for Value {
    fn from(atom: Atom) -> Self {
        Value::Atom(atom)
    }
}

/// An optional scalar: `["set",[]]` or the bare value.
impl<T: Into<Atom>> From<Option<T>> for Value {
    fn from(optional: Option<T>) -> Self {
        Value::set(optional.map(Into::into))
    }
}

#[cfg(test)]
mod tests;
