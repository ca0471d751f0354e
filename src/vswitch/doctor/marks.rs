//! Findings in a topology: what the doctor finds where only the database was read, put where it belongs.

use std::path::Path;

use super::examination::Examination;
use super::{Finding, datapaths, examine, vswitchd};
use crate::vswitch::daemon;
use crate::vswitch::topology::{BridgeNode, Problem, Tables, Topology};
use crate::vswitch::unit::Unit;

/// The topology of a switch with the problems that the database tells. They are the doctor's findings, so `show` and
/// `doctor` can't disagree.
pub fn marked(tables: &Tables) -> Topology {
    let examination = Examination::of_database(tables);
    let findings = examine(&examination).findings;
    // The doctor tells of a bridge without a datapath once. In a topology, each of its ports shows that it does not work.
    let is_dead = |bridge: &BridgeNode| datapaths::is_unusable(&examination, bridge);
    let dead: Vec<bool> = examination.topology.bridges.iter().map(is_dead).collect();
    let mut topology = examination.topology;
    for (bridge, _) in topology.bridges.iter_mut().zip(dead).filter(|(_, dead)| *dead) {
        let message = format!("does not work, as bridge {} has no usable datapath", bridge.name);
        let problem = Problem { code: datapaths::UNKNOWN.name.into(), severity: datapaths::UNKNOWN.severity, message };
        for interface in bridge.ports.iter_mut().flat_map(|port| &mut port.interfaces) {
            interface.problems.push(problem.clone());
        }
    }
    for finding in &findings {
        let problem =
            Problem { code: finding.code.clone(), severity: finding.severity, message: finding.message.clone() };
        place_of(&mut topology, finding).push(problem);
    }
    topology
}

impl Unit<'_> {
    /// Puts into a topology that ovs-vswitchd is gone, if it is and the switch is on this machine: what the database tells of
    /// interfaces is from before then. The doctor asks more.
    pub async fn mark_dead_daemon(&mut self, topology: &mut Topology) {
        let Some(run) = self.settings().socket().and_then(Path::parent).map(Path::to_owned) else { return };
        if let Some(message) = daemon::gone(&run, &self.session.deadline).await {
            topology.problems.retain(|problem| problem.code != vswitchd::BEHIND.name);
            let (code, severity) = (vswitchd::DEAD.name.to_owned(), vswitchd::DEAD.severity);
            topology.problems.insert(0, Problem { code, severity, message });
        }
    }
}

/// The problems of what a finding is about: the smallest part that it names.
fn place_of<'p>(topology: &'p mut Topology, finding: &Finding) -> &'p mut Vec<Problem> {
    let bridge = finding.bridge.as_ref().and_then(|name| position(&topology.bridges, name, |bridge| &bridge.name));
    let Some(bridge) = bridge.and_then(|place| topology.bridges.get_mut(place)) else { return &mut topology.problems };
    let port = finding.port.as_ref().and_then(|name| position(&bridge.ports, name, |port| &port.name));
    let Some(port) = port.and_then(|place| bridge.ports.get_mut(place)) else { return &mut bridge.problems };
    let interface =
        finding.interface.as_ref().and_then(|name| position(&port.interfaces, name, |interface| &interface.name));
    let Some(interface) = interface.and_then(|place| port.interfaces.get_mut(place)) else { return &mut port.problems };
    &mut interface.problems
}

/// The place of what has this name; a topology is sorted by names.
fn position<T>(sorted: &[T], name: &String, of: impl Fn(&T) -> &String) -> Option<usize> {
    sorted.binary_search_by(|element| of(element).cmp(name)).ok()
}
