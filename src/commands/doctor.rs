//! `ovs.doctor`: what is wrong with the switch, or soon may be.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Command, Drawing};
use crate::draw::findings;
use crate::error::Error;
use crate::vswitch::Unit;
use crate::vswitch::doctor::{self, Diagnosis, Severity};

/// Arguments of `doctor`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Doctor {
    /// Only findings that are at least as bad: `error`, `warning` or `note`.
    #[serde(default = "everything")]
    severity: Severity,
}

fn everything() -> Severity {
    Severity::Note
}

impl Command for Doctor {
    const NAME: &'static str = "doctor";
    const ABOUT: &'static str = "Examine the switch and tell what is wrong with it, what that means, and what to do";
    const DETAILS: &'static str = "\
Looks at the database, at ovs-vswitchd, and at the kernel's devices; changes nothing. It succeeds whatever it finds: the \
findings are its result. [doctor.md](doctor.md) lists the codes. ovs-vswitchd is given 2 s to answer and to apply what is \
new. If the database is reached over TCP, the switch is on another machine: its kernel is not looked at then, and its \
ovs-vswitchd not asked.";
    const EXAMPLE: (&'static str, &'static str) = (
        r#"{"severity": "warning"}"#,
        r#"{"errors": 1, "warnings": 0, "notes": 0, "findings": [{"code": "patch-no-peer", "severity": "error", "bridge": "br0", "port": "p0", "interface": "p0", "message": "the peer p1 of patch port p0 is not there, or is no patch port", "meaning": "The other end of the patch port does not exist, or is no patch port. Frames sent to it are lost.", "advice": "Add the other end, or remove the port with `ovs-plugin port-del`."}]}"#,
    );
    const ERRORS: &'static [(&'static str, &'static str)] =
        &[("bad-argument", "argument \"severity\": \"bad\" is not one of error, warning and note")];
    const DRAWINGS: &'static [Drawing] = &[Drawing {
        name: "text",
        about: "for a terminal",
        draw: |answer| Ok(findings::write(&Diagnosis::deserialize(answer)?)),
    }];
    type Answer = Diagnosis;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Diagnosis, Error> {
        let mut diagnosis = doctor::examine(&unit.examination().await?);
        diagnosis.findings.retain(|finding| finding.severity <= self.severity);
        Ok(diagnosis)
    }
}
