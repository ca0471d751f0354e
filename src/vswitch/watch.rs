//! Watching the switch: a full picture first, then every change, one event for each transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovsdb::operation::Name;
use ovsdb::replica::{self, Change, Changes, ColumnView, Phase, RowChange, RowView, State, Subscription, Told};
use ovsdb::value::Value;
use serde::Serialize;
use tokio::sync::watch;

use super::doctor;
use super::hub::Hub;
use super::secrets;
use super::topology::{Tables, Topology};

/// Something to tell to one who watches.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Everything as it is. What follows are changes to it.
    Picture {
        /// Why it comes now.
        reason: Reason,
        /// What `show` answers.
        picture: Box<Topology>,
    },
    /// What one transaction changed. Several may have become one, if the database told them together.
    Change {
        /// Its id, where the database tells one.
        transaction: Option<String>,
        /// The rows that it changed.
        rows: Vec<Row>,
    },
    /// The database is away: until the next event of this kind, changes are not known of. They are told afterwards.
    Disconnected {
        /// Why, as far as is known.
        error: Option<String>,
    },
    /// The database is back.
    Connected {
        /// Which one.
        remote: String,
    },
}

/// Why there is a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Watching begins.
    Start,
    /// Events were not taken as fast as they came, and some are lost.
    Lagged,
    /// The database's schema has changed.
    SchemaChanged,
}

/// A row that changed. Columns are as OVSDB writes them (RFC 7047 section 5.1); secrets are hidden (`secrets.rs`).
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its table.
    pub table: Name,
    /// Its identity.
    pub uuid: String,
    /// Its name, in tables that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `inserted`, `modified` or `deleted`.
    pub change: &'static str,
    /// Columns as they are when this is told; of a modified row, those that changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub new: BTreeMap<Name, Value>,
    /// Columns as they were before; of a modified row, those that changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub old: BTreeMap<Name, Value>,
}

/// Tells of the switch of a hub that has [`Hub::with_topology`]'s columns.
pub struct Watch {
    hub: Arc<Hub>,
    state: watch::Receiver<State>,
    /// Whether the database was there when it was last told of.
    connected: bool,
    /// None where a picture is to be told next, for this reason.
    subscription: Result<Subscription, Reason>,
}

impl Watch {
    /// Begins to watch.
    pub fn new(hub: Arc<Hub>) -> Self {
        let state = hub.replica().state();
        Watch { hub, state, connected: true, subscription: Err(Reason::Start) }
    }

    /// The next event; none once the hub is gone. Safe to be dropped while it waits.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let subscription = match &mut self.subscription {
                Ok(subscription) => subscription,
                Err(reason) => {
                    let reason = *reason;
                    self.hub.replica().sync().await;
                    return Some(self.picture(reason));
                }
            };
            tokio::select! {
                // Changes that were told before the database went come before that it did.
                biased;
                told = subscription.next() => match told? {
                    Told::Changed(changes) if changes.reset => self.subscription = Err(Reason::SchemaChanged),
                    Told::Changed(changes) => return Some(self.change(&changes)),
                    Told::Lagged(_) => self.subscription = Err(Reason::Lagged),
                },
                changed = self.state.changed() => {
                    changed.ok()?;
                    if let Some(event) = self.connection() {
                        return Some(event);
                    }
                }
            }
        }
    }

    fn picture(&mut self, reason: Reason) -> Event {
        let (picture, subscription) =
            self.hub.replica().subscribe(|tables| doctor::marked(&Tables::of_replica(tables)));
        self.subscription = Ok(subscription);
        self.state.mark_unchanged();
        self.connected = true;
        Event::Picture { reason, picture: Box::new(picture) }
    }

    fn connection(&mut self) -> Option<Event> {
        let state = self.state.borrow_and_update().clone();
        let connected = state.phase == Phase::Current;
        if std::mem::replace(&mut self.connected, connected) == connected {
            return None;
        }
        Some(if connected {
            Event::Connected { remote: state.remote.map(|remote| remote.to_string()).unwrap_or_default() }
        } else {
            Event::Disconnected { error: state.error }
        })
    }

    fn change(&self, changes: &Changes) -> Event {
        let rows = self.hub.replica().read(|tables| changes.rows.iter().map(|row| told(tables, row)).collect());
        Event::Change { transaction: changes.transaction.map(|id| id.to_text()), rows }
    }
}

fn told(tables: &replica::Tables, changed: &RowChange) -> Row {
    let now = tables.row(&changed.table, changed.uuid);
    let shown = |name: &Name, value: ColumnView<'_>| secrets::hidden(&changed.table, name, &value.to_value());
    let all = |row: RowView<'_>| -> BTreeMap<Name, Value> {
        let columns = row.columns().filter(|(_, value)| !value.is_empty());
        columns.map(|(name, value)| (name.clone(), shown(name, value))).collect()
    };
    let some = |row: RowView<'_>, columns: &[Name]| -> BTreeMap<Name, Value> {
        columns.iter().filter_map(|name| Some((name.clone(), shown(name, row.get(name)?)))).collect()
    };
    let (change, new, old, former) = match &changed.what {
        Change::Inserted => ("inserted", now.map(all), None, None),
        Change::Modified { columns, former } => {
            let former = former.view();
            ("modified", now.map(|now| some(now, columns)), Some(some(former, columns)), Some(former))
        }
        Change::Deleted { former } => ("deleted", None, Some(all(former.view())), Some(former.view())),
    };
    let name = now.or(former).and_then(|row| row.get("name")?.as_str().map(str::to_owned));
    Row {
        table: changed.table.clone(),
        uuid: changed.uuid.to_text(),
        name,
        change,
        new: new.unwrap_or_default(),
        old: old.unwrap_or_default(),
    }
}
