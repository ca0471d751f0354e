//! `ovs-plugin watch`: a line of JSON for each event, until it is stopped or nobody reads any more.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};

use super::output;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::terminal;
use crate::vswitch::hub::Hub;
use crate::vswitch::watch::Watch;

/// Prints what happens. The database is waited for without end, as whoever watches does not know when it comes; but who may
/// not open it is told so.
pub(super) async fn run(settings: Settings) -> Result<(), Problem> {
    let listen = |kind| signal(kind).map_err(|error| Problem(format!("signals can't be received: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let hub = Hub::with_topology(&settings);
    let mut watch = Watch::new(hub.clone());
    let mut has_begun = false;
    loop {
        let event = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            event = watch.next() => event,
            error = hub.forbidden(), if !has_begun => return Err(Problem(error.to_string())),
        };
        has_begun = true;
        let Some(event) = event else { return Ok(()) };
        let mut line =
            serde_json::to_string(&event).map_err(|error| Problem(format!("an event can't be written: {error}")))?;
        line.push('\n');
        let mut stdout = std::io::stdout();
        let result = stdout.write_all(terminal::json(&line).as_bytes()).and_then(|()| stdout.flush());
        let has_failed = result.is_err();
        output::written(result)?;
        if has_failed {
            // The reader has seen enough.
            return Ok(());
        }
    }
}
