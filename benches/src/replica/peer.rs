//! A peer that speaks as ovsdb-server would, but has its answer ready.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Receiver;

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::DATABASE;
use crate::library::server::SCHEMA;

#[derive(Deserialize)]
struct Reply {
    result: Box<RawValue>,
}

/// Serves one client after the other: `reply`, the text of an answer to a `monitor_cond_since`, and then, once `go` says
/// so, `notifications`, in which MONITOR stands for the monitor's name.
pub fn start(socket: &Path, reply: Vec<u8>, notifications: String, go: Receiver<()>) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA)?)?;
    let reply: Reply = serde_json::from_slice(&reply)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that goes in the middle is its own affair: it has failed, and says so.
            let _ = stream
                .map_err(Into::into)
                .and_then(|stream| serve(stream, &schema, &reply.result, &notifications, &go));
        }
    });
    Ok(())
}

/// The part of the `_Server` database that clients ask for, Python's among them: without it, that one falls back to the
/// monitor of RFC 7047 (ovsdb-server(7)).
fn about_itself() -> Value {
    let optional = |key| json!({"type": {"key": key, "min": 0}});
    let columns = json!({
        "name": {"type": "string"}, "model": {"type": "string"}, "connected": {"type": "boolean"},
        "leader": {"type": "boolean"}, "schema": optional("string"), "cid": optional("uuid"), "sid": optional("uuid"),
        "index": optional("integer"),
    });
    json!({"name": "_Server", "version": "1.2.0", "tables": {"Database": {"columns": columns}}})
}

fn serve(
    mut stream: UnixStream,
    schema: &Value,
    result: &RawValue,
    notifications: &str,
    go: &Receiver<()>,
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut piece = [0; 65536];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&piece[..length]);
        let mut requests = serde_json::Deserializer::from_slice(&buffer).into_iter::<Value>();
        let mut used = 0;
        let mut monitor = None;
        while let Some(Ok(request)) = requests.next() {
            used = requests.byte_offset();
            let id = &request["id"];
            let answer = match (request["method"].as_str(), request["params"][0].as_str()) {
                (Some("get_schema"), Some(DATABASE)) => json!({"id": id, "result": schema, "error": null}),
                (Some("get_schema"), _) => json!({"id": id, "result": about_itself(), "error": null}),
                // Of itself: ours asks in the first way, Python's in the second.
                (Some(method @ ("monitor" | "monitor_cond")), _) => {
                    let row = json!({"name": DATABASE, "model": "standalone", "connected": true, "leader": true});
                    let member = if method == "monitor" { "new" } else { "initial" };
                    let rows = json!({"Database": {uuid::Uuid::from_u128(1).to_string(): {member: row}}});
                    json!({"id": id, "result": rows, "error": null})
                }
                (Some("monitor_cond_since"), Some(DATABASE)) => {
                    monitor = Some(request["params"][1].clone());
                    let answer = format!(r#"{{"id":{id},"result":{result},"error":null}}"#);
                    stream.write_all(answer.as_bytes())?;
                    continue;
                }
                (Some("echo"), _) => json!({"id": id, "result": request["params"], "error": null}),
                _ => json!({"id": id, "result": {}, "error": null}),
            };
            stream.write_all(answer.to_string().as_bytes())?;
        }
        buffer.drain(..used);
        if let Some(monitor) = monitor
            && !notifications.is_empty()
        {
            go.recv()?;
            stream.write_all(notifications.replace("\"MONITOR\"", &monitor.to_string()).as_bytes())?;
        }
    }
}
