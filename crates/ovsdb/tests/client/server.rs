//! A real ovsdb-server: every method, every operation, every class of error that it sends.

use ovsdb::Locked;
use ovsdb::monitor::{MonitorRequest, MonitorRequests, RowUpdate, RowUpdate2, TableUpdates, Update};
use ovsdb::operation::{Condition, Function, Mutation, Mutator, Name, Operation, Row, Until};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Map, Optional, PlainUuid, Set, Uuid, Value};
use ovsdb::{CallError, ErrorClass, Event};

use super::daemon::{DB, Server, run, within};

fn row(columns: &[(&'static str, Value)]) -> Row {
    columns.iter().map(|(column, value)| (Name::from(*column), value.clone())).collect()
}

/// A queue is a row of a root table, and so needs nothing else.
fn insert_queue(columns: &[(&'static str, Value)]) -> Operation {
    Operation::Insert { table: "Queue".into(), row: row(columns), uuid_name: None, uuid: None }
}

fn select(table: &'static str, columns: &[&'static str]) -> Operation {
    let columns = Some(columns.iter().map(|column| Name::from(*column)).collect());
    Operation::Select { table: table.into(), r#where: vec![], columns }
}

fn mutate(table: &'static str, mutations: Vec<Mutation>) -> Operation {
    Operation::Mutate { table: table.into(), r#where: vec![], mutations }
}

fn wait(rows: Vec<Row>, until: Until, timeout: u64) -> Operation {
    let columns = vec!["dscp".into()];
    Operation::Wait { timeout: Some(timeout), table: "Queue".into(), r#where: vec![], columns, until, rows }
}

#[tokio::test]
async fn the_databases_and_their_schema_can_be_asked_for() {
    let server = Server::start("schema");
    let connection = server.connect().await;
    let names = within(connection.list_dbs()).await.unwrap();
    assert!(names.contains(&DB.to_owned()) && names.contains(&"_Server".to_owned()), "{names:?}");
    let schema = within(connection.get_schema(DB)).await.unwrap();
    assert_eq!((schema.name.as_str(), schema.version.as_str()), (DB, "8.3.1"));
    assert!(schema.tables["Bridge"].columns.contains_key("datapath_type"));
    within(connection.echo()).await.unwrap();
    let error = within(connection.get_schema("Nowhere")).await.unwrap_err();
    assert_eq!(error.server().unwrap().class(), ErrorClass::UnknownDatabase);
}

#[tokio::test]
async fn every_operation_does_what_the_rfc_says() {
    let server = Server::start("operations");
    let connection = server.connect().await;
    let chosen: Uuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    let named = Operation::Insert {
        table: "Queue".into(),
        row: row(&[("dscp", 7i64.into())]),
        uuid_name: Some("queue".into()),
        uuid: None,
    };
    let qos = Operation::Insert {
        table: "QoS".into(),
        row: row(&[("queues", Value::Map([(3i64.into(), ovsdb::value::NamedUuid("queue".into()).into())].into()))]),
        uuid_name: None,
        uuid: None,
    };
    let with_uuid = Operation::Insert {
        table: "Queue".into(),
        row: row(&[("dscp", 9i64.into())]),
        uuid_name: None,
        uuid: Some(PlainUuid(chosen)),
    };
    let results =
        run(&connection, vec![named, qos, with_uuid, Operation::Comment { comment: "why".into() }]).await.unwrap();
    assert_eq!(results[2].uuid(), Some(chosen));
    let first = results[0].uuid().unwrap();

    #[derive(serde::Deserialize)]
    struct Queue {
        _uuid: Uuid,
        dscp: Optional<i64>,
        other_config: Map<String, String>,
    }
    #[derive(serde::Deserialize)]
    struct QoS {
        queues: Map<i64, Uuid>,
    }
    let results =
        run(&connection, vec![select("Queue", &["_uuid", "dscp", "other_config"]), select("QoS", &["queues"])]).await;
    let results = results.unwrap();
    let queues: Vec<Queue> = results[0].rows().unwrap();
    assert_eq!(queues.len(), 2);
    assert!(queues.iter().all(|queue| queue.other_config.pairs().is_empty()));
    assert_eq!(queues.iter().find(|queue| queue._uuid == chosen).unwrap().dscp, Optional(Some(9)));
    assert_eq!(results[1].rows::<QoS>().unwrap()[0].queues.get(&3), Some(&first));

    let at = |uuid: Uuid| vec![Condition::is_row(uuid)];
    let results = run(
        &connection,
        vec![
            Operation::Update { table: "Queue".into(), r#where: at(first), row: row(&[("dscp", Value::empty())]) },
            Operation::Mutate {
                table: "Queue".into(),
                r#where: at(chosen),
                mutations: vec![
                    Mutation("dscp".into(), Mutator::Add, 5i64.into()),
                    Mutation("dscp".into(), Mutator::Subtract, 2i64.into()),
                    Mutation("dscp".into(), Mutator::Multiply, 4i64.into()),
                    Mutation("dscp".into(), Mutator::Divide, 3i64.into()),
                    Mutation("dscp".into(), Mutator::Remainder, 10i64.into()),
                    Mutation("other_config".into(), Mutator::Insert, Value::string_map([("a", "1"), ("b", "2")])),
                    Mutation("other_config".into(), Mutator::Delete, Value::set(["a".into()])),
                ],
            },
            Operation::Select {
                table: "Queue".into(),
                r#where: vec![Condition::Column("dscp".into(), Function::Equal, 6i64.into())],
                columns: None,
            },
            Operation::Delete { table: "Queue".into(), r#where: vec![Condition::Always(false)] },
            Operation::Commit { durable: true },
        ],
    )
    .await
    .unwrap();
    assert_eq!((results[0].count(), results[1].count(), results[3].count()), (Some(1), Some(1), Some(0)));
    let found: Vec<Row> = results[2].rows().unwrap();
    assert_eq!(found[0]["other_config"].get_str("b"), Some("2"));
    assert!(found[0].contains_key("_version"), "without columns, all of them come");

    let rows = vec![row(&[("dscp", 6i64.into())]), row(&[])];
    run(&connection, vec![wait(rows.clone(), Until::Equal, 0)]).await.unwrap();
    let error = run(&connection, vec![wait(rows, Until::NotEqual, 10)]).await.unwrap_err();
    assert_eq!(error.error.class(), ErrorClass::TimedOut);
    let results =
        run(&connection, vec![Operation::Delete { table: "Queue".into(), r#where: at(chosen) }]).await.unwrap();
    assert_eq!(results[0].count(), Some(1));
}

#[tokio::test]
async fn each_refusal_has_its_class_and_its_place() {
    let server = Server::start("errors");
    let connection = server.connect().await;
    let nobody: Uuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    let queue = || insert_queue(&[]);
    let with_uuid =
        || Operation::Insert { table: "Queue".into(), row: Row::new(), uuid_name: None, uuid: Some(PlainUuid(nobody)) };
    let named =
        || Operation::Insert { table: "Queue".into(), row: Row::new(), uuid_name: Some("q".into()), uuid: None };
    let manager = || Operation::Insert {
        table: "Manager".into(),
        row: row(&[("target", "ptcp:1".into())]),
        uuid_name: Some("m".into()),
        uuid: None,
    };
    let second = Operation::Insert {
        table: "Manager".into(),
        row: row(&[("target", "ptcp:1".into())]),
        uuid_name: Some("n".into()),
        uuid: None,
    };
    let references: Value = Value::set(["m", "n"].map(|name| ovsdb::value::NamedUuid(name.into()).into()));
    let root = Operation::Insert {
        table: "Open_vSwitch".into(),
        row: row(&[("manager_options", references)]),
        uuid_name: None,
        uuid: None,
    };
    let qos = Operation::Insert {
        table: "QoS".into(),
        row: row(&[("queues", Value::Map([(1i64.into(), nobody.into())].into()))]),
        uuid_name: None,
        uuid: None,
    };
    for (operations, place, class) in [
        (vec![queue(), insert_queue(&[("dscp", 64i64.into())]), queue()], Some(1), ErrorClass::ConstraintViolation),
        (vec![manager(), second, root], None, ErrorClass::ConstraintViolation),
        (vec![qos], None, ErrorClass::ReferentialIntegrityViolation),
        (vec![insert_queue(&[("nope", 1i64.into())])], Some(0), ErrorClass::UnknownColumn),
        (vec![insert_queue(&[("dscp", "text".into())])], Some(0), ErrorClass::SyntaxError),
        (vec![queue(), select("Nowhere", &["x"])], Some(1), ErrorClass::SyntaxError),
        (vec![queue(), Operation::Abort], Some(1), ErrorClass::Aborted),
        (vec![Operation::Assert { lock: "mine".into() }], Some(0), ErrorClass::NotOwner),
        (vec![named(), named()], Some(1), ErrorClass::DuplicateUuidName),
        (vec![with_uuid(), with_uuid()], Some(1), ErrorClass::DuplicateUuid),
        (vec![wait(vec![Row::new()], Until::Equal, 0)], Some(0), ErrorClass::TimedOut),
    ] {
        let shown = serde_json::to_string(&operations).unwrap();
        let error = run(&connection, operations).await.expect_err(&shown);
        assert_eq!((error.operation, error.error.class()), (place, class), "{shown}: {error}");
    }
    let numbers = |mutator, by: i64| {
        vec![
            insert_queue(&[("dscp", 1i64.into())]),
            mutate("Queue", vec![Mutation("dscp".into(), mutator, by.into())]),
            Operation::Abort,
        ]
    };
    let error = run(&connection, numbers(Mutator::Divide, 0)).await.unwrap_err();
    assert_eq!((error.operation, error.error.class()), (Some(1), ErrorClass::DomainError));
    let error = run(&connection, numbers(Mutator::Add, i64::MAX)).await.unwrap_err();
    assert_eq!((error.operation, error.error.class()), (Some(1), ErrorClass::RangeError));

    let mut transaction = Transaction::new();
    transaction.push(Operation::Delete { table: "Database".into(), r#where: vec![] });
    let reply = within(connection.transact("_Server", &transaction)).await.unwrap();
    assert_eq!(reply.check(1).unwrap_err().error.class(), ErrorClass::NotAllowed);
    let error = within(connection.transact("Nowhere", &transaction)).await.unwrap_err();
    assert_eq!(error.server().unwrap().class(), ErrorClass::UnknownDatabase);
    assert!(run(&connection, vec![select("Queue", &["dscp"])]).await.unwrap()[0].rows::<Row>().unwrap().is_empty());
}

#[tokio::test]
async fn a_transaction_that_waits_can_be_canceled() {
    let server = Server::start("cancel");
    let connection = server.connect().await;
    within(connection.set_db_change_aware(true)).await.unwrap();
    let mut transaction = Transaction::new();
    transaction.push(wait(vec![Row::new()], Until::Equal, 60_000));
    let waiting = connection.transact(DB, &transaction);
    within(connection.echo()).await.unwrap();
    connection.cancel(&waiting);
    let error = within(waiting).await.unwrap_err();
    assert_eq!(error.server().unwrap().class(), ErrorClass::Canceled);
}

fn queues() -> MonitorRequests {
    MonitorRequests::from([("Queue".into(), vec![MonitorRequest::columns(&["dscp", "other_config"])])])
}

#[tokio::test]
async fn each_kind_of_monitor_tells_of_a_row_from_its_first_day_to_its_last() {
    let server = Server::start("monitor");
    let connection = server.connect().await;
    run(&connection, vec![insert_queue(&[("dscp", 1i64.into())])]).await.unwrap();
    let (first, mut v1) = connection.monitor::<TableUpdates<RowUpdate>>(DB, &queues());
    let (second, mut v2) = connection.monitor_cond::<TableUpdates<RowUpdate2>>(DB, &queues());
    let (third, mut v3) = connection.monitor_cond_since::<TableUpdates<RowUpdate2>>(DB, &queues(), None);
    let new = within(first).await.unwrap()["Queue"].values().next().unwrap().new.clone().unwrap();
    assert_eq!(new["dscp"].as_integer(), Some(1));
    let initial = within(second).await.unwrap()["Queue"].values().next().unwrap().clone();
    let RowUpdate2::Initial(initial) = initial else { panic!("{initial:?}") };
    assert!(!initial.contains_key("other_config"), "defaults are left out");
    let since = within(third).await.unwrap();
    assert!(!since.0, "a database in a file does not know old transactions");

    let pairs = Value::string_map([("a", "1")]);
    let update = Operation::Update {
        table: "Queue".into(),
        r#where: vec![],
        row: row(&[("dscp", Value::empty()), ("other_config", pairs.clone())]),
    };
    run(&connection, vec![update]).await.unwrap();
    run(&connection, vec![Operation::Delete { table: "Queue".into(), r#where: vec![] }]).await.unwrap();
    let Some(Update::Changed(None, tables)) = within(v1.next()).await else { panic!("no update") };
    let change = tables["Queue"].values().next().unwrap();
    assert_eq!(change.old.as_ref().unwrap()["dscp"].as_integer(), Some(1));
    assert_eq!(change.new.as_ref().unwrap()["other_config"], pairs);
    for tables in [within(v2.next()).await, within(v3.next()).await] {
        let Some(Update::Changed(_, tables)) = tables else { panic!("{tables:?}") };
        let expected = row(&[("dscp", Value::empty()), ("other_config", pairs.clone())]);
        assert_eq!(tables["Queue"].values().next(), Some(&RowUpdate2::Modify(expected)));
    }
    let Some(Update::Changed(None, tables)) = within(v1.next()).await else { panic!("no update") };
    assert!(tables["Queue"].values().next().unwrap().new.is_none());
    for tables in [within(v2.next()).await, within(v3.next()).await] {
        let Some(Update::Changed(_, tables)) = tables else { panic!("{tables:?}") };
        assert_eq!(tables["Queue"].values().next(), Some(&RowUpdate2::Delete));
    }

    let conditions = vec![Condition::equal("dscp", 7i64)];
    let only_seven =
        MonitorRequests::from([("Queue".into(), vec![MonitorRequest { conditions, ..MonitorRequest::default() }])]);
    within(connection.monitor_cond_change(&v2, &only_seven)).await.unwrap();
    run(&connection, vec![insert_queue(&[("dscp", 6i64.into())]), insert_queue(&[("dscp", 7i64.into())])])
        .await
        .unwrap();
    let Some(Update::Changed(None, tables)) = within(v2.next()).await else { panic!("no update") };
    assert_eq!(tables["Queue"].len(), 1);

    within(connection.monitor_cancel(v1)).await.unwrap();
    within(connection.echo()).await.unwrap();
}

#[tokio::test]
async fn a_schema_change_cancels_monitors_and_keeps_the_connection() {
    let server = Server::start("convert");
    let connection = server.connect().await;
    within(connection.set_db_change_aware(true)).await.unwrap();
    let (initial, mut updates) = connection.monitor::<TableUpdates<RowUpdate>>(DB, &queues());
    within(initial).await.unwrap();
    server.convert(|schema| schema.replace("\"version\": \"8.3.1\"", "\"version\": \"8.3.2\""));
    assert!(matches!(within(updates.next()).await, Some(Update::Canceled)));
    assert_eq!(within(connection.get_schema(DB)).await.unwrap().version, "8.3.2");
}

#[tokio::test]
async fn locks_pass_from_one_to_the_other() {
    let server = Server::start("locks");
    let (one, two) = (server.connect().await, server.connect().await);
    let (mut of_one, mut of_two) = (one.events().unwrap(), two.events().unwrap());
    assert_eq!(within(one.lock("lk")).await.unwrap(), Locked { locked: true });
    let assert = || vec![Operation::Assert { lock: "lk".into() }];
    run(&one, assert()).await.unwrap();
    assert_eq!(within(two.lock("lk")).await.unwrap(), Locked { locked: false });
    within(one.unlock("lk")).await.unwrap();
    assert_eq!(within(of_two.recv()).await, Some(Event::Locked("lk".into())));
    run(&two, assert()).await.unwrap();
    assert_eq!(within(one.steal("lk")).await.unwrap(), Locked { locked: true });
    assert_eq!(within(of_two.recv()).await, Some(Event::Stolen("lk".into())));
    within(one.unlock("lk")).await.unwrap();
    assert!(of_one.try_recv().is_err());
}

#[tokio::test]
async fn a_thousand_calls_in_flight_each_get_their_own_answer() {
    let server = Server::start("many");
    let connection = server.connect().await;
    let calls: Vec<_> = (0..1000i64)
        .map(|number| {
            let mut transaction = Transaction::new();
            transaction.push(Operation::Insert {
                table: "Queue".into(),
                row: row(&[("external_ids", Value::string_map([("n", number.to_string())]))]),
                uuid_name: Some("q".into()),
                uuid: None,
            });
            let named = ovsdb::value::NamedUuid("q".into());
            transaction.select("Queue", vec![Condition::is_row(named)], &["external_ids"]);
            (number, connection.transact(DB, &transaction))
        })
        .collect();
    for (number, call) in calls {
        let results = within(call).await.unwrap().check(2).unwrap();
        let rows: Vec<Row> = results[1].rows().unwrap();
        assert_eq!(rows[0]["external_ids"].get_str("n"), Some(number.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_server_that_restarts_ends_the_connection_and_has_a_new_id() {
    let mut server = Server::start("restart");
    let connection = server.connect().await;
    let before = within(connection.get_server_id()).await.unwrap();
    let mut transaction = Transaction::new();
    transaction.push(wait(vec![Row::new()], Until::Equal, 60_000));
    let waiting = connection.transact(DB, &transaction);
    within(connection.echo()).await.unwrap();
    server.restart();
    let error = within(waiting).await.unwrap_err();
    assert!(matches!(&error, CallError::Disconnected { in_flight, .. } if in_flight == "transact"), "{error}");
    let again = server.connect().await;
    assert_ne!(within(again.get_server_id()).await.unwrap(), before);
}

#[tokio::test]
async fn sets_are_read_whether_one_element_comes_bare_or_many_come_wrapped() {
    #[derive(serde::Deserialize)]
    struct Mirror {
        select_vlan: Set<i64>,
    }
    let server = Server::start("sets");
    let connection = server.connect().await;
    for vlans in [vec![], vec![5], vec![5, 6, 7]] {
        let value = Value::set(vlans.iter().map(|vlan: &i64| (*vlan).into()));
        let insert = Operation::Insert {
            table: "Mirror".into(),
            row: row(&[("name", "m".into()), ("select_vlan", value)]),
            uuid_name: None,
            uuid: None,
        };
        let results = run(&connection, vec![insert, select("Mirror", &["select_vlan"])]).await.unwrap();
        assert_eq!(results[1].rows::<Mirror>().unwrap()[0].select_vlan, Set(vlans.into()));
    }
}
