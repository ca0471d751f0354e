//! VLANs and VNIs that are there twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{About, Code, Examination, Findings, Severity, list, vlans};
use crate::vswitch::network;
use crate::vswitch::topology::NetworkKind;

pub(super) const VLAN: Code = Code {
    name: "vlan-duplicate",
    severity: Severity::Warning,
    meaning: "One VLAN of a bridge leads to several bridges, or is several VLAN bridges, of ovs-vsctl or of \
              `vlan-ensure`. What was meant to be apart is one network.",
    advice: "Decide for one of the bridges and remove the others, or give them VLANs of their own.",
};

pub(super) const VNI: Code = Code {
    name: "vni-duplicate",
    severity: Severity::Warning,
    meaning: "Several bridges use the same virtual network identifier. What was meant to be apart may be one network, \
              and replies may come in at the wrong bridge.",
    advice: "Give each network an identifier of its own.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    vlans(examination, findings);
    vnis(examination, findings);
}

fn vlans(examination: &Examination, findings: &mut Findings) {
    // By the bridge that has the VLAN, and the VLAN.
    let mut bridges: BTreeMap<(&str, i64), BTreeSet<&str>> = BTreeMap::new();
    for bridge in &examination.topology.bridges {
        if let Some(parent) = &bridge.parent {
            bridges.entry((&parent.bridge, parent.vlan)).or_default().insert(&bridge.name);
        }
    }
    for place in examination.places() {
        let leads_to = place.interface.patch.as_ref().and_then(|patch| patch.bridge.as_deref());
        let (Some(tag), Some(other)) = (place.port.tag, leads_to) else { continue };
        let real = match &place.bridge.parent {
            None => &place.bridge.name,
            // Joining a VLAN bridge of ovs-vsctl to others is not a second use of its VLAN, but `vlan-ensure` of that VLAN
            // on the real bridge is. Its port is then on the VLAN bridge, by its tag.
            Some(parent) if vlans::part(&place.port.name) == Some((tag, vlans::End::Outer)) => &parent.bridge,
            Some(_) => continue,
        };
        if other != place.bridge.name {
            bridges.entry((real, tag)).or_default().insert(other);
        }
    }
    for ((bridge, vlan), others) in bridges.iter().filter(|(_, others)| others.len() > 1) {
        let message = format!("VLAN {vlan} of bridge {bridge} is that of {}", list(others.iter().copied()));
        findings.add(&VLAN, About::bridge(bridge), message);
    }
}

fn vnis(examination: &Examination, findings: &mut Findings) {
    // By the protocol and the number; kernel devices and ports of ovs-vswitchd speak the same VXLAN.
    let mut bridges: BTreeMap<(&str, i64), BTreeSet<&str>> = BTreeMap::new();
    for bridge in &examination.topology.bridges {
        if let Some(network) = bridge.network.as_ref().filter(|network| network.kind == NetworkKind::Vxlan) {
            bridges.entry(("vxlan", network.id)).or_default().insert(&bridge.name);
        }
    }
    for place in examination.places() {
        let interface = place.interface;
        let bridge = place.bridge.name.as_str();
        let key = interface.tunnel.as_ref().and_then(|tunnel| tunnel.vni.as_ref()?.parse().ok());
        if let (Some(vni), "vxlan" | "geneve") = (key, interface.r#type.as_str()) {
            bridges.entry((&interface.r#type, vni)).or_default().insert(bridge);
        }
        if let Some(vni) = network::vni_of(&interface.name).filter(|_| interface.r#type == "system") {
            bridges.entry(("vxlan", vni.into())).or_default().insert(bridge);
        }
    }
    for ((kind, vni), bridges) in bridges.iter().filter(|(_, bridges)| bridges.len() > 1) {
        let message = format!("{kind} VNI {vni} is that of the bridges {}", list(bridges.iter().copied()));
        findings.add(&VNI, About::SWITCH, message);
    }
}
