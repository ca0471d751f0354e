//! `ovs.bridge-del`: removes a bridge, its ports, and the patch ports on other bridges that pointed into it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::Name;
use crate::error::Error;
use crate::vswitch::{Query, Unit, tables};

/// Arguments of `bridge-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BridgeDel {
    /// The bridge's name.
    bridge: Name,
}

impl Command for BridgeDel {
    const NAME: &'static str = "bridge-del";
    const ABOUT: &'static str = "Remove a bridge with all its ports, and the patch ports that pointed into it";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"bridge": "backplane"}"#, r#""""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[("not-found", "no bridge named backplane")];
    /// The empty string, which is what the original answers here.
    type Answer = &'static str;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<&'static str, Error> {
        unit.fetch([Query::bridge(&self.bridge.0), Query::all(tables::OPEN_VSWITCH)]).await?;
        let bridge = unit.require_bridge(&self.bridge.0).await?;
        unit.remove_bridge(&bridge).await?;
        Ok("")
    }
}
