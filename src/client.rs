//! Calls the methods of `ovs-plugin serve` over its unix socket.
//!
//! ```no_run
//! # async fn example() -> Result<(), ovs_plugin::client::ClientError> {
//! use ovs_plugin::client::Client;
//! use serde_json::json;
//! use std::time::Duration;
//!
//! let client = Client::new("/var/run/openvswitch/ovs-plugin.sock", Duration::from_secs(10));
//! let bridge: String = client.call("ovs.vlan-ensure", &json!({"master": "backplane", "vlan": 2313})).await?;
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::UnixStream;

use crate::error::Committed;

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 << 20;
/// So many connections are kept for later calls.
const IDLE_MAX: usize = 32;

/// A client of one server. Its calls may run at the same time, each then over a connection of its own, which is kept for
/// later ones.
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server was not reached: nothing was done.
    #[error("no server at {}: {cause}", socket.display())]
    NotConnected {
        /// Where it was looked for.
        socket: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// The server does not serve us: nothing was done.
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

/// How a command failed, in the server's words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct CallError {
    /// The number of the kind.
    pub code: i32,
    /// What happened, for people.
    pub message: String,
    /// The rest; none when the request did not get as far as a command.
    #[serde(default, deserialize_with = "details")]
    pub data: Option<CallErrorData>,
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
fn details<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<CallErrorData>, D::Error> {
    let data = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(data).ok())
}

impl ClientError {
    /// Whether the database holds what was asked for.
    pub fn committed(&self) -> Committed {
        match self {
            ClientError::NotConnected { .. } | ClientError::Refused { .. } | ClientError::Arguments(_) => Committed::No,
            ClientError::Expired(_) | ClientError::Lost(_) | ClientError::Unusable(_) => Committed::Unknown,
            ClientError::Call(error) => match error.data.as_ref().map(|data| data.committed.as_str()) {
                Some("yes") => Committed::Yes,
                Some("no") | None => Committed::No,
                Some(_) => Committed::Unknown,
            },
        }
    }
}

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
        Client { socket: socket.into(), timeout, idle: Mutex::default() }
    }

    /// Where the server is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls a method, whose arguments are an object, and reads its result.
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: &(impl Serialize + ?Sized),
    ) -> Result<R, ClientError> {
        let call = Call { jsonrpc: "2.0", id: 1, method, params: arguments };
        let body = serde_json::to_vec(&call).map_err(|error| ClientError::Arguments(error.to_string()))?;
        let asked = tokio::time::timeout(self.timeout, self.ask(body.into()));
        let answer = asked.await.map_err(|_| ClientError::Expired(self.timeout))??;
        let unusable = |error: serde_json::Error| ClientError::Unusable(error.to_string());
        match serde_json::from_slice(&answer).map_err(unusable)? {
            Answer { error: Some(error), .. } => Err(ClientError::Call(error)),
            Answer { result, .. } => serde_json::from_str(result.map_or("null", RawValue::get)).map_err(unusable),
        }
    }

    async fn ask(&self, body: Bytes) -> Result<Bytes, ClientError> {
        let request = Request::post("/")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Arguments(error.to_string()))?;
        let (mut connection, response) = self.send(request).await?;
        let status = response.status();
        let lost = |error: Box<dyn std::error::Error + Send + Sync>| ClientError::Lost(error.to_string());
        let answer = Limited::new(response.into_body(), ANSWER_MAX).collect().await.map_err(lost)?.to_bytes();
        if connection.ready().await.is_ok() {
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
    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(Connection, Response<Incoming>), ClientError> {
        loop {
            let kept = self.kept().await;
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    // Given back, so not a byte of it has left.
                    Some(unsent) if was_kept => request = unsent,
                    _ => return Err(ClientError::Lost(error.into_error().to_string())),
                },
            }
        }
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

    async fn connect(&self) -> Result<Connection, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|cause| ClientError::NotConnected { socket: self.socket.clone(), cause })?;
        let (connection, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| ClientError::Lost(error.to_string()))?;
        // It ends with the connection; what goes wrong is told to the one who sent the request.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
