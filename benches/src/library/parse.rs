//! Cutting and typed parsing of one large reply, from memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovs_plugin::ovsdb::frame::Framer;
use ovs_plugin::ovsdb::json::{Part, Unescaped};
use ovs_plugin::ovsdb::message::Message;
use ovs_plugin::ovsdb::monitor::{RowUpdate2, Rows, Since};
use ovs_plugin::ovsdb::value::PlainUuid;
use serde::de::IgnoredAny;

use super::rows::{self, Interface, Tables};
use super::{DOOR, ROWS, size};
use crate::measure::{Figure, Target};

/// As much as one read of a socket brings.
const PIECE: usize = 64 * 1024;

/// Takes rows and keeps none, as a replica does that has its own form for them.
#[derive(Default)]
struct Passing(usize);

impl<R> Extend<R> for Passing {
    fn extend<I: IntoIterator<Item = R>>(&mut self, rows: I) {
        for row in rows {
            black_box(&row);
            self.0 += 1;
        }
    }
}

type Reply<R, C> = Since<Tables<Rows<RowUpdate2<R>, C>>>;
type Kept<R> = Vec<(PlainUuid, RowUpdate2<R>)>;

/// Reads a result and tells how many rows there were and, before they are dropped, what the time is.
type Read = fn(Part<'_>) -> Result<(usize, Instant)>;

pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let bytes = rows::reply(ROWS as u64);
    eprintln!("  a reply of {:.1} MB", bytes.len() as f64 / 1e6);
    let cases: [(&str, Read, Option<Target>); 4] = [
        ("cut, typed rows that borrow, one by one", borrowed_passing, Some(Target::AtLeast(0.6))),
        ("cut, typed rows that borrow, all kept", borrowed_kept, None),
        ("cut, typed rows that own, one by one", owned_passing, None),
        ("cut, typed rows that own, all kept", owned_kept, None),
    ];
    let mut figures = Vec::new();
    for (what, read, target) in cases {
        eprintln!("  {what}");
        let mut times = Vec::new();
        // The first round is not counted: the memory is new to the process.
        for round in 0..=rounds {
            // Whoever is first in one round is second in the next.
            let (ours, theirs) = if round % 2 == 0 {
                let ours = cut_and_read(&bytes, ROWS, read)?;
                (ours, ignored(&bytes)?)
            } else {
                let theirs = ignored(&bytes)?;
                (cut_and_read(&bytes, ROWS, read)?, theirs)
            };
            if round > 0 {
                times.push((ours, theirs));
            }
        }
        let figure = Figure::new(what.to_owned(), DOOR, size(), "serde_json to IgnoredAny", &times);
        figures.push(figure.with_target(target));
    }
    Ok(figures)
}

fn ignored(bytes: &[u8]) -> Result<Duration> {
    let started = Instant::now();
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes))?);
    Ok(started.elapsed())
}

/// What is copied into the framer's buffer is not measured: the kernel does that, and for the other as well.
fn cut_and_read(bytes: &[u8], expected: usize, read: Read) -> Result<Duration> {
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
        let (rows, ended) = read(outcome?.context("no result")?)?;
        taken += ended - started;
        ensure!(rows == expected && index + 1 == pieces, "{rows} rows");
    }
    Ok(taken)
}

/// Cuts a reply of so many rows, and reads it into rows that own what they hold.
pub fn owned(bytes: &[u8], expected: usize) -> Result<Duration> {
    cut_and_read(bytes, expected, owned_kept)
}

fn borrowed_passing(result: Part<'_>) -> Result<(usize, Instant)> {
    let unescaped = Unescaped::default();
    let reply: Reply<Interface<&str>, Passing> = result.borrow(&unescaped)?;
    Ok((reply.2.interface.0.0, Instant::now()))
}

fn borrowed_kept(result: Part<'_>) -> Result<(usize, Instant)> {
    let unescaped = Unescaped::default();
    let reply: Reply<Interface<&str>, Kept<Interface<&str>>> = result.borrow(&unescaped)?;
    let ended = Instant::now();
    Ok((reply.2.interface.0.len(), ended))
}

fn owned_passing(result: Part<'_>) -> Result<(usize, Instant)> {
    let reply: Reply<Interface<Box<str>>, Passing> = result.parse()?;
    Ok((reply.2.interface.0.0, Instant::now()))
}

fn owned_kept(result: Part<'_>) -> Result<(usize, Instant)> {
    let reply: Reply<Interface<Box<str>>, Kept<Interface<Box<str>>>> = result.parse()?;
    let ended = Instant::now();
    Ok((reply.2.interface.0.len(), ended))
}
