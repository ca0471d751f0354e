//! Who may call: on a unix socket root, its owner and perhaps a group, on TCP who has the token.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use hyper::header::HeaderValue;
use subtle::ConstantTimeEq;
use tokio::net::UnixStream;

use crate::container::Problem;

/// What a connection may do.
#[derive(Clone)]
pub enum Access {
    /// Everything.
    Granted,
    /// Everything, in requests that carry the token.
    Token(Arc<Token>),
    /// Nothing.
    Refused(Refusal),
}

/// Why a connection may do nothing.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The peer has no right to be here.
    Peer(String),
    /// There are too many connections.
    Full(usize),
}

/// Whom a unix socket is for.
#[derive(Clone, Copy, Debug)]
pub struct Peers {
    /// The user whose socket it is.
    pub owner: u32,
    /// A group whose members may use it, too.
    pub group: Option<u32>,
}

impl Peers {
    /// Asks the kernel who is at the other end. The error tells who may not.
    pub fn check(&self, stream: &UnixStream) -> Result<(), String> {
        let peer = stream.peer_cred().map_err(|error| format!("who you are is not known: {error}"))?;
        if peer.uid() == 0 || peer.uid() == self.owner {
            return Ok(());
        }
        let Some(group) = self.group else {
            return Err(format!("uid {} is neither root nor the owner of this socket", peer.uid()));
        };
        let groups = supplementary_groups(stream).map_err(|error| format!("your groups are not known: {error}"))?;
        if peer.gid() == group || groups.contains(&group) {
            return Ok(());
        }
        Err(format!("uid {} is neither root nor the owner of this socket, nor in group {group}", peer.uid()))
    }
}

/// The supplementary groups of the peer when it connected: SO_PEERGROUPS of unix(7), since Linux 4.13. SO_PEERCRED only
/// has the primary one.
fn supplementary_groups(stream: &UnixStream) -> std::io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let size_of_one = size_of::<libc::gid_t>();
        let mut bytes = libc::socklen_t::try_from(groups.len() * size_of_one).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: `groups` is writable for `bytes` bytes, and any bytes are valid group ids. No library wraps this option.
        let status = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = usize::try_from(bytes).unwrap_or(0) / size_of_one;
        if status == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = std::io::Error::last_os_error();
        // The kernel has told how much room it needs.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// Opens a file that holds a secret, which others must not be able to read.
pub fn open_secret(path: &Path) -> Result<std::fs::File, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mode = file.metadata().map_err(|error| error.to_string())?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(format!("everybody may use it (mode {mode:04o}); expected 0600 or 0640"));
    }
    Ok(file)
}

/// A secret that callers send as `Authorization: Bearer <token>` (RFC 6750).
pub struct Token(Vec<u8>);

/// A shorter one could be guessed.
const TOKEN_MIN: usize = 16;
/// What is longer is no token, but a wrong file.
const TOKEN_MAX: u64 = 4096;

impl Token {
    /// Reads a file, of which blanks around the token do not count. Others must not be able to read it.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let problem = |what: String| Problem(format!("--token-file {}: {what}", path.display()));
        let file = open_secret(path).map_err(problem)?;
        let mut text = String::new();
        file.take(TOKEN_MAX + 1).read_to_string(&mut text).map_err(|error| problem(error.to_string()))?;
        let token = text.trim();
        let usable = token.len() >= TOKEN_MIN
            && text.len() as u64 <= TOKEN_MAX
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !usable {
            return Err(problem(format!(
                "no token in it; expected {TOKEN_MIN} to {TOKEN_MAX} printable characters without blanks, in one line"
            )));
        }
        Ok(Token(token.as_bytes().to_vec()))
    }

    /// Whether a request's `Authorization` is right. How long that takes does not depend on how much of it is.
    pub fn accepts(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(value) = authorization.map(HeaderValue::as_bytes) else { return false };
        match value.split_at_checked("Bearer ".len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token.ct_eq(&self.0).into(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = Token(b"0123456789abcdef".to_vec());
        let accepts = |text: &str| token.accepts(Some(&HeaderValue::from_str(text).unwrap()));
        assert!(accepts("Bearer 0123456789abcdef"));
        assert!(accepts("bearer 0123456789abcdef"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "0123456789abcdef"]
        {
            assert!(!accepts(wrong), "{wrong}");
        }
        assert!(!token.accepts(None));
    }
}
