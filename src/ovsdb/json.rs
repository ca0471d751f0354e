//! Reads JSON into Rust types, as serde_json does, only faster on what an OVSDB server writes.
//!
//! A database in one reply is tens of megabytes of short strings, most of them keys or words that are known in
//! advance. serde_json spends several times as long on them as on skipping them; that is what this reader saves
//! (`docs/performance.md` has the numbers). The text is known to be UTF-8 when reading begins, strings are searched
//! sixteen bytes at a time, and whatever is rare (escapes, fractions, numbers beyond 18 digits) is cut out and given to
//! serde_json, so that there is one opinion of what it means. Tests compare both readers on texts of all kinds.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, Visitor};
use serde::ser::{self, Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::{REPEATED, beginning_of};
use super::frame::Scan;
use super::simd::string_ends;

/// Objects and arrays inside each other; what serde_json allows, and many times what OVSDB's own types need.
const MAX_DEPTH: u8 = 128;

/// What is wrong with a text, and where.
#[derive(Debug)]
pub struct Error(Box<Problem>);

#[derive(Debug)]
struct Problem {
    what: String,
    /// Where in the text; not known for what a type says of its contents until the reader passes it on.
    byte: Option<usize>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        match self.0.byte {
            Some(byte) => write!(f, " at byte {byte}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Error(Box::new(Problem { what: beginning_of(what, REPEATED), byte: None }))
    }
}

/// Reads a whole text.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader).map_err(|error| reader.place(error))?;
    reader.finish()?;
    Ok(value)
}

/// Reads a whole text in a way that a seed knows.
pub fn from_str_seed<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, Error> {
    let mut reader = Reader::new(text);
    let value = seed.deserialize(&mut reader).map_err(|error| reader.place(error))?;
    reader.finish()?;
    Ok(value)
}

/// Reads a whole text of which one part has been found before, so that it need not be looked for again.
pub(super) fn from_str_with<'de, T: Deserialize<'de>>(text: &'de str, known: Range<usize>) -> Result<T, Error> {
    let mut reader = Reader { known, ..Reader::new(text) };
    let value = T::deserialize(&mut reader).map_err(|error| reader.place(error))?;
    reader.finish()?;
    Ok(value)
}

/// Reads a whole text into a type that borrows its strings, `&str`, from the text, or from `unescaped` those few that
/// stand there with escapes.
pub fn borrow_str<'de, T: Deserialize<'de>>(text: &'de str, unescaped: &'de Unescaped) -> Result<T, Error> {
    let mut reader = Reader { unescaped: Some(unescaped), ..Reader::new(text) };
    let value = T::deserialize(&mut reader).map_err(|error| reader.place(error))?;
    reader.finish()?;
    Ok(value)
}

/// Strings that had to be copied because of their escapes, for [`borrow_str`].
#[derive(Default)]
pub struct Unescaped(typed_arena::Arena<String>);

impl fmt::Debug for Unescaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unescaped({})", self.0.len())
    }
}

/// Reads one text from its beginning to its end. Borrowed strings borrow from the text.
#[derive(Debug)]
pub struct Reader<'de> {
    text: &'de str,
    unescaped: Option<&'de Unescaped>,
    /// Where a part begins and ends that was cut out already.
    known: Range<usize>,
    at: usize,
    depth: u8,
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl<'de> Reader<'de> {
    /// A reader at the beginning of a text.
    pub fn new(text: &'de str) -> Self {
        Reader { text, unescaped: None, known: 0..0, at: 0, depth: 0 }
    }

    /// To be asked after the value: nothing but white space may follow it.
    pub fn finish(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("trailing characters")),
        }
    }

    #[cold]
    fn error(&self, what: impl fmt::Display) -> Error {
        Error(Box::new(Problem { what: what.to_string(), byte: Some(self.at) }))
    }

    /// Names the place of an error that a type found.
    #[cold]
    fn place(&self, mut error: Error) -> Error {
        error.0.byte.get_or_insert(self.at);
        error
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Error {
        match self.text[self.at..].chars().next() {
            None => self.error(format_args!("the text ends where {expected} was expected")),
            Some(found) => self.error(format_args!("{found:?} where {expected} was expected")),
        }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => self.peek_after_blanks(),
        }
    }

    #[cold]
    fn peek_after_blanks(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Goes over two bytes, if they stand here without blanks, as a server writes them.
    #[inline(always)]
    fn skip(&mut self, bytes: [u8; 2]) -> bool {
        let found = self.text.as_bytes()[self.at..].first_chunk() == Some(&bytes);
        self.at += if found { 2 } else { 0 };
        found
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, name: &str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected(name))
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected(word))
    }

    #[inline(always)]
    fn enter(&mut self) -> Result<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    /// The string that begins here, at its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Text<'de>> {
        self.string_from(self.at + 1)
    }

    /// The string after an opening quote.
    #[inline(always)]
    fn string_from(&mut self, start: usize) -> Result<Text<'de>> {
        let end = plain_end(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            // SAFETY: both ends are beside a quote, and so on boundaries between characters, in this order. To check
            // that again costs some ten instructions for every string, of fifty.
            return Ok(Text::Plain(unsafe { self.text.get_unchecked(start..end) }));
        }
        self.string_with_escapes(start, end)
    }

    /// `at` is a backslash, a control character or the end of the text.
    #[cold]
    fn string_with_escapes(&mut self, start: usize, mut at: usize) -> Result<Text<'de>> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at = plain_end(bytes, (at + 2).min(bytes.len())),
                Some(_) => {
                    self.at = at;
                    return Err(self.error("control character inside of a string"));
                }
                None => {
                    self.at = bytes.len();
                    return Err(self.unexpected("the end of a string"));
                }
            }
        }
        let literal = self.text.get(start - 1..=at).unwrap_or_default();
        let text = serde_json::from_str(literal).map_err(|error| self.error(error))?;
        self.at = at + 1;
        Ok(Text::Unescaped(text))
    }

    #[inline(always)]
    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.visit_string_from(self.at + 1, visitor)
    }

    #[inline(always)]
    fn visit_string_from<V: Visitor<'de>>(&mut self, start: usize, visitor: V) -> Result<V::Value> {
        match self.string_from(start)? {
            Text::Plain(text) => visitor.visit_borrowed_str(text),
            Text::Unescaped(text) => match self.unescaped {
                Some(unescaped) => visitor.visit_borrowed_str(unescaped.0.alloc(text)),
                None => visitor.visit_string(text),
            },
        }
    }

    /// The number that begins here.
    #[inline(always)]
    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = bytes[start] == b'-';
        let digits = start + usize::from(negative);
        let mut at = digits;
        let mut number = 0i64;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            at += 1;
        }
        let usual = (1..=18).contains(&(at - digits)) && (bytes[digits] != b'0' || (at - digits == 1 && !negative));
        if !usual || matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
            return self.visit_unusual_number(visitor);
        }
        self.at = at;
        if negative { visitor.visit_i64(-number) } else { visitor.visit_u64(number.unsigned_abs()) }
    }

    #[cold]
    fn visit_unusual_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let rest = &self.text.as_bytes()[self.at..];
        let part_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !part_of_number(byte)).unwrap_or(rest.len());
        let literal = self.text.get(self.at..self.at + length).unwrap_or_default();
        let number: serde_json::Number = serde_json::from_str(literal).map_err(|error| self.error(error))?;
        self.at += length;
        if let Some(number) = number.as_u64() {
            visitor.visit_u64(number)
        } else if let Some(number) = number.as_i64() {
            visitor.visit_i64(number)
        } else {
            // A number that is no integer is always one of these.
            visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// The text of the value that begins here, unread: only its end is looked for.
    fn part(&mut self) -> Result<&'de str> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => {
                self.string()?;
            }
            Some(_) if start == self.known.start => self.at = self.known.end,
            Some(b'{' | b'[') => {
                let end = Scan::default().advance(&self.text.as_bytes()[start..], 0, usize::MAX);
                let Ok(Some(length)) = end else {
                    self.at = self.text.len();
                    return Err(self.unexpected("a closing bracket"));
                };
                self.at += length;
            }
            _ => {
                while self.byte().is_some_and(|byte| byte > b' ' && !matches!(byte, b',' | b']' | b'}' | b':' | b'"')) {
                    self.at += 1;
                }
                if self.at == start {
                    return Err(self.unexpected("a value"));
                }
            }
        }
        // Both ends are at ASCII characters, or the text's own.
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    #[inline(always)]
    fn visit_array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.enter()?;
        let mut elements = Elements { reader: self, first: true, ended: false };
        let value = visitor.visit_seq(&mut elements)?;
        if !elements.ended {
            self.expect(b']', "the end of an array")?;
        }
        self.depth -= 1;
        Ok(value)
    }

    #[inline(always)]
    fn visit_pairs<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        const BEGIN: &[u8] = b"[\"map\",[";
        if self.peek().is_none() || !self.text.as_bytes()[self.at..].starts_with(BEGIN) {
            // Written with blanks, or no map at all.
            return self.deserialize_any(visitor);
        }
        self.at += BEGIN.len();
        let mut pairs = MapPairs { reader: self, first: true };
        let value = visitor.visit_map(&mut pairs)?;
        self.expect(b']', "the end of a map")?;
        Ok(value)
    }

    #[inline(always)]
    fn visit_object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.enter()?;
        let mut members = Members { reader: self, first: true, ended: false };
        let value = visitor.visit_map(&mut members)?;
        if !members.ended {
            self.expect(b'}', "the end of an object")?;
        }
        self.depth -= 1;
        Ok(value)
    }
}

/// A part of a text that has been cut out and not been read: whoever reads it finds out whether it is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a>(&'a str);

/// A [`Part`] that keeps its own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPart(Box<str>);

/// By this name the types that are parts ask the reader to cut them out.
const PART: &str = "ovs_plugin::ovsdb::json::Part";

/// By this name a type asks for a map as OVSDB writes it, `["map",[[key,value],…]]`, to be read as one.
pub(super) const MAP: &str = "ovs_plugin::ovsdb::json::MAP";

impl<'a> Part<'a> {
    /// A result of nothing.
    pub(super) const NULL: Part<'static> = Part("null");

    /// The text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// Reads it.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T> {
        from_str(self.0)
    }

    /// Reads it into a type that borrows, as [`borrow_str`] does.
    pub fn borrow<T: Deserialize<'a>>(self, unescaped: &'a Unescaped) -> Result<T> {
        borrow_str(self.0, unescaped)
    }
}

impl OwnedPart {
    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }

    /// Reads it.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        from_str(&self.0)
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;

        impl<'de> Visitor<'de> for PartVisitor {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Part<'de>, E> {
                Ok(Part(text))
            }

            /// The reader is serde_json's.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part<'de>, D::Error> {
                <&RawValue>::deserialize(deserializer).map(|raw| Part(raw.get()))
            }
        }

        deserializer.deserialize_newtype_struct(PART, PartVisitor)
    }
}

impl<'de> Deserialize<'de> for OwnedPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OwnedPartVisitor;

        impl<'de> Visitor<'de> for OwnedPartVisitor {
            type Value = OwnedPart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<OwnedPart, E> {
                Ok(OwnedPart(text.into()))
            }

            /// The reader is serde_json's.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<OwnedPart, D::Error> {
                Box::<RawValue>::deserialize(deserializer).map(|raw| OwnedPart(raw.into()))
            }
        }

        deserializer.deserialize_newtype_struct(PART, OwnedPartVisitor)
    }
}

enum Text<'de> {
    Plain(&'de str),
    Unescaped(String),
}

/// The next byte from `at` on that ends or interrupts a string: a quote, a backslash, a control character.
#[inline(always)]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = string_ends(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += block.len();
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..=0x1f)
    {
        at += 1;
    }
    at
}

/// The elements of an array, one after the other.
struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
    ended: bool,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.ended {
            return Ok(None);
        }
        match self.reader.peek() {
            Some(b']') => {
                self.reader.at += 1;
                self.ended = true;
                return Ok(None);
            }
            Some(b',') if !self.first => self.reader.at += 1,
            Some(_) if self.first => {}
            _ => return Err(self.reader.unexpected("',' or the end of an array")),
        }
        self.first = false;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The members of an object, one after the other.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
    ended: bool,
}

impl<'de> de::MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let bytes = self.reader.text.as_bytes();
        let at = self.reader.at;
        if !self.first && !self.ended && bytes[at..].first_chunk() == Some(b",\"") {
            return seed.deserialize(Key { start: at + 2, reader: self.reader }).map(Some);
        }
        if self.ended {
            return Ok(None);
        }
        match self.reader.peek() {
            Some(b'}') => {
                self.reader.at += 1;
                self.ended = true;
                return Ok(None);
            }
            Some(b',') if !self.first => self.reader.at += 1,
            Some(_) if self.first => {}
            _ => return Err(self.reader.unexpected("',' or the end of an object")),
        }
        self.first = false;
        match self.reader.peek() {
            Some(b'"') => seed.deserialize(Key { start: self.reader.at + 1, reader: self.reader }).map(Some),
            _ => Err(self.reader.unexpected("the name of a member")),
        }
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.expect(b':', "':'")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The pairs of a map, one after the other, with the bracket that closes them.
struct MapPairs<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> de::MapAccess<'de> for MapPairs<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.first || !self.reader.skip(*b",[") {
            match self.reader.peek() {
                Some(b']') => {
                    self.reader.at += 1;
                    return Ok(None);
                }
                Some(b',') if !self.first => self.reader.at += 1,
                Some(_) if self.first => {}
                _ => return Err(self.reader.unexpected("',' or the end of the pairs")),
            }
            self.first = false;
            self.reader.expect(b'[', "a pair of key and value")?;
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.expect(b',', "',' between key and value")?;
        let value = seed.deserialize(&mut *self.reader)?;
        self.reader.expect(b']', "the end of a pair")?;
        Ok(value)
    }
}

/// The name of a member: always a string.
struct Key<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// After its opening quote.
    start: usize,
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.reader.visit_string_from(self.start, visitor)
    }

    #[inline(always)]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    #[inline(always)]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.reader.at = self.start - 1;
        visitor.visit_enum(Variant { reader: self.reader, wrapped: false })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    #[inline(always)]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            Some(b'[') => self.visit_array(visitor),
            Some(b'{') => self.visit_object(visitor),
            Some(b'-' | b'0'..=b'9') => self.visit_number(visitor),
            Some(b't') => self.word("true").and_then(|()| visitor.visit_bool(true)),
            Some(b'f') => self.word("false").and_then(|()| visitor.visit_bool(false)),
            Some(b'n') => self.word("null").and_then(|()| visitor.visit_unit()),
            _ => Err(self.unexpected("a value")),
        }
    }

    // What a type asks for is tried first: it is nearly always what stands there.

    #[inline(always)]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => self.visit_string(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline(always)]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline(always)]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'[') => self.visit_array(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline(always)]
    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline(always)]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.visit_object(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'n') => self.word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    #[inline(always)]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        match name {
            PART => visitor.visit_borrowed_str(self.part()?),
            MAP => self.visit_pairs(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    #[inline(always)]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(Variant { reader: self, wrapped: false }),
            Some(b'{') => {
                self.enter()?;
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("the name of a variant"));
                }
                let value = visitor.visit_enum(Variant { reader: self, wrapped: true })?;
                self.expect(b'}', "the end of an object of one member")?;
                self.depth -= 1;
                Ok(value)
            }
            _ => Err(self.unexpected("a variant: a string or an object of one member")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(IgnoredAny)?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
    }
}

/// `"variant"`, or `"variant": content` inside of an object.
struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    wrapped: bool,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    #[inline(always)]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let variant = seed.deserialize(&mut *self.reader)?;
        if self.wrapped {
            self.reader.expect(b':', "':'")?;
        }
        Ok((variant, self))
    }
}

impl<'de> Variant<'_, 'de> {
    fn content(self) -> Result<Self> {
        match self.wrapped {
            true => Ok(self),
            false => Err(self.reader.error("a variant without its content")),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        if self.wrapped { Deserialize::deserialize(self.reader) } else { Ok(()) }
    }

    #[inline(always)]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.content()?.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        Deserializer::deserialize_seq(self.content()?.reader, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        Deserializer::deserialize_map(self.content()?.reader, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// What both readers have to say of a text.
    fn agreed(text: &str) -> Option<Value> {
        let theirs = serde_json::from_str::<Value>(text);
        let ours = from_str::<Value>(text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{text}");
                assert!(from_str::<IgnoredAny>(text).is_ok(), "{text}");
                Some(ours)
            }
            (Err(_), Err(_)) => {
                assert!(from_str::<IgnoredAny>(text).is_err(), "{text}");
                None
            }
            (ours, theirs) => panic!("{text}: ours {ours:?}, serde_json's {theirs:?}"),
        }
    }

    #[test]
    fn numbers_are_what_serde_json_takes_them_for() {
        for number in [
            "0",
            "-0",
            "7",
            "-7",
            "01",
            "-01",
            "00",
            "-",
            "+1",
            "1.",
            ".5",
            "1.5",
            "-1.5e3",
            "1e",
            "1e5",
            "1E-5",
            "--1",
            "999999999999999999",
            "1000000000000000000",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1-2",
            "1e400",
            "0.1",
            "123456789012345678901234567890",
            "-999999999999999999",
        ] {
            for text in [number.to_owned(), format!("[{number}]"), format!("{{\"a\": {number} }}")] {
                agreed(&text);
            }
        }
    }

    #[test]
    fn strings_are_what_serde_json_takes_them_for() {
        for string in [
            "",
            "a",
            "é",
            "\\n",
            "\\u0041",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\x",
            "\\",
            "\n",
            "\u{7f}",
            "\u{1f}",
            "\\\"",
            "\\\\",
            "fifteen bytes..",
            "sixteen bytes...",
            "seventeen bytes..",
            "a long string with an é and a \\\" in it, and 😀",
        ] {
            for text in [format!("\"{string}\""), format!("[\"{string}\", \"{string}\"]"), format!("\"{string}")] {
                agreed(&text);
            }
        }
    }

    #[test]
    fn nesting_has_the_same_limit() {
        for depth in [127, 128, 129] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(from_str::<IgnoredAny>(&text).is_ok(), depth <= 128);
        }
        agreed(&("[".repeat(100) + &"]".repeat(100)));
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Unit,
        One(i64),
        Two(bool, String),
        Named { a: Option<char> },
    }

    #[test]
    fn variants_come_as_words_and_as_objects() {
        for text in [
            r#""unit""#,
            r#"{"unit":null}"#,
            r#"{"one":5}"#,
            r#"{"two":[true,"x"]}"#,
            r#"{"named":{"a":"y"}}"#,
            r#"{ "named" : { "a" : null } }"#,
            r#""one""#,
            r#"{"one":5,"two":1}"#,
            "{}",
            r#"{"unit":1}"#,
            r#"{"other":1}"#,
            r#"{"two":[true]}"#,
            r#"{"two":[true,"x",1]}"#,
        ] {
            match (from_str::<Kind>(text), serde_json::from_str::<Kind>(text)) {
                (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
                (Err(_), Err(_)) => {}
                (ours, theirs) => panic!("{text}: ours {ours:?}, serde_json's {theirs:?}"),
            }
        }
    }

    #[test]
    fn strings_are_borrowed_and_those_with_escapes_too() {
        let text = String::from(r#"{"plain":"\"quoted\"","b":"as it is"}"#);
        let unescaped = Unescaped::default();
        let members: std::collections::BTreeMap<&str, &str> = borrow_str(&text, &unescaped).unwrap();
        assert_eq!(members["plain"], "\"quoted\"");
        assert!(text.as_bytes().as_ptr_range().contains(&members["b"].as_ptr()));
        assert!(from_str::<std::collections::BTreeMap<&str, &str>>(&text).is_err(), "nowhere to put it");
    }

    #[test]
    fn an_error_names_its_place() {
        assert_eq!(
            from_str::<Value>("{\"a\":[1,x]}").unwrap_err().to_string(),
            "'x' where a value was expected at byte 8"
        );
        let error = from_str::<Vec<bool>>("[true,5]").unwrap_err().to_string();
        assert_eq!(error, "invalid type: integer `5`, expected a boolean at byte 7");
    }

    #[test]
    fn parts_are_cut_out_by_either_reader() {
        let text = r#"{"a" : [1, {"b":"]"}] ,"c":"x\"]","d":-1.5e3,"e":null}"#;
        type Parts<'a> = std::collections::BTreeMap<&'a str, Option<Part<'a>>>;
        let ours: Parts<'_> = from_str(text).unwrap();
        let theirs: Parts<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(ours["a"].unwrap().get(), r#"[1, {"b":"]"}]"#);
        assert_eq!(ours["e"], None);
        let ours: Vec<OwnedPart> = from_str("[{}, 7]").unwrap();
        assert_eq!(ours, serde_json::from_str::<Vec<OwnedPart>>("[{}, 7]").unwrap());
        assert_eq!(serde_json::to_string(&Part("[1]")).unwrap(), "[1]");
        assert!(serde_json::to_string(&Part("[1")).is_err(), "what is no JSON is never sent");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            "[ -~]{0,40}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_as_serde_json_reads_it(json in any_json()) {
            prop_assert_eq!(agreed(&json.to_string()), Some(json.clone()));
            prop_assert_eq!(agreed(&serde_json::to_string_pretty(&json).unwrap()), Some(json));
        }

        #[test]
        fn damaged_json_is_judged_as_serde_json_judges_it(
            json in any_json(),
            place in any::<prop::sample::Index>(),
            damage in "[\\[\\]{}\",:\\\\0-9eE.+ a\n-]{0,2}",
        ) {
            let mut characters: Vec<char> = json.to_string().chars().collect();
            let place = place.index(characters.len());
            characters.splice(place..=place, damage.chars());
            agreed(&characters.into_iter().collect::<String>());
        }

        #[test]
        fn any_text_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}\",:\\\\0-9eE.+ nulltrefas-]{0,40}") {
            agreed(&text);
            let _ = from_str::<Part<'_>>(&text);
        }
    }
}
