//! The protocol as a state machine without input and output: messages in, what they mean and bytes out.
//!
//! It numbers calls and matches replies to them, knows the monitors, answers the server's `echo` (RFC 7047 section
//! 4.1.11), and holds the bytes to be written. A [`driver`](crate::driver) moves the bytes; [`crate::Connection`] is
//! what the two look like from outside. Nothing here waits, and nothing here is called back: what a message asks for is
//! returned as [`Incoming`], to be done after the lock on this state has been given up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::error::{CallError, Disconnect, REPEATED, beginning_of};
use crate::monitor::{Notice, Sink};
use crate::value::PlainUuid;
use crate::wire::frame::{self, DEPTH, Scan};
use crate::wire::json;
use crate::wire::message::{Answer, Message, MessageError, Request};

/// What a call brought; `None` is a result of `null`.
pub(crate) type Outcome<'a> = Result<Option<&'a RawValue>, CallError>;

/// Reads the result where it lies in the read buffer, and passes it on to whoever waits for it.
pub(crate) type Complete = Box<dyn FnOnce(Outcome<'_>) + Send>;

/// A monitor's sink; locked while one notification is read.
type SharedSink = Arc<Mutex<Sink>>;

/// What a server tells without being asked, monitors aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A lock that was asked for is ours now.
    Locked(String),
    /// A lock of ours was taken by another client.
    Stolen(String),
}

/// One connection's state.
#[derive(Default)]
pub(crate) struct Protocol {
    outgoing: Vec<u8>,
    last_id: u64,
    /// Ordered by id, so that what was in flight is told in the order in which it was sent.
    pending: BTreeMap<u64, Pending>,
    monitors: BTreeMap<String, SharedSink>,
    ended: Option<Disconnect>,
}

struct Pending {
    method: &'static str,
    complete: Complete,
}

/// What a message of the server asks to be done.
pub(crate) enum Incoming<'a> {
    /// The answer to a call.
    Reply(Complete, Outcome<'a>),
    /// News of a monitor, by its id.
    Notice(String, SharedSink, Notice<'a>),
    /// News of a lock.
    Event(Event),
    /// Nothing: it was answered, or it is of no interest.
    Nothing,
}

/// What becomes of a call that was asked for.
pub(crate) enum Call {
    /// It is in the outgoing buffer.
    Sent(u64),
    /// It will not be sent; the completion is given back with the reason.
    Refused(u64, Complete, CallError),
    /// The connection has ended; the completion is given back with the reason.
    Ended(u64, Complete, Disconnect),
}

impl Protocol {
    /// Why the connection has ended, if it has.
    pub(crate) fn ended(&self) -> Option<&Disconnect> {
        self.ended.as_ref()
    }

    /// Appends a request to the outgoing buffer, whole or not at all.
    pub(crate) fn call(&mut self, method: &'static str, params: impl Serialize, complete: Complete) -> Call {
        self.last_id += 1;
        let id = self.last_id;
        if let Some(cause) = &self.ended {
            return Call::Ended(id, complete, cause.clone());
        }
        match self.write(&Request { id: Some(id), method, params }) {
            Ok(()) => {
                self.pending.insert(id, Pending { method, complete });
                Call::Sent(id)
            }
            Err(error) => Call::Refused(id, complete, CallError::NotSent { method, reason: error.to_string() }),
        }
    }

    /// Appends a notification to the outgoing buffer, which nobody answers.
    pub(crate) fn notify(&mut self, method: &'static str, params: impl Serialize) {
        if self.ended.is_none()
            && let Err(error) = self.write(&Request { id: None, method, params })
        {
            warn!(method, %error, "a notification can't be written");
        }
    }

    /// Forgets a call. What is returned should be dropped after the lock has been given up: it may hold the other end of
    /// the caller's own channel.
    #[must_use]
    pub(crate) fn forget(&mut self, id: u64) -> Option<Complete> {
        self.pending.remove(&id).map(|pending| pending.complete)
    }

    /// Registers a monitor under a new id.
    pub(crate) fn add_monitor(&mut self, sink: Sink) -> String {
        // Only has to differ from the other monitors of this connection, and calls are numbered already.
        self.last_id += 1;
        let id = format!("monitor-{}", self.last_id);
        if self.ended.is_none() {
            self.monitors.insert(id.clone(), Arc::new(Mutex::new(sink)));
        }
        id
    }

    /// Forgets a monitor. To be dropped as what [`Protocol::forget`] returns.
    #[must_use]
    pub(crate) fn remove_monitor(&mut self, id: &str) -> Option<SharedSink> {
        self.monitors.remove(id)
    }

    /// Everything that is to be written and was not taken before.
    pub(crate) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Marks the connection as ended. Returns everything that was in flight, which fails, once.
    #[must_use]
    pub(crate) fn end(&mut self, cause: Disconnect) -> Option<Ended> {
        if self.ended.is_some() {
            return None;
        }
        let ended = Ended {
            in_flight: self.in_flight(),
            calls: std::mem::take(&mut self.pending).into_values().map(|pending| pending.complete).collect(),
            monitors: std::mem::take(&mut self.monitors).into_values().collect(),
        };
        self.ended = Some(cause);
        Some(ended)
    }

    /// The methods of the calls that are not answered.
    fn in_flight(&self) -> String {
        let methods: Vec<&str> = self.pending.values().map(|pending| pending.method).collect();
        beginning_of(methods.join(", "), REPEATED)
    }

    /// Acts upon one message of the server, as [`frame::Framer`] cuts it.
    pub(crate) fn receive<'a>(&mut self, text: &'a [u8]) -> Result<Incoming<'a>, Disconnect> {
        let no_message = |error: MessageError| Disconnect::NoMessage {
            problem: format!("this is no OVSDB: {error}"),
            beginning: frame::beginning(text),
        };
        match Message::parse(text).map_err(no_message)? {
            Message::Reply { id, outcome } => {
                // Ours are all numbers; one that is none is an answer to nothing of ours.
                match id.get().parse().ok().and_then(|id: u64| self.pending.remove(&id)) {
                    Some(Pending { method, complete }) => {
                        let outcome = outcome.map_err(|error| CallError::Server { method, error });
                        Ok(Incoming::Reply(complete, outcome))
                    }
                    None => {
                        debug!(id = id.get(), "a reply that nobody waits for");
                        Ok(Incoming::Nothing)
                    }
                }
            }
            Message::Request { id, method, params } => {
                // `echo` is the only request that a server may send.
                let (result, error) = match &*method {
                    "echo" => (params, None),
                    _ => (None, Some("unknown method")),
                };
                let answer = Answer { id, result, error };
                self.write(&answer).map_err(|error| Disconnect::Message(error.to_string()))?;
                Ok(Incoming::Nothing)
            }
            Message::Notification { method, params } => {
                let params = params.map_or("[]", RawValue::get);
                self.notified(&method, params)
                    .map_err(|error: json::Error| Disconnect::Message(format!("{method}: {error}")))
            }
        }
    }

    fn notified<'a>(&self, method: &str, params: &'a str) -> Result<Incoming<'a>, json::Error> {
        Ok(match method {
            "update" | "update2" => {
                let (id, tables): (&RawValue, &RawValue) = json::from_str(params)?;
                self.notice(id, Notice::Changed(None, tables))
            }
            "update3" => {
                let (id, transaction, tables): (&RawValue, PlainUuid, &RawValue) = json::from_str(params)?;
                self.notice(id, Notice::Changed(Some(transaction), tables))
            }
            "monitor_canceled" => {
                let (id,): (&RawValue,) = json::from_str(params)?;
                self.notice(id, Notice::Canceled)
            }
            "locked" => Incoming::Event(Event::Locked(json::from_str::<(String,)>(params)?.0)),
            "stolen" => Incoming::Event(Event::Stolen(json::from_str::<(String,)>(params)?.0)),
            _ => {
                debug!(method, "a notification of an unknown kind");
                Incoming::Nothing
            }
        })
    }

    fn notice<'a>(&self, id: &RawValue, notice: Notice<'a>) -> Incoming<'a> {
        // Ours are all strings; one that is none is not ours.
        let Ok(id) = json::from_raw::<String>(id) else {
            debug!(id = id.get(), "an update of a monitor that was never asked for");
            return Incoming::Nothing;
        };
        match self.monitors.get(&id) {
            Some(sink) => Incoming::Notice(id, sink.clone(), notice),
            None => {
                debug!(id, "an update of a monitor that nobody reads");
                Incoming::Nothing
            }
        }
    }

    fn write(&mut self, message: &impl Serialize) -> Result<(), Unsendable> {
        let before = self.outgoing.len();
        let written = serde_json::to_writer(&mut self.outgoing, message).map_err(Unsendable::Json);
        let checked = written.and_then(|()| check(self.outgoing.get(before..).unwrap_or_default()));
        checked.inspect_err(|_| self.outgoing.truncate(before))
    }
}

/// What was in flight when a connection ended.
pub(crate) struct Ended {
    in_flight: String,
    calls: Vec<Complete>,
    monitors: Vec<SharedSink>,
}

impl Ended {
    /// Fails all of it. `error` makes the error of one call from what was in flight.
    pub(crate) fn fail(self, error: impl Fn(String) -> CallError) {
        // Without its sink, the receiving end of a monitor reads to its end and stops.
        drop(self.monitors);
        for complete in self.calls {
            complete(Err(error(self.in_flight.clone())));
        }
    }
}

/// Hands a notification to a monitor's sink; `false` when nobody reads that monitor any more.
pub(crate) fn deliver(sink: &SharedSink, notice: Notice<'_>) -> bool {
    (sink.lock().unwrap_or_else(PoisonError::into_inner))(notice)
}

/// Why a message is not sent.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("it can't be written: {0}")]
    Json(serde_json::Error),
    #[error("it has a text with a NUL character (U+0000), which a database can't hold")]
    Nul,
    #[error("it has more than {DEPTH} objects and arrays inside each other")]
    TooDeep,
}

/// Refuses what ovsdb-server closes the connection on, as far as a writer of JSON can write it: a NUL in a string
/// (lib/json.c: "null bytes not supported in quoted strings"), and too many levels. The first costs everybody on the
/// connection their calls.
fn check(text: &[u8]) -> Result<(), Unsendable> {
    Scan::default().advance(text, DEPTH).map_err(|_| Unsendable::TooDeep)?;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(b"u0000") {
            return Err(Unsendable::Nul);
        }
        // The character that is escaped may be a backslash.
        rest = rest.get(1..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::*;

    type Outcomes = mpsc::Receiver<Result<Option<String>, CallError>>;

    /// A completion, and where its outcome arrives.
    fn complete() -> (Complete, Outcomes) {
        let (sender, receiver) = mpsc::channel();
        let complete = move |outcome: Outcome<'_>| {
            sender.send(outcome.map(|result| result.map(|result| result.get().to_owned()))).unwrap();
        };
        (Box::new(complete), receiver)
    }

    fn call(protocol: &mut Protocol, method: &'static str, params: impl Serialize) -> (u64, Outcomes) {
        let (complete, outcomes) = complete();
        match protocol.call(method, params, complete) {
            Call::Sent(id) => (id, outcomes),
            Call::Refused(id, complete, error) => {
                complete(Err(error));
                (id, outcomes)
            }
            Call::Ended(id, complete, cause) => {
                complete(Err(CallError::Disconnected { remote: "r".into(), in_flight: method.into(), cause }));
                (id, outcomes)
            }
        }
    }

    fn written(protocol: &mut Protocol) -> String {
        String::from_utf8(protocol.take_outgoing()).unwrap()
    }

    /// Takes one message and does what it asks for. Returns news of locks.
    fn receive(protocol: &mut Protocol, text: &str) -> Option<Event> {
        match protocol.receive(text.as_bytes()).unwrap() {
            Incoming::Reply(complete, outcome) => complete(outcome),
            Incoming::Notice(id, sink, notice) => {
                if !deliver(&sink, notice) {
                    drop(protocol.remove_monitor(&id));
                }
            }
            Incoming::Event(event) => return Some(event),
            Incoming::Nothing => {}
        }
        None
    }

    #[test]
    fn replies_in_any_order_reach_their_own_calls() {
        let mut protocol = Protocol::default();
        let (first, of_first) = call(&mut protocol, "a", json!([1]));
        let (second, of_second) = call(&mut protocol, "b", json!([]));
        let expected = [r#"{"id":1,"method":"a","params":[1]}"#, r#"{"id":2,"method":"b","params":[]}"#].concat();
        assert_eq!(written(&mut protocol), expected);
        assert_eq!(written(&mut protocol), "", "bytes are handed out once");
        receive(&mut protocol, &format!(r#"{{"id":{second},"result":[2],"error":null}}"#));
        receive(&mut protocol, &format!(r#"{{"id":{first},"result":null,"error":"unknown method"}}"#));
        assert_eq!(of_second.recv().unwrap().unwrap().as_deref(), Some("[2]"));
        assert!(of_first.recv().unwrap().unwrap_err().to_string().contains("a: unknown method"));
    }

    #[test]
    fn a_reply_to_nothing_of_ours_changes_nothing() {
        let mut protocol = Protocol::default();
        let (id, outcomes) = call(&mut protocol, "a", ());
        for text in [r#"{"id":99,"result":1}"#, r#"{"id":"x","result":1}"#, r#"{"id":-1,"result":1}"#] {
            receive(&mut protocol, text);
        }
        drop(protocol.forget(id));
        receive(&mut protocol, &format!(r#"{{"id":{id},"result":1}}"#));
        assert!(outcomes.recv().is_err(), "a forgotten call is never completed");
    }

    #[test]
    fn the_servers_echo_is_answered_and_other_requests_are_refused() {
        let mut protocol = Protocol::default();
        receive(&mut protocol, r#"{"id":"echo","method":"echo","params":["x"]}"#);
        assert_eq!(written(&mut protocol), r#"{"id":"echo","result":["x"],"error":null}"#);
        receive(&mut protocol, r#"{"id":7,"method":"steal","params":[]}"#);
        assert_eq!(written(&mut protocol), r#"{"id":7,"result":null,"error":"unknown method"}"#);
    }

    #[test]
    fn notifications_reach_the_monitor_they_name_until_nobody_reads_it() {
        let mut protocol = Protocol::default();
        let (sender, seen) = mpsc::channel();
        let mut left = 2;
        let id = protocol.add_monitor(Box::new(move |notice| {
            let text = match notice {
                Notice::Changed(transaction, tables) => format!("{} {}", transaction.is_some(), tables.get()),
                Notice::Canceled => "canceled".to_owned(),
            };
            sender.send(text).unwrap();
            left -= 1;
            left > 0
        }));
        let nil = uuid::Uuid::nil();
        receive(&mut protocol, &format!(r#"{{"id":null,"method":"update2","params":["{id}",{{"T":1}}]}}"#));
        receive(&mut protocol, r#"{"id":null,"method":"update2","params":["other",{"T":2}]}"#);
        receive(&mut protocol, r#"{"id":null,"method":"update2","params":[7,{"T":2}]}"#);
        receive(&mut protocol, &format!(r#"{{"id":null,"method":"update3","params":["{id}","{nil}",{{"T":3}}]}}"#));
        receive(&mut protocol, &format!(r#"{{"id":null,"method":"update3","params":["{id}","{nil}",{{"T":4}}]}}"#));
        assert_eq!(seen.iter().collect::<Vec<_>>(), [r#"false {"T":1}"#, r#"true {"T":3}"#]);
    }

    #[test]
    fn locks_are_told_by_name() {
        let mut protocol = Protocol::default();
        let told = receive(&mut protocol, r#"{"id":null,"method":"locked","params":["l"]}"#);
        assert_eq!(told, Some(Event::Locked("l".into())));
        let told = receive(&mut protocol, r#"{"id":null,"method":"stolen","params":["l"]}"#);
        assert_eq!(told, Some(Event::Stolen("l".into())));
        assert_eq!(receive(&mut protocol, r#"{"id":null,"method":"news","params":["l"]}"#), None);
    }

    #[test]
    fn what_makes_no_sense_ends_the_connection() {
        for text in [
            "{}",
            r#"{"id":null,"method":"locked","params":[7]}"#,
            r#"{"id":null,"method":"update2","params":[]}"#,
            r#"{"id":null,"method":"update3","params":["monitor-1",7,{}]}"#,
        ] {
            assert!(Protocol::default().receive(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_end_fails_each_call_once_and_names_all_of_them() {
        let mut protocol = Protocol::default();
        let (_, first) = call(&mut protocol, "transact", ());
        let (_, second) = call(&mut protocol, "echo", ());
        let error = |in_flight| CallError::Disconnected { remote: "r".into(), in_flight, cause: Disconnect::Closed };
        protocol.end(Disconnect::Closed).unwrap().fail(error);
        assert!(protocol.end(Disconnect::Dropped).is_none(), "it has ended already");
        for outcomes in [first, second] {
            let error = outcomes.recv().unwrap().unwrap_err().to_string();
            assert!(error.contains("lost with transact, echo in flight: the server closed"), "{error}");
            assert!(outcomes.recv().is_err());
        }
        let (_, late) = call(&mut protocol, "echo", ());
        assert!(late.recv().unwrap().is_err());
        let forgotten = protocol.add_monitor(Box::new(|_| true));
        assert!(protocol.remove_monitor(&forgotten).is_none(), "nothing will come for it");
    }

    #[test]
    fn what_would_cost_everybody_the_connection_is_not_sent() {
        let mut protocol = Protocol::default();
        let deep = |levels: usize| serde_json::from_str::<Box<RawValue>>(&("[".repeat(levels) + &"]".repeat(levels)));
        for params in [json!(["a\u{0}b"]), json!({"\u{0}": 1})] {
            let (_, outcomes) = call(&mut protocol, "transact", params);
            assert!(outcomes.recv().unwrap().unwrap_err().to_string().contains("NUL"));
        }
        let (_, outcomes) = call(&mut protocol, "transact", deep(DEPTH).unwrap());
        assert!(outcomes.recv().unwrap().unwrap_err().to_string().contains("inside each other"));
        assert_eq!(written(&mut protocol), "");
        call(&mut protocol, "transact", json!(["a\\u0000b"]));
        assert!(written(&mut protocol).contains(r"a\\u0000b"), "a backslash and letters are no NUL");
    }
}
