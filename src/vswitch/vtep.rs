//! VTEPs: kernel VXLAN devices that carry an overlay over the device of a bridge, learning by multicast.

use std::net::Ipv4Addr;

use super::network::{vni_of, vtep_name};
use super::plan::change_set::LinkChange;
use super::topology::Topology;
use super::unit::Unit;
use crate::error::{Error, with_article};
use crate::links::{Link, Vxlan};

/// What is asked of the kernel at most.
pub(super) const MTU: u32 = 1500;
/// The outer headers over IPv4: for so much the kernel wants room in the lower device (RFC 7348).
const OVERHEAD: u32 = 50;
/// The kernel makes no VXLAN device with less (include/linux/if_ether.h, `ETH_MIN_MTU`).
const LEAST_MTU: u32 = 68;

/// The multicast group: 239.x.y.z from (VNI / 256) + 1 as 24 bits, so 256 neighbouring VNIs share one.
pub fn group(vni: u32) -> Ipv4Addr {
    let [_, x, y, z] = (vni / 256 + 1).to_be_bytes();
    Ipv4Addr::new(239, x, y, z)
}

/// Whether a device is the VTEP of a VNI: a VXLAN device of that very name and that VNI. The kernel also finds devices by
/// their alternative names, and those may be anybody's.
pub fn is_own(link: &Link, vni: u32) -> bool {
    why_not_own(link, vni).is_none()
}

/// Why a device that was found by the name of a VTEP is not that.
pub fn why_not_own(link: &Link, vni: u32) -> Option<String> {
    let name = vtep_name(vni);
    if link.name != name {
        return Some(format!("{name} is only another name of the network device {}", link.name));
    }
    match &link.vxlan {
        None => {
            let kind = link.kind.as_deref().unwrap_or("plain");
            Some(format!("{name} is {} device and not a vxlan one", with_article(kind)))
        }
        Some(vxlan) if vxlan.vni != vni => Some(format!("{name} has the VNI {} instead of {vni}", vxlan.vni)),
        Some(_) => None,
    }
}

impl Unit<'_> {
    /// Makes sure that the VTEP of a VNI is there, over a device, and up. Returns whether it has to be made.
    pub fn ensure_vtep(&mut self, lower: &str, vni: u32) -> Result<bool, Error> {
        let name = vtep_name(vni);
        let Some(device) = self.link(lower)? else {
            return Err(Error::NotFound(format!("no network device named {lower} for {name} to run over")));
        };
        let is_missing = self.ensure_vtep_over(&device, lower, name, vni)?;
        self.note_idle_underlay(&device, vni)?;
        Ok(is_missing)
    }

    /// Says so when the device below can't carry frames of the overlay, which are UDP over IPv4.
    fn note_idle_underlay(&mut self, device: &Link, vni: u32) -> Result<(), Error> {
        let has_address = self.session.links()?.addresses(device)?.iter().any(|address| address.ip.is_ipv4());
        let problem = match (device.up, has_address) {
            (true, true) => return Ok(()),
            (false, true) => "is down",
            (true, false) => "has no IPv4 address",
            (false, false) => "is down and has no IPv4 address",
        };
        self.note(format!("VXLAN {vni} reaches no other node: {}, over which it runs, {problem}", device.name));
        Ok(())
    }

    fn ensure_vtep_over(&mut self, device: &Link, lower: &str, name: String, vni: u32) -> Result<bool, Error> {
        let Some(link) = self.link(&name)? else {
            let mtu = MTU.min(device.mtu.saturating_sub(OVERHEAD)).max(LEAST_MTU);
            let vxlan = Vxlan { name, vni, lower: device.index, group: group(vni), mtu };
            self.change_link(LinkChange::AddVxlan(vxlan, device.name.clone()));
            return Ok(true);
        };
        if let Some(why) = why_not_own(&link, vni) {
            return Err(Error::Conflict(format!("{name} can't be used: {why}")));
        }
        let lower_index = link.vxlan.as_ref().and_then(|vxlan| vxlan.lower);
        if lower_index != Some(device.index) {
            let over = match lower_index {
                Some(index) => self.link_name(index)?.unwrap_or_else(|| format!("device {index}")),
                None => "no device".into(),
            };
            return Err(Error::Conflict(format!(
                "VXLAN {vni} is already tied to another master: {name} runs over {over}, not over {lower}"
            )));
        }
        if !link.up {
            self.change_link(LinkChange::SetUp(name));
        }
        self.found_devices.push(link);
        Ok(false)
    }

    /// Puts into a topology what the kernel's VXLAN devices run over, if the switch is on this machine: its database is
    /// behind a unix socket then. One look-up for each, and one for what is below. The topology is that of the database; if
    /// the kernel does not answer, that is noted, and the rest of it is true all the same.
    pub fn show_what_vteps_run_over(&mut self, topology: &mut Topology) {
        if self.settings().socket().is_none() {
            return;
        }
        let interfaces =
            topology.bridges.iter_mut().flat_map(|bridge| &mut bridge.ports).flat_map(|port| &mut port.interfaces);
        for interface in
            interfaces.filter(|interface| interface.r#type == "system" && vni_of(&interface.name).is_some())
        {
            match self.lower_of(&interface.name) {
                Ok(lower) => interface.over = lower,
                Err(error) => return self.note(format!("what {} runs over is not known: {error}", interface.name)),
            }
        }
    }

    fn lower_of(&mut self, vtep: &str) -> Result<Option<String>, Error> {
        let lower = self.link(vtep)?.and_then(|link| link.vxlan?.lower);
        lower.map_or(Ok(None), |lower| self.link_name(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::VxlanInfo;

    #[test]
    fn only_a_vxlan_device_of_that_very_name_and_vni_is_ours() {
        let link = |name: &str, vni: Option<u32>| Link {
            index: 5,
            name: name.into(),
            kind: Some(if vni.is_some() { "vxlan" } else { "dummy" }.into()),
            up: true,
            mtu: 1450,
            vxlan: vni.map(|vni| VxlanInfo { vni, ..VxlanInfo::default() }),
        };
        assert!(is_own(&link("vtep6", Some(6)), 6));
        for (other, word) in
            [(link("vtep6", Some(999)), "999"), (link("foo", Some(6)), "foo"), (link("vtep6", None), "dummy")]
        {
            let why = why_not_own(&other, 6).unwrap();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn groups_follow_from_the_vni_in_blocks_of_256() {
        for (vni, expected) in
            [(1, "239.0.0.1"), (255, "239.0.0.1"), (256, "239.0.0.2"), (10001, "239.0.0.40"), (16777215, "239.1.0.0")]
        {
            assert_eq!(group(vni).to_string(), expected, "VNI {vni}");
        }
    }
}
