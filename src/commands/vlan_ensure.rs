//! `ovs.vlan-ensure`: a bridge for one VLAN of a master bridge, joined to it by a pair of patch ports.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Command;
use super::arguments::{self, Name, OptionalDeviceName, Vlan};
use super::device_settings::DeviceSettings;
use crate::error::Error;
use crate::vswitch::derived;
use crate::vswitch::network::{self, Network};
use crate::vswitch::{Query, Unit, tables};

/// Arguments of `vlan-ensure`.
#[derive(JsonSchema)]
pub(super) struct VlanEnsure {
    #[schemars(flatten)]
    target: Target,
    #[schemars(flatten)]
    device: DeviceSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The bridge that carries the VLAN.
    master: Name,
    /// The VLAN id; 0 is untagged, and what a missing one meant for the original.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    vlan: Vlan,
    /// The name of the VLAN's bridge; `vlbr<vlan>` when there is none yet.
    #[serde(default)]
    name: OptionalDeviceName,
}

impl<'de> Deserialize<'de> for VlanEnsure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        arguments::parts(deserializer).map(|(target, device)| VlanEnsure { target, device })
    }
}

impl Command for VlanEnsure {
    const NAME: &'static str = "vlan-ensure";
    const ALIASES: &'static [&'static str] = &["vlan_ensure"];
    const ABOUT: &'static str =
        "Make sure that a VLAN of a master bridge has a bridge of its own, joined to the master";
    const EXAMPLE: (&'static str, &'static str) =
        (r#"{"master": "backplane", "vlan": 2313, "name": "vxbackend"}"#, r#""vxbackend""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "master bridge backplane does not exist"),
        ("conflict", "VLAN 5 is already tied to another master: vlbr5p is on bridge br1, not on backplane"),
        ("conflict", "VLAN 5 is already tied to another bridge: vlbr5in is on five, not on six"),
        (
            "exists",
            "bridge five can't become that of VLAN 6: a bridge named five already exists, for VLAN 5 (it has the port \
             vlbr5in)",
        ),
    ];
    type Answer = String;

    fn known() -> Vec<&'static str> {
        [arguments::fields_of::<Target>(), arguments::fields_of::<DeviceSettings>()].concat()
    }

    fn mark(&self) -> String {
        Network::Vlan(self.target.vlan.0).mark()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String, Error> {
        let vlan = self.target.vlan.0;
        let network = Network::Vlan(vlan);
        let default_name = network.default_bridge();
        let name = self.target.name.0.as_deref().unwrap_or(&default_name);
        let (outer, inner) = network::patch_names(vlan);

        unit.fetch([
            Query::all(tables::OPEN_VSWITCH),
            Query::bridge(&self.target.master.0),
            Query::bridge(name),
            Query::port(&outer),
            Query::port(&inner),
        ])
        .await?;
        let master = derived::master(unit, &self.target.master.0).await?;
        let named = unit.find_one(Query::bridge(name)).await?;
        let ports = [(outer.as_str(), Some(&master.row)), (inner.as_str(), named.as_ref())];
        unit.fetch_ports(&ports, named.as_ref().map(|_| name)).await?;

        let outer_port = unit.port_expected_on(&outer, Some(&master.row)).await?;
        derived::check_master(unit, network, outer_port.as_ref(), &master)?;
        let inner_port = unit.port_expected_on(&inner, named.as_ref()).await?;
        let bridge =
            derived::ensure(unit, network, inner_port.as_ref(), self.target.name.0.as_deref(), &master).await?;
        unit.ensure_patch(&master, outer_port.as_ref(), &outer, &inner, Some(vlan).filter(|vlan| *vlan != 0)).await?;
        unit.ensure_patch(&bridge, inner_port.as_ref(), &inner, &outer, None).await?;
        // The host agent looks for the bridge's device next (0-core, subsys/containers/network.go).
        unit.promise(&bridge.name);
        self.device.apply(unit, &bridge.name)?;
        Ok(bridge.name)
    }
}
