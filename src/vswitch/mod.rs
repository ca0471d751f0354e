//! The Open_vSwitch database in the words of switching.
//!
//! A command composes its change from the pieces here ([`bridge`], [`port`], [`patch`], [`vtep`], [`options`]) over a
//! [`unit::Unit`], the unit of work, which becomes one transaction. [`run`] carries a command through: attempt, commit,
//! again when somebody was faster.

mod asked;
pub(crate) mod bridge;
mod causes;
mod commit;
mod conflicts;
pub(crate) mod daemon;
mod datapath;
pub(crate) mod derived;
mod device;
pub mod doctor;
pub(crate) mod health;
pub mod hub;
pub(crate) mod leftovers;
pub(crate) mod network;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod plan;
pub(crate) mod port;
mod present;
pub(crate) mod ready;
pub(crate) mod record;
mod removal;
mod rest;
pub(crate) mod rules;
pub mod run;
mod search;
pub(crate) mod secrets;
pub(crate) mod session;
pub(crate) mod stats;
pub mod tables;
pub(crate) mod topology;
mod undo;
pub(crate) mod unit;
pub(crate) mod verify;
pub(crate) mod vtep;
pub(crate) mod watch;

pub use hub::Hub;
pub use plan::{LinkChange, Query, RowKey, Wanted};
pub use session::Session;
pub use unit::Unit;
