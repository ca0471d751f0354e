//! Network namespaces that nobody else sees.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::process::{self, Holder};

/// A network namespace, held open by a process in it; gone with everything in it when dropped.
///
/// It has no name, so nothing is left in `/run/netns`. An ordinary user's namespaces all belong to one user namespace,
/// made at the first need, so that links can move between them.
pub struct Namespace {
    holder: Holder,
}

impl Namespace {
    pub fn new() -> Namespace {
        process::requirements();
        let mut command = if process::is_root() {
            Command::new("unshare")
        } else {
            let mut command = Command::new("nsenter");
            command.args(as_owner()).args(["--", "unshare"]);
            command
        };
        command.args(["--net", "--", "cat"]);
        let holder = Holder::start(command).unwrap_or_else(|e| panic!("cannot make a network namespace: {e}"));
        let namespace = Namespace { holder };
        namespace.up("lo");
        namespace
    }

    /// The process that holds the namespace: `/proc/<pid>/ns/net` is the namespace.
    pub fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// A command that will run in the namespace. Its process id is that of the program itself.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        if !process::is_root() {
            command.args(as_owner());
        }
        command.arg(format!("--net=/proc/{}/ns/net", self.pid())).arg("--").arg(program);
        command.env("PATH", process::search_path());
        command
    }

    /// Moves the calling thread into the namespace, which only root can do.
    pub fn enter(&self) {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Runs a command that has to succeed, and gives its output.
    pub fn run(&self, words: &[&str]) -> String {
        let mut command = self.command(words[0]);
        command.args(&words[1..]);
        process::output_of(command)
    }

    /// A pair of connected devices, both up.
    pub fn veth(&self, a: &str, b: &str) {
        self.run(&["ip", "link", "add", "name", a, "type", "veth", "peer", "name", b]);
        self.up(a);
        self.up(b);
    }

    /// A pair of connected devices, both up: `a` here, `b` in the other namespace.
    pub fn veth_to(&self, other: &Namespace, a: &str, b: &str) {
        let pid = other.pid().to_string();
        self.run(&["ip", "link", "add", "name", a, "type", "veth", "peer", "name", b, "netns", &pid]);
        self.up(a);
        other.up(b);
    }

    pub fn up(&self, device: &str) {
        self.run(&["ip", "link", "set", "dev", device, "up"]);
    }

    /// Gives a device an address such as `10.0.0.1/24`.
    pub fn addr(&self, device: &str, address: &str) {
        self.run(&["ip", "address", "add", address, "dev", device]);
    }

    /// Whether the namespace has a device of that name.
    pub fn has_link(&self, device: &str) -> bool {
        let mut command = self.command("ip");
        command.args(["link", "show", "dev", device]);
        process::run(&mut command).status.success()
    }

    /// Whether one echo request is answered within a second.
    pub fn ping(&self, address: &str) -> bool {
        let mut command = self.command("ping");
        command.args(["-n", "-q", "-c", "1", "-W", "1", address]);
        process::run(&mut command).status.success()
    }

    /// Whether an echo request is answered sooner or later: the first may be lost while the switch learns.
    pub fn reaches(&self, address: &str) -> bool {
        process::wait_until(Duration::from_secs(10), || self.ping(address))
    }

    /// Whether several echo requests in a row stay without an answer.
    pub fn never_reaches(&self, address: &str) -> bool {
        let mut command = self.command("ping");
        command.args(["-n", "-q", "-c", "4", "-i", "0.2", "-W", "1", address]);
        // 1: sent, but not answered. Anything else above 0 means that ping could not even try.
        match process::run(&mut command).status.code() {
            Some(0) => false,
            Some(1) => true,
            status => panic!("{command:?}: exit status {status:?}"),
        }
    }
}

/// The arguments with which `nsenter` becomes the owner of this process's user namespace.
fn as_owner() -> Vec<String> {
    static OWNER: OnceLock<Result<Holder, String>> = OnceLock::new();
    let owner = OWNER.get_or_init(|| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--", "cat"]);
        Holder::start(command)
    });
    match owner {
        Ok(owner) => vec![format!("--user=/proc/{}/ns/user", owner.pid()), "--preserve-credentials".into()],
        Err(e) => panic!(
            "the tests cannot run here: an ordinary user may not make user namespaces ({e}); run them as root, or allow \
             it: sysctl user.max_user_namespaces=10000 and, where these exist, \
             sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
        ),
    }
}
