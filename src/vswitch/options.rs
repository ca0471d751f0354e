//! Columns that a caller names in the `COLUMN[:KEY]=VALUE` notation of ovs-vsctl(8), typed by the server's schema, which is
//! only asked for where it is not known what it says.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::notation::{self, NotationError};
use ovsdb::operation::Name;
use ovsdb::schema::{AtomicType, BaseType, ColumnSchema, ColumnType, TableSchema};

use super::plan::change_set::RowKey;
use super::plan::query::Wanted;
use super::rules;
use super::secrets;
use super::tables::{self, BRIDGE, INTERFACE, OPEN_VSWITCH, PORT};
use super::unit::Unit;
use crate::error::Error;

/// Settings as `COLUMN[:KEY]` and `VALUE`, in the order in which they apply.
pub type Options = Vec<(String, String)>;

/// The columns that settings are of, and those that decide whether they work: what is not asked for need not be told, and a
/// bridge with many ports is a large row. Where only the schema could tell, because a name is abbreviated or may not be in every schema, all of them.
pub fn wanted<'a>(table: &str, settings: impl IntoIterator<Item = &'a str>) -> Wanted {
    let known = tables::configuration(table);
    let mut wanted: BTreeSet<Name> = BTreeSet::new();
    for setting in settings {
        let Some(column) = known.iter().find(|known| **known == column(setting)) else { return Wanted::Whole };
        let companions = match (table, setting.split_once(':')) {
            (PORT, Some(("other_config", key))) if rules::KEYS_OF_PORTS.contains(&key) => rules::COMPANIONS_OF_KEYS,
            (PORT, _) => rules::companions_in_port(column),
            (BRIDGE, _) => rules::companions_in_bridge(column),
            _ => &[],
        };
        wanted.extend(std::iter::once(column).chain(companions).map(|column| Name::from(*column)));
    }
    Wanted::With(wanted)
}

fn column(setting: &str) -> &str {
    setting.split_once(':').map_or(setting, |(column, _)| column)
}

/// What there is to know of a table to read settings, when they are only of columns that are maps of strings in every
/// schema: `external_ids` and their like, which most settings are of. The server's schema is then not needed.
fn table_of_maps(table: &str, settings: &[(String, String)]) -> Option<TableSchema> {
    let string = || BaseType::from(AtomicType::String);
    let map_of_strings = |setting: &str| {
        let is_one = match column(setting) {
            "external_ids" | "other_config" => matches!(table, OPEN_VSWITCH | BRIDGE | PORT | INTERFACE),
            "options" => table == INTERFACE,
            _ => false,
        };
        let ty = ColumnType { key: string(), value: Some(string()), min: 0, max: None };
        is_one.then(|| (column(setting).to_owned(), ColumnSchema { ty, ephemeral: false, mutable: true }))
    };
    let columns: BTreeMap<_, _> = settings.iter().map(|(setting, _)| map_of_strings(setting)).collect::<Option<_>>()?;
    Some(TableSchema { columns, max_rows: None, is_root: false, indexes: Vec::new() })
}

impl Unit<'_> {
    /// Asks for the schema without waiting for it, if settings of this table can't be read without.
    pub async fn expect_schema_for(&mut self, table: &str, settings: &[(String, String)]) -> Result<(), Error> {
        match table_of_maps(table, settings) {
            Some(_) => Ok(()),
            None => self.session.expect_schema().await,
        }
    }

    /// The table that a person calls so, when settings of a row of it are to follow.
    pub async fn table_for(&mut self, name: &str, settings: &[(String, String)]) -> Result<Name, Error> {
        if table_of_maps(name, settings).is_some() {
            return Ok(name.to_owned().into());
        }
        let schema = self.schema().await?;
        let table = notation::table(&schema, name).map_err(|error| Error::argument("table", error.to_string()))?;
        Ok(table.0.to_owned().into())
    }

    /// The column of a setting that this table does not have, and the table of a bridge, port or interface that has it.
    pub async fn column_elsewhere(
        &mut self,
        table: &str,
        settings: &[(String, String)],
    ) -> Result<Option<(String, &'static str)>, Error> {
        let schema = self.schema().await?;
        let has = |table: &str, column: &str| {
            schema.tables.get(table).is_some_and(|table| table.columns.contains_key(column))
        };
        let columns = settings.iter().map(|(setting, _)| column(setting).to_ascii_lowercase().replace('-', "_"));
        let found = columns.filter(|column| !has(table, column)).find_map(|column| {
            let elsewhere = [PORT, INTERFACE, BRIDGE].into_iter().find(|other| has(other, &column))?;
            Some((column, elsewhere))
        });
        Ok(found)
    }

    /// Applies settings to a row. `argument` is the name of the command's argument that they came in.
    pub async fn apply_options(
        &mut self,
        row: &RowKey,
        options: &[(String, String)],
        argument: &'static str,
    ) -> Result<(), Error> {
        if options.is_empty() {
            return Ok(());
        }
        let refuse = |error: NotationError| Error::argument(argument, error.to_string());
        let (maps, schema);
        let table_name: &str = &row.table;
        let table = match table_of_maps(table_name, options) {
            Some(table) => {
                maps = table;
                &maps
            }
            None => {
                schema = self.schema().await?;
                notation::table(&schema, table_name).map_err(refuse)?.1
            }
        };
        for (key, value) in options {
            let assignment = match notation::assignment(table_name, table, &format!("{key}={value}")) {
                Ok(assignment) => assignment,
                Err(error) => {
                    let mut problem = secrets::refusal_of_setting(key, value, &error);
                    if matches!(error, NotationError::UnknownColumn { .. })
                        && let Some((column, table)) =
                            self.column_elsewhere(table_name, &[(key.clone(), value.clone())]).await?
                    {
                        problem.push_str(&format!("; {column} is a column of table {table}"));
                    }
                    return Err(Error::argument(argument, problem));
                }
            };
            if table.columns.get(assignment.column).is_some_and(|column| !column.mutable) {
                return Err(refuse(NotationError::read_only(table_name, assignment.column)));
            }
            let is_report = table.columns.get(assignment.column).is_some_and(|column| column.ephemeral)
                || tables::is_report(table_name, assignment.column);
            if is_report {
                let problem = format!(
                    "{table_name}.{} is what Open vSwitch reports, and it writes over what others set; expected a column \
                     that configures something",
                    assignment.column
                );
                return Err(Error::argument(argument, problem));
            }
            let column = assignment.column.to_owned();
            self.asked_by(row, column.clone(), argument);
            match assignment.key {
                None => self.set(row, column, assignment.value),
                Some(map_key) => {
                    if let Some(value) = assignment.value.atoms().next() {
                        self.put(row, column, map_key, value.clone());
                    }
                }
            }
        }
        Ok(())
    }
}
