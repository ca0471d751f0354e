//! Columns of rows that are Rust structs: sets, maps, and what may be missing.
//!
//! ```
//! use ovsdb::value::{Map, Optional, Set, Uuid};
//!
//! /// The columns that are of interest; others are left out of the select, or skipped.
//! #[derive(serde::Deserialize)]
//! struct Port {
//!     name: String,
//!     tag: Optional<i64>,
//!     trunks: Set<i64>,
//!     interfaces: Set<Uuid>,
//!     external_ids: Map<String, String>,
//! }
//!
//! let port: Port = serde_json::from_str(r#"{
//!     "name": "tap7", "tag": ["set", []], "trunks": ["set", [10, 20]],
//!     "interfaces": ["uuid", "11111111-2222-3333-4444-555555555555"],
//!     "external_ids": ["map", [["vm", "17"]]]
//! }"#)?;
//! assert_eq!((port.name.as_str(), port.tag.0, port.trunks.0.len(), port.interfaces.0.len()), ("tap7", None, 2, 1));
//! assert_eq!(port.external_ids.get("vm").map(String::as_str), Some("17"));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqDeserializer;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;

use super::spelling::{Tag, content, content_seed, pair};

/// A set column of a typed row; one element may come bare. In the order in which the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T>(pub Box<[T]>);

/// A map column of a typed row: pairs in the order of their keys, each key once.
///
/// Few maps have more than a handful of pairs, and there is one in nearly every row. So it is one piece of memory of
/// exactly its size, and looked up by halving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<K, V>(Box<[(K, V)]>);

/// A column of a typed row that holds at most one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optional<T>(pub Option<T>);

impl<K: Ord, V> Map<K, V> {
    /// The value under a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.0.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// In order, and of equal keys only the last, as JSON has it.
    #[inline(always)]
    fn from_pairs(mut pairs: Pairs<K, V>) -> Self {
        // The server sends them in order.
        if !pairs.is_sorted_by(|(one, _), (next, _)| one < next) {
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            pairs.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Map(exactly(pairs))
    }
}

impl<K, V> Map<K, V> {
    /// The pairs, in the order of their keys.
    pub fn pairs(&self) -> &[(K, V)] {
        &self.0
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Map::from_pairs(pairs.into_iter().collect())
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set(Box::default())
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map(Box::default())
    }
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Optional(None)
    }
}

impl<T: Serialize> Serialize for Set<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pair(serializer, "set", &self.0)
    }
}

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pair(serializer, "map", &self.0)
    }
}

impl<T: Serialize> Serialize for Optional<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => pair(serializer, "set", &[(); 0]),
        }
    }
}

/// What a set is read into. Nearly all are small, and then memory is asked for once, when the size is known.
type Elements<T> = SmallVec<[T; 4]>;

/// What a map is read into.
type Pairs<K, V> = SmallVec<[(K, V); 4]>;

/// Exactly as much memory as it takes, asked for once.
#[inline(always)]
fn exactly<T>(few: SmallVec<[T; 4]>) -> Box<[T]> {
    match few.into_inner() {
        Ok(four) => Box::new(four),
        Err(few) if few.spilled() => few.into_boxed_slice(),
        Err(mut few) => match (few.pop(), few.pop(), few.pop()) {
            (Some(third), Some(second), Some(first)) => Box::new([first, second, third]),
            (Some(second), Some(first), None) => Box::new([first, second]),
            (only, ..) => only.into_iter().collect(),
        },
    }
}

/// What can become of a set: all of it, or its only element.
trait Collection<T>: Sized {
    fn one(element: T) -> Self;
    fn many<'de, A: SeqAccess<'de>>(sequence: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>;
}

impl<T> Collection<T> for Set<T> {
    fn one(element: T) -> Self {
        Set(Box::new([element]))
    }

    #[inline]
    fn many<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>,
    {
        let mut elements = Elements::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Set(exactly(elements)))
    }
}

impl<T> Collection<T> for Optional<T> {
    fn one(element: T) -> Self {
        Optional(Some(element))
    }

    #[inline]
    fn many<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>,
    {
        let only = sequence.next_element()?;
        match sequence.next_element::<IgnoredAny>()? {
            None => Ok(Optional(only)),
            Some(_) => Err(de::Error::invalid_length(2, &"at most one element")),
        }
    }
}

/// Reads the second half of `["set", […]]`.
struct Content<T, C>(PhantomData<(T, C)>);

impl<'de, T: Deserialize<'de>, C: Collection<T>> de::DeserializeSeed<'de> for Content<T, C> {
    type Value = C;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<C, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, C: Collection<T>> Visitor<'de> for Content<T, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the elements of a set")
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<C, A::Error> {
        C::many(sequence)
    }
}

/// Reads what may be a bare atom or a set.
struct SetVisitor<T, C>(PhantomData<(T, C)>);

impl<'de, T: Deserialize<'de>, C: Collection<T>> Visitor<'de> for SetVisitor<T, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set or one element of it")
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<C, E> {
        T::deserialize(de::value::I64Deserializer::new(number)).map(C::one)
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<C, E> {
        T::deserialize(de::value::U64Deserializer::new(number)).map(C::one)
    }

    #[inline]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<C, E> {
        T::deserialize(de::value::F64Deserializer::new(number)).map(C::one)
    }

    #[inline]
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<C, E> {
        T::deserialize(de::value::BoolDeserializer::new(truth)).map(C::one)
    }

    #[inline]
    fn visit_str<E: de::Error>(self, text: &str) -> Result<C, E> {
        T::deserialize(de::value::StrDeserializer::new(text)).map(C::one)
    }

    #[inline]
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<C, E> {
        T::deserialize(de::value::BorrowedStrDeserializer::new(text)).map(C::one)
    }

    #[inline]
    fn visit_string<E: de::Error>(self, text: String) -> Result<C, E> {
        T::deserialize(de::value::StringDeserializer::new(text)).map(C::one)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<C, A::Error> {
        match sequence.next_element()? {
            Some(tag @ Tag::Set) => content_seed(&mut sequence, &tag, Content::<T, C>(PhantomData)),
            // A lone reference: its tag has been read, so give it back in front of the rest.
            Some(tag @ (Tag::Uuid | Tag::NamedUuid)) => {
                let text: String = content(&mut sequence, &tag)?;
                let parts = [tag.word().to_owned(), text];
                T::deserialize(SeqDeserializer::<_, A::Error>::new(parts.into_iter())).map(C::one)
            }
            _ => Err(de::Error::invalid_value(de::Unexpected::Seq, &self)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SetVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SetVisitor(PhantomData))
    }
}

impl<'de, K, V> Deserialize<'de> for Map<K, V>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
            type Value = Map<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[\"map\", [[key, value], …]]")
            }

            #[inline]
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Map<K, V>, A::Error> {
                match sequence.next_element()? {
                    Some(tag @ Tag::Map) => content_seed(&mut sequence, &tag, PairsSeed(PhantomData)),
                    _ => Err(de::Error::invalid_value(de::Unexpected::Seq, &self)),
                }
            }
        }

        /// Reads the second half of `["map", […]]`.
        struct PairsSeed<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> de::DeserializeSeed<'de> for PairsSeed<K, V> {
            type Value = Map<K, V>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Map<K, V>, D::Error> {
                deserializer.deserialize_seq(self)
            }
        }

        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for PairsSeed<K, V> {
            type Value = Map<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the pairs of a map")
            }

            #[inline]
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Map<K, V>, A::Error> {
                let mut pairs = Pairs::new();
                while let Some(pair) = sequence.next_element()? {
                    pairs.push(pair);
                }
                Ok(Map::from_pairs(pairs))
            }
        }

        deserializer.deserialize_seq(MapVisitor(PhantomData))
    }
}
