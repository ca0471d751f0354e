//! Looking at the interfaces that a command added or changed, once ovs-vswitchd has applied the change.
//!
//! `ofport` and `error` are written by ovs-vswitchd in the same transaction as `cur_cfg`, and survive restarts, so they
//! mean something only after `cur_cfg` has caught up (ovs-vswitchd.conf.db(5), Interface "OpenFlow Port Number").

use serde::Deserialize;

use super::bridge::same_datapath;
use super::commit::Committed;
use super::tables::{BRIDGE, INTERFACE, PORT};
use super::unit::{Fate, Query, RowKey, Unit};
use crate::error::Error;
use crate::ovsdb::operation::{Condition, Row as Columns};
use crate::ovsdb::transaction::Transaction;
use crate::ovsdb::value::{Map, Optional, Uuid, UuidRef, Value};

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

fn map<'de, D>(deserializer: D) -> Result<std::collections::BTreeMap<String, String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Map::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
}

impl InterfaceStatus {
    /// Whether ovs-vswitchd could set the interface up.
    fn works(&self) -> bool {
        self.ofport.is_some_and(|port| port >= 0)
    }
}

/// An interface to look at.
struct Concern {
    uuid: Uuid,
    /// Whether it worked before the change; an inserted one is expected to work.
    expected: bool,
}

impl Unit<'_> {
    /// What ovs-vswitchd made of the interfaces that the unit added or changed.
    pub(super) async fn look_at_interfaces(&mut self, committed: &Committed) -> Result<Vec<InterfaceStatus>, Error> {
        Ok(self.statuses(&self.concerns(committed)).await?.into_iter().map(|(_, status)| status).collect())
    }

    /// Fails if an interface that the unit added does not work, or one that it changed no longer does.
    pub(super) async fn verify(&mut self, committed: &Committed) -> Result<Vec<InterfaceStatus>, Error> {
        let concerns = self.concerns(committed);
        let mut broken = Vec::new();
        let mut statuses = Vec::new();
        for (concern, status) in self.statuses(&concerns).await? {
            match &status.error {
                _ if !status.works() && concern.expected => broken.push(self.describe(concern.uuid, &status).await),
                _ if !status.works() => self.note(format!(
                    "interface {} did not work before and still does not: {}",
                    status.name,
                    status.error.as_deref().unwrap_or("ovs-vswitchd could not set it up")
                )),
                Some(error) => self.note(format!("interface {}: {error}", status.name)),
                None => {}
            }
            statuses.push(status);
        }
        if broken.is_empty() {
            self.note_lone_patch_interfaces(&statuses).await?;
            return Ok(statuses);
        }
        let taken_back = self.take_back(committed).await;
        Err(Error::Interface { problem: broken.join("; "), still_there: taken_back.err() })
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
            let rows: Vec<Columns> = result.into_rows().unwrap_or_default();
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
                    concerns.extend(uuid.map(|uuid| Concern { uuid, expected: true }));
                }
                UuidRef::Row(uuid) if row.fate == Fate::Stays && row.is_changed() => {
                    let before = committed.before.get(uuid).and_then(|before| before.get("ofport"));
                    let worked = before.and_then(|port| port.as_integer()).is_some_and(|port| port >= 0);
                    concerns.push(Concern { uuid: *uuid, expected: worked });
                }
                UuidRef::Row(_) => {}
            }
        }
        concerns.extend(self.nudged.iter().filter_map(|key| match key.id {
            UuidRef::Row(uuid) => Some(Concern { uuid, expected: true }),
            UuidRef::New(_) => None,
        }));
        concerns
    }

    async fn statuses<'c>(&mut self, concerns: &'c [Concern]) -> Result<Vec<(&'c Concern, InterfaceStatus)>, Error> {
        if concerns.is_empty() {
            return Ok(Vec::new());
        }
        let mut selects = Transaction::new();
        for concern in concerns {
            selects.select(INTERFACE, vec![Condition::is_row(concern.uuid)], COLUMNS);
        }
        // The change is in the database by now, whatever stops us from looking at it.
        let results = self.session.read(&selects).await.map_err(Error::after_commit)?;
        let mut statuses = Vec::new();
        for (concern, result) in concerns.iter().zip(results) {
            let rows: Vec<InterfaceStatus> = result
                .rows()
                .map_err(|error| Error::Unfinished { cause: format!("unreadable status of an interface: {error}") })?;
            // A row that somebody has deleted since is no concern of ours any more.
            statuses.extend(rows.into_iter().next().map(|status| (concern, status)));
        }
        Ok(statuses)
    }

    /// What is wrong with an interface, in ovs-vswitchd's words, and what is likely to be the cause.
    async fn describe(&mut self, uuid: Uuid, status: &InterfaceStatus) -> String {
        let bridge = self.bridge_of_interface(uuid).await;
        let datapath_type = match &bridge {
            Some(bridge) => self.peek(bridge, "datapath_type").and_then(|value| value.as_str().map(str::to_owned)),
            None => None,
        };
        let words = status.error.as_deref().unwrap_or("ovs-vswitchd could not set it up and does not say why");
        let cause = likely_cause(
            &status.name,
            &status.r#type,
            status.ofport,
            status.error.as_deref(),
            datapath_type.as_deref().unwrap_or_default(),
        );
        format!(
            "interface {} does not work: {words}{}",
            status.name,
            cause.map(|c| format!(" ({c})")).unwrap_or_default()
        )
    }

    async fn bridge_of_interface(&mut self, uuid: Uuid) -> Option<RowKey> {
        // A fresh look: what this unit remembers is from before its own change.
        let mut look = Unit::new(self.session, String::new(), "", false);
        let port = look.find_one(Query::includes(PORT, "interfaces", uuid)).await.ok()??;
        let bridge = look.find_one(Query::includes(BRIDGE, "ports", port.reference())).await.ok()??;
        let known = look.rows.remove(&bridge)?;
        self.rows.entry(bridge.clone()).or_insert(known);
        Some(bridge)
    }
}

/// The usual reasons for the errors that ovs-vswitchd gives (vswitchd/bridge.c, lib/netdev.c, lib/dpif.c).
pub(super) fn likely_cause(
    name: &str,
    kind: &str,
    ofport: Option<i64>,
    error: Option<&str>,
    datapath_type: &str,
) -> Option<String> {
    let says = |words: &str| error.is_some_and(|error| error.contains(words));
    if says("No such device") {
        return Some(format!("there is no network device named {name}"));
    }
    if says("Address family not supported") {
        return Some(format!("ovs-vswitchd knows no interface type {kind:?}"));
    }
    if says("Device or resource busy") {
        return Some(format!("{name} is in use, by another bridge for instance"));
    }
    if says("File exists") {
        return Some("another tunnel port has the same configuration".into());
    }
    if says("Invalid argument") {
        return Some(match kind {
            "internal" => format!("a network device named {name} exists already"),
            _ => format!("{name} is not a kind of device that can be a port"),
        });
    }
    if error.is_some() {
        return None;
    }
    if ofport == Some(-1) {
        return Some(format!("{name} is in use by the datapath already"));
    }
    Some(if !same_datapath(datapath_type, "system") {
        format!("its bridge has the datapath type {datapath_type:?}; does ovs-vswitchd know that one?")
    } else if std::path::Path::new("/sys/module/openvswitch").exists() {
        "the datapath of its bridge could not be made, see the log of ovs-vswitchd".into()
    } else {
        "the kernel module openvswitch is not loaded; load it, or use datapath_type netdev".into()
    })
}
