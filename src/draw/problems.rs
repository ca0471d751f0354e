//! The problems of a topology, which the doctor has found, as they are drawn: errors in red, warnings in yellow.

use super::style::{ERROR, WARNING, paint, printable};
use crate::vswitch::doctor::Severity;
use crate::vswitch::topology::{PortNode, Problem};

/// The problems as words of a line. Notes are left to the doctor.
pub fn words(problems: &[Problem]) -> impl Iterator<Item = String> + use<'_> {
    problems.iter().filter_map(|problem| {
        let (style, sign) = match problem.severity {
            Severity::Error => (ERROR, '✗'),
            Severity::Warning => (WARNING, '!'),
            Severity::Note => return None,
        };
        Some(paint(style, format!("{sign} {}", printable(&problem.message))))
    })
}

/// Whether something does not work.
pub fn has_error(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Whether a port or one of its interfaces does not work.
pub fn port_has_error(port: &PortNode) -> bool {
    has_error(&port.problems) || port.interfaces.iter().any(|interface| has_error(&interface.problems))
}
