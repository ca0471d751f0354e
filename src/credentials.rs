//! Tokens, certificates and private keys: read from the files that options name, on both sides of a connection.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hyper::header::{HeaderValue, InvalidHeaderValue};
use subtle::ConstantTimeEq;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::container::Problem;

/// A secret that callers send as `Authorization: Bearer <token>` (RFC 6750).
pub struct Token(Vec<u8>);

/// A shorter one could be guessed.
const TOKEN_MIN: usize = 16;
/// What is longer is no token, but a wrong file.
const TOKEN_MAX: u64 = 4096;

impl Token {
    /// Reads a file, of which blanks around the token do not count. Others must not be able to read it.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let problem = |what: String| Problem(format!("--token-file {}: {what}", path.display()));
        let file = open_secret(path).map_err(problem)?;
        let mut text = String::new();
        file.take(TOKEN_MAX + 1).read_to_string(&mut text).map_err(|error| problem(error.to_string()))?;
        let token = text.trim();
        let usable = token.len() >= TOKEN_MIN
            && text.len() as u64 <= TOKEN_MAX
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !usable {
            return Err(problem(format!(
                "no token in it; expected {TOKEN_MIN} to {TOKEN_MAX} printable characters without blanks, in one line"
            )));
        }
        Ok(Token(token.as_bytes().to_vec()))
    }

    /// What a request carries as its `Authorization`.
    pub fn authorization(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", self.0.as_slice()].concat())?;
        // Not to be seen in any log.
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether a request's `Authorization` is right. How long that takes does not depend on how much of it is.
    pub fn accepts(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(value) = authorization.map(HeaderValue::as_bytes) else { return false };
        match value.split_at_checked("Bearer ".len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token.ct_eq(&self.0).into(),
            _ => false,
        }
    }
}

/// Reads certificates, at least one.
pub fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|error| problem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(problem("no certificate in it; expected PEM".into()));
    }
    Ok(certificates)
}

/// Reads the certificates of those who sign others.
pub fn authorities(option: &str, path: &Path) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(option, path)? {
        roots.add(certificate).map_err(|error| Problem(format!("{option} {}: {error}", path.display())))?;
    }
    Ok(roots)
}

/// Reads a private key. Others must not be able to.
pub fn private_key(option: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let mut pem = Vec::new();
    open_secret(path).map_err(problem)?.read_to_end(&mut pem).map_err(|error| problem(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| problem(error.to_string()))
}

/// Opens a file that holds a secret, which others must not be able to read.
fn open_secret(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mode = file.metadata().map_err(|error| error.to_string())?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(format!("everybody may use it (mode {mode:04o}); expected 0600 or 0640"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = Token(b"0123456789abcdef".to_vec());
        let accepts = |text: &str| token.accepts(Some(&HeaderValue::from_str(text).unwrap()));
        assert!(accepts("Bearer 0123456789abcdef"));
        assert!(accepts("bearer 0123456789abcdef"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "0123456789abcdef"]
        {
            assert!(!accepts(wrong), "{wrong}");
        }
        assert!(!token.accepts(None));
        assert!(token.accepts(token.authorization().ok().as_ref()));
    }
}
