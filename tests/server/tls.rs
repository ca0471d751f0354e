//! TLS on TCP: who has no certificate, or a wrong one, does not get as far as a request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::serving::{LIMIT, Server, request, with_status};
use crate::support::{Switch, wait_until};

/// Who signs certificates, and where its own lies.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    file: PathBuf,
}

impl Authority {
    pub fn new(directory: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = directory.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), directory: directory.to_owned(), file }
    }

    /// A certificate for an address and its key, as files.
    pub fn sign(&self, name: &str) -> (String, String) {
        self.sign_for(name, "127.0.0.1")
    }

    /// A certificate for an address or a host's name, and its key.
    pub fn sign_for(&self, name: &str, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.directory.join(format!("{name}.{end}"));
        fs::write(path("pem"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        fs::set_permissions(path("key"), fs::Permissions::from_mode(0o600)).unwrap();
        (path("pem").display().to_string(), path("key").display().to_string())
    }

    pub fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

/// A server on its usual socket and on TCP, and its address there.
pub fn listening(switch: Switch, arguments: &[&str]) -> (Server, String) {
    let unix = format!("unix:{}/ovs-plugin.sock", switch.directory().display());
    let words = [&["--listen", &unix, "--listen", "tcp:127.0.0.1:0"], arguments].concat();
    let server = Server::on(switch, &words, &[]);
    assert!(wait_until(LIMIT, || server.said().contains("listening on tcp:")));
    let address = server.tcp_address();
    (server, address)
}

fn curl(server: &Server, arguments: &[&str], url: &str) -> (u16, String) {
    let mut command: Command = server.switch.net.command("curl");
    let body = request(1, "bridge-list", json!({})).to_string();
    command.args(["--silent", "--max-time", "60", "--header", "Content-Type: application/json", "--data", &body]);
    command.args(arguments).arg(url);
    with_status(command)
}

#[test]
fn a_client_certificate_lets_in_and_nothing_else_does() {
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let (of_client, key_of_client) = authority.sign("client");
    let other = Authority::new(switch.directory(), "other-ca");
    let (of_stranger, key_of_stranger) = other.sign("stranger");
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--client-ca", authority.file()];
    let (server, address) = listening(switch, &words);
    let url = format!("https://{address}/");

    let with = ["--cacert", authority.file(), "--cert", &of_client, "--key", &key_of_client];
    assert_eq!(curl(&server, &with, &url), (200, r#"{"jsonrpc":"2.0","id":1,"result":[]}"#.into()));
    // 0: no answer of HTTP at all.
    assert_eq!(curl(&server, &["--cacert", authority.file()], &url).0, 0);
    let stranger = ["--cacert", authority.file(), "--cert", &of_stranger, "--key", &key_of_stranger];
    assert_eq!(curl(&server, &stranger, &url).0, 0);
    assert_eq!(curl(&server, &[], &format!("http://{address}/")).0, 0);
    assert_eq!(server.page("/healthz").0, 200, "the unix socket has no TLS");
}

#[test]
fn a_token_is_asked_for_under_tls_too() {
    let switch = Switch::new();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let token = switch.directory().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--token-file", token.to_str().unwrap()];
    let (server, address) = listening(switch, &words);
    let url = format!("https://{address}/");
    let known = ["--cacert", authority.file()];
    assert_eq!(curl(&server, &known, &url).0, 401);
    let with_token = [&known[..], &["--header", "Authorization: Bearer 0123456789abcdef"]].concat();
    assert_eq!(curl(&server, &with_token, &url).0, 200);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let switch = Switch::builder().without_database().start();
    let authority = Authority::new(switch.directory(), "ca");
    let (certificate, key) = authority.sign("server");
    let (_, other_key) = authority.sign("other");
    let readable = switch.directory().join("readable.key");
    fs::copy(&key, &readable).unwrap();
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o644)).unwrap();
    let empty = switch.directory().join("empty");
    fs::write(&empty, "").unwrap();
    let (readable, empty) = (readable.to_str().unwrap(), empty.to_str().unwrap());
    for (certificate, key, ca, expected) in [
        (certificate.as_str(), readable, authority.file(), format!("--tls-key {readable}: everybody may use it")),
        (certificate.as_str(), other_key.as_str(), authority.file(), format!("--tls-key {other_key}: ")),
        (empty, key.as_str(), authority.file(), format!("--tls-cert {empty}: no certificate in it")),
        (certificate.as_str(), key.as_str(), empty, format!("--client-ca {empty}: no certificate in it")),
    ] {
        let words = ["serve", "--tls-cert", certificate, "--tls-key", key, "--client-ca", ca];
        let refused = switch.call().args(&words).run();
        assert!(refused.exit == Some(1) && refused.stderr.contains(&expected), "{expected}: {refused:?}");
    }
}
