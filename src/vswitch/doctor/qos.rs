//! Quality of service that nothing uses. Rows of QoS and Queue stay when the ports that used them go.

use std::collections::BTreeSet;

use super::{About, Code, Examination, Findings, Severity, list};

pub(super) const QOS: Code = Code {
    name: "qos-unused",
    severity: Severity::Note,
    meaning: "No port refers to these rows of the table QoS, so they shape nothing. They stay when their ports are \
              deleted.",
    advice: "Set `qos` of a port to the row, or remove it: `ovs-vsctl destroy QoS UUID`.",
};

pub(super) const QUEUE: Code = Code {
    name: "queue-unused",
    severity: Severity::Note,
    meaning: "No row of the table QoS refers to these rows of the table Queue, so they do nothing.",
    advice: "Put the queue into `queues` of a row of QoS, or remove it: `ovs-vsctl destroy Queue UUID`.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let Some(further) = &examination.further else { return };
    let mut unused = |code, what: &str, rows: &BTreeSet<String>| {
        if !rows.is_empty() {
            let message = format!("{what}: {}", list(rows.iter().map(String::as_str)));
            findings.add(code, About::SWITCH, message);
        }
    };
    unused(&QOS, "QoS rows that no port refers to", &further.unused_qos);
    unused(&QUEUE, "Queue rows that no QoS row refers to", &further.unused_queues);
}
