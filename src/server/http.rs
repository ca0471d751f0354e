//! From a connection to a request: takes connections, checks who they are, and hands their requests on.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, Methods, PingConfig, ServerBuilder, ServerConfig, StopHandle, TowerServiceBuilder, ws,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower::Service;
use tower::layer::util::{Identity, Stack};
use tracing::{debug, warn};

use super::access::{Access, Refusal};
use super::calls::Calls;
use super::listen::Listener;
use super::methods::{self, DispatchLayer};
use super::metrics::{self, Metrics};
use super::options::{Limits, Options};
use super::tls::Tls;
use crate::container::Problem;
use crate::credentials::Token;

/// So many connections above the limit are told why they are refused; still further ones are just closed.
const REFUSALS: usize = 16;
/// When files run out, accepting pauses so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is refused has so long to read why.
const PARTING: Duration = Duration::from_secs(1);

type Rpc = TowerServiceBuilder<Stack<DispatchLayer, Identity>, Identity>;

/// What all connections share.
#[derive(Clone)]
pub struct Doors {
    rpc: Rpc,
    methods: Methods,
    calls: Arc<Calls>,
    metrics: Arc<Metrics>,
    limits: Limits,
    token: Option<Arc<Token>>,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    next_id: Arc<AtomicU32>,
    stop: StopHandle,
}

/// A connection that counts as long as this lives.
struct Place {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
    /// The server does not end before the last answer is written.
    _calls: Arc<Calls>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Doors {
    /// Everything but the sockets.
    pub fn new(options: &Options, calls: Arc<Calls>, metrics: Arc<Metrics>, stop: StopHandle) -> Result<Self, Problem> {
        let limits = options.limits;
        let methods: Methods = methods::module(calls.clone())
            .map_err(|error| Problem(format!("a method can't be registered: {error}")))?
            .into();
        // Finds out a WebSocket whose other end does not answer any more.
        let ping = PingConfig::new().ping_interval(limits.idle / 2).inactive_limit(limits.idle).max_failures(1);
        let config = ServerConfig::builder()
            .max_request_body_size(limits.request_bytes)
            .max_response_body_size(limits.response_bytes)
            // Counted here, where they are accepted.
            .max_connections(u32::MAX >> 4)
            .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
            .enable_ws_ping(ping)
            .build();
        let dispatch =
            DispatchLayer { methods: methods.clone(), response_bytes: limits.response_bytes.try_into().unwrap_or(0) };
        let rpc = ServerBuilder::with_config(config)
            .set_rpc_middleware(RpcServiceBuilder::new().layer(dispatch))
            .to_service_builder();
        Ok(Doors {
            rpc,
            methods,
            calls,
            metrics,
            limits,
            token: options.token.clone(),
            tls: options.tls.clone(),
            places: Arc::new(Semaphore::new(limits.connections)),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            next_id: Arc::default(),
            stop,
        })
    }

    /// Takes connections until the task is aborted.
    pub async fn accept(self, listener: Listener) {
        loop {
            let accepted = match &listener {
                Listener::Unix(listener, peers, _) => listener.accept().await.map(|(stream, _)| {
                    let access = match peers.check(&stream) {
                        Ok(()) => Access::Granted,
                        Err(why) => Access::Refused(Refusal::Peer(why)),
                    };
                    self.clone().take(stream, access);
                }),
                Listener::Tcp(listener, _) => listener.accept().await.map(|(stream, _)| {
                    // Answers are written whole, so there is nothing to wait for.
                    let _ = stream.set_nodelay(true);
                    let access = match (&self.token, &self.tls) {
                        (Some(token), _) => Access::Token(token.clone()),
                        (None, Some(tls)) if tls.knows_callers() => Access::Granted,
                        (None, _) => Access::Refused(Refusal::Peer("nobody may call on TCP".into())),
                    };
                    self.clone().take_tcp(stream, access);
                }),
            };
            if let Err(error) = accepted {
                warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn take(self, stream: UnixStream, access: Access) {
        if let Some((access, place)) = self.admit(access) {
            tokio::spawn(self.serve(stream, access, place));
        }
    }

    fn take_tcp(self, stream: TcpStream, access: Access) {
        let Some((access, place)) = self.admit(access) else { return };
        let Some(tls) = self.tls.clone() else {
            tokio::spawn(self.serve(stream, access, place));
            return;
        };
        tokio::spawn(async move {
            match tokio::time::timeout(self.limits.idle, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream, access, place).await,
                Ok(Err((error, stream))) => {
                    self.metrics.count_connection("refused");
                    warn!(%error, "a connection is refused: TLS fails");
                    part_with(stream).await;
                }
                Err(_) => debug!("a connection ended: nobody began TLS"),
            }
        });
    }

    /// A place for a connection, which may be one where it is only told why it is refused.
    fn admit(&self, access: Access) -> Option<(Access, Arc<Place>)> {
        let (permit, access) = match self.places.clone().try_acquire_owned() {
            Ok(permit) => (permit, access),
            Err(_) => {
                self.metrics.count_connection("full");
                let permit = self.refusals.clone().try_acquire_owned().ok()?;
                (permit, Access::Refused(Refusal::Full(self.limits.connections)))
            }
        };
        match &access {
            Access::Refused(refusal @ Refusal::Peer(_)) => {
                self.metrics.count_connection("refused");
                warn!("a connection is refused: {}", refusal.text());
            }
            // Of these there are many, or none.
            Access::Refused(refusal @ Refusal::Full(_)) => debug!("a connection is refused: {}", refusal.text()),
            Access::Granted | Access::Token(_) => {}
        }
        self.metrics.connections.inc();
        let place = Place { metrics: self.metrics.clone(), _permit: permit, _calls: self.calls.clone() };
        Some((access, Arc::new(place)))
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        access: Access,
        place: Arc<Place>,
    ) {
        if !matches!(access, Access::Refused(_)) {
            self.metrics.count_connection("served");
        }
        let idle = self.limits.idle;
        // Who does not read the answer would hold the connection for ever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(idle));
        let stopped = self.stop.clone().shutdown();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let rpc = self.rpc.clone().connection_id(id).build(self.methods.clone(), self.stop.clone());
        let service = service_fn(move |request| {
            let (doors, access, place, mut rpc) = (self.clone(), access.clone(), place.clone(), rpc.clone());
            async move {
                if let Some(refused) = access.refuses(&request) {
                    return Ok::<_, Infallible>(refused);
                }
                if let Some(answer) = doors.own_page(&request).await {
                    return Ok(answer);
                }
                let is_upgrade = ws::is_upgrade_request(&request);
                let request = if is_upgrade {
                    // The connection goes on after this answer, in a task of its own.
                    let closed = rpc.on_session_closed();
                    tokio::spawn(async move {
                        closed.await;
                        drop(place);
                    });
                    request.map(HttpBody::new)
                } else {
                    match doors.whole(request).await {
                        Ok(request) => request,
                        Err(answer) => return Ok(answer),
                    }
                };
                let mut answer = rpc.call(request).await.unwrap_or_else(|error| {
                    text(StatusCode::INTERNAL_SERVER_ERROR, format!("the request can't be answered: {error}"))
                });
                match answer.status() {
                    // So it tells of a handshake that is none.
                    StatusCode::OK if is_upgrade => *answer.status_mut() = StatusCode::BAD_REQUEST,
                    StatusCode::OK => answer = without_null(answer),
                    _ => {}
                }
                Ok(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades();
        tokio::pin!(connection, stopped);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = &mut stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended");
        }
    }

    /// The pages beside the methods.
    async fn own_page(&self, request: &Request<Incoming>) -> Option<Response<HttpBody>> {
        let path = request.uri().path();
        if !["/metrics", "/healthz", "/readyz"].contains(&path) {
            return None;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is read with GET"));
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(answer);
        }
        Some(match path {
            "/healthz" => text(StatusCode::OK, "ok".into()),
            "/readyz" => match self.calls.ready().await {
                Ok(()) => text(StatusCode::OK, "ok".into()),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
            },
            _ => match self.metrics_page().await {
                Ok(page) => {
                    let mut answer = Response::new(HttpBody::from(page));
                    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
                    answer
                }
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("no metrics: {error}")),
            },
        })
    }

    /// What is counted here, and then the switch.
    async fn metrics_page(&self) -> Result<String, std::fmt::Error> {
        Ok(self.metrics.text()? + &self.calls.observed().await?)
    }

    /// A request with its whole body, which may neither be too large nor take too long.
    async fn whole(&self, request: Request<Incoming>) -> Result<Request<HttpBody>, Response<HttpBody>> {
        let (head, body) = request.into_parts();
        let limit = self.limits.request_bytes;
        let body = Limited::new(body, limit.try_into().unwrap_or(usize::MAX));
        match tokio::time::timeout(self.limits.idle, body.collect()).await {
            Ok(Ok(body)) => Ok(Request::from_parts(head, HttpBody::new(Full::new(body.to_bytes())))),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let mut answer = jsonrpsee::server::http::response::too_large(limit);
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                Err(answer)
            }
            Ok(Err(error)) => Err(text(StatusCode::BAD_REQUEST, format!("the request's body can't be read: {error}"))),
            Err(_) => {
                let what = format!("the request's body did not arrive within {} s", self.limits.idle.as_secs_f64());
                Err(text(StatusCode::REQUEST_TIMEOUT, what))
            }
        }
    }
}

impl Access {
    /// What to answer to a request that is not allowed.
    fn refuses(&self, request: &Request<Incoming>) -> Option<Response<HttpBody>> {
        let mut answer = match self {
            Access::Granted => return None,
            Access::Token(token) if token.accepts(request.headers().get(AUTHORIZATION)) => return None,
            Access::Token(_) => {
                let what = "the token is missing or wrong; expected Authorization: Bearer and the token";
                let mut answer = text(StatusCode::UNAUTHORIZED, what.into());
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                answer
            }
            Access::Refused(refusal @ Refusal::Peer(_)) => text(StatusCode::FORBIDDEN, refusal.text()),
            Access::Refused(refusal @ Refusal::Full(_)) => text(StatusCode::SERVICE_UNAVAILABLE, refusal.text()),
        };
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Some(answer)
    }
}

impl Refusal {
    fn text(&self) -> String {
        match self {
            Refusal::Peer(why) => why.clone(),
            Refusal::Full(limit) => format!("there are {limit} connections already"),
        }
    }
}

/// Ends a connection so that the other end can read why. It may have sent a request already, and the kernel answers what
/// nobody has read with a reset, at which others forget what they have not read yet (RFC 9112 section 9.6).
async fn part_with(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whatever comes of it, the connection ends.
    let _ = tokio::time::timeout(PARTING, rest).await;
}

/// To notifications jsonrpsee answers `null`. JSON-RPC 2.0 (section 4.1) wants them to have no answer, and no other one
/// is that short.
fn without_null(mut answer: Response<HttpBody>) -> Response<HttpBody> {
    if answer.body().size_hint().exact() == Some(4) {
        *answer.status_mut() = StatusCode::NO_CONTENT;
        *answer.body_mut() = HttpBody::empty();
        answer.headers_mut().remove(CONTENT_TYPE);
    }
    answer
}

/// A short answer for people.
fn text(status: StatusCode, text: String) -> Response<HttpBody> {
    let mut answer = Response::new(HttpBody::from(text + "\n"));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
