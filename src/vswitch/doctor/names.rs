//! Names that are longer than those of network devices.

use std::collections::BTreeMap;

use super::examination::Place;
use super::{Code, Examination, Findings, Severity};
use crate::vswitch::causes::device_name;
use crate::vswitch::health;

pub(super) const CUT: Code = Code {
    name: "name-cut",
    severity: Severity::Warning,
    meaning: "The interface's name is longer than 15 bytes, and its network device has only the first 15 of them as a name. \
              Whatever looks for the device by the interface's name does not find it.",
    advice: "Give the port a name of at most 15 bytes: remove it and add it again.",
};

pub(super) const ALIKE: Code = Code {
    name: "names-alike",
    severity: Severity::Error,
    meaning: "Two interfaces have names that begin with the same 15 bytes, which is all that the kernel takes of a name, so \
              they stand for one network device.",
    advice: "Remove one of the ports, and add it again under a name that differs within the first 15 bytes.",
};

/// Of interfaces that do not work, the cause is told with that.
pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let has_device = |place: &Place<'_>| {
        matches!(place.interface.r#type.as_str(), "system" | "internal" | "tap")
            && health::is_set_up(place.interface.ofport)
    };
    let mut devices: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for place in examination.places().filter(has_device) {
        devices.entry(device_name(&place.interface.name)).or_default().push(place);
    }
    for (device, places) in devices {
        for place in &places {
            let name = &place.interface.name;
            if name != device {
                findings.add(&CUT, place.about(), format!("the network device of interface {name} is named {device}"));
            }
        }
        let Some(first) = places.first().map(|place| &place.interface.name) else { continue };
        // A port that is on two bridges is there twice.
        if let Some(second) = places.iter().find(|place| place.interface.name != *first) {
            let name = &second.interface.name;
            let message = format!("the interfaces {first} and {name} stand for one network device, {device}");
            findings.add(&ALIKE, second.about(), message);
        }
    }
}
