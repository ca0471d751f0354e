//! `ovs.port-add`: attaches a network device, or an interface that ovs-vswitchd makes, to a bridge.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Command;
use super::arguments::{self, DeviceName, Name};
use super::device_settings::DeviceSettings;
use super::port_settings::PortSettings;
use crate::error::Error;
use crate::vswitch::Unit;
use crate::vswitch::port::is_container_port;

/// Arguments of `port-add`.
#[derive(JsonSchema)]
pub(super) struct PortAdd {
    #[schemars(flatten)]
    target: Target,
    #[schemars(flatten)]
    settings: PortSettings,
    #[schemars(flatten)]
    device: DeviceSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The bridge's name.
    bridge: Name,
    /// The port's name, and that of its interface.
    port: Name,
}

impl<'de> Deserialize<'de> for PortAdd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        arguments::three_parts(deserializer).map(|(target, settings, device)| PortAdd { target, settings, device })
    }
}

impl Command for PortAdd {
    const NAME: &'static str = "port-add";
    const ABOUT: &'static str = "Attach a port to a bridge, on a VLAN if one is given";
    const DETAILS: &'static str = "\
A port whose name has the form `cont<ID>-<IDX>` or `contm<ID>-<IDX>` is the host agent's: it makes the device just \
before it asks for the port, and uses ids again. A port of such a name that exists already was left by a container \
that is gone, so it is taken over: removed from wherever it is and made anew as asked, in the same transaction. Every \
other name that is taken is refused.\n\n\
A port with a VLAN, trunks and no `vlan_mode` becomes `native-untagged`, with a note. Settings of which Open vSwitch would \
ignore one, like `vlan` with `vlan_mode` `trunk`, are refused.";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"bridge": "backplane", "port": "eth0", "vlan": 100}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no bridge named backplane"),
        ("exists", "cannot create a port named eth0 because a port named eth0 already exists on bridge br1"),
        (
            "bad-argument",
            "argument \"vlan\": port eth0: tag 7 is ignored by Open vSwitch with vlan_mode trunk; expected vlan_mode \
             native-untagged or native-tagged for a native VLAN beside the trunks, access for this VLAN alone, or no tag",
        ),
        (
            "interface",
            "interface eth0 does not work: could not open network device eth0 (No such device) (there is no network \
             device named eth0); the change was taken back, nothing is left of it",
        ),
    ];
    type Answer = ();

    fn known() -> Vec<&'static str> {
        let (target, settings) = (arguments::fields_of::<Target>(), arguments::fields_of::<PortSettings>());
        [target, settings, arguments::fields_of::<DeviceSettings>()].concat()
    }

    fn mark(&self) -> String {
        "port".into()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let name = &self.target.port.0;
        let bridge = match unit.bridge(&self.target.bridge.0).await? {
            Some(bridge) => bridge,
            None => {
                // The original looks at the port's name first.
                unit.require_free(name, "port").await?;
                return Err(Error::NotFound(format!("no bridge named {}", self.target.bridge.0)));
            }
        };
        let stale = if is_container_port(name) { unit.remove_stale_port(name).await? } else { None };
        let (port, interface) = unit.add_port(&bridge, name, self.settings.tag()).await?;
        if stale.is_some_and(|stale| stale.bridge == bridge.row) {
            unit.reopen(interface.clone());
        }
        unit.asked_by(&port, "tag", "vlan");
        self.settings.apply(unit, &port, std::slice::from_ref(&interface)).await?;

        // Only interfaces of these types are network devices of their own name; tunnels and patch ports are not.
        let kind = unit.value(&interface, "type");
        if matches!(kind.as_str().unwrap_or_default(), "" | "system" | "internal" | "tap") {
            DeviceName::check(name).map_err(|problem| Error::argument("port", problem))?;
        }
        self.device.apply_to_port(unit, name, false, &[interface])
    }
}
