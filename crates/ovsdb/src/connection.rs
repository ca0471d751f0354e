//! One connection to an OVSDB server: sends requests, matches replies to them, answers the server's echo, delivers
//! what monitors and locks tell.
//!
//! A call is put into the outgoing buffer at once and returns a [`Reply`] to wait for; everything that was called
//! before the next wait leaves in one write. Any number of calls may be in flight, in any order.
//!
//! Nothing here waits by itself and nothing here has a deadline: whoever awaits a [`Reply`] bounds that wait. Dropping
//! a [`Reply`] forgets the answer, it does not take the request back.
//!
//! What the messages mean is decided in `protocol`, without input and output; a [`Driver`] moves the bytes.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "poll")]
use std::sync::PoisonError;
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::address::Address;
use crate::driver::Driver;
use crate::error::{CallError, Disconnect};
use crate::link::Link;
use crate::monitor::{self, MonitorRequests, Since, Update};
use crate::protocol::{Complete, Event};
use crate::schema::DatabaseSchema;
use crate::transaction::{Done, TransactParams, TransactReply, Transaction};
use crate::value::{PlainUuid, Uuid};
use crate::wire::frame::Limits;
use crate::wire::json;

/// A connection. Dropping it ends it and fails what is still in flight.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    /// Those of tokio's driver.
    #[cfg(feature = "tokio")]
    tasks: Option<[tokio::task::AbortHandle; 2]>,
}

/// The answer to `lock` and `steal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Locked {
    /// Whether the lock is ours already; if not, [`Event::Locked`] tells when it is.
    pub locked: bool,
}

/// What a connection and those who wait for its answers share.
#[derive(Debug)]
pub(crate) struct Shared {
    link: Arc<Link>,
    /// Where those who wait do the work.
    #[cfg(feature = "poll")]
    polled: Option<std::sync::Mutex<crate::driver::poll::Stream>>,
}

/// What a monitor tells after its first answer, in order. Ends with the connection.
#[derive(Debug)]
pub struct Updates<T> {
    id: String,
    receiver: mpsc::UnboundedReceiver<Update<T>>,
    shared: Arc<Shared>,
}

/// An answer that is on its way. It comes as `T`.
#[derive(Debug)]
pub struct Reply<T> {
    id: u64,
    method: &'static str,
    shared: Arc<Shared>,
    receiver: oneshot::Receiver<Result<T, CallError>>,
}

impl Connection {
    /// Connects, once. Must be called inside a tokio runtime, which then serves the connection.
    ///
    /// # Errors
    ///
    /// Those of the system: `NotFound` and `ConnectionRefused` while no server is there, `PermissionDenied`. `Unsupported`
    /// for `ssl:`, and for a name where there is no resolver; waiting does not help there ([`crate::is_final`]).
    #[cfg(feature = "tokio")]
    pub async fn open(address: &Address) -> io::Result<Self> {
        Connection::open_on(Driver::Tokio, address).await
    }

    /// Connects, once, over a driver.
    pub async fn open_on(driver: Driver, address: &Address) -> io::Result<Self> {
        Connection::open_with(driver, address, Limits::default()).await
    }

    /// As [`Connection::open_on`], with other limits for what the server sends.
    pub async fn open_with(driver: Driver, address: &Address, limits: Limits) -> io::Result<Self> {
        match driver {
            #[cfg(feature = "tokio")]
            Driver::Tokio => {
                let (read, write) = crate::driver::tokio::open(address).await?;
                Ok(Connection::over(read, write, address.to_string(), limits))
            }
            #[cfg(feature = "poll")]
            Driver::Poll => {
                let stream = crate::driver::poll::Stream::open(address, limits).await?;
                let shared = Shared { polled: Some(std::sync::Mutex::new(stream)), ..Shared::new(address.to_string()) };
                Ok(Connection {
                    shared: Arc::new(shared),
                    #[cfg(feature = "tokio")]
                    tasks: None,
                })
            }
        }
    }

    /// Speaks over a stream that exists already; `name` stands for the server in errors. Must be called inside a tokio
    /// runtime.
    #[cfg(feature = "tokio")]
    pub fn over(
        read: impl tokio::io::AsyncRead + Send + Unpin + 'static,
        write: impl tokio::io::AsyncWrite + Send + Unpin + 'static,
        name: String,
        limits: Limits,
    ) -> Self {
        let shared = Arc::new(Shared::new(name));
        let tasks = crate::driver::tokio::serve(&shared.link, read, write, limits);
        Connection { shared, tasks: Some(tasks) }
    }

    /// The server's address.
    pub fn remote(&self) -> &str {
        self.shared.link.remote()
    }

    /// Whether the connection is still there, as far as is known.
    pub fn is_open(&self) -> bool {
        self.shared.link.ended().is_none()
    }

    /// Lock notifications. There is one receiver; the second call returns `None`.
    pub fn events(&self) -> Option<mpsc::UnboundedReceiver<Event>> {
        self.shared.link.events()
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
        self.shared.link.notify("cancel", [reply.id]);
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
        self.shared.link.remove_monitor(&updates.id);
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
        let id = self.shared.link.add_monitor(sink);
        (id.clone(), Updates { id, receiver, shared: self.shared.clone() })
    }

    /// Begins a monitor whose answers are read in a way of their own, in the order in which they come: first the reply,
    /// then every notification.
    #[cfg(feature = "tokio")]
    pub(crate) fn monitor_with<T: Send + 'static>(
        &self,
        method: &'static str,
        params: impl FnOnce(&str) -> serde_json::Value,
        read: impl FnOnce(&RawValue) -> Result<T, json::Error> + Send + 'static,
        sink: monitor::Sink,
    ) -> Reply<T> {
        let id = self.shared.link.add_monitor(sink);
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
        let id = self.shared.link.send(method, params, complete);
        Reply { id, method, shared: self.shared.clone(), receiver }
    }

    /// What is below the connection: calls that are answered in place.
    #[cfg(feature = "tokio")]
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.shared.link
    }

    /// Why the connection is gone, if it is.
    pub fn ended(&self) -> Option<Disconnect> {
        self.shared.link.ended()
    }

    /// How often something was read; as long as this grows, the server is alive.
    pub fn activity(&self) -> u64 {
        self.shared.link.activity()
    }

    /// Ends the connection, whoever else holds it, and fails what is still in flight.
    #[cfg(feature = "tokio")]
    pub(crate) fn close(&self, cause: Disconnect) {
        self.shared.link.end(cause);
        self.abort();
    }

    /// Ends the driver's tasks.
    fn abort(&self) {
        #[cfg(feature = "tokio")]
        for task in self.tasks.iter().flatten() {
            task.abort();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.abort();
        self.shared.link.end(Disconnect::Dropped);
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
            outcome.unwrap_or_else(|_| Err(self.shared.link.disconnected(self.method.to_owned(), Disconnect::Dropped)))
        })
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.shared.link.forget(self.id);
    }
}

impl<T> Updates<T> {
    /// The name by which the server knows the monitor, for `monitor_cancel`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next notification; `None` once the connection is gone.
    pub async fn next(&mut self) -> Option<Update<T>> {
        poll_fn(|context| {
            let update = self.receiver.poll_recv(context);
            if update.is_pending() && self.shared.serve() { self.receiver.poll_recv(context) } else { update }
        })
        .await
    }
}

impl Shared {
    fn new(remote: String) -> Self {
        Shared {
            link: Arc::new(Link::new(remote)),
            #[cfg(feature = "poll")]
            polled: None,
        }
    }

    /// Where there are no tasks: reads and writes what can be without waiting. Returns whether anything was read, so
    /// that it is worth looking again for what is waited for.
    fn serve(&self) -> bool {
        #[cfg(feature = "poll")]
        if let Some(polled) = &self.polled
            && self.link.ended().is_none()
        {
            let served = polled.lock().unwrap_or_else(PoisonError::into_inner).serve(&self.link);
            return served.unwrap_or_else(|cause| {
                self.link.end(cause);
                true
            });
        }
        false
    }
}
