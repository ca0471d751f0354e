//! `ovs-plugin show --format dot|mermaid`: bridges and what joins them, for Graphviz and for Markdown pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::problems;
use super::style::printable;
use crate::vswitch::topology::{BridgeNode, Topology};

/// What is drawn, in whatever language.
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

struct Node {
    label: String,
    shape: Shape,
    /// Whether there is a problem with it.
    wrong: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Bridge,
    Port,
    /// The far end of a tunnel.
    Remote,
}

struct Edge {
    ends: [usize; 2],
    label: String,
    /// A VLAN bridge of ovs-vsctl and the bridge that it is a part of.
    part: bool,
}

impl Graph {
    fn of(topology: &Topology) -> Graph {
        let mut graph = Graph { nodes: Vec::new(), edges: Vec::new() };
        let mut bridges: BTreeMap<&str, usize> = BTreeMap::new();
        for bridge in &topology.bridges {
            let label = format!("{}\n{}", bridge.name, bridge.datapath_type);
            let node = graph.node(label, Shape::Bridge, problems::has_error(&bridge.problems));
            bridges.insert(&bridge.name, node);
        }
        // The bridges that devices are ports of, for what runs over them.
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        for bridge in &topology.bridges {
            let Some(&node) = bridges.get(bridge.name.as_str()) else { continue };
            let interfaces = bridge.ports.iter().flat_map(|port| &port.interfaces);
            owners.extend(interfaces.map(|interface| (interface.name.as_str(), node)));
        }
        let mut joined = BTreeSet::new();
        for bridge in &topology.bridges {
            let Some(&node) = bridges.get(bridge.name.as_str()) else { continue };
            if let Some(parent) = &bridge.parent
                && let Some(&parent_node) = bridges.get(parent.bridge.as_str())
            {
                let label = format!("VLAN {}", parent.vlan);
                graph.edges.push(Edge { ends: [parent_node, node], label, part: true });
            }
            graph.ports(bridge, node, &bridges, &owners, &mut joined);
        }
        graph
    }

    fn node(&mut self, label: String, shape: Shape, wrong: bool) -> usize {
        self.nodes.push(Node { label, shape, wrong });
        self.nodes.len() - 1
    }

    fn ports<'p>(
        &mut self,
        bridge: &'p BridgeNode,
        node: usize,
        bridges: &BTreeMap<&str, usize>,
        owners: &BTreeMap<&str, usize>,
        joined: &mut BTreeSet<[&'p str; 2]>,
    ) {
        for port in bridge.ports.iter().filter(|port| port.name != bridge.name) {
            let vlan = port.tag.map(|tag| format!("VLAN {tag}")).unwrap_or_default();
            let wrong = problems::port_has_error(port);
            let patch = port.interfaces.first().and_then(|only| Some((only, only.patch.as_ref()?)));
            // The two ends of a patch are one line between bridges; it is drawn from the end that comes first.
            if let Some((interface, patch)) = patch
                && let Some(&other) = patch.bridge.as_ref().and_then(|bridge| bridges.get(bridge.as_str()))
                && !wrong
            {
                let mut ends = [interface.name.as_str(), patch.peer.as_str()];
                ends.sort_unstable();
                if joined.insert(ends) {
                    self.edges.push(Edge { ends: [node, other], label: vlan, part: false });
                } else if !vlan.is_empty()
                    && let Some(edge) = self.edges.iter_mut().rfind(|edge| edge.ends == [other, node] && !edge.part)
                    && edge.label.is_empty()
                {
                    edge.label = vlan;
                }
                continue;
            }
            let mut label = port.name.clone();
            if let Some(bond) = &port.bond {
                let _ = write!(label, "\n{}", bond.mode);
            }
            let port_node = self.node(label, Shape::Port, wrong);
            self.edges.push(Edge { ends: [node, port_node], label: vlan, part: false });
            for tunnel in port.interfaces.iter().filter_map(|interface| interface.tunnel.as_ref()) {
                let Some(remote) = &tunnel.remote else { continue };
                let remote = self.node(remote.clone(), Shape::Remote, false);
                let label = tunnel.vni.as_ref().map(|vni| format!("VNI {vni}")).unwrap_or_default();
                self.edges.push(Edge { ends: [port_node, remote], label, part: false });
            }
            for device in port.interfaces.iter().filter_map(|interface| interface.over.as_deref()) {
                // Mostly it is the device of a bridge; else one of its ports, or none of the switch.
                let (below, label) = match (bridges.get(device), owners.get(device)) {
                    (Some(bridge), _) => (*bridge, "over".to_owned()),
                    (None, Some(owner)) => (*owner, format!("over {device}")),
                    (None, None) => (self.node(device.to_owned(), Shape::Remote, false), "over".to_owned()),
                };
                self.edges.push(Edge { ends: [port_node, below], label, part: false });
            }
        }
    }
}

/// The switch in the language of Graphviz.
pub fn dot(topology: &Topology) -> String {
    let graph = Graph::of(topology);
    let quoted = |text: &str| {
        let lines: Vec<String> =
            text.split('\n').map(|line| printable(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
        format!("\"{}\"", lines.join("\\n"))
    };
    let mut text = String::from("graph switch {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    for (number, node) in graph.nodes.iter().enumerate() {
        let shape = match node.shape {
            Shape::Bridge => "box, style=bold",
            Shape::Port => "ellipse",
            Shape::Remote => "plaintext",
        };
        let color = if node.wrong { ", color=red, fontcolor=red" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "  n{number} [label={}, shape={shape}{color}];", quoted(&node.label));
    }
    for Edge { ends: [one, other], label, part } in &graph.edges {
        let mut attributes = Vec::new();
        attributes.extend((!label.is_empty()).then(|| format!("label={}", quoted(label))));
        attributes.extend(part.then(|| "style=dashed".to_owned()));
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        let _ = writeln!(text, "  n{one} -- n{other}{attributes};");
    }
    text.push_str("}\n");
    text
}

/// The switch in the language of Mermaid.
pub fn mermaid(topology: &Topology) -> String {
    let graph = Graph::of(topology);
    // Entities, which Mermaid spells with # (mermaid.js.org, "Entity codes to escape characters").
    let quoted = |text: &str| {
        let escape = |line: &str| {
            let mut escaped = String::new();
            for c in printable(line).chars() {
                match c {
                    '"' | '#' | '<' | '>' | '&' | '|' | '`' | ';' => {
                        let _ = write!(escaped, "#{};", u32::from(c));
                    }
                    c => escaped.push(c),
                }
            }
            escaped
        };
        format!("\"{}\"", text.split('\n').map(escape).collect::<Vec<_>>().join("<br>"))
    };
    let mut text = String::from("graph LR\n");
    for (number, node) in graph.nodes.iter().enumerate() {
        let label = quoted(&node.label);
        let _ = match node.shape {
            Shape::Bridge => writeln!(text, "  n{number}[{label}]"),
            Shape::Port => writeln!(text, "  n{number}([{label}])"),
            Shape::Remote => writeln!(text, "  n{number}{{{{{label}}}}}"),
        };
    }
    for Edge { ends: [one, other], label, part } in &graph.edges {
        let line = if *part { "-.-" } else { "---" };
        let label = if label.is_empty() { String::new() } else { format!("|{}|", quoted(label)) };
        let _ = writeln!(text, "  n{one} {line}{label} n{other}");
    }
    let wrong: Vec<String> =
        (0..graph.nodes.len()).filter(|n| graph.nodes[*n].wrong).map(|n| format!("n{n}")).collect();
    if !wrong.is_empty() {
        let _ = writeln!(text, "  classDef wrong stroke:#c00,color:#c00\n  class {} wrong", wrong.join(","));
    }
    text
}
