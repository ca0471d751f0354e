//! The database in memory of other tests, held against a real ovsdb-server.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ovsdb::Connection;
use ovsdb::operation::{Condition, Function, Mutation, Mutator, Name, Operation, Row, Until};
use ovsdb::schema::DatabaseSchema;
use ovsdb::value::{Atom, NamedUuid, Uuid, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::daemon::{SCHEMA, Server, run};

#[path = "../model/mod.rs"]
mod model;

use model::Model;

/// Root and other tables, strong and weak references, unique names, a limit of rows.
const TABLES: [&str; 6] = ["Open_vSwitch", "Bridge", "Port", "Interface", "Queue", "QoS"];

fn word() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn columns(table: &'static str) -> BoxedStrategy<(&'static str, Value)> {
    let reference = |prefix: &'static str| {
        prop::collection::vec(0..4usize, 0..3)
            .prop_map(move |numbers| Value::set(numbers.into_iter().map(|number| Atom::from(named(prefix, number)))))
    };
    let strings = || prop::collection::btree_map(word(), word(), 0..3).prop_map(Value::string_map);
    let small = || (-1i64..4).prop_map(Value::from);
    match table {
        "Open_vSwitch" => prop_oneof![
            reference("Bridge").prop_map(|value| ("bridges", value)),
            small().prop_map(|value| ("next_cfg", value)),
            strings().prop_map(|value| ("external_ids", value)),
        ]
        .boxed(),
        "Bridge" => prop_oneof![
            word().prop_map(|name| ("name", name.into())),
            reference("Port").prop_map(|value| ("ports", value)),
            prop::collection::vec(-1i64..4, 0..3)
                .prop_map(|vlans| ("flood_vlans", Value::set(vlans.into_iter().map(Atom::Integer)))),
            strings().prop_map(|value| ("other_config", value)),
        ]
        .boxed(),
        "Port" => prop_oneof![
            word().prop_map(|name| ("name", name.into())),
            reference("Interface").prop_map(|value| ("interfaces", value)),
            prop::option::of(-1i64..3).prop_map(|tag| ("tag", tag.into())),
            prop_oneof![Just("trunk"), Just("bogus")].prop_map(|mode| ("vlan_mode", mode.into())),
        ]
        .boxed(),
        "Interface" => {
            prop_oneof![word().prop_map(|name| ("name", name.into())), strings().prop_map(|value| ("options", value)),]
                .boxed()
        }
        "Queue" => prop_oneof![
            (0i64..70).prop_map(|dscp| ("dscp", dscp.into())),
            strings().prop_map(|value| ("external_ids", value)),
        ]
        .boxed(),
        _ => prop_oneof![
            word().prop_map(|ty| ("type", ty.into())),
            prop::collection::btree_map(0i64..3, 0..4usize, 0..2).prop_map(|queues| {
                let pairs = queues.into_iter().map(|(key, number)| (Atom::Integer(key), named("Queue", number).into()));
                ("queues", Value::Map(pairs.collect()))
            }),
        ]
        .boxed(),
    }
}

fn named(table: &'static str, number: usize) -> NamedUuid {
    NamedUuid(format!("{table}{number}").into())
}

/// An operation whose references name rows by table and number: those of the transaction, or those there already.
fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(&TABLES[..]).prop_flat_map(|table| {
        let row = move || {
            prop::collection::vec(columns(table), 0..3)
                .prop_map(|pairs| pairs.into_iter().map(|(column, value)| (Name::from(column), value)).collect::<Row>())
        };
        let condition = move || {
            let function = prop_oneof![
                Just(Function::Equal),
                Just(Function::NotEqual),
                Just(Function::Includes),
                Just(Function::Excludes),
            ];
            let by_column = (columns(table), function)
                .prop_map(|((column, value), function)| Condition::Column(column.into(), function, value));
            prop::collection::vec(prop_oneof![3 => by_column, 1 => any::<bool>().prop_map(Condition::Always)], 0..2)
        };
        let insert = (row(), 0..4usize).prop_map(move |(row, number)| Operation::Insert {
            table: table.into(),
            row,
            uuid_name: Some(named(table, number).0),
            uuid: None,
        });
        let update = (condition(), row()).prop_map(move |(r#where, row)| Operation::Update {
            table: table.into(),
            r#where,
            row,
        });
        let mutation = (columns(table), any::<bool>()).prop_map(move |((column, value), put)| {
            let mutator = match (column, put) {
                ("next_cfg", _) => Mutator::Add,
                (_, true) => Mutator::Insert,
                (_, false) => Mutator::Delete,
            };
            let is_scalar = matches!(column, "name" | "type" | "dscp" | "vlan_mode" | "tag");
            let mutations = if is_scalar { vec![] } else { vec![Mutation(column.into(), mutator, value)] };
            Operation::Mutate { table: table.into(), r#where: vec![], mutations }
        });
        let delete = condition().prop_map(move |r#where| Operation::Delete { table: table.into(), r#where });
        let wait = (condition(), columns(table), any::<bool>()).prop_map(move |(r#where, (column, value), equal)| {
            Operation::Wait {
                timeout: Some(0),
                table: table.into(),
                r#where,
                columns: vec![column.into()],
                until: if equal { Until::Equal } else { Until::NotEqual },
                rows: vec![Row::from([(column.into(), value)])],
            }
        });
        prop_oneof![6 => insert, 2 => update, 3 => mutation, 1 => delete, 1 => wait]
    })
}

/// Each name is used for one row only, and what no row of the transaction is called stands for nothing.
fn sensible(mut operations: Vec<Operation>) -> Vec<Operation> {
    let mut inserted = BTreeSet::new();
    operations.retain(|operation| match operation {
        Operation::Insert { uuid_name: Some(name), .. } => inserted.insert(name.clone()),
        _ => true,
    });
    let keep = |value: &mut Value| {
        let known = |atom: &Atom| !matches!(atom, Atom::NamedUuid(name) if !inserted.contains(&name.0));
        *value = match &*value {
            Value::Map(pairs) => Value::Map(
                pairs
                    .iter()
                    .filter(|(_, value)| known(value))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            ),
            set => Value::set(set.atoms().filter(|atom| known(atom)).cloned()),
        };
    };
    for operation in &mut operations {
        match operation {
            Operation::Insert { row, .. } => row.values_mut().for_each(keep),
            Operation::Update { row, r#where, .. } => {
                row.values_mut().for_each(keep);
                in_conditions(r#where, keep);
            }
            Operation::Mutate { mutations, .. } => mutations.iter_mut().for_each(|mutation| keep(&mut mutation.2)),
            Operation::Delete { r#where, .. } => in_conditions(r#where, keep),
            Operation::Wait { r#where, rows, .. } => {
                in_conditions(r#where, keep);
                rows.iter_mut().flat_map(|row| row.values_mut()).for_each(keep);
            }
            _ => {}
        }
    }
    operations
}

fn in_conditions(conditions: &mut [Condition], keep: impl Fn(&mut Value)) {
    for condition in conditions {
        if let Condition::Column(_, _, value) = condition {
            keep(value);
        }
    }
}

/// All rows without their identities: each reference is what it refers to, which ends, as references have no circles.
fn contents(rows: &BTreeMap<String, BTreeMap<Uuid, Row>>) -> BTreeMap<String, Vec<String>> {
    fn told(rows: &BTreeMap<String, BTreeMap<Uuid, Row>>, value: &Value) -> String {
        let atom = |atom: &Atom| match atom {
            Atom::Uuid(uuid) => {
                let row = rows.values().find_map(|rows| rows.get(uuid));
                row.map_or_else(|| "?".to_owned(), |row| whole(rows, row))
            }
            other => format!("{other:?}"),
        };
        match value {
            Value::Map(pairs) => {
                let mut pairs: Vec<_> =
                    pairs.iter().map(|(key, value)| format!("{}={}", atom(key), atom(value))).collect();
                pairs.sort();
                format!("{pairs:?}")
            }
            set => {
                let mut atoms: Vec<_> = set.atoms().map(atom).collect();
                atoms.sort();
                format!("{atoms:?}")
            }
        }
    }
    fn whole(rows: &BTreeMap<String, BTreeMap<Uuid, Row>>, row: &Row) -> String {
        let columns = row.iter().filter(|(column, _)| !column.starts_with('_'));
        columns.map(|(column, value)| format!("{column}: {}; ", told(rows, value))).collect()
    }
    rows.iter()
        .map(|(table, of_table)| {
            let mut texts: Vec<String> = of_table.values().map(|row| whole(rows, row)).collect();
            texts.sort();
            (table.clone(), texts)
        })
        .collect()
}

async fn of_server(connection: &Connection) -> BTreeMap<String, BTreeMap<Uuid, Row>> {
    let select = |table: &str| Operation::Select { table: table.to_owned().into(), r#where: vec![], columns: None };
    let results = run(connection, TABLES.iter().map(|table| select(table)).collect()).await.unwrap();
    let tables = TABLES.iter().zip(results).map(|(table, result)| {
        let rows: Vec<Row> = result.rows().unwrap();
        let identity = |row: &Row| row["_uuid"].uuids().next().unwrap();
        let rows = rows.into_iter().map(|row| (identity(&row), row));
        ((*table).to_owned(), rows.collect())
    });
    tables.collect()
}

#[test]
fn the_model_takes_and_refuses_what_a_server_does_and_then_holds_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, connection) = runtime.block_on(async {
        let server = Server::start("model");
        let connection = server.connect().await;
        (server, connection)
    });
    let schema: DatabaseSchema = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 256, ..Config::default() });
    let transactions = prop::collection::vec(prop::collection::vec(operation(), 1..8).prop_map(sensible), 1..6);
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&transactions, |transactions| {
        runtime.block_on(async {
            let clear = TABLES.iter().map(|table| Operation::Delete { table: (*table).into(), r#where: vec![] });
            run(&connection, clear.collect()).await.unwrap();
            let mut model = Model::new(schema.clone());
            for operations in transactions {
                let ours = model.transact(&operations);
                let counter = if ours.is_ok() { &taken } else { &refused };
                counter.set(counter.get() + 1);
                let theirs = run(&connection, operations.clone()).await;
                let told = theirs.as_ref().map(Vec::len).map_err(|error| (error.operation, error.error.error.clone()));
                let expected = ours.as_ref().map(Vec::len).map_err(|(place, word)| (*place, (*word).to_owned()));
                prop_assert_eq!(&expected, &told, "{:?}: {:?}", operations, theirs);
                let held = TABLES.iter().map(|table| ((*table).to_owned(), model.table(table).clone())).collect();
                prop_assert_eq!(contents(&held), contents(&of_server(&connection).await), "{:?}", operations);
            }
            Ok::<(), TestCaseError>(())
        })
    });
    drop(server);
    outcome.unwrap();
    assert!(taken.get() > 100 && refused.get() > 100, "{taken:?} were taken and {refused:?} refused");
}
