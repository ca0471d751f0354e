//! Database servers that are more than one: clusters and their members, relays, and servers without the database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Namespace;
use super::database::{Database, SCHEMA_FILE};
use super::plugin::{self, Answer, Call};
use super::process;

/// How long a server may take to do what it is waited for: elections take seconds, several of them may be needed.
const LIMIT: Duration = Duration::from_secs(60);

/// An `ovsdb-server` with a directory of its own, on unix sockets. It ends with its owner, and with the test.
pub struct Server {
    pub database: Database,
    directory: PathBuf,
    source: String,
    process: Option<Child>,
}

impl Server {
    /// Serves what `source` makes of a directory: a file, or a relay's source.
    fn start(source: impl FnOnce(&Path) -> String) -> Server {
        let directory = process::scratch_directory();
        let source = source(&directory);
        let database = Database::new(directory.join("db.sock"));
        let mut server = Server { database, directory, source, process: None };
        server.start_again();
        server
    }

    /// With a database of something else.
    pub fn without_database() -> Server {
        Server::start(|directory| {
            let [file, schema] = ["conf.db", "schema"].map(|name| directory.join(name).display().to_string());
            fs::write(&schema, json!({"name": "Other", "version": "1.0.0", "tables": {}}).to_string()).unwrap();
            tool(&["create", &file, &schema]);
            file
        })
    }

    /// A relay of the database behind a remote.
    pub fn relay_of(remote: &str) -> Server {
        Server::start(|_| format!("relay:Open_vSwitch:{remote}"))
    }

    /// A member of a cluster that never gets into it, as nobody is where it asks.
    pub fn that_never_joins() -> Server {
        Server::start(|directory| join(directory, &directory.join("nobody")))
    }

    /// A further member of the cluster of another.
    pub fn joining(other: &Server) -> Server {
        Server::start(|directory| join(directory, &other.directory.join("raft")))
    }

    pub fn remote(&self) -> String {
        format!("unix:{}", self.database.socket().display())
    }

    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is running already");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "ovsdb-server"]);
        command.arg(format!("--remote=p{}", self.remote()));
        command.arg(format!("--unixctl={}", self.directory.join("ctl").display()));
        command.arg(format!("--log-file={}", self.directory.join("log").display())).arg("-vconsole:off");
        command.arg(&self.source);
        self.process = Some(process::spawn_daemon(silent(command, &self.directory)));
        assert!(process::wait_until(LIMIT, || self.database.answers()), "ovsdb-server does not answer\n{}", self.log());
    }

    /// Ends it as the kernel does when memory runs out.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_file(self.database.socket());
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.process.as_ref().expect("the server runs").id();
        signal::kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// From now on the other members hear nothing of it, nor it of them. Returns when it has noticed.
    pub fn cut_off(&self) {
        self.control(&["cluster/failure-test", "stop-raft-rpc"]);
        let noticed = process::wait_until(LIMIT, || self.place().is_some_and(|place| place["connected"] == false));
        assert!(noticed, "{:?}\n{}", self.place(), self.log());
    }

    /// The server's row for the database.
    pub fn place(&self) -> Option<Value> {
        let columns = ["model", "connected", "leader"];
        let of_database = json!([["name", "==", "Open_vSwitch"]]);
        let select = json!({"op": "select", "table": "Database", "where": of_database, "columns": columns});
        let results = self.database.request("transact", json!(["_Server", select])).ok()?;
        results[0]["rows"].as_array()?.first().cloned()
    }

    pub fn is(&self, connected: bool, leader: bool) -> bool {
        self.place().is_some_and(|place| place["connected"] == connected && place["leader"] == leader)
    }

    fn control(&self, words: &[&str]) {
        let mut command = Command::new("ovs-appctl");
        command.env("PATH", process::search_path()).arg("-t").arg(self.directory.join("ctl")).args(words);
        process::output_of(command);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}, {:?}\n{}", self.directory.display(), self.place(), self.log());
        }
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn join(directory: &Path, other: &Path) -> String {
    let file = directory.join("conf.db");
    let (own, other) = (directory.join("raft"), other.display());
    let remotes = [format!("unix:{}", own.display()), format!("unix:{other}")];
    tool(&["join-cluster", file.to_str().unwrap(), "Open_vSwitch", &remotes[0], &remotes[1]]);
    file.to_str().unwrap().to_owned()
}

/// Runs ovsdb-tool.
pub fn tool(words: &[&str]) {
    let mut command = Command::new("ovsdb-tool");
    command.env("PATH", process::search_path()).args(words);
    process::output_of(command);
}

fn silent(mut command: Command, run: &Path) -> Command {
    command.env("PATH", process::search_path()).env("OVS_RUNDIR", run);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A switch whose database is a cluster: its members, and `ovs-vswitchd` in a namespace of its own.
pub struct Cluster {
    pub net: Namespace,
    pub members: Vec<Server>,
    directory: PathBuf,
    vswitchd: Child,
}

impl Cluster {
    pub fn new(members: usize) -> Cluster {
        let first = Server::start(|directory| {
            let file = directory.join("conf.db");
            let own = format!("unix:{}", directory.join("raft").display());
            tool(&["create-cluster", file.to_str().unwrap(), SCHEMA_FILE, &own]);
            file.to_str().unwrap().to_owned()
        });
        let leads = process::wait_until(LIMIT, || first.is(true, true));
        assert!(leads, "the first member does not lead: {:?}", first.place());
        first.database.transact(&[json!({"op": "insert", "table": "Open_vSwitch", "row": {}})]);
        let mut all = vec![first];
        for _ in 1..members {
            let further = Server::joining(&all[0]);
            let joined = process::wait_until(LIMIT, || further.is(true, false));
            assert!(joined, "a member does not join: {:?}", further.place());
            all.push(further);
        }
        let net = Namespace::new();
        let directory = process::scratch_directory();
        let remotes: Vec<String> = all.iter().map(Server::remote).collect();
        let mut command = net.command("setpriv");
        plugin::clear_settings(&mut command);
        command.args(["--pdeathsig", "KILL", "--", "ovs-vswitchd", &remotes.join(","), "--pidfile", "-vconsole:off"]);
        command.arg(format!("--log-file={}", directory.join("ovs-vswitchd.log").display()));
        let vswitchd = process::spawn_daemon(silent(command, &directory));
        Cluster { net, members: all, directory, vswitchd }
    }

    /// The member that leads, and the others.
    pub fn by_leadership(&self) -> (&Server, Vec<&Server>) {
        let mut leader = None;
        let found = process::wait_until(LIMIT, || {
            leader = self.members.iter().position(|member| member.is(true, true));
            leader.is_some()
        });
        assert!(found, "there is no leader");
        let leader = &self.members[leader.unwrap()];
        (leader, self.members.iter().filter(|member| !std::ptr::eq(*member, leader)).collect())
    }

    /// A run of the plugin with these remotes.
    pub fn call(&self, servers: &[&Server]) -> Call {
        let remotes: Vec<String> = servers.iter().map(|server| server.remote()).collect();
        call(&self.net, &self.directory, &remotes.join(","))
    }

    pub fn plugin(&self, servers: &[&Server], command: &str, arguments: Value) -> Answer {
        self.call(servers).arg(command).arg(arguments.to_string()).run()
    }
}

/// A run of the plugin with these remotes, without arguments so far.
pub fn call(net: &Namespace, run: &Path, remotes: &str) -> Call {
    let mut command = net.command(plugin::BINARY);
    plugin::clear_settings(&mut command);
    command
        .env("OVS_PLUGIN_DB", remotes)
        .env("OVS_RUNDIR", run)
        .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
        .env("OVS_PLUGIN_TIMEOUT", "30");
    Call::of(command)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.directory.join("ovs-vswitchd.log")).unwrap_or_default());
        }
        let _ = self.vswitchd.kill();
        let _ = self.vswitchd.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
