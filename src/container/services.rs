//! What runs in the container, and in which order.

use crate::paths::Paths;

/// Where the image has the program.
pub const PLUGIN: &str = "/var/lib/corex/plugins/ovs-plugin";

/// A process of the container.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name; the host agent makes it the id of the job.
    pub name: &'static str,
    /// What must be running first.
    pub after: &'static [&'static str],
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How to tell that it is running.
    pub running: Running,
}

/// When a service counts as running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// When it has ended, with success.
    Ended,
    /// When it prints something that contains this; it stays, and is started again when it dies.
    Prints(&'static str),
}

/// The services, each after those that it needs.
pub fn services(paths: &Paths, plugin: &str) -> Vec<Service> {
    let text = |path: std::path::PathBuf| path.display().to_string();
    let log = |name: &str| format!("--log-file={}", text(paths.log.join(name)));
    vec![
        Service { name: "ovs-init", after: &[], command: vec![plugin.into(), "init".into()], running: Running::Ended },
        Service {
            name: "ovsdb-server",
            after: &["ovs-init"],
            command: vec![
                "/usr/sbin/ovsdb-server".into(),
                text(paths.database.clone()),
                format!("--remote=punix:{}", text(paths.socket())),
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options".into(),
                format!("--pidfile={}", text(paths.run.join("ovsdb-server.pid"))),
                log("ovsdb-server.log"),
                // It names itself once it listens.
                "-vconsole:info".into(),
            ],
            running: Running::Prints("ovsdb-server (Open vSwitch)"),
        },
        Service {
            name: "ovs-vswitchd",
            after: &["ovsdb-server"],
            command: vec![
                plugin.into(),
                "vswitchd".into(),
                "/usr/sbin/ovs-vswitchd".into(),
                format!("unix:{}", text(paths.socket())),
                format!("--pidfile={}", text(paths.run.join("ovs-vswitchd.pid"))),
                log("ovs-vswitchd.log"),
                "--mlockall".into(),
                "-vconsole:info".into(),
            ],
            running: Running::Prints("ovs-vswitchd (Open vSwitch)"),
        },
    ]
}
