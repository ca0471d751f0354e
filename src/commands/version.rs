//! `ovs.version`: what is running here.

use ovsdb::operation::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Command;
use crate::error::Error;
use crate::vswitch::{Query, Unit, Wanted, tables};

/// `version` takes no arguments.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Version {}

/// Versions; null where nobody has said.
#[derive(Serialize, JsonSchema)]
pub(super) struct Versions {
    /// This program.
    plugin: &'static str,
    /// Open vSwitch.
    ovs: Option<String>,
    /// The schema of the database, as the server has it.
    schema: String,
    /// DPDK, if ovs-vswitchd was built with it.
    dpdk: Option<String>,
    /// The operating system's name and version.
    system: Option<String>,
}

impl Command for Version {
    const NAME: &'static str = "version";
    const ABOUT: &'static str =
        "Tell the versions of the plugin, Open vSwitch, the database schema, DPDK and the system";
    const EXAMPLE: (&'static str, &'static str) =
        ("{}", r#"{"plugin": "0.1.0", "ovs": "3.1.0", "schema": "8.3.1", "dpdk": null, "system": "debian 12"}"#);
    type Answer = Versions;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Versions, Error> {
        let schema = unit.schema().await?;
        // Not all of the row, which refers to every bridge; and not all schemas have each of them.
        let known = schema.tables.get(tables::OPEN_VSWITCH).map(|table| &table.columns);
        let columns = ["ovs_version", "dpdk_version", "system_type", "system_version"].into_iter();
        let columns = columns.filter(|column| known.is_some_and(|known| known.contains_key(*column))).map(Name::from);
        let root = unit.find_one(Query::all(tables::OPEN_VSWITCH).with(&Wanted::With(columns.collect()))).await?;
        let text = |column: &str| {
            let value = root.as_ref().and_then(|root| unit.peek(root, column))?;
            value.as_str().filter(|text| !text.is_empty() && *text != "none").map(str::to_owned)
        };
        let system = [text("system_type"), text("system_version")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Ok(Versions {
            plugin: env!("CARGO_PKG_VERSION"),
            ovs: text("ovs_version"),
            schema: schema.version.clone(),
            dpdk: text("dpdk_version"),
            system: Some(system).filter(|system| !system.is_empty()),
        })
    }
}
