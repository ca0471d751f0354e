//! Settings, from the environment: the host agent gives a plugin no other way to be configured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ovsdb::{Address, AddressError, Host};

use crate::error::Error;

/// Where the database is: OVSDB remotes, comma separated, tried in order.
pub const DB: &str = "OVS_PLUGIN_DB";
/// Seconds for one whole command.
pub const TIMEOUT: &str = "OVS_PLUGIN_TIMEOUT";
/// The largest answer of the database that is read, in MiB.
pub const MAX_REPLY: &str = "OVS_PLUGIN_MAX_REPLY";
/// The datapath type of new bridges that have no master and no explicit option.
pub const DATAPATH_TYPE: &str = "OVS_PLUGIN_DATAPATH_TYPE";
/// What is logged to stderr, as a tracing filter.
pub const LOG: &str = "OVS_PLUGIN_LOG";
/// Open vSwitch's own variable for the directory of its sockets.
pub const RUNDIR: &str = "OVS_RUNDIR";

const DEFAULT_RUNDIR: &str = "/var/run/openvswitch";
/// Below the 10 s for which the Python client of the host agent waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(8);
/// A database of ten thousand ports has 20 MiB.
const DEFAULT_MAX_REPLY: usize = 256 * MIB;
const MIB: usize = 1 << 20;

/// The directory of Open vSwitch's sockets, and of this program's.
pub fn run_directory() -> PathBuf {
    std::env::var_os(RUNDIR)
        .filter(|directory| !directory.is_empty())
        .map_or_else(|| PathBuf::from(DEFAULT_RUNDIR), PathBuf::from)
}

/// What a command needs to know besides its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The servers to try, in order.
    pub remotes: Vec<Address>,
    /// The time for one whole command, connecting and waiting included.
    pub timeout: Duration,
    /// The largest answer of the database that is read, in bytes. A server that sends more is given up.
    pub max_reply: usize,
    /// The datapath type of new bridges; empty is Open vSwitch's default, `system`.
    pub datapath_type: String,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, Error> {
        Settings::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The first database that is behind a unix socket. It is on this machine then, and so is its switch.
    pub fn socket(&self) -> Option<&Path> {
        self.remotes.iter().find_map(|remote| match remote {
            Address::Unix(path) => Some(path.as_path()),
            Address::Tcp(..) | Address::Ssl(..) => None,
        })
    }

    /// Reads any environment; an empty variable counts as none.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let remotes = match variable(DB) {
            Some(remotes) => remotes.split(',').map(|remote| parse_remote(remote.trim())).collect::<Result<_, _>>()?,
            None => {
                let rundir = variable(RUNDIR).map_or_else(|| PathBuf::from(DEFAULT_RUNDIR), PathBuf::from);
                vec![Address::Unix(rundir.join("db.sock"))]
            }
        };
        let timeout = variable(TIMEOUT).map_or(Ok(DEFAULT_TIMEOUT), |seconds| parse_timeout(&seconds))?;
        let max_reply = variable(MAX_REPLY).map_or(Ok(DEFAULT_MAX_REPLY), |mebibytes| parse_size(&mebibytes))?;
        Ok(Settings { remotes, timeout, max_reply, datapath_type: variable(DATAPATH_TYPE).unwrap_or_default() })
    }
}

/// An address that this program can use: fewer than the client understands.
fn parse_remote(text: &str) -> Result<Address, Error> {
    let refuse = |reason| Error::Setting {
        name: DB,
        problem: format!("{text:?} is not an OVSDB remote: {reason}; expected unix:PATH or tcp:IP[:PORT]"),
    };
    match text.parse().map_err(|error: AddressError| refuse(error.reason()))? {
        // The shipped program is linked statically, and glibc's resolver can't be.
        Address::Tcp(Host::Name(_), _) => Err(refuse("the host is not an IP address, and names are not looked up")),
        Address::Ssl(..) => Err(refuse("TLS is not supported yet")),
        usable => Ok(usable),
    }
}

fn parse_size(text: &str) -> Result<usize, Error> {
    let mebibytes = text.trim().parse().ok().filter(|mebibytes: &usize| *mebibytes > 0);
    mebibytes.and_then(|mebibytes| mebibytes.checked_mul(MIB)).ok_or_else(|| Error::Setting {
        name: MAX_REPLY,
        problem: format!("{text:?} is not a whole number of MiB from 1"),
    })
}

fn parse_timeout(text: &str) -> Result<Duration, Error> {
    text.trim()
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        // More than a day is no deadline, and would overflow the clock at some point.
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.min(86_400.0)).ok())
        .ok_or_else(|| Error::Setting {
            name: TIMEOUT,
            problem: format!("{text:?} is not a number of seconds above 0"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn shown(settings: &Settings) -> Vec<String> {
        settings.remotes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_variables_the_usual_socket_is_used() {
        let settings = read(&[(DB, ""), (TIMEOUT, "")]).unwrap();
        assert_eq!(shown(&settings), ["unix:/var/run/openvswitch/db.sock"]);
        assert_eq!(settings.timeout, Duration::from_secs(8));
        assert_eq!(settings.datapath_type, "");
    }

    #[test]
    fn the_run_directory_moves_the_socket_and_an_explicit_remote_wins() {
        assert_eq!(shown(&read(&[(RUNDIR, "/run/x")]).unwrap()), ["unix:/run/x/db.sock"]);
        let settings = read(&[(RUNDIR, "/run/x"), (DB, "unix:/a, tcp:127.0.0.1:6640")]).unwrap();
        assert_eq!(shown(&settings), ["unix:/a", "tcp:127.0.0.1:6640"]);
    }

    #[test]
    fn a_remote_that_the_program_cannot_use_is_refused_with_those_that_it_can() {
        for (remote, reason) in [
            ("nonsense", "unknown method"),
            ("ptcp:6640", "that is a listener's address"),
            ("tcp:db.example.org", "the host is not an IP address, and names are not looked up"),
            ("tcp:1.2.3:6640", "the host is not an IP address"),
            ("ssl:10.0.0.1", "TLS is not supported yet"),
        ] {
            let error = read(&[(DB, remote)]).unwrap_err().to_string();
            let expected = format!("{remote:?} is not an OVSDB remote: {reason}; expected unix:PATH or tcp:IP[:PORT]");
            assert!(error.contains(&expected), "{error}");
        }
        assert_eq!(shown(&read(&[(DB, "tcp:[fe80::1%eth0]:6640")]).unwrap()), ["tcp:[fe80::1%eth0]:6640"]);
    }

    #[test]
    fn the_switch_is_local_where_a_database_is_behind_a_unix_socket() {
        let socket = |remotes| read(&[(DB, remotes)]).unwrap().socket().map(Path::to_owned);
        assert_eq!(socket("tcp:127.0.0.1,unix:/a,unix:/b"), Some("/a".into()));
        assert_eq!(socket("tcp:127.0.0.1"), None);
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_value() {
        for (name, value) in [
            (DB, "unix:/a,,"),
            (DB, "nonsense"),
            (TIMEOUT, "0"),
            (TIMEOUT, "soon"),
            (TIMEOUT, "nan"),
            (MAX_REPLY, "0"),
            (MAX_REPLY, "-1"),
            (MAX_REPLY, "1.5"),
            (MAX_REPLY, "18446744073709551615"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(read(&[(TIMEOUT, "0.5")]).is_ok());
        assert!(read(&[(TIMEOUT, "inf")]).is_ok());
        assert_eq!(read(&[(MAX_REPLY, "2")]).unwrap().max_reply, 2 << 20);
    }
}
