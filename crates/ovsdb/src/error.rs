//! What can go wrong between us and an OVSDB server, and whose fault it is.
//!
//! ```
//! use ovsdb::{ErrorClass, ServerError};
//!
//! // A word, or an object with details.
//! let error: ServerError = serde_json::from_str(r#"{"error": "timed out", "details": "\"where\" clause test failed"}"#)?;
//! assert_eq!(error.class(), ErrorClass::TimedOut);
//! assert_eq!(error.to_string(), "timed out: \"where\" clause test failed");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What others send is repeated in an error up to this length, in bytes.
pub const REPEATED: usize = 1024;

/// The part of a request that the server stumbled over is kept up to this length, so that it can be searched for secrets.
const SYNTAX_KEPT: usize = 64 * 1024;

/// A text, or its beginning if it is longer than `limit` bytes. No more of it is ever written out.
pub fn beginning_of(text: impl fmt::Display, limit: usize) -> String {
    struct Taken(String, usize);

    impl fmt::Write for Taken {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let Taken(taken, limit) = self;
            let room = limit.saturating_sub(taken.len());
            if text.len() <= room {
                taken.push_str(text);
                return Ok(());
            }
            taken.push_str(&text[..text.floor_char_boundary(room)]);
            Err(fmt::Error)
        }
    }

    let mut taken = Taken(String::new(), limit);
    if write!(taken, "{text}").is_err() {
        taken.0.push('…');
    }
    taken.0
}

/// A string of a server, which is kept up to a length.
pub(crate) struct Kept<const LIMIT: usize>(pub(crate) String);

impl<'de, const LIMIT: usize> Deserialize<'de> for Kept<LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const LIMIT: usize>;

        impl<const LIMIT: usize> Visitor<'_> for Text<LIMIT> {
            type Value = Kept<LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Kept<LIMIT>, E> {
                Ok(Kept(beginning_of(text, LIMIT)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The server's words for what happened.
pub(crate) type Words = Kept<REPEATED>;
/// The part of a request that the server repeats.
pub(crate) type Syntax = Kept<SYNTAX_KEPT>;

/// The kinds of errors that a server sends, by the word in `error` (RFC 7047 sections 4.1, 5.2 and the server's own).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A value outside of what the schema allows, a unique index hit, or a column that can't be changed.
    ConstraintViolation,
    /// A reference to a row that does not exist.
    ReferentialIntegrityViolation,
    /// A request, an operation or a value that the server could not read.
    SyntaxError,
    /// A column that the table does not have.
    UnknownColumn,
    /// A table that the database does not have.
    UnknownTable,
    /// A `wait` whose condition did not come true in time; with timeout 0, a guard that no longer holds.
    TimedOut,
    /// An `assert` without the lock.
    NotOwner,
    /// An `abort` operation.
    Aborted,
    /// A request that was canceled, by us or by a schema change.
    Canceled,
    /// The server has no database of that name (any more).
    UnknownDatabase,
    /// A member of a cluster that has not joined it yet, or a relay that has not reached its source yet.
    DatabaseNotAvailable,
    /// The server does not know the method; older servers lack the newer ones.
    UnknownMethod,
    /// `monitor_cancel` of a monitor that does not exist.
    UnknownMonitor,
    /// The same `uuid-name` twice in one transaction.
    DuplicateUuidName,
    /// An `insert` with a UUID that is taken.
    DuplicateUuid,
    /// A number that left its range in a `mutate`.
    RangeError,
    /// A division by zero in a `mutate`.
    DomainError,
    /// The operation can't be done here, a `wait` or a durable `commit` for instance.
    NotSupported,
    /// The server is read-only, or the database is a reserved one.
    NotAllowed,
    /// Role-based access control forbids it.
    PermissionError,
    /// A cluster member that is not the leader, or that is cut off from the cluster.
    NotLeader,
    /// The server has no memory for it.
    ResourcesExhausted,
    /// The server could not write its file.
    IoError,
    /// Any other word, kept as it came.
    Other(String),
}

impl From<&str> for ErrorClass {
    fn from(word: &str) -> Self {
        match word {
            "constraint violation" => ErrorClass::ConstraintViolation,
            "referential integrity violation" => ErrorClass::ReferentialIntegrityViolation,
            "syntax error" => ErrorClass::SyntaxError,
            "unknown column" => ErrorClass::UnknownColumn,
            "unknown table" => ErrorClass::UnknownTable,
            "timed out" => ErrorClass::TimedOut,
            "not owner" => ErrorClass::NotOwner,
            "aborted" => ErrorClass::Aborted,
            "canceled" => ErrorClass::Canceled,
            "unknown database" => ErrorClass::UnknownDatabase,
            "database not available" => ErrorClass::DatabaseNotAvailable,
            "unknown method" => ErrorClass::UnknownMethod,
            "unknown monitor" => ErrorClass::UnknownMonitor,
            "duplicate uuid-name" => ErrorClass::DuplicateUuidName,
            "duplicate uuid" => ErrorClass::DuplicateUuid,
            "range error" => ErrorClass::RangeError,
            "domain error" => ErrorClass::DomainError,
            "not supported" => ErrorClass::NotSupported,
            "not allowed" => ErrorClass::NotAllowed,
            "permission error" => ErrorClass::PermissionError,
            "not leader" => ErrorClass::NotLeader,
            "resources exhausted" => ErrorClass::ResourcesExhausted,
            "I/O error" => ErrorClass::IoError,
            other => ErrorClass::Other(other.to_owned()),
        }
    }
}

/// An error in the server's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The class, as the server spells it.
    pub error: String,
    /// What happened, for people.
    pub details: Option<String>,
    /// The part of the request that the server stumbled over.
    pub syntax: Option<String>,
}

impl ServerError {
    /// The class to decide upon.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::from(self.error.as_str())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        if let Some(details) = &self.details {
            write!(f, ": {details}")?;
        }
        match &self.syntax {
            // Often the whole request, which says nothing that is not known.
            Some(syntax) => write!(f, " (at {})", Beginning(syntax)),
            None => Ok(()),
        }
    }
}

/// The longest part of a request that an error repeats.
const SYNTAX_SHOWN: usize = 120;

/// A text, or its beginning if it is long.
struct Beginning<'a>(&'a str);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SYNTAX_SHOWN) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

impl std::error::Error for ServerError {}

impl<'de> Deserialize<'de> for ServerError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            error: Words,
            details: Option<Words>,
            syntax: Option<Syntax>,
        }

        /// A bare word for an unknown method or monitor and for "canceled", an object for everything else.
        struct Spelling;

        impl<'de> Visitor<'de> for Spelling {
            type Value = ServerError;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error, as a string or an object")
            }

            fn visit_str<E>(self, word: &str) -> Result<ServerError, E> {
                Ok(ServerError { error: beginning_of(word, REPEATED), details: None, syntax: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServerError, A::Error> {
                let Object { error, details, syntax } = Object::deserialize(MapAccessDeserializer::new(map))?;
                let (details, syntax) = (details.map(|Kept(text)| text), syntax.map(|Kept(text)| text));
                Ok(ServerError { error: error.0, details, syntax })
            }
        }

        deserializer.deserialize_any(Spelling)
    }
}

/// Why a stream can't be cut any further. The connection is of no use after this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is an object; anything else means that this is not OVSDB.
    #[error("this is no OVSDB: expected a JSON object, but what came begins with {0}")]
    NotAnObject(String),
    /// The text did not end within the limit.
    #[error("a message is larger than {0} bytes")]
    TooLarge(usize),
    /// The text is nested beyond the limit.
    #[error("a message is nested deeper than {0} levels")]
    TooDeep(usize),
    /// The stream ended inside a text.
    #[error("the stream ended in the middle of a message, after {0} bytes of it")]
    Truncated(usize),
}

/// Why a connection is no longer there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Disconnect {
    /// The server closed it, between two messages.
    #[error("the server closed the connection")]
    Closed,
    /// We closed it ourselves.
    #[error("the connection was given up")]
    Dropped,
    /// Nothing came for so long, not even the answer to an echo.
    #[error("the server has been silent for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(Arc<std::io::Error>),
    /// The stream is not OVSDB.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message makes no sense.
    #[error("{0}")]
    Message(String),
    /// What came is no message at all.
    #[error("{problem}: {beginning}")]
    NoMessage {
        /// What is wrong with it.
        problem: String,
        /// How it begins, as printable text.
        beginning: String,
    },
}

impl Disconnect {
    /// Whether the peer talks something else than OVSDB. It will not learn it.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Disconnect::Frame(FrameError::NotAnObject(_)) | Disconnect::NoMessage { .. })
    }

    /// Whether an answer is larger than is allowed, so that asking again brings the same.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Disconnect::Frame(FrameError::TooLarge(_) | FrameError::TooDeep(_)))
    }
}

/// Why a call to the server did not bring a result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The server answered with an error.
    #[error("{method}: {error}")]
    Server {
        /// The call.
        method: &'static str,
        /// The server's words.
        error: ServerError,
    },
    /// The connection ended first; whether the call took effect is unknown if it had been sent.
    #[error("connection to {remote} lost with {in_flight} in flight: {cause}")]
    Disconnected {
        /// The server's address.
        remote: String,
        /// The calls that were not answered, as "transact, monitor_cond".
        in_flight: String,
        /// How it ended.
        cause: Disconnect,
    },
    /// The call can't be sent: the server would close the connection on it, and every other call would be lost.
    #[error("{method} was not sent: {reason}")]
    NotSent {
        /// The call.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what this call returns.
    #[error("{method}: unexpected answer: {reason}")]
    Unexpected {
        /// The call.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// The server's error, if it was the server that refused.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            CallError::Server { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sends_is_kept_up_to_a_length() {
        let long = "é".repeat(1 << 20);
        let object = serde_json::json!({"error": long, "details": long, "syntax": long});
        for text in [object.to_string(), format!("\"{long}\"")] {
            for error in [serde_json::from_str(&text).unwrap(), crate::wire::json::from_str(&text).unwrap()] {
                let ServerError { error: word, details, syntax } = &error;
                assert!(word.len() <= REPEATED + 3 && word.ends_with('…'), "{}", word.len());
                assert!(details.as_ref().is_none_or(|details| details.len() <= REPEATED + 3));
                assert!(syntax.as_ref().is_none_or(|syntax| syntax.len() <= SYNTAX_KEPT + 3));
                assert!(error.to_string().len() <= 3 * REPEATED);
            }
        }
        // A type repeats what it did not expect.
        let error = crate::wire::json::from_str::<bool>(&format!("\"{long}\"")).unwrap_err().to_string();
        assert!(error.len() < 2 * REPEATED, "{}", error.len());
        assert_eq!(beginning_of("abc", 3), "abc");
        assert_eq!(beginning_of("aéc", 2), "a…");
    }

    #[test]
    fn an_error_repeats_only_the_beginning_of_a_long_request() {
        let error = |syntax: &str| ServerError {
            error: "syntax error".into(),
            details: Some("why".into()),
            syntax: Some(syntax.into()),
        };
        assert_eq!(error("{\"a\":1}").to_string(), "syntax error: why (at {\"a\":1})");
        let long = error(&"é".repeat(1000)).to_string();
        assert_eq!(long, format!("syntax error: why (at {}…)", "é".repeat(SYNTAX_SHOWN)));
    }
}
