//! What processes that are gone have left is removed; what belongs to a living one stays.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use crate::place::{BRIDGE, LOCK, Place, schema};
use crate::support::{Database, spawn_daemon, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

/// An ovsdb-server of the test's own.
pub struct Server {
    child: Child,
    files: Vec<PathBuf>,
}

impl Server {
    /// Serves a database of the place, with its files named like those of the container.
    pub fn start(place: &Place, database: PathBuf) -> Server {
        let file = |name: &str| place.run().join(name);
        let files = vec![file("db.sock"), file("ovsdb-server.pid"), file("ovsdb-server.ctl")];
        let mut command = Command::new("setpriv");
        place.set_environment(&mut command);
        command
            .args(["--pdeathsig", "KILL", "--", "ovsdb-server", "-vconsole:off"])
            .arg(database)
            .arg(format!("--remote=punix:{}", files[0].display()))
            .arg(format!("--pidfile={}", files[1].display()))
            .arg(format!("--unixctl={}", files[2].display()));
        let child = spawn_daemon(command);
        let server = Server { child, files };
        assert!(wait_until(LIMIT, || Database::new(server.files[0].clone()).answers()), "ovsdb-server does not answer");
        server
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn files_of_dead_processes_are_removed() {
    let place = Place::with_database(&schema());
    let mut server = Server::start(&place, place.database());
    server.kill();
    assert!(server.files.iter().all(|file| file.exists()));
    let said = place.init_ok();
    for file in &server.files {
        assert!(!file.exists(), "{} is still there", file.display());
        assert!(said.contains(&format!("removed {}", file.display())), "{said}");
    }
    assert_eq!(place.bridges(), [BRIDGE]);
}

#[test]
fn a_pid_file_whose_number_now_belongs_to_another_process_is_removed() {
    let place = Place::with_database(&schema());
    let file = place.run().join("ovs-vswitchd.pid");
    fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    let said = place.init_ok();
    assert!(!file.exists(), "{said}");
}

#[test]
fn a_database_in_use_and_the_files_of_its_server_stay() {
    let place = Place::with_database(&schema());
    let server = Server::start(&place, place.database());
    let before = place.files();
    let said = place.init_ok();
    assert_eq!(place.files(), before, "{said}");
    assert!(said.contains(&format!("an ovsdb-server uses {}", place.database().display())), "{said}");
    assert!(Database::new(server.files[0].clone()).answers());
}

#[test]
fn the_files_of_a_living_server_of_another_database_stay() {
    let place = Place::with_database(&schema());
    let other = place.directory().join("other.db");
    fs::copy(place.database(), &other).unwrap();
    let server = Server::start(&place, other);
    place.init_ok();
    assert!(server.files.iter().all(|file| file.exists()));
    assert!(Database::new(server.files[0].clone()).answers());
    assert_eq!(place.system_id(), "the-same-as-ever");
}

#[test]
fn sockets_that_are_listened_on_stay_and_so_do_files_of_other_kinds() {
    let place = Place::with_database(&schema());
    let listened = place.run().join("somebody.sock");
    let _listener = UnixListener::bind(&listened).unwrap();
    let left = place.run().join("nobody.sock");
    drop(UnixListener::bind(&left).unwrap());
    let note = place.run().join("note");
    fs::write(&note, "1\n").unwrap();
    place.init_ok();
    assert!(listened.exists() && note.exists() && !left.exists());
}

#[test]
fn a_socket_whose_server_accepts_nobody_costs_nothing() {
    let place = Place::with_database(&schema());
    let path = place.run().join("busy.sock");
    let stream = |flags| socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let address = UnixAddr::new(&path).unwrap();
    let listener = stream(SockFlag::SOCK_CLOEXEC);
    socket::bind(listener.as_raw_fd(), &address).unwrap();
    socket::listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let client = stream(SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC);
        match socket::connect(client.as_raw_fd(), &address) {
            Ok(()) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full, Errno::EAGAIN);
    // Waiting for a place would take until init's own deadline, and fail.
    place.init_ok();
    assert!(path.exists());
    drop((listener, waiting));
    place.init_ok();
    assert!(!path.exists());
}

#[test]
fn a_lock_file_that_can_not_be_locked_is_an_error_and_not_a_server() {
    let place = Place::with_database(&schema());
    place.transact(
        serde_json::json!([{"op": "update", "table": "Open_vSwitch", "where": [], "row": {"ovs_version": "1"}}]),
    );
    let lock = place.database().with_file_name(LOCK);
    fs::create_dir(&lock).unwrap();
    let before = place.files();
    let said = place.init().unwrap_err();
    assert!(said.contains(&format!("the lock file {}: ", lock.display())), "{said}");
    assert_eq!(place.files(), before);
    fs::remove_dir(&lock).unwrap();
    place.init_ok();
    assert_ne!(place.root()["ovs_version"], "1");
}
