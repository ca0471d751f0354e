//! The registry as JSON-RPC methods: `ovs.<command>` for each command, and `rpc.discover`.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::core::server::{BatchResponseBuilder, MethodResponse, Methods};
use jsonrpsee::server::{RegisterMethodError, RpcModule};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Id, Params};
use serde::Serialize;
use serde_json::value::RawValue;
use tower::Layer;

use super::calls::Calls;
use crate::commands::{self, REGISTRY};
use crate::error::Error;
use crate::published;
use crate::vswitch::watch::Watch;

/// What every method of the registry begins with.
pub const PREFIX: &str = "ovs.";

/// The subscription that tells of the switch, over WebSocket, and the method that ends it.
pub const WATCH: &str = "ovs.watch";
const UNWATCH: &str = "ovs.unwatch";

/// All methods.
pub fn module(calls: Arc<Calls>) -> Result<RpcModule<Arc<Calls>>, RegisterMethodError> {
    let mut module = RpcModule::new(calls);
    for entry in REGISTRY {
        for name in std::iter::once(&entry.name).chain(entry.aliases) {
            // Made once, and needed until the process ends.
            let method: &'static str = format!("{PREFIX}{name}").leak();
            module.register_async_method(method, move |params, calls, _| async move {
                let arguments = arguments(&params).map_err(object)?;
                calls.call(entry, arguments).await.map_err(object)
            })?;
        }
    }
    module.register_subscription(WATCH, WATCH, UNWATCH, |params, pending, calls, _| async move {
        if params.as_str().is_some_and(|text| !matches!(text.trim(), "[]" | "{}" | "null")) {
            let problem = "it takes no arguments; expected no params, or an empty object".to_owned();
            return pending.reject(object(Error::argument("", problem))).await;
        }
        let mut watch = Watch::new(calls.hub().clone());
        // Who only watches is nobody that the server has to wait for when it stops.
        drop(calls);
        // The client has gone away already.
        let Ok(sink) = pending.accept().await else { return };
        loop {
            let event = tokio::select! {
                () = sink.closed() => return,
                event = watch.next() => event,
            };
            let Some(event) = event else { return };
            let text = match serde_json::value::to_raw_value(&event) {
                Ok(text) => text,
                Err(error) => {
                    tracing::error!(%error, "an event of ovs.watch can't be written, and the subscription ends");
                    return;
                }
            };
            if sink.send(text).await.is_err() {
                return;
            }
        }
    })?;
    module.register_method("rpc.discover", |_, _, _| published::openrpc())?;
    Ok(module)
}

/// Arguments come as one object, by name. Libraries that only know positions may send it as the only element of an array.
fn arguments(params: &Params<'_>) -> Result<String, Error> {
    // A call without params has no arguments.
    let text = params.as_str().unwrap_or("{}");
    if !text.starts_with('[') {
        return Ok(text.to_owned());
    }
    let unusable = |got: String| {
        Error::argument("", format!("params are not usable: {got}; expected one JSON object of arguments"))
    };
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
    match elements.as_slice() {
        [] => Ok("{}".to_owned()),
        [only] => Ok(only.get().to_owned()),
        more => Err(unusable(format!("an array of {}", more.len()))),
    }
}

/// What an error says to programs besides its code and message.
#[derive(Serialize)]
struct ErrorData<'a> {
    kind: &'static str,
    field: Option<&'a str>,
    hint: Option<&'static str>,
    committed: &'static str,
}

/// An error as JSON-RPC has it.
pub fn object(error: Error) -> ErrorObjectOwned {
    let data = ErrorData {
        kind: error.code(),
        field: error.field(),
        hint: error.hint(),
        committed: error.committed().as_str(),
    };
    ErrorObject::owned(error.number(), error.to_string(), Some(data))
}

/// Stands before jsonrpsee's own dispatch and does three things that it does not: the calls of a batch run at once,
/// notifications are carried out, and an unknown method is answered like any other error.
#[derive(Clone)]
pub struct DispatchLayer {
    /// All methods.
    pub methods: Methods,
    /// The largest response, in bytes.
    pub response_bytes: usize,
}

impl<S> Layer<S> for DispatchLayer {
    type Service = Dispatch<S>;

    fn layer(&self, inner: S) -> Dispatch<S> {
        Dispatch { inner, layer: self.clone() }
    }
}

/// See [`DispatchLayer`].
#[derive(Clone)]
pub struct Dispatch<S> {
    inner: S,
    layer: DispatchLayer,
}

impl<S> RpcServiceT for Dispatch<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            NotificationResponse = MethodResponse,
            BatchResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let Dispatch { inner, layer } = self.clone();
        async move {
            if layer.methods.method(request.method_name()).is_none() {
                return MethodResponse::error(request.id.clone(), unknown(request.method_name()));
            }
            inner.call(request).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let entries = batch.into_iter().map(|entry| {
                let service = service.clone();
                async move {
                    match entry {
                        Ok(BatchEntry::Call(request)) => Some(service.call(request).await),
                        Ok(BatchEntry::Notification(notification)) => {
                            service.notification(notification).await;
                            None
                        }
                        Err(error) => {
                            let (error, id) = error.into_parts();
                            Some(MethodResponse::error(id, error))
                        }
                    }
                }
            });
            let answers: Vec<Option<MethodResponse>> = join_all(entries).await;
            let only_notifications = !answers.is_empty() && answers.iter().all(Option::is_none);
            let mut response = BatchResponseBuilder::new_with_limit(service.layer.response_bytes);
            for answer in answers.into_iter().flatten() {
                if let Err(too_large) = response.append(answer) {
                    return too_large;
                }
            }
            if only_notifications {
                return MethodResponse::notification();
            }
            MethodResponse::from_batch(response.finish())
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            // Nobody could end a subscription that nobody was told of.
            let command = notification.method.strip_prefix(PREFIX).and_then(commands::find);
            if command.is_some() {
                let request = Request {
                    jsonrpc: notification.jsonrpc,
                    id: Id::Null,
                    method: notification.method,
                    params: notification.params,
                    extensions: notification.extensions.clone(),
                };
                service.inner.call(request).await;
            }
            MethodResponse::notification().with_extensions(notification.extensions)
        }
    }
}

fn unknown(method: &str) -> ErrorObjectOwned {
    let nearest = REGISTRY
        .iter()
        .map(|entry| (strsim::levenshtein(method.trim_start_matches(PREFIX), entry.name), entry.name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = nearest.map(|(_, name)| format!("; did you mean {PREFIX}{name}?")).unwrap_or_default();
    object(Error::UnknownCommand { name: method.to_owned(), hint })
}
