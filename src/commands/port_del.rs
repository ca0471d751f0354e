//! `ovs.port-del`: takes a port from its bridge.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, OptionalName};
use crate::error::Error;
use crate::vswitch::Unit;

/// Arguments of `port-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PortDel {
    /// The port's name.
    port: Name,
    /// The bridge that the port must be on, if it matters.
    #[serde(default)]
    bridge: OptionalName,
}

impl Command for PortDel {
    const NAME: &'static str = "port-del";
    const ABOUT: &'static str = "Take a port from its bridge; an error when there is none, or it is on another bridge";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"port": "eth0", "bridge": "backplane"}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no port named eth0"),
        ("conflict", "bridge br1 does not have a port eth0 (it is on bridge backplane)"),
        (
            "conflict",
            "cannot delete port br1 because it is the local port for bridge br1 (deleting this port requires deleting \
             the entire bridge)",
        ),
    ];
    type Answer = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let port = unit.require_removable_port(&self.port.0, self.bridge.0.as_deref()).await?;
        unit.remove_port(&port).await
    }
}
