//! What is published about the commands, made from their types and the registry: JSON Schemas and `docs/commands.md`.
//!
//! `make generate` writes the files, and a test compares them, so they are never out of date.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::commands::schema::{COMMON, STRICT, VERIFY, arguments, one_line, without_heading};
use crate::commands::{Entry, REGISTRY};
use crate::error::NUMBERS;
use crate::flags;
use crate::vswitch::{doctor, tables};

/// Every published file, by its path in the project.
pub fn files() -> Vec<(String, String)> {
    let mut files = vec![
        ("docs/commands.md".to_owned(), manual()),
        ("docs/doctor.md".to_owned(), codes()),
        ("schemas/database.json".to_owned(), pretty(&database())),
        ("schemas/openrpc.json".to_owned(), pretty(&openrpc())),
    ];
    files.extend(REGISTRY.iter().map(|entry| (format!("schemas/{}.json", entry.name), pretty(&schema(entry)))));
    files
}

/// The JSON Schema of one command: an object with its arguments and its result.
pub fn schema(entry: &Entry) -> Value {
    let mut result = (entry.answer_schema)().to_value();
    without_heading(&mut result);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("ovs.{}", entry.name),
        "description": entry.about,
        "type": "object",
        "properties": {"arguments": arguments(entry), "result": result},
    })
}

/// The OpenRPC document (spec.open-rpc.org) of `ovs-plugin serve`: every command as a method, which `rpc.discover`
/// answers with.
pub fn openrpc() -> Value {
    let commands = REGISTRY.iter().flat_map(|entry| {
        std::iter::once(&entry.name).chain(entry.aliases).map(|name| method(entry, name)).collect::<Vec<_>>()
    });
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "ovs-plugin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The ovs.* commands, each one atomic Open vSwitch transaction. Errors carry data \
                            {kind, field, hint, committed}: the stable word for the code, the argument at fault, what \
                            may be done, and whether the database holds the change: yes, no or unknown.",
            "license": {"name": "Apache-2.0"},
        },
        "methods": commands.chain(watching()).collect::<Vec<_>>(),
    })
}

/// The two methods of the subscription. OpenRPC has no words for what is sent later, so the description tells it.
fn watching() -> [Value; 2] {
    let id = json!({"oneOf": [{"type": "integer"}, {"type": "string"}]});
    [
        json!({
            "name": "ovs.watch",
            "summary": "Tell of the switch from now on: a picture of it, then every change, by transaction.",
            "description": "A subscription, over WebSocket only. After the answer come notifications ovs.watch, whose \
                            params have a subscription, the id, and a result, an event: picture (with what ovs.show \
                            answers), change, disconnected or connected. docs/server.md describes them.",
            "params": [],
            "result": {"name": "subscription", "schema": id},
        }),
        json!({
            "name": "ovs.unwatch",
            "summary": "End a subscription.",
            "description": "Over the WebSocket that made it.",
            "paramStructure": "by-position",
            "params": [{"name": "subscription", "required": true, "schema": id}],
            "result": {"name": "result", "schema": {"type": "boolean"}, "description": "Whether there was one."},
        }),
    ]
}

fn method(entry: &Entry, name: &str) -> Value {
    let schema = schema(entry);
    let (arguments, result) = (&schema["properties"]["arguments"], &schema["properties"]["result"]);
    let required = arguments["required"].as_array().cloned().unwrap_or_default();
    let properties = arguments["properties"].as_object().cloned().unwrap_or_default();
    let mut params: Vec<Value> = properties
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let about = schema.as_object_mut().and_then(|members| members.remove("description"));
            if name == STRICT {
                schema["default"] = json!(true);
            }
            let mut param = json!({"name": name, "required": required.iter().any(|r| r == name)});
            // What a type refers to is defined in the arguments' own schema, which is taken apart here.
            if let (Some(defined), Some(schema)) = (arguments.get("$defs"), schema.as_object_mut()) {
                schema.insert("$defs".to_owned(), defined.clone());
            }
            param["schema"] = schema;
            if let Some(about) = about {
                param["description"] = about;
            }
            param
        })
        .collect();
    // OpenRPC wants what is required first.
    params.sort_by_key(|param| param["required"] != true);
    // Of several errors with one code, which all are examples, the first stands for it.
    let mut errors: Vec<Value> = Vec::new();
    for (word, text) in entry.errors {
        let number = NUMBERS.iter().find(|(known, _)| known == word).map(|(_, number)| *number);
        if errors.iter().all(|error| error["data"]["kind"] != *word) {
            errors.push(json!({"code": number, "message": text, "data": {"kind": word}}));
        }
    }
    let (example, answer) = entry.example;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let given = parsed(example);
    let given = given.as_object().into_iter().flatten().map(|(name, value)| json!({"name": name, "value": value}));
    let mut method = json!({
        "name": format!("ovs.{name}"),
        "summary": entry.about,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": result},
        "errors": errors,
        "examples": [{
            "name": entry.name,
            "params": given.collect::<Vec<_>>(),
            "result": {"name": "result", "value": parsed(answer)},
        }],
    });
    if !entry.details.is_empty() {
        method["description"] = json!(entry.details);
    }
    if name != entry.name {
        method["description"] = json!(format!("The same as ovs.{}.", entry.name));
    }
    method
}

fn database() -> Value {
    let tables = tables::RELIED_ON.iter().map(|(table, columns)| ((*table).to_owned(), json!(columns)));
    json!({
        "description": "The tables and columns of the Open_vSwitch database that the commands rely on; ovs.set and the \
                        options of other commands may name any other.",
        "database": tables::DATABASE,
        "tables": tables.collect::<Map<_, _>>(),
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// `docs/doctor.md`.
fn codes() -> String {
    let mut page = String::from(DOCTOR);
    for code in doctor::CODES {
        let severity = json!(code.severity);
        let severity = severity.as_str().unwrap_or_default();
        // Writing to a string does not fail.
        let _ =
            writeln!(page, "| `{}` | {severity} | {} | {} |", code.name, code.meaning, code.advice.replace('|', "\\|"));
    }
    page
}

/// `docs/commands.md`.
fn manual() -> String {
    let mut page = String::from(INTRODUCTION);
    for entry in REGISTRY {
        // Writing to a string does not fail.
        let _ = writeln!(page, "| [{0}](#ovs{0}) | {1} |", entry.name, entry.about);
    }
    page.push_str(COMMON_CHAPTER);
    for (name, default, about) in COMMON {
        let kind = if *name == VERIFY { "boolean, or `\"strict\"`" } else { "boolean" };
        let _ = writeln!(page, "| `{name}` | {kind} | {default} | {about} |");
    }
    page.push_str(ERRORS_CHAPTER);
    for entry in REGISTRY {
        page.push_str(&chapter(entry));
    }
    page
}

fn chapter(entry: &Entry) -> String {
    let mut chapter = format!("\n## ovs.{}\n\n{}.\n", entry.name, entry.about);
    if !entry.details.is_empty() {
        let _ = writeln!(chapter, "\n{}", entry.details);
    }
    if !entry.aliases.is_empty() {
        let _ = writeln!(chapter, "\nAlso answers to `{}`.", entry.aliases.join("`, `"));
    }
    let schema = schema(entry);
    let arguments = &schema["properties"]["arguments"];
    let required = arguments["required"].as_array().cloned().unwrap_or_default();
    let own = arguments["properties"].as_object().into_iter().flatten();
    let own: Vec<_> = own.filter(|(name, _)| !COMMON.iter().any(|(common, ..)| common == name)).collect();
    if own.is_empty() {
        chapter.push_str("\nNo arguments of its own.\n");
    } else {
        chapter.push_str("\n| argument | type | default | meaning |\n|---|---|---|---|\n");
        for (name, argument) in own {
            let default = match (required.iter().any(|r| r == name), argument.get("default")) {
                (true, _) => "required".to_owned(),
                (false, Some(default)) if !default.is_null() => format!("`{default}`"),
                (false, _) => String::new(),
            };
            let about = argument["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
            let _ = writeln!(chapter, "| `{name}` | {} | {default} | {about} |", type_of(argument));
        }
    }
    let result = &schema["properties"]["result"];
    let deep = is_deep(result);
    let _ = write!(chapter, "\nResult: {}.", if deep { "object".into() } else { type_of(result) });
    if let Some(about) = result["description"].as_str() {
        let _ = write!(chapter, " {}", one_line(about));
    }
    if deep {
        chapter.push_str("\n\n");
        members(&mut chapter, result, "");
        chapter.truncate(chapter.trim_end().len());
    }
    let (arguments, answer) = entry.example;
    let _ = writeln!(chapter, "\n\n```\n$ ovs-plugin {} '{arguments}'\n{answer}\n```", entry.name);
    if arguments != "{}" {
        let _ = writeln!(chapter, "\nWith flags: `{}`", flags::example(entry));
    }
    if !entry.errors.is_empty() {
        chapter.push_str("\n| error code | for example |\n|---|---|\n");
        for (code, text) in entry.errors {
            let _ = writeln!(chapter, "| `{code}` | {} |", text.replace('|', "\\|"));
        }
    }
    chapter
}

/// The schema of what is in a list, or may be left out; any other as it is.
fn core(schema: &Value) -> &Value {
    let choices = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    let only = choices.and_then(|choices| choices.iter().find(|choice| choice["type"] != "null"));
    match (only, schema.get("items")) {
        (Some(only), _) if choices.is_some_and(|choices| choices.len() == 2) => core(only),
        (None, Some(items)) => core(items),
        _ => schema,
    }
}

/// Whether a schema has members that have members.
fn is_deep(schema: &Value) -> bool {
    let members = schema["properties"].as_object().into_iter().flatten();
    members.into_iter().any(|(_, member)| core(member).get("properties").is_some())
}

/// The members of an object as a list, each with those of its own below it.
fn members(page: &mut String, schema: &Value, indent: &str) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let below = core(member);
        let has_members = below.get("properties").is_some();
        let kind = match (has_members, member.get("items").is_some()) {
            (true, true) => "list of objects".into(),
            (true, false) => "object".into(),
            (false, _) => type_of(member),
        };
        let about = member["description"].as_str().map(one_line).unwrap_or_default();
        let _ = writeln!(page, "{indent}- `{name}`: {kind}. {about}");
        if has_members {
            members(page, below, &format!("{indent}  "));
        }
    }
}

/// A type in words, from its schema.
fn type_of(schema: &Value) -> String {
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        let words: Vec<String> = choices.iter().filter(|choice| choice["type"] != "null").map(type_of).collect();
        return words.join(" or ");
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{constant}`");
    }
    if let Some(values) = schema["enum"].as_array() {
        let words: Vec<String> = values.iter().filter(|v| !v.is_null()).map(|value| format!("`{value}`")).collect();
        return words.join(" or ");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => return "any".into(),
    };
    match kinds.as_slice() {
        ["integer", "string"] => {
            format!("integer, or a string of digits, {} to {}", schema["minimum"], schema["maximum"])
        }
        ["array"] => format!("list of {}", type_of(&schema["items"])),
        ["integer"] if schema.get("minimum").is_some() && schema.get("maximum").is_some() => {
            format!("integer {} to {}", schema["minimum"], schema["maximum"])
        }
        ["string"] if schema["maxLength"] == 15 => "name of a network device, 1 to 15 bytes".into(),
        ["object"] if schema.get("additionalProperties").is_some() => {
            format!("object of {}", type_of(&schema["additionalProperties"]))
        }
        ["object"] => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members: Vec<String> =
                members.map(|(name, member)| format!("`{name}` ({})", type_of(member))).collect();
            format!("object with {}", members.join(", "))
        }
        [] => "null".into(),
        kinds => kinds.join(" or "),
    }
}

const INTRODUCTION: &str = "\
<!-- Made from the program's registry by `make generate`; changes here are lost. -->
# The commands

Each command takes one JSON object and answers one JSON value. The host agent calls them as `ovs.NAME`, a shell as
`ovs-plugin NAME 'JSON'` or `ovs-plugin NAME --FLAG …`. With JSON alone, answers are framed for the host agent: `20:::`, the
JSON, an empty line, `:::`; the exit status is 0, or 1 for an error, whose text is then the JSON value. The JSON Schemas of all of this are
in `schemas/`, and `ovs-plugin schema [NAME]` prints them.

Keys match without regard to case, of repeated keys the last counts, and `null` counts as absent. Numbers may also come as
strings of digits, and option values as numbers or booleans; a whole number is stored as one, however JSON has it (`2.5e8`).
A key that the command does not take is ignored, as the original did, but not silently: a note on stderr and in the report
names it with the argument that was probably meant (`tag` → `vlan`), also for words of ovs-vsctl, Ansible, netplan and
nmstate. `\"strict\": true` refuses it.

At a shell each argument is also a flag: its name with `-` for `_`, so `vlan_mode` is `--vlan-mode`.

| argument | flag |
|---|---|
| string, number | `--vlan 2313` or `--vlan=2313` |
| one of a few words | `--mode active-backup`; another word is refused with the words that there are |
| boolean | `--lacp` for true; where false is not the default, `--no-verify` for false |
| list | `--links eth0,eth1` or `--links eth0 --links eth1`; `--trunks ''` for an empty one |
| object | `--values mtu_request=9000 --values external_ids:rack=7`; the value begins after the first `=` |

Flags and JSON may stand together, but not for one argument. With flags, on a terminal, and without JSON where a command
needs no argument, the answer is plain, also in a pipe, and errors go to stderr; `--output agent|json|text` decides otherwise.
Flags that there are not, that lack a value or contradict each other are told on stderr, with the exit status 2.

Every change of a command is one transaction: it happens whole or not at all. A command that changes the database waits
until `ovs-vswitchd` has applied the change (`cur_cfg` of ovs-vswitchd.conf.db(5)), within the deadline that
`OVS_PLUGIN_TIMEOUT` sets.

| command | what it does |
|---|---|
";

const DOCTOR: &str = "\
<!-- Made from the program's table of codes by `make generate`; changes here are lost. -->
# What the doctor finds

`ovs-plugin doctor`, and the command [ovs.doctor](commands.md#ovsdoctor), examine the switch and answer with findings. Each
has a code whose meaning never changes, a severity, what it is about (bridge, port, interface, as much of it as fits), what
was found, what that means, and what to do. It is a report, so the exit status is 0 whatever is found; `errors` counts what
does not work.

What is looked at: the database, in one request; `ovs-vswitchd`, on its control socket; the kernel's network devices and
their addresses. Nothing is changed. With a database over TCP the switch is on another machine, and only the database is
looked at. A code is told once for its cause: the ports of a bridge without a datapath, for instance, are not listed.

[ovs.show](commands.md#ovsshow) has the findings that the database alone tells as `problems` of what they are about, and
draws them: errors in red, warnings in yellow.

| code | severity | meaning | what to do |
|---|---|---|---|
";

const COMMON_CHAPTER: &str = "
## Arguments of every command

| argument | type | default | meaning |
|---|---|---|---|
";

const ERRORS_CHAPTER: &str = "
A report is `{\"result\", \"changed\", \"changes\", \"interfaces\", \"notes\"}`: what the command answers otherwise; whether
anything changed; each row as `{\"table\", \"row\", \"action\", \"columns\"}` with old and new values, and each network
device as `{\"link\", \"action\", \"attributes\"}`; the interfaces that were added or changed, as ovs-vswitchd sees them; and
things worth knowing that are no failure. `columns` has `{\"new\"}` for an insert, `{\"old\", \"new\"}` for an update (of a
map only the keys that change), and `{\"added\", \"removed\"}` for a set of rows; rows are shown by name.

## Secrets

The database holds secrets in clear: pre-shared keys of tunnels (`options:psk`), tokens that others keep in `external_ids`.
The program writes `(hidden)` in their place, old values included, in the answer of `show`, in reports, dry runs and events,
in errors, in its own log and in the comment that it leaves in the database's log. A value counts as a secret by the end of
its column's or key's name: psk, password, passwd, pwd, passphrase, secret, token, credential, or private, secret, shared,
access, api, auth, encryption or signing key, in any case and with any separators. So does a private key in PEM, whatever
its column is called. A tunnel's `key` is no secret, and neither is the file name in `private_key` of table SSL.

## Errors

An error is a text for people. It begins with what went wrong and says whether anything changed. Each has a stable code,
which the tables below name.

| code | meaning | in the database |
|---|---|---|
| `bad-argument` | an argument is missing or unusable, or does not work together with other settings; the text names it, its value and what is expected | nothing changed |
| `bad-setting` | an environment variable is unusable | nothing changed |
| `unknown-command` | there is no such command | nothing changed |
| `not-found` | a bridge, port, row or device that is needed is not there | nothing changed |
| `exists` | a name is taken | nothing changed |
| `conflict` | the change would break what others rely on, or settings would not work together | nothing changed |
| `not-connected` | no connection to the database within the deadline | nothing changed |
| `not-committed` | connected, but the database did not answer in time to get as far as a change | nothing changed |
| `refused-by-database` | the server refused the transaction | nothing changed |
| `link` | the kernel refused a change of a network device | nothing changed |
| `interface` | ovs-vswitchd could not set an interface up, or its device could not be configured (`up`, `addresses`) | taken back; if that failed or has an unknown end, the text says so |
| `not-applied` | `ovs-vswitchd` has not applied the change within the deadline | the change is there |
| `unfinished` | the change was made, but what follows it failed: the kernel refused to delete a device, for instance | the change is there |
| `commit-unknown` | the connection was lost, or the deadline passed, with the transaction in flight | unknown; the same command, sent again, finds out |
| `internal` | a fault of the plugin | nothing changed, as far as it knows |
";
