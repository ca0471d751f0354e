//! Finds tables and columns by the names that people gave them.

use std::collections::BTreeMap;

use super::error::{NearMisses, NotationError};
use crate::schema::{ColumnSchema, DatabaseSchema, TableSchema};

/// Longer names are not looked at for near misses.
const MAX_NEAR_MISS: usize = 64;

/// Finds a table by the name a person gave it: in any case, with `-` for `_`, or abbreviated.
pub fn table<'s>(schema: &'s DatabaseSchema, name: &str) -> Result<(&'s str, &'s TableSchema), NotationError> {
    find(&schema.tables, name).map_err(|matches| match matches.is_empty() {
        true => NotationError::UnknownTable { name: name.to_owned(), nearest: nearest(name, schema.tables.keys()) },
        false => NotationError::AmbiguousTable { name: name.to_owned(), matches },
    })
}

/// Finds a column in the same way; `table_name` is for the error.
pub fn column<'s>(
    table_name: &str,
    table: &'s TableSchema,
    name: &str,
) -> Result<(&'s str, &'s ColumnSchema), NotationError> {
    find(&table.columns, name).map_err(|matches| {
        let (table_name, name) = (table_name.to_owned(), name.to_owned());
        match matches.is_empty() {
            true => {
                let nearest = nearest(&name, table.columns.keys());
                NotationError::UnknownColumn { table: table_name, name, nearest }
            }
            false => NotationError::AmbiguousColumn { table: table_name, name, matches },
        }
    })
}

/// The one entry that a name stands for: the exact one, else one that differs in case and `-` for `_`, else the only
/// one that begins with it. The error lists all that begin with it.
fn find<'s, T>(entries: &'s BTreeMap<String, T>, name: &str) -> Result<(&'s str, &'s T), Vec<String>> {
    if let Some((name, entry)) = entries.get_key_value(name) {
        return Ok((name, entry));
    }
    let wanted = fold(name);
    let mut found = Vec::new();
    for (name, entry) in entries {
        let name_folded = fold(name);
        if name_folded == wanted {
            return Ok((name, entry));
        }
        if !wanted.is_empty() && name_folded.starts_with(&wanted) {
            found.push((name.as_str(), entry));
        }
    }
    match found[..] {
        [only] => Ok(only),
        _ => Err(found.into_iter().map(|(name, _)| name.to_owned()).collect()),
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// The names that someone may have meant: a slip of the keyboard away, else containing the word or contained in it.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a String>) -> NearMisses {
    let wanted = fold(name.trim_matches('"'));
    let mut best = (usize::MAX, Vec::new());
    if wanted.len() <= MAX_NEAR_MISS {
        let slips = (wanted.len() / 3).min(2);
        for candidate in candidates {
            let folded = fold(candidate);
            let contained = |short: &str, long: &str| short.len() >= 3 && long.contains(short);
            let rank = match strsim::osa_distance(&wanted, &folded) {
                distance if distance <= slips => distance,
                _ if contained(&wanted, &folded) || contained(&folded, &wanted) => slips + 1,
                _ => continue,
            };
            if rank < best.0 {
                best = (rank, Vec::new());
            }
            if rank == best.0 {
                best.1.push(candidate.clone());
            }
        }
    }
    // A long list helps nobody.
    best.1.truncate(4);
    NearMisses(best.1)
}

// ---- tokens ----
