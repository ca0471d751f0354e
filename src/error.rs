//! The one error type that crosses room borders: what went wrong, whose doing it is, and whether anything changed.

use std::fmt;

use ovsdb::error::{CallError, beginning_of};
use ovsdb::transaction::TransactError;

use crate::deadline::Expired;
use crate::links::LinkError;

/// The longest text of an error that a caller is told, in bytes. The kernel passes arguments up to half of that
/// (MAX_ARG_STRLEN), and whoever called by a name of such a length is told it.
const TOLD: usize = 256 * 1024;

/// Why a command failed. The text is for people; [`Error::code`] and [`Error::committed`] are for programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments can't be used as they are.
    #[error("{}{problem}", Field(field))]
    Argument {
        /// The argument at fault; empty when it is all of them.
        field: String,
        /// Its value and what was expected.
        problem: String,
    },
    /// An environment variable can't be used as it is.
    #[error("{name}: {problem}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// Its value and what was expected.
        problem: String,
    },
    /// There is no command of that name.
    #[error("unknown command: {name}{hint}")]
    UnknownCommand {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// Something that the command needs is not there.
    #[error("{0}")]
    NotFound(String),
    /// Something that the command would make is there already.
    #[error("{0}")]
    Exists(String),
    /// The switch is in a state in which the command would do harm, or break what others rely on.
    #[error("{0}")]
    Conflict(String),
    /// No connection to the database: nothing was changed.
    #[error("not connected to the database {remotes}: {cause}; nothing was changed")]
    NotConnected {
        /// The addresses that were tried.
        remotes: String,
        /// The last failure.
        cause: String,
    },
    /// The database did not get as far as changing anything.
    #[error("{cause}; nothing was committed")]
    NotCommitted {
        /// What stopped it.
        cause: String,
    },
    /// The transaction was sent and its answer never came.
    #[error("{cause} while a transaction was in flight; it is unknown whether the database holds the change")]
    Unknown {
        /// What happened.
        cause: String,
    },
    /// The database holds the change, ovs-vswitchd has not confirmed it.
    #[error(
        "{cause}: the database holds the change, but ovs-vswitchd has not applied it, as far as is known (is it running?)"
    )]
    NotApplied {
        /// What happened.
        cause: String,
    },
    /// The change is made, and something that was to follow it is not.
    #[error("the change was made, but what follows it failed: {cause}")]
    Unfinished {
        /// What happened.
        cause: String,
    },
    /// The server refused the transaction.
    #[error("the database refused the change: {0}; nothing was changed")]
    Refused(TransactError),
    /// The change was made, and what came out of it does not work.
    #[error("{problem}; {}", TakenBack(still_there))]
    Interface {
        /// Which interface, ovs-vswitchd's words and the likely cause.
        problem: String,
        /// Why the change is still there, as far as is known; `None` if it has been taken back.
        still_there: Option<StillThere>,
    },
    /// What the command found, and would have had to make otherwise, does not work.
    #[error("{problem}; this command found it so and has changed nothing")]
    NotWorking {
        /// Which interface, ovs-vswitchd's words and the likely cause.
        problem: String,
    },
    /// An error, and what is left besides what it tells of.
    #[error("{error}; {left}")]
    Leaving {
        /// What went wrong.
        error: Box<Error>,
        /// What was left, and why.
        left: String,
    },
    /// The kernel refused a network device.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a change that does not work was not taken back.
#[derive(Debug)]
pub struct StillThere {
    /// The reason.
    pub why: String,
    /// Taking back was sent and not answered, so that nobody knows whether it happened.
    pub unknown: bool,
}

impl From<String> for StillThere {
    fn from(why: String) -> Self {
        StillThere { why, unknown: false }
    }
}

/// Whether the database holds what the command asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can tell.
    Unknown,
}

impl Committed {
    /// The word for programs: `yes`, `no` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Committed::Yes => "yes",
            Committed::No => "no",
            Committed::Unknown => "unknown",
        }
    }
}

/// The words of [`Error::code`] and their numbers.
pub const NUMBERS: &[(&str, i32)] = &[
    ("bad-argument", -32602),
    ("unknown-command", -32601),
    ("internal", -32603),
    ("bad-setting", 1001),
    ("not-found", 1101),
    ("exists", 1102),
    ("conflict", 1103),
    ("not-connected", 1201),
    ("not-committed", 1202),
    ("refused-by-database", 1203),
    ("commit-unknown", 1204),
    ("link", 1301),
    ("interface", 1302),
    ("not-applied", 1303),
    ("unfinished", 1304),
];

/// A noun with its indefinite article.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            field => write!(f, "argument {field:?}: "),
        }
    }
}

struct TakenBack<'a>(&'a Option<StillThere>);

impl fmt::Display for TakenBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("the change was taken back, nothing is left of it"),
            Some(StillThere { why, unknown: false }) => {
                write!(f, "the change is still there, because taking it back failed: {why}")
            }
            // The reason says it: the transaction that takes back is one like any other.
            Some(StillThere { why, unknown: true }) => write!(f, "taking the change back has an unknown end: {why}"),
        }
    }
}

impl Error {
    /// An error about one argument.
    pub fn argument(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Argument { field: field.into(), problem: problem.into() }
    }

    /// Nothing had been sent when the time was up.
    pub fn expired_before_commit(expired: Expired, doing: &str) -> Self {
        Error::NotCommitted { cause: format!("{expired} while {doing}") }
    }

    /// A call that was answered with something we can't use, before anything was sent that changes the database.
    pub fn reading(error: CallError) -> Self {
        Error::NotCommitted { cause: format!("reading the database failed: {error}") }
    }

    /// Something that failed after the commit, whatever it says of its own effects.
    pub fn after_commit(error: Error) -> Self {
        match error {
            Error::NotConnected { remotes, cause } => {
                Error::NotApplied { cause: format!("not connected to the database {remotes}: {cause}") }
            }
            Error::NotCommitted { cause } => Error::NotApplied { cause },
            other => Error::Unfinished { cause: other.to_string() },
        }
    }

    /// What a caller is told: the error's text, or its beginning. Names and values of any length may be in it.
    pub fn told(&self) -> String {
        beginning_of(self, TOLD)
    }

    /// Whether the state of the switch is the reason, so that another state could make the command succeed.
    pub fn is_about_the_switch(&self) -> bool {
        matches!(self, Error::Argument { .. } | Error::NotFound(_) | Error::Exists(_) | Error::Conflict(_))
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Argument { .. } => "bad-argument",
            Error::Setting { .. } => "bad-setting",
            Error::UnknownCommand { .. } => "unknown-command",
            Error::NotFound(_) => "not-found",
            Error::Exists(_) => "exists",
            Error::Conflict(_) => "conflict",
            Error::NotConnected { .. } => "not-connected",
            Error::NotCommitted { .. } => "not-committed",
            Error::Unknown { .. } => "commit-unknown",
            Error::NotApplied { .. } => "not-applied",
            Error::Unfinished { .. } => "unfinished",
            Error::Refused(_) => "refused-by-database",
            Error::Interface { .. } | Error::NotWorking { .. } => "interface",
            Error::Leaving { error, .. } => error.code(),
            Error::Link(_) => "link",
            Error::Internal(_) => "internal",
        }
    }

    /// The number that goes with [`Error::code`] in JSON-RPC. Stable, like the word; where JSON-RPC 2.0 (section 5.1)
    /// has a number of its own, it is that one.
    pub fn number(&self) -> i32 {
        NUMBERS.iter().find(|(word, _)| *word == self.code()).map_or(-32603, |(_, number)| *number)
    }

    /// What is at fault by its name: an argument or an environment variable.
    pub fn field(&self) -> Option<&str> {
        match self {
            Error::Argument { field, .. } => Some(field.as_str()).filter(|field| !field.is_empty()),
            Error::Setting { name, .. } => Some(name),
            Error::Leaving { error, .. } => error.field(),
            _ => None,
        }
    }

    /// What a caller may do about it, where that does not depend on the case.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::UnknownCommand { .. } => Some("rpc.discover lists the methods"),
            Error::NotConnected { .. } => Some("is ovsdb-server running, and does OVS_PLUGIN_DB name its address?"),
            Error::NotCommitted { .. } => Some("nothing was changed; the same call may be sent again"),
            Error::Unknown { .. } => Some("send the same call again: it finds out what the database holds"),
            Error::NotApplied { .. } => Some("is ovs-vswitchd running? it applies the change as soon as it is"),
            Error::Leaving { error, .. } => error.hint(),
            _ => None,
        }
    }

    /// Whether the change is in the database nevertheless.
    pub fn committed(&self) -> Committed {
        match self {
            Error::Unknown { .. } | Error::Interface { still_there: Some(StillThere { unknown: true, .. }), .. } => {
                Committed::Unknown
            }
            Error::NotApplied { .. } | Error::Unfinished { .. } | Error::Interface { still_there: Some(_), .. } => {
                Committed::Yes
            }
            Error::Leaving { error, .. } => error.committed(),
            _ => Committed::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_has_a_length() {
        let long = "é".repeat(1 << 20);
        let told = Error::argument("bridge", format!("{long:?} is not a name")).told();
        assert!(told.starts_with("argument \"bridge\": \"éé") && told.ends_with('…'));
        assert!(told.len() <= TOLD + '…'.len_utf8(), "{}", told.len());
        assert_eq!(Error::NotFound("no port a".into()).told(), "no port a");
    }

    #[test]
    fn every_word_has_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<i32> = NUMBERS.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers.len(), NUMBERS.len());
        for error in [
            Error::argument("vlan", "is missing"),
            Error::Setting { name: "OVS_PLUGIN_DB", problem: String::new() },
            Error::UnknownCommand { name: String::new(), hint: String::new() },
            Error::NotFound(String::new()),
            Error::Exists(String::new()),
            Error::Conflict(String::new()),
            Error::NotConnected { remotes: String::new(), cause: String::new() },
            Error::NotCommitted { cause: String::new() },
            Error::Unknown { cause: String::new() },
            Error::NotApplied { cause: String::new() },
            Error::Unfinished { cause: String::new() },
            Error::Interface { problem: String::new(), still_there: None },
            Error::Internal(String::new()),
        ] {
            assert!(NUMBERS.contains(&(error.code(), error.number())), "{error:?}");
        }
        for (still_there, committed) in [
            (None, Committed::No),
            (Some(StillThere::from(String::new())), Committed::Yes),
            (Some(StillThere { why: String::new(), unknown: true }), Committed::Unknown),
        ] {
            assert_eq!(Error::Interface { problem: String::new(), still_there }.committed(), committed);
        }
        assert_eq!(Error::argument("vlan", "is missing").field(), Some("vlan"));
        assert_eq!(Error::argument("", "is missing").field(), None);
    }
}
