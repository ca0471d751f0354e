//! The schema of the database.

use super::{About, Code, Examination, Findings, Severity, list};
use crate::vswitch::tables::RELIED_ON;

pub(super) const OLD: Code = Code {
    name: "schema-old",
    severity: Severity::Warning,
    meaning: "The database lacks columns that some commands need; those commands will be refused.",
    advice: "Convert the database to the schema of the installed Open vSwitch: `ovs-plugin init` does it before the \
             daemons start, `ovsdb-client convert` while they run.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let schema = &examination.schema;
    let mut missing = Vec::new();
    for (table, columns) in RELIED_ON {
        match schema.tables.get(*table) {
            None => missing.push((*table).to_owned()),
            Some(known) => {
                let unknown = columns.iter().filter(|column| !known.columns.contains_key(**column));
                missing.extend(unknown.map(|column| format!("{table}.{column}")));
            }
        }
    }
    if !missing.is_empty() {
        let missing = list(missing.iter().map(String::as_str));
        findings.add(&OLD, About::SWITCH, format!("schema {} has no {missing}", schema.version));
    }
}
