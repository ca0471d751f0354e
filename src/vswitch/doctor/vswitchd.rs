//! ovs-vswitchd itself.

use super::{About, Code, Daemon, Examination, Findings, Severity};

pub(super) const DEAD: Code = Code {
    name: "vswitchd-dead",
    severity: Severity::Error,
    meaning: "ovs-vswitchd does not run, or does not answer. Changes are not applied, and new flows are not forwarded; \
              what the database reports of interfaces is from before.",
    advice: "Start ovs-vswitchd, or look into its log for what keeps it from answering.",
};

pub(super) const BEHIND: Code = Code {
    name: "vswitchd-behind",
    severity: Severity::Error,
    meaning: "ovs-vswitchd has not applied what the database holds, and does not catch up.",
    advice: "Look into the log of ovs-vswitchd; it may be busy, or blocked by a device or a name server.",
};

pub(super) const NO_ROOT_ROW: Code = Code {
    name: "database-empty",
    severity: Severity::Error,
    meaning: "The table Open_vSwitch has no row, and without it ovs-vswitchd does nothing.",
    advice: "Run `ovs-plugin init` before the daemons start, or `ovs-vsctl init`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    if !examination.has_root {
        findings.add(&NO_ROOT_ROW, About::SWITCH, "the database has not been initialised".into());
    }
    match &examination.daemon {
        Daemon::Well => {}
        Daemon::Dead(why) => findings.add(&DEAD, About::SWITCH, why.clone()),
        Daemon::Behind => {
            let (current, next) = (examination.picture.cur_cfg, examination.picture.next_cfg);
            let message = format!("ovs-vswitchd is at configuration {current}, the database at {next}");
            findings.add(&BEHIND, About::SWITCH, message);
        }
    }
}
