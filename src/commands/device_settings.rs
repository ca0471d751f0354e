//! What `bridge-add`, `vlan-ensure`, `vxlan-ensure`, `port-add` and `port-set` do to the network device of a bridge or port.

use schemars::JsonSchema;
use serde::Deserialize;

use super::arguments::Addresses;
use crate::error::Error;
use crate::vswitch::{RowKey, Unit};

/// Settings of the network device that ovs-vswitchd makes for a bridge or an internal port.
#[derive(Deserialize, JsonSchema)]
pub(super) struct DeviceSettings {
    /// Whether to set the network device of the bridge, or of the internal port, up. It is down until somebody does, and
    /// has then no part in the bridge's traffic. False leaves it as it is.
    #[serde(default)]
    up: bool,
    /// IP addresses for the network device of the bridge, or of the internal port, with the lengths of their prefixes, like
    /// "10.0.0.1/24" or "fd00::1/64". Other addresses of the device stay. As with `ip address add`, there is no broadcast
    /// address. An IPv6 address is usable at once: there is no duplicate address detection.
    #[serde(default)]
    addresses: Addresses,
}

impl DeviceSettings {
    /// Whether there is nothing to set.
    pub(super) fn is_empty(&self) -> bool {
        !self.up && self.addresses.0.is_empty()
    }

    /// Applies them to the device of an interface, which is to be there or to be made by this unit.
    pub(super) fn apply(&self, unit: &mut Unit<'_>, interface: &str) -> Result<(), Error> {
        unit.configure_device(interface, self.up, &self.addresses.0)
    }

    /// Applies them to the device of a port, if it is one of the node's own: a bridge's local port or an internal one.
    pub(super) fn apply_to_port(
        &self,
        unit: &mut Unit<'_>,
        port: &str,
        is_local: bool,
        interfaces: &[RowKey],
    ) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let argument = if self.up { "up" } else { "addresses" };
        let refuse = |what: &str| {
            let expected = "expected the local port of a bridge, or a port of type internal";
            Err(Error::argument(argument, format!("port {port} {what}; {expected}")))
        };
        let [interface] = interfaces else { return refuse("is a bond") };
        let kind = unit.value(interface, "type");
        match kind.as_str().unwrap_or_default() {
            _ if is_local => {}
            "internal" => {}
            "" | "system" => return refuse("is a device that the bridge does not make"),
            other => return refuse(&format!("is of type {other}")),
        }
        let name = unit.name(interface);
        self.apply(unit, &name)
    }
}
