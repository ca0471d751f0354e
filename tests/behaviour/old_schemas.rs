//! Databases whose schema is older than this program: what reads needs no column, what fails is taken back, and the
//! doctor tells what is missing. `docs/compatibility.md` says the same in a table.

use serde_json::{Value, json};

use super::support::{Switch, schemas};

/// The schemas of these releases.
const RELEASES: &[&str] = &["1.9", "2.1", "2.3", "2.5", "2.9"];

fn switch_of(release: &str) -> Switch {
    let switch = Switch::builder().schema(schemas::of_release(release)).veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch
}

fn finding<'d>(diagnosis: &'d Value, code: &str) -> &'d Value {
    let findings = diagnosis["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code}: {diagnosis:#}"))
}

#[test]
fn show_doctor_stats_and_version_work_on_the_schema_of_every_release() {
    for release in RELEASES {
        let switch = switch_of(release);
        switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "vlan": 5}));
        let picture = switch.ok("show", json!({}));
        let ports = &picture["bridges"][0]["ports"];
        assert_eq!((&ports[1]["name"], &ports[1]["tag"]), (&json!("e1"), &json!(5)), "{release}: {picture:#}");
        assert!(ports[1]["interfaces"][0]["ofport"].as_i64().unwrap() > 0, "{release}: {picture:#}");
        let counters = switch.ok("stats", json!({"interval": 0}));
        assert_eq!(counters["interfaces"].as_array().unwrap().len(), 2, "{release}: {counters:#}");
        let rates = switch.ok("stats", json!({"interval": 1}));
        assert_eq!(rates["interfaces"].as_array().unwrap().len(), 2, "{release}: {rates:#}");
        let diagnosis = switch.ok("doctor", json!({}));
        assert_eq!(diagnosis["errors"], 0, "{release}: {diagnosis:#}");
        let schema = schemas::of_release(release)["version"].clone();
        assert_eq!(switch.ok("version", json!({}))["schema"], schema);
    }
}

#[test]
fn networks_bonds_and_settings_work_on_the_schema_of_every_release() {
    for release in RELEASES {
        let switch = switch_of(release);
        for (command, arguments) in [
            ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
            ("vlan-ensure", json!({"master": "br0", "vlan": 7})),
            ("vxlan-ensure", json!({"master": "br0", "vxlan": 8})),
            ("port-add", json!({"bridge": "br0", "port": "e1", "trunks": [1, 2], "external_ids": {"a": "b"}})),
            ("port-set", json!({"port": "e1", "vlan": 9, "vlan_mode": "native-untagged", "other_config": {"c": "d"}})),
            ("set", json!({"table": "Interface", "record": "e1", "values": {"options:x": "y", "mac": "[]"}})),
            ("set", json!({"table": "Bridge", "record": "br0", "values": {"stp_enable": false}})),
            ("port-del", json!({"port": "e1"})),
            ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"]})),
            ("bond-del", json!({"port": "bond0"})),
            ("vlan-del", json!({"master": "br0", "vlan": 7})),
            ("vxlan-del", json!({"vxlan": 8})),
            ("bridge-add", json!({"bridge": "br1"})),
            ("bridge-del", json!({"bridge": "br1"})),
        ] {
            let answer = switch.plugin(command, arguments.clone());
            assert!(answer.exit == Some(0), "{release}: {command} {arguments}: {} {}", answer.stdout, answer.stderr);
        }
        assert_eq!(switch.ok("bridge-list", json!({})), json!(["br0"]), "{release}");
        assert_eq!(switch.ok("port-list", json!({"bridge": "br0"})), json!([]), "{release}");
    }
}

#[test]
fn what_fails_is_taken_back_on_the_schema_of_every_release() {
    for release in RELEASES {
        let switch = switch_of(release);
        switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
        for (command, arguments) in [
            // A device of that name is in the way.
            ("bridge-add", json!({"bridge": "e1"})),
            ("port-add", json!({"bridge": "br0", "port": "nodev"})),
            ("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "nodev"]})),
            ("set", json!({"table": "Interface", "record": "e2", "values": {"type": "bogus"}})),
            ("port-set", json!({"port": "e2", "vlan": 3, "options": {"type": "bogus"}})),
        ] {
            let message = switch.refused(command, arguments);
            assert!(message.contains("nothing is left of it"), "{release}: {command}: {message}");
        }
    }
}

#[test]
fn a_port_that_somebody_else_has_configured_since_stays_there_too() {
    let switch = switch_of("2.5");
    let later = json!({"op": "update", "table": "Port", "where": [["name", "==", "nodev"]], "row": {"tag": 7}});
    // The guard that the server refuses for its column is a write too, and is sent again without that.
    for write in [1, 2] {
        let call = json!({"bridge": "br0", "port": "nodev"});
        let answer = super::verify::with_change_before_write(&switch, write, vec![later.clone()], "port-add", call);
        let message = answer.failed();
        assert!(message.contains("somebody else has changed it since"), "{message}");
        switch.ok("port-del", json!({"port": "nodev"}));
    }
}

#[test]
fn an_mtu_is_refused_by_name_where_the_schema_has_no_column_for_it_and_nothing_else_is() {
    let switch = switch_of("2.5");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    for (command, arguments) in [
        ("port-set", json!({"port": "e1", "mtu": 1400})),
        ("port-add", json!({"bridge": "br0", "port": "e2", "mtu": 1400})),
        ("set", json!({"table": "Interface", "record": "e1", "values": {"mtu_request": 1400}})),
    ] {
        let message = switch.refused(command, arguments);
        assert!(message.contains("mtu_request"), "{message}");
        assert!(!message.contains("reading the database failed"), "{message}");
    }
    switch.ok("port-set", json!({"port": "e1", "vlan": 4}));
}

#[test]
fn the_doctor_names_what_is_missing_and_what_that_means() {
    for (release, told, not_told) in [
        (
            "2.9",
            &["schema 7.15.1", "Open_vSwitch.dpdk_version (`version` does not tell that of DPDK)"][..],
            "mtu_request",
        ),
        ("2.5", &["Interface.mtu_request (an MTU can't be asked for)"], "Interface.error"),
        (
            "2.1",
            &["Interface.error (why an interface does not work is not told)", "datapath_types (", "rstp_enable ("],
            "ofport_request",
        ),
        ("1.9", &["no Flow_Sample_Collector_Set (", "ofport_request ("], "Controller"),
    ] {
        let diagnosis = switch_of(release).ok("doctor", json!({}));
        let message = finding(&diagnosis, "schema-old")["message"].as_str().unwrap().to_owned();
        for words in told {
            assert!(message.contains(words), "{release}: {message}");
        }
        assert!(!message.contains(not_told), "{release}: {message}");
        // Each comes with what it means.
        let names = message.split(", no ").filter(|name| !name.contains(" ("));
        assert_eq!(names.collect::<Vec<_>>(), Vec::<&str>::new(), "{release}");
    }
    let diagnosis = Switch::new().ok("doctor", json!({}));
    assert_eq!(diagnosis["findings"], json!([]));
}

#[test]
fn a_present_ovs_vswitchd_on_an_old_database_is_found_to_be_behind_and_the_schema_old() {
    // It applies changes, but can't write what it has done, as all that it writes is refused for one column.
    let switch = Switch::builder().schema(schemas::of_release("2.3")).without_vswitchd().start();
    let mut daemon = switch.tool("setpriv");
    daemon.args(["--pdeathsig", "KILL", "--", "ovs-vswitchd", &switch.remote(), "-vconsole:off"]);
    daemon.arg(format!("--pidfile={}", switch.directory().join("ovs-vswitchd.pid").display()));
    let mut daemon = super::support::spawn_daemon(daemon);
    let call = switch.prepare("bridge-add", json!({"bridge": "br0"})).env("OVS_PLUGIN_TIMEOUT", "5");
    let message = call.run().failed();
    assert!(message.contains("ovs-vswitchd has not applied it"), "{message}");
    let diagnosis = switch.ok("doctor", json!({}));
    finding(&diagnosis, "vswitchd-behind");
    let advice = finding(&diagnosis, "schema-old")["advice"].as_str().unwrap();
    assert!(advice.contains("ovs-plugin init"), "{advice}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn no_command_asks_for_the_schema_where_everything_is_there() {
    let switch = Switch::new();
    let proxy = super::support::proxy::Proxy::new(&switch.directory().join("p.sock"), switch.database.socket());
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br0"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("show", json!({})),
        ("stats", json!({"interval": 0})),
    ] {
        switch.prepare(command, arguments).env("OVS_PLUGIN_DB", proxy.remote()).run().ok();
        let asked = proxy.take().iter().filter(|one| one.message["method"] == "get_schema").count();
        assert_eq!(asked, 0, "{command}");
    }
}

#[test]
fn what_only_reads_needs_no_column_but_names_and_references() {
    let needed = ["name", "bridges", "ports", "interfaces", "cur_cfg", "next_cfg"];
    let missing: Vec<String> = ovs_plugin::vswitch::tables::RELIED_ON
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| (table, column)))
        .filter(|(_, column)| !needed.contains(column))
        .map(|(table, column)| format!("{table}.{column}"))
        .collect();
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    let switch = Switch::builder().schema(schemas::without(&missing)).without_vswitchd().start();
    switch.transact(&[
        json!({"op": "insert", "table": "Interface", "row": {"name": "br0"}, "uuid-name": "i"}),
        json!({"op": "insert", "table": "Port", "row": {"name": "br0", "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"}),
        json!({"op": "insert", "table": "Bridge", "row": {"name": "br0", "ports": ["named-uuid", "p"]}, "uuid-name": "b"}),
        json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": ["named-uuid", "b"]}}),
    ]);
    let picture = switch.ok("show", json!({}));
    assert_eq!(picture["bridges"][0]["ports"][0]["interfaces"][0]["name"], "br0", "{picture:#}");
    for interval in [0, 1] {
        let counters = switch.ok("stats", json!({"interval": interval}));
        assert_eq!(counters["interfaces"][0]["counters"], json!({}), "{counters:#}");
    }
    finding(&switch.ok("doctor", json!({})), "schema-old");
    for (command, arguments, answer) in [
        ("bridge-list", json!({}), json!(["br0"])),
        ("port-list", json!({"bridge": "br0"}), json!([])),
        (
            "version",
            json!({}),
            json!({"plugin": env!("CARGO_PKG_VERSION"), "ovs": null, "schema": "8.3.0", "dpdk": null, "system": null}),
        ),
    ] {
        assert_eq!(switch.ok(command, arguments), answer, "{command}");
    }
}
