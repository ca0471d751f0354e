//! The registry as JSON-RPC methods: `ovs.<command>` for each command, `rpc.discover`, and the subscription.

use serde_json::value::RawValue;

use crate::commands::{self, Entry, REGISTRY};
use crate::error::Error;

/// What every method of the registry begins with.
pub const PREFIX: &str = "ovs.";

/// The subscription that tells of the switch, over WebSocket, and the method that ends it.
pub const WATCH: &str = "ovs.watch";
const UNWATCH: &str = "ovs.unwatch";
const DISCOVER: &str = "rpc.discover";

/// What a method does.
#[derive(Clone, Copy)]
pub enum Method {
    /// It runs a command.
    Command(&'static Entry),
    /// It tells the OpenRPC document.
    Discover,
    /// It begins a subscription.
    Watch,
    /// It ends a subscription.
    Unwatch,
}

/// The method of this name.
pub fn find(name: &str) -> Option<Method> {
    match name {
        WATCH => Some(Method::Watch),
        UNWATCH => Some(Method::Unwatch),
        DISCOVER => Some(Method::Discover),
        _ => name.strip_prefix(PREFIX).and_then(commands::find).map(Method::Command),
    }
}

/// Arguments come as one object, by name. Libraries that only know positions may send it as the only element of an array.
pub fn arguments(params: Option<&RawValue>) -> Result<String, Error> {
    // A call without params has no arguments.
    let text = params.map_or("{}", RawValue::get);
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

/// The subscription that is to end.
pub fn subscription(params: Option<&RawValue>) -> Result<u64, Error> {
    match params.map(|params| serde_json::from_str::<[u64; 1]>(params.get())) {
        Some(Ok([subscription])) => Ok(subscription),
        _ => {
            Err(Error::argument("", "params are not usable; expected an array of one number, what ovs.watch answered"))
        }
    }
}

/// There is no such method.
pub fn unknown(method: &str) -> Error {
    let nearest = REGISTRY
        .iter()
        .map(|entry| (strsim::levenshtein(method.trim_start_matches(PREFIX), entry.name), entry.name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = nearest.map(|(_, name)| format!("; did you mean {PREFIX}{name}?")).unwrap_or_default();
    Error::UnknownCommand { name: method.to_owned(), hint }
}
