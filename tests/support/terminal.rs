//! A terminal for programs that look whether they have one.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};

use super::process;

/// What a program left on its terminal.
#[derive(Debug)]
pub struct Seen {
    pub exit: Option<i32>,
    /// What it printed, with plain line ends.
    pub screen: String,
    pub stderr: String,
}

/// Runs a program whose stdout is a terminal, for at most 45 seconds. Stderr is a pipe.
pub fn run(mut command: Command) -> Seen {
    let size = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    command.env("TERM", "xterm-256color").stdin(Stdio::null()).stdout(pty.slave).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // It holds the other end of the terminal, whose end is that of the reading.
    drop(command);
    let mut master = File::from(pty.master);
    let screen = thread::spawn(move || {
        let mut bytes = Vec::new();
        // When the last writer is gone, reading fails (EIO), which is its end.
        let _ = master.read_to_end(&mut bytes);
        bytes
    });
    let mut pipe = child.stderr.take().unwrap();
    let stderr = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    });
    let ended = process::wait_until(Duration::from_secs(45), || child.try_wait().unwrap().is_some());
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Seen {
        exit: status.code(),
        screen: text(screen.join().unwrap()).replace("\r\n", "\n"),
        stderr: text(stderr.join().unwrap()),
    }
}
