//! Reading a whole table from a real server, and one row of it by its name, beside Python's libraries.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovsdb::Connection;
use ovsdb::monitor::MonitorRequest;
use ovsdb::operation::Condition;
use ovsdb::transaction::Transaction;
use serde_json::json;

use super::rows::{COLUMNS, Interface, Tables};
use super::server::{PATIENCE, SCHEMA, Server};
use super::{DOOR, ROWS, parse};
use crate::measure::{Figure, Target};

const DATABASE: &str = "Open_vSwitch";

/// Where Python is fast enough for all rounds. It takes the better part of a minute for 100,000 rows.
const FEWER_ROWS: usize = 10_000;

pub fn measure(rounds: usize, interpreter: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (rows, rounds, cases) in [(FEWER_ROWS, rounds, &["read", "lookup"][..]), (ROWS, rounds.min(1), &["read"])] {
        eprintln!("  filling an ovsdb-server with {rows} rows");
        let server = Server::start(rows)?;
        let mut python = Python::start(interpreter, &server.remote(), rows)?;
        for case in cases {
            figures.extend(alternate(case, rounds, &server, &mut python)?);
        }
    }
    Ok(figures)
}

/// Each of Python's two is measured beside runs of ours of its own.
fn alternate(case: &str, rounds: usize, server: &Server, python: &mut Python) -> Result<Vec<Figure>> {
    let what = match case {
        "read" => "a whole table read from the server",
        _ => "one row by its name, connecting first",
    };
    eprintln!("  {what}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = Vec::new();
    let size = (format!("{} rows", python.rows), python.rows);
    for (library, name) in [("ovs", "PyPI ovs"), ("ovsdbapp", "PyPI ovsdbapp")] {
        let (mut all, mut without_server) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            if case != "read" {
                let ours = runtime.block_on(look_up(server, python.rows))?;
                all.push((ours, python.measure(library, case)?));
                continue;
            }
            let ours = runtime.block_on(read(server, python.rows))?;
            let (answering, bytes) = server.reply(&json!({"Interface": [{"columns": COLUMNS}]}))?;
            let theirs = python.measure(library, case)?;
            all.push((ours, theirs));
            without_server.push((parse::cut_and_read(&bytes, python.rows)?, theirs.saturating_sub(answering)));
        }
        let figure = |what: &str, times: &[_], target| {
            Figure::new(what.to_owned(), DOOR, size.clone(), name, times).with_target(target)
        };
        if case == "read" {
            let alone = format!("{what}, without the server's own time");
            figures.push(figure(what, &all, None));
            figures.push(figure(&alone, &without_server, Some(Target::AtLeast(5.0))));
        } else {
            figures.push(figure(what, &all, Some(Target::AtLeast(5.0))));
        }
    }
    Ok(figures)
}

/// What the looked-up row is called: one near the end.
fn name(rows: usize) -> String {
    format!("tap{:08x}", rows - 2)
}

/// Connecting included, as in the other's time.
async fn read(server: &Server, expected: usize) -> Result<Duration> {
    let started = Instant::now();
    let connection = Connection::open(&server.remote().parse()?).await?;
    let requests = [("Interface".into(), vec![MonitorRequest::columns(COLUMNS)])].into();
    let (reply, updates) = connection.monitor_cond_since::<Tables>(DATABASE, &requests, None);
    let rows = tokio::time::timeout(PATIENCE, reply).await??.2.interface;
    let taken = started.elapsed();
    ensure!(rows.len() == expected, "{} rows", rows.len());
    drop((updates, black_box(rows)));
    Ok(taken)
}

async fn look_up(server: &Server, rows: usize) -> Result<Duration> {
    let name = name(rows);
    let started = Instant::now();
    let connection = Connection::open(&server.remote().parse()?).await?;
    let mut transaction = Transaction::new();
    transaction.select("Interface", vec![Condition::equal("name", name.as_str())], COLUMNS);
    let reply = tokio::time::timeout(PATIENCE, connection.transact(DATABASE, &transaction)).await??;
    let rows: Vec<Interface> = reply.check(1)?.first().context("no result")?.rows()?;
    let taken = started.elapsed();
    ensure!(rows.len() == 1 && *rows[0].name == *name, "{} rows of that name", rows.len());
    Ok(taken)
}

/// A Python that waits to be asked, so that neither its start nor its imports are measured.
pub struct Python {
    /// How many it has to find.
    rows: usize,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Python {
    pub fn start(interpreter: &Path, remote: &str, rows: usize) -> Result<Python> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read.py");
        let mut child = Command::new(interpreter)
            .arg(script)
            .args([remote.to_owned(), SCHEMA.to_owned(), COLUMNS.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", interpreter.display()))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Python { rows, child, input, output })
    }

    pub fn measure(&mut self, library: &str, what: &str) -> Result<Duration> {
        writeln!(self.input, "{library} {what} {}", name(self.rows))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (seconds, rows) = line.trim().split_once(' ').context("Python has failed, see above")?;
        ensure!(rows.parse() == Ok(self.rows), "Python has read {rows} rows");
        Ok(Duration::try_from_secs_f64(seconds.parse()?)?)
    }
}
