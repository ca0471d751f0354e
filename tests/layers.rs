//! The layers of docs/design.md: a module imports only what stands before it in the lists here. So there are no cycles,
//! and whoever reads a module need not know what is built upon it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The program, from the bottom upwards. The ways in do not know each other; `cli` is what a person types, and starts any
/// of them.
const PROGRAM: &[&[&str]] = &[
    &["terminal", "deadline", "problem", "jsonrpc"],
    &["links"],
    &["error"],
    &["settings", "credentials"],
    &["log", "paths"],
    &["vswitch"],
    &["draw"],
    &["commands"],
    &["flags"],
    &["published"],
    &["fuzzing", "single"],
    &["agent", "client", "container", "server"],
    &["cli"],
];

/// The OVSDB client.
const CLIENT: &[&[&str]] = &[
    &["value", "error"],
    &["print", "operation", "wire"],
    &["schema", "monitor", "rows"],
    &["notation", "transaction", "protocol"],
    &["link", "address"],
    &["driver"],
    &["connection"],
    &["membership"],
    &["replica"],
];

/// The pure parts of `vswitch/`: the core, the topology, and what they may know.
const CORE: &[&[&str]] = &[&["tables", "health", "secrets", "network"], &["plan", "topology"]];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder, with their texts without comments and without tests.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
            found.push((path, code.join("\n")));
        }
    }
    found
}

/// The modules that a text names right behind this, `crate::` for instance.
fn named<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(prefix).skip(1).flat_map(|rest| {
        // A list in braces names several.
        let several = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(list, _)| list);
        let names: Vec<&str> = several.map_or_else(|| vec![rest], |list| list.split(',').map(str::trim).collect());
        names.into_iter().map(|name| {
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            &name[..end]
        })
    })
}

/// What imports upwards or sideways, in words; and which modules stand in no layer.
fn complaints(folder: &Path, layers: &[&[&str]], prefix: &str) -> Vec<String> {
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let mut complaints = BTreeSet::new();
    for (path, text) in sources(folder) {
        let below = path.strip_prefix(folder).unwrap();
        let module = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main" | "mod") {
            continue;
        }
        let Some(at) = layer(module) else {
            complaints.insert(format!("{module} stands in no layer of tests/layers.rs"));
            continue;
        };
        for other in named(&text, prefix).filter(|other| *other != module) {
            // Names with a capital are re-exports of the root, which are looked at where they come from.
            if layer(other).is_some_and(|other| other >= at) {
                complaints.insert(format!("{}: {module} must not import {other}", below.display()));
            }
        }
    }
    complaints.into_iter().collect()
}

#[test]
fn no_module_of_the_program_imports_what_is_built_upon_it() {
    assert_eq!(complaints(&root().join("src"), PROGRAM, "crate::"), Vec::<String>::new());
}

#[test]
fn no_module_of_the_client_imports_what_is_built_upon_it() {
    assert_eq!(complaints(&root().join("crates/ovsdb/src"), CLIENT, "crate::"), Vec::<String>::new());
}

#[test]
fn the_client_has_no_word_of_switches() {
    let words = ["\"Bridge\"", "\"Port\"", "\"Interface\"", "\"Open_vSwitch\"", "ovs_plugin", "vswitchd"];
    for (path, text) in sources(&root().join("crates/ovsdb/src")) {
        for word in words {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn the_pure_core_knows_no_session_and_no_socket() {
    let folder = root().join("src/vswitch");
    let allowed: Vec<&str> = CORE.concat();
    for module in &allowed {
        let own = sources(&folder).into_iter().filter(|(path, _)| {
            path.strip_prefix(&folder).unwrap().iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
                == *module
        });
        for (path, text) in own {
            // What the files of a folder say of each other begins with `super` as well.
            let in_folder = path.parent() != Some(&folder);
            let above = if in_folder { "crate::vswitch::" } else { "super::" };
            for other in named(&text, above).chain(named(&text, "crate::vswitch::")) {
                assert!(allowed.contains(&other) || other.is_empty(), "{} imports {other}", path.display());
            }
            for word in ["Session", "Connection", "async ", ".await", "tokio", "std::net"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn the_test_sees_what_it_is_for() {
    let folder = std::env::temp_dir().join(format!("ovs-plugin-layers-{}", std::process::id()));
    fs::create_dir_all(folder.join("low")).unwrap();
    fs::write(folder.join("low/deep.rs"), "use crate::{high::Thing, low};\n// use crate::top;\n").unwrap();
    fs::write(folder.join("high.rs"), "use crate::low::deep;\n#[cfg(test)]\nmod tests { use crate::top; }").unwrap();
    fs::write(folder.join("other.rs"), "").unwrap();
    let found = complaints(&folder, &[&["low"], &["high"], &["top"]], "crate::");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, ["low/deep.rs: low must not import high", "other stands in no layer of tests/layers.rs"]);
}

/// Lines of a file, and of a function.
const LONGEST: (usize, usize) = (600, 80);

#[test]
fn no_file_and_no_function_is_too_long_to_be_read_at_once() {
    let mut complaints = Vec::new();
    for (path, text) in [sources(&root().join("src")), sources(&root().join("crates/ovsdb/src"))].concat() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > LONGEST.0 {
            complaints.push(format!("{} has {} lines", path.display(), lines.len()));
        }
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("fn ") && line.ends_with('{')) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..]
                .iter()
                .position(|line| line.strip_prefix(indent).is_some_and(|line| line.starts_with('}')));
            if end.is_some_and(|length| length >= LONGEST.1) {
                complaints.push(format!("{}: {} is too long", path.display(), line.trim()));
            }
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn the_documents_name_files_that_are_there() {
    let mut documents = vec!["README.md", "CONTRIBUTING.md", "SECURITY.md", "crates/ovsdb/README.md"]
        .into_iter()
        .map(|name| root().join(name))
        .collect::<Vec<_>>();
    documents.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    // What is to be made, by the reader or by a run, and what the plan has and the project has not.
    let not_there = ["src/commands/NAME.rs", "fuzz/artifacts/", "crates/ovs-schema", "crates/ovs-switch"];
    let mut missing = Vec::new();
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(document).unwrap();
        // Between two backticks is every second part.
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "crates/", "tests/", "benches/", "scripts/", "docs/", "fuzz/"]
                .iter()
                .any(|folder| name.starts_with(folder) && !name.contains([' ', '*', '{', '<', '\n']));
            if is_path && !not_there.contains(&name) && !root().join(name).exists() {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
