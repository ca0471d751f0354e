//! What `/metrics` tells of the server, in Prometheus's text format; `observed` adds the switch.

use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The media type of what [`Metrics::text`] makes.
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Upper bounds in seconds: an ensure with nothing to do takes a fraction of a millisecond, a change that ovs-vswitchd
/// applies some milliseconds, and the usual deadline is 8 s.
const BUCKETS: [f64; 15] =
    [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabel {
    command: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    command: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabel {
    outcome: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Mutex<Registry>,
    commands: Family<OutcomeLabels, Counter>,
    seconds: Family<CommandLabel, Histogram, fn() -> Histogram>,
    accepted: Family<ConnectionLabel, Counter>,
    /// Commands that run, or wait for their turn.
    pub in_flight: Gauge<i64, AtomicI64>,
    /// Open connections.
    pub connections: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("ovs_plugin");
        let metrics = Metrics {
            registry: Mutex::default(),
            commands: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            accepted: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        registry.register("build", "The program's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            "commands",
            "Commands that have ended; outcome is ok, or the code of the error",
            metrics.commands.clone(),
        );
        registry.register_with_unit(
            "command_duration",
            "How long commands took, waiting included",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("commands_in_flight", "Commands that run, or wait for their turn", metrics.in_flight.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "connections_accepted",
            "Connections by what became of them: served, refused (no right to be here), full (too many)",
            metrics.accepted.clone(),
        );
        Metrics { registry: Mutex::new(registry), ..metrics }
    }

    /// A command has ended.
    pub fn count_command(&self, command: &'static str, outcome: &'static str, took: Duration) {
        self.commands.get_or_create(&OutcomeLabels { command, outcome }).inc();
        self.seconds.get_or_create(&CommandLabel { command }).observe(took.as_secs_f64());
    }

    /// A connection has been accepted.
    pub fn count_connection(&self, outcome: &'static str) {
        self.accepted.get_or_create(&ConnectionLabel { outcome }).inc();
    }

    /// All of it, as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}
