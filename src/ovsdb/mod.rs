//! A complete OVSDB client (RFC 7047 and the extensions of ovsdb-server(7)) that knows nothing of switches.
//!
//! From the wire upwards: [`remote`] opens a stream, [`frame`] cuts it into texts, [`json`] and [`message`] read those as
//! JSON-RPC 1.0, [`connection`] matches replies to calls. What is said is built from [`value`], [`operation`],
//! [`transaction`] and [`monitor`]; [`schema`] and [`text`] are for values that people typed. [`membership`] tells which
//! of several servers to use, and [`replica`] keeps tables current in memory.
//!
//! JSON-RPC 2.0 libraries do not fit: OVSDB has no message boundaries but the JSON itself, the server asks the client
//! back (`echo`), notifications carry a null id, and any member the server does not know closes the connection.

pub mod connection;
pub mod error;
pub mod frame;
pub mod json;
mod known;
pub mod membership;
pub mod message;
pub mod monitor;
pub mod operation;
pub mod remote;
pub mod replica;
pub mod schema;
pub mod text;
pub mod transaction;
pub mod value;

pub use connection::{Connection, Event, Reply};
pub use error::{CallError, Disconnect, ErrorClass, ServerError};
pub use remote::Remote;
