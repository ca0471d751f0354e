//! Runs the commands that callers ask for: many at once, each with its own deadline.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};

use super::metrics::Metrics;
use super::observed;
use crate::commands::Entry;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::paths::Paths;
use crate::settings::Settings;
use crate::vswitch::Session;
use crate::vswitch::hub::Hub;
use crate::vswitch::ready;

/// `/readyz` and `/metrics` wait this long for the database at most.
const READY_LIMIT: Duration = Duration::from_secs(2);
/// `/healthz` is more patient: whoever asks it may end the server.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);

/// For each command that may run, so many calls may be there, running and waiting. A program that sends without end is
/// told so before its calls fill the memory.
const QUEUE_PER_PLACE: usize = 16;

/// What all calls share.
pub struct Calls {
    settings: Settings,
    hub: Arc<Hub>,
    paths: Paths,
    places: Semaphore,
    queue: Semaphore,
    metrics: Arc<Metrics>,
    /// The signal that cuts calls short, once there is one.
    interrupted: watch::Receiver<Option<&'static str>>,
    /// Tells by its end that nobody can call any more, and nothing runs.
    _busy: mpsc::Sender<Infallible>,
}

impl Calls {
    /// Runs at most `limit` commands at once; further ones wait for their turn, within their deadline. Must be called
    /// inside a tokio runtime.
    pub fn new(
        settings: Settings,
        paths: Paths,
        limit: usize,
        metrics: Arc<Metrics>,
        interrupted: watch::Receiver<Option<&'static str>>,
        busy: mpsc::Sender<Infallible>,
    ) -> Self {
        let queue = Semaphore::new(limit.saturating_mul(QUEUE_PER_PLACE));
        let hub = Hub::with_topology(&settings);
        Calls { settings, hub, paths, places: Semaphore::new(limit), queue, metrics, interrupted, _busy: busy }
    }

    /// Runs a command to its end, also when the caller goes away meanwhile: a command that is dropped half-way could not
    /// take back what it has done. The same task makes the answer of the outcome.
    pub async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        entry: &'static Entry,
        arguments: String,
        answer: impl FnOnce(Result<Value, Error>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let calls = self.clone();
        let running = tokio::spawn(async move {
            let watched = calls.metrics.begin(entry.name);
            let outcome = calls.run(entry, &arguments).await;
            watched.end(outcome.as_ref().map_or_else(Error::code, |_| "ok"));
            Ok(answer(outcome))
        });
        running.await.unwrap_or_else(|error| Err(Error::Internal(format!("the command ended early: {error}"))))
    }

    async fn run(&self, entry: &Entry, arguments: &str) -> Result<Value, Error> {
        let _queued = self
            .queue
            .try_acquire()
            .map_err(|_| Error::NotCommitted { cause: "too many calls are waiting for their turn already".into() })?;
        let (deadline, stop) = Deadline::after(self.settings.timeout);
        let work = async {
            let place = deadline.limit(self.places.acquire()).await;
            // The semaphore is never closed.
            let _place = place.map_err(|expired| Error::expired_before_commit(expired, "waiting for its turn"))?;
            entry.execute_strictly(arguments, &mut self.session(deadline.clone())).await
        };
        tokio::pin!(work);
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            name = name_of_signal(&mut interrupted) => stop.send_replace(Some(name)),
        };
        work.await
    }

    /// The one place where a call meets the switch: over the connection and the replica that all calls share.
    fn session(&self, deadline: Deadline) -> Session {
        Session::over(self.hub.clone(), self.settings.clone(), deadline)
    }

    /// What all calls share of the database.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// What `/metrics` tells of the switch.
    pub async fn observed(&self) -> Result<String, std::fmt::Error> {
        let (deadline, _stop) = Deadline::after(READY_LIMIT);
        observed::text(&self.hub, &mut self.session(deadline)).await
    }

    /// Whether calls can be served. The error tells why not.
    pub async fn healthy(&self) -> Result<(), String> {
        self.hub.serves(HEALTH_LIMIT).await.map_err(|error| error.to_string())
    }

    /// Whether the database answers and ovs-vswitchd is alive and has caught up. The error tells what is not so.
    pub async fn ready(&self) -> Result<(), String> {
        let (deadline, _stop) = Deadline::after(READY_LIMIT);
        ready::check(&mut self.session(deadline.clone()), &self.paths.run, &deadline).await
    }
}

async fn name_of_signal(interrupted: &mut watch::Receiver<Option<&'static str>>) -> &'static str {
    match interrupted.wait_for(Option::is_some).await.map(|name| *name) {
        Ok(Some(name)) => name,
        // Nobody is left who could interrupt.
        _ => std::future::pending().await,
    }
}

/// A command that is running, as the metrics see it.
pub struct Watched {
    metrics: Arc<Metrics>,
    command: &'static str,
    since: Instant,
}

impl Metrics {
    fn begin(self: &Arc<Self>, command: &'static str) -> Watched {
        self.in_flight.inc();
        Watched { metrics: self.clone(), command, since: Instant::now() }
    }
}

impl Watched {
    fn end(self, outcome: &'static str) {
        self.metrics.count_command(self.command, outcome, self.since.elapsed());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
