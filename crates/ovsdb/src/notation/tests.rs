//! The notation, case by case.

use std::collections::BTreeMap;

use super::*;
use crate::schema::DatabaseSchema;
use proptest::prelude::*;
use serde_json::json;

const ID: &str = "11111111-2222-3333-4444-555555555555";

fn schema() -> DatabaseSchema {
    serde_json::from_str(include_str!("../../tests/data/vswitch-8.3.1.ovsschema")).unwrap()
}

fn read(json: serde_json::Value) -> Value {
    serde_json::from_value(json).unwrap()
}

/// What becomes of a row in which `before` is all there is.
fn set(
    schema: &DatabaseSchema,
    table: &str,
    before: &[(&str, serde_json::Value)],
    settings: &[&str],
) -> Result<BTreeMap<String, Value>, NotationError> {
    let (name, table) = super::table(schema, table)?;
    let assignments: Result<Vec<_>, _> = settings.iter().map(|text| assignment(name, table, text)).collect();
    let before = before.iter().map(|(column, json)| (column.to_string().into(), read(json.clone()))).collect();
    Ok(apply(&before, assignments?).into_iter().map(|(column, value)| (column.to_owned(), value)).collect())
}

/// Table, settings that all do the same, the column that they write, and what it then holds.
type Accepted = (&'static str, &'static [&'static str], &'static str, serde_json::Value);

fn accepted(cases: Vec<Accepted>) {
    accepted_after(&[], cases);
}

fn accepted_after(before: &[(&str, serde_json::Value)], cases: Vec<Accepted>) {
    let schema = schema();
    for (table, settings, column, result) in cases {
        for setting in settings {
            let written = set(&schema, table, before, &[setting]);
            let expected = BTreeMap::from([(column.to_owned(), read(result.clone()))]);
            assert_eq!(written.as_ref(), Ok(&expected), "{table} {setting}");
        }
    }
}

/// Settings that are refused, with the words of ovs-vsctl.
fn refused(table: &str, cases: &[(&str, &str)]) {
    let schema = schema();
    for (setting, words) in cases {
        match set(&schema, table, &[], &[setting]) {
            Ok(written) => panic!("{table} {setting} was accepted: {written:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(words), "{table} {setting}: {text:?} does not contain {words:?}");
                assert!(text.contains(table), "{text:?} does not name the table");
                let names_column = error.column().is_none_or(|column| text.contains(column));
                assert!(names_column, "{text:?} does not name the column");
            }
        }
    }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> serde_json::Value {
    json!(["map", pairs.as_slice()])
}

#[test]
fn integers_may_be_written_in_all_the_ways_of_ovs_vsctl() {
    accepted(vec![
        (
            "Port",
            &["tag=5", "ta=5", "TAG=5", "tag=[5]", "tag= 5", "tag=5 ", "tag=5,", "tag=+5", "tag=5-5", "t\\ag=5"],
            "tag",
            json!(5),
        ),
        ("Port", &["tag=010"], "tag", json!(10)),
        ("Port", &["bond-updelay=100"], "bond_updelay", json!(100)),
        ("Port", &["bond_updelay=-1"], "bond_updelay", json!(-1)),
        ("Interface", &["mtu_request=1450"], "mtu_request", json!(1450)),
        ("Interface", &["mtu_request=70000"], "mtu_request", json!(70000)),
        ("Interface", &["mtu_request=[]"], "mtu_request", json!(["set", []])),
        ("Interface", &["cfm_mpid=9223372036854775807"], "cfm_mpid", json!(i64::MAX)),
        ("Interface", &["cfm_mpid=-9223372036854775808"], "cfm_mpid", json!(i64::MIN)),
        ("Interface", &["ifindex=5"], "ifindex", json!(5)),
        ("Interface", &["ofport=7"], "ofport", json!(7)),
        ("Queue", &["dscp=63"], "dscp", json!(63)),
        ("Queue", &["dscp=[]"], "dscp", json!(["set", []])),
        ("Controller", &["inactivity_probe=5000"], "inactivity_probe", json!(5000)),
    ]);
    accepted_after(&[("tag", json!(7))], vec![("Port", &["tag=[]"], "tag", json!(["set", []]))]);
    refused(
        "Port",
        &[
            ("tag", "tag: argument does not end in \"=\" followed by a value."),
            ("tag=", "tag=: argument does not end in \"=\" followed by a value."),
            ("tag!=5", "tag!=5: argument does not end in \"=\" followed by a value."),
            ("tag<5", "tag<5: argument does not end in \"=\" followed by a value."),
            ("tag[]=5", "tag[]=5: argument does not end in \"=\" followed by a value."),
            ("tag =5", "tag =5: argument does not end in \"=\" followed by a value."),
            ("tag:x=5", "cannot specify key to set for non-map column tag"),
            ("tag==5", "=5: unexpected \"=\" parsing set of up to 1 integers"),
            ("tag=5000", "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)"),
            ("tag=4096", "constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)"),
            ("tag=-1", "constraint violation: -1 is not in the valid range 0 to 4095 (inclusive)"),
            ("tag=0x10", "\"0x10\" is not a valid integer or range"),
            ("tag=5.0", "\"5.0\" is not a valid integer or range"),
            ("tag=\"5\"", "\"\"5\"\" is not a valid integer or range"),
            ("tag=99999999999999999999", "\"99999999999999999999\" is not a valid integer or range"),
            ("tag=5,6", "5,6: 2 value(s) specified but the maximum number is 1"),
            ("tag=5,5", "5,5: 2 value(s) specified but the maximum number is 1"),
            ("tag=5-6", "5-6: 2 value(s) specified but the maximum number is 1"),
            ("tag=,5", ",5: unexpected \",\" parsing set of up to 1 integers"),
            ("tag=[5", "[5: missing \"]\" at end of data"),
            ("tag=[5]x", "[5]x: trailing garbage after \"]\""),
            ("bond_updelay=[]", "[]: 0 value(s) specified but the minimum number is 1"),
        ],
    );
    refused(
        "Interface",
        &[
            ("mtu_request=0", "constraint violation: 0 is less than minimum allowed value 1"),
            ("ofport_request=65280", "constraint violation: 65280 is not in the valid range 1 to 65279 (inclusive)"),
            ("ingress_policing_rate=-1", "constraint violation: -1 is less than minimum allowed value 0"),
            ("cfm_mpid=9223372036854775808", "\"9223372036854775808\" is not a valid integer or range"),
        ],
    );
    refused("Queue", &[("dscp=64", "constraint violation: 64 is not in the valid range 0 to 63 (inclusive)")]);
    refused(
        "Mirror",
        &[
            ("output_vlan=0", "constraint violation: 0 is not in the valid range 1 to 4095 (inclusive)"),
            ("snaplen=13", "constraint violation: 13 is not in the valid range 14 to 65535 (inclusive)"),
        ],
    );
    refused("Controller", &[("max_backoff=999", "constraint violation: 999 is less than minimum allowed value 1000")]);
    refused("Open_vSwitch", &[("cur_cfg=1,2", "1,2: 2 value(s) specified but the maximum number is 1")]);
}

#[test]
fn sets_of_integers_take_lists_and_ranges() {
    accepted(vec![
        ("Port", &["trunks=1,2,3", "trunks=3,1,2", "trunks=1 2 3"], "trunks", json!(["set", [1, 2, 3]])),
        ("Port", &["trunks=[1,2]", "trunks=[1 2]", "trunks= [ 1 , 2 ] "], "trunks", json!(["set", [1, 2]])),
        ("Port", &["trunks=7"], "trunks", json!(7)),
        ("Port", &["trunks=1-3,7,9-10"], "trunks", json!(["set", [1, 2, 3, 7, 9, 10]])),
        ("Port", &["trunks=0-4095"], "trunks", json!(["set", (0..4096).collect::<Vec<_>>()])),
        ("Port", &["cvlans=10,20-22"], "cvlans", json!(["set", [10, 20, 21, 22]])),
        ("Bridge", &["flood_vlans=1-3"], "flood_vlans", json!(["set", [1, 2, 3]])),
        ("Bridge", &["flood_vlans=1,2,10-12"], "flood_vlans", json!(["set", [1, 2, 10, 11, 12]])),
        ("Interface", &["cfm_remote_mpids=-3--1"], "cfm_remote_mpids", json!(["set", [-3, -2, -1]])),
        ("Mirror", &["select_vlan=10,20-22"], "select_vlan", json!(["set", [10, 20, 21, 22]])),
    ]);
    let before = [("trunks", json!(["set", [1, 2]]))];
    accepted_after(&before, vec![("Port", &["trunks=[]"], "trunks", json!(["set", []]))]);
    refused(
        "Port",
        &[
            ("trunks=0-4096", "constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)"),
            ("trunks=1,1", "1,1: set contains duplicate value"),
            ("trunks=1-3,2", "1-3,2: set contains duplicate value"),
            ("trunks=1,,2", "1,,2: unexpected \",\" parsing set of up to 4096 integers"),
            ("trunks=1:2", "1:2: unexpected \":\" parsing set of up to 4096 integers"),
            ("trunks=1]", "1]: unexpected \"]\" parsing set of up to 4096 integers"),
            ("trunks=1\t2", "\"1\t2\" is not a valid integer or range"),
            ("trunks=007-06", "\"007-06\" is not a valid range. Range end cannot be before start."),
        ],
    );
    let too_big = |range| format!("constraint violation: Range \"{range}\" is too big. Maximum allowed size is 4096.");
    refused(
        "Interface",
        &[
            ("cfm_remote_mpids=1-5000", &too_big("1-5000")),
            ("cfm_remote_mpids=0001-99999", &too_big("1-99999")),
            (
                "cfm_remote_mpids=-9223372036854775808-9223372036854775807",
                &too_big("-9223372036854775808-9223372036854775807"),
            ),
        ],
    );
}

#[test]
fn words_of_an_enumeration_and_booleans_are_taken_exactly() {
    accepted(vec![
        ("Port", &["vlan_mode=access", "VLAN-Mode=access"], "vlan_mode", json!("access")),
        ("Port", &["bond_mode=balance-tcp"], "bond_mode", json!("balance-tcp")),
        ("Port", &["lacp=active"], "lacp", json!("active")),
        ("Port", &["protected=on"], "protected", json!(true)),
        (
            "Bridge",
            &["stp_enable=true", "stp_enable=yes", "stp_enable=on", "stp_enable=1", "stp_enable=[true]"],
            "stp_enable",
            json!(true),
        ),
        ("Bridge", &["mcast=true"], "mcast_snooping_enable", json!(true)),
        (
            "Bridge",
            &["protocols=OpenFlow10,OpenFlow13", "protocols=[OpenFlow10,OpenFlow13]"],
            "protocols",
            json!(["set", ["OpenFlow10", "OpenFlow13"]]),
        ),
        ("Bridge", &["protocols=[OpenFlow13]"], "protocols", json!("OpenFlow13")),
        ("Bridge", &["fail_mode=secure"], "fail_mode", json!("secure")),
        ("Interface", &["admin_state=up"], "admin_state", json!("up")),
        ("Controller", &["role=master"], "role", json!("master")),
    ]);
    let before = [("fail_mode", json!("secure"))];
    accepted_after(&before, vec![("Bridge", &["fail_mode=[]"], "fail_mode", json!(["set", []]))]);
    refused(
        "Port",
        &[
            (
                "vlan_mode=Access",
                "constraint violation: Access is not one of the allowed values ([access, dot1q-tunnel, \
                 native-tagged, native-untagged, trunk])",
            ),
            (
                "vlan_mode=1a",
                "constraint violation: \"1a\" is not one of the allowed values ([access, dot1q-tunnel, \
                 native-tagged, native-untagged, trunk])",
            ),
            (
                "bond_mode=foo",
                "constraint violation: foo is not one of the allowed values ([active-backup, balance-slb, \
                 balance-tcp])",
            ),
            ("lacp=on", "constraint violation: on is not one of the allowed values ([active, off, passive])"),
            ("fake_bridge=maybe", "\"maybe\" is not a valid boolean (use \"true\" or \"false\")"),
        ],
    );
    refused(
        "Bridge",
        &[
            ("stp_enable=True", "\"True\" is not a valid boolean (use \"true\" or \"false\")"),
            ("stp_enable=\"true\"", "\"\"true\"\" is not a valid boolean (use \"true\" or \"false\")"),
            ("stp_enable=2", "\"2\" is not a valid boolean (use \"true\" or \"false\")"),
            ("stp_enable=[]", "[]: 0 value(s) specified but the minimum number is 1"),
            ("stp_enable=true,false", "true,false: 2 value(s) specified but the maximum number is 1"),
            (
                "protocols=OpenFlow99",
                "constraint violation: OpenFlow99 is not one of the allowed values ([OpenFlow10, OpenFlow11, \
                 OpenFlow12, OpenFlow13, OpenFlow14, OpenFlow15])",
            ),
            ("fail_mode=safe", "constraint violation: safe is not one of the allowed values ([secure, standalone])"),
        ],
    );
    refused(
        "Interface",
        &[("link_state=middle", "constraint violation: middle is not one of the allowed values ([down, up])")],
    );
}

#[test]
fn strings_are_words_or_stand_in_quotes() {
    accepted(vec![
        ("Bridge", &["datapath_type=netdev"], "datapath_type", json!("netdev")),
        ("Bridge", &["datapath_type=foo"], "datapath_type", json!("foo")),
        ("Bridge", &["datapath_type=\"\""], "datapath_type", json!("")),
        (
            "Bridge",
            &["datapath_id=\"0000000000000001\"", "datapath_id=0000000000000001"],
            "datapath_id",
            json!("0000000000000001"),
        ),
        ("Interface", &["type=patch", "type=[patch]", "type= patch ", "type=patch,"], "type", json!("patch")),
        ("Interface", &["type=\"a b\"", "type=a\\ b"], "type", json!("a b")),
        ("Interface", &["type='patch'"], "type", json!("'patch'")),
        ("Interface", &["type=@x"], "type", json!("@x")),
        ("Interface", &["type=a\"b c\"d"], "type", json!("a\"b c\"d")),
        ("Interface", &["type=\"a\\\\\""], "type", json!("a\\")),
        (
            "Interface",
            &["mac=\"00:11:22:33:44:55\"", "mac=00\\:11\\:22\\:33\\:44\\:55"],
            "mac",
            json!("00:11:22:33:44:55"),
        ),
        ("Interface", &["error=boom"], "error", json!("boom")),
        ("Open_vSwitch", &["db=3.1"], "db_version", json!("3.1")),
        ("Open_vSwitch", &["ovs_version=3.1"], "ovs_version", json!("3.1")),
        ("Mirror", &["name=mm"], "name", json!("mm")),
        ("QoS", &["type=foo"], "type", json!("foo")),
        ("Controller", &["target=\"tcp:10.0.0.1:6653\""], "target", json!("tcp:10.0.0.1:6653")),
        ("Controller", &["target=tcp\\:10.0.0.2"], "target", json!("tcp:10.0.0.2")),
    ]);
    accepted_after(&[("type", json!("patch"))], vec![("Interface", &["type=\"\""], "type", json!(""))]);
    refused(
        "Interface",
        &[
            ("type=[]", "[]: 0 value(s) specified but the minimum number is 1"),
            ("type= ", "use \"[]\" to specify the empty set"),
            ("type=a b", "a b: 2 value(s) specified but the maximum number is 1"),
            ("type=a,b", "a,b: 2 value(s) specified but the maximum number is 1"),
            ("type=a:b", "a:b: unexpected \":\" parsing string"),
            ("type=a=b", "a=b: unexpected \"=\" parsing string"),
            ("type=!x", "!x: unexpected \"!\" parsing string"),
            ("type=\"a\"b", "\"a\"b: missing quote at end of quoted string"),
            ("type=a\"b", "a\"b: quoted string extends past end of argument"),
            ("type=a\\", "a\\: backslash at end of argument"),
            ("type=", "type=: argument does not end in \"=\" followed by a value."),
            ("mac=00:11:22:33:44:55", "00:11:22:33:44:55: unexpected \":\" parsing set of up to 1 strings"),
        ],
    );
    refused("Controller", &[("target=tcp:10.0.0.1:6653", "tcp:10.0.0.1:6653: unexpected \":\" parsing string")]);
    // Not in ovs-vsctl, whose arguments can't contain it.
    refused("Interface", &[("type=a\0b", "null bytes not supported")]);
}

#[test]
fn a_whole_map_is_replaced() {
    let before = [("options", json!(["map", [["old", "1"], ["peer", "was"]]]))];
    accepted_after(
        &before,
        vec![
            ("Interface", &["options=peer=x", "options={peer=x}"], "options", map([("peer", "x")])),
            ("Interface", &["options=remote_ip=1.2.3.4"], "options", map([("remote_ip", "1.2.3.4")])),
            ("Interface", &["options={}", "options={ }"], "options", map([])),
            (
                "Interface",
                &["options=a=b,c=d", "options=a=b c=d", "options={a=b, c=d}", "options= a = b , c = d "],
                "options",
                map([("a", "b"), ("c", "d")]),
            ),
            ("Interface", &["options=a=\"\""], "options", map([("a", "")])),
            ("Interface", &["options=a=\"b,c\"", "options=a=b\\,c"], "options", map([("a", "b,c")])),
        ],
    );
    accepted(vec![
        ("Open_vSwitch", &["other_config={a=1,b=\"x y\"}"], "other_config", map([("a", "1"), ("b", "x y")])),
        ("Bridge", &["other_config=hwaddr=\"00:11\""], "other_config", map([("hwaddr", "00:11")])),
    ]);
    refused(
        "Interface",
        &[
            ("options=[]", "[]: unexpected \"[\" parsing map of (string, string) pairs"),
            ("options=[a=b]", "[a=b]: unexpected \"[\" parsing map of (string, string) pairs"),
            ("options= ", "use \"{}\" to specify the empty map"),
            ("options=a", "a: syntax error at \""),
            ("options={a}", "a}: syntax error at \"}\" expecting \"=\""),
            ("options={\"a\":\"b\"}", "\"a\":\"b\"}: syntax error at \":\" expecting \"=\""),
            ("options=a=", "An empty string is not valid as input; use \"\" to represent the empty string"),
            ("options=a=b,a=b", "a=b,a=b: map contains duplicate key"),
            ("options=a=b=c", "a=b=c: unexpected \"=\" parsing map of (string, string) pairs"),
            ("options=a=b:c", "a=b:c: unexpected \":\" parsing map of (string, string) pairs"),
            ("options=a:b=c", "a:b=c: syntax error at \":\" expecting \"=\""),
            ("options=local_ip=fe80::1", "local_ip=fe80::1: unexpected \":\" parsing map of (string, string) pairs"),
            ("options=a=b;c=d", "a=b;c=d: unexpected \"=\" parsing map of (string, string) pairs"),
        ],
    );
    refused(
        "Bridge",
        &[
            ("other=x", "x: syntax error at \""),
            ("other_config=hwaddr=00:11:22", "hwaddr=00:11:22: unexpected \":\" parsing map of (string, string) pairs"),
        ],
    );
}

#[test]
fn one_key_is_added_or_overwritten_and_its_value_taken_verbatim() {
    let before = [("options", json!(["map", [["old", "1"], ["peer", "was"]]]))];
    accepted_after(&before, vec![("Interface", &["options:peer=x"], "options", map([("old", "1"), ("peer", "x")]))]);
    accepted(vec![
        ("Port", &["external_ids:a/b.c-d=x y;z"], "external_ids", map([("a/b.c-d", "x y;z")])),
        ("Port", &["external_ids:\"k=1\"=\"v:2, 3\""], "external_ids", map([("k=1", "v:2, 3")])),
        ("Bridge", &["other_config:disable-in-band=true"], "other_config", map([("disable-in-band", "true")])),
        ("Bridge", &["Other_Config:A=b"], "other_config", map([("A", "b")])),
        ("Bridge", &["other_config:hwaddr=00\\:11"], "other_config", map([("hwaddr", "00\\:11")])),
        (
            "Bridge",
            &["other_config:hwaddr=00:11:22:33:44:55", "other_config:hwaddr=\"00:11:22:33:44:55\""],
            "other_config",
            map([("hwaddr", "00:11:22:33:44:55")]),
        ),
        ("Bridge", &["o:x=1"], "other_config", map([("x", "1")])),
        ("Interface", &["statistics:rx=5", "statistics:rx= 5"], "statistics", json!(["map", [["rx", 5]]])),
        ("Interface", &["status:driver=x"], "status", map([("driver", "x")])),
        ("Interface", &["options:remote_ip=1.2.3.4"], "options", map([("remote_ip", "1.2.3.4")])),
        ("Interface", &["options:a=\"\""], "options", map([("a", "")])),
        ("Interface", &["options:\"\"=a"], "options", map([("", "a")])),
        ("Interface", &["options:a=b=c"], "options", map([("a", "b=c")])),
        ("Interface", &["options:a=b,c=d"], "options", map([("a", "b,c=d")])),
        ("Interface", &["options:a= b "], "options", map([("a", " b ")])),
        ("Interface", &["options:a={}"], "options", map([("a", "{}")])),
        ("Interface", &["options:a=[]"], "options", map([("a", "[]")])),
        ("Interface", &["options:\"a:b\"=c", "options:a\\:b=c"], "options", map([("a:b", "c")])),
        ("Interface", &["options:a=\"b,c\""], "options", map([("a", "b,c")])),
        ("Interface", &["options:a=b\""], "options", map([("a", "b\"")])),
        ("Interface", &["options:a=b\\nc"], "options", map([("a", "b\\nc")])),
        ("Interface", &["options:a=\"b\\nc\""], "options", map([("a", "b\nc")])),
        ("Interface", &["options:a=\"\\ud83d\\ude00\""], "options", map([("a", "\u{1f600}")])),
        ("Interface", &["options:local_ip=fe80::1"], "options", map([("local_ip", "fe80::1")])),
        ("Open_vSwitch", &["other_config:hw-offload=true"], "other_config", map([("hw-offload", "true")])),
        ("Open_vSwitch", &["external_ids:system-id=x"], "external_ids", map([("system-id", "x")])),
        ("QoS", &["other-config:max-rate=1000000"], "other_config", map([("max-rate", "1000000")])),
        ("Queue", &["other-config:max-rate=5"], "other_config", map([("max-rate", "5")])),
    ]);
    let no_value = |setting| (setting, format!("{setting}: argument does not end in \"=\" followed by a value."));
    for (setting, words) in ["options:a", "options:a=", "options:a:b=c", "options:a b=c"].map(no_value) {
        refused("Interface", &[(setting, &words)]);
    }
    refused(
        "Interface",
        &[
            ("options:=a", "An empty string is not valid as input; use \"\" to represent the empty string"),
            ("options:a=\"b", "\"b: missing quote at end of quoted string"),
            ("options:a=\"b\"c\"", "\"b\"c\": quoted string may not include unescaped \""),
            ("options:a=\"b\\\"", "\"b\\\": quoted string may not end with backslash"),
            ("options:a=\"\\x\"", "\"\\x\": bad escape \\x"),
            ("options:a=\"\\u0000\"", "\"\\u0000\": null bytes not supported in quoted strings"),
            ("options:a=\"\\u12\"", "\"\\u12\": quoted string ends within \\u escape"),
            ("options:a=\"\\u+123\"", "\"\\u+123\": malformed \\u escape"),
            ("options:a=\"\\ud83d\"", "\"\\ud83d\": malformed escaped surrogate pair"),
            (
                "options:a=\"\\ud83d\\u0041\"",
                "\"\\ud83d\\u0041\": second half of escaped surrogate pair is not trailing surrogate",
            ),
            (
                "options:a=\"\\udc00\"",
                "constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xed 0xb0",
            ),
            ("statistics:a=1-3", "\"1-3\" is not a valid integer or range"),
            ("statistics:a=5 ", "\"5 \" is not a valid integer or range"),
            ("statistics:a=x", "\"x\" is not a valid integer or range"),
        ],
    );
}

#[test]
fn references_are_uuids_and_nothing_else() {
    let upper = ID.replace('1', "A");
    let setting = format!("qos={upper}");
    let written = set(&schema(), "Port", &[], &[&setting]).unwrap();
    assert_eq!(written["qos"], read(json!(["uuid", upper.to_lowercase()])));

    accepted(vec![
        ("Port", &["qos=11111111-2222-3333-4444-555555555555"], "qos", json!(["uuid", ID])),
        ("Bridge", &["ports=[]"], "ports", json!(["set", []])),
        ("Open_vSwitch", &["bridges=[]"], "bridges", json!(["set", []])),
        ("Mirror", &["select_dst_port=11111111-2222-3333-4444-555555555555"], "select_dst_port", json!(["uuid", ID])),
        (
            "QoS",
            &["queues:7=11111111-2222-3333-4444-555555555555", "queues={7=11111111-2222-3333-4444-555555555555}"],
            "queues",
            json!(["map", [[7, ["uuid", ID]]]]),
        ),
    ]);
    let never_created = "row id \"@q\" is referenced but never created (e.g. with \"-- --id=@q create ...\")";
    refused(
        "Port",
        &[
            ("interfaces=[]", "[]: 0 value(s) specified but the minimum number is 1"),
            ("interfaces=abc", "\"abc\" is not a valid UUID"),
            ("interfaces=\"11111111-2222-3333-4444-555555555555\"", "\" is not a valid UUID"),
            ("qos=@q", never_created),
            ("qos=@q,@q", "@q,@q: 2 value(s) specified but the maximum number is 1"),
        ],
    );
    refused("Mirror", &[("select_dst_port=p1", "\"p1\" is not a valid UUID")]);
    let out_of_range = "constraint violation: 255 is not in the valid range 0 to 254 (inclusive)";
    refused(
        "Bridge",
        &[
            (&format!("flow_tables:255={ID}"), out_of_range),
            (&format!("flow_tables:1-2={ID}"), "\"1-2\" is not a valid integer or range"),
            ("flow_tables:0=b", "\"b\" is not a valid UUID"),
            ("flow_tables:0=@q", never_created),
            ("flow_tables=0=@q", never_created),
        ],
    );
    refused(
        "QoS",
        &[(
            &format!("queues:4294967296={ID}"),
            "constraint violation: 4294967296 is not in the valid range 0 to 4294967295 (inclusive)",
        )],
    );
}

#[test]
fn a_range_of_map_keys_is_refused_where_ovs_vsctl_crashes() {
    refused("QoS", &[(&format!("queues=0-2={ID}"), "\"0-2\" is a range, which cannot be the key of a map")]);
    refused("AutoAttach", &[("mappings=10-12=7", "\"10-12\" is a range, which cannot be the key of a map")]);
}

#[test]
fn columns_are_found_by_case_dashes_and_prefixes_and_by_nothing_else() {
    refused(
        "Port",
        &[
            ("t=5", "Port contains more than one column whose name matches \"t\": tag, trunks"),
            (
                "bond=1",
                "Port contains more than one column whose name matches \"bond\": bond_active_slave, \
                 bond_downdelay, bond_fake_iface, bond_mode, bond_updelay",
            ),
            ("nosuch=1", "Port does not contain a column whose name matches \"nosuch\""),
            ("updelay=2000", "Port does not contain a column whose name matches \"updelay\""),
            ("_uuid=1", "Port does not contain a column whose name matches \"_uuid\""),
            ("tag+=5", "Port does not contain a column whose name matches \"tag+\""),
            ("\"tag\"=5", "Port does not contain a column whose name matches \"\"tag\"\""),
            ("=5", "=5: missing column name"),
            (":5", ":5: missing column name"),
            (" tag=5", " tag=5: missing column name"),
            ("", ": missing column name"),
            ("tag\"=5", "tag\"=5: quoted string extends past end of argument"),
            ("tag:\"x=5", "\"x=5: quoted string extends past end of argument"),
            ("tag\\", "tag\\: backslash at end of argument"),
        ],
    );
    let name = NotationError::read_only("Bridge", "name");
    assert_eq!(name.to_string(), "cannot modify read-only column name in table Bridge");
    let schema = schema();
    let (table, bridge) = table(&schema, "br").unwrap();
    assert!(!assignment(table, bridge, "name=foo").unwrap().schema.mutable);
}

#[test]
fn tables_are_found_by_case_dashes_and_prefixes_and_by_nothing_else() {
    let schema = schema();
    for (name, found) in [
        ("br", "Bridge"),
        ("p", "Port"),
        ("int", "Interface"),
        ("o", "Open_vSwitch"),
        ("open-vswitch", "Open_vSwitch"),
        ("a", "AutoAttach"),
        ("d", "Datapath"),
        ("PORT", "Port"),
        ("sFlow", "sFlow"),
        ("SFLOW", "sFlow"),
    ] {
        assert_eq!(table(&schema, name).map(|found| found.0), Ok(found), "{name}");
    }
    for (name, words) in [
        ("i", "\"i\" matches multiple table names: IPFIX, Interface"),
        ("m", "\"m\" matches multiple table names: Manager, Mirror"),
        ("c", "\"c\" matches multiple table names: CT_Timeout_Policy, CT_Zone, Controller"),
        ("s", "\"s\" matches multiple table names: SSL, sFlow"),
        ("f", "\"f\" matches multiple table names: Flow_Sample_Collector_Set, Flow_Table"),
        ("q", "\"q\" matches multiple table names: QoS, Queue"),
        ("x", "unknown table \"x\""),
        ("", "unknown table \"\""),
        ("Brigde", "unknown table \"Brigde\" (did you mean Bridge?)"),
    ] {
        assert_eq!(table(&schema, name).unwrap_err().to_string(), words);
    }
}

#[test]
fn settings_apply_from_left_to_right() {
    let schema = schema();
    let before = [("options", map([("old", "1")]))];
    for (settings, column, result) in [
        (&["tag=1", "tag=2"][..], "tag", json!(2)),
        (&["external_ids:a=1", "external_ids:a=2"], "external_ids", map([("a", "2")])),
        (&["external_ids:x=1", "external_ids={y=2}"], "external_ids", map([("y", "2")])),
        (&["external_ids={y=2}", "external_ids:x=1"], "external_ids", map([("x", "1"), ("y", "2")])),
    ] {
        let written = set(&schema, "Port", &before, settings).unwrap();
        assert_eq!(written, BTreeMap::from([(column.to_owned(), read(result))]), "{settings:?}");
    }
    let settings = ["type=patch", "options:peer=x", "options:old=2", "mtu_request=9000"];
    let written = set(&schema, "Interface", &before, &settings).unwrap();
    assert_eq!(written["options"], read(map([("old", "2"), ("peer", "x")])));
    assert_eq!((&written["type"], &written["mtu_request"]), (&"patch".into(), &9000i64.into()));
}

#[test]
fn an_error_tells_where_it_is_and_what_would_have_been_right() {
    let schema = schema();
    for (table, setting, text) in [
        (
            "Port",
            "tag=5000",
            "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive) (Port.tag: expected an \
             integer from 0 to 4095, or [] for none)",
        ),
        (
            "int",
            "statistics:rx=x",
            "\"x\" is not a valid integer or range (Interface.statistics:rx: expected an integer)",
        ),
        (
            "Bridge",
            "flow_tables:255=x",
            "constraint violation: 255 is not in the valid range 0 to 254 (inclusive) (Bridge.flow_tables:255: \
             expected an integer from 0 to 254 as key)",
        ),
        (
            "Interface",
            "mac=00:11",
            "00:11: unexpected \":\" parsing set of up to 1 strings (Interface.mac: expected a string, or [] for \
             none; a string with any of :=, []{}!<> in it must be \"quoted\")",
        ),
        (
            "Port",
            "lacp=activ",
            "constraint violation: activ is not one of the allowed values ([active, off, passive]) (did you mean \
             active?) (Port.lacp: expected one of active, off, passive, or [] for none)",
        ),
        (
            "Port",
            "tag:x=5",
            "cannot specify key to set for non-map column tag (Port.tag:x: expected no key and an integer from 0 \
             to 4095, or [] for none)",
        ),
        ("Port", "=5", "=5: missing column name (table Port: expected COLUMN=VALUE or COLUMN:KEY=VALUE)"),
    ] {
        assert_eq!(set(&schema, table, &[], &[setting]).unwrap_err().to_string(), text);
    }
    let error = set(&schema, "Interface", &[], &["statistics:rx=many"]).unwrap_err();
    assert_eq!(
        (error.table(), error.column(), error.key(), error.value()),
        ("Interface", Some("statistics"), Some("rx"), Some("many"))
    );
}

#[test]
fn names_that_almost_match_are_suggested() {
    let schema = schema();
    for (table, name, hint) in [
        ("Port", "updelay", " (did you mean bond_updelay?)"),
        ("Port", "delay", " (did you mean bond_downdelay or bond_updelay?)"),
        ("Port", "tga", " (did you mean tag?)"),
        ("Port", "\"tag\"", " (did you mean tag?)"),
        ("Port", "tag+", " (did you mean tag?)"),
        ("Port", "trunk_vlans", ""),
        ("Port", "vlan-tag", " (did you mean tag?)"),
        ("Port", "bondmode", " (did you mean bond_mode?)"),
        ("Interface", "optoins", " (did you mean options?)"),
        ("Bridge", "protocol_versions", ""),
        ("Bridge", "_uuid", ""),
    ] {
        let error = column(table, &schema.tables[table], name).unwrap_err().to_string();
        assert_eq!(error, format!("{table} does not contain a column whose name matches \"{name}\"{hint}"));
    }
}

#[test]
fn reals_of_other_databases_are_read_too() {
    let ty = |json| serde_json::from_value::<ColumnType>(json).unwrap();
    let real = ty(json!({"key": {"type": "real", "minReal": -1, "maxReal": 2.5}, "min": 0, "max": "unlimited"}));
    let reals = |numbers: &[f64]| Ok(Value::set(numbers.iter().copied().map(Atom::Real)));
    assert_eq!(whole(&real, "1.5, -1e-3 -0"), reals(&[1.5, -0.001, 0.0]));
    let text = |problem: Result<Value, Problem>| problem.unwrap_err().to_string();
    assert_eq!(text(whole(&real, "3")), "constraint violation: 3 is not in the valid range -1 to 2.5 (inclusive)");
    for wrong in ["x", "inf", "nan", "1e999"] {
        assert_eq!(text(whole(&real, wrong)), format!("\"{wrong}\" is not a valid real number"));
    }
    let word = ty(json!({"key": {"type": "string", "minLength": 2, "maxLength": 3}}));
    assert_eq!(whole(&word, "äöü"), Ok("äöü".into()));
    assert_eq!(text(whole(&word, "ä")), "constraint violation: \"ä\" length 1 is less than minimum allowed length 2");
    assert_eq!(
        text(whole(&word, "abcd")),
        "constraint violation: \"abcd\" length 4 is greater than maximum allowed length 3"
    );
}

fn any_atom(base: &'static str) -> BoxedStrategy<Atom> {
    match base {
        "integer" => any::<i64>().prop_map(Atom::Integer).boxed(),
        "real" => any::<f64>().prop_filter("finite", |r| r.is_finite()).prop_map(|r| Atom::Real(r + 0.0)).boxed(),
        "boolean" => any::<bool>().prop_map(Atom::Boolean).boxed(),
        "uuid" => any::<u128>().prop_map(|n| Atom::Uuid(crate::value::Uuid(uuid::Uuid::from_u128(n)))).boxed(),
        _ => "[^\0]{0,12}".prop_map(Atom::String).boxed(),
    }
}

const KINDS: [&str; 5] = ["integer", "real", "boolean", "string", "uuid"];

fn typed_value() -> impl Strategy<Value = (ColumnType, Value)> {
    let kind = || prop::sample::select(&KINDS[..]);
    let set = kind().prop_flat_map(|base| {
        let ty = json!({"key": base, "min": 0, "max": "unlimited"});
        (Just(ty), prop::collection::vec(any_atom(base), 0..5).prop_map(Value::set))
    });
    let map = (kind(), kind()).prop_flat_map(|(key, value)| {
        let ty = json!({"key": key, "value": value, "min": 0, "max": "unlimited"});
        (Just(ty), prop::collection::btree_map(any_atom(key), any_atom(value), 0..5).prop_map(Value::Map))
    });
    prop_oneof![set, map].prop_map(|(ty, value)| (serde_json::from_value(ty).unwrap(), value))
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back((ty, value) in typed_value()) {
        let text = to_text(&value);
        prop_assert_eq!(whole(&ty, &text), Ok(value), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(
        table in "[A-Za-z_-]{0,4}",
        argument in prop_oneof!["\\PC*", "[a-z_]{0,3}[:=\"\\\\,{}\\[\\] 0-9u@äx-]{0,30}"],
    ) {
        let schema = schema();
        let _ = super::table(&schema, &table);
        for (name, table) in &schema.tables {
            if let Err(error) = assignment(name, table, &argument) {
                error.to_string();
            }
            for (column, schema) in &table.columns {
                let _ = whole(&schema.ty, &argument);
                if let Err(error) = assignment(name, table, &format!("{column}:{argument}")) {
                    error.to_string();
                }
            }
        }
    }
}
