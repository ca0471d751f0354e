//! Keeps tables in memory, finds rows in them, and makes sure that they are as new as the database.

#![allow(clippy::print_stdout, reason = "an example")]

use ovsdb::operation::{Condition, Operation, Row};
use ovsdb::replica::{Options, Replica, TableRequest, Told};
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;

type Problem = Box<dyn std::error::Error + Send + Sync>;

const DATABASE: &str = "Open_vSwitch";

/// Looks a queue up before and after it was made, on the servers at these addresses, separated by commas.
pub async fn run(addresses: &str) -> Result<Vec<String>, Problem> {
    let remotes = addresses.split(',').map(str::parse).collect::<Result<Vec<_>, _>>()?;
    let tables = vec![TableRequest::new("Queue", &["dscp", "external_ids"]).unique("dscp")];
    let replica = Replica::start(Options::new(remotes, DATABASE, tables), Box::new(|_| {}));
    let look = || {
        replica.read(|tables| match tables.find("Queue", "dscp", 21i64) {
            Some(queue) => format!("the queue of {:?}", queue.get("external_ids").and_then(|ids| ids.get_str("owner"))),
            None => "no queue".to_owned(),
        })
    };

    // Connects, and returns once all that was committed before is in memory. Bounded by the caller, as everything.
    replica.sync().await;
    let mut told = vec![look()];

    // From here on every change is told, with what was before.
    let ((), mut changes) = replica.subscribe(|_| ());
    let connection = replica.connection().await;
    let mut insert = Transaction::new();
    let owner = Value::string_map([("owner", "example")]);
    insert.insert("Queue", Row::from([("dscp".into(), 21i64.into()), ("external_ids".into(), owner)]));
    connection.transact(DATABASE, &insert).await?.check(1)?;
    replica.sync().await;
    told.push(look());
    match changes.next().await {
        Some(Told::Changed(changes)) => told.push(format!("{} row changed", changes.rows.len())),
        other => return Err(format!("expected a change: {other:?}").into()),
    }

    let mut delete = Transaction::new();
    delete.push(Operation::Delete { table: "Queue".into(), r#where: vec![Condition::equal("dscp", 21i64)] });
    connection.transact(DATABASE, &delete).await?.check(1)?;
    replica.sync().await;
    told.push(look());
    Ok(told)
}

#[allow(dead_code, reason = "the test calls run()")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let addresses = std::env::args().nth(1).ok_or("usage: replica ADDRESS[,ADDRESS...]")?;
    println!("{:#?}", run(&addresses).await?);
    Ok(())
}
