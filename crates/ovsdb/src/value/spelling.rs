//! How values are spelled on the wire.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, SerializeTuple, Serializer};

use super::{Atom, NamedUuid, PlainUuid, Uuid, UuidRef, Value};

pub(super) fn pair<S: Serializer>(serializer: S, tag: &str, content: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(2)?;
    tuple.serialize_element(tag)?;
    tuple.serialize_element(content)?;
    tuple.end()
}

/// Writes an iterator as a JSON array without collecting it first.
struct Sequence<I>(I);

impl<I> Serialize for Sequence<I>
where
    I: Iterator + Clone,
    I::Item: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for element in self.0.clone() {
            sequence.serialize_element(&element)?;
        }
        sequence.end()
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        pair(serializer, "uuid", &&*self.0.hyphenated().encode_lower(&mut text))
    }
}

impl Serialize for PlainUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for NamedUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pair(serializer, "named-uuid", &self.0)
    }
}

impl Serialize for UuidRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            UuidRef::Row(uuid) => uuid.serialize(serializer),
            UuidRef::New(name) => name.serialize(serializer),
        }
    }
}

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Atom::Integer(number) => serializer.serialize_i64(*number),
            Atom::Real(number) => serializer.serialize_f64(*number),
            Atom::Boolean(truth) => serializer.serialize_bool(*truth),
            Atom::String(text) => serializer.serialize_str(text),
            Atom::Uuid(uuid) => uuid.serialize(serializer),
            Atom::NamedUuid(name) => name.serialize(serializer),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Atom(atom) => atom.serialize(serializer),
            Value::Set(atoms) => pair(serializer, "set", &Sequence(atoms.iter())),
            Value::Map(pairs) => pair(serializer, "map", &Sequence(pairs.iter())),
        }
    }
}

/// The first word of an array that stands for a value.
pub(crate) enum Tag {
    Set,
    Map,
    Uuid,
    NamedUuid,
}

impl Tag {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Tag::Set => "set",
            Tag::Map => "map",
            Tag::Uuid => "uuid",
            Tag::NamedUuid => "named-uuid",
        }
    }
}

impl<'de> Deserialize<'de> for Tag {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TagVisitor;

        impl Visitor<'_> for TagVisitor {
            type Value = Tag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"set\", \"map\", \"uuid\" or \"named-uuid\"")
            }

            #[inline]
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Tag, E> {
                match word {
                    "set" => Ok(Tag::Set),
                    "map" => Ok(Tag::Map),
                    "uuid" => Ok(Tag::Uuid),
                    "named-uuid" => Ok(Tag::NamedUuid),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_str(TagVisitor)
    }
}

/// The second half of a tagged pair, and the proof that nothing follows it.
pub(super) fn content<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(sequence: &mut A, tag: &Tag) -> Result<T, A::Error> {
    content_seed(sequence, tag, PhantomData)
}

/// As [`content`], for what is read in a way of its own.
#[inline(always)]
pub(crate) fn content_seed<'de, S: de::DeserializeSeed<'de>, A: SeqAccess<'de>>(
    sequence: &mut A,
    tag: &Tag,
    seed: S,
) -> Result<S::Value, A::Error> {
    let missing = || de::Error::custom(format_args!("[\"{}\"] without its second element", tag.word()));
    let value = sequence.next_element_seed(seed)?.ok_or_else(missing)?;
    match sequence.next_element::<IgnoredAny>()? {
        None => Ok(value),
        Some(_) => Err(de::Error::custom(format_args!("[\"{}\", …] has more than two elements", tag.word()))),
    }
}

impl<'de> Deserialize<'de> for PlainUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = PlainUuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID of 36 characters")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PlainUuid, E> {
                let uuid = text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(PlainUuid(uuid))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match UuidRef::deserialize(deserializer)? {
            UuidRef::Row(uuid) => Ok(uuid),
            UuidRef::New(_) => Err(de::Error::custom("a named-uuid where a uuid was expected")),
        }
    }
}

impl<'de> Deserialize<'de> for UuidRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RefVisitor;

        impl<'de> Visitor<'de> for RefVisitor {
            type Value = UuidRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[\"uuid\", …] or [\"named-uuid\", …]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<UuidRef, A::Error> {
                match sequence.next_element()? {
                    Some(tag @ Tag::Uuid) => Ok(UuidRef::Row(content::<PlainUuid, _>(&mut sequence, &tag)?.0)),
                    Some(tag @ Tag::NamedUuid) => {
                        let name: String = content(&mut sequence, &tag)?;
                        Ok(UuidRef::New(NamedUuid(name.into())))
                    }
                    _ => Err(de::Error::invalid_value(de::Unexpected::Seq, &self)),
                }
            }
        }

        deserializer.deserialize_seq(RefVisitor)
    }
}

struct AtomVisitor;

impl<'de> Visitor<'de> for AtomVisitor {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, a string or a uuid")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Atom, E> {
        Ok(Atom::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Atom, E> {
        // The server itself turns what does not fit 64 signed bits into a real.
        Ok(i64::try_from(number).map_or(Atom::Real(number as f64), Atom::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Atom, E> {
        Ok(Atom::Real(number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Atom, E> {
        Ok(Atom::Boolean(truth))
    }

    fn visit_str<E>(self, text: &str) -> Result<Atom, E> {
        Ok(Atom::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Atom, E> {
        Ok(Atom::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Atom, A::Error> {
        UuidRef::deserialize(de::value::SeqAccessDeserializer::new(sequence)).map(Atom::from)
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtomVisitor)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an atom, a set or a map")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                AtomVisitor.visit_i64(number).map(Value::Atom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
                AtomVisitor.visit_u64(number).map(Value::Atom)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
                AtomVisitor.visit_f64(number).map(Value::Atom)
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
                AtomVisitor.visit_bool(truth).map(Value::Atom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                AtomVisitor.visit_str(text).map(Value::Atom)
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
                AtomVisitor.visit_string(text).map(Value::Atom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
                match sequence.next_element()? {
                    Some(tag @ Tag::Set) => Ok(Value::set(content::<Vec<Atom>, _>(&mut sequence, &tag)?)),
                    Some(tag @ Tag::Map) => {
                        let pairs: Vec<(Atom, Atom)> = content(&mut sequence, &tag)?;
                        Ok(Value::Map(pairs.into_iter().collect()))
                    }
                    Some(tag @ Tag::Uuid) => Ok(content::<PlainUuid, _>(&mut sequence, &tag)?.0.into()),
                    Some(tag @ Tag::NamedUuid) => {
                        let name: String = content(&mut sequence, &tag)?;
                        Ok(NamedUuid(name.into()).into())
                    }
                    None => Err(de::Error::invalid_length(0, &self)),
                }
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}
