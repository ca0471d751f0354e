//! A private ovsdb-server with many rows, and nobody else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use ovsdb::wire::frame::Framer;
use serde_json::{Value, json};

use super::rows;

pub const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Nothing here takes as long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of one transaction; the server is busy for as long with each.
const BATCH: usize = 10_000;

/// Killed when dropped, its directory removed.
pub struct Server {
    child: Child,
    directory: PathBuf,
    pub socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Server {
    /// With so many rows in Interface, and a port for each: what nothing refers to, the server throws away.
    pub fn start(count: usize) -> Result<Server> {
        let directory = std::env::temp_dir().join(format!("ovs-plugin-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let (file, socket) = (directory.join("conf.db"), directory.join("db.sock"));
        let made = Command::new("ovsdb-tool").arg("create").arg(&file).arg(SCHEMA).status()?;
        ensure!(made.success(), "ovsdb-tool create failed");
        let child = Command::new("ovsdb-server")
            .arg(&file)
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", directory.join("ctl").display()))
            .args(["--no-chdir", "-vconsole:off", "-vsyslog:off"])
            .stdin(Stdio::null())
            .spawn()?;
        let server = Server { child, directory, socket };
        let started = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(10), "ovsdb-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut stream = UnixStream::connect(&server.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        for first in (0..count).step_by(BATCH) {
            fill(&mut stream, first, (first + BATCH).min(count))?;
        }
        Ok(server)
    }

    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// What the server takes to compose and send what these `<monitor-cond-requests>` ask for to somebody who does nothing
    /// with it, and that reply.
    pub fn reply(&self, requests: &Value) -> Result<(Duration, Vec<u8>)> {
        let none = uuid::Uuid::nil().to_string();
        let params = json!(["Open_vSwitch", "raw", requests, none]);
        let request = json!({"id": 1, "method": "monitor_cond_since", "params": params}).to_string();
        let started = Instant::now();
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut framer = Framer::default();
        let mut piece = vec![0; 1 << 16];
        loop {
            let length = stream.read(&mut piece)?;
            ensure!(length > 0, "ovsdb-server closed the connection");
            framer.space().extend_from_slice(&piece[..length]);
            if let Some(text) = framer.next_text()? {
                return Ok((started.elapsed(), text.to_vec()));
            }
        }
    }
}

/// One bridge with these rows.
fn fill(stream: &mut UnixStream, first: usize, end: usize) -> Result<()> {
    let mut operations = Vec::new();
    let mut ports = Vec::new();
    for row in first..end {
        let interface: Value = serde_json::from_str(&rows::interface(row as u64))?;
        let port = json!({"name": interface["name"], "interfaces": ["named-uuid", format!("i{row}")]});
        operations
            .push(json!({"op": "insert", "table": "Interface", "row": interface, "uuid-name": format!("i{row}")}));
        operations.push(json!({"op": "insert", "table": "Port", "row": port, "uuid-name": format!("p{row}")}));
        ports.push(json!(["named-uuid", format!("p{row}")]));
    }
    let bridge = json!({"name": format!("bench{first}"), "ports": ["set", ports]});
    operations.push(json!({"op": "insert", "table": "Bridge", "row": bridge, "uuid-name": "bridge"}));
    if first == 0 {
        operations.push(json!({"op": "insert", "table": "Open_vSwitch", "row": {}}));
    }
    operations.push(json!({
        "op": "mutate", "table": "Open_vSwitch", "where": [],
        "mutations": [["bridges", "insert", ["named-uuid", "bridge"]]],
    }));
    let mut params = vec![json!("Open_vSwitch")];
    params.extend(operations);
    stream.write_all(json!({"id": 1, "method": "transact", "params": params}).to_string().as_bytes())?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = stream.read(&mut piece)?;
        ensure!(length > 0, "ovsdb-server closed the connection");
        bytes.extend_from_slice(&piece[..length]);
        // Tried only where it may end.
        if !bytes.ends_with(b"}") {
            continue;
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(error.into()),
            Ok(reply) => {
                let results = reply["result"].as_array().map(Vec::as_slice).unwrap_or_default();
                match results.iter().find(|result| result.get("error").is_some()) {
                    None if !results.is_empty() => return Ok(()),
                    _ => bail!("the database refused: {:.500}", reply.to_string()),
                }
            }
        }
    }
}
