//! How much memory answers take from the moment when they are built until they are sent.
//!
//! An answer takes its bytes from a [`Budget`] while it grows, and the budget takes them from the server's [`Memory`]. Both
//! have a limit. An answer that does not fit is given up where it stands, and an error takes its place. So neither one
//! batch, nor one caller that does not read, nor all callers together can make the server hold more than it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, io};

use serde::Serialize;
use tokio::sync::{Notify, oneshot};

/// So much of each answer is not taken from the server's memory: callers who do not read must not keep the small answers
/// of everybody else from being sent.
const FREE: usize = 1024;
/// The largest step in which an answer grows.
const STEP: usize = 1 << 20;
/// The memory of what is larger is given back to the system.
const LARGE: usize = 64 << 10;
/// How long after the last large answer that happens.
const PAUSE: Duration = Duration::from_secs(1);

/// Why an answer does not fit; each has the limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The answer by itself is too large.
    Answer(usize),
    /// The answers of the batch, or of the WebSocket that has not taken them yet, are too large together.
    Budget(usize),
    /// The answers that all callers have not taken yet are too large together.
    Memory(usize),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::Answer(limit) => write!(f, "the answer is larger than {limit} bytes"),
            Full::Budget(limit) => {
                write!(
                    f,
                    "the answers of the batch, or those that the caller has not taken, have more than {limit} bytes"
                )
            }
            Full::Memory(limit) => {
                write!(f, "the answers that all callers together have not taken have more than {limit} bytes")
            }
        }
    }
}

/// What the answers of all callers may take together.
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
    has_freed: Notify,
}

impl Memory {
    /// Nothing is held yet.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Memory { limit, used: AtomicUsize::new(0), has_freed: Notify::new() })
    }

    /// The memory of something large is free again.
    pub fn freed(&self, bytes: usize) {
        if bytes >= LARGE {
            self.has_freed.notify_one();
        }
    }

    /// Gives memory back to the system after large answers, as the allocator keeps what lies between small pieces.
    pub async fn give_back(self: Arc<Self>) {
        loop {
            self.has_freed.notified().await;
            tokio::time::sleep(PAUSE).await;
            trim();
        }
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: malloc_trim(3) has no requirements; it may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

fn take(used: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let sum = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

/// What the answers of one request may take, or those of one WebSocket.
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    memory: Arc<Memory>,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Budget { limit, used: AtomicUsize::new(0), memory })
    }
}

/// Bytes that are taken, and given back when this is dropped.
struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// The part that is taken from the server's memory.
    fn shared(bytes: usize) -> usize {
        bytes.saturating_sub(FREE)
    }

    fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        let Budget { limit, used, memory } = &*self.budget;
        if bytes <= self.bytes {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            memory.used.fetch_sub(Held::shared(self.bytes) - Held::shared(bytes), Ordering::Relaxed);
        } else {
            let more = bytes - self.bytes;
            if !take(used, more, *limit) {
                return Err(Full::Budget(*limit));
            }
            if !take(&memory.used, Held::shared(bytes) - Held::shared(self.bytes), memory.limit) {
                used.fetch_sub(more, Ordering::Relaxed);
                return Err(Full::Memory(memory.limit));
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.memory.used.fetch_sub(Held::shared(self.bytes), Ordering::Relaxed);
        self.budget.memory.freed(self.bytes);
    }
}

/// A text that takes its bytes from a budget as long as it exists.
pub struct Text {
    text: String,
    held: Vec<Held>,
    /// They learn by its end that it was sent.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Text {
    /// A text that is so short that it is not counted.
    pub fn short(text: String) -> Self {
        Text { text, held: Vec::new(), waiting: Vec::new() }
    }

    /// A text that is there already.
    pub fn plain(budget: &Arc<Budget>, text: String) -> Result<Self, Full> {
        let mut held = Held { budget: budget.clone(), bytes: 0 };
        held.resize(text.len())?;
        Ok(Text { text, held: vec![held], waiting: Vec::new() })
    }

    /// Writes `head`, a value as JSON, and `tail`.
    pub fn json(
        budget: &Arc<Budget>,
        limit: usize,
        head: &[&str],
        value: &(impl Serialize + ?Sized),
        tail: &str,
    ) -> Result<Self, Full> {
        let held = Held { budget: budget.clone(), bytes: 0 };
        let mut writer = Writer { bytes: Vec::new(), held, limit, full: None };
        let written = (|| {
            for part in head {
                io::Write::write_all(&mut writer, part.as_bytes())?;
            }
            serde_json::to_writer(&mut writer, value)?;
            io::Write::write_all(&mut writer, tail.as_bytes())
        })();
        let Writer { mut bytes, mut held, full, .. } = writer;
        bytes.shrink_to_fit();
        held.resize(bytes.len())?;
        match (written.map(|()| String::from_utf8(bytes)), full) {
            (Ok(Ok(text)), None) => Ok(Text { text, held: vec![held], waiting: Vec::new() }),
            (_, full) => Err(full.unwrap_or(Full::Answer(limit))),
        }
    }

    /// Several texts as one array of JSON. What they held, the array holds.
    pub fn array(texts: Vec<Text>) -> Self {
        let mut array = Text::short(String::new());
        array.text.reserve_exact(texts.iter().map(|text| text.text.len() + 1).sum::<usize>() + 1);
        for text in texts {
            array.text.push(if array.text.is_empty() { '[' } else { ',' });
            array.text.push_str(&text.text);
            array.held.extend(text.held);
            array.waiting.extend(text.waiting);
        }
        array.text.push(']');
        array
    }

    /// Drops `waiting` when the text has been sent, or is not going to be.
    pub fn before(mut self, waiting: oneshot::Sender<()>) -> Self {
        self.waiting.push(waiting);
        self
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Takes from the budget as it is written to.
struct Writer {
    bytes: Vec<u8>,
    held: Held,
    limit: usize,
    full: Option<Full>,
}

impl Writer {
    fn make_room(&mut self, needed: usize) -> Result<(), Full> {
        if needed > self.limit {
            return Err(Full::Answer(self.limit));
        }
        if needed > self.held.bytes {
            let generous = (needed + needed.min(STEP)).min(self.limit);
            self.held.resize(generous).or_else(|_| self.held.resize(needed))?;
            self.bytes.reserve_exact(self.held.bytes - self.bytes.len());
        }
        Ok(())
    }
}

impl io::Write for Writer {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if let Err(full) = self.make_room(self.bytes.len() + more.len()) {
            self.full = Some(full);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(budget: &Arc<Budget>, limit: usize, length: usize) -> Result<Text, Full> {
        // With its quotation marks it is so long.
        Text::json(budget, limit, &[], &"x".repeat(length - 2), "")
    }

    fn used(memory: &Memory) -> usize {
        memory.used.load(Ordering::Relaxed)
    }

    #[test]
    fn an_answer_fits_exactly_or_not_at_all() {
        let memory = Memory::new(1 << 20);
        for (limit, budget, length, expected) in [
            (100, 1000, 100, None),
            (100, 1000, 101, Some(Full::Answer(100))),
            (5000, 1000, 1000, None),
            (5000, 1000, 1001, Some(Full::Budget(1000))),
            (4 << 20, 4 << 20, (1 << 20) + FREE, None),
            (4 << 20, 4 << 20, (1 << 20) + FREE + 1, Some(Full::Memory(1 << 20))),
        ] {
            let budget = Budget::new(budget, memory.clone());
            assert_eq!(text(&budget, limit, length).err(), expected, "{limit} {length}");
            assert_eq!((budget.used.load(Ordering::Relaxed), used(&memory)), (0, 0), "all of it is given back");
        }
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped_also_as_a_part_of_an_array() {
        let memory = Memory::new(100_000);
        let budget = Budget::new(10_000, memory.clone());
        let texts: Vec<Text> = (0..3).map(|_| text(&budget, 10_000, 3000).unwrap()).collect();
        assert_eq!(text(&budget, 10_000, 3000).err(), Some(Full::Budget(10_000)));
        let array = Text::array(texts);
        assert_eq!(array.as_str().len(), 3 * 3000 + 4);
        assert_eq!(text(&budget, 10_000, 3000).err(), Some(Full::Budget(10_000)));
        drop(array);
        assert_eq!(used(&memory), 0);
        assert!(text(&budget, 10_000, 3000).is_ok());
    }

    #[test]
    fn small_answers_fit_when_the_memory_is_used_up() {
        let memory = Memory::new(10_000);
        let large = Budget::new(20_000, memory.clone());
        let held = text(&large, 20_000, 10_000 + FREE).unwrap();
        let other = Budget::new(20_000, memory.clone());
        assert!(text(&other, 20_000, FREE).is_ok());
        assert_eq!(text(&other, 20_000, FREE + 1).err(), Some(Full::Memory(10_000)));
        drop(held);
        assert!(text(&other, 20_000, FREE + 1).is_ok());
    }
}
