//! The OVSDB client: against a scripted peer for what a real server can't be made to do, and against a real one.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod daemon;
mod database_in_memory;
mod examples;
mod replica;
mod scripted;
mod server;
