//! What a database is made of (RFC 7047 section 3.2): tables, columns, the types of columns, and their limits.
//!
//! It is read from the server that is talked to, so a column that a newer server has, or an older one lacks, needs
//! no change here. Members that this client has no use for are skipped.
//!
//! ```
//! use ovsdb::schema::{AtomicType, DatabaseSchema};
//!
//! let schema: DatabaseSchema = serde_json::from_str(r#"{"name": "Db", "version": "1.0.0", "tables": {"Queue": {
//!     "isRoot": true, "columns": {"dscp": {"type": {"key": "integer", "min": 0, "max": 1}}}}}}"#)?;
//! let queue = &schema.tables["Queue"];
//! assert!(queue.is_root && queue.columns["dscp"].ty.is_optional());
//! assert_eq!(queue.columns["dscp"].ty.key.atomic, AtomicType::Integer);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::value::{Atom, Uuid, Value};

/// `<database-schema>`: the answer to `get_schema`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DatabaseSchema {
    /// The database's name.
    pub name: String,
    /// The version of the schema, as `8.3.1`; the oldest databases have none.
    #[serde(default)]
    pub version: String,
    /// A checksum over the schema's file.
    pub cksum: Option<String>,
    /// The tables, by name.
    pub tables: BTreeMap<String, TableSchema>,
}

/// `<table-schema>`
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TableSchema {
    /// The columns, by name; `_uuid` and `_version`, which every table has, are not among them.
    pub columns: BTreeMap<String, ColumnSchema>,
    /// How many rows there may be; `None` is any number.
    #[serde(rename = "maxRows")]
    pub max_rows: Option<u64>,
    /// Whether rows stay without being referenced; the others are collected as garbage.
    #[serde(rename = "isRoot", default)]
    pub is_root: bool,
    /// Sets of columns whose values no two rows may share.
    #[serde(default)]
    pub indexes: Vec<Vec<String>>,
}

/// `<column-schema>`
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ColumnSchema {
    /// What the column holds.
    #[serde(rename = "type")]
    pub ty: ColumnType,
    /// Whether the value may be lost when the server restarts.
    #[serde(default)]
    pub ephemeral: bool,
    /// Whether the value may be changed once its row exists.
    #[serde(default = "yes")]
    pub mutable: bool,
}

/// `<type>`: a scalar, a set or a map.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Spelling<FullType>")]
pub struct ColumnType {
    /// The elements of a set, the keys of a map, or the scalar.
    pub key: BaseType,
    /// The values of a map; `None` for everything else.
    pub value: Option<BaseType>,
    /// How many elements or pairs there must be.
    pub min: u64,
    /// How many elements or pairs there may be; `None` is any number.
    pub max: Option<u64>,
}

/// `<base-type>`: an atomic type and its constraints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Spelling<FullBase>")]
pub struct BaseType {
    /// The kind of atom.
    pub atomic: AtomicType,
    /// The only values that are allowed, sorted.
    pub allowed: Option<Vec<Atom>>,
    /// The least integer.
    pub min_integer: Option<i64>,
    /// The greatest integer.
    pub max_integer: Option<i64>,
    /// The least real.
    pub min_real: Option<f64>,
    /// The greatest real.
    pub max_real: Option<f64>,
    /// The least number of characters of a string.
    pub min_length: Option<u64>,
    /// The greatest number of characters of a string.
    pub max_length: Option<u64>,
    /// The table that a UUID must be a row of.
    pub ref_table: Option<String>,
    /// What such a reference does to the row.
    pub ref_type: RefType,
}

/// `<atomic-type>`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtomicType {
    /// A signed 64-bit integer.
    Integer,
    /// A double.
    Real,
    /// `true` or `false`.
    Boolean,
    /// UTF-8 text.
    String,
    /// A reference to a row.
    Uuid,
}

/// What a reference means for the row that it points to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefType {
    /// The row must exist, and stays for as long as it is referenced.
    #[default]
    Strong,
    /// The reference vanishes with the row.
    Weak,
}

impl ColumnType {
    /// Exactly one atom.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == Some(1)
    }

    /// At most one atom.
    pub fn is_optional(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == Some(1)
    }

    /// Pairs of a key and a value.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// What the column of a new row holds when nothing else is said.
    pub fn default_value(&self) -> Value {
        // The notation allows a minimum of 0 or 1 only.
        let at_least_one = self.min > 0;
        match &self.value {
            None => Value::set(at_least_one.then(|| self.key.default_atom())),
            Some(value) => {
                Value::Map(at_least_one.then(|| (self.key.default_atom(), value.default_atom())).into_iter().collect())
            }
        }
    }

    /// What the column accepts, in words: "an integer from 0 to 4095, or [] for none".
    pub fn expectation(&self) -> Expectation<'_> {
        Expectation(self)
    }
}

impl BaseType {
    /// The atom that stands where a new row needs one.
    fn default_atom(&self) -> Atom {
        match self.atomic {
            AtomicType::Integer => Atom::Integer(0),
            AtomicType::Real => Atom::Real(0.0),
            AtomicType::Boolean => Atom::Boolean(false),
            AtomicType::String => Atom::String(String::new()),
            AtomicType::Uuid => Atom::Uuid(Uuid(uuid::Uuid::nil())),
        }
    }
}

impl AtomicType {
    /// The type's name in the schema.
    pub fn name(self) -> &'static str {
        match self {
            AtomicType::Integer => "integer",
            AtomicType::Real => "real",
            AtomicType::Boolean => "boolean",
            AtomicType::String => "string",
            AtomicType::Uuid => "uuid",
        }
    }
}

/// The type in the words of ovs-vsctl: "set of up to 4096 integers".
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.atomic.name();
        if self.is_scalar() {
            return f.write_str(key);
        }
        f.write_str(if self.is_map() { "map of" } else { "set of" })?;
        match (self.min, self.max) {
            (0, None) => Ok(()),
            (min, None) => write!(f, " {min} or more"),
            (0, Some(max)) => write!(f, " up to {max}"),
            (min, Some(max)) => write!(f, " {min} to {max}"),
        }?;
        match &self.value {
            None => write!(f, " {key}s"),
            Some(value) => write!(f, " ({key}, {}) pairs", value.atomic.name()),
        }
    }
}

/// What one atom has to be, in words: "one of access, trunk", "the UUID of a Queue row".
impl fmt::Display for BaseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(allowed) = &self.allowed {
            f.write_str("one of ")?;
            return crate::print::write_list(f, allowed);
        }
        match self.atomic {
            AtomicType::Integer => write!(f, "an integer{}", Limits(&self.min_integer, &self.max_integer, "")),
            AtomicType::Real => write!(f, "a number{}", Limits(&self.min_real, &self.max_real, "")),
            AtomicType::Boolean => f.write_str("true or false"),
            AtomicType::String => write!(f, "a string{}", Limits(&self.min_length, &self.max_length, " characters")),
            AtomicType::Uuid => match &self.ref_table {
                Some(table) => write!(f, "the UUID of a row of {table}"),
                None => f.write_str("a UUID"),
            },
        }
    }
}

struct Limits<'a, T>(&'a Option<T>, &'a Option<T>, &'static str);

impl<T: fmt::Display> fmt::Display for Limits<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits(min, max, unit) = self;
        match (min, max) {
            (Some(min), Some(max)) => write!(f, " from {min} to {max}{unit}"),
            (Some(min), None) => write!(f, " of at least {min}{unit}"),
            (None, Some(max)) => write!(f, " of at most {max}{unit}"),
            (None, None) => Ok(()),
        }
    }
}

/// What a column accepts, in words; made by [`ColumnType::expectation`].
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a>(&'a ColumnType);

impl fmt::Display for Expectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ColumnType { key, value, min, max } = self.0;
        if self.0.is_scalar() {
            return key.fmt(f);
        }
        if self.0.is_optional() {
            return write!(f, "{key}, or [] for none");
        }
        match (min, max) {
            (0, None) => f.write_str("any number of"),
            (min, None) => write!(f, "{min} or more"),
            (0, Some(max)) => write!(f, "up to {max}"),
            (min, Some(max)) => write!(f, "{min} to {max}"),
        }?;
        match value {
            None => write!(f, " values, each {key}"),
            Some(value) => write!(f, " KEY=VALUE pairs, each key {key} and each value {value}"),
        }
    }
}

// ---- reading ----

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

/// A type as the schema spells it: `"string"`, or an object when there is more to say.
///
/// Not an untagged enum of serde, which would copy each object to look at it twice: the schema of Open vSwitch has
/// hundreds of them.
enum Spelling<F> {
    Atomic(AtomicType),
    Full(F),
}

impl<'de, F: Deserialize<'de>> Deserialize<'de> for Spelling<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpellingVisitor<F>(PhantomData<F>);

        impl<'de, F: Deserialize<'de>> Visitor<'de> for SpellingVisitor<F> {
            type Value = Spelling<F>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an atomic type, or an object")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Spelling<F>, E> {
                AtomicType::deserialize(name.into_deserializer()).map(Spelling::Atomic)
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Spelling<F>, A::Error> {
                F::deserialize(MapAccessDeserializer::new(members)).map(Spelling::Full)
            }
        }

        deserializer.deserialize_any(SpellingVisitor(PhantomData))
    }
}

#[derive(Deserialize)]
struct FullType {
    key: BaseType,
    value: Option<BaseType>,
    #[serde(default = "one")]
    min: u64,
    #[serde(default)]
    max: Maximum,
}

impl From<Spelling<FullType>> for ColumnType {
    fn from(spelling: Spelling<FullType>) -> Self {
        match spelling {
            Spelling::Atomic(atomic) => ColumnType { key: atomic.into(), value: None, min: 1, max: Some(1) },
            Spelling::Full(FullType { key, value, min, max }) => ColumnType { key, value, min, max: max.0 },
        }
    }
}

/// A number or `"unlimited"`.
struct Maximum(Option<u64>);

impl Default for Maximum {
    fn default() -> Self {
        Maximum(Some(1))
    }
}

impl<'de> Deserialize<'de> for Maximum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MaximumVisitor;

        impl Visitor<'_> for MaximumVisitor {
            type Value = Maximum;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or \"unlimited\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Maximum, E> {
                Ok(Maximum(Some(number)))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Maximum, E> {
                let maximum = u64::try_from(number);
                maximum
                    .map(|maximum| Maximum(Some(maximum)))
                    .map_err(|_| de::Error::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Maximum, E> {
                match word {
                    "unlimited" => Ok(Maximum(None)),
                    other => Err(de::Error::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(MaximumVisitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullBase {
    r#type: AtomicType,
    r#enum: Option<Value>,
    min_integer: Option<i64>,
    max_integer: Option<i64>,
    min_real: Option<f64>,
    max_real: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    ref_table: Option<String>,
    #[serde(default)]
    ref_type: RefType,
}

impl From<AtomicType> for BaseType {
    fn from(atomic: AtomicType) -> Self {
        BaseType {
            atomic,
            allowed: None,
            min_integer: None,
            max_integer: None,
            min_real: None,
            max_real: None,
            min_length: None,
            max_length: None,
            ref_table: None,
            ref_type: RefType::Strong,
        }
    }
}

impl From<Spelling<FullBase>> for BaseType {
    fn from(spelling: Spelling<FullBase>) -> Self {
        let full = match spelling {
            Spelling::Atomic(atomic) => return atomic.into(),
            Spelling::Full(full) => full,
        };
        let atom = |atom: &Atom| match atom {
            // The wire does not tell 1.0 from 1.
            Atom::Integer(number) if full.r#type == AtomicType::Real => Atom::Real(*number as f64),
            other => other.clone(),
        };
        BaseType {
            atomic: full.r#type,
            allowed: full.r#enum.as_ref().map(|allowed| allowed.atoms().map(atom).collect()),
            min_integer: full.min_integer,
            max_integer: full.max_integer,
            min_real: full.min_real,
            max_real: full.max_real,
            min_length: full.min_length,
            max_length: full.max_length,
            ref_table: full.ref_table,
            ref_type: full.ref_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The schema of Open vSwitch 3.1.
    pub fn open_vswitch() -> DatabaseSchema {
        serde_json::from_str(include_str!("../tests/data/vswitch-8.3.1.ovsschema")).unwrap()
    }

    fn column<'a>(schema: &'a DatabaseSchema, table: &str, column: &str) -> &'a ColumnSchema {
        &schema.tables[table].columns[column]
    }

    #[test]
    fn the_open_vswitch_schema_is_read_whole() {
        let schema = open_vswitch();
        assert_eq!((schema.name.as_str(), schema.version.as_str()), ("Open_vSwitch", "8.3.1"));
        assert_eq!(schema.tables.len(), 19);
        assert_eq!(schema.tables["Open_vSwitch"].max_rows, Some(1));
        assert!(schema.tables["Open_vSwitch"].is_root && !schema.tables["Port"].is_root);
        assert_eq!(schema.tables["Flow_Sample_Collector_Set"].indexes, [["id", "bridge"]]);

        assert!(!column(&schema, "Bridge", "name").mutable && column(&schema, "Mirror", "name").mutable);
        assert!(column(&schema, "Interface", "statistics").ephemeral && !column(&schema, "Port", "tag").ephemeral);

        let tag = &column(&schema, "Port", "tag").ty;
        assert!(tag.is_optional() && !tag.is_scalar() && !tag.is_map());
        assert_eq!((tag.key.min_integer, tag.key.max_integer), (Some(0), Some(4095)));
        let mode = column(&schema, "Port", "bond_mode").ty.key.allowed.as_ref().unwrap();
        assert_eq!(*mode, ["active-backup", "balance-slb", "balance-tcp"].map(Atom::from));
        let source = &column(&schema, "Mirror", "select_src_port").ty;
        assert_eq!((source.key.ref_table.as_deref(), source.key.ref_type), (Some("Port"), RefType::Weak));
        assert_eq!(source.max, None);
        assert!(column(&schema, "QoS", "queues").ty.is_map());
    }

    #[test]
    fn members_of_a_newer_server_are_skipped() {
        let schema: DatabaseSchema = serde_json::from_value(json!({
            "name": "d", "version": "1.0.0", "future": 1,
            "tables": {"T": {"future": [], "columns": {"c": {
                "future": {}, "type": {"future": null, "key": {"type": "real", "enum": ["set", [1, 2.5]], "future": 2}},
            }}}},
        }))
        .unwrap();
        let ty = &column(&schema, "T", "c").ty;
        assert!(ty.is_scalar());
        assert_eq!(ty.key.allowed, Some(vec![Atom::Real(1.0), Atom::Real(2.5)]));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for wrong in [json!("text"), json!({}), json!({"key": "string", "max": "many"}), json!({"key": {"type": 1}})] {
            assert!(serde_json::from_value::<ColumnType>(wrong.clone()).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_column_that_is_left_out_holds_its_types_default() {
        let schema = open_vswitch();
        for (table, name, default) in [
            ("Port", "tag", Value::empty()),
            ("Port", "bond_updelay", 0i64.into()),
            ("Bridge", "stp_enable", false.into()),
            ("Bridge", "name", "".into()),
            ("Bridge", "other_config", Value::Map(BTreeMap::new())),
        ] {
            assert_eq!(column(&schema, table, name).ty.default_value(), default, "{table}.{name}");
        }
    }

    #[test]
    fn every_type_is_told_in_the_words_of_ovs_and_in_plain_ones() {
        let schema = open_vswitch();
        for (table, name, ovs, plain) in [
            ("Interface", "type", "string", "a string"),
            ("Bridge", "stp_enable", "boolean", "true or false"),
            ("Port", "tag", "set of up to 1 integers", "an integer from 0 to 4095, or [] for none"),
            ("Port", "trunks", "set of up to 4096 integers", "up to 4096 values, each an integer from 0 to 4095"),
            ("Port", "lacp", "set of up to 1 strings", "one of active, off, passive, or [] for none"),
            ("Port", "interfaces", "set of 1 or more uuids", "1 or more values, each the UUID of a row of Interface"),
            ("Bridge", "ports", "set of uuids", "any number of values, each the UUID of a row of Port"),
            (
                "QoS",
                "queues",
                "map of (integer, uuid) pairs",
                "any number of KEY=VALUE pairs, each key an integer from 0 to 4294967295 and each value the UUID of a \
                 row of Queue",
            ),
            ("Interface", "mtu_request", "set of up to 1 integers", "an integer of at least 1, or [] for none"),
        ] {
            let ty = &column(&schema, table, name).ty;
            assert_eq!(ty.to_string(), ovs, "{table}.{name}");
            assert_eq!(ty.expectation().to_string(), plain, "{table}.{name}");
        }
    }
}
