//! What a user of the plugin can observe: the built binary on real switches.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod agent_door;
mod agent_reader;
mod asked;
mod bonds_more;
mod bootstrap;
mod bridges;
mod causes;
mod clusters;
mod container_ports;
mod datapaths;
mod deadlines;
mod devices;
mod doctor;
mod dry_runs;
mod flags;
mod gc;
mod golden;
mod harmful_names;
mod harness;
mod health;
mod hostile_servers;
mod more_commands;
mod network_del;
mod networks;
mod old_schemas;
mod people;
mod pipes;
mod ports;
mod ports_more;
mod privileges;
mod racing;
mod remotes;
mod reports;
mod round_trips;
mod secrets;
mod set;
mod settings;
mod show;
mod stale_ports;
mod stats;
mod taking_back;
mod traffic;
mod truth;
mod unknown_arguments;
mod unreadable;
mod verify;
