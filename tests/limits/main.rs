//! What the shipped program may cost: instructions, memory, size, system calls. None of it depends on how busy the
//! machine is, so these are kept by tests; what does is measured by `make bench`.
//!
//! They are about the static binary that `make build` leaves at `target/ovs-plugin`, not the one that cargo builds for
//! tests. `OVS_PLUGIN_BINARY` names another one.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod binary;
mod instructions;
mod memory;
mod shipped;
mod system_calls;
