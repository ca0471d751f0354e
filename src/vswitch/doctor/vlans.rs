//! VLANs' bridges: whether all parts are there that `vlan-ensure` makes.

use std::collections::BTreeMap;

use super::{About, Code, Examination, Findings, Severity};
use crate::vswitch::network::{self, Network};
use crate::vswitch::topology::{BridgeNode, PortNode};

pub(super) const INCOMPLETE: Code = Code {
    name: "vlan-incomplete",
    severity: Severity::Error,
    meaning: "Of the bridge for a VLAN, or the pair of patch ports that joins it to the master, a part is missing or \
              not as `vlan-ensure` makes it. The VLAN does not reach the bridge, or not as it is meant.",
    advice: "Run `vlan-ensure` with the same arguments again: it completes what is missing. Or remove the rest with \
             `vlan-del`.",
};

/// The two ends of the patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// On the master, with the tag.
    Outer,
    /// Inside the VLAN's bridge.
    Inner,
}

/// The VLAN that a port belongs to by its name, and as which end.
pub(super) fn part(port: &str) -> Option<(i64, End)> {
    let rest = port.strip_prefix("vlbr")?;
    let (digits, end) = match rest.strip_suffix("in") {
        Some(digits) => (digits, End::Inner),
        None => (rest.strip_suffix('p')?, End::Outer),
    };
    let vlan: i64 = digits.parse().ok()?;
    let (outer, inner) = network::patch_names(vlan);
    (port == if end == End::Outer { outer } else { inner }).then_some((vlan, end))
}

/// What there is of one VLAN.
#[derive(Default)]
struct Parts<'p> {
    outer: Option<(&'p BridgeNode, &'p PortNode)>,
    inner: Option<(&'p BridgeNode, &'p PortNode)>,
    /// The bridges that are the VLAN's by their marks or by their names.
    own: Vec<&'p BridgeNode>,
}

impl<'p> Parts<'p> {
    /// The bridge that the VLAN has, or had.
    fn bridge(&self) -> Option<&'p BridgeNode> {
        self.inner.map(|(bridge, _)| bridge).or(self.own.first().copied())
    }
}

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let mut vlans: BTreeMap<i64, Parts<'_>> = BTreeMap::new();
    for bridge in &examination.topology.bridges {
        if let Some(vlan) = vlan_of(bridge) {
            vlans.entry(vlan).or_default().own.push(bridge);
        }
        for port in &bridge.ports {
            match part(&port.name) {
                Some((vlan, End::Outer)) => vlans.entry(vlan).or_default().outer = Some((bridge, port)),
                Some((vlan, End::Inner)) => vlans.entry(vlan).or_default().inner = Some((bridge, port)),
                None => {}
            }
        }
    }
    for (vlan, parts) in &vlans {
        let bridge = parts.bridge();
        // One of its own has the ports, or will get them again.
        for other in parts.own.iter().filter(|other| bridge.is_some_and(|bridge| bridge.name != other.name)) {
            let bridge = bridge.map_or("", |bridge| &bridge.name);
            let message = format!(
                "bridge {} is that of VLAN {vlan} as well, by its mark or its name, and is not joined to it: bridge {bridge} is",
                other.name
            );
            let advice = format!("If nothing uses it, remove it: ovs-plugin bridge-del --bridge {}", other.name);
            findings.add_advising(&INCOMPLETE, About::bridge(&other.name), message, advice);
        }
        let problems = problems(*vlan, parts);
        if problems.is_empty() {
            continue;
        }
        let about = bridge.or(parts.outer.map(|(bridge, _)| bridge)).map(|bridge| About::bridge(&bridge.name));
        let master = parts.outer.map_or("MASTER", |(bridge, _)| &bridge.name);
        let name = bridge.map(|bridge| format!(", \"name\": \"{}\"", bridge.name)).unwrap_or_default();
        let which =
            if parts.outer.is_none() { ", with the name of the bridge that carries the VLAN as MASTER" } else { "" };
        let advice = format!(
            "Complete it: ovs-plugin vlan-ensure '{{\"master\": \"{master}\", \"vlan\": {vlan}{name}}}'{which}"
        );
        let message = format!("the bridge of VLAN {vlan} is incomplete: {}", problems.join("; "));
        findings.add_advising(&INCOMPLETE, about.unwrap_or_default(), message, advice);
    }
}

fn vlan_of(bridge: &BridgeNode) -> Option<i64> {
    let marked = bridge.mark.as_deref().and_then(Network::marked);
    match marked {
        Some(Network::Vlan(vlan)) => Some(vlan),
        Some(_) => None,
        None => {
            let vlan: i64 = bridge.name.strip_prefix("vlbr")?.parse().ok()?;
            (Network::Vlan(vlan).default_bridge() == bridge.name).then_some(vlan)
        }
    }
}

fn problems(vlan: i64, parts: &Parts<'_>) -> Vec<String> {
    let (outer_name, inner_name) = network::patch_names(vlan);
    let mut problems = Vec::new();
    match parts.outer {
        None => problems.push(format!("the master has no port {outer_name}")),
        Some((master, port)) => {
            let tag = Some(vlan).filter(|vlan| *vlan != 0).or(master.parent.as_ref().map(|parent| parent.vlan));
            end(&mut problems, port, &inner_name, tag);
        }
    }
    match parts.inner {
        None => problems.push(match parts.bridge() {
            Some(bridge) => format!("bridge {} has no port {inner_name}", bridge.name),
            None => format!("there is no bridge with the port {inner_name}"),
        }),
        Some((bridge, port)) => {
            end(&mut problems, port, &outer_name, bridge.parent.as_ref().map(|parent| parent.vlan));
        }
    }
    if let (Some((master, _)), Some((bridge, _))) = (parts.outer, parts.inner)
        && master.datapath_type != bridge.datapath_type
    {
        problems.push(format!(
            "bridge {} has the datapath type {}, its master {} has {}",
            bridge.name, bridge.datapath_type, master.name, master.datapath_type
        ));
    }
    problems
}

/// What is wrong with one end.
fn end(problems: &mut Vec<String>, port: &PortNode, peer: &str, tag: Option<i64>) {
    let name = &port.name;
    match port.interfaces.as_slice() {
        [interface] if interface.r#type == "patch" => {
            let found = interface.patch.as_ref().map_or("nothing", |patch| patch.peer.as_str());
            if found != peer {
                problems.push(format!("port {name} leads to {found} instead of {peer}"));
            }
        }
        _ => problems.push(format!("port {name} is no patch port")),
    }
    let vlan = |tag: Option<i64>| tag.map_or("no VLAN".into(), |tag| format!("VLAN {tag}"));
    if port.tag != tag {
        problems.push(format!("port {name} is on {} instead of {}", vlan(port.tag), vlan(tag)));
    }
    if port.vlan_mode.is_some() || !port.trunks.is_empty() {
        problems.push(format!("port {name} has a VLAN mode or trunks of its own"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_parts() {
        assert_eq!(part("vlbr5p"), Some((5, End::Outer)));
        assert_eq!(part("vlbr2313in"), Some((2313, End::Inner)));
        for other in ["vlbr05p", "vlbrp", "vlbrin", "vlbr5", "vlbr5inp", "xvlbr5p"] {
            assert_eq!(part(other), None, "{other}");
        }
    }
}
