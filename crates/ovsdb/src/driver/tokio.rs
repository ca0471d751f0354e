//! A connection served by two tokio tasks.
//!
//! Two, so that a server which is slow to read can never keep us from reading: it does not read from a client that does
//! not read either.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

use crate::address::{self, Address};
use crate::error::Disconnect;
use crate::link::{self, Link};
use crate::wire::frame::{Framer, Limits};

/// The two halves of a connected stream, whatever it runs over.
pub(crate) type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// Connects to the first of the address's endpoints that answers.
pub(crate) async fn open(address: &Address) -> io::Result<Halves> {
    if let Address::Unix(path) = address {
        let (read, write) = UnixStream::connect(path).await?.into_split();
        return Ok((Box::new(read), Box::new(write)));
    }
    let endpoints = match address.literal()? {
        Some(endpoint) => vec![endpoint],
        // The resolver of the system blocks.
        None => {
            let address = address.clone();
            tokio::task::spawn_blocking(move || address.resolve()).await.map_err(io::Error::other)??
        }
    };
    let mut last = address::no_endpoint();
    for endpoint in endpoints {
        match TcpStream::connect(endpoint).await {
            Ok(stream) => {
                // Requests are small and wait for their answers.
                stream.set_nodelay(true)?;
                let (read, write) = stream.into_split();
                return Ok((Box::new(read), Box::new(write)));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Starts the tasks.
pub(crate) fn serve(
    link: &Arc<Link>,
    read: impl AsyncRead + Send + Unpin + 'static,
    write: impl AsyncWrite + Send + Unpin + 'static,
    limits: Limits,
) -> [AbortHandle; 2] {
    let reader = tokio::spawn(run(link.clone(), read_all(link.clone(), read, limits)));
    let writer = tokio::spawn(run(link.clone(), write_all(link.clone(), write)));
    [reader.abort_handle(), writer.abort_handle()]
}

/// Runs one half of a connection and, when it ends, ends the connection for everybody.
async fn run(link: Arc<Link>, half: impl Future<Output = Disconnect>) {
    let cause = half.await;
    link.end(cause);
}

async fn read_all(link: Arc<Link>, mut read: impl AsyncRead + Unpin, limits: Limits) -> Disconnect {
    let mut framer = Framer::new(limits);
    loop {
        match read.read_buf(framer.space()).await {
            Err(error) => return Disconnect::Io(Arc::new(error)),
            Ok(0) => return link::end_of(&framer),
            Ok(_) => {}
        }
        if let Err(cause) = link.received(&mut framer) {
            return cause;
        }
    }
}

async fn write_all(link: Arc<Link>, mut write: impl AsyncWrite + Unpin) -> Disconnect {
    loop {
        let bytes = link.take_outgoing();
        if bytes.is_empty() {
            link.outgoing().await;
        } else if let Err(error) = write.write_all(&bytes).await {
            return Disconnect::Io(Arc::new(error));
        }
    }
}
