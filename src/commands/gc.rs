//! `ovs.gc`: removes what nothing uses any more: VXLAN devices of ours, and ports whose devices are gone.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::Number;
use super::{Command, Drawing};
use crate::draw::style::printable;
use crate::error::Error;
use crate::settings;
use crate::vswitch::Unit;

/// Arguments of `gc`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Gc {
    /// For how many seconds something has to be unused: it is looked at, and again after that time.
    #[serde(default = "grace")]
    #[schemars(extend("default" = GRACE))]
    grace_seconds: Number<0, 3600>,
}

/// Commands need less than this from making a device to referring to it, and the host agent from making a container's
/// device to asking for its port.
const GRACE: i64 = 5;

fn grace() -> Number<0, 3600> {
    Number(GRACE)
}

/// What is left of the deadline for everything but waiting.
const RESERVE: Duration = Duration::from_secs(1);

/// What was removed.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Collected {
    /// VXLAN devices.
    devices: Vec<String>,
    /// Ports.
    ports: Vec<String>,
}

impl Collected {
    /// A line for each thing.
    fn lines(&self) -> String {
        let lines = |what: &'static str, names: &[String]| -> String {
            names.iter().map(|name| format!("{what} {}\n", printable(name))).collect()
        };
        match lines("device", &self.devices) + &lines("port", &self.ports) {
            nothing if nothing.is_empty() => "nothing to remove\n".to_owned(),
            lines => lines,
        }
    }
}

impl Command for Gc {
    const NAME: &'static str = "gc";
    const ABOUT: &'static str = "Remove VXLAN devices that nothing refers to, and ports whose network devices are gone";
    const DETAILS: &'static str = "\
Killed processes and dead containers leave these. A device is removed if it is a `vtep<N>` of the VNI N and the database \
has no interface of its name. A port is removed if it is the host agent's by its name (`cont<ID>-<IDX>`, \
`contm<ID>-<IDX>`), or was made by `port-add`, and the network device of its one interface is gone. Bonds, patch ports, \
ports of networks and what others have made are left alone. Something counts only if it is the same at two looks, \
`grace_seconds` apart, and if it is still so when it is removed. `dry_run` tells what would be removed. The command has \
to run on the switch's machine and in its network namespace.";
    const EXAMPLE: (&'static str, &'static str) = ("{}", r#"{"devices": ["vtep10001"], "ports": ["cont3-0"]}"#);
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        (
            "bad-argument",
            "argument \"grace_seconds\": 30 is too long for the deadline of 8 s; expected 0 to 7, or a larger \
             OVS_PLUGIN_TIMEOUT",
        ),
        (
            "conflict",
            "the devices of the switch's bridges (br0) are not in this network namespace, so nothing is removed",
        ),
    ];
    const DRAWINGS: &'static [Drawing] = &[Drawing {
        name: "text",
        about: "for a terminal",
        draw: |answer| Ok(Collected::deserialize(answer)?.lines()),
    }];
    type Answer = Collected;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Collected, Error> {
        let grace = Duration::from_secs(self.grace_seconds.0.unsigned_abs());
        let timeout = unit.settings().timeout;
        let most = timeout.saturating_sub(RESERVE);
        if grace > most {
            let problem = format!(
                "{} is too long for the deadline of {} s; expected 0 to {}, or a larger {}",
                grace.as_secs(),
                timeout.as_secs_f64(),
                most.as_secs(),
                settings::TIMEOUT
            );
            return Err(Error::argument("grace_seconds", problem));
        }
        let (devices, ports) = unit.remove_leftovers(grace).await?;
        Ok(Collected { devices, ports })
    }
}
