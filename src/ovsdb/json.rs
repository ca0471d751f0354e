//! Reads JSON into Rust types, as serde_json does, only faster on what an OVSDB server writes.
//!
//! A database in one reply is tens of megabytes of short strings, most of them keys or words that are known in
//! advance. serde_json spends several times as long on them as on skipping them; that is what this reader saves
//! (`docs/performance.md` has the numbers). The text is known to be UTF-8 when reading begins, strings are searched
//! sixteen bytes at a time, and whatever is rare (escapes, fractions, numbers beyond 18 digits) is cut out and given to
//! serde_json, so that there is one opinion of what it means. Tests compare both readers on texts of all kinds.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, Visitor};
use serde::ser::{self, Serialize, Serializer};
use serde_json::value::RawValue;

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
        Error(Box::new(Problem { what: what.to_string(), byte: None }))
    }
}

/// Reads a whole text.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
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
    at: usize,
    depth: u8,
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl<'de> Reader<'de> {
    /// A reader at the beginning of a text.
    pub fn new(text: &'de str) -> Self {
        Reader { text, unescaped: None, at: 0, depth: 0 }
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
        let start = self.at + 1;
        let end = plain_end(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            // A quote is on a boundary between characters, so this is never `None`.
            return Ok(Text::Plain(self.text.get(start..end).unwrap_or_default()));
        }
        self.string_with_escapes(end)
    }

    /// `at` is a backslash, a control character or the end of the text.
    #[cold]
    fn string_with_escapes(&mut self, mut at: usize) -> Result<Text<'de>> {
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
        let literal = self.text.get(self.at..=at).unwrap_or_default();
        let text = serde_json::from_str(literal).map_err(|error| self.error(error))?;
        self.at = at + 1;
        Ok(Text::Unescaped(text))
    }

    #[inline(always)]
    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.string()? {
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
            Some(b'{' | b'[') => {
                let end = Scan::default().advance(&self.text.as_bytes()[start..], usize::MAX);
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

impl<'a> Part<'a> {
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
            Some(b'"') => seed.deserialize(Key(self.reader)).map(Some),
            _ => Err(self.reader.unexpected("the name of a member")),
        }
    }

    #[inline(always)]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.expect(b':', "':'")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The name of a member: always a string.
struct Key<'r, 'de>(&'r mut Reader<'de>);

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    #[inline(always)]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.0.visit_string(visitor)
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
        visitor.visit_enum(Variant { reader: self.0, wrapped: false })
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
