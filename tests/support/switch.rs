//! A switch of the test's own: `ovsdb-server` and `ovs-vswitchd` in a namespace and a directory that nobody else uses.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Namespace;
use super::database::{self, Database};
use super::docker;
use super::plugin::{self, Answer, Call};
use super::process::{self, Holder};
use super::proxy::Proxy;
use super::schemas;
use super::state;

/// How long a daemon may take to do what it is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// A private switch. Everything is gone when it is dropped; if the test fails, the daemons' last words are printed.
pub struct Switch {
    pub net: Namespace,
    pub database: Database,
    directory: PathBuf,
    /// Between `ovs-vswitchd` and a database of an old schema.
    proxy: Option<Proxy>,
    disk: Option<Holder>,
    ovsdb_server: Mutex<Daemon>,
    ovs_vswitchd: Mutex<Daemon>,
}

/// What a switch begins with.
pub struct Builder {
    vswitchd: bool,
    database: bool,
    root_row: bool,
    schema: Option<Value>,
    small_disk: bool,
    links: Vec<(String, String)>,
}

impl Builder {
    /// `ovs-vswitchd` is not running yet.
    pub fn without_vswitchd(mut self) -> Builder {
        self.vswitchd = false;
        self
    }

    /// Neither daemon is running yet, and there is no socket. The database's file is there.
    pub fn without_database(mut self) -> Builder {
        self.database = false;
        self.vswitchd = false;
        self
    }

    /// The database has no row at all, as `ovsdb-tool create` leaves it.
    pub fn empty_database(mut self) -> Builder {
        self.root_row = false;
        self
    }

    /// The database has this schema, and `ovs-vswitchd` writes only what that has.
    pub fn schema(mut self, schema: Value) -> Builder {
        self.schema = Some(schema);
        self
    }

    /// The database lies on a small file system that only `ovsdb-server` sees, and that can be filled. If this process
    /// may not mount one, the database lies where it always does, and [`Switch::fill_disk`] says so.
    pub fn on_small_disk(mut self) -> Builder {
        self.small_disk = true;
        self
    }

    /// A pair of connected devices that is there, and up, before the switch.
    pub fn veth(mut self, a: &str, b: &str) -> Builder {
        self.links.push((a.into(), b.into()));
        self
    }

    pub fn start(self) -> Switch {
        let net = Namespace::new();
        for (a, b) in &self.links {
            net.veth(a, b);
        }
        let directory = process::scratch_directory();
        let (file, socket) = (directory.join("conf.db"), directory.join("db.sock"));
        match &self.schema {
            Some(schema) => database::create_of(schema, &file),
            None => database::create(&file, self.root_row),
        }
        let proxy = self.schema.map(|schema| {
            let edit = move |from, message: &mut Value| schemas::writes_of_that_time(&schema, from, message);
            Proxy::editing(&directory.join("old.sock"), &socket, edit)
        });
        let disk = if self.small_disk { small_disk(&directory) } else { None };
        let switch = Switch {
            net,
            database: Database::new(socket),
            directory,
            proxy,
            disk,
            ovsdb_server: Mutex::new(Daemon::new("ovsdb-server")),
            ovs_vswitchd: Mutex::new(Daemon::new("ovs-vswitchd")),
        };
        if self.database {
            switch.start_database();
        }
        if self.vswitchd {
            switch.start_vswitchd();
        }
        switch
    }
}

impl Switch {
    /// A switch with both daemons running and no bridge.
    pub fn new() -> Switch {
        Switch::builder().start()
    }

    pub fn builder() -> Builder {
        Builder { vswitchd: true, database: true, root_row: true, schema: None, small_disk: false, links: Vec::new() }
    }

    /// Where the sockets, the database, the logs and the pid files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `OVS_PLUGIN_DB` says for this switch.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.database.socket().display())
    }

    // The plugin

    /// A run of the plugin without arguments so far, in the namespace, with the settings of this switch.
    pub fn call(&self) -> Call {
        let mut command = self.net.command(plugin::BINARY);
        plugin::clear_settings(&mut command);
        command
            .env("OVS_PLUGIN_DB", self.remote())
            .env("OVS_RUNDIR", &self.directory)
            .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
            .env("OVS_PLUGIN_TIMEOUT", "30");
        Call::of(command)
    }

    /// A run of one command, to be changed, run or spawned.
    pub fn prepare(&self, command: &str, arguments: impl Into<Value>) -> Call {
        self.call().arg(command).arg(arguments.into().to_string())
    }

    pub fn plugin(&self, command: &str, arguments: impl Into<Value>) -> Answer {
        self.prepare(command, arguments).run()
    }

    /// The result of a command that has to succeed.
    #[track_caller]
    pub fn ok(&self, command: &str, arguments: impl Into<Value>) -> Value {
        self.plugin(command, arguments).ok()
    }

    /// The message of a command that has to fail and to change nothing.
    #[track_caller]
    pub fn refused(&self, command: &str, arguments: impl Into<Value>) -> String {
        let call = self.prepare(command, arguments);
        self.unchanged_by(|| call.run().failed())
    }

    /// Does something, after which everything has to be as it was.
    #[track_caller]
    pub fn unchanged_by<T>(&self, action: impl FnOnce() -> T) -> T {
        let before = self.dump();
        let result = action();
        // Devices come and go a moment after the database has changed.
        let mut after = self.dump();
        process::wait_until(Duration::from_secs(1), || {
            after = self.dump();
            after == before
        });
        assert!(before == after, "something has changed:\n{}", state::difference(&before, &after));
        result
    }

    // What there is

    /// Everything in the database that is configuration, by table and row, and the kernel's links.
    pub fn dump(&self) -> Value {
        state::dump(&self.database, &self.net)
    }

    /// The normalised state, as `tests/golden/README.md` describes it, once two readings agree.
    pub fn state(&self) -> Value {
        state::settled(&self.database, &self.net)
    }

    // Changes from outside

    /// Runs `ovs-vsctl`, which has to succeed and is waited for. What ovs-vswitchd can't set up is a failure, as it is for
    /// ovs-vsctl itself since Open vSwitch 3.6; older ones only say so.
    #[track_caller]
    pub fn vsctl(&self, words: &[&str]) -> String {
        let mut command = self.tool("ovs-vsctl");
        command.arg("--timeout=20").arg(format!("--db={}", self.remote())).args(words);
        let (output, said) = process::outputs_of(command);
        assert!(!said.contains("Error detected while setting up"), "ovs-vsctl {words:?}: {said}");
        output.trim_end().to_owned()
    }

    /// A tool of Open vSwitch that finds this switch's daemons, in the namespace.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = self.net.command(program);
        plugin::clear_settings(&mut command);
        command.env("OVS_RUNDIR", &self.directory).env("OVS_LOGDIR", &self.directory).env("OVS_DBDIR", &self.directory);
        command
    }

    /// Sends operations to the database as one transaction, all of which have to succeed.
    pub fn transact(&self, operations: &[Value]) -> Vec<Value> {
        self.database.transact(operations)
    }

    // The daemons

    pub fn start_database(&self) {
        let file = self.file();
        self.start(&self.ovsdb_server, &[file.to_str().unwrap(), &format!("--remote=p{}", self.remote())]);
    }

    /// Whether the tests were asked to use the image's `ovsdb-server` instead of the machine's.
    pub fn database_is_in_docker() -> bool {
        match std::env::var("OVS_PLUGIN_TEST_TARGET").as_deref() {
            Err(_) | Ok("" | "machine") => false,
            Ok("docker") => true,
            Ok(other) => panic!("OVS_PLUGIN_TEST_TARGET is {other:?}, expected docker or machine"),
        }
    }

    /// Ends `ovsdb-server`; its socket is gone afterwards.
    pub fn stop_database(&self) {
        lock(&self.ovsdb_server).stop();
    }

    /// Kills `ovsdb-server` as the kernel does when memory runs out, and starts it again at once. Returns when it answers,
    /// whatever `ovs-vswitchd` makes of that.
    pub fn kill_database_and_start_it(&self) {
        lock(&self.ovsdb_server).kill();
        let file = self.file();
        self.launch(&self.ovsdb_server, &[file.to_str().unwrap(), &format!("--remote=p{}", self.remote())]);
        let answers = process::wait_until(LIMIT, || self.database.answers());
        assert!(answers, "ovsdb-server does not answer\n{}", self.logs());
    }

    /// Kills `ovsdb-server`, whose socket stays behind.
    pub fn kill_database(&self) {
        lock(&self.ovsdb_server).kill();
    }

    /// Kills `ovs-vswitchd`.
    pub fn kill_vswitchd(&self) {
        lock(&self.ovs_vswitchd).kill();
    }

    /// Undoes whatever was done to the daemons: both run, and `ovs-vswitchd` has applied all that the database holds.
    pub fn bring_back(&self) {
        for daemon in [&self.ovsdb_server, &self.ovs_vswitchd] {
            let mut daemon = lock(daemon);
            if daemon.paused && daemon.process.is_some() {
                daemon.resume();
            }
        }
        if !lock(&self.ovsdb_server).works() {
            lock(&self.ovsdb_server).kill();
            let file = self.file();
            self.launch(&self.ovsdb_server, &[file.to_str().unwrap(), &format!("--remote=p{}", self.remote())]);
        }
        if !lock(&self.ovs_vswitchd).works() {
            lock(&self.ovs_vswitchd).kill();
            self.launch(&self.ovs_vswitchd, &[&self.remote_of_vswitchd()]);
        }
        self.catch_up();
    }

    /// The file of the database, as `ovsdb-server` sees it.
    fn file(&self) -> PathBuf {
        match &self.disk {
            Some(_) => self.directory.join("disk/conf.db"),
            None => self.directory.join("conf.db"),
        }
    }

    /// What takes up the space on the small disk, as this process sees it.
    fn filler(&self) -> Option<PathBuf> {
        let disk = self.disk.as_ref()?;
        let directory = self.directory.strip_prefix("/").unwrap();
        Some(PathBuf::from(format!("/proc/{}/root", disk.pid())).join(directory).join("disk/filler"))
    }

    /// Leaves no space on the small disk. False if there is none, since this process may not mount one.
    pub fn fill_disk(&self) -> bool {
        let Some(filler) = self.filler() else { return false };
        let mut file = fs::File::create(filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        true
    }

    /// Makes space on the small disk again.
    pub fn empty_disk(&self) {
        let Some(filler) = self.filler() else { return };
        let _ = fs::remove_file(&filler);
        // A process that was started a moment ago may have the file open until it executes its program.
        let free = || {
            let there = rustix::fs::statvfs(filler.parent().unwrap()).unwrap();
            there.f_bavail * there.f_frsize > 1 << 20
        };
        assert!(process::wait_until(LIMIT, free), "the disk stays full");
    }

    pub fn pause_database(&self) {
        lock(&self.ovsdb_server).pause();
    }

    pub fn resume_database(&self) {
        lock(&self.ovsdb_server).resume();
        self.catch_up();
    }

    pub fn start_vswitchd(&self) {
        self.start(&self.ovs_vswitchd, &[&self.remote_of_vswitchd()]);
    }

    fn remote_of_vswitchd(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.remote(), Proxy::remote)
    }

    /// Ends `ovs-vswitchd`. Its bridges' devices stay: they are there for the next one to take over.
    pub fn stop_vswitchd(&self) {
        lock(&self.ovs_vswitchd).stop();
    }

    pub fn pause_vswitchd(&self) {
        lock(&self.ovs_vswitchd).pause();
    }

    pub fn resume_vswitchd(&self) {
        lock(&self.ovs_vswitchd).resume();
        self.catch_up();
    }

    fn start(&self, daemon: &Mutex<Daemon>, arguments: &[&str]) {
        self.launch(daemon, arguments);
        self.catch_up();
    }

    fn launch(&self, daemon: &Mutex<Daemon>, arguments: &[&str]) {
        let name = lock(daemon).name;
        let mut words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        words.push(format!("--pidfile={}", self.directory.join(name).with_extension("pid").display()));
        words.push(format!("--log-file={}", self.log(name).display()));
        words.extend(["-vconsole:off", "-vfile:info"].map(str::to_owned));
        if name == "ovsdb-server" && Switch::database_is_in_docker() {
            lock(daemon).start_in_docker(&self.directory, &words);
        } else {
            // setpriv comes last, since entering a user namespace would clear the signal again.
            let mut command = match &self.disk {
                Some(disk) if name == "ovsdb-server" => {
                    let mut command = self.tool("nsenter");
                    command.arg(format!("--mount=/proc/{}/ns/mnt", disk.pid())).args(["--", "setpriv"]);
                    command
                }
                _ => self.tool("setpriv"),
            };
            command.args(["--pdeathsig", "KILL", "--", name]).args(words);
            lock(daemon).start(command);
        }
    }

    /// Returns when the database answers and `ovs-vswitchd`, if it runs, has applied all that the database holds.
    fn catch_up(&self) {
        if !lock(&self.ovsdb_server).works() {
            return;
        }
        assert!(
            process::wait_until(LIMIT, || self.database.answers()),
            "ovsdb-server does not answer\n{}",
            self.logs()
        );
        if !lock(&self.ovs_vswitchd).works() {
            return;
        }
        // A daemon that has just begun may not have looked yet, while the numbers still agree from before: so ask for
        // one more round, and wait for that one.
        let numbers = ["next_cfg", "cur_cfg"];
        let select = json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": numbers});
        let bump = json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]});
        let rows = self.transact(&[bump, select.clone()])[1]["rows"].clone();
        // A switch without its one row has nothing to apply.
        let Some(target) = rows[0]["next_cfg"].as_i64() else {
            return;
        };
        let applied = || self.transact(std::slice::from_ref(&select))[0]["rows"][0]["cur_cfg"].as_i64() >= Some(target);
        assert!(process::wait_until(LIMIT, applied), "ovs-vswitchd does not catch up\n{}", self.logs());
    }

    fn log(&self, daemon: &str) -> PathBuf {
        self.directory.join(daemon).with_extension("log")
    }

    /// The last lines of what the daemons have logged.
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read(self.log(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(25)..];
            format!("--- {name}.log\n{}\n", last.join("\n"))
        };
        tail("ovsdb-server") + &tail("ovs-vswitchd")
    }
}

/// A file system of the test's own for the database, in a mount namespace of its own.
fn small_disk(directory: &Path) -> Option<Holder> {
    let script =
        r#"mkdir "$0/disk" && mount -t tmpfs -o size=24m tmpfs "$0/disk" && cp "$0/conf.db" "$0/disk" && exec cat"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", script]).arg(directory);
    Holder::start(command).ok()
}

impl Drop for Switch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for daemon in [&self.ovs_vswitchd, &self.ovsdb_server] {
            lock(daemon).kill();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The daemon, also after a panic of whoever held it.
fn lock(daemon: &Mutex<Daemon>) -> MutexGuard<'_, Daemon> {
    daemon.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One of the two daemons, and whether it runs.
struct Daemon {
    name: &'static str,
    process: Option<Process>,
    paused: bool,
}

/// Where it runs.
enum Process {
    Here(Child),
    Docker { container: String, pid: u32 },
}

impl Process {
    fn pid(&self) -> u32 {
        match self {
            Process::Here(child) => child.id(),
            Process::Docker { pid, .. } => *pid,
        }
    }

    fn runs(&mut self) -> bool {
        match self {
            Process::Here(child) => matches!(child.try_wait(), Ok(None)),
            Process::Docker { pid, .. } => process::name_of(*pid).is_some(),
        }
    }

    /// Ends it in whatever state it is.
    fn kill(&mut self) {
        match self {
            Process::Here(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Process::Docker { container, .. } => docker::remove(container),
        }
    }
}

impl Daemon {
    fn new(name: &'static str) -> Daemon {
        Daemon { name, process: None, paused: false }
    }

    fn start(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "{} is running already", self.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::Here(process::spawn_daemon(command)));
    }

    /// Starts the image's one, which sees nothing of the machine but the switch's directory, and its processes: as
    /// PID 1 of a namespace of its own it could not end by a signal.
    fn start_in_docker(&mut self, directory: &Path, arguments: &[String]) {
        assert!(self.process.is_none(), "{} is running already", self.name);
        assert!(process::is_root(), "OVS_PLUGIN_TEST_TARGET=docker needs root, to whom the container's sockets belong");
        let (container, label) = (docker::container_name(), docker::own_name());
        let (volume, program) = (format!("{0}:{0}", directory.display()), format!("/usr/sbin/{}", self.name));
        let environment = format!("OVS_RUNDIR={}", directory.display());
        let mut words = vec!["run", "--detach", "--name", &container, "--label", &label, "--no-healthcheck"];
        words.extend(["--network", "none", "--pid", "host", "--volume", &volume, "--env", &environment]);
        words.extend(["--entrypoint", &program, docker::image()]);
        words.extend(arguments.iter().map(String::as_str));
        docker::docker(&words);
        let pid = docker::docker(&["inspect", "--format", "{{.State.Pid}}", &container]).parse().unwrap();
        assert_ne!(pid, 0, "{} has ended at once", self.name);
        self.process = Some(Process::Docker { container, pid });
    }

    /// It runs and is not paused.
    fn works(&mut self) -> bool {
        !self.paused && self.process.as_mut().is_some_and(Process::runs)
    }

    fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut process = self.process.take().expect("signal() has checked that it runs");
        let ended = process::wait_until(LIMIT, || !process.runs());
        assert!(ended, "{} does not end", self.name);
        process.kill();
    }

    fn pause(&mut self) {
        self.signal(Signal::SIGSTOP);
        self.paused = true;
    }

    fn resume(&mut self) {
        self.paused = false;
        self.signal(Signal::SIGCONT);
    }

    /// Ends the daemon in whatever state it is.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    fn signal(&mut self, signal: Signal) {
        assert!(self.works(), "{} is not running", self.name);
        let pid = self.process.as_ref().expect("it runs").pid();
        signal::kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }
}
