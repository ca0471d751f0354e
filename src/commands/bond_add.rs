//! `ovs.bond-add`: several network devices as one port.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{DeviceName, Milliseconds, Name, OptionalName, Options};
use crate::error::Error;
use crate::vswitch::{Query, RowKey, Unit, tables};

/// Arguments of `bond-add`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct BondAdd {
    /// The bridge's name.
    bridge: Name,
    /// The bond's name; it is a port, not a network device.
    port: Name,
    /// The network devices to bond, at least two. Those that are down are set up.
    #[schemars(length(min = 2))]
    links: Vec<Name>,
    /// How traffic is spread (ovs-vswitchd.conf.db(5), Port `bond_mode`).
    #[serde(default)]
    #[schemars(extend("default" = "balance-slb"))]
    mode: Mode,
    /// Whether to negotiate LACP actively.
    #[serde(default)]
    lacp: bool,
    /// How often LACP messages are asked for: every second, or every 30 seconds.
    lacp_time: Option<LacpTime>,
    /// Whether to fall back to active-backup while the partner does not speak LACP.
    lacp_fallback: Option<bool>,
    /// How long a link must be up before it is used, in milliseconds.
    bond_updelay: Option<Milliseconds>,
    /// How long a link must be down before it is given up, in milliseconds.
    bond_downdelay: Option<Milliseconds>,
    /// The link that is preferred in mode active-backup.
    #[serde(default)]
    primary: OptionalName,
    /// Columns of the new Port row.
    #[serde(default)]
    options: Options,
}

/// The bond modes of Open vSwitch.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Mode {
    /// One member carries everything, another takes over when it fails.
    ActiveBackup,
    /// Spread by source MAC and VLAN; needs nothing of the switch on the other side. The empty text means it too, as
    /// it did for the original.
    #[default]
    #[serde(alias = "")]
    BalanceSlb,
    /// Spread by flow; needs LACP.
    BalanceTcp,
}

/// The rate of LACP.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum LacpTime {
    /// Every second.
    Fast,
    /// Every 30 seconds.
    Slow,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::ActiveBackup => "active-backup",
            Mode::BalanceSlb => "balance-slb",
            Mode::BalanceTcp => "balance-tcp",
        }
    }
}

impl Command for BondAdd {
    const NAME: &'static str = "bond-add";
    const ABOUT: &'static str = "Attach several network devices to a bridge as one bonded port";
    const EXAMPLE: (&'static str, &'static str) =
        (r#"{"bridge": "backplane", "port": "bond0", "links": ["eth0", "eth1"], "lacp": true}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("bad-argument", "argument \"links\": a bond needs more than one link, got 1"),
        ("bad-argument", "argument \"mode\": port bond0: bond_mode balance-tcp needs LACP, which is off: …"),
        ("not-found", "no bridge named backplane"),
        (
            "exists",
            "cannot create a port named bond0 because a bond named bond0 with the same members already exists on bridge backplane",
        ),
        ("exists", "cannot create an interface named eth0 because a port named eth0 already exists on bridge br1"),
        (
            "interface",
            "interface eth1 does not work: could not open network device eth1 (No such device) (there is no network \
             device named eth1); the change was taken back, nothing is left of it",
        ),
    ];
    type Answer = ();

    fn check(&self) -> Result<(), Error> {
        if self.links.len() < 2 {
            let problem = format!("a bond needs more than one link, got {}", self.links.len());
            return Err(Error::argument("links", problem));
        }
        let mut seen = BTreeSet::new();
        for Name(link) in &self.links {
            DeviceName::check(link).map_err(|problem| Error::argument("links", problem))?;
            if !seen.insert(link) {
                return Err(Error::argument("links", format!("{link:?} is listed twice")));
            }
        }
        match &self.primary.0 {
            Some(primary) if !seen.contains(primary) => {
                Err(Error::argument("primary", format!("{primary:?} is not one of the links")))
            }
            _ => Ok(()),
        }
    }

    fn mark(&self) -> String {
        "bond".into()
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        unit.fetch([Query::bridge(&self.bridge.0), Query::port(&self.port.0)]).await?;
        let bridge = match unit.bridge(&self.bridge.0).await? {
            Some(bridge) => bridge,
            None => {
                unit.require_free(&self.port.0, "port").await?;
                return Err(Error::NotFound(format!("no bridge named {}", self.bridge.0)));
            }
        };
        self.refuse_repetition(unit).await?;
        let links: Vec<&str> = self.links.iter().map(|Name(link)| link.as_str()).collect();
        let (port, _) = unit.add_port_over(&bridge, &self.port.0, None, &links).await?;
        self.apply(unit, &port).await?;
        for link in links {
            unit.ensure_up(link).await?;
        }
        Ok(())
    }
}

impl BondAdd {
    async fn apply(&self, unit: &mut Unit<'_>, port: &RowKey) -> Result<(), Error> {
        unit.set(port, "bond_mode", self.mode.name());
        for (column, argument) in [("bond_mode", "mode"), ("lacp", "lacp")] {
            unit.asked_by(port, column, argument);
        }
        if self.lacp {
            unit.set(port, "lacp", "active");
        }
        if let Some(delay) = self.bond_updelay {
            unit.set(port, "bond_updelay", delay.0);
        }
        if let Some(delay) = self.bond_downdelay {
            unit.set(port, "bond_downdelay", delay.0);
        }
        if let Some(time) = self.lacp_time {
            let time = match time {
                LacpTime::Fast => "fast",
                LacpTime::Slow => "slow",
            };
            unit.put(port, "other_config", "lacp-time", time);
        }
        if let Some(fallback) = self.lacp_fallback {
            unit.put(port, "other_config", "lacp-fallback-ab", fallback.to_string());
        }
        if let Some(primary) = &self.primary.0 {
            unit.put(port, "other_config", "bond-primary", primary);
        }
        unit.apply_options(port, &self.options.0, "options").await
    }

    /// A bond that exists is refused as any name that is taken; it is worth saying if it is the very same.
    async fn refuse_repetition(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let name = &self.port.0;
        let Some(port) = unit.port(name).await? else {
            return Ok(());
        };
        let interfaces = unit.references(&port.row, "interfaces", tables::INTERFACE).await?;
        let members: BTreeSet<String> = interfaces.iter().map(|interface| unit.name(interface)).collect();
        let asked: BTreeSet<String> = self.links.iter().map(|Name(link)| link.clone()).collect();
        if members != asked {
            return unit.require_free(name, "port").await;
        }
        let bridge = unit.bridge_of(&port).await?.name;
        Err(Error::Exists(format!(
            "cannot create a port named {name} because a bond named {name} with the same members already exists on \
             bridge {bridge}"
        )))
    }
}
