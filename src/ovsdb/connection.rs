//! One connection to an OVSDB server: sends requests, matches replies to them, answers the server's echo, delivers
//! what monitors and locks tell.
//!
//! A call is put into the outgoing buffer at once and returns a [`Reply`] to wait for; everything that was called
//! before the next wait leaves in one write. Any number of calls may be in flight, in any order.
//!
//! Nothing here waits by itself and nothing here has a deadline: whoever awaits a [`Reply`] bounds that wait. Dropping
//! a [`Reply`] forgets the answer, it does not take the request back.
//!
//! Inside a tokio runtime two tasks read and write. Inside of [`one_shot::block_on`] there are none: whoever waits for a
//! reply or an update reads and writes for all.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::SendFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::error::{CallError, Disconnect, REPEATED, beginning_of};
use super::frame::{self, DEPTH, Framer, Limits, Scan};
use super::json;
use super::message::{Answer, Message, MessageError, Request};
use super::monitor::{self, MonitorRequests, Notice, Since, Sink, Updates};
use super::remote::Remote;
use super::schema::DatabaseSchema;
use super::transaction::{Done, TransactParams, TransactReply, Transaction};
use super::value::{PlainUuid, Uuid};
use crate::one_shot::{self, Direction, Source};

/// A connection. Dropping it ends it and fails what is still in flight.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    /// None where those who wait do the work.
    tasks: Option<[AbortHandle; 2]>,
}

/// What a server tells without being asked, monitors aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A lock that was asked for is ours now.
    Locked(String),
    /// A lock of ours was taken by another client.
    Stolen(String),
}

/// The answer to `lock` and `steal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Locked {
    /// Whether the lock is ours already; if not, [`Event::Locked`] tells when it is.
    pub locked: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    remote: String,
    state: Mutex<State>,
    /// Rung when there is something to write.
    outgoing: Notify,
    /// How often something has been read.
    activity: AtomicU64,
    /// Where those who wait do the work.
    plain: Option<Mutex<PlainStream>>,
}

/// A stream that is read and written by whoever waits.
#[derive(Debug)]
struct PlainStream {
    socket: Source,
    framer: Framer,
    /// What the kernel has not taken yet.
    unwritten: Vec<u8>,
}

struct State {
    outgoing: Vec<u8>,
    last_id: u64,
    /// Ordered by id, so that what was in flight is told in the order in which it was sent.
    pending: BTreeMap<u64, Pending>,
    monitors: HashMap<String, Arc<Mutex<Sink>>>,
    events: mpsc::UnboundedSender<Event>,
    event_receiver: Option<mpsc::UnboundedReceiver<Event>>,
    ended: Option<Disconnect>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("in_flight", &self.in_flight()).field("ended", &self.ended).finish()
    }
}

struct Pending {
    method: &'static str,
    /// Parses the result where it lies in the read buffer and passes it on.
    complete: Complete,
}

pub(super) type Outcome<'a> = Result<Option<&'a RawValue>, CallError>;
pub(super) type Complete = Box<dyn FnOnce(Outcome<'_>) + Send>;

/// An answer that is on its way. It comes as `T`.
#[derive(Debug)]
pub struct Reply<T> {
    id: u64,
    method: &'static str,
    shared: Arc<Shared>,
    receiver: oneshot::Receiver<Result<T, CallError>>,
}

impl Connection {
    /// Connects, once. Must be called inside a tokio runtime, which then serves the connection, or inside of
    /// [`one_shot::block_on`].
    pub async fn open(remote: &Remote) -> io::Result<Self> {
        Connection::open_with(remote, Limits::default()).await
    }

    /// As [`Connection::open`], with other limits for what the server sends.
    pub async fn open_with(remote: &Remote, limits: Limits) -> io::Result<Self> {
        if one_shot::is_active() {
            let socket = remote.open_plain().await?;
            let plain = PlainStream { socket, framer: Framer::new(limits), unwritten: Vec::new() };
            let shared = Shared::new(remote.to_string(), Some(plain));
            return Ok(Connection { shared: Arc::new(shared), tasks: None });
        }
        let (read, write) = remote.open().await?;
        Ok(Connection::over(read, write, remote.to_string(), limits))
    }

    /// Speaks over a stream that exists already; `name` stands for the server in errors.
    pub fn over(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
        name: String,
        limits: Limits,
    ) -> Self {
        let shared = Arc::new(Shared::new(name, None));
        // Two tasks, so that a server which is slow to read can never keep us from reading: it does not read from a
        // client that does not read either.
        let reader = tokio::spawn(run(shared.clone(), read_all(shared.clone(), read, limits)));
        let writer = tokio::spawn(run(shared.clone(), write_all(shared.clone(), write)));
        Connection { shared, tasks: Some([reader.abort_handle(), writer.abort_handle()]) }
    }

    /// The server's address.
    pub fn remote(&self) -> &str {
        &self.shared.remote
    }

    /// Whether the connection is still there, as far as is known.
    pub fn is_open(&self) -> bool {
        self.shared.lock().ended.is_none()
    }

    /// Lock notifications. There is one receiver; the second call returns `None`.
    pub fn events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        self.shared.lock().event_receiver.take()
    }

    /// The names of the databases (RFC 7047 section 4.1.1).
    pub fn list_dbs(&self) -> Reply<Vec<String>> {
        self.call("list_dbs", [(); 0])
    }

    /// A database's schema (section 4.1.2).
    pub fn get_schema(&self, database: &str) -> Reply<DatabaseSchema> {
        self.call("get_schema", [database])
    }

    /// Runs a transaction (section 4.1.3); [`TransactReply::check`] tells whether it succeeded.
    pub fn transact(&self, database: &str, transaction: &Transaction) -> Reply<TransactReply> {
        self.call("transact", TransactParams(database, &transaction.operations))
    }

    /// Asks the server to give up on a transaction that waits (section 4.1.4). Unless the connection is aware of
    /// database changes, ovsdb-server then sends no reply at all, so the wait for it must end by itself.
    pub fn cancel<T>(&self, reply: &Reply<T>) {
        self.notify("cancel", [reply.id]);
    }

    /// Watches tables (section 4.1.5); notifications carry [`monitor::RowUpdate`]s.
    pub fn monitor<T>(&self, database: &str, requests: &MonitorRequests) -> (Reply<T>, Updates<T>)
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (id, updates) = self.watch();
        (self.call("monitor", (database, id, requests)), updates)
    }

    /// Watches the rows that match conditions (ovsdb-server(7)); notifications carry [`monitor::RowUpdate2`]s.
    pub fn monitor_cond<T>(&self, database: &str, requests: &MonitorRequests) -> (Reply<T>, Updates<T>)
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (id, updates) = self.watch();
        (self.call("monitor_cond", (database, id, requests)), updates)
    }

    /// As [`Connection::monitor_cond`], going on after the transaction `since` when the server still knows it
    /// (ovsdb-server(7)). A database in a file knows none, and sends everything.
    pub fn monitor_cond_since<T>(
        &self,
        database: &str,
        requests: &MonitorRequests,
        since: Option<PlainUuid>,
    ) -> (Reply<Since<T>>, Updates<T>)
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (id, updates) = self.watch();
        let since = since.unwrap_or(PlainUuid(Uuid(uuid::Uuid::nil())));
        (self.call("monitor_cond_since", (database, id, requests, since)), updates)
    }

    /// Changes the conditions of a running `monitor_cond` (ovsdb-server(7)); the requests name no columns. Rows that come and go by it are told as
    /// ordinary updates, before the reply.
    pub fn monitor_cond_change<T>(&self, updates: &Updates<T>, requests: &MonitorRequests) -> Reply<Done> {
        self.call("monitor_cond_change", (&updates.id, &updates.id, requests))
    }

    /// Ends a monitor (section 4.1.7).
    pub fn monitor_cancel<T>(&self, updates: Updates<T>) -> Reply<Done> {
        self.shared.lock().monitors.remove(&updates.id);
        self.call("monitor_cancel", [&updates.id])
    }

    /// Asks for a lock (section 4.1.8).
    pub fn lock(&self, name: &str) -> Reply<Locked> {
        self.call("lock", [name])
    }

    /// Takes a lock from whoever holds it (section 4.1.8).
    pub fn steal(&self, name: &str) -> Reply<Locked> {
        self.call("steal", [name])
    }

    /// Gives a lock back, or stops waiting for it (section 4.1.8).
    pub fn unlock(&self, name: &str) -> Reply<Done> {
        self.call("unlock", [name])
    }

    /// Asks for a sign of life (section 4.1.11).
    pub fn echo(&self) -> Reply<Done> {
        self.call("echo", [(); 0])
    }

    /// Whether schema changes are told as [`monitor::Update::Canceled`] instead of closing the connection
    /// (ovsdb-server(7)).
    pub fn set_db_change_aware(&self, aware: bool) -> Reply<Done> {
        self.call("set_db_change_aware", [aware])
    }

    /// An id of the running server; a new one after each of its starts (ovsdb-server(7)).
    pub fn get_server_id(&self) -> Reply<PlainUuid> {
        self.call("get_server_id", [(); 0])
    }

    fn watch<T: DeserializeOwned + Send + 'static>(&self) -> (String, Updates<T>) {
        let (sink, receiver) = monitor::channel();
        let id = self.shared.register(sink);
        (id.clone(), Updates { id, receiver, shared: self.shared.clone() })
    }

    /// Begins a monitor whose answers are read in a way of their own, in the order in which they come: first the reply,
    /// then every notification.
    pub(super) fn monitor_with<T: Send + 'static>(
        &self,
        method: &'static str,
        params: impl FnOnce(&str) -> serde_json::Value,
        read: impl FnOnce(&RawValue) -> Result<T, json::Error> + Send + 'static,
        sink: Sink,
    ) -> Reply<T> {
        let id = self.shared.register(sink);
        self.call_with(method, params(&id), read)
    }

    /// Calls any method. The daemons of Open vSwitch speak the same JSON-RPC on their control sockets (ovs-appctl(8)).
    pub fn call<T>(&self, method: &'static str, params: impl Serialize) -> Reply<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.call_with(method, params, |result| json::from_raw(result))
    }

    /// As [`Connection::call`]; the result is read where it lies in the read buffer, as soon as it is there.
    fn call_with<T: Send + 'static>(
        &self,
        method: &'static str,
        params: impl Serialize,
        read: impl FnOnce(&RawValue) -> Result<T, json::Error> + Send + 'static,
    ) -> Reply<T> {
        let (sender, receiver) = oneshot::channel();
        let complete: Complete = Box::new(move |outcome| {
            // Nobody waits any more: the answer is of no interest.
            let _ = sender.send(outcome.and_then(|result| {
                read(result.unwrap_or(RawValue::NULL))
                    .map_err(|error| CallError::Unexpected { method, reason: error.to_string() })
            }));
        });
        let id = self.shared.send(method, params, complete);
        Reply { id, method, shared: self.shared.clone(), receiver }
    }

    /// What the connection and those who wait for its answers share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Why the connection is gone, if it is.
    pub fn ended(&self) -> Option<Disconnect> {
        self.shared.lock().ended.clone()
    }

    /// How often something was read; as long as this grows, the server is alive.
    pub fn activity(&self) -> u64 {
        self.shared.activity.load(Ordering::Relaxed)
    }

    /// Ends the connection, whoever else holds it, and fails what is still in flight.
    pub(super) fn close(&self, cause: Disconnect) {
        self.shared.end(cause);
        for task in self.tasks.iter().flatten() {
            task.abort();
        }
    }

    /// Puts a notification into the outgoing buffer.
    fn notify(&self, method: &'static str, params: impl Serialize) {
        let mut state = self.shared.lock();
        if state.ended.is_none()
            && let Err(error) = state.write(&Request { id: None, method, params })
        {
            warn!(method, %error, "a notification can't be written");
        }
        drop(state);
        self.shared.outgoing.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in self.tasks.iter().flatten() {
            task.abort();
        }
        self.shared.end(Disconnect::Dropped);
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = Pin::new(&mut self.receiver).poll(context);
        if outcome.is_pending() && self.shared.serve() {
            outcome = Pin::new(&mut self.receiver).poll(context);
        }
        outcome.map(|outcome| {
            outcome.unwrap_or_else(|_| Err(self.shared.disconnected(self.method.to_owned(), Disconnect::Dropped)))
        })
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let forgotten = self.shared.lock().pending.remove(&self.id);
        // Dropped only now, after the lock: it holds the other end of our channel.
        drop(forgotten);
    }
}

impl State {
    /// Appends a message to the outgoing buffer, whole or not at all.
    fn write(&mut self, message: &impl Serialize) -> Result<(), Unsendable> {
        let before = self.outgoing.len();
        let written = serde_json::to_writer(&mut self.outgoing, message).map_err(Unsendable::Json);
        let checked = written.and_then(|()| check(self.outgoing.get(before..).unwrap_or_default()));
        checked.inspect_err(|_| self.outgoing.truncate(before))
    }

    fn in_flight(&self) -> String {
        let methods: Vec<&str> = self.pending.values().map(|pending| pending.method).collect();
        beginning_of(methods.join(", "), REPEATED)
    }
}

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("it can't be written: {0}")]
    Json(serde_json::Error),
    #[error("it has a text with a NUL character (U+0000), which a database can't hold")]
    Nul,
    #[error("it has more than {DEPTH} objects and arrays inside each other")]
    TooDeep,
}

/// Refuses what ovsdb-server closes the connection on, as far as a writer of JSON can write it: a NUL in a string
/// (lib/json.c: "null bytes not supported in quoted strings"), and too many levels. The first costs everybody on the
/// connection their calls.
fn check(text: &[u8]) -> Result<(), Unsendable> {
    Scan::default().advance(text, DEPTH).map_err(|_| Unsendable::TooDeep)?;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(b"u0000") {
            return Err(Unsendable::Nul);
        }
        // The character that is escaped may be a backslash.
        rest = rest.get(1..).unwrap_or_default();
    }
    Ok(())
}

impl Shared {
    fn new(remote: String, plain: Option<PlainStream>) -> Self {
        let (events, event_receiver) = mpsc::unbounded_channel();
        let state = State {
            outgoing: Vec::new(),
            last_id: 0,
            pending: BTreeMap::new(),
            monitors: HashMap::new(),
            events,
            event_receiver: Some(event_receiver),
            ended: None,
        };
        Shared {
            remote,
            state: Mutex::new(state),
            outgoing: Notify::new(),
            activity: AtomicU64::new(0),
            plain: plain.map(Mutex::new),
        }
    }

    /// Where there are no tasks: reads and writes what can be without waiting. Returns whether anything was read, so
    /// that it is worth looking again for what is waited for.
    pub(super) fn serve(&self) -> bool {
        let Some(plain) = &self.plain else { return false };
        if self.lock().ended.is_some() {
            return false;
        }
        let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
        match plain.serve(self) {
            Ok(read) => read,
            Err(cause) => {
                debug!(remote = self.remote, %cause, "connection ended");
                self.end(cause);
                true
            }
        }
    }

    /// Registers a monitor under a new id.
    fn register(&self, sink: Sink) -> String {
        let mut state = self.lock();
        // Only has to differ from the other monitors of this connection, and calls are numbered already.
        state.last_id += 1;
        let id = format!("monitor-{}", state.last_id);
        if state.ended.is_none() {
            state.monitors.insert(id.clone(), Arc::new(Mutex::new(sink)));
        }
        id
    }

    /// Puts a request into the outgoing buffer. `complete` is called with its outcome, whatever that is.
    pub(super) fn send(&self, method: &'static str, params: impl Serialize, complete: Complete) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        if let Some(cause) = &state.ended {
            let error = self.disconnected(method.to_owned(), cause.clone());
            drop(state);
            complete(Err(error));
            return id;
        }
        match state.write(&Request { id: Some(id), method, params }) {
            Ok(()) => {
                state.pending.insert(id, Pending { method, complete });
                drop(state);
                self.outgoing.notify_one();
            }
            Err(error) => {
                drop(state);
                complete(Err(CallError::NotSent { method, reason: error.to_string() }));
            }
        }
        id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held can't have left a half-written state that matters to a process that aborts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disconnected(&self, in_flight: String, cause: Disconnect) -> CallError {
        CallError::Disconnected { remote: self.remote.clone(), in_flight, cause }
    }

    /// Marks the connection as gone and fails everything in flight.
    pub(super) fn end(&self, cause: Disconnect) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        let in_flight = state.in_flight();
        let pending = std::mem::take(&mut state.pending);
        // Without its sink, the receiving end of a monitor reads to its end and stops.
        let monitors = std::mem::take(&mut state.monitors);
        state.ended = Some(cause.clone());
        drop(state);
        drop(monitors);
        for call in pending.into_values() {
            (call.complete)(Err(self.disconnected(in_flight.clone(), cause.clone())));
        }
    }

    /// Acts upon one message of the server.
    fn receive(&self, text: &[u8]) -> Result<(), Disconnect> {
        let no_message = |error: MessageError| Disconnect::NoMessage {
            problem: format!("this is no OVSDB: {error}"),
            beginning: frame::beginning(text),
        };
        match Message::parse(text).map_err(no_message)? {
            Message::Reply { id, outcome } => {
                // Ours are all numbers; one that is none is an answer to nothing of ours.
                let call = id.get().parse().ok().and_then(|id: u64| self.lock().pending.remove(&id));
                match call {
                    Some(Pending { method, complete }) => {
                        complete(outcome.map_err(|error| CallError::Server { method, error }));
                    }
                    None => debug!(id = id.get(), "a reply that nobody waits for"),
                }
            }
            Message::Request { id, method, params } => {
                // `echo` is the only request a server may send (RFC 7047 section 4.1.11).
                let (result, error) = match &*method {
                    "echo" => (params, None),
                    _ => (None, Some("unknown method")),
                };
                let answer = Answer { id, result, error };
                self.lock().write(&answer).map_err(|error| Disconnect::Message(error.to_string()))?;
                self.outgoing.notify_one();
            }
            Message::Notification { method, params } => self.notified(&method, params)?,
        }
        Ok(())
    }

    fn notified(&self, method: &str, params: Option<&RawValue>) -> Result<(), Disconnect> {
        let unreadable = |error: json::Error| Disconnect::Message(format!("{method}: {error}"));
        let params = params.map_or("[]", RawValue::get);
        match method {
            "update" | "update2" => {
                let (id, tables): (&RawValue, &RawValue) = json::from_str(params).map_err(unreadable)?;
                self.tell(id, Notice::Changed(None, tables));
            }
            "update3" => {
                let (id, transaction, tables): (&RawValue, PlainUuid, &RawValue) =
                    json::from_str(params).map_err(unreadable)?;
                self.tell(id, Notice::Changed(Some(transaction), tables));
            }
            "monitor_canceled" => {
                let (id,): (&RawValue,) = json::from_str(params).map_err(unreadable)?;
                self.tell(id, Notice::Canceled);
            }
            "locked" | "stolen" => {
                let (name,): (String,) = json::from_str(params).map_err(unreadable)?;
                let event = if method == "locked" { Event::Locked(name) } else { Event::Stolen(name) };
                // Who did not ask for the receiver does not want to know.
                let _ = self.lock().events.send(event);
            }
            _ => debug!(method, "a notification of an unknown kind"),
        }
        Ok(())
    }

    fn tell(&self, id: &RawValue, notice: Notice<'_>) {
        // Ours are all strings; one that is none is not ours.
        let Ok(id) = json::from_raw::<String>(id) else {
            return debug!(id = id.get(), "an update of a monitor that was never asked for");
        };
        let sink = self.lock().monitors.get(&id).cloned();
        let wanted = match sink {
            Some(sink) => (sink.lock().unwrap_or_else(PoisonError::into_inner))(notice),
            None => return debug!(id, "an update of a monitor that nobody reads"),
        };
        if !wanted {
            self.lock().monitors.remove(&id);
        }
    }
}

/// Runs one half of a connection and, when it ends, ends the connection for everybody.
async fn run(shared: Arc<Shared>, half: impl Future<Output = Disconnect>) {
    let cause = half.await;
    debug!(remote = shared.remote, %cause, "connection ended");
    shared.end(cause);
}

impl PlainStream {
    fn serve(&mut self, shared: &Shared) -> Result<bool, Disconnect> {
        self.write(shared)?;
        if !one_shot::take_ready(&self.socket, Direction::Read) {
            return Ok(false);
        }
        match rustix::io::read(&self.socket, spare_capacity(self.framer.space())) {
            Ok(0) => return Err(ended(&self.framer)),
            Ok(_) => shared.activity.fetch_add(1, Ordering::Relaxed),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(Disconnect::Io(Arc::new(error.into()))),
        };
        receive_all(shared, &mut self.framer)?;
        // The answer to an echo.
        self.write(shared)?;
        Ok(true)
    }

    fn write(&mut self, shared: &Shared) -> Result<(), Disconnect> {
        self.unwritten.append(&mut shared.lock().outgoing);
        while !self.unwritten.is_empty() {
            match rustix::net::send(&self.socket, &self.unwritten, SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.unwritten.drain(..length)),
                // The next sleep ends when there is room.
                Err(Errno::AGAIN) if !one_shot::take_ready(&self.socket, Direction::Write) => break,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(Disconnect::Io(Arc::new(error.into()))),
            }
        }
        Ok(())
    }
}

/// Why a stream that has ended did so.
fn ended(framer: &Framer) -> Disconnect {
    framer.finish().map_or_else(Disconnect::Frame, |()| Disconnect::Closed)
}

/// Acts upon every whole message that has been read.
fn receive_all(shared: &Shared, framer: &mut Framer) -> Result<(), Disconnect> {
    while let Some(text) = framer.next_text().map_err(Disconnect::Frame)? {
        shared.receive(text)?;
    }
    Ok(())
}

async fn read_all(shared: Arc<Shared>, mut read: impl AsyncRead + Unpin, limits: Limits) -> Disconnect {
    let mut framer = Framer::new(limits);
    loop {
        match read.read_buf(framer.space()).await {
            Err(error) => return Disconnect::Io(Arc::new(error)),
            Ok(0) => return ended(&framer),
            Ok(_) => shared.activity.fetch_add(1, Ordering::Relaxed),
        };
        if let Err(cause) = receive_all(&shared, &mut framer) {
            return cause;
        }
    }
}

async fn write_all(shared: Arc<Shared>, mut write: impl AsyncWrite + Unpin) -> Disconnect {
    loop {
        let bytes = std::mem::take(&mut shared.lock().outgoing);
        if bytes.is_empty() {
            shared.outgoing.notified().await;
        } else if let Err(error) = write.write_all(&bytes).await {
            return Disconnect::Io(Arc::new(error));
        }
    }
}
