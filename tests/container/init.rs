//! `ovs-plugin init` and the database, in every state in which it may be found.

use std::fs;

use serde_json::{Value, json};

use crate::place::{BRIDGE, Place, older_schema, said, schema};

fn installed_version() -> String {
    schema()["version"].as_str().unwrap().to_owned()
}

fn replace(place: &Place, content: &[u8]) {
    fs::write(place.database(), content).unwrap();
}

#[test]
fn a_database_and_all_directories_are_made_where_there_is_nothing() {
    let place = Place::new();
    let said = place.init_ok();
    assert!(said.contains(&format!("making the database {}", place.database().display())), "{said}");
    assert!(place.run().is_dir() && place.log().is_dir());
    assert_eq!(place.schema_version(), installed_version());
    let root = place.root();
    assert_eq!(root["external_ids"]["system-id"].as_str().map(str::len), Some(36), "{root}");
    let version = place.tool(&["--version"]);
    let version = version.lines().next().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(root["ovs_version"], version);
    for column in ["system_type", "system_version"] {
        assert!(root[column].as_str().is_some_and(|text| !text.is_empty()), "{column}: {root}");
    }
    assert_eq!(place.beside_database(), Vec::<String>::new());
}

#[test]
fn a_database_that_is_there_keeps_its_content() {
    let place = Place::with_database(&schema());
    let said = place.init_ok();
    assert_eq!(place.bridges(), [BRIDGE]);
    assert_eq!(place.root()["external_ids"], json!({"system-id": "the-same-as-ever", "hostname": "n1"}), "{said}");
    assert_eq!(place.beside_database(), Vec::<String>::new());
}

#[test]
fn a_second_run_changes_nothing() {
    for place in [Place::new(), Place::with_database(&schema()), Place::with_database(&older_schema())] {
        place.init_ok();
        let before = place.files();
        let said = place.init_ok();
        assert_eq!(place.files(), before);
        assert!(!said.contains("database"), "{said}");
    }
}

#[test]
fn the_system_id_survives_restarts_and_the_loss_of_the_database() {
    let place = Place::new();
    place.init_ok();
    let id = place.system_id();
    place.init_ok();
    assert_eq!(place.system_id(), id);
    fs::remove_file(place.database()).unwrap();
    place.init_ok();
    assert_eq!(place.system_id(), id);
    replace(&place, b"");
    place.init_ok();
    assert_eq!(place.system_id(), id);
}

#[test]
fn two_systems_have_different_ids() {
    let ids = [(); 2].map(|()| {
        let place = Place::new();
        place.init_ok();
        place.system_id()
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_root_row_with_an_older_version_of_open_vswitch_is_brought_up_to_date() {
    let place = Place::with_database(&schema());
    place.transact(json!([{"op": "update", "table": "Open_vSwitch", "where": [], "row": {"ovs_version": "2.9.0"}}]));
    place.init_ok();
    assert_ne!(place.root()["ovs_version"], "2.9.0");
    assert_eq!(place.bridges(), [BRIDGE]);
}

#[test]
fn a_database_without_a_root_row_gets_one() {
    let place = Place::with_database(&schema());
    place.transact(json!([{"op": "delete", "table": "Open_vSwitch", "where": []}]));
    assert_eq!(place.rows("Open_vSwitch"), Vec::<Value>::new());
    place.init_ok();
    assert_eq!(place.system_id().len(), 36);
}

#[test]
fn an_older_schema_is_converted_and_the_old_database_kept_beside() {
    let place = Place::with_database(&older_schema());
    let old = place.database_bytes();
    let said = place.init_ok();
    assert!(said.contains(&format!("from schema 7.15.0 to {}", installed_version())), "{said}");
    assert_eq!(place.schema_version(), installed_version());
    assert_eq!(place.bridges(), [BRIDGE]);
    assert_eq!(place.system_id(), "the-same-as-ever");
    let [backup] = &place.beside_database()[..] else { panic!("{:?}", place.beside_database()) };
    let time = backup.strip_prefix("conf.db.backup-7.15.0-").unwrap_or_else(|| panic!("{backup}"));
    assert!(time.parse::<u64>().is_ok_and(|seconds| seconds > 1_700_000_000), "{backup}");
    assert_eq!(fs::read(place.database().with_file_name(backup)).unwrap(), old);
    assert!(said.contains(backup), "{said}");
}

#[test]
fn a_newer_schema_is_left() {
    let mut newer = schema();
    newer["version"] = json!("99.0.0");
    newer["tables"]["Bridge"]["columns"]["of_the_future"] = json!({"type": "string"});
    let place = Place::with_database(&newer);
    place.transact(json!([{"op": "update", "table": "Bridge", "where": [], "row": {"of_the_future": "here"}}]));
    let said = place.init_ok();
    assert!(said.contains("99.0.0, newer than"), "{said}");
    assert_eq!(place.schema_version(), "99.0.0");
    assert_eq!(place.rows("Bridge")[0]["of_the_future"], "here");
    assert_eq!(place.beside_database(), Vec::<String>::new());
}

#[test]
fn a_conversion_that_fails_keeps_the_old_database() {
    let mut lax = older_schema();
    lax["tables"]["Bridge"]["columns"]["flood_vlans"]["type"]["key"] = json!("integer");
    let place = Place::with_database(&lax);
    // Beyond what the installed schema allows.
    place.transact(json!([{"op": "update", "table": "Bridge", "where": [], "row": {"flood_vlans": 70_000}}]));
    let said = place.init_refused();
    assert!(said.contains("converting") && said.contains("70000"), "{said}");
    // A container that is started over and over does not fill the disk with copies.
    assert_eq!(place.beside_database(), Vec::<String>::new());
}

#[test]
fn an_empty_file_becomes_a_new_database() {
    let place = Place::with_database(&schema());
    replace(&place, b"");
    let said = place.init_ok();
    assert!(said.contains("is empty"), "{said}");
    assert_eq!(place.schema_version(), installed_version());
    place.root();
}

#[test]
fn garbage_is_refused_and_kept_byte_for_byte() {
    let sqlite: &[u8] = b"SQLite format 3\0\x10\0\x01\x01\0";
    for garbage in [sqlite, b"\0\0\0\0\0\0\0\0", b"OVSDB JSON \n{}\n", b"OVSDB CLUSTER 5 0\n{}\n", b"{}", b"\n", b"OVS"]
    {
        let place = Place::with_database(&schema());
        replace(&place, garbage);
        let said = place.init_refused();
        assert!(said.contains("ovsdb-tool"), "the reason is missing: {said}");
    }
}

#[test]
fn a_database_of_something_else_is_refused_and_kept() {
    let place = Place::with_database(&schema());
    fs::remove_file(place.database()).unwrap();
    let file = place.directory().join("other");
    let other = json!({"name": "Other", "version": "1.0.0", "tables": {"T": {"columns": {"c": {"type": "string"}}}}});
    fs::write(&file, other.to_string()).unwrap();
    place.tool(&["create", place.database().to_str().unwrap(), file.to_str().unwrap()]);
    place.remove_lock();
    let said = place.init_refused();
    assert!(said.contains("database of Other"), "{said}");
}

#[test]
fn a_last_record_that_was_cut_off_is_dropped_after_a_copy() {
    let place = Place::with_database(&schema());
    place.init_ok();
    let good = place.database_bytes();
    let change = json!([{"op": "update", "table": "Bridge", "where": [], "row": {"flood_vlans": 5}}]);
    place.transact(change);
    let whole = place.database_bytes();
    // In the record's first letters, in its header, right after it, in its body, and just before its end.
    let header = good.len() + whole[good.len()..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [good.len() + 1, good.len() + 5, header - 4, header, header + 7, whole.len() - 1] {
        for backup in place.beside_database() {
            fs::remove_file(place.database().with_file_name(backup)).unwrap();
        }
        replace(&place, &whole[..cut]);
        let said = place.init_ok();
        assert!(said.contains(&format!("{} bytes", cut - good.len())), "{said}");
        assert_eq!(place.database_bytes(), good, "cut at {cut}: {said}");
        assert_eq!(place.bridges(), [BRIDGE]);
        let [backup] = &place.beside_database()[..] else { panic!("{:?}", place.beside_database()) };
        assert!(said.contains(backup), "{said}");
        assert_eq!(fs::read(place.database().with_file_name(backup)).unwrap(), &whole[..cut]);
    }
}

#[test]
fn damage_in_the_middle_is_refused_and_kept() {
    let place = Place::with_database(&schema());
    place.init_ok();
    let whole = place.database_bytes();
    let position = |text: &str| {
        let found = whole.windows(text.len()).rposition(|window| window == text.as_bytes());
        found.unwrap_or_else(|| panic!("{text} is not in the database"))
    };
    let magic = position("OVSDB JSON ");
    for at in [position("the-same-as-ever"), position(BRIDGE), magic, magic + "OVSDB JSON ".len(), whole.len() - 2, 0] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        replace(&place, &damaged);
        place.init_refused();
    }
    // A part is missing.
    let at = position(BRIDGE);
    replace(&place, &[&whole[..at], &whole[at + 3..]].concat());
    place.init_refused();
}

#[test]
fn a_record_of_impossible_length_does_not_hold_it_up() {
    let place = Place::with_database(&schema());
    place.init_ok();
    let whole = place.database_bytes();
    let hash = "0".repeat(40);
    for length in [u64::MAX, u64::MAX - 72, u64::MAX - 73, u64::MAX - 74, 1 << 63] {
        let record = format!("OVSDB JSON {length} {hash}\n{{}}\n");
        replace(&place, record.as_bytes());
        place.init_refused();
        // At the end it is a record that is not whole, as ovsdb-server sees it too.
        replace(&place, &[&whole[..], record.as_bytes()].concat());
        place.init_ok();
        assert_eq!(place.database_bytes(), whole);
    }
}

#[test]
fn a_directory_in_the_place_of_the_database_is_named() {
    let place = Place::new();
    fs::create_dir_all(place.database()).unwrap();
    let said = place.init().unwrap_err();
    assert!(said.contains(&place.database().display().to_string()), "{said}");
}

#[test]
fn a_tool_that_hangs_does_not_hold_it_up_for_good() {
    let place = Place::new();
    let tool = place.directory().join("ovsdb-tool");
    std::fs::write(&tool, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut init = place.plugin(&["init"]);
    let path = format!("{}:{}", place.directory().display(), std::env::var("PATH").unwrap_or_default());
    let message = said(init.env("PATH", path)).unwrap_err();
    assert!(message.contains("did not end within"), "{message}");
    assert!(!place.database().exists());
}

#[test]
fn a_member_of_a_cluster_is_refused_and_kept() {
    let place = Place::with_database(&schema());
    fs::remove_file(place.database()).unwrap();
    let address = format!("unix:{}", place.directory().join("raft").display());
    place.tool(&["create-cluster", place.database().to_str().unwrap(), crate::support::SCHEMA_FILE, &address]);
    place.remove_lock();
    let said = place.init_refused();
    assert!(said.contains("it is a member of a cluster") && said.contains("cluster-to-standalone"), "{said}");
}

/// An ovsdb-tool that knows only what that of Open vSwitch 2.5 does.
fn with_old_tool(place: &Place) -> std::process::Command {
    let directory = place.directory().join("bin");
    fs::create_dir_all(&directory).unwrap();
    let path = crate::support::search_path();
    let real = std::env::split_paths(&path).map(|directory| directory.join("ovsdb-tool")).find(|tool| tool.exists());
    let script = format!(
        "#!/bin/sh\ncase $1 in\n  create|compact|convert|db-version|db-cksum|schema-version|schema-cksum|needs-conversion\
         |query|transact|show-log|--version) exec {} \"$@\" ;;\nesac\n\
         echo \"ovsdb-tool: unknown command '$1'; use --help for help\" >&2\nexit 1\n",
        real.unwrap().display()
    );
    let tool = directory.join("ovsdb-tool");
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = place.plugin(&["init"]);
    let directories = std::iter::once(directory).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(directories).unwrap());
    command
}

#[test]
fn an_ovsdb_tool_of_open_vswitch_2_5_is_enough() {
    for schema in [schema(), older_schema()] {
        let place = Place::with_database(&schema);
        let mut command = with_old_tool(&place);
        let said = said(&mut command).unwrap_or_else(|said| panic!("{said}"));
        assert_eq!(place.schema_version(), installed_version(), "{said}");
        assert_eq!(place.bridges(), [BRIDGE]);
    }
    let other = json!({"name": "Other", "version": "1.0.0", "tables": {}});
    let place = Place::with_database(&schema());
    let file = place.directory().join("other");
    fs::write(&file, other.to_string()).unwrap();
    fs::remove_file(place.database()).unwrap();
    place.tool(&["create", place.database().to_str().unwrap(), file.to_str().unwrap()]);
    place.remove_lock();
    let said = said(&mut with_old_tool(&place)).unwrap_err();
    assert!(said.contains("it is a database of Other, expected Open_vSwitch"), "{said}");
}
