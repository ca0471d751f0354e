//! What is fit to be printed on a terminal. Names in the database, and what a server answers, may hold any character, those
//! too by which a terminal moves its cursor, changes its title, or shows text in another order than it has.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal may do something else with a character than show it: control characters, DEL and U+0080 to U+009F
/// included, and those that change the direction or the lines of a text (UAX #9 section 2, UAX #14).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in one line. Line ends become blanks, and other harmful characters the replacement character.
pub fn line(text: &str) -> String {
    text.chars().map(in_line).collect()
}

/// What stands for a character in one line.
pub fn in_line(c: char) -> char {
    match c {
        '\n' | '\r' => ' ',
        c if is_harmful(c) => '\u{fffd}',
        c => c,
    }
}

/// JSON that says the same, with harmful characters escaped. Only strings can hold some; what is left are the line ends and
/// tabs between values.
pub fn json(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t') || !is_harmful(c);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if stays(c) => escaped.push(c),
            // A blank like any other between values.
            '\r' => escaped.push(' '),
            // Writing to a string does not fail, and none of them is beyond U+FFFF.
            c => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMFUL: [char; 12] = [
        '\u{1b}', '\u{7}', '\u{8}', '\u{7f}', '\u{80}', '\u{9b}', '\u{9f}', '\u{202e}', '\u{2066}', '\u{2069}',
        '\u{200f}', '\u{2028}',
    ];

    #[test]
    fn what_a_terminal_obeys_is_not_printed() {
        for c in HARMFUL {
            assert!(is_harmful(c), "{c:?}");
            assert_eq!(line(&format!("a{c}b")), "a\u{fffd}b");
        }
        assert_eq!(line("a\r\nb äöü 网络 🙂"), "a  b äöü 网络 🙂");
    }

    #[test]
    fn json_says_the_same_without_it() {
        let text: String = HARMFUL.iter().collect();
        let value = serde_json::json!({ &text: [&text, "ä\n"] });
        for written in [value.to_string(), format!("{value:#}\r\n")] {
            let escaped = json(&written);
            assert!(!escaped.chars().any(|c| c != '\n' && is_harmful(c)), "{escaped:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
        assert!(matches!(json("{\n  \"ä\": 1\n}"), Cow::Borrowed(_)));
    }
}
