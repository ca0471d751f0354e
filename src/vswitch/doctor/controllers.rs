//! OpenFlow controllers.

use super::{About, Code, Examination, Findings, Severity};

pub(super) const AWAY: Code = Code {
    name: "controller-away",
    severity: Severity::Warning,
    meaning: "The bridge is not connected to its controller. With fail_mode secure it forwards nothing new; otherwise it \
              forwards as an ordinary switch does.",
    advice: "Look whether the controller runs and can be reached, or remove it: `ovs-vsctl del-controller BRIDGE`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for bridge in examination.picture.bridges.iter().filter(|bridge| bridge.parent.is_none()) {
        // Passive ones, like ptcp:, wait for somebody to come.
        let away = bridge.controllers.iter().filter(|remote| !remote.connected && !remote.target.starts_with('p'));
        for controller in away {
            let message = format!("bridge {} is not connected to {}", bridge.name, controller.target);
            findings.add(&AWAY, About::bridge(&bridge.name), message);
        }
    }
}
