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

pub(super) const NOT_ASKED: Code = Code {
    name: "vswitchd-not-asked",
    severity: Severity::Note,
    meaning: "ovs-vswitchd runs, but could not be asked on its control socket, which is expected beside the database's \
              socket. Whether it still answers is not known; commands that ask it for readiness take it for dead.",
    advice: "Start ovs-vswitchd with its pid file and its control socket in that directory (`OVS_RUNDIR`).",
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
    if let Some(why) = &examination.not_asked {
        findings.add(&NOT_ASKED, About::SWITCH, why.clone());
    }
    match &examination.daemon {
        Daemon::Well => {}
        Daemon::Dead(why) => findings.add(&DEAD, About::SWITCH, why.clone()),
        Daemon::Behind => {
            let (current, next) = (examination.topology.cur_cfg, examination.topology.next_cfg);
            let message = format!("ovs-vswitchd is at configuration {current}, the database at {next}");
            findings.add(&BEHIND, About::SWITCH, message);
        }
    }
}
