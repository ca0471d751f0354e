//! `ovs.vxlan-ensure`: a bridge for one VXLAN network, whose frames travel over the device of a master bridge.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Command;
use super::arguments::{self, Name, OptionalDeviceName, Vni};
use super::device_settings::DeviceSettings;
use crate::error::Error;
use crate::vswitch::derived;
use crate::vswitch::network::{self, Network};
use crate::vswitch::{Query, Unit, tables};

/// Arguments of `vxlan-ensure`.
#[derive(JsonSchema)]
pub(super) struct VxlanEnsure {
    #[schemars(flatten)]
    target: Target,
    #[schemars(flatten)]
    device: DeviceSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The bridge over whose device the overlay runs.
    master: Name,
    /// The VXLAN network identifier.
    vxlan: Vni,
    /// The name of the network's bridge; `vxlbr<vxlan>` when there is none yet.
    #[serde(default)]
    name: OptionalDeviceName,
}

impl<'de> Deserialize<'de> for VxlanEnsure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        arguments::parts(deserializer).map(|(target, device)| VxlanEnsure { target, device })
    }
}

impl Command for VxlanEnsure {
    const NAME: &'static str = "vxlan-ensure";
    const ALIASES: &'static [&'static str] = &["vxlan_ensure"];
    const ABOUT: &'static str = "Make sure that a VXLAN network over a master bridge has a bridge of its own";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"master": "vxbackend", "vxlan": 10001}"#, r#""vxlbr10001""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "master bridge vxbackend does not exist"),
        ("not-found", "no network device named vxbackend for vtep10001 to run over"),
        ("conflict", "VXLAN 10001 is already tied to another master: vtep10001 runs over br1, not over vxbackend"),
        ("conflict", "VXLAN 10001 is already tied to another bridge: vtep10001 is on net, not on other"),
    ];
    type Answer = String;

    fn known() -> Vec<&'static str> {
        [arguments::fields_of::<Target>(), arguments::fields_of::<DeviceSettings>()].concat()
    }

    fn mark(&self) -> String {
        Network::Vxlan(self.target.vxlan.0).mark()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String, Error> {
        let vni = self.target.vxlan.0;
        let network = Network::Vxlan(vni);
        let default_name = network.default_bridge();
        let name = self.target.name.0.as_deref().unwrap_or(&default_name);
        let device = network::vtep_name(vni as u32);

        unit.fetch([
            Query::all(tables::OPEN_VSWITCH),
            Query::bridge(&self.target.master.0),
            Query::bridge(name),
            Query::port(&device),
        ])
        .await?;
        let master = derived::master(unit, &self.target.master.0).await?;
        let named = unit.find_one(Query::bridge(name)).await?;
        unit.fetch_ports(&[(&device, named.as_ref())], named.as_ref().map(|_| name)).await?;

        // Before anything else, since it tells whether the network is tied to another master.
        let missing = unit.ensure_vtep(&master.name, vni as u32)?;
        let port = unit.port_expected_on(&device, named.as_ref()).await?;
        let bridge = derived::ensure(unit, network, port.as_ref(), self.target.name.0.as_deref(), &master).await?;
        match port {
            None => {
                unit.add_port(&bridge, &device, None).await?;
            }
            // The port lost its device. ovs-vswitchd may have that one open still, and is to take the new one.
            Some(port) if missing => {
                for interface in unit.references(&port.row, "interfaces", tables::INTERFACE).await? {
                    unit.take_device(interface);
                }
            }
            // Its interface has to work, as one that was added would have to.
            Some(_) => unit.promise(&device),
        }
        // The host agent looks for the bridge's device next (0-core, subsys/containers/network.go).
        unit.promise(&bridge.name);
        self.device.apply(unit, &bridge.name)?;
        Ok(bridge.name)
    }
}
