//! A native Open vSwitch plugin for Zero-OS: the `ovs.*` commands, each one atomic OVSDB transaction.
//!
//! The way in and the way through:
//!
//! - [`agent`] and [`cli`] are the doors: the host agent's contract, and what a person types. They know no command by
//!   name; [`commands`] holds the registry, and one file per command.
//! - [`vswitch`] is the Open_vSwitch database in the words of switching, and the unit of work that every command is
//!   written over. [`links`] are kernel network devices.
//! - [`ovsdb`] is a complete OVSDB client that knows nothing of switches.
//! - [`container`] is what happens around the daemons in the *ovs* container.
//! - [`published`] makes the schemas and the manual from the registry.
//! - [`settings`], [`deadline`], [`error`], [`log`] and [`one_shot`], the runtime of a single command, are what all of
//!   them share.
//!
//! Doors depend on commands, commands on vswitch and links, vswitch on ovsdb; never the other way.

pub mod agent;
pub mod cli;
pub mod commands;
pub mod container;
pub mod deadline;
pub mod error;
pub mod links;
pub mod log;
pub mod one_shot;
pub mod ovsdb;
pub mod published;
pub mod settings;
pub mod vswitch;
