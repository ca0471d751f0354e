//! TLS on TCP, and callers who are known by their certificates.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::FallibleAccept;

use crate::credentials;
use crate::problem::Problem;

/// What is needed to begin TLS (version 1.3) with a caller.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    knows_callers: bool,
    certificate: CertificateDer<'static>,
}

impl Tls {
    /// Reads certificate, key, and perhaps the certificates of those who sign the callers' ones; all are PEM.
    pub fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, Problem> {
        let provider = Arc::new(crypto::ring::default_provider());
        let chain = credentials::certificates("--tls-cert", certificate)?;
        let private_key = credentials::private_key("--tls-key", key)?;
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem(format!("TLS can't be used: {error}")))?;
        let config = match client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots = credentials::authorities("--client-ca", path)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .map_err(|error| Problem(format!("--client-ca {}: {error}", path.display())))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let own = chain.first().cloned();
        let own = own.ok_or_else(|| Problem(format!("--tls-cert {}: no certificate in it", certificate.display())))?;
        let mut config = config
            .with_single_cert(chain, private_key)
            .map_err(|error| Problem(format!("--tls-key {}: {error}", key.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: Arc::new(config).into(), knows_callers: client_ca.is_some(), certificate: own })
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Whether only callers with a certificate get through.
    pub fn knows_callers(&self) -> bool {
        self.knows_callers
    }

    /// Begins TLS on a connection, which is given back when that fails.
    pub fn accept(&self, stream: TcpStream) -> FallibleAccept<TcpStream> {
        self.acceptor.accept(stream).into_fallible()
    }
}
