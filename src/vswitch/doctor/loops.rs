//! Rings of bridges and patch ports.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::examination::Place;
use super::wire::{VLANS, Vlans, Wire};
use super::{Code, Examination, Findings, Severity, list};

pub(super) const RISK: Code = Code {
    name: "loop-risk",
    severity: Severity::Warning,
    meaning: "Bridges are joined in a ring by patch ports, and no spanning tree runs on them. If they forward as \
              ordinary switches do (NORMAL), a broadcast goes round for ever.",
    advice: "Remove one of the patches of the ring. A spanning tree breaks rings as well, but has to be on before they \
             are closed.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let patches = examination.patches();
    let mut places: Vec<[&Place<'_>; 2]> = patches
        .values()
        .filter_map(|place| {
            let other = patches.get(place.peer()?)?;
            let name = place.interface.name.as_str();
            // Each pair once, and only if both agree. In a bond, a broadcast is sent through one member only.
            let is_pair = other.peer() == Some(name)
                && name < other.interface.name.as_str()
                && other.bridge.datapath_type == place.bridge.datapath_type
                && [place, other].iter().all(|end| end.port.interfaces.len() == 1 && forwards_blindly(end));
            is_pair.then_some([place, other])
        })
        .collect();
    places.sort_by(|[one, _], [other, _]| one.interface.name.cmp(&other.interface.name));
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut joints = Vec::new();
    for ends in &places {
        let bridges = ends.map(|end| {
            let next = numbers.len();
            *numbers.entry(real(end)).or_insert(next)
        });
        joints.push(Joint { bridges, wires: ends.map(|end| Wire::of(end.port)) });
    }
    for ring in rings(&joints) {
        let of_ring: Vec<&[&Place<'_>; 2]> = ring.joints.iter().filter_map(|joint| places.get(*joint)).collect();
        let (Some([first, _]), Some([last, _])) = (of_ring.first(), of_ring.last()) else { continue };
        let mut bridges: Vec<&str> =
            of_ring.iter().flat_map(|ends| ends.iter().map(|end| end.bridge.name.as_str())).collect();
        bridges.sort_unstable();
        bridges.dedup();
        let pairs: Vec<String> =
            of_ring.iter().map(|[one, other]| format!("{} to {}", one.interface.name, other.interface.name)).collect();
        let vlans = match ring.vlans.as_slice() {
            [0] => format!("frames without a VLAN of bridge {}", real(first)),
            [vlan] => format!("VLAN {vlan} of bridge {}", real(first)),
            vlans if vlans.len() == VLANS => format!("all VLANs of bridge {}", real(first)),
            vlans => format!("{} VLANs of bridge {}", vlans.len(), real(first)),
        };
        let (bridges, pairs) = (list(bridges), list(pairs.iter().map(String::as_str)));
        let message = format!("patch ports join bridges in a ring for {vlans}: {bridges} by {pairs}");
        findings.add(&RISK, last.about(), message);
    }
}

/// With a controller in charge it is not NORMAL that forwards, and a spanning tree breaks rings.
fn forwards_blindly(place: &Place<'_>) -> bool {
    !place.bridge.stp && !place.bridge.rstp && place.bridge.fail_mode.as_deref() != Some("secure")
}

/// The real bridge of a port on a VLAN bridge of ovs-vsctl.
fn real<'p>(place: &Place<'p>) -> &'p str {
    place.bridge.parent.as_ref().map_or(&place.bridge.name, |parent| &parent.bridge)
}

/// A pair of patch ports that name each other.
#[derive(Clone, Debug)]
struct Joint {
    /// The bridges of its ends, as numbers.
    bridges: [usize; 2],
    /// What its ends make of VLANs.
    wires: [Wire; 2],
}

/// Pairs of patch ports around which frames go for ever.
#[derive(Debug)]
struct Ring {
    /// The pairs, by their places.
    joints: Vec<usize>,
    /// The VLANs of such frames, as the bridge of the first pair's first end sees them.
    vlans: Vec<u16>,
}

/// Finds the rings.
///
/// A frame on its way is in a state: the pair that it passes, in which direction, and the VLAN that it came from. A bridge
/// that forwards blindly sends it on through all other ports of its VLAN, and never back through the one it came in by.
/// So frames go round for ever exactly if there is a cycle of states, which is what is looked for.
///
/// VLANs that all pairs treat alike are one class, so that 4096 of them cost no more than the few that differ.
fn rings(joints: &[Joint]) -> Vec<Ring> {
    let core = core(joints);
    let classes = Classes::of(core.iter().filter_map(|joint| joints.get(*joint)));
    let states = States::of(joints, &core, &classes);
    states.rings(&classes)
}

/// Takes away, again and again, the pairs that lead to a bridge without another pair: what goes there does not come back.
/// On a switch with a bridge for each VLAN that leaves nothing.
fn core(joints: &[Joint]) -> Vec<usize> {
    let mut of_bridge: BTreeMap<usize, HashSet<usize>> = BTreeMap::new();
    for (place, joint) in joints.iter().enumerate() {
        joint.bridges.iter().for_each(|bridge| {
            of_bridge.entry(*bridge).or_default().insert(place);
        });
    }
    let is_circle = |place: &usize| joints.get(*place).is_some_and(|joint| joint.bridges[0] == joint.bridges[1]);
    let mut ends: Vec<usize> = of_bridge.keys().copied().collect();
    while let Some(bridge) = ends.pop() {
        let Some(places) = of_bridge.get(&bridge) else { continue };
        let Some(place) = places.iter().next().copied().filter(|place| places.len() == 1 && !is_circle(place)) else {
            continue;
        };
        let others = joints.get(place).map(|joint| joint.bridges).unwrap_or_default();
        for bridge in others {
            of_bridge.entry(bridge).or_default().remove(&place);
            ends.push(bridge);
        }
    }
    let left: HashSet<usize> = of_bridge.into_values().flatten().collect();
    (0..joints.len()).filter(|place| left.contains(place)).collect()
}

/// The VLANs, in classes of those that no pair tells apart.
struct Classes {
    /// The class of each VLAN.
    of_vlan: Vec<usize>,
    /// The VLANs of each class.
    vlans: Vec<Vec<u16>>,
}

impl Classes {
    fn of<'j>(joints: impl Iterator<Item = &'j Joint>) -> Classes {
        let mut special = HashSet::from([0]);
        let mut sets: HashSet<&Vlans> = HashSet::new();
        for wire in joints.flat_map(|joint| &joint.wires) {
            special.extend(wire.special());
            sets.extend(wire.trunks());
        }
        let mut of_vlan = vec![0; VLANS];
        // Each set divides the classes that there are in two: what is in it, and what is not.
        for set in sets {
            let mut numbers: HashMap<(usize, bool), usize> = HashMap::new();
            for (vlan, class) in (0..).zip(&mut of_vlan) {
                let next = numbers.len();
                *class = *numbers.entry((*class, set.contains(vlan))).or_insert(next);
            }
        }
        let mut numbers: HashMap<(usize, Option<u16>), usize> = HashMap::new();
        let mut vlans: Vec<Vec<u16>> = Vec::new();
        for (vlan, class) in (0..).zip(&mut of_vlan) {
            let next = numbers.len();
            *class = *numbers.entry((*class, special.get(&vlan).copied())).or_insert(next);
            if *class == vlans.len() {
                vlans.push(Vec::new());
            }
            vlans[*class].push(vlan);
        }
        Classes { of_vlan, vlans }
    }

    /// The classes of which some may pass from one wire to another. An access port has one VLAN; from any other port to
    /// one, only what has no tag passes.
    fn between(&self, [from, to]: [&Wire; 2]) -> Vec<usize> {
        let mut vlans = match (from, to) {
            (Wire::Access(vlan), _) => vec![*vlan],
            (_, Wire::Access(_)) => [0].into_iter().chain(from.special()).collect(),
            _ => return (0..self.vlans.len()).collect(),
        };
        vlans.dedup();
        vlans.iter().filter_map(|vlan| self.of_vlan.get(usize::from(*vlan)).copied()).collect()
    }
}

/// A frame on its way; see [`rings`].
#[derive(Clone, Copy, Debug)]
struct State {
    joint: usize,
    /// The end that it leaves through, the other being that which it comes in by.
    end: usize,
    /// The class of its VLAN where it comes from.
    class: usize,
    /// The bridge and the class where it goes to.
    to: (usize, usize),
}

/// All states, and which can follow upon which: edges of a graph whose nodes are the states, and helpers. From a bridge
/// with many ports each state leads to all but one of the same states. Rather than an edge for each, there is one to a chain
/// of helpers that leads to those before it, and one to a chain that leads to those behind it.
struct States {
    states: Vec<State>,
    edges: Vec<Vec<usize>>,
}

impl States {
    fn of(joints: &[Joint], core: &[usize], classes: &Classes) -> States {
        let mut states = Vec::new();
        // By bridge and class: the states that leave there.
        let mut leaving: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for &place in core {
            let Some(joint) = joints.get(place) else { continue };
            for (end, other) in [(0, 1), (1, 0)] {
                let wires = [&joint.wires[end], &joint.wires[other]];
                for class in classes.between(wires) {
                    let vlan = classes.vlans.get(class).and_then(|vlans| vlans.first());
                    let vlan = vlan.and_then(|vlan| wires[1].admit(wires[0].emit(*vlan)?));
                    let Some(to) = vlan.and_then(|vlan| classes.of_vlan.get(usize::from(vlan))) else { continue };
                    leaving.entry((joint.bridges[end], class)).or_default().push(states.len());
                    states.push(State { joint: place, end, class, to: (joint.bridges[other], *to) });
                }
            }
        }
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); states.len()];
        // By bridge and class: the first helpers of both chains.
        let mut chains: HashMap<(usize, usize), (usize, usize)> = HashMap::new();
        // By bridge, class and port: the place among the states that leave there.
        let mut places: HashMap<(usize, usize, usize, usize), usize> = HashMap::new();
        for (&(bridge, class), leaving) in &leaving {
            let before = edges.len();
            let behind = before + leaving.len();
            edges.resize_with(behind + leaving.len(), Vec::new);
            for (place, &state) in leaving.iter().enumerate() {
                // Of the one chain, each helper leads to its state and to the helper before; of the other, behind.
                edges[before + place].push(state);
                edges[behind + place].push(state);
                if place > 0 {
                    edges[before + place].push(before + place - 1);
                    edges[behind + place - 1].push(behind + place);
                }
                places.insert((bridge, class, states[state].joint, states[state].end), place);
            }
            chains.insert((bridge, class), (before, behind));
        }
        for (number, state) in states.iter().enumerate() {
            let Some((before, behind)) = chains.get(&state.to) else { continue };
            let count = leaving.get(&state.to).map_or(0, Vec::len);
            // The port that it comes in by is that through which the state in the other direction leaves.
            let (bridge, class) = state.to;
            match places.get(&(bridge, class, state.joint, 1 - state.end)) {
                Some(place) => {
                    edges[number].extend((*place > 0).then(|| before + place - 1));
                    edges[number].extend((place + 1 < count).then(|| behind + place + 1));
                }
                None => edges[number].push(*behind),
            }
        }
        States { states, edges }
    }

    fn rings(&self, classes: &Classes) -> Vec<Ring> {
        let mut groups = Groups::default();
        let mut on_cycles: Vec<&State> = Vec::new();
        for component in components(&self.edges) {
            let of_component: Vec<&State> = component.iter().filter_map(|node| self.states.get(*node)).collect();
            // A state that follows upon itself does so by way of a helper.
            if component.len() > 1 {
                of_component.windows(2).for_each(|pair| groups.join(pair[0].joint, pair[1].joint));
                on_cycles.extend(of_component);
            }
        }
        let mut rings: BTreeMap<usize, Vec<&State>> = BTreeMap::new();
        for state in on_cycles {
            rings.entry(groups.root(state.joint)).or_default().push(state);
        }
        let rings = rings.into_values().map(|states| {
            let mut joints: Vec<usize> = states.iter().map(|state| state.joint).collect();
            joints.sort_unstable();
            joints.dedup();
            // One direction may be closed to some VLANs.
            let of_first = states.iter().filter(|state| joints.first() == Some(&state.joint));
            let classes_of_first = of_first.map(|state| if state.end == 0 { state.class } else { state.to.1 });
            let vlans = classes_of_first.filter_map(|class| classes.vlans.get(class)).flatten();
            let mut vlans: Vec<u16> = vlans.copied().collect();
            vlans.sort_unstable();
            vlans.dedup();
            Ring { joints, vlans }
        });
        let mut rings: Vec<Ring> = rings.collect();
        rings.sort_by(|one, other| one.joints.cmp(&other.joints));
        rings
    }
}

/// Which numbers belong together: a forest, each tree of which is a group.
#[derive(Default)]
struct Groups(HashMap<usize, usize>);

impl Groups {
    fn root(&mut self, number: usize) -> usize {
        let mut node = number;
        while let Some(parent) = self.0.get(&node).copied().filter(|parent| *parent != node) {
            node = parent;
        }
        // Shortens the way for the next one.
        if node != number {
            self.0.insert(number, node);
        }
        node
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0.insert(one.max(other), one.min(other));
    }
}

/// The strongly connected components of a graph, by Tarjan's algorithm. It keeps its own stack, as a graph may be deep.
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut order = vec![UNSEEN; edges.len()];
    let mut low = vec![UNSEEN; edges.len()];
    let mut is_open = vec![false; edges.len()];
    let (mut next, mut open, mut found) = (0, Vec::new(), Vec::new());
    for start in 0..edges.len() {
        if order[start] != UNSEEN {
            continue;
        }
        // A node, and how many of its edges have been followed.
        let mut way = vec![(start, 0)];
        while let Some((node, followed)) = way.pop() {
            if followed == 0 {
                (order[node], low[node]) = (next, next);
                next += 1;
                open.push(node);
                is_open[node] = true;
            }
            if let Some(&to) = edges[node].get(followed) {
                way.push((node, followed + 1));
                if order[to] == UNSEEN {
                    way.push((to, 0));
                } else if is_open[to] {
                    low[node] = low[node].min(order[to]);
                }
                continue;
            }
            if let Some((parent, _)) = way.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == order[node] {
                let place = open.iter().rposition(|other| *other == node).unwrap_or_default();
                let component = open.split_off(place);
                component.iter().for_each(|node| is_open[*node] = false);
                found.push(component);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::vswitch::topology::PortNode;

    fn wire(tag: Option<i64>, trunks: &[i64], mode: Option<&str>) -> Wire {
        let port = serde_json::json!({"name": "p", "tag": tag, "trunks": trunks, "vlan_mode": mode, "interfaces": []});
        Wire::of(&serde_json::from_value::<PortNode>(port).unwrap())
    }

    fn joint(bridges: [usize; 2], wires: [Wire; 2]) -> Joint {
        Joint { bridges, wires }
    }

    fn access(tag: i64) -> Wire {
        wire(Some(tag), &[], None)
    }

    fn trunk(trunks: &[i64]) -> Wire {
        wire(None, trunks, None)
    }

    /// Where a frame is, its VLAN, and the port that it came in by.
    type Frame = (usize, u16, Option<(usize, usize)>);

    /// Sends a frame of each VLAN from each bridge, and looks whether some of it still goes round after more hops than
    /// there are ways to be on. Independent of how rings are found.
    fn storms(joints: &[Joint], vlans: &[u16]) -> bool {
        let bridges: HashSet<usize> = joints.iter().flat_map(|joint| joint.bridges).collect();
        let hops = 2 * joints.len() * vlans.len() + 1;
        bridges.iter().any(|bridge| {
            vlans.iter().any(|vlan| {
                let mut frames: HashSet<Frame> = HashSet::from([(*bridge, *vlan, None)]);
                for _ in 0..hops {
                    let mut next = HashSet::new();
                    for (bridge, vlan, from) in frames {
                        for (place, joint) in joints.iter().enumerate() {
                            for end in [0, 1] {
                                let is_port = joint.bridges[end] == bridge && from != Some((place, end));
                                let tag = joint.wires[end].emit(vlan).filter(|_| is_port);
                                let vlan = tag.and_then(|tag| joint.wires[1 - end].admit(tag));
                                next.extend(vlan.map(|vlan| (joint.bridges[1 - end], vlan, Some((place, 1 - end)))));
                            }
                        }
                    }
                    frames = next;
                }
                !frames.is_empty()
            })
        })
    }

    fn any_wire() -> impl Strategy<Value = Wire> {
        let ids = || prop::collection::btree_set(0..5i64, 0..3);
        let mode = prop::option::of(prop::sample::select(vec![
            "access",
            "trunk",
            "native-tagged",
            "native-untagged",
            "dot1q-tunnel",
        ]));
        (prop::option::of(0..5i64), ids(), mode)
            .prop_map(|(tag, trunks, mode)| wire(tag, &trunks.into_iter().collect::<Vec<_>>(), mode))
    }

    fn any_joint() -> impl Strategy<Value = Joint> {
        ([0..3usize, 0..3usize], [any_wire(), any_wire()]).prop_map(|(bridges, wires)| joint(bridges, wires))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn there_is_a_ring_exactly_if_a_broadcast_goes_round_for_ever(joints in prop::collection::vec(any_joint(), 0..6)) {
            // 4095 stands for all that no port names.
            let vlans = [0, 1, 2, 3, 4, 4095];
            let found = rings(&joints);
            prop_assert_eq!(!found.is_empty(), storms(&joints, &vlans), "{:?}", found);
            // Each ring goes round by itself, and without the rings nothing does.
            for ring in &found {
                let of_ring: Vec<Joint> = ring.joints.iter().map(|place| joints[*place].clone()).collect();
                prop_assert!(storms(&of_ring, &vlans), "{:?}", ring);
                prop_assert!(!ring.vlans.is_empty());
            }
            let in_rings: HashSet<usize> = found.iter().flat_map(|ring| ring.joints.clone()).collect();
            let others: Vec<Joint> =
                joints.iter().enumerate().filter(|(place, _)| !in_rings.contains(place)).map(|(_, j)| j.clone()).collect();
            prop_assert!(!storms(&others, &vlans));
        }
    }

    #[test]
    fn rings_are_told_by_vlan() {
        let pair = |one: Wire, other: Wire| joint([0, 1], [one, other]);
        for (what, joints, expected) in [
            ("a trunk and a VLAN", vec![pair(trunk(&[]), trunk(&[])), pair(access(10), access(10))], Some(vec![10])),
            ("VLANs that differ", vec![pair(access(10), access(10)), pair(access(11), access(11))], None),
            ("a trunk of others", vec![pair(trunk(&[11, 12]), trunk(&[])), pair(access(10), access(10))], None),
            ("one vlan-ensure", vec![pair(access(10), trunk(&[]))], None),
            ("two onto one bridge", vec![pair(access(10), trunk(&[])), pair(access(11), trunk(&[]))], None),
            (
                "two onto one bridge, and a way between their VLANs",
                vec![
                    pair(access(10), trunk(&[])),
                    pair(access(11), trunk(&[])),
                    joint([0, 0], [access(10), access(11)]),
                ],
                Some(vec![10]),
            ),
            ("the same VLAN twice", vec![pair(access(10), trunk(&[])), pair(access(10), trunk(&[]))], Some(vec![10])),
            ("a patch onto its own bridge", vec![joint([0, 0], [access(10), access(11)])], None),
            ("a patch onto its own VLAN", vec![joint([0, 0], [access(10), access(10)])], Some(vec![10])),
        ] {
            let found = rings(&joints);
            assert_eq!(found.first().map(|ring| ring.vlans.clone()), expected, "{what}: {found:?}");
        }
        let all = rings(&[pair(trunk(&[]), trunk(&[])), pair(trunk(&[]), trunk(&[]))]);
        assert_eq!((all.len(), all[0].vlans.len()), (1, VLANS));
    }

    #[test]
    fn many_vlans_and_many_patches_take_no_time() {
        let started = Instant::now();
        let ensure = |vlan: i64, bridge: usize| joint([0, bridge], [access(vlan), trunk(&[])]);
        let layout: Vec<Joint> = (1..4095).map(|vlan| ensure(vlan, vlan as usize)).collect();
        assert!(rings(&layout).is_empty());
        println!("a bridge for each VLAN: {:?}", started.elapsed());
        let started = Instant::now();
        let onto_one: Vec<Joint> = (1..4095).map(|vlan| ensure(vlan, 1)).collect();
        assert!(rings(&onto_one).is_empty());
        let looped: Vec<Joint> = (1..4095).chain([1]).map(|vlan| ensure(vlan, 1)).collect();
        assert_eq!(rings(&looped).len(), 1);
        println!("all onto one bridge: {:?}", started.elapsed());
    }
}
