//! Addresses of OVSDB servers (ovsdb(7), "Active Database Connection Methods") and connecting to them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::one_shot::{self, Direction, Source};

/// The port that IANA gave to OVSDB.
const DEFAULT_PORT: u16 = 6640;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp:HOST[:PORT]`
    Tcp(SocketAddr),
}

/// An address that can't be used, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{remote:?} is not an OVSDB remote: {reason}; expected unix:PATH or tcp:IP[:PORT]")]
pub struct RemoteError {
    remote: String,
    reason: &'static str,
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(remote: &str) -> Result<Self, RemoteError> {
        let refuse = |reason| RemoteError { remote: remote.to_owned(), reason };
        match remote.split_once(':') {
            Some(("unix", "")) => Err(refuse("the path is missing")),
            Some(("unix", path)) => Ok(Remote::Unix(path.into())),
            Some(("tcp", address)) => tcp_address(address).map(Remote::Tcp).map_err(refuse),
            Some(("ssl", _)) => Err(refuse("TLS is not supported yet")),
            Some(("punix" | "ptcp" | "pssl", _)) => Err(refuse("that is a listener's address")),
            _ => Err(refuse("unknown method")),
        }
    }
}

/// Only literal addresses: the shipped program is linked statically, and glibc's resolver can't be.
fn tcp_address(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        // The colons of a bare IPv6 address do not separate a port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| "the port is not a number from 0 to 65535")?)
        }
        _ => (text, DEFAULT_PORT),
    };
    if host == "localhost" {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ip: IpAddr = host.parse().map_err(|_| "the host is not an IP address")?;
    Ok((ip, port).into())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Unix(path) => write!(f, "unix:{}", path.display()),
            Remote::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Whether connecting fails for a reason that does not pass by itself: waiting does not give us rights.
pub(crate) fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The two halves of a connected stream, whatever it runs over.
pub(super) type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

impl Remote {
    /// Connects inside of [`one_shot::block_on`]: a socket that never blocks.
    pub(super) async fn open_plain(&self) -> io::Result<Source> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = |family| rustix::net::socket_with(family, SocketType::STREAM, flags, None);
        match self {
            Remote::Unix(path) => {
                let socket = socket(AddressFamily::UNIX)?;
                // Done at once or refused, also where too many wait to be accepted.
                rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_path())?)?;
                Ok(Arc::new(socket))
            }
            Remote::Tcp(address) => {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let socket: Source = Arc::new(socket(family)?);
                match rustix::net::connect(&socket, address) {
                    Err(Errno::INPROGRESS) => {
                        one_shot::ready(&socket, Direction::Write).await;
                        sockopt::socket_error(&socket)??;
                    }
                    outcome => outcome?,
                }
                // Requests are small and wait for their answers.
                sockopt::set_tcp_nodelay(&socket, true)?;
                Ok(socket)
            }
        }
    }

    pub(super) async fn open(&self) -> io::Result<Halves> {
        match self {
            Remote::Unix(path) => {
                let (read, write) = UnixStream::connect(path).await?.into_split();
                Ok((Box::new(read), Box::new(write)))
            }
            Remote::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                // Requests are small and wait for their answers.
                stream.set_nodelay(true)?;
                let (read, write) = stream.into_split();
                Ok((Box::new(read), Box::new(write)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, shown) in [
            ("unix:/var/run/openvswitch/db.sock", "unix:/var/run/openvswitch/db.sock"),
            ("unix:relative.sock", "unix:relative.sock"),
            ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6641"),
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6640"),
            ("tcp:localhost:6641", "tcp:127.0.0.1:6641"),
            ("tcp:[::1]:6641", "tcp:[::1]:6641"),
            ("tcp:[::1]", "tcp:[::1]:6640"),
            ("tcp:::1", "tcp:[::1]:6640"),
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_is_expected() {
        for text in
            ["", "unix:", "/var/run/db.sock", "ssl:127.0.0.1:6640", "ptcp:6640", "tcp:example.org", "tcp:1.2.3.4:x"]
        {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(error.contains("expected unix:PATH or tcp:IP[:PORT]"), "{error}");
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
