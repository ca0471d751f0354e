//! Values in every spelling.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const ID: &str = "11111111-2222-3333-4444-555555555555";

fn uuid() -> Uuid {
    ID.parse().unwrap()
}

fn read(json: serde_json::Value) -> Value {
    serde_json::from_str(&json.to_string()).unwrap()
}

#[test]
fn a_set_of_one_is_the_same_bare_or_wrapped() {
    assert_eq!(read(json!(["set", [7]])), read(json!(7)));
    assert_eq!(read(json!(["set", [["uuid", ID]]])), read(json!(["uuid", ID])));
    assert_eq!(serde_json::to_value(read(json!(["set", ["x"]]))).unwrap(), json!("x"));
}

#[test]
fn order_inside_sets_and_maps_means_nothing() {
    assert_eq!(read(json!(["set", [3, 1, 2]])), read(json!(["set", [1, 2, 3]])));
    assert_eq!(read(json!(["map", [["b", "2"], ["a", "1"]]])), read(json!(["map", [["a", "1"], ["b", "2"]]])));
}

#[test]
fn an_unset_optional_column_is_the_empty_set() {
    assert_eq!(Value::from(None::<i64>), read(json!(["set", []])));
    assert_eq!(Value::from(Some(0i64)), read(json!(0)), "a tag of 0 differs from no tag");
    assert!(read(json!(["set", []])).is_empty());
}

#[test]
fn references_keep_their_two_kinds_apart() {
    assert_eq!(read(json!(["uuid", ID])), Value::from(uuid()));
    assert_eq!(read(json!(["named-uuid", "row1"])), Value::from(NamedUuid("row1".into())));
    assert_eq!(serde_json::to_value(uuid()).unwrap(), json!(["uuid", ID]));
    assert_eq!(serde_json::to_value(NamedUuid("row1".into())).unwrap(), json!(["named-uuid", "row1"]));
}

#[test]
fn wrong_values_are_refused() {
    for wrong in [
        json!(null),
        json!([]),
        json!(["set"]),
        json!(["set", 7]),
        json!(["set", [1], 2]),
        json!(["list", [1]]),
        json!(["uuid", "11111111222233334444555555555555"]),
        json!(["uuid", "x"]),
        json!(["map", [["a"]]]),
        json!(["set", [["set", [1]]]]),
        json!({"a": 1}),
    ] {
        assert!(serde_json::from_str::<Value>(&wrong.to_string()).is_err(), "{wrong} was accepted");
    }
}

#[test]
fn typed_columns_read_every_spelling() {
    let bare: Set<Uuid> = serde_json::from_value(json!(["uuid", ID])).unwrap();
    let wrapped: Set<Uuid> = serde_json::from_value(json!(["set", [["uuid", ID]]])).unwrap();
    assert_eq!(bare, wrapped);
    assert_eq!(serde_json::from_value::<Set<i64>>(json!(5)).unwrap(), Set(Box::new([5])));
    assert_eq!(serde_json::from_value::<Set<String>>(json!("a")).unwrap(), Set(Box::new(["a".into()])));
    assert_eq!(serde_json::from_value::<Optional<u16>>(json!(["set", []])).unwrap(), Optional(None));
    assert_eq!(serde_json::from_value::<Optional<bool>>(json!(true)).unwrap(), Optional(Some(true)));
    assert!(serde_json::from_value::<Optional<i64>>(json!(["set", [1, 2]])).is_err());
    let map: Map<String, i64> = serde_json::from_value(json!(["map", [["rx", 1]]])).unwrap();
    assert_eq!(map.get("rx"), Some(&1));
    assert!(serde_json::from_value::<Uuid>(json!(["named-uuid", "row1"])).is_err());
}

fn atom_of(kind: u8) -> BoxedStrategy<Atom> {
    match kind {
        0 => any::<i64>().prop_map(Atom::Integer).boxed(),
        1 => any::<bool>().prop_map(Atom::Boolean).boxed(),
        2 => any::<String>().prop_map(Atom::String).boxed(),
        3 => any::<u128>().prop_map(|bits| Atom::Uuid(Uuid(uuid::Uuid::from_u128(bits)))).boxed(),
        // The wire has one number type: a real without a fraction comes back as an integer.
        4 => (-1e9..1e9f64).prop_filter("whole", |r| r.fract() != 0.0).prop_map(Atom::Real).boxed(),
        _ => "[A-Za-z_][A-Za-z0-9_]{0,20}".prop_map(|name| Atom::NamedUuid(NamedUuid(name.into()))).boxed(),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    (0u8..6, 0u8..6).prop_flat_map(|(key, value)| {
        prop_oneof![
            atom_of(key).prop_map(Value::Atom),
            prop::collection::vec(atom_of(key), 0..8).prop_map(Value::set),
            prop::collection::btree_map(atom_of(key), atom_of(value), 0..8).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn any_json_is_read_or_refused_without_a_panic(text in "[\\[\\]{}\",a-z0-9:. -]{0,40}") {
        let _ = serde_json::from_str::<Value>(&text);
        let _ = serde_json::from_str::<Set<Uuid>>(&text);
        let _ = serde_json::from_str::<Map<String, Atom>>(&text);
    }
}
