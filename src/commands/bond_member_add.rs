//! `ovs.bond-member-add`: another network device for a bond.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{DeviceName, Name, OptionalName};
use crate::error::Error;
use crate::vswitch::{Query, Unit, options, tables};

/// Arguments of `bond-member-add`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BondMemberAdd {
    /// The bond's name.
    port: Name,
    /// The network device. It is set up if it is down.
    link: DeviceName,
    /// The bridge that the bond must be on, if it matters.
    #[serde(default)]
    bridge: OptionalName,
}

impl Command for BondMemberAdd {
    const NAME: &'static str = "bond-member-add";
    const ABOUT: &'static str = "Add a network device to a bond";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"port": "bond0", "link": "eth2"}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no port named bond0"),
        ("exists", "cannot create an interface named eth2 because a port named eth2 already exists on bridge br1"),
        (
            "interface",
            "interface eth2 does not work: could not open network device eth2 (No such device) (there is no network \
             device named eth2); the change was taken back, nothing is left of it",
        ),
    ];
    type Answer = ();

    fn mark(&self) -> String {
        "bond".into()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        // Whether a second interface makes a bond that works is a matter of these.
        let wanted = options::wanted(tables::PORT, ["interfaces"]);
        unit.fetch([Query::port(&self.port.0).with(&wanted)]).await?;
        let port = unit.require_port(&self.port.0, self.bridge.0.as_deref()).await?;
        if unit.is_local_port(&port) {
            let name = &self.port.0;
            let problem = format!("port {name} is the local port of bridge {name} and can't be a bond");
            return Err(Error::Conflict(problem));
        }
        unit.add_interface(&port.row, &self.link.0).await?;
        unit.ensure_up(&self.link.0).await
    }
}
