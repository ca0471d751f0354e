//! Columns that a caller names in the `COLUMN[:KEY]=VALUE` notation of ovs-vsctl(8), typed by the server's schema.

use super::tables;
use super::unit::{RowKey, Unit, Wanted};
use crate::error::Error;
use crate::ovsdb::operation::Name;
use crate::ovsdb::text::{self, TextError};

/// Settings as `COLUMN[:KEY]` and `VALUE`, in the order in which they apply.
pub type Options = Vec<(String, String)>;

/// The columns that settings are of: what is not asked for need not be told, and a bridge with many ports is a large row.
/// Where only the schema could tell, because a name is abbreviated or may not be in every schema, all of them.
pub fn wanted<'a>(table: &str, settings: impl IntoIterator<Item = &'a str>) -> Wanted {
    let known = tables::configuration(table);
    let column = |setting: &str| {
        let column = setting.split_once(':').map_or(setting, |(column, _)| column);
        known.iter().find(|known| **known == column).map(|column| Name::from(*column))
    };
    settings.into_iter().map(column).collect::<Option<_>>().map_or(Wanted::Whole, Wanted::With)
}

impl Unit<'_> {
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
        let schema = self.schema().await?;
        let refuse = |error: TextError| Error::argument(argument, error.to_string());
        let (table_name, table) = text::table(&schema, &row.table).map_err(refuse)?;
        for (key, value) in options {
            let assignment = text::assignment(table_name, table, &format!("{key}={value}")).map_err(refuse)?;
            if table.columns.get(assignment.column).is_some_and(|column| !column.mutable) {
                return Err(refuse(TextError::read_only(table_name, assignment.column)));
            }
            let column = assignment.column.to_owned();
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
