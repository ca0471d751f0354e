//! TLS on TCP, and callers who are known by their certificates.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_rustls::{Accept, TlsAcceptor};

use super::access::open_secret;
use crate::container::Problem;

/// What is needed to begin TLS (version 1.3) with a caller.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    knows_callers: bool,
}

impl Tls {
    /// Reads certificate, key, and perhaps the certificates of those who sign the callers' ones; all are PEM.
    pub fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, Problem> {
        let provider = Arc::new(crypto::ring::default_provider());
        let chain = certificates("--tls-cert", certificate)?;
        let of_key = |what: String| Problem(format!("--tls-key {}: {what}", key.display()));
        let mut pem = Vec::new();
        open_secret(key).map_err(of_key)?.read_to_end(&mut pem).map_err(|error| of_key(error.to_string()))?;
        let private_key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| of_key(error.to_string()))?;
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem(format!("TLS can't be used: {error}")))?;
        let config = match client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let problem = |what: String| Problem(format!("--client-ca {}: {what}", path.display()));
                let mut roots = RootCertStore::empty();
                for certificate in certificates("--client-ca", path)? {
                    roots.add(certificate).map_err(|error| problem(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .map_err(|error| problem(error.to_string()))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let mut config = config.with_single_cert(chain, private_key).map_err(|error| of_key(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: Arc::new(config).into(), knows_callers: client_ca.is_some() })
    }

    /// Whether only callers with a certificate get through.
    pub fn knows_callers(&self) -> bool {
        self.knows_callers
    }

    /// Begins TLS on a connection.
    pub fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        self.acceptor.accept(stream)
    }
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|error| problem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(problem("no certificate in it; expected PEM".into()));
    }
    Ok(certificates)
}
