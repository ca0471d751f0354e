//! Carries a command through: one attempt after the other until one commits, is refused, or the time is up.

use std::pin::Pin;

use ovsdb::operation::{Mutation, Mutator, Operation};
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::commit::{self, Failure};
use super::plan::report::Change;
use super::plan::transaction::{Committed, ask_for_application};
use super::removal;
use super::session::Session;
use super::tables;
use super::undo;
use super::unit::Unit;
use super::verify::InterfaceStatus;
use crate::error::Error;

/// Losing so many races in a row means that something else is wrong.
const ATTEMPTS: usize = 50;

/// So many attempts may fail at a unique index: the second looks up who has the name, so more of them mean that the
/// index is not one of names, and looking again does not help.
const COLLISIONS: usize = 10;

/// What a caller wants besides the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Tell what would change, and change nothing.
    pub dry_run: bool,
    /// Tell what changed, and how the interfaces are.
    pub report: bool,
    /// What happens after the commit.
    pub verify: Verify,
    /// Have the database write it to disk before it is acknowledged.
    pub durable: bool,
}

/// What is judged once ovs-vswitchd has applied a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing.
    No,
    /// An interface that does not work is a failure, and the change is taken back. A setting that an interface asked for
    /// and did not get is a note.
    Yes,
    /// A setting that an interface did not get is a failure as well.
    Strict,
}

/// What a command answers when a report or a dry run is asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// What the command answers otherwise.
    pub result: Json,
    /// Whether anything changed, or would.
    pub changed: bool,
    /// What changed, or would.
    pub changes: Vec<Change>,
    /// The interfaces that were added or changed, as ovs-vswitchd sees them; empty for a dry run.
    pub interfaces: Vec<InterfaceStatus>,
    /// Things worth knowing that are no failure.
    pub notes: Vec<String>,
}

/// What a command does with a unit of work. May run again after a lost race.
///
/// It is `Send`: a server runs many at once, each as a task. It is boxed, so that what follows is in the program once, and not once for each command: 200 kB of it.
pub trait Body: Sync {
    /// Reads what exists and asks for changes.
    fn run<'a>(&'a self, unit: &'a mut Unit<'_>) -> Working<'a>;
}

/// A body at work.
pub type Working<'a> = Pin<Box<dyn Future<Output = Result<Json, Error>> + Send + 'a>>;

/// Runs a command's body over fresh units until one of them commits.
///
/// The first attempt leaves it to the database's unique indexes to refuse a name that is taken. Only when that happens
/// is it worth the look-ups to find out who has it. A dry run never asks the indexes, so it looks at once.
pub async fn run(
    session: &mut Session,
    comment: &str,
    mark: &str,
    mode: Mode,
    body: &dyn Body,
) -> Result<Report, Error> {
    session.durable = mode.durable;
    match attempts(session, comment, mark, mode, body).await {
        Ok(report) => Ok(report),
        Err(error) => {
            // Otherwise the database may hold what refers to the devices.
            if error.committed() == crate::error::Committed::No {
                undo::take_back_links(session).await;
            }
            Err(removal::tidy(session, error).await)
        }
    }
}

async fn attempts(
    session: &mut Session,
    comment: &str,
    mark: &str,
    mode: Mode,
    body: &dyn Body,
) -> Result<Report, Error> {
    let mut lost = None;
    let mut collisions = 0;
    for attempt in 0..ATTEMPTS {
        let mut unit = Unit::new(session, comment.to_owned(), mark, mode.dry_run || attempt > 0);
        let mut worked = match body.run(&mut unit).await {
            // Whatever a command writes passes here, before anything is sent or told.
            Ok(result) => unit.refuse_conflicts().await.map(|()| result),
            Err(error) => Err(error),
        };
        if worked.is_ok()
            && mode.verify != Verify::No
            && let Err(error) = unit.check_datapath_types().await
        {
            worked = Err(error);
        }
        let result = match worked {
            Ok(result) => result,
            Err(error)
                if error.is_about_the_switch()
                    && (!unit.still_holds().await?
                        || (mode.verify != Verify::No && unit.is_otherwise_by_now().await?)) =>
            {
                tracing::debug!(%error, attempt, "refused for what is no longer so, looking again");
                lost = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if mode.dry_run {
            if mode.verify != Verify::No {
                unit.note_missing_devices()?;
            }
            let changes = unit.changes(None);
            let changed = !changes.is_empty();
            return Ok(Report { result, changed, changes, interfaces: Vec::new(), notes: unit.take_notes() });
        }
        if mode.verify != Verify::No {
            unit.find_neighbours().await?;
            unit.find_rest().await?;
        }
        match finish(&mut unit, mode).await {
            Ok((committed, interfaces)) => {
                for note in &unit.notes {
                    tracing::warn!("{note}");
                }
                let changes = if mode.report { unit.changes(Some(&committed)) } else { Vec::new() };
                return Ok(Report {
                    result,
                    changed: !changes.is_empty(),
                    changes,
                    interfaces,
                    notes: unit.take_notes(),
                });
            }
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::LostRace(error)) => {
                tracing::debug!(%error, attempt, "somebody was faster, looking again");
                if matches!(&error, Error::Refused(refusal) if refusal.operation.is_none()) {
                    collisions += 1;
                }
                if collisions == COLLISIONS {
                    return Err(error);
                }
                lost = Some(error);
            }
        }
    }
    Err(lost.unwrap_or_else(|| Error::Internal("no attempt was made".into())))
}

/// Commits a unit, and does what follows.
async fn finish(unit: &mut Unit<'_>, mode: Mode) -> Result<(Committed, Vec<InterfaceStatus>), Failure> {
    unit.plan_removal();
    let committed = unit.commit().await?;
    unit.remove_devices(committed.wrote).await?;
    let mut interfaces = match mode {
        Mode { verify: Verify::Yes, .. } => unit.verify(&committed, false).await?,
        Mode { verify: Verify::Strict, .. } => unit.verify(&committed, true).await?,
        Mode { report: true, .. } => unit.look_at_interfaces(&committed).await?,
        _ => Vec::new(),
    };
    unit.configure_devices(&committed, &mut interfaces).await?;
    Ok((committed, interfaces))
}

/// Asks ovs-vswitchd for a sign that it has read its configuration: counts `next_cfg` up and waits for `cur_cfg`.
pub async fn confirm(session: &mut Session, comment: &str) -> Result<(), Error> {
    let mut nothing = Transaction::new();
    let target = ask_for_application(&mut nothing, None, comment);
    let (_, application) = commit::send(session, &nothing, target).await.map_err(commit::SendError::into_error)?;
    application.wait(session).await
}

/// Sets or takes away `other_config:flow-restore-wait`, without waiting for ovs-vswitchd, which may not be there.
pub async fn hold_flows(session: &mut Session, hold: bool) -> Result<(), Error> {
    const KEY: &str = "flow-restore-wait";
    let key = Value::Set([KEY.into()].into());
    let mut mutations = vec![Mutation("other_config".into(), Mutator::Delete, key)];
    if hold {
        mutations.push(Mutation("other_config".into(), Mutator::Insert, Value::string_map([(KEY, "true")])));
    }
    let mut transaction = Transaction::new();
    transaction.push(Operation::Mutate { table: tables::OPEN_VSWITCH.into(), r#where: Vec::new(), mutations });
    let target = ask_for_application(&mut transaction, None, "ovs-plugin vswitchd");
    commit::send(session, &transaction, target).await.map_err(commit::SendError::into_error).map(drop)
}
