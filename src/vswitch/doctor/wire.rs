//! What a port makes of VLANs: which it carries, and how their frames look outside of the bridge
//! (ovs-vswitchd.conf.db(5), Port "VLAN Configuration").

use crate::vswitch::topology::PortNode;

/// How many VLAN ids there are; 0 stands for frames without a tag.
pub(super) const VLANS: usize = 4096;

/// A set of VLANs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Vlans(Box<[u64; VLANS / 64]>);

impl Vlans {
    fn none() -> Self {
        Vlans(Box::new([0; VLANS / 64]))
    }

    fn all() -> Self {
        Vlans(Box::new([u64::MAX; VLANS / 64]))
    }

    pub(super) fn contains(&self, vlan: u16) -> bool {
        self.0.get(usize::from(vlan) / 64).is_some_and(|word| word >> (vlan % 64) & 1 == 1)
    }

    fn set(&mut self, vlan: u16, on: bool) {
        if let Some(word) = self.0.get_mut(usize::from(vlan) / 64) {
            let bit = 1 << (vlan % 64);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }
}

/// See the module's description. Frames with a tag inside their tag are not told apart from those without, so a
/// `dot1q-tunnel` port is one that carries its VLAN without a tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wire {
    /// One VLAN, without a tag.
    Access(u16),
    /// VLANs with their tags; 0 without.
    Trunk(Option<Vlans>),
    /// As a trunk, and frames without a tag are those of a VLAN, which are sent with or without its tag.
    Native { vlan: u16, trunks: Vlans, tagged: bool },
}

impl Wire {
    /// As ovs-vswitchd reads a port's columns (vswitchd/bridge.c `port_configure`, ofproto/ofproto-dpif.c `bundle_set`).
    pub(super) fn of(port: &PortNode) -> Wire {
        let id = |id: i64| u16::try_from(id).ok().filter(|id| usize::from(*id) < VLANS);
        let tag = port.tag.and_then(id);
        let trunks = (!port.trunks.is_empty()).then(|| {
            let mut trunks = Vlans::none();
            port.trunks.iter().filter_map(|vlan| id(*vlan)).for_each(|vlan| trunks.set(vlan, true));
            trunks
        });
        let native = |tagged, trunks: Option<Vlans>| {
            let vlan = tag.unwrap_or(0);
            let mut trunks = trunks.unwrap_or_else(Vlans::all);
            if vlan != 0 {
                trunks.set(vlan, true);
                trunks.set(0, false);
            }
            Wire::Native { vlan, trunks, tagged }
        };
        match port.vlan_mode.as_deref() {
            Some("access" | "dot1q-tunnel") => Wire::Access(tag.unwrap_or(0)),
            Some("native-tagged") => native(true, trunks),
            Some("native-untagged") => native(false, trunks),
            None if tag.is_some() => Wire::Access(tag.unwrap_or(0)),
            // The schema has no other mode than `trunk`, for which ovs-vswitchd takes all others.
            None | Some(_) => Wire::Trunk(trunks),
        }
    }

    /// The tag with which a frame of a VLAN leaves the bridge, 0 for none; `None` if it does not leave.
    pub(super) fn emit(&self, vlan: u16) -> Option<u16> {
        match self {
            Wire::Access(own) => (vlan == *own).then_some(0),
            Wire::Trunk(trunks) => trunks.as_ref().is_none_or(|trunks| trunks.contains(vlan)).then_some(vlan),
            Wire::Native { vlan: native, trunks, tagged } => {
                let tag = if vlan == *native && !tagged { 0 } else { vlan };
                trunks.contains(vlan).then_some(tag)
            }
        }
    }

    /// The VLAN of a frame that comes with this tag, 0 for none; `None` if it is dropped.
    pub(super) fn admit(&self, tag: u16) -> Option<u16> {
        match self {
            Wire::Access(own) => (tag == 0).then_some(*own),
            Wire::Trunk(trunks) => trunks.as_ref().is_none_or(|trunks| trunks.contains(tag)).then_some(tag),
            Wire::Native { vlan, .. } if tag == 0 => Some(*vlan),
            Wire::Native { trunks, .. } => trunks.contains(tag).then_some(tag),
        }
    }

    /// The VLAN that it treats unlike all others.
    pub(super) fn special(&self) -> Option<u16> {
        match self {
            Wire::Access(vlan) | Wire::Native { vlan, .. } => Some(*vlan),
            Wire::Trunk(_) => None,
        }
    }

    /// The VLANs that it carries; none if it carries all, or only its special one.
    pub(super) fn trunks(&self) -> Option<&Vlans> {
        match self {
            Wire::Access(_) => None,
            Wire::Trunk(trunks) => trunks.as_ref(),
            Wire::Native { trunks, .. } => Some(trunks),
        }
    }

    /// Whether some VLAN is carried by both.
    pub(super) fn shares_with(&self, other: &Wire) -> bool {
        let carries = |wire: &Wire, vlan| wire.emit(vlan).is_some();
        match (self, other) {
            (Wire::Access(vlan), wire) | (wire, Wire::Access(vlan)) => carries(wire, *vlan),
            (Wire::Trunk(None), _) | (_, Wire::Trunk(None)) => true,
            _ => (0..VLANS as u16).any(|vlan| carries(self, vlan) && carries(other, vlan)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(tag: Option<i64>, trunks: &[i64], vlan_mode: Option<&str>) -> PortNode {
        serde_json::from_value(serde_json::json!({
            "name": "p", "tag": tag, "trunks": trunks, "vlan_mode": vlan_mode, "interfaces": [],
        }))
        .unwrap()
    }

    #[test]
    fn ports_carry_what_ovs_vswitchd_makes_of_their_columns() {
        // The port, a VLAN of the bridge, the tag it leaves with; then a tag, and the VLAN that it comes in to.
        for (port, vlan, out, tag, into) in [
            (port(None, &[], None), 7, Some(7), 7, Some(7)),
            (port(None, &[7], None), 8, None, 0, None),
            (port(Some(7), &[], None), 7, Some(0), 0, Some(7)),
            (port(Some(7), &[8], None), 8, None, 8, None),
            (port(Some(7), &[8], Some("trunk")), 7, None, 8, Some(8)),
            (port(Some(7), &[8], Some("native-untagged")), 7, Some(0), 0, Some(7)),
            (port(Some(7), &[8], Some("native-tagged")), 7, Some(7), 7, Some(7)),
            (port(Some(7), &[], Some("native-tagged")), 0, None, 0, Some(7)),
            (port(None, &[], Some("native-tagged")), 0, Some(0), 0, Some(0)),
            (port(None, &[], Some("access")), 0, Some(0), 5, None),
            (port(Some(7), &[], Some("dot1q-tunnel")), 7, Some(0), 0, Some(7)),
        ] {
            let wire = Wire::of(&port);
            assert_eq!((wire.emit(vlan), wire.admit(tag)), (out, into), "{port:?}");
        }
    }

    #[test]
    fn ports_share_a_vlan_that_both_carry() {
        let wire = |tag, trunks: &[i64]| Wire::of(&port(tag, trunks, None));
        for (one, other, expected) in [
            (wire(None, &[]), wire(Some(5), &[]), true),
            (wire(Some(5), &[]), wire(Some(6), &[]), false),
            (wire(None, &[5, 6]), wire(None, &[6, 7]), true),
            (wire(None, &[5]), wire(None, &[6, 7]), false),
            (wire(None, &[5]), wire(Some(6), &[]), false),
        ] {
            assert_eq!((one.shares_with(&other), other.shares_with(&one)), (expected, expected), "{one:?} {other:?}");
        }
    }
}
