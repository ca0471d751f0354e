//! What killed processes and dead containers leave: VXLAN devices of ours that no row refers to, and ports of ours whose
//! network devices are gone.
//!
//! Neither has an age that could be asked for. So something is a leftover if it is the same at two looks: the device of the
//! same number, the row of the same identity. What is removed is asked for once more at that moment: a device by
//! `removal.rs`, a port by the guards of its rows and a look at the kernel just before the transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::change_set::{LinkChange, RowKey};
use super::plan::query::Query;
use super::port::is_container_port;
use super::session::Session;
use super::tables::{BRIDGE, INTERFACE, MARK, PORT};
use super::unit::Unit;
use super::{doctor, network, vtep};
use crate::error::Error;
use crate::links::Link;

/// What `external_ids:ovs-plugin` says of a port that `port-add` has made.
const OF_PORT_ADD: &str = "port";

#[derive(Default)]
struct Leftovers {
    devices: Vec<Link>,
    ports: Vec<(RowKey, String)>,
}

/// The devices and ports that look as if somebody had left them, at one look. Nothing is removed: a device may have been
/// made by `vtep-ensure` on purpose, and a container may be about to start.
pub async fn suspects(session: &mut Session) -> Result<Vec<String>, Error> {
    let found = Unit::new(session, String::new(), "", false).leftovers().await?;
    let devices = found.devices.into_iter().map(|device| device.name);
    Ok(devices.chain(found.ports.into_iter().map(|(_, name)| name)).collect())
}

impl Unit<'_> {
    /// Plans to remove what is unused now and so long later. Returns the names of devices and ports.
    pub async fn remove_leftovers(&mut self, grace: Duration) -> Result<(Vec<String>, Vec<String>), Error> {
        if self.settings().socket().is_none() {
            let problem = "the database is not reached by a unix socket, so the switch may be on another machine";
            return Err(Error::Conflict(format!("{problem}; nothing is removed")));
        }
        let before = self.leftovers().await?;
        if before.devices.is_empty() && before.ports.is_empty() {
            return Ok(Default::default());
        }
        let waited = self.session.deadline.sleep(grace).await;
        waited.map_err(|expired| Error::expired_before_commit(expired, "waiting for whether leftovers stay"))?;
        self.session.set_fresh(false);
        let mut now = self.leftovers().await?;
        now.devices.retain(|device| {
            before.devices.iter().any(|before| (before.index, &before.name) == (device.index, &device.name))
        });
        now.ports.retain(|port| before.ports.contains(port));

        self.leaves_what_is_used = true;
        let mut devices = Vec::new();
        for device in now.devices {
            devices.push(device.name.clone());
            self.change_link(LinkChange::DeleteUnused(device));
        }
        let mut ports = Vec::new();
        for (row, name) in now.ports {
            // Somebody may just have removed it, or made another one.
            let Some(port) = self.port(&name).await?.filter(|port| port.row == row) else { continue };
            self.remove_port(&port).await?;
            self.require_no_device(&name);
            ports.push(name);
        }
        Ok((devices, ports))
    }

    /// Looks with a unit of its own: what is in the whole tables is not what this unit rests on.
    async fn leftovers(&mut self) -> Result<Leftovers, Error> {
        let mut look = Unit::new(self.session, String::new(), "", false);
        look.fetch([Query::all(BRIDGE), Query::all(PORT), Query::all(INTERFACE)]).await?;
        let devices = doctor::device_names()?;
        let mut bridges = Vec::new();
        for bridge in look.find(Query::all(BRIDGE)).await? {
            bridges.push(look.name(&bridge));
        }
        if !bridges.is_empty() && !bridges.iter().any(|bridge| devices.contains(bridge)) {
            let bridges = bridges.join(", ");
            let problem = format!("the devices of the switch's bridges ({bridges}) are not in this network namespace");
            return Err(Error::Conflict(format!("{problem}, so nothing is removed")));
        }
        let mut leftovers = Leftovers::default();
        let mut used = BTreeSet::new();
        for interface in look.find(Query::all(INTERFACE)).await? {
            used.insert(look.name(&interface));
        }
        for port in look.find(Query::all(PORT)).await? {
            let name = look.name(&port);
            let mark = look.value(&port, "external_ids").get_str(MARK).map(str::to_owned);
            if !is_container_port(&name) && mark.as_deref() != Some(OF_PORT_ADD) {
                continue;
            }
            let interfaces = look.references(&port, "interfaces", INTERFACE).await?;
            let [interface] = interfaces.as_slice() else { continue };
            let kind = look.value(interface, "type");
            let is_of_system = matches!(kind.as_str().unwrap_or_default(), "" | "system");
            // A device may be found by another name as well.
            if is_of_system && look.name(interface) == name && look.link(&name)?.is_none() {
                leftovers.ports.push((port, name));
            }
        }
        for name in devices.iter().filter(|name| !used.contains(*name)) {
            if let Some(vni) = network::vni_of(name)
                && let Some(link) = look.link(name)?.filter(|link| vtep::is_own(link, vni))
            {
                leftovers.devices.push(link);
            }
        }
        Ok(leftovers)
    }
}
