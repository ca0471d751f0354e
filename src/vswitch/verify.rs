//! Looking at the interfaces that a command added or changed, once ovs-vswitchd has applied the change.
//!
//! `ofport` and `error` are written by ovs-vswitchd in the same transaction as `cur_cfg`, and survive restarts, so they
//! mean something only after `cur_cfg` has caught up (ovs-vswitchd.conf.db(5), Interface "OpenFlow Port Number").

use ovsdb::operation::{Condition, Row as Columns};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Map, Optional, Uuid, UuidRef, Value};
use serde::Deserialize;

use super::causes;
use super::commit::Failure;
use super::health;
use super::plan::change_set::{Fate, RowKey};
use super::plan::transaction::Committed;
use super::tables::INTERFACE;
use super::unit::Unit;
use crate::error::Error;

/// What ovs-vswitchd tells of an interface. What the schema lacks has its default.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default)]
pub struct InterfaceStatus {
    /// The interface's name.
    pub name: String,
    /// Its type; empty is a network device of the system.
    pub r#type: String,
    /// The OpenFlow port number; none or -1 when the interface could not be set up.
    #[serde(deserialize_with = "optional")]
    pub ofport: Option<i64>,
    /// Why it could not be set up, or what is wrong with it.
    #[serde(deserialize_with = "optional")]
    pub error: Option<String>,
    /// Whether it is set up administratively: "up" or "down".
    #[serde(deserialize_with = "optional")]
    pub admin_state: Option<String>,
    /// Whether it has a link: "up" or "down".
    #[serde(deserialize_with = "optional")]
    pub link_state: Option<String>,
    /// The MTU in bytes.
    #[serde(deserialize_with = "optional")]
    pub mtu: Option<i64>,
    /// The MAC address.
    #[serde(deserialize_with = "optional")]
    pub mac_in_use: Option<String>,
    /// The kernel's number of the device.
    #[serde(deserialize_with = "optional")]
    pub ifindex: Option<i64>,
    /// What the driver tells: its name and version.
    #[serde(deserialize_with = "map")]
    pub status: std::collections::BTreeMap<String, String>,
}

const COLUMNS: &[&str] =
    &["name", "type", "ofport", "error", "admin_state", "link_state", "mtu", "mac_in_use", "ifindex", "status"];

fn optional<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Optional::deserialize(deserializer).map(|Optional(value)| value)
}

pub(super) fn map<'de, D>(deserializer: D) -> Result<std::collections::BTreeMap<String, String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Map::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
}

impl InterfaceStatus {
    /// Whether ovs-vswitchd could set the interface up.
    pub(super) fn works(&self) -> bool {
        health::is_set_up(self.ofport)
    }
}

/// An interface to look at.
#[derive(Debug)]
pub(super) struct Concern {
    pub(super) uuid: Uuid,
    /// Whether it worked before the change; an inserted one is expected to work.
    expected: bool,
    /// Whether the unit changes the interface itself, and not only the bridge that it is on.
    own: bool,
}

/// An interface that was looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) concern: Concern,
    pub(super) status: InterfaceStatus,
}

impl Unit<'_> {
    /// What ovs-vswitchd made of the interfaces that the unit added or changed.
    pub(super) async fn look_at_interfaces(&mut self, committed: &Committed) -> Result<Vec<InterfaceStatus>, Error> {
        Ok(own(self.look(self.concerns(committed)).await?))
    }

    /// Fails if an interface that the unit added does not work, or one that the change touches no longer does. What an
    /// interface asked for and did not get is a note, or, if `strict`, a failure as well.
    /// What the unit found and left alone has to work as well (`rest.rs`).
    pub(super) async fn verify(
        &mut self,
        committed: &Committed,
        strict: bool,
    ) -> Result<Vec<InterfaceStatus>, Failure> {
        let mut concerns = self.concerns(committed);
        concerns.extend(self.neighbours(committed));
        let rest = self.rest_concerns(committed, &concerns);
        let rested: Vec<Uuid> = rest.iter().map(|concern| concern.uuid).collect();
        concerns.extend(rest);
        let mut broken = self.dead_bridges(committed).await?;
        let mut looks = self.look(concerns).await.map_err(|error| self.told_after(committed, error))?;
        let is_gone = |uuid: &Uuid| !looks.iter().any(|look| look.concern.uuid == *uuid);
        let mut lost = rested.iter().any(is_gone);
        for look in &looks {
            let status = &look.status;
            match &status.error {
                _ if !status.works() && look.concern.expected => broken.push(self.describe(look).await),
                _ if !look.concern.own => {}
                _ if !status.works() => self.note(format!(
                    "interface {} did not work before and still does not: {}",
                    status.name,
                    status.error.as_deref().unwrap_or("ovs-vswitchd could not set it up")
                )),
                Some(error) => self.note(format!("interface {}: {error}", status.name)),
                None => {}
            }
        }
        if !committed.wrote && self.rest.doubted {
            lost |= !self.rest_holds().await?;
        }
        lost |= (committed.wrote || self.rest.doubted) && self.has_lost_a_device()?;
        if lost {
            return Err(self.lose(committed).await);
        }
        if broken.is_empty() {
            let differences = self.differences(committed, &mut looks).await?;
            if strict {
                broken = differences;
            } else {
                differences.into_iter().for_each(|difference| self.note(difference));
            }
        }
        if broken.is_empty() {
            let statuses = own(looks);
            self.note_lone_patch_interfaces(&statuses).await?;
            return Ok(statuses);
        }
        let problem = broken.join("; ");
        if !committed.wrote && self.rest.doubted {
            // Whoever made it so may be about to take it back.
            if self.is_otherwise_by_now().await? || self.all_works().await? {
                return Err(self.lose(committed).await);
            }
            return Err(Failure::Final(Error::NotWorking { problem }));
        }
        let taken_back = self.take_back(committed).await;
        Err(Failure::Final(Error::Interface { problem, still_there: taken_back.err() }))
    }

    /// Where nothing was written, the database holds nothing of the command.
    fn told_after(&self, committed: &Committed, error: Error) -> Error {
        match error {
            Error::NotApplied { cause } if !committed.wrote => Error::NotCommitted { cause },
            other => other,
        }
    }

    /// What was found is gone, so the command has to look again. What it wrote meanwhile is taken back.
    async fn lose(&mut self, committed: &Committed) -> Failure {
        let problem = "what the command had found went away while it was carried out".to_owned();
        if committed.wrote {
            let deadline = self.session.deadline.clone();
            let taken_back = self.take_back(committed).await;
            self.session.deadline = deadline;
            if let Err(why) = taken_back {
                return Failure::Final(Error::Interface { problem, still_there: Some(why) });
            }
        }
        Failure::LostRace(Error::Conflict(problem))
    }

    /// Whether a VXLAN device that was found has been deleted since, or made anew.
    fn has_lost_a_device(&mut self) -> Result<bool, Error> {
        for found in &self.found_devices {
            let now = self.session.links()?.get(&found.name)?;
            if now.is_none_or(|link| link.index != found.index) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the unit leaves alone and its answer rests on.
    fn rest_concerns(&self, committed: &Committed, known: &[Concern]) -> Vec<Concern> {
        if !committed.wrote && !self.rest.doubted {
            return Vec::new();
        }
        let rest = self.rest.interfaces.iter().filter_map(|key| match key.id {
            UuidRef::Row(uuid) => Some(Concern { uuid, expected: !committed.wrote || self.expects(key), own: false }),
            UuidRef::New(_) => None,
        });
        rest.filter(|concern| !known.iter().any(|known| known.uuid == concern.uuid)).collect()
    }

    /// Says which patch interfaces lead nowhere yet. ovs-vswitchd says so too, but some time after it has applied the
    /// change (vswitchd/bridge.c, `run_status_update`).
    async fn note_lone_patch_interfaces(&mut self, statuses: &[InterfaceStatus]) -> Result<(), Error> {
        let mut lone = Vec::new();
        let mut selects = Transaction::new();
        for status in statuses.iter().filter(|status| status.r#type == "patch" && status.error.is_none()) {
            // What joins it may have been left alone.
            let changed = |key: &RowKey| {
                self.rows
                    .get(key)
                    .is_some_and(|row| ["type", "options"].iter().any(|&column| row.changes.contains_key(column)))
            };
            let peer = self
                .touched
                .iter()
                .filter(|key| key.table == INTERFACE && self.name(key) == status.name && changed(key));
            let peer = peer.filter_map(|key| self.peek(key, "options")?.get_str("peer").map(str::to_owned)).next();
            let Some(peer) = peer else { continue };
            // One that comes with it needs no look.
            if !statuses.iter().any(|other| other.r#type == "patch" && other.name == peer) {
                selects.select(INTERFACE, vec![Condition::equal("name", &peer)], &["type"]);
                lone.push((status.name.clone(), peer));
            }
        }
        if lone.is_empty() {
            return Ok(());
        }
        let results = self.session.read(&selects).await.map_err(Error::after_commit)?;
        for ((name, peer), result) in lone.into_iter().zip(results) {
            let rows: Vec<Columns> = result.into_rows().map_err(unreadable)?;
            if !rows.iter().any(|row| row.get("type").and_then(Value::as_str) == Some("patch")) {
                self.note(format!("interface {name}: its peer {peer} is no patch port, or is not there yet"));
            }
        }
        Ok(())
    }

    fn concerns(&self, committed: &Committed) -> Vec<Concern> {
        let mut concerns = Vec::new();
        for key in self.touched.iter().filter(|key| key.table == INTERFACE) {
            let Some(row) = self.rows.get(key) else { continue };
            match &key.id {
                UuidRef::New(name) => {
                    let uuid = committed.uuids.get(name).copied();
                    concerns.extend(uuid.map(|uuid| Concern { uuid, expected: true, own: true }));
                }
                UuidRef::Row(uuid) if row.fate == Fate::Stays && row.is_changed() => {
                    // While ovs-vswitchd is behind, one that does not work may be so by what somebody has taken back already.
                    concerns.push(Concern {
                        uuid: *uuid,
                        expected: row.is_set_up() || committed.worked(uuid) || !committed.was_applied,
                        own: true,
                    });
                }
                UuidRef::Row(_) => {}
            }
        }
        concerns.extend(self.nudged.iter().filter_map(|key| match key.id {
            UuidRef::Row(uuid) => Some(Concern { uuid, expected: true, own: true }),
            UuidRef::New(_) => None,
        }));
        concerns
    }

    /// The other interfaces of the bridges that the unit changes, those that worked before.
    fn neighbours(&self, committed: &Committed) -> impl Iterator<Item = Concern> {
        let worked = self.neighbours.iter().filter(|uuid| committed.worked(uuid));
        worked.map(|uuid| Concern { uuid: *uuid, expected: true, own: false })
    }

    /// Looks at interfaces. Those that somebody has deleted since the change are left out: they are no concern any more.
    pub(super) async fn look(&mut self, concerns: Vec<Concern>) -> Result<Vec<Look>, Error> {
        if concerns.is_empty() {
            return Ok(Vec::new());
        }
        let mut selects = Transaction::new();
        for concern in &concerns {
            selects.select(INTERFACE, vec![Condition::is_row(concern.uuid)], COLUMNS);
        }
        // The change is in the database by now, whatever stops us from looking at it.
        let results = self.session.read(&selects).await.map_err(Error::after_commit)?;
        let mut looks = Vec::new();
        for (concern, result) in concerns.into_iter().zip(results) {
            let rows: Vec<InterfaceStatus> = result.rows().map_err(unreadable)?;
            looks.extend(rows.into_iter().next().map(|status| Look { concern, status }));
        }
        Ok(looks)
    }

    /// What is wrong with an interface, in ovs-vswitchd's words, and the cause as far as it can be checked.
    async fn describe(&mut self, look: &Look) -> String {
        let status = &look.status;
        let words = status.error.as_deref().unwrap_or("ovs-vswitchd could not set it up and does not say why");
        let cause = self.cause_of(look.concern.uuid, status).await;
        format!("interface {} does not work: {words}{}", status.name, causes::in_brackets(cause))
    }
}

/// Rows that can't be read after the change was made and applied.
pub(super) fn unreadable(error: ovsdb::wire::json::Error) -> Error {
    Error::Unfinished { cause: format!("unreadable status: {error}") }
}

/// The states of the interfaces that the unit itself adds or changes.
fn own(looks: Vec<Look>) -> Vec<InterfaceStatus> {
    looks.into_iter().filter(|look| look.concern.own).map(|look| look.status).collect()
}
