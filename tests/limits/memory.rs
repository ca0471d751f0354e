//! The most memory that one execution has at a time.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::shipped::{Shipped, ensures, skipped};
use crate::support::wait_until;

/// Bytes of its own, which no other process shares.
const OWN: u64 = 500_000;

/// Bytes with the pages of the program's file, which the kernel has in its page cache anyway and maps in pieces of 64 kB.
const ALL: u64 = 8_000_000;

#[test]
fn an_ensure_that_is_new_or_repeated_takes_little_memory() {
    let shipped = Shipped::new();
    for (_, command, arguments) in ensures() {
        for what in ["new", "repeated"] {
            match peak(&shipped, command, &arguments) {
                Ok(Peak { own, all }) => {
                    assert!(own <= OWN, "a {what} {command}: {own} bytes of its own, more than {OWN}");
                    assert!(all <= ALL, "a {what} {command}: {all} bytes, more than {ALL}");
                }
                Err(Errno::EPERM) => return skipped("this user may not trace processes here"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

struct Peak {
    own: u64,
    all: u64,
}

/// The bytes in memory at the worst moment of an execution that has to succeed.
///
/// Not what wait4(2) tells: that includes the memory before the exec, which is that of whoever forked, here a large
/// test process. The kernel knows the peak of the program alone (VmHWM in proc(5)) for as long as the program lives, so
/// it is asked in the last moment, when ptrace(2) has stopped the process on its way out.
fn peak(shipped: &Shipped, command: &str, arguments: &Value) -> Result<Peak, Errno> {
    // Held back until it is traced.
    let hold = ["sh", "-c", "read -r go && exec \"$@\"", "sh"];
    let mut held = shipped.command(&hold, command, arguments);
    let mut child = held.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let mut go = child.stdin.take().unwrap();
    let peak = ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXIT).map(|()| {
        go.write_all(b"go\n").unwrap();
        peak_at_exit(pid)
    });
    if !matches!(peak, Ok(Some(_))) {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    let peak = peak?.unwrap_or_else(|| panic!("{command} {arguments} does not end"));
    assert!(status.success(), "{command} {arguments}: {status}");
    Ok(peak)
}

/// The peak of a traced process, which is let go then; none if it does not end.
fn peak_at_exit(pid: Pid) -> Option<Peak> {
    let mut peak = None;
    wait_until(Duration::from_secs(20), || {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::StillAlive => {}
            WaitStatus::Stopped(_, signal) => ptrace::cont(pid, signal).unwrap(),
            WaitStatus::PtraceEvent(..) => {
                peak = Some(peak_so_far(pid));
                ptrace::detach(pid, None).unwrap();
            }
            other => panic!("{other:?}"),
        }
        peak.is_some()
    });
    peak
}

fn peak_so_far(pid: Pid) -> Peak {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let bytes = |name: &str| {
        let kilobytes = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kilobytes.unwrap_or_else(|| panic!("no {name} in\n{status}")).parse::<u64>().unwrap() * 1024
    };
    let all = bytes("VmHWM:");
    // Pages of the file are never given back while the program lives.
    Peak { own: all - bytes("RssFile:"), all }
}
