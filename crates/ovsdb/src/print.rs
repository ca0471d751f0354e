//! Values as `ovs-vsctl get` prints them.

use std::fmt;

use crate::value::{Atom, Value};

/// A value as `ovs-vsctl get` prints it, which is also how it can be given to `COLUMN=VALUE`.
pub fn to_text(value: &Value) -> String {
    struct Text<'a>(&'a Value);

    impl fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Value::Atom(atom) => Word(atom).fmt(f),
                Value::Set(atoms) => {
                    f.write_str("[")?;
                    write_list(f, atoms)?;
                    f.write_str("]")
                }
                Value::Map(pairs) => {
                    f.write_str("{")?;
                    for (place, (key, value)) in pairs.iter().enumerate() {
                        let comma = if place > 0 { ", " } else { "" };
                        write!(f, "{comma}{}={}", Word(key), Word(value))?;
                    }
                    f.write_str("}")
                }
            }
        }
    }

    Text(value).to_string()
}

/// Atoms, with commas between them.
pub(crate) fn write_list<'a>(f: &mut fmt::Formatter<'_>, atoms: impl IntoIterator<Item = &'a Atom>) -> fmt::Result {
    for (place, atom) in atoms.into_iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{}", Word(atom))?;
    }
    Ok(())
}

/// An atom in the notation: text that is not a plain word stands in quotes.
pub(crate) struct Word<'a>(pub(crate) &'a Atom);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Atom::Integer(number) => number.fmt(f),
            Atom::Real(number) => number.fmt(f),
            Atom::Boolean(truth) => truth.fmt(f),
            Atom::Uuid(uuid) => uuid.fmt(f),
            Atom::NamedUuid(name) => f.write_str(&name.0),
            Atom::String(text) if is_word(text) => f.write_str(text),
            Atom::String(text) => serde_json::Value::from(text.as_str()).fmt(f),
        }
    }
}

fn is_word(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    starts_well && goes_on_well && text != "true" && text != "false"
}
