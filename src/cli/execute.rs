//! Runs one command of the registry for a person: the same as for the agent, without its framing.

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::Entry;
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::settings::Settings;
use crate::vswitch::Session;

/// What the command answers. A signal ends it the way its deadline does, with an error that tells what was done.
pub(super) fn execute(entry: &Entry, json: &str) -> Result<Value, Error> {
    crate::log::to_stderr();
    let settings = Settings::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        let (deadline, stop) = Deadline::after(settings.timeout);
        stop_on_signals(stop)?;
        entry.execute(json, &mut Session::new(settings, deadline)).await
    })
}

fn stop_on_signals(stop: Stop) -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(|error| Error::Internal(format!("signals can't be received: {error}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hang_up.recv() => "SIGHUP",
        };
        stop.send_replace(Some(name));
        // Keeps the sender alive: what waits on it after the signal must still see it.
        std::future::pending::<()>().await;
    });
    Ok(())
}
