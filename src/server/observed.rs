//! What `/metrics` tells of the switch: the database, ovs-vswitchd, and the counters of interfaces.
//!
//! It is looked at when somebody asks. Counters change every five seconds for every interface, so nothing here keeps
//! them; the rest is in the replica.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use ovsdb::replica::{Phase, Tables};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::error::Error;
use crate::vswitch::doctor::{self, Examination, Severity};
use crate::vswitch::hub::Hub;
use crate::vswitch::stats::Statistics;
use crate::vswitch::tables::{BRIDGE, INTERFACE, OPEN_VSWITCH, PORT};
use crate::vswitch::topology;
use crate::vswitch::{Session, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InterfaceLabels {
    bridge: String,
    interface: String,
}

/// Whether counters could be read, beside the counters themselves.
const COUNTERS_READ: &str = "counters_read";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SeverityLabel {
    severity: &'static str,
}

/// What is read of the replica.
#[derive(Default)]
struct Seen {
    requested: i64,
    applied: i64,
    bridges: usize,
    ports: usize,
    interfaces: usize,
    failing: usize,
    problems: Vec<(Severity, usize)>,
}

impl Seen {
    fn of(tables: &Tables) -> Self {
        // As `show` and the doctor judge it.
        let examination = Examination::of_database(&topology::Tables::of_replica(tables));
        let diagnosis = doctor::examine(&examination);
        let root = tables.table(OPEN_VSWITCH).and_then(|table| table.rows().next());
        let number = |column| root.and_then(|root| root.get(column)?.as_integer()).unwrap_or_default();
        let rows = |table| tables.table(table).map_or(0, |table| table.len());
        Seen {
            requested: number("next_cfg"),
            applied: number("cur_cfg"),
            bridges: rows(BRIDGE),
            ports: rows(PORT),
            interfaces: rows(INTERFACE),
            failing: examination.broken().len(),
            problems: vec![(Severity::Error, diagnosis.errors), (Severity::Warning, diagnosis.warnings)],
        }
    }
}

/// The text, in Prometheus's format. Without a database, it says that, and nothing of the switch.
pub async fn text(hub: &Hub, session: &mut Session) -> Result<String, fmt::Error> {
    let state = hub.replica().state().borrow().clone();
    let connected = state.phase == Phase::Current;
    let mut registry = Registry::with_prefix("ovs_plugin");
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: i64| {
        registry.register(name, help, ConstGauge::<i64>::new(value));
    };
    gauge(&mut registry, "database_connected", "Whether the replica is current", i64::from(connected));
    registry.register(
        "database_connections",
        "Connections over which the replica has been current; all but the first are reconnects",
        ConstCounter::<u64>::new(state.connections),
    );
    if connected {
        let seen = hub.replica().read(Seen::of);
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        gauge(&mut registry, "configuration_requested", "Open_vSwitch.next_cfg", seen.requested);
        gauge(&mut registry, "configuration_applied", "Open_vSwitch.cur_cfg, by ovs-vswitchd", seen.applied);
        gauge(&mut registry, "bridges", "Bridges, VLAN bridges of ovs-vsctl not included", size(seen.bridges));
        gauge(&mut registry, "ports", "Ports of all bridges", size(seen.ports));
        gauge(&mut registry, "interfaces", "Interfaces of all ports", size(seen.interfaces));
        gauge(
            &mut registry,
            "interfaces_failing",
            "Interfaces that carry nothing until something changes",
            size(seen.failing),
        );
        let problems: Family<SeverityLabel, Gauge<i64, AtomicI64>> = Family::default();
        for (severity, count) in seen.problems {
            let severity = if severity == Severity::Error { "error" } else { "warning" };
            problems.get_or_create(&SeverityLabel { severity }).set(size(count));
        }
        registry.register("problems", "What the doctor finds in the database alone, as show draws it", problems);
        let counters = counters(session).await;
        let help = "Whether the counters of interfaces could be read; if not, they are left out";
        gauge(&mut registry, &format!("interface_{COUNTERS_READ}"), help, i64::from(counters.is_ok()));
        match counters {
            Ok(statistics) => register(&mut registry, statistics),
            Err(error) => tracing::warn!(%error, "metrics without counters"),
        }
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

async fn counters(session: &mut Session) -> Result<Statistics, Error> {
    Unit::new(session, String::new(), "", false).statistics(Duration::ZERO, None).await
}

/// A metric for each counter. Those of a device may begin anew, so they are passed on as they are.
fn register(registry: &mut Registry, statistics: Statistics) {
    let mut metrics: BTreeMap<String, Family<InterfaceLabels, Gauge<i64, AtomicI64>>> = BTreeMap::new();
    for interface in statistics.interfaces {
        for (counter, value) in interface.counters {
            let labels = InterfaceLabels { bridge: interface.bridge.clone(), interface: interface.name.clone() };
            metrics.entry(metric_name(&counter)).or_default().get_or_create(&labels).set(value);
        }
    }
    for (counter, metric) in metrics {
        registry.register(format!("interface_{counter}"), "Interface.statistics", metric);
    }
}

/// A key of statistics as the rest of a metric's name. The database may hold any text there, line ends included; the format
/// only allows these characters.
fn metric_name(key: &str) -> String {
    let name = key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    // That is a metric of this page itself.
    if name == COUNTERS_READ { format!("{name}_") } else { name }
}
