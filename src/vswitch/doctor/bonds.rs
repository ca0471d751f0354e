//! Bonds: whether members work, and whether there is somebody at the other end.

use super::{About, Code, Examination, Findings, Severity, datapaths, list};
use crate::vswitch::health::{BondHealth, Cause, Down, Health};
use crate::vswitch::topology::PortNode;

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
    advice: "Look at the cable and the device of the member, or replace it (`bond-member-add`, `bond-member-del`). A device \
             that was made anew has to be opened again: `\"reopen\": true` of `port-set`.",
};

pub(super) const NO_PARTNER: Code = Code {
    name: "bond-no-lacp-partner",
    severity: Severity::Error,
    meaning: "The bond speaks LACP and nobody at the other end does, so it carries nothing.",
    advice: "Configure LACP on the switch at the other end, or turn it off here. With `other_config:lacp-fallback-ab` the \
             bond works as active-backup until there is a partner.",
};

pub(super) const FALLBACK: Code = Code {
    name: "bond-lacp-fallback",
    severity: Severity::Warning,
    meaning: "The bond speaks LACP and nobody at the other end does. It works as active-backup meanwhile \
              (`other_config:lacp-fallback-ab`): one member carries everything.",
    advice: "Configure LACP on the switch at the other end, or turn it off here.",
};

pub(super) const ALONE: Code = Code {
    name: "lacp-no-partner",
    severity: Severity::Note,
    meaning: "The port has one interface and speaks LACP, and nobody at the other end does. It carries traffic all the same; \
              the switch at the other end may expect LACP.",
    advice: "Turn LACP on at the other end, or off here.",
};

pub(super) const MEMBER_NO_PARTNER: Code = Code {
    name: "bond-member-no-lacp-partner",
    severity: Severity::Warning,
    meaning: "The member has a link and nobody at its other end speaks LACP, while other members of the bond have a \
              partner. It carries nothing; the others carry its traffic.",
    advice: "Look where the cable leads, and whether the port there is part of the same LACP group.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let patches = examination.patches();
    for bridge in &examination.topology.bridges {
        if datapaths::is_unusable(examination, bridge) {
            continue;
        }
        for port in &bridge.ports {
            let Some(bond) = &port.bond else { continue };
            let about = About::bridge(&bridge.name).port(&port.name);
            let name = &port.name;
            let (members, health) = examination.bond_health(bridge, port, bond, &patches);
            if health == BondHealth::NoMember {
                findings.add(&NO_MEMBER, about, format!("no member of bond {name} works{}", why_each(port, &members)));
                continue;
            }
            for (member, health) in port.interfaces.iter().zip(&members).filter(|(_, health)| !health.passes()) {
                let message = format!("member {} of bond {name} does not work{}", member.name, why(health));
                findings.add(&MEMBER_DOWN, about.interface(&member.name), message);
            }
            let nobody = || format!("bond {name} (LACP {}) has no partner on any member", bond.lacp);
            match health {
                BondHealth::Works | BondHealth::Pending | BondHealth::NoMember => {}
                BondHealth::NoPartner => findings.add(&NO_PARTNER, about, nobody()),
                BondHealth::AloneWithoutPartner => {
                    findings.add(&ALONE, about, format!("port {name} (LACP {}) has no partner", bond.lacp));
                }
                BondHealth::Fallback => {
                    let active = bond.active_member.as_ref().map(|member| format!(", {member} carries its traffic"));
                    findings.add(&FALLBACK, about, nobody() + &active.unwrap_or_default());
                }
                BondHealth::MembersWithoutPartner(places) => {
                    for member in places.iter().filter_map(|place| port.interfaces.get(*place)) {
                        let message = format!("member {} of bond {name} has no LACP partner", member.name);
                        findings.add(&MEMBER_NO_PARTNER, about.interface(&member.name), message);
                    }
                }
            }
        }
    }
}

/// Why the members of a bond do not work, where that is known.
fn why_each(port: &PortNode, members: &[Health<'_>]) -> String {
    let known = port.interfaces.iter().zip(members).filter(|(_, health)| !why(health).is_empty());
    let reasons: Vec<String> = known.map(|(member, health)| format!("{}{}", member.name, why(health))).collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", list(reasons.iter().map(String::as_str))) }
}

/// Why a member does not work, to be put behind that it does not; the check of interfaces tells what is not told here.
fn why(health: &Health<'_>) -> &'static str {
    match health {
        Health::Broken(Cause::DeviceGone) => ": its device is gone",
        Health::Broken(Cause::DeviceReplaced) => ": its device was made anew, and ovs-vswitchd does not read from it",
        Health::Down(Down::NotUp) => ": its device is not set up",
        Health::Down(Down::NoLink) => ": its device has no link",
        _ => "",
    }
}
