//! Mirrors that mirror nothing.

use super::{About, Code, Examination, Findings, Severity, list};

pub(super) const NO_OUTPUT: Code = Code {
    name: "mirror-no-output",
    severity: Severity::Warning,
    meaning: "The mirror has neither an output port nor an output VLAN, so ovs-vswitchd ignores it. A mirror loses its \
              output port when that port is deleted.",
    advice: "Set output_port or output_vlan of the mirror, or remove it: `ovs-vsctl remove Bridge BRIDGE mirrors UUID`.",
};

pub(super) const NO_SOURCE: Code = Code {
    name: "mirror-no-source",
    severity: Severity::Warning,
    meaning: "The mirror selects no port, so it mirrors nothing. `select_vlan` alone selects nothing: it restricts what \
              the selected ports give. A mirror loses the ports that it selects when they are deleted.",
    advice: "Set select_all, select_src_port or select_dst_port of the mirror, or remove it: `ovs-vsctl remove Bridge \
             BRIDGE mirrors UUID`.",
};

pub(super) const TWO_OUTPUTS: Code = Code {
    name: "mirror-two-outputs",
    severity: Severity::Warning,
    meaning: "The mirror has an output port and an output VLAN, which exclude each other: ovs-vswitchd uses the port and \
              ignores the VLAN.",
    advice: "Take one of them away: `ovs-vsctl clear Mirror UUID output_vlan`, or output_port.",
};

pub(super) const ELSEWHERE: Code = Code {
    name: "mirror-port-elsewhere",
    severity: Severity::Warning,
    meaning: "The mirror names a port that is not on its bridge. ovs-vswitchd leaves that port out; without any other \
              source or output the mirror does nothing.",
    advice: "Name ports of the mirror's own bridge, or make the mirror on the bridge that has the port.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let Some(further) = &examination.further else { return };
    for (bridge, mirrors) in &further.mirrors {
        for mirror in mirrors {
            let name = if mirror.name.is_empty() { "(without a name)" } else { &mirror.name };
            if !mirror.has_output() {
                findings.add(
                    &NO_OUTPUT,
                    About::bridge(bridge),
                    format!("mirror {name} of bridge {bridge} has no output"),
                );
            }
            if mirror.has_two_outputs() {
                let message = format!("mirror {name} of bridge {bridge} has an output port and an output VLAN");
                findings.add(&TWO_OUTPUTS, About::bridge(bridge), message);
            }
            if !mirror.elsewhere.is_empty() {
                let ports = list(mirror.elsewhere.iter().map(String::as_str));
                let message =
                    format!("mirror {name} of bridge {bridge} names ports that are not on that bridge: {ports}");
                findings.add(&ELSEWHERE, About::bridge(bridge), message);
            }
            if !mirror.has_source() {
                let message = format!("mirror {name} of bridge {bridge} selects no port");
                findings.add(&NO_SOURCE, About::bridge(bridge), message);
            }
        }
    }
}
