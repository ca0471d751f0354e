//! Values as they stand on the wire (RFC 7047 section 5.1): atoms, sets, maps and references to rows.
//!
//! Two families live here. [`Value`] holds any column of any table, for code that learns a column's type at run
//! time (the text notation, generic transactions). [`Set`], [`Map`], [`Optional`], [`Uuid`] and [`UuidRef`] are for
//! rows written as Rust structs, decoded by serde straight from the wire.
//!
//! The wire has two spellings for a set of one (`x` and `["set",[x]]`) and no order inside sets and maps. Both
//! differences end here: everything is kept in one canonical form, so equality means "the database holds the same".

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::SeqDeserializer;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, SerializeTuple, Serializer};
use smallvec::SmallVec;

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

// ---- writing ----

fn pair<S: Serializer>(serializer: S, tag: &str, content: &impl Serialize) -> Result<S::Ok, S::Error> {
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

// ---- reading ----

/// The first word of an array that stands for a value.
pub(crate) enum Tag {
    Set,
    Map,
    Uuid,
    NamedUuid,
}

impl Tag {
    fn word(&self) -> &'static str {
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
fn content<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(sequence: &mut A, tag: &Tag) -> Result<T, A::Error> {
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

// ---- columns of rows that are Rust structs ----

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    fn uuid() -> Uuid {
        ID.parse().unwrap()
    }

    fn read(json: serde_json::Value) -> Value {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    #[test]
    fn a_set_of_one_is_the_same_bare_or_wrapped() {
        assert_eq!(read(json!(["set", [7]])), read(json!(7)));
        assert_eq!(read(json!(["set", [["uuid", ID]]])), read(json!(["uuid", ID])));
        assert_eq!(serde_json::to_value(read(json!(["set", ["x"]]))).unwrap(), json!("x"));
    }

    #[test]
    fn order_inside_sets_and_maps_means_nothing() {
        assert_eq!(read(json!(["set", [3, 1, 2]])), read(json!(["set", [1, 2, 3]])));
        assert_eq!(read(json!(["map", [["b", "2"], ["a", "1"]]])), read(json!(["map", [["a", "1"], ["b", "2"]]])));
    }

    #[test]
    fn an_unset_optional_column_is_the_empty_set() {
        assert_eq!(Value::from(None::<i64>), read(json!(["set", []])));
        assert_eq!(Value::from(Some(0i64)), read(json!(0)), "a tag of 0 differs from no tag");
        assert!(read(json!(["set", []])).is_empty());
    }

    #[test]
    fn references_keep_their_two_kinds_apart() {
        assert_eq!(read(json!(["uuid", ID])), Value::from(uuid()));
        assert_eq!(read(json!(["named-uuid", "row1"])), Value::from(NamedUuid("row1".into())));
        assert_eq!(serde_json::to_value(uuid()).unwrap(), json!(["uuid", ID]));
        assert_eq!(serde_json::to_value(NamedUuid("row1".into())).unwrap(), json!(["named-uuid", "row1"]));
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in [
            json!(null),
            json!([]),
            json!(["set"]),
            json!(["set", 7]),
            json!(["set", [1], 2]),
            json!(["list", [1]]),
            json!(["uuid", "11111111222233334444555555555555"]),
            json!(["uuid", "x"]),
            json!(["map", [["a"]]]),
            json!(["set", [["set", [1]]]]),
            json!({"a": 1}),
        ] {
            assert!(serde_json::from_str::<Value>(&wrong.to_string()).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn typed_columns_read_every_spelling() {
        let bare: Set<Uuid> = serde_json::from_value(json!(["uuid", ID])).unwrap();
        let wrapped: Set<Uuid> = serde_json::from_value(json!(["set", [["uuid", ID]]])).unwrap();
        assert_eq!(bare, wrapped);
        assert_eq!(serde_json::from_value::<Set<i64>>(json!(5)).unwrap(), Set(Box::new([5])));
        assert_eq!(serde_json::from_value::<Set<String>>(json!("a")).unwrap(), Set(Box::new(["a".into()])));
        assert_eq!(serde_json::from_value::<Optional<u16>>(json!(["set", []])).unwrap(), Optional(None));
        assert_eq!(serde_json::from_value::<Optional<bool>>(json!(true)).unwrap(), Optional(Some(true)));
        assert!(serde_json::from_value::<Optional<i64>>(json!(["set", [1, 2]])).is_err());
        let map: Map<String, i64> = serde_json::from_value(json!(["map", [["rx", 1]]])).unwrap();
        assert_eq!(map.get("rx"), Some(&1));
        assert!(serde_json::from_value::<Uuid>(json!(["named-uuid", "row1"])).is_err());
    }

    fn atom_of(kind: u8) -> BoxedStrategy<Atom> {
        match kind {
            0 => any::<i64>().prop_map(Atom::Integer).boxed(),
            1 => any::<bool>().prop_map(Atom::Boolean).boxed(),
            2 => any::<String>().prop_map(Atom::String).boxed(),
            3 => any::<u128>().prop_map(|bits| Atom::Uuid(Uuid(uuid::Uuid::from_u128(bits)))).boxed(),
            // The wire has one number type: a real without a fraction comes back as an integer.
            4 => (-1e9..1e9f64).prop_filter("whole", |r| r.fract() != 0.0).prop_map(Atom::Real).boxed(),
            _ => "[A-Za-z_][A-Za-z0-9_]{0,20}".prop_map(|name| Atom::NamedUuid(NamedUuid(name.into()))).boxed(),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        (0u8..6, 0u8..6).prop_flat_map(|(key, value)| {
            prop_oneof![
                atom_of(key).prop_map(Value::Atom),
                prop::collection::vec(atom_of(key), 0..8).prop_map(Value::set),
                prop::collection::btree_map(atom_of(key), atom_of(value), 0..8).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }

        #[test]
        fn any_json_is_read_or_refused_without_a_panic(text in "[\\[\\]{}\",a-z0-9:. -]{0,40}") {
            let _ = serde_json::from_str::<Value>(&text);
            let _ = serde_json::from_str::<Set<Uuid>>(&text);
            let _ = serde_json::from_str::<Map<String, Atom>>(&text);
        }
    }
}
