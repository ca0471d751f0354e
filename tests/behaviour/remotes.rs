//! Servers that are slow, or old, and what a command makes of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Switch;
use crate::support::proxy::{Fate, From, Proxy, as_open_vswitch_2_5, operations};

/// Whether a message asks for rows of the switch's database, and changes nothing.
fn is_read(message: &Value) -> bool {
    let selects = |all: &[Value]| !all.is_empty() && all.iter().all(|one| one["op"] == "select");
    message["params"][0] == "Open_vSwitch" && operations(message).is_some_and(selects)
}

#[test]
fn a_server_that_has_spoken_is_not_silent_when_it_takes_its_time() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"}));
    let (reads, late) = (AtomicUsize::new(0), Mutex::new(None));
    let slow = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), move |from, message| {
        if from == From::Client && is_read(message) && reads.fetch_add(1, Ordering::SeqCst) == 1 {
            *late.lock().unwrap() = Some(message["id"].clone());
        }
        if from == From::Server && late.lock().unwrap().as_ref() == Some(&message["id"]) {
            // More than the half of the time that is left, which a silent server would get.
            std::thread::sleep(Duration::from_secs(6));
        }
        Fate::Pass
    });
    // Its second question depends on the answer to the first.
    let call = switch.prepare("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    let remotes = format!("{},unix:{}/absent.sock", slow.remote(), switch.directory().display());
    let answer = call.env("OVS_PLUGIN_DB", remotes).env("OVS_PLUGIN_TIMEOUT", "10").run();
    assert_eq!(answer.ok(), json!("five"));
    let reads = slow.take().iter().filter(|passed| passed.from == From::Client && is_read(&passed.message)).count();
    assert!(reads >= 2, "the command asks twice, and does not begin anew");
}

#[test]
fn commands_work_with_a_server_of_open_vswitch_2_5() {
    let switch = Switch::new();
    let old = Proxy::with(&switch.directory().join("proxy.sock"), switch.database.socket(), as_open_vswitch_2_5);
    switch.net.veth("e1", "e1-p");
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 7})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("set", json!({"table": "Port", "record": "e1", "values": {"tag": 8}})),
        ("show", json!({})),
        ("stats", json!({})),
        ("doctor", json!({})),
        ("bridge-list", json!({})),
    ] {
        switch.prepare(command, arguments).env("OVS_PLUGIN_DB", old.remote()).run().ok();
    }
    assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0", "vlbr5"]));
    let ready = switch.call().args(&["wait-ready"]).env("OVS_PLUGIN_DB", old.remote()).run();
    assert_eq!(ready.exit, Some(0), "{ready:?}");
}

#[test]
fn an_old_server_without_the_database_is_told_as_such() {
    let switch = Switch::new();
    let socket = switch.directory().join("proxy.sock");
    let old = Proxy::with(&socket, switch.database.socket(), |from, message| {
        if from == From::Client && message.get("method").is_some() { Fate::UnknownDatabase } else { Fate::Pass }
    });
    let remotes = format!("{},{}", old.remote(), switch.remote());
    for (command, arguments) in [("bridge-add", json!({"bridge": "br0"})), ("bridge-list", json!({}))] {
        let first = switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_DB", old.remote());
        let message = first.env("OVS_PLUGIN_TIMEOUT", "1").run().failed();
        assert!(message.contains("the server has no database Open_vSwitch"), "{message}");
        assert!(message.len() < 300, "{message}");
        switch.prepare(command, arguments).env("OVS_PLUGIN_DB", &remotes).run().ok();
    }
}

/// A schema like the one of Open vSwitch 2.5, as far as it matters.
#[test]
fn a_column_that_the_schema_does_not_have_is_told_with_the_schemas_version() {
    let switch = Switch::new();
    switch.net.veth("e1", "e1-p");
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let mut schema: Value = switch.database.request("get_schema", json!(["Open_vSwitch"])).unwrap();
    let columns = schema["tables"]["Interface"]["columns"].as_object_mut().unwrap();
    columns.remove("mtu_request").unwrap();
    schema["version"] = json!("7.12.1");
    schema.as_object_mut().unwrap().remove("cksum");
    switch.stop_vswitchd();
    switch.database.request("convert", json!(["Open_vSwitch", schema])).unwrap();
    let call = switch.prepare("port-set", json!({"port": "e1", "mtu": 1400})).env("OVS_PLUGIN_TIMEOUT", "5");
    let message = switch.unchanged_by(|| call.run().failed());
    assert_eq!(message, "the database's schema 7.12.1 has no column Interface.mtu_request");
}
