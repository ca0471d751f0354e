//! Processes that end when the test process does, and waiting that ends.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Looks every few milliseconds whether `done`; false when `limit` has passed before.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The output of a command that has to succeed, or a panic with all that it said.
pub fn output_of(command: Command) -> String {
    outputs_of(command).0
}

/// Runs a command that has to succeed, and gives what it wrote to stdout and to stderr.
#[track_caller]
pub fn outputs_of(mut command: Command) -> (String, String) {
    let output = run(&mut command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command to its end, without an input.
pub fn run(command: &mut Command) -> Output {
    requirements();
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Starts a daemon that the kernel kills when this process ends.
///
/// The parent-death signal belongs to the thread that forks, and a test's thread may end before what it started is
/// done with. So a thread that lives as long as the process starts all of them.
pub fn spawn_daemon(command: Command) -> Child {
    type Order = (Command, SyncSender<std::io::Result<Child>>);
    static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    requirements();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, receiver) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in receiver {
                // The asker waits for the reply, so it is there to take it.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let described = format!("{command:?}");
    let (reply, child) = mpsc::sync_channel(1);
    keeper.lock().unwrap().send((command, reply)).unwrap();
    child.recv().unwrap().unwrap_or_else(|e| panic!("{described}: {e}"))
}

/// The processes that a process has started, or inherited as PID 1 of its namespace.
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A process and all below it.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        all.extend(children(all[next]));
        next += 1;
    }
    all
}

/// The name of a process, unless it is gone or a zombie.
pub fn name_of(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
    if field("State:")?.starts_with('Z') { None } else { field("Name:") }
}

/// A process that does nothing but hold a namespace, for as long as this process keeps the pipe to it open.
pub struct Holder {
    child: Child,
}

impl Holder {
    /// `command` has to end in executing `cat` in the namespace that is to be held.
    pub fn start(mut command: Command) -> Result<Holder, String> {
        let describe = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{describe}: {e}"))?;
        // cat gives the byte back once it runs, and it runs only when the namespace is there.
        let mut byte = [0];
        let echoed = child.stdin.as_mut().unwrap().write_all(b"\n").is_ok()
            && child.stdout.as_mut().unwrap().read_exact(&mut byte).is_ok();
        if !echoed {
            let mut said = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut said);
            let _ = child.wait();
            return Err(format!("{describe}: {}", said.trim()));
        }
        Ok(Holder { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new directory with a short path: the address of a unix socket holds 108 bytes.
///
/// All of them lie in one directory per process, which a process at the end of a pipe removes: also when this process
/// is killed, and nobody's `drop` runs.
pub fn scratch_directory() -> PathBuf {
    static BASE: OnceLock<(PathBuf, Child)> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (base, _) = BASE.get_or_init(|| {
        let base = PathBuf::from(format!("/tmp/ovs-plugin-test-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir(&base).unwrap_or_else(|e| panic!("{}: {e}", base.display()));
        let remover = Command::new("sh")
            // Daemons that are being killed may still write: hence a second round.
            .args(["-c", "cat; rm -rf \"$1\" || { sleep 1; rm -rf \"$1\"; }", "remover"])
            .arg(&base)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (base, remover)
    });
    let directory = base.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    fs::create_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    directory
}

/// Whether this process may make network namespaces by itself.
pub fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| nix::unistd::geteuid().is_root())
}

/// Panics with one clear message when the machine lacks something that every test needs.
pub fn requirements() {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    if let Some(missing) = MISSING.get_or_init(|| look_for_requirements().err()) {
        panic!("the tests cannot run here: {missing}");
    }
}

fn look_for_requirements() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |tool: &str| {
        std::env::split_paths(&path).chain(SYSTEM_DIRECTORIES.map(PathBuf::from)).any(|d| d.join(tool).exists())
    };
    let tools =
        ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ip", "ping", "nsenter", "unshare", "setpriv"];
    let absent: Vec<_> = tools.into_iter().filter(|tool| !in_path(tool)).collect();
    if !absent.is_empty() {
        return Err(format!("{} not found; `make setup` installs what is missing", absent.join(", ")));
    }
    if !Path::new(super::database::SCHEMA_FILE).exists() {
        return Err(format!("{} not found; `make setup` installs it", super::database::SCHEMA_FILE));
    }
    // The userspace datapath makes its internal ports as tap devices.
    fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map(drop)
        .map_err(|e| format!("/dev/net/tun: {e}; as root: modprobe tun && chmod 0666 /dev/net/tun"))
}

/// An ordinary user's PATH may lack the directories of the daemons.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The PATH with the directories in which the daemons are.
pub fn search_path() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM_DIRECTORIES.map(PathBuf::from));
    std::env::join_paths(directories).expect("the directories of PATH can be joined again")
}
