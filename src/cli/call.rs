//! `ovs-plugin call`: calls a method of a server, and prints its result.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::value::RawValue;

use super::{in_runtime, print};
use crate::client::{Address, Client, Credentials};
use crate::problem::Problem;
use crate::{server, terminal};

/// How much longer a caller waits than the server, which knows better what to say when the time is up.
const PATIENCE: Duration = Duration::from_secs(2);

const SOCKET: &str = "socket";
const SERVER: &str = "server";
const TIMEOUT: &str = "timeout";
const TOKEN_FILE: &str = "token-file";
const TLS_CA: &str = "tls-ca";
const TLS_NAME: &str = "tls-name";
const TLS_CERT: &str = "tls-cert";
const TLS_KEY: &str = "tls-key";

/// The subcommand as clap sees it.
pub(super) fn command(name: &'static str) -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let file = |name: &'static str| option(name, "FILE").value_parser(value_parser!(PathBuf));
    Command::new(name)
        .about("Call a method of ovs-plugin serve, and print its result")
        .arg(Arg::new("METHOD").required(true).help("Like vlan-ensure, ovs.vlan-ensure or rpc.discover"))
        .arg(Arg::new("JSON").help("The arguments, as one JSON object"))
        .arg(
            option(SOCKET, "PATH")
                .value_parser(value_parser!(PathBuf))
                .help(format!("The server's socket ({})", server::options::default_socket().display())),
        )
        .arg(
            option(SERVER, "ADDRESS")
                .value_parser(value_parser!(Address))
                .conflicts_with(SOCKET)
                .help("Where the server is: unix:/PATH or tcp:IP:PORT"),
        )
        .arg(file(TOKEN_FILE).help("The token that a server on TCP asks for"))
        .arg(file(TLS_CA).help("Use TLS: the server's certificate has to be signed by one of these, PEM"))
        .arg(
            option(TLS_NAME, "NAME")
                .requires(TLS_CA)
                .help("The name that the server's certificate is for, when it is not for the IP address"),
        )
        .arg(
            file(TLS_CERT)
                .requires_all([TLS_KEY, TLS_CA])
                .help("Our certificate and those that signed it, PEM, for a server that asks for one"),
        )
        .arg(file(TLS_KEY).requires(TLS_CERT).help("The private key that belongs to it, PEM"))
        .arg(
            option(TIMEOUT, "SECONDS")
                .value_parser(server::options::seconds_above_0)
                .help("How long to wait (2 s longer than OVS_PLUGIN_TIMEOUT)"),
        )
        .after_help(
            "Examples:\n  ovs-plugin call vlan-ensure '{\"master\": \"backplane\", \"vlan\": 2313}'\n  \
             ovs-plugin call bridge-list --server tcp:127.0.0.1:6653 --token-file /etc/ovs-plugin/token\n\n\
             An error is printed to stderr; the exit status is then 1.",
        )
}

/// Calls, and prints the result.
pub(super) fn run(arguments: &ArgMatches) -> Result<ExitCode, Problem> {
    let text = |name: &str| arguments.get_one::<String>(name).map(String::as_str);
    let file = |name: &str| arguments.get_one::<PathBuf>(name).cloned();
    // clap requires it.
    let method = text("METHOD").unwrap_or_default();
    let method = if method.contains('.') { method.to_owned() } else { format!("{}{method}", server::methods::PREFIX) };
    let json: &RawValue = serde_json::from_str(text("JSON").unwrap_or("{}"))
        .map_err(|error| Problem(format!("JSON: {error}; expected one object, like {{\"bridge\": \"backplane\"}}")))?;
    let address = arguments.get_one::<Address>(SERVER).cloned();
    let address =
        address.unwrap_or_else(|| Address::Unix(file(SOCKET).unwrap_or_else(server::options::default_socket)));
    let credentials = Credentials {
        token_file: file(TOKEN_FILE),
        tls_ca: file(TLS_CA),
        tls_name: text(TLS_NAME).map(str::to_owned),
        tls_cert: file(TLS_CERT),
        tls_key: file(TLS_KEY),
    };
    let limit = arguments.get_one::<Duration>(TIMEOUT).copied();
    let called = in_runtime(async |settings| {
        let client = Client::at(address, &credentials, limit.unwrap_or(settings.timeout + PATIENCE))
            .map_err(|error| Problem(error.to_string()))?;
        Ok(client.call::<Box<RawValue>>(&method, json).await)
    })?;
    match called {
        Ok(result) => print(&format!("{}\n", terminal::json(result.get()))),
        Err(error) => Err(Problem(error.to_string())),
    }
}
