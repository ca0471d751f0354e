//! `ovs.bridge-list`: the names of all bridges.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use crate::error::Error;
use crate::vswitch::Unit;

/// `bridge-list` takes no arguments.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BridgeList {}

impl Command for BridgeList {
    const NAME: &'static str = "bridge-list";
    const ABOUT: &'static str = "List all bridges by name, VLAN bridges of ovs-vsctl included, as ovs-vsctl list-br";
    const EXAMPLE: (&'static str, &'static str) = ("{}", r#"["backplane", "vxbackend"]"#);
    type Answer = Vec<String>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Vec<String>, Error> {
        unit.bridge_names().await
    }
}
