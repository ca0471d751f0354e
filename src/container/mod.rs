//! The program's part in the *ovs* container: what happens before, around and beside the daemons.
//!
//! - [`init`] makes the container's state usable, from whatever state it is in.
//! - [`manifest`] tells the host agent what to start, made from the registry and the [`services`].
//! - [`supervisor`] plays the same services as PID 1 where there is no host agent.
//! - [`vswitchd`] runs ovs-vswitchd so that a restart does not cut traffic.

mod database;
pub mod init;
pub mod manifest;
mod process;
pub mod services;
mod stale;
pub mod supervisor;
pub mod vswitchd;

/// Says something to whoever reads the container's log, one line at a time.
fn say(step: &str, text: impl std::fmt::Display) {
    // The host agent reads this too; a line that begins with the program's name is only text to it.
    eprintln!("ovs-plugin {step}: {}", crate::terminal::line(&text.to_string()));
}
