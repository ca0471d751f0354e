//! `ovs.port-list`: the names of a bridge's ports.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::Name;
use crate::error::Error;
use crate::vswitch::Unit;

/// Arguments of `port-list`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PortList {
    /// The bridge's name.
    bridge: Name,
}

impl Command for PortList {
    const NAME: &'static str = "port-list";
    const ABOUT: &'static str = "List the ports of a bridge by name, without its local port, as ovs-vsctl list-ports";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"bridge": "backplane"}"#, r#"["eth0", "vlbr2313p"]"#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[("not-found", "no bridge named backplane")];
    type Answer = Vec<String>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Vec<String>, Error> {
        let bridge = unit.require_bridge(&self.bridge.0).await?;
        unit.port_names(&bridge).await
    }
}
