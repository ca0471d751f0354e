//! Calls the methods of `ovs-plugin serve`: over its unix socket, or over TCP with a token, with TLS, or with both.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ovs_plugin::client::{Client, Credentials};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! let client = Client::new("/var/run/openvswitch/ovs-plugin.sock", Duration::from_secs(10));
//! let bridge: String = client.call("ovs.vlan-ensure", &json!({"master": "backplane", "vlan": 2313})).await?;
//!
//! let credentials = Credentials {
//!     tls_ca: Some("/etc/ovs-plugin/ca.pem".into()),
//!     tls_cert: Some("/etc/ovs-plugin/client.pem".into()),
//!     tls_key: Some("/etc/ovs-plugin/client.key".into()),
//!     ..Credentials::default()
//! };
//! let client = Client::at("tcp:10.0.0.1:6653".parse()?, &credentials, Duration::from_secs(10))?;
//! let bridges: Vec<String> = client.call("ovs.bridge-list", &json!({})).await?;
//! # Ok(())
//! # }
//! ```

mod route;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::error::Committed;
pub use crate::jsonrpc::Address;
use crate::jsonrpc::code;
pub use route::Credentials;
use route::Route;

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 << 20;
/// More would overflow the clock at some point.
const LONGEST: Duration = Duration::from_secs(1 << 30);
/// So many connections are kept for later calls.
const IDLE_MAX: usize = 32;

/// A client of one server. Its calls may run at the same time, each then over a connection of its own, which is kept for
/// later ones.
pub struct Client {
    route: Route,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address or the credentials are not usable: nothing was done.
    #[error("{0}")]
    Setup(String),
    /// The server was not reached: nothing was done.
    #[error("no server at {}: {cause}", Place(address))]
    NotConnected {
        /// Where it was looked for.
        address: Address,
        /// The system's words.
        cause: io::Error,
    },
    /// One side did not accept the other's certificate, or there is no TLS at the other end: nothing was done.
    #[error("no TLS with the server at {}: {cause}", Place(address))]
    Tls {
        /// Where the server is.
        address: Address,
        /// What was wrong.
        cause: String,
    },
    /// The server does not serve us: nothing was done. (By another status from 500 on than 503, a server that is not ours
    /// may tell that it has failed: what was done is then not known.)
    #[error("the server refused the request: {text} (HTTP status {status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// No answer within the time for a call.
    #[error("no answer within {} s; it is unknown what came of the call", .0.as_secs_f64())]
    Expired(Duration),
    /// The connection broke before the answer was there.
    #[error("the connection was lost: {0}; it is unknown what came of the call")]
    Lost(String),
    /// What was answered is not what was expected.
    #[error("the answer is not usable: {0}")]
    Unusable(String),
    /// The arguments can't be written as JSON: nothing was done.
    #[error("the arguments can't be sent: {0}")]
    Arguments(String),
    /// The command failed.
    #[error("{}", .0.message)]
    Call(CallError),
}

/// An address in errors: sockets by their paths.
struct Place<'a>(&'a Address);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(_) => write!(f, "{}", self.0),
        }
    }
}

impl From<crate::problem::Problem> for ClientError {
    fn from(problem: crate::problem::Problem) -> Self {
        ClientError::Setup(problem.to_string())
    }
}

/// How a command failed, in the server's words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct CallError {
    /// The number of the kind.
    pub code: i32,
    /// What happened, for people.
    pub message: String,
    /// The rest; none when the request did not get as far as a command.
    #[serde(default, deserialize_with = "details")]
    pub data: Option<Box<CallErrorData>>,
}

/// What programs may want to know of a failure.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct CallErrorData {
    /// The stable word for the code: see [`crate::error::Error::code`].
    pub kind: String,
    /// The argument, or the setting, at fault.
    pub field: Option<String>,
    /// What may be done.
    pub hint: Option<String>,
    /// Whether the database holds the change: `yes`, `no` or `unknown`.
    pub committed: String,
}

/// Errors of the protocol itself have other data, or none.
fn details<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<CallErrorData>>, D::Error> {
    let data = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(data).ok())
}

impl ClientError {
    /// Whether the database holds what was asked for.
    pub fn committed(&self) -> Committed {
        match self {
            ClientError::Setup(_)
            | ClientError::NotConnected { .. }
            | ClientError::Tls { .. }
            | ClientError::Arguments(_) => Committed::No,
            ClientError::Refused { status, .. } if *status < 500 || *status == 503 => Committed::No,
            ClientError::Refused { .. } | ClientError::Expired(_) | ClientError::Lost(_) | ClientError::Unusable(_) => {
                Committed::Unknown
            }
            ClientError::Call(error) => match error.data.as_ref().map(|data| data.committed.as_str()) {
                Some("yes") => Committed::Yes,
                Some("no") => Committed::No,
                None if BEFORE_A_COMMAND.contains(&error.code) => Committed::No,
                Some(_) | None => Committed::Unknown,
            },
        }
    }
}

/// Errors of the protocol that come before any command: docs/server.md, "Errors".
const BEFORE_A_COMMAND: &[i32] = &[
    code::PARSE_ERROR,
    code::INVALID_REQUEST,
    code::METHOD_NOT_FOUND,
    code::INVALID_PARAMS,
    code::TOO_MANY_SUBSCRIPTIONS,
    code::REQUEST_TOO_LARGE,
    code::BATCH_TOO_LONG,
];

#[derive(Serialize)]
struct Call<'a, A: ?Sized> {
    jsonrpc: &'static str,
    id: u32,
    method: &'a str,
    params: &'a A,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    error: Option<CallError>,
}

impl Client {
    /// A client of the server at this socket, whose calls take at most so long. Connects when it has to.
    pub fn new(socket: impl Into<PathBuf>, timeout: Duration) -> Self {
        Client { route: Route::to_socket(socket.into()), timeout, idle: Mutex::default() }
    }

    /// A client of the server at this address, which may be on TCP. The files that the credentials name are read here.
    pub fn at(address: Address, credentials: &Credentials, timeout: Duration) -> Result<Self, ClientError> {
        Ok(Client { route: Route::new(address, credentials)?, timeout, idle: Mutex::default() })
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.route.address
    }

    /// Calls a method, whose arguments are an object, and reads its result.
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &(impl Serialize + ?Sized),
    ) -> Result<R, ClientError> {
        let call = Call { jsonrpc: "2.0", id: 1, method, params: arguments };
        let body = serde_json::to_vec(&call).map_err(|error| ClientError::Arguments(error.to_string()))?;
        let answer = self.ask(body.into()).await?;
        let unusable = |error: serde_json::Error| ClientError::Unusable(error.to_string());
        match serde_json::from_slice(&answer).map_err(unusable)? {
            Answer { error: Some(error), .. } => Err(ClientError::Call(error)),
            Answer { result, .. } => serde_json::from_str(result.map_or("null", RawValue::get)).map_err(unusable),
        }
    }

    async fn ask(&self, body: Bytes) -> Result<Bytes, ClientError> {
        let until = Instant::now() + self.timeout.min(LONGEST);
        let mut request = Request::post("/")
            .header(HOST, self.route.host.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Arguments(error.to_string()))?;
        if let Some(authorization) = &self.route.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let (mut connection, response) = self.send(request, until).await?;
        let status = response.status();
        let lost = |error: Box<dyn std::error::Error + Send + Sync>| ClientError::Lost(error.to_string());
        let body = timeout_at(until, Limited::new(response.into_body(), ANSWER_MAX).collect()).await;
        let answer = body.map_err(|_| ClientError::Expired(self.timeout))?.map_err(lost)?.to_bytes();
        // The answer counts, whether the connection can be kept or not.
        if let Ok(Ok(())) = timeout_at(until, connection.ready()).await {
            let mut idle = self.idle();
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
        }
        // A request that is too large is answered like a failed call.
        if status == StatusCode::OK || answer.starts_with(b"{") {
            return Ok(answer);
        }
        let text = String::from_utf8_lossy(&answer).trim().to_owned();
        Err(ClientError::Refused { status: status.as_u16(), text })
    }

    /// Sends a request over a connection that is there, or a new one when that has been closed meanwhile.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        until: Instant,
    ) -> Result<(Connection, Response<Incoming>), ClientError> {
        loop {
            let kept = self.kept().await;
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(until).await?,
            };
            let sent = timeout_at(until, connection.try_send_request(request)).await;
            match sent.map_err(|_| ClientError::Expired(self.timeout))? {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    // Given back, so not a byte of it has left.
                    Some(unsent) if was_kept => request = unsent,
                    unsent => return Err(self.failed(error.into_error(), was_kept, unsent.is_some())),
                },
            }
        }
    }

    /// What is known when a request had no answer.
    fn failed(&self, error: hyper::Error, was_kept: bool, unsent: bool) -> ClientError {
        // A server that has answered before has accepted us.
        if !was_kept && let Some(refused) = self.route.refused(&error) {
            return refused;
        }
        if unsent {
            return self.not_connected(io::Error::other(error));
        }
        if error.is_parse() {
            return ClientError::Unusable(format!("{error}; is that a server of ours, and does it expect TLS?"));
        }
        ClientError::Lost(error.to_string())
    }

    /// A connection from an earlier call that is still open.
    async fn kept(&self) -> Option<Connection> {
        let mut kept = self.idle().pop()?;
        // Its task learns first that the server has closed it, and then tells: let both happen. What is sent to a closed
        // connection fails, and whether any of it arrived is then not known.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        while kept.is_closed() {
            kept = self.idle().pop()?;
        }
        Some(kept)
    }

    async fn connect(&self, until: Instant) -> Result<Connection, ClientError> {
        let late = |_| {
            let text = format!("no connection within {} s", self.timeout.as_secs_f64());
            self.not_connected(io::Error::new(io::ErrorKind::TimedOut, text))
        };
        let stream = timeout_at(until, self.route.open()).await.map_err(late)??;
        let (connection, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| self.not_connected(io::Error::other(error)))?;
        // It ends with the connection; what goes wrong is told to the one who sent the request.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn not_connected(&self, cause: io::Error) -> ClientError {
        ClientError::NotConnected { address: self.route.address.clone(), cause }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: i32, committed: Option<&str>) -> ClientError {
        let data = committed.map(|committed| {
            let (kind, committed) = (String::new(), committed.to_owned());
            Box::new(CallErrorData { kind, field: None, hint: None, committed })
        });
        ClientError::Call(CallError { code, message: String::new(), data })
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let refused = |status| ClientError::Refused { status, text: String::new() };
        for (error, committed) in [
            (failed(1303, Some("yes")), Committed::Yes),
            (failed(1102, Some("no")), Committed::No),
            (failed(1204, Some("unknown")), Committed::Unknown),
            (failed(1204, Some("perhaps")), Committed::Unknown),
            (failed(-32007, None), Committed::No),
            // The answer was too large; the command was carried out.
            (failed(-32008, None), Committed::Unknown),
            (failed(-32603, None), Committed::Unknown),
            (refused(401), Committed::No),
            (refused(503), Committed::No),
            (refused(504), Committed::Unknown),
        ] {
            assert_eq!(error.committed(), committed, "{error:?}");
        }
    }
}
