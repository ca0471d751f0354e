//! From a connection to a request: takes connections, checks who they are, and hands their requests on.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use soketto::handshake::http::{Server as Handshake, is_upgrade_request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tracing::debug;

use super::access::{Access, Refusal};
use super::border::Border;
use super::calls::Calls;
use super::complaints::Complaints;
use super::listen::Listener;
use super::memory::{Memory, Text};
use super::metrics::{self, Metrics};
use super::options::{Limits, Options};
use super::rpc::{self, Caller, ErrorObject, Id, Rpc};
use super::stop::Stop;
use super::tls::Tls;
use super::websocket;
use crate::credentials::Token;

/// So many connections of a listener are told why they are refused; still further ones are just closed.
const REFUSALS: usize = 16;
/// When files run out, accepting pauses so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A refused caller has so long to read the reason.
const PARTING: Duration = Duration::from_secs(1);

/// What answers are made of.
type Answer = Response<Full<Bytes>>;

/// What all connections share.
#[derive(Clone)]
pub struct HttpService {
    rpc: Arc<Rpc>,
    calls: Arc<Calls>,
    metrics: Arc<Metrics>,
    limits: Limits,
    token: Option<Arc<Token>>,
    tls: Option<Tls>,
    border: Arc<Border>,
    stop: Stop,
    /// What strangers make the server say.
    complaints: Arc<Complaints>,
    /// What the server says when it can't accept connections.
    failures: Arc<Complaints>,
}

/// The places that the connections of one listener have. What happens at another one takes none of them.
struct Places {
    /// Those of callers who are known.
    known: Arc<Semaphore>,
    /// Those of callers who have not said yet who they are.
    strangers: Arc<Semaphore>,
    /// Those where one is only told why he is refused.
    refusals: Arc<Semaphore>,
}

impl Places {
    fn new(limits: &Limits) -> Arc<Self> {
        let places = |count| Arc::new(Semaphore::new(count));
        let (known, strangers) = (places(limits.connections), places(limits.strangers));
        Arc::new(Places { known, strangers, refusals: places(REFUSALS) })
    }
}

/// The place of one connection, which counts as long as this lives.
struct Place {
    metrics: Arc<Metrics>,
    permit: Mutex<OwnedSemaphorePermit>,
    /// Whether it is known whose connection it is.
    is_known: AtomicBool,
    becomes_known: Notify,
    /// The server does not end before the last answer is written.
    _calls: Arc<Calls>,
}

impl Place {
    /// Exchanges the place for one of those who are known; false if there is none.
    fn become_known(&self, places: &Places) -> bool {
        if self.is_known.load(Ordering::Relaxed) {
            return true;
        }
        let Ok(permit) = places.known.clone().try_acquire_owned() else { return false };
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
        self.is_known.store(true, Ordering::Relaxed);
        self.becomes_known.notify_one();
        true
    }

    /// Returns when a stranger has had the time that he may have; never for those who are known.
    async fn has_overstayed(&self, until: Instant) {
        if !self.is_known.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                () = self.becomes_known.notified() => {}
                () = tokio::time::sleep_until(until) => return,
            }
        }
        std::future::pending().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// A connection that has a place.
struct Admitted {
    access: Access,
    place: Arc<Place>,
    places: Arc<Places>,
    is_tcp: bool,
    /// Until then it has to be known whose connection it is.
    until: Instant,
}

impl HttpService {
    /// Everything but the sockets.
    pub fn new(options: &Options, calls: Arc<Calls>, memory: Arc<Memory>, metrics: Arc<Metrics>, stop: Stop) -> Self {
        HttpService {
            rpc: Arc::new(Rpc::new(calls.clone(), memory, &options.limits)),
            calls,
            metrics,
            limits: options.limits,
            token: options.token.clone(),
            tls: options.tls.clone(),
            border: Arc::new(options.border.clone()),
            stop,
            complaints: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// Takes connections until the task is aborted.
    pub async fn accept(self, listener: Listener) {
        let places = Places::new(&self.limits);
        loop {
            let accepted = match &listener {
                Listener::Unix(_, listener, peers) => listener.accept().await.map(|(stream, _)| {
                    let access = match peers.check(&stream) {
                        Ok(()) => Access::Granted,
                        Err(why) => Access::Refused(Refusal::Peer(why)),
                    };
                    self.clone().take(stream, access, &places);
                }),
                Listener::Tcp(listener, _) => listener.accept().await.map(|(stream, _)| {
                    // Answers are written whole, so there is nothing to wait for.
                    let _ = stream.set_nodelay(true);
                    let access = match (&self.token, &self.tls) {
                        (Some(token), _) => Access::Token(token.clone()),
                        (None, Some(tls)) if tls.knows_callers() => Access::Granted,
                        (None, _) => Access::Refused(Refusal::Peer("nobody may call on TCP".into())),
                    };
                    self.clone().take_tcp(stream, access, &places);
                }),
            };
            if let Err(error) = accepted {
                self.failures.warn(&format!("a connection can't be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn take(self, stream: UnixStream, access: Access, places: &Arc<Places>) {
        if let Some(admitted) = self.admit(access, places, false) {
            tokio::spawn(self.serve(stream, admitted));
        }
    }

    fn take_tcp(self, stream: TcpStream, access: Access, places: &Arc<Places>) {
        let Some(mut admitted) = self.admit(access, places, true) else { return };
        let Some(tls) = self.tls.clone() else {
            tokio::spawn(self.serve(stream, admitted));
            return;
        };
        tokio::spawn(async move {
            match tokio::time::timeout_at(admitted.until, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    // TLS has asked for a certificate, and the caller has one.
                    if matches!(admitted.access, Access::Granted) && !admitted.place.become_known(&admitted.places) {
                        self.metrics.count_connection("full");
                        admitted.access = Access::Refused(Refusal::Full(self.limits.connections));
                    }
                    self.serve(stream, admitted).await;
                }
                Ok(Err((error, stream))) => {
                    self.metrics.count_connection("refused");
                    self.complaints.warn(&format!("a connection is refused: TLS fails: {error}"));
                    part_with(stream).await;
                }
                Err(_) => debug!("a connection ended: TLS was not begun in time"),
            }
        });
    }

    /// A place for a connection, which may be one where it is only told why it is refused.
    fn admit(&self, access: Access, places: &Arc<Places>, is_tcp: bool) -> Option<Admitted> {
        let is_known = !is_tcp && matches!(access, Access::Granted);
        let (free, full) = match &access {
            Access::Refused(_) => (&places.refusals, None),
            _ if is_known => (&places.known, Some(Refusal::Full(self.limits.connections))),
            _ => (&places.strangers, Some(Refusal::FullOfStrangers(self.limits.strangers))),
        };
        let (permit, access) = match (free.clone().try_acquire_owned(), full) {
            (Ok(permit), _) => (Some(permit), access),
            (Err(_), None) => (None, access),
            (Err(_), Some(full)) => {
                self.metrics.count_connection("full");
                (places.refusals.clone().try_acquire_owned().ok(), Access::Refused(full))
            }
        };
        match &access {
            Access::Refused(refusal @ Refusal::Peer(_)) => {
                self.metrics.count_connection("refused");
                self.complaints.warn(&format!("a connection is refused: {}", refusal.text()));
            }
            // Of these there are many, or none.
            Access::Refused(refusal) => debug!("a connection is refused: {}", refusal.text()),
            Access::Granted | Access::Token(_) => {}
        }
        let permit = permit?;
        self.metrics.connections.inc();
        let place = Arc::new(Place {
            metrics: self.metrics.clone(),
            permit: Mutex::new(permit),
            is_known: AtomicBool::new(is_known && !matches!(access, Access::Refused(_))),
            becomes_known: Notify::new(),
            _calls: self.calls.clone(),
        });
        let until = Instant::now() + self.limits.handshake.min(self.limits.idle);
        Some(Admitted { access, place, places: places.clone(), is_tcp, until })
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, admitted: Admitted) {
        if !matches!(admitted.access, Access::Refused(_)) {
            self.metrics.count_connection("served");
        }
        let idle = self.limits.idle;
        // A caller that does not read the answer would hold the connection for ever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(idle));
        let mut stop = self.stop.clone();
        let (place, until) = (admitted.place.clone(), admitted.until);
        let admitted = Arc::new(admitted);
        let service = service_fn(move |request| {
            let (service, admitted) = (self.clone(), admitted.clone());
            async move { Ok::<_, Infallible>(service.respond(request, &admitted).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut overstayed = pin!(place.has_overstayed(until));
        let mut is_stopping = false;
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                () = &mut overstayed => {
                    debug!("a connection ended: whose it is was not said in time");
                    return;
                }
                () = stop.stopped(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended");
        }
    }

    async fn respond(&self, request: Request<Incoming>, admitted: &Admitted) -> Answer {
        let refused = admitted.access.refuses(&request).or_else(|| {
            // Not before it is known who asks: strangers are told nothing of it.
            let problem = self.border.check(&request, admitted.is_tcp).err()?;
            Some(text(StatusCode::FORBIDDEN, problem))
        });
        let refused = refused.or_else(|| {
            let is_full = !admitted.place.become_known(&admitted.places);
            is_full.then(|| {
                self.metrics.count_connection("full");
                text(StatusCode::SERVICE_UNAVAILABLE, Refusal::Full(self.limits.connections).text())
            })
        });
        if let Some(mut refused) = refused {
            refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return refused;
        }
        if let Some(answer) = self.own_page(&request).await {
            return answer;
        }
        if is_upgrade_request(&request) {
            return self.upgrade(request, admitted.place.clone());
        }
        if request.method() != Method::POST {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "calls are sent with POST".into());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        if !is_json(request.headers().get(CONTENT_TYPE)) {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json".into());
        }
        let body = match self.whole(request.into_body()).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        // Each request has a budget of its own: the next one is only read when its answer has been taken.
        let caller = Caller { budget: self.rpc.budget(), watching: None };
        let is_message = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        match self.rpc.answer(&body, &caller).await {
            Some(answer) if is_message => json(StatusCode::OK, answer),
            Some(answer) => json(StatusCode::BAD_REQUEST, answer),
            None => {
                let mut answer = Answer::default();
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
        }
    }

    /// Answers the handshake of a WebSocket, which goes on after this answer, in a task of its own.
    fn upgrade(&self, request: Request<Incoming>, place: Arc<Place>) -> Answer {
        let mut handshake = Handshake::new();
        let answer = match handshake.receive_request(&request) {
            Ok(answer) => answer,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("Could not upgrade connection: {error}")),
        };
        let (rpc, limits, stop) = (self.rpc.clone(), self.limits, self.stop.clone());
        tokio::spawn(async move {
            match hyper::upgrade::on(request).await {
                Ok(upgraded) => websocket::serve(upgraded, handshake, rpc, limits, stop).await,
                Err(error) => debug!(%error, "a connection did not become a WebSocket"),
            }
            drop(place);
        });
        answer.map(|()| Full::default())
    }

    /// The pages beside the methods.
    async fn own_page(&self, request: &Request<Incoming>) -> Option<Answer> {
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
            "/healthz" => page_of(self.calls.healthy().await),
            "/readyz" => page_of(self.calls.ready().await),
            _ => match self.metrics_page().await {
                Ok(page) => match Text::plain(&self.rpc.budget_for_page(), page) {
                    Ok(page) => {
                        let mut answer = Response::new(Full::from(Bytes::from_owner(page)));
                        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
                        answer
                    }
                    Err(full) => text(StatusCode::SERVICE_UNAVAILABLE, full.to_string()),
                },
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("no metrics: {error}")),
            },
        })
    }

    /// What is counted here, and then the switch.
    async fn metrics_page(&self) -> Result<String, std::fmt::Error> {
        Ok(self.metrics.text()? + &self.calls.observed().await?)
    }

    /// The whole body of a request, which may neither be too large nor take too long.
    async fn whole(&self, body: Incoming) -> Result<Bytes, Answer> {
        let limit = self.limits.request_bytes;
        let body = Limited::new(body, limit.try_into().unwrap_or(usize::MAX));
        match tokio::time::timeout(self.limits.idle, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let error = rpc::short_error(Id::NULL, &ErrorObject::request_too_large(limit));
                let mut answer = json(StatusCode::PAYLOAD_TOO_LARGE, error);
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

/// What a page says of something that is so, or why it is not.
fn page_of(outcome: Result<(), String>) -> Answer {
    match outcome {
        Ok(()) => text(StatusCode::OK, "ok".into()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

impl Access {
    /// What to answer to a request that is not allowed.
    fn refuses(&self, request: &Request<Incoming>) -> Option<Answer> {
        Some(match self {
            Access::Granted => return None,
            Access::Token(token) if token.accepts(request.headers().get(AUTHORIZATION)) => return None,
            Access::Token(_) => {
                let what = "the token is missing or wrong; expected Authorization: Bearer and the token";
                let mut answer = text(StatusCode::UNAUTHORIZED, what.into());
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                answer
            }
            Access::Refused(refusal @ Refusal::Peer(_)) => text(StatusCode::FORBIDDEN, refusal.text()),
            Access::Refused(refusal) => text(StatusCode::SERVICE_UNAVAILABLE, refusal.text()),
        })
    }
}

impl Refusal {
    fn text(&self) -> String {
        match self {
            Refusal::Peer(why) => why.clone(),
            Refusal::Full(limit) => format!("there are {limit} connections already"),
            Refusal::FullOfStrangers(limit) => {
                format!("there are {limit} connections already of which it is not known yet whose they are")
            }
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

/// Whether a request says that its body is JSON.
fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next()).unwrap_or_default().trim();
    ["application/json", "application/json-rpc"].iter().any(|json| essence.eq_ignore_ascii_case(json))
}

/// A short answer for people.
fn text(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text + "\n"));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// An answer of JSON-RPC. What it holds is held until it is sent.
fn json(status: StatusCode, answer: Text) -> Answer {
    let mut answer = Response::new(Full::from(Bytes::from_owner(answer)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}
