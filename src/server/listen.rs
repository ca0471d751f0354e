//! Where a server listens: unix sockets, which it makes and removes, and TCP ports.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{FlockOperation, flock};
use tokio::net::{TcpListener, UnixListener};

use super::access::Peers;
use crate::container::Problem;

/// Where a server listens, and a client finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:IP:PORT`; to listen on port 0 is to listen on any that is free.
    Tcp(SocketAddr),
}

impl Address {
    /// Whether what is sent there, or received, may cross a network.
    pub fn leaves_the_machine(&self) -> bool {
        matches!(self, Address::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Some(Address::Unix(path.into())),
            Some(("tcp", address)) => address.parse().ok().map(Address::Tcp),
            _ => None,
        };
        address.ok_or_else(|| format!("{text:?} is no address; expected unix:/PATH, tcp:IP:PORT or tcp:[IPv6]:PORT"))
    }
}

/// A socket that is listening.
pub enum Listener {
    /// A unix socket, and whom it is for.
    Unix(UnixListener, Peers, SocketFile),
    /// A TCP port.
    Tcp(TcpListener, SocketAddr),
}

impl Listener {
    /// Listens from here on. `group` may use a unix socket, too.
    pub fn bind(address: &Address, group: Option<u32>) -> Result<Self, Problem> {
        let problem = |what: String| Problem(format!("can't listen on {address}: {what}"));
        match address {
            Address::Unix(path) => {
                let (listener, file) = SocketFile::bind(path, group).map_err(problem)?;
                let peers = Peers { owner: rustix::process::geteuid().as_raw(), group };
                Ok(Listener::Unix(listener, peers, file))
            }
            Address::Tcp(address) => {
                let bound = std::net::TcpListener::bind(address)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .and_then(|listener| Ok((listener.local_addr()?, TcpListener::from_std(listener)?)));
                let (address, listener) = bound.map_err(|error| problem(error.to_string()))?;
                Ok(Listener::Tcp(listener, address))
            }
        }
    }

    /// Where it listens, with the port that was found.
    pub fn address(&self) -> Address {
        match self {
            Listener::Unix(_, _, file) => Address::Unix(file.path.clone()),
            Listener::Tcp(_, address) => Address::Tcp(*address),
        }
    }
}

/// The file of a unix socket, removed when dropped.
///
/// Beside it lies a lock, `PATH.lock`, held as long as the server lives: of two servers that start at the same time only
/// one gets it, and who has it may take the socket of a dead one away.
pub struct SocketFile {
    path: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl SocketFile {
    fn bind(path: &Path, group: Option<u32>) -> Result<(UnixListener, SocketFile), String> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let locked = take_lock(&lock)?;
        // From here on it is removed again, whatever fails.
        let file = SocketFile { path: path.to_owned(), lock, _locked: locked };
        if let Err(what) = make_way(path) {
            file.forget();
            return Err(what);
        }
        // The kernel makes the file with the rights that the mask leaves, so at no time has it more than these. No other
        // thread makes files meanwhile: there is none.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.map_err(|error| error.to_string())?;
        if let Some(group) = group {
            std::os::unix::fs::lchown(path, None, Some(group))
                .map_err(|error| format!("it can't be given to group {group}: {error}"))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
                .map_err(|error| format!("its mode can't be set: {error}"))?;
        }
        Ok((listener, file))
    }

    /// Leaves what is at the path alone: it is somebody else's.
    fn forget(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What is gone already need not be removed.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// Takes the lock, whose file may be removed by its last holder at any moment.
fn take_lock(path: &Path) -> Result<File, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    loop {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(problem)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err("another server is running there".into()),
            Err(error) => return Err(problem(error.into())),
        }
        let held = file.metadata().map_err(problem)?;
        match std::fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => return Ok(file),
            // Removed in between: what is held is no longer what the next one looks for.
            _ => {}
        }
    }
}

/// Removes the socket of a server that is dead. Anything else that is in the way stays.
fn make_way(path: &Path) -> Result<(), String> {
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if !there.file_type().is_socket() {
        return Err("there is a file of that name, which is no socket".into());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err("another server is running there".into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| format!("the socket of a dead server can't be removed: {error}"))
        }
        Err(error) => Err(format!("there is a socket of that name: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in ["unix:/run/ovs.sock", "tcp:127.0.0.1:6653", "tcp:[::1]:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for wrong in ["", "unix:", "unix:relative", "tcp:", "tcp:localhost:1", "tcp:127.0.0.1", "ssl:127.0.0.1:1"] {
            assert!(wrong.parse::<Address>().unwrap_err().contains("expected unix:/PATH"), "{wrong}");
        }
    }
}
