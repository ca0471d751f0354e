//! Secrets in the database: the one list of what they are called, and what hides them.
//!
//! The database holds secrets in clear: the pre-shared key of a tunnel, tokens that managers keep in `external_ids`. Whoever
//! may read it has them. They have no business in what this program writes to terminals, logs and its callers: the
//! topology, reports and dry runs, events, the comment in the database's log, errors. There, the text [`HIDDEN`] stands in
//! their place.

use std::collections::BTreeMap;

use ovsdb::error::{CallError, ServerError};
use ovsdb::notation::NotationError;
use ovsdb::value::{Atom, Value};
use serde_json::Value as Json;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// How the names of columns and keys end that hold secrets, without case, separators, a plural and a number. A `key` alone
/// is none: that of a tunnel is its network's number. Neither is the name of a file (`psk_file`).
const ENDINGS: &[&str] = &[
    // ovs-monitor-ipsec(8): Interface options:psk; private_key there and in table SSL.
    "psk",
    "privatekey",
    "privkey",
    // Of managers, in external_ids and other_config.
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "cred",
    "credential",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pw",
    "pwd",
    "secret",
    "token",
];

/// What a `key` is called that is a secret: `ike_key`, `apiKey`.
const KEYS: &[&str] = &[
    "access",
    "aes",
    "api",
    "auth",
    "cak",
    "cipher",
    "crypt",
    "crypto",
    "encryption",
    "hmac",
    "ike",
    "ipsec",
    "macsec",
    "master",
    "secret",
    "session",
    "shared",
    "signing",
    "ssh",
    "wg",
    "wireguard",
];

/// Words that end in the same way and are no secrets.
const HARMLESS: &[&str] = &["bypass", "compass"];

/// How a text goes on after the word that says how somebody proves who they are (RFC 9110 section 11.6.2).
const SCHEMES: &[&str] = &["bearer ", "basic ", "digest "];

/// How a private key begins and ends in a file (RFC 7468), whatever the column is called that has the file's contents.
const PEM: &str = "PRIVATE KEY-----";

/// Whether a column, a key of a map, or a setting like `options:psk` is called as secrets are.
pub fn is_secret(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_one = |letters: &str| {
        let of_key = letters.strip_suffix("key").is_some_and(|of| KEYS.iter().any(|word| of.ends_with(word)));
        of_key || ENDINGS.iter().any(|ending| letters.ends_with(ending))
    };
    !HARMLESS.iter().any(|word| letters.ends_with(word))
        && (is_one(letters) || letters.strip_suffix('s').is_some_and(is_one))
}

/// Whether a text has a secret in it: a private key; a setting in the notation of ovs-vsctl(8), `{psk=…, remote_ip=…}`, or
/// another that has names and values, `"token": "…"`; the password in a URL; the content of an Authorization header.
fn holds_secret(text: &str) -> bool {
    let is_named = |(at, _): (usize, &str)| is_secret(last_name(&text[..at]));
    let lower = text.trim_ascii_start().to_ascii_lowercase();
    text.contains(PEM)
        || text.match_indices(['=', ':']).any(is_named)
        || text.match_indices("://").any(|(at, _)| has_password(&text[at + 3..]))
        || SCHEMES.iter().any(|scheme| lower.starts_with(scheme))
}

/// The name that a text ends with, before what parts it from its value: all letters, digits, blanks and the like.
fn last_name(text: &str) -> &str {
    text.rsplit(['{', '}', '[', ']', ',', ';', '&', '?', '\n']).next().unwrap_or(text)
}

/// Whether a URL has a password, from behind its scheme (RFC 3986 section 3.2.1).
fn has_password(authority: &str) -> bool {
    let authority = authority.split(['/', '?', '#', ' ', '"']).next().unwrap_or(authority);
    authority.rsplit_once('@').is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, word)| !word.is_empty()))
}

/// Hides the values of a map's secret keys.
pub fn hide_in_strings(pairs: &mut BTreeMap<String, String>) {
    for (key, value) in pairs {
        if is_secret(key) || holds_secret(value) {
            *value = HIDDEN.into();
        }
    }
}

/// A column's value as it may be told.
pub fn hidden(table: &str, column: &str, value: &Value) -> Value {
    let whole = is_secret(column);
    let atom = |atom: &Atom, is_secret: bool| match atom {
        // The column has the name of a file (ovs-vswitchd.conf.db(5)), which is no secret.
        Atom::String(text) if table == "SSL" && text.starts_with('/') && !text.contains(['\n', '=']) => atom.clone(),
        Atom::String(text) if is_secret || holds_secret(text) => HIDDEN.into(),
        Atom::Integer(_) | Atom::Real(_) if is_secret => HIDDEN.into(),
        atom => atom.clone(),
    };
    match value {
        Value::Atom(only) => Value::Atom(atom(only, whole)),
        Value::Set(atoms) => Value::Set(atoms.iter().map(|one| atom(one, whole)).collect()),
        Value::Map(pairs) => {
            let pair = |(key, value): (&Atom, &Atom)| {
                let named = matches!(key, Atom::String(name) if is_secret(name));
                (key.clone(), atom(value, whole || named))
            };
            Value::Map(pairs.iter().map(pair).collect::<BTreeMap<_, _>>())
        }
    }
}

/// Hides what is secret in JSON: arguments, and what OVSDB writes. What is below a secret name is hidden whole.
pub fn hide_in_json(json: &mut Json) {
    match json {
        Json::Object(members) => members.iter_mut().for_each(|(name, value)| hide_member(name, value)),
        Json::Array(elements) => match elements.as_mut_slice() {
            // A map as OVSDB writes it (RFC 7047 section 5.1).
            [Json::String(tag), Json::Array(pairs)] if tag == "map" => {
                for pair in pairs {
                    match pair.as_array_mut().map(Vec::as_mut_slice) {
                        Some([Json::String(key), value]) => hide_member(key, value),
                        _ => hide_in_json(pair),
                    }
                }
            }
            elements => elements.iter_mut().for_each(hide_in_json),
        },
        Json::String(text) if holds_secret(text) => *text = HIDDEN.into(),
        Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null => {}
    }
}

fn hide_member(name: &str, value: &mut Json) {
    match value {
        Json::Null => {}
        value if is_secret(name) => *value = HIDDEN.into(),
        value => hide_in_json(value),
    }
}

/// An argument's value as an error may repeat it.
pub fn shown(name: &str, value: &Json) -> Json {
    let mut value = value.clone();
    hide_member(name, &mut value);
    value
}

/// A text about the value of an argument, without the secrets that it repeats of it.
pub fn hide_in_text(text: &mut String, name: &str, value: &Json) {
    let mut found = Vec::new();
    differences(value, &shown(name, value), &mut found);
    for secret in found {
        let quoted = Json::from(secret).to_string();
        for spelling in [&format!("{secret:?}"), &quoted, secret, quoted.trim_matches('"')] {
            if !spelling.is_empty() {
                *text = text.replace(spelling, HIDDEN);
            }
        }
    }
}

/// The texts of a value that are hidden in another one.
fn differences<'v>(value: &'v Json, hidden: &Json, found: &mut Vec<&'v str>) {
    match (value, hidden) {
        (Json::String(text), hidden) if hidden != value => found.push(text),
        (Json::Array(elements), Json::Array(others)) => {
            elements.iter().zip(others).for_each(|(element, other)| differences(element, other, found));
        }
        (Json::Object(members), Json::Object(others)) => {
            members.values().zip(others.values()).for_each(|(member, other)| differences(member, other, found));
        }
        // Hidden as a whole: everything in it is.
        (Json::Array(elements), _) => elements.iter().for_each(|element| differences(element, &Json::Null, found)),
        (Json::Object(members), _) => members.values().for_each(|member| differences(member, &Json::Null, found)),
        (Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null, _) => {}
    }
}

/// A server's refusal, which repeats the part of the request that it stumbled over.
pub(super) fn hide_in_refusal(error: &mut ServerError) {
    let Some(syntax) = &mut error.syntax else { return };
    *syntax = match serde_json::from_str::<Json>(syntax) {
        Ok(mut json) => {
            hide_in_json(&mut json);
            json.to_string()
        }
        // What can't be looked through may hold one.
        Err(_) => HIDDEN.into(),
    };
}

/// The same of a call as a whole.
pub(super) fn without_secrets(mut error: CallError) -> CallError {
    if let CallError::Server { error, .. } = &mut error {
        hide_in_refusal(error);
    }
    error
}

/// Why a setting can't be read; the error repeats its value, or a part of that.
pub(super) fn refusal_of_setting(setting: &str, value: &str, error: &NotationError) -> String {
    if !is_secret(setting) && !holds_secret(value) {
        return error.to_string();
    }
    match error {
        NotationError::Value(error) => format!(
            "the value of {setting:?}, which may be a secret and is not repeated, is not usable ({}.{}: expected {})",
            error.table, error.column, error.expected
        ),
        other => other.to_string().replace(value, HIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_the_end_of_their_names() {
        for name in [
            "psk",
            "PSK",
            "options:psk",
            "private_key",
            "private-key",
            "privateKey",
            "admin_password",
            "user-passwd2",
            "db.pwd",
            "api_token",
            "tokens",
            "clientSecret",
            "pre-shared-key",
            "secret_1",
            "external_ids:cloud:token",
            "pass",
            "my pass",
            "bind_pw",
            "ike_key",
            "wireguard-key",
            "encryptionKeys",
            "auth",
            "Authorization",
            "creds",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "key",
            "in_key",
            "out_key",
            "remote_ip",
            "psk_file",
            "token-path",
            "private_key_file",
            "certificate",
            "ca_cert",
            "tokenizer",
            "bypass",
            "public_key",
            "foreign_key",
            "author",
            "secretary",
            "iface-id",
            "attached-mac",
            "",
            "5",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn of_the_columns_of_the_database_one_is_called_as_secrets_are() {
        let text = include_str!("../../tests/data/vswitch-8.3.1.ovsschema");
        let schema: ovsdb::schema::DatabaseSchema = serde_json::from_str(text).unwrap();
        let columns = schema.tables.iter().flat_map(|(table, of)| of.columns.keys().map(move |name| (table, name)));
        let secret: Vec<_> = columns.filter(|(_, name)| is_secret(name)).collect();
        assert_eq!(secret, [(&"SSL".to_owned(), &"private_key".to_owned())]);
    }

    #[test]
    fn what_is_hidden_in_json_and_what_is_not() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        for (before, after) in [
            (json!({"psk": "x", "key": "5"}), json!({"psk": "(hidden)", "key": "5"})),
            (
                json!({"values": {"options:psk": "x", "tag": 5}}),
                json!({"values": {"options:psk": "(hidden)", "tag": 5}}),
            ),
            (json!({"options": "{remote_ip=1.2.3.4, \"psk\" = x}"}), json!({"options": "(hidden)"})),
            (json!({"options": "{remote_ip=1.2.3.4}"}), json!({"options": "{remote_ip=1.2.3.4}"})),
            (json!({"token": {"old": "x", "new": ["y"]}, "pin": null}), json!({"token": "(hidden)", "pin": null})),
            (json!({"a": pem}), json!({"a": "(hidden)"})),
            (
                json!({"options": ["map", [["psk", "x"], ["k", "v"]]]}),
                json!({"options": ["map", [["psk", "(hidden)"], ["k", "v"]]]}),
            ),
            (json!(["psk", "eth0"]), json!(["psk", "eth0"])),
            (json!({"hub": "https://bob:hunter2@hub/"}), json!({"hub": "(hidden)"})),
            (json!({"hub": "https://bob@hub:8080/a:b@c"}), json!({"hub": "https://bob@hub:8080/a:b@c"})),
            (json!({"note": "{\"user\": \"bob\", \"pass\": \"hunter2\"}"}), json!({"note": "(hidden)"})),
            (json!({"header": " Bearer abc"}), json!({"header": "(hidden)"})),
            (json!({"target": "ssl:192.0.2.1:6640"}), json!({"target": "ssl:192.0.2.1:6640"})),
            (json!({"mac": "aa:bb:cc:dd:ee:ff", "id": "x:y"}), json!({"mac": "aa:bb:cc:dd:ee:ff", "id": "x:y"})),
            (json!({"token": null}), json!({"token": null})),
        ] {
            let mut hidden = before;
            hide_in_json(&mut hidden);
            assert_eq!(hidden, after);
        }
    }

    #[test]
    fn the_name_of_a_file_with_a_key_is_told_and_the_key_is_not() {
        let told = |value: &str| hidden("SSL", "private_key", &value.into());
        assert_eq!(told("/etc/openvswitch/sc-privkey.pem"), "/etc/openvswitch/sc-privkey.pem".into());
        for key in ["-----BEGIN RSA PRIVATE KEY-----\nMIIB", "/MIIBx+8=", "/a\nb"] {
            assert_eq!(told(key), HIDDEN.into());
        }
        assert_eq!(hidden("SSL", "ca_cert", &"ca.pem".into()), "ca.pem".into());
    }

    #[test]
    fn a_text_about_an_argument_does_not_repeat_its_secrets() {
        for (value, text, expected) in [
            (
                json!("psk=hunter2"),
                "invalid type: string \"psk=hunter2\", expected a boolean",
                "invalid type: string (hidden), expected a boolean",
            ),
            (json!("harmless"), "\"harmless\" is no number", "\"harmless\" is no number"),
            (json!({"token": ["a\"b"]}), "[\"a\\\"b\"] is no text", "[(hidden)] is no text"),
        ] {
            let mut told = text.to_owned();
            hide_in_text(&mut told, "mtu", &value);
            assert_eq!(told, expected);
        }
    }

    proptest! {
        #[test]
        fn a_secret_is_hidden_wherever_it_is(
            secret in "[!-~]{12,40}",
            name in prop::sample::select(vec!["psk", "api_token", "x-password", "privateKey", "my.secrets", "ike_key", "db pass", "auth"]),
            depth in 0usize..4,
        ) {
            let quoted = json!(secret).to_string();
            let wire = Value::string_map([(name, secret.as_str()), ("plain", "text")]);
            for mut json in [
                json!({name: secret}),
                json!({format!("options:{name}"): secret}),
                json!({"options": format!("{{a=b, {name}={secret}}}")}),
                json!({"options": format!("{name}={quoted},a=b")}),
                json!({name: {"old": secret, "new": [secret]}}),
                serde_json::to_value(&wire).unwrap(),
            ] {
                for _ in 0..depth {
                    json = json!([{"deeper": json}]);
                }
                hide_in_json(&mut json);
                prop_assert!(!json.to_string().contains(&quoted[1..quoted.len() - 1]), "{}", json);
            }
            let told = hidden("Interface", "options", &wire);
            prop_assert_eq!(told.get_str(name), Some(HIDDEN));
            prop_assert_eq!(told.get_str("plain"), Some("text"));
            let mut strings = BTreeMap::from([(name.to_owned(), secret.clone())]);
            hide_in_strings(&mut strings);
            prop_assert_eq!(&strings[name], HIDDEN);
            let mut refusal = ServerError {
                error: "unknown column".into(),
                details: None,
                syntax: Some(json!({"options": ["map", [[name, secret]]]}).to_string()),
            };
            hide_in_refusal(&mut refusal);
            prop_assert!(!refusal.to_string().contains(&quoted[1..quoted.len() - 1]), "{}", refusal);
        }
    }
}
