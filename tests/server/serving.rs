//! A server on a switch of the test's own, and what it answers to curl.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{BINARY, Switch, run_to_end, spawn_daemon, wait_until};

/// How long anything may take that is waited for.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A running `ovs-plugin serve`. It is killed when dropped; if the test fails, what it said is printed.
pub struct Server {
    pub switch: Switch,
    process: Child,
    pub socket: PathBuf,
}

impl Server {
    /// On a switch with both daemons and no bridge.
    pub fn new() -> Server {
        Server::on(Switch::new(), &[], &[])
    }

    /// On this switch, with further arguments and variables.
    pub fn on(switch: Switch, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let socket = switch.directory().join("ovs-plugin.sock");
        let process = spawn_daemon(command(&switch, arguments, variables));
        let server = Server { switch, process, socket };
        server.wait_until_it_answers();
        server
    }

    /// Of an ordinary user, who may not see where the program lies. `groups` are arguments of setpriv(1). Only root can
    /// start one.
    pub fn of_user(
        switch: Switch,
        user: &str,
        groups: &[&str],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Server {
        let (command, socket) = command_of_user(&switch, user, groups, arguments, variables);
        let server = Server { switch, process: spawn_daemon(command), socket };
        server.wait_until_it_answers();
        server
    }

    /// Starts another one in place of one that has ended.
    pub fn start_again(&mut self) {
        self.process = spawn_daemon(command(&self.switch, &[], &[]));
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let listens = wait_until(LIMIT, || UnixStream::connect(&self.socket).is_ok());
        assert!(listens, "the server does not listen on {}:\n{}", self.socket.display(), self.said());
    }

    /// A connection that the server has accepted, and that stays open. (One that was closed a moment ago may still
    /// have its place, so this may take several attempts.)
    pub fn take_place(&self) -> UnixStream {
        let mut place = None;
        let taken = wait_until(LIMIT, || {
            let mut stream = UnixStream::connect(&self.socket).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            let served = answer == *b"HTTP/1.1 200";
            place = served.then_some(stream);
            served
        });
        assert!(taken, "no place for a connection");
        place.unwrap()
    }

    /// How many connections it has, the one that asks included.
    pub fn connections(&self) -> u32 {
        let (_, text) = self.page("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("ovs_plugin_connections "));
        line.expect("the metric is there").parse().unwrap()
    }

    /// What it has written to stderr.
    pub fn said(&self) -> String {
        fs::read_to_string(log(&self.switch)).unwrap_or_default()
    }

    /// The address of a listener whose port the system has chosen.
    pub fn tcp_address(&self) -> String {
        let said = self.said();
        let line = said.lines().find_map(|line| line.split_once("listening on tcp:")).expect("it listens on TCP");
        line.1.to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(LIMIT, || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("the server does not end:\n{}", self.said()))
    }

    /// curl, on its way to the socket; the URL is yet to be said.
    pub fn curl(&self) -> Command {
        let mut command = self.switch.net.command("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--unix-socket"]).arg(&self.socket);
        command
    }

    /// Fetches a page: its status, and its text.
    pub fn page(&self, path: &str) -> (u16, String) {
        let mut command = self.curl();
        command.arg(format!("http://localhost{path}"));
        with_status(command)
    }

    /// Posts a text as a JSON-RPC request: the HTTP status, and the text of the answer.
    pub fn post(&self, body: &str) -> (u16, String) {
        with_status(self.posting(body))
    }

    /// curl, about to post a text as a JSON-RPC request.
    pub fn posting(&self, body: &str) -> Command {
        let file = self.switch.directory().join(format!("body-{}", uuid::Uuid::new_v4()));
        fs::write(&file, body).unwrap();
        let mut command = self.curl();
        command.args(["--header", "Content-Type: application/json", "--data-binary"]);
        command.arg(format!("@{}", file.display())).arg("http://localhost/");
        command
    }

    /// Posts a request, whose answer has to come with status 200.
    #[track_caller]
    pub fn ask(&self, body: &Value) -> Value {
        let (status, text) = self.post(&body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
    }

    /// The result of a call that has to succeed.
    #[track_caller]
    pub fn ok(&self, command: &str, arguments: Value) -> Value {
        let answer = self.ask(&request(7, command, arguments));
        assert!(answer.get("error").is_none() && answer["id"] == 7 && answer["jsonrpc"] == "2.0", "{answer:#}");
        answer["result"].clone()
    }

    /// The error of a call that has to fail.
    #[track_caller]
    pub fn failed(&self, command: &str, arguments: Value) -> Value {
        let answer = self.ask(&request(7, command, arguments));
        assert!(answer.get("result").is_none() && answer["id"] == 7, "{answer:#}");
        answer["error"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's stderr\n{}", self.said());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A JSON-RPC request for a command.
pub fn request(id: u32, command: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": format!("ovs.{command}"), "params": arguments})
}

/// Runs curl, and splits what it got into the HTTP status and the text.
pub fn with_status(mut command: Command) -> (u16, String) {
    command.args(["--write-out", "\n%{http_code}"]);
    let output = run_to_end(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (text, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{command:?}: {output:?}"));
    (status.parse().unwrap(), text.to_owned())
}

/// The process that a server will be.
fn command(switch: &Switch, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = switch.tool("setpriv");
    command.args(["--pdeathsig", "KILL", "--", BINARY, "serve"]).args(arguments);
    with_settings(command, switch, variables)
}

/// The process that an ordinary user's server will be, and its socket.
pub fn command_of_user(
    switch: &Switch,
    user: &str,
    groups: &[&str],
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Command, PathBuf) {
    let directory = switch.directory().join(format!("of-{user}"));
    fs::create_dir_all(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(user.parse().unwrap()), None).unwrap();
    let socket = directory.join("ovs-plugin.sock");
    let mut command = program_of_user(switch, user, groups);
    command.args(["serve", "--listen"]).arg(format!("unix:{}", socket.display())).args(arguments);
    (with_settings(command, switch, variables), socket)
}

/// The program as an ordinary user executes it, without arguments so far.
pub fn program_of_user(switch: &Switch, user: &str, groups: &[&str]) -> Command {
    let mut command = switch.tool("sh");
    // Opened by root, executed by the user.
    command.args(["-c", r#"exec 9<"$0"; exec setpriv --pdeathsig KILL "$@""#, BINARY, "--reuid", user]).args(groups);
    command.args(["--", "/proc/self/fd/9"]).env("OVS_PLUGIN_DB", switch.remote());
    command
}

fn with_settings(mut command: Command, switch: &Switch, variables: &[(&str, &str)]) -> Command {
    command
        .env("OVS_PLUGIN_DB", switch.remote())
        .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
        .env("OVS_PLUGIN_TIMEOUT", "30")
        .envs(variables.iter().copied());
    let log = fs::File::options().create(true).append(true).open(log(switch)).unwrap();
    command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
}

fn log(switch: &Switch) -> PathBuf {
    switch.directory().join("serve.log")
}

/// Whether somebody listens there.
pub fn is_alive(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Says that a test is not run, past the capture of what passing tests print.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: skipped, {why}");
}
