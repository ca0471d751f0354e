//! The settings of a port that `port-add` and `port-set` have in common.

use ovsdb::value::Value;
use schemars::JsonSchema;
use serde::Deserialize;

use super::arguments::{Mtu, Options, Pairs, Tag, Trunks, VlanMode};
use crate::error::Error;
use crate::vswitch::{RowKey, Unit, Wanted, options, tables};

/// What stands before a column of the Port row in `options`.
pub(super) const PORT_PREFIX: &str = "port.";

/// Settings of a port and its interface.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PortSettings {
    /// The VLAN of an access port, or beside `trunks` the native VLAN of a trunk; 0 is none.
    pub(super) vlan: Option<Tag>,
    /// The VLANs that the port carries tagged, as ids or "a-b"; an empty list is all.
    pub(super) trunks: Option<Trunks>,
    /// What the port does with tagged and untagged frames. Where it is not set, a port with `vlan` and `trunks` becomes
    /// `native-untagged`, and a note says so.
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
        of_port
            .extend(self.other_config.iter().flat_map(|pairs| &pairs.0).map(|(key, _)| format!("other_config:{key}")));
        of_interface.push("external_ids".to_owned());
        of_interface.extend(self.mtu.map(|_| "mtu_request".to_owned()));
        let wanted = |table, columns: &[String]| options::wanted(table, columns.iter().map(String::as_str));
        (wanted(tables::PORT, &of_port), wanted(tables::INTERFACE, &of_interface))
    }

    /// Applies everything but the VLAN, which a new port has been given with its bridge.
    pub(super) async fn apply(&self, unit: &mut Unit<'_>, port: &RowKey, interfaces: &[RowKey]) -> Result<(), Error> {
        if let Some(Trunks(ids)) = &self.trunks {
            unit.set(port, "trunks", Value::set(ids.iter().map(|id| (*id).into())));
            unit.asked_by(port, "trunks", "trunks");
        }
        if let Some(mode) = self.vlan_mode {
            unit.set(port, "vlan_mode", mode.name());
            unit.asked_by(port, "vlan_mode", "vlan_mode");
        }
        for (key, value) in self.external_ids.iter().flat_map(|pairs| &pairs.0) {
            unit.put(port, "external_ids", key, value);
            for interface in interfaces {
                unit.put(interface, "external_ids", key, value);
            }
        }
        for (key, value) in self.other_config.iter().flat_map(|pairs| &pairs.0) {
            unit.put(port, "other_config", key, value);
            unit.asked_by(port, "other_config", "other_config");
        }
        let (of_port, of_interface) = self.split_options();
        let only_of_one = |setting: &&(String, String)| matches!(setting.0.as_str(), "ofport_request" | "mac");
        if let (Some((column, value)), [_, _, ..]) = (of_interface.iter().find(only_of_one), interfaces) {
            let mut members: Vec<String> = interfaces.iter().map(|interface| unit.name(interface)).collect();
            members.sort();
            let members = members.join(", ");
            let problem =
                format!("{column} {value} can't be that of {members} at once; expected a port of one interface");
            return Err(Error::argument("options", problem));
        }
        apply_options(unit, port, &of_port).await?;
        for interface in interfaces {
            if let Some(mtu) = self.mtu {
                unit.set(interface, "mtu_request", Some(mtu.0).filter(|mtu| *mtu != 0));
            }
            apply_options(unit, interface, &of_interface).await?;
        }
        self.choose_vlan_mode(unit, port);
        Ok(())
    }

    /// Without a mode, Open vSwitch makes an access port of one that has a tag, and ignores its trunks. `vlan` and `trunks`
    /// mean a native VLAN and a trunk, so the mode that does that is chosen. Whoever sets the columns themselves, by
    /// `options`, is taken at their word.
    fn choose_vlan_mode(&self, unit: &mut Unit<'_>, port: &RowKey) {
        let (of_port, _) = self.split_options();
        let is_ours = self.vlan_mode.is_none()
            && !of_port.iter().any(|(setting, _)| ["tag", "trunks", "vlan_mode"].contains(&setting.as_str()));
        if !is_ours || (self.vlan.is_none() && self.trunks.is_none()) {
            return;
        }
        let name = unit.name(port);
        let (tag, has_trunks) = (unit.value(port, "tag").as_integer(), !unit.value(port, "trunks").is_empty());
        let mode = unit.value(port, "vlan_mode");
        let mode = mode.as_str();
        let native = [VlanMode::NativeTagged, VlanMode::NativeUntagged].map(VlanMode::name);
        match (mode.filter(|mode| native.contains(mode)), tag) {
            (None, Some(tag)) if mode.is_none() && has_trunks => {
                unit.set(port, "vlan_mode", VlanMode::NativeUntagged.name());
                unit.note(format!(
                    "port {name}: vlan_mode native-untagged was chosen, since it has the VLAN {tag} and trunks: VLAN {tag} \
                     is untagged, the trunks are tagged"
                ));
            }
            (Some(mode), None) if self.vlan.is_some() => {
                unit.set(port, "vlan_mode", Value::empty());
                unit.note(format!(
                    "port {name}: vlan_mode {mode} was taken away with the native VLAN; it is a trunk now"
                ));
            }
            (Some(mode), Some(tag)) if self.trunks.is_some() && !has_trunks => {
                unit.note(format!(
                    "port {name}: vlan_mode is {mode} still, so without trunks it carries all VLANs, and {tag} is the native \
                     one; vlan_mode access makes it an access port of VLAN {tag}"
                ));
            }
            _ => {}
        }
    }
}

/// Applies options of one of the two rows. A column of the other one is told as it is written for that.
async fn apply_options(unit: &mut Unit<'_>, row: &RowKey, options: &[(String, String)]) -> Result<(), Error> {
    let Err(error) = unit.apply_options(row, options, "options").await else { return Ok(()) };
    let Error::Argument { field, problem } = error else { return Err(error) };
    let hint = match unit.column_elsewhere(&row.table, options).await? {
        Some((column, tables::PORT)) => format!(": write \"{PORT_PREFIX}{column}\""),
        Some((column, tables::INTERFACE)) => format!(": write \"{column}\", without \"{PORT_PREFIX}\""),
        _ => String::new(),
    };
    Err(Error::argument(field, problem + &hint))
}
