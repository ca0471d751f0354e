//! Packed rows.

use super::*;
use proptest::prelude::*;

fn shape(key: AtomicType, value: Option<AtomicType>, single: bool) -> ColumnShape {
    ColumnShape { name: "c".into(), key, value, scalar: false, single }
}

fn atom(kind: AtomicType) -> BoxedStrategy<Atom> {
    match kind {
        AtomicType::Integer => prop_oneof![-3i64..4, any::<i64>()].prop_map(Atom::Integer).boxed(),
        AtomicType::Real => prop_oneof![-9.5f64..9.5, Just(0.0), Just(1e300)].prop_map(Atom::Real).boxed(),
        AtomicType::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomicType::String => "[a-c]{0,3}|é{60,80}".prop_map(Atom::String).boxed(),
        AtomicType::Uuid => (0u128..6).prop_map(|number| Atom::Uuid(Uuid(uuid::Uuid::from_u128(number << 90)))).boxed(),
    }
}

fn kind() -> impl Strategy<Value = AtomicType> {
    use AtomicType::{Boolean, Integer, Real, String, Uuid};
    prop_oneof![Just(Integer), Just(Real), Just(Boolean), Just(String), Just(Uuid)]
}

/// A column and two values of it.
fn column() -> impl Strategy<Value = (ColumnShape, Value, Value)> {
    (kind(), proptest::option::of(kind())).prop_flat_map(|(key, value)| {
        let one = move || match value {
            None => proptest::collection::vec(atom(key), 0..6).prop_map(Value::set).boxed(),
            Some(value) => proptest::collection::btree_map(atom(key), atom(value), 0..6).prop_map(Value::Map).boxed(),
        };
        (Just(shape(key, value, false)), one(), one())
    })
}

/// What ovsdb-server would tell.
fn difference(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Map(old), Value::Map(new)) => {
            let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
            let put = new.iter().filter(|(key, value)| old.get(key) != Some(value));
            Value::Map(gone.chain(put).map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        _ => {
            let (old, new): (Vec<_>, Vec<_>) = (old.atoms().collect(), new.atoms().collect());
            let gone = old.iter().filter(|atom| !new.contains(atom));
            Value::set(gone.chain(new.iter().filter(|atom| !old.contains(atom))).map(|atom| (*atom).clone()))
        }
    }
}

proptest! {
    #[test]
    fn what_is_packed_comes_out_again_and_differences_apply((shape, old, new) in column()) {
        let (before, after) = (shape.pack(&old).unwrap(), shape.pack(&new).unwrap());
        prop_assert!(shape.is_sorted(&before));
        prop_assert_eq!(ColumnView::new(&shape, &before).to_value(), old.clone());
        let mut merged = Vec::new();
        shape.merge(&before, &shape.pack(&difference(&old, &new)).unwrap(), &mut merged);
        prop_assert_eq!(&merged, &after);
        let backwards: Vec<u8> = shape.entries(&after).collect::<Vec<_>>().into_iter().rev().flatten().copied().collect();
        prop_assert_eq!(shape.sort(&backwards), after.clone());
        for entry in shape.entries(&after) {
            prop_assert!(shape.contains(&after, entry));
            prop_assert_eq!(shape.contains(&before, entry), shape.entries(&before).any(|other| other == entry));
        }
    }
}

#[test]
fn a_row_gives_each_column_back_whatever_their_size() {
    let shapes = [shape(AtomicType::String, None, true), shape(AtomicType::Uuid, None, false)];
    for length in [0, 1, 200, 70_000] {
        let mut parts = Parts::default();
        parts.clear(2);
        put_string(&mut parts.bytes, &"x".repeat(length));
        parts.spans[0] = Some((0, parts.bytes.len()));
        let row = parts.pack_new(&shapes);
        assert_eq!(ColumnView::new(&shapes[0], row.column(0, 2)).as_str().unwrap().len(), length);
        assert!(row.column(1, 2).is_empty());
    }
}
