//! Datapaths: whether there are those that bridges ask for.

use super::{About, Code, Examination, Findings, Severity};
use crate::vswitch::topology::BridgeNode;

pub(super) const MODULE_MISSING: Code = Code {
    name: "kernel-module-missing",
    severity: Severity::Error,
    meaning: "The bridge uses the kernel's datapath, and the kernel does not have it. None of its ports work.",
    advice: "Load the kernel module openvswitch (`modprobe openvswitch`) and restart ovs-vswitchd, or set the bridge's \
             datapath_type to netdev.",
};

pub(super) const UNKNOWN: Code = Code {
    name: "datapath-unknown",
    severity: Severity::Error,
    meaning: "ovs-vswitchd does not know the bridge's datapath type, so none of its ports work.",
    advice: "Set the bridge's datapath_type to one that ovs-vswitchd knows (column datapath_types of Open_vSwitch).",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for bridge in examination.topology.bridges.iter().filter(|bridge| bridge.parent.is_none()) {
        let about = About::bridge(&bridge.name);
        if lacks_module(examination, bridge) {
            let message = format!("bridge {} needs the kernel module openvswitch, which is not loaded", bridge.name);
            findings.add(&MODULE_MISSING, about, message);
        } else if is_unknown(examination, bridge) {
            let known = examination.datapath_types.join(", ");
            let message = format!(
                "bridge {} has the datapath type {:?}; ovs-vswitchd knows {known}",
                bridge.name, bridge.datapath_type
            );
            findings.add(&UNKNOWN, about, message);
        }
    }
}

/// Whether a bridge can't work because of its datapath, so that nothing needs to be said of its ports.
pub(super) fn is_unusable(examination: &Examination, bridge: &BridgeNode) -> bool {
    lacks_module(examination, bridge) || is_unknown(examination, bridge)
}

fn lacks_module(examination: &Examination, bridge: &BridgeNode) -> bool {
    bridge.datapath_type == "system" && examination.kernel.as_ref().is_some_and(|kernel| !kernel.has_datapath)
}

fn is_unknown(examination: &Examination, bridge: &BridgeNode) -> bool {
    let known = &examination.datapath_types;
    !known.is_empty() && !known.contains(&bridge.datapath_type)
}
