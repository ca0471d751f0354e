//! Ways to find rows without looking at all of them.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Row, Table};
use crate::value::Uuid;

/// Finds rows by a column in which no two rows have the same.
#[derive(Debug)]
pub(super) struct Unique {
    pub(super) column: usize,
    /// Inside of one notification two rows may have the same, until it is applied to its end.
    pub(super) rows: HashTable<u32>,
}

/// Finds rows by an element of a set of references.
#[derive(Debug)]
pub(super) struct References {
    pub(super) column: usize,
    pub(super) rows: HashTable<(Uuid, u32)>,
}

pub(super) fn uuid_of(entry: &[u8]) -> Uuid {
    Uuid(uuid::Uuid::from_slice(entry).unwrap_or_default())
}

impl Unique {
    pub(super) fn insert(
        &mut self,
        rows: &[Option<Row>],
        handle: u32,
        bytes: &[u8],
        columns: usize,
        hasher: &DefaultHashBuilder,
    ) {
        let column = self.column;
        let hash = |handle: &u32| {
            let row = rows[*handle as usize].as_ref();
            hasher.hash_one(row.map(|row| row.packed.column(column, columns)).unwrap_or_default())
        };
        self.rows.insert_unique(hasher.hash_one(bytes), handle, hash);
    }

    pub(super) fn remove(&mut self, handle: u32, bytes: &[u8], hasher: &DefaultHashBuilder) {
        if let Ok(entry) = self.rows.find_entry(hasher.hash_one(bytes), |other| *other == handle) {
            entry.remove();
        }
    }

    pub(super) fn find(&self, table: &Table, bytes: &[u8], hasher: &DefaultHashBuilder) -> Option<u32> {
        let is_it = |handle: &u32| table.view(*handle).is_some_and(|row| row.bytes(self.column) == bytes);
        self.rows.find(hasher.hash_one(bytes), is_it).copied()
    }
}

impl References {
    pub(super) fn insert(&mut self, entry: &[u8], handle: u32, hasher: &DefaultHashBuilder) {
        let uuid = uuid_of(entry);
        self.rows.insert_unique(hasher.hash_one(uuid), (uuid, handle), |(uuid, _)| hasher.hash_one(uuid));
    }

    pub(super) fn remove(&mut self, entry: &[u8], handle: u32, hasher: &DefaultHashBuilder) {
        let uuid = uuid_of(entry);
        if let Ok(entry) = self.rows.find_entry(hasher.hash_one(uuid), |other| *other == (uuid, handle)) {
            entry.remove();
        }
    }

    pub(super) fn find(&self, uuid: Uuid, hasher: &DefaultHashBuilder) -> Vec<u32> {
        let found = self.rows.iter_hash(hasher.hash_one(uuid)).filter(|(other, _)| *other == uuid);
        found.map(|(_, handle)| *handle).collect()
    }
}
