//! All figures of a run: as a table for people, as JSON for programs.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::machine::Machine;
use crate::measure::{Figure, Target};

/// What is in `report.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub switches: Vec<SwitchNote>,
    pub figures: Vec<Figure>,
    pub limits: Vec<Limit>,
}

/// What something may take, whatever others take.
#[derive(Debug, Serialize)]
pub struct Limit {
    pub what: String,
    pub size: String,
    pub value: f64,
    pub unit: &'static str,
    pub bound: Option<Bound>,
    pub met: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Limit {
    pub fn new(what: &str, size: &str, value: f64, unit: &'static str, bound: Option<Bound>) -> Limit {
        let met = bound.map(|bound| match bound {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        });
        Limit { what: what.to_owned(), size: size.to_owned(), value, unit, bound, met }
    }

    fn line(&self) -> String {
        let bound = match self.bound {
            None => String::new(),
            Some(Bound::AtMost(most)) => format!("at most {most}"),
            Some(Bound::AtLeast(least)) => format!("at least {least}"),
        };
        let met = match self.met {
            None => "",
            Some(true) => "met",
            Some(false) => "NOT MET",
        };
        let value = if self.value >= 100.0 { format!("{:.0}", self.value) } else { format!("{:.3}", self.value) };
        let Limit { what, size, unit, .. } = self;
        format!("{size:<12}{what:<64}{value:>10} {unit:<8}{bound:<16}{met}").trim_end().to_owned()
    }
}

/// How a switch of a size behaves by itself.
#[derive(Debug, Serialize)]
pub struct SwitchNote {
    pub size: String,
    /// Rows of the Port table.
    pub rows: usize,
    /// How long ovs-vswitchd takes to apply a change that changes nothing.
    pub change_ms: f64,
    /// Its resident memory.
    pub vswitchd_mb: f64,
}

impl Report {
    pub fn all_met(&self) -> bool {
        let met = self.figures.iter().map(|figure| figure.met).chain(self.limits.iter().map(|limit| limit.met));
        met.into_iter().all(|met| met != Some(false))
    }

    pub fn write(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        let file = directory.join("report.json");
        std::fs::write(&file, serde_json::to_string_pretty(self)?)?;
        println!("\nwritten: {}", file.display());
        Ok(())
    }

    /// One line for each figure.
    pub fn table(&self) -> String {
        let rows = self.figures.iter().map(|figure| {
            let target = match figure.target {
                None => String::new(),
                Some(Target::AtMost(limit)) => format!("at most {limit} ×"),
                Some(Target::AtLeast(limit)) if limit < 1.0 => format!("at least {limit} × its speed"),
                Some(Target::AtLeast(limit)) if limit <= 1.0 => "not slower".to_owned(),
                Some(Target::AtLeast(limit)) => format!("at least {limit} × faster"),
            };
            let met = match figure.met {
                None => "",
                Some(true) => "met",
                Some(false) => "NOT MET",
            };
            [
                figure.size.clone(),
                figure.what.clone(),
                figure.against.clone(),
                format!("{:.2}", figure.ours.median),
                format!("{:.2}", figure.theirs.median),
                figure.in_words(),
                target,
                met.to_owned(),
            ]
        });
        let heads = ["switch", "command", "beside", "ours ms", "its ms", "median (min to max)", "target", ""];
        let mut lines = vec![heads.map(str::to_owned)];
        lines.extend(rows);
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 8] = std::array::from_fn(width);
        let mut text = String::new();
        for line in &lines {
            let mut row = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                let blanks = " ".repeat(width - cell.chars().count());
                // Numbers to the right, words to the left.
                let _ = if matches!(column, 3 | 4) {
                    write!(row, "{blanks}{cell}  ")
                } else {
                    write!(row, "{cell}{blanks}  ")
                };
            }
            let _ = writeln!(text, "{}", row.trim_end());
        }
        if !self.limits.is_empty() {
            text.push('\n');
        }
        for limit in &self.limits {
            let _ = writeln!(text, "{}", limit.line());
        }
        let Machine { processor, processors, memory_gb, kernel, open_vswitch, load } = &self.machine;
        let _ =
            writeln!(text, "\n{processors} × {processor}, {memory_gb} GB, Linux {kernel}, {open_vswitch}, load {load}");
        for note in &self.switches {
            let _ = writeln!(
                text,
                "with {}, ovs-vswitchd takes {:.1} ms for a change and {:.0} MB",
                note.size, note.change_ms, note.vswitchd_mb
            );
        }
        let rounds = self.figures.iter().map(|figure| figure.rounds);
        if let (Some(least), Some(most)) = (rounds.clone().min(), rounds.max()) {
            let rounds = if least == most { most.to_string() } else { format!("{least} to {most}") };
            let _ = writeln!(text, "{rounds} rounds for each figure; a ratio is that of one round, ms are medians");
        }
        text
    }
}
