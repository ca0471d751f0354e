//! A WebSocket: many messages at a time over one connection, and subscriptions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::io::{BufReader, BufWriter};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use soketto::connection::Error as SocketError;
use soketto::data::ByteSlice125;
use soketto::handshake::http::Server as Handshake;
use soketto::{Incoming, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tracing::debug;

use super::memory::Text;
use super::methods::WATCH;
use super::options::Limits;
use super::rpc::{Caller, ErrorObject, Id, Rpc, short_error};
use super::stop::Stop;
use crate::vswitch::hub::Hub;
use crate::vswitch::watch::{Event, Watch};

type Io = BufReader<BufWriter<Compat<TokioIo<Upgraded>>>>;

/// Of so many bytes at least counts each message that is being worked on: a small one makes work, too.
const MESSAGES: u32 = 1024;
/// So many answers and events are ready to be sent.
const READY: usize = 16;
/// So many subscriptions one WebSocket may have.
const SUBSCRIPTIONS: usize = 1024;

/// What is going to be sent.
enum Outgoing {
    /// An answer, and what lets a further message be read once it is sent.
    Answer { text: Text, _permit: Option<OwnedSemaphorePermit> },
    /// An event of a subscription, and what lets the next one be written once it is sent.
    Event { text: String, _permit: OwnedSemaphorePermit },
}

/// Serves a WebSocket until one of the two sides ends it. Messages are only read as long as those that are being worked
/// on, and whose answers have not been taken yet, are not larger together than one may be.
pub async fn serve(upgraded: Upgraded, handshake: Handshake, rpc: Arc<Rpc>, limits: Limits, mut stop: Stop) {
    let stream = BufReader::new(BufWriter::new(TokioIo::new(upgraded).compat()));
    let mut connection = handshake.into_builder(stream);
    connection.set_max_message_size(limits.request_bytes.try_into().unwrap_or(usize::MAX));
    let (sender, mut receiver) = connection.finish();
    let (out, outbox) = mpsc::channel(READY);
    let writing = tokio::spawn(write(sender, outbox, limits.idle / 2));
    let watching = Watching::new(rpc.calls().hub().clone(), out.clone());
    let caller = Arc::new(Caller { budget: rpc.budget(), watching: Some(watching) });
    let work = Arc::new(Semaphore::new(limits.request_bytes.try_into().unwrap_or(Semaphore::MAX_PERMITS)));
    let is_over = loop {
        let received = tokio::select! {
            () = stop.stopped() => break false,
            () = out.closed() => break true,
            received = receive(&mut receiver, limits.idle) => received,
        };
        let message = match received {
            Ok(Received::Message(message)) => message,
            Ok(Received::Pong) => continue,
            Ok(Received::TooLarge { goes_on }) => {
                let error = short_error(Id::NULL, &ErrorObject::request_too_large(limits.request_bytes));
                match out.send(Outgoing::Answer { text: error, _permit: None }).await {
                    Err(_) => break true,
                    Ok(()) if !goes_on => break false,
                    Ok(()) => continue,
                }
            }
            Err(why) => {
                debug!("a WebSocket ended: {why}");
                break true;
            }
        };
        let size = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let size = size.clamp((limits.request_bytes / MESSAGES).max(1), limits.request_bytes);
        let permit = tokio::select! {
            () = out.closed() => break true,
            permit = work.clone().acquire_many_owned(size) => permit,
        };
        let (rpc, caller, out) = (rpc.clone(), caller.clone(), out.clone());
        tokio::spawn(async move {
            let answer = rpc.answer(&message, &caller).await;
            drop(message);
            if let Some(text) = answer {
                // Whoever has gone away gets no answer.
                let _ = out.send(Outgoing::Answer { text, _permit: permit.ok() }).await;
            }
        });
    };
    if let Some(watching) = &caller.watching {
        watching.end_all();
    }
    if is_over {
        writing.abort();
        return;
    }
    // What is in flight is finished and answered, and then nobody is left who could send anything.
    drop((caller, out));
    // It only fails by being aborted.
    let _ = writing.await;
}

enum Received {
    Message(Vec<u8>),
    Pong,
    /// What follows can be read, or not.
    TooLarge {
        goes_on: bool,
    },
}

/// The next message. The other side is pinged twice in that time, so something comes of it.
async fn receive(receiver: &mut Receiver<Io>, idle: Duration) -> Result<Received, String> {
    let mut message = Vec::new();
    match timeout(idle, receiver.receive(&mut message)).await {
        Err(_) => Err(format!("nothing came for {} s, not even the answer to a ping", idle.as_secs_f64())),
        Ok(Ok(Incoming::Data(_))) => Ok(Received::Message(message)),
        Ok(Ok(Incoming::Pong(_))) => Ok(Received::Pong),
        Ok(Ok(Incoming::Closed(reason))) => Err(format!("closed: {reason:?}")),
        // Of a message in several parts, soketto can't find the end.
        Ok(Err(SocketError::MessageTooLarge { .. })) => Ok(Received::TooLarge { goes_on: message.is_empty() }),
        Ok(Err(error)) => Err(error.to_string()),
    }
}

/// Sends what is ready, and pings, until nobody is left who could send anything.
async fn write(mut sender: Sender<Io>, mut outbox: mpsc::Receiver<Outgoing>, pause: Duration) {
    let mut pings = interval_at(Instant::now() + pause, pause);
    loop {
        let sent = tokio::select! {
            outgoing = outbox.recv() => match outgoing {
                None => break,
                Some(outgoing) => send(&mut sender, outgoing).await,
            },
            _ = pings.tick() => ping(&mut sender).await,
        };
        if let Err(error) = sent {
            debug!(%error, "a WebSocket can't be written to");
            return;
        }
    }
    if let Err(error) = sender.close().await {
        debug!(%error, "a WebSocket can't be closed");
    }
}

async fn send(sender: &mut Sender<Io>, outgoing: Outgoing) -> Result<(), SocketError> {
    match &outgoing {
        Outgoing::Answer { text, .. } => sender.send_text(text.as_str()).await?,
        Outgoing::Event { text, .. } => sender.send_text(text).await?,
    }
    sender.flush().await
}

async fn ping(sender: &mut Sender<Io>) -> Result<(), SocketError> {
    let Ok(nothing) = ByteSlice125::try_from(&[][..]) else { return Ok(()) };
    sender.send_ping(nothing).await?;
    sender.flush().await
}

/// The subscriptions of a WebSocket.
pub struct Watching {
    hub: Arc<Hub>,
    out: mpsc::Sender<Outgoing>,
    /// One event at a time is written, and the next one when it is sent: a topology may be large.
    turn: Arc<Semaphore>,
    running: Mutex<HashMap<u64, AbortHandle>>,
    last: AtomicU64,
}

/// An event, as the messages of a subscription have it.
#[derive(Serialize)]
struct Notification<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: NotificationParams<'a>,
}

#[derive(Serialize)]
struct NotificationParams<'a> {
    subscription: u64,
    result: &'a Event,
}

impl Watching {
    fn new(hub: Arc<Hub>, out: mpsc::Sender<Outgoing>) -> Self {
        Watching { hub, out, turn: Arc::new(Semaphore::new(1)), running: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// Begins a subscription, whose events are sent once what is returned as the second has been dropped. The error is the
    /// limit.
    pub fn begin(&self) -> Result<(u64, oneshot::Sender<()>), usize> {
        let mut running = self.running();
        running.retain(|_, task| !task.is_finished());
        if running.len() >= SUBSCRIPTIONS {
            return Err(SUBSCRIPTIONS);
        }
        let subscription = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (begin, has_begun) = oneshot::channel();
        let (watch, out, turn) = (Watch::new(self.hub.clone()), self.out.clone(), self.turn.clone());
        let task = tokio::spawn(async move {
            // Dropped or sent, it is the same.
            let _ = has_begun.await;
            tell(watch, subscription, &out, &turn).await;
        });
        running.insert(subscription, task.abort_handle());
        Ok((subscription, begin))
    }

    /// Ends a subscription; tells whether there was one.
    pub fn end(&self, subscription: u64) -> bool {
        let task = self.running().remove(&subscription);
        task.inspect(AbortHandle::abort).is_some_and(|task| !task.is_finished())
    }

    fn end_all(&self) {
        for (_, task) in self.running().drain() {
            task.abort();
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of the switch until nobody listens any more.
async fn tell(mut watch: Watch, subscription: u64, out: &mpsc::Sender<Outgoing>, turn: &Arc<Semaphore>) {
    while let Some(event) = watch.next().await {
        let params = NotificationParams { subscription, result: &event };
        // The semaphore is never closed.
        let Ok(permit) = turn.clone().acquire_owned().await else { return };
        let text = match serde_json::to_string(&Notification { jsonrpc: "2.0", method: WATCH, params }) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "an event of ovs.watch can't be written, and the subscription ends");
                return;
            }
        };
        if out.send(Outgoing::Event { text, _permit: permit }).await.is_err() {
            return;
        }
    }
}
