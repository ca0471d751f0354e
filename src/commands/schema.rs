//! The JSON Schema of a command's arguments, with those that every command has.

use serde_json::{Value, json};

use super::Entry;

/// The arguments that every command has.
pub(crate) const COMMON: &[(&str, bool, &str)] = &[
    ("dry_run", false, "Answer with the changes that would be made, as a report, and change nothing."),
    ("report", false, "Answer with a report in place of the bare result."),
    (
        VERIFY,
        true,
        "Look at the interfaces that the change touches once ovs-vswitchd has applied it, and take it back if one does \
         not work. What an interface asked for and did not get, an MTU for instance, is a note; with the value \
         `\"strict\"` the change is taken back for that as well.",
    ),
    (
        "durable",
        false,
        "Have the database write the change to disk (fsync) before it is acknowledged, and all that was written before. A \
         cluster does that always; a database in a file otherwise leaves it to the operating system, and a power failure \
         may take the last seconds. Where there is nothing to change, a change of `next_cfg` alone is written.",
    ),
    (
        STRICT,
        false,
        "Refuse arguments that the command does not take. Otherwise they are ignored, and a note names them with what was \
         probably meant. Over JSON-RPC true is the default.",
    ),
];

/// The one common argument that also takes a word.
pub(crate) const VERIFY: &str = "verify";

/// The argument whose default is another over JSON-RPC, where no caller of the original has to be obeyed.
pub(crate) const STRICT: &str = "strict";

/// The JSON Schema of a command's arguments, with those of every command.
pub(crate) fn arguments(entry: &Entry) -> Value {
    let mut arguments = (entry.arguments_schema)().to_value();
    without_heading(&mut arguments);
    let properties = arguments.as_object_mut().map(|members| members.entry("properties").or_insert(json!({})));
    if let Some(Value::Object(properties)) = properties {
        for (name, default, about) in COMMON {
            let mut common = json!({"type": "boolean", "default": default, "description": about});
            if *name == VERIFY {
                common["type"] = json!(["boolean", "string"]);
                common["enum"] = json!([true, false, "strict"]);
            }
            properties.insert((*name).to_owned(), common);
        }
    }
    arguments
}

/// Part of a document, and none by itself.
pub(crate) fn without_heading(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
        members.remove("title");
    }
}

/// A text without its line ends.
pub(crate) fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
