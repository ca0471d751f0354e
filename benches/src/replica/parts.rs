//! What is measured in a process of its own. ovs-vswitchd has no part in it: what it would acknowledge is acknowledged by
//! a task here, as far as it is waited for at all.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ovs_plugin::commands;
use ovs_plugin::deadline::Deadline;
use ovs_plugin::settings::{DB, Settings};
use ovs_plugin::vswitch::hub::usual_tables;
use ovs_plugin::vswitch::{Hub, Session};
use ovsdb::Connection;
use ovsdb::monitor::{MonitorRequest, MonitorRequests, Update};
use ovsdb::operation::{Condition, Mutation, Mutator, Operation, Row};
use ovsdb::replica::{Options, Phase, Replica, TableRequest, Tables};
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;
use serde_json::{Value as Json, json};

use super::{DATABASE, ROWS, peer, rows};
use crate::library::server::{PATIENCE, Server};
use crate::measure::Spread;

/// Calls of one command, one after the other.
const CALLS: u32 = 3000;
/// Tasks at the same time, and calls of each.
const TASKS: u32 = 32;
const CALLS_EACH: u32 = 1000;

/// Runs a part and tells what it found.
pub fn run(arguments: &[String]) -> Result<Json> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            ["table", remote, rows] => table(remote, rows.parse()?).await,
            ["changes", rows] => changes(rows.parse()?).await,
            ["hub", remote] => hub(remote).await,
            ["ensures", vlans] => ensures(vlans.parse()?).await,
            _ => bail!("there is no such part"),
        }
    })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Resident memory in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().next().context("no number")?.parse::<u64>()? * 1024)
}

fn interfaces() -> TableRequest {
    TableRequest::new("Interface", rows::COLUMNS).unique("name")
}

fn settings(remote: &str) -> Result<Settings> {
    Ok(Settings::read(|name| (name == DB).then(|| remote.to_owned()))?)
}

async fn current(replica: &Replica) -> Result<()> {
    let mut states = replica.state();
    let reached = tokio::time::timeout(PATIENCE, states.wait_for(|state| state.phase == Phase::Current)).await;
    reached.with_context(|| format!("not current: {:?}", replica.state().borrow().error))??;
    Ok(())
}

/// A replica of Interface.
async fn table(remote: &str, rows: usize) -> Result<Json> {
    let before = resident()?;
    let started = Instant::now();
    let replica = Replica::start(Options::new(vec![remote.parse()?], DATABASE, vec![interfaces()]), Box::new(|_| {}));
    current(&replica).await?;
    let ready = milliseconds(started);
    let found = replica.read(|tables| tables.table("Interface").map(|table| table.len()));
    ensure!(found == Some(rows), "{found:?} rows");
    Ok(json!({"ready": ready, "resident": resident()?.saturating_sub(before)}))
}

/// A hub, as a server has it, and what it asks for.
async fn hub(remote: &str) -> Result<Json> {
    let started = Instant::now();
    let hub = Hub::start(&settings(remote)?);
    hub.replica().sync().await;
    let ready = milliseconds(started);
    let requests: Json = usual_tables()
        .into_iter()
        .map(|table| (table.table.to_string(), json!([{"columns": table.columns}])))
        .collect::<serde_json::Map<_, _>>()
        .into();
    Ok(json!({"ready": ready, "resident": resident()?, "requests": requests}))
}

/// Notifications of so many rows each, as fast as they are read.
async fn changes(each: u64) -> Result<Json> {
    let notifications = if each == 1 { 100_000 } else { 5000 };
    let rows = ROWS as u64;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("db.sock");
    let mut text = String::new();
    for notification in 0..notifications {
        let head = r#"{"id":null,"method":"update3","params":["MONITOR","00000000-0000-0000-0000-000000000000",{"Interface":{"#;
        text.push_str(head);
        for row in 0..each {
            let changed = rows::identity((notification * each + row) % rows);
            let comma = if row == 0 { "" } else { "," };
            let state = if notification % 2 == 0 { "down" } else { "up" };
            let status = format!(r#"["map",[["driver_version","1.{notification}"]]]"#);
            write!(
                text,
                r#"{comma}"{changed}":{{"modify":{{"link_state":"{state}","ofport":{notification},"status":{status}}}}}"#
            )?;
        }
        text.push_str("}}]}");
    }
    let (go, gone) = std::sync::mpsc::channel();
    peer::start(&socket, rows::reply(rows), text, gone)?;
    let last = i64::try_from(notifications)? - 1;
    let marked = rows::identity((notifications * each - 1) % rows);
    let (sender, mut reached) = tokio::sync::watch::channel(false);
    let observer = move |tables: &Tables| {
        let ofport = tables.row("Interface", marked).and_then(|row| row.get("ofport")?.as_integer());
        if ofport == Some(last) && tables.applied() > notifications {
            sender.send_replace(true);
        }
    };
    let remote = format!("unix:{}", socket.display()).parse()?;
    let replica = Replica::start(Options::new(vec![remote], DATABASE, vec![interfaces()]), Box::new(observer));
    current(&replica).await?;
    let started = Instant::now();
    go.send(())?;
    tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached)).await.context("not all changes came")??;
    Ok(json!({"changes_a_second": (notifications * each) as f64 / started.elapsed().as_secs_f64()}))
}

/// Sets `cur_cfg` to `next_cfg` whenever that has moved.
async fn acknowledge(server_connection: Connection) -> Result<()> {
    let requests = MonitorRequests::from([("Open_vSwitch".into(), vec![MonitorRequest::columns(&["next_cfg"])])]);
    let (initial, mut updates) = server_connection.monitor::<Json>(DATABASE, &requests);
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
            server_connection.transact(DATABASE, &transaction).await?.check(2)?;
        }
        match updates.next().await {
            Some(Update::Changed(_, changed)) => tables = changed,
            _ => return Ok(()),
        }
    }
}

/// Ensures that find everything in place, on a switch with so many VLANs.
async fn ensures(vlans: u32) -> Result<Json> {
    let server = Server::start(0)?;
    let remote = server.remote();
    let connection = Connection::open(&remote.parse()?).await?;
    let mut root = Transaction::new();
    root.push(Operation::Insert { table: "Open_vSwitch".into(), row: Row::new(), uuid_name: None, uuid: None });
    root.push(Operation::Mutate {
        table: "Open_vSwitch".into(),
        r#where: vec![],
        mutations: vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())],
    });
    connection.transact(DATABASE, &root).await?.check(2)?;
    tokio::task::spawn_local(acknowledge(Connection::open(&remote.parse()?).await?));
    let settings = Rc::new(settings(&remote)?);
    let hub = Hub::start(&settings);
    call(&hub, &settings, "bridge-add", json!({"bridge": "backplane"})).await?;
    for vlan in 1..=vlans {
        call(&hub, &settings, "vlan-ensure", json!({"master": "backplane", "vlan": vlan, "verify": false})).await?;
    }
    let vlan = move |round: u32| json!({"master": "backplane", "vlan": round % vlans + 1});

    let (mut ensures, mut sync_points) = (Vec::new(), Vec::new());
    for round in 0..CALLS {
        let started = Instant::now();
        call(&hub, &settings, "vlan-ensure", vlan(round)).await?;
        ensures.push(milliseconds(started));
        let started = Instant::now();
        hub.replica().sync().await;
        sync_points.push(milliseconds(started));
    }

    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (hub, settings) = (hub.clone(), settings.clone());
            tokio::task::spawn_local(async move {
                for round in 0..CALLS_EACH {
                    call(&hub, &settings, "vlan-ensure", vlan(task * CALLS_EACH + round)).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let calls_a_second = f64::from(TASKS * CALLS_EACH) / started.elapsed().as_secs_f64();
    let median = |times: Vec<f64>| Spread::of(times).median;
    Ok(json!({"ensure": median(ensures), "sync": median(sync_points), "calls_a_second": calls_a_second}))
}

async fn call(hub: &Arc<Hub>, settings: &Settings, name: &str, arguments: Json) -> Result<Json> {
    let (deadline, _stop) = Deadline::after(settings.timeout);
    let mut session = Session::over(hub.clone(), settings.clone(), deadline);
    let entry = commands::find(name).context("no such command")?;
    Ok(entry.execute(&arguments.to_string(), &mut session).await?)
}
