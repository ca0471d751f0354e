//! set: which row, which column, which value. The notation itself is compared with ovs-vsctl in crates/ovsdb/tests/notation_oracle.rs.

use serde_json::{Value, json};

use super::support::Switch;

fn switch_with_rows() -> Switch {
    let switch = Switch::builder().veth("e1", "a").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.vsctl(&["set-controller", "br0", "tcp:127.0.0.1:6653"]);
    switch.vsctl(&["set", "Port", "e1", "qos=@q", "--", "--id=@q", "create", "QoS", "type=linux-htb"]);
    switch
}

fn set(switch: &Switch, table: &str, record: &str, values: Value) {
    switch.ok("set", json!({"table": table, "record": record, "values": values}));
}

#[test]
fn a_row_is_found_by_each_of_its_names() {
    let switch = switch_with_rows();
    let uuid = switch.vsctl(&["get", "Port", "e1", "_uuid"]).trim().to_owned();
    for (table, record, column) in [
        ("Open_vSwitch", ".", "external_ids"),
        ("Bridge", "br0", "external_ids"),
        ("br", ".", "external_ids"),
        ("Port", uuid.as_str(), "external_ids"),
        ("Port", &uuid.to_uppercase(), "external_ids"),
        ("port", &uuid[..8], "external_ids"),
        ("INT", "e1", "external_ids"),
        ("Controller", "br0", "external_ids"),
        ("QoS", "e1", "external_ids"),
    ] {
        set(&switch, table, record, json!({format!("{column}:n"): record}));
        let found = switch.vsctl(&["get", table, record, &format!("{column}:n")]);
        assert_eq!(found.trim().trim_matches('"'), record, "{table} {record}");
    }
    for (table, record, words) in [
        ("Bridge", "BR0", "no row \"BR0\" in table Bridge"),
        ("Port", "nope", "no row \"nope\" in table Port"),
        ("Port", ".", "no row \".\" in table Port"),
        ("nosuch", "x", "unknown table"),
        ("i", "e1", "IPFIX, Interface"),
        ("Queue", "e1", "no row \"e1\" in table Queue"),
    ] {
        let arguments = json!({"table": table, "record": record, "values": {"external_ids:a": "b"}});
        let message = switch.refused("set", arguments);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn what_open_vswitch_reports_is_refused_and_what_scripts_write_is_not() {
    let switch = switch_with_rows();
    for (table, record, column, value) in [
        ("Interface", "e1", "link_state", "down"),
        ("Interface", "e1", "ofport", "7"),
        ("Interface", "e1", "error", "none"),
        ("Interface", "e1", "statistics:rx_bytes", "0"),
        ("Controller", "br0", "is_connected", "true"),
        ("Bridge", "br0", "datapath_id", "1"),
        ("Open_vSwitch", ".", "cur_cfg", "99999"),
    ] {
        let message = switch.refused("set", json!({"table": table, "record": record, "values": {column: value}}));
        let column = column.split(':').next().unwrap();
        assert!(message.contains(&format!("{table}.{column} is what Open vSwitch reports")), "{message}");
    }
    set(&switch, "Open_vSwitch", ".", json!({"system_type": "debian", "ovs_version": "3.1.0"}));
}

#[test]
fn a_whole_column_is_replaced_and_a_key_is_merged() {
    let switch = switch_with_rows();
    set(&switch, "Bridge", "br0", json!({"other_config": "{a=1,b=2}"}));
    set(&switch, "Bridge", "br0", json!({"other_config:b": 3, "other_config:c": "x y"}));
    assert_eq!(switch.state()["bridges"]["br0"]["other_config"], json!({"a": "1", "b": "3", "c": "x y"}));
    set(&switch, "Bridge", "br0", json!({"other_config": "d=4", "other_config:e": true}));
    assert_eq!(switch.state()["bridges"]["br0"]["other_config"], json!({"d": "4", "e": "true"}));
    set(&switch, "Bridge", "br0", json!({"other_config": "{}", "flood_vlans": "1-3,7", "fail_mode": "secure"}));
    let bridge = switch.state()["bridges"]["br0"].clone();
    assert!(bridge["other_config"].is_null());
    assert_eq!((&bridge["flood_vlans"], &bridge["fail_mode"]), (&json!([1, 2, 3, 7]), &json!("secure")));
    switch.ok("set", json!({"table": "Bridge", "record": "br0", "options": {"fail_mode": "[]"}}));
    assert!(switch.state()["bridges"]["br0"]["fail_mode"].is_null());
}

#[test]
fn an_error_names_table_column_value_and_what_is_accepted_and_nothing_is_set() {
    let switch = switch_with_rows();
    for (table, record, values, words) in [
        ("Port", "e1", json!({"tag": 5000}), &["Port.tag", "5000", "0 to 4095"][..]),
        ("Port", "e1", json!({"tag": 5, "vlan_mode": "Access"}), &["vlan_mode", "Access", "native-tagged"]),
        ("Port", "e1", json!({"updelay": 5}), &["Port", "updelay", "did you mean bond_updelay"]),
        ("Port", "e1", json!({"t": 5}), &["tag, trunks"]),
        ("Port", "e1", json!({"tag:x": 5}), &["cannot specify key", "tag"]),
        ("Port", "e1", json!({"tag": ""}), &["tag="]),
        ("Bridge", "br0", json!({"name": "x"}), &["read-only", "name"]),
        ("Interface", "e1", json!({"options": "a"}), &["options", "syntax error"]),
        ("Port", "e1", json!({"qos": "11111111-2222-3333-4444-555555555555"}), &["referential integrity", "QoS"]),
        ("Port", "e1", json!({"qos": "@q"}), &["@q"]),
        ("Port", "e1", json!({}), &["values", "empty"]),
    ] {
        let message = switch.refused("set", json!({"table": table, "record": record, "values": values}));
        assert!(words.iter().all(|word| message.contains(word)), "{values}: {message}");
    }
    for (arguments, word) in [
        (json!({"record": "x", "values": {"a": 1}}), "table"),
        (json!({"table": "Port", "values": {"a": 1}}), "record"),
        (json!({"table": "Port", "record": "e1"}), "values"),
        (json!({"table": "Port", "record": "e1", "values": [1]}), "values"),
        (json!({"table": "Port", "record": "e1", "values": {"tag": 1}, "options": {"tag": 2}}), "options"),
    ] {
        assert!(switch.refused("set", arguments).contains(word));
    }
}

#[test]
fn a_value_that_is_there_already_is_not_written() {
    let switch = switch_with_rows();
    let values = json!({"stp_enable": true, "other_config:a": "b", "flood_vlans": "3,1"});
    set(&switch, "Bridge", "br0", values.clone());
    let number = || switch.database.rows("Open_vSwitch")[0]["next_cfg"].clone();
    let before = number();
    set(&switch, "Bridge", "br0", values);
    assert_eq!(number(), before);
}
