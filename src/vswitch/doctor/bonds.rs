//! Bonds: whether members work, and whether there is somebody at the other end.

use super::{About, Code, Daemon, Examination, Findings, Severity, datapaths};
use crate::vswitch::picture::InterfacePicture;

pub(super) const NO_MEMBER: Code = Code {
    name: "bond-no-member",
    severity: Severity::Error,
    meaning: "No member of the bond works, so nothing goes in or out.",
    advice: "Look at the cables and the members' devices; `ovs-appctl bond/show` tells more.",
};

pub(super) const MEMBER_DOWN: Code = Code {
    name: "bond-member-down",
    severity: Severity::Warning,
    meaning: "A member of the bond does not work. The others carry its traffic; the next failure may be the last.",
    advice: "Look at the cable and the device of the member, or replace it (`bond-member-add`, `bond-member-del`).",
};

pub(super) const NO_PARTNER: Code = Code {
    name: "bond-no-lacp-partner",
    severity: Severity::Error,
    meaning: "The bond speaks LACP and nobody at the other end does. Unless lacp_fallback is set, it carries nothing.",
    advice: "Configure LACP on the switch at the other end, or turn it off here.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for bridge in &examination.picture.bridges {
        if datapaths::is_unusable(examination, bridge) || matches!(examination.daemon, Daemon::Dead(_)) {
            continue;
        }
        for port in &bridge.ports {
            let Some(bond) = &port.bond else { continue };
            let about = About::bridge(&bridge.name).port(&port.name);
            let name = &port.name;
            let (working, down): (Vec<_>, Vec<_>) = port.interfaces.iter().partition(|interface| works(interface));
            if working.is_empty() {
                findings.add(&NO_MEMBER, about, format!("no member of bond {name} works"));
                continue;
            }
            for member in down {
                let message = format!("member {} of bond {name} does not work", member.name);
                findings.add(&MEMBER_DOWN, about.interface(&member.name), message);
            }
            let partner = port.interfaces.iter().any(|interface| interface.lacp_current == Some(true));
            if bond.lacp != "off" && !partner {
                let message = format!("bond {name} (LACP {}) has no partner on any member", bond.lacp);
                findings.add(&NO_PARTNER, about, message);
            }
        }
    }
}

fn works(interface: &InterfacePicture) -> bool {
    let is_up = |state: &Option<String>| state.as_deref() != Some("down");
    matches!(interface.ofport, Some(0..)) && is_up(&interface.admin_state) && is_up(&interface.link_state)
}
