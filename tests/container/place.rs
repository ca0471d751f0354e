//! The directories of a container, without the container.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{self, SCHEMA_FILE, output_of, plain, run_to_end, scratch_directory};

/// The bridge in the databases that are made here.
pub const BRIDGE: &str = "kept";

/// The lock file of the database (lib/lockfile.c).
pub const LOCK: &str = ".conf.db.~lock~";

/// Directories for sockets, the database and logs, none of which exists yet. Removed when dropped.
pub struct Place {
    directory: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: scratch_directory() }
    }

    /// With directories, and a database of a certain schema that has a root row with a system-id, and a bridge.
    pub fn with_database(schema: &Value) -> Place {
        let place = Place::new();
        for directory in ["run", "db", "log"] {
            fs::create_dir(place.directory.join(directory)).unwrap();
        }
        place.create_database(schema);
        place
    }

    pub fn create_database(&self, schema: &Value) {
        let file = self.directory.join("schema");
        fs::write(&file, schema.to_string()).unwrap();
        self.tool(&["create", self.database().to_str().unwrap(), file.to_str().unwrap()]);
        self.transact(json!([
            {"op": "insert", "table": "Open_vSwitch", "row": {
                "external_ids": ["map", [["system-id", "the-same-as-ever"], ["hostname", "n1"]]],
                "bridges": ["named-uuid", "bridge"]}},
            {"op": "insert", "table": "Bridge", "uuid-name": "bridge", "row": {"name": BRIDGE}},
        ]));
        self.remove_lock();
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn run(&self) -> PathBuf {
        self.directory.join("run")
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub fn database(&self) -> PathBuf {
        self.directory.join("db/conf.db")
    }

    pub fn database_bytes(&self) -> Vec<u8> {
        fs::read(self.database()).unwrap()
    }

    /// The environment that moves everything here.
    pub fn set_environment(&self, command: &mut Command) {
        support::clear_settings(command);
        command
            .env("PATH", support::search_path())
            .env("OVS_RUNDIR", self.run())
            .env("OVS_DBDIR", self.directory.join("db"))
            .env("OVS_LOGDIR", self.log())
            .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev");
    }

    /// The plugin with arguments.
    pub fn plugin(&self, words: &[&str]) -> Command {
        let mut command = Command::new(support::BINARY);
        command.args(words);
        self.set_environment(&mut command);
        command
    }

    /// `ovs-plugin init`, and what it said.
    pub fn init(&self) -> Result<String, String> {
        said(&mut self.plugin(&["init"]))
    }

    #[track_caller]
    pub fn init_ok(&self) -> String {
        self.init().unwrap_or_else(|said| panic!("init should have succeeded:\n{said}"))
    }

    /// What init said when it refused, as it has to; the database has to be what it was.
    #[track_caller]
    pub fn init_refused(&self) -> String {
        let before = self.files();
        let said = match self.init() {
            Ok(said) => panic!("init should have refused:\n{said}"),
            Err(said) => said,
        };
        let path = self.database().display().to_string();
        assert!(said.contains(&path) && said.contains("kept"), "{said}");
        assert_eq!(self.files(), before, "{said}");
        said
    }

    /// Every file below the directory, with its content. The lock file of the database is of no interest: whoever uses
    /// the database leaves it, and only a lock on it means something.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, files);
                } else if !path.ends_with(LOCK) {
                    files.insert(path.clone(), fs::read(&path).unwrap_or_default());
                }
            }
        }
        let mut files = BTreeMap::new();
        collect(&self.directory, &mut files);
        files
    }

    /// The names of the files beside the database.
    pub fn beside_database(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.directory.join("db"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["conf.db", "system-id.conf", LOCK].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }

    pub fn tool(&self, words: &[&str]) -> String {
        let mut command = Command::new("ovsdb-tool");
        command.args(words);
        self.set_environment(&mut command);
        output_of(command).trim_end().to_owned()
    }

    pub fn schema_version(&self) -> String {
        self.tool(&["db-version", self.database().to_str().unwrap()])
    }

    /// Changes the file without a server.
    pub fn transact(&self, operations: Value) {
        let mut transaction = vec![json!("Open_vSwitch")];
        transaction.extend(operations.as_array().unwrap().iter().cloned());
        let reply = self.tool(&["transact", self.database().to_str().unwrap(), &json!(transaction).to_string()]);
        assert!(!reply.contains("\"error\":\""), "{reply}");
        self.remove_lock();
    }

    /// The rows of a table in the file, in plain JSON.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let query = json!(["Open_vSwitch", {"op": "select", "table": table, "where": []}]).to_string();
        let reply: Value =
            serde_json::from_str(&self.tool(&["query", self.database().to_str().unwrap(), &query])).unwrap();
        self.remove_lock();
        let rows = reply[0]["rows"].as_array().unwrap_or_else(|| panic!("{reply}")).iter();
        let columns = |row: &Value| row.as_object().unwrap().clone();
        rows.map(|row| columns(row).iter().map(|(name, value)| (name.clone(), plain(value))).collect()).collect()
    }

    /// The one row of `Open_vSwitch`.
    #[track_caller]
    pub fn root(&self) -> Value {
        let mut rows = self.rows("Open_vSwitch");
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// The names of the bridges in the file.
    pub fn bridges(&self) -> Vec<Value> {
        self.rows("Bridge").iter().map(|row| row["name"].clone()).collect()
    }

    pub fn system_id(&self) -> String {
        self.root()["external_ids"]["system-id"].as_str().unwrap().to_owned()
    }

    /// ovsdb-tool leaves its lock file, which is of no interest here.
    pub fn remove_lock(&self) {
        let _ = fs::remove_file(self.database().with_file_name(LOCK));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What a step that runs to its end said: `Ok` when it succeeded.
pub fn said(command: &mut Command) -> Result<String, String> {
    let output = run_to_end(command);
    assert!(output.status.code().is_some(), "{command:?}: {}", output.status);
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// The schema that is installed.
pub fn schema() -> Value {
    let text = fs::read_to_string(SCHEMA_FILE).unwrap_or_else(|error| panic!("{SCHEMA_FILE}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// An older schema: another version, and a column less.
pub fn older_schema() -> Value {
    let mut schema = schema();
    schema["version"] = json!("7.15.0");
    schema["tables"]["Bridge"]["columns"].as_object_mut().unwrap().remove("mcast_snooping_enable").unwrap();
    schema.as_object_mut().unwrap().remove("cksum");
    schema
}
