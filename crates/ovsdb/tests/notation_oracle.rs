//! The `COLUMN[:KEY]=VALUE` notation, compared with the installed ovs-vsctl.
//!
//! For every type of column that the installed schema has: random settings are given to `ovs-vsctl set`, and, on the
//! same row, to our parser. Either both store the same, or both refuse; and where one setting is refused, our error
//! must contain what ovs-vsctl said.
//!
//! `PROPTEST_CASES` sets the number of cases per type of column.

// The helpers of a test may stop at the first surprise too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ovsdb::notation::{self, NotationError, Problem};
use ovsdb::operation::{Condition, Operation, Row};
use ovsdb::schema::{AtomicType, BaseType, ColumnType, DatabaseSchema, TableSchema};
use ovsdb::transaction::{OperationResult, TransactError, Transaction};
use ovsdb::value::{PlainUuid, Uuid, Value};
use ovsdb::{Address, Connection};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

const SCHEMA_FILE: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const DATABASE: &str = "Open_vSwitch";
const CASES_PER_TYPE: u32 = 8;

/// No answer of a server on the same machine takes this long.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn ovs_vsctl_and_this_program_understand_the_same() {
    let oracle = Oracle::start();
    // Columns of one type behave alike, so each type gets its share, however many columns have it.
    let mut columns_by_type: Vec<(&ColumnType, Vec<(&str, &str)>)> = Vec::new();
    for (table, schema) in &oracle.schema.tables {
        for (column, schema) in &schema.columns {
            match columns_by_type.iter_mut().find(|(ty, _)| **ty == schema.ty) {
                Some((_, columns)) => columns.push((table, column)),
                None => columns_by_type.push((&schema.ty, vec![(table, column)])),
            }
        }
    }

    let mut config = Config { failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES_PER_TYPE;
    }
    let tally = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    for (_, columns) in columns_by_type {
        let settings = (0..columns.len()).prop_flat_map(|place| {
            let (table, column) = columns[place];
            let settings = prop::collection::vec(setting(&oracle.schema.tables[table], column), 1..3);
            (Just(table), settings)
        });
        let outcome = TestRunner::new(config.clone()).run(&settings, |(table, settings)| {
            let verdict = oracle.compare(table, &settings).map_err(TestCaseError::fail)?;
            *tally.borrow_mut().entry(verdict).or_default() += 1;
            Ok(())
        });
        if let Err(TestError::Fail(reason, (table, settings))) = outcome {
            panic!("set {table} {settings:?}\n{reason}");
        }
        outcome.unwrap();
    }

    let tally = tally.into_inner();
    println!("{tally:?}");
    // The comparison is worth little when nearly all settings are nonsense, or when none is.
    let total: u32 = tally.values().sum();
    for verdict in [STORED, REFUSED] {
        assert!(tally.get(verdict).is_some_and(|count| *count > total / 5), "{verdict} too seldom: {tally:?}");
    }
}

const STORED: &str = "both stored the same";
const REFUSED: &str = "both refused";
const RANGE_AS_KEY: &str = "a range as key, which only this program refuses properly";

/// An `ovsdb-server` of our own, and one row in each table.
struct Oracle {
    server: Child,
    directory: PathBuf,
    remote: String,
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    schema: DatabaseSchema,
}

impl Oracle {
    fn start() -> Oracle {
        let directory = std::env::temp_dir().join(format!("ovs-plugin-notation-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let file = directory.join("conf.db");
        let created = tool("ovsdb-tool").arg("create").arg(&file).arg(SCHEMA_FILE).status().unwrap();
        assert!(created.success(), "ovsdb-tool create: {created}");

        let socket = directory.join("db.sock");
        // The kernel ends the server when this test is killed and cannot.
        let server = tool("setpriv")
            .args(["--pdeathsig", "KILL", "ovsdb-server", "--no-chdir", "-vconsole:off", "-vsyslog:off"])
            .arg(format!("--remote=punix:{}", socket.display()))
            .arg(format!("--unixctl={}", directory.join("ctl").display()))
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let remote = format!("unix:{}", socket.display());
        let connection = runtime.block_on(connect(&remote.parse().unwrap(), &socket));
        let schema = runtime.block_on(answer(connection.get_schema(DATABASE)));
        Oracle { server, directory, remote, runtime, connection, schema }
    }

    /// Gives settings to both, each time to a row of the same contents, and compares what is left.
    fn compare(&self, table: &str, settings: &[String]) -> Result<&'static str, String> {
        self.reset();
        let theirs = self.ovs_vsctl(table, settings);
        let stored_by_them = self.everything();
        self.reset();
        let before = self.everything();
        let ours = self.our_way(table, settings, &before);
        let stored_by_us = self.everything();
        let show = |stored: &[BTreeMap<String, Value>]| {
            let changed: Vec<_> = stored.iter().filter(|row| !before.contains(row)).collect();
            format!("{changed:?}")
        };

        if let Err(Refusal::Text(NotationError::Value(error))) = &ours
            && matches!(error.problem, Problem::RangeAsKey(_))
        {
            // ovs-vsctl reads values that it never made, so whatever it does is no measure.
            return Ok(RANGE_AS_KEY);
        }
        let said = String::from_utf8_lossy;
        match (theirs, ours) {
            (Theirs::Stored, Ok(())) if stored_by_them == stored_by_us => Ok(STORED),
            (Theirs::Stored, Ok(())) => {
                Err(format!("ovs-vsctl stored {}\nwe stored {}", show(&stored_by_them), show(&stored_by_us)))
            }
            (Theirs::Stored, Err(error)) => Err(format!("ovs-vsctl stored {}\nwe said {error}", show(&stored_by_them))),
            (Theirs::Refused(words), Ok(())) => {
                Err(format!("ovs-vsctl said {:?}\nwe stored {}", said(&words), show(&stored_by_us)))
            }
            // Of several mistakes, each program may complain about another one.
            (Theirs::Refused(_), Err(_)) if settings.len() > 1 => Ok(REFUSED),
            (Theirs::Refused(words), Err(error)) if error.agrees_with(&words) => Ok(REFUSED),
            (Theirs::Refused(words), Err(error)) => Err(format!("ovs-vsctl said {:?}\nwe said {error}", said(&words))),
            (Theirs::Crashed(output), ours) => Err(format!("ovs-vsctl crashed: {output}\nwe said {ours:?}")),
        }
    }

    fn ovs_vsctl(&self, table: &str, settings: &[String]) -> Theirs {
        let row = uuid_of(table, 0).to_text();
        let output = tool("ovs-vsctl")
            .args(["--no-wait", "--timeout=10", &format!("--db={}", self.remote), "--", "set", table, &row])
            .args(settings)
            // A `set` at the end of the line has an order of its own, and crashes on some.
            .args(["--", "get", table, &row, "_uuid"])
            .output()
            .unwrap();
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => Theirs::Stored,
            (Some(1), _) => Theirs::Refused(output.stderr),
            (_, Some(_)) => Theirs::Crashed(format!("{output:?}")),
            _ => panic!("ovs-vsctl set {table} {settings:?}: {output:?}"),
        }
    }

    fn our_way(&self, table: &str, settings: &[String], before: &[BTreeMap<String, Value>]) -> Result<(), Refusal> {
        let (name, schema) = notation::table(&self.schema, table).map_err(Refusal::Text)?;
        let mut assignments = Vec::new();
        for setting in settings {
            let assignment = notation::assignment(name, schema, setting).map_err(Refusal::Text)?;
            if !assignment.schema.mutable {
                return Err(Refusal::Text(NotationError::read_only(name, assignment.column)));
            }
            assignments.push(assignment);
        }
        let identity = Value::from(uuid_of(table, 0));
        let row = before.iter().find(|row| row["_uuid"] == identity).unwrap();
        let current: Row = row.iter().map(|(column, value)| (column.clone().into(), value.clone())).collect();
        let changed = notation::apply(&current, assignments);
        let row = changed.into_iter().map(|(column, value)| (column.to_owned().into(), value)).collect();
        let table = table.to_owned().into();
        let update = Operation::Update { table, r#where: vec![Condition::is_row(uuid_of(name, 0))], row };
        self.transact(vec![update]).map(drop).map_err(Refusal::Server)
    }

    fn transact(&self, operations: Vec<Operation>) -> Result<Vec<OperationResult>, TransactError> {
        let mut transaction = Transaction::new();
        let count = operations.len();
        transaction.operations = operations;
        self.runtime.block_on(answer(self.connection.transact(DATABASE, &transaction))).check(count)
    }

    /// Two rows in each table (one where there may be no more), all of them referenced so that they stay.
    fn reset(&self) {
        // The server does not give a UUID again in the transaction that deletes its row.
        let clear = |table: &String| Operation::Delete { table: table.clone().into(), r#where: vec![] };
        self.transact(self.schema.tables.keys().map(clear).collect()).unwrap();
        let mut inserts = Vec::new();
        for (table, schema) in &self.schema.tables {
            for number in 0..schema.max_rows.unwrap_or(2).min(2) {
                let row = schema.columns.iter().filter_map(|(column, schema)| {
                    let value = self.initial(column, &schema.ty, number)?;
                    Some((column.clone().into(), value))
                });
                let row = row.collect();
                let uuid = Some(PlainUuid(uuid_of(table, number)));
                inserts.push(Operation::Insert { table: table.clone().into(), row, uuid_name: None, uuid });
            }
        }
        self.transact(inserts).unwrap();
    }

    /// What a column holds at first: references to all rows that there are, names that differ, and a few pairs.
    fn initial(&self, column: &str, ty: &ColumnType, number: u64) -> Option<Value> {
        let rows = |base: &BaseType| {
            let table = base.ref_table.clone()?;
            let count = self.schema.tables[&table].max_rows.unwrap_or(2).min(2);
            Some((0..count).map(move |number| uuid_of(&table, number)))
        };
        match &ty.value {
            None if ty.key.atomic == AtomicType::Uuid && ty.max == Some(1) => {
                rows(&ty.key)?.nth(number as usize).map(Value::from)
            }
            None if ty.key.atomic == AtomicType::Uuid => Some(Value::set(rows(&ty.key)?.map(Into::into))),
            None if ["name", "target", "targets"].contains(&column) => Some(format!("{column}{number}").into()),
            // Part of an index.
            None if column == "id" => Some((number as i64).into()),
            None => None,
            Some(base) if base.atomic == AtomicType::Uuid => {
                let keys = [0i64, 1].map(|key| match ty.key.atomic {
                    AtomicType::Integer => key.into(),
                    _ => key.to_string().into(),
                });
                Some(Value::Map(keys.into_iter().zip(rows(base)?.map(Into::into)).collect()))
            }
            Some(base) if (ty.key.atomic, base.atomic) == (AtomicType::String, AtomicType::String) => {
                Some(Value::string_map([("a", "1"), ("old", "x y")]))
            }
            Some(_) => None,
        }
    }

    /// All rows of all tables, as the server tells them.
    fn everything(&self) -> Vec<BTreeMap<String, Value>> {
        let selects = self.schema.tables.iter().map(|(table, schema)| {
            let columns = schema.columns.keys().map(|column| column.clone().into()).chain(["_uuid".into()]);
            Operation::Select { table: table.clone().into(), r#where: vec![], columns: Some(columns.collect()) }
        });
        let results = self.transact(selects.collect()).unwrap();
        let mut rows: Vec<BTreeMap<String, Value>> = results.iter().flat_map(|result| result.rows().unwrap()).collect();
        rows.sort();
        rows
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What became of `ovs-vsctl set`.
enum Theirs {
    Stored,
    Refused(Vec<u8>),
    Crashed(String),
}

/// Why we stored nothing.
#[derive(Debug)]
enum Refusal {
    Text(NotationError),
    Server(TransactError),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Text(error) => write!(f, "{error}"),
            Refusal::Server(error) => write!(f, "transaction error: {error}"),
        }
    }
}

impl Refusal {
    fn agrees_with(&self, stderr: &[u8]) -> bool {
        match self {
            Refusal::Server(_) => stderr.windows(18).any(|window| window == b"transaction error:"),
            // ovs-vsctl goes on to compare the broken string with the words that are allowed.
            Refusal::Text(NotationError::Value(error)) if matches!(error.problem, Problem::NotUtf8(_)) => true,
            Refusal::Text(error) => {
                let Ok(words) = std::str::from_utf8(stderr) else {
                    // It quotes single bytes of longer characters.
                    return true;
                };
                let words = words.strip_prefix("ovs-vsctl: ").unwrap_or(words);
                // We only find out that the column is read-only when there is a value for it.
                let read_only = words.starts_with("cannot modify read-only column");
                read_only || error.to_string().contains(words.strip_suffix('\n').unwrap_or(words))
            }
        }
    }
}

/// A program of Open vSwitch; an ordinary user's PATH may lack the directories of daemons.
fn tool(name: &str) -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(OsString::from(":/usr/local/sbin:/usr/sbin:/sbin"));
    let mut command = Command::new(name);
    command.env("PATH", path);
    command
}

async fn connect(remote: &Address, socket: &Path) -> Connection {
    let end = Instant::now() + LIMIT;
    loop {
        match Connection::open(remote).await {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < end, "{}: {error}", socket.display()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn answer<T, E: Debug>(reply: impl Future<Output = Result<T, E>>) -> T {
    tokio::time::timeout(LIMIT, reply).await.expect("the server answers").unwrap()
}

/// A row's identity, the same in every run.
fn uuid_of(table: &str, number: u64) -> Uuid {
    let mut bytes = [0x40; 16];
    let length = table.len().min(15);
    bytes[..length].copy_from_slice(&table.as_bytes()[..length]);
    bytes[15] = number as u8;
    Uuid(uuid::Uuid::from_bytes(bytes))
}

// ---- settings ----

/// One argument for a column: mostly right, sometimes slightly wrong.
fn setting(table: &TableSchema, column: &str) -> BoxedStrategy<String> {
    let ty = &table.columns[column].ty;
    let whole = (column_name(column), whole_value(ty)).prop_map(|(column, value)| format!("{column}={value}"));
    let value_type = ty.value.as_ref().unwrap_or(&ty.key);
    let keyed = (column_name(column), element(&ty.key), verbatim(value_type))
        .prop_map(|(column, key, value)| format!("{column}:{key}={value}"));
    let settings =
        if ty.is_map() { prop_oneof![whole, keyed].boxed() } else { prop_oneof![40 => whole, 1 => keyed].boxed() };
    prop_oneof![9 => settings.clone(), 1 => damaged(settings)]
        // Two dashes end the command, and a null ends the argument.
        .prop_map(|setting| setting.replace('\0', "0"))
        .prop_filter("not an argument", |setting| setting != "--")
        .boxed()
}

fn column_name(column: &str) -> BoxedStrategy<String> {
    let (exact, other_case, dashes) = (column.to_owned(), column.to_uppercase(), column.replace('_', "-"));
    let name = column.to_owned();
    prop_oneof![
        40 => Just(exact),
        4 => Just(other_case),
        4 => Just(dashes),
        2 => (1..=column.len()).prop_map(move |length| name[..length].to_owned()),
        1 => "[a-z_\"]{1,6}",
    ]
    .boxed()
}

/// The value of a column without a key: lists in all the spellings that there are.
fn whole_value(ty: &ColumnType) -> BoxedStrategy<String> {
    let element = match &ty.value {
        None if ty.key.atomic == AtomicType::Integer => prop_oneof![4 => element(&ty.key), 1 => range(&ty.key)].boxed(),
        None => prop_oneof![40 => element(&ty.key), 1 => range(&ty.key)].boxed(),
        Some(value) => {
            let equals =
                prop::sample::select(&["=", "=", "=", "=", "=", "=", "=", "=", "=", " = ", "=  ", "=\t", ":"][..]);
            let key = prop_oneof![40 => self::element(&ty.key), 1 => range(&ty.key)];
            (key, equals, self::element(value)).prop_map(|(key, equals, value)| format!("{key}{equals}{value}")).boxed()
        }
    };
    let count =
        if ty.max == Some(1) { prop_oneof![8 => Just(1usize), 1 => 0..3usize].boxed() } else { (0..5usize).boxed() };
    let elements = count.prop_flat_map(move |count| prop::collection::vec(element.clone(), count));
    let comma = prop_oneof![
        20 => prop::sample::select(&[",", " ", ", ", " , ", "  ", ",\t"][..]),
        1 => prop::sample::select(&[",,", "\t", ";"][..]),
    ];
    let (open, close) = if ty.is_map() { ("{", "}") } else { ("[", "]") };
    let (wide_open, wide_close) = if ty.is_map() { (" { ", " } ") } else { (" [ ", " ] ") };
    let brackets = prop_oneof![
        12 => Just(("", "")),
        12 => Just((open, close)),
        6 => Just((wide_open, wide_close)),
        1 => prop::sample::select(&[("{", "}"), ("[", "]"), ("[", ""), ("", "}"), (" [", "}")][..]),
    ];
    let rest = prop_oneof![30 => Just(""), 2 => Just(" "), 1 => Just(","), 1 => Just(" x")];
    let empty = format!("{open}{close}");
    (elements, comma, brackets, rest)
        .prop_map(move |(elements, comma, (open, close), rest)| {
            let text = elements.join(comma);
            // Nothing at all is rarely meant.
            if text.is_empty() && open.is_empty() { empty.clone() } else { format!("{open}{text}{close}{rest}") }
        })
        .boxed()
}

/// An atom as an element or a key: protected where it contains delimiters.
fn element(base: &BaseType) -> BoxedStrategy<String> {
    if base.atomic != AtomicType::String {
        return atom(base);
    }
    let protected = atom(base).prop_map(|text| {
        let delimiter = |c: char| ":=, []{}!<>\\\"".contains(c);
        text.chars().flat_map(|c| delimiter(c).then_some('\\').into_iter().chain([c])).collect()
    });
    if base.allowed.is_some() {
        return prop_oneof![12 => atom(base), 1 => quoted(), 3 => protected].boxed();
    }
    prop_oneof![2 => atom(base), 3 => quoted(), 3 => protected].boxed()
}

/// An atom as the value of a key, where nothing needs protection.
fn verbatim(base: &BaseType) -> BoxedStrategy<String> {
    match base.atomic {
        AtomicType::String => prop_oneof![4 => atom(base), 3 => quoted(), 2 => "[ -~äß€😀\\t\\n]{1,12}"].boxed(),
        _ => prop_oneof![20 => atom(base), 1 => range(base)].boxed(),
    }
}

fn atom(base: &BaseType) -> BoxedStrategy<String> {
    let right = match (base.atomic, &base.allowed) {
        (_, Some(allowed)) => {
            let words: Vec<String> = allowed.iter().map(|atom| notation::to_text(&Value::Atom(atom.clone()))).collect();
            prop::sample::select(words).boxed()
        }
        (AtomicType::Integer, _) => {
            let (min, max) = (base.min_integer.unwrap_or(i64::MIN), base.max_integer.unwrap_or(i64::MAX));
            let edges = [min, max, min.saturating_sub(1), max.saturating_add(1), 0, 1];
            let small = min.max(-3)..=max.min(min.max(-3).saturating_add(40));
            let number = prop_oneof![6 => small, 3 => min..=max, 2 => prop::sample::select(edges.to_vec())];
            let sign = |number: i64| if number < 0 { "" } else { "+" };
            prop_oneof![
                8 => number.clone().prop_map(|number| number.to_string()),
                1 => number.clone().prop_map(move |number| format!("{}{number}", sign(number))),
                1 => number.prop_map(|number| format!("{}00{}", if number < 0 { "-" } else { "" }, number.unsigned_abs())),
            ]
            .boxed()
        }
        (AtomicType::Real, _) => any::<f64>().prop_map(|number| number.to_string()).boxed(),
        (AtomicType::Boolean, _) => prop::sample::select(&["true", "yes", "on", "1", "false", "no", "off", "0"][..])
            .prop_map(String::from)
            .boxed(),
        (AtomicType::String, _) => {
            prop_oneof![5 => "[a-z0-9._/;|-]{1,6}", 1 => "[a-e]", 1 => "[ -~äß€😀]{1,8}"].boxed()
        }
        (AtomicType::Uuid, _) => {
            let table = base.ref_table.clone().unwrap_or_default();
            let row = (0..2u64).prop_map(move |number| uuid_of(&table, number).to_text());
            prop_oneof![
                8 => row.clone(),
                1 => row.prop_map(|uuid| uuid.to_uppercase()),
                1 => any::<u128>().prop_map(|bits| Uuid(uuid::Uuid::from_u128(bits)).to_text()),
            ]
            .boxed()
        }
    };
    prop_oneof![
        25 => right,
        1 => prop::sample::select(&["@q", "x", "True", "0x10", "5.0", "\"5\"", "\"true\"", "5-", "-", "99999999999999999999",
            "2ebe", "\\ 5", "'a'", "a\"b c\"", "ä", "\"", "\u{a0}5", "active", "ACCESS"][..]).prop_map(String::from),
    ]
    .boxed()
}

/// `A-B`, also where there is no such thing.
fn range(base: &BaseType) -> BoxedStrategy<String> {
    let from = base.min_integer.unwrap_or(-20);
    let edges = (base.min_integer.unwrap_or(i64::MIN), base.max_integer.unwrap_or(i64::MAX));
    prop_oneof![
        8 => (from..from.saturating_add(50), -1..20i64).prop_map(|(from, length)| format!("{from}-{}", from + length)),
        1 => Just(format!("{}-{}", edges.0, edges.1)),
        1 => Just(format!("{from}-{}", from.saturating_add(4096))),
    ]
    .boxed()
}

/// A string in quotes, with every kind of escape.
fn quoted() -> BoxedStrategy<String> {
    let any_text = "[^\0]{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let piece = prop_oneof![
        12 => "[a-z:=, \\[{é€]{1,3}",
        6 => prop::sample::select(&["\\n", "\\t", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r"][..]).prop_map(String::from),
        4 => any::<char>().prop_map(|c| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()),
        // Each of these spoils the whole.
        1 => prop::sample::select(&["\\ud83d", "\\udc00", "\\u0000", "\\u12", "\\uzzzz", "\\x", "\\", "\"", "\\é",
            "\\ud83d\\u0041"][..]).prop_map(String::from),
    ];
    let escaped = prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    prop_oneof![any_text, escaped].boxed()
}

/// One character more, less, or another.
fn damaged(setting: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let sign = prop::sample::select(":=,[]{}!<>\"\\ 5aé\t@-+".chars().collect::<Vec<_>>());
    (setting, any::<prop::sample::Index>(), sign, 0..3)
        .prop_map(|(setting, place, sign, how)| {
            let mut signs: Vec<char> = setting.chars().collect();
            let place = place.index(signs.len() + 1);
            match how {
                0 => signs.insert(place, sign),
                _ if place == signs.len() => {}
                1 => signs[place] = sign,
                _ => drop(signs.remove(place)),
            }
            signs.into_iter().collect()
        })
        .boxed()
}
