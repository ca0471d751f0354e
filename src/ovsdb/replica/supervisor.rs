//! Keeps a replica alive: finds a server that will do, loads, and begins again when that ends.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::barrier::Barrier;
use super::reading::{Initial, TableUpdates, Whole};
use super::tables::{TableShape, Tables, monitor_requests, shapes};
use super::{Changes, Inner, Live, Options, Phase};
use crate::ovsdb::connection::Connection;
use crate::ovsdb::error::{CallError, Disconnect, ErrorClass};
use crate::ovsdb::json::{self, Part};
use crate::ovsdb::monitor::{
    MonitorRequest, MonitorRequests, Notice, RowUpdate2, Sink, TableUpdates as ByTable, Update, Updates,
};
use crate::ovsdb::operation::{Condition, Row as Columns};
use crate::ovsdb::remote::{self, Remote};
use crate::ovsdb::value::{Uuid, Value};

/// What the monitor of the tables tells the supervisor.
#[derive(Debug)]
enum Event {
    /// The schema is changing.
    Canceled,
    /// Something could not be applied, and so nothing after it.
    Unreadable(String),
}

/// Why a connection is of no use (any more).
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error("{0}")]
    Connecting(std::io::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("{}", Disconnect::Silent(*.0))]
    Silent(Duration),
    #[error("the server has no database {0}")]
    NoDatabase(String),
    #[error("the server is not the leader of the cluster")]
    NotLeader,
    #[error("the server is not connected to its cluster")]
    NotConnected,
    #[error("{0}")]
    Ended(Disconnect),
    #[error("the server no longer tells of its databases")]
    Canceled,
    #[error("an update can't be applied: {0}")]
    Unreadable(String),
}

/// Tries the remotes in turn, for ever.
pub(super) async fn supervise(inner: Arc<Inner>, options: Options) {
    let (shortest, longest) = options.backoff;
    let mut pause = shortest;
    loop {
        let mut forbidden = !options.remotes.is_empty();
        for remote in &options.remotes {
            inner.enter(Phase::Connecting, Some(remote), None);
            let mut was_current = false;
            let Err(useless) = serve(&inner, &options, remote, &mut was_current).await;
            inner.live.send_replace(None);
            match was_current {
                true => info!(%remote, error = %useless, "the replica is no longer current"),
                false => debug!(%remote, error = %useless, "the server will not do"),
            }
            inner.enter(Phase::Connecting, None, None);
            inner.state.send_modify(|state| state.error = Some(useless.to_string()));
            forbidden &= matches!(&useless, Useless::Connecting(error) if remote::is_final(error));
            if was_current {
                pause = shortest;
                break;
            }
        }
        inner.state.send_modify(|state| {
            state.rounds += 1;
            state.forbidden = forbidden;
        });
        tokio::time::sleep(pause.mul_f64(1.0 - chance() / 2.0)).await;
        pause = (pause * 2).min(longest);
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    // The keys of the hash are random.
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// Uses one server for as long as it will do.
async fn serve(
    inner: &Arc<Inner>,
    options: &Options,
    remote: &Remote,
    was_current: &mut bool,
) -> Result<Infallible, Useless> {
    let connecting = tokio::time::timeout(options.patience.min(options.probe * 2), Connection::open(remote)).await;
    let connection = connecting.map_err(|_| Useless::Late(options.probe * 2))?.map_err(Useless::Connecting)?;
    let connection = Arc::new(connection);
    let (outcome, cause) = tokio::select! {
        biased;
        outcome = replicate(inner, options, remote, &connection, was_current) => (outcome, Disconnect::Dropped),
        () = silence(inner, options.probe, &connection) => {
            (Err(Useless::Silent(options.probe * 2)), Disconnect::Silent(options.probe * 2))
        }
    };
    // Others may hold it, but what they wait for does not come any more.
    connection.close(cause);
    outcome
}

/// Returns when nothing has come for too long.
async fn silence(inner: &Inner, probe: Duration, connection: &Connection) {
    let mut last = connection.activity();
    let mut asked = false;
    loop {
        tokio::time::sleep(probe).await;
        let now = connection.activity();
        if now != last {
            (last, asked) = (now, false);
            inner.confirm();
        } else if asked {
            return;
        } else {
            // Whatever comes is a sign of life, so nobody waits for the answer itself.
            drop(connection.echo());
            asked = true;
        }
    }
}

/// Loads the tables and keeps them current, once for each schema that the database has meanwhile.
async fn replicate(
    inner: &Arc<Inner>,
    options: &Options,
    remote: &Remote,
    connection: &Arc<Connection>,
    was_current: &mut bool,
) -> Result<Infallible, Useless> {
    let late = |_| Useless::Late(options.patience);
    // A server that does not know it ends the connection when the schema changes, which does as well.
    let aware = connection.set_db_change_aware(true);
    let mut membership =
        tokio::time::timeout(options.patience, Membership::watch(connection, options)).await.map_err(late)??;
    drop(aware);
    loop {
        membership.check(options)?;
        inner.enter(Phase::Loading, Some(remote), None);
        let (events, mut told) = mpsc::unbounded_channel();
        let live = tokio::time::timeout(options.patience, load(inner, options, connection, events)).await;
        inner.live.send_replace(Some(live.map_err(late)??));
        inner.enter(Phase::Current, Some(remote), Some(!*was_current));
        *was_current = true;
        loop {
            tokio::select! {
                event = told.recv() => match event {
                    Some(Event::Canceled) => break,
                    Some(Event::Unreadable(reason)) => return Err(Useless::Unreadable(reason)),
                    None => return Err(Useless::ended(connection)),
                },
                told = membership.next() => {
                    told.ok_or_else(|| Useless::ended(connection))?;
                    membership.check(options)?;
                }
            }
        }
        debug!(%remote, "the schema changes");
        inner.live.send_replace(None);
    }
}

/// Has the tables told, all of them or what is new, and applies whatever is told after that.
async fn load(
    inner: &Arc<Inner>,
    options: &Options,
    connection: &Arc<Connection>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Arc<Live>, Useless> {
    let schema = connection.get_schema(&options.database).await.map_err(|error| match error.server() {
        Some(server) if server.class() == ErrorClass::UnknownDatabase => Useless::NoDatabase(options.database.clone()),
        _ => Useless::Call(error),
    })?;
    let shapes = shapes(&options.tables, &schema);
    let requests = monitor_requests(&shapes);
    *inner.schema.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(schema));
    let since = inner.reshape(options, &shapes);

    let barrier = Barrier::new(connection.shared().clone());
    let sink = || -> Sink {
        let (inner, barrier, events) = (inner.clone(), barrier.clone(), events.clone());
        Box::new(move |notice| {
            let event = match notice {
                Notice::Canceled => Event::Canceled,
                Notice::Changed(transaction, tables) => match inner.update(transaction.map(|uuid| uuid.0), tables) {
                    Ok(()) => return true,
                    Err(error) => Event::Unreadable(error.to_string()),
                },
            };
            // From here on, nothing proves that all has been delivered.
            barrier.fail();
            let _ = events.send(event);
            false
        })
    };
    let to = inner.clone();
    let initial = move |result: Part<'_>| to.apply(|tables| json::from_str_seed(result.get(), Initial(tables)));
    let database = &options.database;
    let since = since.unwrap_or(Uuid(uuid::Uuid::nil())).to_text();
    let params = |id: &str| json!([database, id, &requests, since]);
    match connection.monitor_with("monitor_cond_since", params, initial, sink()).await {
        Ok(continued) => inner.state.send_modify(|state| state.continued = continued),
        // Open vSwitch before 2.12.
        Err(error) if error.server().is_some_and(|error| error.class() == ErrorClass::UnknownMethod) => {
            let to = inner.clone();
            let initial = move |result: Part<'_>| to.apply(|tables| json::from_str_seed(result.get(), Whole(tables)));
            connection.monitor_with("monitor_cond", |id| json!([database, id, &requests]), initial, sink()).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Arc::new(Live { connection: connection.clone(), barrier }))
}

impl Useless {
    fn ended(connection: &Connection) -> Self {
        connection.ended().map_or(Useless::Canceled, Useless::Ended)
    }
}

/// What the server says of the database and of its own place in a cluster (ovsdb-server(5), `_Server`).
struct Membership {
    /// A server before Open vSwitch 2.9 tells nothing; it has no clusters either.
    updates: Option<Updates<ByTable<RowUpdate2>>>,
    database: Option<Columns>,
}

impl Membership {
    async fn watch(connection: &Connection, options: &Options) -> Result<Self, CallError> {
        let columns = ["name", "model", "connected", "leader"];
        let request = MonitorRequest {
            conditions: vec![Condition::equal("name", &options.database)],
            ..MonitorRequest::columns(&columns)
        };
        let requests = MonitorRequests::from([("Database".into(), vec![request])]);
        let (initial, updates) = connection.monitor_cond::<ByTable<RowUpdate2>>("_Server", &requests);
        match initial.await {
            Ok(tables) => {
                let mut membership = Membership { updates: Some(updates), database: None };
                membership.apply(tables);
                Ok(membership)
            }
            Err(error) if error.server().is_some() => Ok(Membership { updates: None, database: None }),
            Err(error) => Err(error),
        }
    }

    fn apply(&mut self, tables: ByTable<RowUpdate2>) {
        for change in tables.into_values().flat_map(BTreeMap::into_values) {
            match change {
                RowUpdate2::Initial(row) | RowUpdate2::Insert(row) => self.database = Some(row),
                // None of the columns can have more than one value, so each comes whole.
                RowUpdate2::Modify(row) => self.database.get_or_insert_default().extend(row),
                RowUpdate2::Delete => self.database = None,
            }
        }
    }

    /// Waits for news; `None` once there will be none.
    async fn next(&mut self) -> Option<()> {
        let Some(updates) = &mut self.updates else { return std::future::pending().await };
        match updates.next().await? {
            Update::Changed(_, tables) => self.apply(tables),
            Update::Canceled | Update::Unreadable(_) => return None,
        }
        Some(())
    }

    /// Whether the server will do.
    fn check(&self, options: &Options) -> Result<(), Useless> {
        if self.updates.is_none() {
            return Ok(());
        }
        let Some(database) = &self.database else { return Err(Useless::NoDatabase(options.database.clone())) };
        let is = |column: &str| database.get(column).and_then(Value::as_bool).unwrap_or_default();
        match database.get("model").and_then(Value::as_str) {
            Some("clustered") if !is("connected") => Err(Useless::NotConnected),
            Some("clustered") if options.leader_only && !is("leader") => Err(Useless::NotLeader),
            _ => Ok(()),
        }
    }
}

impl Inner {
    fn confirm(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn enter(&self, phase: Phase, remote: Option<&Remote>, again: Option<bool>) {
        self.state.send_modify(|state| {
            if state.phase != phase {
                state.since = Instant::now();
            }
            state.phase = phase;
            state.remote = remote.cloned();
            if again == Some(true) {
                state.connections += 1;
            }
        });
    }

    /// Prepares the tables for contents of these shapes, and tells from which transaction on they are of use.
    fn reshape(&self, options: &Options, shapes: &[Arc<TableShape>]) -> Option<Uuid> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if !tables.reshape(&options.tables, shapes) && tables.applied() > 0 {
            // Nobody to tell is as well.
            let _ = self.changes.send(Arc::new(Changes { transaction: None, reset: true, rows: Vec::new() }));
        }
        tables.transaction()
    }

    fn update(&self, transaction: Option<Uuid>, updates: Part<'_>) -> Result<(), json::Error> {
        self.apply(|tables| {
            json::from_str_seed(updates.get(), TableUpdates(tables))?;
            tables.reached(transaction);
            Ok(())
        })
    }

    /// Changes the tables, and tells whoever wants to know.
    fn apply<R>(&self, change: impl FnOnce(&mut Tables) -> Result<R, json::Error>) -> Result<R, json::Error> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes.receiver_count() > 0 {
            tables.note_changes();
        }
        let outcome = change(&mut tables);
        if outcome.is_err() {
            // Applied in part: only the whole contents will put it right.
            tables.reached(None);
        }
        (self.observer)(&tables);
        if let Some(changes) = tables.take_changes().filter(|changes| !changes.rows.is_empty()) {
            let _ = self.changes.send(Arc::new(changes));
        }
        drop(tables);
        self.confirm();
        outcome
    }
}
