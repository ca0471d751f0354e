//! Interfaces that do not work.

use super::examination::Place;
use super::{Code, Examination, Findings, Severity, containers, vxlans};
use crate::vswitch::causes::{self, Facts};
use crate::vswitch::health::{self, Cause, Down, Health};

pub(super) const BROKEN: Code = Code {
    name: "interface-broken",
    severity: Severity::Error,
    meaning: "ovs-vswitchd could not set the interface up. Nothing goes in or out.",
    advice: "Put right what the message names, or remove the port with `ovs-plugin port-del`.",
};

pub(super) const PENDING: Code = Code {
    name: "interface-pending",
    severity: Severity::Error,
    meaning: "ovs-vswitchd has applied the configuration, but not set the interface up.",
    advice: "Look into the log of ovs-vswitchd for the bridge's name.",
};

pub(super) const COMPLAINT: Code = Code {
    name: "interface-complaint",
    severity: Severity::Warning,
    meaning: "The interface has a port number, and ovs-vswitchd reports something wrong with it all the same.",
    advice: "Put right what the message names.",
};

pub(super) const DOWN: Code = Code {
    name: "interface-down",
    severity: Severity::Warning,
    meaning: "The network device is a port, but is not set up.",
    advice: "Set the device up: `ip link set dev NAME up`.",
};

pub(super) const NO_LINK: Code = Code {
    name: "interface-no-link",
    severity: Severity::Warning,
    meaning: "The network device is set up and has no link.",
    advice: "Look at the cable, the switch at its other end, or the other end of the veth pair.",
};

pub(super) const GONE: Code = Code {
    name: "device-gone",
    severity: Severity::Error,
    meaning: "The network device of the port does not exist any more. Nothing goes in or out.",
    advice: "Make the device again, then have ovs-vswitchd open it (`\"reopen\": true` of `port-set`). Or remove the port \
             with `ovs-plugin port-del`.",
};

pub(super) const REPLACED: Code = Code {
    name: "device-replaced",
    severity: Severity::Error,
    meaning: "The network device of the port was deleted and another one was made under its name. ovs-vswitchd still has \
              the old one open: nothing goes in or out, though the database tells the state of the new one. Only ports of \
              the userspace datapath (netdev) are affected.",
    advice: "Have ovs-vswitchd open the device again: `\"reopen\": true` of `port-set`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let patches = examination.patches();
    for place in examination.places() {
        let name = &place.interface.name;
        match examination.health(&place, &patches) {
            Health::Works | Health::Pending => {}
            // Told of the bridge, or by other checks, with what to do.
            Health::Broken(Cause::NoDatapath | Cause::Patch(_)) => {}
            Health::Broken(Cause::DeviceGone | Cause::Refused(_))
                if containers::is_leftover(examination, &place) || vxlans::is_missing(examination, &place) => {}
            Health::Broken(Cause::NoNumber) => {
                findings.add(&PENDING, place.about(), format!("interface {name} has no port number"));
            }
            Health::Broken(Cause::Refused(error)) => {
                let words = error.unwrap_or("ovs-vswitchd does not say why");
                let cause = causes::in_brackets(cause(examination, &place, place.interface.ofport, error));
                let message = format!("interface {name} does not work: {words}{cause}");
                findings.add(&BROKEN, place.about(), message);
            }
            // Members of bonds have a check of their own.
            Health::Broken(Cause::DeviceGone | Cause::DeviceReplaced) | Health::Down(_)
                if place.port.interfaces.len() > 1 => {}
            Health::Broken(Cause::DeviceGone) => {
                let advice =
                    format!("Make the device {name} again, then have ovs-vswitchd open it: {}", reopened(&place));
                findings.add_advising(&GONE, place.about(), format!("device {name} is gone"), advice);
            }
            Health::Broken(Cause::DeviceReplaced) => {
                let message = format!("device {name} was made anew, and ovs-vswitchd does not read from it");
                let advice = format!("Have ovs-vswitchd open the device again: {}", reopened(&place));
                findings.add_advising(&REPLACED, place.about(), message, advice);
            }
            // The check of VXLAN networks tells that, with what is below.
            Health::Down(_) if vxlans::is_vtep(&place) => {}
            Health::Down(Down::NotUp) => {
                let advice = format!("Set the device up: ip link set dev {name} up");
                findings.add_advising(&DOWN, place.about(), format!("device {name} is not set up"), advice);
            }
            Health::Down(Down::NoLink) => {
                findings.add(&NO_LINK, place.about(), format!("device {name} has no link"));
            }
            Health::Complains(error) => {
                findings.add(&COMPLAINT, place.about(), format!("interface {name}: {error}"));
            }
        }
    }
}

/// Why an interface does not work, as far as the examination tells.
fn cause(
    examination: &Examination,
    place: &Place<'_>,
    ofport: Option<i64>,
    error: Option<&str>,
) -> Option<causes::Cause> {
    let interface = place.interface;
    let kernel = examination.kernel.as_ref();
    let device = causes::device_name(&interface.name);
    let others = || {
        let of_type =
            |other: &Place<'_>| other.interface.r#type == interface.r#type && health::is_set_up(other.interface.ofport);
        examination.places().filter(of_type).map(|other| other.interface).filter(|other| other.name != interface.name)
    };
    causes::cause(&Facts {
        name: &interface.name,
        kind: &interface.r#type,
        ofport,
        error,
        datapath_type: Some(&place.bridge.datapath_type),
        iface_types: &examination.iface_types,
        datapath_types: &examination.datapath_types,
        device: kernel.map(|kernel| kernel.devices.contains_key(device)),
        has_module: kernel.map(|kernel| kernel.has_datapath),
        namesake: others().find(|other| causes::device_name(&other.name) == device).map(|other| other.name.as_str()),
        twin: others()
            .find(|other| causes::is_twin(&other.options, &interface.options))
            .map(|other| other.name.as_str()),
    })
}

/// The command that has ovs-vswitchd open the device of a port again.
fn reopened(place: &Place<'_>) -> String {
    format!("ovs-plugin port-set '{{\"port\": \"{}\", \"reopen\": true}}'", place.port.name)
}
