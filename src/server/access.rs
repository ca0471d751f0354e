//! Who may call: on a unix socket root, its owner and perhaps a group, on TCP a caller with the token.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use tokio::net::UnixStream;

use crate::credentials::Token;

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
    /// There are too many connections of which it is not known yet whose they are.
    FullOfStrangers(usize),
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
        // Both conversions fit: the kernel knows 65536 groups at most (NGROUPS_MAX), of four bytes each.
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
