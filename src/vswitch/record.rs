//! Finding the row that a person means by a table and a record, by the rules of ovs-vsctl(8), "Database Commands".

use ovsdb::operation::Name;
use ovsdb::value::{Uuid, Value};

use super::plan::change_set::RowKey;
use super::plan::query::{Query, Wanted};
use super::tables::{BRIDGE, INTERFACE, OPEN_VSWITCH, PORT};
use super::unit::Unit;
use crate::error::Error;

/// How rows of a table are named.
enum NameRule {
    /// By a column of their own.
    Column(&'static str),
    /// By a column of integers.
    Number(&'static str),
    /// By the name of the row in another table whose column refers to them, and to nothing else.
    Referrer(&'static str, &'static str),
    /// Only by their UUID.
    None,
}

fn name_rule(table: &str) -> NameRule {
    match table {
        BRIDGE | PORT | INTERFACE | "Mirror" | "Flow_Table" => NameRule::Column("name"),
        "Manager" => NameRule::Column("target"),
        "Controller" => NameRule::Referrer(BRIDGE, "controller"),
        "NetFlow" => NameRule::Referrer(BRIDGE, "netflow"),
        "sFlow" => NameRule::Referrer(BRIDGE, "sflow"),
        "IPFIX" => NameRule::Referrer(BRIDGE, "ipfix"),
        "AutoAttach" => NameRule::Referrer(BRIDGE, "auto_attach"),
        "QoS" => NameRule::Referrer(PORT, "qos"),
        "Flow_Sample_Collector_Set" => NameRule::Number("id"),
        _ => NameRule::None,
    }
}

/// Shorter beginnings of a UUID are no record.
const SHORTEST_UUID_PREFIX: usize = 4;

impl Unit<'_> {
    /// The row that `record` stands for, with the wanted columns: a UUID, `.` for the only row of the
    /// table, a name, or the beginning of a UUID, whichever fits first.
    pub async fn record(&mut self, table: &str, record: &str, wanted: &Wanted) -> Result<RowKey, Error> {
        let name = || Name::from(table.to_owned());
        if let Ok(uuid) = record.parse::<Uuid>()
            && let Some(row) = self.find_one(Query::row(name(), uuid).with(wanted)).await?
        {
            return Ok(row);
        }
        if record == "."
            && let [row] = self.find(Query::all(name()).with(wanted)).await?.as_slice()
        {
            return Ok(row.clone());
        }
        if let Some(row) = self.named_record(table, record, wanted).await? {
            return Ok(row);
        }
        if let Some(row) = self.record_by_uuid_prefix(table, record, wanted).await? {
            return Ok(row);
        }
        Err(Error::NotFound(format!("no row \"{record}\" in table {table}")))
    }

    /// Asks for the row that a name most likely stands for, if the table is called by its full name.
    pub async fn fetch_record(&mut self, table: &str, record: &str, wanted: &Wanted) -> Result<(), Error> {
        let is_name = !record.is_empty() && record != "." && record.parse::<Uuid>().is_err();
        match table {
            // Every schema has these tables.
            BRIDGE | PORT | INTERFACE if is_name => {
                self.fetch([Query::equals(table.to_owned(), "name", record).with(wanted)]).await
            }
            OPEN_VSWITCH if record == "." => self.fetch([Query::all(OPEN_VSWITCH).with(wanted)]).await,
            _ => Ok(()),
        }
    }

    async fn named_record(&mut self, table: &str, record: &str, wanted: &Wanted) -> Result<Option<RowKey>, Error> {
        let name = || Name::from(table.to_owned());
        match name_rule(table) {
            NameRule::None => Ok(None),
            NameRule::Column(column) => {
                let rows = self.find(Query::equals(name(), column, record).with(wanted)).await?;
                only(rows, table, record)
            }
            NameRule::Number(column) => {
                let digits = !record.is_empty() && record.bytes().all(|byte| byte.is_ascii_digit());
                let Some(number) = record.parse::<i64>().ok().filter(|_| digits) else {
                    return Ok(None);
                };
                let rows = self.find(Query::equals(name(), column, number).with(wanted)).await?;
                only(rows, table, record)
            }
            NameRule::Referrer(from, column) => {
                let referrers = self.find(Query::equals(from, "name", record)).await?;
                let Some(referrer) = only(referrers, from, record)? else {
                    return Ok(None);
                };
                let references: Vec<Uuid> = self.column(&referrer, column).await?.uuids().collect();
                match references.as_slice() {
                    [uuid] => self.find_one(Query::row(name(), *uuid).with(wanted)).await,
                    // Which of several is meant, or that there is none, only a UUID tells.
                    _ => Ok(None),
                }
            }
        }
    }

    async fn record_by_uuid_prefix(
        &mut self,
        table: &str,
        record: &str,
        wanted: &Wanted,
    ) -> Result<Option<RowKey>, Error> {
        let is_prefix = record.len() >= SHORTEST_UUID_PREFIX
            && record.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if !is_prefix {
            return Ok(None);
        }
        let name = || Name::from(table.to_owned());
        let rows = self.find(Query::all(name()).with(wanted)).await?;
        let text = |row: &RowKey| Value::from(row.id.clone()).uuids().next().map(|uuid| uuid.to_text());
        let mut hits: Vec<RowKey> =
            rows.into_iter().filter(|row| text(row).is_some_and(|uuid| uuid.starts_with(record))).collect();
        if let [first, second, ..] = hits.as_slice() {
            return Err(Error::Conflict(format!(
                "{table} contains 2 or more rows whose UUIDs begin with {record}: at least {} and {}",
                text(first).unwrap_or_default(),
                text(second).unwrap_or_default()
            )));
        }
        Ok(hits.pop())
    }
}

/// Some names are not unique, those of mirrors for instance.
fn only(mut rows: Vec<RowKey>, table: &str, record: &str) -> Result<Option<RowKey>, Error> {
    match rows.len() {
        0 | 1 => Ok(rows.pop()),
        _ => Err(Error::Conflict(format!("multiple rows in {table} match \"{record}\""))),
    }
}
