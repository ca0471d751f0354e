//! How a command's answer is written for people, and for programs that are not the host agent.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use clap::builder::PossibleValue;
use serde_json::Value;

use super::difference::{self, Report};
use crate::commands::{Drawing, Entry};
use crate::draw::style::printable;
use crate::problem::Problem;
use crate::terminal;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// In the host agent's framing.
    Agent,
    /// As JSON, indented.
    Json,
    /// For people.
    Text,
}

impl Output {
    /// The words that stand for it.
    pub(super) const WORDS: [&str; 3] = ["agent", "json", "text"];

    /// What a word stands for.
    pub(super) fn of(word: &str) -> Output {
        match word {
            "agent" => Output::Agent,
            "json" => Output::Json,
            // clap takes no other word than "text".
            _ => Output::Text,
        }
    }
}

/// The word of `--format` that means JSON; the others are the names of drawings.
const JSON: &str = "json";

/// The words of a command's `--format`; none where there is at most one drawing.
pub(super) fn formats(entry: &Entry) -> Vec<PossibleValue> {
    let word = |drawing: &Drawing| PossibleValue::new(drawing.name).help(drawing.about);
    match entry.drawings {
        [usual, others @ ..] if !others.is_empty() => {
            let json = PossibleValue::new(JSON).help("for programs");
            [word(usual), json].into_iter().chain(others.iter().map(word)).collect()
        }
        _ => Vec::new(),
    }
}

/// The words of `--color`.
pub(super) const COLORS: [&str; 3] = ["auto", "always", "never"];

/// Whether somebody is looking at what is printed.
pub(super) fn is_for_a_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// An answer as JSON, fit for a terminal.
pub(super) fn json(answer: &Value) -> String {
    terminal::json(&format!("{answer:#}\n")).into_owned()
}

/// An answer for people: drawn, where there is a drawing of it. What can't be drawn is shown whole, as JSON.
pub(super) fn text(entry: &Entry, answer: &Value) -> String {
    if let Some(report) = Report::of(answer) {
        return difference::draw(&report, &text(entry, &report.result));
    }
    let drawn = entry.drawings.first().and_then(|drawing| (drawing.draw)(answer).ok());
    drawn.unwrap_or_else(|| plain(answer))
}

/// An answer in one of its formats.
pub(super) fn formatted(entry: &Entry, format: &str, answer: &Value) -> Result<String, Problem> {
    let Some(drawing) = entry.drawings.iter().find(|drawing| drawing.name == format) else {
        // clap takes no other word than that for JSON.
        return Ok(json(answer));
    };
    if Report::of(answer).is_some() {
        super::refused("--format draws the switch, not a report; leave out --report and --dry-run");
    }
    (drawing.draw)(answer).map_err(|error| Problem(format!("the answer can't be drawn: {error}; use --format {JSON}")))
}

/// Any answer: nothing for one that says nothing, a line for a text, lines for several, else JSON.
fn plain(answer: &Value) -> String {
    let lines = |texts: &[Value]| {
        texts.iter().map(|text| text.as_str().map(|text| format!("{}\n", printable(text)))).collect::<Option<String>>()
    };
    match answer {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("{}\n", printable(text)),
        Value::Array(texts) => lines(texts).unwrap_or_else(|| json(answer)),
        _ => json(answer),
    }
}

/// Prints to stdout. Colours are taken out unless they are wanted; on their own they are for terminals, if NO_COLOR is
/// not set and TERM is not `dumb` (no-color.org).
pub(super) fn print(text: &str, color: Option<&str>) -> Result<ExitCode, Problem> {
    let choice = match color {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        // clap takes no other word than "auto".
        _ => ColorChoice::Auto,
    };
    let mut stdout = AutoStream::new(std::io::stdout().lock(), choice);
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What writing to stdout comes to. A reader that has seen enough and closed its pipe, like `head`, is no failure; any
/// other error, a full disk for instance, is one.
pub(super) fn written(result: std::io::Result<()>) -> Result<ExitCode, Problem> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Problem(format!("the answer can't be written to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
