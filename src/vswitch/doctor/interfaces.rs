//! Interfaces that do not work.

use super::examination::Place;
use super::{Code, Daemon, Examination, Findings, Severity, containers, datapaths, vxlans};
use crate::vswitch::causes::{self, Facts};

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

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    for place in examination.places() {
        let interface = place.interface;
        // Told by other checks, with what to do.
        if datapaths::is_unusable(examination, place.bridge)
            || containers::is_leftover(examination, &place)
            || vxlans::is_missing(examination, &place)
        {
            continue;
        }
        let name = &interface.name;
        match (interface.ofport, &interface.error) {
            (Some(0..), Some(error)) if interface.r#type != "patch" => {
                findings.add(&COMPLAINT, place.about(), format!("interface {name}: {error}"));
            }
            (Some(0..), _) => states(&place, findings),
            (None, None) if examination.daemon != Daemon::Well => {}
            (None, None) => findings.add(&PENDING, place.about(), format!("interface {name} has no port number")),
            (ofport, error) => {
                let words = error.as_deref().unwrap_or("ovs-vswitchd does not say why");
                let cause = causes::in_brackets(cause(examination, &place, ofport, error.as_deref()));
                let message = format!("interface {name} does not work: {words}{cause}");
                findings.add(&BROKEN, place.about(), message);
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
            |other: &Place<'_>| other.interface.r#type == interface.r#type && other.interface.ofport >= Some(0);
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

/// Only devices that others make and set up; members of bonds have a check of their own.
fn states(place: &super::examination::Place<'_>, findings: &mut Findings) {
    let interface = place.interface;
    if interface.r#type != "system" || place.port.interfaces.len() > 1 || vxlans::is_vtep(place) {
        return;
    }
    let is_down = |state: &Option<String>| state.as_deref() == Some("down");
    let name = &interface.name;
    if is_down(&interface.admin_state) {
        let advice = format!("Set the device up: ip link set dev {name} up");
        findings.add_advising(&DOWN, place.about(), format!("device {name} is not set up"), advice);
    } else if is_down(&interface.link_state) {
        findings.add(&NO_LINK, place.about(), format!("device {name} has no link"));
    }
}
