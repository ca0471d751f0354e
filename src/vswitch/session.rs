//! What one command holds while it runs: its settings, its deadline, the connection to the database, the kernel.

use std::sync::Arc;
use std::time::Duration;

use ovsdb::error::{Disconnect, ErrorClass};
use ovsdb::membership::{self, Choice, Standing, Unfit};
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::{OperationResult, TransactError, Transaction};
use ovsdb::wire::frame::Limits;
use ovsdb::{Address, CallError, Connection, Reply};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use super::hub::Hub;
use super::plan::LinkChange;
use super::present::{self, Narrowed};
use super::search::{Search, not_connected};
use super::tables::{DATABASE, OPEN_VSWITCH};
use crate::deadline::{Deadline, Expired};
use crate::error::Error;
use crate::links::{Link, LinkError, Links};
use crate::settings::{MAX_REPLY, Settings};

/// The pause before a server that could not be reached, or has hung up, is tried again.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// The pause doubles with each failure, so often.
const DOUBLINGS: u32 = 4;

/// So often a server may hang up on one request. Asking once more would bring the same.
const HANG_UPS: usize = 2;

/// Why a server that says nothing is not used.
const SILENT: &str = "the server does not answer";

/// Why a server that closes every connection is not used.
const HUNG_UP: &str = "the server closed the connection before it said anything";

/// The outside world, opened piece by piece when it is needed.
pub struct Session {
    /// From the environment.
    pub settings: Settings,
    /// For everything this command does.
    pub deadline: Deadline,
    database: Database,
    links: Option<Links>,
    schema: Option<Arc<DatabaseSchema>>,
    /// A schema that is on its way.
    schema_reply: Option<Reply<DatabaseSchema>>,
    /// Whether the schema is known to lack something that was asked for.
    lacks_something: bool,
    /// What this command did to kernel devices, to be taken back should it fail.
    pub(super) done_to_links: Vec<LinkChange>,
    /// Devices that are to be deleted, once nothing refers to them.
    pub(super) to_delete: Vec<Link>,
    /// What an error of this command has to name besides, as it may stay.
    pub(super) left: Vec<String>,
    /// Whether whatever is written is to be on disk before it is acknowledged.
    pub(super) durable: bool,
}

/// Where a session has the database from.
enum Database {
    /// A connection of its own.
    Own(Own),
    /// What many sessions share.
    Shared(Shared),
}

#[derive(Default)]
struct Own {
    /// Once there is one.
    connection: Option<Connection>,
    /// Which of the remotes it is to, or was to.
    remote: usize,
    /// Which of them will do, once one was tried.
    search: Option<Search>,
    /// How often there was a pause before they were tried again.
    pauses: u32,
    /// How often a server has hung up before it said what it is good for.
    hang_ups: usize,
}

/// How far a server that is asked can be believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// What it was asked already counts.
    Fit,
    /// Whatever is to be known has to be asked again: it is another server, or one that has just proven itself.
    AskAgain,
}

struct Shared {
    hub: Arc<Hub>,
    /// The hub's connection, when last asked for.
    connection: Option<Arc<Connection>>,
    /// Whether the replica holds everything that this session has to know of: what was committed before the session
    /// began, what it has read from the server itself, and what made the server refuse its transaction.
    fresh: bool,
}

impl Session {
    /// A session that has opened nothing yet.
    pub fn new(settings: Settings, deadline: Deadline) -> Self {
        Session::with(Database::Own(Own::default()), settings, deadline)
    }

    /// A session that shares a hub's connection and replica. Must be used inside of the hub's tokio runtime.
    pub fn over(hub: Arc<Hub>, settings: Settings, deadline: Deadline) -> Self {
        Session::with(Database::Shared(Shared { hub, connection: None, fresh: false }), settings, deadline)
    }

    fn with(database: Database, settings: Settings, deadline: Deadline) -> Self {
        Session {
            settings,
            deadline,
            database,
            links: None,
            schema: None,
            schema_reply: None,
            lacks_something: false,
            done_to_links: Vec::new(),
            to_delete: Vec::new(),
            left: Vec::new(),
            durable: false,
        }
    }

    /// The connection, to a server that will do; made when there is none. A server that is not there yet is waited for.
    pub(super) async fn connection(&mut self) -> Result<&Connection, Error> {
        loop {
            self.connect().await?;
            if self.judge("waiting for the database to answer").await? == Judged::Fit {
                break;
            }
        }
        self.connect().await
    }

    /// The connection, to a server that may yet have to be judged by [`Session::judge`]: what it is asked meanwhile goes
    /// in one write with the question for its place.
    async fn connect(&mut self) -> Result<&Connection, Error> {
        match &mut self.database {
            Database::Own(own) => {
                own.connect(&self.settings, &self.deadline).await?;
                own.connection.as_ref().ok_or_else(|| Error::Internal("no connection after connecting".into()))
            }
            Database::Shared(shared) => Ok(shared.connection.insert(shared.hub.connection(&self.deadline).await?)),
        }
    }

    /// Finds out whether the server will do, if that is not known yet. One that does not is given up, and the next one
    /// is to be asked.
    async fn judge(&mut self, doing: &'static str) -> Result<Judged, Error> {
        // A hub looks for a server itself.
        let Database::Own(own) = &mut self.database else { return Ok(Judged::Fit) };
        let judged = own.judge(&self.settings.remotes, &self.deadline, doing).await?;
        if judged == Judged::AskAgain {
            // It may be on its way from a server that will not do.
            self.schema_reply = None;
        }
        Ok(judged)
    }

    /// The hub, if the session is over one.
    pub(super) fn hub(&self) -> Option<&Arc<Hub>> {
        match &self.database {
            Database::Own(_) => None,
            Database::Shared(shared) => Some(&shared.hub),
        }
    }

    /// Notes whether the replica, if there is one, surely holds what this session has to know of.
    pub(super) fn set_fresh(&mut self, is_fresh: bool) {
        if let Database::Shared(shared) = &mut self.database {
            shared.fresh = is_fresh;
        }
    }

    /// Runs selects. What the schema lacks reads as nothing (`present.rs`). The schema is large, so it is only asked for
    /// once the server has refused something.
    pub(super) async fn read(&mut self, selects: &Transaction) -> Result<Vec<OperationResult>, Error> {
        let unreadable = |error| Error::NotCommitted { cause: format!("reading the database failed: {error}") };
        let known = self.schema.as_ref().filter(|_| self.lacks_something);
        let narrowed = match known.and_then(|schema| Narrowed::of(selects, schema)) {
            Some(narrowed) => narrowed,
            None => match self.try_to_read(selects).await? {
                Ok(results) => return Ok(results),
                Err(refusal) => self.narrowed(selects, &refusal).await?.ok_or_else(|| unreadable(refusal))?,
            },
        };
        let results = self.try_to_read(&narrowed.transaction).await?.map_err(unreadable)?;
        Ok(narrowed.widen(results))
    }

    /// Whether a column is missing in what was read because the schema lacks it.
    pub(super) fn lacks(&self, table: &str, column: &str) -> bool {
        let of_hub = self.hub().and_then(|hub| hub.schema());
        let schema = of_hub.as_ref().or_else(|| self.schema.as_ref().filter(|_| self.lacks_something));
        schema.is_some_and(|schema| !present::has(schema, table, column))
    }

    /// Runs a transaction that changes nothing, with the server's refusal for an answer.
    pub(super) async fn try_to_read(
        &mut self,
        selects: &Transaction,
    ) -> Result<Result<Vec<OperationResult>, TransactError>, Error> {
        if let Some(results) = self.read_from_memory(selects).await? {
            return Ok(Ok(results));
        }
        self.set_fresh(false);
        let ask = |connection: &Connection| connection.transact(DATABASE, selects);
        let reply = self.ask(ask, "waiting for the database to answer").await?;
        Ok(reply.check(selects.operations.len()))
    }

    /// What is left of a transaction that the server has refused, if its schema lacks something that it reads.
    pub(super) async fn narrowed(
        &mut self,
        transaction: &Transaction,
        refusal: &TransactError,
    ) -> Result<Option<Narrowed>, Error> {
        if !present::may_be_about_names(&refusal.error) {
            return Ok(None);
        }
        let narrowed = Narrowed::of(transaction, &*self.schema().await?);
        self.lacks_something |= narrowed.is_some();
        Ok(narrowed)
    }

    /// Why the server refused a change: its schema lacks something, or whatever else it says.
    pub(super) async fn refused(&mut self, transaction: &Transaction, refusal: TransactError) -> Error {
        if present::may_be_about_names(&refusal.error)
            // Without the schema there is still what the server said.
            && let Ok(schema) = self.schema().await
            && let Some(lacking) = present::lacking(transaction, &schema)
        {
            return Error::NotFound(lacking);
        }
        Error::Refused(refusal)
    }

    /// Asks for something that changes nothing. Asking again does no harm, so a connection that breaks meanwhile is made
    /// anew, and a server that will not do is given up for the next one.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        mut ask: impl FnMut(&Connection) -> Reply<T>,
        doing: &'static str,
    ) -> Result<T, Error> {
        let mut hang_ups = 0;
        loop {
            let before = self.hang_ups();
            let connection = match hang_ups {
                0 => self.connect().await?,
                // Only what was hung up on alone is told as the cause.
                _ => self.connection().await?,
            };
            let reply = ask(connection);
            if self.judge(doing).await? == Judged::AskAgain {
                // It was in one write with the question that the server has hung up on, and may be the cause.
                hang_ups += usize::from(hang_ups == 0 && self.hang_ups() > before);
                continue;
            }
            let answer = self.deadline.limit(reply).await;
            match answer.map_err(|expired| Error::expired_before_commit(expired, doing))? {
                // Reading a large one takes its time, too.
                Ok(answer) => match self.deadline.passed() {
                    None => return Ok(answer),
                    Some(expired) => return Err(Error::expired_before_commit(expired, "reading a large answer")),
                },
                Err(CallError::Disconnected { cause, .. }) if cause.is_too_large() => {
                    let cause = format!("reading the database failed: {cause} ({MAX_REPLY} sets the limit)");
                    return Err(Error::NotCommitted { cause });
                }
                Err(error @ CallError::Disconnected { .. }) => {
                    hang_ups += 1;
                    if hang_ups >= HANG_UPS {
                        let cause = format!("the server closed the connection twice after this request: {error}");
                        return Err(Error::NotCommitted { cause });
                    }
                    debug!(%error, "asking again");
                }
                Err(error) => match (why_not_served(&error), &mut self.database) {
                    (Some(unfit), Database::Own(own)) => own.give_up(unfit.to_string()),
                    _ => return Err(Error::reading(error)),
                },
            }
        }
    }

    /// How often a server has hung up before it said what it is good for.
    fn hang_ups(&self) -> usize {
        match &self.database {
            Database::Own(own) => own.hang_ups,
            Database::Shared(_) => 0,
        }
    }

    /// Answers selects from the replica, if there is one that can.
    async fn read_from_memory(&mut self, selects: &Transaction) -> Result<Option<Vec<OperationResult>>, Error> {
        let Database::Shared(Shared { hub, fresh, .. }) = &mut self.database else { return Ok(None) };
        if !hub.can_answer(selects) {
            return Ok(None);
        }
        if !*fresh {
            hub.sync(&self.deadline).await?;
            *fresh = true;
        }
        Ok(hub.answer(selects))
    }

    /// The database's schema. It is large, so it is only fetched when a value has to be typed by it.
    pub async fn schema(&mut self) -> Result<Arc<DatabaseSchema>, Error> {
        if let Some(schema) = &self.schema {
            return Ok(schema.clone());
        }
        if let Some(hub) = self.hub().cloned() {
            hub.connection(&self.deadline).await?;
            if let Some(schema) = hub.schema() {
                return Ok(self.schema.insert(schema).clone());
            }
        }
        let mut asked = self.schema_reply.take();
        let ask = |connection: &Connection| asked.take().unwrap_or_else(|| connection.get_schema(DATABASE));
        let schema = self.ask(ask, "waiting for the schema").await?;
        Ok(self.schema.insert(Arc::new(schema)).clone())
    }

    /// Asks for the schema without waiting for it, so that it comes along with what is asked next.
    pub async fn expect_schema(&mut self) -> Result<(), Error> {
        // A hub has it.
        if self.hub().is_none() && self.schema.is_none() && self.schema_reply.is_none() {
            self.schema_reply = Some(self.connect().await?.get_schema(DATABASE));
        }
        Ok(())
    }

    /// Whether ovs-vswitchd has applied what the database holds.
    pub async fn is_applied(&mut self) -> Result<bool, Error> {
        let mut select = Transaction::new();
        select.select(OPEN_VSWITCH, Vec::new(), &["cur_cfg", "next_cfg"]);
        let results = self.read(&select).await?;
        #[derive(Deserialize)]
        struct Root {
            cur_cfg: i64,
            next_cfg: i64,
        }
        let unreadable =
            |error| Error::NotCommitted { cause: format!("the row of {OPEN_VSWITCH} is unreadable: {error}") };
        let rows = results.first().map(|result| result.rows::<Root>()).transpose().map_err(unreadable)?;
        // As long as there is no row, nobody has configured anything, and ovs-vswitchd has not begun.
        Ok(rows.unwrap_or_default().first().is_some_and(|row| row.cur_cfg >= row.next_cfg))
    }

    /// The kernel's network devices.
    pub(super) fn links(&mut self) -> Result<&Links, LinkError> {
        match &mut self.links {
            Some(links) => Ok(links),
            none => Ok(none.insert(Links::open()?)),
        }
    }
}

/// Why a server refuses whatever it is asked about the database.
fn why_not_served(error: &CallError) -> Option<Unfit> {
    match error.server()?.class() {
        ErrorClass::UnknownDatabase => Some(Unfit::NoDatabase(DATABASE.into())),
        ErrorClass::DatabaseNotAvailable => Some(Unfit::NotConnected),
        _ => None,
    }
}

impl Own {
    /// There is a connection afterwards. The remotes are tried in turn, again and again, until one takes it or the time is
    /// up. One that keeps silent leaves time for the others.
    async fn connect(&mut self, settings: &Settings, deadline: &Deadline) -> Result<(), Error> {
        let remotes = settings.remotes.as_slice();
        let limits = Limits { size: settings.max_reply, ..Limits::default() };
        match &self.connection {
            Some(connection) if connection.is_open() => return Ok(()),
            Some(connection) => {
                let cause =
                    connection.ended().map_or_else(|| "the connection is gone".into(), |cause| cause.to_string());
                let was_found = self.search.as_ref().is_some_and(|search| search.found);
                self.give_up(cause);
                if was_found && let Some(search) = &mut self.search {
                    // It may be back at once, and knows what was asked of it.
                    search.choice = Choice::among(remotes.len());
                    search.begin_round(self.remote);
                }
                let paused = deadline.sleep(self.pause()).await;
                if let (Err(expired), Some(search)) = (paused, &self.search) {
                    return Err(search.told(remotes, &expired));
                }
            }
            None => {}
        }
        loop {
            let search = self.search.get_or_insert_with(|| Search::new(remotes.len()));
            while search.tried < remotes.len() {
                let place = (search.first + search.tried) % remotes.len();
                search.tried += 1;
                let Some(remote) = remotes.get(place) else { continue };
                let others = remotes.len() - search.tried;
                match deadline.share(1 + others).limit(Connection::open_with(deadline.driver(), remote, limits)).await {
                    Ok(Ok(connection)) => {
                        search.standing = Some(membership::ask(&connection, DATABASE));
                        (self.connection, self.remote) = (Some(connection), place);
                        return Ok(());
                    }
                    Ok(Err(error)) => {
                        debug!(%remote, %error, "not connected");
                        search.hopeless += usize::from(ovsdb::is_final(&error));
                        search.note(place, error.to_string());
                    }
                    Err(Expired::Time(_)) if others > 0 => {
                        debug!(%remote, "no answer");
                        search.note(place, SILENT.into());
                    }
                    Err(expired) => return Err(search.expired(remotes, place, SILENT, &expired)),
                }
            }
            // Waiting gives us no rights, and teaches nobody OVSDB.
            if search.hopeless > 0 && search.hopeless == remotes.len() {
                return Err(not_connected(remotes, search.causes(remotes).join("; ")));
            }
            let paused = deadline.sleep(self.pause()).await;
            let search = self.search.get_or_insert_with(|| Search::new(remotes.len()));
            if let Err(expired) = paused {
                return Err(search.told(remotes, &expired));
            }
            search.begin_round(0);
        }
    }

    /// How long to wait before the remotes are tried again.
    fn pause(&mut self) -> Duration {
        let pause = RECONNECT_PAUSE * (1 << self.pauses);
        self.pauses = (self.pauses + 1).min(DOUBLINGS);
        pause
    }

    /// Waits for what the server says of its place, and judges it.
    async fn judge(&mut self, remotes: &[Address], deadline: &Deadline, doing: &'static str) -> Result<Judged, Error> {
        let (Some(search), Some(connection)) = (&mut self.search, &self.connection) else {
            return Err(Error::Internal("no server to judge".into()));
        };
        if search.found {
            return Ok(Judged::Fit);
        }
        let Some(mut reply) = search.standing.take() else {
            return Err(Error::Internal("a server that was not asked for its place".into()));
        };
        let others = remotes.len() - search.tried;
        let mut answer = deadline.share(1 + others).limit(&mut reply).await;
        if others > 0 && matches!(answer, Err(Expired::Time(_))) {
            if connection.activity() == 0 {
                self.give_up(SILENT.into());
                return Ok(Judged::AskAgain);
            }
            // It has begun to speak.
            answer = deadline.limit(reply).await;
        }
        let answer = answer.map_err(|expired| match search.causes(remotes).is_empty() {
            true if remotes.len() == 1 => Error::expired_before_commit(expired, doing),
            _ => search.expired(remotes, self.remote, SILENT, &expired),
        })?;
        let patience = membership::PATIENCE.min(deadline.left() / 4);
        let standing = match membership::answered(answer, DATABASE) {
            Ok(standing) => standing.and_then(|standing| search.choice.takes(standing, patience).map(|()| standing)),
            Err(CallError::Disconnected { cause, .. }) => {
                search.hopeless += usize::from(cause.is_foreign());
                self.hang_ups += 1;
                self.give_up(match cause {
                    Disconnect::Closed => HUNG_UP.into(),
                    Disconnect::Io(error) => format!("{HUNG_UP} ({error})"),
                    cause => cause.to_string(),
                });
                return Ok(Judged::AskAgain);
            }
            Err(error) => {
                self.give_up(error.to_string());
                return Ok(Judged::AskAgain);
            }
        };
        match standing {
            Ok(Standing::Latest | Standing::Follower) => {
                search.found = true;
                Ok(Judged::Fit)
            }
            Ok(Standing::Relay) => {
                // What it has told so far may be from before it lost its source.
                let proof = connection.transact(DATABASE, &membership::proof());
                match deadline.share(1 + others).limit(proof).await {
                    Ok(answer) => match membership::proven(answer) {
                        Ok(()) => search.found = true,
                        Err(error) => self.give_up(error.to_string()),
                    },
                    Err(Expired::Time(_)) if others > 0 => self.give_up(Unfit::NoSource.to_string()),
                    Err(expired) => {
                        let cause = Unfit::NoSource.to_string();
                        return Err(search.expired(remotes, self.remote, &cause, &expired));
                    }
                }
                Ok(Judged::AskAgain)
            }
            Err(unfit) => {
                self.give_up(unfit.to_string());
                Ok(Judged::AskAgain)
            }
        }
    }

    /// Ends the connection. The next one is to be tried.
    fn give_up(&mut self, cause: String) {
        debug!(remote = self.connection.as_ref().map(Connection::remote), cause, "the server will not do");
        self.connection = None;
        if let Some(search) = &mut self.search {
            (search.found, search.standing) = (false, None);
            search.note(self.remote, cause);
        }
    }
}
