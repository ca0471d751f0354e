//! The table of what was done and what came of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use crate::verdict::Violation;
use crate::world::{Answer, Claim};

#[derive(Default)]
pub struct Counts {
    commands: u64,
    done: u64,
    refused: u64,
    nothing_changed: u64,
    committed: u64,
    unknown: u64,
    violations: u64,
}

/// By fault, and by command.
#[derive(Default)]
pub struct Report {
    counts: Mutex<BTreeMap<(&'static str, String), Counts>>,
    /// Their texts.
    pub violations: Mutex<Vec<String>>,
}

impl Report {
    pub fn answered(&self, fault: &'static str, command: &str, answer: &Answer) {
        let mut counts = self.counts.lock().unwrap();
        let counts = counts.entry((fault, command.to_owned())).or_default();
        counts.commands += 1;
        *match &answer.claim {
            Claim::Done(_) => &mut counts.done,
            Claim::Refused { about_the_switch: true, .. } | Claim::Refused { interface: true, .. } => {
                &mut counts.refused
            }
            Claim::Refused { .. } => &mut counts.nothing_changed,
            Claim::Committed => &mut counts.committed,
            Claim::Unknown => &mut counts.unknown,
            // It is a violation, and counted as one.
            Claim::Nothing => return,
        } += 1;
    }

    pub fn found(&self, fault: &'static str, command: &str, place: &str, violations: &[Violation]) {
        for violation in violations {
            let mut counts = self.counts.lock().unwrap();
            let counts = counts.entry((fault, command.to_owned())).or_default();
            counts.violations += 1;
            let text = format!("{place}, fault: {fault}: {:?}: {}", violation.kind, violation.text);
            self.violations.lock().unwrap().push(text);
        }
    }

    /// Two tables in Markdown: by fault and by command.
    pub fn table(&self) -> String {
        let counts = self.counts.lock().unwrap();
        let mut text = String::new();
        for (title, by_fault) in [("fault", true), ("command", false)] {
            let mut rows: BTreeMap<&str, Counts> = BTreeMap::new();
            for ((fault, command), some) in counts.iter() {
                for name in [if by_fault { fault } else { command.as_str() }, "all"] {
                    let row = rows.entry(name).or_default();
                    row.commands += some.commands;
                    row.done += some.done;
                    row.refused += some.refused;
                    row.nothing_changed += some.nothing_changed;
                    row.committed += some.committed;
                    row.unknown += some.unknown;
                    row.violations += some.violations;
                }
            }
            let _ = writeln!(
                text,
                "| {title} | commands | done | refused, by the state of the switch | nothing changed, by the fault | \
                 committed, not confirmed | unknown | violations |\n|---|---|---|---|---|---|---|---|"
            );
            let all = rows.remove("all");
            for (name, row) in rows.into_iter().chain(all.map(|all| ("all", all))) {
                let Counts { commands, done, refused, nothing_changed, committed, unknown, violations } = row;
                let _ = writeln!(
                    text,
                    "| {name} | {commands} | {done} | {refused} | {nothing_changed} | {committed} | {unknown} | {violations} |"
                );
            }
            text.push('\n');
        }
        text
    }
}
