//! One command in a process of its own, as the host agent and people at a shell run it.

use std::convert::Infallible;
use std::sync::Arc;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use ovsdb::driver::Driver;
use ovsdb::driver::poll::{self, Direction, Source};
use serde_json::Value;

use crate::commands::Entry;
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::settings::Settings;
use crate::vswitch::Session;

/// What the command answers, by the settings in the environment.
pub fn run(command: &Entry, json: &str) -> Result<Value, Error> {
    let settings = Settings::from_env()?;
    let signals = Signals::block()?;
    poll::block_on(async {
        let (deadline, stop) = Deadline::on(Driver::Poll, settings.timeout);
        let mut session = Session::new(settings, deadline);
        tokio::select! {
            biased;
            never = signals.pass_on(stop) => match never {},
            result = command.execute(json, &mut session) => result,
        }
    })
    .map_err(|error| Error::Internal(format!("waiting failed: {error}")))?
}

/// Signals end the command the way its deadline does: with an answer that tells what was done. They are read like
/// anything else that is waited for.
struct Signals(Arc<SignalFd>);

impl Signals {
    /// From here on, the signals that ask a process to end no longer end this one.
    fn block() -> Result<Self, Error> {
        let failed = |error| Error::Internal(format!("signals can't be received: {error}"));
        let ending = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        ending.thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(Arc::new(SignalFd::with_flags(&ending, flags).map_err(failed)?)))
    }

    async fn pass_on(self, stop: Stop) -> Infallible {
        let source: Source = self.0.clone();
        loop {
            poll::ready(&source, Direction::Read).await;
            // Where no signal is there after all, it is waited for again.
            if let Ok(Some(received)) = self.0.read_signal() {
                let signal = i32::try_from(received.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
                stop.send_replace(Some(signal.map_or("a signal", Signal::as_str)));
            }
        }
    }
}
