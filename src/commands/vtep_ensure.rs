//! `ovs.vtep-ensure`: the kernel VXLAN device of a VNI. Touches the kernel only, not the database.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, Vni};
use crate::error::Error;
use crate::vswitch::{Unit, network};

/// Arguments of `vtep-ensure`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct VtepEnsure {
    /// The network device to run over: that of a bridge, usually.
    bridge: Name,
    /// The VXLAN network identifier.
    vnid: Vni,
}

impl Command for VtepEnsure {
    const NAME: &'static str = "vtep-ensure";
    const ABOUT: &'static str = "Make sure that the kernel VXLAN device of a VNI is there and up";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"bridge": "vxbackend", "vnid": 10001}"#, r#""vtep10001""#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no network device named vxbackend for vtep10001 to run over"),
        ("conflict", "VXLAN 10001 is already tied to another master: vtep10001 runs over br1, not over vxbackend"),
        ("conflict", "vtep10001 can't be used: vtep10001 is a dummy device and not a vxlan one"),
    ];
    type Answer = String;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<String, Error> {
        let vni = self.vnid.0 as u32;
        unit.ensure_vtep(&self.bridge.0, vni)?;
        Ok(network::vtep_name(vni))
    }
}
