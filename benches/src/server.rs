//! `ovs-plugin serve` beside one process for each call, and what it may take absolutely.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cases::present_vlan;
use crate::measure::{Figure, Run, Spread, Target};
use crate::report::{Bound, Limit};
use crate::switch::{self, MASTER, Size, Switch};

const SOCKET: &str = "/run/openvswitch/ovs-plugin.sock";
const DOOR: &str = "server";

/// Connections at the same time, and calls over each of them.
const CONNECTIONS: usize = 32;
const CALLS_EACH: usize = 250;

/// As many one-shot executions stand for all of them.
const SAMPLE: usize = 100;

/// Networks that come at once.
const AT_ONCE: usize = 500;

/// A running server; killed when dropped.
struct Server {
    child: Child,
    /// Until it said that it was ready.
    started: Duration,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// On one processor, as what it takes is to be told for one.
    fn start(plugin: &Path) -> Result<Server> {
        let started = Instant::now();
        let child = Command::new("taskset")
            .args(["--cpu-list", "0"])
            .arg(plugin)
            .args(["serve", "--listen", &format!("unix:{SOCKET}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("taskset")?;
        let mut server = Server { child, started: Duration::ZERO };
        while !Client::connect().is_ok_and(|mut client| client.get("/readyz").is_ok_and(|status| status == 200)) {
            ensure!(started.elapsed() < Duration::from_secs(60), "the server does not become ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.started = started.elapsed();
        Ok(server)
    }

    /// Resident memory in bytes.
    fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().next().context("no number")?.parse()?;
        Ok(kilobytes * 1024.0)
    }
}

/// One connection that stays, and as little HTTP as it takes.
struct Client(UnixStream);

impl Client {
    fn connect() -> Result<Client> {
        let stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Client(stream))
    }

    fn get(&mut self, path: &str) -> Result<u16> {
        write!(self.0, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        Ok(self.answer()?.0)
    }

    fn post(&mut self, body: &str) -> Result<String> {
        let length = body.len();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        self.0.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())?;
        let (status, answer) = self.answer()?;
        ensure!(status == 200, "status {status}: {answer}");
        Ok(answer)
    }

    fn answer(&mut self) -> Result<(u16, String)> {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            let length = self.0.read(&mut piece)?;
            ensure!(length > 0, "the server closed the connection");
            bytes.extend_from_slice(&piece[..length]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let status = head.split(' ').nth(1).context("no status")?.parse()?;
            let expected = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let expected: usize = expected.context("no content-length")?.trim().parse()?;
            if bytes.len() >= end + 4 + expected {
                return Ok((status, String::from_utf8_lossy(&bytes[end + 4..]).into_owned()));
            }
        }
    }
}

fn ensure_vlan(id: usize, vlan: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "ovs.vlan-ensure", "params": {"master": MASTER, "vlan": vlan}})
}

fn one_shot(plugin: &Path, vlan: usize) -> Result<Duration> {
    Run::new(plugin, ["vlan-ensure".to_owned(), json!({"master": MASTER, "vlan": vlan}).to_string()]).time()
}

/// Figures and limits on switches of the sizes that the limits are for.
pub fn measure(plugin: &Path, rounds: usize, sizes: &[Size]) -> Result<(Vec<Figure>, Vec<Limit>)> {
    let (mut figures, mut limits) = (Vec::new(), Vec::new());
    for &size in sizes {
        eprintln!("a server on a switch with {}", size.label());
        let switch = Switch::start(size)?;
        let server = Server::start(plugin)?;
        let fresh = server.memory()? / 1e6;
        let most = if size == Size::Ports(0) { Some(12.0) } else { Some(60.0) };
        limits.push(Limit::new(
            "resident memory of a fresh server",
            &size.label(),
            fresh,
            "MB",
            most.map(Bound::AtMost),
        ));
        let ready = server.started.as_secs_f64() * 1000.0;
        let most = (size == Size::Ports(10_000)).then_some(Bound::AtMost(150.0));
        limits.push(Limit::new("from its start until it is ready", &size.label(), ready, "ms", most));
        latency(plugin, rounds, size, &mut figures, &mut limits)?;
        throughput(plugin, rounds, size, &mut figures, &mut limits)?;
        if size == Size::Ports(0) {
            figures.push(at_once(plugin, &switch)?);
        }
        let later = server.memory()? / 1e6;
        limits.push(Limit::new("resident memory after all these calls", &size.label(), later, "MB", None));
    }
    Ok((figures, limits))
}

/// One call after the other, over one connection.
fn latency(plugin: &Path, rounds: usize, size: Size, figures: &mut Vec<Figure>, limits: &mut Vec<Limit>) -> Result<()> {
    let mut client = Client::connect()?;
    let request = ensure_vlan(1, present_vlan(size)).to_string();
    // So short that a single one is told by chance.
    const TOGETHER: u32 = 20;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..TOGETHER {
            let answer = client.post(&request)?;
            ensure!(answer.contains("\"result\""), "{answer}");
        }
        let ours = started.elapsed() / TOGETHER;
        times.push((ours, one_shot(plugin, present_vlan(size))?));
    }
    let spread = Spread::of(times.iter().map(|(ours, _)| ours.as_secs_f64() * 1000.0));
    let most = if size == Size::Ports(0) { 0.25 } else { 0.5 };
    limits.push(Limit::new(
        "a repeated vlan-ensure, median",
        &size.label(),
        spread.median,
        "ms",
        Some(Bound::AtMost(most)),
    ));
    let what = "vlan-ensure repeated, one after the other".to_owned();
    figures.push(Figure::new(what, DOOR, (size.label(), size.rows()), "one process for each", &times));
    Ok(())
}

/// Many calls over many connections, beside as many processes.
fn throughput(
    plugin: &Path,
    rounds: usize,
    size: Size,
    figures: &mut Vec<Figure>,
    limits: &mut Vec<Limit>,
) -> Result<()> {
    let request = ensure_vlan(1, present_vlan(size)).to_string();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let clients = (0..CONNECTIONS).map(|_| Client::connect()).collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let callers: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    let request = &request;
                    scope.spawn(move || (0..CALLS_EACH).try_for_each(|_| client.post(request).map(drop)))
                })
                .collect();
            callers.into_iter().try_for_each(|caller| match caller.join() {
                Ok(outcome) => outcome,
                Err(_) => bail!("a caller has panicked"),
            })
        })?;
        let ours = started.elapsed();
        let mut theirs = Duration::ZERO;
        for _ in 0..SAMPLE {
            theirs += one_shot(plugin, present_vlan(size))?;
        }
        let calls = u32::try_from(CONNECTIONS * CALLS_EACH / SAMPLE)?;
        times.push((ours, theirs * calls));
    }
    let spread = Spread::of(times.iter().map(|(ours, _)| (CONNECTIONS * CALLS_EACH) as f64 / ours.as_secs_f64()));
    let least = (size == Size::Ports(0)).then_some(Bound::AtLeast(8000.0));
    let what = format!("repeated vlan-ensure from {CONNECTIONS} connections, one processor, median");
    limits.push(Limit::new(&what, &size.label(), spread.median, "calls/s", least));
    let what = format!("vlan-ensure repeated, {} from {CONNECTIONS} connections", CONNECTIONS * CALLS_EACH);
    let against = format!("one process for each ({SAMPLE} measured)");
    figures.push(Figure::new(what, DOOR, (size.label(), size.rows()), &against, &times));
    Ok(())
}

/// Many new networks in one batch, beside one process after the other. Each round takes many seconds, so there are few.
fn at_once(plugin: &Path, switch: &Switch) -> Result<Figure> {
    const ROUNDS: usize = 3;
    let remove = || {
        let names = |suffix: &str| (1..=AT_ONCE).map(|vlan| format!("vlbr{vlan}{suffix}")).collect::<Vec<_>>();
        let mut operations = switch::remove_ports(&names("p"))?;
        operations.extend(switch::remove_bridges(&names(""))?);
        switch::change(operations)
    };
    let batch: Vec<Value> = (1..=AT_ONCE).map(|vlan| ensure_vlan(vlan, vlan)).collect();
    let batch = Value::from(batch).to_string();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut client = Client::connect()?;
        let started = Instant::now();
        let answers: Vec<Value> = serde_json::from_str(&client.post(&batch)?)?;
        let ours = started.elapsed();
        ensure!(answers.len() == AT_ONCE, "{} answers", answers.len());
        if let Some(failed) = answers.iter().find(|answer| answer.get("result").is_none()) {
            bail!("a call of the batch failed: {failed}");
        }
        remove()?;
        let mut theirs = Duration::ZERO;
        for vlan in 1..=AT_ONCE {
            theirs += one_shot(plugin, vlan)?;
        }
        remove()?;
        times.push((ours, theirs));
    }
    let what = format!("{AT_ONCE} new VLANs at once");
    let size = (switch.size.label(), switch.size.rows());
    Ok(Figure::new(what, DOOR, size, "one process after the other", &times).with_target(Some(Target::AtLeast(3.0))))
}
