//! Reads what a monitor tells straight into packed rows: no value is made in between.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::packed::{ColumnShape, Parts, put_integer, put_real, put_string, put_uuid};
use super::tables::Tables;
use crate::schema::AtomicType;
use crate::value::{PlainUuid, Tag, Uuid, UuidRef, content_seed};

/// The first answer of `monitor_cond_since`: `[found, transaction, tables]`.
pub(super) struct Initial<'t>(pub(super) &'t mut Tables);

/// The first answer of `monitor_cond`: everything.
pub(super) struct Whole<'t>(pub(super) &'t mut Tables);

/// `<table-updates2>`: changes by table and row.
pub(super) struct TableUpdates<'t>(pub(super) &'t mut Tables);

impl<'de> DeserializeSeed<'de> for Initial<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Initial<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[found, transaction, tables]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<bool, A::Error> {
        let short = || de::Error::custom("less than three elements");
        let found: bool = sequence.next_element()?.ok_or_else(short)?;
        let PlainUuid(transaction) = sequence.next_element()?.ok_or_else(short)?;
        if !found {
            self.0.begin_whole();
        }
        sequence.next_element_seed(TableUpdates(self.0))?.ok_or_else(short)?;
        if !found {
            self.0.end_whole();
        }
        self.0.reached(Some(transaction));
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.begin_whole();
        TableUpdates(self.0).deserialize(deserializer)?;
        self.0.end_whole();
        self.0.reached(None);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for TableUpdates<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableUpdates<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("changes by table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(table) = members.next_key_seed(Table(self.0))? {
            match table {
                Some(table) => members.next_value_seed(RowUpdates { tables: self.0, table })?,
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The name of a table, as its place.
struct Table<'t>(&'t Tables);

impl<'de> DeserializeSeed<'de> for Table<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Table<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a table")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.place(name))
    }
}

/// The changes of one table, by row.
struct RowUpdates<'t> {
    tables: &'t mut Tables,
    table: usize,
}

impl<'de> DeserializeSeed<'de> for RowUpdates<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowUpdates<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("changes by row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(PlainUuid(row)) = members.next_key()? {
            members.next_value_seed(RowUpdate { tables: self.tables, table: self.table, row })?;
        }
        Ok(())
    }
}

/// `{"initial": …}`, `{"insert": …}`, `{"modify": …}` or `{"delete": null}`; and as the plain `monitor` tells it (RFC 7047
/// section 4.1.6), `{"new": …}`, `{"old": …, "new": …}` or `{"old": …}`, where what is new is the whole row.
struct RowUpdate<'t> {
    tables: &'t mut Tables,
    table: usize,
    row: Uuid,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Initial,
    Insert,
    Modify,
    Delete,
    New,
    Old,
}

impl<'de> DeserializeSeed<'de> for RowUpdate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowUpdate<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"initial\", \"insert\", \"modify\" or \"delete\", or \"new\" and \"old\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let RowUpdate { tables, table, row } = self;
        // Of a row with nothing new.
        let mut is_gone = false;
        while let Some(kind) = members.next_key::<Kind>()? {
            if matches!(kind, Kind::Delete | Kind::Old) {
                members.next_value::<IgnoredAny>()?;
                is_gone = true;
                continue;
            }
            let (shapes, parts) = tables.room(table);
            parts.clear(shapes.len());
            members.next_value_seed(Columns { shapes, parts })?;
            match kind {
                Kind::Modify if !tables.modify(table, row) => {
                    return Err(de::Error::custom(format_args!("a change of the row {row}, which is not there")));
                }
                Kind::Modify | Kind::Delete | Kind::Old => {}
                Kind::Initial | Kind::Insert => tables.put(table, row),
                Kind::New => {
                    tables.put(table, row);
                    // Told in either order.
                    for old in std::iter::from_fn(|| members.next_entry::<Kind, IgnoredAny>().transpose()) {
                        old?;
                    }
                    return Ok(());
                }
            }
        }
        if is_gone {
            tables.delete(table, row);
        }
        Ok(())
    }
}

/// `<row>`: columns and their contents, into [`Parts`].
struct Columns<'t> {
    shapes: &'t [ColumnShape],
    parts: &'t mut Parts,
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        // The server tells them in the order of their names, in which they are kept too.
        let mut next = 0;
        while let Some(column) = members.next_key_seed(ColumnName { shapes: self.shapes, next })? {
            let Some(column) = column else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            next = column + 1;
            let shape = &self.shapes[column];
            let start = self.parts.bytes.len();
            members.next_value_seed(Contents { shape, out: &mut self.parts.bytes })?;
            if shape.scalar && self.parts.bytes.len() == start {
                return Err(de::Error::custom(format_args!("column {} has no value", shape.name)));
            }
            self.parts.spans[column] = Some((start, self.parts.bytes.len()));
        }
        Ok(())
    }
}

/// The name of a column, as its place.
struct ColumnName<'t> {
    shapes: &'t [ColumnShape],
    /// Where it probably is, or soon after.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnName<'_> {
    type Value = Option<usize>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnName<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    #[inline]
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        let after = self.shapes.iter().skip(self.next).position(|shape| shape.name == name);
        Ok(after.map(|place| place + self.next).or_else(|| self.shapes.iter().position(|shape| shape.name == name)))
    }
}

/// What a column holds: an atom, a set or a map.
struct Contents<'t> {
    shape: &'t ColumnShape,
    out: &'t mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Contents<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Contents<'t> {
    /// A bare atom: a scalar, or a set of one.
    fn bare(self) -> PackAtom<'t> {
        PackAtom { kind: self.shape.key, out: self.out }
    }
}

impl<'de> Visitor<'de> for Contents<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the contents of column {}", self.shape.name)
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.bare().visit_i64(number)
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.bare().visit_u64(number)
    }

    #[inline]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.bare().visit_f64(number)
    }

    #[inline]
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<(), E> {
        self.bare().visit_bool(truth)
    }

    #[inline]
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.bare().visit_str(text)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let tag: Option<Tag> = sequence.next_element()?;
        match (tag, self.shape.value) {
            (Some(tag @ Tag::Set), None) => {
                let kind = self.shape.key;
                content_seed(&mut sequence, &tag, Entries { kind, value: None, shape: self.shape, out: self.out })
            }
            (Some(tag @ Tag::Map), value @ Some(_)) => {
                let kind = self.shape.key;
                content_seed(&mut sequence, &tag, Entries { kind, value, shape: self.shape, out: self.out })
            }
            (Some(tag @ Tag::Uuid), None) if self.shape.key == AtomicType::Uuid => {
                let PlainUuid(uuid) = content_seed(&mut sequence, &tag, std::marker::PhantomData)?;
                put_uuid(self.out, uuid);
                Ok(())
            }
            _ => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        }
    }
}

/// The elements of a set, or the pairs of a map, put in order if they are not.
struct Entries<'t> {
    kind: AtomicType,
    value: Option<AtomicType>,
    shape: &'t ColumnShape,
    out: &'t mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the elements of a set or the pairs of a map")
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Entries { kind, value, shape, out } = self;
        let start = out.len();
        match value {
            None => while sequence.next_element_seed(PackAtom { kind, out: &mut *out })?.is_some() {},
            Some(value) => while sequence.next_element_seed(PackPair { kind, value, out: &mut *out })?.is_some() {},
        }
        if !shape.is_sorted(&out[start..]) {
            let sorted = shape.sort(&out[start..]);
            out.truncate(start);
            out.extend_from_slice(&sorted);
        }
        Ok(())
    }
}

struct PackPair<'t> {
    kind: AtomicType,
    value: AtomicType,
    out: &'t mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for PackPair<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PackPair<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let PackPair { kind, value, out } = self;
        for (place, kind) in [kind, value].into_iter().enumerate() {
            if sequence.next_element_seed(PackAtom { kind, out: &mut *out })?.is_none() {
                return Err(de::Error::invalid_length(place, &"a key and a value"));
            }
        }
        match sequence.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(de::Error::invalid_length(3, &"a key and a value")),
        }
    }
}

/// One atom of a known kind.
struct PackAtom<'t> {
    kind: AtomicType,
    out: &'t mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for PackAtom<'_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.kind {
            AtomicType::String => deserializer.deserialize_str(self),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for PackAtom<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an atom of type {}", self.kind.name())
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        match self.kind {
            AtomicType::Integer => put_integer(self.out, number),
            // The wire does not tell 1.0 from 1.
            AtomicType::Real => put_real(self.out, number as f64),
            _ => return Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
        }
        Ok(())
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => self.visit_f64(number as f64),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        match self.kind {
            AtomicType::Real => put_real(self.out, number),
            _ => return Err(E::invalid_type(de::Unexpected::Float(number), &self)),
        }
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<(), E> {
        match self.kind {
            AtomicType::Boolean => self.out.push(u8::from(truth)),
            _ => return Err(E::invalid_type(de::Unexpected::Bool(truth), &self)),
        }
        Ok(())
    }

    #[inline]
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.kind {
            AtomicType::String => put_string(self.out, text),
            _ => return Err(E::invalid_type(de::Unexpected::Str(text), &self)),
        }
        Ok(())
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<(), A::Error> {
        match (self.kind, UuidRef::deserialize(de::value::SeqAccessDeserializer::new(sequence))?) {
            (AtomicType::Uuid, UuidRef::Row(uuid)) => put_uuid(self.out, uuid),
            _ => return Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        }
        Ok(())
    }
}
