//! An ovsdb-server of the test's own, and waiting for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ovsdb::operation::Operation;
use ovsdb::transaction::{OperationResult, TransactError, Transaction};
use ovsdb::{Address, Connection};

pub const DB: &str = "Open_vSwitch";
pub const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vswitch-8.3.1.ovsschema");

/// A server with an empty database of the Open vSwitch schema, ended with the test.
pub struct Server {
    pub directory: PathBuf,
    process: Child,
}

impl Server {
    pub fn start(name: &str) -> Server {
        Server::with_database(name, |file| run_tool(&["create", text(file), SCHEMA]))
    }

    /// The first member of a cluster, listening for others.
    pub fn start_cluster(name: &str) -> Server {
        Server::with_database(name, |file| {
            let address = format!("unix:{}", file.with_file_name("raft.sock").display());
            run_tool(&["create-cluster", text(file), SCHEMA, &address]);
        })
    }

    /// A further member.
    pub fn join_cluster(name: &str, first: &Server) -> Server {
        Server::with_database(name, |file| {
            let own = format!("unix:{}", file.with_file_name("raft.sock").display());
            let other = format!("unix:{}", first.directory.join("raft.sock").display());
            run_tool(&["join-cluster", text(file), DB, &own, &other]);
        })
    }

    fn with_database(name: &str, make: impl FnOnce(&Path)) -> Server {
        let directory = std::env::temp_dir().join(format!("ovsdb-client-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        make(&directory.join("conf.db"));
        let process = Server::spawn(&directory);
        Server { directory, process }
    }

    fn spawn(directory: &Path) -> Child {
        // The kernel ends the server with this thread, however that ends.
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ovsdb-server"])
            .arg(directory.join("conf.db"))
            .arg(format!("--remote=punix:{}", directory.join("db.sock").display()))
            .arg(format!("--unixctl={}", directory.join("ctl").display()))
            .arg(format!("--log-file={}", directory.join("log").display()))
            .arg("-vconsole:off")
            .env("OVS_RUNDIR", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn restart(&mut self) {
        self.stop();
        self.process = Server::spawn(&self.directory);
    }

    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.directory.join("db.sock"));
    }

    pub fn remote(&self) -> Address {
        Address::Unix(self.directory.join("db.sock"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// A command on the server's control socket.
    pub fn control(&self, words: &[&str]) {
        let mut command = Command::new("ovs-appctl");
        command.arg("-t").arg(self.directory.join("ctl")).args(words).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{words:?}");
    }

    /// Changes the text of the schema, and converts the running database to it.
    pub fn convert(&self, change: impl FnOnce(String) -> String) {
        let schema = std::fs::read_to_string(SCHEMA).unwrap();
        let schema: String = schema.lines().filter(|line| !line.contains("\"cksum\"")).collect::<Vec<_>>().join("\n");
        let file = self.directory.join("new.ovsschema");
        std::fs::write(&file, change(schema)).unwrap();
        let converted = Command::new("ovsdb-client").arg("convert").arg(self.remote().to_string()).arg(&file).status();
        assert!(converted.unwrap().success());
    }

    pub async fn connect(&self) -> Connection {
        let remote = self.remote();
        within(async {
            loop {
                match Connection::open(&remote).await {
                    Ok(connection) => return connection,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run_tool(words: &[&str]) {
    assert!(Command::new("ovsdb-tool").args(words).status().unwrap().success(), "{words:?}");
}

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("took too long")
}

pub async fn run(connection: &Connection, operations: Vec<Operation>) -> Result<Vec<OperationResult>, TransactError> {
    let mut transaction = Transaction::new();
    transaction.operations = operations;
    let count = transaction.operations.len();
    within(connection.transact(DB, &transaction)).await.unwrap().check(count)
}
