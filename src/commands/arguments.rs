//! Reading a command's arguments: what callers may write, and errors that name the argument, its value and what was
//! expected.
//!
//! Callers of the original plugin rely on how its decoder reads JSON: keys match without regard to case, of repeated
//! keys the last counts, unknown keys are ignored (but told, see `unknown.rs`) and `null` counts as absent. Numbers may
//! also come as strings of digits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Number as JsonNumber, Value};

use crate::error::Error;
use crate::links::Address;
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
    match arguments.remove("verify") {
        None | Some(Value::Bool(true)) => Ok(Verify::Yes),
        Some(Value::Bool(false)) => Ok(Verify::No),
        Some(Value::String(word)) if word == "strict" => Ok(Verify::Strict),
        Some(other) => Err(Error::argument("verify", format!("{other} is not true, false or \"strict\""))),
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

// ---- kinds of arguments ----

/// The longest name of a Linux network device: IFNAMSIZ is 16 with the terminating zero (linux/if.h).
const DEVICE_NAME_MAX: usize = 15;

/// The name of something that exists: any text but the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

/// The name of a network device that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(pub String);

/// An optional name; the empty text counts as none, as it did for the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionalName(pub Option<String>);

/// An optional name of a network device that may have to be made; the empty text counts as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionalDeviceName(pub Option<String>);

/// A number from `MIN` to `MAX`, or a string of its digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number<const MIN: i64, const MAX: i64>(pub i64);

/// A VLAN id as `vlan-ensure` takes it: 4095 is reserved (IEEE 802.1Q), 0 is untagged.
pub type Vlan = Number<0, 4094>;
/// An MTU in bytes; 0 leaves it to the device.
pub type Mtu = Number<0, 65535>;
/// Milliseconds.
pub type Milliseconds = Number<0, 4_294_967_295>;
/// A port's tag as the database takes it.
pub type Tag = Number<0, 4095>;
/// A VXLAN network identifier: 24 bits (RFC 7348), of which 0 is not used.
pub type Vni = Number<1, 16_777_215>;

/// Settings as `{"COLUMN[:KEY]": VALUE}`; values may be strings, numbers or booleans.
///
/// They apply in the byte order of their keys, so a whole column comes before single keys of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(pub Vec<(String, String)>);

/// Pairs of strings for a map column; values may also be numbers or booleans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

/// VLAN ids, or ranges of them as "a-b"; an empty list is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunks(pub BTreeSet<i64>);

/// IP addresses with the lengths of their prefixes, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

/// What a port does with tagged and untagged frames (ovs-vswitchd.conf.db(5), Port `vlan_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum VlanMode {
    /// Only the VLAN of the tag, untagged outside.
    Access,
    /// The VLANs of the trunks, tagged.
    Trunk,
    /// A trunk whose native VLAN is tagged outside too.
    NativeTagged,
    /// A trunk whose native VLAN is untagged outside.
    NativeUntagged,
    /// Everything is carried inside the VLAN of the tag (IEEE 802.1ad).
    Dot1qTunnel,
}

impl VlanMode {
    /// As the database spells it.
    pub fn name(self) -> &'static str {
        match self {
            VlanMode::Access => "access",
            VlanMode::Trunk => "trunk",
            VlanMode::NativeTagged => "native-tagged",
            VlanMode::NativeUntagged => "native-untagged",
            VlanMode::Dot1qTunnel => "dot1q-tunnel",
        }
    }
}

impl DeviceName {
    /// Refuses what Linux can't hold as the name of a network device (net/core/dev.c `dev_valid_name`), and control
    /// characters.
    pub fn check(name: &str) -> Result<(), String> {
        let problem = if name.is_empty() {
            "is empty"
        } else if name.len() > DEVICE_NAME_MAX {
            "is longer than 15 bytes"
        } else if name == "." || name == ".." {
            "is a name of a directory"
        } else if name.contains(['/', ':', '%']) {
            // The kernel reads % as a pattern, and takes the first number that is free.
            "contains '/', ':' or '%'"
        } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            "contains white space or control characters"
        } else {
            return Ok(());
        };
        Err(format!("{name:?} can't be the name of a network device, because it {problem}; expected 1 to 15 bytes"))
    }
}

/// Up to here every whole number is a double of its own; above, two whole numbers may have been written that are read as
/// one (IEEE 754 binary64).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number of JSON as the text that the database and ovs-vswitchd read: a whole number is written as one however JSON
/// has it (`1000.0`, `2.5e8`), any other without an exponent. `None` if what was written can't be told.
fn plain(number: &JsonNumber) -> Option<String> {
    match number.as_f64() {
        _ if number.is_i64() || number.is_u64() => Some(number.to_string()),
        // A zero may be a negative one.
        Some(0.0) => Some("0".to_owned()),
        Some(real) if real.abs() < EXACT => Some(real.to_string()),
        _ => None,
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        other => Err(de::Error::custom(format_args!("{other} is not {expected}"))),
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = text(deserializer, "a name (a string)")?;
        if name.is_empty() {
            return Err(de::Error::custom("is empty; expected a name"));
        }
        Ok(Name(name))
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = text(deserializer, "a name (a string)")?;
        DeviceName::check(&name).map_err(de::Error::custom)?;
        Ok(DeviceName(name))
    }
}

impl<'de> Deserialize<'de> for OptionalName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = text(deserializer, "a name (a string)")?;
        Ok(OptionalName(Some(name).filter(|name| !name.is_empty())))
    }
}

impl<'de> Deserialize<'de> for OptionalDeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OptionalName(name) = OptionalName::deserialize(deserializer)?;
        name.as_deref().map_or(Ok(()), DeviceName::check).map_err(de::Error::custom)?;
        Ok(OptionalDeviceName(name))
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = match &value {
            Value::Number(number) => plain(number).and_then(|digits| digits.parse().ok()),
            Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (MIN..=MAX).contains(&number) => Ok(Number(number)),
            _ => Err(de::Error::custom(format_args!("{value} is not a whole number from {MIN} to {MAX}"))),
        }
    }
}

/// The members of an object whose values may be strings, numbers or booleans.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D, shape: &str) -> Result<Vec<(String, String)>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let Value::Object(members) = value else {
        return Err(de::Error::custom(format_args!("{} is not an object of {shape}", secrets::shown("", &value))));
    };
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => match plain(&number) {
            Some(text) => Ok((key, text)),
            None => {
                let shown = secrets::shown(&key, &Value::Number(number));
                let problem = format_args!(
                    "the value of {key:?} is {shown}, which has more digits than a number of JSON keeps; expected a \
                     string of them"
                );
                Err(de::Error::custom(problem))
            }
        },
        Value::Bool(truth) => Ok((key, truth.to_string())),
        other => {
            let shown = secrets::shown(&key, &other);
            let problem = format_args!("the value of {key:?} is {shown}; expected a string, a number or a boolean");
            Err(de::Error::custom(problem))
        }
    };
    members.into_iter().map(text).collect()
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer, "{\"column[:key]\": value}").map(Options)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pairs(deserializer, "{\"key\": value}").map(Pairs)
    }
}

impl<'de> Deserialize<'de> for Trunks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let id = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i64>().ok().filter(|id| digits && (0..=4095).contains(id))
        };
        let range = |element: &Value| match element {
            Value::Number(number) => id(&plain(number)?).map(|id| id..=id),
            Value::String(text) => match text.split_once('-') {
                Some((first, last)) => Some(id(first)?..=id(last)?).filter(|range| !range.is_empty()),
                None => id(text).map(|id| id..=id),
            },
            _ => None,
        };
        let Value::Array(elements) = &value else {
            return Err(de::Error::custom(format_args!(
                "{value} is not a list of VLAN ids or ranges, like [5, \"10-20\"]"
            )));
        };
        let mut ids = BTreeSet::new();
        for element in elements {
            let range = range(element).ok_or_else(|| {
                de::Error::custom(format_args!("{element} is not a VLAN id from 0 to 4095 or a range \"a-b\" of them"))
            })?;
            ids.extend(range);
        }
        Ok(Trunks(ids))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Value::Array(elements) = &value else {
            return Err(de::Error::custom(format_args!(
                "{value} is not a list of addresses, like [\"10.0.0.1/24\", \"fd00::1/64\"]"
            )));
        };
        let mut addresses: Vec<Address> = Vec::new();
        for element in elements {
            let Value::String(text) = element else {
                return Err(de::Error::custom(format_args!(
                    "{element} is not an address; expected a string, like \"10.0.0.1/24\""
                )));
            };
            let address: Address = text.parse().map_err(de::Error::custom)?;
            match addresses.iter().find(|other| other.ip == address.ip) {
                None => addresses.push(address),
                Some(other) if *other == address => {}
                Some(other) => {
                    let problem = format_args!("{text:?} is also given as {other}; expected one prefix for an address");
                    return Err(de::Error::custom(problem));
                }
            }
        }
        Ok(Addresses(addresses))
    }
}

macro_rules! schema {
    ($($type:ty, $name:literal => $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schema! {
    Name, "Name" => {"type": "string", "minLength": 1};
    DeviceName, "DeviceName" => {"type": "string", "minLength": 1, "maxLength": 15, "pattern": "^[^/:%\\s]+$"};
    OptionalName, "OptionalName" => {"type": "string"};
    OptionalDeviceName, "OptionalDeviceName" => {"type": "string", "maxLength": 15, "pattern": "^[^/:%\\s]*$"};
    Pairs, "Pairs" => {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}};
    Trunks, "Trunks" => {"type": "array", "items": {"oneOf": [
        {"type": "integer", "minimum": 0, "maximum": 4095},
        {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"}
    ]}};
    Addresses, "Addresses" => {
        "type": "array", "items": {"type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$"}
    };
    Options, "Options" => {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}};
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Number<MIN, MAX> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("NumberFrom{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": MIN, "maximum": MAX, "pattern": "^[0-9]+$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Example {
        bridge: Name,
        #[serde(default)]
        name: OptionalName,
        vlan: Option<Vlan>,
        #[serde(default)]
        options: Options,
        mode: Option<Word>,
        #[serde(default)]
        lacp: bool,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        #[serde(alias = "")]
        One,
        Two,
    }

    fn read(text: &str) -> Result<Example, String> {
        parse(text).and_then(|written| decode(&written.arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_read_as_the_original_read_them() {
        let expected = Example {
            bridge: Name("br0".into()),
            name: OptionalName(None),
            vlan: Some(Number(7)),
            options: Options(vec![("a:b".into(), "c".into())]),
            mode: None,
            lacp: false,
        };
        for text in [
            r#"{"bridge":"br0","vlan":7,"options":{"a:b":"c"}}"#,
            " {\"BRIDGE\" : \"\\u0062r0\",\n\"Vlan\": \"7\", \"unknown\": [{}], \"name\": \"\", \"oPtions\":{\"a:b\":\"c\"}} ",
            r#"{"bridge":"other","bridge":"br0","vlan":7,"VLAN":null,"name":null,"options":{"a:b":"x","a:b":"c"}}"#,
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn a_word_of_a_few_is_read_where_the_empty_one_means_something_too() {
        for (word, expected) in [("one", Word::One), ("", Word::One), ("two", Word::Two)] {
            let example = read(&format!("{{\"bridge\":\"b\",\"mode\":\"{word}\"}}")).unwrap();
            assert_eq!(example.mode, Some(expected), "{word:?}");
        }
    }

    #[test]
    fn a_nul_is_refused_in_every_argument_of_every_command() {
        let mut seen = 0;
        for entry in crate::commands::REGISTRY {
            let schema = (entry.arguments_schema)();
            let names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
            for name in names.map(String::as_str).chain(["verify", "Dry_Run", "unknown"]) {
                for value in
                    [r#""\u0000""#, r#""a\u0000b""#, r#"[1, ["\u0000"]]"#, r#"{"k": "a\u0000"}"#, r#"{"\u0000": 1}"#]
                {
                    let error = parse(&format!("{{\"{name}\": {value}}}")).unwrap_err();
                    assert_eq!(error.field(), Some(name.to_ascii_lowercase().as_str()), "{}: {error}", entry.name);
                    let told = error.to_string();
                    assert!(told.contains("NUL") && !told.contains('\0'), "{told}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 300, "{seen}");
        assert!(parse(r#"{"a\u0000": "b"}"#).is_err());
        let error = parse(r#"{"options": {"options:psk": "secret\u0000"}}"#).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(parse(r#"{"a": "\\u0000 \u0001"}"#).is_ok());
    }

    #[test]
    fn option_values_may_be_numbers_and_booleans() {
        let example = read(r#"{"bridge":"b","options":{"mtu_request":1450,"stp_enable":true,"x":"y"}}"#).unwrap();
        let pairs: Vec<String> = example.options.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["mtu_request=1450", "stp_enable=true", "x=y"]);
    }

    #[test]
    fn a_whole_number_is_written_as_one_however_json_has_it() {
        let written = |json: &str| {
            let text = format!("{{\"bridge\":\"b\",\"options\":{{\"k\":{json}}}}}");
            read(&text).map(|mut example| example.options.0.remove(0).1)
        };
        for (json, expected) in [
            ("2.5e8", "250000000"),
            ("1000.0", "1000"),
            ("1e3", "1000"),
            ("-1e3", "-1000"),
            ("-0.0", "0"),
            ("0e5", "0"),
            ("9007199254740991.0", "9007199254740991"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.5", "1.5"),
            ("1.5e-7", "0.00000015"),
            ("-2.5e-1", "-0.25"),
        ] {
            assert_eq!(written(json).as_deref(), Ok(expected), "{json}");
        }
        // 9007199254740993.0 would be read as 9007199254740992.
        for json in ["9007199254740993.0", "1e20", "99999999999999999999", "-1e300"] {
            let error = written(json).expect_err(json);
            assert!(error.contains("\"options\"") && error.contains("string"), "{json}: {error}");
        }
        assert_eq!(read(r#"{"bridge":"b","vlan":1e3}"#).unwrap().vlan, Some(Number(1000)));
        assert_eq!(read(r#"{"bridge":"b","vlan":1000.0}"#).unwrap().vlan, Some(Number(1000)));
        assert_eq!(read(r#"{"bridge":"b","vlan":-0.0}"#).unwrap().vlan, Some(Number(0)));
        let trunks = serde_json::from_str::<Trunks>("[5.0, 1e1]").map(|Trunks(ids)| Vec::from_iter(ids));
        assert_eq!(trunks.unwrap(), [5, 10]);
    }

    #[test]
    fn the_fields_of_a_struct_are_known_without_decoding_one() {
        assert_eq!(fields_of::<Example>(), ["bridge", "name", "vlan", "options", "mode", "lacp"]);
        assert!(fields_of::<String>().is_empty());
    }

    #[test]
    fn trunks_are_ids_and_ranges() {
        let read = |json: &str| serde_json::from_str::<Trunks>(json).map(|Trunks(ids)| Vec::from_iter(ids));
        assert_eq!(read(r#"[7, "1-3", "2", "4095"]"#).unwrap(), [1, 2, 3, 7, 4095]);
        assert!(read("[]").unwrap().is_empty());
        for wrong in ["7", r#"["3-1"]"#, "[4096]", "[-1]", "[1.5]", r#"["a"]"#, r#"["1-"]"#, "[[1]]", r#"["+1"]"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_a_list_and_each_counts_once() {
        let read = |json: &str| {
            let read = serde_json::from_str::<Addresses>(json).map_err(|error| error.to_string());
            read.map(|Addresses(list)| list.iter().map(Address::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("[]").unwrap(), [""; 0]);
        assert_eq!(read(r#"["10.0.0.1/24","fd00::1/64","10.0.0.1/24"]"#).unwrap(), ["10.0.0.1/24", "fd00::1/64"]);
        for (wrong, words) in [
            (r#""10.0.0.1/24""#, "is not a list of addresses, like [\"10.0.0.1/24\""),
            ("[7]", "7 is not an address; expected a string"),
            (r#"["10.0.0.1/33"]"#, "\"10.0.0.1/33\" is not an address with a prefix of 1 to 32 bits"),
            (r#"["10.0.0.1"]"#, "\"10.0.0.1\" lacks the length of the prefix; expected an address with the length"),
            (r#"["fd00::1/64","fd00:0::1/128"]"#, "\"fd00:0::1/128\" is also given as fd00::1/64"),
        ] {
            let said = read(wrong).unwrap_err();
            assert!(said.contains(words), "{wrong}: {said}");
        }
    }

    #[test]
    fn whole_columns_apply_before_single_keys() {
        let example = read(r#"{"bridge":"b","options":{"external_ids:k":"v","external_ids":"{a=b}"}}"#).unwrap();
        assert_eq!(example.options.0[0].0, "external_ids");
    }

    #[test]
    fn an_error_names_the_argument_its_value_and_what_was_expected() {
        for (text, words) in [
            ("{}", &["\"bridge\"", "missing"][..]),
            ("null", &["\"bridge\"", "missing"]),
            (r#"{"bridge":null}"#, &["\"bridge\"", "missing"]),
            (r#"{"bridge":""}"#, &["\"bridge\"", "empty", "name"]),
            (r#"{"bridge":7}"#, &["\"bridge\"", "7", "name"]),
            (r#"{"bridge":"b","vlan":5000}"#, &["\"vlan\"", "5000", "0 to 4094"]),
            (r#"{"bridge":"b","vlan":-1}"#, &["\"vlan\"", "-1", "0 to 4094"]),
            (r#"{"bridge":"b","vlan":1.5}"#, &["\"vlan\"", "1.5", "whole number"]),
            (r#"{"bridge":"b","vlan":"x7"}"#, &["\"vlan\"", "x7", "0 to 4094"]),
            (r#"{"bridge":"b","vlan":""}"#, &["\"vlan\"", "0 to 4094"]),
            (r#"{"bridge":"b","vlan":99999999999999999999}"#, &["\"vlan\"", "0 to 4094"]),
            (r#"{"bridge":"b","lacp":"yes"}"#, &["\"lacp\": \"yes\" is not true or false"]),
            (r#"{"bridge":"b","lacp":"psk=hunter2"}"#, &["\"lacp\": (hidden) is not true or false"]),
            (r#"{"bridge":"b","vlan":"psk=hunter2"}"#, &["\"vlan\": (hidden) is not a whole number"]),
            (r#"{"bridge":"b","mode":{"token":["hunter2"]}}"#, &["{\"token\":[(hidden)]} is not one of"]),
            (r#"{"bridge":"b","mode":1}"#, &["\"mode\": 1 is not one of one and two"]),
            (r#"{"bridge":"b","mode":"three"}"#, &["\"mode\": \"three\" is not one of one and two"]),
            (r#"{"bridge":"b","mode":{"one":null}}"#, &["is not one of one and two"]),
            (r#"{"bridge":"b","options":[]}"#, &["\"options\"", "[]", "column"]),
            (r#"{"bridge":"b","options":{"a":{}}}"#, &["\"options\"", "\"a\"", "{}", "string"]),
            ("[]", &["JSON object"]),
            ("7", &["JSON object"]),
            ("", &["JSON object"]),
            ("{", &["JSON object"]),
            (r#"{"bridge":"b"} x"#, &["JSON object", "trailing"]),
            (r#"{"bridge":"\ud800"}"#, &["JSON object"]),
        ] {
            let error = read(text).expect_err(text);
            for word in words {
                assert!(error.contains(word), "{text}: {error:?} lacks {word:?}");
            }
        }
    }

    #[test]
    fn names_that_linux_cannot_hold_are_refused() {
        for name in ["br0", "-br", "--", "vlbr4094in", "123456789012345", "brücke"] {
            assert_eq!(DeviceName::check(name), Ok(()));
        }
        for name in ["", "1234567890123456", "a/b", "a b", "a\tb", "a\u{7}", ".", "..", "a:b", "a%d", "brückebrückebr"]
        {
            assert!(DeviceName::check(name).is_err(), "{name:?}");
        }
    }
}
