//! Chooses the interface: the host agent's, unless a person asks for something that only people ask for.
//!
//! There is no `fn main`: what the standard library does before it (reading `/proc/self/maps` to find the stack's end,
//! a stack for signal handlers) takes as long as asking the database does. What of it matters is done here.

#![no_main]

use std::ffi::{c_char, c_int};
use std::fs::OpenOptions;
use std::process::ExitCode;

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::event::{PollFd, PollFlags, Timespec};

// SAFETY: the name and the types are those by which C's start-up code calls a program.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    take_places_of_closed_files();
    // SAFETY: no handler is installed that could do harm. A reader that goes away is to be an error of the writing, as
    // in any program of Rust.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let code = if ovs_plugin::cli::is_for_people(&arguments) {
        ovs_plugin::cli::run()
    } else {
        ovs_plugin::agent::run(&arguments)
    };
    // Not returned to C, which knows nothing of Rust's output buffers.
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { status(code) })
}

/// An exit code can't be read, only compared.
fn status(code: ExitCode) -> i32 {
    (1..=u8::MAX).find(|status| ExitCode::from(*status) == code).map_or(1, i32::from)
}

/// Where a standard stream is closed, the next file to be opened would get its number, and then everything that is
/// written to that stream.
fn take_places_of_closed_files() {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut polled = streams.map(|stream| PollFd::from_borrowed_fd(stream, PollFlags::empty()));
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if rustix::event::poll(&mut polled, Some(&at_once)).is_err() {
        return;
    }
    for _ in polled.iter().filter(|stream| stream.revents().contains(PollFlags::NVAL)) {
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            // It has the lowest number that is free, and keeps it.
            std::mem::forget(null);
        }
    }
}
