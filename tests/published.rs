//! What is published about the commands is what the program does. `make generate` brings it up to date.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::Path;

use ovs_plugin::commands::REGISTRY;
use ovs_plugin::error::NUMBERS;
use ovs_plugin::published;
use ovs_plugin::server::options;
use ovs_plugin::vswitch::tables;
use ovsdb::schema::DatabaseSchema;
use serde_json::Value;

/// Set by `make generate`: write the files instead of comparing them.
const UPDATE: &str = "OVS_PLUGIN_GENERATE";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_manual_and_the_schemas_are_current() {
    for (path, content) in published::files() {
        let file = project().join(&path);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&file, &content).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == content, "{path} is out of date; run `make generate`");
    }
}

#[test]
fn no_schema_is_left_of_a_command_that_is_gone() {
    let expected: BTreeSet<String> = published::files().into_iter().map(|(path, _)| path).collect();
    for file in std::fs::read_dir(project().join("schemas")).unwrap() {
        let path = format!("schemas/{}", file.unwrap().file_name().to_string_lossy());
        assert!(path.ends_with(".md") || expected.contains(&path), "{path} belongs to no command");
    }
}

#[test]
fn every_example_is_json_and_names_arguments_that_exist() {
    for entry in REGISTRY {
        let (arguments, answer) = entry.example;
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        serde_json::from_str::<Value>(answer).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        let schema = published::schema(entry);
        let known = schema["properties"]["arguments"]["properties"].as_object().unwrap();
        for name in arguments.as_object().unwrap().keys() {
            assert!(known.contains_key(name), "{}: {name}", entry.name);
        }
    }
}

#[test]
fn the_columns_that_are_relied_on_exist_in_the_schema() {
    let text = include_str!("data/vswitch-8.3.1.ovsschema");
    let schema: DatabaseSchema = serde_json::from_str(text).unwrap();
    for (table, columns) in tables::RELIED_ON {
        for column in *columns {
            assert!(schema.tables[*table].columns.contains_key(*column), "{table}.{column}");
        }
    }
}

#[test]
fn every_known_defect_of_the_original_is_in_the_table_of_differences() {
    let page = std::fs::read_to_string(project().join("docs/compatibility.md")).unwrap();
    for file in std::fs::read_dir(project().join("tests/golden")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let transcript: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = transcript["name"].as_str().unwrap();
        let listed = page.contains(&format!("`{name}`"));
        assert_eq!(listed, transcript.get("defect").is_some(), "{name}");
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    for entry in REGISTRY {
        assert!(readme.contains(&format!("`{}`", entry.name)), "{}", entry.name);
    }
}

#[test]
fn the_servers_page_has_every_error_with_its_number_and_every_option() {
    let page = std::fs::read_to_string(project().join("docs/server.md")).unwrap();
    for (word, number) in NUMBERS {
        assert!(page.contains(&format!("\n| {number} | `{word}` | ")), "{word}");
    }
    for option in options::command("serve").get_arguments().filter_map(|argument| argument.get_long()) {
        assert!(page.contains(&format!("--{option} ")), "{option}");
    }
}

#[test]
fn every_error_that_a_command_names_has_a_number() {
    for entry in REGISTRY {
        for (word, _) in entry.errors {
            assert!(NUMBERS.iter().any(|(known, _)| known == word), "{}: {word}", entry.name);
        }
    }
}
