//! The way to a server: a unix socket, TCP, or TLS on TCP, and who we are at its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error as TlsError, crypto};

use super::{Address, ClientError};
use crate::credentials::{self, Token};
use crate::problem::Problem;

/// How a server on TCP knows us, and we know it. Files are read once, when the client is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The token that the server asks for, in a file that others can't read. Without TLS it is only sent to this machine.
    pub token_file: Option<PathBuf>,
    /// TLS: the certificates of those of whom one has signed the server's certificate, PEM.
    pub tls_ca: Option<PathBuf>,
    /// The name that the server's certificate is for, when it is not for the IP address.
    pub tls_name: Option<String>,
    /// Our certificate and those that signed it, PEM, for a server that asks for one.
    pub tls_cert: Option<PathBuf>,
    /// The private key that belongs to it, PEM, in a file that others can't read.
    pub tls_key: Option<PathBuf>,
}

/// See the module's description.
pub(super) struct Route {
    pub(super) address: Address,
    /// What requests say of whom they are for and from whom.
    pub(super) host: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Whatever a server is reached over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Route {
    pub(super) fn to_socket(path: PathBuf) -> Self {
        // The server's name has no meaning here, but HTTP wants one (RFC 9112 section 3.2).
        let host = HeaderValue::from_static("localhost");
        Route { address: Address::Unix(path), host, authorization: None, tls: None }
    }

    pub(super) fn new(address: Address, credentials: &Credentials) -> Result<Self, Problem> {
        match address {
            Address::Unix(_) if *credentials != Credentials::default() => Err(Problem(format!(
                "a token or TLS is for servers on TCP, and not for {address}; expected tcp:IP:PORT"
            ))),
            Address::Unix(path) => Ok(Route::to_socket(path)),
            Address::Tcp(address) => Route::over_tcp(address, credentials),
        }
    }

    fn over_tcp(address: SocketAddr, credentials: &Credentials) -> Result<Self, Problem> {
        let Credentials { token_file, tls_ca, tls_name, tls_cert, tls_key } = credentials;
        let unusable = |error| Problem(format!("tcp:{address} can't be sent as a header: {error}"));
        let tls = match tls_ca {
            Some(_) => Some(Tls::new(address, credentials)?),
            None if tls_name.is_some() || tls_cert.is_some() || tls_key.is_some() => {
                return Err(Problem("--tls-name, --tls-cert and --tls-key need TLS; expected --tls-ca as well".into()));
            }
            None => None,
        };
        let authorization = match token_file {
            Some(path) if tls.is_none() && Address::Tcp(address).leaves_the_machine() => {
                return Err(Problem(format!(
                    "--token-file {}: on the way to tcp:{address} anybody could read it; expected --tls-ca as well, or an \
                     address of this machine",
                    path.display()
                )));
            }
            Some(path) => Some(Token::read(path)?.authorization().map_err(unusable)?),
            None => None,
        };
        let port = address.port();
        let host = match tls_name.as_deref().map(|name| (name, name.parse())) {
            // Without the zone of an IPv6 address, which only means something on this machine.
            None => SocketAddr::new(address.ip(), port).to_string(),
            Some((_, Ok(ip))) => SocketAddr::new(ip, port).to_string(),
            Some((name, Err(_))) => format!("{name}:{port}"),
        };
        let host = HeaderValue::try_from(host).map_err(unusable)?;
        Ok(Route { address: Address::Tcp(address), host, authorization, tls })
    }

    /// Connects, once. Nothing has been asked of the server when this fails.
    pub(super) async fn open(&self) -> Result<Box<dyn Stream>, ClientError> {
        let not_connected = |cause| ClientError::NotConnected { address: self.address.clone(), cause };
        match &self.address {
            Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(not_connected)?)),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(not_connected)?;
                // Requests are written whole, so there is nothing to wait for.
                stream.set_nodelay(true).map_err(not_connected)?;
                let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
                let begun = tls.connector.connect(tls.name.clone(), stream).await;
                Ok(Box::new(begun.map_err(|cause| self.no_tls(cause.to_string()))?))
            }
        }
    }

    /// TLS did not come about.
    fn no_tls(&self, cause: String) -> ClientError {
        ClientError::Tls { address: self.address.clone(), cause }
    }

    /// Whether a new connection has ended because the server did not accept who we are. In TLS 1.3 we have sent our
    /// certificate, and may have sent a request as well, before we hear of it. The server then has looked at no request:
    /// it ends the handshake by such an alert (RFC 8446 section 6.2), and reads nothing before the handshake is done.
    pub(super) fn refused(&self, error: &hyper::Error) -> Option<ClientError> {
        let mut next = Some(error as &(dyn std::error::Error + 'static));
        while let Some(error) = next {
            // An I/O error tells its own error's source, not that error.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(TlsError::AlertReceived(alert)) = inner.and_then(|inner| inner.downcast_ref()) {
                return is_of_the_handshake(*alert).then(|| self.no_tls(said(*alert).into()));
            }
            next = error.source();
        }
        None
    }
}

impl Tls {
    fn new(address: SocketAddr, credentials: &Credentials) -> Result<Self, Problem> {
        let Credentials { tls_ca, tls_name, tls_cert, tls_key, .. } = credentials;
        let roots = match tls_ca {
            Some(path) => credentials::authorities("--tls-ca", path)?,
            None => return Err(Problem("--tls-ca is missing; expected a file with certificates, PEM".into())),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem(format!("TLS can't be used: {error}")))?
            .with_root_certificates(roots);
        let mut config = match (tls_cert, tls_key) {
            (Some(certificate), Some(key)) => {
                let chain = credentials::certificates("--tls-cert", certificate)?;
                let private_key = credentials::private_key("--tls-key", key)?;
                config
                    .with_client_auth_cert(chain, private_key)
                    .map_err(|error| Problem(format!("--tls-key {}: {error}", key.display())))?
            }
            (None, None) => config.with_no_client_auth(),
            _ => return Err(Problem("--tls-cert and --tls-key belong together; expected both, or none".into())),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = match tls_name {
            Some(name) => ServerName::try_from(name.clone())
                .map_err(|_| Problem(format!("--tls-name {name:?}: expected a DNS name or an IP address")))?,
            None => ServerName::IpAddress(address.ip().into()),
        };
        Ok(Tls { connector: Arc::new(config).into(), name })
    }
}

/// Whether an alert can only come before the handshake is done.
fn is_of_the_handshake(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::HandshakeFailure
    )
}

/// What an alert means to who has sent a certificate, or none.
fn said(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "the server asks for a certificate of ours; expected --tls-cert",
        AlertDescription::UnknownCA => "the server does not know who has signed our certificate",
        AlertDescription::CertificateExpired => "the server says that our certificate has expired, or is not valid yet",
        AlertDescription::CertificateRevoked => "the server says that our certificate was revoked",
        _ => "the server does not accept our certificate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str, change: impl FnOnce(&mut Credentials)) -> String {
        let mut credentials = Credentials::default();
        change(&mut credentials);
        match Route::new(address.parse().unwrap(), &credentials) {
            Ok(_) => String::new(),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn credentials_that_make_no_sense_are_refused_with_what_was_expected() {
        let file = || Some(PathBuf::from("/nonexistent"));
        let unix = refusal("unix:/run/x.sock", |credentials| credentials.token_file = file());
        assert!(unix.contains("unix:/run/x.sock; expected tcp:IP:PORT"), "{unix}");
        let in_the_clear = refusal("tcp:192.0.2.1:1", |credentials| credentials.token_file = file());
        assert!(in_the_clear.contains("--token-file /nonexistent: on the way to tcp:192.0.2.1:1"), "{in_the_clear}");
        for loopback in ["tcp:127.0.0.1:1", "tcp:127.9.9.9:1", "tcp:[::1]:1", "tcp:[::ffff:127.0.0.1]:1"] {
            let unreadable = refusal(loopback, |credentials| credentials.token_file = file());
            assert!(unreadable.contains("No such file"), "{unreadable}");
        }
        let no_tls = refusal("tcp:127.0.0.1:1", |credentials| credentials.tls_name = Some("name".into()));
        assert!(no_tls.contains("expected --tls-ca"), "{no_tls}");
    }

    #[test]
    fn requests_name_the_host_as_the_address_does() {
        let host = |address: &str| Route::new(address.parse().unwrap(), &Credentials::default()).unwrap().host;
        assert_eq!(host("tcp:127.0.0.1:6653"), "127.0.0.1:6653");
        assert_eq!(host("tcp:[::1]:6653"), "[::1]:6653");
        assert_eq!(host("tcp:[fe80::1%3]:6653"), "[fe80::1]:6653");
        assert_eq!(host("unix:/run/x.sock"), "localhost");
    }
}
