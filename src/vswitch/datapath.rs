//! Changes of a bridge itself: of its datapath type above all, which can take all of its ports away.
//!
//! ovs-vswitchd creates a bridge anew when its datapath type changes. Where it can't make the new datapath, the bridge is
//! gone, and every column that it wrote stays as it was: `ofport` of the interfaces, `datapath_id` and
//! `datapath_version` of the bridge (vswitchd/bridge.c, `bridge_reconfigure`). So the transaction that changes the type
//! also empties `datapath_id`. ovs-vswitchd writes it again, together with `cur_cfg`, for a bridge that it could make.

use ovsdb::operation::Condition;
use ovsdb::transaction::Transaction;
use ovsdb::value::{Optional, UuidRef, Value};
use serde::Deserialize;

use super::bridge::same_datapath;
use super::causes;
use super::plan::change_set::{Fate, RowKey};
use super::plan::transaction::{Committed, DATAPATH_ID, DATAPATH_TYPE};
use super::tables::{BRIDGE, PORT};
use super::unit::Unit;
use super::verify::unreadable;
use crate::error::Error;

impl Unit<'_> {
    /// Refuses a datapath type that ovs-vswitchd does not know, whatever row of a bridge asks for it. `system` and
    /// `netdev` are known to every ovs-vswitchd on Linux, so nothing is read for them.
    pub(super) async fn check_datapath_types(&mut self) -> Result<(), Error> {
        let mut asked = Vec::new();
        for key in self.touched.iter().filter(|key| key.table == BRIDGE) {
            let Some(row) = self.rows.get(key).filter(|row| !row.is_gone()) else { continue };
            let kind = row.changes.get(DATAPATH_TYPE).and_then(|change| change.applied_to(None));
            // A row that does not ask for a type has the default one.
            let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
            if !same_datapath(kind, "system") && !same_datapath(kind, "netdev") {
                asked.push((self.name(key), kind.to_owned()));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let [_, known] = self.known_types().await?;
        let unknown = asked.into_iter().find(|(_, kind)| !known.is_empty() && !known.contains(kind));
        let Some((bridge, kind)) = unknown else { return Ok(()) };
        let problem = format!(
            "bridge {bridge}: ovs-vswitchd knows no datapath type {kind:?} (datapath_type: expected one of {})",
            known.join(", ")
        );
        Err(Error::argument("", problem))
    }

    /// Finds the interfaces of the bridges that the unit changes, so that the transaction can read how they are. Nothing
    /// is read unless the unit changes columns of a bridge that ovs-vswitchd acts upon.
    pub(super) async fn find_neighbours(&mut self) -> Result<(), Error> {
        let changed =
            |key: &RowKey| self.rows.get(key).is_some_and(|row| row.fate == Fate::Stays && row.changes_bridge());
        let bridges: Vec<RowKey> =
            self.touched.iter().filter(|key| key.table == BRIDGE && changed(key)).cloned().collect();
        let mut neighbours = Vec::new();
        for bridge in bridges {
            // Which ports there are decides nothing, so this unit must not guard it.
            let mut look = Unit::new(self.session, String::new(), "", false);
            for port in look.references(&bridge, "ports", PORT).await? {
                neighbours.extend(look.value(&port, "interfaces").uuids());
            }
        }
        neighbours.retain(|uuid| self.touched.iter().all(|key| key.id != UuidRef::Row(*uuid)));
        self.neighbours = neighbours;
        Ok(())
    }

    /// Which bridges have lost their datapath by a change of its type, in words. One that had none before is a note.
    pub(super) async fn dead_bridges(&mut self, committed: &Committed) -> Result<Vec<String>, Error> {
        let mut changed = Vec::new();
        let mut selects = Transaction::new();
        for key in self.touched.iter().filter(|key| key.table == BRIDGE) {
            let (Some(row), UuidRef::Row(uuid)) = (self.rows.get(key), &key.id) else { continue };
            if row.fate == Fate::Stays && row.changes_datapath() {
                let before = committed.before.get(uuid).and_then(|before| before.get(DATAPATH_ID));
                changed.push((self.name(key), before.is_some_and(|id| !id.is_empty())));
                selects.select(BRIDGE, vec![Condition::is_row(*uuid)], &[DATAPATH_ID, DATAPATH_TYPE]);
            }
        }
        if !committed.wrote && self.rest.doubted {
            // It was found as it is, so it has to work.
            for key in &self.rest.bridges {
                let UuidRef::Row(uuid) = &key.id else { continue };
                changed.push((self.name(key), true));
                selects.select(BRIDGE, vec![Condition::is_row(*uuid)], &[DATAPATH_ID, DATAPATH_TYPE]);
            }
        }
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let mut dead = Vec::new();
        let results = self.session.read(&selects).await.map_err(Error::after_commit)?;
        for ((name, worked), result) in changed.into_iter().zip(results) {
            let rows: Vec<Datapath> = result.rows().map_err(unreadable)?;
            // A bridge that somebody has deleted since is no concern any more.
            let Some(row) = rows.into_iter().find(|row| row.datapath_id.0.is_none()) else { continue };
            let kind = &row.datapath_type;
            let spelled = if kind.is_empty() { "system" } else { kind.as_str() };
            let cause = causes::in_brackets(Some(self.cause_of_no_datapath(kind).await));
            if worked {
                dead.push(format!(
                    "bridge {name} and its ports do not work: ovs-vswitchd could not make a datapath of type \
                     {spelled:?}{cause}"
                ));
            } else {
                self.note(format!("bridge {name} had no datapath before and still has none{cause}"));
            }
        }
        Ok(dead)
    }
}

/// What tells whether a bridge has a datapath.
#[derive(Deserialize)]
struct Datapath {
    datapath_id: Optional<String>,
    datapath_type: String,
}
