//! A connection that is read and written by whoever waits for it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::{Direction, Source};
use crate::address::{self, Address};
use crate::error::Disconnect;
use crate::link::{self, Link};
use crate::wire::frame::{Framer, Limits};

/// A connected stream and what is on its way over it.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Source,
    framer: Framer,
    /// What the kernel has not taken yet.
    unwritten: Vec<u8>,
}

impl Stream {
    /// Connects to the first of the address's endpoints that answers, with a socket that never blocks.
    pub(crate) async fn open(address: &Address, limits: Limits) -> io::Result<Self> {
        let socket = connect(address).await?;
        Ok(Stream { socket, framer: Framer::new(limits), unwritten: Vec::new() })
    }

    /// Reads and writes what can be without waiting. Tells whether anything was read, so that it is worth looking again
    /// for what is waited for.
    pub(crate) fn serve(&mut self, link: &Link) -> Result<bool, Disconnect> {
        self.write(link)?;
        if !super::take_ready(&self.socket, Direction::Read) {
            return Ok(false);
        }
        match rustix::io::read(&self.socket, spare_capacity(self.framer.space())) {
            Ok(0) => return Err(link::end_of(&self.framer)),
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(Disconnect::Io(Arc::new(error.into()))),
        }
        link.received(&mut self.framer)?;
        // The answer to an echo.
        self.write(link)?;
        Ok(true)
    }

    fn write(&mut self, link: &Link) -> Result<(), Disconnect> {
        self.unwritten.append(&mut link.take_outgoing());
        while !self.unwritten.is_empty() {
            match rustix::net::send(&self.socket, &self.unwritten, SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.unwritten.drain(..length)),
                // The next sleep ends when there is room.
                Err(Errno::AGAIN) if !super::take_ready(&self.socket, Direction::Write) => break,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(Disconnect::Io(Arc::new(error.into()))),
            }
        }
        Ok(())
    }
}

fn socket(family: AddressFamily) -> io::Result<Source> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(Arc::new(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?))
}

async fn connect(address: &Address) -> io::Result<Source> {
    if let Address::Unix(path) = address {
        let socket = socket(AddressFamily::UNIX)?;
        // Done at once or refused, also where too many wait to be accepted.
        rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_path())?)?;
        return Ok(socket);
    }
    let endpoints = match address.literal()? {
        Some(endpoint) => vec![endpoint],
        None => resolve(address).await?,
    };
    let mut last = address::no_endpoint();
    for endpoint in endpoints {
        let family = if endpoint.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family)?;
        let connected = match rustix::net::connect(&socket, &endpoint) {
            Err(Errno::INPROGRESS) => {
                super::ready(&socket, Direction::Write).await;
                sockopt::socket_error(&socket)?
            }
            outcome => outcome,
        };
        match connected {
            Ok(()) => {
                // Requests are small and wait for their answers.
                sockopt::set_tcp_nodelay(&socket, true)?;
                return Ok(socket);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Looks a name up in a thread of its own, as the resolver of the system blocks: the wait for it can be given up.
async fn resolve(address: &Address) -> io::Result<Vec<std::net::SocketAddr>> {
    let (done, at_work) = UnixStream::pair()?;
    let address = address.clone();
    let resolver = std::thread::Builder::new().spawn(move || {
        let endpoints = address.resolve();
        drop(at_work);
        endpoints
    })?;
    let done: Source = Arc::new(done);
    super::ready(&done, Direction::Read).await;
    resolver.join().map_err(|_| io::Error::other("the resolver panicked"))?
}
