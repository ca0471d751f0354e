#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! - [`Address`] says where a server is, [`Connection`] calls it, and a [`driver`] moves the bytes.
//! - What is said is built from [`value`], [`operation`], [`transaction`] and [`monitor`].
//! - [`schema`] describes a database, and [`notation`] reads values that people typed, by the schema.
//! - [`membership`] tells which of several servers to use.
//! - [`replica`] keeps tables current in memory, whatever happens to the servers (feature `tokio`).
//! - [`wire`] is for whoever writes another peer.
//!
//! Libraries for JSON-RPC 2.0 do not fit: OVSDB has no message boundaries but the JSON itself, the server asks the client
//! back (`echo`), notifications carry a null id, and any member that the server does not know closes the connection.

#[cfg(not(any(feature = "tokio", feature = "poll")))]
compile_error!("a connection needs a driver: feature `tokio` or `poll`");

mod address;
mod connection;
pub mod driver;
pub mod error;
mod link;
pub mod membership;
pub mod monitor;
pub mod notation;
pub mod operation;
mod print;
mod protocol;
#[cfg(feature = "tokio")]
pub mod replica;
mod rows;
pub mod schema;
pub mod transaction;
pub mod value;
pub mod wire;

pub use address::{Address, AddressError, DEFAULT_PORT, Host, is_final};
pub use connection::{Connection, Locked, Reply, Updates};
pub use error::{CallError, Disconnect, ErrorClass, ServerError};
pub use protocol::Event;
