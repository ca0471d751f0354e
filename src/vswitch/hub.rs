//! What the commands of a long-running process share: one connection to the database, and a replica of what they read.
//!
//! A [`Session`](super::Session) over a hub does what one of its own does, and answers the same. It reads from memory
//! what is there, and waits for ovs-vswitchd by looking at `cur_cfg` in the replica, so a command that finds everything
//! in place costs the server an `echo`, which it shares with the others that came at the same time. Transactions of
//! commands that run at once are in flight together. `docs/design.md` says why that is correct.

use std::sync::Arc;
use std::time::Duration;

use ovsdb::Connection;
use ovsdb::operation::Operation;
use ovsdb::replica::{Options, Phase, Replica, TableRequest, Tables};
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::{OperationResult, Transaction};
use tokio::sync::watch;

use super::present::Narrowed;
use super::tables::{self, BRIDGE, DATABASE, FLOW_SAMPLE_COLLECTOR_SET, INTERFACE, OPEN_VSWITCH, PORT};
use super::topology;
use crate::deadline::{Deadline, Expired};
use crate::error::Error;
use crate::settings::Settings;

/// See the module's description. It lives as long as somebody holds it.
#[derive(Debug)]
pub struct Hub {
    replica: Replica,
    cur_cfg: watch::Receiver<i64>,
    /// For errors.
    remotes: String,
}

impl Hub {
    /// A hub of the database that the settings name. Must be called inside a tokio runtime. It returns at once; commands
    /// wait for the database, each until its own deadline.
    pub fn start(settings: &Settings) -> Arc<Self> {
        Hub::with(settings, Options::new(settings.remotes.clone(), DATABASE, usual_tables()))
    }

    /// As [`Hub::start`], with everything in the replica that the topology of the switch is made of.
    pub fn with_topology(settings: &Settings) -> Arc<Self> {
        let mut tables = usual_tables();
        for &(table, columns) in topology::COLUMNS {
            let columns: Vec<&'static str> = columns.iter().copied().filter(|column| *column != "_uuid").collect();
            tables.push(TableRequest::new(table, &columns));
        }
        Hub::with(settings, Options::new(settings.remotes.clone(), DATABASE, tables))
    }

    /// As [`Hub::start`], with more in the replica than [`usual_tables`], which is what commands read, or with another
    /// patience.
    pub fn with(settings: &Settings, mut options: Options) -> Arc<Self> {
        options.limits.size = settings.max_reply;
        let (sender, cur_cfg) = watch::channel(0);
        let replica = Replica::start(
            options,
            Box::new(move |tables| {
                let now = cur_cfg_of(tables);
                sender.send_if_modified(|before| std::mem::replace(before, now) != now);
            }),
        );
        let remotes = settings.remotes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Arc::new(Hub { replica, cur_cfg, remotes })
    }

    /// The replica, to look at and to subscribe to.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The connection that everybody uses.
    pub(super) async fn connection(&self, deadline: &Deadline) -> Result<Arc<Connection>, Error> {
        let connection = self.limit(deadline, self.replica.connection()).await?;
        connection.map_err(|expired| self.not_connected(expired))
    }

    /// Returns once everything that was committed before the call can be read.
    pub(super) async fn sync(&self, deadline: &Deadline) -> Result<(), Error> {
        let passed = self.limit(deadline, self.replica.sync()).await?;
        passed.map_err(|expired| match self.is_current() {
            true => Error::expired_before_commit(expired, "waiting for the database to answer"),
            false => self.not_connected(expired),
        })
    }

    /// Whether calls can be served: the database tells, within this time, that everything which was committed can be read.
    /// The error tells why not.
    pub async fn serves(&self, limit: Duration) -> Result<(), Error> {
        let (deadline, _stop) = Deadline::after(limit);
        self.sync(&deadline).await
    }

    /// Waits until the deadline, or until it is known that there will be no connection.
    async fn limit<T>(&self, deadline: &Deadline, work: impl Future<Output = T>) -> Result<Result<T, Expired>, Error> {
        tokio::select! {
            biased;
            done = deadline.limit(work) => Ok(done),
            error = self.forbidden() => Err(error),
        }
    }

    /// Returns when the system forbids connecting, with the error that a single command then ends with. It has to do so
    /// from now on, as rights may have been given since it was last tried.
    pub async fn forbidden(&self) -> Error {
        let mut state = self.replica.state();
        let before = state.borrow().rounds;
        let told = state.wait_for(|state| state.forbidden && state.rounds > before).await;
        // With the round that ended so, its error was told.
        let cause = told.map(|state| state.error.clone().unwrap_or_else(|| "the system forbids it".into()));
        match cause {
            Ok(cause) => Error::NotConnected { remotes: self.remotes.clone(), cause },
            Err(_) => std::future::pending().await,
        }
    }

    fn is_current(&self) -> bool {
        self.replica.state().borrow().phase == Phase::Current
    }

    fn not_connected(&self, expired: Expired) -> Error {
        let error = self.replica.state().borrow().error.clone();
        let error = error.map(|error| format!("{error}, and ")).unwrap_or_default();
        Error::NotConnected { remotes: self.remotes.clone(), cause: format!("{error}{expired}") }
    }

    /// Whether selects can be answered from memory, as far as is known: all that they ask for, and the schema has, is there.
    pub(super) fn can_answer(&self, selects: &Transaction) -> bool {
        self.has_all(selects) || self.narrowed(selects).is_some_and(|narrowed| self.has_all(&narrowed.transaction))
    }

    /// Selects without what the schema lacks, if it lacks something of them: the replica has none of that.
    fn narrowed(&self, selects: &Transaction) -> Option<Narrowed> {
        Narrowed::of(selects, &*self.schema()?)
    }

    fn has_all(&self, selects: &Transaction) -> bool {
        self.replica.read(|tables| {
            // Before the first contents have come, nobody can tell.
            tables.applied() == 0
                || selects.operations.iter().all(|operation| match operation {
                    Operation::Select { table, r#where, columns: Some(columns) } => {
                        tables.can_select(table, r#where, columns)
                    }
                    // All columns, also those that nobody knew of.
                    _ => false,
                })
        })
    }

    /// Answers selects from memory, all of them as of one transaction.
    pub(super) fn answer(&self, selects: &Transaction) -> Option<Vec<OperationResult>> {
        self.answer_all(selects).or_else(|| {
            let narrowed = self.narrowed(selects)?;
            Some(narrowed.widen(self.answer_all(&narrowed.transaction)?))
        })
    }

    fn answer_all(&self, selects: &Transaction) -> Option<Vec<OperationResult>> {
        self.replica.read(|tables| {
            let answers = selects.operations.iter().map(|operation| match operation {
                Operation::Select { table, r#where, columns: Some(columns) } => {
                    tables.select(table, r#where, columns).map(OperationResult::known)
                }
                _ => None,
            });
            answers.collect()
        })
    }

    /// Whether rows are found in memory by a column without looking at all of them.
    pub(super) fn is_indexed(&self, table: &str, column: &str) -> bool {
        self.replica.read(|tables| tables.is_indexed(table, column))
    }

    /// The schema of the database.
    pub(super) fn schema(&self) -> Option<Arc<DatabaseSchema>> {
        self.replica.schema()
    }

    /// Waits until ovs-vswitchd has handled this configuration, or a later one. The connection may break meanwhile: what
    /// matters is what the replica says once there is a new one.
    pub(super) async fn applied(&self, target: i64, deadline: &Deadline) -> Result<(), Error> {
        let mut cur_cfg = self.cur_cfg.clone();
        let reached = async { cur_cfg.wait_for(|reached| *reached >= target).await.map(drop) };
        match self.limit(deadline, reached).await.map_err(Error::after_commit)? {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::NotApplied { cause: "the replica is gone".into() }),
            Err(expired) if self.is_current() => Err(Error::NotApplied { cause: expired.to_string() }),
            Err(expired) => Err(Error::after_commit(self.not_connected(expired))),
        }
    }
}

/// 0 without a root row: ovs-vswitchd has applied nothing then, and whoever waits goes on waiting.
fn cur_cfg_of(tables: &Tables) -> i64 {
    let root = tables.table(OPEN_VSWITCH).and_then(|table| table.rows().next());
    root.and_then(|root| root.get("cur_cfg")?.as_integer()).unwrap_or_default()
}

/// The tables and columns that commands read, and the ways in which they look for rows.
pub fn usual_tables() -> Vec<TableRequest> {
    let table = |name, further: &[&'static str]| {
        let usual = tables::usual_columns(name).unwrap_or_default().iter().chain(further);
        let columns: Vec<&'static str> = usual.copied().filter(|column| *column != "_uuid").collect();
        TableRequest::new(name, &columns)
    };
    vec![
        table(OPEN_VSWITCH, &["bridges"]).references("bridges"),
        table(BRIDGE, &["ports"]).unique("name").references("ports"),
        table(PORT, &[]).unique("name").references("interfaces"),
        // How they are is looked at after a change, and for few; the server is asked that.
        table(INTERFACE, &["ofport", "error"]).unique("name"),
        table(FLOW_SAMPLE_COLLECTOR_SET, &[]).references("bridge"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vswitch::commit;

    fn may_move_between_threads(_: impl Send) {}

    /// Looked at by the compiler only.
    #[allow(dead_code)]
    fn waits_over_a_hub(hub: &Hub, deadline: &Deadline, session: &mut crate::vswitch::Session) {
        may_move_between_threads(session.read(&Transaction::new()));
        may_move_between_threads(async {
            if let Ok((_, application)) = commit::send(session, &Transaction::new(), 0).await {
                let _ = application.wait(session).await;
            }
        });
        may_move_between_threads(hub.connection(deadline));
        may_move_between_threads(hub.sync(deadline));
        may_move_between_threads(hub.applied(1, deadline));
        may_move_between_threads(async { hub.replica().subscribe(|_| ()).1.next().await });
    }

    #[test]
    fn every_column_that_commands_look_for_rows_by_is_replicated() {
        for request in usual_tables() {
            for column in request.unique.iter().chain(&request.references) {
                assert!(request.columns.contains(column), "{}.{column}", request.table);
            }
            for column in request.columns {
                let known = tables::RELIED_ON
                    .iter()
                    .any(|(table, columns)| *table == request.table && columns.contains(&column.as_ref()));
                assert!(known, "{}.{column} may not be in every schema", request.table);
            }
        }
    }
}
