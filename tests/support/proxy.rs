//! A man in the middle: passes JSON-RPC messages between clients and the database server, remembers them, and can
//! lose some or cut the connection at the worst moment.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// A message that reached the proxy.
#[derive(Debug, Clone)]
pub struct Passed {
    pub from: From,
    pub message: Value,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// It never arrives.
    Lose,
    /// It never arrives, and both ends find the connection closed.
    Cut,
    /// The client is told that the server does not know the method.
    UnknownMethod,
    /// The client is told that the server does not have the database.
    UnknownDatabase,
}

/// What a server of Open vSwitch 2.5 answers: it has no database of its own, and knows only what RFC 7047 has.
pub fn as_open_vswitch_2_5(from: From, message: &Value) -> Fate {
    match message["method"].as_str() {
        Some("monitor_cond" | "monitor_cond_since" | "set_db_change_aware") if from == From::Client => {
            Fate::UnknownMethod
        }
        Some("transact" | "monitor" | "get_schema") if from == From::Client && message["params"][0] == "_Server" => {
            Fate::UnknownDatabase
        }
        _ => Fate::Pass,
    }
}

type Judge = dyn Fn(From, &mut Value) -> Fate + Send + Sync;

/// The proxy; it ends with the test process.
pub struct Proxy {
    socket: PathBuf,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Proxy {
    /// Passes everything on.
    pub fn new(socket: &Path, server: &Path) -> Proxy {
        Proxy::with(socket, server, |_, _| Fate::Pass)
    }

    /// Listens at `socket`, in front of `server`, and does with each message what `judge` says.
    pub fn with(socket: &Path, server: &Path, judge: impl Fn(From, &Value) -> Fate + Send + Sync + 'static) -> Proxy {
        Proxy::start(socket, server, Arc::new(move |from, message: &mut Value| judge(from, message)))
    }

    /// Passes everything on as `edit` leaves it.
    pub fn editing(socket: &Path, server: &Path, edit: impl Fn(From, &mut Value) + Send + Sync + 'static) -> Proxy {
        let judge = move |from, message: &mut Value| {
            edit(from, message);
            Fate::Pass
        };
        Proxy::start(socket, server, Arc::new(judge))
    }

    fn start(socket: &Path, server: &Path, judge: Arc<Judge>) -> Proxy {
        let listener = UnixListener::bind(socket).unwrap();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let proxy = Proxy { socket: socket.to_owned(), passed: passed.clone() };
        let server = server.to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                // A server that is not there closes the connection, as far as the client can tell.
                let Ok(server) = UnixStream::connect(&server) else { continue };
                // Both directions may write to the client.
                let answers = Arc::new(Mutex::new(client.try_clone().unwrap()));
                for (from, source, sink) in [(From::Client, &client, &server), (From::Server, &server, &client)] {
                    let (source, sink) = (source.try_clone().unwrap(), sink.try_clone().unwrap());
                    let (passed, judge, answers) = (passed.clone(), judge.clone(), answers.clone());
                    thread::spawn(move || pass(from, source, sink, &answers, &passed, &*judge));
                }
            }
        });
        proxy
    }

    /// What `OVS_PLUGIN_DB` has to say.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Everything so far, in order; nothing of it is remembered any longer.
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut self.passed.lock().unwrap())
    }
}

/// Passes one direction on until it ends.
fn pass(
    from: From,
    mut source: UnixStream,
    mut sink: UnixStream,
    answers: &Mutex<UnixStream>,
    passed: &Mutex<Vec<Passed>>,
    judge: &Judge,
) {
    let mut buffer = Vec::new();
    let mut piece = vec![0; 1 << 20];
    'reads: while let Ok(length @ 1..) = source.read(&mut piece) {
        buffer.extend_from_slice(&piece[..length]);
        let mut texts = serde_json::Deserializer::from_slice(&buffer).into_iter::<Value>();
        let mut messages = Vec::new();
        while let Some(Ok(message)) = texts.next() {
            messages.push(message);
        }
        let used = texts.byte_offset();
        buffer.drain(..used);
        // What came in one piece was sent in one, so all of it counts before any answer to it.
        passed.lock().unwrap().extend(messages.iter().map(|message| Passed { from, message: message.clone() }));
        for mut message in messages {
            match judge(from, &mut message) {
                Fate::Pass => {
                    let text = message.to_string();
                    let written = match from {
                        From::Client => sink.write_all(text.as_bytes()),
                        From::Server => answers.lock().unwrap().write_all(text.as_bytes()),
                    };
                    if written.is_err() {
                        break 'reads;
                    }
                }
                fate @ (Fate::UnknownMethod | Fate::UnknownDatabase) => {
                    let error = match fate {
                        Fate::UnknownMethod => json!("unknown method"),
                        _ => json!({
                            "error": "unknown database",
                            "details": "request specifies unknown database",
                            "syntax": message["params"].to_string(),
                        }),
                    };
                    let answer = json!({"id": message["id"], "result": null, "error": error}).to_string();
                    if answers.lock().unwrap().write_all(answer.as_bytes()).is_err() {
                        break 'reads;
                    }
                }
                Fate::Lose => {}
                Fate::Cut => {
                    let _ = source.shutdown(Shutdown::Both);
                    break 'reads;
                }
            }
        }
    }
    let _ = sink.shutdown(Shutdown::Both);
}

/// The operations of a request, if it is a transaction.
pub fn operations(message: &Value) -> Option<&[Value]> {
    (message["method"] == "transact").then(|| &message["params"].as_array().unwrap()[1..])
}

/// Whether a request is a transaction that changes something.
pub fn is_write(message: &Value) -> bool {
    let writes = ["insert", "update", "mutate", "delete"];
    operations(message).is_some_and(|all| all.iter().any(|one| writes.contains(&one["op"].as_str().unwrap())))
}
