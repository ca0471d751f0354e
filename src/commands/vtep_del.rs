//! `ovs.vtep-del`: deletes the kernel VXLAN device of a VNI. Touches the kernel only, not the database.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::Vni;
use crate::error::Error;
use crate::vswitch::{LinkChange, Unit, network, vtep};

/// Arguments of `vtep-del`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct VtepDel {
    /// The VXLAN network identifier.
    vnid: Vni,
}

impl Command for VtepDel {
    const NAME: &'static str = "vtep-del";
    const ABOUT: &'static str = "Delete the kernel VXLAN device of a VNI; an error when there is none";
    const EXAMPLE: (&'static str, &'static str) = (r#"{"vnid": 10001}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no network device named vtep10001"),
        ("conflict", "vtep10001 is a dummy device and not a vxlan one; it stays"),
        ("conflict", "vtep10001 has the VNI 999 instead of 10001; it stays"),
    ];
    type Answer = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let vni = self.vnid.0 as u32;
        let name = network::vtep_name(vni);
        let Some(link) = unit.link(&name)? else {
            return Err(Error::NotFound(format!("no network device named {name}")));
        };
        if let Some(why) = vtep::why_not_own(&link, vni) {
            return Err(Error::Conflict(format!("{why}; it stays")));
        }
        unit.change_link(LinkChange::Delete(link));
        Ok(())
    }
}
