//! `ovs-plugin serve`: the commands as JSON-RPC 2.0 methods, over HTTP and WebSocket, for programs that stay.
//!
//! The way of a call: [`listen`] has the sockets, [`access`], [`tls`] and [`border`] say who may use them; [`http`] takes a
//! request and answers `/metrics`, `/healthz` and `/readyz` itself; the messages of all others, and those of a
//! [`websocket`], go to [`rpc`], which finds the method in [`methods`] and writes the answer into [`memory`]; [`calls`]
//! runs the command. [`options`] is what the command line may say.
//!
//! One thread does all of it. Commands mostly wait, for the database and ovs-vswitchd, and hundreds wait at a time.

mod access;
mod border;
mod calls;
mod complaints;
mod http;
mod listen;
mod memory;
pub(crate) mod methods;
mod metrics;
mod observed;
pub mod options;
mod rpc;
mod stop;
mod tls;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::paths::Paths;
use crate::problem::Problem;
use crate::settings::Settings;
use calls::Calls;
use http::HttpService;
use listen::Listener;
use memory::Memory;
use metrics::Metrics;
pub use options::Options;
use stop::Stopper;

/// What is cut short by the end of the grace period still gets this long to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until a signal asks to stop. The error tells why it could not begin.
pub async fn run(settings: Settings, options: Options) -> Result<(), Problem> {
    // A signal that comes while the sockets are made is not lost.
    let mut signals = Signals::listen()?;
    allow_many_files();
    let metrics = Arc::new(Metrics::new());
    // The calls hold the sender, and everybody who may still call holds the calls.
    let (busy, mut done) = mpsc::channel::<Infallible>(1);
    let (interrupt, interrupted) = watch::channel(None);
    let calls =
        Arc::new(Calls::new(settings, Paths::from_env(), options.limits.calls, metrics.clone(), interrupted, busy));
    let (stopper, stop) = stop::channel();
    let memory = Memory::new(options.limits.held_bytes);
    tokio::spawn(memory.clone().give_back());
    let service = HttpService::new(&options, calls, memory, metrics, stop);

    let mut listeners = Vec::new();
    for address in &options.listen {
        let listener = Listener::bind(address, options.allow_group)?;
        info!("listening on {}", listener.address());
        if options.tls.is_none() && address.leaves_the_machine() {
            warn!(
                "{address} can be reached from other machines, and the token is sent in the clear: expected --tls-cert"
            );
        }
        listeners.push(listener);
    }
    let accepting: Vec<_> =
        listeners.into_iter().map(|listener| tokio::spawn(service.clone().accept(listener))).collect();
    drop(service);
    tell_service_manager(&[NotifyState::Ready]);

    let name = signals.next().await;
    info!("{name}: finishing what is in flight, within {} s", options.grace.as_secs_f64());
    tell_service_manager(&[NotifyState::Stopping]);
    for task in &accepting {
        // The sockets' files go with the tasks.
        task.abort();
    }
    finish(&stopper, options.grace, &mut done, &mut signals, &interrupt, name).await;
    Ok(())
}

/// Waits for what is in flight. What takes longer than it may is told to stop, and answers what came of it.
async fn finish(
    stopper: &Stopper,
    grace: Duration,
    done: &mut mpsc::Receiver<Infallible>,
    signals: &mut Signals,
    interrupt: &watch::Sender<Option<&'static str>>,
    name: &'static str,
) {
    stopper.stop();
    tokio::select! {
        _ = done.recv() => return,
        () = tokio::time::sleep(grace) => warn!("not everything is finished after {} s", grace.as_secs_f64()),
        again = signals.next() => warn!("{again}: not waiting any longer"),
    }
    interrupt.send_replace(Some(name));
    if tokio::time::timeout(LAST_WORDS, done.recv()).await.is_err() {
        warn!("some callers did not take their answers");
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Problem> {
        let listen = |kind| signal(kind).map_err(|error| Problem(format!("signals can't be received: {error}")));
        Ok(Signals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn tell_service_manager(state: &[NotifyState<'_>]) {
    // Without one there is nothing to tell.
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager was not told");
    }
}

/// Connections are files, and a shell allows a process 1024 of them where the system would allow many more.
fn allow_many_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        debug!(%error, "the limit of open files stays");
    }
}
