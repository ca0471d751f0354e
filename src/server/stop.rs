//! Tells everybody that the server ends.

use tokio::sync::watch;

/// What is asked whether the server ends.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// What ends it.
pub struct Stopper(watch::Sender<bool>);

/// The two sides.
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// The server ends.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when the server ends.
    pub async fn stopped(&mut self) {
        // Without a stopper nothing is left that serves.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
