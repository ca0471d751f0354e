//! What the JSON-RPC server and its clients agree on: addresses and error numbers.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The numbers of the protocol's own errors: those of JSON-RPC 2.0 (section 5.1), and those of this server beside them.
pub mod code {
    /// The message is no JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// The message is no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The arguments are not usable.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The WebSocket has too many subscriptions.
    pub const TOO_MANY_SUBSCRIPTIONS: i32 = -32006;
    /// The request is too large.
    pub const REQUEST_TOO_LARGE: i32 = -32007;
    /// The answer is too large.
    pub const ANSWER_TOO_LARGE: i32 = -32008;
    /// All callers together have not taken too much.
    pub const SERVER_FULL: i32 = -32009;
    /// The batch has too many calls.
    pub const BATCH_TOO_LONG: i32 = -32010;
    /// The answers of the batch, or of the WebSocket, are too large together.
    pub const ANSWERS_TOO_LARGE: i32 = -32011;
}

/// Where a server listens, and a client finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:IP:PORT`; to listen on port 0 is to listen on any that is free.
    Tcp(SocketAddr),
}

impl Address {
    /// Whether what is sent there, or received, may cross a network.
    pub fn leaves_the_machine(&self) -> bool {
        matches!(self, Address::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Some(Address::Unix(path.into())),
            Some(("tcp", address)) => address.parse().ok().map(Address::Tcp),
            _ => None,
        };
        address.ok_or_else(|| format!("{text:?} is no address; expected unix:/PATH, tcp:IP:PORT or tcp:[IPv6]:PORT"))
    }
}
