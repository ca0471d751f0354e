//! Values in maps that Open vSwitch can't read. Commands refuse them by the same rule, `vswitch/rules/values.rs`; these were
//! written by somebody else.

use super::further::Unreadable;
use super::{About, Code, Examination, Findings, Severity};
use crate::vswitch::tables::{BRIDGE, INTERFACE, PORT};

pub(super) const UNREADABLE: Code = Code {
    name: "settings-unreadable",
    severity: Severity::Warning,
    meaning: "Open vSwitch can't read the value of a setting. It takes its default in place of it, or a part of the value, \
              at most with a line in its log.",
    advice: "Set the value to what the finding expects, or remove the setting.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let Some(further) = &examination.further else { return };
    for Unreadable { table, name, problem } in &further.unreadable {
        let port = |port: &str| {
            let mut bridges = examination.topology.bridges.iter();
            bridges.find(|bridge| bridge.ports.iter().any(|other| other.name == port))
        };
        let about = match *table {
            BRIDGE => About::bridge(name),
            PORT => match port(name) {
                Some(bridge) => About::bridge(&bridge.name).port(name),
                None => About { port: Some(name), ..About::SWITCH },
            },
            INTERFACE => match examination.places().find(|place| place.interface.name == *name) {
                Some(place) => place.about(),
                None => About { interface: Some(name), ..About::SWITCH },
            },
            _ => About::SWITCH,
        };
        let subject = match name.as_str() {
            "" => (*table).to_owned(),
            name => format!("{table} {name}"),
        };
        findings.add(&UNREADABLE, about, format!("{subject}: {problem}"));
    }
}
