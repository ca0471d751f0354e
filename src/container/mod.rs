//! The program's part in the *ovs* container: what happens before, around and beside the daemons.
//!
//! - [`init`] makes the container's state usable, from whatever state it is in.
//! - [`manifest`] tells the host agent what to start, made from the registry and the [`services`].
//! - [`supervisor`] plays the same services as PID 1 where there is no host agent.
//! - [`vswitchd`] runs ovs-vswitchd so that a restart does not cut traffic.
//! - [`ready`] waits until the switch answers.

mod database;
pub mod init;
pub mod manifest;
mod process;
pub mod ready;
pub mod services;
mod stale;
pub mod supervisor;
pub mod vswitchd;

use std::path::PathBuf;

/// Where things are. Open vSwitch's own variables (ovs-vswitchd(8)) move them.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Sockets and pid files.
    pub run: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// Log files.
    pub log: PathBuf,
    /// The schema that belongs to the installed daemons.
    pub schema: PathBuf,
}

impl Paths {
    /// From the environment, with the defaults of the image.
    pub fn from_env() -> Self {
        let directory = |name: &str, default: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Paths {
            run: directory(crate::settings::RUNDIR, "/var/run/openvswitch"),
            database: directory("OVS_DBDIR", "/etc/openvswitch").join("conf.db"),
            log: directory("OVS_LOGDIR", "/var/log/openvswitch"),
            schema: directory("OVS_PKGDATADIR", "/usr/share/openvswitch").join("vswitch.ovsschema"),
        }
    }

    /// The socket that the commands connect to.
    pub fn socket(&self) -> PathBuf {
        self.run.join("db.sock")
    }
}

/// What stops a step of the container, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    fn io(doing: impl std::fmt::Display, error: std::io::Error) -> Self {
        Problem(format!("{doing}: {error}"))
    }
}

/// Says something to whoever reads the container's log, one line at a time.
fn say(step: &str, text: impl std::fmt::Display) {
    // The host agent reads this too; a line that begins with the program's name is only text to it.
    eprintln!("ovs-plugin {step}: {}", crate::terminal::line(&text.to_string()));
}
