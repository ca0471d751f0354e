//! How far it is: a bar on a terminal, plain lines in a log.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// One step of the work.
pub struct Step {
    name: &'static str,
    bar: ProgressBar,
    started: Instant,
}

impl Step {
    /// Begins a step of so many units, which are bytes or files.
    pub fn begin(name: &'static str, total: u64, unit: Unit) -> Step {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let template = match unit {
            Unit::Bytes => "{msg:20} {bar:40} {bytes:>10} of {total_bytes}",
            Unit::Files => "{msg:20} {bar:40} {pos:>4} of {len} files",
        };
        // A template that can't be read leaves the plain bar.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name);
        Step { name, bar, started: Instant::now() }
    }

    /// So many units are done.
    pub fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    /// The step is done; says what came of it, in a line that stays.
    pub fn end(self, result: impl std::fmt::Display) {
        self.bar.finish_and_clear();
        eprintln!("{:20} {result} ({:.1} s)", self.name, self.started.elapsed().as_secs_f64());
    }
}

/// What a step counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files.
    Files,
}

/// Bytes, for people.
pub fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
