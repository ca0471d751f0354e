//! What is wrong with a switch, or soon may be: findings with stable codes.
//!
//! An [`Examination`] is all that is known: the topology of the database, what the kernel tells, whether ovs-vswitchd
//! answers. Whether a single thing works is judged by [`health`](crate::vswitch::health). Where only the database was read,
//! as for `show`, the same checks find what it tells, and [`marked`] puts that into the topology. Each check is a function
//! over it and asks for nothing more. A check's codes stand at the top of its file, and [`CODES`] lists them all;
//! `docs/doctor.md` is made from that.

mod addresses;
mod bonds;
mod containers;
mod controllers;
mod datapaths;
mod duplicates;
mod examination;
mod further;
mod interfaces;
mod kernel;
mod loops;
mod marks;
mod mirrors;
mod mtu;
mod names;
mod patches;
mod qos;
mod requests;
mod schema;
mod settings;
mod values;
mod vlans;
mod vswitchd;
mod vxlans;
mod wire;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::health::Severity;
pub use examination::{Daemon, Examination};
pub use further::Further;
pub(super) use kernel::device_names;
pub use kernel::{Device, Kernel};
pub use marks::marked;

/// A kind of finding. Its name never changes its meaning.
#[derive(Debug)]
pub struct Code {
    /// The name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Finding {
    /// What kind of finding it is; stable, for programs.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// The bridge that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The port that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The interface that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What was found.
    pub message: String,
    /// What that means.
    pub meaning: String,
    /// What to do.
    pub advice: String,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// How many findings are errors, those included that were not asked for.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many are notes.
    pub notes: usize,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

/// What a finding is about: as much of bridge, port and interface as fits.
#[derive(Clone, Copy, Debug, Default)]
struct About<'a> {
    bridge: Option<&'a str>,
    port: Option<&'a str>,
    interface: Option<&'a str>,
}

impl<'a> About<'a> {
    const SWITCH: About<'static> = About { bridge: None, port: None, interface: None };

    fn bridge(name: &'a str) -> Self {
        About { bridge: Some(name), ..About::default() }
    }

    fn port(self, name: &'a str) -> Self {
        About { port: Some(name), ..self }
    }

    fn interface(self, name: &'a str) -> Self {
        About { interface: Some(name), ..self }
    }
}

/// Findings in the making.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: &Code, about: About<'_>, message: String) {
        self.add_advising(code, about, message, code.advice.to_owned());
    }

    /// With an advice for this very case.
    fn add_advising(&mut self, code: &Code, about: About<'_>, message: String, advice: String) {
        self.0.push(Finding {
            code: code.name.to_owned(),
            severity: code.severity,
            bridge: about.bridge.map(str::to_owned),
            port: about.port.map(str::to_owned),
            interface: about.interface.map(str::to_owned),
            message,
            meaning: code.meaning.to_owned(),
            advice,
        });
    }
}

type Check = fn(&Examination, &mut Findings);

const CHECKS: &[Check] = &[
    vswitchd::check,
    schema::check,
    datapaths::check,
    interfaces::check,
    names::check,
    containers::check,
    patches::check,
    vlans::check,
    vxlans::check,
    mtu::check,
    bonds::check,
    duplicates::check,
    loops::check,
    addresses::check,
    controllers::check,
    settings::check,
    values::check,
    requests::check,
    mirrors::check,
    qos::check,
];

/// Every code there is.
pub static CODES: &[&Code] = &[
    &vswitchd::DEAD,
    &vswitchd::BEHIND,
    &vswitchd::NOT_ASKED,
    &vswitchd::NO_ROOT_ROW,
    &schema::OLD,
    &datapaths::MODULE_MISSING,
    &datapaths::UNKNOWN,
    &interfaces::BROKEN,
    &interfaces::PENDING,
    &interfaces::COMPLAINT,
    &interfaces::DOWN,
    &interfaces::NO_LINK,
    &names::CUT,
    &names::ALIKE,
    &interfaces::GONE,
    &interfaces::REPLACED,
    &containers::LEFTOVER,
    &patches::NO_PEER,
    &patches::PEER_ELSEWHERE,
    &patches::DATAPATHS,
    &vlans::INCOMPLETE,
    &vxlans::INCOMPLETE,
    &vxlans::MISSING,
    &vxlans::WRONG,
    &vxlans::DOWN,
    &vxlans::NO_ADDRESS,
    &vxlans::UNUSED,
    &mtu::OVERLAY,
    &mtu::INTERNAL,
    &bonds::NO_MEMBER,
    &bonds::MEMBER_DOWN,
    &bonds::NO_PARTNER,
    &bonds::FALLBACK,
    &bonds::ALONE,
    &bonds::MEMBER_NO_PARTNER,
    &duplicates::VLAN,
    &duplicates::VNI,
    &loops::RISK,
    &addresses::ON_PORT,
    &controllers::AWAY,
    &settings::LOST,
    &settings::IGNORED,
    &values::UNREADABLE,
    &requests::NOT_MET,
    &controllers::MANAGER_AWAY,
    &mirrors::NO_OUTPUT,
    &mirrors::NO_SOURCE,
    &mirrors::TWO_OUTPUTS,
    &mirrors::ELSEWHERE,
    &qos::QOS,
    &qos::QUEUE,
];

/// Makes all checks.
pub fn examine(examination: &Examination) -> Diagnosis {
    let mut findings = Findings::default();
    for check in CHECKS {
        check(examination, &mut findings);
    }
    let mut findings = findings.0;
    // Stable, so that what belongs together stays together.
    findings.sort_by_key(|finding| finding.severity);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    Diagnosis {
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notes: count(Severity::Note),
        findings,
    }
}

/// Names in a sentence: the first few, and how many more there are.
fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<&str> = names.into_iter().collect();
    match names.len() {
        0..=SHOWN => names.join(", "),
        many => format!("{} and {} more", names[..SHOWN].join(", "), many - SHOWN),
    }
}
