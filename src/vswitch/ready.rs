//! `ovs-plugin wait-ready`: returns when the database answers and ovs-vswitchd has caught up with it.
//!
//! Writes nothing, so it can be asked every few seconds as a health check.

use std::path::Path;
use std::time::Duration;

use super::{Session, daemon};
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::settings::Settings;

const PAUSE: Duration = Duration::from_millis(20);

/// Waits, at most this long. The error tells what is not ready.
pub async fn wait(settings: Settings, run: &Path, limit: Duration) -> Result<(), Problem> {
    let (deadline, _stop) = Deadline::after(limit);
    let mut session = Session::new(settings, deadline.clone());
    let mut before = None;
    loop {
        let not_ready = match session.is_applied().await {
            Ok(true) => match daemon::answers(run, &deadline).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            Ok(false) => "ovs-vswitchd has not applied the configuration yet".to_owned(),
            // The limit may pass in the middle of a question to a database that answers; then the cause is another.
            Err(error) => return Err(Problem(before.map_or(error.to_string(), |why| format!("{why}, and {error}")))),
        };
        if let Err(expired) = deadline.sleep(PAUSE).await {
            return Err(Problem(format!("{not_ready}, and {expired}")));
        }
        before = Some(not_ready);
    }
}

/// Asks once, without waiting for what is not ready to become so. The error tells what is not.
pub async fn check(session: &mut Session, run: &Path, deadline: &Deadline) -> Result<(), String> {
    match session.is_applied().await {
        Ok(true) => daemon::answers(run, deadline).await,
        Ok(false) => Err("ovs-vswitchd has not applied the configuration yet".into()),
        Err(error) => Err(error.to_string()),
    }
}
