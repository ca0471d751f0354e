//! Colours: few of them, each with a meaning, and never the only sign of it.

use anstyle::{AnsiColor, Style};

use crate::terminal;

/// What the eye is to find first: names of bridges, headings.
pub const STRONG: Style = Style::new().bold();
/// What does not work.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What may not be as it should.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Details.
pub const FAINT: Style = Style::new().dimmed();
/// VLANs.
pub const VLAN: Style = AnsiColor::Cyan.on_default();

/// A text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Text from the database, fit for a terminal: a name there may hold any character, those that move the cursor too. Line
/// ends are between the sentences of ovs-vswitchd's longer errors.
pub fn printable(text: &str) -> String {
    let lines = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty());
    lines.map(terminal::line).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_moves_the_cursor_and_line_ends_part_sentences() {
        for (text, expected) in [
            ("br0", "br0"),
            ("", ""),
            (" two  blanks ", " two  blanks "),
            ("vx: no remote_ip\n", "vx: no remote_ip"),
            ("vx: no remote_ip\r\n\nvx: no key", "vx: no remote_ip; vx: no key"),
            ("\u{1b}[2Jx\u{9b}\u{7}", "\u{fffd}[2Jx\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }
}
