//! How many instructions one execution takes, from its start to its end, as callgrind counts them in user space.
//!
//! Runs on one switch differ by some ten instructions, on a busy machine too, and switches by 1 %: uuids and numbers in
//! the server's answers have other places and lengths. Machines may differ by a few percent more: glibc and memchr
//! choose other functions where there is no AVX2 (glibc's are 1.3 %), kernels tell more or less about a device, and
//! glibc reads `/proc/self/maps` when a program starts (8 %), where each valgrind has lines of its own. The environment
//! is the same everywhere.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::shipped::{Shipped, ensures, need, skipped};

/// In either direction: what became cheaper and was not recorded could become dearer again unnoticed.
const TOLERATED_PERCENT: u64 = 10;

/// Set by `make record-limits`: write down the numbers instead of comparing them.
const RECORD: &str = "OVS_PLUGIN_RECORD_LIMITS";

const HEADER: &str = "\
# The instructions that one execution of the shipped binary takes, by the processor's architecture.
# `make test` fails when a number is off by more than 10 %; `make record-limits` writes this file.
";

/// By architecture and execution.
type Recorded = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn a_repeated_ensure_executes_the_recorded_number_of_instructions() {
    need("valgrind");
    let measured = measure();
    let mut all = recorded();
    if std::env::var_os(RECORD).is_some() {
        all.insert(std::env::consts::ARCH.into(), measured);
        fs::write(file(), format!("{HEADER}\n{}", toml::to_string(&all).unwrap())).unwrap();
        return;
    }
    let Some(recorded) = all.get(std::env::consts::ARCH) else {
        skipped(&format!("nothing is recorded for {}; `make record-limits` does it", std::env::consts::ARCH));
        return;
    };
    assert!(
        measured.keys().eq(recorded.keys()),
        "measured are {:?}, recorded are {:?}; run `make record-limits`",
        measured.keys(),
        recorded.keys()
    );
    let mut complaints = String::new();
    for (execution, &now) in &measured {
        let before = recorded[execution];
        let off = now.abs_diff(before);
        if off * 100 <= before * TOLERATED_PERCENT {
            continue;
        }
        let percent = off * 100 / before;
        let judgement = if now > before {
            format!("{percent} % more than recorded. Find what takes them; if it is worth them, record the new number")
        } else {
            format!("{percent} % fewer than recorded. Record the new number, so that the gain is kept")
        };
        writeln!(complaints, "{execution}: {now} instructions instead of {before}, {judgement}: `make record-limits`")
            .unwrap();
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/limits/instructions.toml")
}

fn recorded() -> Recorded {
    toml::from_str(&fs::read_to_string(file()).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", file().display()))
}

fn measure() -> BTreeMap<String, u64> {
    let shipped = Shipped::new();
    let mut measured = BTreeMap::new();
    for (name, command, arguments) in ensures() {
        let expected = shipped.run(&[], command, &arguments).ok();
        let count = instructions(&shipped, |under| {
            assert_eq!(shipped.run(under, command, &arguments).ok(), expected);
        });
        measured.insert(format!("repeated-{name}"), count);
    }
    // Refused before the database is asked, so this is mostly the start.
    let count = instructions(&shipped, |under| {
        shipped.run(under, "vlan-ensure", &json!({"master": "backplane", "vlan": 4095})).failed();
    });
    measured.insert("refused-vlan-ensure".into(), count);
    measured
}

/// What callgrind counts while `execute` executes the plugin under the program given to it.
fn instructions(shipped: &Shipped, execute: impl FnOnce(&[&str])) -> u64 {
    let file = shipped.switch.directory().join("callgrind.out");
    let to_file = format!("--callgrind-out-file={}", file.display());
    execute(&["valgrind", "--quiet", "--vgdb=no", "--tool=callgrind", &to_file]);
    let counted = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: "));
    total.unwrap_or_else(|| panic!("no totals in\n{counted}")).trim().parse().unwrap()
}
