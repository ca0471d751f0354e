//! Cutting and typed parsing of one large reply, from memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovsdb::monitor::Since;
use ovsdb::wire::frame::Framer;
use ovsdb::wire::json;
use ovsdb::wire::message::Message;
use serde::de::IgnoredAny;

use super::rows::{self, Tables};
use super::{DOOR, ROWS, size};
use crate::measure::Figure;

/// As much as one read of a socket brings.
const PIECE: usize = 64 * 1024;

pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let bytes = rows::reply(ROWS as u64);
    eprintln!("  a reply of {:.1} MB", bytes.len() as f64 / 1e6);
    let what = "cut, typed rows, all kept";
    eprintln!("  {what}");
    let mut times = Vec::new();
    // The first round is not counted: the memory is new to the process.
    for round in 0..=rounds {
        // Whoever is first in one round is second in the next.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = cut_and_read(&bytes, ROWS)?;
            (ours, ignored(&bytes)?)
        } else {
            let theirs = ignored(&bytes)?;
            (cut_and_read(&bytes, ROWS)?, theirs)
        };
        if round > 0 {
            times.push((ours, theirs));
        }
    }
    Ok(vec![Figure::new(what.to_owned(), DOOR, size(), "serde_json to IgnoredAny", &times)])
}

fn ignored(bytes: &[u8]) -> Result<Duration> {
    let started = Instant::now();
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes))?);
    Ok(started.elapsed())
}

/// Cuts a reply of so many rows, and reads it into typed rows. What is copied into the framer's buffer is not measured:
/// the kernel does that, and for the other as well.
pub fn cut_and_read(bytes: &[u8], expected: usize) -> Result<Duration> {
    let mut framer = Framer::default();
    let mut taken = Duration::ZERO;
    let pieces = bytes.chunks(PIECE).len();
    for (index, piece) in bytes.chunks(PIECE).enumerate() {
        framer.space().extend_from_slice(piece);
        let started = Instant::now();
        let Some(text) = framer.next_text()? else {
            taken += started.elapsed();
            continue;
        };
        let Message::Reply { outcome, .. } = Message::parse(text)? else { anyhow::bail!("not taken for a reply") };
        let reply: Since<Tables> = json::from_raw(outcome?.context("no result")?)?;
        taken += started.elapsed();
        let rows = reply.2.interface.len();
        ensure!(rows == expected && index + 1 == pieces, "{rows} rows");
    }
    Ok(taken)
}
