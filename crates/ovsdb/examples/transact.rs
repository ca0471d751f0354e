//! Inserts rows that refer to each other, reads one back, changes it behind a guard, and deletes it.

#![allow(clippy::print_stdout, reason = "an example")]

use ovsdb::operation::{Condition, Mutation, Mutator, Operation, Row, Until};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Map, Value};
use ovsdb::{Address, Connection, ErrorClass};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What is read of a Queue.
#[derive(Debug, serde::Deserialize)]
struct Queue {
    dscp: i64,
    external_ids: Map<String, String>,
}

const DATABASE: &str = "Open_vSwitch";

/// Does it all, on the server at this address. Tells the queue as it was read.
pub async fn run(address: &str) -> Result<String, Problem> {
    let address: Address = address.parse()?;
    let connection = Connection::open(&address).await?;

    // A QoS that refers to a Queue of the same transaction. The server makes all of it, or nothing.
    let mut insert = Transaction::new();
    let mark = || Value::string_map([("made-by", "example")]);
    let queue = insert.insert("Queue", Row::from([("dscp".into(), 10i64.into()), ("external_ids".into(), mark())]));
    let queues = Value::Map([(1i64.into(), queue.into())].into());
    insert.insert(
        "QoS",
        Row::from([("type".into(), "linux-htb".into()), ("queues".into(), queues), ("external_ids".into(), mark())]),
    );
    let made = connection.transact(DATABASE, &insert).await?.check(insert.operations.len())?;
    let queue = made.first().and_then(|result| result.uuid()).ok_or("no identity")?;

    let mut read = Transaction::new();
    let place = read.select("Queue", vec![Condition::equal("_uuid", queue)], &["dscp", "external_ids"]);
    let results = connection.transact(DATABASE, &read).await?.check(read.operations.len())?;
    let rows: Vec<Queue> = results.get(place).ok_or("no result")?.rows()?;
    let read = rows.first().ok_or("no row")?;
    let read = format!("dscp {}, made by {}", read.dscp, read.external_ids.get("made-by").map_or("?", String::as_str));

    // Changed only if it is still what was read: the wait is the guard, and with timeout 0 it does not wait.
    let change = |expected: i64| {
        let mut change = Transaction::new();
        change.push(Operation::Wait {
            timeout: Some(0),
            table: "Queue".into(),
            r#where: vec![Condition::equal("_uuid", queue)],
            columns: vec!["dscp".into()],
            until: Until::Equal,
            rows: vec![Row::from([("dscp".into(), expected.into())])],
        });
        change.push(Operation::Mutate {
            table: "Queue".into(),
            r#where: vec![Condition::equal("_uuid", queue)],
            mutations: vec![Mutation("dscp".into(), Mutator::Add, 1i64.into())],
        });
        change
    };
    for (expected, goes_through) in [(10, true), (10, false)] {
        let change = change(expected);
        match connection.transact(DATABASE, &change).await?.check(change.operations.len()) {
            Ok(_) if goes_through => {}
            Err(error) if !goes_through && error.error.class() == ErrorClass::TimedOut => {}
            other => return Err(format!("expected otherwise: {other:?}").into()),
        }
    }

    // Rows are deleted together with what refers to them.
    let mut delete = Transaction::new();
    for table in ["QoS", "Queue"] {
        let ours = Condition::includes("external_ids", mark());
        delete.push(Operation::Delete { table: table.into(), r#where: vec![ours] });
    }
    connection.transact(DATABASE, &delete).await?.check(delete.operations.len())?;
    Ok(read)
}

#[allow(dead_code, reason = "the test calls run()")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let address = std::env::args().nth(1).ok_or("usage: transact ADDRESS")?;
    println!("{}", run(&address).await?);
    Ok(())
}
