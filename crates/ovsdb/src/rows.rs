//! Gives rows that are in memory to types that read rows from the wire, without writing JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};

use crate::operation::Row;
use crate::value::{Atom, Uuid, Value};
use crate::wire::json::Error;

/// Reads a row.
pub(crate) fn read_row<'de, T: Deserialize<'de>>(row: &'de Row) -> Result<T, Error> {
    T::deserialize(MapDeserializer::new(row.iter().map(|(column, value)| (column.as_ref(), Known::Value(value)))))
}

/// Something that has a spelling on the wire.
#[derive(Clone, Copy)]
enum Known<'a> {
    Value(&'a Value),
    Atom(&'a Atom),
    Word(&'a str),
    Identity(Uuid),
    Elements(&'a BTreeSet<Atom>),
    Pairs(&'a BTreeMap<Atom, Atom>),
    Pair(&'a Atom, &'a Atom),
}

fn sequence<'de, V: Visitor<'de>>(visitor: V, parts: impl Iterator<Item = Known<'de>>) -> Result<V::Value, Error> {
    visitor.visit_seq(SeqDeserializer::new(parts))
}

impl<'de> Deserializer<'de> for Known<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tagged = |visitor, word, content| sequence(visitor, [Known::Word(word), content].into_iter());
        match self {
            Known::Value(Value::Atom(atom)) | Known::Atom(atom) => match atom {
                Atom::Integer(number) => visitor.visit_i64(*number),
                Atom::Real(number) => visitor.visit_f64(*number),
                Atom::Boolean(truth) => visitor.visit_bool(*truth),
                Atom::String(text) => visitor.visit_borrowed_str(text),
                Atom::Uuid(uuid) => tagged(visitor, "uuid", Known::Identity(*uuid)),
                Atom::NamedUuid(name) => tagged(visitor, "named-uuid", Known::Word(&name.0)),
            },
            Known::Value(Value::Set(atoms)) => tagged(visitor, "set", Known::Elements(atoms)),
            Known::Value(Value::Map(pairs)) => tagged(visitor, "map", Known::Pairs(pairs)),
            Known::Word(word) => visitor.visit_borrowed_str(word),
            Known::Identity(uuid) => {
                visitor.visit_str(uuid.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
            }
            Known::Elements(atoms) => sequence(visitor, atoms.iter().map(Known::Atom)),
            Known::Pairs(pairs) => sequence(visitor, pairs.iter().map(|(key, value)| Known::Pair(key, value))),
            Known::Pair(key, value) => sequence(visitor, [key, value].into_iter().map(Known::Atom)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Known<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
