//! The replica and the hub, each figure in a process of its own, so that its memory is its own.

mod parts;
mod peer;

pub use parts::run as run_part;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::library::python::Python;
use crate::library::rows::{self, COLUMNS};
use crate::library::server::Server;
use crate::library::{ROWS, label};
use crate::measure::{Figure, Spread, Target};
use crate::report::{Bound, Limit};

const DATABASE: &str = "Open_vSwitch";
const DOOR: &str = "replica";

/// Python takes the better part of a minute for each round, so there are few of them.
const ROUNDS: usize = 5;

/// Interfaces, in a switch that is no longer small.
const PORTS: usize = 10_000;

/// Runs this program again for one part, which prints what it found.
fn part(name: &str, arguments: &[String]) -> Result<Value> {
    eprintln!("  {name} {}", arguments.join(" "));
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg("part").arg(name).args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the part {name} has failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(found: &Value, name: &str) -> Result<f64> {
    found[name].as_f64().with_context(|| format!("no {name} was found"))
}

fn milliseconds(found: &Value, name: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(number(found, name)? / 1000.0)?)
}

/// Everything; beside Python only where it is given.
pub fn measure(python: Option<&std::path::Path>) -> Result<(Vec<Figure>, Vec<Limit>)> {
    eprintln!("the replica");
    let (mut figures, mut limits) = (Vec::new(), Vec::new());
    table(python, &mut figures, &mut limits)?;
    for rows_each in [1, 100] {
        let found = part("changes", &[rows_each.to_string()])?;
        let what = format!("rows changed in a replica, {rows_each} to a notification");
        let least = Some(Bound::AtLeast(200_000.0));
        limits.push(Limit::new(&what, &label(), number(&found, "changes_a_second")?, "rows/s", least));
    }
    ports(&mut limits)?;
    for vlans in [1, 4000] {
        let found = part("ensures", &[vlans.to_string()])?;
        let size = format!("{vlans} VLANs");
        let mut limit = |what: &str, name: &str, unit| -> Result<()> {
            limits.push(Limit::new(what, &size, number(&found, name)?, unit, None));
            Ok(())
        };
        limit("a repeated vlan-ensure over a hub, in process, median", "ensure", "ms")?;
        limit("of that, ovsdb-server's answer to an echo", "sync", "ms")?;
        limit("repeated vlan-ensures of 32 tasks, in process, one thread", "calls_a_second", "calls/s")?;
    }
    Ok((figures, limits))
}

/// A large table: from a server, and from a peer that has the answer ready, ours beside Python's.
fn table(python: Option<&std::path::Path>, figures: &mut Vec<Figure>, limits: &mut Vec<Limit>) -> Result<()> {
    let server = Server::start(ROWS)?;
    let requests = json!({"Interface": [{"columns": COLUMNS}]});
    let (mut alone, mut ready) = (Vec::new(), Vec::new());
    let mut reply = Vec::new();
    let mut of_server = Vec::new();
    let mut idl = python.map(|python| Python::start(python, &server.remote(), ROWS)).transpose()?;
    for round in 0..ROUNDS {
        let (taken, text) = server.reply(&requests)?;
        reply = text;
        let found = part("table", &[server.remote(), ROWS.to_string()])?;
        let ours = milliseconds(&found, "ready")?;
        alone.push((ours, taken));
        ready.push(ours.as_secs_f64() * 1000.0);
        if round == 0 {
            let share = number(&found, "resident")? / reply.len() as f64;
            let most = Some(Bound::AtMost(1.5));
            limits.push(Limit::new("resident memory of a replica, of the reply's size", &label(), share, "×", most));
        }
        if let Some(idl) = &mut idl {
            of_server.push((ours, idl.measure("ovs", "read")?));
        }
    }
    limits.push(Limit::new(
        "a replica from ovsdb-server, ready, median",
        &label(),
        Spread::of(ready).median,
        "ms",
        None,
    ));
    let mut figure = |what: &str, against: &str, times: &[_], target| {
        let size = (label(), ROWS);
        figures.push(Figure::new(what.to_owned(), DOOR, size, against, times).with_target(target));
    };
    figure("a replica from ovsdb-server, ready", "ovsdb-server's reply, unread", &alone, None);
    if idl.take().is_some() {
        figure("a replica from ovsdb-server, ready", "PyPI ovs", &of_server, Some(Target::AtLeast(5.0)));
    }
    drop(server);

    let Some(python) = python else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("db.sock");
    let (_go, gone) = std::sync::mpsc::channel();
    peer::start(&socket, reply, String::new(), gone)?;
    let remote = format!("unix:{}", socket.display());
    let mut idl = Python::start(python, &remote, ROWS)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let found = part("table", &[remote.clone(), ROWS.to_string()])?;
        times.push((milliseconds(&found, "ready")?, idl.measure("ovs", "read")?));
    }
    let what = "a replica from a peer that has the reply ready";
    figure(what, "PyPI ovs", &times, Some(Target::AtLeast(5.0)));
    Ok(())
}

/// What a hub needs for a switch with many ports, and how much of it is the server's.
fn ports(limits: &mut Vec<Limit>) -> Result<()> {
    let server = Server::start(PORTS)?;
    let (mut ready, mut alone) = (Vec::new(), Vec::new());
    let mut resident = 0.0;
    for _ in 0..ROUNDS {
        let found = part("hub", &[server.remote()])?;
        ready.push(number(&found, "ready")?);
        resident = number(&found, "resident")?;
        alone.push(server.reply(&found["requests"])?.0.as_secs_f64() * 1000.0);
    }
    let size = format!("{PORTS} ports");
    let ready = Spread::of(ready).median;
    limits.push(Limit::new("a hub's replica, ready, median", &size, ready, "ms", Some(Bound::AtMost(150.0))));
    let alone = Spread::of(alone).median;
    limits.push(Limit::new("ovsdb-server's reply to it, unread, median", &size, alone, "ms", None));
    limits.push(Limit::new("resident memory of the process with the hub", &size, resident / 1e6, "MB", None));
    Ok(())
}
