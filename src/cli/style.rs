//! Colours: few of them, each with a meaning, and never the only sign of it.

use anstyle::{AnsiColor, Style};

use crate::terminal::is_harmful;

/// What the eye is to find first: names of bridges, headings.
pub(super) const STRONG: Style = Style::new().bold();
/// What does not work.
pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What may not be as it should.
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
/// What is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Details.
pub(super) const FAINT: Style = Style::new().dimmed();
/// VLANs.
pub(super) const VLAN: Style = AnsiColor::Cyan.on_default();

/// A text in a style.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Text from the database, fit for a terminal: a name there may hold any character, those that move the cursor too.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}
