//! Chooses the interface: the host agent's, unless a person asks for something that only people ask for.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if ovs_plugin::cli::is_for_people(&arguments) { ovs_plugin::cli::run() } else { ovs_plugin::agent::run(&arguments) }
}
