//! What callers write, read or refused.

use super::*;
use crate::links::Address;

#[derive(Debug, Deserialize, PartialEq)]
struct Example {
    bridge: Name,
    #[serde(default)]
    name: OptionalName,
    vlan: Option<Vlan>,
    #[serde(default)]
    options: Options,
    mode: Option<Word>,
    #[serde(default)]
    lacp: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[serde(alias = "")]
    One,
    Two,
}

fn read(text: &str) -> Result<Example, String> {
    parse(text).and_then(|written| decode(&written.arguments)).map_err(|error| error.to_string())
}

#[test]
fn arguments_are_read_as_the_original_read_them() {
    let expected = Example {
        bridge: Name("br0".into()),
        name: OptionalName(None),
        vlan: Some(Number(7)),
        options: Options(vec![("a:b".into(), "c".into())]),
        mode: None,
        lacp: false,
    };
    for text in [
        r#"{"bridge":"br0","vlan":7,"options":{"a:b":"c"}}"#,
        " {\"BRIDGE\" : \"\\u0062r0\",\n\"Vlan\": \"7\", \"unknown\": [{}], \"name\": \"\", \"oPtions\":{\"a:b\":\"c\"}} ",
        r#"{"bridge":"other","bridge":"br0","vlan":7,"VLAN":null,"name":null,"options":{"a:b":"x","a:b":"c"}}"#,
    ] {
        assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn a_word_of_a_few_is_read_where_the_empty_one_means_something_too() {
    for (word, expected) in [("one", Word::One), ("", Word::One), ("two", Word::Two)] {
        let example = read(&format!("{{\"bridge\":\"b\",\"mode\":\"{word}\"}}")).unwrap();
        assert_eq!(example.mode, Some(expected), "{word:?}");
    }
}

#[test]
fn a_nul_is_refused_in_every_argument_of_every_command() {
    let mut seen = 0;
    for entry in crate::commands::REGISTRY {
        let schema = (entry.arguments_schema)();
        let names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
        for name in names.map(String::as_str).chain(["verify", "Dry_Run", "unknown"]) {
            for value in
                [r#""\u0000""#, r#""a\u0000b""#, r#"[1, ["\u0000"]]"#, r#"{"k": "a\u0000"}"#, r#"{"\u0000": 1}"#]
            {
                let error = parse(&format!("{{\"{name}\": {value}}}")).unwrap_err();
                assert_eq!(error.field(), Some(name.to_ascii_lowercase().as_str()), "{}: {error}", entry.name);
                let told = error.to_string();
                assert!(told.contains("NUL") && !told.contains('\0'), "{told}");
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen}");
    assert!(parse(r#"{"a\u0000": "b"}"#).is_err());
    let error = parse(r#"{"options": {"options:psk": "secret\u0000"}}"#).unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
    assert!(parse(r#"{"a": "\\u0000 \u0001"}"#).is_ok());
}

#[test]
fn option_values_may_be_numbers_and_booleans() {
    let example = read(r#"{"bridge":"b","options":{"mtu_request":1450,"stp_enable":true,"x":"y"}}"#).unwrap();
    let pairs: Vec<String> = example.options.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(pairs, ["mtu_request=1450", "stp_enable=true", "x=y"]);
}

#[test]
fn a_whole_number_is_written_as_one_however_json_has_it() {
    let written = |json: &str| {
        let text = format!("{{\"bridge\":\"b\",\"options\":{{\"k\":{json}}}}}");
        read(&text).map(|mut example| example.options.0.remove(0).1)
    };
    for (json, expected) in [
        ("2.5e8", "250000000"),
        ("1000.0", "1000"),
        ("1e3", "1000"),
        ("-1e3", "-1000"),
        ("-0.0", "0"),
        ("0e5", "0"),
        ("9007199254740991.0", "9007199254740991"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.5", "1.5"),
        ("1.5e-7", "0.00000015"),
        ("-2.5e-1", "-0.25"),
    ] {
        assert_eq!(written(json).as_deref(), Ok(expected), "{json}");
    }
    // 9007199254740993.0 would be read as 9007199254740992.
    for json in ["9007199254740993.0", "1e20", "99999999999999999999", "-1e300"] {
        let error = written(json).expect_err(json);
        assert!(error.contains("\"options\"") && error.contains("string"), "{json}: {error}");
    }
    assert_eq!(read(r#"{"bridge":"b","vlan":1e3}"#).unwrap().vlan, Some(Number(1000)));
    assert_eq!(read(r#"{"bridge":"b","vlan":1000.0}"#).unwrap().vlan, Some(Number(1000)));
    assert_eq!(read(r#"{"bridge":"b","vlan":-0.0}"#).unwrap().vlan, Some(Number(0)));
    let trunks = serde_json::from_str::<Trunks>("[5.0, 1e1]").map(|Trunks(ids)| Vec::from_iter(ids));
    assert_eq!(trunks.unwrap(), [5, 10]);
}

#[test]
fn the_fields_of_a_struct_are_known_without_decoding_one() {
    assert_eq!(fields_of::<Example>(), ["bridge", "name", "vlan", "options", "mode", "lacp"]);
    assert!(fields_of::<String>().is_empty());
}

#[test]
fn trunks_are_ids_and_ranges() {
    let read = |json: &str| serde_json::from_str::<Trunks>(json).map(|Trunks(ids)| Vec::from_iter(ids));
    assert_eq!(read(r#"[7, "1-3", "2", "4095"]"#).unwrap(), [1, 2, 3, 7, 4095]);
    assert!(read("[]").unwrap().is_empty());
    for wrong in ["7", r#"["3-1"]"#, "[4096]", "[-1]", "[1.5]", r#"["a"]"#, r#"["1-"]"#, "[[1]]", r#"["+1"]"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn addresses_are_a_list_and_each_counts_once() {
    let read = |json: &str| {
        let read = serde_json::from_str::<Addresses>(json).map_err(|error| error.to_string());
        read.map(|Addresses(list)| list.iter().map(Address::to_string).collect::<Vec<_>>())
    };
    assert_eq!(read("[]").unwrap(), [""; 0]);
    assert_eq!(read(r#"["10.0.0.1/24","fd00::1/64","10.0.0.1/24"]"#).unwrap(), ["10.0.0.1/24", "fd00::1/64"]);
    for (wrong, words) in [
        (r#""10.0.0.1/24""#, "is not a list of addresses, like [\"10.0.0.1/24\""),
        ("[7]", "7 is not an address; expected a string"),
        (r#"["10.0.0.1/33"]"#, "\"10.0.0.1/33\" is not an address with a prefix of 1 to 32 bits"),
        (r#"["10.0.0.1"]"#, "\"10.0.0.1\" lacks the length of the prefix; expected an address with the length"),
        (r#"["fd00::1/64","fd00:0::1/128"]"#, "\"fd00:0::1/128\" is also given as fd00::1/64"),
    ] {
        let said = read(wrong).unwrap_err();
        assert!(said.contains(words), "{wrong}: {said}");
    }
}

#[test]
fn whole_columns_apply_before_single_keys() {
    let example = read(r#"{"bridge":"b","options":{"external_ids:k":"v","external_ids":"{a=b}"}}"#).unwrap();
    assert_eq!(example.options.0[0].0, "external_ids");
}

#[test]
fn an_error_names_the_argument_its_value_and_what_was_expected() {
    for (text, words) in [
        ("{}", &["\"bridge\"", "missing"][..]),
        ("null", &["\"bridge\"", "missing"]),
        (r#"{"bridge":null}"#, &["\"bridge\"", "missing"]),
        (r#"{"bridge":""}"#, &["\"bridge\"", "empty", "name"]),
        (r#"{"bridge":7}"#, &["\"bridge\"", "7", "name"]),
        (r#"{"bridge":"b","vlan":5000}"#, &["\"vlan\"", "5000", "0 to 4094"]),
        (r#"{"bridge":"b","vlan":-1}"#, &["\"vlan\"", "-1", "0 to 4094"]),
        (r#"{"bridge":"b","vlan":1.5}"#, &["\"vlan\"", "1.5", "whole number"]),
        (r#"{"bridge":"b","vlan":"x7"}"#, &["\"vlan\"", "x7", "0 to 4094"]),
        (r#"{"bridge":"b","vlan":""}"#, &["\"vlan\"", "0 to 4094"]),
        (r#"{"bridge":"b","vlan":99999999999999999999}"#, &["\"vlan\"", "0 to 4094"]),
        (r#"{"bridge":"b","lacp":"yes"}"#, &["\"lacp\": \"yes\" is not true or false"]),
        (r#"{"bridge":"b","lacp":"psk=hunter2"}"#, &["\"lacp\": (hidden) is not true or false"]),
        (r#"{"bridge":"b","vlan":"psk=hunter2"}"#, &["\"vlan\": (hidden) is not a whole number"]),
        (r#"{"bridge":"b","mode":{"token":["hunter2"]}}"#, &["{\"token\":[(hidden)]} is not one of"]),
        (r#"{"bridge":"b","mode":1}"#, &["\"mode\": 1 is not one of one and two"]),
        (r#"{"bridge":"b","mode":"three"}"#, &["\"mode\": \"three\" is not one of one and two"]),
        (r#"{"bridge":"b","mode":{"one":null}}"#, &["is not one of one and two"]),
        (r#"{"bridge":"b","options":[]}"#, &["\"options\"", "[]", "column"]),
        (r#"{"bridge":"b","options":{"a":{}}}"#, &["\"options\"", "\"a\"", "{}", "string"]),
        ("[]", &["JSON object"]),
        ("7", &["JSON object"]),
        ("", &["JSON object"]),
        ("{", &["JSON object"]),
        (r#"{"bridge":"b"} x"#, &["JSON object", "trailing"]),
        (r#"{"bridge":"\ud800"}"#, &["JSON object"]),
    ] {
        let error = read(text).expect_err(text);
        for word in words {
            assert!(error.contains(word), "{text}: {error:?} lacks {word:?}");
        }
    }
}

#[test]
fn names_that_linux_cannot_hold_are_refused() {
    for name in ["br0", "-br", "--", "vlbr4094in", "123456789012345", "brücke"] {
        assert_eq!(DeviceName::check(name), Ok(()));
    }
    for name in ["", "1234567890123456", "a/b", "a b", "a\tb", "a\u{7}", ".", "..", "a:b", "a%d", "brückebrückebr"] {
        assert!(DeviceName::check(name).is_err(), "{name:?}");
    }
}
