//! Children of the container's steps.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::problem::Problem;

/// Keeps what this process has inherited beyond its standard streams from its children: under the host agent, 3 and 4
/// are the agent's own command and result pipes.
pub(super) fn keep_descriptors_from_children() {
    // Without /proc there is no list, and what was inherited stays open in the children, where it does no harm by itself.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<i32>>() {
        // SAFETY: the number was just read from the list of open descriptors, and this process has one thread. If it is
        // that list's own, closed by now, the kernel says so and nothing happens.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // One that is closed by now needs nothing.
        if let Ok(flags) = fcntl_getfd(descriptor) {
            let _ = fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC);
        }
    }
}

/// Waits until no other process works on a directory, and keeps others from it as long as the result lives.
///
/// The children inherit the lock. So what a process that was killed has started, and what has not died yet itself, is
/// waited for too.
pub(super) fn have_alone(directory: &Path, limit: Duration) -> Result<File, Problem> {
    let failed = |error: std::io::Error| Problem::io(format_args!("locking {}", directory.display()), error);
    let lock = File::open(directory).map_err(failed)?;
    let deadline = Instant::now() + limit;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if Instant::now() >= deadline => {
                return Err(Problem(format!("another process still works on {}", directory.display())));
            }
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(failed(error.into())),
        }
    }
    fcntl_setfd(&lock, FdFlags::empty()).map_err(|error| failed(error.into()))?;
    Ok(lock)
}

/// Has a child end with this process, however that ends.
pub(super) fn die_with_parent(command: &mut Command) {
    signal_at_parents_death(command, Signal::TERM);
}

fn signal_at_parents_death(command: &mut Command, signal: Signal) {
    // SAFETY: prctl(2) is async-signal-safe, and nothing else runs between fork and exec.
    unsafe {
        command.pre_exec(move || set_parent_process_death_signal(Some(signal)).map_err(Into::into));
    }
}

/// Runs a program to its end, within a limit, and returns what it printed.
pub(super) fn output(program: &str, arguments: &[&str], limit: Duration) -> Result<String, Problem> {
    let shown = || format!("{program} {}", arguments.first().unwrap_or(&""));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What goes on alone would be in the way of the next one.
    signal_at_parents_death(&mut command, Signal::KILL);
    let mut child = command.spawn().map_err(|error| Problem::io(shown(), error))?;
    let collect = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            // What is not UTF-8 or can't be read is not worth failing for.
            let _ = stream.map(|mut stream| stream.read_to_string(&mut text));
            text
        })
    };
    let stdout = collect(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = collect(child.stderr.take().map(|stream| Box::new(stream) as _));
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().map_err(|error| Problem::io(shown(), error))? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                // It may have ended at this very moment.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Problem(format!("{} did not end within {} s", shown(), limit.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let lost = |_| Problem(format!("{}: its output is lost", shown()));
    let (stdout, stderr) = (stdout.join().map_err(lost)?, stderr.join().map_err(lost)?);
    if status.success() {
        Ok(stdout.trim_end().to_owned())
    } else {
        Err(Problem(format!("{}: {}", shown(), stderr.trim_end())))
    }
}
