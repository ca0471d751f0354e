//! A second, independent reader and writer of the database, so that the plugin is not judged by its own client.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::process;

/// Where Open vSwitch's packages put the schema.
pub const SCHEMA_FILE: &str = "/usr/share/openvswitch/vswitch.ovsschema";

const LIMIT: Duration = Duration::from_secs(15);

/// The `Open_vSwitch` database behind a unix socket. Each request has a connection of its own.
pub struct Database {
    socket: PathBuf,
}

impl Database {
    pub fn new(socket: PathBuf) -> Database {
        Database { socket }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs the operations as one transaction, and gives the result of each; panics when one has an error.
    pub fn transact(&self, operations: &[Value]) -> Vec<Value> {
        self.try_transact(operations).unwrap_or_else(|e| panic!("{operations:?}: {e}"))
    }

    pub fn try_transact(&self, operations: &[Value]) -> Result<Vec<Value>, String> {
        let mut params = vec![json!("Open_vSwitch")];
        params.extend_from_slice(operations);
        let results = self.request("transact", json!(params))?;
        let results = results.as_array().ok_or_else(|| format!("not a list of results: {results}"))?;
        match results.iter().find(|r| r.get("error").is_some_and(|e| !e.is_null())) {
            Some(failed) => Err(failed.to_string()),
            None => Ok(results.clone()),
        }
    }

    /// All rows of a table, with all their columns.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let results = self.transact(&[select(table)]);
        results[0]["rows"].as_array().unwrap().clone()
    }

    /// All rows of several tables, read at one point in time.
    pub fn snapshot(&self, tables: &[String]) -> Result<Vec<Vec<Value>>, String> {
        let operations: Vec<_> = tables.iter().map(|t| select(t)).collect();
        let results = self.try_transact(&operations)?;
        Ok(results.iter().map(|r| r["rows"].as_array().unwrap().clone()).collect())
    }

    /// The names of all tables.
    pub fn tables(&self) -> Vec<String> {
        let schema = self.request("get_schema", json!(["Open_vSwitch"])).unwrap();
        schema["tables"].as_object().unwrap().keys().cloned().collect()
    }

    pub fn answers(&self) -> bool {
        self.request("list_dbs", json!([])).is_ok()
    }

    pub fn request(&self, method: &str, params: Value) -> Result<Value, String> {
        let attempt = || -> std::io::Result<Value> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            stream.write_all(json!({"id": 1, "method": method, "params": params}).to_string().as_bytes())?;
            for message in serde_json::Deserializer::from_reader(&stream).into_iter::<Value>() {
                let message = message?;
                if message["id"] == 1 {
                    return Ok(message);
                }
            }
            Err(std::io::ErrorKind::UnexpectedEof.into())
        };
        let reply = attempt().map_err(|e| format!("{}: {method}: {e}", self.socket.display()))?;
        match &reply["error"] {
            Value::Null => Ok(reply["result"].clone()),
            error => Err(format!("{method}: {error}")),
        }
    }
}

fn select(table: &str) -> Value {
    json!({"op": "select", "table": table, "where": []})
}

/// A value as it stands in the database, in plain JSON: a set as a list, a map as an object, a uuid as its text.
/// A set of exactly one element is not distinguished from the element itself.
pub fn plain(value: &Value) -> Value {
    let Value::Array(pair) = value else {
        return value.clone();
    };
    match (pair[0].as_str(), &pair[1]) {
        (Some("set"), Value::Array(elements)) => elements.iter().map(plain).collect(),
        (Some("map"), Value::Array(entries)) => {
            let key = |key: &Value| plain(key).as_str().map_or_else(|| plain(key).to_string(), str::to_owned);
            entries.iter().map(|entry| (key(&entry[0]), plain(&entry[1]))).collect::<serde_json::Map<_, _>>().into()
        }
        (Some("uuid" | "named-uuid"), uuid) => uuid.clone(),
        _ => panic!("not a value of OVSDB: {value}"),
    }
}

/// Writes a new database file of this schema, with the one row of `Open_vSwitch` that a switch needs.
pub fn create_of(schema: &Value, file: &Path) {
    let schema_file = file.with_extension("ovsschema");
    fs::write(&schema_file, schema.to_string()).unwrap();
    let insert = json!(["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}]).to_string();
    let (file, schema_file) = (file.to_str().unwrap(), schema_file.to_str().unwrap());
    for words in [["create", file, schema_file], ["transact", file, &insert]] {
        let mut command = Command::new("ovsdb-tool");
        command.env("PATH", process::search_path()).args(words);
        process::output_of(command);
    }
}

/// Writes a new database file, with or without the one row of `Open_vSwitch` that a switch needs.
pub fn create(file: &Path, with_root_row: bool) {
    // Made once per process and copied: the tool takes a good part of the time in which a switch starts.
    static TEMPLATES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| {
        process::requirements();
        let directory = process::scratch_directory();
        let file = directory.join("conf.db");
        let tool = |words: &[&str]| {
            let mut command = Command::new("ovsdb-tool");
            command.env("PATH", process::search_path()).env("OVS_RUNDIR", &directory).args(words);
            process::output_of(command);
            fs::read(&file).unwrap()
        };
        let path = file.to_str().unwrap();
        let empty = tool(&["create", path, SCHEMA_FILE]);
        let insert = json!(["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}]).to_string();
        let with_root_row = tool(&["transact", path, &insert]);
        fs::remove_dir_all(&directory).unwrap();
        [empty, with_root_row]
    });
    fs::write(file, &templates[usize::from(with_root_row)]).unwrap();
}
