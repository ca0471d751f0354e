//! The examples of the crate do what they say, on a real server.

use super::daemon::{Server, within};

#[path = "../../examples/lock.rs"]
mod lock;
#[path = "../../examples/monitor.rs"]
mod monitor;
#[path = "../../examples/replica.rs"]
mod replica;
#[path = "../../examples/transact.rs"]
mod transact;

async fn address(server: &Server) -> String {
    drop(server.connect().await);
    server.remote().to_string()
}

#[tokio::test]
async fn rows_are_inserted_read_changed_behind_a_guard_and_deleted() {
    let server = Server::start("example-transact");
    let told = within(transact::run(&address(&server).await)).await.unwrap();
    assert_eq!(told, "dscp 10, made by example");
}

#[tokio::test]
async fn changes_are_told_as_they_are_committed() {
    let server = Server::start("example-monitor");
    let told = within(monitor::run(&address(&server).await)).await.unwrap();
    assert_eq!(told, ["0 queues", "new, dscp 7, 0 marks", "gone"]);
}

#[tokio::test]
async fn a_replica_is_as_new_as_the_database() {
    let server = Server::start("example-replica");
    let told = within(replica::run(&address(&server).await)).await.unwrap();
    assert_eq!(told, ["no queue", "the queue of Some(\"example\")", "1 row changed", "no queue"]);
}

#[tokio::test]
async fn a_lock_has_one_holder_at_a_time() {
    let server = Server::start("example-lock");
    let told = within(lock::run(&address(&server).await)).await.unwrap();
    assert_eq!(told, ["first: true", "second: false", "second is refused: true", "second has ovsdb_example"]);
}
