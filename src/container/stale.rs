//! What processes that are gone have left in the run directory.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::{Problem, say};

/// Removes pid files, sockets and lock files of processes that can be proved dead, and nothing else.
pub(super) fn remove(step: &str, run: &Path, database: &Path) -> Result<(), Problem> {
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
    remove_lock_of(database);
    Ok(())
}

/// The file on which users of a database lock (lib/lockfile.c). It stays behind; the lock itself goes with the process.
fn lock_of(database: &Path) -> Option<PathBuf> {
    let name = database.file_name()?;
    Some(database.with_file_name(format!(".{}.~lock~", name.to_string_lossy())))
}

/// Removes a database's lock file unless somebody has locked it. Every use of a database leaves one, so this is silent.
pub(super) fn remove_lock_of(database: &Path) {
    if let Some(lock) = lock_of(database)
        && can_be_locked(&lock)
    {
        // One that stays does no harm: nobody holds the lock.
        let _ = fs::remove_file(lock);
    }
}

fn remove_file(step: &str, path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => say(step, format_args!("removed {}, left by a process that is gone", path.display())),
        Err(error) => say(step, format_args!("{} is left by a process that is gone: {error}", path.display())),
    }
}

/// A socket that refuses connections has no listener; any other failure proves nothing.
fn nobody_listens(socket: &Path) -> bool {
    matches!(UnixStream::connect(socket), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

/// Daemons keep their pid file locked (lib/daemon-unix.c), so a lock that can be had proves that its writer is gone,
/// even when another process has got the number since.
fn pid_is_gone(file: &Path) -> bool {
    can_be_locked(file)
}

/// Whether another daemon is using the database.
pub(super) fn is_in_use(database: &Path) -> bool {
    lock_of(database).is_some_and(|lock| lock.exists() && !can_be_locked(&lock))
}

/// Where it can't be tried, it is not proved that the holder is gone.
fn can_be_locked(path: &Path) -> bool {
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    file.is_ok_and(|file| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}
