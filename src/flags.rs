//! A command's arguments as flags, for people: `--vlan-mode trunk` in place of `'{"vlan_mode": "trunk"}'`.
//!
//! They follow from the JSON Schema of the arguments, so that a command says in one place what it takes. What a value has
//! to be, and what is missing, is left to the command to say; here is only judged what a flag is.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::commands::schema::{self, COMMON};
use crate::commands::{self, Entry};

/// An argument, as its schema tells it.
struct Flag<'a> {
    /// As JSON has it.
    name: &'a str,
    kind: Kind,
    /// Of a value that is there: without the `null` for none.
    schema: &'a Value,
    about: &'a str,
    default: &'a Value,
    required: bool,
}

/// What is typed behind the flag.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Nothing: the flag alone is true. Where false is not the default, `--no-NAME` is false.
    Switch,
    /// Nothing, which is true, or a word.
    SwitchOrWord,
    Value,
    /// Values with commas between them, or the flag again.
    List,
    /// `KEY=VALUE`, and the flag again for each further one.
    Pairs,
}

impl<'a> Flag<'a> {
    fn of(arguments: &'a Value, name: &'a str, required: bool) -> Self {
        let property = &arguments["properties"][name];
        let choices = property["anyOf"].as_array();
        let schema = choices.and_then(|choices| choices.iter().find(|choice| !has_type(choice, "null")));
        let schema = schema.unwrap_or(property);
        let kinds = [("boolean", Kind::Switch), ("array", Kind::List), ("object", Kind::Pairs)];
        let kind = kinds.into_iter().find(|(name, _)| has_type(schema, name)).map_or(Kind::Value, |(_, kind)| kind);
        let kind = if kind == Kind::Switch && has_type(schema, "string") { Kind::SwitchOrWord } else { kind };
        let about = property["description"].as_str().unwrap_or_default();
        Flag { name, kind, schema, about, default: &property["default"], required }
    }

    fn long(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The flag for false, if there is one.
    fn opposite(&self) -> Option<String> {
        let is_switch = matches!(self.kind, Kind::Switch | Kind::SwitchOrWord);
        (is_switch && *self.default != Value::Bool(false)).then(|| format!("no-{}", self.long()))
    }

    fn value_name(&self) -> String {
        match self.kind {
            Kind::Pairs => "KEY=VALUE".to_owned(),
            _ => self.name.to_uppercase(),
        }
    }

    /// What was typed, as JSON. It goes as a string to whatever takes one, and is not guessed at.
    fn value(&self, matches: &ArgMatches) -> Result<Option<Value>, clap::Error> {
        let given = |id: &str| matches!(matches.try_get_one::<bool>(id), Ok(Some(true)));
        if self.kind == Kind::Switch {
            let value =
                if given(self.name) { Some(true) } else { self.opposite().filter(|id| given(id)).map(|_| false) };
            return Ok(value.map(Value::Bool));
        }
        if self.kind == Kind::SwitchOrWord && self.opposite().is_some_and(|id| given(&id)) {
            return Ok(Some(Value::Bool(false)));
        }
        let Some(texts) = matches.get_many::<String>(self.name) else { return Ok(None) };
        let (mut elements, mut members) = (Vec::new(), Map::new());
        for text in texts {
            match (self.kind, text.split_once('=')) {
                (Kind::Pairs, None) => return Err(self.refused(&format!("{text:?} is not KEY=VALUE"))),
                (Kind::Pairs, Some((key, value))) => {
                    let value = scalar(&self.schema["additionalProperties"], value);
                    if members.insert(key.to_owned(), value).is_some() {
                        return Err(self.refused(&format!("{key:?} is given twice")));
                    }
                }
                (Kind::List, _) if text.is_empty() => {}
                (Kind::List, _) => {
                    elements.extend(text.split(',').map(|text| scalar(&self.schema["items"], text)));
                }
                (Kind::SwitchOrWord, _) => {
                    return Ok(Some(text.parse().map_or_else(|_| text.as_str().into(), Value::Bool)));
                }
                (Kind::Switch | Kind::Value, _) => return Ok(Some(scalar(self.schema, text))),
            }
        }
        Ok(Some(if self.kind == Kind::Pairs { Value::Object(members) } else { Value::Array(elements) }))
    }

    fn refused(&self, problem: &str) -> clap::Error {
        clap::Error::raw(ErrorKind::InvalidValue, format!("--{}: {problem}\n", self.long()))
    }

    /// How a value of JSON is typed.
    fn typed(&self, value: &Value) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let long = self.long();
        match (value, self.opposite()) {
            (Value::Bool(true), _) => format!(" --{long}"),
            (Value::Bool(false), opposite) => opposite.map(|opposite| format!(" --{opposite}")).unwrap_or_default(),
            (Value::Array(elements), _) => {
                format!(" --{long} {}", elements.iter().map(text).collect::<Vec<_>>().join(","))
            }
            (Value::Object(pairs), _) => {
                pairs.iter().map(|(key, value)| format!(" --{long} {key}={}", text(value))).collect()
            }
            (value, _) => format!(" --{long} {}", text(value)),
        }
    }
}

/// A text as what its schema takes: a number only where a string is not taken. A text that is no number stays a string,
/// so that the command can say what it expected.
fn scalar(schema: &Value, text: &str) -> Value {
    let numeric = (has_type(schema, "number") || has_type(schema, "integer")) && !has_type(schema, "string");
    let number = serde_json::from_str(text).ok().filter(|value: &Value| numeric && value.is_number());
    number.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == name),
        kind => kind == name,
    }
}

/// The flags for arguments of this schema: first what the command can't do without, last what all commands have.
fn flags(arguments: &Value) -> Vec<Flag<'_>> {
    let mut names: Vec<&str> =
        arguments["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let required = names.len();
    let common = COMMON.iter().map(|(name, ..)| *name);
    for name in arguments["properties"].as_object().into_iter().flat_map(Map::keys) {
        if !names.contains(&name.as_str()) && common.clone().all(|common| common != name) {
            names.push(name);
        }
    }
    names.extend(common);
    names.into_iter().enumerate().map(|(place, name)| Flag::of(arguments, name, place < required)).collect()
}

/// Adds a command's flags to what clap knows of it. This makes the schema, so it is left until it is needed.
pub(super) fn add(command: Command, entry: &Entry) -> Command {
    // Once per process and command; clap wants its words to stay.
    let arguments: &'static Value = Box::leak(Box::new(schema::arguments(entry)));
    let (mut usage, mut args) = (format!("ovs-plugin {}", entry.name), Vec::new());
    for flag in flags(arguments) {
        let (name, long, value_name) = (flag.name, flag.long().leak(), flag.value_name().leak());
        if flag.required {
            usage.push_str(&format!(" --{long} <{value_name}>"));
        }
        args.push(described(arg(&flag, Arg::new(name).long(&*long).value_name(&*value_name)), &flag));
        if let Some(opposite) = flag.opposite() {
            let opposite: &str = opposite.leak();
            let arg = Arg::new(opposite).long(opposite).action(ArgAction::SetTrue).conflicts_with(name);
            args.push(arg.help(format!("The opposite of --{long}")));
        }
    }
    // What is missing is for the command to say, which also sees the JSON; so clap does not know what is required.
    command.override_usage(usage + " [OPTIONS] [JSON]").args(args)
}

fn arg(flag: &Flag<'static>, arg: Arg) -> Arg {
    match flag.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::SwitchOrWord => {
            let words = flag.schema["enum"].as_array().into_iter().flatten();
            let words = words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned));
            let parser = PossibleValuesParser::new(words.map(|word| PossibleValue::new(&*word.leak())));
            arg.num_args(0..=1).default_missing_value("true").value_parser(parser)
        }
        // A negative number is not taken for a flag, so that the command can say what it expected.
        Kind::Value => match choices(flag.schema) {
            choices if choices.is_empty() => arg.allow_negative_numbers(true),
            choices => arg.value_parser(PossibleValuesParser::new(choices)),
        },
        Kind::List | Kind::Pairs => arg.action(ArgAction::Append),
    }
}

/// The words that a value may be one of; none if it may be something else, too.
fn choices(schema: &'static Value) -> Vec<PossibleValue> {
    let choice = |choice: &'static Value| {
        let about = schema::one_line(choice["description"].as_str().unwrap_or_default());
        choice["const"].as_str().map(|word| PossibleValue::new(word).help(brief(&about).to_owned()))
    };
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    choices.map(choice).collect::<Option<_>>().unwrap_or_default()
}

/// With the first sentence of what the argument is about, and all of it where there is more room.
fn described(arg: Arg, flag: &Flag<'_>) -> Arg {
    let mut note = match flag.kind {
        Kind::Switch | Kind::SwitchOrWord | Kind::Value => String::new(),
        Kind::List => " (repeatable, or comma separated)".to_owned(),
        Kind::Pairs => " (repeatable)".to_owned(),
    };
    match flag.default {
        Value::Null | Value::Bool(false) => {}
        Value::String(default) => note.push_str(&format!(" [default: {default}]")),
        default => note.push_str(&format!(" [default: {default}]")),
    }
    let about = schema::one_line(flag.about);
    let brief = brief(&about);
    let arg = arg.help(format!("{brief}{note}"));
    if about.len() > brief.len() + 1 { arg.long_help(format!("{about}{note}")) } else { arg }
}

fn brief(about: &str) -> &str {
    about.split_once(". ").map_or(about, |(first, _)| first).trim_end_matches('.')
}

/// The arguments as the command takes them, from flags and from JSON. An argument that is given both ways is an error.
pub(super) fn arguments(entry: &Entry, matches: &ArgMatches, json: &str) -> Result<String, clap::Error> {
    let schema = schema::arguments(entry);
    let mut typed = Vec::new();
    for flag in flags(&schema) {
        if let Some(value) = flag.value(matches)? {
            typed.push((flag, value));
        }
    }
    if typed.is_empty() {
        return Ok(json.to_owned());
    }
    let switch = typed.iter().rfind(|(flag, _)| flag.kind == Kind::Switch);
    if let (Some((flag, _)), false) = (switch, json.trim_start().starts_with('{')) {
        return Err(clap::Error::raw(
            ErrorKind::InvalidValue,
            format!(
                "{json:?} is neither a flag nor a JSON object of arguments; a switch like --{} takes no value\n",
                flag.long()
            ),
        ));
    }
    // JSON that can't be read is for the command to refuse, as it does without flags.
    let Ok(mut arguments) = commands::read(json) else { return Ok(json.to_owned()) };
    for (flag, value) in typed {
        if arguments.insert(flag.name.to_owned(), value).is_some() {
            return Err(flag.refused(&format!("the JSON has {:?}, too; expected one of them", flag.name)));
        }
    }
    Ok(Value::Object(arguments).to_string())
}

/// A command's example as it is typed with flags.
pub(crate) fn example(entry: &Entry) -> String {
    let schema = schema::arguments(entry);
    let example: Value = serde_json::from_str(entry.example.0).unwrap_or_default();
    let typed = flags(&schema).into_iter().filter_map(|flag| example.get(flag.name).map(|value| flag.typed(value)));
    format!("ovs-plugin {}{}", entry.name, typed.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::REGISTRY;

    /// Options of people that every command has, or that some have; and what clap has itself.
    const TAKEN: [&str; 5] = ["output", "color", "format", "help", "version"];

    #[test]
    fn no_argument_has_the_name_of_an_option_of_people_or_of_another_flag() {
        for entry in REGISTRY {
            let schema = schema::arguments(entry);
            assert!(!schema.to_string().contains("$ref"), "{}: a type of an argument is not inlined", entry.name);
            let mut seen: Vec<String> = TAKEN.map(str::to_owned).to_vec();
            for long in flags(&schema).iter().flat_map(|flag| [Some(flag.long()), flag.opposite()]).flatten() {
                assert!(!seen.contains(&long), "{}: --{long} means something else", entry.name);
                seen.push(long);
            }
        }
        // What clap itself finds amiss.
        crate::cli::command().debug_assert();
    }

    /// JSON in which every value is the text that a person would type.
    fn as_typed(value: &Value) -> Value {
        match value {
            Value::Array(elements) => elements.iter().map(as_typed).collect(),
            Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), as_typed(member))).collect(),
            Value::String(_) => value.clone(),
            other => Value::String(other.to_string()),
        }
    }

    #[test]
    fn every_example_means_the_same_with_flags() {
        for entry in REGISTRY {
            let example = example(entry);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=:,. ".contains(c);
            assert!(example.chars().all(plain), "a shell may change it: {example}");
            let matches = crate::cli::command().try_get_matches_from(example.split(' ')).unwrap();
            let (name, matches) = matches.subcommand().unwrap();
            assert_eq!(name, entry.name);
            let read = arguments(entry, matches, "{}").unwrap();
            let [read, expected] = [&read, entry.example.0].map(|json| serde_json::from_str::<Value>(json).unwrap());
            assert_eq!(as_typed(&read), as_typed(&expected), "{example}");
        }
    }

    #[test]
    fn switches_have_an_opposite_where_false_is_not_the_default() {
        let read = |words: &[&str]| {
            let words = ["ovs-plugin", "bond-add"].iter().chain(words);
            let matches = crate::cli::command().try_get_matches_from(words).map_err(|error| error.to_string())?;
            let entry = commands::find("bond-add").unwrap();
            arguments(entry, matches.subcommand().unwrap().1, "{}").map_err(|error| error.to_string())
        };
        assert_eq!(read(&["--lacp-fallback", "--no-verify"]).unwrap(), r#"{"lacp_fallback":true,"verify":false}"#);
        assert_eq!(read(&["--no-lacp-fallback", "--verify"]).unwrap(), r#"{"lacp_fallback":false,"verify":true}"#);
        assert_eq!(read(&[]).unwrap(), "{}");
        assert_eq!(read(&["--verify", "strict"]).unwrap(), r#"{"verify":"strict"}"#);
        assert_eq!(read(&["--verify=false"]).unwrap(), r#"{"verify":false}"#);
        assert!(read(&["--verify", "loosely"]).unwrap_err().contains("possible values: true, false, strict"));
        assert!(read(&["--verify", "--no-verify"]).unwrap_err().contains("--no-verify"));
        assert!(read(&["--no-lacp"]).unwrap_err().contains("'--no-lacp'"));
    }

    #[test]
    fn a_number_stays_a_text_where_texts_are_taken() {
        let schema = |kind: &str| serde_json::from_str::<Value>(&format!("{{\"type\":{kind}}}")).unwrap();
        assert_eq!(scalar(&schema(r#"["integer","string"]"#), "7"), "7");
        assert_eq!(scalar(&schema(r#""number""#), "7.5"), 7.5);
        assert_eq!(scalar(&schema(r#""integer""#), "x"), "x");
        assert_eq!(scalar(&schema(r#""string""#), "7"), "7");
    }
}
