//! The database file: making it, converting it, mending a torn end, and what must be in it.
//!
//! The agent kills without warning, so whatever is written is written beside the database and then renamed over it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::process::output;
use super::{Paths, Problem, say, stale};
use crate::vswitch::tables::DATABASE;

/// Each step of ovsdb-tool takes milliseconds; one that takes this long has gone wrong.
const TOOL_LIMIT: Duration = Duration::from_secs(10);

fn tool(arguments: &[&str]) -> Result<String, Problem> {
    output("ovsdb-tool", arguments, TOOL_LIMIT)
}

/// Makes the database usable by the installed daemons, whatever it is now.
pub(super) fn prepare(step: &str, paths: &Paths) -> Result<(), Problem> {
    let file = paths.database.as_path();
    let prepared = bring_up_to_date(step, file, text(&paths.schema)?).and_then(|()| fill_root_row(file));
    // ovsdb-tool locks what it works on, and leaves the lock files.
    for used in [file, &beside(file, ".new")] {
        stale::remove_lock_of(used);
    }
    prepared
}

/// Leaves a database that is whole and has the schema of the installed daemons.
fn bring_up_to_date(step: &str, file: &Path, schema: &str) -> Result<(), Problem> {
    match fs::metadata(file) {
        Ok(metadata) if metadata.len() == 0 => {
            say(step, format_args!("{} is empty, there is nothing to keep; making a new database", file.display()));
            create(file, schema)?;
        }
        Ok(_) => {
            mend_torn_end(step, file)?;
            convert(step, file, schema)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            say(step, format_args!("making the database {}", file.display()));
            create(file, schema)?;
        }
        Err(error) => return Err(Problem::io(file.display(), error)),
    }
    Ok(())
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

/// Puts a finished file in the place of another; after this, a crash finds the one or the other, whole.
fn rename_over(from: &Path, to: &Path) -> Result<(), Problem> {
    let renamed = File::open(from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(from, to))
        .and_then(|()| File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all());
    renamed.map_err(|error| Problem::io(format_args!("putting {} in place", to.display()), error))
}

fn create(file: &Path, schema: &str) -> Result<(), Problem> {
    let new = beside(file, ".new");
    // Usually there is none. If one is there and stays, ovsdb-tool says so.
    let _ = fs::remove_file(&new);
    tool(&["create", text(&new)?, schema])?;
    rename_over(&new, file)
}

/// A copy that tells of which schema version and of when it is.
fn back_up(file: &Path, version: &str) -> Result<PathBuf, Problem> {
    // A clock that is before 1970 still leaves a name.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let backup = beside(file, &format!(".backup-{version}-{seconds}"));
    let unfinished = beside(file, ".backup-unfinished");
    fs::copy(file, &unfinished).map_err(|error| Problem::io(format_args!("copying {}", file.display()), error))?;
    rename_over(&unfinished, &backup)?;
    Ok(backup)
}

/// Converts a database whose schema is older. One whose schema is newer, after going back to an older image, is left
/// as it is: ovsdb-server serves any schema, and ovs-vswitchd ignores columns that it does not know.
fn convert(step: &str, file: &Path, schema: &str) -> Result<(), Problem> {
    let path = text(file)?;
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
    let new = beside(file, ".new");
    let _ = fs::remove_file(&new);
    tool(&["convert", path, schema, text(&new)?]).map_err(|Problem(why)| {
        let _ = fs::remove_file(&new);
        Problem(format!("converting {path} from schema {from} to {to} failed, the old database is kept: {why}"))
    })?;
    // Only now that it will be replaced: a container that is started again and again must not fill the disk with copies.
    let backup = back_up(file, &from)?;
    rename_over(&new, file)?;
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
    let backup = back_up(file, "torn")?;
    let new = beside(file, ".new");
    let written = File::create(&new).and_then(|mut file| file.write_all(&bytes[..good]));
    written.map_err(|error| Problem::io(new.display(), error))?;
    rename_over(&new, file)?;
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
        let next = good + MAGIC.len() + end + 1 + length;
        if next > bytes.len() {
            break;
        }
        good = next;
    }
    good
}

/// Adds the row of the root table and what identifies this system in it; changes nothing that is right already.
fn fill_root_row(file: &Path) -> Result<(), Problem> {
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
    let system_id = system_id(file, stored_id)?;

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

/// The system's id: from the file beside the database, as ovs-ctl(8) keeps it, else from the database, else a new one.
fn system_id(database: &Path, stored: Option<&str>) -> Result<String, Problem> {
    let file = database.with_file_name("system-id.conf");
    match fs::read_to_string(&file) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // The system must not get another id because its own can't be read.
        Err(error) => return Err(Problem::io(file.display(), error)),
    }
    let id = stored.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let new = beside(&file, ".new");
    fs::write(&new, format!("{id}\n")).map_err(|error| Problem::io(new.display(), error))?;
    rename_over(&new, &file)?;
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
        assert_eq!(whole_records(b"garbage"), 0);
        assert_eq!(whole_records(b""), 0);
    }
}
