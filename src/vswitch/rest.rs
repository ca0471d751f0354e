//! What an answer rests on besides what the command writes: rows that it found as they are to be, and leaves alone.
//!
//! Somebody else may have written them a moment ago, and will take them back if their interfaces do not work. So rows count
//! only if ovs-vswitchd had applied all that the database held when they were read, and if the interfaces among them work.
//! `cur_cfg`, `next_cfg` and `ofport` come with the rows, so this costs no round trip. Where it is not so, the command waits
//! for ovs-vswitchd and looks at these interfaces as if it had written them (`verify.rs`). Rows that are gone or different
//! by then are a lost race.

use std::collections::BTreeSet;
use std::time::Duration;

use ovsdb::error::ErrorClass;
use ovsdb::operation::Row as Columns;
use ovsdb::transaction::{OperationResult, Transaction};
use ovsdb::value::{UuidRef, Value};

use super::commit::Failure;
use super::health;
use super::plan::change_set::{Fate, Row, RowKey};
use super::plan::query::Query;
use super::plan::transaction::DATAPATH_ID;
use super::tables::{BRIDGE, INTERFACE, PORT};
use super::unit::{Unit, unreadable};
use crate::error::Error;

/// So long, and at most half of the time that is left, ovs-vswitchd is given to apply what others have written, where the
/// rows tell nothing against the answer. One that takes longer is taken to be away: then nobody takes anything back either.
const PATIENCE: Duration = Duration::from_secs(3);

/// A command that finds that its interfaces do not work takes its rows back in this time, unless the machine is very busy. A
/// refusal waits so long.
const TIME_TO_TAKE_BACK: Duration = Duration::from_secs(2);

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The number of the last configuration that was read.
    target: i64,
    /// Interfaces that have to work besides those that the unit writes.
    pub(super) interfaces: Vec<RowKey>,
    /// Bridges that need a datapath.
    pub(super) bridges: Vec<RowKey>,
    /// Whether they have to be looked at.
    pub(super) doubted: bool,
}

impl Rest {
    /// Whether ovs-vswitchd had applied everything when this row of the root table was read. Without one there is nothing
    /// to apply.
    pub(super) fn read_root(&mut self, root: OperationResult) -> Result<bool, Error> {
        let rows: Vec<Columns> = root.into_rows().map_err(unreadable)?;
        let Some(root) = rows.first() else { return Ok(true) };
        let number = |column: &str| {
            let number = root.get(column).and_then(Value::as_integer);
            number.ok_or_else(|| Error::NotCommitted { cause: format!("Open_vSwitch.{column} can't be read") })
        };
        let target = number("next_cfg")?;
        self.target = self.target.max(target);
        Ok(number("cur_cfg")? >= target)
    }
}

impl Row {
    /// Whether a row of an interface, as it was read, tells that ovs-vswitchd has set it up.
    pub(super) fn is_set_up(&self) -> bool {
        health::is_set_up(self.stored.get("ofport").and_then(Value::as_integer))
    }

    /// Whether nobody has tried to set it up yet, as far as the row tells.
    fn is_untried(&self) -> bool {
        self.stored.get("ofport").is_none_or(Value::is_empty)
    }
}

impl Unit<'_> {
    /// Finds out what the answer rests on, and whether that is beyond doubt.
    pub(super) async fn find_rest(&mut self) -> Result<(), Error> {
        let stays = |key: &&RowKey| {
            let row = self.rows.get(key);
            matches!(key.id, UuidRef::Row(_)) && row.is_some_and(|row| row.fate == Fate::Stays && !row.is_changed())
        };
        let rows: Vec<RowKey> = self.touched.iter().filter(stays).cloned().collect();
        let mut interfaces: BTreeSet<RowKey> = rows.iter().filter(|key| key.table == INTERFACE).cloned().collect();
        let mut wanted = Vec::new();
        for port in rows.iter().filter(|key| key.table == PORT) {
            wanted.extend(self.peek(port, "interfaces").unwrap_or_else(Value::empty).uuids());
        }
        let key = |uuid| RowKey { table: INTERFACE.into(), id: UuidRef::Row(uuid) };
        let unknown = wanted.iter().filter(|uuid| !self.rows.contains_key(&key(**uuid)));
        let unknown: Vec<Query> = unknown.map(|uuid| Query::row(INTERFACE, *uuid)).collect();
        self.fetch(unknown).await?;
        interfaces.extend(wanted.into_iter().map(key));
        for name in self.promised.clone() {
            let is_it = |key: &&RowKey| key.table == INTERFACE && self.name(key) == name;
            // One that the unit inserts is looked at for that reason.
            match self.rows.keys().find(is_it).cloned() {
                Some(key) if matches!(key.id, UuidRef::New(_)) => {}
                Some(key) => drop(interfaces.insert(key)),
                None => interfaces.extend(self.find(Query::interface(&name)).await?),
            }
        }
        // What the unit changes or deletes is looked at for that reason.
        interfaces.retain(|key| self.rows.get(key).is_none_or(|row| row.fate == Fate::Stays && !row.is_changed()));
        let bridges: Vec<RowKey> = rows.iter().filter(|key| key.table == BRIDGE).cloned().collect();
        let mut doubted = false;
        if !self.writes() {
            for bridge in &bridges {
                doubted |= self.column(bridge, DATAPATH_ID).await?.is_empty();
            }
        }
        for key in rows.iter().chain(&interfaces) {
            doubted |= self.rows.get(key).is_none_or(|row| !row.confirmed);
        }
        for key in &interfaces {
            doubted |= self.rows.get(key).is_none_or(|row| !row.is_set_up());
        }
        self.rest.interfaces = interfaces.into_iter().collect();
        self.rest.bridges = bridges;
        self.rest.doubted = doubted;
        self.wait_for_former_state().await;
        Ok(())
    }

    /// Whether an interface worked before the command changed it can only be told once ovs-vswitchd has applied what others
    /// have written, or taken back, before.
    async fn wait_for_former_state(&mut self) {
        let is_open = |key: &&RowKey| {
            let row = self.rows.get(key).filter(|row| row.fate == Fate::Stays && row.is_changed());
            key.table == INTERFACE && row.is_some_and(|row| !row.confirmed && !row.is_set_up())
        };
        if !self.touched.iter().any(|key| is_open(&key)) {
            return;
        }
        let deadline = self.session.deadline.clone();
        self.session.deadline = deadline.at_most(PATIENCE.min(deadline.left() / 2));
        if let Err(error) = self.wait_for_configuration(self.rest.target).await {
            tracing::debug!(%error, "how an interface was before is not known");
        }
        self.session.deadline = deadline;
    }

    /// Whether an interface that the unit leaves alone has to work, if it writes something else: it is promised, or it
    /// worked, or nobody has tried. One that did not work before is no reason to take the rest back.
    pub(super) fn expects(&self, interface: &RowKey) -> bool {
        let name = self.name(interface);
        let row = self.rows.get(interface);
        self.promised.contains(&name) || row.is_none_or(|row| row.is_set_up() || row.is_untried())
    }

    /// Waits until what the answer rests on is beyond doubt, where the unit writes nothing.
    pub(super) async fn wait_for_rest(&mut self) -> Result<(), Failure> {
        if !self.rest.doubted {
            return Ok(());
        }
        let rest = self.rest.interfaces.iter().chain(&self.rest.bridges);
        let keys = rest.chain(self.touched.iter().filter(|key| matches!(key.id, UuidRef::Row(_))));
        if keys.filter_map(|key| self.rows.get(key)).all(|row| row.confirmed) {
            // It does not work, and ovs-vswitchd has tried: somebody may be about to take it back. It tries again.
            return self.have_it_tried_again().await;
        }
        let deadline = self.session.deadline.clone();
        self.session.deadline = deadline.at_most(PATIENCE.min(deadline.left() / 2));
        let waited = self.wait_for_configuration(self.rest.target).await;
        self.session.deadline = deadline;
        if waited.is_ok() {
            return Ok(());
        }
        let is_set_up = |key: &RowKey| self.rows.get(key).is_some_and(Row::is_set_up);
        if self.rest.interfaces.iter().all(is_set_up) && self.session.deadline.goes_on() {
            self.rest.doubted = false;
            self.note("ovs-vswitchd has not applied the latest changes of others yet (is it running?)".into());
            return Ok(());
        }
        Ok(self.wait_for_configuration(self.rest.target).await?)
    }

    /// Whether the rows that the unit has read are still what its decisions rested on.
    pub(super) async fn rest_holds(&mut self) -> Result<bool, Error> {
        let mut guards = Transaction::new();
        self.guard(&mut guards);
        // An answer from memory would be one from before.
        self.session.set_fresh(false);
        match self.session.try_to_read(&guards).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.error.class() == ErrorClass::TimedOut => Ok(false),
            Err(refusal) => Err(Error::NotCommitted { cause: format!("reading the database failed: {refusal}") }),
        }
    }

    /// Whether a refusal may rest on what will be taken back. Then the outcome has been waited for, and what was read is
    /// different now, if the answer is true.
    pub(super) async fn is_otherwise_by_now(&mut self) -> Result<bool, Error> {
        let is_read = |row: &Row| !row.stored.is_empty();
        if !self.rows.values().any(is_read) {
            return Ok(false);
        }
        let is_unconfirmed = self.rows.values().any(|row| is_read(row) && !row.confirmed);
        let deadline = self.session.deadline.clone();
        if is_unconfirmed {
            self.session.deadline = deadline.at_most(PATIENCE.min(deadline.left() / 2));
            let waited = self.wait_for_configuration(self.rest.target).await;
            self.session.deadline = deadline.clone();
            // Nobody takes anything back before ovs-vswitchd has tried it.
            if waited.is_err() {
                return Ok(false);
            }
        }
        // Where something in it does not work, whoever made it is about to take it back.
        let until = deadline.at_most(TIME_TO_TAKE_BACK.min(deadline.left() / 2));
        let mut pause = Duration::from_millis(5);
        loop {
            self.session.set_fresh(false);
            let works = self.all_works().await?;
            if !self.is_as_read().await? {
                return Ok(true);
            }
            if works || until.sleep(pause).await.is_err() {
                return Ok(false);
            }
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Whether the interfaces of the rows that the unit has read work, and the local ports of the bridges among them.
    pub(super) async fn all_works(&mut self) -> Result<bool, Error> {
        let mut queries = Vec::new();
        for (key, row) in &self.rows {
            match (&key.id, key.table.as_ref()) {
                (UuidRef::Row(uuid), INTERFACE) => queries.push(Query::row(INTERFACE, *uuid)),
                (UuidRef::Row(_), PORT) => {
                    let interfaces = row.stored.get("interfaces").map(|set| set.uuids().collect::<Vec<_>>());
                    queries.extend(interfaces.into_iter().flatten().map(|uuid| Query::row(INTERFACE, uuid)));
                }
                (UuidRef::Row(_), BRIDGE) => queries.push(Query::interface(&self.name(key))),
                _ => {}
            }
        }
        let mut look = Unit::new(self.session, String::new(), "", false);
        look.fetch(queries).await?;
        Ok(look.rows.values().all(|row| row.confirmed && row.is_set_up()))
    }
}
