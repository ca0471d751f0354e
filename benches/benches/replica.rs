//! `cargo bench -p benches --bench replica`: the replica and the hub, in one process, on a real ovsdb-server.
//!
//! Figures are printed, not asserted. ovs-vswitchd has no part in them: what it would acknowledge is acknowledged by a
//! task here, as far as it is waited for at all.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]
#![allow(missing_docs, reason = "a program")]

#[allow(dead_code, reason = "the typed row is for other benches")]
#[path = "../src/library/rows.rs"]
mod rows;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovs_plugin::commands;
use ovs_plugin::deadline::Deadline;
use ovs_plugin::ovsdb::json::OwnedPart;
use ovs_plugin::ovsdb::monitor::{MonitorRequest, MonitorRequests, Since};
use ovs_plugin::ovsdb::operation::{Condition, Mutation, Mutator, Operation, Row};
use ovs_plugin::ovsdb::replica::{Options, Phase, Replica, TableRequest};
use ovs_plugin::ovsdb::transaction::{TransactReply, Transaction};
use ovs_plugin::ovsdb::value::Value;
use ovs_plugin::ovsdb::{Connection, Remote};
use ovs_plugin::settings::Settings;
use ovs_plugin::vswitch::hub::usual_tables;
use ovs_plugin::vswitch::{Hub, Session};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/vswitch-8.3.1.ovsschema");
const DB: &str = "Open_vSwitch";
const ROWS: u64 = 100_000;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        // Each in a process of its own shows what memory it takes.
        let mut arguments = std::env::args().skip(1);
        if let (Some("populate"), Some(remote), Some(count)) =
            (arguments.next().as_deref(), arguments.next(), arguments.next())
        {
            return populate(remote.parse()?, count.parse()?).await;
        }
        let only = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
        let wanted = |section: &str| only.as_deref().is_none_or(|only| only == section);
        if wanted("ports") {
            println!("resident memory at the beginning: {:.1} MB", memory("VmRSS")? as f64 / 1e3);
            ports(0).await?;
            ports(10_000).await?;
        }
        if wanted("table") {
            large_table().await?;
        }
        if wanted("changes") {
            changes(1, 100_000).await?;
            changes(100, 5_000).await?;
        }
        if wanted("ensures") {
            for vlans in [1, 1000, 4000] {
                ensures(vlans).await?;
            }
        }
        Ok(())
    })
}

struct Server {
    directory: PathBuf,
    process: Child,
}

impl Server {
    fn start(name: &str, change_schema: impl FnOnce(&mut Json)) -> Result<Server> {
        let directory = std::env::temp_dir().join(format!("replica-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let mut schema: Json = serde_json::from_str(&std::fs::read_to_string(SCHEMA)?)?;
        schema.as_object_mut().context("the schema is no object")?.remove("cksum");
        change_schema(&mut schema);
        let file = directory.join("schema");
        std::fs::write(&file, schema.to_string())?;
        let made = Command::new("ovsdb-tool").arg("create").arg(directory.join("conf.db")).arg(&file).status()?;
        ensure!(made.success(), "ovsdb-tool failed");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ovsdb-server"])
            .arg(directory.join("conf.db"))
            .arg(format!("--remote=punix:{}", directory.join("db.sock").display()))
            .arg(format!("--unixctl={}", directory.join("ctl").display()))
            .args(["-vconsole:off", "--no-chdir"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Server { directory, process })
    }

    fn remote(&self) -> Remote {
        Remote::Unix(self.directory.join("db.sock"))
    }

    async fn connect(&self) -> Connection {
        loop {
            match Connection::open(&self.remote()).await {
                Ok(connection) => return connection,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn interfaces() -> TableRequest {
    TableRequest::new("Interface", rows::COLUMNS).unique("name")
}

async fn current(replica: &Replica) -> Result<()> {
    replica.state().wait_for(|state| state.phase == Phase::Current).await?;
    Ok(())
}

/// Kilobytes of `VmRSS` or `VmHWM`.
fn memory(what: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(what)).context("no such line")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// A server with many interfaces, and a replica of them.
async fn large_table() -> Result<()> {
    let server = Server::start("large", |schema| {
        // So that they need no ports.
        schema["tables"]["Interface"]["isRoot"] = json!(true);
    })?;
    let connection = server.connect().await;
    for first in (0..ROWS).step_by(5000) {
        let mut request = format!("[\"{DB}\"");
        for row in first..first + 5000 {
            write!(request, ",{{\"op\":\"insert\",\"table\":\"Interface\",\"row\":{}}}", rows::interface(row))?;
        }
        request.push(']');
        let request: Box<RawValue> = RawValue::from_string(request)?;
        let answer: Json = connection.call("transact", &request).await?;
        ensure!(answer.as_array().is_some_and(|results| results.len() == 5000), "{answer}");
    }
    let columns = MonitorRequest::columns(rows::COLUMNS);
    let requests = MonitorRequests::from([("Interface".into(), vec![columns])]);
    let reply = || async {
        let started = Instant::now();
        let Since(.., text) = connection.monitor_cond_since::<OwnedPart>(DB, &requests, None).0.await?;
        anyhow::Ok((text.get().len(), started.elapsed()))
    };
    let (size, _) = reply().await?;
    let (_, server_alone) = reply().await?;
    drop(connection);

    let before = memory("VmRSS")?;
    let mut ready = Vec::new();
    let mut held = 0;
    let mut last = None;
    for round in 0..5 {
        drop(last.take());
        let started = Instant::now();
        let replica = Replica::start(Options::new(vec![server.remote()], DB, vec![interfaces()]), Box::new(|_| {}));
        current(&replica).await?;
        ready.push(started.elapsed());
        ensure!(replica.read(|tables| tables.table("Interface").map(|table| table.len())) == Some(ROWS as usize));
        if round == 0 {
            held = memory("VmRSS")?.saturating_sub(before) * 1024;
        }
        last = Some(replica);
    }
    ready.sort();
    println!(
        "reply of {ROWS} rows: {:.1} MB; unread, with the server's own time: {server_alone:.2?}",
        size as f64 / 1e6
    );
    println!("replica ready: median {:.2?} of {ready:.2?}", ready[2]);
    println!(
        "resident memory of the first: {:.1} MB, {:.2} of the reply; peak of the process {:.1} MB",
        held as f64 / 1e6,
        held as f64 / size as f64,
        memory("VmHWM")? as f64 / 1e3
    );

    let replica = last.context("no replica")?;
    let connection = replica.connection().await;
    let mut update = Transaction::new();
    let row = Row::from([("ofport".into(), Value::from(7i64)), ("link_state".into(), Value::from("down"))]);
    update.push(Operation::Update { table: "Interface".into(), r#where: vec![], row });
    let started = Instant::now();
    connection.transact(DB, &update).await?.check(1)?;
    replica.barrier().await;
    let taken = started.elapsed();
    println!("{ROWS} rows changed by the server in one transaction, and applied: {taken:.2?}");
    Ok(())
}

/// Makes a switch with so many ports.
async fn populate(remote: Remote, count: usize) -> Result<()> {
    let connection = Connection::open(&remote).await?;
    let mut operations = vec![json!(DB)];
    let mut references = Vec::new();
    for port in 0..count {
        let (port_row, interface_row) = (format!("p{port}"), format!("i{port}"));
        let name = format!("tap{port:08x}");
        let row: Json = serde_json::from_str(&rows::interface(port as u64))?;
        let mut row = row.as_object().cloned().unwrap_or_default();
        row.insert("name".into(), json!(name));
        operations.push(json!({"op": "insert", "table": "Interface", "row": row, "uuid-name": interface_row}));
        let row = json!({"name": name, "interfaces": ["named-uuid", interface_row], "tag": port % 4095});
        operations.push(json!({"op": "insert", "table": "Port", "row": row, "uuid-name": port_row}));
        references.push(json!(["named-uuid", port_row]));
    }
    let bridge = json!({"name": "br", "ports": ["set", references]});
    operations.push(json!({"op": "insert", "table": "Bridge", "row": bridge, "uuid-name": "br"}));
    let root = json!({"bridges": ["named-uuid", "br"]});
    operations.push(json!({"op": "insert", "table": "Open_vSwitch", "row": root}));
    let reply = connection.call::<TransactReply>("transact", operations);
    reply.await?.check(2 * count + 2)?;
    Ok(())
}

/// A hub on a switch with so many ports.
async fn ports(count: usize) -> Result<()> {
    let server = Server::start("ports", |_| {})?;
    drop(server.connect().await);
    // By another process: what that needs for it would count as ours.
    let remote = server.remote().to_string();
    let populated = Command::new(std::env::current_exe()?).args(["populate", &remote, &count.to_string()]).status()?;
    ensure!(populated.success(), "the switch has no ports");
    let settings = Settings::read(|name| (name == ovs_plugin::settings::DB).then(|| remote.clone()))?;
    let mut ready = Vec::new();
    let mut resident = 0;
    for _ in 0..7 {
        let started = Instant::now();
        let hub = Hub::start(&settings);
        hub.replica().barrier().await;
        ready.push(started.elapsed());
        if resident == 0 {
            resident = memory("VmRSS")?;
        }
    }
    ready.sort();
    let requests = usual_tables().into_iter().map(|table| {
        let columns = MonitorRequest { columns: Some(table.columns), ..MonitorRequest::default() };
        (table.table, vec![columns])
    });
    let requests: MonitorRequests = requests.collect();
    let connection = server.connect().await;
    let started = Instant::now();
    let Since(.., text) = connection.monitor_cond_since::<OwnedPart>(DB, &requests, None).0.await?;
    println!(
        "a hub of a switch with {count} ports: ready, a barrier included, median {:.1?}; the {:.1} MB of the reply alone, \
         unread, {:.1?}; resident {:.1} MB",
        ready[3],
        text.get().len() as f64 / 1e6,
        started.elapsed(),
        resident as f64 / 1e3
    );
    Ok(())
}

/// A peer that says what a server would, as fast as it is read.
fn scripted_peer(socket: &Path, mut notifications: String, go: std::sync::mpsc::Receiver<()>) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    let schema: Json = serde_json::from_str(&std::fs::read_to_string(SCHEMA)?)?;
    let contents = String::from_utf8(rows::reply(ROWS))?;
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = Vec::new();
        let mut monitored = false;
        while !monitored {
            let mut piece = [0; 65536];
            let length = stream.read(&mut piece)?;
            buffer.extend_from_slice(&piece[..length]);
            let mut requests = serde_json::Deserializer::from_slice(&buffer).into_iter::<Json>();
            let mut used = 0;
            while let Some(Ok(request)) = requests.next() {
                used = requests.byte_offset();
                let id = &request["id"];
                let answer = match request["method"].as_str() {
                    Some("get_schema") => json!({"id": id, "result": schema, "error": null}),
                    Some("monitor_cond_since") => {
                        monitored = true;
                        let id = request["params"][1].as_str().unwrap_or_default();
                        notifications = notifications.replace("MONITOR", id);
                        let id = &request["id"];
                        stream.write_all(format!("{{\"id\":{id}").as_bytes())?;
                        stream.write_all(contents.trim_start_matches("{\"id\":1").as_bytes())?;
                        continue;
                    }
                    Some("monitor_cond") => json!({"id": id, "result": null, "error": {"error": "unknown database"}}),
                    _ => json!({"id": id, "result": {}, "error": null}),
                };
                stream.write_all(answer.to_string().as_bytes())?;
            }
            buffer.drain(..used);
        }
        go.recv()?;
        stream.write_all(notifications.as_bytes())?;
        // Held open until the other side goes.
        while stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    });
    Ok(())
}

/// So many rows in each of so many notifications.
async fn changes(rows: u64, notifications: u64) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("replica-bench-{}-{rows}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let socket = directory.join("db.sock");
    let mut text = String::new();
    for notification in 0..notifications {
        text.push_str(r#"{"id":null,"method":"update3","params":["MONITOR","00000000-0000-0000-0000-000000000000",{"Interface":{"#);
        for row in 0..rows {
            let changed = (notification * rows + row) % ROWS;
            let comma = if row == 0 { "" } else { "," };
            let state = if notification % 2 == 0 { "down" } else { "up" };
            write!(
                text,
                r#"{comma}"{}":{{"modify":{{"link_state":"{state}","ofport":{notification},"status":["map",[["driver_version","1.{notification}"]]]}}}}"#,
                rows::identity(changed)
            )?;
        }
        text.push_str("}}]}");
    }
    let (size, count) = (text.len(), rows * notifications);
    let (go, gone) = std::sync::mpsc::channel();
    scripted_peer(&socket, text, gone)?;
    let last = notifications as i64 - 1;
    let (sender, mut reached) = tokio::sync::watch::channel(false);
    let marked = rows::identity((count - 1) % ROWS);
    let observer = move |tables: &ovs_plugin::ovsdb::replica::Tables| {
        let row = tables.row("Interface", marked);
        if row.and_then(|row| row.get("ofport")?.as_integer()) == Some(last) && tables.applied() > notifications {
            sender.send_replace(true);
        }
    };
    let options = Options::new(vec![Remote::Unix(socket)], DB, vec![interfaces()]);
    let replica = Replica::start(options, Box::new(observer));
    let started = Instant::now();
    current(&replica).await?;
    println!("replica of {ROWS} rows ready, from a peer that needs no time: {:.0?}", started.elapsed());
    let started = Instant::now();
    go.send(())?;
    reached.wait_for(|reached| *reached).await?;
    let taken = started.elapsed().as_secs_f64();
    println!(
        "{count} changes of rows, {rows} to a notification, {:.1} MB: {:.0} changes/s",
        size as f64 / 1e6,
        count as f64 / taken
    );
    let _ = std::fs::remove_dir_all(&directory);
    Ok(())
}

/// Sets `cur_cfg` to `next_cfg` whenever that has moved.
async fn acknowledge(server_connection: Connection) -> Result<()> {
    let requests = MonitorRequests::from([("Open_vSwitch".into(), vec![MonitorRequest::columns(&["next_cfg"])])]);
    let (initial, mut updates) = server_connection.monitor::<Json>(DB, &requests);
    let mut tables = initial.await?;
    loop {
        let next =
            tables["Open_vSwitch"].as_object().and_then(|rows| rows.values().next()?["new"]["next_cfg"].as_i64());
        if let Some(next) = next {
            let mut transaction = Transaction::new();
            let row = Row::from([("cur_cfg".into(), Value::from(next))]);
            transaction.push(Operation::Update { table: "Open_vSwitch".into(), r#where: vec![], row });
            let row = Row::from([("ofport".into(), Value::from(1i64))]);
            let unset = vec![Condition::equal("ofport", Value::empty())];
            transaction.push(Operation::Update { table: "Interface".into(), r#where: unset, row });
            server_connection.transact(DB, &transaction).await?.check(2)?;
        }
        match updates.next().await {
            Some(ovs_plugin::ovsdb::monitor::Update::Changed(_, changed)) => tables = changed,
            _ => return Ok(()),
        }
    }
}

/// Ensures that find everything in place, on a switch with so many VLANs.
async fn ensures(vlans: u32) -> Result<()> {
    let server = Server::start("ensures", |_| {})?;
    let connection = server.connect().await;
    let mut root = Transaction::new();
    root.push(Operation::Insert { table: "Open_vSwitch".into(), row: Row::new(), uuid_name: None, uuid: None });
    root.push(Operation::Mutate {
        table: "Open_vSwitch".into(),
        r#where: vec![],
        mutations: vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())],
    });
    connection.transact(DB, &root).await?.check(2)?;
    tokio::task::spawn_local(acknowledge(server.connect().await));
    let remote = server.remote().to_string();
    let settings = Settings::read(|name| (name == ovs_plugin::settings::DB).then(|| remote.clone()))?;
    let hub = Hub::start(&settings);
    call(&hub, &settings, "bridge-add", json!({"bridge": "backplane"})).await?;
    for vlan in 1..=vlans {
        call(&hub, &settings, "vlan-ensure", json!({"master": "backplane", "vlan": vlan, "verify": false})).await?;
    }
    println!("a switch with {vlans} VLANs:");

    let mut times = Vec::new();
    for round in 0..3000 {
        let arguments = json!({"master": "backplane", "vlan": round % vlans + 1});
        let started = Instant::now();
        call(&hub, &settings, "vlan-ensure", arguments).await?;
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "  repeated vlan-ensure: median {:.0?}, 99 % {:.0?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );

    let mut echoes = Vec::new();
    for _ in 0..3000 {
        let started = Instant::now();
        hub.replica().barrier().await;
        echoes.push(started.elapsed());
    }
    echoes.sort();
    println!("  of that, the barrier: median {:.0?}", echoes[echoes.len() / 2]);

    const TASKS: u32 = 32;
    const CALLS: u32 = 1000;
    let settings = Rc::new(settings);
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (hub, settings) = (hub.clone(), settings.clone());
            tokio::task::spawn_local(async move {
                for round in 0..CALLS {
                    let arguments = json!({"master": "backplane", "vlan": (task * CALLS + round) % vlans + 1});
                    call(&hub, &settings, "vlan-ensure", arguments).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    println!("  {TASKS} tasks at once: {:.0} calls/s", f64::from(TASKS * CALLS) / started.elapsed().as_secs_f64());
    println!("  resident memory: {:.1} MB", memory("VmRSS")? as f64 / 1e3);
    Ok(())
}

async fn call(hub: &Arc<Hub>, settings: &Settings, name: &str, arguments: Json) -> Result<Json> {
    let (deadline, _stop) = Deadline::after(settings.timeout);
    let mut session = Session::over(hub.clone(), settings.clone(), deadline);
    let entry = commands::find(name).context("no such command")?;
    Ok(entry.execute(&arguments.to_string(), &mut session).await?)
}
