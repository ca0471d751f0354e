//! Where the files of Open vSwitch are.

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
