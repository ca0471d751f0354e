//! Taking back what a command did, when what came out of it does not work.
//!
//! The inverse of a unit of work is a transaction too: it puts back what was there before and takes out what was added,
//! guarded by what the unit itself wrote, so that nobody else's later change is undone with it.

use ovsdb::error::ErrorClass;
use ovsdb::operation::Operation;
use ovsdb::transaction::Transaction;

use super::commit::{SendError, TIME_TO_TAKE_BACK, send};
use super::device;
use super::plan::change_set::LinkChange;
use super::plan::query::Query;
use super::plan::transaction::{Committed, ask_for_application};
use super::session::Session;
use super::unit::Unit;
use crate::error::StillThere;
use crate::links::LinkError;

impl Unit<'_> {
    /// Takes a committed unit back. An error tells why the change is still there.
    pub(super) async fn take_back(&mut self, committed: &Committed) -> Result<(), StillThere> {
        self.session.deadline = self.session.deadline.leaving(TIME_TO_TAKE_BACK);
        let (mut inverse, withdrawals) = self.inverse(committed)?;
        if inverse.operations.is_empty() {
            return Ok(());
        }
        let guards =
            inverse.operations.iter().take_while(|operation| matches!(operation, Operation::Wait { .. })).count();
        let target = ask_for_application(&mut inverse, None, &format!("taking back: {}", self.comment));
        let mut sent = send(self.session, &inverse, target).await;
        // The guards name columns that an older schema may lack. No operation goes, so the places stay.
        if let Err(SendError::Refused(refusal)) = &sent {
            let narrowed = self.session.narrowed(&inverse, refusal).await.map_err(|error| error.to_string())?;
            if let Some(narrowed) = narrowed {
                sent = send(self.session, &narrowed.transaction, target).await;
            }
        }
        match sent {
            // The rows are as before; that ovs-vswitchd follows at once is of no consequence.
            Ok((_, application)) => {
                if let Err(error) = application.wait(self.session).await {
                    tracing::warn!(%error, "taken back");
                }
                self.withdraw(withdrawals).await
            }
            Err(SendError::Refused(error))
                if error.operation.is_some_and(|at| at < guards) && error.error.class() == ErrorClass::TimedOut =>
            {
                Err(StillThere::from("somebody else has changed it since".to_owned()))
            }
            Err(SendError::Refused(error)) => Err(StillThere::from(error.to_string())),
            Err(SendError::Other(error)) => {
                let unknown = error.committed() == crate::error::Committed::Unknown;
                Err(StillThere { why: error.to_string(), unknown })
            }
        }
    }

    /// Ends the requests by which interfaces got back what they had.
    async fn withdraw(&mut self, withdrawals: Vec<Operation>) -> Result<(), StillThere> {
        if withdrawals.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        transaction.operations = withdrawals;
        let target = ask_for_application(&mut transaction, None, &format!("taking back: {}", self.comment));
        match send(self.session, &transaction, target).await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(StillThere::from(format!("an interface still asks for what it had: {}", error.into_error())))
            }
        }
    }
}

/// Takes back what a failed command did to kernel devices that were there before. Those that it made are for
/// [`tidy`](super::removal::tidy).
pub(super) async fn take_back_links(session: &mut Session) {
    let (made, changed): (Vec<LinkChange>, Vec<LinkChange>) = std::mem::take(&mut session.done_to_links)
        .into_iter()
        .partition(|change| matches!(change, LinkChange::AddVxlan(..)));
    session.done_to_links = made;
    if changed.is_empty() {
        return;
    }
    session.deadline = session.deadline.leaving(TIME_TO_TAKE_BACK);
    for change in changed.into_iter().rev() {
        let LinkChange::SetUp(name) = change else {
            device::take_back(session, &change);
            continue;
        };
        // Another command, running at the same time, may have found the device and built upon it.
        let mut look = Unit::new(session, String::new(), "", false);
        if matches!(look.find_one(Query::interface(&name)).await, Ok(Some(_))) {
            continue;
        }
        let put_back = session.links().and_then(|links| {
            let done = links.set_down(&name);
            // A device that is gone need not go down.
            if done.as_ref().is_err_and(LinkError::is_missing) { Ok(()) } else { Ok(done?) }
        });
        if let Err(error) = put_back {
            tracing::warn!(%error, "a device could not be put back");
        }
    }
}
