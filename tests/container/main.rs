//! The steps of the container, each from every state that it may meet: the built binary with its own directories, in
//! namespaces of the test's own. `tests/image` has what only the finished image can show.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod full_disk;
mod init;
mod init_killed;
mod leftovers;
mod links;
mod manifest;
mod place;
mod ready;
mod start;
