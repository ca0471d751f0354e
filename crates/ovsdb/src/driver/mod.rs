//! What moves the bytes of a connection, and what time passes by.
//!
//! The protocol itself is in [`crate::Connection`] and knows neither. There are two drivers, each behind a feature of
//! its name: [`Driver::Tokio`] for programs that stay, and [`Driver::Poll`] for processes that run one command and end.

use std::time::Instant;

#[cfg(feature = "poll")]
pub mod poll;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

/// Which driver to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// tokio: two tasks read and write each connection. Everything must run inside a tokio runtime with I/O and time.
    #[cfg(feature = "tokio")]
    Tokio,
    /// `poll(2)`: whoever waits for an answer reads and writes. Everything must run inside [`poll::block_on`].
    #[cfg(feature = "poll")]
    Poll,
}

impl Driver {
    /// Waits until a point in time.
    pub async fn sleep_until(self, at: Instant) {
        match self {
            #[cfg(feature = "tokio")]
            Driver::Tokio => ::tokio::time::sleep_until(at.into()).await,
            #[cfg(feature = "poll")]
            Driver::Poll => poll::sleep_until(at).await,
        }
    }
}
