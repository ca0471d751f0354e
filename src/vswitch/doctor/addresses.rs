//! Addresses on devices that are ports.

use super::{Code, Examination, Findings, Severity, list};

pub(super) const ON_PORT: Code = Code {
    name: "nic-addresses",
    severity: Severity::Warning,
    meaning: "The device is a port of a bridge and has IP addresses. What arrives there goes to the bridge, so the \
              addresses do not answer.",
    advice: "Move the addresses to the bridge's own device, and its routes too.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let Some(kernel) = &examination.kernel else { return };
    for place in examination.places().filter(|place| place.interface.r#type == "system") {
        let name = &place.interface.name;
        let Some(device) = kernel.devices.get(name).filter(|device| !device.addresses.is_empty()) else { continue };
        let addresses: Vec<String> = device.addresses.iter().map(ToString::to_string).collect();
        let addresses = list(addresses.iter().map(String::as_str));
        let message = format!("{name} is a port of bridge {} and has {addresses}", place.bridge.name);
        findings.add(&ON_PORT, place.about(), message);
    }
}
