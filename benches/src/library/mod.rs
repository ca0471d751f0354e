//! The library beside its yardsticks: serde_json, which reads the same bytes and keeps nothing, and Python's two
//! libraries, which read the same rows from the same server.

mod parse;
pub mod python;
pub mod rows;
pub mod server;

use std::path::Path;

use anyhow::Result;

use crate::measure::Figure;

/// Rows of the Interface table.
pub const ROWS: usize = 100_000;

/// The door in the report.
const DOOR: &str = "library";

pub fn label() -> String {
    format!("{ROWS} rows")
}

fn size() -> (String, usize) {
    (label(), ROWS)
}

/// All figures; those beside Python only where `python` is given.
pub fn measure(rounds: usize, python: Option<&Path>) -> Result<Vec<Figure>> {
    eprintln!("the library, {ROWS} rows");
    let mut figures = parse::measure(rounds)?;
    match python {
        Some(python) => figures.extend(python::measure(rounds, python)?),
        None => eprintln!("  not beside Python: no --python is given"),
    }
    Ok(figures)
}
