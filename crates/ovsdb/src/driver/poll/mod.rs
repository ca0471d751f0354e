//! The runtime of a process that executes one command: this thread, `poll(2)`, and nothing to be set up.
//!
//! Such a command waits for one socket, for signals, and for the time. tokio's reactor, its timer wheel and its signal
//! driver cost a short process a tenth of its life, so here whoever waits says for what as it is polled, and the thread
//! sleeps in one system call until something of it has come. What runs inside must not use tokio's tasks, timers and
//! sockets; its channels and `select!` are fine.
//!
//! ```no_run
//! use ovsdb::driver::{Driver, poll};
//! use ovsdb::{Address, Connection};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let address: Address = "unix:/var/run/openvswitch/db.sock".parse()?;
//! let databases = poll::block_on(async {
//!     let connection = Connection::open_on(Driver::Poll, &address).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(connection.list_dbs().await?)
//! })??;
//! println!("{databases:?}");
//! # Ok(())
//! # }
//! ```

mod stream;

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

pub(crate) use stream::Stream;

/// Something with a file descriptor, held for as long as it is waited for.
pub type Source = Arc<dyn Descriptor>;

/// Whatever has a file descriptor.
pub trait Descriptor: AsFd + Debug + Send + Sync {}

impl<T: AsFd + Debug + Send + Sync> Descriptor for T {}

/// What a file descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// There is something to read, or the end.
    Read,
    /// There is room to write, or nobody to read it.
    Write,
}

impl Direction {
    fn flags(self) -> PollFlags {
        match self {
            Direction::Read => PollFlags::IN,
            Direction::Write => PollFlags::OUT,
        }
    }
}

#[derive(Default)]
struct Waits {
    /// What those who were polled since the last sleep wait for.
    sources: Vec<(Source, PollFlags)>,
    until: Option<Instant>,
    /// What the last sleep ended with, until somebody takes it.
    ready: Vec<(i32, PollFlags)>,
}

thread_local! {
    static WAITS: RefCell<Option<Waits>> = const { RefCell::new(None) };
}

/// Woken while it was being polled: something that one part of the future did lets another part go on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    WAITS.set(Some(Waits::default()));
    let result = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            break Ok(output);
        }
        if !woken.0.swap(false, Ordering::Relaxed)
            && let Err(error) = sleep()
        {
            break Err(error);
        }
    };
    WAITS.set(None);
    result
}

/// Sleeps until something has come that is waited for.
fn sleep() -> io::Result<()> {
    let (sources, until) = WAITS.with_borrow_mut(|waits| match waits {
        Some(waits) => (std::mem::take(&mut waits.sources), waits.until.take()),
        None => Default::default(),
    });
    // The time that is left is rounded up by the kernel, never down, so a timer that ended the sleep is over.
    let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
    let timeout = timeout.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }));
    let mut polled: Vec<PollFd<'_>> =
        sources.iter().map(|(source, flags)| PollFd::from_borrowed_fd(source.as_fd(), *flags)).collect();
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready = polled.iter().zip(&sources).filter(|(polled, _)| !polled.revents().is_empty());
    let ready = ready.map(|(polled, (source, asked))| {
        // An error, or the other end gone, shows in whatever was going to be done.
        let happened = polled.revents();
        let broken = happened.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        (source.as_fd().as_raw_fd(), if broken { *asked } else { happened })
    });
    let ready = ready.collect();
    WAITS.with_borrow_mut(|waits| {
        if let Some(waits) = waits {
            waits.ready = ready;
        }
    });
    Ok(())
}

/// Whether the last sleep ended because of this. The next one does in any case, so what is then done may leave some of
/// it undone; it must not block.
pub fn take_ready(source: &Source, direction: Direction) -> bool {
    let flags = direction.flags();
    let fd = source.as_fd().as_raw_fd();
    WAITS.with_borrow_mut(|waits| {
        let Some(waits) = waits else { return false };
        if !waits.sources.iter().any(|(waited, asked)| waited.as_fd().as_raw_fd() == fd && *asked == flags) {
            waits.sources.push((source.clone(), flags));
        }
        let at = waits.ready.iter().position(|(ready, happened)| *ready == fd && happened.intersects(flags));
        at.map(|at| waits.ready.swap_remove(at)).is_some()
    })
}

/// Waits until a file descriptor is ready.
pub async fn ready(source: &Source, direction: Direction) {
    poll_fn(|_| if take_ready(source, direction) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Waits until a point in time.
pub async fn sleep_until(at: Instant) {
    poll_fn(|_| {
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        WAITS.with_borrow_mut(|waits| {
            if let Some(waits) = waits {
                waits.until = Some(waits.until.map_or(at, |until| until.min(at)));
            }
        });
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_was_waited_for_or_with_the_time() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        let source: Source = near.clone();
        let ended = block_on(async {
            let soon = Instant::now() + Duration::from_millis(20);
            tokio::select! {
                biased;
                () = ready(&source, Direction::Read) => panic!("nothing was written"),
                () = sleep_until(soon) => {}
            }
            assert!(Instant::now() >= soon);
            far.write_all(b"x").unwrap();
            let late = Instant::now() + Duration::from_secs(60);
            tokio::select! {
                biased;
                () = sleep_until(late) => panic!("there was something to read"),
                () = ready(&source, Direction::Read) => {}
            }
            let mut text = [0; 2];
            assert_eq!((&*near).read(&mut text).unwrap(), 1);
            drop(far);
            ready(&source, Direction::Read).await;
            (&*near).read(&mut text).unwrap()
        });
        assert_eq!(ended.unwrap(), 0);
    }

    #[test]
    fn what_was_left_unread_ends_the_next_wait() {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"abc").unwrap();
        let near = Arc::new(near);
        let source: Source = near.clone();
        let mut text = Vec::new();
        // As a connection does it: one look and one read for each time that it is polled.
        let read = poll_fn(|_| {
            let mut byte = [0];
            if take_ready(&source, Direction::Read) {
                (&*near).read_exact(&mut byte).unwrap();
                text.push(byte[0]);
            }
            if text.len() == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        let late = Instant::now() + Duration::from_secs(60);
        let all = block_on(async {
            tokio::select! {
                biased;
                () = read => true,
                () = sleep_until(late) => false,
            }
        });
        assert!(all.unwrap());
        assert_eq!(text, b"abc");
    }

    #[test]
    fn what_one_part_does_lets_another_part_go_on() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = RefCell::new(Some(sender));
        let told = block_on(async {
            let tell = async {
                sleep_until(Instant::now() + Duration::from_millis(1)).await;
                sender.take().unwrap().send(7).unwrap();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                told = receiver => told.unwrap(),
                () = tell => unreachable!(),
            }
        });
        assert_eq!(told.unwrap(), 7);
    }
}
