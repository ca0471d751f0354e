//! Where a server listens: unix sockets, which it makes and removes, and TCP ports.

use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, UnixListener};

use super::access::Peers;
use crate::jsonrpc::Address;
use crate::problem::Problem;

/// So many may wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that is listening.
pub enum Listener {
    /// A unix socket, and whom it is for. The file goes before the socket is closed: as long as it is open, no other file
    /// has the number by which it is known.
    Unix(SocketFile, UnixListener, Peers),
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
                Ok(Listener::Unix(file, listener, peers))
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
            Listener::Unix(file, ..) => Address::Unix(file.path.clone()),
            Listener::Tcp(_, address) => Address::Tcp(*address),
        }
    }
}

/// The file of a unix socket, removed when dropped, unless it has become another one's.
///
/// Beside it lies a lock, `PATH.lock`, held as long as the server lives: of two servers that start at the same time only
/// one gets it, and who has it may take the socket of a dead one away.
pub struct SocketFile {
    path: PathBuf,
    /// Which file the socket is, once there is one.
    socket: Option<Identity>,
    lock: PathBuf,
    locked: File,
}

/// What tells a file from another one of the same name: device and inode. A file that is open keeps its inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> std::io::Result<Identity> {
    std::fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

impl SocketFile {
    fn bind(path: &Path, group: Option<u32>) -> Result<(UnixListener, SocketFile), String> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let locked = take_lock(&lock)?;
        // From here on the files are removed again, whatever fails.
        let mut file = SocketFile { path: path.to_owned(), socket: None, lock, locked };
        make_way(path)?;
        // The kernel makes the file with the rights that the mask leaves, so at no time has it more than these. No other
        // thread makes files meanwhile: there is none.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = new_socket().and_then(|socket| rustix::net::bind(&socket, &address(path)?).map(|()| socket));
        rustix::process::umask(before);
        let socket = bound.map_err(text)?;
        file.socket = Some(identity(path).map_err(|error| format!("it was removed at once: {error}"))?);
        if let Some(group) = group {
            std::os::unix::fs::lchown(path, None, Some(group))
                .map_err(|error| format!("it can't be given to group {group}: {error}"))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
                .map_err(|error| format!("its mode can't be set: {error}"))?;
        }
        // Only now, when it has its rights, somebody can connect.
        rustix::net::listen(&socket, BACKLOG).map_err(text)?;
        let listener = UnixListener::from_std(socket.into()).map_err(|error| error.to_string())?;
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed them, and another server may have been started since. What is gone already need not be
        // removed.
        if self.socket.is_some_and(|socket| identity(&self.path).is_ok_and(|there| there == socket)) {
            let _ = std::fs::remove_file(&self.path);
        }
        if is_same(&self.locked, &self.lock).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

/// Whether an open file is the one of this name.
fn is_same(open: &File, path: &Path) -> std::io::Result<bool> {
    let held = open.metadata()?;
    Ok(identity(path).is_ok_and(|there| there == (held.dev(), held.ino())))
}

/// Takes the lock, whose file may be removed by its last holder at any moment.
fn take_lock(path: &Path) -> Result<File, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    loop {
        let no_file = || format!("{}: expected a regular file, or none", path.display());
        // A FIFO would be waited for until somebody reads it; so it is ENXIO (fifo(7)).
        let opened = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        let file = match opened {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(no_file()),
            opened => opened.map_err(problem)?,
        };
        if !file.metadata().map_err(problem)?.is_file() {
            return Err(no_file());
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err("another server is running there".into()),
            Err(error) => return Err(problem(error.into())),
        }
        // Removed in between, what is held is no longer what the next one looks for.
        if is_same(&file, path).map_err(problem)? {
            return Ok(file);
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
    match try_to_connect(path) {
        // Somebody listens, who may have more to do than he can (EAGAIN of unix(7)).
        Ok(()) | Err(Errno::AGAIN) => Err("another server is running there".into()),
        Err(Errno::CONNREFUSED) => {
            std::fs::remove_file(path).map_err(|error| format!("the socket of a dead server can't be removed: {error}"))
        }
        Err(error) => Err(format!("there is a socket of that name: {}", text(error))),
    }
}

/// Without waiting: where too many wait to be accepted already, nobody knows for how long.
fn try_to_connect(path: &Path) -> Result<(), Errno> {
    rustix::net::connect(&new_socket()?, &address(path)?)
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn address(path: &Path) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(path)
}

fn text(error: Errno) -> String {
    std::io::Error::from(error).to_string()
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
