//! JSON-RPC 2.0: reads a message, carries it out, and writes the answer within the limits.
//!
//! The same for HTTP and WebSocket, which only differ in how messages come and go. Whatever is not a request of
//! JSON-RPC 2.0 is told so and is not carried out. An id is a string or a number and is answered as it came, to the byte.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::calls::Calls;
use super::memory::{Budget, Full, Memory, Text};
use super::methods::{self, Method};
use super::options::Limits;
use super::websocket::Watching;
use crate::commands;
use crate::error::{Committed, Error};
use crate::jsonrpc::code;
use crate::published;

/// So much is said of an error that does not fit.
const CLIPPED: usize = 512;

/// An error, as JSON-RPC has it.
#[derive(Debug, Serialize)]
pub struct ErrorObject {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<ErrorData>,
}

/// What an error says to programs besides its code and message.
#[derive(Debug, Serialize)]
struct ErrorData {
    kind: &'static str,
    field: Option<String>,
    hint: Option<&'static str>,
    committed: &'static str,
}

impl ErrorObject {
    /// An error of the protocol: no command has begun.
    pub fn of_protocol(code: i32, message: impl Into<String>) -> Self {
        ErrorObject { code, message: message.into(), data: None }
    }

    /// An error of the size of a request.
    pub fn request_too_large(limit: u32) -> Self {
        ErrorObject::of_protocol(code::REQUEST_TOO_LARGE, format!("the request is larger than {limit} bytes"))
    }

    /// What is said in place of an answer that does not fit.
    fn full(full: Full, committed: Committed) -> Self {
        let code = match full {
            Full::Answer(_) => code::ANSWER_TOO_LARGE,
            Full::Budget(_) => code::ANSWERS_TOO_LARGE,
            Full::Memory(_) => code::SERVER_FULL,
        };
        let hint = Some("ask for less at a time, and take answers as they come");
        let data = ErrorData { kind: "answer-too-large", field: None, hint, committed: committed.as_str() };
        ErrorObject { code, message: format!("{full}; the call was carried out"), data: Some(data) }
    }

    fn clip(&mut self) {
        if self.message.len() > CLIPPED {
            self.message.truncate(self.message.floor_char_boundary(CLIPPED));
            self.message.push('…');
        }
        if let Some(data) = &mut self.data {
            data.field.take_if(|field| field.len() > CLIPPED);
        }
    }
}

impl From<Error> for ErrorObject {
    fn from(error: Error) -> Self {
        let data = ErrorData {
            kind: error.code(),
            field: error.field().map(str::to_owned),
            hint: error.hint(),
            committed: error.committed().as_str(),
        };
        ErrorObject { code: error.number(), message: error.told(), data: Some(data) }
    }
}

/// The id of a request, as JSON: a string, a number, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// Where the id is not known.
    pub const NULL: Id<'static> = Id("null");

    fn read(value: &'a RawValue) -> Option<Self> {
        let text = value.get();
        let is_id = text == "null" || text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        is_id.then_some(Id(text))
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// A member that is there is there, also when it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A request; without an id, a notification.
#[derive(Debug)]
struct Request<'a> {
    id: Option<Id<'a>>,
    method: String,
    params: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// The error has the id to answer with, and what is wrong.
    fn read(text: &'a str) -> Result<Self, (Id<'a>, String)> {
        let wrong = |problem: String| format!("no request of JSON-RPC 2.0: {problem}");
        if !text.starts_with('{') {
            return Err((Id::NULL, wrong("expected an object".into())));
        }
        let message: Message<'a> = serde_json::from_str(text).map_err(|error| (Id::NULL, wrong(error.to_string())))?;
        let id = match message.id.map(|id| (id, Id::read(id))) {
            None => None,
            Some((_, Some(id))) => Some(id),
            Some((_, None)) => return Err((Id::NULL, wrong("id: expected a string or a number".into()))),
        };
        let string = |value: Option<&RawValue>| serde_json::from_str::<String>(value?.get()).ok();
        let invalid = |problem: &str| (id.unwrap_or(Id::NULL), wrong(problem.into()));
        if string(message.jsonrpc).is_none_or(|version| version != "2.0") {
            return Err(invalid("jsonrpc: expected \"2.0\""));
        }
        let method = string(message.method).ok_or_else(|| invalid("method: expected a string"))?;
        Ok(Request { id, method, params: message.params })
    }
}

/// Where a message comes from: what its answer may take, and whether it may subscribe.
pub struct Caller {
    /// What the answers may take.
    pub budget: Arc<Budget>,
    /// The subscriptions of a WebSocket.
    pub watching: Option<Watching>,
}

/// What answers messages.
pub struct Rpc {
    calls: Arc<Calls>,
    memory: Arc<Memory>,
    answer_bytes: usize,
    batch: usize,
}

/// A message of JSON-RPC that answers another one.
fn answer(
    budget: &Arc<Budget>,
    limit: usize,
    id: Id<'_>,
    what: &str,
    value: &(impl Serialize + ?Sized),
) -> Result<Text, Full> {
    Text::json(budget, limit, &[r#"{"jsonrpc":"2.0","id":"#, id.0, ",\"", what, "\":"], value, "}")
}

/// The answer that is an error, which is always given: if need be, in fewer words.
fn refuse(budget: &Arc<Budget>, limit: usize, id: Id<'_>, mut error: ErrorObject) -> Text {
    answer(budget, limit, id, "error", &error).unwrap_or_else(|_| {
        error.clip();
        short_error(id, &error)
    })
}

/// An error that is not counted, as it is short.
pub fn short_error(id: Id<'_>, error: &ErrorObject) -> Text {
    // Strings and numbers can be written.
    let error = serde_json::to_string(error).unwrap_or_else(|_| "null".into());
    Text::short(format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.0))
}

impl Rpc {
    /// Carries out what `calls` can.
    pub fn new(calls: Arc<Calls>, memory: Arc<Memory>, limits: &Limits) -> Self {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        Rpc { calls, memory, answer_bytes: size(limits.response_bytes), batch: size(limits.batch) }
    }

    /// A budget for the answers of a request, or of a WebSocket.
    pub fn budget(&self) -> Arc<Budget> {
        Budget::new(self.answer_bytes, self.memory.clone())
    }

    /// A budget for a page, which only the memory limits.
    pub fn budget_for_page(&self) -> Arc<Budget> {
        Budget::new(usize::MAX, self.memory.clone())
    }

    /// What all callers share.
    pub fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Carries out a message. Notifications have no answer.
    pub async fn answer(&self, message: &[u8], caller: &Caller) -> Option<Text> {
        let answer = match std::str::from_utf8(message) {
            Ok(text) => self.answer_text(text.trim_matches([' ', '\t', '\r', '\n']), caller).await,
            Err(error) => Some(no_json(error)),
        };
        self.memory.freed(message.len());
        answer
    }

    async fn answer_text(&self, text: &str, caller: &Caller) -> Option<Text> {
        if text.starts_with('[') {
            return match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(entries) => self.batch(&entries, caller).await,
                Err(error) => Some(no_json(error)),
            };
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => self.one(text, caller).await,
            Err(error) => Some(no_json(error)),
        }
    }

    /// The calls of a batch run at the same time, and are answered in their order.
    async fn batch(&self, entries: &[&RawValue], caller: &Caller) -> Option<Text> {
        let refused = |code, problem: String| Some(short_error(Id::NULL, &ErrorObject::of_protocol(code, problem)));
        if entries.is_empty() {
            return refused(code::INVALID_REQUEST, "no request of JSON-RPC 2.0: the batch is empty".into());
        }
        if entries.len() > self.batch {
            let problem = format!("the batch has {} calls; expected at most {}", entries.len(), self.batch);
            return refused(code::BATCH_TOO_LONG, problem);
        }
        let answers = join_all(entries.iter().map(|entry| self.one(entry.get(), caller))).await;
        let answers: Vec<Text> = answers.into_iter().flatten().collect();
        (!answers.is_empty()).then(|| Text::array(answers))
    }

    async fn one(&self, text: &str, caller: &Caller) -> Option<Text> {
        let (budget, limit) = (&caller.budget, self.answer_bytes);
        let request = match Request::read(text) {
            Ok(request) => request,
            Err((id, problem)) => {
                let error = ErrorObject::of_protocol(code::INVALID_REQUEST, problem);
                return Some(refuse(budget, limit, id, error));
            }
        };
        let method = methods::find(&request.method);
        let Some(id) = request.id else {
            // Of the others nobody would get the result.
            if let (Some(Method::Command(entry)), Ok(arguments)) = (method, methods::arguments(request.params)) {
                // Nobody asked what came of it.
                let _ = self.calls.call(entry, arguments, drop).await;
            }
            return None;
        };
        let answered = match method {
            None => Err(methods::unknown(&request.method).into()),
            Some(Method::Command(entry)) => match methods::arguments(request.params) {
                Ok(arguments) => Ok(self.command(entry, arguments, id, budget).await),
                Err(error) => Err(error.into()),
            },
            Some(Method::Discover) => match discovered() {
                Ok(document) => {
                    answer(budget, limit, id, "result", document).map_err(|full| ErrorObject::full(full, Committed::No))
                }
                Err(error) => Err(error.into()),
            },
            Some(Method::Watch) => self.watch(id, request.params, caller),
            Some(Method::Unwatch) => match &caller.watching {
                Some(watching) => match methods::subscription(request.params) {
                    Ok(subscription) => answer(budget, limit, id, "result", &watching.end(subscription))
                        .map_err(|full| ErrorObject::full(full, Committed::No)),
                    Err(error) => Err(error.into()),
                },
                None => Err(no_websocket(&request.method)),
            },
        };
        Some(answered.unwrap_or_else(|error| refuse(budget, limit, id, error)))
    }

    /// Runs a command. Its answer is written by the task that runs it, so that of all results that there are at a time
    /// only one is in memory as a tree.
    async fn command(
        &self,
        entry: &'static commands::Entry,
        arguments: String,
        id: Id<'_>,
        budget: &Arc<Budget>,
    ) -> Text {
        let limit = self.answer_bytes;
        let is_dry = commands::read(&arguments).is_ok_and(|read| read.get("dry_run") == Some(&true.into()));
        let committed = if is_dry { Committed::No } else { Committed::Yes };
        let (owned, owned_budget) = (id.0.to_owned(), budget.clone());
        let written = move |outcome: Result<serde_json::Value, Error>| {
            let (id, budget) = (Id(&owned), &owned_budget);
            match outcome {
                Ok(result) => answer(budget, limit, id, "result", &result)
                    .unwrap_or_else(|full| refuse(budget, limit, id, ErrorObject::full(full, committed))),
                Err(error) => refuse(budget, limit, id, error.into()),
            }
        };
        let called = self.calls.call(entry, arguments, written).await;
        called.unwrap_or_else(|error| refuse(budget, limit, id, error.into()))
    }

    fn watch(&self, id: Id<'_>, params: Option<&RawValue>, caller: &Caller) -> Result<Text, ErrorObject> {
        if params.is_some_and(|params| !matches!(params.get(), "[]" | "{}")) {
            let problem = "it takes no arguments; expected no params, or an empty object".to_owned();
            return Err(Error::argument("", problem).into());
        }
        let watching = caller.watching.as_ref().ok_or_else(|| no_websocket(methods::WATCH))?;
        let (subscription, begin) = watching.begin().map_err(|limit| {
            let problem = format!("the WebSocket has {limit} subscriptions; expected fewer");
            ErrorObject::of_protocol(code::TOO_MANY_SUBSCRIPTIONS, problem)
        })?;
        match answer(&caller.budget, self.answer_bytes, id, "result", &subscription) {
            Ok(answer) => Ok(answer.before(begin)),
            Err(full) => {
                watching.end(subscription);
                Err(ErrorObject::full(full, Committed::No))
            }
        }
    }
}

fn no_json(error: impl std::fmt::Display) -> Text {
    short_error(Id::NULL, &ErrorObject::of_protocol(code::PARSE_ERROR, format!("no JSON: {error}")))
}

fn no_websocket(method: &str) -> ErrorObject {
    let problem = format!(
        "{method} is for subscriptions, which need a WebSocket; expected the connection to be upgraded to one, or \
         ovs-plugin watch at a shell"
    );
    ErrorObject::of_protocol(code::INVALID_REQUEST, problem)
}

/// The OpenRPC document, made once.
fn discovered() -> Result<&'static RawValue, Error> {
    static DOCUMENT: OnceLock<Box<RawValue>> = OnceLock::new();
    if let Some(document) = DOCUMENT.get() {
        return Ok(document);
    }
    let document = serde_json::value::to_raw_value(&published::openrpc())
        .map_err(|error| Error::Internal(format!("the document can't be written: {error}")))?;
    Ok(DOCUMENT.get_or_init(|| document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> Result<Option<String>, String> {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"ovs.version","id":{id}}}"#);
        match Request::read(&text) {
            Ok(request) => Ok(request.id.map(|id| id.0.to_owned())),
            Err((id, problem)) => {
                assert_eq!(id, Id::NULL);
                Err(problem)
            }
        }
    }

    #[test]
    fn strings_and_numbers_are_ids_and_are_kept_as_they_came() {
        for usual in
            ["1", "-1", "1.5", "1.50", "18446744073709551616", "1e400", "-0", r#""x""#, r#""\u0041\n""#, "null"]
        {
            assert_eq!(id(usual), Ok(Some(usual.into())));
        }
        for wrong in ["{}", "[]", "[1]", "true", "false"] {
            assert!(id(wrong).unwrap_err().contains("expected a string or a number"), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_with_its_id_where_it_has_one() {
        for (text, expected_id, expected) in [
            (r#"{"jsonrpc":"2.0","id":1}"#, "1", "method: expected a string"),
            (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, "1", "method: expected a string"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"m"}"#, "\"a\"", "jsonrpc: expected"),
            (r#"{"id":1,"method":"m"}"#, "1", "jsonrpc: expected"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, "null", "duplicate field"),
            (r#"["2.0",1,"m",{}]"#, "null", "expected an object"),
            ("23", "null", "expected an object"),
        ] {
            let (id, problem) = Request::read(text).unwrap_err();
            assert!(id.0 == expected_id && problem.contains(expected), "{text}: {id:?} {problem}");
        }
    }

    #[test]
    fn an_error_that_does_not_fit_is_told_in_fewer_words() {
        let memory = Memory::new(1000);
        let budget = Budget::new(100, memory);
        let error = Error::argument("ü".repeat(1000), "x".repeat(10_000));
        let text = refuse(&budget, 1000, Id("7"), error.into());
        let read: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
        assert_eq!((&read["id"], &read["error"]["code"]), (&7.into(), &(-32602).into()));
        assert_eq!(read["error"]["data"]["committed"], "no");
        assert!(text.as_str().len() < 1000, "{read}");
    }
}
