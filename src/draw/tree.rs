//! `ovs-plugin show` on a terminal: the switch as a tree, errors in red and behind a cross, warnings in yellow.

use std::fmt::Write;

use super::problems;
use super::style::{ERROR, FAINT, GOOD, STRONG, VLAN, paint, printable};
use crate::vswitch::topology::{BridgeNode, InterfaceNode, NetworkKind, PortNode, Topology};

/// Draws the tree.
pub fn draw(topology: &Topology) -> String {
    let mut page = String::new();
    let version = topology.ovs_version.as_deref().map(|version| format!(" {}", printable(version))).unwrap_or_default();
    let configuration = match topology.cur_cfg < topology.next_cfg {
        true => format!("configuration {} of {}", topology.cur_cfg, topology.next_cfg),
        false => format!("configuration {}", topology.cur_cfg),
    };
    let mut words = vec![paint(STRONG, format!("Open vSwitch{version}")), paint(FAINT, configuration)];
    let managers = topology.managers.iter().map(|manager| format!("manager {}", printable(&manager.target)));
    words.extend(managers.map(|manager| paint(FAINT, manager)));
    words.extend(problems::words(&topology.problems));
    line(&mut page, "", &words);
    for row in &topology.unreadable {
        line(&mut page, "", &[paint(ERROR, format!("✗ a row can't be read: {}", printable(row)))]);
    }
    if topology.bridges.is_empty() {
        line(&mut page, "", &[paint(FAINT, "no bridges")]);
    }
    for bridge in &topology.bridges {
        line(&mut page, "", &bridge_words(bridge));
        branches(&mut page, "", &bridge.ports, port);
    }
    page
}

fn line(page: &mut String, indent: &str, words: &[String]) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "{indent}{}", words.join("  "));
}

/// Draws each element as a branch; `draw` gets the indentation of its line and that of what is below.
fn branches<T>(page: &mut String, indent: &str, elements: &[T], draw: fn(&mut String, &str, &str, &T)) {
    for (number, element) in elements.iter().enumerate() {
        let (here, below) = if number + 1 == elements.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(page, &format!("{indent}{here}"), &format!("{indent}{below}"), element);
    }
}

fn bridge_words(bridge: &BridgeNode) -> Vec<String> {
    let mut words = vec![paint(STRONG, printable(&bridge.name))];
    let mut details = vec![bridge.datapath_type.clone()];
    details.extend(bridge.fail_mode.clone());
    details.extend(bridge.stp.then(|| "stp".into()));
    details.extend(bridge.rstp.then(|| "rstp".into()));
    details.extend(bridge.controllers.iter().map(|controller| format!("controller {}", controller.target)));
    words.push(paint(FAINT, printable(&details.join(", "))));
    if let Some(parent) = &bridge.parent {
        words.push(paint(VLAN, format!("VLAN {} of {}", parent.vlan, printable(&parent.bridge))));
    }
    if let Some(network) = &bridge.network {
        words.push(paint(
            VLAN,
            match (network.kind, &network.master) {
                (NetworkKind::Vlan, Some(master)) => format!("VLAN {} of {}", network.id, printable(master)),
                (NetworkKind::Vlan, None) => format!("VLAN {}", network.id),
                (NetworkKind::Vxlan, _) => match over(bridge) {
                    Some(device) => format!("VXLAN {} over {}", network.id, printable(device)),
                    None => format!("VXLAN {}", network.id),
                },
            },
        ));
    }
    words.extend(bridge.mark.as_ref().map(|_| paint(FAINT, "(ovs-plugin)")));
    words.extend(problems::words(&bridge.problems));
    words
}

/// The device that a bridge's VXLAN device runs over.
fn over(bridge: &BridgeNode) -> Option<&str> {
    bridge.ports.iter().flat_map(|port| &port.interfaces).find_map(|interface| interface.over.as_deref())
}

fn port(page: &mut String, here: &str, below: &str, port: &PortNode) {
    let mut words = vec![printable(&port.name)];
    words.extend(port.tag.map(|tag| paint(VLAN, format!("VLAN {tag}"))));
    if !port.trunks.is_empty() {
        words.push(paint(VLAN, format!("trunks {}", ranges(&port.trunks))));
    }
    words.extend(port.vlan_mode.as_ref().map(|mode| paint(VLAN, printable(mode))));
    if let Some(bond) = &port.bond {
        let active = bond.active_member.as_ref().map(|member| format!(", active {member}")).unwrap_or_default();
        let lacp = if bond.lacp == "off" { String::new() } else { format!(", LACP {}", bond.lacp) };
        words.push(paint(FAINT, printable(&format!("bond {}{lacp}{active}", bond.mode))));
    }
    if let Some(tree) = &port.spanning_tree {
        words.push(paint(FAINT, printable(&format!("{} {}", tree.role, tree.state))));
    }
    words.extend(problems::words(&port.problems));
    // Mostly there is one, of the port's name, and no need for a line of its own.
    match port.interfaces.as_slice() {
        [only] if only.name == port.name => {
            words.extend(interface_words(only));
            line(page, here, &words);
        }
        interfaces => {
            line(page, here, &words);
            branches(page, below, interfaces, |page, here, _, interface| {
                let mut words = vec![printable(&interface.name)];
                words.extend(interface_words(interface));
                line(page, here, &words);
            });
        }
    }
}

fn interface_words(interface: &InterfaceNode) -> Vec<String> {
    let mut words = Vec::new();
    words.extend((interface.r#type != "system").then(|| printable(&interface.r#type)));
    if let Some(tunnel) = &interface.tunnel {
        let vni = tunnel.vni.as_ref().map(|vni| format!("VNI {vni}"));
        let remote = tunnel.remote.as_ref().map(|remote| format!("→ {remote}"));
        words.push(printable(&[vni, remote].into_iter().flatten().collect::<Vec<_>>().join(" ")));
    }
    if let Some(patch) = &interface.patch {
        let on = patch.bridge.as_ref().map(|bridge| format!(" on {bridge}")).unwrap_or_default();
        words.push(printable(&format!("→ {}{on}", patch.peer)));
    }
    // What the database tells of one that does not work may be from before.
    let works = !problems::has_error(&interface.problems);
    if let Some(number) = interface.ofport.filter(|number| *number >= 0 && works) {
        words.push(paint(FAINT, format!("#{number}")));
    }
    if let Some(state) = interface.link_state.as_ref().filter(|_| interface.patch.is_none() && works) {
        let is_well = state == "up" && interface.problems.is_empty();
        words.push(paint(if is_well { GOOD } else { FAINT }, printable(state)));
    }
    words.extend(interface.mtu.map(|mtu| paint(FAINT, format!("MTU {mtu}"))));
    if interface.patch.is_none() {
        words.extend(interface.mac.as_ref().map(|mac| paint(FAINT, printable(mac))));
    }
    words.extend(problems::words(&interface.problems));
    words
}

/// `1-3,7` for 1, 2, 3, 7.
pub fn ranges(numbers: &[i64]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |&(first, last): &(i64, i64)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(ranges(&[7, 1, 2, 3, 9, 10]), "1-3,7,9-10");
        assert_eq!(ranges(&[0]), "0");
    }
}
