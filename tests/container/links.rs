//! A database that a symbolic link leads to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::leftovers::Server;
use crate::place::{BRIDGE, Place, older_schema, schema};
use crate::support::Database;

/// Moves the database elsewhere and leaves a link to it, by way of another link.
fn moved(place: &Place) -> PathBuf {
    let elsewhere = place.directory().join("volume");
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("real.db");
    fs::rename(place.database(), &target).unwrap();
    symlink("../volume/real.db", place.database().with_file_name("by-way-of")).unwrap();
    symlink(place.database().with_file_name("by-way-of"), place.database()).unwrap();
    target
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_symlink()
}

#[test]
fn a_database_behind_a_link_is_not_converted_under_a_running_server() {
    for by_link in [true, false] {
        let place = Place::with_database(&older_schema());
        let target = moved(&place);
        let server = Server::start(&place, if by_link { place.database() } else { target.clone() });
        let before = place.files();
        let said = place.init_ok();
        assert!(said.contains(&format!("an ovsdb-server uses {}", place.directory().display())), "{said}");
        assert_eq!(place.files(), before, "{said}");
        assert!(is_link(&place.database()));
        // What the server acknowledges from now on is what the next one reads.
        let database = Database::new(place.run().join("db.sock"));
        database.transact(&[json!({"op": "update", "table": "Bridge", "where": [], "row": {"flood_vlans": 5}})]);
        drop(server);
        assert_eq!(place.rows("Bridge")[0]["flood_vlans"], 5);
    }
}

#[test]
fn the_database_behind_a_link_is_converted_and_the_link_stays() {
    let place = Place::with_database(&older_schema());
    let target = moved(&place);
    let old = fs::read(&target).unwrap();
    let said = place.init_ok();
    assert!(is_link(&place.database()) && !is_link(&target), "{said}");
    assert_ne!(place.schema_version(), "7.15.0");
    assert_eq!(place.bridges(), [BRIDGE]);
    let backups = fs::read_dir(target.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let backups: Vec<_> = backups.filter(|path| path.to_string_lossy().contains(".backup-7.15.0-")).collect();
    assert_eq!(backups.len(), 1, "{said}");
    assert_eq!(fs::read(&backups[0]).unwrap(), old);
    // The id stays in the directory that ovs-ctl keeps it in.
    assert_eq!(place.beside_database(), ["by-way-of"]);
    assert!(place.database().with_file_name("system-id.conf").exists());
}

#[test]
fn an_empty_file_behind_a_link_becomes_a_database_and_the_link_stays() {
    let place = Place::with_database(&schema());
    let target = moved(&place);
    fs::write(&target, "").unwrap();
    place.init_ok();
    assert!(is_link(&place.database()) && !is_link(&target));
    place.root();
}

#[test]
fn a_link_to_nothing_is_refused_and_kept() {
    let place = Place::with_database(&schema());
    let target = moved(&place);
    fs::remove_file(&target).unwrap();
    let said = place.init_refused();
    assert!(said.contains("symbolic link") && said.contains("volume/real.db"), "{said}");
    assert!(is_link(&place.database()) && !target.exists());
}

#[test]
fn a_link_to_itself_is_refused_and_kept() {
    let place = Place::with_database(&schema());
    fs::remove_file(place.database()).unwrap();
    symlink("conf.db", place.database()).unwrap();
    let said = place.init_refused();
    assert!(said.contains("symbolic links"), "{said}");
    assert!(is_link(&place.database()));
}
