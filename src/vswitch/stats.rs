//! Counters of interfaces, and rates that are honest about where they come from.
//!
//! ovs-vswitchd writes all counters to the database in one go every `other_config:stats-update-interval` milliseconds,
//! 5000 by default and at least (ovs-vswitchd.conf.db(5), Open_vSwitch), and those of a new interface when it opens it.
//! A row whose counters are the same as before is not written. So two readings some time apart tell nothing of the rate:
//! they may be a few milliseconds before and after a write, or have none between them. What tells is when the counters
//! were written, so a monitor watches for that.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ovsdb::monitor::{MonitorRequest, MonitorRequests, TableUpdates, Update};
use ovsdb::transaction::Transaction;
use ovsdb::value::Map;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::present;
use super::tables::{DATABASE, INTERFACE};
use super::topology::{Tables, Topology};
use super::unit::Unit;
use crate::error::Error;

/// The counters of the switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Statistics {
    /// Every how many seconds ovs-vswitchd writes counters.
    pub update_interval: f64,
    /// The interfaces, by bridge and name.
    pub interfaces: Vec<InterfaceStatistics>,
}

/// The counters of an interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct InterfaceStatistics {
    /// Its bridge.
    pub bridge: String,
    /// Its port.
    pub port: String,
    /// Its name.
    pub name: String,
    /// The counters since the interface was made, as ovs-vswitchd wrote them last; which ones depends on its type.
    pub counters: BTreeMap<String, i64>,
    /// By how much each counter grows in a second; left out if that was not asked for, or can't be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<BTreeMap<String, f64>>,
    /// Over how many seconds the rates are an average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the rates rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// What rates rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Basis {
    /// Counters were written twice or more; the rates are between the first time and the last.
    TwoWrites,
    /// Counters were written once; those before count as written one update interval earlier. For an interface that is
    /// younger than that, the rates are too low.
    OneWrite,
    /// Counters were not written though it was time to, so they have not changed.
    NoWrite,
}

/// The least that ovs-vswitchd takes for its interval, and the default.
const UPDATE_INTERVAL: Duration = Duration::from_millis(5000);

/// How much later than its interval ovs-vswitchd may write.
const SLACK: Duration = Duration::from_millis(500);

type Counters = BTreeMap<String, i64>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    #[serde(deserialize_with = "counters")]
    statistics: Counters,
}

fn counters<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Counters, D::Error> {
    Map::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
}

#[derive(Debug, Deserialize)]
struct Change {
    #[expect(dead_code, reason = "what the counters were is known")]
    old: Option<IgnoredAny>,
    new: Option<Row>,
}

/// What was seen of one interface's counters while they were watched.
#[derive(Clone, Debug, Default, PartialEq)]
struct Watched {
    /// Those at the beginning; none while the interface had none.
    before: Option<Counters>,
    /// The first that were written, and when.
    first: Option<(Duration, Counters)>,
    /// The last that were written, and when, if that was not the first time.
    last: Option<(Duration, Counters)>,
}

impl Watched {
    fn begin(counters: Counters) -> Self {
        Watched { before: Some(counters).filter(|counters| !counters.is_empty()), ..Watched::default() }
    }

    fn write(&mut self, at: Duration, counters: Counters) {
        match (&self.before, &self.first) {
            // What a new interface starts with is no change.
            (None, _) => self.before = Some(counters).filter(|counters| !counters.is_empty()),
            // Another column of the row was written.
            _ if self.now() == Some(&counters) => {}
            (Some(_), None) => self.first = Some((at, counters)),
            (Some(_), Some(_)) => self.last = Some((at, counters)),
        }
    }

    fn now(&self) -> Option<&Counters> {
        let written = self.last.as_ref().or(self.first.as_ref()).map(|(_, counters)| counters);
        written.or(self.before.as_ref())
    }

    /// The growth per second, over how long, and what that rests on. `ticked` tells whether ovs-vswitchd has written, or
    /// had time to.
    fn rates(&self, interval: Duration, ticked: bool) -> Option<(BTreeMap<String, f64>, Duration, Basis)> {
        let before = self.before.as_ref()?;
        Some(match (&self.first, &self.last) {
            (Some((from, old)), Some((to, new))) if to > from => {
                let time = *to - *from;
                (growth(old, new, time), time, Basis::TwoWrites)
            }
            (Some((_, new)), _) => (growth(before, new, interval), interval, Basis::OneWrite),
            (None, _) if ticked => (growth(before, before, interval), interval, Basis::NoWrite),
            (None, _) => return None,
        })
    }
}

/// Counters that have become smaller have begun anew, and tell nothing.
fn growth(old: &Counters, new: &Counters, time: Duration) -> BTreeMap<String, f64> {
    let grown = new.iter().filter_map(|(name, new)| {
        let grown = new.checked_sub(*old.get(name)?).filter(|grown| *grown >= 0)?;
        // A thousandth is as exact as the clocks are.
        Some((name.clone(), (grown as f64 / time.as_secs_f64() * 1000.0).round() / 1000.0))
    });
    grown.collect()
}

impl Unit<'_> {
    /// Reads the counters of all interfaces, or of those of one bridge, and watches them for a while to tell rates.
    pub async fn statistics(&mut self, window: Duration, bridge: Option<&str>) -> Result<Statistics, Error> {
        let tables = self.tables().await?;
        let interval = update_interval(&tables);
        let topology = Topology::of(&tables);
        if let Some(bridge) = bridge.filter(|bridge| topology.bridge(bridge).is_none()) {
            return Err(Error::NotFound(format!("no bridge named {bridge}")));
        }
        let watched = if window.is_zero() { self.read_counters().await? } else { self.watch_counters(window).await? };
        let ticked = window >= interval + SLACK || watched.values().any(|watched| watched.first.is_some());
        let mut interfaces = Vec::new();
        for bridge in topology.bridges.iter().filter(|other| bridge.is_none_or(|bridge| bridge == other.name)) {
            for port in &bridge.ports {
                for interface in &port.interfaces {
                    let Some(watched) = watched.get(&interface.name) else { continue };
                    let rates = if window.is_zero() { None } else { watched.rates(interval, ticked) };
                    interfaces.push(InterfaceStatistics {
                        bridge: bridge.name.clone(),
                        port: port.name.clone(),
                        name: interface.name.clone(),
                        counters: watched.now().cloned().unwrap_or_default(),
                        seconds: rates.as_ref().map(|(_, time, _)| (time.as_secs_f64() * 1000.0).round() / 1000.0),
                        basis: rates.as_ref().map(|(_, _, basis)| *basis),
                        rates: rates.map(|(rates, ..)| rates),
                    });
                }
            }
        }
        Ok(Statistics { update_interval: interval.as_secs_f64(), interfaces })
    }

    async fn read_counters(&mut self) -> Result<HashMap<String, Watched>, Error> {
        let mut select = Transaction::new();
        select.select(INTERFACE, Vec::new(), &["name", "statistics"]);
        let results = self.session.read(&select).await?;
        let rows: Vec<Row> = match results.first() {
            Some(result) => result.rows().map_err(|error| unreadable(error.to_string()))?,
            None => Vec::new(),
        };
        Ok(rows.into_iter().map(|row| (row.name, Watched::begin(row.statistics))).collect())
    }

    async fn watch_counters(&mut self, window: Duration) -> Result<HashMap<String, Watched>, Error> {
        let deadline = self.session.deadline.clone();
        let connection = self.session.connection().await?;
        let request = MonitorRequest::columns(&["name", "statistics"]);
        let requests = MonitorRequests::from([(INTERFACE.into(), vec![request])]);
        let (initial, mut updates) = connection.monitor::<TableUpdates<Change>>(DATABASE, &requests);
        let expired = |expired| Error::expired_before_commit(expired, "watching counters");
        let initial = match deadline.limit(initial).await.map_err(expired)? {
            Ok(initial) => initial,
            // A schema without counters has none to watch, and what there is was asked for.
            Err(error) if error.server().is_some_and(present::may_be_about_names) => return self.read_counters().await,
            Err(error) => return Err(Error::reading(error)),
        };
        let begin = Instant::now();
        let rows = |tables: TableUpdates<Change>| {
            tables.into_values().flat_map(BTreeMap::into_values).filter_map(|change| change.new)
        };
        let mut watched: HashMap<String, Watched> =
            rows(initial).map(|row| (row.name, Watched::begin(row.statistics))).collect();
        let window = deadline.window(window);
        loop {
            let next = deadline.limit(window.limit(updates.next())).await.map_err(expired)?;
            match next {
                Err(_) => return Ok(watched),
                Ok(Some(Update::Changed(_, tables))) => {
                    let at = begin.elapsed();
                    for row in rows(tables) {
                        watched.entry(row.name).or_default().write(at, row.statistics);
                    }
                }
                Ok(Some(Update::Unreadable(problem))) => return Err(unreadable(problem)),
                Ok(Some(Update::Canceled) | None) => {
                    let cause = "the connection to the database was lost while counters were watched".into();
                    return Err(Error::NotCommitted { cause });
                }
            }
        }
    }
}

fn unreadable(problem: String) -> Error {
    Error::NotCommitted { cause: format!("unreadable counters: {problem}") }
}

/// What ovs-vswitchd makes of the setting (vswitchd/bridge.c, `run_stats_update`).
fn update_interval(tables: &Tables) -> Duration {
    let setting = tables.root.as_ref().and_then(|root| root.other_config.get("stats-update-interval"));
    let setting = setting.and_then(|setting| setting.parse().ok()).map(Duration::from_millis);
    setting.unwrap_or(UPDATE_INTERVAL).max(UPDATE_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn packets(number: i64) -> Counters {
        Counters::from([("rx_packets".into(), number)])
    }

    #[track_caller]
    fn rate(watched: &Watched, ticked: bool) -> Option<(f64, Basis)> {
        watched.rates(5 * SECOND, ticked).map(|(rates, _, basis)| (rates["rx_packets"], basis))
    }

    #[test]
    fn a_rate_is_that_between_two_writes_if_there_are_two() {
        let mut watched = Watched::begin(packets(100));
        assert_eq!(rate(&watched, false), None, "nothing was written, and it was not time to");
        assert_eq!(rate(&watched, true), Some((0.0, Basis::NoWrite)));
        watched.write(SECOND, packets(150));
        assert_eq!(rate(&watched, true), Some((10.0, Basis::OneWrite)), "50 in 5 seconds");
        watched.write(2 * SECOND, packets(150));
        assert_eq!(rate(&watched, true), Some((10.0, Basis::OneWrite)), "that was another column");
        watched.write(6 * SECOND, packets(250));
        assert_eq!(rate(&watched, true), Some((20.0, Basis::TwoWrites)), "100 in 5 seconds");
    }

    #[test]
    fn a_new_interface_has_no_rate_before_its_counters_are_written_again() {
        let mut watched = Watched::default();
        watched.write(SECOND, Counters::new());
        watched.write(SECOND, packets(3));
        assert_eq!(rate(&watched, false), None);
        watched.write(4 * SECOND, packets(8));
        assert_eq!(rate(&watched, false), Some((1.0, Basis::OneWrite)));
    }

    #[test]
    fn a_counter_that_began_anew_has_no_rate() {
        assert_eq!(growth(&packets(100), &packets(3), SECOND), BTreeMap::new());
        assert_eq!(growth(&Counters::new(), &packets(3), SECOND), BTreeMap::new());
    }

    #[test]
    fn an_interval_below_the_least_is_the_least() {
        let mut tables = Tables::default();
        assert_eq!(update_interval(&tables), 5 * SECOND);
        for (setting, expected) in [("1000", 5 * SECOND), ("8000", 8 * SECOND), ("often", 5 * SECOND)] {
            let root = super::super::topology::RootRow {
                other_config: [("stats-update-interval".to_owned(), setting.to_owned())].into(),
                ..Default::default()
            };
            tables.root = Some(root);
            assert_eq!(update_interval(&tables), expected, "{setting}");
        }
    }
}
