//! Ports that containers left behind.

use super::examination::Place;
use super::{Code, Examination, Findings, Severity};
use crate::vswitch::port::is_container_port;

pub(super) const LEFTOVER: Code = Code {
    name: "container-leftover",
    severity: Severity::Warning,
    meaning: "The port belonged to a container that is gone, with its device. It does no harm until a container gets \
              the same id; `port-add` takes it over then.",
    advice: "Remove it with `ovs-plugin port-del`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for place in examination.places().filter(|place| is_leftover(examination, place)) {
        let name = &place.interface.name;
        let advice = format!("Remove it: ovs-plugin port-del '{{\"port\": \"{name}\"}}'");
        findings.add_advising(&LEFTOVER, place.about(), format!("port {name} has no device any more"), advice);
    }
}

pub(super) fn is_leftover(examination: &Examination, place: &Place<'_>) -> bool {
    let name = &place.interface.name;
    place.interface.r#type == "system"
        && is_container_port(name)
        && examination.kernel.as_ref().is_some_and(|kernel| !kernel.devices.contains_key(name))
}
