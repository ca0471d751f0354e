//! Turns a unit of work into one transaction, sends it, waits until ovs-vswitchd has applied it, and looks at the
//! interfaces that came out of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovsdb::error::{CallError, ErrorClass};
use ovsdb::monitor::{MonitorRequest, MonitorRequests, RowUpdate, TableUpdates, Update};
use ovsdb::operation::{Condition, Operation, Row as Columns};
use ovsdb::transaction::{OperationResult, TransactError, Transaction};
use ovsdb::value::{Uuid, UuidRef, Value};
use ovsdb::{Reply, Updates};

use super::plan::change_set::{LinkChange, RowKey};
use super::plan::transaction::{
    Committed, OFPORT_MAX, OFPORT_REQUEST, Plan, ask_for_application, ask_for_port_number, is_lost_race,
};
use super::secrets;
use super::session::{RECONNECT_PAUSE, Session};
use super::tables::{DATABASE, INTERFACE, OPEN_VSWITCH};
use super::unit::{Unit, unreadable};
use crate::deadline::{Deadline, Expired};
use crate::error::Error;
use crate::links::LinkError;

/// Taking back gets at least this much time: the deadline may be near, or be what made the command fail.
pub(super) const TIME_TO_TAKE_BACK: Duration = Duration::from_secs(1);

/// Why a commit changed nothing, or did not get as far as it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody else changed what the decision rested on; the command is to look again.
    LostRace(Error),
    /// Looking again would not help.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Failure::Final(Error::Link(error))
    }
}

/// How interfaces are opened again.
struct Reopening {
    /// A port number that no port has.
    number: i64,
    /// Of those that exist, the columns of their rows that matter, as they are before.
    before: BTreeMap<Uuid, Columns>,
}

impl Unit<'_> {
    /// Does everything that was asked of the unit, but for devices that are to be deleted.
    pub(super) async fn commit(&mut self) -> Result<Committed, Failure> {
        self.prepare_links()?;
        if self.writes() || !self.nudged.is_empty() {
            let reopening = self.reopening().await?;
            let were_up = self.reopened_devices_that_are_up()?;
            let plan = self.plan(reopening.as_ref().map(|reopening| reopening.number));
            let sent = transact(self.session, plan).await;
            if let (Some(reopening), Err(Failure::Final(error))) = (&reopening, &sent)
                && error.committed() == crate::error::Committed::Unknown
            {
                self.leave_requests(self.reopened.clone(), reopening.number, None);
            }
            let (committed, application) = sent?;
            let applied = application.wait(self.session).await;
            if let Some(reopening) = reopening {
                self.withdraw_port_number(&committed, &reopening, applied.is_ok()).await;
            }
            self.keep_up(were_up);
            applied?;
            Ok(committed)
        } else {
            self.wait_for_rest().await?;
            // What the answer rests on may have been written a moment ago, and not be on disk yet.
            if self.session.durable && self.is_about_rows() {
                let (_, application) = transact(self.session, self.plan(None)).await?;
                application.wait(self.session).await?;
            }
            Ok(Committed::default())
        }
    }

    /// Has ovs-vswitchd go through its configuration again, if what the unit has read still holds.
    pub(super) async fn have_it_tried_again(&mut self) -> Result<(), Failure> {
        let plan = self.plan(None);
        let (_, application) = transact(self.session, plan).await?;
        Ok(application.wait(self.session).await?)
    }

    /// Waits until ovs-vswitchd has applied a configuration that others have written.
    pub(super) async fn wait_for_configuration(&mut self, target: i64) -> Result<(), Error> {
        let application = match self.session.hub() {
            Some(_) => Application::Replica(target),
            None => {
                let deadline = self.session.deadline.clone();
                let monitor = self.session.connection().await?.monitor(DATABASE, &watch_cur_cfg());
                Application::Monitor(target, Progress::begin(monitor, &deadline).await?)
            }
        };
        application.wait(self.session).await
    }

    /// What it takes to have interfaces opened again, if there are any to be.
    ///
    /// ovs-vswitchd goes by names: of an interface that is deleted and inserted in one transaction it keeps the device
    /// open, though that may be gone and another of its name there. It lets go of the device only where another port
    /// number is asked for (vswitchd/bridge.c, `bridge_delete_or_reconfigure_ports`).
    async fn reopening(&mut self) -> Result<Option<Reopening>, Error> {
        if self.reopened.is_empty() {
            return Ok(None);
        }
        let mut select = Transaction::new();
        select.select(INTERFACE, Vec::new(), &["ofport"]);
        let of_row = |key: &RowKey| match key.id {
            UuidRef::Row(uuid) => Some(uuid),
            UuidRef::New(_) => None,
        };
        let existing: Vec<Uuid> = self.reopened.iter().filter_map(of_row).collect();
        for uuid in &existing {
            select.select(INTERFACE, vec![Condition::is_row(*uuid)], &["ofport", OFPORT_REQUEST]);
        }
        let mut results = self.session.read(&select).await?.into_iter();
        let rows = results.next().map(OperationResult::into_rows).transpose().map_err(unreadable)?;
        let rows = rows.unwrap_or_default();
        let used: BTreeSet<i64> = rows.iter().filter_map(|row| row.get("ofport")?.as_integer()).collect();
        let mut before = BTreeMap::new();
        for (uuid, result) in existing.into_iter().zip(results) {
            let rows: Vec<Columns> = result.into_rows().map_err(unreadable)?;
            before.extend(rows.into_iter().next().map(|row| (uuid, row)));
        }
        Ok((1..=OFPORT_MAX).rev().find(|number| !used.contains(number)).map(|number| Reopening { number, before }))
    }

    /// Once the devices are open, the ports keep their numbers and need not ask for them any more. Where ovs-vswitchd
    /// has not come to it, the request is of no use either. Ports that had a number before get that again: flows may
    /// name it.
    async fn withdraw_port_number(&mut self, committed: &Committed, reopening: &Reopening, applied: bool) {
        self.session.deadline = self.session.deadline.leaving(TIME_TO_TAKE_BACK);
        let mut withdrawal = Transaction::new();
        // Ports that ask for their former number, and will have to ask for none.
        let mut back: Vec<(Uuid, i64)> = Vec::new();
        for key in &self.reopened {
            let (uuid, asked) = match &key.id {
                UuidRef::New(name) => {
                    let Some(uuid) = committed.uuids.get(name) else { continue };
                    (*uuid, self.peek(key, OFPORT_REQUEST).unwrap_or_else(Value::empty))
                }
                // What the command itself asks for stays.
                UuidRef::Row(_) if self.rows.get(key).is_some_and(|row| row.changes.contains_key(OFPORT_REQUEST)) => {
                    continue;
                }
                UuidRef::Row(uuid) => {
                    let column = |column| reopening.before.get(uuid).and_then(|row| row.get(column).cloned());
                    let asked = column(OFPORT_REQUEST).unwrap_or_else(Value::empty);
                    let former = column("ofport").and_then(|port| port.as_integer()).filter(|port| *port > 0);
                    match former.filter(|_| applied && asked.is_empty()) {
                        Some(former) => {
                            back.push((*uuid, former));
                            (*uuid, former.into())
                        }
                        None => (*uuid, asked),
                    }
                }
            };
            withdrawal.push(ask_for_port_number(uuid, Some(reopening.number), asked));
        }
        if let Err(error) = self.send_withdrawal(withdrawal, applied).await {
            self.leave_requests(self.reopened.clone(), reopening.number, Some(&error));
            return;
        }
        if back.is_empty() {
            return;
        }
        let mut withdrawal = Transaction::new();
        for (uuid, former) in &back {
            withdrawal.push(ask_for_port_number(*uuid, Some(*former), Value::empty()));
        }
        if let Err(error) = self.send_withdrawal(withdrawal, applied).await {
            for (uuid, former) in back {
                let key = RowKey { table: INTERFACE.into(), id: UuidRef::Row(uuid) };
                self.leave_requests(vec![key], former, Some(&error));
            }
        }
    }

    /// Says, in a note and in the error if the command fails, that interfaces may go on asking for a port number.
    fn leave_requests(&mut self, interfaces: Vec<RowKey>, number: i64, why: Option<&Error>) {
        for key in interfaces {
            let why = why.map(|error| format!(": {error}")).unwrap_or_default();
            let text = format!("interface {} may still ask for port number {number}{why}", self.name(&key));
            self.session.left.push(text.clone());
            self.note(text);
        }
    }

    /// Sends a withdrawal, and waits until it is applied if ovs-vswitchd has applied what came before.
    async fn send_withdrawal(&mut self, mut withdrawal: Transaction, applied: bool) -> Result<(), Error> {
        let target = ask_for_application(&mut withdrawal, None, &self.comment);
        match send(self.session, &withdrawal, target).await {
            Ok((_, application)) if applied => application.wait(self.session).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error.into_error()),
        }
    }

    /// The devices of interfaces to open again that are up now.
    fn reopened_devices_that_are_up(&mut self) -> Result<Vec<String>, Error> {
        let mut are_up = Vec::new();
        for key in self.reopened.clone() {
            let name = self.name(&key);
            if self.link(&name)?.is_some_and(|link| link.up) {
                are_up.push(name);
            }
        }
        Ok(are_up)
    }

    /// Sets devices up again that were up. ovs-vswitchd makes a device promiscuous when it opens it, and sets the flags
    /// that it knows of besides; of a device that was made a moment ago it may still know that it is gone, and so not up
    /// (lib/netdev-linux.c, `update_flags`).
    fn keep_up(&mut self, were_up: Vec<String>) {
        for name in were_up {
            let kept = self.link(&name).and_then(|link| match link {
                Some(link) if !link.up => Ok(self.session.links()?.set_up(&name)?),
                _ => Ok(()),
            });
            if let Err(error) = kept {
                self.note(format!("device {name} may be down: {error}"));
            }
        }
    }

    /// Makes the devices that the transaction refers to.
    fn prepare_links(&mut self) -> Result<(), Failure> {
        for name in &self.set.absent_devices {
            if self.session.links()?.get(name)?.is_some() {
                return Err(Failure::LostRace(Error::Conflict(format!("the network device {name} is there again"))));
            }
        }
        for change in &self.set.links {
            let links = self.session.links()?;
            let made = match change {
                LinkChange::AddVxlan(vxlan, _) => links.add_vxlan(vxlan),
                LinkChange::SetUp(name) => links.set_up(name),
                LinkChange::Delete(_) | LinkChange::DeleteUnused(_) => continue,
                LinkChange::SetUpOwn(_) | LinkChange::AddAddress(..) => continue,
            };
            // Where the answer is lost, it may have been done all the same.
            self.session.done_to_links.push(change.clone());
            let error = match (made, change) {
                (Ok(()), LinkChange::AddVxlan(vxlan, _)) => {
                    // To see afterwards whether somebody has deleted it, who found it without rows.
                    match self.session.links()?.get(&vxlan.name)? {
                        Some(link) => self.found_devices.push(link),
                        None => {
                            let problem = format!("the network device {} went away as soon as it was made", vxlan.name);
                            return Err(Failure::LostRace(Error::Conflict(problem)));
                        }
                    }
                    continue;
                }
                (Ok(()), _) => continue,
                (Err(error), _) => error,
            };
            if !error.may_be_done() {
                self.session.done_to_links.pop();
            }
            if let (true, LinkChange::AddVxlan(vxlan, _)) = (error.is_exists(), change) {
                // Somebody made it at the same moment: see whether it is the right one. If there is none of that name,
                // another device has the VNI, and looking again does not help. Where that can't be found out, the kernel's
                // first refusal is what there is to tell.
                let links = self.session.links()?;
                if links.get(&vxlan.name).is_ok_and(|link| link.is_some()) {
                    return Err(Failure::LostRace(Error::Link(error)));
                }
            }
            // A device that was found is gone by now, or the one that it is to run over.
            if error.is_missing() {
                return Err(Failure::LostRace(Error::Link(error)));
            }
            return Err(Failure::Final(Error::Link(error)));
        }
        Ok(())
    }
}

/// Sends a transaction, which ovs-vswitchd is then yet to apply.
async fn transact(session: &mut Session, plan: Plan) -> Result<(Committed, Application), Failure> {
    let (results, applied) = match send(session, &plan.transaction, plan.target).await {
        Ok(sent) => sent,
        Err(SendError::Refused(error)) if is_lost_race(&error, plan.guards) => {
            return Err(Failure::LostRace(Error::Refused(error)));
        }
        Err(SendError::Refused(error)) => return Err(Failure::Final(session.refused(&plan.transaction, error).await)),
        Err(SendError::Other(error)) => return Err(Failure::Final(error)),
    };
    // The change is in the database. Without these answers it can neither be looked at nor be taken back.
    let untold = |what: &str| Failure::Final(Error::Unfinished { cause: format!("the server's answer lacks {what}") });
    let was_applied = was_applied(&results[plan.target]);
    let mut committed = Committed { wrote: true, was_applied, ..Committed::default() };
    for (name, place) in plan.inserts {
        let uuid = results[place].uuid().ok_or_else(|| untold("the identity of a new row"))?;
        committed.uuids.insert(name, uuid);
    }
    for (uuid, place) in plan.before {
        let rows: Vec<Columns> = results[place].rows().map_err(|error| untold(&format!("former values: {error}")))?;
        // A row that is no longer there is no change that could be taken back; nothing was written to it.
        committed.before.extend(rows.into_iter().next().map(|row| (uuid, row)));
    }
    Ok((committed, applied))
}

/// Why a transaction that was sent has no results.
pub(super) enum SendError {
    /// The server said no.
    Refused(TransactError),
    /// Something else.
    Other(Error),
}

impl SendError {
    /// For those to whom it makes no difference.
    pub(super) fn into_error(self) -> Error {
        match self {
            SendError::Refused(error) => Error::Refused(error),
            SendError::Other(error) => error,
        }
    }
}

/// Sends a transaction that ends with [`ask_for_application`], whose place is `target`.
///
/// A session that wants it durable asks for that (RFC 7047 section 5.2.7). A server with its database in a file then calls
/// fsync(2) on the file before it answers, and so for all that was written before; members of a cluster always do
/// (ovsdb/storage.c, `ovsdb_storage_write`).
pub(super) async fn send(
    session: &mut Session,
    transaction: &Transaction,
    target: usize,
) -> Result<(Vec<OperationResult>, Application), SendError> {
    let deadline = session.deadline.clone();
    // Whatever comes of it, the replica does not know it yet.
    session.set_fresh(false);
    let (has_replica, is_durable) = (session.hub().is_some(), session.durable);
    let connection = session.connection().await.map_err(SendError::Other)?;
    // Both in one write: the monitor is there before the change, and costs no round trip.
    let monitor = (!has_replica).then(|| connection.monitor(DATABASE, &watch_cur_cfg()));
    let mut transaction = Cow::Borrowed(transaction);
    if is_durable {
        transaction.to_mut().push(Operation::Commit { durable: true });
    }
    let reply = connection.transact(DATABASE, &transaction);

    // From here on the database may hold the change whatever we hear.
    let unknown = |cause: String| SendError::Other(Error::Unknown { cause });
    let reply = deadline.limit(reply).await.map_err(|expired| unknown(expired.to_string()))?;
    let reply = reply.map_err(|error| match error {
        CallError::NotSent { .. } => SendError::Other(Error::NotCommitted { cause: error.to_string() }),
        error => unknown(secrets::without_secrets(error).to_string()),
    })?;
    let results = reply.check(transaction.operations.len()).map_err(|mut refusal| {
        secrets::hide_in_refusal(&mut refusal.error);
        // The record is in the file by then, and counts when the server starts again.
        if is_durable && refusal.operation.is_none() && refusal.error.class() == ErrorClass::IoError {
            return unknown(format!("the server could not write it to disk for sure: {}", refusal.error));
        }
        SendError::Refused(refusal)
    })?;

    // The database holds the change by now. What goes wrong from here on is told to whoever waits for ovs-vswitchd.
    let application = match (next_cfg(&results[target]), monitor) {
        (Err(cause), _) => Application::Unknown(Error::NotApplied { cause }),
        (Ok(None), _) => Application::Nothing,
        (Ok(Some(target)), None) => Application::Replica(target),
        (Ok(Some(target)), Some(monitor)) => match Progress::begin(monitor, &deadline).await {
            Ok(progress) => Application::Monitor(target, progress),
            Err(error) => Application::Unknown(error),
        },
    };
    Ok((results, application))
}

/// A change that is in the database and that ovs-vswitchd is yet to apply.
pub(super) enum Application {
    /// The database has no root row, so there is no configuration that ovs-vswitchd could apply.
    Nothing,
    /// The number of the configuration, which a replica tells.
    Replica(i64),
    /// The same, which a monitor tells.
    Monitor(i64, Progress),
    /// Whether it is applied can't be told, for this reason.
    Unknown(Error),
}

type CurCfg = TableUpdates<RowUpdate>;

/// What a monitor of one's own tells.
pub(super) struct Progress {
    /// The last configuration that ovs-vswitchd is known to have applied; none before it has told of one.
    reached: Option<i64>,
    updates: Updates<CurCfg>,
}

impl Progress {
    /// Waits for a monitor's first answer. The change that is watched is in the database, so an error says so.
    async fn begin((initial, updates): (Reply<CurCfg>, Updates<CurCfg>), deadline: &Deadline) -> Result<Self, Error> {
        let not_applied = |cause: String| Error::NotApplied { cause };
        let reached = match deadline.limit(initial).await.map_err(|expired| not_applied(expired.to_string()))? {
            Ok(tables) => cur_cfg(&tables).map_err(not_applied)?,
            // The updates end as well, and then the next connection is asked.
            Err(CallError::Disconnected { .. }) => None,
            Err(error) => return Err(not_applied(format!("watching cur_cfg failed: {error}"))),
        };
        Ok(Progress { reached, updates })
    }
}

impl Application {
    /// Waits until ovs-vswitchd has handled this configuration, or a later one: others may push it further.
    pub(super) async fn wait(self, session: &mut Session) -> Result<(), Error> {
        let deadline = session.deadline.clone();
        let late = |expired: Expired| Error::NotApplied { cause: expired.to_string() };
        let (target, mut progress) = match self {
            Application::Nothing => return Ok(()),
            Application::Unknown(error) => return Err(error),
            Application::Monitor(target, progress) => (target, progress),
            Application::Replica(target) => {
                let none = || Error::NotApplied { cause: "there is no replica that tells of cur_cfg".into() };
                session.hub().ok_or_else(none)?.applied(target, &deadline).await?;
                // It came after our own change, and so did what ovs-vswitchd says of it.
                session.set_fresh(true);
                return Ok(());
            }
        };
        while progress.reached < Some(target) {
            match deadline.limit(progress.updates.next()).await.map_err(late)? {
                Some(Update::Changed(_, tables)) => {
                    let reached = cur_cfg(&tables).map_err(|cause| Error::NotApplied { cause })?;
                    progress.reached = progress.reached.max(reached);
                }
                // The server went away or changes its schema. The change is in the database, so ask the next one.
                Some(Update::Unreadable(_) | Update::Canceled) | None => {
                    deadline.sleep(RECONNECT_PAUSE).await.map_err(late)?;
                    let connection = session.connection().await.map_err(Error::after_commit)?;
                    progress = Progress::begin(connection.monitor(DATABASE, &watch_cur_cfg()), &deadline).await?;
                }
            }
        }
        Ok(())
    }
}

/// Whether ovs-vswitchd had applied the configuration before the one that has just been asked for. What can't be read is not
/// known to be applied.
fn was_applied(root: &OperationResult) -> bool {
    let Ok(rows) = root.rows::<Columns>() else { return false };
    let number = |column: &str| rows.first().and_then(|row| row.get(column)).and_then(Value::as_integer);
    matches!((number("cur_cfg"), number("next_cfg")), (Some(current), Some(next)) if current >= next - 1)
}

fn watch_cur_cfg() -> MonitorRequests {
    MonitorRequests::from([(OPEN_VSWITCH.into(), vec![MonitorRequest::columns(&["cur_cfg"])])])
}

/// The new number of the configuration; none if there is no root row.
fn next_cfg(result: &OperationResult) -> Result<Option<i64>, String> {
    let untold = |problem: String| format!("the server does not tell Open_vSwitch.next_cfg: {problem}");
    let rows: Vec<Columns> = result.rows().map_err(|error| untold(error.to_string()))?;
    let number = |row: &Columns| {
        let value = row.get("next_cfg");
        value.and_then(Value::as_integer).ok_or_else(|| untold(format!("{value:?} is no number")))
    };
    rows.first().map(number).transpose()
}

/// The number of the configuration that ovs-vswitchd has applied; none if there is no root row, or it was deleted.
fn cur_cfg(tables: &CurCfg) -> Result<Option<i64>, String> {
    let rows = tables.values().flat_map(BTreeMap::values).filter_map(|update| update.new.as_ref());
    let mut reached = None;
    for row in rows {
        let value = row.get("cur_cfg");
        let number = value.and_then(Value::as_integer);
        let number =
            number.ok_or_else(|| format!("the server does not tell Open_vSwitch.cur_cfg: {value:?} is no number"));
        reached = reached.max(Some(number?));
    }
    Ok(reached)
}
