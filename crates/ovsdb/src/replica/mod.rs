//! A replica: tables of a database, kept current in memory.
//!
//! [`Replica::start`] names the tables and columns. A task of its own keeps a connection to one of the servers, whatever
//! happens to them, and everything that a monitor tells is applied as it is read, before anything that came after it is
//! looked at. [`Replica::read`] looks at the tables as of one transaction, [`Replica::sync`] makes sure that this is a
//! recent one, and [`Replica::subscribe`] tells of every change.
//!
//! `packed` has the rows and `reading` reads them from the wire; `tables` finds and changes them; `supervisor` keeps the
//! connection; `sync_point` proves what has been delivered.
//!
//! ```no_run
//! use ovsdb::replica::{Options, Replica, TableRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let remotes = vec!["tcp:10.0.0.1".parse()?, "tcp:10.0.0.2".parse()?];
//! let tables = vec![TableRequest::new("Queue", &["dscp"]).unique("dscp")];
//! let replica = Replica::start(Options::new(remotes, "Open_vSwitch", tables), Box::new(|_| {}));
//! // Waits for a connection as well; a deadline is the caller's.
//! tokio::time::timeout(std::time::Duration::from_secs(5), replica.sync()).await?;
//! let is_there = replica.read(|tables| tables.find("Queue", "dscp", 7i64).is_some());
//! # Ok(())
//! # }
//! ```

mod packed;
mod reading;
mod supervisor;
mod sync_point;
mod tables;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::connection::Connection;
use crate::operation::Name;
use crate::schema::DatabaseSchema;
use crate::value::Uuid;
use crate::wire::frame::Limits;
pub use packed::{AtomView, ColumnShape, ColumnView};
use sync_point::SyncPoints;
pub use tables::{FormerRow, RowView, Table, TableShape, Tables};

/// What is replicated, from where, and how long to be patient.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, tried in turn.
    pub remotes: Vec<Address>,
    /// The database.
    pub database: String,
    /// What of it. Several requests for one table count as one for all that they name.
    pub tables: Vec<TableRequest>,
    /// Whether a server that may be behind, a cluster's follower or a relay, is used only where there is no better one
    /// ([`crate::membership`]): only of the others it is sure that what they tell is the latest.
    pub prefer_latest: bool,
    /// After so much silence the server is asked for a sign of life; after as much again the connection is given up.
    pub probe: Duration,
    /// How long it may take to connect and to be told what there is, silence aside.
    pub patience: Duration,
    /// The pauses between attempts begin with the first and double up to the second; up to half of each is left to chance,
    /// so that many clients do not come at once.
    pub backoff: (Duration, Duration),
    /// How large what a server sends may be.
    pub limits: Limits,
    /// How many transactions a subscriber may be behind before it is told that it has missed some.
    pub backlog: usize,
}

impl Options {
    /// The usual patience with the servers of a database.
    pub fn new(remotes: Vec<Address>, database: impl Into<String>, tables: Vec<TableRequest>) -> Self {
        Options {
            remotes,
            database: database.into(),
            tables,
            prefer_latest: true,
            probe: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            backoff: (Duration::from_millis(10), Duration::from_secs(1)),
            limits: Limits::default(),
            backlog: 1024,
        }
    }
}

/// What to replicate of one table. A table or a column that the schema does not have is left out, until it has it.
#[derive(Clone, Debug, Default)]
pub struct TableRequest {
    /// The table.
    pub table: Name,
    /// Its columns.
    pub columns: Vec<Name>,
    /// Columns by which rows are found; no two rows may have the same in them.
    pub unique: Vec<Name>,
    /// Sets of references that are followed backwards.
    pub references: Vec<Name>,
}

impl TableRequest {
    /// Columns of a table, without ways to find its rows but by their identities.
    pub fn new(table: &'static str, columns: &[&'static str]) -> Self {
        let columns = columns.iter().map(|column| Name::from(*column)).collect();
        TableRequest { table: table.into(), columns, ..TableRequest::default() }
    }

    /// One request for each table.
    fn merged(requests: Vec<TableRequest>) -> Vec<TableRequest> {
        let mut merged: Vec<TableRequest> = Vec::new();
        for request in requests {
            let Some(first) = merged.iter_mut().find(|other| other.table == request.table) else {
                merged.push(request);
                continue;
            };
            let lists = [
                (&mut first.columns, request.columns),
                (&mut first.unique, request.unique),
                (&mut first.references, request.references),
            ];
            for (names, further) in lists {
                for name in further {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        merged
    }

    /// Finds rows by a column that is different in each.
    pub fn unique(mut self, column: &'static str) -> Self {
        self.unique.push(column.into());
        self
    }

    /// Finds the rows that refer to a row in a set of references.
    pub fn references(mut self, column: &'static str) -> Self {
        self.references.push(column.into());
        self
    }
}

/// How the replica is.
#[derive(Clone, Debug)]
pub struct State {
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// The server that it is connected to, or that is tried.
    pub remote: Option<Address>,
    /// Over how many connections it has been current so far.
    pub connections: u64,
    /// Whether the last of them only had to bring what was new.
    pub continued: bool,
    /// Why the last connection or attempt ended.
    pub error: Option<String>,
    /// How often all the servers were tried, or one of them was lost.
    pub rounds: u64,
    /// Whether in the last of these rounds the system let us connect to none of them (`EACCES`, `EPERM`), or they talk no
    /// OVSDB. It is tried again, but waiting alone will not help.
    pub forbidden: bool,
}

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is no connection.
    Connecting,
    /// There is a connection, and the contents are on their way.
    Loading,
    /// Every change is told and applied.
    Current,
}

/// What one transaction changed; several may have become one for a client that reads slowly.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Its id, where the server tells it.
    pub transaction: Option<Uuid>,
    /// Everything that was known is forgotten: the schema has changed. What there is now follows as insertions.
    pub reset: bool,
    /// Each row that changed.
    pub rows: Vec<RowChange>,
}

/// A row that changed.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// Its table.
    pub table: Name,
    /// Its identity.
    pub uuid: Uuid,
    /// What happened.
    pub what: Change,
}

/// What happened to a row.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new.
    Inserted,
    /// Columns have other contents.
    Modified {
        /// The columns.
        columns: Vec<Name>,
        /// As it was before.
        former: FormerRow,
    },
    /// It is gone.
    Deleted {
        /// As it was before.
        former: FormerRow,
    },
}

/// A replica. Dropping it ends its connection.
#[derive(Debug)]
pub struct Replica {
    inner: Arc<Inner>,
    supervisor: AbortHandle,
}

/// Is shown the tables after each notification that was applied. Must be quick: nothing is read meanwhile.
pub type Observer = Box<dyn Fn(&Tables) + Send + Sync>;

struct Inner {
    tables: RwLock<Tables>,
    observer: Observer,
    changes: broadcast::Sender<Arc<Changes>>,
    state: watch::Sender<State>,
    /// The connection whose monitor keeps the tables current.
    live: watch::Sender<Option<Arc<Live>>>,
    schema: Mutex<Option<Arc<DatabaseSchema>>>,
    /// When the replica was last known to be current.
    confirmed: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

/// A connection over which updates come.
#[derive(Debug)]
struct Live {
    connection: Arc<Connection>,
    sync_points: Arc<SyncPoints>,
}

impl Live {
    fn works(&self) -> bool {
        self.sync_points.works() && self.connection.is_open()
    }
}

impl Replica {
    /// Begins to replicate. Must be called inside a tokio runtime.
    pub fn start(mut options: Options, observer: Observer) -> Self {
        options.tables = TableRequest::merged(options.tables);
        let state = State {
            phase: Phase::Connecting,
            since: Instant::now(),
            remote: None,
            connections: 0,
            continued: false,
            error: None,
            rounds: 0,
            forbidden: false,
        };
        let inner = Arc::new(Inner {
            tables: RwLock::default(),
            observer,
            changes: broadcast::Sender::new(options.backlog),
            state: watch::Sender::new(state),
            live: watch::Sender::new(None),
            schema: Mutex::default(),
            confirmed: Mutex::default(),
        });
        let supervisor = tokio::spawn(supervisor::supervise(inner.clone(), options)).abort_handle();
        Replica { inner, supervisor }
    }

    /// Looks at the tables, as of one transaction. Nothing is applied meanwhile, so it should be quick.
    pub fn read<R>(&self, look: impl FnOnce(&Tables) -> R) -> R {
        look(&self.inner.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connection that keeps the tables current, for requests of other kinds. Waits until there is one.
    pub async fn connection(&self) -> Arc<Connection> {
        self.live().await.connection.clone()
    }

    /// Returns once everything that was committed before the call is in the tables. Waits until there is a connection.
    pub async fn sync(&self) {
        while self.live().await.sync_points.pass().await.is_err() {}
        let mut confirmed = self.inner.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        *confirmed = Some(Instant::now());
    }

    async fn live(&self) -> Arc<Live> {
        let mut live = self.inner.live.subscribe();
        loop {
            if let Some(live) = live.borrow_and_update().as_ref().filter(|live| live.works()) {
                return live.clone();
            }
            // The sender is ours.
            if live.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How the replica is, and every change of that.
    pub fn state(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }

    /// For how long it has not been proven that the tables are current, by a sync point, an update or a sign of life;
    /// `None` before the first.
    pub fn lag(&self) -> Option<Duration> {
        self.inner.confirmed.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// The schema of the database, once it is known.
    pub fn schema(&self) -> Option<Arc<DatabaseSchema>> {
        self.inner.schema.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the tables and subscribes to every change after that.
    pub fn subscribe<R>(&self, look: impl FnOnce(&Tables) -> R) -> (R, Subscription) {
        // Changes are told while the tables are locked for writing.
        let tables = self.inner.tables.read().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.inner.changes.subscribe();
        (look(&tables), Subscription { receiver })
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.supervisor.abort();
        if let Some(live) = self.inner.live.send_replace(None) {
            live.connection.close(crate::Disconnect::Dropped);
        }
    }
}

/// Changes of a replica, one transaction after the other.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<Changes>>,
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// A transaction.
    Changed(Arc<Changes>),
    /// The subscriber was too slow, and has missed so many transactions: it has to subscribe anew.
    Lagged(u64),
}

impl Subscription {
    /// The next transaction; `None` once the replica is gone.
    pub async fn next(&mut self) -> Option<Told> {
        match self.receiver.recv().await {
            Ok(changes) => Some(Told::Changed(changes)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Told::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
