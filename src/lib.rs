//! A native Open vSwitch plugin for Zero-OS: the `ovs.*` commands, each one atomic OVSDB transaction.
//!
//! The way in and the way through:
//!
//! - [`agent`] and [`cli`] are the doors: the host agent's contract, and what a person types. They know no command by
//!   name; [`commands`] holds the registry, and one file per command.
//! - [`server`] is the door for programs that stay: JSON-RPC over HTTP and WebSocket. [`client`] calls it.
//! - [`vswitch`] is the Open_vSwitch database in the words of switching, and the unit of work that every command is
//!   written over. [`links`] are kernel network devices.
//! - [`ovsdb`], a crate of its own, is a complete OVSDB client that knows nothing of switches.
//! - [`container`] is what happens around the daemons in the *ovs* container.
//! - [`published`] makes the schemas and the manual from the registry.
//! - [`single`] runs one command in a process of its own, over [`ovsdb::driver::poll`].
//! - [`credentials`] are the tokens, certificates and keys of servers and clients.
//! - [`settings`], [`deadline`], [`error`], [`log`] and [`terminal`] are what all of them share.
//!
//! Doors depend on commands, commands on vswitch and links, vswitch on ovsdb; never the other way.

pub mod agent;
pub mod cli;
pub mod client;
pub mod commands;
pub mod container;
pub mod credentials;
pub mod deadline;
pub mod error;
mod flags;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod jsonrpc;
pub mod links;
pub mod log;
pub mod paths;
pub mod problem;
pub mod published;
pub mod server;
pub mod settings;
pub mod single;
pub mod terminal;
pub mod vswitch;
