//! Mirrors that mirror nothing.

use super::{About, Code, Examination, Findings, Severity};

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
            if !mirror.has_source() {
                let message = format!("mirror {name} of bridge {bridge} selects no port");
                findings.add(&NO_SOURCE, About::bridge(bridge), message);
            }
        }
    }
}
