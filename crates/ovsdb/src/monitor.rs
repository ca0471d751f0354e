//! Monitors: asking to be told of changes, and reading what is told (RFC 7047 section 4.1.5, ovsdb-server(7)).
//!
//! ```
//! use ovsdb::monitor::{MonitorRequest, MonitorRequests, RowUpdate2, TableUpdates};
//!
//! let requests = MonitorRequests::from([("Queue".into(), vec![MonitorRequest::columns(&["dscp"])])]);
//! assert_eq!(serde_json::to_string(&requests)?, r#"{"Queue":[{"columns":["dscp"]}]}"#);
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default)]
//! struct Queue {
//!     dscp: i64,
//! }
//!
//! let told: TableUpdates<RowUpdate2<Queue>> =
//!     serde_json::from_str(r#"{"Queue":{"11111111-2222-3333-4444-555555555555":{"insert":{"dscp":7}}}}"#)?;
//! let change = told["Queue"].values().next();
//! assert!(matches!(change, Some(RowUpdate2::Insert(queue)) if queue.dscp == 7));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::operation::{Condition, Name, Row};
use crate::value::PlainUuid;
use crate::wire::json;

/// What to watch in one table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MonitorRequest {
    /// The columns; `None` is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Name>>,
    /// Which kinds of changes; `None` is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Select>,
    /// Which rows. Only for `monitor_cond` and `monitor_cond_since`; the plain `monitor` refuses conditions.
    #[serde(rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl MonitorRequest {
    /// Watches the columns of every row.
    pub fn columns(columns: &[&'static str]) -> Self {
        let columns = columns.iter().map(|&column| Name::from(column)).collect();
        MonitorRequest { columns: Some(columns), ..MonitorRequest::default() }
    }
}

/// Which kinds of changes a monitor tells of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Select {
    /// The contents at the start.
    pub initial: bool,
    /// New rows.
    pub insert: bool,
    /// Rows that went away.
    pub delete: bool,
    /// Changed rows.
    pub modify: bool,
}

/// What to watch, by table.
pub type MonitorRequests = BTreeMap<Name, Vec<MonitorRequest>>;

/// Changes by table and row; `R` is [`RowUpdate`] for `monitor`, [`RowUpdate2`] for the other two.
pub type TableUpdates<R> = BTreeMap<String, BTreeMap<PlainUuid, R>>;

/// A change as `monitor` tells it: an insert has only `new`, a delete only `old`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RowUpdate {
    /// The row before; for a modification only the columns that changed.
    pub old: Option<Row>,
    /// The row after, with all monitored columns.
    pub new: Option<Row>,
}

/// A change as `monitor_cond` and `monitor_cond_since` tell it. Columns with default values are left out, so a typed
/// `R` needs defaults for its fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowUpdate2<R = Row> {
    /// A row that was there when the monitor began.
    Initial(R),
    /// A new row.
    Insert(R),
    /// Differences: a new value for a column of one value, a symmetric difference for a set, and for a map the pairs
    /// that changed (a pair with its old value has been removed).
    Modify(R),
    /// The row is gone.
    Delete,
}

/// The first answer of `monitor_cond_since`.
#[derive(Debug, Deserialize)]
pub struct Since<T>(
    /// Whether the server still knew the transaction that was asked for, and so sent only what came after it.
    pub bool,
    /// The transaction that this is the state of.
    pub PlainUuid,
    /// The contents, or the changes.
    pub T,
);

/// One notification of a monitor.
#[derive(Debug)]
pub enum Update<T> {
    /// Changes of one transaction, with its id when the monitor is a `monitor_cond_since`.
    Changed(Option<PlainUuid>, T),
    /// The server ended the monitor, because the schema is changing.
    Canceled,
    /// The changes could not be read; what the receiver knows is out of date from here on.
    Unreadable(String),
}

/// Hands the notifications of one monitor to whoever waits for them, typed; `false` when nobody does any more.
pub(crate) type Sink = Box<dyn FnMut(Notice<'_>) -> bool + Send>;

/// A notification before its contents are read.
pub(crate) enum Notice<'a> {
    Changed(Option<PlainUuid>, &'a RawValue),
    Canceled,
}

/// The two ends between the connection and the one who watches.
pub(crate) fn channel<T: DeserializeOwned + Send + 'static>() -> (Sink, mpsc::UnboundedReceiver<Update<T>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let sink = Box::new(move |notice: Notice<'_>| {
        let update = match notice {
            Notice::Canceled => Update::Canceled,
            Notice::Changed(transaction, tables) => match json::from_raw(tables) {
                Ok(tables) => Update::Changed(transaction, tables),
                Err(error) => Update::Unreadable(error.to_string()),
            },
        };
        sender.send(update).is_ok()
    });
    (sink, receiver)
}
