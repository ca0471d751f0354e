//! OpenFlow controllers and OVSDB managers.

use super::{About, Code, Examination, Findings, Severity};
use crate::vswitch::health;

pub(super) const AWAY: Code = Code {
    name: "controller-away",
    severity: Severity::Warning,
    meaning: "The bridge is not connected to its controller. With fail_mode secure it forwards nothing new; otherwise it \
              forwards as an ordinary switch does.",
    advice: "Look whether the controller runs and can be reached, or remove it: `ovs-vsctl del-controller BRIDGE`.",
};

pub(super) const MANAGER_AWAY: Code = Code {
    name: "manager-away",
    severity: Severity::Warning,
    meaning: "The database server is not connected to its manager, which so can't configure the switch. The switch goes \
              on as it is.",
    advice: "Look whether the manager runs and can be reached, and whether ovsdb-server was told to connect to managers \
             (`--remote=db:Open_vSwitch,Open_vSwitch,manager_options`). Or remove it: `ovs-vsctl del-manager`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for bridge in examination.topology.bridges.iter().filter(|bridge| bridge.parent.is_none()) {
        for controller in bridge.controllers.iter().filter(|remote| health::is_away(&remote.target, remote.connected)) {
            let message = format!("bridge {} is not connected to {}", bridge.name, controller.target);
            findings.add(&AWAY, About::bridge(&bridge.name), message);
        }
    }
    for manager in
        examination.topology.managers.iter().filter(|remote| health::is_away(&remote.target, remote.connected))
    {
        let message = format!("the database server is not connected to the manager {}", manager.target);
        findings.add(&MANAGER_AWAY, About::SWITCH, message);
    }
}
