//! The Open_vSwitch database in the words of switching.
//!
//! A command composes its change from the pieces here ([`bridge`], [`port`], [`patch`], [`vtep`], [`options`]) over a
//! [`unit::Unit`], the unit of work, which becomes one transaction. [`run`] carries a command through: attempt, commit,
//! again when somebody was faster.

mod asked;
pub mod bridge;
mod causes;
mod commit;
mod conflicts;
pub mod daemon;
mod datapath;
pub mod derived;
mod device;
pub mod doctor;
pub mod health;
pub mod hub;
pub mod leftovers;
pub mod options;
pub mod patch;
pub mod picture;
pub mod plan;
pub mod port;
mod present;
pub mod ready;
pub mod record;
mod removal;
mod rest;
pub mod rules;
pub mod run;
pub mod secrets;
pub mod session;
pub mod stats;
pub mod tables;
mod undo;
pub mod unit;
pub mod verify;
pub mod vtep;
pub mod watch;

pub use hub::Hub;
pub use plan::{LinkChange, Query, RowKey, Wanted};
pub use session::Session;
pub use unit::Unit;
