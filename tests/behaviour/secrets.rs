//! Secrets go into the database and come out nowhere else: not in answers, errors, notes, logs or the log's comments.

use serde_json::{Value, json};

use super::support::{Answer, Switch, schemas};

/// A secret that nobody has seen before.
fn secret() -> String {
    format!("geheim-{}", uuid::Uuid::new_v4().simple())
}

/// What the database's log says of who did what.
fn comments(switch: &Switch) -> Vec<String> {
    let log = std::fs::read_to_string(switch.directory().join("conf.db")).unwrap();
    let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter_map(|record| Some(record.get("_comment")?.as_str()?.to_owned())).collect()
}

#[track_caller]
fn keeps(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what}: {text}");
    }
}

/// Runs a command with everything logged, and looks through all that it prints.
#[track_caller]
fn silent(switch: &Switch, command: &str, arguments: &Value, secrets: &[String]) -> Answer {
    let answer = switch.prepare(command, arguments.clone()).env("OVS_PLUGIN_LOG", "trace").run();
    keeps(&format!("{command} {arguments}: stdout"), &answer.stdout, secrets);
    keeps(&format!("{command} {arguments}: stderr"), &answer.stderr, secrets);
    answer
}

#[test]
fn a_secret_is_in_no_report_dry_run_error_log_or_comment_wherever_it_was_put() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "e2-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.vsctl(&["--no-wait", "set-ssl", "/etc/key.pem", "/etc/cert.pem", "/etc/ca.pem"]);
    let key = |secret: &str| format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n");
    let set =
        |table: &str, record: &str, values: Value| ("set", json!({"table": table, "record": record, "values": values}));
    let calls = |s: &str| {
        vec![
            set("Interface", "e1", json!({"options:psk": s})),
            set("Interface", "e1", json!({"options": format!("{{psk={s}, remote_ip=192.0.2.1}}")})),
            set("Interface", "e1", json!({"options": format!("{{\"psk\" = \"{s}\"}}")})),
            set("Open_vSwitch", ".", json!({"external_ids:cloud-token": s, "other_config:admin_password": s})),
            set("SSL", ".", json!({"private_key": json!(key(s)).to_string()})),
            ("port-set", json!({"port": "e1", "external_ids": {"api_token": s}, "other_config": {"x-password": s}})),
            ("port-set", json!({"port": "e1", "options": {"options:privateKey": s, "port.external_ids:secret": s}})),
            ("port-set", json!({"port": "e1", "external_ids": {"bind_pw": s, "my pass": s, "ike_key": s, "auth": s}})),
            (
                "port-set",
                json!({"port": "e1", "external_ids": {"hub": format!("https://bob:{s}@hub/"), "a": format!("Bearer {s}")}}),
            ),
            (
                "port-set",
                json!({"port": "e1", "external_ids": {"account": json!({"user": "bob", "password": s}).to_string()}}),
            ),
        ]
    };
    let mut secrets = Vec::new();
    // The second round has the first one's secrets for old values.
    for _ in 0..2 {
        secrets.push(secret());
        for (command, mut arguments) in calls(secrets.last().unwrap()) {
            arguments["dry_run"] = json!(true);
            let dry = silent(&switch, command, &arguments, &secrets).ok();
            assert!(dry["changes"].to_string().contains("(hidden)"), "{command} {arguments}: {dry:#}");
            arguments.as_object_mut().unwrap().remove("dry_run");
            arguments["report"] = json!(true);
            let report = silent(&switch, command, &arguments, &secrets).ok();
            assert_eq!(report["changes"], dry["changes"], "{command} {arguments}");
        }
    }
    // New rows, and one that is taken back.
    let new = secrets.last().unwrap();
    for (command, arguments) in [
        ("bridge-add", json!({"bridge": "br1", "options": {"other_config:token": new}, "report": true})),
        ("port-add", json!({"bridge": "br0", "port": "e2", "external_ids": {"password": new}, "report": true})),
        ("port-add", json!({"bridge": "br0", "port": "nodev", "options": {"options:psk": new}})),
        // Ignored: what was meant is not known for sure, so none of it is kept.
        ("port-set", json!({"port": "e1", "vlan": 5, "external-ids": {"note": new}, "label": new})),
    ] {
        silent(&switch, command, &arguments, &secrets);
    }
    for (command, arguments) in [("show", json!({})), ("show", json!({"report": true})), ("doctor", json!({}))] {
        silent(&switch, command, &arguments, &secrets).ok();
    }
    let comments = comments(&switch);
    let told = comments.iter().filter(|comment| comment.contains("(hidden)")).count();
    assert_eq!(
        told,
        2 * calls("x").len() + 4,
        "each write tells who did it, and of the one that was taken back two: {comments:#?}"
    );
    keeps("comments", &comments.join("\n"), &secrets);
    // It is what the database holds that they all tell of.
    let row = &switch.database.rows("Open_vSwitch")[0];
    assert!(row.to_string().contains(new), "{row:#}");
}

#[test]
fn an_error_names_the_setting_and_what_was_expected_and_does_not_repeat_the_secret() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let s = secret();
    for (values, expected) in [
        (json!({"options:psk": format!("\"{s}")}), "options:psk"),
        (json!({"options": format!("{{psk={s}")}), "Interface.options: expected"),
        (json!({"options": format!("psk={s} {s}")}), "Interface.options: expected"),
        (json!({"options:psk": [s.clone()]}), "options:psk"),
        (json!({"psk": s}), "does not contain a column whose name matches \"psk\""),
        (json!({"mtu_request:token": s}), "mtu_request"),
    ] {
        let arguments = json!({"table": "Interface", "record": "e1", "values": values});
        let message = silent(&switch, "set", &arguments, std::slice::from_ref(&s)).failed();
        assert!(message.contains(expected), "{message}");
    }
    for arguments in [
        json!({"port": "e1", "external_ids": {"token": [s.clone()]}}),
        json!({"port": "e1", "external_ids": format!("token={s}")}),
        json!({"port": "e1", "other_config": [{"token": s.clone()}]}),
    ] {
        silent(&switch, "port-set", &arguments, std::slice::from_ref(&s)).failed();
    }
    // What is no secret is repeated, as people look for their mistake in it.
    let arguments = json!({"table": "Interface", "record": "e1", "values": {"options:key": "\"abc"}});
    assert!(switch.refused("set", arguments).contains("abc"));
}

#[test]
fn a_refusal_of_the_database_does_not_repeat_the_secrets_of_the_request() {
    // Without that column the server refuses the whole row, and repeats it.
    let switch = Switch::builder().schema(schemas::of_release("2.5")).veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let s = secret();
    let arguments =
        json!({"bridge": "br0", "port": "e1", "mtu": 1400, "external_ids": {"token": s.clone(), "owner": "me"}});
    let message = silent(&switch, "port-add", &arguments, std::slice::from_ref(&s)).failed();
    assert!(message.contains("mtu_request"), "{message}");
}

#[test]
fn the_name_of_a_file_with_a_key_is_told() {
    let switch = Switch::new();
    switch.vsctl(&["--no-wait", "set-ssl", "/etc/key.pem", "/etc/cert.pem", "/etc/ca.pem"]);
    let call = json!({"table": "SSL", "record": ".", "values": {"private_key": "/etc/other.pem"}, "dry_run": true});
    let dry = switch.ok("set", call);
    assert_eq!(dry["changes"][0]["columns"]["private_key"], json!({"old": "/etc/key.pem", "new": "/etc/other.pem"}));
}
