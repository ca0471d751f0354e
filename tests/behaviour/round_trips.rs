//! What goes over the wire between the plugin and the database: few round trips, nothing that grows with the switch,
//! and one transaction that says who it is.

use serde_json::{Value, json};

use crate::support::Switch;
use crate::support::proxy::{From, Passed, Proxy, is_write, operations};

/// A switch whose plugin runs go through a proxy that remembers what was said.
struct Overheard {
    switch: Switch,
    proxy: Proxy,
}

impl Overheard {
    fn new() -> Overheard {
        let switch = Switch::new();
        let proxy = Proxy::new(&switch.directory().join("proxy.sock"), switch.database.socket());
        Overheard { switch, proxy }
    }

    /// Runs a command, and gives its result or message and what was said meanwhile.
    fn run(&self, command: &str, arguments: Value) -> (Result<Value, String>, Talk) {
        self.proxy.take();
        let answer = self.switch.prepare(command, arguments).env("OVS_PLUGIN_DB", self.proxy.remote()).run();
        let outcome = if answer.exit == Some(0) { Ok(answer.ok()) } else { Err(answer.failed()) };
        (outcome, Talk(self.proxy.take()))
    }

    #[track_caller]
    fn ok(&self, command: &str, arguments: Value) -> Talk {
        let (outcome, talk) = self.run(command, arguments);
        outcome.unwrap();
        talk
    }
}

#[derive(Debug)]
struct Talk(Vec<Passed>);

impl Talk {
    fn requests(&self) -> impl Iterator<Item = &Value> {
        self.0
            .iter()
            .filter(|passed| passed.from == From::Client && passed.message.get("method").is_some())
            .map(|p| &p.message)
    }

    fn operations(&self) -> impl Iterator<Item = &Value> {
        self.requests().filter_map(operations).flatten()
    }

    /// The transactions that change something.
    fn writes(&self) -> Vec<&[Value]> {
        self.requests().filter(|request| is_write(request)).filter_map(operations).collect()
    }

    /// How often the plugin said something and then had to wait for a reply. Several requests at once are one round
    /// trip; notifications, by which ovs-vswitchd's progress is told, are none.
    fn round_trips(&self) -> usize {
        let mut trips = 0;
        let mut asked = false;
        for Passed { from, message } in &self.0 {
            match from {
                From::Client if message.get("method").is_some() => asked = true,
                From::Server if asked && message.get("method").is_none() => {
                    asked = false;
                    trips += 1;
                }
                _ => {}
            }
        }
        trips
    }

    /// Until and with the commit, and after it.
    fn around_commit(self) -> (Talk, Talk) {
        let commit = self.0.iter().position(|passed| is_write(&passed.message)).expect("something was written");
        let id = self.0[commit].message["id"].clone();
        let is_reply = |passed: &Passed| passed.from == From::Server && passed.message["id"] == id;
        let reply = commit + self.0[commit..].iter().position(is_reply).expect("the commit was answered");
        let mut before = self.0;
        let after = before.split_off(reply + 1);
        (Talk(before), Talk(after))
    }
}

fn method_counts(talk: &Talk) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for request in talk.requests() {
        let method = request["method"].as_str().unwrap();
        match counts.iter_mut().find(|(counted, _)| counted == method) {
            Some((_, count)) => *count += 1,
            None => counts.push((method.to_owned(), 1)),
        }
    }
    counts
}

#[test]
fn a_new_vlan_takes_two_round_trips_besides_the_wait_for_ovs_vswitchd() {
    let wire = Overheard::new();
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    for arguments in [
        json!({"master": "br0", "vlan": 5}),
        json!({"master": "br0", "vlan": 0}),
        json!({"master": "br0", "vlan": 6, "name": "six"}),
    ] {
        let talk = wire.ok("vlan-ensure", arguments);
        let (until_commit, after) = talk.around_commit();
        assert!(until_commit.round_trips() <= 2, "{until_commit:#?}");
        // The wait belongs to the commit; then comes one look at what ovs-vswitchd made of it.
        assert!(after.round_trips() <= 1, "{after:#?}");
        assert_eq!(after.writes().len(), 0);
    }
    let talk = wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 7, "verify": false}));
    assert!(talk.round_trips() <= 2, "{talk:#?}");
}

#[test]
fn a_vlan_or_vxlan_that_exists_takes_at_most_two_round_trips_and_no_write() {
    let wire = Overheard::new();
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    for (command, arguments) in [
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 6, "name": "six"})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 8, "name": "eight"})),
    ] {
        wire.ok(command, arguments.clone());
        let talk = wire.ok(command, arguments);
        assert!(talk.round_trips() <= 2, "{talk:#?}");
        assert!(talk.writes().is_empty(), "{talk:#?}");
        assert_eq!(method_counts(&talk).len(), 1, "nothing but transactions: {talk:#?}");
    }
    // The name of the bridge need not be known.
    let talk = wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 6}));
    assert!(talk.round_trips() <= 3, "{talk:#?}");
}

#[test]
fn commands_read_only_the_rows_that_they_are_about() {
    let wire = Overheard::new();
    for port in ["e1", "e2", "e3", "e4"] {
        wire.switch.net.veth(port, &format!("{port}-p"));
    }
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("bridge-add", json!({"bridge": "br1"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("port-add", json!({"bridge": "vlbr5", "port": "e1"})),
        ("port-add", json!({"bridge": "br0", "port": "e2", "vlan": 9})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e3", "e4"]})),
        ("port-del", json!({"port": "e1"})),
        ("port-del", json!({"port": "e2", "bridge": "br0"})),
        ("vtep-ensure", json!({"bridge": "br0", "vnid": 8})),
        ("vtep-del", json!({"vnid": 8})),
    ] {
        let talk = wire.ok(command, arguments.clone());
        for request in talk.requests() {
            let method = request["method"].as_str().unwrap();
            assert!(matches!(method, "transact" | "monitor" | "monitor_cancel"), "{command} {arguments}: {request}");
        }
        for operation in talk.operations().filter(|operation| operation["op"] == "select" || operation["op"] == "wait")
        {
            let table = operation["table"].as_str().unwrap();
            let what = format!("{command} {arguments}: {operation}");
            // The table of the one root row.
            if table != "Open_vSwitch" {
                assert!(!operation["where"].as_array().unwrap().is_empty(), "all of a table: {what}");
            }
            let columns = operation["columns"].as_array();
            let columns: Vec<_> = columns.unwrap_or_else(|| panic!("all columns: {what}")).iter().collect();
            let grows = match table {
                "Open_vSwitch" => "bridges",
                "Bridge" => "ports",
                _ => continue,
            };
            assert!(!columns.contains(&&json!(grows)), "a column that grows with the switch: {what}");
        }
        for request in talk.requests().filter(|request| request["method"] == "monitor") {
            let tables = request["params"][2].as_object().unwrap();
            assert_eq!(tables.keys().collect::<Vec<_>>(), ["Open_vSwitch"], "{command}: {request}");
            assert_eq!(tables["Open_vSwitch"][0]["columns"], json!(["cur_cfg"]), "{command}: {request}");
        }
    }
}

#[test]
fn a_setting_reads_only_the_columns_that_it_sets() {
    let wire = Overheard::new();
    wire.switch.net.veth("e1", "e1-p");
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    wire.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let set = |table: &str, record: &str, values: Value| json!({"table": table, "record": record, "values": values});
    for (command, arguments, round_trips) in [
        ("set", set("Interface", "e1", json!({"mtu_request": 1400})), 2),
        ("set", set("Port", "e1", json!({"tag": 7, "other_config:a": "b"})), 2),
        // Before a bridge is changed, the interfaces on it are found, to see afterwards whether they still work.
        ("set", set("Bridge", "br0", json!({"stp_enable": true, "other_config": "{c=d}"})), 4),
        ("set", set("Bridge", "br0", json!({"external_ids:x": "y"})), 2),
        ("set", set("Open_vSwitch", ".", json!({"external_ids:e": "f"})), 2),
        ("port-set", json!({"port": "e1", "vlan": 8, "mtu": 1300}), 3),
        ("port-set", json!({"port": "e1", "options": {"port.other_config:g": "h", "ofport_request": 9}}), 3),
    ] {
        let talk = wire.ok(command, arguments.clone());
        let (until_commit, _) = talk.around_commit();
        assert!(until_commit.round_trips() <= round_trips, "{command} {arguments}: {until_commit:#?}");
        for select in until_commit.operations().filter(|operation| operation["op"] == "select") {
            let what = format!("{command} {arguments}: {select}");
            let columns = select["columns"].as_array().unwrap_or_else(|| panic!("all columns: {what}"));
            for large in ["bridges", "ports", "statistics"] {
                // The ports of the one bridge that is changed, by its identity.
                if arguments["table"] == "Bridge" && *columns == [json!("_uuid"), json!("ports")] {
                    assert_eq!(select["where"][0][0], "_uuid", "{what}");
                    continue;
                }
                assert!(!columns.contains(&json!(large)), "{what}");
            }
        }
        // What is there already is known, and not written.
        assert!(wire.ok(command, arguments.clone()).writes().is_empty(), "{command} {arguments}");
    }
    // A name that only the schema can complete.
    let talk = wire.ok("set", set("Bridge", "br0", json!({"mcast_s": true})));
    assert_eq!(talk.writes().len(), 1);
}

#[test]
fn a_command_costs_the_same_on_a_large_switch() {
    let wire = Overheard::new();
    let bytes = |talk: &Talk| talk.0.iter().map(|passed| passed.message.to_string().len()).sum::<usize>();
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    let small = wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 100}));
    for vlan in 200..260 {
        wire.switch.ok("vlan-ensure", json!({"master": "br0", "vlan": vlan}));
    }
    let large = wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 101}));
    assert_eq!(small.round_trips(), large.round_trips());
    // Numbers get longer, and a MAC address may or may not be told yet; a list of 60 ports has 3,000 bytes.
    assert!(bytes(&large) < bytes(&small) + 500, "{} and {} bytes", bytes(&small), bytes(&large));
}

#[test]
fn every_change_is_one_transaction_that_names_the_command() {
    let wire = Overheard::new();
    for port in ["e1", "e2", "e3", "e4"] {
        wire.switch.net.veth(port, &format!("{port}-p"));
    }
    for (command, arguments) in [
        (
            "bridge-add",
            json!({"bridge": "br0", "options": {"stp_enable": true, "other_config:hwaddr": "02:00:00:00:00:01"}}),
        ),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "five"})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 9, "options": {"external_ids:a": "b"}})),
        ("port-add", json!({"bridge": "br0", "port": "e2"})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e3", "e4"]})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"stp_enable": false, "other_config:a": "b"}})),
        ("port-del", json!({"port": "e1"})),
        ("port-del", json!({"port": "bond0", "bridge": "br0"})),
        ("bridge-del", json!({"bridge": "five"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("bridge-del", json!({"bridge": "br0"})),
    ] {
        let talk = wire.ok(command, arguments.clone());
        let writes = talk.writes();
        assert_eq!(writes.len(), 1, "{command} {arguments}: {writes:#?}");
        let comments: Vec<_> = writes[0].iter().filter(|operation| operation["op"] == "comment").collect();
        assert_eq!(comments.len(), 1, "{command} {arguments}");
        let comment = comments[0]["comment"].as_str().unwrap();
        assert!(comment.starts_with(&format!("ovs-plugin {command} ")), "{comment}");
        // Who reads the log can tell what was asked for.
        for argument in arguments.as_object().unwrap().values().filter_map(Value::as_str) {
            assert!(comment.contains(argument), "{argument} in {comment}");
        }
    }
    let log = wire.switch.directory().join("conf.db");
    let mut show_log = wire.switch.tool("ovsdb-tool");
    show_log.args(["-m", "show-log"]).arg(log);
    let log = String::from_utf8(show_log.output().unwrap().stdout).unwrap();
    assert!(log.contains("ovs-plugin bond-add "), "{log}");
}

#[test]
fn what_is_refused_or_only_asked_about_writes_nothing() {
    let wire = Overheard::new();
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    for (command, arguments) in [
        ("bridge-del", json!({"bridge": "br1"})),
        ("port-add", json!({"bridge": "br1", "port": "e1"})),
        ("port-del", json!({"port": "e1"})),
        ("vlan-ensure", json!({"master": "br1", "vlan": 5})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "other"})),
        ("vxlan-ensure", json!({"master": "br1", "vxlan": 5})),
        ("set", json!({"table": "Bridge", "record": "br1", "values": {"stp_enable": true}})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 6, "dry_run": true})),
        ("bridge-del", json!({"bridge": "br0", "dry_run": true})),
        ("bridge-list", json!({})),
        ("port-list", json!({"bridge": "br0"})),
    ] {
        let (_, talk) = wire.run(command, arguments.clone());
        assert!(talk.writes().is_empty(), "{command} {arguments}: {talk:#?}");
    }
    for (command, arguments) in [
        ("vlan-ensure", json!({"master": "br0", "vlan": 4095})),
        ("bridge-add", json!({"bridge": "a-name-that-is-too-long"})),
        ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1"]})),
    ] {
        let (outcome, talk) = wire.run(command, arguments);
        assert!(outcome.is_err() && talk.0.is_empty(), "{talk:#?}");
    }
}

#[test]
fn the_schema_is_downloaded_only_to_read_options_by_it() {
    let wire = Overheard::new();
    let schemas = |talk: &Talk| talk.requests().filter(|request| request["method"] == "get_schema").count();
    assert_eq!(schemas(&wire.ok("bridge-add", json!({"bridge": "br0", "options": {}}))), 0);
    assert_eq!(schemas(&wire.ok("bridge-add", json!({"bridge": "br1", "options": {"stp_enable": true}}))), 1);
    let set = |values: Value| json!({"table": "Bridge", "record": "br0", "values": values});
    assert_eq!(schemas(&wire.ok("set", set(json!({"stp_enable": true, "fail_mode": "secure"})))), 1);
    // These are maps of strings in every schema.
    let maps = json!({"external_ids:a": 1, "other_config:b": "c d", "external_ids": "{e=f}"});
    assert_eq!(schemas(&wire.ok("set", set(maps.clone()))), 0);
    assert_eq!(schemas(&wire.ok("bridge-add", json!({"bridge": "br2", "options": maps}))), 0);
    let bridges = wire.switch.state()["bridges"].clone();
    for bridge in ["br0", "br2"] {
        assert_eq!(bridges[bridge]["other_config"], json!({"b": "c d"}));
        assert_eq!(
            (&bridges[bridge]["external_ids"]["a"], &bridges[bridge]["external_ids"]["e"]),
            (&json!("1"), &json!("f"))
        );
    }
    let options = json!({"external_ids:a": "b", "options:peer": "no", "port.other_config:c": "d"});
    let port = json!({"bridge": "br0", "port": "p0", "verify": false, "options": options});
    assert_eq!(schemas(&wire.ok("port-add", port)), 0);
    assert_eq!(schemas(&wire.ok("port-set", json!({"port": "p0", "verify": false, "options": options}))), 0);
    let ports = &wire.switch.state()["bridges"]["br0"]["ports"];
    assert_eq!(ports["p0"]["other_config"], json!({"c": "d"}));
}

#[test]
fn a_durable_commit_is_asked_for_where_it_is_wanted_and_nowhere_else() {
    let wire = Overheard::new();
    let commits =
        |talk: &Talk| talk.operations().filter(|operation| operation["op"] == "commit").cloned().collect::<Vec<_>>();
    let durable = json!([{"op": "commit", "durable": true}]);
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        // Nothing to change; but somebody may have written it a moment ago.
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b"}})),
        ("set", json!({"table": "Bridge", "record": "br0", "values": {"external_ids:a": "b"}})),
        ("vlan-del", json!({"master": "br0", "vlan": 5})),
    ] {
        let plain = wire.ok(command, arguments.clone());
        assert!(commits(&plain).is_empty(), "{command}: {plain:#?}");
        if command == "bridge-add" || command == "vlan-del" {
            wire.switch.vsctl(&["--if-exists", "del-br", "br0", "--", "--if-exists", "del-br", "vlbr5"]);
            wire.switch.vsctl(&[
                "add-br",
                "br1",
                "--",
                "set",
                "bridge",
                "br1",
                "datapath_type=netdev",
                "--",
                "del-br",
                "br1",
            ]);
        }
        if command == "vlan-del" {
            wire.ok("bridge-add", json!({"bridge": "br0"}));
            wire.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
        }
        let mut wanted = arguments.clone();
        wanted["durable"] = json!(true);
        let talk = wire.ok(command, wanted.clone());
        assert_eq!(json!(commits(&talk)), durable, "{command}: {talk:#?}");
        assert_eq!(talk.writes().len(), 1, "{command}: {talk:#?}");
        if command != "vlan-del" {
            wanted["dry_run"] = json!(true);
            // Whether it is refused, as what it asks for is there by now, or not.
            wire.switch.unchanged_by(|| drop(wire.run(command, wanted)));
        }
    }
    for command in ["bridge-list", "show", "doctor"] {
        let talk = wire.ok(command, json!({"durable": true}));
        assert!(talk.writes().is_empty(), "{command}: {talk:#?}");
    }
}

#[test]
fn what_is_taken_back_durably_is_so_on_disk_too() {
    let wire = Overheard::new();
    wire.ok("bridge-add", json!({"bridge": "br0"}));
    let (outcome, talk) = wire.run("port-add", json!({"bridge": "br0", "port": "nodev", "durable": true}));
    assert!(outcome.unwrap_err().contains("taken back"));
    let writes = talk.writes();
    assert_eq!(writes.len(), 2, "{talk:#?}");
    for write in writes {
        assert_eq!(write.last(), Some(&json!({"op": "commit", "durable": true})));
    }
}
