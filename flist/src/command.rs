//! Running other programs for what they print.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// Runs a program, whatever its exit status.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
    let program = program.as_ref();
    // Messages of other programs are read here, so they have to be in one language.
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
    output.with_context(|| format!("running {}", program.display()))
}

/// Runs a program that has to succeed, and returns its standard output.
pub fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
    let shown = format!("{} {}", program.as_ref().display(), arguments.join(" "));
    let output = run(program, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} failed ({}): {}", output.status, errors.trim());
    String::from_utf8(output.stdout).with_context(|| format!("the output of {shown}"))
}
