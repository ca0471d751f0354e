//! How a command's answer is written for people, and for programs that are not the host agent.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Deserialize;
use serde_json::Value;

use super::style::printable;
use super::{counters, findings, graph, tree};
use crate::vswitch::doctor::Diagnosis;
use crate::vswitch::picture::Picture;
use crate::vswitch::stats::Statistics;

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

/// How `show` draws the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tree,
    Json,
    Dot,
    Mermaid,
}

impl Output {
    /// The words that stand for it.
    pub(super) const WORDS: [&str; 3] = ["agent", "json", "text"];

    /// What a word stands for; without one, people get text and programs what the agent gets.
    pub(super) fn of(word: Option<&str>) -> Output {
        match word {
            Some("agent") => Output::Agent,
            Some("json") => Output::Json,
            Some(_) => Output::Text,
            None if is_for_a_terminal() => Output::Text,
            None => Output::Agent,
        }
    }
}

impl Format {
    /// The words that stand for it.
    pub(super) const WORDS: [&str; 4] = ["tree", "json", "dot", "mermaid"];

    /// What a word stands for.
    pub(super) fn of(word: &str) -> Format {
        match word {
            "json" => Format::Json,
            "dot" => Format::Dot,
            "mermaid" => Format::Mermaid,
            _ => Format::Tree,
        }
    }
}

/// The words of `--color`.
pub(super) const COLORS: [&str; 3] = ["auto", "always", "never"];

/// Whether somebody is looking at what is printed.
pub(super) fn is_for_a_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// An answer as JSON.
pub(super) fn json(answer: &Value) -> String {
    format!("{answer:#}\n")
}

/// An answer for people. What is no plain answer of the command, a report for instance, is shown as it is.
pub(super) fn text(command: &str, answer: &Value) -> String {
    let drawn = match command {
        "show" => picture(answer).map(|picture| tree::draw(&picture)),
        "stats" => Statistics::deserialize(answer).ok().map(|statistics| counters::write(&statistics)),
        "doctor" => Diagnosis::deserialize(answer).ok().map(|diagnosis| findings::write(&diagnosis)),
        _ => None,
    };
    drawn.unwrap_or_else(|| plain(answer))
}

/// The answer of `show`, in a format.
pub(super) fn formatted(format: Format, answer: &Value) -> String {
    match (format, picture(answer)) {
        (Format::Json, _) | (_, None) => json(answer),
        (Format::Tree, Some(picture)) => tree::draw(&picture),
        (Format::Dot, Some(picture)) => graph::dot(&picture),
        (Format::Mermaid, Some(picture)) => graph::mermaid(&picture),
    }
}

fn picture(answer: &Value) -> Option<Picture> {
    Picture::deserialize(answer).ok()
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
pub(super) fn print(text: &str, color: Option<&str>) {
    let choice = match color {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    };
    // A reader that has seen enough and went away is no failure.
    let _ = AutoStream::new(std::io::stdout().lock(), choice).write_all(text.as_bytes());
}
