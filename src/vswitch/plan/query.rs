//! Questions to the database, before it is known who answers them: the server, or a replica.

use std::collections::BTreeSet;

use ovsdb::operation::{Condition, Name, Operation};
use ovsdb::value::{Atom, Uuid, Value};

use crate::vswitch::tables::{self, BRIDGE, INTERFACE, PORT};

/// A question to the database: the rows of a table whose column equals, or includes, a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    pub(crate) question: Question,
    pub(crate) wanted: Wanted,
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub(crate) table: Name,
    pub(crate) filter: Option<Filter>,
}

/// Which columns of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Those that commands usually read of the table.
    Usual,
    /// These besides.
    With(BTreeSet<Name>),
    /// Every column.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    Equals(Name, Value),
    Includes(Name, Value),
    /// One row, and only if its set holds the value; the server looks at no other row.
    RowIncludes(Uuid, Name, Value),
}

impl Query {
    /// The rows whose column has this value.
    pub fn equals(table: impl Into<Name>, column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Query::of(table, Some(Filter::Equals(column.into(), value.into())))
    }

    /// The rows whose set or map includes this value.
    pub fn includes(table: impl Into<Name>, column: impl Into<Name>, value: impl Into<Value>) -> Self {
        Query::of(table, Some(Filter::Includes(column.into(), value.into())))
    }

    /// All rows. Not for tables that grow with the switch.
    pub fn all(table: impl Into<Name>) -> Self {
        Query::of(table, None)
    }

    /// The row with this identity.
    pub fn row(table: impl Into<Name>, uuid: Uuid) -> Self {
        Query::equals(table, "_uuid", uuid)
    }

    /// The bridge of this name.
    pub fn bridge(name: &str) -> Self {
        Query::equals(BRIDGE, "name", name)
    }

    /// The port of this name.
    pub fn port(name: &str) -> Self {
        Query::equals(PORT, "name", name)
    }

    /// The interface of this name.
    pub fn interface(name: &str) -> Self {
        Query::equals(INTERFACE, "name", name)
    }

    pub(crate) fn of(table: impl Into<Name>, filter: Option<Filter>) -> Self {
        Query { question: Question { table: table.into(), filter }, wanted: Wanted::Usual }
    }

    /// The same rows, with every column they have.
    pub fn whole(mut self) -> Self {
        self.wanted = Wanted::Whole;
        self
    }

    /// The same rows, with these columns.
    pub fn with(mut self, wanted: &Wanted) -> Self {
        self.wanted = match (wanted, tables::usual_columns(&self.question.table)) {
            (Wanted::With(columns), Some(usual)) => {
                let further = columns.iter().filter(|column| !usual.contains(&column.as_ref()));
                let further: BTreeSet<Name> = further.cloned().collect();
                if further.is_empty() { Wanted::Usual } else { Wanted::With(further) }
            }
            // Of other tables all columns are usual.
            (Wanted::With(_), None) => Wanted::Whole,
            (wanted, _) => wanted.clone(),
        };
        self
    }

    pub(crate) fn select(&self) -> Operation {
        let Question { table, filter } = &self.question;
        let columns = match filter {
            // Only whether it is so is asked, of a row that has been read already.
            Some(Filter::RowIncludes(..)) => Some(vec!["_uuid".into()]),
            _ => self.wanted.columns(table),
        };
        Operation::Select { table: table.clone(), r#where: self.question.conditions(), columns }
    }

    /// What makes many queries one kind: the same column of the same table.
    pub(crate) fn kind(&self) -> Option<(&Name, &Name, bool)> {
        match &self.question.filter {
            _ if self.wanted != Wanted::Usual => None,
            Some(Filter::Equals(column, _)) if column != "_uuid" => Some((&self.question.table, column, false)),
            Some(Filter::Includes(column, _)) => Some((&self.question.table, column, true)),
            _ => None,
        }
    }
}

impl Question {
    fn conditions(&self) -> Vec<Condition> {
        match &self.filter {
            None => Vec::new(),
            Some(Filter::Equals(column, value)) => vec![Condition::equal(column.clone(), value.clone())],
            Some(Filter::Includes(column, value)) => vec![Condition::includes(column.clone(), value.clone())],
            Some(Filter::RowIncludes(row, column, value)) => {
                vec![Condition::is_row(*row), Condition::includes(column.clone(), value.clone())]
            }
        }
    }

    /// Whether it is about a row that does not exist yet, which is nothing to bother the server with.
    pub(crate) fn is_about_new(&self) -> bool {
        match &self.filter {
            Some(Filter::Equals(_, value) | Filter::Includes(_, value) | Filter::RowIncludes(_, _, value)) => {
                value.atoms().any(|atom| matches!(atom, Atom::NamedUuid(_)))
            }
            None => false,
        }
    }
}

impl Wanted {
    /// As a select names them; `None` is all.
    fn columns(&self, table: &str) -> Option<Vec<Name>> {
        let named = |columns: &'static [&'static str]| columns.iter().map(|&column| Name::from(column));
        match (self, tables::usual_columns(table)) {
            (Wanted::Whole, _) | (_, None) => None,
            (Wanted::Usual, Some(usual)) => Some(named(usual).collect()),
            (Wanted::With(further), Some(usual)) => Some(named(usual).chain(further.iter().cloned()).collect()),
        }
    }

    /// Whether these columns include the others.
    pub(crate) fn covers(&self, others: &Wanted) -> bool {
        match (self, others) {
            (Wanted::Whole, _) | (_, Wanted::Usual) => true,
            (Wanted::With(columns), Wanted::With(others)) => columns.is_superset(others),
            (Wanted::Usual, _) | (Wanted::With(_), Wanted::Whole) => false,
        }
    }
}
