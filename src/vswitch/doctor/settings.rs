//! Settings that exclude each other. What they are is told in one place, `vswitch/rules.rs`, which commands ask as well.

use super::{About, Code, Examination, Findings, Severity, vlans};
use crate::vswitch::rules::{self, BridgeSettings, Conflict, Effect};

pub(super) const LOST: Code = Code {
    name: "settings-broken",
    severity: Severity::Error,
    meaning: "Settings that Open vSwitch takes, but with which it carries no traffic.",
    advice: "Change one of the settings that the finding names.",
};

pub(super) const IGNORED: Code = Code {
    name: "settings-ignored",
    severity: Severity::Warning,
    meaning: "Of two settings that exclude each other Open vSwitch ignores one, at most with a line in its log.",
    advice: "Take away the one that is not meant, or set what makes both count.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for bridge in &examination.topology.bridges {
        let about = About::bridge(&bridge.name);
        // A VLAN bridge of ovs-vsctl has the settings of its parent.
        if bridge.parent.is_none() {
            let settings = BridgeSettings { stp: bridge.stp, rstp: bridge.rstp };
            for conflict in rules::of_bridge(settings) {
                add(findings, about, &format!("bridge {}", bridge.name), &conflict);
            }
        }
        // What is wrong with the ports of a VLAN's bridge is told in `vlans.rs`.
        for port in bridge.ports.iter().filter(|port| vlans::part(&port.name).is_none()) {
            let Some(settings) = examination.port_settings.get(&port.name) else { continue };
            for conflict in rules::of_port(settings) {
                add(findings, about.port(&port.name), &format!("port {}", port.name), &conflict);
            }
            for interface in &port.interfaces {
                let about = about.port(&port.name).interface(&interface.name);
                for conflict in rules::of_interface(&interface.r#type, &interface.options) {
                    add(findings, about, &format!("interface {}", interface.name), &conflict);
                }
            }
        }
    }
}

fn add(findings: &mut Findings, about: About<'_>, what: &str, conflict: &Conflict) {
    let code = match conflict.effect {
        Effect::Lost => &LOST,
        Effect::Ignored => &IGNORED,
        // It may be there in advance, and does no harm.
        Effect::Idle => return,
    };
    let message = format!("{what}: {}", conflict.problem);
    findings.add_advising(code, about, message, format!("Set {}.", conflict.expected));
}
