//! `ovs.bridge-add`: a new bridge with its local port.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Command;
use super::arguments::{self, DeviceName, Options};
use super::device_settings::DeviceSettings;
use crate::error::Error;
use crate::vswitch::{Query, Unit, tables};

/// Arguments of `bridge-add`.
#[derive(JsonSchema)]
pub(super) struct BridgeAdd {
    #[schemars(flatten)]
    target: Target,
    #[schemars(flatten)]
    device: DeviceSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The bridge's name; a network device of that name is made.
    bridge: DeviceName,
    /// Columns of the new Bridge row.
    #[serde(default)]
    options: Options,
}

impl<'de> Deserialize<'de> for BridgeAdd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        arguments::parts(deserializer).map(|(target, device)| BridgeAdd { target, device })
    }
}

impl Command for BridgeAdd {
    const NAME: &'static str = "bridge-add";
    const ABOUT: &'static str = "Add a bridge with its local port; an error when the name is taken";
    const EXAMPLE: (&'static str, &'static str) =
        (r#"{"bridge": "backplane", "options": {"stp_enable": true}}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("exists", "cannot create a bridge named backplane because a bridge named backplane already exists"),
        (
            "bad-argument",
            "bridge backplane: ovs-vswitchd knows no datapath type \"dpdk\" (datapath_type: expected one of netdev, system)",
        ),
        (
            "interface",
            "interface backplane does not work: ovs-vswitchd could not set it up and does not say why (the kernel \
             module openvswitch is not loaded; load it, or use datapath_type netdev); the change was taken back, \
             nothing is left of it",
        ),
        (
            "bad-argument",
            "argument \"addresses\": \"10.0.0.1\" lacks the length of the prefix; expected an address with the length of its \
             prefix, like 10.0.0.1/24 or fd00::1/64",
        ),
    ];
    type Answer = ();

    fn known() -> Vec<&'static str> {
        [arguments::fields_of::<Target>(), arguments::fields_of::<DeviceSettings>()].concat()
    }

    fn mark(&self) -> String {
        "bridge".into()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let name = &self.target.bridge.0;
        unit.fetch([Query::all(tables::OPEN_VSWITCH)]).await?;
        let datapath_type = unit.settings().datapath_type.clone();
        let bridge = unit.add_bridge(name, &datapath_type).await?;
        unit.apply_options(&bridge, &self.target.options.0, "options").await?;
        self.device.apply(unit, name)
    }
}
