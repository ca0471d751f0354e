//! The pure core: from what was read and what is wanted to a transaction, its inverse, and what is told of both.
//!
//! A [`ChangeSet`](change_set::ChangeSet) holds rows as they were told and what shall become of them. It becomes a guarded transaction
//! (`transaction`), the transaction that takes it back (`inverse`), and a report (`report`). [`Query`] is what has to be
//! asked for. Nothing in here has a session or a socket; `unit.rs` asks, and `commit.rs` sends.

pub(crate) mod change_set;
pub(crate) mod inverse;
pub(crate) mod query;
pub mod report;
pub(crate) mod transaction;

#[cfg(test)]
mod tests;

pub use change_set::{LinkChange, RowKey};
pub use query::{Query, Wanted};
