//! What the checks look at, and how it is read.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::kernel::Kernel;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::ovsdb::Remote;
use crate::ovsdb::operation::Row as Columns;
use crate::ovsdb::schema::DatabaseSchema;
use crate::ovsdb::transaction::Transaction;
use crate::ovsdb::value::Value;
use crate::vswitch::daemon;
use crate::vswitch::picture::{BridgePicture, InterfacePicture, Picture, PortPicture, Tables};
use crate::vswitch::rules::PortSettings;
use crate::vswitch::tables::OPEN_VSWITCH;
use crate::vswitch::unit::{Unit, unreadable};

/// How long ovs-vswitchd may take to answer, or to apply what it has not yet, before it counts as dead or behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that is known of a switch.
#[derive(Debug)]
pub struct Examination {
    /// The database's picture of it.
    pub picture: Picture,
    /// The settings of the ports that rules are about, by the ports' names.
    pub port_settings: BTreeMap<String, PortSettings>,
    /// Whether the database has its one row.
    pub has_root: bool,
    /// The datapath types that ovs-vswitchd knows; none if it has never told.
    pub datapath_types: Vec<String>,
    /// The interface types that ovs-vswitchd knows; none if it has never told.
    pub iface_types: Vec<String>,
    /// The schema of the database.
    pub schema: std::sync::Arc<DatabaseSchema>,
    /// How ovs-vswitchd is.
    pub daemon: Daemon,
    /// What the kernel tells; none if the switch is on another machine, as far as is known.
    pub kernel: Option<Kernel>,
}

/// How ovs-vswitchd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It answers and has applied the configuration.
    Well,
    /// It answers, or can't be asked, and has not applied the configuration.
    Behind,
    /// It does not answer; why.
    Dead(String),
}

/// An interface with where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) bridge: &'p BridgePicture,
    pub(super) port: &'p PortPicture,
    pub(super) interface: &'p InterfacePicture,
}

impl<'p> Place<'p> {
    pub(super) fn about(&self) -> super::About<'p> {
        super::About::bridge(&self.bridge.name).port(&self.port.name).interface(&self.interface.name)
    }

    /// The interface that a patch interface wants to be joined to.
    pub(super) fn peer(&self) -> Option<&'p str> {
        self.interface.patch.as_ref().map(|patch| patch.peer.as_str())
    }
}

impl Examination {
    /// Every interface.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.picture.bridges.iter().flat_map(|bridge| {
            let ports = bridge.ports.iter();
            ports.flat_map(move |port| port.interfaces.iter().map(move |interface| Place { bridge, port, interface }))
        })
    }

    /// The patch interfaces by name.
    pub(super) fn patches(&self) -> HashMap<&str, Place<'_>> {
        let patches = self.places().filter(|place| place.interface.r#type == "patch");
        patches.map(|place| (place.interface.name.as_str(), place)).collect()
    }
}

impl Unit<'_> {
    /// Looks at everything. Changes nothing.
    pub async fn examination(&mut self) -> Result<Examination, Error> {
        let schema = self.schema().await?;
        let mut tables = self.tables().await?;
        // A database behind a unix socket is on this machine, and so is its switch, whose files are beside the socket.
        let socket = self.settings().remotes.iter().find_map(|remote| match remote {
            Remote::Unix(path) => Some(path.clone()),
            _ => None,
        });
        // Something is left of the deadline for the rest, in any case.
        let patience = PATIENCE.min(self.settings().timeout / 4);
        let deadline = self.session.deadline.clone();
        let alive = match socket.as_ref().and_then(|socket| socket.parent()) {
            Some(run) => {
                let (patience, _stop) = Deadline::after(patience);
                let answer = deadline.limit(daemon::answers(run, &patience)).await;
                answer.map_err(|expired| Error::expired_before_commit(expired, "asking ovs-vswitchd"))?
            }
            None => Ok(()),
        };
        let daemon = match alive {
            Err(why) => Daemon::Dead(why),
            Ok(()) if self.catches_up(&tables, patience).await? => Daemon::Well,
            Ok(()) => Daemon::Behind,
        };
        // What was read while it was busy is not what it reports now.
        if daemon == Daemon::Well && is_behind(&tables) {
            tables = self.tables().await?;
        }
        let picture = Picture::of(&tables);
        let kernel = match socket {
            Some(_) => Some(self.kernel(&picture)?),
            None => None,
        };
        let [iface_types, _] = self.known_types().await?;
        let port_settings = self.all_port_settings(&schema, &tables).await?;
        let root = tables.root;
        Ok(Examination {
            port_settings,
            has_root: root.is_some(),
            datapath_types: root.map(|root| root.datapath_types).unwrap_or_default(),
            iface_types,
            picture,
            schema,
            daemon,
            kernel,
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
