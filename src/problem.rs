//! What stops a step outside of commands, in words for people.

/// What went wrong: starting a server, a step of the container, what was typed at a shell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    /// An error of the system while doing something.
    pub fn io(doing: impl std::fmt::Display, error: std::io::Error) -> Self {
        Problem(format!("{doing}: {error}"))
    }
}
