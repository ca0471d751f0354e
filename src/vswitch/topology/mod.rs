//! A topology of the switch: everything that is configured and what ovs-vswitchd reports of it, as a tree.
//!
//! [`Tables`] are the rows, read in one request. [`Topology::of`] makes the tree of them and looks at nothing else, so
//! the rows may come from anywhere.

mod rows;
mod tree;

#[cfg(test)]
pub use rows::RootRow;
pub use rows::{COLUMNS, Strings, Tables};
pub use tree::{Bond, BridgeNode, InterfaceNode, NetworkKind, PortNode, Problem, Topology};
