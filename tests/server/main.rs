//! `ovs-plugin serve` and its clients, on real switches.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod border;
mod calls;
mod client;
mod doors;
mod hostile_callers;
mod killed;
mod leaks;
mod limits;
mod old_schemas;
mod other_servers;
mod over_tcp;
mod pages;
mod poison;
mod python;
mod serving;
mod shutdown;
mod tls;
mod watch;
mod websocket;
