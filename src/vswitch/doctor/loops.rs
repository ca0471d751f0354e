//! Rings of bridges and patch ports.

use std::collections::HashMap;

use super::examination::Place;
use super::{Code, Examination, Findings, Severity};

pub(super) const RISK: Code = Code {
    name: "loop-risk",
    severity: Severity::Warning,
    meaning: "Bridges are joined in a ring by patch ports, and no spanning tree runs on them. If they forward as \
              ordinary switches do (NORMAL), a broadcast goes round for ever.",
    advice: "Remove one of the patches of the ring, or turn on RSTP on its bridges.",
};

/// Two ends that are the same VLAN of bridges which are joined already close a ring. Rings that change VLANs on the way
/// are not found.
pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let patches = examination.patches();
    let mut rings = Rings::default();
    let mut places: Vec<&Place<'_>> = patches.values().collect();
    places.sort_by(|one, other| one.interface.name.cmp(&other.interface.name));
    for place in places {
        let name = place.interface.name.as_str();
        let Some(other) = place.peer().and_then(|peer| patches.get(peer)) else { continue };
        // Each pair once, and only if both agree.
        if other.peer() != Some(name) || name >= other.interface.name.as_str() {
            continue;
        }
        if !forwards_blindly(place) || !forwards_blindly(other) {
            continue;
        }
        if !rings.join(end(place), end(other)) {
            let message = format!(
                "the patch from {} to {} ({name} to {}) closes a ring",
                place.bridge.name, other.bridge.name, other.interface.name
            );
            findings.add(&RISK, place.about(), message);
        }
    }
}

/// With a controller in charge it is not NORMAL that forwards, and a spanning tree breaks rings.
fn forwards_blindly(place: &Place<'_>) -> bool {
    !place.bridge.stp && !place.bridge.rstp && place.bridge.fail_mode.as_deref() != Some("secure")
}

/// The real bridge, and the VLAN of the port.
fn end<'p>(place: &Place<'p>) -> (&'p str, i64) {
    let bridge = place.bridge.parent.as_ref().map_or(&place.bridge.name, |parent| &parent.bridge);
    (bridge, place.port.tag.unwrap_or(0))
}

/// Which ends are joined already: a forest, each tree of which is what is joined.
#[derive(Default)]
struct Rings<'p> {
    numbers: HashMap<(&'p str, i64), usize>,
    parents: Vec<usize>,
}

impl<'p> Rings<'p> {
    /// Joins two ends; `false` if they were joined before.
    fn join(&mut self, one: (&'p str, i64), other: (&'p str, i64)) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one] = other;
        one != other
    }

    fn root(&mut self, end: (&'p str, i64)) -> usize {
        let next = self.parents.len();
        let mut node = *self.numbers.entry(end).or_insert(next);
        if node == next {
            self.parents.push(next);
        }
        while self.parents[node] != node {
            // Halves the way for the next one.
            self.parents[node] = self.parents[self.parents[node]];
            node = self.parents[node];
        }
        node
    }
}
