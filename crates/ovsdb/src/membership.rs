//! Which of several servers of one database to use.
//!
//! A server tells of its databases in a database of its own, `_Server` (ovsdb-server(5)): of each its service model, and
//! of a member of a cluster or a relay whether it is connected, and whether it leads. `Standing::of` makes of that what
//! the server is good for, and [`Choice`] decides whether to use it or to try the next one. Single commands and the
//! replica both go by them.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::connection::{Connection, Reply};
use crate::error::{CallError, ErrorClass};
use crate::operation::{Condition, Operation};
use crate::transaction::{TransactReply, Transaction};

/// The database in which a server tells of its databases.
pub(crate) const SERVER_DATABASE: &str = "_Server";
/// Its table, with a row for each of them.
pub(crate) const DATABASE_TABLE: &str = "Database";
/// The columns that are read of it. `schema` says whether a member has joined, but is large; such a member is not
/// connected either.
pub(crate) const COLUMNS: [&str; 4] = ["name", "model", "connected", "leader"];

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DatabaseRow {
    #[cfg(feature = "tokio")]
    pub(crate) name: String,
    model: String,
    connected: bool,
    leader: bool,
}

/// What a server is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has the latest state: the database is in a file of its own, or it leads the cluster.
    Latest,
    /// A member of a cluster that follows: it passes changes on to the leader, but may not have heard of a commit that
    /// another client was told of.
    Follower,
    /// A relay (Open vSwitch 2.16 and later): it passes changes on, and may be behind. It says that it is connected for
    /// 30 s after it has lost its source, so only a transaction that it passes on proves anything ([`proof`]).
    Relay,
}

/// Why a server is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It does not serve the database.
    #[error("the server has no database {0}")]
    NoDatabase(String),
    /// A member that has lost its cluster, or has not joined it yet.
    #[error("the server is not connected to its cluster")]
    NotConnected,
    /// A relay without a source.
    #[error("the relay is not connected to its source")]
    NoSource,
    /// It would do if there were no better one.
    #[error("the server is {0}, and a better one is looked for")]
    Behind(Standing),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Latest => "up to date",
            Standing::Follower => "not the leader of the cluster",
            Standing::Relay => "a relay",
        })
    }
}

impl Standing {
    /// By the server's row for the database.
    pub(crate) fn of(row: Option<&DatabaseRow>, database: &str) -> Result<Self, Unfit> {
        let Some(row) = row else { return Err(Unfit::NoDatabase(database.to_owned())) };
        match row.model.as_str() {
            "clustered" if !row.connected => Err(Unfit::NotConnected),
            "clustered" if !row.leader => Ok(Standing::Follower),
            "relay" if !row.connected => Err(Unfit::NoSource),
            "relay" => Ok(Standing::Relay),
            // A model of the future is taken for a database in a file, which needs nothing.
            _ => Ok(Standing::Latest),
        }
    }
}

/// Asks a server for its row for a database; [`answered`] reads what comes.
pub fn ask(connection: &Connection, database: &str) -> Reply<TransactReply> {
    let mut select = Transaction::new();
    select.select(DATABASE_TABLE, vec![Condition::equal("name", database)], &COLUMNS);
    connection.transact(SERVER_DATABASE, &select)
}

/// What the server is good for, by its answer to [`ask`].
pub fn answered(
    answer: Result<TransactReply, CallError>,
    database: &str,
) -> Result<Result<Standing, Unfit>, CallError> {
    let unreadable = |reason: String| CallError::Unexpected { method: "transact", reason };
    let reply = match answer {
        Ok(reply) => reply,
        // Open vSwitch before 2.9 has neither this database nor clusters.
        Err(error) if is_too_old(&error) => return Ok(Ok(Standing::Latest)),
        Err(error) => return Err(error),
    };
    let results = reply.check(1).map_err(|error| unreadable(error.to_string()))?;
    let rows = results.first().map(|result| result.rows::<DatabaseRow>());
    let rows = rows.transpose().map_err(|error| unreadable(error.to_string()))?.unwrap_or_default();
    Ok(Standing::of(rows.first(), database))
}

/// Whether the error means that the server does not tell of its databases.
pub(crate) fn is_too_old(error: &CallError) -> bool {
    let class = error.server().map(|error| error.class());
    matches!(class, Some(ErrorClass::UnknownDatabase | ErrorClass::UnknownMethod))
}

/// A transaction that does nothing. A relay passes it on to its source, which tells the relay of whatever was committed
/// before it answers; so its answer proves that the relay has its source, and holds all that was committed before.
pub fn proof() -> Transaction {
    let mut transaction = Transaction::new();
    transaction.push(Operation::Commit { durable: false });
    transaction
}

/// Whether the answer to [`proof`] is one.
pub fn proven(answer: Result<TransactReply, CallError>) -> Result<(), CallError> {
    let unexpected = |reason: String| CallError::Unexpected { method: "transact", reason };
    answer?.check(1).map(drop).map_err(|error| unexpected(error.to_string()))
}

/// Decides which server to use while one is looked for.
#[derive(Debug)]
pub struct Choice {
    /// How many servers there are to choose from.
    servers: usize,
    /// How many of them have been found to be behind in this round.
    behind: usize,
    /// When the first of those was found.
    since: Option<Instant>,
}

/// An election in a cluster takes one to two seconds (ovsdb-server(7), the election timer).
pub const PATIENCE: Duration = Duration::from_secs(2);

impl Choice {
    /// A choice among so many servers.
    pub fn among(servers: usize) -> Self {
        Choice { servers, behind: 0, since: None }
    }

    /// All servers are tried once more.
    pub fn begin_round(&mut self) {
        self.behind = 0;
    }

    /// Whether to use a server. One that may be behind is used if all the others are, too, so that the leader is not one
    /// of them, or if none that is better has been found for this long: there may be an election.
    pub fn takes(&mut self, standing: Standing, patience: Duration) -> Result<(), Unfit> {
        if standing == Standing::Latest {
            return Ok(());
        }
        self.behind += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.behind >= self.servers || since.elapsed() >= patience { Ok(()) } else { Err(Unfit::Behind(standing)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(row: &str) -> Result<Standing, Unfit> {
        Standing::of(Some(&serde_json::from_str(row).unwrap()), "db")
    }

    #[test]
    fn a_server_is_judged_by_its_model_its_connection_and_its_leadership() {
        for (model, connected, leader, expected) in [
            ("standalone", true, true, Ok(Standing::Latest)),
            ("clustered", true, true, Ok(Standing::Latest)),
            ("clustered", true, false, Ok(Standing::Follower)),
            // A leader that has lost the others says so for a while.
            ("clustered", false, true, Err(Unfit::NotConnected)),
            ("clustered", false, false, Err(Unfit::NotConnected)),
            ("relay", true, false, Ok(Standing::Relay)),
            ("relay", false, false, Err(Unfit::NoSource)),
        ] {
            let row = format!(r#"{{"name":"db","model":"{model}","connected":{connected},"leader":{leader}}}"#);
            assert_eq!(standing(&row), expected, "{row}");
        }
        assert_eq!(Standing::of(None, "db"), Err(Unfit::NoDatabase("db".into())));
    }

    #[test]
    fn an_old_server_will_do_and_an_unreadable_answer_is_an_error() {
        let server = |word: &str| CallError::Server {
            method: "transact",
            error: crate::ServerError { error: word.into(), details: None, syntax: None },
        };
        for word in ["unknown database", "unknown method"] {
            assert_eq!(answered(Err(server(word)), "db").unwrap(), Ok(Standing::Latest));
        }
        assert!(answered(Err(server("permission error")), "db").is_err());
        for (answer, expected) in [
            (r#"[{"rows":[]}]"#, Some(Err(Unfit::NoDatabase("db".into())))),
            (
                r#"[{"rows":[{"name":"db","model":"standalone","connected":true,"leader":true}]}]"#,
                Some(Ok(Standing::Latest)),
            ),
            (r#"[{"rows":[{"name":"db","model":"clustered","connected":"yes","leader":true}]}]"#, None),
            (r#"[{"error":"unknown column"}]"#, None),
        ] {
            assert_eq!(answered(Ok(serde_json::from_str(answer).unwrap()), "db").ok(), expected, "{answer}");
        }
    }

    #[test]
    fn one_that_may_be_behind_is_taken_when_there_is_no_better_one() {
        let (patient, impatient) = (Duration::from_secs(60), Duration::ZERO);
        assert_eq!(Choice::among(1).takes(Standing::Follower, patient), Ok(()), "there is no other");
        let mut choice = Choice::among(2);
        for standing in [Standing::Follower, Standing::Relay] {
            choice.begin_round();
            assert_eq!(choice.takes(standing, patient), Err(Unfit::Behind(standing)), "the other is not known yet");
        }
        assert_eq!(choice.takes(Standing::Follower, patient), Ok(()), "the other is no better");
        choice.begin_round();
        assert_eq!(choice.takes(Standing::Latest, patient), Ok(()));
        assert_eq!(choice.takes(Standing::Follower, impatient), Ok(()), "there was time enough for an election");
    }
}
