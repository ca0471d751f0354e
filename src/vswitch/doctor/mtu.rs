//! Overlays: whether what the ports of a bridge send fits into what carries it.

use std::collections::BTreeMap;

use super::examination::Place;
use super::wire::Wire;
use super::{About, Code, Examination, Findings, Kernel, Severity, list, vxlans};
use crate::vswitch::topology::BridgeNode;

pub(super) const OVERLAY: Code = Code {
    name: "overlay-mtu",
    severity: Severity::Warning,
    meaning: "The MTU is too small for the overlay: ports of the bridge send frames that do not fit into the tunnel once \
              the outer headers are added. Small packets get through, large ones are lost.",
    advice: "Lower the MTU of the bridge's ports to what the message tells (`\"mtu\"` of `port-set` for those that \
             ovs-vswitchd makes), or raise that of the device below the overlay.",
};

pub(super) const INTERNAL: Code = Code {
    name: "internal-mtu",
    severity: Severity::Warning,
    meaning: "An internal port has a larger MTU than a network device on the same bridge that it reaches. What it sends \
              through that device is lost where it is larger. ovs-vswitchd keeps internal ports at the smallest MTU of \
              their bridge by itself, unless one is asked for.",
    advice: "Lower the MTU of the internal port, or leave it to ovs-vswitchd (`\"mtu\": 0` of `port-set`), or raise that of \
             the device.",
};

/// What a tunnel adds to each frame in bytes, without options: outer IP, UDP and so on, and the inner Ethernet header,
/// which counts since MTUs do not include it (RFC 7348, RFC 8926, RFC 2784; RFC 2890 for the key). IPv6 takes 20 more.
fn overhead(kind: &str, has_key: bool, over_ipv6: bool) -> Option<i64> {
    let over_ipv4 = match (kind, has_key) {
        ("vxlan" | "geneve", _) => 50,
        ("gre", true) => 42,
        ("gre", false) => 38,
        _ => return None,
    };
    Some(over_ipv4 + if over_ipv6 { 20 } else { 0 })
}

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    overlays(examination, findings);
    let mut bridges: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for place in examination.places() {
        let real = place.bridge.parent.as_ref().map_or(&place.bridge.name, |parent| &parent.bridge);
        bridges.entry(real).or_default().push(place);
    }
    for places in bridges.values() {
        internal_ports(places, findings);
    }
}

/// Internal ports of a real bridge beside devices with smaller MTUs.
fn internal_ports(places: &[Place<'_>], findings: &mut Findings) {
    let is_up = |place: &&Place<'_>| place.interface.admin_state.as_deref() == Some("up");
    let of_type = |kind: &'static str| places.iter().filter(move |place| place.interface.r#type == kind).filter(is_up);
    let devices = of_type("system").filter(|place| !vxlans::is_vtep(place));
    let devices: Vec<(&str, i64, Wire)> = devices
        .filter_map(|place| Some((place.interface.name.as_str(), place.interface.mtu?, Wire::of(place.port))))
        .collect();
    if devices.is_empty() {
        return;
    }
    for place in of_type("internal") {
        let Some(mtu) = place.interface.mtu else { continue };
        let wire = Wire::of(place.port);
        let reached = devices.iter().filter(|(_, _, of_device)| wire.shares_with(of_device));
        let narrowest = reached.min_by_key(|(_, mtu, _)| *mtu).filter(|(_, least, _)| *least < mtu);
        if let Some((device, least, _)) = narrowest {
            let message =
                format!("{} has the MTU {mtu}, and {device} on the same bridge has {least}", place.interface.name);
            findings.add(&INTERNAL, place.about(), message);
        }
    }
}

fn overlays(examination: &Examination, findings: &mut Findings) {
    let Some(kernel) = &examination.kernel else { return };
    for bridge in &examination.topology.bridges {
        if let Some((name, room, why)) = narrowest(bridge, kernel) {
            let too_large = senders(bridge).filter(|(_, mtu)| *mtu > room);
            let too_large: Vec<String> = too_large.map(|(port, mtu)| format!("{port} ({mtu})")).collect();
            if !too_large.is_empty() {
                let message = format!(
                    "{name} carries packets of up to {room} bytes ({why}), but on bridge {} are ports with larger \
                     MTUs: {}",
                    bridge.name,
                    list(too_large.iter().map(String::as_str))
                );
                findings.add(&OVERLAY, About::bridge(&bridge.name).port(name).interface(name), message);
            }
        }
    }
}

/// The overlay of a bridge that carries the smallest packets, how large they may be, and why.
fn narrowest<'b>(bridge: &'b BridgeNode, kernel: &Kernel) -> Option<(&'b str, i64, String)> {
    let overlays = bridge.ports.iter().flat_map(|port| {
        port.interfaces.iter().filter_map(move |interface| {
            let place = Place { bridge, port, interface };
            let (room, why) = if vxlans::is_vtep(&place) { vtep(&place, kernel) } else { tunnel(&place, kernel) }?;
            Some((interface.name.as_str(), room, why))
        })
    });
    overlays.min_by_key(|(_, room, _)| *room)
}

fn vtep(place: &Place<'_>, kernel: &Kernel) -> Option<(i64, String)> {
    let link = kernel.links.get(&place.interface.name).filter(|link| link.vxlan.is_some())?;
    let own = (i64::from(link.mtu), "its MTU".to_owned());
    let lower = kernel.lower(link).and_then(|name| Some((name, kernel.links.get(name)?)));
    let below = lower.map(|(name, lower)| {
        let room = i64::from(lower.mtu) - overhead("vxlan", true, false).unwrap_or_default();
        (room, format!("the MTU of {name} is {}", lower.mtu))
    });
    Some(below.into_iter().fold(own, |least, other| if other.0 < least.0 { other } else { least }))
}

fn tunnel(place: &Place<'_>, kernel: &Kernel) -> Option<(i64, String)> {
    let tunnel = place.interface.tunnel.as_ref()?;
    let egress = tunnel.egress.as_ref()?;
    let below = kernel.links.get(egress)?;
    let has_key = ["key", "in_key", "out_key"].iter().any(|key| place.interface.options.contains_key(*key));
    let over_ipv6 = tunnel.remote.as_ref().is_some_and(|remote| remote.contains(':'));
    let overhead = overhead(&place.interface.r#type, has_key, over_ipv6)?;
    Some((i64::from(below.mtu) - overhead, format!("the MTU of {egress} is {}", below.mtu)))
}

/// The ports of a bridge from which packets come, with their MTUs. The local port only counts while it is in use.
fn senders(bridge: &BridgeNode) -> impl Iterator<Item = (&str, i64)> {
    let places = bridge
        .ports
        .iter()
        .flat_map(move |port| port.interfaces.iter().map(move |interface| Place { bridge, port, interface }));
    let sends = |place: &Place<'_>| {
        let interface = place.interface;
        let is_idle = interface.r#type == "internal" && interface.admin_state.as_deref() == Some("down");
        interface.patch.is_none() && interface.tunnel.is_none() && !vxlans::is_vtep(place) && !is_idle
    };
    places.filter(sends).filter_map(|place| Some((place.interface.name.as_str(), place.interface.mtu?)))
}
