//! `ovs-plugin stats` on a terminal: a table of what matters most of the counters.

use std::collections::BTreeMap;

use super::style::{ERROR, FAINT, STRONG, paint, printable};
use crate::vswitch::stats::{Basis, InterfaceStatistics, Statistics};

/// Writes the table.
pub fn write(statistics: &Statistics) -> String {
    let with_rates = statistics.interfaces.iter().any(|interface| interface.rates.is_some());
    let mut heading =
        vec!["bridge", "interface", "rx packets", "rx bytes", "tx packets", "tx bytes", "errors", "dropped"];
    if with_rates {
        heading.extend(["rx bit/s", "rx pkt/s", "tx bit/s", "tx pkt/s", "over"]);
    }
    let mut table = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    table.extend(statistics.interfaces.iter().map(|interface| row(interface, with_rates)));

    let widths: Vec<usize> = (0..table[0].len())
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut page = String::new();
    for (number, row) in table.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Names to the left, numbers to the right.
            let cell = if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            let is_trouble = matches!(column, 6 | 7) && !matches!(cell.trim(), "0" | "-");
            match (number, is_trouble) {
                (0, _) => paint(STRONG, cell),
                (_, true) => paint(ERROR, cell),
                _ => cell,
            }
        });
        page.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        page.push('\n');
    }
    let every = format!("ovs-vswitchd writes counters every {} s", statistics.update_interval);
    page.push_str(&paint(FAINT, every));
    page.push('\n');
    page
}

fn row(interface: &InterfaceStatistics, with_rates: bool) -> Vec<String> {
    let counter = |name: &str| interface.counters.get(name).map_or("-".into(), ToString::to_string);
    let sum = |names: [&str; 2]| {
        let known: Vec<i64> = names.iter().filter_map(|name| interface.counters.get(*name).copied()).collect();
        if known.is_empty() { "-".into() } else { known.iter().sum::<i64>().to_string() }
    };
    let mut row = vec![
        printable(&interface.bridge),
        printable(&interface.name),
        counter("rx_packets"),
        counter("rx_bytes"),
        counter("tx_packets"),
        counter("tx_bytes"),
        sum(["rx_errors", "tx_errors"]),
        sum(["rx_dropped", "tx_dropped"]),
    ];
    if with_rates {
        let rate = |name: &str| interface.rates.as_ref().and_then(|rates: &BTreeMap<String, f64>| rates.get(name));
        let bits = |name: &str| rate(name).map_or("-".into(), |bytes| scaled(bytes * 8.0));
        let packets = |name: &str| rate(name).map_or("-".into(), |packets| scaled(*packets));
        row.extend([bits("rx_bytes"), packets("rx_packets"), bits("tx_bytes"), packets("tx_packets")]);
        row.push(match (interface.seconds, interface.basis) {
            (Some(seconds), Some(Basis::TwoWrites)) => format!("{seconds:.1} s"),
            // Taken from the setting and not measured.
            (Some(seconds), _) => format!("~{seconds:.0} s"),
            (None, _) => "-".into(),
        });
    }
    row
}

/// A number with three digits or so and a prefix.
fn scaled(number: f64) -> String {
    let prefixes = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match prefixes.iter().find(|(factor, _)| number >= *factor) {
        Some((factor, prefix)) => format!("{:.1}{prefix}", number / factor),
        None => format!("{number:.1}"),
    }
}
