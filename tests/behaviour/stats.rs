//! ovs.stats: counters, and rates that tell what they rest on.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Switch, wait_until};

fn interface<'v>(statistics: &'v Value, name: &str) -> &'v Value {
    let found = statistics["interfaces"].as_array().unwrap().iter().find(|interface| interface["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {statistics:#}"))
}

/// Sends frames into a device until it is dropped.
struct Traffic(Child);

impl Traffic {
    /// Broadcasts: nobody has the address.
    fn into(switch: &Switch, device: &str) -> Traffic {
        let script = format!("while :; do ping -n -q -c 1 -W 0.2 -b -I {device} 255.255.255.255; sleep 0.05; done");
        let mut command: Command = switch.net.command("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Traffic(command.spawn().unwrap())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn counters_are_those_of_the_database_and_count_frames() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5}));
    switch.net.addr("e1-p", "10.0.0.1/24");
    switch.net.never_reaches("10.0.0.2");
    let mut statistics = Value::Null;
    let counted = wait_until(Duration::from_secs(20), || {
        statistics = switch.ok("stats", json!({}));
        interface(&statistics, "e1")["counters"]["rx_packets"].as_i64() > Some(0)
    });
    assert!(counted, "{statistics:#}");
    assert_eq!(statistics["update_interval"], 5.0);
    let e1 = interface(&statistics, "e1");
    assert_eq!((&e1["bridge"], &e1["port"]), (&json!("br0"), &json!("e1")));
    assert_eq!((e1.get("rates"), e1.get("basis"), e1.get("seconds")), (None, None, None), "nobody asked for rates");
    interface(&statistics, "br0");
}

#[test]
fn rates_of_an_interface_in_use_are_those_between_two_writes() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("bridge-add", json!({"bridge": "quiet"}));
    switch.net.addr("e1-p", "10.0.0.1/24");
    let _traffic = Traffic::into(&switch, "e1-p");
    let statistics = switch.ok("stats", json!({"interval": 16}));
    let e1 = interface(&statistics, "e1");
    assert_eq!(e1["basis"], "two-writes", "{e1:#}");
    assert!(e1["rates"]["rx_packets"].as_f64().unwrap() > 0.0, "{e1:#}");
    assert!(e1["seconds"].as_f64().unwrap() > 0.0, "{e1:#}");
    // The local port of a bridge that nothing is sent to.
    let quiet = interface(&statistics, "quiet");
    assert_eq!((&quiet["basis"], &quiet["rates"]["rx_packets"]), (&json!("no-write"), &json!(0.0)), "{quiet:#}");
}

#[test]
fn without_a_write_and_the_time_for_one_there_is_no_rate() {
    let switch = Switch::builder().without_vswitchd().start();
    let interface_row = json!({"name": "e1", "statistics": ["map", [["rx_packets", 7]]]});
    let insert =
        |table: &str, row: Value, name: &str| json!({"op": "insert", "table": table, "row": row, "uuid-name": name});
    switch.transact(&[
        insert("Interface", interface_row, "i"),
        insert("Port", json!({"name": "e1", "interfaces": ["named-uuid", "i"]}), "p"),
        insert("Bridge", json!({"name": "br0", "ports": ["named-uuid", "p"]}), "b"),
        json!({"op": "mutate", "table": "Open_vSwitch", "where": [],
               "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}),
    ]);
    let statistics = switch.ok("stats", json!({"interval": 0.2}));
    let e1 = interface(&statistics, "e1");
    assert_eq!((&e1["counters"], e1.get("rates")), (&json!({"rx_packets": 7}), None), "{e1:#}");
}

#[test]
fn one_bridge_alone_on_demand() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    let statistics = switch.ok("stats", json!({"bridge": "br1"}));
    let names: Vec<_> = statistics["interfaces"].as_array().unwrap().iter().map(|i| i["name"].clone()).collect();
    assert_eq!(names, ["br1"]);
    assert!(switch.refused("stats", json!({"bridge": "nope"})).contains("no bridge named nope"));
}

#[test]
fn an_interval_that_makes_no_sense_is_refused() {
    let switch = Switch::new();
    for wrong in [json!(-1), json!("soon"), json!(true), json!("nan")] {
        let message = switch.refused("stats", json!({"interval": wrong}));
        assert!(message.contains("interval") && message.contains("number of seconds"), "{message}");
    }
    let long = switch.prepare("stats", json!({"interval": 10})).env("OVS_PLUGIN_TIMEOUT", "8").run().failed();
    assert!(long.contains("10 s is too long for the deadline of 8 s; expected 0 to 7"), "{long}");
}

#[test]
fn the_end_of_the_database_is_told_while_counters_are_watched() {
    let switch = Switch::builder().without_vswitchd().start();
    let running = switch.prepare("stats", json!({"interval": 25})).spawn();
    // Long enough to be watching; if not, the connection is waited for in vain, which fails too.
    std::thread::sleep(Duration::from_millis(500));
    switch.stop_database();
    let message = running.wait().failed();
    assert!(message.contains("connection") || message.contains("not connected"), "{message}");
}
