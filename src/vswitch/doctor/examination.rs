//! What the checks look at, and how it is read.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use ovsdb::operation::Row as Columns;
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;

use super::datapaths;
use super::further::Further;
use super::kernel::Kernel;
use crate::error::Error;
use crate::vswitch::causes::device_name;
use crate::vswitch::daemon::{self, Asked};
use crate::vswitch::health::{self, BondHealth, Device, Facts, Health, Member, Peer};
use crate::vswitch::rules::PortSettings;
use crate::vswitch::tables::OPEN_VSWITCH;
use crate::vswitch::topology::{Bond, BridgeNode, InterfaceNode, PortNode, Tables, Topology};
use crate::vswitch::unit::{Unit, unreadable};

/// How long ovs-vswitchd may take to answer, or to apply what it has not yet, before it counts as dead or behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that is known of a switch.
#[derive(Debug)]
pub struct Examination {
    /// The database's topology of it.
    pub topology: Topology,
    /// The settings of the ports that rules are about, by the ports' names; none if they were not read.
    pub port_settings: BTreeMap<String, PortSettings>,
    /// Whether the database has its one row.
    pub has_root: bool,
    /// The datapath types that ovs-vswitchd knows; none if it has never told.
    pub datapath_types: Vec<String>,
    /// The interface types that ovs-vswitchd knows; none if it has never told, or was not asked for them.
    pub iface_types: Vec<String>,
    /// The schema of the database; none if it was not asked for.
    pub schema: Option<std::sync::Arc<DatabaseSchema>>,
    /// How ovs-vswitchd is.
    pub daemon: Daemon,
    /// Why ovs-vswitchd could not be asked itself, if it was to be.
    pub not_asked: Option<String>,
    /// What the kernel tells; none if the switch is on another machine, as far as is known.
    pub kernel: Option<Kernel>,
    /// Rows that are in no topology; none if they were not read.
    pub further: Option<Further>,
}

/// How ovs-vswitchd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It answers and has applied the configuration.
    Well,
    /// It answers, or can't be asked, and has not applied the configuration.
    Behind,
    /// It does not run, or does not answer; why.
    Dead(String),
}

/// An interface with where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) bridge: &'p BridgeNode,
    pub(super) port: &'p PortNode,
    pub(super) interface: &'p InterfaceNode,
}

impl<'p> Place<'p> {
    pub(super) fn about(&self) -> super::About<'p> {
        super::About::bridge(&self.bridge.name).port(&self.port.name).interface(&self.interface.name)
    }

    /// The interface that a patch interface wants to be joined to.
    pub(super) fn peer(&self) -> Option<&'p str> {
        self.interface.patch.as_ref().map(|patch| patch.peer.as_str())
    }

    /// Where a patch interface leads, given all of them by name.
    pub(super) fn leads_to(&self, patches: &HashMap<&str, Place<'p>>) -> Peer<'p> {
        let Some(peer) = self.peer() else { return Peer::Unnamed };
        let Some(other) = patches.get(peer) else { return Peer::Missing(peer) };
        if other.peer() != Some(&self.interface.name) {
            return Peer::Elsewhere(peer, other.peer());
        }
        match other.bridge.datapath_type == self.bridge.datapath_type {
            true => Peer::Joined,
            false => Peer::OtherDatapath(peer),
        }
    }
}

impl Examination {
    /// Every interface.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.topology.bridges.iter().flat_map(|bridge| {
            let ports = bridge.ports.iter();
            ports.flat_map(move |port| port.interfaces.iter().map(move |interface| Place { bridge, port, interface }))
        })
    }

    /// The patch interfaces by name.
    pub(super) fn patches(&self) -> HashMap<&str, Place<'_>> {
        let patches = self.places().filter(|place| place.interface.r#type == "patch");
        patches.map(|place| (place.interface.name.as_str(), place)).collect()
    }

    /// How an interface is. `patches` are those of [`Examination::patches`].
    pub(super) fn health<'p>(&self, place: &Place<'p>, patches: &HashMap<&str, Place<'p>>) -> Health<'p> {
        let interface = place.interface;
        health::interface(&Facts {
            kind: &interface.r#type,
            ofport: interface.ofport,
            error: interface.error.as_deref(),
            admin_state: interface.admin_state.as_deref(),
            link_state: interface.link_state.as_deref(),
            peer: (interface.r#type == "patch").then(|| place.leads_to(patches)),
            device: self.device(place),
            in_bond: place.port.interfaces.len() > 1,
            without_datapath: datapaths::is_unusable(self, place.bridge),
            behind: self.daemon != Daemon::Well,
        })
    }

    /// How the members of a bond are, and the bond itself.
    pub(super) fn bond_health<'p>(
        &self,
        bridge: &'p BridgeNode,
        port: &'p PortNode,
        bond: &Bond,
        patches: &HashMap<&str, Place<'p>>,
    ) -> (Vec<Health<'p>>, BondHealth) {
        let health = |interface| self.health(&Place { bridge, port, interface }, patches);
        let healths: Vec<Health<'p>> = port.interfaces.iter().map(health).collect();
        let members = healths.iter().zip(&port.interfaces);
        let members: Vec<Member<'_>> = members
            .map(|(health, interface)| Member { health: *health, lacp_current: interface.lacp_current })
            .collect();
        let health = health::bond(&members, bond.lacp != "off", bond.active_member.is_some(), bond.lacp_fallback);
        (healths, health)
    }

    /// What the kernel knows of an interface's device.
    fn device(&self, place: &Place<'_>) -> Device {
        let Some(kernel) = self.kernel.as_ref().filter(|_| place.interface.r#type == "system") else {
            return Device::Unknown;
        };
        match kernel.devices.get(device_name(&place.interface.name)) {
            None => Device::Gone,
            // A daemon that is gone has nothing open.
            Some(device) if !matches!(self.daemon, Daemon::Dead(_)) && kernel.is_not_read(device, place.bridge) => {
                Device::Replaced
            }
            Some(_) => Device::There,
        }
    }

    /// What the database alone tells, as of one transaction. Nobody is asked anything.
    pub fn of_database(tables: &Tables) -> Examination {
        Examination {
            topology: Topology::of(tables),
            port_settings: BTreeMap::new(),
            has_root: tables.root.is_some(),
            datapath_types: tables.root.as_ref().map(|root| root.datapath_types.clone()).unwrap_or_default(),
            iface_types: Vec::new(),
            schema: None,
            daemon: if is_behind(tables) { Daemon::Behind } else { Daemon::Well },
            not_asked: None,
            kernel: None,
            further: None,
        }
    }

    /// The names of the interfaces that carry nothing until somebody changes something.
    pub fn broken(&self) -> Vec<&str> {
        let patches = self.patches();
        let broken = self.places().filter(|place| self.health(place, &patches).is_broken());
        broken.map(|place| place.interface.name.as_str()).collect()
    }
}

impl Unit<'_> {
    /// Looks at everything. Changes nothing.
    pub async fn examination(&mut self) -> Result<Examination, Error> {
        let schema = self.schema().await?;
        let (mut tables, mut further) = self.tables_and_further().await?;
        // The files of a switch on this machine are beside its database's socket.
        let socket = self.settings().socket().map(Path::to_owned);
        // Something is left of the deadline for the rest, in any case.
        let patience = PATIENCE.min(self.settings().timeout / 4);
        let deadline = self.session.deadline.clone();
        let run = socket.as_ref().and_then(|socket| socket.parent());
        let asked = match run {
            Some(run) => {
                let answer = deadline.limit(daemon::ask(run, &deadline.window(patience))).await;
                answer.map_err(|expired| Error::expired_before_commit(expired, "asking ovs-vswitchd"))?
            }
            None => Asked::Answers,
        };
        let was_behind = is_behind(&tables);
        let applied = self.catches_up(&tables, patience).await?;
        // docs/design.md, "Topology, health, findings", tells the rule.
        let moves = was_behind && applied;
        let seen = || run.and_then(daemon::running).map(|pid| format!("its process is {pid}"));
        let (alive, not_asked) = match asked {
            Asked::Answers => (Ok(()), None),
            Asked::Silent(why) | Asked::NotReached(why) if moves => {
                (Ok(()), Some(format!("{why}; but it applies the configuration")))
            }
            Asked::NotReached(why) => match seen() {
                Some(process) => (Ok(()), Some(format!("{why}; but {process}"))),
                None => (Err(why), None),
            },
            Asked::Silent(why) => (Err(why), None),
        };
        let daemon = match (alive, applied) {
            (Err(why), _) => Daemon::Dead(why),
            (Ok(()), true) => Daemon::Well,
            (Ok(()), false) => Daemon::Behind,
        };
        // What was read while it was busy is not what it reports now.
        if moves {
            (tables, further) = self.tables_and_further().await?;
        }
        let examination = Examination::of_database(&tables);
        let kernel = match socket {
            Some(_) => Some(self.kernel(&examination.topology)?),
            None => None,
        };
        let [iface_types, _] = self.known_types().await?;
        let port_settings = self.all_port_settings(&schema, &tables).await?;
        Ok(Examination {
            port_settings,
            iface_types,
            schema: Some(schema),
            daemon,
            not_asked,
            kernel,
            further: Some(further),
            ..examination
        })
    }

    /// Whether ovs-vswitchd has applied, or soon applies, the configuration that these tables have.
    async fn catches_up(&mut self, tables: &Tables, patience: Duration) -> Result<bool, Error> {
        const PAUSE: Duration = Duration::from_millis(50);
        let Some(root) = tables.root.as_ref().filter(|_| is_behind(tables)) else {
            return Ok(true);
        };
        let mut select = Transaction::new();
        select.select(OPEN_VSWITCH, Vec::new(), &["cur_cfg"]);
        for _ in 0..patience.as_millis() / PAUSE.as_millis() {
            let results = self.session.read(&select).await?;
            let rows: Vec<Columns> = match results.first() {
                Some(result) => result.rows().map_err(unreadable)?,
                None => Vec::new(),
            };
            // Of a row that is gone, nothing is reached.
            let reached = rows.first().and_then(|row| row.get("cur_cfg").and_then(Value::as_integer));
            if reached >= Some(root.next_cfg) {
                return Ok(true);
            }
            let paused = self.session.deadline.sleep(PAUSE).await;
            paused.map_err(|expired| Error::expired_before_commit(expired, "waiting for ovs-vswitchd"))?;
        }
        Ok(false)
    }
}

fn is_behind(tables: &Tables) -> bool {
    tables.root.as_ref().is_some_and(|root| root.cur_cfg < root.next_cfg)
}
