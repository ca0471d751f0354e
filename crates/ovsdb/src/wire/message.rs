//! JSON-RPC 1.0 as OVSDB speaks it (RFC 7047 section 4): requests, replies, notifications.
//!
//! What differs between the standard and the servers, measured, is handled here: an error reply may come without
//! `result`; `error` is a bare string for an unknown method and an object for everything else; a member that is not
//! `id`, `method`, `params` closes the connection, so none is ever sent.

use std::borrow::Cow;

use super::json;
use crate::error::ServerError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One message from the peer, its contents still unparsed.
#[derive(Debug)]
pub enum Message<'a> {
    /// The answer to one of our requests.
    Reply {
        /// The id as we sent it.
        id: &'a RawValue,
        /// The `result`, or the `error` when there is one. `None` is a result of `null`.
        outcome: Result<Option<&'a RawValue>, ServerError>,
    },
    /// The peer asks and wants an answer; in practice `echo`.
    Request {
        /// To be given back unchanged.
        id: &'a RawValue,
        /// What is asked.
        method: Cow<'a, str>,
        /// Its arguments.
        params: Option<&'a RawValue>,
    },
    /// The peer tells: `update`, `update2`, `update3`, `locked`, `stolen`, `monitor_canceled`.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
        /// Its arguments.
        params: Option<&'a RawValue>,
    },
}

/// A text that is JSON and yet no message, or no JSON at all.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, or members of the wrong type.
    #[error("malformed message: {0}")]
    Malformed(#[from] json::Error),
    /// Not UTF-8, as JSON has to be.
    #[error("malformed message: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// Neither a method nor an id: nothing that can be acted upon.
    #[error("a message with neither \"method\" nor \"id\"")]
    NeitherKind,
}

/// Every member that a message can have. `null` and absence mean the same.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// Reads one text, as [`super::frame::Framer`] cuts it.
    pub fn parse(text: &'a [u8]) -> Result<Self, MessageError> {
        let Envelope { id, method, params, result, error } = json::from_str(std::str::from_utf8(text)?)?;
        match (method, id) {
            (Some(method), Some(id)) => Ok(Message::Request { id, method, params }),
            (Some(method), None) => Ok(Message::Notification { method, params }),
            (None, Some(id)) => {
                let outcome = match error {
                    None => Ok(result),
                    Some(error) => Err(json::from_raw(error)?),
                };
                Ok(Message::Reply { id, outcome })
            }
            (None, None) => Err(MessageError::NeitherKind),
        }
    }
}

/// What we ask. The members and their order are all that the server allows.
#[derive(Serialize)]
pub(crate) struct Request<'a, P> {
    pub(crate) id: Option<u64>,
    pub(crate) method: &'a str,
    pub(crate) params: P,
}

/// Our answer to a request of the server.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) id: &'a RawValue,
    pub(crate) result: Option<&'a RawValue>,
    pub(crate) error: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[test]
    fn a_reply_is_read_in_each_of_its_spellings() {
        for (text, expected) in [
            (r#"{"id":1,"result":[],"error":null}"#, Some("[]")),
            (r#"{"error":null,"result":null,"id":1}"#, None),
            (r#"{"id":1,"result":{"a":[1, 2]}}"#, Some(r#"{"a":[1, 2]}"#)),
        ] {
            match Message::parse(text.as_bytes()).unwrap() {
                Message::Reply { id, outcome } => {
                    assert_eq!(id.get(), "1");
                    assert_eq!(outcome.unwrap().map(RawValue::get), expected);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_error_is_a_word_or_an_object() {
        for (text, class, details) in [
            (r#"{"id":1,"error":"unknown method"}"#, ErrorClass::UnknownMethod, None),
            (
                r#"{"id":1,"result":null,"error":{"error":"unknown database","details":"no X","syntax":"[]"}}"#,
                ErrorClass::UnknownDatabase,
                Some("no X"),
            ),
        ] {
            match Message::parse(text.as_bytes()).unwrap() {
                Message::Reply { outcome: Err(error), .. } => {
                    assert_eq!(error.class(), class);
                    assert_eq!(error.details.as_deref(), details);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn requests_and_notifications_differ_by_their_id() {
        let echo = Message::parse(br#"{"id":"echo","method":"echo","params":[]}"#).unwrap();
        assert!(matches!(echo, Message::Request { id, .. } if id.get() == "\"echo\""));
        let update = Message::parse(br#"{"id":null,"method":"update2","params":["m",{}]}"#).unwrap();
        assert!(matches!(update, Message::Notification { method, .. } if method == "update2"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Message::parse(b"{}").is_err());
        assert!(Message::parse(b"{\"method\":7}").is_err());
        assert!(Message::parse(b"{\"id\":1,}").is_err());
        assert!(Message::parse(b"{\"id\":1,\"error\":[]}").is_err());
    }
}
