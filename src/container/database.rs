//! The database file: making it, converting it, mending a torn end, and what must be in it.
//!
//! The agent kills without warning, so whatever is written is written beside the database and then renamed over it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::process::output;
use super::{say, stale};
use crate::paths::Paths;
use crate::problem::Problem;
use crate::vswitch::tables::DATABASE;

/// Each step of ovsdb-tool takes milliseconds; one that takes this long has gone wrong.
const TOOL_LIMIT: Duration = Duration::from_secs(10);

fn tool(arguments: &[&str]) -> Result<String, Problem> {
    output("ovsdb-tool", arguments, TOOL_LIMIT)
}

/// Makes the database usable by the installed daemons, whatever it is now. `file` is the database itself, which a
/// symbolic link may lead to.
pub(super) fn prepare(step: &str, paths: &Paths, file: &Path) -> Result<(), Problem> {
    let id_file = paths.database.with_file_name("system-id.conf");
    // What an init that was killed has left unfinished.
    for unfinished in [beside(file, NEW), beside(file, BACKUP), beside(&id_file, NEW)] {
        let _ = fs::remove_file(unfinished);
    }
    let prepared = bring_up_to_date(step, file, text(&paths.schema)?).and_then(|()| fill_root_row(file, &id_file));
    // ovsdb-tool locks what it makes, and leaves the lock file.
    stale::remove_lock_of(&beside(file, NEW));
    prepared
}

/// Leaves a database that is whole and has the schema of the installed daemons.
fn bring_up_to_date(step: &str, file: &Path, schema: &str) -> Result<(), Problem> {
    match Version::of(file)? {
        Some(version) if version.length == 0 => {
            say(step, format_args!("{} is empty, there is nothing to keep; making a new database", file.display()));
            create(file, schema, Some(&version))
        }
        Some(_) => {
            mend_torn_end(step, file)?;
            convert(step, file, schema)
        }
        None => {
            say(step, format_args!("making the database {}", file.display()));
            create(file, schema, None)
        }
    }
}

fn text(path: &Path) -> Result<&str, Problem> {
    path.to_str().ok_or_else(|| Problem(format!("{} is not UTF-8", path.display())))
}

/// A name beside the database.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    file.with_file_name(name)
}

/// What tells whether somebody has written to a file since.
#[derive(PartialEq)]
struct Version {
    inode: u64,
    length: u64,
    modified: SystemTime,
}

impl Version {
    /// None if there is no such file.
    fn of(file: &Path) -> Result<Option<Self>, Problem> {
        let metadata = match fs::metadata(file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Problem::io(file.display(), error)),
        };
        let modified = metadata.modified().map_err(|error| Problem::io(file.display(), error))?;
        Ok(Some(Version { inode: metadata.ino(), length: metadata.len(), modified }))
    }
}

/// The suffixes of files that are written beside their place.
const NEW: &str = ".new";
const BACKUP: &str = ".backup-unfinished";

/// A file that is written beside its place. What is left of it when this is dropped is removed: a full disk must not be
/// filled further by what nobody uses.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(file: &Path, suffix: &str) -> Self {
        let path = beside(file, suffix);
        // Usually there is none. If one is there and stays, whoever is to write it says so.
        let _ = fs::remove_file(&path);
        Unfinished(path)
    }

    /// Puts it in the place of another file; after this, a crash finds the one or the other, whole.
    fn put_over(self, to: &Path) -> Result<(), Problem> {
        let renamed = File::open(&self.0)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.0, to))
            .and_then(|()| File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all());
        renamed.map_err(|error| Problem::io(format_args!("putting {} in place", to.display()), error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It was put in its place, or was never written, or stays as a leftover that the next start removes.
        let _ = fs::remove_file(&self.0);
    }
}

/// Puts a new database in the place of what was read, after `first`. Nobody may use the database meanwhile, and nobody
/// may have written to it since it was read: a server that was started after the first look would lose what it has
/// acknowledged.
fn replace<T>(
    file: &Path,
    read: Option<&Version>,
    new: Unfinished,
    first: impl FnOnce() -> Result<T, Problem>,
) -> Result<T, Problem> {
    let kept = |why| Problem(format!("{} is kept as it is: {why}", file.display()));
    let _lock = stale::lock(file)?.ok_or_else(|| kept("an ovsdb-server has begun to use it"))?;
    if Version::of(file)?.as_ref() != read {
        return Err(kept("it was changed while it was prepared"));
    }
    let done = first()?;
    new.put_over(file)?;
    Ok(done)
}

fn create(file: &Path, schema: &str, instead_of: Option<&Version>) -> Result<(), Problem> {
    let new = Unfinished::beside(file, NEW);
    tool(&["create", text(&new.0)?, schema])?;
    replace(file, instead_of, new, || Ok(()))
}

/// A copy that tells of which schema version and of when it is.
fn back_up(file: &Path, version: &str) -> Result<PathBuf, Problem> {
    // A clock that is before 1970 still leaves a name.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let backup = beside(file, &format!(".backup-{version}-{seconds}"));
    let unfinished = Unfinished::beside(file, BACKUP);
    fs::copy(file, &unfinished.0).map_err(|error| Problem::io(format_args!("copying {}", file.display()), error))?;
    unfinished.put_over(&backup)?;
    Ok(backup)
}

/// Converts a database whose schema is older. One whose schema is newer, after going back to an older image, is left
/// as it is: ovsdb-server serves any schema, and ovs-vswitchd ignores columns that it does not know.
fn convert(step: &str, file: &Path, schema: &str) -> Result<(), Problem> {
    let path = text(file)?;
    let read = Version::of(file)?;
    let kept = |Problem(why): Problem| Problem(format!("{path} is kept as it is, but can't be used: {why}"));
    if is_clustered(file)? {
        return Err(kept(Problem(
            "it is a member of a cluster, and init makes and converts only databases that are in no cluster; \
             `ovsdb-tool cluster-to-standalone` makes one of it"
                .into(),
        )));
    }
    // This checks the record that has the schema, too.
    let from = tool(&["db-version", path]).map_err(kept)?;
    // ovsdb-tool would convert any database, and drop everything that the schema does not have.
    let name = database_name(file).map_err(kept)?;
    if name != DATABASE {
        return Err(kept(Problem(format!("it is a database of {name}, expected {DATABASE}"))));
    }
    // The whole of it has to be readable, not just its schema.
    tool(&["query", path, r#"["Open_vSwitch"]"#]).map_err(kept)?;
    let to = tool(&["schema-version", schema])?;
    if schema_version(&from).map_err(kept)? >= schema_version(&to)? {
        if from != to {
            say(step, format_args!("the database has schema {from}, newer than {to}, and is left so"));
        }
        return Ok(());
    }
    let new = Unfinished::beside(file, NEW);
    tool(&["convert", path, schema, text(&new.0)?]).map_err(|Problem(why)| {
        Problem(format!("converting {path} from schema {from} to {to} failed, the old database is kept: {why}"))
    })?;
    // Only now that it will be replaced: a container that is started again and again must not fill the disk with copies.
    let backup = replace(file, read.as_ref(), new, || back_up(file, &from))?;
    say(step, format_args!("converted the database from schema {from} to {to}; the old one is {}", backup.display()));
    Ok(())
}

/// The numbers of a schema's version, in the order in which they count (RFC 7047 section 3.1). `ovsdb-tool
/// compare-versions` compares them too, but not before Open vSwitch 2.9.
fn schema_version(text: &str) -> Result<Vec<u64>, Problem> {
    let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
    let numbers = numbers.ok().filter(|numbers| numbers.len() == 3);
    numbers.ok_or_else(|| Problem(format!("{text:?} is not the version of a schema, expected X.Y.Z")))
}

/// The start of each record of the file (ovsdb(5), "Standalone Format").
const MAGIC: &[u8] = b"OVSDB JSON ";

/// The start of the file of a cluster's member (ovsdb(5), "Clustered Format").
const CLUSTER_MAGIC: &[u8] = b"OVSDB CLUSTER ";

fn is_clustered(file: &Path) -> Result<bool, Problem> {
    let mut start = Vec::new();
    let opened = File::open(file).and_then(|file| file.take(CLUSTER_MAGIC.len() as u64).read_to_end(&mut start));
    opened.map_err(|error| Problem::io(file.display(), error))?;
    Ok(start == CLUSTER_MAGIC)
}

/// The name in the schema, which is the file's first record. `ovsdb-tool db-name` tells the same, but not before Open
/// vSwitch 2.9.
fn database_name(file: &Path) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Schema {
        name: String,
    }
    let mut text = BufReader::new(File::open(file).map_err(|error| Problem::io(file.display(), error))?);
    // A line that says how long the record is, then the record.
    text.read_until(b'\n', &mut Vec::new()).map_err(|error| Problem::io(file.display(), error))?;
    let schema = Schema::deserialize(&mut serde_json::Deserializer::from_reader(text));
    schema.map(|schema| schema.name).map_err(|error| Problem(format!("its schema is unreadable: {error}")))
}

/// A process that is killed in the middle of writing leaves part of a record at the end of the file. ovsdb-server goes
/// on without it; ovsdb-tool does not, so it is cut off, after a copy. Damage anywhere else is not for us to judge.
fn mend_torn_end(step: &str, file: &Path) -> Result<(), Problem> {
    let read = Version::of(file)?;
    let bytes = fs::read(file).map_err(|error| Problem::io(file.display(), error))?;
    let good = whole_records(&bytes);
    let rest = &bytes[good..];
    let another_record_follows = rest.windows(MAGIC.len()).skip(1).any(|window| window == MAGIC);
    if good == 0
        || rest.is_empty()
        || another_record_follows
        || !MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())])
    {
        return Ok(());
    }
    let new = Unfinished::beside(file, NEW);
    fs::write(&new.0, &bytes[..good]).map_err(|error| Problem::io(new.0.display(), error))?;
    let backup = replace(file, read.as_ref(), new, || back_up(file, "torn"))?;
    let lost = rest.len();
    say(
        step,
        format_args!("cut {lost} bytes of an unfinished record off the database; the old file is {}", backup.display()),
    );
    Ok(())
}

/// How many bytes at the start of a file are whole records: a line "OVSDB JSON LENGTH HASH", then LENGTH bytes.
fn whole_records(bytes: &[u8]) -> usize {
    let mut good = 0;
    while let Some(header) = bytes[good..].strip_prefix(MAGIC) {
        let Some(end) = header.iter().position(|byte| *byte == b'\n') else { break };
        // A header that can't be read is that of no whole record.
        let line = std::str::from_utf8(&header[..end]).unwrap_or_default();
        let Some(length) = line.split(' ').next().and_then(|length| length.parse::<usize>().ok()) else { break };
        // A length that no file can have is one that this file does not have.
        match (good + MAGIC.len() + end + 1).checked_add(length) {
            Some(next) if next <= bytes.len() => good = next,
            _ => break,
        }
    }
    good
}

/// Adds the row of the root table and what identifies this system in it; changes nothing that is right already.
fn fill_root_row(file: &Path, id_file: &Path) -> Result<(), Problem> {
    let path = text(file)?;
    let query = r#"["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[],
        "columns":["external_ids","ovs_version","system_type","system_version"]}]"#;
    let reply: Value = parse(&tool(&["query", path, query])?)?;
    if !reply[0]["rows"].is_array() {
        return Err(Problem(format!("reading the root row of {path}: {reply}")));
    }
    // An empty database has none.
    let row = &reply[0]["rows"][0];
    let stored_id = row["external_ids"][1].as_array().into_iter().flatten();
    let stored_id = stored_id.filter(|pair| pair[0] == "system-id").find_map(|pair| pair[1].as_str());
    let system_id = system_id(id_file, stored_id)?;

    let mut operations = vec![json!("Open_vSwitch")];
    if row.is_null() {
        operations.push(json!({"op": "insert", "table": "Open_vSwitch", "row": {}}));
    }
    if stored_id != Some(system_id.as_str()) {
        let mutations = json!([
            ["external_ids", "delete", ["set", ["system-id"]]],
            ["external_ids", "insert", ["map", [["system-id", system_id]]]],
        ]);
        operations.push(json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutations}));
    }
    let (system, system_version) = operating_system();
    let known = [("ovs_version", ovs_version()?), ("system_type", system), ("system_version", system_version)];
    let changed: serde_json::Map<_, _> = known
        .into_iter()
        .filter(|(column, value)| row[*column] != json!(value))
        .map(|(column, value)| (column.to_owned(), json!(value)))
        .collect();
    if !changed.is_empty() {
        operations.push(json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": changed}));
    }
    if operations.len() > 1 {
        operations.push(json!({"op": "comment", "comment": "ovs-plugin init"}));
        let reply = tool(&["transact", path, &Value::Array(operations).to_string()])?;
        let reply = parse(&reply)?;
        let results = reply.as_array().ok_or_else(|| Problem(format!("filling the root row of {path}: {reply}")))?;
        if let Some(error) = results.iter().find(|result| !result["error"].is_null()) {
            return Err(Problem(format!("filling the root row of {path}: {error}")));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| Problem(format!("unreadable answer of ovsdb-tool: {error}")))
}

/// The system's id: from the file in the database's directory, as ovs-ctl(8) keeps it, else from the database, else a
/// new one.
fn system_id(file: &Path, stored: Option<&str>) -> Result<String, Problem> {
    match fs::read_to_string(file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // The system must not get another id because its own can't be read.
        Err(error) => return Err(Problem::io(file.display(), error)),
    }
    let id = stored.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let new = Unfinished::beside(file, NEW);
    fs::write(&new.0, format!("{id}\n")).map_err(|error| Problem::io(new.0.display(), error))?;
    new.put_over(file)?;
    Ok(id)
}

/// "ovsdb-tool (Open vSwitch) 3.1.0" → "3.1.0"; all programs of a package are of one version.
fn ovs_version() -> Result<String, Problem> {
    let line = tool(&["--version"])?;
    let version = line.lines().next().and_then(|line| line.rsplit(' ').next());
    Ok(version.unwrap_or("unknown").to_owned())
}

/// From os-release(5); the image has none, and runs on Zero-OS. These are words for people, so a file that can't be read
/// is as good as none.
fn operating_system() -> (String, String) {
    let file = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    (field("ID").unwrap_or_else(|| "zero-os".into()), field("VERSION_ID").unwrap_or_else(|| "unknown".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_schemas_are_compared_by_their_numbers() {
        let version = |text| schema_version(text).unwrap();
        assert!(version("7.9.0") < version("7.12.1") && version("7.12.1") < version("8.0.0"));
        assert!(version("8.3.1") >= version("8.3.1"));
        for text in ["", "7", "7.1", "7.1.x", "7.1.0.0"] {
            assert!(schema_version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_whole_records_count() {
        let record = |text: &str| format!("OVSDB JSON {} {}\n{text}", text.len(), "0".repeat(40));
        let file = format!("{}{}", record("{\"a\":1}\n"), record("{}\n"));
        assert_eq!(whole_records(file.as_bytes()), file.len());
        let first = record("{\"a\":1}\n").len();
        for end in first + 1..file.len() {
            assert_eq!(whole_records(&file.as_bytes()[..end]), first, "cut at {end}");
        }
        for length in [u64::MAX, u64::MAX - 20, u64::MAX - 53, u64::MAX - 54, 1 << 63] {
            let huge = format!("OVSDB JSON {length} {}\n{{}}\n", "0".repeat(40));
            assert_eq!(whole_records(huge.as_bytes()), 0, "{length}");
        }
        assert_eq!(whole_records(b"garbage"), 0);
        assert_eq!(whole_records(b""), 0);
    }
}
