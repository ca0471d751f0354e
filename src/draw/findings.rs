//! `ovs-plugin doctor` on a terminal.

use std::fmt::Write;

use super::style::{ERROR, FAINT, GOOD, STRONG, WARNING, paint, printable};
use crate::vswitch::doctor::{Diagnosis, Finding, Severity};

/// Writes a diagnosis for people, each finding with what it means and what to do.
pub fn write(diagnosis: &Diagnosis) -> String {
    let mut page = String::new();
    for finding in &diagnosis.findings {
        let (style, word) = match finding.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
            Severity::Note => (STRONG, "note"),
        };
        let about = match about(finding) {
            about if about.is_empty() => about,
            about => format!(" {}", paint(FAINT, about)),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "{} {}{about}",
            paint(style, format!("{word}[{}]", finding.code)),
            paint(STRONG, printable(&finding.message)),
        );
        let _ = writeln!(page, "    {}", printable(&finding.meaning));
        let _ = writeln!(page, "  → {}\n", printable(&finding.advice));
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let counts =
        [count(diagnosis.errors, "error"), count(diagnosis.warnings, "warning"), count(diagnosis.notes, "note")];
    let total = diagnosis.errors + diagnosis.warnings + diagnosis.notes;
    let style = match (total, diagnosis.errors) {
        (0, _) => GOOD,
        (_, 0) => WARNING,
        _ => ERROR,
    };
    let summary = if total == 0 { "nothing is wrong, as far as is known".into() } else { counts.join(", ") };
    let _ = writeln!(page, "{}", paint(style, summary));
    page
}

fn about(finding: &Finding) -> String {
    let parts = [("bridge", &finding.bridge), ("port", &finding.port), ("interface", &finding.interface)];
    let mut words: Vec<String> = Vec::new();
    for (kind, name) in parts {
        let Some(name) = name else { continue };
        // An interface mostly has the name of its port.
        if kind != "interface" || Some(name) != finding.port.as_ref() {
            words.push(format!("{kind} {}", printable(name)));
        }
    }
    if words.is_empty() { String::new() } else { format!("({})", words.join(", ")) }
}
