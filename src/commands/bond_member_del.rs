//! `ovs.bond-member-del`: takes a network device out of a bond.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, OptionalName};
use crate::error::Error;
use crate::vswitch::{Unit, tables};

/// Arguments of `bond-member-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BondMemberDel {
    /// The bond's name.
    port: Name,
    /// The member to take out.
    link: Name,
    /// The bridge that the bond must be on, if it matters.
    #[serde(default)]
    bridge: OptionalName,
    /// Whether the bond may be left with one member, and so be an ordinary port.
    #[serde(default)]
    force: bool,
}

impl Command for BondMemberDel {
    const NAME: &'static str = "bond-member-del";
    const ABOUT: &'static str = "Take a network device out of a bond";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"port": "bond0", "link": "eth2"}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no port named bond0"),
        ("not-found", "bond bond0 has no member eth2; it has eth0, eth1"),
        ("conflict", "bond bond0 would be left with one member; \"force\": true does it all the same"),
        ("conflict", "eth0 is the only interface of port bond0; bond-del or port-del deletes the port"),
    ];
    type Answer = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let (name, link) = (&self.port.0, &self.link.0);
        let port = unit.require_port(name, self.bridge.0.as_deref()).await?;
        let members = unit.references(&port.row, "interfaces", tables::INTERFACE).await?;
        let Some(member) = members.iter().find(|member| unit.name(member) == *link) else {
            let mut names: Vec<String> = members.iter().map(|member| unit.name(member)).collect();
            names.sort();
            let problem = format!("bond {name} has no member {link}; it has {}", names.join(", "));
            return Err(Error::NotFound(problem));
        };
        match members.len() {
            1 => Err(Error::Conflict(format!(
                "{link} is the only interface of port {name}; bond-del or port-del deletes the port"
            ))),
            2 if !self.force => Err(Error::Conflict(format!(
                "bond {name} would be left with one member; \"force\": true does it all the same"
            ))),
            _ => {
                unit.take_from(&port.row, "interfaces", member);
                unit.collected(member);
                Ok(())
            }
        }
    }
}
