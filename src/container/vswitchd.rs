//! `ovs-plugin vswitchd PROGRAM ARGUMENTS…`: runs ovs-vswitchd in the foreground so that a restart in place does not cut
//! traffic.
//!
//! The flows in the kernel outlive ovs-vswitchd. When it comes back, it would throw them away before it knows its
//! configuration again, and every frame in between would be lost. With `other_config:flow-restore-wait` set
//! (ovs-vswitchd.conf.db(5), Open_vSwitch table) it leaves them alone until the key goes away. So the key is there
//! whenever ovs-vswitchd starts, and is taken away once the configuration is back, as ovs-ctl(8) does around a restart.

use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::{process, say};
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::vswitch::{Session, leftovers, run};

const STEP: &str = "vswitchd";

/// ovs-vswitchd starts without the key rather than not at all.
const TIME_TO_SET: Duration = Duration::from_secs(5);
/// The longest that ovs-vswitchd may take to read its configuration; while the key is there, no new flows are made.
const TIME_TO_CONFIGURE: Duration = Duration::from_secs(20);
/// A daemon that was asked to stop is killed after this; Docker allows 10 s for everything.
const TIME_TO_STOP: Duration = Duration::from_secs(5);

/// Runs the daemon to its end and ends as it did.
pub async fn run(settings: Settings, command: &[String]) -> Result<ExitCode, Problem> {
    process::keep_descriptors_from_children();
    let (program, arguments) = command.split_first().ok_or_else(|| Problem("no program to run is given".into()))?;
    hold_flows(&settings, true, TIME_TO_SET).await;

    let listen = |kind| signal(kind).map_err(|error| Problem::io("receiving signals", error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut daemon = Command::new(program);
    daemon.args(arguments);
    process::die_with_parent(&mut daemon);
    let mut child = tokio::process::Command::from(daemon).spawn().map_err(|error| Problem::io(program, error))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));

    let release = async {
        wait_until_configured(&settings).await;
        hold_flows(&settings, false, TIME_TO_SET).await;
        tell_of_leftovers(&settings).await;
        std::future::pending::<()>().await
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = release => None,
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let asked = ended.is_none();
    let status = match ended {
        Some(status) => status,
        None => {
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::TERM);
            }
            match tokio::time::timeout(TIME_TO_STOP, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    say(STEP, format_args!("{program} does not stop, and is killed"));
                    child.kill().await.map_err(|error| Problem::io(program, error))?;
                    child.wait().await
                }
            }
        }
    };
    let status = status.map_err(|error| Problem::io(program, error))?;
    match status.code() {
        // It was asked to, and a daemon that is asked to stop ends by the signal.
        None if asked => Ok(ExitCode::SUCCESS),
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => Err(Problem(format!("{program} ended by {status}"))),
    }
}

/// Has ovs-vswitchd keep its hands off the flows, or no longer.
async fn hold_flows(settings: &Settings, hold: bool, limit: Duration) {
    let (deadline, _stop) = Deadline::after(limit);
    let mut session = Session::new(settings.clone(), deadline);
    if let Err(error) = run::hold_flows(&mut session, hold).await {
        say(STEP, format_args!("flow-restore-wait could not be {}: {error}", if hold { "set" } else { "taken away" }));
    }
}

/// Says what the processes of an earlier run seem to have left. It is not removed here: who has made a device without a port
/// on purpose (`vtep-ensure`) must not lose it by a restart. `gc` removes it when it is asked to.
async fn tell_of_leftovers(settings: &Settings) {
    let (deadline, _stop) = Deadline::after(TIME_TO_SET);
    match leftovers::suspects(&mut Session::new(settings.clone(), deadline)).await {
        Ok(found) if found.is_empty() => {}
        Ok(found) => {
            say(STEP, format_args!("left by an earlier run, maybe: {}; ovs-plugin gc removes it", found.join(", ")))
        }
        Err(error) => say(STEP, format_args!("whether an earlier run has left devices is not known: {error}")),
    }
}

async fn wait_until_configured(settings: &Settings) {
    let (deadline, _stop) = Deadline::after(TIME_TO_CONFIGURE);
    let mut session = Session::new(settings.clone(), deadline);
    if let Err(error) = run::confirm(&mut session, "ovs-plugin vswitchd").await {
        say(STEP, error);
    }
}
