//! The image as it was built: what is in it, and containers of it at work.
//!
//! `make flist` builds it into `target/flist`; `OVS_PLUGIN_FLIST` names another directory. The containers run in the
//! machine's Docker engine, or where there is none, by chroot in namespaces of the test's own
//! (`OVS_PLUGIN_ENGINE=chroot` has that also where there is one). Only root can do either: for anyone else these tests
//! say that they are skipped.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

// Databases in every state, as the tests of init have them.
#[allow(dead_code)]
#[path = "../container/place.rs"]
mod place;

mod archive;
mod container;
mod files;
mod running;
mod states;
