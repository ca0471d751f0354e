//! What one command holds while it runs: its settings, its deadline, the connection to the database, the kernel.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tracing::debug;

use super::hub::Hub;
use super::present::{self, Narrowed};
use super::tables::{DATABASE, OPEN_VSWITCH};
use super::unit::LinkChange;
use crate::deadline::{Deadline, Expired};
use crate::error::Error;
use crate::links::Links;
use crate::ovsdb::operation::Row as Columns;
use crate::ovsdb::remote;
use crate::ovsdb::schema::DatabaseSchema;
use crate::ovsdb::transaction::{OperationResult, TransactError, Transaction};
use crate::ovsdb::value::Value;
use crate::ovsdb::{CallError, Connection, Remote, Reply};
use crate::settings::Settings;

/// A server that is coming up is asked again this often.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

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
    /// Which of the remotes it is to, or which is to be tried first.
    remote: usize,
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
        }
    }

    /// The connection, made when there is none. A server that is not there yet is waited for.
    pub(super) async fn connection(&mut self) -> Result<&Connection, Error> {
        match &mut self.database {
            Database::Own(own) => {
                if own.connection.as_ref().is_none_or(|connection| !connection.is_open()) {
                    own.connect(&self.settings.remotes, &self.deadline).await?;
                }
                own.connection.as_ref().ok_or_else(|| Error::Internal("no connection after connecting".into()))
            }
            Database::Shared(shared) => Ok(shared.connection.insert(shared.hub.connection(&self.deadline).await?)),
        }
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

    async fn try_to_read(
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

    /// Asks for something that changes nothing. Asking again does no harm, so a connection that breaks meanwhile is made
    /// anew, and a server that has never said a word gets only its share of the time while there are others.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        mut ask: impl FnMut(&Connection) -> Reply<T>,
        doing: &'static str,
    ) -> Result<T, Error> {
        loop {
            let mut reply = ask(self.connection().await?);
            let others = self.others_to_ask();
            let mut answer = self.deadline.share(1 + others).limit(&mut reply).await;
            if others > 0 && matches!(answer, Err(Expired::Time(_))) {
                if self.others_to_ask() > 0 {
                    self.turn_to_next();
                    continue;
                }
                // It has begun to speak.
                answer = self.deadline.limit(reply).await;
            }
            match answer.map_err(|expired| Error::expired_before_commit(expired, doing))? {
                Ok(answer) => return Ok(answer),
                Err(error @ CallError::Disconnected { .. }) => debug!(%error, "asking again"),
                Err(error) => return Err(Error::reading(error)),
            }
        }
    }

    /// How many remotes come after this one, if it has not said anything yet.
    fn others_to_ask(&self) -> usize {
        match &self.database {
            Database::Own(Own { connection: Some(connection), remote }) if connection.activity() == 0 => {
                self.settings.remotes.len() - 1 - remote
            }
            _ => 0,
        }
    }

    fn turn_to_next(&mut self) {
        if let Database::Own(own) = &mut self.database {
            debug!("the server says nothing; trying the next one");
            own.connection = None;
            own.remote += 1;
        }
    }

    /// Answers selects from the replica, if there is one that can.
    async fn read_from_memory(&mut self, selects: &Transaction) -> Result<Option<Vec<OperationResult>>, Error> {
        let Database::Shared(Shared { hub, fresh, .. }) = &mut self.database else { return Ok(None) };
        if !hub.can_answer(selects) {
            return Ok(None);
        }
        if !*fresh {
            hub.barrier(&self.deadline).await?;
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
            self.schema_reply = Some(self.connection().await?.get_schema(DATABASE));
        }
        Ok(())
    }

    /// Whether ovs-vswitchd has applied what the database holds.
    pub async fn is_applied(&mut self) -> Result<bool, Error> {
        let mut select = Transaction::new();
        select.select(OPEN_VSWITCH, Vec::new(), &["cur_cfg", "next_cfg"]);
        let results = self.read(&select).await?;
        let rows: Vec<Columns> =
            results.into_iter().next().and_then(|result| result.into_rows().ok()).unwrap_or_default();
        let number = |row: &Columns, column: &str| row.get(column).and_then(Value::as_integer).unwrap_or_default();
        Ok(rows.first().is_some_and(|row| number(row, "cur_cfg") >= number(row, "next_cfg")))
    }

    /// The kernel's network devices.
    pub(super) fn links(&mut self) -> Result<&Links, Error> {
        if self.links.is_none() {
            self.links = Some(Links::open()?);
        }
        self.links.as_ref().ok_or_else(|| Error::Internal("no netlink after opening it".into()))
    }
}

impl Own {
    /// Tries the remotes in turn, again and again, until one answers or the time is up. One that keeps silent leaves time
    /// for the others.
    async fn connect(&mut self, remotes: &[Remote], deadline: &Deadline) -> Result<(), Error> {
        let not_connected = |cause: String| Error::NotConnected {
            remotes: remotes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            cause,
        };
        let order: Vec<usize> = (self.remote..remotes.len()).chain(0..self.remote).collect();
        loop {
            let mut last = String::from("no remote is set");
            let mut denied = 0;
            for (tried, &place) in order.iter().enumerate() {
                let Some(remote) = remotes.get(place) else { continue };
                let others = order.len() - 1 - tried;
                match deadline.share(1 + others).limit(Connection::open(remote)).await {
                    Ok(Ok(connection)) => {
                        (self.connection, self.remote) = (Some(connection), place);
                        return Ok(());
                    }
                    Ok(Err(error)) => {
                        debug!(%remote, %error, "not connected");
                        denied += usize::from(remote::is_final(&error));
                        last = error.to_string();
                    }
                    Err(Expired::Time(_)) if others > 0 => debug!(%remote, "no answer"),
                    Err(expired) => return Err(not_connected(expired.to_string())),
                }
            }
            // Waiting does not give us rights.
            if denied > 0 && denied == order.len() {
                return Err(not_connected(last));
            }
            if let Err(expired) = deadline.sleep(RECONNECT_PAUSE).await {
                return Err(not_connected(format!("{last}, and {expired}")));
            }
        }
    }
}
