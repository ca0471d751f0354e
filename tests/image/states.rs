//! Containers that find the database in every state.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::container::Container;
use crate::files;
use crate::place::{BRIDGE, Place, older_schema, schema};

/// A place whose database is what the container is given.
fn place(schema: &serde_json::Value) -> (Place, PathBuf) {
    let place = Place::with_database(schema);
    place.transact(json!([{"op": "update", "table": "Bridge", "where": [], "row": {"datapath_type": "netdev"}}]));
    let state = place.database().parent().unwrap().to_owned();
    (place, state)
}

#[test]
fn a_database_of_an_older_schema_is_converted_and_its_bridges_come_up() {
    let Some(_) = files::directory() else { return };
    let (place, state) = place(&older_schema());
    let old = place.database_bytes();
    let container = Container::builder().state(&state).ready();
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!([BRIDGE]));
    assert!(container.said().contains("converted the database from schema 7.15.0"), "{}", container.said());
    let backup = place.beside_database().into_iter().find(|name| name.starts_with("conf.db.backup-7.15.0-")).unwrap();
    assert_eq!(fs::read(state.join(backup)).unwrap(), old);
}

#[test]
fn an_empty_database_becomes_a_new_one() {
    let Some(_) = files::directory() else { return };
    let (place, state) = place(&schema());
    fs::write(place.database(), "").unwrap();
    let container = Container::builder().state(&state).ready();
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!([]));
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
}

#[test]
fn garbage_is_refused_and_kept_and_the_reason_is_in_the_log() {
    let Some(_) = files::directory() else { return };
    let (place, state) = place(&schema());
    fs::write(place.database(), "garbage\n").unwrap();
    let mut container = Container::builder().state(&state).start();
    assert_eq!(container.wait(), 1, "{}", container.said());
    let said = container.said();
    assert!(said.contains("/etc/openvswitch/conf.db is kept as it is, but can't be used"), "{said}");
    assert_eq!(place.database_bytes(), b"garbage\n");
}

#[test]
fn a_lock_file_and_a_torn_record_are_no_obstacle() {
    let Some(_) = files::directory() else { return };
    let (place, state) = place(&schema());
    fs::write(state.join(".conf.db.~lock~"), "").unwrap();
    let mut torn = place.database_bytes();
    torn.extend(b"OVSDB JSON 400 0123");
    fs::write(place.database(), torn).unwrap();
    let container = Container::builder().state(&state).ready();
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!([BRIDGE]));
}
