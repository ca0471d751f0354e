//! Rows packed into one piece of memory each, typed by the schema.
//!
//! A row is the ends of its columns, then their contents one after the other. A column is its elements in order, each
//! once: one for a scalar, none or more for a set, key and value in turns for a map. Integers and reals are spelled such
//! that comparing bytes compares numbers, so that elements of one width are found by halving; a string is its length,
//! seven bits to a byte, and its bytes. That takes less room than the JSON from which it was read.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::operation::Name;
use crate::schema::{AtomicType, ColumnType};
use crate::value::{Atom, Uuid, Value};

/// What a replicated column is.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnShape {
    /// The column's name.
    pub name: Name,
    /// Its elements, or the keys of a map.
    pub key: AtomicType,
    /// The values of a map.
    pub value: Option<AtomicType>,
    /// Whether there is always exactly one element.
    pub scalar: bool,
    /// Whether there is never more than one element or pair. A change then tells the new contents, not a difference.
    pub single: bool,
}

impl ColumnShape {
    pub(super) fn new(name: Name, ty: &ColumnType) -> Self {
        ColumnShape {
            name,
            key: ty.key.atomic,
            value: ty.value.as_ref().map(|value| value.atomic),
            scalar: ty.is_scalar(),
            single: ty.max == Some(1),
        }
    }

    /// The room that an element or a pair takes, if it is always the same.
    fn width(&self) -> Option<usize> {
        match self.value {
            None => width(self.key),
            Some(value) => Some(width(self.key)? + width(value)?),
        }
    }

    /// The element or pair at the beginning.
    fn first<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let key = first(self.key, bytes).len();
        let length = key + self.value.map_or(0, |value| first(value, &bytes[key..]).len());
        &bytes[..length]
    }

    /// What the column of a new row holds when nothing else is said.
    pub(super) fn put_default(&self, out: &mut Vec<u8>) {
        if self.scalar {
            match self.key {
                AtomicType::Integer => put_integer(out, 0),
                AtomicType::Real => put_real(out, 0.0),
                AtomicType::Boolean => out.push(0),
                AtomicType::String => put_string(out, ""),
                AtomicType::Uuid => out.extend([0; 16]),
            }
        }
    }

    /// The bytes of a value, if it can be one of this column.
    pub(super) fn pack(&self, value: &Value) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match (value, self.value) {
            (Value::Map(pairs), Some(of_values)) => {
                // The orders of the atoms and of their bytes are the same.
                for (key, value) in pairs {
                    put_atom(&mut out, self.key, key)?;
                    put_atom(&mut out, of_values, value)?;
                }
            }
            (Value::Atom(_) | Value::Set(_), None) => {
                for atom in value.atoms() {
                    put_atom(&mut out, self.key, atom)?;
                }
            }
            // The empty set and the empty map are told apart by the column only.
            (Value::Set(atoms), Some(_)) if atoms.is_empty() => {}
            _ => return None,
        }
        Some(out)
    }

    /// Whether the elements or pairs stand in order, each once.
    pub(super) fn is_sorted(&self, bytes: &[u8]) -> bool {
        let mut last: Option<&[u8]> = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            let entry = self.first(rest);
            rest = &rest[entry.len()..];
            if last.is_some_and(|last| self.compare(last, entry).is_ge()) {
                return false;
            }
            last = Some(entry);
        }
        true
    }

    /// Puts the elements or pairs in order; of equal ones the last stays.
    pub(super) fn sort(&self, bytes: &[u8]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let entry = self.first(rest);
            rest = &rest[entry.len()..];
            entries.push(entry);
        }
        entries.reverse();
        entries.sort_by(|one, other| self.compare(one, other));
        entries.dedup_by(|one, other| self.compare(one, other).is_eq());
        entries.concat()
    }

    /// Compares elements, or pairs by their keys.
    fn compare(&self, one: &[u8], other: &[u8]) -> Ordering {
        compare(self.key, first(self.key, one), first(self.key, other))
    }

    /// Where an element or pair with the key that `wanted` begins with stands, or would.
    fn find(&self, bytes: &[u8], wanted: &[u8]) -> Result<usize, usize> {
        let wanted = first(self.key, wanted);
        if let Some(width) = self.width() {
            let key = wanted.len();
            let (mut low, mut high) = (0, bytes.len() / width);
            while low < high {
                let middle = usize::midpoint(low, high);
                let at = middle * width;
                match bytes[at..at + key].cmp(wanted) {
                    Ordering::Less => low = middle + 1,
                    Ordering::Greater => high = middle,
                    Ordering::Equal => return Ok(at),
                }
            }
            return Err(low * width);
        }
        let mut at = 0;
        while at < bytes.len() {
            let entry = self.first(&bytes[at..]);
            match compare(self.key, first(self.key, entry), wanted) {
                Ordering::Less => at += entry.len(),
                Ordering::Equal => return Ok(at),
                Ordering::Greater => break,
            }
        }
        Err(at)
    }

    /// Whether a set has an element, or a map exactly this pair.
    pub(super) fn contains(&self, bytes: &[u8], entry: &[u8]) -> bool {
        self.find(bytes, entry).is_ok_and(|at| self.first(&bytes[at..]) == entry)
    }

    /// The elements or pairs.
    pub(super) fn entries<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (entry, after) = rest.split_at(self.first(rest).len());
            rest = after;
            Some(entry)
        })
    }

    /// Applies a difference as `update2` and `update3` tell it: elements change sides, a pair that is there goes, any
    /// other pair is put (ovsdb-server(7), "Update2 Notification").
    pub(super) fn merge(&self, old: &[u8], difference: &[u8], out: &mut Vec<u8>) {
        if self.single {
            out.extend_from_slice(difference);
            return;
        }
        let mut rest = old;
        for entry in self.entries(difference) {
            match self.find(rest, entry) {
                Ok(at) => {
                    out.extend_from_slice(&rest[..at]);
                    let there = self.first(&rest[at..]);
                    if there != entry {
                        out.extend_from_slice(entry);
                    }
                    rest = &rest[at + there.len()..];
                }
                Err(at) => {
                    out.extend_from_slice(&rest[..at]);
                    out.extend_from_slice(entry);
                    rest = &rest[at..];
                }
            }
        }
        out.extend_from_slice(rest);
    }
}

fn width(kind: AtomicType) -> Option<usize> {
    match kind {
        AtomicType::Integer | AtomicType::Real => Some(8),
        AtomicType::Boolean => Some(1),
        AtomicType::Uuid => Some(16),
        AtomicType::String => None,
    }
}

/// The atom at the beginning.
fn first(kind: AtomicType, bytes: &[u8]) -> &[u8] {
    let length = width(kind).unwrap_or_else(|| {
        let (length, text) = string_length(bytes);
        text + length
    });
    &bytes[..length]
}

/// How long the string at the beginning is, and where it begins.
fn string_length(bytes: &[u8]) -> (usize, usize) {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (length, at + 1);
        }
    }
    (0, bytes.len())
}

fn compare(kind: AtomicType, one: &[u8], other: &[u8]) -> Ordering {
    match kind {
        AtomicType::String => one[string_length(one).1..].cmp(&other[string_length(other).1..]),
        _ => one.cmp(other),
    }
}

const SIGN: u64 = 1 << 63;

pub(super) fn put_integer(out: &mut Vec<u8>, number: i64) {
    out.extend((number.cast_unsigned() ^ SIGN).to_be_bytes());
}

pub(super) fn put_real(out: &mut Vec<u8>, number: f64) {
    let bits = number.to_bits();
    out.extend((if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).to_be_bytes());
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        // Seven bits and the sign that more follow.
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_uuid(out: &mut Vec<u8>, uuid: Uuid) {
    out.extend_from_slice(uuid.0.as_bytes());
}

fn put_atom(out: &mut Vec<u8>, kind: AtomicType, atom: &Atom) -> Option<()> {
    match (kind, atom) {
        (AtomicType::Integer, Atom::Integer(number)) => put_integer(out, *number),
        (AtomicType::Real, Atom::Real(number)) => put_real(out, *number),
        // The wire does not tell 1.0 from 1.
        (AtomicType::Real, Atom::Integer(number)) => put_real(out, *number as f64),
        (AtomicType::Boolean, Atom::Boolean(truth)) => out.push(u8::from(*truth)),
        (AtomicType::String, Atom::String(text)) => put_string(out, text),
        (AtomicType::Uuid, Atom::Uuid(uuid)) => put_uuid(out, *uuid),
        _ => return None,
    }
    Some(())
}

/// An atom of a packed column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AtomView<'a> {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// Text.
    String(&'a str),
    /// A reference to a row.
    Uuid(Uuid),
}

impl<'a> AtomView<'a> {
    fn new(kind: AtomicType, bytes: &'a [u8]) -> Self {
        let number = || u64::from_be_bytes(bytes.try_into().unwrap_or_default());
        match kind {
            AtomicType::Integer => AtomView::Integer((number() ^ SIGN).cast_signed()),
            AtomicType::Real => {
                let bits = number();
                AtomView::Real(f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
            }
            AtomicType::Boolean => AtomView::Boolean(bytes == [1]),
            AtomicType::String => {
                // It was a string when it was packed.
                AtomView::String(std::str::from_utf8(&bytes[string_length(bytes).1..]).unwrap_or_default())
            }
            AtomicType::Uuid => AtomView::Uuid(Uuid(uuid::Uuid::from_slice(bytes).unwrap_or_default())),
        }
    }

    /// The same, independent of the row.
    pub fn to_atom(self) -> Atom {
        match self {
            AtomView::Integer(number) => Atom::Integer(number),
            AtomView::Real(number) => Atom::Real(number),
            AtomView::Boolean(truth) => Atom::Boolean(truth),
            AtomView::String(text) => Atom::String(text.to_owned()),
            AtomView::Uuid(uuid) => Atom::Uuid(uuid),
        }
    }
}

/// A column of a packed row.
#[derive(Clone, Copy, Debug)]
pub struct ColumnView<'a> {
    shape: &'a ColumnShape,
    bytes: &'a [u8],
}

impl<'a> ColumnView<'a> {
    pub(super) fn new(shape: &'a ColumnShape, bytes: &'a [u8]) -> Self {
        ColumnView { shape, bytes }
    }

    /// Whether there is no element and no pair.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// How many elements or pairs there are.
    pub fn len(self) -> usize {
        match self.shape.width() {
            Some(width) => self.bytes.len() / width,
            None => self.shape.entries(self.bytes).count(),
        }
    }

    /// The elements of a set or a scalar; the keys of a map.
    pub fn atoms(self) -> impl Iterator<Item = AtomView<'a>> {
        let kind = self.shape.key;
        self.shape.entries(self.bytes).map(move |entry| AtomView::new(kind, first(kind, entry)))
    }

    /// The pairs of a map, in the order of the keys; none for anything else.
    pub fn pairs(self) -> impl Iterator<Item = (AtomView<'a>, AtomView<'a>)> {
        let (of_keys, of_values) = (self.shape.key, self.shape.value);
        self.shape.entries(self.bytes).filter_map(move |entry| {
            let (key, value) = entry.split_at(first(of_keys, entry).len());
            Some((AtomView::new(of_keys, key), AtomView::new(of_values?, value)))
        })
    }

    /// The text of a string column, or of an optional one that is set.
    pub fn as_str(self) -> Option<&'a str> {
        match self.only() {
            Some(AtomView::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer column, or of an optional one that is set.
    pub fn as_integer(self) -> Option<i64> {
        match self.only() {
            Some(AtomView::Integer(number)) => Some(number),
            _ => None,
        }
    }

    /// The truth of a boolean column.
    pub fn as_bool(self) -> Option<bool> {
        match self.only() {
            Some(AtomView::Boolean(truth)) => Some(truth),
            _ => None,
        }
    }

    fn only(self) -> Option<AtomView<'a>> {
        if self.shape.value.is_some() || self.bytes.is_empty() {
            return None;
        }
        let atom = first(self.shape.key, self.bytes);
        (atom.len() == self.bytes.len()).then(|| AtomView::new(self.shape.key, atom))
    }

    /// The rows that a set of references points to.
    pub fn uuids(self) -> impl Iterator<Item = Uuid> + 'a {
        self.atoms().filter_map(|atom| match atom {
            AtomView::Uuid(uuid) => Some(uuid),
            _ => None,
        })
    }

    /// The value under a key of a map of strings.
    pub fn get_str(self, key: &str) -> Option<&'a str> {
        self.pairs().find_map(|pair| match pair {
            (AtomView::String(found), AtomView::String(value)) if found == key => Some(value),
            _ => None,
        })
    }

    /// The same, independent of the row.
    pub fn to_value(self) -> Value {
        match self.shape.value {
            Some(_) => Value::Map(
                self.pairs().map(|(key, value)| (key.to_atom(), value.to_atom())).collect::<BTreeMap<_, _>>(),
            ),
            None => match self.only() {
                Some(atom) => Value::Atom(atom.to_atom()),
                None => Value::set(self.atoms().map(AtomView::to_atom)),
            },
        }
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed(Box<[u8]>);

/// The contents of columns, as they are read or put together: the bytes, and where in them each column is.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) bytes: Vec<u8>,
    /// By column; `None` for a column that was not told of.
    pub(super) spans: Vec<Option<(usize, usize)>>,
    /// Where rows are put together.
    assembly: Vec<u8>,
}

impl Parts {
    pub(super) fn clear(&mut self, columns: usize) {
        self.bytes.clear();
        self.spans.clear();
        self.spans.resize(columns, None);
    }

    pub(super) fn get(&self, column: usize) -> Option<&[u8]> {
        let (start, end) = self.spans.get(column).copied().flatten()?;
        self.bytes.get(start..end)
    }

    /// A row with defaults for what was not told.
    pub(super) fn pack_new(&mut self, shapes: &[ColumnShape]) -> Packed {
        let Parts { bytes, spans, assembly } = self;
        Packed::build(assembly, shapes.len(), |column, out| match spans[column] {
            Some((start, end)) => out.extend_from_slice(&bytes[start..end]),
            None => shapes[column].put_default(out),
        })
    }

    /// A row that differs from another by what was told.
    pub(super) fn pack_changed(&mut self, shapes: &[ColumnShape], old: &Packed) -> Packed {
        let Parts { bytes, spans, assembly } = self;
        Packed::build(assembly, shapes.len(), |column, out| {
            let before = old.column(column, shapes.len());
            match spans[column] {
                Some((start, end)) => shapes[column].merge(before, &bytes[start..end], out),
                None => out.extend_from_slice(before),
            }
        })
    }
}

impl Packed {
    /// The ends are two bytes wide where that is enough, and four otherwise; the first byte tells.
    fn build(assembly: &mut Vec<u8>, columns: usize, mut put: impl FnMut(usize, &mut Vec<u8>)) -> Packed {
        const SHORT: usize = 2;
        const LONG: usize = 4;
        let contents = 1 + LONG * columns;
        assembly.clear();
        assembly.resize(contents, 0);
        for column in 0..columns {
            put(column, assembly);
            // A message is smaller than 4 GiB.
            let end = (assembly.len() - contents) as u32;
            assembly[1 + LONG * column..][..LONG].copy_from_slice(&end.to_le_bytes());
        }
        if assembly.len() - contents > usize::from(u16::MAX) {
            assembly[0] = LONG as u8;
            return Packed(assembly.as_slice().into());
        }
        let mut packed = Vec::with_capacity(1 + SHORT * columns + assembly.len() - contents);
        packed.push(SHORT as u8);
        for column in 0..columns {
            packed.extend_from_slice(&assembly[1 + LONG * column..][..SHORT]);
        }
        packed.extend_from_slice(&assembly[contents..]);
        Packed(packed.into())
    }

    /// A column's contents.
    pub(super) fn column(&self, column: usize, columns: usize) -> &[u8] {
        let width = usize::from(self.0[0]);
        let end = |column: usize| {
            let mut end = [0; 4];
            end[..width].copy_from_slice(&self.0[1 + width * column..][..width]);
            u32::from_le_bytes(end) as usize
        };
        let contents = 1 + width * columns;
        let start = if column == 0 { 0 } else { end(column - 1) };
        &self.0[contents + start..contents + end(column)]
    }
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
