//! Plans, their inverses and reports, on a database in memory.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::error::{ErrorClass, ServerError};
use ovsdb::operation::{Condition, Mutation, Mutator, Name, Operation, Row as Columns};
use ovsdb::transaction::TransactError;
use ovsdb::value::{Atom, Uuid, UuidRef, Value};
use proptest::prelude::*;
use serde_json::json;

use super::change_set::{ChangeSet, RowKey};
use super::query::Filter;
use super::transaction::{Committed, Plan, is_lost_race};
use crate::vswitch::tables::{BRIDGE, INTERFACE, MARK, OPEN_VSWITCH, PORT, is_reported};

/// It is held against a real ovsdb-server by the tests of the crate that it lies in.
#[allow(dead_code, reason = "shared with that crate's tests")]
#[path = "../../../crates/ovsdb/tests/model/mod.rs"]
mod model;

use model::{Model, Outcome, Refusal};

const TABLES: [&str; 4] = [OPEN_VSWITCH, BRIDGE, PORT, INTERFACE];

fn empty() -> Model {
    let text = include_str!("../../../tests/data/vswitch-8.3.1.ovsschema");
    Model::new(serde_json::from_str(text).unwrap())
}

/// A switch with these bridges; each port has one interface of its name.
fn switch(bridges: &[(&str, &[&str])]) -> Model {
    let mut model = empty();
    let mut changes = ChangeSet::new("a switch".into(), "test");
    let root = changes.insert(OPEN_VSWITCH, []);
    for (bridge, ports) in bridges {
        let bridge = add_bridge(&mut changes, &root, bridge);
        for port in *ports {
            add_port(&mut changes, &bridge, port);
        }
    }
    commit(&mut model, &changes).unwrap();
    model
}

fn add_bridge(changes: &mut ChangeSet, root: &RowKey, name: &str) -> RowKey {
    let bridge = changes.insert(BRIDGE, [("name", name.into())]);
    add_port(changes, &bridge, name);
    changes.add_to(root, "bridges", &bridge);
    bridge
}

fn add_port(changes: &mut ChangeSet, bridge: &RowKey, name: &str) -> RowKey {
    let interface = changes.insert(INTERFACE, [("name", name.into())]);
    let port = changes.insert(PORT, [("name", name.into()), ("interfaces", interface.reference().into())]);
    changes.add_to(bridge, "ports", &port);
    port
}

/// A change set that has read all of it.
fn read(model: &Model) -> ChangeSet {
    let mut changes = ChangeSet::new("test".into(), "test");
    for table in TABLES {
        for (uuid, row) in model.table(table) {
            let mut row = row.clone();
            row.insert("_uuid".into(), (*uuid).into());
            changes.remember(&table.into(), row, true, true).unwrap();
        }
    }
    changes
}

fn find(changes: &ChangeSet, table: &str, name: &str) -> RowKey {
    let found = changes.rows.keys().find(|key| key.table == table && changes.name(key) == name);
    found.unwrap_or_else(|| panic!("{table} {name}")).clone()
}

fn root(changes: &ChangeSet) -> RowKey {
    changes.rows.keys().find(|key| key.table == OPEN_VSWITCH).unwrap().clone()
}

/// Carries a plan out, as `commit.rs` does with a server.
fn commit(model: &mut Model, changes: &ChangeSet) -> Result<Committed, Refusal> {
    carry_out(model, changes.plan(None))
}

fn carry_out(model: &mut Model, plan: Plan) -> Result<Committed, Refusal> {
    let outcomes = model.transact(&plan.transaction.operations)?;
    let mut committed = Committed { wrote: true, was_applied: true, ..Committed::default() };
    for (name, place) in plan.inserts {
        let Outcome::Inserted(uuid) = outcomes[place] else { panic!("{:?}", outcomes[place]) };
        committed.uuids.insert(name, uuid);
    }
    for (uuid, place) in plan.before {
        let Outcome::Rows(rows) = &outcomes[place] else { panic!("{:?}", outcomes[place]) };
        committed.before.extend(rows.first().map(|row| (uuid, row.clone())));
    }
    Ok(committed)
}

fn take_back(model: &mut Model, changes: &ChangeSet, committed: &Committed) -> Result<(), Refusal> {
    let (inverse, withdrawals) = changes.inverse(committed).unwrap();
    model.transact(&inverse.operations)?;
    model.transact(&withdrawals)?;
    Ok(())
}

/// What people and ovs-vswitchd see: rows by table and name, references by the names of what they refer to. Rows that
/// were brought back have new identities, and counts of the configuration go on.
fn seen(model: &Model) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut names: BTreeMap<Uuid, String> = BTreeMap::new();
    for table in TABLES {
        for (uuid, row) in model.table(table) {
            names.insert(*uuid, row.get("name").and_then(Value::as_str).unwrap_or("the root").to_owned());
        }
    }
    let told = |value: &Value| {
        let atoms = value.atoms().map(|atom| match atom {
            Atom::Uuid(uuid) => names.get(uuid).cloned().unwrap_or_else(|| panic!("{uuid} is no row")),
            other => format!("{other:?}"),
        });
        let atoms: BTreeSet<String> = atoms.collect();
        format!("{atoms:?} {:?}", value.as_map())
    };
    let mut seen: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for table in TABLES {
        for (uuid, row) in model.table(table) {
            let columns = row.iter().filter(|(column, _)| !is_reported(column));
            let columns: String = columns.map(|(column, value)| format!("{column}={} ", told(value))).collect();
            assert!(seen.entry(table.into()).or_default().insert(names[uuid].clone(), columns).is_none());
        }
    }
    seen
}

fn set(model: &mut Model, table: &'static str, name: &str, column: &'static str, value: impl Into<Value>) {
    let r#where = vec![Condition::equal("name", name)];
    let row = Columns::from([(column.into(), value.into())]);
    model.transact(&[Operation::Update { table: table.into(), r#where, row }]).unwrap();
}

fn lost(refusal: Refusal, plan_guards: usize) -> bool {
    let (operation, error) = refusal;
    let error = ServerError { error: error.into(), details: None, syntax: None };
    is_lost_race(&TransactError { operation, error }, plan_guards)
}

// ---- guards ----

/// Somebody changes something between the reading and the commit; tells whether the plan still goes through.
fn goes_through_after(decide: impl Fn(&mut ChangeSet), meanwhile: impl Fn(&mut Model)) -> bool {
    let mut model = switch(&[("br0", &["p1", "p2"]), ("br1", &[])]);
    let mut changes = read(&model);
    decide(&mut changes);
    meanwhile(&mut model);
    let before = seen(&model);
    let plan = changes.plan(None);
    let guards = plan.guards;
    match carry_out(&mut model, plan) {
        Ok(_) => true,
        Err(refusal) => {
            assert!(lost(refusal, guards), "{refusal:?} is no lost race");
            assert_eq!(seen(&model), before, "nothing has changed");
            false
        }
    }
}

#[test]
fn a_column_that_a_decision_rested_on_is_guarded_and_another_is_not() {
    let decide = |changes: &mut ChangeSet| {
        let port = find(changes, PORT, "p1");
        assert!(changes.value(&port, "tag").is_empty());
        changes.put(&port, "other_config", "a", "b");
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, |model| set(model, PORT, "p1", "tag", 7i64)));
    assert!(goes_through_after(decide, |model| set(model, PORT, "p1", "lacp", "active")));
    let of_others = Value::string_map([("theirs", "1")]);
    assert!(goes_through_after(decide, |model| set(model, PORT, "p1", "other_config", of_others.clone())));
}

#[test]
fn a_column_that_is_replaced_is_guarded_so_that_the_second_of_two_sees_the_first() {
    let decide = |changes: &mut ChangeSet| {
        let port = find(changes, PORT, "p1");
        changes.set(&port, "tag", 5i64);
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, |model| set(model, PORT, "p1", "tag", 7i64)));
}

#[test]
fn a_row_that_was_found_has_to_be_there_still() {
    let decide = |changes: &mut ChangeSet| {
        let port = find(changes, PORT, "p2");
        let found =
            changes.matching(&PORT.into(), Some(&Filter::Equals("name".into(), "p2".into())), &[port.clone()].into());
        assert_eq!(found, [port]);
        let other = find(changes, PORT, "p1");
        changes.put(&other, "external_ids", "beside", "p2");
    };
    let away = |model: &mut Model| {
        let port = *model.table(PORT).iter().find(|(_, row)| row["name"].as_str() == Some("p2")).unwrap().0;
        let mutations = vec![Mutation("ports".into(), Mutator::Delete, port.into())];
        model.transact(&[Operation::Mutate { table: BRIDGE.into(), r#where: vec![], mutations }]).unwrap();
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, away));
}

#[test]
fn a_bridge_that_had_the_port_has_to_have_it_still() {
    let decide = |changes: &mut ChangeSet| {
        let (bridge, port) = (find(changes, BRIDGE, "br0"), find(changes, PORT, "p1"));
        let UuidRef::Row(uuid) = bridge.id else { panic!() };
        let filter = Filter::RowIncludes(uuid, "ports".into(), port.reference().into());
        assert_eq!(changes.matching(&BRIDGE.into(), Some(&filter), &[bridge.clone()].into()), [bridge]);
        changes.set(&port, "tag", 5i64);
    };
    let moved = |model: &mut Model| {
        let port = *model.table(PORT).iter().find(|(_, row)| row["name"].as_str() == Some("p1")).unwrap().0;
        let change = |name: &str, mutator| Operation::Mutate {
            table: BRIDGE.into(),
            r#where: vec![Condition::equal("name", name)],
            mutations: vec![Mutation("ports".into(), mutator, port.into())],
        };
        model.transact(&[change("br0", Mutator::Delete), change("br1", Mutator::Insert)]).unwrap();
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, moved));
}

#[test]
fn what_must_not_be_there_is_guarded() {
    let marked = Value::string_map([(MARK, "vlan:7")]);
    let decide = |changes: &mut ChangeSet| {
        changes.absent.insert((BRIDGE.into(), "external_ids".into(), marked.clone()));
        let root = root(changes);
        add_bridge(changes, &root, "vlbr7");
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, |model| set(model, BRIDGE, "br1", "external_ids", marked.clone())));
}

#[test]
fn a_name_that_was_taken_meanwhile_is_a_lost_race() {
    let decide = |changes: &mut ChangeSet| {
        let root = root(changes);
        add_bridge(changes, &root, "new");
    };
    let taken = |model: &mut Model| {
        let mut others = read(model);
        let root = root(&others);
        add_bridge(&mut others, &root, "new");
        commit(model, &others).unwrap();
    };
    assert!(goes_through_after(decide, |_| {}));
    assert!(!goes_through_after(decide, taken));
}

#[test]
fn the_first_root_row_is_made_once() {
    let mut model = empty();
    let first = || {
        let mut changes = ChangeSet::new("test".into(), "test");
        let root = changes.insert(OPEN_VSWITCH, []);
        add_bridge(&mut changes, &root, "br0");
        changes.plan(None)
    };
    carry_out(&mut model, first()).unwrap();
    let plan = first();
    let guards = plan.guards;
    assert!(lost(carry_out(&mut model, plan).unwrap_err(), guards));
}

#[test]
fn another_refusal_is_no_lost_race() {
    assert!(!lost((Some(3), "timed out"), 3), "a wait that is no guard");
    assert!(!lost((Some(0), "constraint violation"), 3));
    assert!(!lost((None, "referential integrity violation"), 3));
    assert_eq!(ErrorClass::from("timed out"), ErrorClass::TimedOut);
}

// ---- plans ----

#[test]
fn what_is_so_already_is_not_written() {
    let model = switch(&[("br0", &["p1"])]);
    let mut changes = read(&model);
    let port = find(&changes, PORT, "p1");
    changes.set(&port, "tag", Value::empty());
    changes.put(&port, "external_ids", MARK, "test");
    assert!(!changes.writes());
    changes.set(&port, "tag", 5i64);
    assert!(changes.writes());
    changes.set(&port, "tag", Value::empty());
    assert!(!changes.writes(), "changed and changed back");
}

#[test]
fn sets_and_maps_of_stored_rows_are_mutated_never_rewritten() {
    let model = switch(&[("br0", &["p1"])]);
    let mut changes = read(&model);
    let (bridge, port) = (find(&changes, BRIDGE, "br0"), find(&changes, PORT, "p1"));
    add_port(&mut changes, &bridge, "p2");
    changes.put(&port, "other_config", "a", "b");
    for operation in changes.plan(None).transaction.operations {
        if let Operation::Update { row, .. } = operation {
            assert!(!row.contains_key("ports") && !row.contains_key("other_config"), "{row:?}");
        }
    }
}

#[test]
fn every_inserted_row_that_can_hold_a_mark_has_it() {
    let mut changes = ChangeSet::new(String::new(), "here");
    let mark = |changes: &ChangeSet, row: &RowKey| {
        changes.peek(row, "external_ids").and_then(|ids| ids.get_str(MARK).map(str::to_owned))
    };
    for table in [BRIDGE, PORT, INTERFACE, "Mirror", "QoS", "Queue", "Controller", "Manager", "sFlow", "SSL"] {
        let row = changes.insert(table, []);
        assert_eq!(mark(&changes, &row).as_deref(), Some("here"), "{table}");
    }
    let theirs = changes.insert("Queue", [("external_ids", Value::string_map([("a", "b")]))]);
    assert_eq!(mark(&changes, &theirs).as_deref(), Some("here"));
    assert_eq!(changes.peek(&theirs, "external_ids").unwrap().get_str("a"), Some("b"));
    for table in [OPEN_VSWITCH, "AutoAttach"] {
        let row = changes.insert(table, []);
        assert_eq!(mark(&changes, &row), None, "{table}");
    }
}

// ---- inverses ----

#[test]
fn a_later_change_of_somebody_else_is_never_undone() {
    for (column, value) in [("tag", Value::from(7i64)), ("other_config", Value::string_map([("a", "theirs")]))] {
        let mut model = switch(&[("br0", &["p1"])]);
        let mut changes = read(&model);
        let port = find(&changes, PORT, "p1");
        changes.set(&port, "tag", 5i64);
        changes.put(&port, "other_config", "a", "ours");
        let committed = commit(&mut model, &changes).unwrap();
        set(&mut model, PORT, "p1", column, value);
        let before = seen(&model);
        assert_eq!(take_back(&mut model, &changes, &committed).unwrap_err().1, "timed out");
        assert_eq!(seen(&model), before);
    }
}

#[test]
fn a_new_row_that_somebody_has_configured_since_stays() {
    let mut model = switch(&[("br0", &[])]);
    let mut changes = read(&model);
    let bridge = find(&changes, BRIDGE, "br0");
    add_port(&mut changes, &bridge, "p1");
    let committed = commit(&mut model, &changes).unwrap();
    set(&mut model, PORT, "p1", "tag", 7i64);
    assert_eq!(take_back(&mut model, &changes, &committed).unwrap_err().1, "timed out");
}

#[test]
fn an_interface_gets_the_mtu_back_that_it_had_without_asking() {
    let mut model = switch(&[("br0", &["p1"])]);
    set(&mut model, INTERFACE, "p1", "mtu", 1500i64);
    let mut changes = read(&model);
    let interface = find(&changes, INTERFACE, "p1");
    changes.set(&interface, "mtu_request", 9000i64);
    let committed = commit(&mut model, &changes).unwrap();
    let (inverse, withdrawals) = changes.inverse(&committed).unwrap();
    model.transact(&inverse.operations).unwrap();
    let request = |model: &Model| {
        model.table(INTERFACE).values().find(|row| row["name"].as_str() == Some("p1")).unwrap()["mtu_request"].clone()
    };
    assert_eq!(request(&model), Value::from(1500i64));
    model.transact(&withdrawals).unwrap();
    assert!(request(&model).is_empty());
}

#[test]
fn a_row_that_was_not_read_in_full_is_not_brought_back() {
    let mut model = switch(&[("br0", &["p1"])]);
    let mut changes = ChangeSet::new("test".into(), "test");
    let (bridge, port) = {
        let all = read(&model);
        (find(&all, BRIDGE, "br0"), find(&all, PORT, "p1"))
    };
    for key in [&bridge, &port] {
        let UuidRef::Row(uuid) = key.id else { panic!() };
        changes.remember(&key.table, Columns::from([("_uuid".into(), uuid.into())]), false, true);
    }
    changes.take_from(&bridge, "ports", &port);
    changes.collected(&port);
    let committed = commit(&mut model, &changes).unwrap();
    assert!(changes.inverse(&committed).unwrap_err().contains("not known in full"));
}

// ---- reports ----

#[test]
fn a_report_tells_rows_by_name_and_what_of_them_changes() {
    let mut model = switch(&[("br0", &["p1", "p2"])]);
    set(&mut model, PORT, "p1", "tag", 3i64);
    let mut changes = read(&model);
    let (bridge, one, two) = (find(&changes, BRIDGE, "br0"), find(&changes, PORT, "p1"), find(&changes, PORT, "p2"));
    changes.set(&one, "tag", 5i64);
    changes.put(&one, "other_config", "a", "b");
    changes.take_from(&bridge, "ports", &two);
    changes.collected(&two);
    let options = Value::string_map([("remote_ip", "10.0.0.1"), ("psk", "swordfish")]);
    let tunnel = changes.insert(INTERFACE, [("name", "t1".into()), ("options", options)]);
    let port = changes.insert(PORT, [("name", "t1".into()), ("interfaces", tunnel.reference().into())]);
    changes.add_to(&bridge, "ports", &port);
    let committed = commit(&mut model, &changes).unwrap();
    let told = serde_json::to_value(changes.changes(Some(&committed))).unwrap();
    let mark = json!({"new": {"ovs-plugin": "test"}});
    let expected = json!([
        {"table": "Port", "row": "p1", "action": "update", "columns": {
            "other_config": {"old": {}, "new": {"a": "b"}}, "tag": {"old": 3, "new": 5}}},
        {"table": "Bridge", "row": "br0", "action": "update", "columns": {
            "ports": {"added": ["t1"], "removed": ["p2"]}}},
        {"table": "Port", "row": "p2", "action": "delete"},
        {"table": "Interface", "row": "t1", "action": "insert", "columns": {
            "name": {"new": "t1"}, "external_ids": mark,
            "options": {"new": {"remote_ip": "10.0.0.1", "psk": "(hidden)"}}}},
        {"table": "Port", "row": "t1", "action": "insert", "columns": {
            "name": {"new": "t1"}, "external_ids": mark, "interfaces": {"new": "t1"}}},
    ]);
    assert_eq!(told, expected, "{told:#}");
}

// ---- for any switch and any change ----

/// One step of a change, by numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    AddBridge(u8),
    AddPort(usize, u8),
    DeletePort(usize),
    DeleteBridge(usize),
    Set(usize, Setting),
    Put(usize, &'static str, u8, u8),
}

#[derive(Clone, Debug)]
enum Setting {
    Tag(Option<i64>),
    Trunks(BTreeSet<i64>),
    Mtu(Option<i64>),
    Type(bool),
    Datapath(bool),
    Ids(BTreeMap<String, String>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let setting = prop_oneof![
        prop::option::of(0i64..5).prop_map(Setting::Tag),
        prop::collection::btree_set(0i64..5, 0..3).prop_map(Setting::Trunks),
        prop::option::of(1400i64..1402).prop_map(Setting::Mtu),
        any::<bool>().prop_map(Setting::Type),
        any::<bool>().prop_map(Setting::Datapath),
        prop::collection::btree_map("[ab]", "[xy]", 0..3).prop_map(Setting::Ids),
    ];
    let map = prop_oneof![Just("other_config"), Just("external_ids")];
    let step = prop_oneof![
        1 => any::<u8>().prop_map(Step::AddBridge),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(bridge, name)| Step::AddPort(bridge, name)),
        2 => any::<usize>().prop_map(Step::DeletePort),
        1 => any::<usize>().prop_map(Step::DeleteBridge),
        4 => (any::<usize>(), setting).prop_map(|(row, setting)| Step::Set(row, setting)),
        3 => (any::<usize>(), map, 0..3u8, 0..3u8).prop_map(|(row, map, key, value)| Step::Put(row, map, key, value)),
    ];
    prop::collection::vec(step, 0..9)
}

/// The rows of a table that the change leaves, in an order that does not depend on identities.
fn left(changes: &ChangeSet, table: &str) -> Vec<RowKey> {
    let rows = changes.rows.iter().filter(|(key, row)| key.table == table && !row.is_gone());
    let mut keys: Vec<RowKey> = rows.map(|(key, _)| key.clone()).collect();
    keys.sort_by_key(|key| changes.name(key));
    keys
}

fn pick<T: Clone>(of: &[T], number: usize) -> Option<T> {
    of.get(number.checked_rem(of.len())?).cloned()
}

fn delete_port(changes: &mut ChangeSet, bridge: &RowKey, port: &RowKey) {
    let interfaces = changes.peek(port, "interfaces").unwrap_or_else(Value::empty);
    for key in left(changes, INTERFACE) {
        if interfaces.atoms().any(|atom| *atom == key.reference()) {
            changes.collected(&key);
        }
    }
    changes.take_from(bridge, "ports", port);
    changes.collected(port);
}

fn bridge_of(changes: &ChangeSet, port: &RowKey) -> Option<RowKey> {
    let has = |bridge: &RowKey| {
        changes.peek(bridge, "ports").is_some_and(|ports| ports.atoms().any(|atom| *atom == port.reference()))
    };
    left(changes, BRIDGE).into_iter().find(has)
}

fn apply(changes: &mut ChangeSet, steps: &[Step]) {
    let root = root(changes);
    for (place, step) in steps.iter().enumerate() {
        let stored = |keys: Vec<RowKey>| -> Vec<RowKey> {
            keys.into_iter().filter(|key| matches!(key.id, UuidRef::Row(_))).collect()
        };
        match step {
            Step::AddBridge(name) => drop(add_bridge(changes, &root, &format!("b{name}-{place}"))),
            Step::AddPort(bridge, name) => {
                if let Some(bridge) = pick(&left(changes, BRIDGE), *bridge) {
                    add_port(changes, &bridge, &format!("p{name}-{place}"));
                }
            }
            Step::DeletePort(port) => {
                // As commands do it: what a unit has made itself it does not delete again.
                let ports = stored(left(changes, PORT));
                if let Some(port) = pick(&ports, *port)
                    && let Some(bridge) = bridge_of(changes, &port)
                    && changes.name(&bridge) != changes.name(&port)
                {
                    delete_port(changes, &bridge, &port);
                }
            }
            Step::DeleteBridge(bridge) => {
                if let Some(bridge) = pick(&stored(left(changes, BRIDGE)), *bridge) {
                    for port in left(changes, PORT) {
                        if bridge_of(changes, &port).as_ref() == Some(&bridge) {
                            if matches!(port.id, UuidRef::New(_)) {
                                return;
                            }
                            delete_port(changes, &bridge, &port);
                        }
                    }
                    changes.take_from(&root, "bridges", &bridge);
                    changes.collected(&bridge);
                }
            }
            Step::Set(row, setting) => {
                let (table, column, value): (&str, &'static str, Value) = match setting.clone() {
                    Setting::Tag(tag) => (PORT, "tag", tag.into()),
                    Setting::Trunks(vlans) => (PORT, "trunks", Value::set(vlans.into_iter().map(Atom::Integer))),
                    Setting::Mtu(mtu) => (INTERFACE, "mtu_request", mtu.into()),
                    Setting::Type(internal) => (INTERFACE, "type", if internal { "internal" } else { "" }.into()),
                    Setting::Datapath(netdev) => (BRIDGE, "datapath_type", if netdev { "netdev" } else { "" }.into()),
                    Setting::Ids(pairs) => (BRIDGE, "external_ids", Value::string_map(pairs)),
                };
                if let Some(row) = pick(&left(changes, table), *row) {
                    changes.set(&row, column, value);
                }
            }
            Step::Put(row, map, key, value) => {
                if let Some(row) = pick(&left(changes, PORT), *row) {
                    changes.put(&row, *map, format!("k{key}"), format!("v{value}"));
                }
            }
        }
    }
}

/// Each column of each row as the change set says that it will be.
fn expected(changes: &ChangeSet) -> BTreeMap<(String, String, Name), String> {
    let mut expected = BTreeMap::new();
    for table in TABLES {
        for key in left(changes, table) {
            for column in changes.rows[&key].changes.keys() {
                let names = |atom: &Atom| {
                    let row = changes.rows.keys().find(|key| key.reference() == *atom);
                    row.map_or_else(|| format!("{atom:?}"), |row| changes.name(row))
                };
                let value = changes.peek(&key, column).unwrap();
                let atoms: BTreeSet<String> = value.atoms().map(names).collect();
                let map = value.as_map().filter(|map| !map.is_empty());
                expected.insert((table.to_owned(), changes.name(&key), column.clone()), format!("{atoms:?} {map:?}"));
            }
        }
    }
    expected
}

fn held(model: &Model, (table, name, column): &(String, String, Name)) -> String {
    let named = |row: &Columns| row.get("name").and_then(Value::as_str).unwrap_or_default() == name;
    let row = model.table(table).values().find(|row| named(row)).unwrap_or_else(|| panic!("{table} {name}"));
    let value = &row[column];
    let names = |atom: &Atom| match atom {
        Atom::Uuid(uuid) => {
            let row = TABLES.iter().find_map(|table| model.table(table).get(uuid)).unwrap();
            row["name"].as_str().unwrap().to_owned()
        }
        other => format!("{other:?}"),
    };
    let atoms: BTreeSet<String> = value.atoms().map(names).collect();
    format!("{atoms:?} {:?}", value.as_map().filter(|map| !map.is_empty()))
}

proptest! {
    #[test]
    fn what_was_planned_is_so_afterwards_and_its_inverse_brings_everything_back(first in steps(), second in steps()) {
        let mut model = switch(&[("br0", &["p1", "p2"]), ("br1", &["q1"]), ("br2", &[])]);
        // Any switch: the same, after any change.
        let mut changes = read(&model);
        apply(&mut changes, &first);
        commit(&mut model, &changes).unwrap();

        let before = seen(&model);
        let mut changes = read(&model);
        apply(&mut changes, &second);
        let committed = commit(&mut model, &changes).unwrap();
        for (place, value) in expected(&changes) {
            prop_assert_eq!(held(&model, &place), value, "{:?}", place);
        }
        if !changes.writes() {
            prop_assert_eq!(&seen(&model), &before);
            prop_assert!(changes.changes(Some(&committed)).is_empty());
        }
        take_back(&mut model, &changes, &committed).unwrap();
        prop_assert_eq!(seen(&model), before);
    }
}
