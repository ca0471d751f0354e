//! The kinds of arguments that commands have: how each is written, and its JSON Schema.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::{Number as JsonNumber, Value};

use crate::links::Address;
use crate::vswitch::secrets;

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
