//! A private switch of a given size, and the changes that are made to it between the measurements.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Open vSwitch's default place, so that no program has to be told; a file system of our own is mounted there.
pub const RUN: &str = "/run";
pub const DIRECTORY: &str = "/run/openvswitch";
pub const SOCKET: &str = "/run/openvswitch/db.sock";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The bridge that every switch has.
pub const MASTER: &str = "br0";

/// How much is on the switch before anything is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many ports on the master, pairs of patch ports.
    Ports(usize),
    /// So many VLAN bridges, the VLANs from 1 on.
    Vlans(usize),
}

impl Size {
    pub fn label(self) -> String {
        match self {
            Size::Ports(count) => format!("{count} ports"),
            Size::Vlans(count) => format!("{count} VLANs"),
        }
    }

    /// Rows in the Port table, more or less: what the server has to search.
    pub fn rows(self) -> usize {
        match self {
            Size::Ports(count) => count + 1,
            Size::Vlans(count) => 3 * count + 1,
        }
    }
}

/// Running daemons; killed when dropped.
pub struct Switch {
    pub size: Size,
    database: Child,
    vswitchd: Child,
    /// How long ovs-vswitchd took to apply one small change, when nothing else was going on.
    pub change: Duration,
}

impl Drop for Switch {
    fn drop(&mut self) {
        for daemon in [&mut self.vswitchd, &mut self.database] {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Switch {
    /// Returns when the daemons have nothing left to do. Whoever downloads everything leaves ovsdb-server milliseconds
    /// of tidying up after its end, which whoever comes next would be charged with.
    pub fn settle(&self) -> Result<()> {
        const LOOK: Duration = Duration::from_millis(3);
        let started = Instant::now();
        let mut before = self.work()?;
        loop {
            std::thread::sleep(LOOK);
            let now = self.work()?;
            // ovs-vswitchd's threads look around now and then.
            if now.saturating_sub(before) < LOOK / 10 || started.elapsed() > Duration::from_secs(5) {
                return Ok(());
            }
            before = now;
        }
    }

    /// How long the daemons' threads have run (proc_pid_schedstat(5)).
    fn work(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for daemon in [&self.database, &self.vswitchd] {
            for thread in fs::read_dir(format!("/proc/{}/task", daemon.id()))? {
                // A thread may have ended since.
                let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
                nanoseconds += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Starts the daemons and fills the switch.
    pub fn start(size: Size) -> Result<Switch> {
        if Path::new(DIRECTORY).exists() {
            fs::remove_dir_all(DIRECTORY)?;
        }
        fs::create_dir_all(DIRECTORY)?;
        let file = format!("{DIRECTORY}/conf.db");
        let made = Command::new("ovsdb-tool").args(["create", &file, SCHEMA]).status()?;
        ensure!(made.success(), "ovsdb-tool create failed");
        let remote = format!("--remote=punix:{SOCKET}");
        let database = daemon("ovsdb-server", &[&file, &remote])?;
        wait("ovsdb-server", Duration::from_secs(10), || UnixStream::connect(SOCKET).is_ok())?;
        transact(json!([{"op": "insert", "table": "Open_vSwitch", "row": {}}]))?;
        let vswitchd = daemon("ovs-vswitchd", &[&format!("unix:{SOCKET}")])?;
        let mut switch = Switch { size, database, vswitchd, change: Duration::ZERO };
        switch.fill()?;
        // The first change after that is slower than those that follow.
        for _ in 0..2 {
            let started = Instant::now();
            change(vec![])?;
            switch.change = started.elapsed();
        }
        Ok(switch)
    }

    fn fill(&self) -> Result<()> {
        let mut rows = Rows::default();
        let mut ports = Vec::new();
        let mut bridges = Vec::new();
        match self.size {
            Size::Ports(count) => {
                for pair in 0..count / 2 {
                    ports.push(rows.patch(&format!("a{pair}"), &format!("b{pair}"), None));
                    ports.push(rows.patch(&format!("b{pair}"), &format!("a{pair}"), None));
                }
                let (outer, bridge) = rows.vlan(crate::cases::present_vlan(self.size));
                ports.push(outer);
                bridges.push(bridge);
            }
            Size::Vlans(count) => {
                for vlan in 1..=count {
                    let (outer, bridge) = rows.vlan(vlan);
                    ports.push(outer);
                    bridges.push(bridge);
                }
            }
        }
        bridges.push(rows.bridge(MASTER, ports));
        rows.operations.push(add_bridges(bridges));
        change(rows.operations)
    }

    pub fn vswitchd_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.vswitchd.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}

fn daemon(program: &str, arguments: &[&str]) -> Result<Child> {
    Command::new(program)
        .args(arguments)
        .args(["-vconsole:off", "--pidfile", &format!("--log-file={DIRECTORY}/{program}.log")])
        .env("OVS_RUNDIR", DIRECTORY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))
}

fn wait(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !done() {
        ensure!(started.elapsed() < limit, "{what} did not come to it within {} s", limit.as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Inserts that refer to each other.
#[derive(Default)]
pub struct Rows {
    pub operations: Vec<Value>,
}

impl Rows {
    fn named(&mut self, table: &str, name: &str, row: Value) -> Value {
        let id = format!("{}_{}", table, name.replace('-', "_"));
        self.operations.push(json!({"op": "insert", "table": table, "uuid-name": id, "row": row}));
        json!(["named-uuid", id])
    }

    /// A port over interfaces that are made already.
    pub fn port(&mut self, name: &str, interfaces: &[Value], columns: Value) -> Value {
        let mut row = columns;
        row["name"] = json!(name);
        row["interfaces"] = json!(["set", interfaces]);
        self.named("Port", name, row)
    }

    pub fn interface(&mut self, name: &str, columns: Value) -> Value {
        let mut row = columns;
        row["name"] = json!(name);
        self.named("Interface", name, row)
    }

    pub fn patch(&mut self, name: &str, peer: &str, tag: Option<usize>) -> Value {
        let options = json!(["map", [["peer", peer]]]);
        let interface = self.interface(name, json!({"type": "patch", "options": options}));
        let columns = tag.map_or_else(|| json!({}), |tag| json!({"tag": tag}));
        self.port(name, &[interface], columns)
    }

    /// A bridge with its local port and others.
    pub fn bridge(&mut self, name: &str, mut ports: Vec<Value>) -> Value {
        let interface = self.interface(name, json!({"type": "internal"}));
        ports.push(self.port(name, &[interface], json!({})));
        let row = json!({"name": name, "datapath_type": "netdev", "ports": ["set", ports]});
        self.named("Bridge", name, row)
    }

    /// What vlan-ensure makes of a VLAN: the port for the master, and the bridge.
    pub fn vlan(&mut self, vlan: usize) -> (Value, Value) {
        let (outer, inner) = (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
        let outer_port = self.patch(&outer, &inner, Some(vlan));
        let inner_port = self.patch(&inner, &outer, None);
        (outer_port, self.bridge(&format!("vlbr{vlan}"), vec![inner_port]))
    }
}

pub fn add_bridges(bridges: Vec<Value>) -> Value {
    json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", "insert", ["set", bridges]]]})
}

pub fn add_ports(bridge: &Value, ports: Vec<Value>) -> Value {
    let mutations = json!([["ports", "insert", ["set", ports]]]);
    json!({"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", bridge]], "mutations": mutations})
}

/// The identity of the row of a name.
pub fn uuid(table: &str, name: &str) -> Result<Value> {
    uuids(table, &[name.to_owned()])?.pop().with_context(|| format!("no {table} named {name}"))
}

/// The identities of those rows that exist.
fn uuids(table: &str, names: &[String]) -> Result<Vec<Value>> {
    let select = |name| json!({"op": "select", "table": table, "where": [["name", "==", name]], "columns": ["_uuid"]});
    let results = transact(names.iter().map(select).collect())?;
    let rows = results.iter().filter_map(|result| result["rows"].as_array()).flatten();
    Ok(rows.map(|row| row["_uuid"].clone()).collect())
}

/// Takes bridges away, those of them that exist.
pub fn remove_bridges(names: &[String]) -> Result<Vec<Value>> {
    let mutations = json!([["bridges", "delete", ["set", uuids("Bridge", names)?]]]);
    Ok(vec![json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutations})])
}

/// Takes ports from the master, those of them that exist.
pub fn remove_ports(names: &[String]) -> Result<Vec<Value>> {
    let mutations = json!([["ports", "delete", ["set", uuids("Port", names)?]]]);
    Ok(vec![json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", MASTER]], "mutations": mutations})])
}

/// How long ovs-vswitchd may take for the largest switch.
const PATIENCE: Duration = Duration::from_secs(900);

/// Makes a change, and waits until ovs-vswitchd has applied it.
pub fn change(mut operations: Vec<Value>) -> Result<()> {
    operations.extend(ask());
    let results = transact(operations.into())?;
    let row = &results.last().context("no results")?["rows"][0];
    let target = row["next_cfg"].as_i64().context("no next_cfg")?;
    let mut stream = UnixStream::connect(SOCKET)?;
    let select = json!([{"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"]}]);
    let started = Instant::now();
    // It asks seldom enough not to be in the way.
    let mut pause = Duration::from_micros(200);
    loop {
        let results = transact_on(&mut stream, select.clone())?;
        if results[0]["rows"][0]["cur_cfg"].as_i64() >= Some(target) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "ovs-vswitchd did not apply a change in time");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Counts `next_cfg` up, and asks for the new count.
pub fn ask() -> [Value; 2] {
    [
        json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}),
        json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}),
    ]
}

pub fn transact(operations: Value) -> Result<Vec<Value>> {
    transact_on(&mut UnixStream::connect(SOCKET)?, operations)
}

fn transact_on(stream: &mut UnixStream, operations: Value) -> Result<Vec<Value>> {
    stream.write_all(request(&operations).to_string().as_bytes())?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let reply: Value = loop {
        let length = stream.read(&mut piece)?;
        ensure!(length > 0, "ovsdb-server closed the connection");
        bytes.extend_from_slice(&piece[..length]);
        match serde_json::from_slice(&bytes) {
            Err(error) if error.is_eof() => {}
            reply => break reply?,
        }
    };
    let results = reply["result"].as_array().cloned().unwrap_or_default();
    if let Some(error) = results.iter().find(|result| result.get("error").is_some()) {
        bail!("the database refused: {error}");
    }
    ensure!(!results.is_empty(), "the database refused: {reply}");
    Ok(results)
}

/// A transaction as the wire has it.
pub fn request(operations: &Value) -> Value {
    let mut params = vec![json!("Open_vSwitch")];
    params.extend(operations.as_array().cloned().unwrap_or_default());
    json!({"id": 1, "method": "transact", "params": params})
}
