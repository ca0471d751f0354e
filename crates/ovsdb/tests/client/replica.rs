//! A replica of a real ovsdb-server: it holds what the server holds, whatever happens to that.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use ovsdb::Connection;
use ovsdb::operation::{Condition, Mutation, Mutator, Name, Operation, Row};
use ovsdb::replica::{Change, Changes, Options, Phase, Replica, State, Subscription, TableRequest, Told};
use ovsdb::value::{Atom, NamedUuid, Uuid, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::daemon::{DB, Server, run, within};

const COLUMNS: &[(&str, &[&str])] = &[
    ("Open_vSwitch", &["bridges", "cur_cfg", "next_cfg", "datapath_types", "statistics", "system_type"]),
    ("Bridge", &["name", "ports", "flood_vlans", "stp_enable", "external_ids"]),
    ("Port", &["name", "interfaces", "tag", "trunks", "bond_updelay", "other_config"]),
    ("Interface", &["name", "type", "ofport"]),
    ("Queue", &["dscp", "other_config", "external_ids"]),
    ("QoS", &["type", "queues"]),
];

fn options(servers: &[&Server]) -> Options {
    let tables = COLUMNS.iter().map(|(table, columns)| {
        let request = TableRequest::new(table, columns);
        match *table {
            "Bridge" => request.unique("name").references("ports"),
            "Port" => request.unique("name").references("interfaces"),
            "Interface" => request.unique("name"),
            _ => request,
        }
    });
    Options::new(servers.iter().map(|server| server.remote()).collect(), DB, tables.collect())
}

fn replica(server: &Server) -> Replica {
    Replica::start(options(&[server]), Box::new(|_| {}))
}

async fn state(replica: &Replica, wanted: impl Fn(&State) -> bool) -> State {
    let mut state = replica.state();
    within(state.wait_for(wanted)).await.unwrap().clone()
}

/// The rows of a table, by their identities.
type Rows = BTreeMap<Uuid, Row>;

fn by_uuid(rows: Vec<Row>) -> Rows {
    let identity = |row: &Row| row["_uuid"].uuids().next().unwrap();
    rows.into_iter().map(|row| (identity(&row), row)).collect()
}

fn with_uuid(columns: &[&'static str]) -> Vec<Name> {
    columns.iter().chain(&["_uuid"]).map(|column| Name::from(*column)).collect()
}

async fn told_by_server(connection: &Connection) -> Vec<Rows> {
    let selects = COLUMNS.iter().map(|(table, columns)| Operation::Select {
        table: (*table).into(),
        r#where: vec![],
        columns: Some(with_uuid(columns)),
    });
    let results = run(connection, selects.collect()).await.unwrap();
    results.into_iter().map(|result| by_uuid(result.into_rows().unwrap())).collect()
}

fn held(replica: &Replica) -> Vec<Rows> {
    replica.read(|tables| {
        let rows = |(table, columns): &(&str, &[&'static str])| {
            by_uuid(tables.select(table, &[], &with_uuid(columns)).unwrap())
        };
        COLUMNS.iter().map(rows).collect()
    })
}

/// The ways to find rows find the same as looking at all of them.
fn check_indexes(replica: &Replica, held: &[Rows]) {
    replica.read(|tables| {
        for (place, column) in [(1, "name"), (2, "name"), (3, "name")] {
            let table = COLUMNS[place].0;
            for (uuid, row) in &held[place] {
                assert_eq!(tables.find(table, column, row[column].clone()).unwrap().uuid(), *uuid);
            }
            assert!(tables.find(table, column, "nobody").is_none());
            assert_eq!(tables.table(table).unwrap().len(), held[place].len());
        }
        for (place, column, target) in [(1, "ports", 2), (2, "interfaces", 3)] {
            let table = COLUMNS[place].0;
            for uuid in held[target].keys() {
                let expected: Vec<Uuid> = held[place]
                    .iter()
                    .filter(|(_, row)| row[column].uuids().any(|other| other == *uuid))
                    .map(|(uuid, _)| *uuid)
                    .collect();
                let found: Vec<Uuid> = tables.referrers(table, column, *uuid).iter().map(|row| row.uuid()).collect();
                assert_eq!(found, expected);
                let condition = vec![Condition::includes(column, *uuid)];
                let selected = tables.select(table, &condition, &["_uuid".into()]).unwrap();
                assert_eq!(by_uuid(selected).into_keys().collect::<Vec<_>>(), expected);
            }
        }
    });
}

/// Applies what a subscriber is told to what it knew.
fn follow(known: &mut [Rows], changes: &Changes, replica: &Replica) {
    for change in &changes.rows {
        let place = COLUMNS.iter().position(|(table, _)| *table == change.table).unwrap();
        let now = replica.read(|tables| {
            let condition = vec![Condition::is_row(change.uuid)];
            tables.select(&change.table, &condition, &with_uuid(COLUMNS[place].1)).unwrap().pop()
        });
        match &change.what {
            Change::Inserted => assert!(known[place].insert(change.uuid, now.unwrap()).is_none()),
            Change::Deleted { former } => {
                assert_eq!(former.view().uuid(), change.uuid);
                assert!(known[place].remove(&change.uuid).is_some());
            }
            Change::Modified { columns, former } => {
                let before = known[place].insert(change.uuid, now.clone().unwrap()).unwrap();
                let now = now.unwrap();
                let changed = now.keys().filter(|column| now[*column] != before[*column]).cloned();
                assert_eq!(changed.collect::<Vec<_>>(), *columns);
                for (column, view) in former.view().columns() {
                    assert_eq!(view.to_value(), before[column]);
                }
            }
        }
    }
}

// ---- random changes ----

#[derive(Clone, Debug)]
enum Step {
    InsertQueue(Option<i64>, BTreeMap<String, String>),
    DeleteQueue(usize),
    SetDscp(usize, Option<i64>),
    PutPairs(usize, BTreeMap<String, String>),
    TakeKeys(usize, Vec<String>),
    InsertQoS(BTreeMap<i64, usize>),
    ReplaceQueues(usize, BTreeMap<i64, usize>),
    AddPort(u32, Option<i64>, Vec<i64>),
    DeletePort(usize),
    SetTrunks(usize, Vec<i64>),
    MutateTrunks(usize, Vec<i64>, Vec<i64>),
    SetFloodVlans(Vec<i64>),
    SetDatapathTypes(Vec<String>),
    Count,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    use proptest::collection::{btree_map, vec};
    let dscp = || proptest::option::of(0i64..64);
    let word = || "[a-cé\"\\\\]{0,3}";
    let pairs = || btree_map(word(), word(), 0..4);
    let vlans = || vec(0i64..12, 0..6);
    let any_row = || 0usize..100;
    let queues = || btree_map(0i64..5, any_row(), 0..4);
    let step = prop_oneof![
        (dscp(), pairs()).prop_map(|(dscp, pairs)| Step::InsertQueue(dscp, pairs)),
        any_row().prop_map(Step::DeleteQueue),
        (any_row(), dscp()).prop_map(|(row, dscp)| Step::SetDscp(row, dscp)),
        (any_row(), pairs()).prop_map(|(row, pairs)| Step::PutPairs(row, pairs)),
        (any_row(), vec(word(), 0..3)).prop_map(|(row, keys)| Step::TakeKeys(row, keys)),
        queues().prop_map(Step::InsertQoS),
        (any_row(), queues()).prop_map(|(row, queues)| Step::ReplaceQueues(row, queues)),
        (0u32..40, proptest::option::of(0i64..4096), vlans())
            .prop_map(|(n, tag, trunks)| Step::AddPort(n, tag, trunks)),
        any_row().prop_map(Step::DeletePort),
        (any_row(), vlans()).prop_map(|(row, vlans)| Step::SetTrunks(row, vlans)),
        (any_row(), vlans(), vlans()).prop_map(|(row, add, take)| Step::MutateTrunks(row, add, take)),
        vlans().prop_map(Step::SetFloodVlans),
        vec(word(), 0..4).prop_map(Step::SetDatapathTypes),
        Just(Step::Count),
    ];
    vec(vec(step, 1..6), 1..8)
}

fn numbers(numbers: &[i64]) -> Value {
    Value::set(numbers.iter().map(|number| Atom::from(*number)))
}

fn update(table: &'static str, row: Vec<Condition>, column: &'static str, value: Value) -> Operation {
    Operation::Update { table: table.into(), r#where: row, row: Row::from([(column.into(), value)]) }
}

fn mutate(table: &'static str, row: Vec<Condition>, mutations: Vec<Mutation>) -> Operation {
    Operation::Mutate { table: table.into(), r#where: row, mutations }
}

fn insert(table: &'static str, row: Vec<(&'static str, Value)>, name: Option<String>) -> Operation {
    let row = row.into_iter().map(|(column, value)| (column.into(), value)).collect();
    Operation::Insert { table: table.into(), row, uuid_name: name.map(Into::into), uuid: None }
}

/// The operations of a step, given what there is; none where what it is about is not there.
fn operations(step: &Step, held: &[Rows], serial: usize) -> Vec<Operation> {
    let row = |place: usize, index: usize| {
        let rows = &held[place];
        rows.keys().nth(index % rows.len().max(1)).map(|uuid| vec![Condition::is_row(*uuid)])
    };
    let queue_map = |queues: &BTreeMap<i64, usize>| {
        let pair = |(key, index): (&i64, &usize)| {
            let uuid = held[4].keys().nth(index % held[4].len().max(1))?;
            Some((Atom::from(*key), Atom::from(*uuid)))
        };
        Value::Map(queues.iter().filter_map(pair).collect())
    };
    let made = match step {
        Step::InsertQueue(dscp, pairs) => {
            let pairs = Value::string_map(pairs.clone());
            Some(vec![insert("Queue", vec![("dscp", (*dscp).into()), ("other_config", pairs)], None)])
        }
        Step::DeleteQueue(index) => {
            row(4, *index).map(|row| vec![Operation::Delete { table: "Queue".into(), r#where: row }])
        }
        Step::SetDscp(index, dscp) => row(4, *index).map(|row| vec![update("Queue", row, "dscp", (*dscp).into())]),
        Step::PutPairs(index, pairs) => row(4, *index).map(|row| {
            let pairs = Value::string_map(pairs.clone());
            vec![mutate("Queue", row, vec![Mutation("other_config".into(), Mutator::Insert, pairs)])]
        }),
        Step::TakeKeys(index, keys) => row(4, *index).map(|row| {
            let keys = Value::Set(keys.iter().map(Atom::from).collect());
            vec![mutate("Queue", row, vec![Mutation("other_config".into(), Mutator::Delete, keys)])]
        }),
        Step::InsertQoS(queues) => {
            Some(vec![insert("QoS", vec![("type", "t".into()), ("queues", queue_map(queues))], None)])
        }
        Step::ReplaceQueues(index, queues) => {
            row(5, *index).map(|row| vec![update("QoS", row, "queues", queue_map(queues))])
        }
        Step::AddPort(number, tag, trunks) => {
            let (port, interface) = (format!("port{serial}"), format!("interface{serial}"));
            let reference = |name: &str| Value::from(NamedUuid(name.to_owned().into()));
            let name: Value = format!("p{number}").into();
            Some(vec![
                insert("Interface", vec![("name", name.clone())], Some(interface.clone())),
                insert(
                    "Port",
                    vec![
                        ("name", name),
                        ("interfaces", reference(&interface)),
                        ("tag", (*tag).into()),
                        ("trunks", numbers(trunks)),
                    ],
                    Some(port.clone()),
                ),
                mutate("Bridge", vec![], vec![Mutation("ports".into(), Mutator::Insert, reference(&port))]),
            ])
        }
        Step::DeletePort(index) => held[2].keys().nth(index % held[2].len().max(1)).map(|port| {
            vec![mutate("Bridge", vec![], vec![Mutation("ports".into(), Mutator::Delete, (*port).into())])]
        }),
        Step::SetTrunks(index, vlans) => row(2, *index).map(|row| vec![update("Port", row, "trunks", numbers(vlans))]),
        Step::MutateTrunks(index, add, take) => row(2, *index).map(|row| {
            let change = |mutator, vlans| Mutation("trunks".into(), mutator, numbers(vlans));
            vec![mutate("Port", row, vec![change(Mutator::Delete, take), change(Mutator::Insert, add)])]
        }),
        Step::SetFloodVlans(vlans) => Some(vec![update("Bridge", vec![], "flood_vlans", numbers(vlans))]),
        Step::SetDatapathTypes(types) => {
            let types = Value::set(types.iter().map(Atom::from));
            Some(vec![update("Open_vSwitch", vec![], "datapath_types", types)])
        }
        Step::Count => {
            Some(vec![mutate("Open_vSwitch", vec![], vec![Mutation("next_cfg".into(), Mutator::Add, 1i64.into())])])
        }
    };
    made.unwrap_or_default()
}

/// One bridge without ports.
fn beginning() -> Vec<Operation> {
    let bridge = Value::from(NamedUuid("bridge".into()));
    vec![
        insert("Bridge", vec![("name", "br".into())], Some("bridge".into())),
        insert("Open_vSwitch", vec![("bridges", bridge)], None),
    ]
}

#[test]
fn it_holds_what_the_server_holds_after_any_changes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start("replica-random");
    let (connection, replica) = runtime.block_on(async {
        let connection = server.connect().await;
        run(&connection, beginning()).await.unwrap();
        (connection, replica(&server))
    });
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps(), |transactions| {
        runtime.block_on(async {
            within(replica.sync()).await;
            let ((), mut subscription) = replica.subscribe(|_| ());
            let mut told = held(&replica);
            for steps in &transactions {
                let now = held(&replica);
                let operations: Vec<Operation> =
                    steps.iter().enumerate().flat_map(|(serial, step)| operations(step, &now, serial)).collect();
                // A name may be taken, or a row gone that another step refers to; then nothing happens.
                let committed = run(&connection, operations).await.is_ok();
                within(replica.sync()).await;
                let (now, expected) = (held(&replica), told_by_server(&connection).await);
                prop_assert_eq!(&now, &expected);
                check_indexes(&replica, &now);
                if committed && now != told {
                    let Some(Told::Changed(changes)) = within(subscription.next()).await else {
                        return Err(TestCaseError::fail("nobody was told"));
                    };
                    follow(&mut told, &changes, &replica);
                }
                prop_assert_eq!(&told, &now);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

async fn next(subscription: &mut Subscription) -> std::sync::Arc<Changes> {
    match within(subscription.next()).await {
        Some(Told::Changed(changes)) => changes,
        other => panic!("{other:?}"),
    }
}

async fn insert_queue(server: &Server, dscp: i64) {
    let connection = server.connect().await;
    run(&connection, vec![insert("Queue", vec![("dscp", dscp.into())], None)]).await.unwrap();
}

fn dscps(replica: &Replica) -> Vec<i64> {
    let mut found: Vec<i64> = replica.read(|tables| {
        let rows = tables.table("Queue").unwrap().rows();
        rows.filter_map(|row| row.get("dscp")?.as_integer()).collect()
    });
    found.sort_unstable();
    found
}

#[tokio::test]
async fn it_outlives_restarts_of_the_server_and_tells_only_what_differs() {
    let mut server = Server::start("replica-restart");
    insert_queue(&server, 1).await;
    let replica = replica(&server);
    within(replica.sync()).await;
    let ((), mut subscription) = replica.subscribe(|_| ());
    for dscp in 2..5 {
        server.restart();
        insert_queue(&server, dscp).await;
        // Whoever waits for a sync point waits for the connection too.
        within(replica.sync()).await;
        assert_eq!(dscps(&replica), (1..=dscp).collect::<Vec<_>>());
        let changes = next(&mut subscription).await;
        assert!(!changes.reset && matches!(changes.rows[..], [ref row] if matches!(row.what, Change::Inserted)));
    }
    assert_eq!(state(&replica, |state| state.phase == Phase::Current).await.connections, 4);
    server.stop();
    let state = state(&replica, |state| state.phase == Phase::Connecting && state.remote.is_none()).await;
    assert!(state.error.is_some());
}

#[tokio::test]
async fn it_follows_a_change_of_the_schema() {
    let server = Server::start("replica-convert");
    insert_queue(&server, 1).await;
    let replica = replica(&server);
    within(replica.sync()).await;
    let ((), mut subscription) = replica.subscribe(|_| ());
    // What is replicated stays as it is.
    server.convert(|schema| schema.replace("\"version\": \"8.3.1\"", "\"version\": \"8.3.2\""));
    insert_queue(&server, 2).await;
    within(replica.sync()).await;
    assert_eq!(dscps(&replica), [1, 2]);
    assert_eq!(replica.schema().unwrap().version, "8.3.2");
    assert_eq!(next(&mut subscription).await.rows.len(), 1);
    // A replicated column changes its type: an optional number becomes a set of them.
    server.convert(|schema| {
        let (before, after) = schema.split_once("\"dscp\"").unwrap();
        format!("{before}\"dscp\"{}", after.replacen("\"max\": 1", "\"max\": 4", 1))
    });
    within(replica.sync()).await;
    assert_eq!(dscps(&replica), [1, 2]);
    assert!(next(&mut subscription).await.reset);
    assert_eq!(next(&mut subscription).await.rows.len(), 2);
    assert_eq!(state(&replica, |state| state.phase == Phase::Current).await.connections, 1);
}

#[tokio::test]
async fn a_server_that_goes_silent_is_given_up_and_taken_again() {
    let server = Server::start("replica-silent");
    let replica = Replica::start(Options { probe: Duration::from_millis(50), ..options(&[&server]) }, Box::new(|_| {}));
    within(replica.sync()).await;
    let connection = within(replica.connection()).await;
    server.signal(Signal::SIGSTOP);
    let told = state(&replica, |state| state.phase == Phase::Connecting && state.error.is_some()).await;
    assert!(told.error.unwrap().contains("silent"));
    assert!(!connection.is_open());
    server.signal(Signal::SIGCONT);
    within(replica.sync()).await;
}

#[tokio::test]
async fn a_slow_subscriber_is_told_that_it_has_missed_something() {
    let server = Server::start("replica-slow");
    let replica = Replica::start(Options { backlog: 4, ..options(&[&server]) }, Box::new(|_| {}));
    within(replica.sync()).await;
    let ((), mut subscription) = replica.subscribe(|_| ());
    for dscp in 0..10 {
        insert_queue(&server, dscp).await;
        within(replica.sync()).await;
    }
    assert!(matches!(within(subscription.next()).await, Some(Told::Lagged(6))));
    assert_eq!(next(&mut subscription).await.rows.len(), 1);
}

#[tokio::test]
async fn a_cluster_goes_on_where_the_connection_broke() {
    let server = Server::start_cluster("replica-since");
    insert_queue(&server, 1).await;
    let replica = replica(&server);
    within(replica.sync()).await;
    assert!(replica.read(|tables| tables.transaction().is_some()));
    let ((), mut subscription) = replica.subscribe(|_| ());
    server.control(&["ovsdb-server/reconnect"]);
    state(&replica, |state| state.connections == 2 && state.phase == Phase::Current).await;
    insert_queue(&server, 2).await;
    within(replica.sync()).await;
    assert!(state(&replica, |_| true).await.continued);
    assert_eq!(next(&mut subscription).await.rows.len(), 1);
    assert_eq!(dscps(&replica), [1, 2]);
}

#[tokio::test]
async fn of_a_cluster_the_leader_is_used_and_a_follower_where_there_is_no_other() {
    let first = Server::start_cluster("replica-leader-1");
    insert_queue(&first, 1).await;
    let second = Server::join_cluster("replica-leader-2", &first);
    // A member serves its database once it has joined.
    let connection = second.connect().await;
    within(async {
        while !connection.list_dbs().await.unwrap().iter().any(|name| name == DB) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let replica = Replica::start(options(&[&second, &first]), Box::new(|_| {}));
    within(replica.sync()).await;
    let current = state(&replica, |state| state.phase == Phase::Current).await;
    assert_eq!(current.remote.unwrap(), first.remote());
    let alone = options(&[&second]);
    let anybody = Options { prefer_latest: false, ..options(&[&second, &first]) };
    for options in [alone, anybody] {
        let follower = Replica::start(options, Box::new(|_| {}));
        within(follower.sync()).await;
        assert_eq!(dscps(&follower), [1]);
        let current = state(&follower, |state| state.phase == Phase::Current).await;
        assert_eq!(current.remote.unwrap(), second.remote());
    }
}

#[tokio::test]
async fn what_the_schema_lacks_is_left_out_until_it_has_it() {
    let server = Server::start("replica-gain");
    insert_queue(&server, 1).await;
    let mut options = options(&[&server]);
    options.tables.push(TableRequest::new("Queue", &["dscp", "added"]));
    options.tables.push(TableRequest::new("Nowhere", &["x"]));
    let replica = Replica::start(options, Box::new(|_| {}));
    within(replica.sync()).await;
    let columns = |replica: &Replica| {
        replica.read(|tables| {
            let row = tables.table("Queue").unwrap().rows().next().unwrap();
            row.columns().map(|(name, view)| (name.to_string(), view.to_value())).collect::<BTreeMap<_, _>>()
        })
    };
    assert_eq!(columns(&replica).into_keys().collect::<Vec<_>>(), ["dscp", "external_ids", "other_config"]);
    replica.read(|tables| {
        assert!(tables.table("Nowhere").is_none());
        // The server has to say what is wrong with these.
        assert!(tables.select("Queue", &[], &["added".into()]).is_none());
        assert!(tables.select("Queue", &[Condition::equal("dscp", "text")], &["dscp".into()]).is_none());
    });
    server.convert(|schema| {
        let mut schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        schema["tables"]["Queue"]["columns"]["added"] = serde_json::json!({"type": "integer"});
        schema.to_string()
    });
    // The server's answer to the conversion may come before its word to us.
    state(&replica, |_| replica.schema().unwrap().tables["Queue"].columns.contains_key("added")).await;
    within(replica.sync()).await;
    assert_eq!(columns(&replica)["added"], Value::from(0i64));
}

#[tokio::test]
async fn it_says_for_how_long_nothing_has_proven_it_current() {
    let server = Server::start("replica-lag");
    let replica = replica(&server);
    assert_eq!(replica.lag(), None);
    within(replica.sync()).await;
    let before = replica.lag().unwrap();
    server.signal(Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(replica.lag().unwrap() > before);
    server.signal(Signal::SIGCONT);
    within(replica.sync()).await;
}
