//! The host agent interface: `ovs-plugin COMMAND JSON`, answered on stdout as `20:::JSON\n\n:::\n`.
//!
//! The host agent (0-core, `base/pm/stream/input.go`) reads whatever the plugin prints by rules that lose an answer
//! easily, so exactly one answer is written, in one piece, at the very end, on every way out: success, error, panic,
//! signal. Level 20 is "JSON result"; whether it is an error is told by the exit status alone.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::commands;
use crate::error::Error;
use crate::{single, terminal};

const HEADER: &str = "20:::";
const TERMINATOR: &str = "\n:::\n";

/// Runs one command and answers.
pub fn run(arguments: &[OsString]) -> ExitCode {
    answer_panics();
    crate::log::to_stderr();
    match execute(arguments) {
        Ok(result) => answer(&result, ExitCode::SUCCESS),
        Err(error) => answer(&Value::String(error.told()), ExitCode::FAILURE),
    }
}

fn execute(arguments: &[OsString]) -> Result<Value, Error> {
    let text = |index: usize, what: &str| match arguments.get(index) {
        None => Ok(""),
        Some(argument) => {
            argument.to_str().ok_or_else(|| Error::argument("", format!("the {what} is not UTF-8: {argument:?}")))
        }
    };
    if arguments.is_empty() {
        return Err(Error::argument("", format!("missing command; expected one of {}", names())));
    }
    let name = text(0, "command")?;
    let Some(command) = commands::find(name) else {
        return Err(Error::UnknownCommand { name: name.to_owned(), hint: format!("; expected one of {}", names()) });
    };
    if arguments.len() > 2 {
        let problem = format!("{name} takes one JSON object, got {} arguments", arguments.len() - 1);
        return Err(Error::argument("", problem));
    }
    let json = text(1, "JSON object of arguments")?;
    single::run(command, json)
}

fn names() -> String {
    commands::REGISTRY.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

/// A panic is answered like any error, before the process aborts.
fn answer_panics() {
    std::panic::set_hook(Box::new(|panic| {
        answer(&Value::String(Error::Internal(panic.to_string()).to_string()), ExitCode::FAILURE);
        std::process::exit(1);
    }));
}

/// Set once an answer is on its way: of two, the agent would take the second.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Set where somebody looks at the answer, which the agent does through a pipe.
static TO_A_TERMINAL: AtomicBool = AtomicBool::new(false);

/// The answer is going to be printed on a terminal.
pub fn escape_for_a_terminal() {
    TO_A_TERMINAL.store(true, Ordering::Relaxed);
}

fn answer(result: &Value, code: ExitCode) -> ExitCode {
    if ANSWERED.swap(true, Ordering::SeqCst) {
        return code;
    }
    let json = result.to_string();
    let shown = if TO_A_TERMINAL.load(Ordering::Relaxed) { terminal::json(&json) } else { json.as_str().into() };
    match write_answer(&frame(&shown)) {
        Ok(()) => code,
        Err(error) => {
            tracing::error!(%error, "the answer can't be written");
            ExitCode::FAILURE
        }
    }
}

fn write_answer(bytes: &[u8]) -> std::io::Result<()> {
    Stdout.write_all(bytes)
}

/// Stdout without the line buffer of the standard library, which would cut the answer at its line ends. It needs no file
/// descriptor of its own: a process that runs out of them has to answer, too.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Pipes hand out whole pages, and the agent reads at most 32 KiB at a time and forgets half a terminator. So blanks
/// after the JSON move the terminator away from any multiple of this.
const PAGE: usize = 4096;

/// The bytes of an answer. The line end before the terminator belongs to the data, as it does in the original's.
fn frame(json: &str) -> Vec<u8> {
    let mut bytes = format!("{HEADER}{json}").into_bytes();
    let terminator_at = (bytes.len() + 1) % PAGE;
    let blanks = if terminator_at + TERMINATOR.len() > PAGE { PAGE - terminator_at } else { 0 };
    bytes.resize(bytes.len() + blanks, b' ');
    bytes.push(b'\n');
    bytes.extend_from_slice(TERMINATOR.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_header_json_line_end_terminator() {
        assert_eq!(frame("null"), b"20:::null\n\n:::\n");
    }

    #[test]
    fn the_terminator_never_crosses_a_page() {
        for length in 1..20_000 {
            let bytes = frame(&"7".repeat(length));
            let start = bytes.len() - TERMINATOR.len();
            assert_eq!(start / PAGE, (bytes.len() - 1) / PAGE, "JSON of {length} bytes");
            let data = &bytes[HEADER.len()..start];
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok(), "JSON of {length} bytes");
            assert!(data.len() - length <= TERMINATOR.len() + 1);
        }
    }

    /// Tells this test's process that it is the one to panic.
    const PANIC: &str = "OVS_PLUGIN_TEST_PANIC";

    #[test]
    fn a_panic_is_answered_like_any_error() {
        if std::env::var_os(PANIC).is_some() {
            answer_panics();
            panic!("on\npurpose");
        }
        let this = ["--exact", "--nocapture", "agent::tests::a_panic_is_answered_like_any_error"];
        let test = std::process::Command::new(std::env::current_exe().unwrap()).args(this).env(PANIC, "1").output();
        let test = test.unwrap();
        let output = String::from_utf8_lossy(&test.stdout);
        let answer = &output[output.find(HEADER).unwrap_or_else(|| panic!("no answer: {test:?}"))..];
        assert!(answer.ends_with(&format!("\n{TERMINATOR}")) && answer.contains("on\\npurpose"), "{answer}");
        assert_eq!(test.status.code(), Some(1));
    }
}
