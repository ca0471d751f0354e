//! `ovs.set`: columns of any row, as `ovs-vsctl set`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Command;
use super::arguments::{Name, Options};
use crate::error::Error;
use crate::vswitch::{Unit, options};

/// Arguments of `set`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Set {
    /// The table; its name may be shortened, and written in any case.
    table: Name,
    /// The row: a name, a UUID or the beginning of one, or `.` for the only row of the table.
    record: Name,
    /// The new values, by `COLUMN[:KEY]`.
    #[serde(default)]
    values: Option<Options>,
    /// Another name for `values`, from the manual of the original.
    #[serde(default)]
    options: Option<Options>,
}

impl Set {
    /// The settings, and the argument that they came in.
    fn settings(&self) -> (&[(String, String)], &'static str) {
        match (&self.values, &self.options) {
            (None, Some(options)) => (&options.0, "options"),
            (values, _) => (values.as_ref().map_or(&[], |values| &values.0), "values"),
        }
    }
}

impl Command for Set {
    const NAME: &'static str = "set";
    const ABOUT: &'static str = "Set columns of a row in any table, as ovs-vsctl set does";
    const EXAMPLE: (&'static str, &'static str) =
        (r#"{"table": "Interface", "record": "eth0", "values": {"mtu_request": 9000}}"#, "null");
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        ("not-found", "no row \"eth0\" in table Interface"),
        (
            "bad-argument",
            "argument \"values\": Port does not contain a column whose name matches \"updelay\" (did you mean \
             bond_updelay?)",
        ),
        (
            "bad-argument",
            "argument \"values\": constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive) \
             (Port.tag: expected an integer from 0 to 4095, or [] for none)",
        ),
        ("interface", "interface eth0 does not work: …; the change was taken back, nothing is left of it"),
    ];
    type Answer = ();

    fn check(&self) -> Result<(), Error> {
        if self.settings().0.is_empty() {
            return Err(Error::argument("values", "is empty; expected at least one {\"column[:key]\": value}"));
        }
        if self.values.is_some() && self.options.is_some() {
            return Err(Error::argument("options", "is another name for \"values\"; give one of them"));
        }
        Ok(())
    }

    async fn run(&self, unit: &mut Unit<'_>) -> Result<(), Error> {
        let (settings, argument) = self.settings();
        let wanted = options::wanted(&self.table.0, settings.iter().map(|(setting, _)| setting.as_str()));
        unit.expect_schema_for(&self.table.0, settings).await?;
        unit.fetch_record(&self.table.0, &self.record.0, &wanted).await?;
        let table = unit.table_for(&self.table.0, settings).await?;
        let row = unit.record(&table, &self.record.0, &wanted).await?;
        unit.apply_options(&row, settings, argument).await
    }
}
