//! Taking times of processes, alternately, and what comes of them.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

/// A program with its arguments, and whether it is expected to succeed.
pub struct Run {
    pub program: OsString,
    pub arguments: Vec<String>,
    pub succeeds: bool,
}

impl Run {
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = impl Into<String>>) -> Run {
        Run { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect(), succeeds: true }
    }

    pub fn words(line: &str) -> Run {
        let mut words = line.split_whitespace();
        Run::new(words.next().unwrap_or_default(), words)
    }

    pub fn expecting(mut self, success: bool) -> Run {
        self.succeeds = success;
        self
    }

    /// From before the process is made until it has been waited for.
    pub fn time(&self) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let status = command.status()?;
        let taken = started.elapsed();
        let line = || format!("{} {}", self.program.to_string_lossy(), self.arguments.join(" "));
        ensure!(status.success() == self.succeeds, "ended with {status}, against expectation: {}", line());
        Ok(taken)
    }
}

/// Smallest, middle and largest of several values.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let half = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { (at(half.saturating_sub(1)) + at(half)) / 2.0 } else { at(half) };
        Spread { min: at(0), median, max: at(values.len().saturating_sub(1)) }
    }
}

/// What a ratio has to be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Our time in multiples of the other's.
    AtMost(f64),
    /// The other's time in multiples of ours.
    AtLeast(f64),
}

/// One line of the table: two things measured alternately.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What is measured: a command and its state, or a part of the library.
    pub what: String,
    /// Through what it was used: a process for each command, the library, or a running server.
    pub door: &'static str,
    /// What was on the switch.
    pub size: String,
    /// Rows that the server has to search; for the plot.
    pub rows: usize,
    /// The yardstick.
    pub against: String,
    /// How many pairs were measured.
    pub rounds: usize,
    /// Milliseconds.
    pub ours: Spread,
    /// Milliseconds.
    pub theirs: Spread,
    /// Ours by theirs, round by round.
    pub ratio: Spread,
    pub target: Option<Target>,
    pub met: Option<bool>,
}

impl Figure {
    /// From the times of each round, ours and theirs.
    pub fn new(
        what: String,
        door: &'static str,
        rows: (String, usize),
        against: &str,
        times: &[(Duration, Duration)],
    ) -> Figure {
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
        let (size, rows) = rows;
        Figure {
            what,
            door,
            size,
            rows,
            against: against.to_owned(),
            rounds: times.len(),
            ours: Spread::of(times.iter().map(|(ours, _)| milliseconds(ours))),
            theirs: Spread::of(times.iter().map(|(_, theirs)| milliseconds(theirs))),
            ratio: Spread::of(times.iter().map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64())),
            target: None,
            met: None,
        }
    }

    /// The median of the ratios decides.
    pub fn with_target(mut self, target: Option<Target>) -> Figure {
        self.target = target;
        self.met = target.map(|target| match target {
            Target::AtMost(limit) => self.ratio.median <= limit,
            Target::AtLeast(limit) => 1.0 / self.ratio.median >= limit,
        });
        self
    }

    /// The ratio the way a person says it.
    pub fn in_words(&self) -> String {
        let Spread { min, median, max } = self.ratio;
        match self.target {
            Some(Target::AtMost(_)) => format!("{median:.2} × as long ({min:.2} to {max:.2})"),
            None if median > 0.8 => format!("{median:.2} × as long ({min:.2} to {max:.2})"),
            _ => format!("{:.1} × faster ({:.1} to {:.1})", 1.0 / median, 1.0 / max, 1.0 / min),
        }
    }
}
