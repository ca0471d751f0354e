//! The settings of a port that `port-add` and `port-set` have in common.

use schemars::JsonSchema;
use serde::Deserialize;

use super::arguments::{Mtu, Options, Pairs, Tag, Trunks, VlanMode};
use crate::error::Error;
use crate::ovsdb::value::Value;
use crate::vswitch::{RowKey, Unit, Wanted, options, tables};

/// What stands before a column of the Port row in `options`.
const PORT_PREFIX: &str = "port.";

/// Settings of a port and its interface.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PortSettings {
    /// The VLAN of an access port, or the native VLAN of a trunk; 0 is none.
    pub(super) vlan: Option<Tag>,
    /// The VLANs that the port carries tagged, as ids or "a-b"; an empty list is all.
    pub(super) trunks: Option<Trunks>,
    /// What the port does with tagged and untagged frames.
    pub(super) vlan_mode: Option<VlanMode>,
    /// The MTU to ask for, in bytes; 0 leaves it to the device.
    pub(super) mtu: Option<Mtu>,
    /// Pairs for `external_ids` of the Port and the Interface row, so that either is found by them.
    pub(super) external_ids: Option<Pairs>,
    /// Pairs for `other_config` of the Port row.
    pub(super) other_config: Option<Pairs>,
    /// Columns of the Interface row, or with the prefix `port.` of the Port row.
    #[serde(default)]
    pub(super) options: Options,
}

impl PortSettings {
    /// Whether there is nothing to set.
    pub(super) fn is_empty(&self) -> bool {
        self.vlan.is_none()
            && self.trunks.is_none()
            && self.vlan_mode.is_none()
            && self.mtu.is_none()
            && self.external_ids.is_none()
            && self.other_config.is_none()
            && self.options.0.is_empty()
    }

    /// The tag to store: 0 is none.
    pub(super) fn tag(&self) -> Option<i64> {
        self.vlan.map(|vlan| vlan.0).filter(|vlan| *vlan != 0)
    }

    /// The options of the Port row, without their prefix, and those of the Interface row.
    pub(super) fn split_options(&self) -> (options::Options, options::Options) {
        let (mut of_port, mut of_interface) = (Vec::new(), Vec::new());
        for (column, value) in &self.options.0 {
            match column.strip_prefix(PORT_PREFIX) {
                Some(column) => of_port.push((column.to_owned(), value.clone())),
                None => of_interface.push((column.clone(), value.clone())),
            }
        }
        (of_port, of_interface)
    }

    /// The columns of the Port and of the Interface row whose values these settings are compared with.
    pub(super) fn wanted(&self) -> (Wanted, Wanted) {
        let (of_port, of_interface) = self.split_options();
        let columns =
            |options: &[(String, String)]| options.iter().map(|(column, _)| column.clone()).collect::<Vec<_>>();
        let (mut of_port, mut of_interface) = (columns(&of_port), columns(&of_interface));
        of_port.extend(["tag", "trunks", "vlan_mode", "external_ids", "other_config"].map(str::to_owned));
        of_interface.push("external_ids".to_owned());
        of_interface.extend(self.mtu.map(|_| "mtu_request".to_owned()));
        let wanted = |table, columns: &[String]| options::wanted(table, columns.iter().map(String::as_str));
        (wanted(tables::PORT, &of_port), wanted(tables::INTERFACE, &of_interface))
    }

    /// Applies everything but the VLAN, which a new port has been given with its bridge.
    pub(super) async fn apply(&self, unit: &mut Unit<'_>, port: &RowKey, interfaces: &[RowKey]) -> Result<(), Error> {
        if let Some(Trunks(ids)) = &self.trunks {
            unit.set(port, "trunks", Value::set(ids.iter().map(|id| (*id).into())));
        }
        if let Some(mode) = self.vlan_mode {
            unit.set(port, "vlan_mode", mode.name());
        }
        for (key, value) in self.external_ids.iter().flat_map(|pairs| &pairs.0) {
            unit.put(port, "external_ids", key, value);
            for interface in interfaces {
                unit.put(interface, "external_ids", key, value);
            }
        }
        for (key, value) in self.other_config.iter().flat_map(|pairs| &pairs.0) {
            unit.put(port, "other_config", key, value);
        }
        let (of_port, of_interface) = self.split_options();
        unit.apply_options(port, &of_port, "options").await?;
        for interface in interfaces {
            if let Some(mtu) = self.mtu {
                unit.set(interface, "mtu_request", Some(mtu.0).filter(|mtu| *mtu != 0));
            }
            unit.apply_options(interface, &of_interface, "options").await?;
        }
        Ok(())
    }
}
