//! The protocol of one connection behind a lock, between the driver that moves its bytes and those who call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tracing::debug;

use crate::error::{CallError, Disconnect};
use crate::monitor::Sink;
use crate::protocol::{self, Call, Complete, Event, Incoming, Protocol};
use crate::wire::frame::Framer;

pub(crate) struct Link {
    remote: String,
    protocol: Mutex<Protocol>,
    /// Rung when there is something to write.
    outgoing: Notify,
    /// How often something has been read.
    activity: AtomicU64,
    events: mpsc::UnboundedSender<Event>,
    event_receiver: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("remote", &self.remote).field("ended", &self.ended()).finish_non_exhaustive()
    }
}

impl Link {
    /// `remote` stands for the server in errors.
    pub(crate) fn new(remote: String) -> Self {
        let (events, event_receiver) = mpsc::unbounded_channel();
        Link {
            remote,
            protocol: Mutex::default(),
            outgoing: Notify::new(),
            activity: AtomicU64::new(0),
            events,
            event_receiver: Mutex::new(Some(event_receiver)),
        }
    }

    fn protocol(&self) -> MutexGuard<'_, Protocol> {
        // Every change of the state is one step, so a panic while the lock was held has left it whole.
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remote(&self) -> &str {
        &self.remote
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn ended(&self) -> Option<Disconnect> {
        self.protocol().ended().cloned()
    }

    pub(crate) fn activity(&self) -> u64 {
        self.activity.load(Ordering::Relaxed)
    }

    /// News of locks; once.
    pub(crate) fn events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        self.event_receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    // ---- for drivers ----

    /// Waits until there is something to write.
    #[cfg(feature = "tokio")]
    pub(crate) async fn outgoing(&self) {
        self.outgoing.notified().await;
    }

    pub(crate) fn take_outgoing(&self) -> Vec<u8> {
        self.protocol().take_outgoing()
    }

    /// Acts upon every whole message that has been read.
    pub(crate) fn received(&self, framer: &mut Framer) -> Result<(), Disconnect> {
        self.activity.fetch_add(1, Ordering::Relaxed);
        while let Some(text) = framer.next_text()? {
            // The lock is given up before anything else is called.
            let incoming = self.protocol().receive(text)?;
            match incoming {
                Incoming::Reply(complete, outcome) => complete(outcome),
                Incoming::Notice(id, sink, notice) => {
                    if !protocol::deliver(&sink, notice) {
                        self.remove_monitor(&id);
                    }
                }
                // Whoever did not ask for the receiver does not want to know.
                Incoming::Event(event) => drop(self.events.send(event)),
                // There may be an answer to write.
                Incoming::Nothing => self.outgoing.notify_one(),
            }
        }
        Ok(())
    }

    /// Marks the connection as ended and fails everything in flight, once.
    pub(crate) fn end(&self, cause: Disconnect) {
        let ended = self.protocol().end(cause.clone());
        if let Some(ended) = ended {
            debug!(remote = self.remote, %cause, "connection ended");
            ended.fail(|in_flight| self.disconnected(in_flight, cause.clone()));
        }
    }

    // ---- for callers ----

    /// Puts a request into the outgoing buffer and tells its id. `complete` is called with its outcome, whatever that is.
    pub(crate) fn send(&self, method: &'static str, params: impl Serialize, complete: Complete) -> u64 {
        let call = self.protocol().call(method, params, complete);
        match call {
            Call::Sent(id) => {
                self.outgoing.notify_one();
                id
            }
            Call::Refused(id, complete, error) => {
                complete(Err(error));
                id
            }
            Call::Ended(id, complete, cause) => {
                complete(Err(self.disconnected(method.to_owned(), cause)));
                id
            }
        }
    }

    /// Puts a notification into the outgoing buffer.
    pub(crate) fn notify(&self, method: &'static str, params: impl Serialize) {
        self.protocol().notify(method, params);
        self.outgoing.notify_one();
    }

    /// Forgets a call; its outcome is of no interest any more.
    pub(crate) fn forget(&self, id: u64) {
        // Dropped after the lock: it holds the other end of the caller's channel.
        let forgotten = self.protocol().forget(id);
        drop(forgotten);
    }

    pub(crate) fn add_monitor(&self, sink: Sink) -> String {
        self.protocol().add_monitor(sink)
    }

    pub(crate) fn remove_monitor(&self, id: &str) {
        let removed = self.protocol().remove_monitor(id);
        drop(removed);
    }

    /// The error of a call that the end of the connection left without an answer.
    pub(crate) fn disconnected(&self, in_flight: String, cause: Disconnect) -> CallError {
        CallError::Disconnected { remote: self.remote.clone(), in_flight, cause }
    }
}

/// Why a stream that has ended did so.
pub(crate) fn end_of(framer: &Framer) -> Disconnect {
    framer.finish().map_or_else(Disconnect::Frame, |()| Disconnect::Closed)
}
