//! What a person types, apart from the commands themselves: help, version, schemas, and the steps of the
//! container.

mod call;
mod difference;
mod output;
mod shell;
mod watch;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};
use output::Output;

use crate::container::{self, manifest};
use crate::draw::style::printable;
use crate::flags;
use crate::paths::Paths;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::{commands, published, server, settings, single, terminal};

/// Whether the arguments are a person's: they ask for what only people ask for, or the answer goes to a terminal. The
/// host agent always passes a command's name and a JSON object, and reads the answer from a pipe. So a command without
/// JSON was typed by a person, unless the JSON is missing by mistake: a command that needs arguments. JSON never begins
/// with `--`, so what does is a flag.
pub fn is_for_people(arguments: &[OsString]) -> bool {
    let is_option = |argument: &OsString| {
        let name = argument.as_encoded_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        OPTIONS.iter().any(|option| option.as_bytes() == name)
    };
    match arguments {
        [first, ..] if first == "--version" || first == "-V" => true,
        [first, ..] if first == "help" || STEPS.iter().any(|step| first == step) => true,
        [name] if name.to_str().and_then(commands::find).is_some_and(|entry| (entry.needs_no_arguments)()) => true,
        [_, rest @ ..] if rest.iter().any(|argument| argument.as_encoded_bytes().starts_with(b"--")) => true,
        _ => arguments.iter().any(is_option) || output::is_for_a_terminal(),
    }
}

/// The options of people. None of them is a name of a command, or JSON.
const OPTIONS: &[&str] = &["--help", "-h", "--output", "--color", "--format"];

const SCHEMA: &str = "schema";
const MANIFEST: &str = "manifest";
const INIT: &str = "init";
const WAIT_READY: &str = "wait-ready";
const VSWITCHD: &str = "vswitchd";
const START: &str = "start";
const SERVE: &str = "serve";
const CALL: &str = "call";
const WATCH: &str = "watch";
const COMPLETIONS: &str = "completions";
const MAN: &str = "man";

/// What is no command of the registry.
const STEPS: &[&str] = &[SCHEMA, MANIFEST, INIT, WAIT_READY, VSWITCHD, START, SERVE, CALL, WATCH, COMPLETIONS, MAN];

/// Answers a person, or the one who starts the container.
pub fn run() -> ExitCode {
    // Help and version are printed by clap, which then ends the process.
    let matches = command().try_get_matches().unwrap_or_else(|error| with_hint(error).exit());
    let text = |arguments: &ArgMatches, name: &str| arguments.get_one::<String>(name).cloned();
    let done = match matches.subcommand() {
        Some((SCHEMA, arguments)) => schemas(text(arguments, "COMMAND").as_deref()),
        Some((MANIFEST, arguments)) => {
            print(&match text(arguments, "WHICH").as_deref() {
                Some("startup") => manifest::startup(),
                // clap takes no other word than "plugin".
                _ => manifest::plugin(),
            })
        }
        Some((INIT, _)) => container::init::run(&Paths::from_env()).map(|()| ExitCode::SUCCESS),
        Some((WAIT_READY, arguments)) => {
            let limit = arguments.get_one::<Duration>("SECONDS").copied().unwrap_or(WAIT_READY_LIMIT);
            in_runtime(async |settings| crate::vswitch::ready::wait(settings, &Paths::from_env().run, limit).await)
                .map(|()| ExitCode::SUCCESS)
        }
        Some((VSWITCHD, arguments)) => {
            let program: Vec<String> = arguments.get_many("PROGRAM").into_iter().flatten().cloned().collect();
            in_runtime(async |settings| container::vswitchd::run(settings, &program).await)
        }
        Some((START, _)) => in_runtime(async |_| container::supervisor::run(&Paths::from_env()).await),
        Some((SERVE, arguments)) => serve(arguments),
        Some((CALL, arguments)) => call::run(arguments),
        Some((WATCH, _)) => in_runtime(watch::run).map(|()| ExitCode::SUCCESS),
        Some((COMPLETIONS, arguments)) => {
            // clap requires the shell, and takes no other words.
            shell::completions(&text(arguments, "SHELL").unwrap_or_default())
        }
        Some((MAN, arguments)) => shell::man(text(arguments, "DIR").as_deref()),
        Some((name, arguments)) => command_of_the_registry(name, arguments),
        None => Ok(ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|problem| {
        // Where nobody reads stderr any more, the exit status still tells it.
        let _ = writeln!(std::io::stderr(), "ovs-plugin: {}", terminal::line(&problem.to_string()));
        ExitCode::FAILURE
    })
}

/// Says which flag was probably meant by one that a command does not take: clap knows only those that look alike.
fn with_hint(mut error: clap::Error) -> clap::Error {
    let name = std::env::args_os().skip(1).find_map(|word| commands::find(word.to_str()?));
    if error.kind() == ErrorKind::UnknownArgument
        && let (Some(entry), Some(ContextValue::String(flag))) = (name, error.get(ContextKind::InvalidArg))
        && let Some(meant) = commands::flag_meant(entry, flag)
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(meant));
    }
    error
}

/// An error about what was typed, with the exit status 2.
fn refused(problem: &str) -> ! {
    clap::Error::raw(ErrorKind::ArgumentConflict, format!("{problem}\n")).exit()
}

/// Runs a command for a person. Errors go to stderr, so that stdout holds an answer or nothing.
fn command_of_the_registry(name: &str, arguments: &ArgMatches) -> Result<ExitCode, Problem> {
    let word = |name: &str| arguments.get_one::<String>(name).map(String::as_str);
    let entry = commands::find(name).ok_or_else(|| Problem(format!("unknown command: {name}")))?;
    // Only some commands have the option; clap calls asking for it an error for the others.
    let format = arguments.try_get_one::<String>("FORMAT").ok().flatten();
    let json = flags::arguments(entry, arguments, word("JSON").unwrap_or("{}")).unwrap_or_else(|error| error.exit());
    let output = match (word("OUTPUT"), format) {
        (Some(_), Some(_)) => refused("--format and --output exclude each other; give one of them"),
        (None, _) => Output::Text,
        (Some(word), None) => Output::of(word),
    };
    if output == Output::Agent {
        if output::is_for_a_terminal() {
            crate::agent::escape_for_a_terminal();
        }
        return Ok(crate::agent::run(&[name.into(), json.into()]));
    }
    crate::log::to_stderr();
    let answer = single::run(entry, &json).map_err(|error| Problem(printable(&error.told())))?;
    let text = match (output, format) {
        (Output::Json, _) => output::json(&answer),
        (_, Some(format)) => output::formatted(entry, format, &answer)?,
        _ => output::text(entry, &answer),
    };
    output::print(&text, word("COLOR"))
}

/// How long `wait-ready` waits when it is not told.
const WAIT_READY_LIMIT: Duration = Duration::from_secs(10);

/// The number of seconds that `wait-ready` is told, a day at most.
fn wait_ready_limit(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    // Not `min`, which would take a number for NaN.
    let seconds = if seconds > 86_400.0 { 86_400.0 } else { seconds };
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds, 0 or more".into())
}

fn serve(arguments: &ArgMatches) -> Result<ExitCode, Problem> {
    crate::log::of_a_server();
    let options = server::Options::read(arguments)?;
    in_runtime(async |settings| server::run(settings, options).await).map(|()| ExitCode::SUCCESS)
}

fn in_runtime<T>(work: impl AsyncFnOnce(Settings) -> Result<T, Problem>) -> Result<T, Problem> {
    crate::log::to_stderr();
    let settings = Settings::from_env().map_err(|error| Problem(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem(format!("the runtime does not start: {error}")))?;
    runtime.block_on(work(settings))
}

fn schemas(name: Option<&str>) -> Result<ExitCode, Problem> {
    let schema = match name {
        Some(name) => {
            let entry = commands::find(name).unwrap_or_else(|| refused(&format!("unknown command: {name}")));
            published::schema(entry)
        }
        None => {
            let all = commands::REGISTRY.iter().map(|entry| (entry.name.to_owned(), published::schema(entry)));
            serde_json::Value::Object(all.collect())
        }
    };
    print(&format!("{schema:#}\n"))
}

/// Prints a text that has no colours.
fn print(text: &str) -> Result<ExitCode, Problem> {
    output::print(text, Some("never"))
}

/// Where help lists what all commands have: behind any number of flags of their own.
const AFTER_FLAGS: usize = 500;

/// A command of the registry with its flags, JSON and examples.
fn described(command: Command) -> Command {
    let Some(entry) = commands::find(command.get_name()) else { return command };
    let (json, answer) = entry.example;
    let command = flags::add(command, entry)
        .arg(Arg::new("JSON").help("The arguments, or those that are not given as flags, as one JSON object"))
        .after_help(format!(
            "Examples:\n  {}\n  ovs-plugin {name} '{json}'\n  → {answer}\n\n`ovs-plugin schema {name}` prints the \
             JSON Schema of the arguments and the result.",
            flags::example(entry),
            name = entry.name
        ));
    let formats = output::formats(entry);
    if formats.is_empty() {
        return command;
    }
    command.arg(
        Arg::new("FORMAT")
            .long("format")
            .value_parser(PossibleValuesParser::new(formats))
            .help("How to draw the answer"),
    )
}

// What follows is not inlined, as it would be dozens of times: a few kB of the program.

#[inline(never)]
fn step(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

#[inline(never)]
fn option(id: &'static str, long: &'static str) -> Arg {
    Arg::new(id).long(long)
}

/// The command line as clap sees it, made from the registry.
pub fn command() -> Command {
    let commands = commands::REGISTRY.iter().map(|entry| {
        // Only the command that is called, or asked about, is described in full.
        Command::new(entry.name).about(entry.about).aliases(entry.aliases).defer(described)
    });
    Command::new("ovs-plugin")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The ovs.* commands of Zero-OS, each one atomic Open vSwitch transaction")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            option("OUTPUT", "output")
                .global(true)
                .display_order(AFTER_FLAGS)
                .value_parser(Output::WORDS)
                .help("How to write the answer: framed for the host agent (20:::JSON), as JSON, or for people"),
        )
        .arg(
            option("COLOR", "color")
                .global(true)
                .display_order(AFTER_FLAGS)
                .value_parser(output::COLORS)
                .help("Whether text has colours; auto is on a terminal, unless NO_COLOR is set"),
        )
        .subcommands(commands)
        .subcommand(
            step(SCHEMA, "Print the JSON Schema of a command's arguments and result, or of all commands")
                .arg(Arg::new("COMMAND").help("The command's name")),
        )
        .subcommand(
            step(MANIFEST, "Print what the host agent reads in the container: /.plugin.toml or /.startup.toml")
                .arg(Arg::new("WHICH").required(true).value_parser(["plugin", "startup"])),
        )
        .subcommand(step(INIT, "Make the container's state usable: directories, database, leftovers"))
        .subcommand(
            step(WAIT_READY, "Return when the database and ovs-vswitchd answer")
                .arg(option("SECONDS", "timeout").value_parser(wait_ready_limit).help("How long to wait (10)")),
        )
        .subcommand(
            step(VSWITCHD, "Run ovs-vswitchd so that its restart does not cut traffic")
                .arg(Arg::new("PROGRAM").required(true).num_args(1..).trailing_var_arg(true).allow_hyphen_values(true)),
        )
        .subcommand(step(START, "Be PID 1 of the container: start everything, and keep it running"))
        .subcommand(server::options::command(SERVE))
        .subcommand(call::command(CALL))
        .subcommand(
            step(WATCH, "Print a picture of the switch, and then every change of it, as lines of JSON")
                .after_help("Example:\n  ovs-plugin watch | jq -c 'select(.event == \"change\") | .rows[]'"),
        )
        .subcommand(
            step(COMPLETIONS, "Print what makes a shell complete the names of commands and options")
                .arg(Arg::new("SHELL").required(true).value_parser(shell::SHELLS))
                .after_help(
                    "Example:\n  ovs-plugin completions bash > /etc/bash_completion.d/ovs-plugin\n  ovs-plugin \
                     completions fish > ~/.config/fish/completions/ovs-plugin.fish",
                ),
        )
        .subcommand(
            step(MAN, "Print the manual page, or write all of them into a directory")
                .arg(option("DIR", "output-dir").help("Where to write ovs-plugin.1 and a page for each command")),
        )
        .after_help(format!(
            "Called with one JSON object, as the host agent does, a command frames its answer in a pipe: 20:::JSON. \
             On a terminal, without JSON and with flags, the answer is plain and errors go to stderr. The exit status \
             is 0, 1 for an error, or 2 for what can't be typed so.\n\n\
             Examples:\n  \
             ovs-plugin show\n  \
             ovs-plugin doctor\n  \
             ovs-plugin vlan-ensure --master backplane --vlan 2313 --name vxbackend\n  \
             ovs-plugin vlan-ensure '{{\"master\": \"backplane\", \"vlan\": 2313, \"name\": \"vxbackend\"}}'\n  \
             ovs-plugin --output json port-list --bridge backplane\n\n\
             Environment:\n  {}  the database: unix:PATH or tcp:IP[:PORT], comma separated\n  \
             {}  seconds for one command (8)\n  {}  datapath type of new bridges\n  \
             {}  what is logged to stderr (warn)",
            settings::DB,
            settings::TIMEOUT,
            settings::DATAPATH_TYPE,
            settings::LOG
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_wait_ready_that_is_no_time_is_refused() {
        assert_eq!(wait_ready_limit("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(wait_ready_limit("inf"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "soon", "nan", "-1"] {
            assert!(wait_ready_limit(wrong).is_err(), "{wrong}");
        }
    }
}
