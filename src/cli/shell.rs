//! What shells and `man` know about the program, made from the same description as its help.

use std::path::Path;
use std::process::ExitCode;

use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::output;
use crate::problem::Problem;

/// The shells that there are completions for.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Prints the completions for a shell.
pub(super) fn completions(shell: &str) -> Result<ExitCode, Problem> {
    let (mut command, mut script) = (super::command(), Vec::new());
    match shell {
        "zsh" => generate(Zsh, &mut command, "ovs-plugin", &mut script),
        "fish" => generate(Fish, &mut command, "ovs-plugin", &mut script),
        // clap takes no other word than "bash".
        _ => generate(Bash, &mut command, "ovs-plugin", &mut script),
    }
    // In bash, nothing behind a command is completed when the program has a hyphen: the name of its function is taken for
    // that of a command in one of two places (https://github.com/clap-rs/clap/issues/6421).
    let script = String::from_utf8_lossy(&script).replace("ovs__subcmd__plugin__", "ovs__plugin__");
    output::print(&script, Some("never"))
}

/// Prints the manual page of the program, or writes it and one page for each command into a directory.
pub(super) fn man(directory: Option<&str>) -> Result<ExitCode, Problem> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory.map(Path::new) else {
        return output::print(&page(command)?, Some("never"));
    };
    let unwritten = |error: std::io::Error| Problem(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(unwritten)?;
    clap_mangen::generate_to(command, directory).map_err(unwritten)?;
    Ok(ExitCode::SUCCESS)
}

fn page(command: clap::Command) -> Result<String, Problem> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Problem(format!("the manual page can't be made: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
