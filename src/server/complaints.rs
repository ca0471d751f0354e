//! Log lines that strangers cause: a few at a time, so that they can neither fill the disk nor hide other lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// So many lines are written in each period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// Lines of one kind.
#[derive(Default)]
pub struct Complaints(Mutex<Period>);

#[derive(Default)]
struct Period {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Complaints {
    /// Writes a line, unless there were too many. The first of the next period tells how many were left out.
    pub fn warn(&self, line: &str) {
        let admitted = self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        match admitted {
            None => {}
            Some(0) => warn!("{line}"),
            Some(left_out) => warn!("{line} ({left_out} lines like this one were left out)"),
        }
    }
}

impl Period {
    /// How many lines were left out before the one that may be written.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.duration_since(began) >= PERIOD) {
            self.began = Some(now);
            self.written = 0;
        }
        if self.written == LINES {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_and_a_number() {
        let (mut period, begin) = (Period::default(), Instant::now());
        let admitted: Vec<_> = (0..1000).filter_map(|_| period.admit(begin)).collect();
        assert_eq!(admitted, [0; LINES as usize]);
        assert_eq!(period.admit(begin + PERIOD), Some(1000 - u64::from(LINES)));
        assert_eq!(period.admit(begin + PERIOD), Some(0));
    }
}
