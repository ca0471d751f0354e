//! A peer that says exactly what the test wants it to say.

use std::time::{Duration, Instant};

use ovsdb::driver::Driver;
use ovsdb::monitor::{MonitorRequest, MonitorRequests, RowUpdate, TableUpdates, Update};
use ovsdb::transaction::Transaction;
use ovsdb::wire::frame::Limits;
use ovsdb::{CallError, Connection, ErrorClass, Event};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The other end of a connection.
struct Peer {
    stream: DuplexStream,
    received: Vec<u8>,
}

fn connect_with(limits: Limits, buffer: usize) -> (Connection, Peer) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    let (read, write) = tokio::io::split(ours);
    let connection = Connection::over(read, write, "the peer".into(), limits);
    (connection, Peer { stream: theirs, received: Vec::new() })
}

fn connect() -> (Connection, Peer) {
    connect_with(Limits::default(), 1 << 16)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("took too long")
}

impl Peer {
    /// The next message that the client sends.
    async fn hear(&mut self) -> Value {
        within(async {
            loop {
                let mut texts = serde_json::Deserializer::from_slice(&self.received).into_iter::<Value>();
                if let Some(Ok(message)) = texts.next() {
                    let length = texts.byte_offset();
                    self.received.drain(..length);
                    return message;
                }
                assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the client hung up");
            }
        })
        .await
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        within(self.stream.write_all(text.as_ref())).await.unwrap();
    }
}

fn reply(id: &Value, result: Value) -> String {
    json!({"id": id, "result": result, "error": null}).to_string()
}

#[tokio::test]
async fn a_request_has_the_three_members_that_the_server_allows() {
    let (connection, mut peer) = connect();
    let _call = connection.get_schema("Open_vSwitch");
    let heard = peer.hear().await;
    assert_eq!(heard, json!({"id": heard["id"], "method": "get_schema", "params": ["Open_vSwitch"]}));
    assert!(heard["id"].is_u64());
}

#[tokio::test]
async fn what_is_called_before_the_next_wait_leaves_in_one_write() {
    let (connection, mut peer) = connect();
    let calls = [connection.list_dbs(), connection.list_dbs(), connection.list_dbs()];
    let mut bytes = vec![0; 1 << 16];
    let length = within(peer.stream.read(&mut bytes)).await.unwrap();
    let texts: Vec<Value> =
        serde_json::Deserializer::from_slice(&bytes[..length]).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(texts.len(), 3);
    drop(calls);
}

#[tokio::test]
async fn replies_find_their_calls_in_any_order_and_however_they_are_cut() {
    for cut in 1..40 {
        let (connection, mut peer) = connect();
        let (first, second) = (connection.list_dbs(), connection.list_dbs());
        let (one, two) = (peer.hear().await["id"].clone(), peer.hear().await["id"].clone());
        let stream = format!("{}{}\n", reply(&two, json!(["é}\"{\\😀"])), reply(&one, json!(["one"])));
        let (head, tail) = stream.as_bytes().split_at(cut);
        peer.say(head).await;
        tokio::task::yield_now().await;
        peer.say(tail).await;
        assert_eq!(within(first).await.unwrap(), ["one"]);
        assert_eq!(within(second).await.unwrap(), ["é}\"{\\😀"], "cut at {cut}");
    }
}

#[tokio::test]
async fn a_reply_may_lack_its_error_or_be_null() {
    let (connection, mut peer) = connect();
    let call = connection.echo();
    let id = peer.hear().await["id"].clone();
    peer.say(json!({"result": null, "id": id}).to_string()).await;
    within(call).await.unwrap();
}

#[tokio::test]
async fn an_error_is_typed_whether_it_is_a_word_or_an_object() {
    for (error, class) in [
        (json!("unknown method"), ErrorClass::UnknownMethod),
        (json!({"error": "unknown database", "details": "no such", "syntax": "[]"}), ErrorClass::UnknownDatabase),
        (json!({"error": "something new"}), ErrorClass::Other("something new".into())),
    ] {
        let (connection, mut peer) = connect();
        let call = connection.list_dbs();
        let id = peer.hear().await["id"].clone();
        peer.say(json!({"id": id, "error": error}).to_string()).await;
        let error = within(call).await.unwrap_err();
        assert_eq!(error.server().map(|error| error.class()), Some(class));
        assert!(error.to_string().starts_with("list_dbs: "), "{error}");
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_is_an_error_of_that_call_only() {
    let (connection, mut peer) = connect();
    let (wrong, right) = (connection.list_dbs(), connection.list_dbs());
    let (one, two) = (peer.hear().await["id"].clone(), peer.hear().await["id"].clone());
    peer.say(reply(&one, json!({"not": "a list"})) + &reply(&two, json!([]))).await;
    assert!(matches!(within(wrong).await, Err(CallError::Unexpected { method: "list_dbs", .. })));
    assert!(within(right).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_servers_echo_is_answered_also_while_a_call_waits() {
    let (connection, mut peer) = connect();
    let call = connection.list_dbs();
    let id = peer.hear().await["id"].clone();
    peer.say(r#"{"id":"echo","method":"echo","params":[]}"#).await;
    assert_eq!(peer.hear().await, json!({"id": "echo", "result": [], "error": null}));
    peer.say(reply(&id, json!(["db"]))).await;
    assert_eq!(within(call).await.unwrap(), ["db"]);
}

#[tokio::test]
async fn a_peer_that_talks_before_it_listens_does_not_block_a_large_request() {
    let (connection, mut peer) = connect_with(Limits::default(), 64);
    let call = connection.get_schema(&"x".repeat(100_000));
    for _ in 0..100 {
        peer.say(r#"{"id":null,"method":"update","params":["nobody",{}]}"#).await;
    }
    let id = peer.hear().await["id"].clone();
    peer.say(json!({"id": id, "error": "no"}).to_string()).await;
    assert!(within(call).await.unwrap_err().server().is_some());
}

#[tokio::test]
async fn what_is_unexpected_but_harmless_is_not_fatal() {
    let (connection, mut peer) = connect();
    let call = connection.list_dbs();
    let id = peer.hear().await["id"].clone();
    peer.say(r#"{"id":null,"method":"news","params":[1]}"#).await;
    peer.say(r#"{"id":987654,"result":[],"error":null}{"id":"x","result":[],"error":null}"#).await;
    peer.say(r#"{"id":7,"method":"reboot","params":[]}"#).await;
    assert_eq!(peer.hear().await, json!({"id": 7, "result": null, "error": "unknown method"}));
    peer.say(reply(&id, json!([]))).await;
    within(call).await.unwrap();
    assert!(connection.is_open());
}

#[tokio::test]
async fn a_connection_that_ends_fails_every_call_and_tells_what_was_in_flight() {
    for (last_words, cause) in [
        ("", "the server closed the connection"),
        (" \n{\"id\":1", "in the middle of a message"),
        ("[1,2]", "expected a JSON object"),
        ("{\"id\":1,}", "malformed message"),
        ("{}", "neither"),
    ] {
        let (connection, mut peer) = connect();
        let (first, second) = (connection.list_dbs(), connection.echo());
        peer.hear().await;
        peer.hear().await;
        peer.say(last_words).await;
        drop(peer);
        for error in [within(first).await.unwrap_err(), within(second).await.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("list_dbs, echo in flight") && text.contains("the peer"), "{text}");
            assert!(text.contains(cause), "{text} lacks {cause:?}");
        }
        assert!(!connection.is_open());
        let text = within(connection.list_dbs()).await.unwrap_err().to_string();
        assert!(text.contains("list_dbs in flight"), "a call after the end: {text}");
    }
}

#[tokio::test]
async fn a_text_beyond_the_limits_ends_the_connection() {
    for (text, cause) in [
        (format!("{{\"id\":1,\"result\":\"{}\"}}", "x".repeat(200)), "larger than 100 bytes"),
        (format!("{{\"a\":{}", "[".repeat(20)), "deeper than 10 levels"),
    ] {
        let (connection, mut peer) = connect_with(Limits { size: 100, depth: 10 }, 1 << 16);
        let call = connection.list_dbs();
        peer.hear().await;
        peer.say(text).await;
        let error = within(call).await.unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[tokio::test]
async fn what_the_server_would_hang_up_on_is_not_sent_and_costs_no_other_call() {
    let (connection, mut peer) = connect();
    let other = connection.list_dbs();
    let id = peer.hear().await["id"].clone();
    let deep = (0..1001).fold(json!(1), |inner, _| json!([inner]));
    for (params, cause) in [
        (json!(["a\0b"]), "NUL"),
        (json!([{"a": [["\\\0"]]}]), "NUL"),
        (json!([{"a\0": 1}]), "NUL"),
        (deep, "more than 1000 objects"),
    ] {
        let error = within(connection.call::<Value>("echo", params)).await.unwrap_err();
        assert!(matches!(&error, CallError::NotSent { method: "echo", .. }), "{error}");
        assert!(error.to_string().contains(cause), "{error}");
    }
    // What only looks like it is sent as it is.
    let harmless = json!(["\\u0000", "\\\\u0000", "\u{1}", "\u{0}".escape_default().to_string(), "\"\\"]);
    let call = connection.call::<Value>("echo", &harmless);
    let heard = peer.hear().await;
    assert_eq!(heard["params"], harmless);
    peer.say(reply(&heard["id"], json!(7)) + &reply(&id, json!(["db"]))).await;
    assert_eq!(within(call).await.unwrap(), json!(7));
    assert_eq!(within(other).await.unwrap(), ["db"]);
}

#[tokio::test]
async fn an_error_of_any_length_is_told_by_its_beginning() {
    let long = "x".repeat(8 << 20);
    for error in [json!(long), json!({"error": long, "details": long, "syntax": long})] {
        let (connection, mut peer) = connect();
        let call = connection.list_dbs();
        let id = peer.hear().await["id"].clone();
        let answer = json!({"id": id, "result": null, "error": error}).to_string();
        let (told, ()) = tokio::join!(call, peer.say(answer));
        let told = told.unwrap_err().to_string();
        assert!(told.contains("xxx") && told.len() < 4096, "{} bytes", told.len());
    }
    // The same of an answer that is of another type, and of a transaction that was refused.
    let (connection, mut peer) = connect();
    let (call, transaction) = (connection.list_dbs(), connection.transact("db", &Transaction::new()));
    let (one, two) = (peer.hear().await["id"].clone(), peer.hear().await["id"].clone());
    let refused = json!([{"error": long, "details": long, "syntax": json!(long).to_string()}]);
    let answers = reply(&one, json!(long)) + &reply(&two, refused);
    let (told, refusal, ()) = tokio::join!(call, transaction, peer.say(answers));
    let refusal = refusal.unwrap().check(0).unwrap_err().to_string();
    for told in [told.unwrap_err().to_string(), refusal] {
        assert!(told.len() < 4096, "{} bytes", told.len());
    }
}

#[tokio::test]
async fn a_reply_of_many_megabytes_arrives_whole() {
    let (connection, mut peer) = connect();
    let call = connection.list_dbs();
    let id = peer.hear().await["id"].clone();
    let names: Vec<String> = (0..200_000).map(|n| format!("database {n} {{[\"\\")).collect();
    peer.say(reply(&id, json!(names))).await;
    assert_eq!(within(call).await.unwrap(), names);
}

#[tokio::test]
async fn a_connection_that_is_given_up_fails_its_calls_and_a_call_that_is_given_up_is_forgotten() {
    let (connection, mut peer) = connect();
    let forgotten = connection.list_dbs();
    let call = connection.echo();
    let id = peer.hear().await["id"].clone();
    drop(forgotten);
    peer.say(reply(&id, json!([]))).await;
    drop(connection);
    let error = within(call).await.unwrap_err().to_string();
    assert!(error.contains("echo in flight") && !error.contains("list_dbs"), "{error}");
}

fn requests() -> MonitorRequests {
    MonitorRequests::from([("Bridge".into(), vec![MonitorRequest::columns(&["name"])])])
}

#[tokio::test]
async fn updates_reach_their_own_monitor_in_order_and_end_with_the_connection() {
    const ROW: &str = "11111111-2222-3333-4444-555555555555";
    let (connection, mut peer) = connect();
    let (one, mut updates) = connection.monitor::<TableUpdates<RowUpdate>>("db", &requests());
    let (two, mut others) = connection.monitor::<TableUpdates<RowUpdate>>("db", &requests());
    let (first, second) = (peer.hear().await, peer.hear().await);
    assert_eq!(first["params"][2], json!({"Bridge": [{"columns": ["name"]}]}));
    let (id, other) = (first["params"][1].clone(), second["params"][1].clone());
    assert_ne!(id, other);
    peer.say(reply(&first["id"], json!({})) + &reply(&second["id"], json!({}))).await;
    within(one).await.unwrap();
    within(two).await.unwrap();
    for name in ["a", "b"] {
        let tables = json!({"Bridge": {ROW: {"new": {"name": name}}}});
        peer.say(json!({"id": null, "method": "update", "params": [id, tables]}).to_string()).await;
    }
    peer.say(json!({"id": null, "method": "update", "params": [id, {"Bridge": 7}]}).to_string()).await;
    peer.say(json!({"id": null, "method": "monitor_canceled", "params": [other]}).to_string()).await;
    for name in ["a", "b"] {
        let Some(Update::Changed(None, tables)) = within(updates.next()).await else { panic!("no update") };
        let row = tables["Bridge"].values().next().unwrap().new.clone().unwrap();
        assert_eq!(row["name"].as_str(), Some(name));
    }
    assert!(matches!(within(updates.next()).await, Some(Update::Unreadable(_))));
    assert!(matches!(within(others.next()).await, Some(Update::Canceled)));
    drop(peer);
    assert!(within(updates.next()).await.is_none());
    assert!(within(others.next()).await.is_none());
}

#[tokio::test]
async fn locks_that_come_and_go_are_told() {
    let (connection, mut peer) = connect();
    let mut events = connection.events().unwrap();
    assert!(connection.events().is_none(), "there is one receiver");
    peer.say(r#"{"id":null,"method":"locked","params":["a"]}{"id":null,"method":"stolen","params":["b"]}"#).await;
    assert_eq!(within(events.recv()).await, Some(Event::Locked("a".into())));
    assert_eq!(within(events.recv()).await, Some(Event::Stolen("b".into())));
}

/// A process that executes one command has no tasks: whoever waits reads for all.
#[test]
fn without_tasks_an_answer_is_heard_though_others_came_alone_before_it() {
    use std::io::{BufRead, BufReader, Write};
    let directory = std::env::temp_dir().join(format!("ovs-plugin-scripted-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("db.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut requests = Vec::new();
        BufReader::new(stream.try_clone().unwrap()).read_until(b'?', &mut requests).unwrap();
        for id in 1..=3 {
            // The one who waits is asleep when each of them comes.
            std::thread::sleep(Duration::from_millis(30));
            write!(stream, "{{\"id\":{id},\"result\":[],\"error\":null}}").unwrap();
        }
    });
    let answered = ovsdb::driver::poll::block_on(async {
        let connection = Connection::open_on(Driver::Poll, &ovsdb::Address::Unix(socket)).await.unwrap();
        let _before = (connection.echo(), connection.echo());
        let last = connection.call::<serde_json::Value>("echo", ["?"]);
        tokio::select! {
            biased;
            answer = last => Some(answer),
            () = Driver::Poll.sleep_until(Instant::now() + Duration::from_secs(10)) => None,
        }
    });
    assert!(answered.unwrap().expect("it was not heard").is_ok());
    peer.join().unwrap();
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn a_server_is_found_by_its_name_over_either_driver() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Names are the same in any case, and only this one is in every hosts file. It may stand for ::1 as well, where nobody
    // listens. In small letters it would not be looked up.
    let address: ovsdb::Address = format!("tcp:LOCALHOST:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    assert!(matches!(address.host(), Some(ovsdb::Host::Name(_))));
    let peer = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(br#"{"id":1,"result":["Db"],"error":null}"#).unwrap();
        }
    });
    let ask = async |driver| Connection::open_on(driver, &address).await.unwrap().list_dbs().await.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(within(ask(Driver::Tokio))), ["Db"]);
    assert_eq!(ovsdb::driver::poll::block_on(ask(Driver::Poll)).unwrap(), ["Db"]);
    peer.join().unwrap();
}

#[tokio::test]
async fn what_cannot_be_reached_by_any_waiting_is_told_apart() {
    for (address, is_final) in
        [("ssl:127.0.0.1", true), ("unix:/nonexistent/db.sock", false), ("tcp:127.0.0.1:1", false)]
    {
        let error = within(Connection::open(&address.parse().unwrap())).await.unwrap_err();
        assert_eq!(ovsdb::is_final(&error), is_final, "{address}: {error}");
    }
}
