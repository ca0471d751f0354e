//! Which requests may be looked at, by the names that they carry: no web page that somebody visits may call this server.
//!
//! A browser sends what a page asks it to, with the certificate of the person who looks at the page. It says in `Origin`
//! which page that is, and in `Host` by which name it found the server. A page whose own name is pointed at this
//! machine's address (DNS rebinding) shows in `Host`, as it can't come by an address or by `localhost`.

use std::net::IpAddr;

use hyper::Request;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;

/// What is allowed beside this server's own names.
#[derive(Clone, Debug, Default)]
pub struct Border {
    /// The origins of pages that may call.
    pub origins: Vec<String>,
    /// The names by which the server may be called, besides `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// The server's certificate, whose names it may be called by: another server that had it would need the key.
    pub certificate: Option<CertificateDer<'static>>,
}

impl Border {
    /// Whether a request may be looked at. The error tells why not. On a unix socket `Host` has no meaning.
    pub fn check<B>(&self, request: &Request<B>, is_tcp: bool) -> Result<(), String> {
        let headers = request.headers();
        let host = if is_tcp { Some(host(headers)?) } else { None };
        for authority in host.iter().chain(request.uri().authority().filter(|_| is_tcp)) {
            self.check_host(authority)?;
        }
        for origin in headers.get_all(ORIGIN) {
            self.check_origin(origin, host.as_ref())?;
        }
        Ok(())
    }

    fn check_host(&self, authority: &Authority) -> Result<(), String> {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
        let is_ours = bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name))
            || self.is_in_certificate(&name);
        is_ours.then_some(()).ok_or_else(|| {
            format!(
                "Host: {host:?} is no name of this server; expected its address, localhost, a name in its certificate, \
                 or one that --allow-host names"
            )
        })
    }

    fn is_in_certificate(&self, name: &str) -> bool {
        let parsed = self.certificate.as_ref().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        match (parsed, ServerName::try_from(name)) {
            (Some(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }

    fn check_origin(&self, origin: &HeaderValue, host: Option<&Authority>) -> Result<(), String> {
        let text = String::from_utf8_lossy(origin.as_bytes());
        let is_own = text
            .split_once("://")
            .is_some_and(|(_, authority)| host.is_some_and(|host| host.as_str().eq_ignore_ascii_case(authority)));
        let is_allowed = is_own || self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(&text));
        is_allowed
            .then_some(())
            .ok_or_else(|| format!("Origin: {text:?} may not call this server; --allow-origin would let it"))
    }
}

fn host(headers: &HeaderMap) -> Result<Authority, String> {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Err("Host is missing; expected the server's address".into()),
        (Some(host), None) => Authority::try_from(host.as_bytes())
            .map_err(|_| format!("Host: {host:?} is not usable; expected the server's address")),
        (Some(_), Some(_)) => Err("there are several Host headers; expected one".into()),
    }
}

/// An origin, as browsers write it (RFC 6454 section 6.2).
pub fn origin(text: &str) -> Result<String, String> {
    let is_origin = text == "null"
        || text.split_once("://").is_some_and(|(scheme, authority)| {
            let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_scheme && Authority::try_from(authority).is_ok_and(|read| !read.as_str().contains('@'))
        });
    is_origin.then(|| text.to_owned()).ok_or_else(|| "expected an origin like https://ovs.example.org:8443".into())
}

/// A name of the server, as `Host` has it, without a port.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_name = Authority::try_from(text).is_ok_and(|read| read.host() == text);
    is_name.then(|| text.to_owned()).ok_or_else(|| "expected a name without a port, like ovs.example.org".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(border: &Border, is_tcp: bool, headers: &[(&str, &str)]) -> Result<(), String> {
        let request = headers.iter().fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
        border.check(&request.body(()).unwrap(), is_tcp)
    }

    #[test]
    fn the_servers_own_names_are_accepted_and_others_are_not() {
        let border = Border { hosts: vec!["ovs.example.org".into()], ..Border::default() };
        for host in [
            "127.0.0.1:6653",
            "[::1]:6653",
            "10.0.0.1",
            "localhost",
            "LocalHost:1",
            "localhost.:1",
            "a.localhost",
            "ovs.example.org",
            "OVS.example.org:6653",
        ] {
            assert_eq!(check(&border, true, &[("Host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:6653", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b"]
        {
            assert!(check(&border, true, &[("Host", host)]).is_err(), "{host}");
        }
        assert!(check(&border, true, &[]).is_err());
        assert!(check(&border, true, &[("Host", "localhost"), ("Host", "evil.example")]).is_err());
        for host in ["localhost", "anything"] {
            assert_eq!(check(&border, false, &[("Host", host)]), Ok(()), "a unix socket has no name");
        }
        assert_eq!(check(&border, false, &[]), Ok(()));
    }

    #[test]
    fn pages_of_others_are_refused_unless_they_are_named() {
        let border = Border { origins: vec!["https://ovs.example.org".into()], ..Border::default() };
        let own = ("Host", "127.0.0.1:6653");
        for origin in ["https://ovs.example.org", "HTTPS://ovs.example.org", "http://127.0.0.1:6653"] {
            assert_eq!(check(&border, true, &[own, ("Origin", origin)]), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://ovs.example.org",
            "https://ovs.example.org:1",
            "https://ovs.example.org.evil.example",
            "http://127.0.0.1:8080",
            "http://127.0.0.1",
        ] {
            for is_tcp in [true, false] {
                assert!(check(&border, is_tcp, &[own, ("Origin", origin)]).is_err(), "{origin}");
            }
        }
        let two = [own, ("Origin", "https://ovs.example.org"), ("Origin", "https://evil.example")];
        assert!(check(&border, true, &two).is_err());
    }

    #[test]
    fn what_is_allowed_has_to_make_sense() {
        for right in ["null", "https://ovs.example.org", "http://[::1]:8080"] {
            assert!(origin(right).is_ok(), "{right}");
        }
        for wrong in ["", "*", "ovs.example.org", "https://", "https://a/b", "https://u@a"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert!(host_name("ovs.example.org").is_ok());
        for wrong in ["", "ovs.example.org:1", "https://a", "a/b"] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }
}
