//! What every test stands on: real switches in network namespaces of their own, and the built plugin run inside them.
//!
//! ```ignore
//! let switch = Switch::new();
//! switch.net.veth("e1", "e1-p");
//! switch.ok("bridge-add", json!({"bridge": "br0"}));
//! assert!(switch.refused("bridge-add", json!({"bridge": "br0"})).contains("br0"));
//! ```
//!
//! - [`Namespace`]: a network namespace without a name, and commands, links and pings in it.
//! - [`Switch`]: `ovsdb-server` and `ovs-vswitchd` in a namespace, each of which can be stopped, started and paused.
//! - [`Call`], [`Running`], [`Answer`]: one run of the plugin, from its arguments to what it printed.
//! - `state()` and `dump()` of a switch: what is in the database and in the kernel, to compare.
//!
//! With `OVS_PLUGIN_TEST_TARGET=docker`, each `ovsdb-server` runs in a container of the image that `make flist` has built.
//!
//! Nothing here survives the test process, however it ends: the kernel kills the daemons with it, and the namespaces
//! and the directory go with their holders, which read a pipe from it.

// Each test binary uses its own part of this module.
#![allow(dead_code, unused_imports)]

pub mod agent_reader;
pub mod cluster;
mod database;
pub mod docker;
mod namespace;
mod plugin;
mod process;
pub mod proxy;
pub mod schemas;
mod state;
mod switch;
pub mod terminal;

pub use database::{Database, SCHEMA_FILE, create as create_database, plain};
pub use namespace::Namespace;
pub use plugin::{Answer, BINARY, Call, Running, clear_settings};
pub use process::{
    children, descendants, is_root, name_of, output_of, run as run_to_end, scratch_directory, search_path,
    spawn_daemon, wait_until,
};
pub use state::{VOLATILE, difference, without_reports};
pub use switch::{Builder, Switch};
