//! Addresses of OVSDB servers (ovsdb(7), "Active Database Connection Methods").

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;

/// The port that IANA gave to OVSDB.
pub const DEFAULT_PORT: u16 = 6640;

/// Where a server listens.
///
/// ```
/// use ovsdb::{Address, Host};
///
/// let address: Address = "tcp:[fe80::1%eth0]:6641".parse()?;
/// assert!(matches!(&address, Address::Tcp(Host::Scoped(_, scope), 6641) if scope == "eth0"));
/// assert_eq!(address.to_string(), "tcp:[fe80::1%eth0]:6641");
/// assert_eq!("tcp:db.example.org".parse::<Address>()?.to_string(), "tcp:db.example.org:6640");
/// assert_eq!("unix:/run/db.sock".parse::<Address>()?, Address::Unix("/run/db.sock".into()));
/// # Ok::<(), ovsdb::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp:HOST[:PORT]`
    Tcp(Host, u16),
    /// `ssl:HOST[:PORT]`. It is understood, but there is no TLS yet: connecting to it is an error.
    Ssl(Host, u16),
}

/// The host of a [`Address::Tcp`] or [`Address::Ssl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// An IPv6 address that is valid on one link only: `fe80::1%eth0`, the scope by name or by number.
    Scoped(Ipv6Addr, String),
    /// A name, to be looked up with the system's resolver (feature `dns`).
    Name(String),
}

/// An address that can't be used, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is not an OVSDB remote: {reason}; expected unix:PATH, tcp:HOST[:PORT] or ssl:HOST[:PORT]")]
pub struct AddressError {
    address: String,
    reason: &'static str,
}

impl AddressError {
    /// What is wrong, for those who say themselves what they expect.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, AddressError> {
        let refuse = |reason| AddressError { address: address.to_owned(), reason };
        match address.split_once(':') {
            Some(("unix", "")) => Err(refuse("the path is missing")),
            Some(("unix", path)) => Ok(Address::Unix(path.into())),
            Some(("tcp", rest)) => host_and_port(rest).map(|(host, port)| Address::Tcp(host, port)).map_err(refuse),
            Some(("ssl", rest)) => host_and_port(rest).map(|(host, port)| Address::Ssl(host, port)).map_err(refuse),
            Some(("punix" | "ptcp" | "pssl", _)) => Err(refuse("that is a listener's address")),
            _ => Err(refuse("unknown method")),
        }
    }
}

/// As inet_parse_active() of Open vSwitch reads it (lib/socket-util.c): an IPv6 address may stand without brackets, and
/// then has no port.
fn host_and_port(text: &str) -> Result<(Host, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or("only a port may follow the bracket")?),
            };
            (ipv6(host).ok_or("the brackets hold no IPv6 address")?, port)
        }
        None => match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (ipv6(text).ok_or("the host is no IPv6 address")?, None),
            Some((name, port)) => (name_or_ipv4(name)?, Some(port)),
            None => (name_or_ipv4(text)?, None),
        },
    };
    let port = port.map(|port| port.parse().map_err(|_| "the port is not a number from 0 to 65535"));
    Ok((host, port.transpose()?.unwrap_or(DEFAULT_PORT)))
}

fn ipv6(text: &str) -> Option<Host> {
    match text.split_once('%') {
        None => text.parse().ok().map(|ip| Host::Ip(IpAddr::V6(ip))),
        Some((_, "")) => None,
        Some((ip, scope)) => ip.parse().ok().map(|ip| Host::Scoped(ip, scope.to_owned())),
    }
}

fn name_or_ipv4(text: &str) -> Result<Host, &'static str> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if text == "localhost" {
        return Ok(Host::Ip(Ipv4Addr::LOCALHOST.into()));
    }
    // RFC 1123 section 2.1, and the underscore that many resolvers take.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match text {
        "" => Err("the host is missing"),
        _ if text.len() > 253 || !text.bytes().all(allowed) => Err("the host is neither a name nor an IP address"),
        // A name's last label is never a number, so this is a mistyped IPv4 address.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Err("the host is not an IP address"),
        _ => Ok(Host::Name(text.to_owned())),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Scoped(ip, scope) => write!(f, "[{ip}%{scope}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
            Address::Ssl(host, port) => write!(f, "ssl:{host}:{port}"),
        }
    }
}

impl Address {
    /// The host, unless it is a path.
    pub fn host(&self) -> Option<&Host> {
        match self {
            Address::Unix(_) => None,
            Address::Tcp(host, _) | Address::Ssl(host, _) => Some(host),
        }
    }

    /// The one endpoint of a TCP address that needs no name to be looked up.
    pub(crate) fn literal(&self) -> io::Result<Option<SocketAddr>> {
        let (host, port) = match self {
            Address::Unix(_) => return Ok(None),
            Address::Ssl(..) => return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is not supported yet")),
            Address::Tcp(host, port) => (host, *port),
        };
        Ok(match host {
            Host::Ip(ip) => Some((*ip, port).into()),
            Host::Scoped(ip, scope) => Some(SocketAddrV6::new(*ip, port, 0, scope_id(scope)?).into()),
            Host::Name(_) => None,
        })
    }

    /// All endpoints; a name is looked up. Blocks.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Address::Tcp(Host::Name(name), port) => look_up(name, *port),
            _ => Ok(self.literal()?.into_iter().collect()),
        }
    }
}

#[cfg(feature = "dns")]
fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(std::net::ToSocketAddrs::to_socket_addrs(&(name, port))?.collect())
}

#[cfg(not(feature = "dns"))]
fn look_up(name: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
    let problem = format!("{name} can't be looked up: this program was built without a resolver");
    Err(io::Error::new(io::ErrorKind::Unsupported, problem))
}

/// The number of a link, by its name or the number itself.
fn scope_id(scope: &str) -> io::Result<u32> {
    if let Ok(number) = scope.parse() {
        return Ok(number);
    }
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET6, rustix::net::SocketType::DGRAM, None)?;
    let index = rustix::net::netdevice::name_to_index(&socket, scope);
    index.map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("no network device {scope}: {error}")))
}

/// The error when a name stands for no address at all.
pub(crate) fn no_endpoint() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

/// Whether connecting fails for a reason that does not pass by itself: waiting does not give rights.
pub fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
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
            ("tcp:[fe80::1%eth0]:6641", "tcp:[fe80::1%eth0]:6641"),
            ("tcp:fe80::1%2", "tcp:[fe80::1%2]:6640"),
            ("tcp:example.org", "tcp:example.org:6640"),
            ("ssl:db_1.example.org:6641", "ssl:db_1.example.org:6641"),
            ("ssl:10.0.0.1", "ssl:10.0.0.1:6640"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<Address>().unwrap(), address, "{shown} is the same address");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_is_expected() {
        for text in [
            "",
            "unix:",
            "/var/run/db.sock",
            "ptcp:6640",
            "tcp:",
            "tcp::6640",
            "tcp:1.2.3:6640",
            "tcp:1.2.3.4:x",
            "tcp:1.2.3.4:65536",
            "tcp:exa mple.org",
            "tcp:[::1",
            "tcp:[::1]6640",
            "tcp:[1.2.3.4]:6640",
            "tcp:fe80::1%",
            "tcp:[fe80::g]",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("expected unix:PATH, tcp:HOST[:PORT] or ssl:HOST[:PORT]"), "{error}");
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn a_scope_is_a_links_number_or_its_name() {
        let literal = |text: &str| text.parse::<Address>().unwrap().literal();
        assert_eq!(literal("tcp:[fe80::1%7]:1").unwrap(), Some("[fe80::1%7]:1".parse().unwrap()));
        // The loopback device is the first one in every network namespace.
        assert_eq!(literal("tcp:[fe80::1%lo]:1").unwrap(), Some("[fe80::1%1]:1".parse().unwrap()));
        assert!(literal("tcp:[fe80::1%nosuchdevice]:1").unwrap_err().to_string().contains("nosuchdevice"));
        assert_eq!(literal("ssl:10.0.0.1").unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
