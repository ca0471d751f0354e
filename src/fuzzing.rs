//! What the fuzzers of `fuzz/` call: everything that reads what strangers have written, with the properties that hold
//! whatever that is. Built for tests and fuzzers only.
//!
//! The tests below give each its corpus, so that neither can rot.

use std::sync::OnceLock;

use ovsdb::monitor::{RowUpdate, RowUpdate2, Since, TableUpdates};
use ovsdb::notation;
use ovsdb::operation::Row;
use ovsdb::schema::DatabaseSchema;
use ovsdb::transaction::TransactReply;
use ovsdb::value::Value;
use ovsdb::wire::frame::{Framer, Limits};
use ovsdb::wire::json;
use ovsdb::wire::message::Message;
use serde_json::Value as Json;

use crate::commands;

/// What is fuzzed: it panics when a property does not hold.
pub type Target = fn(&[u8]);

/// The fuzzers by the names of their targets and corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("framing", framing),
    ("messages", messages),
    ("values", values),
    ("schema", schema),
    ("notation", notation),
    ("arguments", arguments),
];

const LIMITS: Limits = Limits { size: 4096, depth: 50 };

/// However a stream is cut into reads, the same texts come out of it. The first byte is the size of the reads.
pub fn framing(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = texts(stream, stream.len().max(1));
    let cut = texts(stream, usize::from(*size) + 1);
    assert_eq!(whole.0, cut.0, "texts in one read, and in reads of {} bytes", usize::from(*size) + 1);
    assert_eq!(whole.1, cut.1, "whether the stream is sound");
    let fits = stream.len() <= LIMITS.size && whole.1;
    if fits && matches!(serde_json::from_slice(stream), Ok(Json::Object(_))) {
        assert_eq!(whole.0, [stream.trim_ascii()], "a JSON object is one text");
    }
}

/// The texts of a stream that comes in reads of this size, and whether that was all.
fn texts(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(LIMITS);
    let mut texts = Vec::new();
    for read in stream.chunks(size) {
        framer.space().extend_from_slice(read);
        loop {
            match framer.next_text() {
                Ok(Some(text)) => {
                    texts.push(text.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (texts, false),
            }
        }
    }
    (texts, framer.finish().is_ok())
}

/// A message that is understood carries JSON, and reading that as everything it may be ends.
pub fn messages(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    let part = match message {
        Message::Reply { outcome, .. } => outcome.ok().flatten(),
        Message::Request { params, .. } | Message::Notification { params, .. } => params,
    };
    let Some(part) = part else { return };
    if let Err(error) = json::from_raw::<Json>(part) {
        // Cut out, but too deep or with numbers that are too large to be read.
        let error = error.to_string();
        let known = ["recursion limit", "number out of range", "surrogate", "escape"];
        assert!(known.iter().any(|known| error.contains(known)), "{part}: {error}");
    }
    let _ = json::from_raw::<DatabaseSchema>(part);
    let _ = json::from_raw::<TableUpdates<RowUpdate>>(part);
    let _ = json::from_raw::<Since<TableUpdates<RowUpdate2>>>(part);
    if let Ok(reply) = json::from_raw::<TransactReply>(part)
        && let Ok(results) = reply.check(3)
    {
        for result in results {
            let _ = (result.uuid(), result.count(), result.rows::<Row>());
        }
    }
}

/// A value that is understood is the same after it was written and read again, and a row of them too.
pub fn values(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    if let Ok(value) = json::from_str::<Value>(input) {
        let _ = notation::to_text(&value);
        let written = serde_json::to_string(&value).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        let again = json::from_str::<Value>(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(again, value, "{written}");
    }
    if let Ok(row) = json::from_str::<Row>(input) {
        let written = serde_json::to_string(&row).unwrap_or_else(|error| panic!("{row:?}: {error}"));
        assert_eq!(json::from_str::<Row>(&written).ok(), Some(row), "{written}");
    }
}

/// A schema that is understood can be asked everything.
pub fn schema(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let Ok(schema) = json::from_str::<DatabaseSchema>(input) else { return };
    for (name, table) in &schema.tables {
        let _ = notation::table(&schema, name);
        for (column, of_column) in &table.columns {
            let _ = notation::column(name, table, column);
            let _ = of_column.ty.expectation().to_string();
            let _ = notation::to_text(&of_column.ty.default_value());
            for value in ["1", "[]", "a=b", "{a=1}"] {
                let _ = notation::assignment(name, table, &format!("{column}={value}"));
            }
        }
    }
}

/// A setting that is understood says the same when its value is printed and read again; one that is not has an error that
/// can be told. The table's name ends with the first line.
pub fn notation(data: &[u8]) {
    static SCHEMA: OnceLock<DatabaseSchema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let text = include_str!("../tests/data/vswitch-8.3.1.ovsschema");
        json::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    });
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (table, setting) = input.split_once('\n').unwrap_or(("Bridge", input));
    let (name, table) = match notation::table(schema, table) {
        Ok(found) => found,
        Err(error) => return drop(error.to_string()),
    };
    let assignment = match notation::assignment(name, table, setting) {
        Ok(assignment) => assignment,
        Err(error) => return drop(error.to_string()),
    };
    for (column, value) in notation::apply(&Row::new(), [assignment]) {
        // An empty value is written as such.
        let printed = format!("{column}={}", notation::to_text(&value));
        match notation::assignment(name, table, &printed) {
            Ok(again) => assert_eq!(again.value, value, "{printed}"),
            Err(error) => panic!("{printed}: {error}"),
        }
    }
}

/// Arguments are understood or refused, and a refusal names what is wrong with them. The first line is the command.
pub fn arguments(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (name, text) = input.split_once('\n').unwrap_or(("set", input));
    let Some(command) = commands::find(name) else { return };
    if let Err(error) = (command.understand)(text) {
        assert_eq!(error.code(), "bad-argument", "{name}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_corpus_passes() {
        for (name, target) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
            let mut seen = 0;
            for file in files {
                let path = file.unwrap().path();
                let data = fs::read(&path).unwrap();
                target_passes(*target, &data, &path);
                seen += 1;
            }
            assert!(seen > 0, "{} is empty", corpus.display());
        }
    }

    /// So that a failure tells what it was.
    fn target_passes(target: Target, data: &[u8], path: &Path) {
        let run = std::panic::catch_unwind(|| target(data));
        assert!(run.is_ok(), "{}: {:?}", path.display(), String::from_utf8_lossy(data));
    }

    proptest::proptest! {
        /// A fuzzer's first steps, so that some of them are taken in every test run.
        #[test]
        fn what_is_near_a_corpus_passes_too(
            target in 0..TARGETS.len(),
            file: usize,
            changes in proptest::collection::vec((0..4u8, proptest::prelude::any::<usize>(), 0..0x80u8), 1..6),
        ) {
            let (name, target) = TARGETS[target];
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            let path = &files[file % files.len()];
            let mut data = fs::read(path).unwrap();
            for (change, place, byte) in changes {
                let place = place % data.len().max(1);
                match change {
                    0 => data.insert(place.min(data.len()), byte),
                    1 if !data.is_empty() => drop(data.remove(place)),
                    2 if !data.is_empty() => data[place] = byte,
                    _ => {
                        let again = data[place.min(data.len())..].to_vec();
                        data.extend(again);
                    }
                }
            }
            target_passes(target, &data, path);
        }
    }

    #[test]
    fn every_target_is_built_and_has_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, _) in TARGETS {
            let text = fs::read_to_string(fuzz.join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
            assert!(text.contains(&format!("ovs_plugin::fuzzing::{name}(data)")), "{name}: {text}");
        }
    }
}
