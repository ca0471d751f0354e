//! `ovs.stats`: counters of interfaces, and their rates.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::arguments::OptionalName;
use super::{Command, Drawing};
use crate::draw::counters;
use crate::error::Error;
use crate::settings;
use crate::vswitch::Unit;
use crate::vswitch::stats::Statistics;

/// Arguments of `stats`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Stats {
    /// Only the interfaces of this bridge.
    #[serde(default)]
    bridge: OptionalName,
    /// For how many seconds to watch the counters, to tell rates; 0 tells the counters alone.
    #[serde(default, deserialize_with = "seconds")]
    #[schemars(with = "f64", extend("minimum" = 0, "default" = 0))]
    interval: Duration,
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let seconds = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| de::Error::custom(format!("{value} is not a number of seconds, 0 or more")))
}

/// What is left of the deadline for everything but watching.
const RESERVE: Duration = Duration::from_secs(1);

impl Command for Stats {
    const NAME: &'static str = "stats";
    const ABOUT: &'static str = "Tell the counters of all interfaces, and their rates";
    const DETAILS: &'static str = "\
ovs-vswitchd writes counters to the database every 5 s (`other_config:stats-update-interval` of Open_vSwitch, in \
milliseconds, at least 5000), so they are as old as that, and two readings some time apart do not tell a rate. With \
`interval`, `stats` watches when counters are written, and tells for each interface over how many `seconds` the rates are \
an average, and what that rests on (`basis`): `two-writes`, exact; `one-write`, the counters before count as written one \
update interval earlier, as they are unless the interface is younger; `no-write`, they were not written though it was \
time to, so the rates are 0. Without a write, and without the time for one, there are no rates. So with an `interval` of \
6 every interface has rates, and with 11 those that are in use have exact ones. It must end 1 s before the deadline \
(`OVS_PLUGIN_TIMEOUT`, 8 s).";
    const EXAMPLE: (&'static str, &'static str) = (
        r#"{"bridge": "backplane", "interval": 6}"#,
        r#"{"update_interval": 5.0, "interfaces": [{"bridge": "backplane", "port": "eth0", "name": "eth0", "counters": {"rx_packets": 1200, "tx_packets": 800}, "rates": {"rx_packets": 20.4, "tx_packets": 0.0}, "seconds": 5.0, "basis": "one-write"}]}"#,
    );
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no bridge named backplane"),
        (
            "bad-argument",
            "argument \"interval\": 10 s is too long for the deadline of 8 s; expected 0 to 7, or a larger \
             OVS_PLUGIN_TIMEOUT",
        ),
    ];
    const DRAWINGS: &'static [Drawing] = &[Drawing {
        name: "text",
        about: "for a terminal",
        draw: |answer| Ok(counters::write(&Statistics::deserialize(answer)?)),
    }];
    type Answer = Statistics;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Statistics, Error> {
        let timeout = unit.settings().timeout;
        let most = timeout.saturating_sub(RESERVE);
        if self.interval > most {
            let problem = format!(
                "{} s is too long for the deadline of {} s; expected 0 to {}, or a larger {}",
                self.interval.as_secs_f64(),
                timeout.as_secs_f64(),
                most.as_secs_f64(),
                settings::TIMEOUT
            );
            return Err(Error::argument("interval", problem));
        }
        unit.statistics(self.interval, self.bridge.0.as_deref()).await
    }
}
