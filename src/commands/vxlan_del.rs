//! `ovs.vxlan-del`: takes away what `vxlan-ensure` made.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{OptionalName, Vni};
use crate::error::Error;
use crate::vswitch::derived;
use crate::vswitch::network::{self, Network};
use crate::vswitch::{LinkChange, Query, Unit, tables, vtep};

/// Arguments of `vxlan-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct VxlanDel {
    /// The VXLAN network identifier.
    vxlan: Vni,
    /// The bridge over whose device the overlay must run, if it matters.
    #[serde(default)]
    master: OptionalName,
    /// The name that the network's bridge must have, if it matters.
    #[serde(default)]
    name: OptionalName,
    /// Whether to take it away with ports of others attached.
    #[serde(default)]
    force: bool,
}

impl Command for VxlanDel {
    const NAME: &'static str = "vxlan-del";
    const ABOUT: &'static str = "Remove a VXLAN network's bridge together with its kernel device";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"vxlan": 10001}"#, r#""vxlbr10001""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "VXLAN 10001 has neither a bridge nor a device"),
        ("conflict", "VXLAN 10001 is tied to another master: vtep10001 runs over br1, not over vxbackend"),
        ("conflict", "bridge vxlbr10001 still has the ports cont3-0; \"force\": true removes it all the same"),
    ];
    /// The name of the bridge that was removed.
    type Answer = String;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String, Error> {
        let network = Network::Vxlan(self.vxlan.0);
        let vni = self.vxlan.0 as u32;
        let device = network::vtep_name(vni);
        let default_name = network.default_bridge();
        unit.fetch([Query::all(tables::OPEN_VSWITCH), Query::bridge(&default_name), Query::port(&device)]).await?;
        // A device of that name which is no VXLAN one, or one of another VNI, is somebody else's.
        let link = unit.link(&device)?.filter(|link| vtep::is_own(link, vni));
        let over = match link.as_ref().and_then(|link| link.vxlan.as_ref()) {
            Some(vxlan) => match vxlan.lower {
                Some(index) => Some(unit.link_name(index)?.unwrap_or_else(|| format!("device {index}"))),
                None => Some("no device".into()),
            },
            None => None,
        };
        if let (Some(master), Some(over)) = (&self.master.0, &over)
            && over != master
        {
            return Err(Error::Conflict(format!(
                "{network} is tied to another master: {device} runs over {over}, not over {master}"
            )));
        }
        let port = unit.port(&device).await?;
        let bridge = derived::find_bridge(unit, network, port.as_ref(), self.name.0.as_deref()).await?;
        if bridge.is_none() && link.is_none() {
            return Err(Error::NotFound(format!("{network} has neither a bridge nor a device")));
        }
        let name = bridge.as_ref().map(|bridge| bridge.name.clone()).unwrap_or(default_name);
        if let Some(bridge) = bridge {
            if [&over, &self.master.0].into_iter().flatten().any(|master| *master == bridge.name) {
                return Err(Error::Conflict(format!(
                    "{device} is on the master {} itself, which is not to be removed; port-del deletes the port",
                    bridge.name
                )));
            }
            derived::remove_bridge(unit, &bridge, &[&device], self.force).await?;
        }
        if let Some(link) = link {
            unit.change_link(LinkChange::DeleteUnused(link));
        }
        Ok(name)
    }
}
