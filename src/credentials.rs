//! Tokens, certificates and private keys: read from the files that options name, on both sides of a connection.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use hyper::header::{HeaderValue, InvalidHeaderValue};
use subtle::ConstantTimeEq;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::problem::Problem;

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

/// What is larger is not what an option was meant to name.
const FILE_MAX: u64 = 16 << 20;

/// Reads certificates, at least one.
pub fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let pem = read_all(open(path).map_err(problem)?).map_err(problem)?;
    parse(&pem).map_err(problem)
}

fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("no certificate in it; expected PEM".into());
    }
    Ok(certificates)
}

/// Reads the certificates of those who sign others. Whoever could write the file could let himself in.
pub fn authorities(option: &str, path: &Path) -> Result<RootCertStore, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let file = open(path).map_err(problem)?;
    check_rights(&file, 0o022, "0644").map_err(problem)?;
    let pem = read_all(file).map_err(problem)?;
    let mut roots = RootCertStore::empty();
    for certificate in parse(&pem).map_err(problem)? {
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    Ok(roots)
}

/// Reads a private key. Others must not be able to.
pub fn private_key(option: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let problem = |what: String| Problem(format!("{option} {}: {what}", path.display()));
    let pem = read_all(open_secret(path).map_err(problem)?).map_err(problem)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| problem(error.to_string()))
}

fn read_all(file: File) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("it has more than {FILE_MAX} bytes; expected PEM"));
    }
    Ok(bytes)
}

/// Opens a file that holds a secret, which nobody else may write, and others may not read. A group may read it.
fn open_secret(path: &Path) -> Result<File, String> {
    let file = open(path)?;
    check_rights(&file, 0o027, "0600 or 0640")?;
    Ok(file)
}

/// Opens a regular file. A FIFO or a device could be waited for without end.
fn open(path: &Path) -> Result<File, String> {
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|error| error.to_string())?;
    let kind = file.metadata().map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it is no regular file; expected one".into());
    }
    Ok(file)
}

/// Whether a file is root's or ours, and nobody else has rights that he must not have: as sshd(8) wants its files.
fn check_rights(file: &File, forbidden: u32, expected: &str) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let us = rustix::process::geteuid().as_raw();
    if owner != 0 && owner != us {
        return Err(format!("it belongs to uid {owner}, who could change it; expected root or uid {us}"));
    }
    let who = match mode & forbidden {
        0 => return Ok(()),
        rights if rights & 0o007 != 0 => "everybody",
        _ => "its group",
    };
    let does = if forbidden & 0o004 != 0 && who == "everybody" { "use" } else { "write" };
    Err(format!("{who} may {does} it (mode {mode:04o}); expected {expected}"))
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
