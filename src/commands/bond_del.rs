//! `ovs.bond-del`: takes a bond from its bridge.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, OptionalName};
use crate::error::Error;
use crate::vswitch::{Unit, tables};

/// Arguments of `bond-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BondDel {
    /// The bond's name.
    port: Name,
    /// The bridge that the bond must be on, if it matters.
    #[serde(default)]
    bridge: OptionalName,
}

impl Command for BondDel {
    const NAME: &'static str = "bond-del";
    const ABOUT: &'static str = "Take a bond with its members from its bridge";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"port": "bond0"}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no port named bond0"),
        ("conflict", "port eth0 is not a bond, it has one interface; port-del deletes it"),
    ];
    type Answer = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let name = &self.port.0;
        let port = unit.require_removable_port(name, self.bridge.0.as_deref()).await?;
        if unit.references(&port.row, "interfaces", tables::INTERFACE).await?.len() < 2 {
            let problem = format!("port {name} is not a bond, it has one interface; port-del deletes it");
            return Err(Error::Conflict(problem));
        }
        unit.remove_port(&port).await
    }
}
