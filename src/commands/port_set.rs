//! `ovs.port-set`: changes the settings of a port that exists.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::Command;
use super::arguments::{self, Name, OptionalName};
use super::device_settings::DeviceSettings;
use super::port_settings::PortSettings;
use crate::error::Error;
use crate::vswitch::port::Port;
use crate::vswitch::{Unit, tables};

/// Arguments of `port-set`.
#[derive(JsonSchema)]
pub(super) struct PortSet {
    #[schemars(flatten)]
    target: Target,
    #[schemars(flatten)]
    settings: PortSettings,
    #[schemars(flatten)]
    device: DeviceSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// The port's name.
    port: Name,
    /// The bridge that the port must be on, if it matters.
    #[serde(default)]
    bridge: OptionalName,
    /// Whether ovs-vswitchd shall open the port's network device again, because another one was made under its name.
    #[serde(default)]
    reopen: bool,
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        arguments::three_parts(deserializer).map(|(target, settings, device)| PortSet { target, settings, device })
    }
}

impl Command for PortSet {
    const NAME: &'static str = "port-set";
    const ABOUT: &'static str = "Change the VLANs, the MTU or other settings of a port";
    const DETAILS: &'static str = "\
What is not named stays as it is: maps gain or change the given keys, everything else that is given is replaced. \
`vlan` 0, an empty `trunks` and `mtu` 0 take the setting away. Of a bond, interface settings apply to all members. \
`up` and `addresses` are for ports that are network devices of their own: the local port of a bridge, which has its name, \
and internal ports.\n\n\
A port that has both a VLAN and trunks afterwards, and no `vlan_mode`, becomes `native-untagged`. `vlan` 0 takes the modes \
`native-untagged` and `native-tagged` away as well; an empty `trunks` leaves the mode, so the port then carries all VLANs. \
Each of these is noted. Settings of which Open vSwitch would ignore one are refused.\n\n\
On the userspace datapath (netdev) a port is dead after its network device was deleted and made again, as ovs-vswitchd still \
has the old one open. [doctor](#ovsdoctor) finds that (`device-replaced`), and `reopen` mends it: ovs-vswitchd closes the \
device and opens the one that has its name now. Traffic of the port stops for that moment. It keeps its OpenFlow port \
number. Of a bond, all members are opened again.";
    const EXAMPLE: (&'static str, &'static str) =
        (r#"{"port": "eth0", "vlan": 0, "trunks": [100, "200-210"], "mtu": 9000}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no port named eth0"),
        ("conflict", "bridge br1 does not have a port eth0 (it is on bridge backplane)"),
        ("bad-argument", "nothing to set; expected at least one of reopen, vlan, trunks, vlan_mode, mtu, …"),
        (
            "bad-argument",
            "argument \"up\": port eth0 is a device that the bridge does not make; expected the local port of a bridge, or a \
             port of type internal",
        ),
    ];
    type Answer = ();

    fn known() -> Vec<&'static str> {
        let (target, settings) = (arguments::fields_of::<Target>(), arguments::fields_of::<PortSettings>());
        [target, settings, arguments::fields_of::<DeviceSettings>()].concat()
    }

    fn check(&self) -> Result<(), Error> {
        if self.settings.is_empty() && self.device.is_empty() && !self.target.reopen {
            let expected = "reopen, vlan, trunks, vlan_mode, mtu, external_ids, other_config, options, up, addresses";
            return Err(Error::argument("", format!("nothing to set; expected at least one of {expected}")));
        }
        Ok(())
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let (port_options, interface_options) = self.settings.split_options();
        unit.expect_schema_for(tables::PORT, &port_options).await?;
        unit.expect_schema_for(tables::INTERFACE, &interface_options).await?;
        let (of_port, of_interface) = self.settings.wanted();
        // Another VLAN may take the port away from a VLAN bridge of ovs-vsctl.
        let vlan_bridges = self.settings.vlan.map(|_| Unit::vlan_bridges());
        unit.fetch_port_with(&self.target.port.0, &of_port, &of_interface, vlan_bridges).await?;
        let port = unit.require_port(&self.target.port.0, self.target.bridge.0.as_deref()).await?;
        let is_local = unit.is_local_port(&port);
        self.check_vlan_bridge(unit, &port).await?;
        let port = port.row;
        let interfaces = unit.references(&port, "interfaces", tables::INTERFACE).await?;
        if self.settings.vlan.is_some() {
            unit.set(&port, "tag", self.settings.tag());
            unit.asked_by(&port, "tag", "vlan");
        }
        self.settings.apply(unit, &port, &interfaces).await?;
        if self.target.reopen {
            for interface in &interfaces {
                let (name, kind) = (unit.name(interface), unit.value(interface, "type"));
                let kind = kind.as_str().unwrap_or_default();
                // Others are not devices, or ovs-vswitchd makes them itself, and would make them anew.
                if !matches!(kind, "" | "system") {
                    let problem =
                        format!("interface {name} is of type {kind}; expected a network device of the system");
                    return Err(Error::argument("reopen", problem));
                }
                unit.reopen(interface.clone());
            }
        }
        self.device.apply_to_port(unit, &self.target.port.0, is_local, &interfaces)
    }
}

impl PortSet {
    /// A port is on a VLAN bridge of ovs-vsctl by its tag alone, so another tag takes it away from there.
    async fn check_vlan_bridge(&self, unit: &mut Unit<'_>, port: &Port) -> Result<(), Error> {
        let tag = unit.value(&port.row, "tag").as_integer();
        if self.settings.vlan.is_none() || tag.is_none() || tag == self.settings.tag() {
            return Ok(());
        }
        let bridge = unit.bridge_of(port).await?;
        let Some(fake) = &bridge.fake else { return Ok(()) };
        let (name, vlan) = (&port.name, fake.tag);
        if fake.port == port.row {
            let problem =
                format!("port {name} is the VLAN bridge {name} of ovs-vsctl itself; expected its VLAN, {vlan}");
            return Err(Error::argument("vlan", problem));
        }
        let leaves =
            format!("takes port {name} away from the VLAN bridge {} of ovs-vsctl, which is VLAN {vlan}", bridge.name);
        if self.target.bridge.0.as_ref() == Some(&bridge.name) {
            return Err(Error::argument("vlan", format!("it {leaves}; expected {vlan}, or no bridge")));
        }
        unit.note(format!("argument \"vlan\" {leaves}"));
        Ok(())
    }
}
