//! One holder at a time: a lock of the server, by which processes agree on who acts.

#![allow(clippy::print_stdout, reason = "an example")]

use ovsdb::operation::Operation;
use ovsdb::transaction::Transaction;
use ovsdb::{Address, Connection, ErrorClass, Event};

type Problem = Box<dyn std::error::Error + Send + Sync>;

const DATABASE: &str = "Open_vSwitch";
const LOCK: &str = "ovsdb_example";

/// Two clients take turns, on the server at this address. Tells how it went.
pub async fn run(address: &str) -> Result<Vec<String>, Problem> {
    let address: Address = address.parse()?;
    let (first, second) = (Connection::open(&address).await?, Connection::open(&address).await?);
    let mut events = second.events().ok_or("the events were taken")?;
    let mut told = Vec::new();

    told.push(format!("first: {}", first.lock(LOCK).await?.locked));
    told.push(format!("second: {}", second.lock(LOCK).await?.locked));

    // A transaction can insist on the lock: it fails if the lock is not held when it is carried out.
    let mut assert = Transaction::new();
    assert.push(Operation::Assert { lock: LOCK.into() });
    let refused = second.transact(DATABASE, &assert).await?.check(1);
    let not_owner = refused.is_err_and(|error| error.error.class() == ErrorClass::NotOwner);
    told.push(format!("second is refused: {not_owner}"));

    first.unlock(LOCK).await?;
    match events.recv().await {
        Some(Event::Locked(name)) => told.push(format!("second has {name}")),
        other => return Err(format!("expected the lock: {other:?}").into()),
    }
    second.transact(DATABASE, &assert).await?.check(1)?;
    second.unlock(LOCK).await?;
    Ok(told)
}

#[allow(dead_code, reason = "the test calls run()")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let address = std::env::args().nth(1).ok_or("usage: lock ADDRESS")?;
    println!("{:#?}", run(&address).await?);
    Ok(())
}
