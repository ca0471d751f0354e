//! `ovs.vlan-del`: takes away what `vlan-ensure` made.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, OptionalName, Vlan};
use crate::error::Error;
use crate::vswitch::derived;
use crate::vswitch::network::{self, Network};
use crate::vswitch::{Query, Unit, tables};

/// Arguments of `vlan-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct VlanDel {
    /// The bridge that carries the VLAN.
    master: Name,
    /// The VLAN id; 0 is untagged.
    vlan: Vlan,
    /// The name that the VLAN's bridge must have, if it matters.
    #[serde(default)]
    name: OptionalName,
    /// Whether to take it away with ports of others attached.
    #[serde(default)]
    force: bool,
}

impl Command for VlanDel {
    const NAME: &'static str = "vlan-del";
    const ABOUT: &'static str = "Remove a VLAN's bridge together with the patch ports that join it to the master";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"master": "backplane", "vlan": 2313}"#, r#""vxbackend""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "VLAN 5 has no bridge on master backplane"),
        ("conflict", "VLAN 5 is tied to another master: vlbr5p is on bridge br1, not on backplane"),
        ("conflict", "bridge vlbr5 still has the ports cont3-0; \"force\": true removes it all the same"),
    ];
    /// The name of the bridge that was removed.
    type Answer = String;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String, Error> {
        let vlan = self.vlan.0;
        let network = Network::Vlan(vlan);
        let (outer, inner) = network::patch_names(vlan);
        let default_name = network.default_bridge();
        unit.fetch([
            Query::all(tables::OPEN_VSWITCH),
            Query::bridge(&self.master.0),
            Query::bridge(&default_name),
            Query::port(&outer),
            Query::port(&inner),
        ])
        .await?;
        let master = derived::master(unit, &self.master.0).await?;
        let outer_port = unit.port_expected_on(&outer, Some(&master.row)).await?;
        derived::check_master(unit, network, outer_port.as_ref(), &master)?;
        let inner_port = unit.port(&inner).await?;
        let bridge = derived::find_bridge(unit, network, inner_port.as_ref(), self.name.0.as_deref()).await?;
        if bridge.is_none() && outer_port.is_none() {
            return Err(Error::NotFound(format!("{network} has no bridge on master {}", master.name)));
        }
        // Without its port on the master, the bridge could be that of another master, or nobody's.
        match &outer_port {
            Some(port) => unit.remove_port(port).await?,
            None => unit.rely_on_no_port(&outer),
        }
        let name = bridge.as_ref().map(|bridge| bridge.name.clone()).unwrap_or(default_name);
        if let Some(bridge) = bridge {
            if bridge.row == master.row {
                return Err(Error::Conflict(format!(
                    "{inner} is on the master {} itself, which is not to be removed; port-del deletes the port",
                    master.name
                )));
            }
            derived::remove_bridge(unit, &bridge, &[&inner], self.force).await?;
        }
        Ok(name)
    }
}
