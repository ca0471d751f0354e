//! How answers are drawn for people: the tree of a switch, graphs of it, counters, findings.
//!
//! A command names the drawings of its answer (`Command::DRAWINGS`); what prints them knows no command.

pub mod counters;
pub mod findings;
pub mod graph;
pub mod problems;
pub mod style;
pub mod tree;
