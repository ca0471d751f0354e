//! The one deadline of a command, which every wait of it is bounded by.
//!
//! A signal to stop counts as the deadline passing early: what must be said and cleaned up then is the same, only the
//! reason differs.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use ovsdb::driver::Driver;
use tokio::sync::watch;
use tokio::time::Instant;

/// A point in time until which a command may take, unless it is told to stop before.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Instant,
    /// What the caller has set; what follows a failure is bounded by it, too.
    first: Instant,
    allowed: Duration,
    /// By whose clock.
    driver: Driver,
    stop: watch::Receiver<Option<&'static str>>,
}

/// Tells everything that waits for a [`Deadline`] to stop, with the name of the signal that asked for it.
pub type Stop = watch::Sender<Option<&'static str>>;

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The time was up.
    Time(Duration),
    /// A signal arrived.
    Signal(&'static str),
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expired::Time(allowed) => write!(f, "the deadline of {} s passed", allowed.as_secs_f64()),
            Expired::Signal(name) => write!(f, "stopped by {name}"),
        }
    }
}

impl Deadline {
    /// A deadline from now on inside a tokio runtime, and the means to stop earlier.
    pub fn after(allowed: Duration) -> (Self, Stop) {
        Deadline::on(Driver::Tokio, allowed)
    }

    /// A deadline from now on, and the means to stop earlier. Whatever is done until then runs on this driver.
    pub fn on(driver: Driver, allowed: Duration) -> (Self, Stop) {
        let (sender, stop) = watch::channel(None);
        let at = Instant::now() + allowed;
        (Deadline { at, first: at, allowed, driver, stop }, sender)
    }

    /// A deadline of its own for a part of the work, that no signal cuts short.
    pub fn window(&self, time: Duration) -> Self {
        Deadline::on(self.driver, time).0
    }

    /// What connections are served by until then.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// A deadline that leaves this much time from now, and that no signal cuts short: for tidying up, also after the
    /// deadline has passed. However many steps ask for it, all of them end so long after the first deadline, unless the
    /// machine is so busy that nothing would be left.
    pub fn leaving(&self, time: Duration) -> Self {
        let (_, stop) = watch::channel(None);
        let now = Instant::now();
        let at = (now + time).min(self.first + time).max(now + time / 4);
        Deadline { at: self.at.max(at), stop, ..*self }
    }

    /// A deadline that is not later than so long from now.
    pub fn at_most(&self, time: Duration) -> Self {
        Deadline { at: self.at.min(Instant::now() + time), ..self.clone() }
    }

    /// Whether there is time left and no signal has come.
    pub fn goes_on(&self) -> bool {
        self.left() > Duration::ZERO && self.stop.borrow().is_none()
    }

    /// A deadline for the first of several attempts that have to share the time that is left.
    pub fn share(&self, attempts: usize) -> Self {
        let now = Instant::now();
        let share = self.left() / u32::try_from(attempts.max(1)).unwrap_or(u32::MAX);
        Deadline { at: now + share, ..self.clone() }
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether the time is up, or a signal has arrived.
    pub fn passed(&self) -> Option<Expired> {
        match *self.stop.borrow() {
            Some(signal) => Some(Expired::Signal(signal)),
            None => self.left().is_zero().then_some(Expired::Time(self.allowed)),
        }
    }

    /// Waits for `work`, at most until the deadline.
    pub async fn limit<F: Future>(&self, work: F) -> Result<F::Output, Expired> {
        let mut stop = self.stop.clone();
        tokio::select! {
            // In this order: a result that is there counts, however late it is looked at.
            biased;
            output = work => Ok(output),
            Ok(signal) = async { stop.wait_for(Option::is_some).await.map(|name| *name) } => {
                Err(Expired::Signal(signal.unwrap_or("a signal")))
            }
            () = self.driver.sleep_until(self.at.into_std()) => Err(Expired::Time(self.allowed)),
        }
    }

    /// Pauses, at most until the deadline.
    pub async fn sleep(&self, pause: Duration) -> Result<(), Expired> {
        self.limit(self.driver.sleep_until((Instant::now() + pause).into_std())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_its_result_the_deadline_or_a_signal() {
        let (deadline, stop) = Deadline::after(Duration::from_secs(8));
        assert_eq!(deadline.limit(async { 7 }).await, Ok(7));
        assert_eq!(deadline.sleep(Duration::from_secs(9)).await, Err(Expired::Time(Duration::from_secs(8))));
        assert_eq!(deadline.limit(async { 7 }).await, Ok(7), "what needs no waiting needs no time");
        stop.send(Some("SIGTERM")).unwrap();
        let (later, stop) = Deadline::after(Duration::from_secs(8));
        stop.send(Some("SIGTERM")).unwrap();
        assert_eq!(later.sleep(Duration::from_secs(1)).await, Err(Expired::Signal("SIGTERM")));
        assert_eq!(later.leaving(Duration::from_secs(2)).sleep(Duration::from_secs(1)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_share_the_time_that_is_left() {
        let (deadline, _stop) = Deadline::after(Duration::from_secs(8));
        let begin = Instant::now();
        for (attempts, end) in [(2, 4), (4, 5), (1, 8), (0, 8)] {
            assert!(deadline.share(attempts).sleep(Duration::from_secs(9)).await.is_err());
            assert_eq!(begin.elapsed(), Duration::from_secs(end));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_outlives_the_one_who_could_stop_it() {
        let (deadline, stop) = Deadline::after(Duration::from_secs(2));
        drop(stop);
        assert_eq!(deadline.sleep(Duration::from_secs(1)).await, Ok(()));
        assert_eq!(deadline.sleep(Duration::from_secs(5)).await, Err(Expired::Time(Duration::from_secs(2))));
    }
}
