//! Reading a whole table from a real server, and one row of it by its name, beside Python's libraries.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovs_plugin::ovsdb::Connection;
use ovs_plugin::ovsdb::monitor::{MonitorRequest, RowUpdate2, Rows};
use ovs_plugin::ovsdb::operation::Condition;
use ovs_plugin::ovsdb::transaction::Transaction;
use ovs_plugin::ovsdb::value::PlainUuid;

use super::rows::{COLUMNS, Interface, Tables};
use super::server::{SCHEMA, Server};
use super::{DOOR, ROWS, size};
use crate::measure::{Figure, Target};

const DATABASE: &str = "Open_vSwitch";
/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
type Row = Interface<Box<str>>;
type Table = HashMap<PlainUuid, RowUpdate2<Row>>;

pub fn measure(rounds: usize, interpreter: &Path) -> Result<Vec<Figure>> {
    eprintln!("  filling an ovsdb-server");
    let server = Server::start(ROWS)?;
    let mut python = Python::start(interpreter, &server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for (what, word, target) in [
        ("a whole table read from the server", "read", Some(Target::AtLeast(5.0))),
        ("one row by its name, connecting first", "lookup", Some(Target::AtLeast(5.0))),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        eprintln!("  {what}");
        for _ in 0..rounds {
            // Each on its own: the two of Python are measured against two runs of ours.
            for (library, times) in ["ovs", "ovsdbapp"].into_iter().zip(&mut times) {
                let ours = runtime.block_on(async {
                    match word {
                        "read" => read(&server).await,
                        _ => look_up(&server).await,
                    }
                });
                times.push((ours?, python.measure(library, word)?));
            }
        }
        for (library, times) in ["PyPI ovs", "PyPI ovsdbapp"].into_iter().zip(times) {
            figures.push(Figure::new(what.to_owned(), DOOR, size(), library, &times).with_target(target));
        }
    }
    Ok(figures)
}

/// What the looked-up row is called: one near the end.
fn name() -> String {
    format!("tap{:08x}", ROWS - 2)
}

/// Connecting included, as in the other's time.
async fn read(server: &Server) -> Result<Duration> {
    let started = Instant::now();
    let connection = Connection::open(&server.remote().parse()?).await?;
    let requests = [("Interface".into(), vec![MonitorRequest::columns(COLUMNS)])].into();
    let (reply, updates) =
        connection.monitor_cond_since::<Tables<Rows<RowUpdate2<Row>, Table>>>(DATABASE, &requests, None);
    let rows = tokio::time::timeout(PATIENCE, reply).await??.2.interface.0;
    let taken = started.elapsed();
    ensure!(rows.len() == ROWS, "{} rows", rows.len());
    drop((updates, black_box(rows)));
    Ok(taken)
}

async fn look_up(server: &Server) -> Result<Duration> {
    let started = Instant::now();
    let connection = Connection::open(&server.remote().parse()?).await?;
    let mut transaction = Transaction::new();
    transaction.select("Interface", vec![Condition::equal("name", name())], COLUMNS);
    let reply = tokio::time::timeout(PATIENCE, connection.transact(DATABASE, &transaction)).await??;
    let rows: Vec<Row> = reply.check(1)?.first().context("no result")?.rows()?;
    let taken = started.elapsed();
    ensure!(rows.len() == 1 && *rows[0].name == *name(), "{} rows of that name", rows.len());
    Ok(taken)
}

/// A Python that waits to be asked, so that neither its start nor its imports are measured.
struct Python {
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
    fn start(interpreter: &Path, server: &Server) -> Result<Python> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read.py");
        let mut child = Command::new(interpreter)
            .arg(script)
            .args([server.remote(), SCHEMA.to_owned(), COLUMNS.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", interpreter.display()))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Python { child, input, output })
    }

    fn measure(&mut self, library: &str, what: &str) -> Result<Duration> {
        writeln!(self.input, "{library} {what} {}", name())?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let (seconds, rows) = line.trim().split_once(' ').context("Python has failed, see above")?;
        ensure!(rows.parse() == Ok(ROWS), "Python has read {rows} rows");
        Ok(Duration::try_from_secs_f64(seconds.parse()?)?)
    }
}
