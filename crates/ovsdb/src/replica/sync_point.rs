//! Sync points: proof that everything which was committed before has been delivered.
//!
//! ovsdb-server sends a session what its monitors have to tell before it takes the session's next request
//! (ovsdb/jsonrpc-server.c, `ovsdb_jsonrpc_session_run`), and all of it comes in order over one stream. So when the
//! answer to an `echo` comes, whatever was committed before the echo was sent has been applied here.
//!
//! A relay answers an `echo` itself, whatever its source has committed meanwhile, and also when it has lost it. There the
//! echo is a transaction that does nothing: the relay passes it on, and its source tells the relay what was committed
//! before it answers, by the same rule.
//!
//! One echo serves everybody who came before it was sent. A caller that comes while one is on its way waits for the next, which
//! is sent as soon as the first is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::error::{CallError, Disconnect};
use crate::link::Link;
use crate::membership;
use crate::protocol::Outcome;
use crate::transaction::{TransactParams, TransactReply};
use crate::wire::json;

/// What proves that all has been delivered, by its answer.
#[derive(Clone, Debug)]
pub(super) enum Probe {
    /// An `echo`.
    Echo,
    /// A transaction in this database that does nothing.
    PassedOn(String),
}

/// The sync points of one connection.
#[derive(Debug)]
pub(super) struct SyncPoints {
    link: Arc<Link>,
    probe: Probe,
    flights: Mutex<Flights>,
    passed: watch::Sender<Passed>,
}

#[derive(Debug, Default)]
struct Flights {
    /// How many echoes were sent.
    sent: u64,
    /// Whether the last of them is unanswered.
    in_flight: bool,
    /// Whether somebody waits for the one after that.
    wanted: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    /// How many echoes were answered.
    answered: u64,
    /// Updates no longer come, or not in order.
    broken: bool,
}

/// The updates no longer come over this connection.
#[derive(Debug)]
pub(super) struct Broken;

/// The server answers, but not what proves that all has been delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It has answered a later echo.
    #[error("the server left out the answer to an echo")]
    Lost,
    /// It may still come.
    #[error("the server has not answered an echo within {} s", .0.as_secs_f64())]
    Late(Duration),
}

impl SyncPoints {
    pub(super) fn new(link: Arc<Link>, probe: Probe) -> Arc<Self> {
        Arc::new(SyncPoints { link, probe, flights: Mutex::default(), passed: watch::Sender::new(Passed::default()) })
    }

    /// Returns once all that was committed before the call has been delivered.
    pub(super) async fn pass(self: &Arc<Self>) -> Result<(), Broken> {
        let mut passed = self.passed.subscribe();
        let (ticket, launch) = {
            let mut flights = self.lock();
            if flights.in_flight {
                flights.wanted = true;
                (flights.sent + 1, false)
            } else {
                flights.in_flight = true;
                flights.sent += 1;
                (flights.sent, true)
            }
        };
        if launch {
            self.launch();
        }
        match passed.wait_for(|passed| passed.broken || passed.answered >= ticket).await {
            Ok(passed) if !passed.broken => Ok(()),
            _ => Err(Broken),
        }
    }

    /// Fails whoever waits, now and later.
    pub(super) fn fail(&self) {
        self.passed.send_modify(|passed| passed.broken = true);
    }

    /// Returns when an answer is overdue: with it, everybody who comes later would wait in vain. After half of the time, one
    /// more echo tells whether the answer is lost, as the server answers in order.
    pub(super) async fn unanswered(&self, patience: Duration) -> Unanswered {
        let mut waiting: Option<(u64, Instant)> = None;
        loop {
            tokio::time::sleep(patience / 4).await;
            let flight = self.flight();
            let since = match (flight, waiting) {
                (Some(flight), Some((same, since))) if same == flight => since,
                (flight, _) => {
                    waiting = flight.map(|flight| (flight, Instant::now()));
                    continue;
                }
            };
            if since.elapsed() < patience {
                continue;
            }
            // A relay answers an echo itself, so there it says nothing of what it has passed on.
            if matches!(self.probe, Probe::Echo) {
                let (answered, answer) = oneshot::channel();
                let complete = Box::new(move |_: Outcome<'_>| {
                    // The caller may have gone away.
                    let _ = answered.send(());
                });
                self.link.send("echo", [(); 0], complete);
                if tokio::time::timeout(patience, answer).await.is_ok() && self.flight() == flight {
                    return Unanswered::Lost;
                }
            }
            if self.flight() == flight && since.elapsed() >= patience * 2 {
                return Unanswered::Late(patience * 2);
            }
        }
    }

    /// Which echo is on its way.
    fn flight(&self) -> Option<u64> {
        let flights = self.lock();
        flights.in_flight.then_some(flights.sent)
    }

    /// Whether it can still be passed, as far as is known.
    pub(super) fn works(&self) -> bool {
        !self.passed.borrow().broken
    }

    fn launch(self: &Arc<Self>) {
        let sync_points = self.clone();
        match &self.probe {
            Probe::Echo => {
                let complete = Box::new(move |outcome: Outcome<'_>| {
                    if let Err(error) = &outcome {
                        // Nothing has been proven, nor will it be later.
                        sync_points.link.end(Disconnect::Message(format!("the server refuses an echo: {error}")));
                    }
                    sync_points.landed(outcome.is_ok());
                });
                self.link.send("echo", [(); 0], complete);
            }
            Probe::PassedOn(database) => {
                let proof = membership::proof();
                let complete = Box::new(move |outcome: Outcome<'_>| {
                    let reply = outcome.and_then(|result| {
                        json::from_raw::<TransactReply>(result.unwrap_or(RawValue::NULL))
                            .map_err(|error| CallError::Unexpected { method: "transact", reason: error.to_string() })
                    });
                    let proven = membership::proven(reply);
                    if let Err(error) = &proven {
                        // Whoever keeps the connection has to find another.
                        sync_points.link.end(Disconnect::Message(format!("the relay passes nothing on: {error}")));
                    }
                    sync_points.landed(proven.is_ok());
                });
                self.link.send("transact", TransactParams(database, &proof.operations), complete);
            }
        }
    }

    fn landed(self: &Arc<Self>, answered: bool) {
        if !answered {
            return self.fail();
        }
        let again = {
            let mut flights = self.lock();
            let again = std::mem::take(&mut flights.wanted);
            self.passed.send_modify(|passed| passed.answered = flights.sent);
            flights.in_flight = again;
            flights.sent += u64::from(again);
            again
        };
        if again {
            self.launch();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::connection::Connection;
    use crate::wire::frame::Limits;

    /// The id of the next echo that the peer hears.
    async fn hear(peer: &mut DuplexStream) -> u64 {
        let mut text = Vec::new();
        loop {
            if let Ok(request) = serde_json::from_slice::<serde_json::Value>(&text) {
                assert_eq!(request["method"], "echo");
                return request["id"].as_u64().unwrap();
            }
            text.push(tokio::time::timeout(Duration::from_secs(10), peer.read_u8()).await.unwrap().unwrap());
        }
    }

    async fn answer(peer: &mut DuplexStream, id: u64) {
        peer.write_all(format!("{{\"id\":{id},\"result\":[],\"error\":null}}").as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn who_comes_while_an_echo_is_on_its_way_shares_the_next() {
        let (ours, mut peer) = tokio::io::duplex(4096);
        let (read, write) = tokio::io::split(ours);
        let connection = Connection::over(read, write, "the peer".into(), Limits::default());
        let sync_points = SyncPoints::new(connection.link().clone(), Probe::Echo);
        let pass = || {
            let sync_points = sync_points.clone();
            tokio::spawn(async move { sync_points.pass().await })
        };
        let first = pass();
        let one = hear(&mut peer).await;
        let (second, third) = (pass(), pass());
        tokio::task::yield_now().await;
        answer(&mut peer, one).await;
        first.await.unwrap().unwrap();
        let two = hear(&mut peer).await;
        assert!(!second.is_finished() && !third.is_finished(), "the first echo proves nothing to those who came later");
        answer(&mut peer, two).await;
        second.await.unwrap().unwrap();
        third.await.unwrap().unwrap();
        // One that comes when none is on its way has its own.
        let fourth = pass();
        assert!(hear(&mut peer).await > two);
        drop(connection);
        fourth.await.unwrap().unwrap_err();
        assert!(!sync_points.works());
        sync_points.pass().await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_lost_refused_or_overdue_is_noticed() {
        let patience = Duration::from_secs(5);
        for (witness, expected) in [(true, "left out the answer"), (false, "within 10 s")] {
            let (ours, mut peer) = tokio::io::duplex(4096);
            let (read, write) = tokio::io::split(ours);
            let connection = Connection::over(read, write, "the peer".into(), Limits::default());
            let sync_points = SyncPoints::new(connection.link().clone(), Probe::Echo);
            let watching = sync_points.clone();
            let watch = tokio::spawn(async move { watching.unanswered(patience).await });
            // As long as answers come, nothing is overdue.
            for _ in 0..20 {
                tokio::time::sleep(patience / 3).await;
                let passing = sync_points.clone();
                let pass = tokio::spawn(async move { passing.pass().await });
                let id = hear(&mut peer).await;
                answer(&mut peer, id).await;
                pass.await.unwrap().unwrap();
            }
            assert!(!watch.is_finished());
            let passing = sync_points.clone();
            let pass = tokio::spawn(async move { passing.pass().await });
            let lost = hear(&mut peer).await;
            let later = hear(&mut peer).await;
            assert!(later > lost);
            if witness {
                answer(&mut peer, later).await;
            }
            let cause = watch.await.unwrap().to_string();
            assert!(cause.contains(expected), "{cause}");
            connection.close(Disconnect::Dropped);
            pass.await.unwrap().unwrap_err();
        }
        // An answer that is an error ends the connection, so that there will be another.
        let (ours, mut peer) = tokio::io::duplex(4096);
        let (read, write) = tokio::io::split(ours);
        let connection = Connection::over(read, write, "the peer".into(), Limits::default());
        let sync_points = SyncPoints::new(connection.link().clone(), Probe::Echo);
        let passing = sync_points.clone();
        let pass = tokio::spawn(async move { passing.pass().await });
        let id = hear(&mut peer).await;
        peer.write_all(format!("{{\"id\":{id},\"result\":null,\"error\":\"no\"}}").as_bytes()).await.unwrap();
        pass.await.unwrap().unwrap_err();
        assert!(!connection.is_open() && !sync_points.works());
    }
}
