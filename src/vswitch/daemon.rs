//! Whether ovs-vswitchd is alive. What the database says of it outlives it, so it is asked itself.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use ovsdb::{Address, Connection};

use crate::deadline::Deadline;

/// What came of asking ovs-vswitchd itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has answered.
    Answers,
    /// It has its control socket and says nothing; how.
    Silent(String),
    /// There is nobody to ask where its control socket is expected; why.
    NotReached(String),
}

/// Asks ovs-vswitchd for its version on its control socket, which speaks the same JSON-RPC as a database server and is
/// answered from the loop that does the switching. The socket's name holds the daemon's pid, which is where
/// ovs-appctl(8) looks for it.
pub async fn ask(run: &Path, deadline: &Deadline) -> Asked {
    let pid = match pid_of(run) {
        Ok(pid) => pid,
        Err(why) => return Asked::NotReached(format!("ovs-vswitchd does not run: {why}")),
    };
    let socket = Address::Unix(run.join(format!("ovs-vswitchd.{pid}.ctl")));
    let silent = |why: String| format!("ovs-vswitchd does not answer on {socket}: {why}");
    let connection = match deadline.limit(Connection::open_on(deadline.driver(), &socket)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let nobody = matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::PermissionDenied
            );
            let why = silent(error.to_string());
            return if nobody { Asked::NotReached(why) } else { Asked::Silent(why) };
        }
        Err(expired) => return Asked::Silent(silent(expired.to_string())),
    };
    match deadline.limit(connection.call::<String>("version", [(); 0])).await {
        Ok(Ok(_)) => Asked::Answers,
        Ok(Err(error)) => Asked::Silent(silent(error.to_string())),
        Err(expired) => Asked::Silent(silent(expired.to_string())),
    }
}

/// As [`ask`], for those who need an answer. The error tells what is wrong.
pub async fn answers(run: &Path, deadline: &Deadline) -> Result<(), String> {
    match ask(run, deadline).await {
        Asked::Answers => Ok(()),
        Asked::Silent(why) | Asked::NotReached(why) => Err(why),
    }
}

/// Why ovs-vswitchd is taken to be gone, if it is: neither does the process of its pid file run, nor can it be reached, nor
/// is there one in this network namespace. Where it runs, or is stopped, this reads two files.
pub async fn gone(run: &Path, deadline: &Deadline) -> Option<String> {
    const PATIENCE: Duration = Duration::from_millis(500);
    // A pid file that can't be read leads to no process, and the rest is looked at.
    let of_file = pid_of(run).ok().and_then(|pid| pid.parse().ok());
    if of_file.and_then(state_of).is_some_and(|state| !is_dead(state)) {
        return None;
    }
    match ask(run, &deadline.window(PATIENCE)).await {
        Asked::NotReached(why) if running(run).is_none() => Some(why),
        // It answers, or is there and does not: then it is for the doctor to tell.
        Asked::NotReached(_) | Asked::Answers | Asked::Silent(_) => None,
    }
}

/// The name of ovs-vswitchd's process (proc(5), `/proc/PID/stat`).
const NAME: &str = "ovs-vswitchd";

/// The process of an ovs-vswitchd that could not be asked: that of its pid file, or else one in this network namespace,
/// which is where the switch is. One in another PID namespace can't be seen.
pub fn running(run: &Path) -> Option<u32> {
    // A pid file that can't be read, or holds no number, leads to no process, and the others are looked at.
    let of_file = pid_of(run).ok().and_then(|pid| pid.parse().ok());
    if let Some(pid) = of_file.filter(|pid| is_running(*pid)) {
        return Some(pid);
    }
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace("self")?;
    // Processes end while they are looked at, and those of others may not be looked at; neither is evidence.
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| is_running(*pid) && namespace(&pid.to_string()).as_ref() == Some(&own))
}

fn pid_of(run: &Path) -> Result<String, String> {
    let file = run.join("ovs-vswitchd.pid");
    let pid = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(pid.trim().to_owned())
}

/// Whether a process is an ovs-vswitchd that is neither stopped nor dead.
fn is_running(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !is_dead(state) && !matches!(state, 'T' | 't'))
}

fn is_dead(state: char) -> bool {
    matches!(state, 'Z' | 'X' | 'x')
}

/// The state of a process, if it is an ovs-vswitchd.
fn state_of(pid: u32) -> Option<char> {
    // A process that can't be read is none.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses, and may have some itself.
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    after.trim_start().chars().next().filter(|_| name == NAME)
}
