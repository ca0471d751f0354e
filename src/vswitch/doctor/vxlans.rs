//! VXLAN networks: whether all parts are there that `vxlan-ensure` makes, the kernel's device among them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::examination::Place;
use super::{About, Code, Examination, Findings, Severity};
use crate::error::with_article;
use crate::vswitch::network::{self, Network};
use crate::vswitch::topology::BridgeNode;

pub(super) const INCOMPLETE: Code = Code {
    name: "vxlan-incomplete",
    severity: Severity::Error,
    meaning: "The bridge of a VXLAN network does not have the network's device as a port, so it is cut off from the \
              other nodes.",
    advice: "Run `vxlan-ensure` with the same arguments again: it completes what is missing. Or remove the bridge with \
             `vxlan-del`.",
};

pub(super) const MISSING: Code = Code {
    name: "vtep-missing",
    severity: Severity::Error,
    meaning: "The kernel's VXLAN device of a network is gone; the kernel deletes it with the device that it runs over. \
              The network's bridge is cut off from the other nodes.",
    advice: "Run `vxlan-ensure` with the same arguments again: it makes the device anew.",
};

pub(super) const WRONG: Code = Code {
    name: "vtep-wrong",
    severity: Severity::Error,
    meaning: "A device has the name of a network's VXLAN device and is something else.",
    advice: "Remove the device, then run `vxlan-ensure`.",
};

pub(super) const DOWN: Code = Code {
    name: "vtep-down",
    severity: Severity::Error,
    meaning: "The VXLAN device of a network, or the device that it runs over, is not set up.",
    advice: "Set the device up: `ip link set dev NAME up`. `vxlan-ensure` sets up the VXLAN device itself.",
};

pub(super) const NO_ADDRESS: Code = Code {
    name: "vtep-no-address",
    severity: Severity::Error,
    meaning: "The device that the VXLAN device of a network runs over has no IPv4 address, so its packets have no source \
              that other nodes could answer to. Nothing comes back from them.",
    advice: "Give the device an address: `addresses` of `port-set` if a bridge makes it, else `ip address add \
             ADDRESS/PREFIX dev NAME`.",
};

pub(super) const UNUSED: Code = Code {
    name: "vtep-unused",
    severity: Severity::Note,
    meaning: "A VXLAN device of a network is no port of any bridge.",
    advice: "If nothing else uses it, delete it with `ovs-plugin vtep-del`.",
};

pub(super) fn is_vtep(place: &Place<'_>) -> bool {
    place.interface.r#type == "system" && network::vni_of(&place.interface.name).is_some()
}

/// Whether an interface is that of a VTEP whose device is gone.
pub(super) fn is_missing(examination: &Examination, place: &Place<'_>) -> bool {
    let kernel = examination.kernel.as_ref();
    is_vtep(place) && kernel.is_some_and(|kernel| !kernel.devices.contains_key(&place.interface.name))
}

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let mut used = BTreeSet::new();
    for place in examination.places().filter(is_vtep) {
        used.insert(place.interface.name.as_str());
        device(examination, &place, findings);
    }
    let mut wanted = BTreeSet::new();
    for bridge in &examination.topology.bridges {
        let Some(vni) = vni_of(bridge) else { continue };
        let port = network::vtep_name(vni);
        if !bridge.ports.iter().any(|other| other.name == port) {
            let message = format!("bridge {} of VXLAN {vni} has no port {port}", bridge.name);
            let kernel = examination.kernel.as_ref();
            let master = kernel.and_then(|kernel| kernel.lower(kernel.links.get(&port)?));
            findings.add_advising(&INCOMPLETE, About::bridge(&bridge.name), message, completed(bridge, vni, master));
            wanted.insert(port);
        }
    }
    let Some(kernel) = &examination.kernel else { return };
    for name in kernel.devices.keys().filter(|name| network::vni_of(name).is_some()) {
        // That its bridge lacks it has been told.
        if !used.contains(name.as_str()) && !wanted.contains(name) {
            findings.add(&UNUSED, About::SWITCH, format!("device {name} is no port of any bridge"));
        }
    }
}

/// The VNI whose bridge this is, by its mark or its name.
fn vni_of(bridge: &BridgeNode) -> Option<u32> {
    match bridge.mark.as_deref().and_then(Network::marked) {
        Some(Network::Vxlan(vni)) => u32::try_from(vni).ok(),
        Some(_) => None,
        None => {
            let vni: u32 = bridge.name.strip_prefix("vxlbr")?.parse().ok()?;
            (Network::Vxlan(vni.into()).default_bridge() == bridge.name).then_some(vni)
        }
    }
}

/// What completes a network. Over which bridge it ran only its device tells.
fn completed(bridge: &BridgeNode, vni: u32, master: Option<&str>) -> String {
    let which = if master.is_none() { ", with the name of the bridge over which it ran as MASTER" } else { "" };
    format!(
        "Complete it: ovs-plugin vxlan-ensure '{{\"master\": \"{}\", \"vxlan\": {vni}, \"name\": \"{}\"}}'{which}",
        master.unwrap_or("MASTER"),
        bridge.name
    )
}

fn device(examination: &Examination, place: &Place<'_>, findings: &mut Findings) {
    let (Some(kernel), Some(vni)) = (&examination.kernel, network::vni_of(&place.interface.name)) else { return };
    let name = &place.interface.name;
    let Some(link) = kernel.links.get(name) else {
        let message = format!("the VXLAN device {name} of bridge {} is gone", place.bridge.name);
        findings.add_advising(&MISSING, place.about(), message, completed(place.bridge, vni, None));
        return;
    };
    match &link.vxlan {
        None => {
            let kind = link.kind.as_deref().unwrap_or("plain");
            findings.add(&WRONG, place.about(), format!("{name} is {} device and not a vxlan one", with_article(kind)));
            return;
        }
        Some(vxlan) if vxlan.vni != vni => {
            findings.add(&WRONG, place.about(), format!("{name} has the VNI {} instead of {vni}", vxlan.vni));
        }
        Some(_) => {}
    }
    if let Some(lower) = kernel.lower(link)
        && let Some(device) = kernel.devices.get(lower)
        // With an IPv6 group it is IPv6 that has to be there, which each device gives itself.
        && link.vxlan.as_ref().is_some_and(|vxlan| vxlan.group.is_some())
        && !device.addresses.iter().any(IpAddr::is_ipv4)
    {
        let message = format!("{name} runs over {lower}, which has no IPv4 address");
        // What a bridge makes is configured where the bridge is.
        let is_own =
            examination.places().any(|place| place.interface.name == lower && place.interface.r#type == "internal");
        let how = if is_own {
            format!("ovs-plugin port-set --port {lower} --up --addresses ADDRESS/PREFIX")
        } else {
            format!("ip address add ADDRESS/PREFIX dev {lower}")
        };
        let advice = format!("Give the device an address: {how}");
        findings.add_advising(&NO_ADDRESS, place.about(), message, advice);
    }
    let set_up = |device: &str| format!("Set the device up: ip link set dev {device} up");
    if !link.up {
        findings.add_advising(&DOWN, place.about(), format!("{name} is not set up"), set_up(name));
    }
    if let Some(lower) = kernel.lower(link)
        && kernel.devices.get(lower).is_some_and(|device| !device.up)
    {
        let message = format!("{name} runs over {lower}, which is not set up");
        findings.add_advising(&DOWN, place.about(), message, set_up(lower));
    }
}
