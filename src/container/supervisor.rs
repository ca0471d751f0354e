//! `ovs-plugin start`: plays the services as PID 1, where there is no host agent (Docker, Podman): in order, starting
//! again what dies, reaping orphans, stopping in reverse order on SIGTERM. What the services print goes to the
//! container's log.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::services::{Running, Service, services};
use super::{process, say};
use crate::paths::Paths;
use crate::problem::Problem;

const STEP: &str = "start";

/// A daemon that has not named itself by then is taken for running; what needs it will find out.
const TIME_TO_START: Duration = Duration::from_secs(30);
/// A daemon that was asked to stop is killed after this. Docker allows 10 s for all of them.
const TIME_TO_STOP: Duration = Duration::from_secs(6);
/// An orphan may hold the output open; nobody waits for it longer than this.
const TIME_FOR_LAST_WORDS: Duration = Duration::from_millis(500);
/// The pause before a dead daemon is started again, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After running this long, a daemon's death counts as its first again.
const STABLE: Duration = Duration::from_secs(60);

/// A service while it is being played.
struct Played {
    service: Service,
    pid: Option<Pid>,
    started: Instant,
    /// Whether those that come after it may start.
    running: bool,
    pause: Duration,
    /// When to start it again.
    again: Option<Instant>,
}

/// What a service's output tells.
struct Named(usize);

/// Plays until told to stop.
pub async fn run(paths: &Paths) -> Result<ExitCode, Problem> {
    process::keep_descriptors_from_children();
    let plugin = std::env::current_exe().map_err(|error| Problem::io("finding this program", error))?;
    let services = services(paths, &plugin.to_string_lossy());
    let listen = |kind| signal(kind).map_err(|error| Problem::io("receiving signals", error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut children = listen(SignalKind::child())?;
    let (names, mut named) = mpsc::unbounded_channel();

    let now = Instant::now();
    let mut played: Vec<Played> = services
        .into_iter()
        .map(|service| Played {
            service,
            pid: None,
            started: now,
            running: false,
            pause: FIRST_PAUSE,
            again: Some(now),
        })
        .collect();
    let mut announced = false;
    let outcome = loop {
        if let Err(problem) = start_what_can(&mut played, &names) {
            break Err(problem);
        }
        if !announced && played.iter().all(|played| played.running) {
            announced = true;
            say(STEP, "everything is running");
        }
        let wake = played.iter().filter_map(Played::next_look).min();
        tokio::select! {
            _ = terminate.recv() => break Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => break Ok(ExitCode::SUCCESS),
            _ = children.recv() => if let Err(problem) = reap(&mut played) { break Err(problem) },
            Some(Named(index)) = named.recv() => played[index].running = true,
            () = async { sleep_until(wake.unwrap_or(now)).await }, if wake.is_some() => {}
        }
    };
    stop_all(&mut played, &mut children).await;
    // Their last words, the reason among them, may still be on the way to the log.
    drop(names);
    let all_said = async { while named.recv().await.is_some() {} };
    let _ = tokio::time::timeout(TIME_FOR_LAST_WORDS, all_said).await;
    outcome
}

impl Played {
    /// When something about this service has to be decided, if nothing happens before.
    fn next_look(&self) -> Option<Instant> {
        match (self.pid, self.running) {
            (None, _) => self.again.filter(|again| *again > Instant::now()),
            (Some(_), false) => Some(self.started + TIME_TO_START),
            (Some(_), true) => None,
        }
    }
}

fn start_what_can(played: &mut [Played], names: &mpsc::UnboundedSender<Named>) -> Result<(), Problem> {
    let now = Instant::now();
    for index in 0..played.len() {
        if played[index].pid.is_some() && !played[index].running && now >= played[index].started + TIME_TO_START {
            say(STEP, format_args!("{} does not say that it is running, going on", played[index].service.name));
            played[index].running = true;
        }
        let ready = |name: &&str| played.iter().any(|other| other.service.name == *name && other.running);
        let may = played[index].service.after.iter().all(ready);
        if may && played[index].pid.is_none() && played[index].again.is_some_and(|again| again <= now) {
            let pid = spawn(&played[index].service, index, names)?;
            let service = &mut played[index];
            (service.pid, service.started, service.again) = (Some(pid), now, None);
        }
    }
    Ok(())
}

fn spawn(service: &Service, index: usize, names: &mpsc::UnboundedSender<Named>) -> Result<Pid, Problem> {
    let failed = |error| Problem::io(format_args!("starting {}", service.name), error);
    let (program, arguments) =
        service.command.split_first().ok_or_else(|| Problem(format!("{} has no program", service.name)))?;
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    process::die_with_parent(&mut command);
    let child = command.spawn().map_err(failed)?;
    // The command holds the writing end; as long as it is open here, the output would never end.
    drop(command);
    let output = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let (running, service_name) = (service.running, service.name);
    let names = names.clone();
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match output.read_until(b'\n', &mut line).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return say(STEP, format_args!("the output of {} can't be read: {error}", service_name)),
            }
            // A line that is not UTF-8 is shown as far as it is. Ending here would close the service's output.
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            eprintln!("{line}");
            if matches!(running, Running::Prints(text) if line.contains(text)) {
                // Nobody listens any more: the container is stopping.
                let _ = names.send(Named(index));
            }
        }
    });
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| Problem(format!("{} has no pid", service.name)))
}

/// Takes note of every child that has ended, services as well as orphans that came to PID 1.
fn reap(played: &mut [Played]) -> Result<(), Problem> {
    // The only error is that there is no child (wait(2), ECHILD).
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let Some(service) = played.iter_mut().find(|played| played.pid == Some(pid)) else { continue };
        service.pid = None;
        let name = service.service.name;
        match service.service.running {
            Running::Ended if status.exit_status() == Some(0) => service.running = true,
            Running::Ended => {
                return Err(Problem(format!("{name} failed ({}), nothing else is started", told(status))));
            }
            Running::Prints(_) => {
                if service.started.elapsed() > STABLE {
                    service.pause = FIRST_PAUSE;
                }
                say(STEP, format_args!("{name} ended ({}), starting it again", told(status)));
                service.again = Some(Instant::now() + service.pause);
                service.pause = (service.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    Ok(())
}

fn told(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "unknown status".into(),
    }
}

/// Stops the services one after the other, the last first: ovs-vswitchd before the database that it uses.
async fn stop_all(played: &mut [Played], children: &mut tokio::signal::unix::Signal) {
    for index in (0..played.len()).rev() {
        let Some(pid) = played[index].pid else { continue };
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + TIME_TO_STOP;
        while played[index].pid.is_some() {
            if tokio::time::timeout_at(deadline, children.recv()).await.is_err() {
                say(STEP, format_args!("{} does not stop, and is killed", played[index].service.name));
                let _ = kill_process(pid, Signal::KILL);
                break;
            }
            while let Ok(Some((ended, _))) = wait(WaitOptions::NOHANG) {
                for service in played.iter_mut().filter(|service| service.pid == Some(ended)) {
                    service.pid = None;
                }
            }
        }
    }
}
