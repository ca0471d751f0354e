//! A native Open vSwitch plugin for Zero-OS: the `ovs.*` commands, each one atomic OVSDB transaction.
//!
//! - [`agent`] serves the host agent, [`cli`] a person at a shell, [`server`] programs over JSON-RPC; [`client`] calls the
//!   server. None of them knows a command by its name.
//! - [`commands`] holds the registry, and one file per command.
//! - [`vswitch`] is the Open_vSwitch database in the words of switching, and the unit of work that every command is
//!   written over. [`links`] are kernel network devices.
//! - [`ovsdb`], a crate of its own, is a complete OVSDB client that knows nothing of switches.
//! - [`container`] is what happens around the daemons in the *ovs* container.
//! - [`published`] makes the schemas and the manual from the registry.
//! - [`single`] runs one command in a process of its own, over [`ovsdb::driver::poll`].
//! - [`credentials`] are the tokens, certificates and keys of servers and clients.
//! - [`settings`], [`deadline`], [`error`], [`log`] and [`terminal`] are what all of them share.
//!
//! Each imports only what stands below it; `tests/layers.rs` has the order. What tests and benchmarks use is public, the
//! rest is not, so that the compiler finds what nobody uses.

#![allow(rustdoc::private_intra_doc_links, reason = "the documentation is made with private items, for contributors")]

pub mod agent;
pub mod cli;
pub mod client;
pub mod commands;
mod container;
mod credentials;
pub mod deadline;
mod draw;
pub mod error;
mod flags;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jsonrpc;
mod links;
mod log;
mod paths;
mod problem;
pub mod published;
pub mod server;
pub mod settings;
mod single;
mod terminal;
pub mod vswitch;
