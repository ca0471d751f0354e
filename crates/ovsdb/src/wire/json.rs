//! Reads JSON with serde_json. Errors have a bounded length, whatever the text holds.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed};
use serde_json::value::RawValue;

use crate::error::{REPEATED, beginning_of};

/// What is wrong with a text. serde_json repeats strings that it did not expect; a server's may be megabytes long, so
/// only the beginning of the message is kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Error(beginning_of(what, REPEATED))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        de::Error::custom(error)
    }
}

/// Reads a whole text.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    Ok(serde_json::from_str(text)?)
}

/// Reads a whole text in a way that a seed knows.
pub fn from_str_seed<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads a part of a message that was cut out before.
pub fn from_raw<'de, T: Deserialize<'de>>(raw: &'de RawValue) -> Result<T, Error> {
    from_str(raw.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_place_and_does_not_repeat_a_long_text() {
        let error = from_str::<bool>("[\n7]").unwrap_err().to_string();
        assert!(error.contains("line 1 column 0"), "{error}");
        let long = "x".repeat(1 << 20);
        let error = from_str::<bool>(&format!("\"{long}\"")).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: string \"xxx"), "{error}");
        assert!(error.len() < 2 * REPEATED, "{} bytes", error.len());
    }

    #[test]
    fn nothing_may_follow_a_text() {
        assert!(from_str::<bool>("true false").is_err());
        assert!(from_str_seed("true x", std::marker::PhantomData::<bool>).is_err());
        assert!(from_str_seed("true \n", std::marker::PhantomData::<bool>).unwrap());
    }
}
