//! `ovs-plugin start` as PID 1 of namespaces of its own: order, restarts, orphans, the end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::place::{BRIDGE, Place, older_schema, schema};
use crate::support::{
    self, Answer, Call, Namespace, children, descendants, name_of, run_to_end, spawn_daemon, wait_until,
};

const LIMIT: Duration = Duration::from_secs(40);

/// A running `ovs-plugin start`. All of it is killed when dropped.
pub struct Started {
    pub place: Place,
    pub net: Namespace,
    /// unshare(1), which ends as its child, PID 1, does.
    outer: Child,
}

impl Started {
    pub fn new(place: Place) -> Started {
        let net = Namespace::new();
        let mut command = net.command("setpriv");
        place.set_environment(&mut command);
        // 3 and 4 are open as they are under the host agent, whose pipes no daemon may hold.
        command
            .args(["--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
            .args(["sh", "-c", "exec \"$0\" start 3>>\"$1\" 4>>\"$1\""])
            .arg(support::BINARY)
            .arg(place.directory().join("agents-pipe"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.directory().join("said")).unwrap());
        let outer = spawn_daemon(command);
        Started { place, net, outer }
    }

    /// Started, and ready for commands.
    pub fn ready(place: Place) -> Started {
        let started = Started::new(place);
        started.wait_ready();
        started
    }

    #[track_caller]
    pub fn wait_ready(&self) {
        let output = run_to_end(&mut self.place.plugin(&["wait-ready", "--timeout", "40"]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "not ready: {said}\n{}", self.said());
    }

    /// The container's log.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.directory().join("said")).unwrap()).into_owned()
    }

    fn wait_until_said(&self, text: &str, times: usize) {
        assert!(wait_until(LIMIT, || self.said().matches(text).count() >= times), "{text:?}?\n{}", self.said());
    }

    /// PID 1, as it is seen from here.
    fn init(&self) -> u32 {
        let found = || children(self.outer.id()).first().copied();
        assert!(wait_until(LIMIT, || found().is_some()), "PID 1 is gone\n{}", self.said());
        found().unwrap()
    }

    fn descendants(&self) -> Vec<u32> {
        descendants(self.init())
    }

    /// The process of a program, which has to be there sooner or later.
    pub fn pid_of(&self, program: &str) -> u32 {
        let found = || self.descendants().into_iter().find(|pid| name_of(*pid).as_deref() == Some(program));
        assert!(wait_until(LIMIT, || found().is_some()), "{program} does not run\n{}", self.said());
        found().unwrap_or_else(|| panic!("{program} is gone again"))
    }

    pub fn signal(&self, pid: u32, signal: Signal) {
        assert!(self.descendants().contains(&pid));
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// Kills a program and waits until another process of that name runs, and all is ready.
    fn kill_and_wait(&self, program: &str) {
        let before = self.pid_of(program);
        self.signal(before, Signal::SIGKILL);
        assert!(wait_until(LIMIT, || name_of(before).is_none()), "{program} does not die");
        self.pid_of(program);
        self.wait_ready();
    }

    /// A command of the plugin, run beside the daemons.
    fn call(&self, name: &str, arguments: Value) -> Answer {
        let mut command = self.net.command(support::BINARY);
        self.place.set_environment(&mut command);
        Call::of(command).arg(name).arg(arguments.to_string()).run()
    }

    /// SIGTERM, and how it ended.
    fn stop(&mut self) -> ExitStatus {
        self.signal(self.init(), Signal::SIGTERM);
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let ended = wait_until(LIMIT, || self.outer.try_wait().unwrap().is_some());
        assert!(ended, "it does not end\n{}", self.said());
        self.outer.wait().unwrap()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        // Everything in the namespace dies with its PID 1.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

/// The changes of the database since it was made, oldest first, read from its file.
fn changes(place: &Place) -> Vec<Value> {
    let text = String::from_utf8(place.database_bytes()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("OVSDB JSON"));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// For each change that sets or takes away flow-restore-wait: its time in ms, and which of both it is.
fn holds(place: &Place) -> Vec<(i64, bool)> {
    let mut held = false;
    let mut all = Vec::new();
    for change in changes(place) {
        for row in change["Open_vSwitch"].as_object().into_iter().flat_map(|rows| rows.values()) {
            let Some(config) = row.get("other_config") else { continue };
            let named = config.to_string().contains(r#"["flow-restore-wait","true"]"#);
            // A record of differences names what comes as well as what goes.
            let now = if change["_is_diff"] == true { held ^ named } else { named };
            if now != held {
                held = now;
                all.push((change["_date"].as_i64().unwrap(), now));
            }
        }
    }
    all
}

/// The times in ms since the epoch at which ovs-vswitchd has begun, from its log.
fn vswitchd_begun(started: &Started) -> Vec<i64> {
    let log = fs::read_to_string(started.place.log().join("ovs-vswitchd.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("|vlog|INFO|opened log file"));
    let milliseconds = |line: &str| {
        let date = run_to_end(Command::new("date").args(["-u", "+%s%3N", "-d", line.split('|').next().unwrap()]));
        String::from_utf8(date.stdout).unwrap().trim().parse().unwrap()
    };
    lines.map(milliseconds).collect()
}

#[test]
fn services_start_in_order_from_nothing_and_commands_work() {
    let started = Started::ready(Place::new());
    started.wait_until_said("ovs-plugin start: everything is running", 1);
    let said = started.said();
    let order = ["ovs-plugin init: making the database", "ovsdb-server (Open vSwitch)", "ovs-vswitchd (Open vSwitch)"];
    let positions = order.map(|text| said.find(text).unwrap_or_else(|| panic!("{text}?\n{said}")));
    assert!(positions.is_sorted(), "{said}");
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    assert!(started.net.has_link("br0"));
}

#[test]
fn an_older_database_is_converted_and_its_bridges_come_up() {
    let place = Place::with_database(&older_schema());
    place.transact(json!([{"op": "update", "table": "Bridge", "where": [], "row": {"datapath_type": "netdev"}}]));
    let started = Started::ready(place);
    assert_eq!(started.call("bridge-list", json!({})).ok(), json!([BRIDGE]));
}

#[test]
fn a_killed_ovsdb_server_comes_back() {
    let started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    started.kill_and_wait("ovsdb-server");
    started.wait_until_said("ovsdb-server ended (signal 9), starting it again", 1);
    started.call("bridge-add", json!({"bridge": "br1"})).ok();
    assert_eq!(started.call("bridge-list", json!({})).ok(), json!(["br0", "br1"]));
    assert!(started.net.has_link("br1"));
}

#[test]
fn a_killed_ovs_vswitchd_comes_back_and_takes_its_bridges_over() {
    let started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    started.kill_and_wait("ovs-vswitchd");
    started.call("bridge-add", json!({"bridge": "br1"})).ok();
    assert!(started.net.has_link("br0") && started.net.has_link("br1"));
}

#[test]
fn a_vxlan_device_that_an_earlier_run_has_left_is_told_and_not_removed() {
    let started = Started::ready(Place::new());
    started.net.run(&["ip", "link", "add", "vtep7", "type", "vxlan", "id", "7", "dstport", "4789"]);
    started.kill_and_wait("ovs-vswitchd");
    started.wait_until_said("left by an earlier run, maybe: vtep7; ovs-plugin gc removes it", 1);
    assert!(started.net.run(&["ip", "link"]).contains("vtep7"));
}

#[test]
fn the_wrapper_of_ovs_vswitchd_that_is_killed_takes_the_daemon_with_it_and_both_come_back() {
    let started = Started::ready(Place::new());
    let daemon = started.pid_of("ovs-vswitchd");
    let init = started.init();
    let wrapper = children(init).into_iter().find(|pid| children(*pid).contains(&daemon)).unwrap();
    started.signal(wrapper, Signal::SIGKILL);
    assert!(wait_until(LIMIT, || name_of(daemon).is_none()), "ovs-vswitchd has lost its wrapper and goes on");
    assert_ne!(started.pid_of("ovs-vswitchd"), daemon);
    started.wait_ready();
}

#[test]
fn flows_are_held_whenever_ovs_vswitchd_starts_and_no_longer_once_it_is_ready() {
    let started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    for starts in 1..=3 {
        let released = wait_until(LIMIT, || holds(&started.place).len() == 2 * starts);
        let holds = holds(&started.place);
        assert!(released, "{holds:?}\n{}", started.said());
        let begun = vswitchd_begun(&started);
        assert_eq!(begun.len(), starts);
        let (set, released) = (holds[2 * starts - 2], holds[2 * starts - 1]);
        assert_eq!((set.1, released.1), (true, false), "{holds:?}");
        assert!(set.0 <= begun[starts - 1] && begun[starts - 1] <= released.0, "{holds:?} {begun:?}");
        assert!(!started.place_other_config().contains("flow-restore-wait"));
        if starts < 3 {
            started.kill_and_wait("ovs-vswitchd");
        }
    }
}

impl Started {
    fn place_other_config(&self) -> String {
        support::Database::new(self.place.run().join("db.sock")).rows("Open_vSwitch")[0]["other_config"].to_string()
    }
}

#[test]
fn orphans_are_reaped() {
    let started = Started::ready(Place::new());
    let init = started.init();
    let mut command = started.net.command("nsenter");
    command.arg(format!("--pid=/proc/{init}/ns/pid"));
    // The shell ends at once and leaves its child behind.
    command.args(["--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"]);
    assert!(run_to_end(&mut command).status.success());
    let orphan = || children(init).into_iter().find(|pid| name_of(*pid).as_deref() == Some("sleep"));
    assert!(wait_until(LIMIT, || orphan().is_some()), "the orphan did not come to PID 1");
    let orphan = orphan().unwrap();
    started.signal(orphan, Signal::SIGKILL);
    let gone = wait_until(LIMIT, || !PathBuf::from(format!("/proc/{orphan}")).exists());
    assert!(gone, "the orphan stays a zombie");
    started.wait_ready();
}

#[test]
fn no_daemon_holds_the_host_agents_pipes() {
    let started = Started::ready(Place::new());
    let open = |pid: u32| -> Vec<PathBuf> {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        links.filter_map(|link| fs::read_link(link.ok()?.path()).ok()).collect()
    };
    let pipe = started.place.directory().join("agents-pipe");
    assert!(open(started.init()).contains(&pipe), "the test itself is wrong: nothing to inherit");
    for pid in started.descendants().into_iter().skip(1) {
        assert!(!open(pid).contains(&pipe), "{:?} holds it", name_of(pid));
    }
}

#[test]
fn sigterm_ends_everything_cleanly() {
    let mut started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    let status = started.stop();
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", started.said());
    let left: Vec<_> = fs::read_dir(started.place.run()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!started.said().contains("killed"), "{}", started.said());
    assert_eq!(started.place.bridges(), ["br0"]);
}

#[test]
fn ovsdb_server_is_there_until_ovs_vswitchd_has_ended() {
    let mut started = Started::ready(Place::new());
    let (server, daemon) = (started.pid_of("ovsdb-server"), started.pid_of("ovs-vswitchd"));
    started.signal(daemon, Signal::SIGSTOP);
    // A thread that still runs would take the next signal.
    let stopped = || {
        let threads = fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
        let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        threads.flatten().all(|thread| status(thread).contains("State:\tT"))
    };
    assert!(wait_until(LIMIT, stopped), "ovs-vswitchd does not stop");
    started.signal(started.init(), Signal::SIGTERM);
    // The signals of a stopped process stay pending.
    let told = || {
        let status = fs::read_to_string(format!("/proc/{daemon}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (Signal::SIGTERM as u64 - 1)) != 0
    };
    assert!(wait_until(LIMIT, told), "ovs-vswitchd is not told to end\n{}", started.said());
    thread::sleep(Duration::from_millis(200));
    assert_eq!(name_of(server).as_deref(), Some("ovsdb-server"));
    started.signal(daemon, Signal::SIGCONT);
    assert_eq!(started.wait().code(), Some(0), "{}", started.said());
}

#[test]
fn it_can_be_stopped_while_ovs_vswitchd_does_not_react() {
    let mut started = Started::ready(Place::new());
    let daemon = started.pid_of("ovs-vswitchd");
    started.signal(daemon, Signal::SIGSTOP);
    let status = started.stop();
    assert_eq!(status.code(), Some(0), "{}", started.said());
    started.place.root();
}

#[test]
fn after_a_restart_everything_is_as_it_was() {
    let mut started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    started.stop();
    let id = started.place.system_id();
    let place = std::mem::replace(&mut started.place, Place::new());
    drop(started);
    let started = Started::ready(place);
    assert_eq!(started.call("bridge-list", json!({})).ok(), json!(["br0"]));
    assert!(started.net.has_link("br0"));
    let database = support::Database::new(started.place.run().join("db.sock"));
    assert!(database.rows("Open_vSwitch")[0]["external_ids"].to_string().contains(&id));
}

#[test]
fn after_everything_was_killed_at_once_it_starts_again() {
    let mut started = Started::ready(Place::new());
    started.call("bridge-add", json!({"bridge": "br0"})).ok();
    started.signal(started.init(), Signal::SIGKILL);
    started.wait();
    assert!(fs::read_dir(started.place.run()).unwrap().count() > 0, "nothing was left behind");
    let place = std::mem::replace(&mut started.place, Place::new());
    drop(started);
    let started = Started::ready(place);
    assert_eq!(started.call("bridge-list", json!({})).ok(), json!(["br0"]));
}

#[test]
fn an_init_that_fails_ends_it_with_the_reason() {
    let place = Place::with_database(&schema());
    fs::write(place.database(), "garbage").unwrap();
    let mut started = Started::new(place);
    let status = started.wait();
    let said = started.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("conf.db is kept as it is, but can't be used"), "{said}");
    assert!(said.contains("ovs-init failed"), "{said}");
    assert!(!said.contains("ovsdb-server (Open vSwitch)"), "{said}");
    assert_eq!(started.place.database_bytes(), b"garbage");
}
