//! Which of several remotes to use, while one is looked for.

use ovsdb::membership::Choice;
use ovsdb::transaction::TransactReply;
use ovsdb::{Address, Reply};

use crate::deadline::Expired;
use crate::error::Error;

/// The remotes are tried in turn, again and again, until one will do.
pub(super) struct Search {
    /// Whether the server of the connection is one that will do.
    pub(super) found: bool,
    pub(super) choice: Choice,
    /// Where the round begins.
    pub(super) first: usize,
    /// How many were tried in this round, that of the connection included.
    pub(super) tried: usize,
    /// Why each of them will not do, as far as is known.
    pub(super) causes: Vec<Option<String>>,
    /// How many of them are of no use however long is waited, in this round: the system does not let us connect, or they
    /// talk no OVSDB.
    pub(super) hopeless: usize,
    /// What the server that there is a connection to says of its place.
    pub(super) standing: Option<Reply<TransactReply>>,
}

/// Those who could not be reached, or will not do, and why.
pub(super) fn not_connected(remotes: &[Address], cause: String) -> Error {
    Error::NotConnected { remotes: remotes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "), cause }
}

impl Search {
    pub(super) fn new(remotes: usize) -> Self {
        Search {
            found: false,
            choice: Choice::among(remotes),
            first: 0,
            tried: 0,
            causes: vec![None; remotes],
            hopeless: 0,
            standing: None,
        }
    }

    pub(super) fn begin_round(&mut self, first: usize) {
        self.choice.begin_round();
        (self.first, self.tried, self.hopeless) = (first, 0, 0);
    }

    pub(super) fn note(&mut self, remote: usize, cause: String) {
        if let Some(known) = self.causes.get_mut(remote) {
            *known = Some(cause);
        }
    }

    /// Why no remote will do, as far as is known.
    pub(super) fn causes(&self, remotes: &[Address]) -> Vec<String> {
        let known = remotes.iter().zip(&self.causes).filter_map(|(remote, cause)| Some((remote, cause.as_ref()?)));
        match remotes {
            [_] => known.map(|(_, cause)| cause.clone()).collect(),
            _ => known.map(|(remote, cause)| format!("{remote}: {cause}")).collect(),
        }
    }

    /// The same, and why nothing further was tried.
    pub(super) fn told(&self, remotes: &[Address], expired: &Expired) -> Error {
        let mut told = self.causes(remotes).join("; ");
        if !told.is_empty() {
            told += ", and ";
        }
        not_connected(remotes, format!("{told}{expired}"))
    }

    /// The time was up while this remote was waited for. What is known of it from before tells more than that.
    pub(super) fn expired(&mut self, remotes: &[Address], place: usize, cause: &str, expired: &Expired) -> Error {
        if matches!(expired, Expired::Time(_))
            && let Some(known) = self.causes.get_mut(place)
        {
            known.get_or_insert_with(|| cause.to_owned());
        }
        self.told(remotes, expired)
    }
}
