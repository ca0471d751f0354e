//! What interfaces ask for and do not have. Commands compare by the same rule after a change, `vswitch/asked.rs`; these
//! requests were met once, or somebody else made them.

use super::{About, Code, Daemon, Examination, Findings, Severity};

pub(super) const NOT_MET: Code = Code {
    name: "request-not-met",
    severity: Severity::Warning,
    meaning: "A port number, an MTU or a MAC address was asked for, and the interface has another one. ovs-vswitchd writes \
              at most a line to its log when it can't do what is asked.",
    advice: "Ask for what can be had, or take the request away: `ofport_request`, `mtu_request` or `mac` of the interface, \
             `other_config:hwaddr` of the bridge.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    // An ovs-vswitchd that has not applied the configuration may still do what is asked.
    let Some(further) = examination.further.as_ref().filter(|_| examination.daemon == Daemon::Well) else { return };
    for (interface, difference) in &further.differences {
        match examination.places().find(|place| place.interface.name == *interface) {
            Some(place) => findings.add(&NOT_MET, place.about(), difference.clone()),
            None => findings.add(&NOT_MET, About { interface: Some(interface), ..About::SWITCH }, difference.clone()),
        }
    }
}
