//! One run of the plugin: its arguments and environment, the process, its answer.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process;

/// The plugin as it was built for this test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ovs-plugin");

/// A run of the plugin that has not begun yet.
pub struct Call {
    command: Command,
    limit: Duration,
}

impl Call {
    /// `command` executes the plugin, without arguments so far.
    pub fn of(command: Command) -> Call {
        Call { command, limit: Duration::from_secs(45) }
    }

    /// A run without a switch: where this process is, with an empty environment.
    pub fn alone() -> Call {
        let mut command = Command::new(BINARY);
        command.env_clear().current_dir("/");
        Call::of(command)
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Call {
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    /// How long the process may take before it is killed; 20 s when not set.
    pub fn limit(mut self, limit: Duration) -> Call {
        self.limit = limit;
        self
    }

    /// The bare command, for tests that need more than this type offers.
    pub fn into_command(self) -> Command {
        self.command
    }

    pub fn run(self) -> Answer {
        self.spawn().wait()
    }

    pub fn spawn(mut self) -> Running {
        let started = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Running { child, started, limit: self.limit, output: Some((stdout, stderr)) }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// A run of the plugin under way. It ends with the test, however that ends.
pub struct Running {
    child: Child,
    started: Instant,
    limit: Duration,
    /// What collects stdout and stderr.
    output: Option<(JoinHandle<Vec<u8>>, JoinHandle<Vec<u8>>)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end, which the limit brings about if nothing else does.
    pub fn wait(mut self) -> Answer {
        let left = self.limit.saturating_sub(self.started.elapsed());
        let timed_out = !process::wait_until(left, || self.has_ended());
        let elapsed = self.started.elapsed();
        if timed_out {
            let _ = self.child.kill();
        }
        let status = self.child.wait().unwrap();
        let (stdout, stderr) = self.output.take().unwrap();
        let stdout = stdout.join().unwrap();
        let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
        let body = unframe(&stdout);
        let (result, error) = match (status.code(), &body) {
            (Some(0), Some(value)) => (Some(value.clone()), None),
            (Some(_), Some(Value::String(message))) => (None, Some(message.clone())),
            _ => (None, None),
        };
        Answer {
            exit: if timed_out { None } else { status.code() },
            signal: if timed_out { None } else { status.signal() },
            timed_out,
            framing_ok: body.is_some(),
            result,
            error,
            body,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr,
            elapsed,
        }
    }
}

/// What a run of the plugin came to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit status; none when a signal ended the process, or its limit.
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    /// The process ran past its limit and was killed.
    pub timed_out: bool,
    /// Stdout was one block of the host agent's framing around one JSON value, and nothing else.
    pub framing_ok: bool,
    /// The JSON value in the block, if the exit status was 0.
    pub result: Option<Value>,
    /// The message in the block, if the exit status was another.
    pub error: Option<String>,
    /// The JSON value in the block, whatever the exit status.
    pub body: Option<Value>,
    pub stdout: String,
    pub stderr: String,
    /// From the start of the process to its end.
    pub elapsed: Duration,
}

impl Answer {
    /// The result of a run that has to have succeeded.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.exit == Some(0) && self.framing_ok, "should have succeeded: {self:#?}");
        self.body.unwrap()
    }

    /// The message of a run that has to have failed properly.
    #[track_caller]
    pub fn failed(self) -> String {
        assert!(self.exit == Some(1) && self.error.is_some(), "should have failed with a message: {self:#?}");
        self.error.unwrap()
    }
}

/// The JSON value in the plugin's answer: `20:::`, the value on one line, blanks, LF, perhaps another LF, `:::`, LF.
fn unframe(stdout: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(stdout).ok()?;
    let body = text.strip_prefix("20:::")?.strip_suffix("\n:::\n")?;
    let line = body.strip_suffix('\n').unwrap_or(body).trim_end_matches(' ');
    // The value begins right after the header. A header of four colons would be read as the start of the text.
    if line.contains('\n') || line.starts_with([' ', ':']) {
        return None;
    }
    serde_json::from_str(line).ok()
}

/// The plugin's environment is the test's alone: no setting of the caller's reaches it.
pub fn clear_settings(command: &mut Command) {
    let ours = |name: &OsString| name.to_string_lossy().starts_with("OVS_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
}
