//! What processes that are gone have left in the run directory.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::say;
use crate::problem::Problem;

/// Removes pid files and sockets of processes that can be proved dead, and nothing else.
pub(super) fn remove(step: &str, run: &Path) -> Result<(), Problem> {
    let entries = fs::read_dir(run).map_err(|error| Problem::io(run.display(), error))?;
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                say(step, format_args!("not all of {} can be read: {error}", run.display()));
                break;
            }
        };
        let path = entry.path();
        let dead = match entry.file_type() {
            Ok(kind) if kind.is_socket() => nobody_listens(&path),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|extension| extension == "pid") => {
                pid_is_gone(&path)
            }
            // Neither other files nor what can't be looked at can be proved to be left behind.
            _ => false,
        };
        if dead {
            remove_file(step, &path);
        }
    }
    Ok(())
}

/// The file on which users of a database lock (lib/lockfile.c). It stays behind; the lock itself goes with the process.
/// The database has to be the file itself, as [`target`] returns it, and not a symbolic link to it.
fn lock_of(database: &Path) -> PathBuf {
    let name = database.file_name().unwrap_or_default();
    database.with_file_name(format!(".{}.~lock~", name.to_string_lossy()))
}

/// Removes the lock file of a database that no other program knows. That of the real database stays: a daemon that has
/// opened it and not locked it yet would lock a file that nobody else can see any more.
pub(super) fn remove_lock_of(database: &Path) {
    // One that stays does no harm: nobody holds the lock.
    let _ = fs::remove_file(lock_of(database));
}

/// The most symbolic links that Open vSwitch follows to find the lock file (lib/util.c, `follow_symlinks`).
const MOST_LINKS: usize = 10;

/// The file that a path leads to. Open vSwitch locks beside that file and replaces that file, not a link to it
/// (lib/lockfile.c). A path without a link need not exist; the target of a link has to.
pub(super) fn target(path: &Path) -> Result<PathBuf, Problem> {
    let mut target = path.to_owned();
    for _ in 0..=MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("/")).join(next),
            // Not a link, or nothing at all.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(target),
            Err(error) if error.kind() == ErrorKind::NotFound && target == path => return Ok(target),
            Err(error) => {
                let why = format!("{} is a symbolic link and is kept: {}: {error}", path.display(), target.display());
                return Err(Problem(format!("{why}; expected a link to a database")));
            }
        }
    }
    Err(Problem(format!("{} is a chain of more than {MOST_LINKS} symbolic links and is kept", path.display())))
}

fn remove_file(step: &str, path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => say(step, format_args!("removed {}, left by a process that is gone", path.display())),
        Err(error) => say(step, format_args!("{} is left by a process that is gone: {error}", path.display())),
    }
}

/// A socket that refuses connections has no listener; any other failure proves nothing. Connecting does not wait: a
/// listener that accepts nobody has a full backlog sooner or later, and the answer is then EAGAIN (unix(7)).
fn nobody_listens(path: &Path) -> bool {
    let connected = || {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)
    };
    connected() == Err(Errno::CONNREFUSED)
}

/// Daemons keep their pid file locked (lib/daemon-unix.c), so a lock that can be had proves that its writer is gone,
/// even when another process has got the number since.
fn pid_is_gone(file: &Path) -> bool {
    // Where it can't be tried, it is not proved that the writer is gone.
    let file = fs::OpenOptions::new().read(true).write(true).open(file);
    file.is_ok_and(|file| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Whether another program is using the database.
pub(super) fn is_in_use(database: &Path) -> Result<bool, Problem> {
    Ok(lock(database)?.is_none())
}

/// Keeps other users from the database for as long as the result lives; none if another one has it.
pub(super) fn lock(database: &Path) -> Result<Option<File>, Problem> {
    let path = lock_of(database);
    let failed = |error| Problem::io(format_args!("the lock file {}", path.display()), error);
    let open = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(failed)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}
