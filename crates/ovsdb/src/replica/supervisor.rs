//! Keeps a replica alive: finds a server that will do, loads, and begins again when that ends.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::reading::{Initial, TableUpdates, Whole};
use super::sync_point::{Probe, SyncPoints, Unanswered};
use super::tables::{TableShape, Tables, monitor_requests, shapes};
use super::{Changes, Inner, Live, Options, Phase};
use crate::address::{self, Address};
use crate::connection::{Connection, Updates};
use crate::driver::Driver;
use crate::error::{CallError, Disconnect, ErrorClass};
use crate::membership::{self, Choice, DatabaseRow, Standing, Unfit};
use crate::monitor::{MonitorRequest, MonitorRequests, Notice, RowUpdate, Sink, TableUpdates as ByTable, Update};
use crate::operation::Row as Columns;
use crate::rows;
use crate::value::{Uuid, Value};
use crate::wire::json;

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
    #[error("{0}")]
    Call(CallError),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("{}", Disconnect::Silent(*.0))]
    Silent(Duration),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("{0} is up to date again")]
    Better(Address),
    #[error("{0}")]
    Ended(Disconnect),
    #[error("the server no longer tells of its databases")]
    Canceled,
    #[error("the server knows no method to watch tables")]
    NoMonitor,
    #[error("an update can't be applied: {0}")]
    Unreadable(String),
    #[error(transparent)]
    SyncPoint(#[from] Unanswered),
}

impl From<CallError> for Useless {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Disconnected { cause, .. } => Useless::Ended(cause),
            error => Useless::Call(error),
        }
    }
}

impl Useless {
    /// Whether waiting will not help.
    fn is_final(&self) -> bool {
        match self {
            Useless::Connecting(error) => address::is_final(error),
            Useless::Ended(cause) => cause.is_foreign(),
            _ => false,
        }
    }
}

/// Tries the remotes in turn, for ever.
pub(super) async fn supervise(inner: Arc<Inner>, options: Options) {
    let (shortest, longest) = options.backoff;
    let mut pause = shortest;
    let mut choice = Choice::among(options.remotes.len());
    let mut warned = None;
    loop {
        let mut forbidden = !options.remotes.is_empty();
        let mut causes = Vec::new();
        choice.begin_round();
        for remote in &options.remotes {
            inner.enter(Phase::Connecting, Some(remote), None);
            let mut was_current = false;
            let began = Instant::now();
            let Err(useless) = serve(&inner, &options, remote, &mut choice, &mut was_current).await;
            inner.live.send_replace(None);
            match was_current {
                true => info!(%remote, error = %useless, "the replica is no longer current"),
                false => debug!(%remote, error = %useless, "the server will not do"),
            }
            inner.enter(Phase::Connecting, None, None);
            causes.push((remote, useless.to_string()));
            inner.state.send_modify(|state| state.error = Some(told(&causes)));
            forbidden &= useless.is_final() && !was_current;
            if was_current {
                // A server that hangs up as soon as there is a connection is not to be tried without end, and as fast as
                // can be.
                if began.elapsed() >= longest {
                    pause = shortest;
                }
                (choice, warned) = (Choice::among(options.remotes.len()), None);
                causes.clear();
                break;
            }
        }
        // Once for each cause: it may take days until there is a server that will do.
        let cause = Some(told(&causes)).filter(|_| !causes.is_empty());
        if let Some(cause) = cause.filter(|cause| warned.as_ref() != Some(cause)) {
            warn!("no server of the database {} will do, trying on: {cause}", options.database);
            warned = Some(cause);
        }
        inner.state.send_modify(|state| {
            state.rounds += 1;
            state.forbidden = forbidden;
        });
        tokio::time::sleep(pause.mul_f64(1.0 - chance() / 2.0)).await;
        pause = (pause * 2).min(longest);
    }
}

/// Why no server will do.
fn told(causes: &[(&Address, String)]) -> String {
    match causes {
        [(_, cause)] => cause.clone(),
        _ => causes.iter().map(|(remote, cause)| format!("{remote}: {cause}")).collect::<Vec<_>>().join("; "),
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
    remote: &Address,
    choice: &mut Choice,
    was_current: &mut bool,
) -> Result<Infallible, Useless> {
    let opening = Connection::open_with(Driver::Tokio, remote, options.limits);
    let connecting = tokio::time::timeout(options.patience.min(options.probe * 2), opening).await;
    let connection = connecting.map_err(|_| Useless::Late(options.probe * 2))?.map_err(Useless::Connecting)?;
    let connection = Arc::new(connection);
    let (outcome, cause) = tokio::select! {
        biased;
        outcome = replicate(inner, options, remote, &connection, choice, was_current) => (outcome, Disconnect::Dropped),
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
    remote: &Address,
    connection: &Arc<Connection>,
    choice: &mut Choice,
    was_current: &mut bool,
) -> Result<Infallible, Useless> {
    let late = |_| Useless::Late(options.patience);
    // A server that does not know it ends the connection when the schema changes, which does as well.
    let aware = connection.set_db_change_aware(true);
    let mut membership =
        tokio::time::timeout(options.patience, Membership::watch(connection, options)).await.map_err(late)??;
    drop(aware);
    let standing = membership.standing(options)?;
    if options.prefer_latest {
        choice.takes(standing, membership::PATIENCE)?;
    }
    loop {
        inner.enter(Phase::Loading, Some(remote), None);
        let (events, mut told) = mpsc::unbounded_channel();
        let live = tokio::time::timeout(options.patience, load(inner, options, connection, standing, events)).await;
        let live = live.map_err(late)??;
        if standing == Standing::Relay {
            prove(&live, options.probe).await?;
        }
        inner.live.send_replace(Some(live.clone()));
        inner.enter(Phase::Current, Some(remote), Some(!*was_current));
        *was_current = true;
        let doubts = doubt(options, remote, standing, &live);
        let unanswered = live.sync_points.unanswered(options.probe);
        tokio::pin!(doubts, unanswered);
        loop {
            tokio::select! {
                event = told.recv() => match event {
                    Some(Event::Canceled) => break,
                    Some(Event::Unreadable(reason)) => return Err(Useless::Unreadable(reason)),
                    None => return Err(Useless::ended(connection)),
                },
                told = membership.next(connection, options) => {
                    told?;
                    // A follower may become the leader, which is as well.
                    match membership.standing(options)? {
                        Standing::Latest => {}
                        now if now == standing => {}
                        now => return Err(Unfit::Behind(now).into()),
                    }
                }
                useless = &mut doubts => return Err(useless),
                late = &mut unanswered => return Err(late.into()),
            }
        }
        debug!(%remote, "the schema changes");
        inner.live.send_replace(None);
    }
}

/// A relay has to pass something on to its source, as it goes on telling for half a minute that it is connected.
async fn prove(live: &Live, probe: Duration) -> Result<(), Useless> {
    match tokio::time::timeout(probe * 2, live.sync_points.pass()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Useless::ended(&live.connection)),
        Err(_) => Err(Unfit::NoSource.into()),
    }
}

/// Looks from time to time whether a server that may be behind is still worth it: returns when a relay has lost its
/// source, or when one of the other servers is up to date.
async fn doubt(options: &Options, used: &Address, standing: Standing, live: &Live) -> Useless {
    if standing == Standing::Latest {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(options.probe).await;
        if standing == Standing::Relay
            && let Err(useless) = prove(live, options.probe).await
        {
            return useless;
        }
        let others = options.remotes.iter().filter(|remote| options.prefer_latest && *remote != used);
        for remote in others {
            let asked = async {
                let opened = Connection::open_with(Driver::Tokio, remote, options.limits).await;
                let connection = opened.map_err(Useless::Connecting)?;
                let answer = membership::ask(&connection, &options.database).await;
                Ok::<_, Useless>(membership::answered(answer, &options.database)??)
            };
            match tokio::time::timeout(options.probe * 2, asked).await {
                Ok(Ok(Standing::Latest)) => return Useless::Better(remote.clone()),
                Ok(Ok(standing)) => debug!(%remote, %standing, "no better"),
                Ok(Err(error)) => debug!(%remote, %error, "no better"),
                Err(_) => debug!(%remote, "no better: no answer"),
            }
        }
    }
}

/// Has the tables told, all of them or what is new, and applies whatever is told after that.
async fn load(
    inner: &Arc<Inner>,
    options: &Options,
    connection: &Arc<Connection>,
    standing: Standing,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Arc<Live>, Useless> {
    let schema = connection.get_schema(&options.database).await.map_err(|error| match error.server() {
        Some(server) if server.class() == ErrorClass::UnknownDatabase => {
            Useless::Unfit(Unfit::NoDatabase(options.database.clone()))
        }
        _ => error.into(),
    })?;
    let shapes = shapes(&options.tables, &schema);
    let requests = monitor_requests(&shapes);
    *inner.schema.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(schema));
    let since = inner.reshape(options, &shapes);

    let probe = match standing {
        Standing::Relay => Probe::PassedOn(options.database.clone()),
        Standing::Latest | Standing::Follower => Probe::Echo,
    };
    let sync_points = SyncPoints::new(connection.link().clone(), probe);
    let sink = || -> Sink {
        let (inner, sync_points, events) = (inner.clone(), sync_points.clone(), events.clone());
        Box::new(move |notice| {
            let event = match notice {
                Notice::Canceled => Event::Canceled,
                Notice::Changed(transaction, tables) => match inner.update(transaction.map(|uuid| uuid.0), tables) {
                    Ok(()) => return true,
                    Err(error) => Event::Unreadable(error.to_string()),
                },
            };
            // From here on, nothing proves that all has been delivered.
            sync_points.fail();
            let _ = events.send(event);
            false
        })
    };
    let to = inner.clone();
    let initial = move |result: &RawValue| to.apply(|tables| json::from_str_seed(result.get(), Initial(tables)));
    let database = &options.database;
    let since = since.unwrap_or(Uuid(uuid::Uuid::nil())).to_text();
    let params = |id: &str| json!([database, id, &requests, since]);
    match connection.monitor_with("monitor_cond_since", params, initial, sink()).await {
        Ok(continued) => {
            inner.state.send_modify(|state| state.continued = continued);
            return Ok(Arc::new(Live { connection: connection.clone(), sync_points }));
        }
        Err(error) => unknown_method(error)?,
    }
    inner.state.send_modify(|state| state.continued = false);
    // Open vSwitch before 2.12 does not know the one above, and before 2.6 knows only what RFC 7047 has.
    for method in ["monitor_cond", "monitor"] {
        let to = inner.clone();
        let initial = move |result: &RawValue| to.apply(|tables| json::from_str_seed(result.get(), Whole(tables)));
        match connection.monitor_with(method, |id| json!([database, id, &requests]), initial, sink()).await {
            Ok(()) => return Ok(Arc::new(Live { connection: connection.clone(), sync_points })),
            Err(error) => unknown_method(error)?,
        }
    }
    Err(Useless::NoMonitor)
}

/// Whether the server does not know the method, and an older one is to be tried.
fn unknown_method(error: CallError) -> Result<(), Useless> {
    match error.server() {
        Some(server) if server.class() == ErrorClass::UnknownMethod => Ok(()),
        _ => Err(error.into()),
    }
}

impl Useless {
    fn ended(connection: &Connection) -> Self {
        connection.ended().map_or(Useless::Canceled, Useless::Ended)
    }
}

/// What the server says of the database and of its own place in a cluster, and goes on saying.
struct Membership {
    /// A server before Open vSwitch 2.9 tells nothing; it has no clusters either.
    updates: Option<Updates<ByTable<RowUpdate>>>,
    row: Option<DatabaseRow>,
}

impl Membership {
    async fn watch(connection: &Connection, options: &Options) -> Result<Self, Useless> {
        // The plain monitor tells whole rows.
        let request = MonitorRequest::columns(&membership::COLUMNS);
        let requests = MonitorRequests::from([(membership::DATABASE_TABLE.into(), vec![request])]);
        let (initial, updates) = connection.monitor(membership::SERVER_DATABASE, &requests);
        let mut membership = Membership { updates: None, row: None };
        match initial.await {
            Ok(tables) => {
                membership.updates = Some(updates);
                membership.apply(tables, options)?;
                Ok(membership)
            }
            Err(error) if membership::is_too_old(&error) => Ok(membership),
            Err(error) => Err(error.into()),
        }
    }

    fn apply(&mut self, tables: ByTable<RowUpdate>, options: &Options) -> Result<(), Useless> {
        let read =
            |row: &Columns| rows::read_row::<DatabaseRow>(row).map_err(|error| Useless::Unreadable(error.to_string()));
        for change in tables.values().flat_map(BTreeMap::values) {
            match &change.new {
                Some(new) => {
                    let row = read(new)?;
                    if row.name == options.database {
                        self.row = Some(row);
                    }
                }
                // What is not there any more has its name among its last contents.
                None => {
                    let name = change.old.as_ref().and_then(|old| old.get("name")).and_then(Value::as_str);
                    if name == Some(&options.database) {
                        self.row = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits for news.
    async fn next(&mut self, connection: &Connection, options: &Options) -> Result<(), Useless> {
        let Some(updates) = &mut self.updates else { return std::future::pending().await };
        match updates.next().await {
            Some(Update::Changed(_, tables)) => self.apply(tables, options),
            Some(Update::Unreadable(reason)) => Err(Useless::Unreadable(reason)),
            Some(Update::Canceled) => Err(Useless::Canceled),
            None => Err(Useless::ended(connection)),
        }
    }

    /// What the server is good for.
    fn standing(&self, options: &Options) -> Result<Standing, Useless> {
        match self.updates {
            Some(_) => Ok(Standing::of(self.row.as_ref(), &options.database)?),
            None => Ok(Standing::Latest),
        }
    }
}

impl Inner {
    fn confirm(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn enter(&self, phase: Phase, remote: Option<&Address>, again: Option<bool>) {
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
            // It is no error that nobody has subscribed.
            let _ = self.changes.send(Arc::new(Changes { transaction: None, reset: true, rows: Vec::new() }));
        }
        tables.transaction()
    }

    fn update(&self, transaction: Option<Uuid>, updates: &RawValue) -> Result<(), json::Error> {
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
