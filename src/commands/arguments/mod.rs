//! Reading a command's arguments: what callers may write, and errors that name the argument, its value and what was
//! expected.
//!
//! Callers of the original plugin rely on how its decoder reads JSON: keys match without regard to case, of repeated
//! keys the last counts, unknown keys are ignored (but told, see `unknown.rs`) and `null` counts as absent. Numbers may
//! also come as strings of digits.

mod kinds;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

pub use kinds::{
    Addresses, DeviceName, Milliseconds, Mtu, Name, Number, OptionalDeviceName, OptionalName, Options, Pairs, Tag,
    Trunks, Vlan, VlanMode, Vni,
};

use super::schema::VERIFY;
use crate::error::Error;
use crate::vswitch::run::Verify;
use crate::vswitch::secrets;

/// A command's arguments, keys in lower case, without nulls.
pub type Arguments = Map<String, Value>;

/// Arguments as they were written.
#[derive(Debug, Default)]
pub struct Written {
    /// Of each argument that was given more than once, the last value.
    pub arguments: Arguments,
    /// What was given more than once.
    pub repeated: Vec<Repeated>,
}

/// An argument that was given more than once.
#[derive(Debug)]
pub struct Repeated {
    /// In lower case.
    pub name: String,
    /// Whether it was so in different letters (`vlan`, `VLAN`), which no reader of JSON takes for one.
    pub in_other_letters: bool,
}

/// Reads the text of an argument object.
pub fn parse(text: &str) -> Result<Written, Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Written;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object of arguments")
        }

        fn visit_unit<E>(self) -> Result<Written, E> {
            Ok(Written::default())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
            let mut written = Written::default();
            let mut spellings: BTreeMap<String, String> = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, Value>()? {
                if value.is_null() {
                    continue;
                }
                let name = key.to_ascii_lowercase();
                written.arguments.insert(name.clone(), value);
                if let Some(before) = spellings.insert(name.clone(), key.clone()) {
                    written.repeated.push(Repeated { name, in_other_letters: before != key });
                }
            }
            Ok(written)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let written = reader.deserialize_any(Object).and_then(|written| reader.end().map(|()| written));
    let written = written.map_err(|error| {
        let expected = "expected one JSON object, like {\"bridge\": \"backplane\"}";
        Error::argument("", format!("arguments are not usable: {error}; {expected}"))
    })?;
    for (name, value) in &written.arguments {
        let with_nul = if name.contains('\0') { Some(Value::String(name.clone())) } else { with_nul(name, value) };
        if let Some(text) = with_nul {
            let problem = format!("{text} has a NUL character (U+0000), which a database can't hold; expected none");
            return Err(Error::argument(name, problem));
        }
    }
    Ok(written)
}

/// The text in a value that has a NUL in it, as it may be told. Here for all arguments of all commands: neither Open
/// vSwitch nor the kernel has names with one, and ovsdb-server closes the connection on it.
fn with_nul(name: &str, value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => text.contains('\0').then(|| secrets::shown(name, value)),
        Value::Array(elements) => elements.iter().find_map(|element| with_nul(name, element)),
        Value::Object(members) => members.iter().find_map(|(key, value)| match key.contains('\0') {
            true => Some(secrets::shown(name, &Value::String(key.clone()))),
            false => with_nul(key, value),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Turns arguments into a command's own type.
pub fn decode<T: DeserializeOwned>(arguments: &Arguments) -> Result<T, Error> {
    let fields = Fields { rest: arguments.iter(), current: None };
    T::deserialize(de::value::MapAccessDeserializer::new(fields)).map_err(|Refusal(error)| error)
}

/// Reads arguments that are made of two structs: each takes its own fields and ignores the rest. (serde's `flatten`
/// would lose which argument an error is about.)
pub fn parts<'de, D, A, B>(deserializer: D) -> Result<(A, B), D::Error>
where
    D: Deserializer<'de>,
    A: DeserializeOwned,
    B: DeserializeOwned,
{
    let arguments = Arguments::deserialize(deserializer)?;
    Ok((decode(&arguments).map_err(de::Error::custom)?, decode(&arguments).map_err(de::Error::custom)?))
}

/// Reads arguments that are made of three structs.
pub fn three_parts<'de, D, A, B, C>(deserializer: D) -> Result<(A, B, C), D::Error>
where
    D: Deserializer<'de>,
    A: DeserializeOwned,
    B: DeserializeOwned,
    C: DeserializeOwned,
{
    let arguments = Arguments::deserialize(deserializer)?;
    let custom = de::Error::custom::<Error>;
    Ok((decode(&arguments).map_err(custom)?, decode(&arguments).map_err(custom)?, decode(&arguments).map_err(custom)?))
}

/// The names of a struct's fields, as serde knows them. Nothing is decoded, so this costs next to nothing.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It ends with the error, which carries nothing; the names have been told by then.
    match T::deserialize(Asked(&mut fields)) {
        Ok(_) | Err(Told) => fields,
    }
}

/// Is told a struct's fields, and nothing else.
struct Asked<'f>(&'f mut &'static [&'static str]);

/// Ends a decoding that has told what it was to tell.
#[derive(Debug)]
struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names are told")
    }
}

impl std::error::Error for Told {}

impl de::Error for Told {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Told
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Told;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Told> {
        Err(Told)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Told> {
        *self.0 = fields;
        Err(Told)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Takes a flag that every command has out of the arguments.
pub fn take_flag(arguments: &mut Arguments, name: &'static str, default: bool) -> Result<bool, Error> {
    match arguments.remove(name) {
        None => Ok(default),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(other) => Err(Error::argument(name, format!("{other} is not true or false"))),
    }
}

/// Takes the argument `verify`, which every command has, out of the arguments.
pub fn take_verify(arguments: &mut Arguments) -> Result<Verify, Error> {
    match arguments.remove(VERIFY) {
        None | Some(Value::Bool(true)) => Ok(Verify::Yes),
        Some(Value::Bool(false)) => Ok(Verify::No),
        Some(Value::String(word)) if word == "strict" => Ok(Verify::Strict),
        Some(other) => Err(Error::argument(VERIFY, format!("{other} is not true, false or \"strict\""))),
    }
}

/// The arguments on their way into a command's type. Whatever goes wrong with one is told with its name.
struct Fields<'a> {
    rest: serde_json::map::Iter<'a>,
    current: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.current = self.rest.next().map(|(name, value)| (name.as_str(), value));
        self.current.map(|(name, _)| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (name, value) = self.current.take().ok_or_else(|| de::Error::custom("a value without its name"))?;
        seed.deserialize(Argument(value)).map_err(|error| {
            let mut problem = error.to_string();
            secrets::hide_in_text(&mut problem, name, value);
            Refusal(Error::argument(name, problem))
        })
    }
}

/// The value of one argument. It is read as serde_json reads it, but for words of which only a few are possible: serde's
/// texts about them are for programmers, and list the empty word.
struct Argument<'a>(&'a Value);

impl<'de> Deserializer<'de> for Argument<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        match self.0 {
            Value::Bool(truth) => visitor.visit_bool(*truth),
            other => Err(de::Error::custom(format_args!("{other} is not true or false"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        if self.0.as_str().is_some_and(|word| words.contains(&word)) {
            return self.0.deserialize_enum(name, words, visitor);
        }
        let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
        let (last, first) = words.split_last().map_or(("", &[][..]), |(last, first)| (*last, first));
        let problem = match first {
            [] => format!("{} is not {last:?}", self.0),
            first => format!("{} is not one of {} and {last}", self.0, first.join(", ")),
        };
        Err(de::Error::custom(problem))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// An [`Error`] in serde's clothes.
#[derive(Debug)]
struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // An error of `parts` comes through serde as text; its argument is known all the same.
        let named = message.strip_prefix("argument \"").and_then(|rest| rest.split_once("\": "));
        let (field, problem) = named.unwrap_or(("", &message));
        Refusal(Error::argument(field, problem))
    }

    fn missing_field(field: &'static str) -> Self {
        Refusal(Error::argument(field, "is missing"))
    }
}

#[cfg(test)]
mod tests;
