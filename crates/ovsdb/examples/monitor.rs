//! Is told of changes of one table, as they are committed.

#![allow(clippy::print_stdout, reason = "an example")]

use ovsdb::monitor::{MonitorRequest, MonitorRequests, RowUpdate2, TableUpdates, Update};
use ovsdb::operation::{Condition, Operation, Row};
use ovsdb::transaction::Transaction;
use ovsdb::value::{Map, Uuid};
use ovsdb::{Address, Connection};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The watched columns. Those with default values are left out by the server, so the fields need defaults.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Queue {
    dscp: i64,
    external_ids: Map<String, String>,
}

const DATABASE: &str = "Open_vSwitch";

/// Watches while a row comes and goes, on the server at this address. Tells what it was told.
pub async fn run(address: &str) -> Result<Vec<String>, Problem> {
    let address: Address = address.parse()?;
    let connection = Connection::open(&address).await?;
    let watched = MonitorRequest::columns(&["dscp", "external_ids"]);
    let requests = MonitorRequests::from([("Queue".into(), vec![watched])]);
    let (initial, mut updates) =
        connection.monitor_cond_since::<TableUpdates<RowUpdate2<Queue>>>(DATABASE, &requests, None);
    let before = initial.await?;
    let mut told = vec![format!("{} queues", before.2.get("Queue").map_or(0, |rows| rows.len()))];

    let queue = insert(&connection).await?;
    told.push(next(&mut updates).await?);
    let mut delete = Transaction::new();
    delete.push(Operation::Delete { table: "Queue".into(), r#where: vec![Condition::is_row(queue)] });
    connection.transact(DATABASE, &delete).await?.check(1)?;
    told.push(next(&mut updates).await?);
    Ok(told)
}

async fn insert(connection: &Connection) -> Result<Uuid, Problem> {
    let mut insert = Transaction::new();
    insert.insert("Queue", Row::from([("dscp".into(), 7i64.into())]));
    let results = connection.transact(DATABASE, &insert).await?.check(1)?;
    Ok(results.first().and_then(|result| result.uuid()).ok_or("no identity")?)
}

async fn next(updates: &mut ovsdb::Updates<TableUpdates<RowUpdate2<Queue>>>) -> Result<String, Problem> {
    let tables = match updates.next().await.ok_or("the connection is gone")? {
        Update::Changed(_, tables) => tables,
        Update::Canceled => return Err("the schema changes".into()),
        Update::Unreadable(problem) => return Err(problem.into()),
    };
    let changes = tables.into_values().flat_map(|rows| rows.into_values());
    let words = changes.map(|change| match change {
        RowUpdate2::Initial(row) | RowUpdate2::Insert(row) => {
            format!("new, dscp {}, {} marks", row.dscp, row.external_ids.pairs().len())
        }
        RowUpdate2::Modify(row) => format!("changed, dscp {}", row.dscp),
        RowUpdate2::Delete => "gone".to_owned(),
    });
    Ok(words.collect::<Vec<_>>().join("; "))
}

#[allow(dead_code, reason = "the test calls run()")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let address = std::env::args().nth(1).ok_or("usage: monitor ADDRESS")?;
    println!("{:#?}", run(&address).await?);
    Ok(())
}
