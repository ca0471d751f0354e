//! What the command line of `ovs-plugin serve` may say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::border::{self, Border};
use super::tls::Tls;
use crate::credentials::Token;
use crate::jsonrpc::Address;
use crate::problem::Problem;
use crate::settings;

/// The name of the socket in the run directory.
pub const SOCKET: &str = "ovs-plugin.sock";

/// Where a server listens, and a client looks for it, when it is not told.
pub fn default_socket() -> PathBuf {
    settings::run_directory().join(SOCKET)
}

/// What a server is told.
pub struct Options {
    /// Where to listen.
    pub listen: Vec<Address>,
    /// A group whose members may use the unix sockets, too.
    pub allow_group: Option<u32>,
    /// What callers on TCP have to send.
    pub token: Option<Arc<Token>>,
    /// TLS on TCP.
    pub tls: Option<Tls>,
    /// The names by which requests may come.
    pub border: Border,
    /// How much of everything there may be.
    pub limits: Limits,
    /// How long what is in flight may take when the server is asked to stop.
    pub grace: Duration,
}

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request, or of one message of a WebSocket.
    pub request_bytes: u32,
    /// Bytes of one answer.
    pub response_bytes: u32,
    /// Bytes of all answers that their callers have not taken yet.
    pub held_bytes: usize,
    /// Open connections of one listener.
    pub connections: usize,
    /// Open connections of one listener on TCP of which it is not known yet whose they are.
    pub strangers: usize,
    /// Calls in one batch.
    pub batch: u32,
    /// Commands that run at the same time; further ones wait for their turn.
    pub calls: usize,
    /// How long a connection may do nothing, and a request may take to arrive or its answer to be taken.
    pub idle: Duration,
    /// How long it may take on TCP until it is known whose a connection is: TLS, and the head of the first request.
    pub handshake: Duration,
}

impl Limits {
    /// What holds when nothing is said.
    pub const DEFAULT: Limits = Limits {
        request_bytes: 1 << 20,
        response_bytes: 16 << 20,
        held_bytes: 64 << 20,
        connections: 256,
        strangers: 32,
        batch: 1024,
        calls: 256,
        idle: Duration::from_secs(60),
        handshake: Duration::from_secs(5),
    };
}

/// How long what is in flight may take: a little more than the usual deadline of a command.
const DEFAULT_GRACE: f64 = 10.0;

const LISTEN: &str = "listen";
const ALLOW_GROUP: &str = "allow-group";
const TOKEN_FILE: &str = "token-file";
const TLS_CERT: &str = "tls-cert";
const TLS_KEY: &str = "tls-key";
const CLIENT_CA: &str = "client-ca";
const ALLOW_ORIGIN: &str = "allow-origin";
const ALLOW_HOST: &str = "allow-host";
const MAX_REQUEST: &str = "max-request-size";
const MAX_RESPONSE: &str = "max-response-size";
const MAX_HELD: &str = "max-response-total";
const MAX_CONNECTIONS: &str = "max-connections";
const MAX_STRANGERS: &str = "max-unauthenticated";
const MAX_BATCH: &str = "max-batch";
const MAX_CALLS: &str = "max-calls";
const IDLE: &str = "idle-timeout";
const HANDSHAKE: &str = "handshake-timeout";
const GRACE: &str = "grace";

/// The subcommand as clap sees it.
pub fn command(name: &'static str) -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    let limits = Limits::DEFAULT;
    let command = Command::new(name)
        .about("Serve the commands as JSON-RPC methods to other programs, until SIGTERM or SIGINT")
        .arg(
            Arg::new(LISTEN)
                .long(LISTEN)
                .value_name("ADDRESS")
                .action(ArgAction::Append)
                .value_parser(value_parser!(Address))
                .help(format!(
                    "Where to listen: unix:/PATH or tcp:IP:PORT, may be repeated (unix:{})",
                    default_socket().display()
                )),
        )
        .arg(
            Arg::new(ALLOW_GROUP)
                .long(ALLOW_GROUP)
                .value_name("NAME|GID")
                .help("Let a group use the unix sockets, besides root and their owner"),
        )
        .arg(file(TOKEN_FILE, "The token that callers on TCP have to send: Authorization: Bearer TOKEN"))
        .arg(file(TLS_CERT, "TLS on TCP: the server's certificate and those that signed it, PEM").requires(TLS_KEY))
        .arg(file(TLS_KEY, "The private key that belongs to it, PEM").requires(TLS_CERT))
        .arg(
            file(CLIENT_CA, "Callers on TCP have to have a certificate that one of these has signed, PEM")
                .requires(TLS_CERT),
        )
        .arg(
            Arg::new(ALLOW_ORIGIN)
                .long(ALLOW_ORIGIN)
                .value_name("ORIGIN")
                .action(ArgAction::Append)
                .value_parser(border::origin)
                .help("Let web pages of this origin call, like https://ovs.example.org; may be repeated"),
        )
        .arg(
            Arg::new(ALLOW_HOST)
                .long(ALLOW_HOST)
                .value_name("NAME")
                .action(ArgAction::Append)
                .value_parser(border::host_name)
                .help(
                    "A name by which callers on TCP may call the server, besides localhost and its certificate's names",
                ),
        )
        .arg(Arg::new(IDLE).long(IDLE).value_name("SECONDS").value_parser(seconds_above_0).help(format!(
            "How long a connection may do nothing, a request take to arrive, and its answer to be taken ({})",
            limits.idle.as_secs()
        )))
        .arg(Arg::new(HANDSHAKE).long(HANDSHAKE).value_name("SECONDS").value_parser(seconds_above_0).help(format!(
            "How long a caller on TCP may take to show a token or certificate ({})",
            limits.handshake.as_secs()
        )))
        .arg(
            Arg::new(GRACE)
                .long(GRACE)
                .value_name("SECONDS")
                .value_parser(seconds)
                .help(format!("How long to finish what is in flight after SIGTERM ({DEFAULT_GRACE})")),
        )
        .after_help(EXAMPLES);
    with_limits(command)
}

/// With the options of what a server takes at most.
fn with_limits(command: Command) -> Command {
    let number =
        |name: &'static str, value: &'static str, range: RangedI64ValueParser<u32>, default: u64, help: &str| {
            Arg::new(name).long(name).value_name(value).value_parser(range).help(format!("{help} ({default})"))
        };
    let size = || value_parser!(u32).range(1024..=1 << 30);
    let count = || value_parser!(u32).range(1..=1 << 20);
    let limits = Limits::DEFAULT;
    command
        .arg(number(MAX_REQUEST, "BYTES", size(), limits.request_bytes.into(), "The largest request"))
        .arg(number(MAX_RESPONSE, "BYTES", size(), limits.response_bytes.into(), "The largest answer"))
        .arg(number(MAX_HELD, "BYTES", size(), limits.held_bytes as u64, "All answers that callers have not taken yet"))
        .arg(number(MAX_CONNECTIONS, "N", count(), limits.connections as u64, "Open connections of each listener"))
        .arg(number(
            MAX_STRANGERS,
            "N",
            count(),
            limits.strangers as u64,
            "Open connections of each listener on TCP that have not shown a token or certificate yet",
        ))
        .arg(number(MAX_BATCH, "N", count(), limits.batch.into(), "Calls in one batch"))
        .arg(number(MAX_CALLS, "N", count(), limits.calls as u64, "Commands that run at once; further ones wait"))
}

const EXAMPLES: &str = "Examples:\n  ovs-plugin serve\n  ovs-plugin serve --allow-group ovs\n  ovs-plugin serve --listen \
                        unix:/run/ovs.sock --listen tcp:127.0.0.1:6653 --token-file /etc/ovs-plugin.token";

/// A number of seconds, from 0 to a day.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds from 0 to 86400".into())
}

/// The same, but not 0.
pub fn seconds_above_0(text: &str) -> Result<Duration, String> {
    seconds(text).ok().filter(|time| !time.is_zero()).ok_or_else(|| "expected a number of seconds above 0".into())
}

impl Options {
    /// What was said, checked as a whole.
    pub fn read(arguments: &ArgMatches) -> Result<Self, Problem> {
        let number = |name: &str, default: u32| arguments.get_one::<u32>(name).copied().unwrap_or(default);
        let many = |name: &str, default: usize| {
            arguments.get_one::<u32>(name).and_then(|number| usize::try_from(*number).ok()).unwrap_or(default)
        };
        let default = Limits::DEFAULT;
        let mut listen: Vec<Address> = arguments.get_many(LISTEN).into_iter().flatten().cloned().collect();
        if listen.is_empty() {
            listen.push(Address::Unix(default_socket()));
        }
        let token = arguments.get_one::<PathBuf>(TOKEN_FILE).map(|path| Token::read(path)).transpose()?;
        let file = |name: &str| arguments.get_one::<PathBuf>(name).map(PathBuf::as_path);
        let tls = match (file(TLS_CERT), file(TLS_KEY)) {
            (Some(certificate), Some(key)) => Some(Tls::read(certificate, key, file(CLIENT_CA))?),
            _ => None,
        };
        let border = Border {
            origins: arguments.get_many(ALLOW_ORIGIN).into_iter().flatten().cloned().collect(),
            hosts: arguments.get_many(ALLOW_HOST).into_iter().flatten().cloned().collect(),
            certificate: tls.as_ref().map(|tls| tls.certificate().clone()),
        };
        let callers_are_known = token.is_some() || file(CLIENT_CA).is_some();
        match listen.iter().find(|address| matches!(address, Address::Tcp(_))) {
            Some(address) if !callers_are_known => {
                return Err(Problem(format!(
                    "--listen {address}: who may connect there is not said; expected --token-file or --client-ca as well"
                )));
            }
            _ => {}
        }
        Ok(Options {
            listen,
            allow_group: arguments.get_one::<String>(ALLOW_GROUP).map(|name| group(name)).transpose()?,
            token: token.map(Arc::new),
            tls,
            border,
            limits: Limits {
                request_bytes: number(MAX_REQUEST, default.request_bytes),
                response_bytes: number(MAX_RESPONSE, default.response_bytes),
                held_bytes: many(MAX_HELD, default.held_bytes),
                connections: many(MAX_CONNECTIONS, default.connections),
                strangers: many(MAX_STRANGERS, default.strangers),
                batch: number(MAX_BATCH, default.batch),
                calls: many(MAX_CALLS, default.calls),
                idle: arguments.get_one(IDLE).copied().unwrap_or(default.idle),
                handshake: arguments.get_one(HANDSHAKE).copied().unwrap_or(default.handshake),
            },
            grace: arguments.get_one(GRACE).copied().unwrap_or(Duration::from_secs_f64(DEFAULT_GRACE)),
        })
    }
}

/// The number of a group. A static program can't ask the C library for its name, so the file is read (group(5)).
fn group(name: &str) -> Result<u32, Problem> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    const FILE: &str = "/etc/group";
    let problem = |what: String| Problem(format!("--allow-group {name}: {what}"));
    let groups = std::fs::read_to_string(FILE).map_err(|error| problem(format!("{FILE}: {error}")))?;
    groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find_map(|fields| match fields.as_slice() {
            [found, _, id, ..] if *found == name => id.parse().ok(),
            _ => None,
        })
        .ok_or_else(|| problem(format!("{FILE} has no such group; expected its name or number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Options, String> {
        let words = std::iter::once("serve").chain(words.iter().copied());
        let matches = command("serve").try_get_matches_from(words).map_err(|error| error.to_string())?;
        Options::read(&matches).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_defaults_hold_when_nothing_is_said() {
        let options = read(&[]).unwrap();
        assert_eq!(options.limits, Limits::DEFAULT);
        assert_eq!(options.grace, Duration::from_secs(10));
        assert!(matches!(options.listen.as_slice(), [Address::Unix(path)] if path.ends_with(SOCKET)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, expected) in [
            (&["--listen", "tcp:127.0.0.1:0"][..], "--token-file"),
            (&["--listen", "somewhere"], "expected unix:/PATH"),
            (&["--allow-group", "no such group"], "--allow-group no such group"),
            (&["--token-file", "/nonexistent"], "--token-file /nonexistent"),
            (&["--grace=-1"], "grace"),
            (&["--idle-timeout", "0"], "idle-timeout"),
            (&["--tls-cert", "/nonexistent"], "--tls-key"),
            (&["--client-ca", "/nonexistent"], "--tls-cert"),
            (&["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], "--tls-cert /nonexistent"),
            (&["--max-batch", "0"], "max-batch"),
            (&["--allow-origin", "ovs.example.org"], "expected an origin like https://"),
            (&["--allow-host", "https://ovs.example.org"], "expected a name without a port"),
            (&["--handshake-timeout", "0"], "handshake-timeout"),
            (&["--max-request-size", "5"], "max-request-size"),
        ] {
            let error = read(words).err().unwrap_or_default();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_group_has_a_name_or_a_number() {
        assert_eq!(group("root").unwrap(), 0);
        assert_eq!(group("4242").unwrap(), 4242);
    }
}
