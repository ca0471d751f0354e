//! What stands on the wire: where one message ends, and what it says (RFC 7047 section 4).
//!
//! A client needs none of this; [`crate::Connection`] does. It is here for whoever writes another peer: a proxy, a
//! recorder, a server for tests.
//!
//! ```
//! use ovsdb::wire::frame::Framer;
//! use ovsdb::wire::message::Message;
//!
//! let mut framer = Framer::default();
//! framer.space().extend_from_slice(br#"{"id":"echo","method":"echo","params":[]}{"id":1,"res"#);
//! let text = framer.next_text()?.expect("one message has come whole");
//! assert!(matches!(Message::parse(text)?, Message::Request { method, .. } if method == "echo"));
//! assert!(framer.next_text()?.is_none(), "of the second one, only the beginning");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod frame;
pub mod json;
pub mod message;
