//! A switch with a server of the plugin's on it, what can go wrong with them, and calls by both doors.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::model::{DEVICES, MASTERS, Operation};
use crate::random::Random;
use crate::support::proxy::{Fate, From, Proxy, is_write, operations};
use crate::support::{BINARY, SCHEMA_FILE, Switch, clear_settings, run_to_end, spawn_daemon, wait_until};

/// The deadline of every command.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// How much later it may end, on a machine that has nothing else to do: it takes back what does not work.
pub const GRACE: Duration = Duration::from_secs(1);

/// How long a command may take before it is given up as one that never ends.
const LIMIT: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    None,
    DatabaseKilled,
    DatabaseStopped,
    VswitchdKilled,
    VswitchdStopped,
    RequestLost,
    ReplyLost,
    SocketRemoved,
    DiskFull,
    Conversion,
    Compaction,
}

pub const FAULTS: [Fault; 11] = [
    Fault::None,
    Fault::DatabaseKilled,
    Fault::DatabaseStopped,
    Fault::VswitchdKilled,
    Fault::VswitchdStopped,
    Fault::RequestLost,
    Fault::ReplyLost,
    Fault::SocketRemoved,
    Fault::DiskFull,
    Fault::Conversion,
    Fault::Compaction,
];

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::DatabaseKilled => "ovsdb-server killed",
            Fault::DatabaseStopped => "ovsdb-server stopped",
            Fault::VswitchdKilled => "ovs-vswitchd killed",
            Fault::VswitchdStopped => "ovs-vswitchd stopped",
            Fault::RequestLost => "connection cut before the request",
            Fault::ReplyLost => "connection cut before the reply",
            Fault::SocketRemoved => "socket removed",
            Fault::DiskFull => "disk full",
            Fault::Conversion => "database converted",
            Fault::Compaction => "database compacted",
        }
    }

    /// Whether ovs-vswitchd may be away while a command is carried out.
    pub fn is_of_vswitchd(self) -> bool {
        matches!(self, Fault::VswitchdKilled | Fault::VswitchdStopped)
    }
}

/// By which way a command comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    OneShot,
    Server,
}

/// What a command said of itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    Done(Value),
    /// Nothing was changed; whether the state of the switch was the reason.
    Refused {
        about_the_switch: bool,
        interface: bool,
    },
    /// The database holds it.
    Committed,
    Unknown,
    /// Neither a result nor an error.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub claim: Claim,
    /// All that was said.
    pub text: String,
    pub elapsed: Duration,
    /// How long the command and its observer waited for a processor.
    pub starved: Duration,
}

/// The connection to be cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Only requests that write count.
    writes: bool,
    /// After so many requests that count.
    after: u64,
    /// Before the request reaches the server, or else before its reply reaches the client.
    request: bool,
}

#[derive(Default)]
struct Plan {
    cut: Option<Cut>,
    /// The reply that is not to arrive.
    reply: Option<Value>,
}

pub struct World {
    pub switch: Switch,
    server: Child,
    proxy: Proxy,
    plan: Arc<Mutex<Plan>>,
    converted: bool,
    active: Fault,
}

impl World {
    pub fn new() -> World {
        let mut builder = Switch::builder().on_small_disk();
        for device in DEVICES {
            builder = builder.veth(device, &format!("{device}p"));
        }
        let switch = builder.start();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let judged = plan.clone();
        let proxy =
            Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), move |from, message| {
                judge(&mut judged.lock().unwrap(), from, message)
            });
        let server = start_server(&switch, &proxy.remote());
        World { switch, server, proxy, plan, converted: false, active: Fault::None }
    }

    /// What the server has logged last.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.switch.directory().join("serve.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("the server logged last:\n{}", lines[lines.len().saturating_sub(6)..].join("\n"))
    }

    /// Makes sure that there are the bridges that networks run over.
    pub fn make_masters(&self) {
        for name in MASTERS {
            let words = ["--may-exist", "add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev"];
            self.switch.vsctl(&words);
        }
    }

    fn socket(&self) -> PathBuf {
        self.switch.directory().join("ovs-plugin.sock")
    }

    /// Lets something go wrong. False if it can't be done here.
    pub fn inject(&mut self, fault: Fault, random: &mut Random) -> bool {
        self.active = fault;
        match fault {
            Fault::None => {}
            Fault::DatabaseKilled => self.switch.kill_database(),
            Fault::DatabaseStopped => self.switch.pause_database(),
            Fault::VswitchdKilled => self.switch.kill_vswitchd(),
            Fault::VswitchdStopped => self.switch.pause_vswitchd(),
            Fault::RequestLost | Fault::ReplyLost => {
                let writes = random.one_in(2);
                let after = if writes { 0 } else { random.below(4) };
                let cut = Cut { writes, after, request: fault == Fault::RequestLost };
                *self.plan.lock().unwrap() = Plan { cut: Some(cut), reply: None };
            }
            Fault::SocketRemoved => fs::rename(self.switch.database.socket(), self.away()).unwrap(),
            Fault::DiskFull => return self.fill_disk(),
            Fault::Conversion => self.convert(),
            Fault::Compaction => self.compact(),
        }
        true
    }

    fn away(&self) -> PathBuf {
        self.switch.directory().join("away.sock")
    }

    /// Leaves no space for a single record, nor in the last block of the database's file.
    fn fill_disk(&self) -> bool {
        if !self.switch.fill_disk() {
            return false;
        }
        let full = (0..100).any(|length| {
            let comment = json!({"op": "comment", "comment": "x".repeat(1000 - length * 10)});
            self.switch.database.try_transact(&[count_up(), comment]).is_err()
        });
        assert!(full, "the disk does not become full");
        true
    }

    fn convert(&mut self) {
        let mut schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA_FILE).unwrap()).unwrap();
        self.converted = !self.converted;
        if self.converted {
            schema["version"] = json!("8.99.0");
            schema["tables"]["Bridge"]["columns"]["chaos"] = json!({"type": "string"});
            schema.as_object_mut().unwrap().remove("cksum");
        }
        let file = self.switch.directory().join("schema");
        fs::write(&file, schema.to_string()).unwrap();
        let mut command = self.switch.tool("ovsdb-client");
        command.args(["--timeout=20", "convert", &self.switch.remote()]).arg(file);
        let output = run_to_end(&mut command);
        assert!(output.status.success(), "{output:?}");
    }

    fn compact(&self) {
        let mut command = self.switch.tool("ovs-appctl");
        command.args(["--timeout=20", "--target=ovsdb-server", "ovsdb-server/compact"]);
        let output = run_to_end(&mut command);
        // A write that is under way is in the way of compaction; that is no fault of anybody.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("not possible"), "{output:?}");
    }

    /// Undoes the fault, and returns when all that the database holds is applied.
    pub fn heal(&mut self) {
        *self.plan.lock().unwrap() = Plan::default();
        if self.active == Fault::SocketRemoved {
            fs::rename(self.away(), self.switch.database.socket()).unwrap();
        }
        self.switch.empty_disk();
        self.switch.bring_back();
        if self.active == Fault::DiskFull {
            self.compact();
        }
        self.active = Fault::None;
        self.proxy.take();
    }

    /// Removes what a bridge left in the kernel that was deleted while ovs-vswitchd was away: the userspace datapath
    /// begins anew and does not know of it.
    pub fn remove_devices_without_bridges(&self) {
        let Ok(state) = crate::observe::observe(&self.switch) else { return };
        for (name, kind) in state["devices"].as_object().unwrap() {
            if *kind == "bridge" && state["bridges"].get(name).is_none() {
                let mut command = self.switch.net.command("ip");
                // It may go by itself at this moment.
                run_to_end(command.args(["link", "delete", "dev", name]));
            }
        }
    }

    /// Begins a command. Commands by way of the server, and those whose connection is to be cut, go through the proxy.
    pub fn begin(&self, operation: &Operation, door: Door) -> thread::JoinHandle<Answer> {
        let through_proxy = self.plan.lock().unwrap().cut.is_some();
        match door {
            Door::OneShot => {
                let remote = if through_proxy { self.proxy.remote() } else { self.switch.remote() };
                let call = self.switch.prepare(operation.command, operation.arguments.clone());
                let call = call.env("OVS_PLUGIN_DB", remote).env("OVS_PLUGIN_TIMEOUT", DEADLINE.as_secs().to_string());
                let call = call.limit(LIMIT);
                thread::spawn(move || {
                    let own = Starved::of("thread-self");
                    let mut running = call.spawn();
                    let mut starved = Duration::ZERO;
                    let pid = running.pid().to_string();
                    wait_until(LIMIT, || {
                        starved = waited_for_processor(&pid).unwrap_or(starved);
                        running.has_ended()
                    });
                    let answer = running.wait();
                    let claim = match (answer.exit, &answer.body) {
                        (Some(0), Some(result)) => Claim::Done(result.clone()),
                        (Some(1), Some(Value::String(text))) => claim_of(text),
                        _ => Claim::Nothing,
                    };
                    let text = answer.error.clone().unwrap_or_else(|| format!("{} {}", answer.stdout, answer.stderr));
                    Answer { claim, text, elapsed: answer.elapsed, starved: starved + own.since() }
                })
            }
            Door::Server => {
                let (socket, pid, operation) = (self.socket(), self.server.id().to_string(), operation.clone());
                thread::spawn(move || {
                    let starved = [Starved::of("thread-self"), Starved::of(&pid)];
                    let begun = Instant::now();
                    let reply = post(&socket, &operation);
                    let elapsed = begun.elapsed();
                    let starved = starved.iter().map(Starved::since).sum();
                    let (claim, text) = match reply {
                        Ok(reply) if reply.get("result").is_some() => {
                            (Claim::Done(reply["result"].clone()), String::new())
                        }
                        Ok(reply) => {
                            let claim = match reply["error"]["data"]["committed"].as_str() {
                                Some("yes") => Claim::Committed,
                                Some("unknown") => Claim::Unknown,
                                Some("no") => {
                                    let kind = reply["error"]["data"]["kind"].as_str().unwrap_or_default();
                                    let about = ["bad-argument", "not-found", "exists", "conflict"].contains(&kind);
                                    Claim::Refused { about_the_switch: about, interface: kind == "interface" }
                                }
                                _ => Claim::Nothing,
                            };
                            (claim, reply["error"].to_string())
                        }
                        Err(error) => (Claim::Nothing, error),
                    };
                    Answer { claim, text, elapsed, starved }
                })
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.switch.directory().join("serve.log")).unwrap_or_default());
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A change that changes nothing.
fn count_up() -> Value {
    json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]})
}

fn judge(plan: &mut Plan, from: From, message: &Value) -> Fate {
    match from {
        From::Client => {
            let Some(cut) = &mut plan.cut else { return Fate::Pass };
            let counts = if cut.writes { is_write(message) } else { operations(message).is_some() };
            if !counts || message["id"].is_null() {
                return Fate::Pass;
            }
            if cut.after > 0 {
                cut.after -= 1;
                return Fate::Pass;
            }
            let request = cut.request;
            // `cut` stays, so that it can be told that the proxy is in use; it does not come to it again.
            cut.after = u64::MAX;
            if request {
                return Fate::Cut;
            }
            plan.reply = Some(message["id"].clone());
            Fate::Pass
        }
        From::Server if plan.reply.as_ref().is_some_and(|id| *id == message["id"]) => {
            plan.reply = None;
            Fate::Cut
        }
        From::Server => Fate::Pass,
    }
}

fn start_server(switch: &Switch, remote: &str) -> Child {
    let mut command: Command = switch.net.command("setpriv");
    clear_settings(&mut command);
    let log = fs::File::create(switch.directory().join("serve.log")).unwrap();
    command
        .args(["--pdeathsig", "KILL", "--", BINARY, "serve"])
        .env("OVS_RUNDIR", switch.directory())
        .env("OVS_PLUGIN_DB", remote)
        .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
        .env("OVS_PLUGIN_TIMEOUT", DEADLINE.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let child = spawn_daemon(command);
    let socket = switch.directory().join("ovs-plugin.sock");
    assert!(wait_until(LIMIT, || UnixStream::connect(&socket).is_ok()), "the server does not listen");
    child
}

/// One JSON-RPC call over HTTP.
fn post(socket: &PathBuf, operation: &Operation) -> Result<Value, String> {
    let method = format!("ovs.{}", operation.command);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": operation.arguments}).to_string();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let exchange = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    let reply = exchange().map_err(|error| error.to_string())?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP: {reply:?}"))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(reply);
    }
    serde_json::from_str(body).map_err(|error| format!("{error}: {body:?}"))
}

/// What an error of a single command says of its effects (docs/commands.md, "Errors").
fn claim_of(text: &str) -> Claim {
    let says = |part: &str| text.contains(part);
    if says("it is unknown whether the database holds the change") {
        Claim::Unknown
    } else if says("the database holds the change, but")
        || says("the change was made, but what follows it failed")
        || says("the change is still there, because taking it back failed")
    {
        Claim::Committed
    } else {
        let environment = [
            "nothing was committed",
            "not connected to the database",
            "the database refused the change",
            "internal error",
        ];
        let interface = says("the change was taken back");
        let about_the_switch = !interface && !environment.iter().any(|part| says(part));
        Claim::Refused { about_the_switch, interface }
    }
}

/// The time that a process has waited for a processor while it could run (Documentation/scheduler/sched-stats.rst).
fn waited_for_processor(process: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').nth(1)?.parse().ok()?))
}

struct Starved {
    process: String,
    before: Duration,
}

impl Starved {
    fn of(process: &str) -> Starved {
        Starved { process: process.into(), before: waited_for_processor(process).unwrap_or_default() }
    }

    fn since(&self) -> Duration {
        waited_for_processor(&self.process).unwrap_or_default().saturating_sub(self.before)
    }
}
