//! The `ovs.*` commands, one file each, and the registry: the only list of commands in the program.
//!
//! To add a command, write its file and add its line to [`REGISTRY`]. The host agent interface, the shell's help and the
//! published schemas all come from there.

mod arguments;
mod bond_add;
mod bond_del;
mod bond_member_add;
mod bond_member_del;
mod bridge_add;
mod bridge_del;
mod bridge_list;
mod device_settings;
mod doctor;
mod gc;
mod port_add;
mod port_del;
mod port_list;
mod port_set;
mod port_settings;
pub(crate) mod schema;
mod set;
mod show;
mod stats;
mod unknown;
mod version;
mod vlan_del;
mod vlan_ensure;
mod vtep_del;
mod vtep_ensure;
mod vxlan_del;
mod vxlan_ensure;

use std::future::Future;
use std::pin::Pin;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::vswitch::run::Report;
use crate::vswitch::run::{self, Body, Mode, Working};
use crate::vswitch::{Session, Unit, secrets};
use arguments::{Arguments, Written};

/// Every command there is.
pub static REGISTRY: &[Entry] = &[
    Entry::of::<bridge_add::BridgeAdd>(),
    Entry::of::<bridge_del::BridgeDel>(),
    Entry::of::<bridge_list::BridgeList>(),
    Entry::of::<port_add::PortAdd>(),
    Entry::of::<port_set::PortSet>(),
    Entry::of::<port_del::PortDel>(),
    Entry::of::<port_list::PortList>(),
    Entry::of::<bond_add::BondAdd>(),
    Entry::of::<bond_del::BondDel>(),
    Entry::of::<bond_member_add::BondMemberAdd>(),
    Entry::of::<bond_member_del::BondMemberDel>(),
    Entry::of::<set::Set>(),
    Entry::of::<vtep_ensure::VtepEnsure>(),
    Entry::of::<vtep_del::VtepDel>(),
    Entry::of::<vlan_ensure::VlanEnsure>(),
    Entry::of::<vlan_del::VlanDel>(),
    Entry::of::<vxlan_ensure::VxlanEnsure>(),
    Entry::of::<vxlan_del::VxlanDel>(),
    Entry::of::<gc::Gc>(),
    Entry::of::<show::Show>(),
    Entry::of::<stats::Stats>(),
    Entry::of::<doctor::Doctor>(),
    Entry::of::<version::Version>(),
];

/// A command: its arguments as a type, and what it does with them.
trait Command: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name, without the domain `ovs.`.
    const NAME: &'static str;
    /// Other names it answers to.
    const ALIASES: &'static [&'static str] = &[];
    /// One line for people.
    const ABOUT: &'static str;
    /// More for people, where one line is not enough.
    const DETAILS: &'static str = "";
    /// Arguments and answer, as JSON, for people to copy.
    const EXAMPLE: (&'static str, &'static str);
    /// The errors that callers are likely to meet: the code of [`Error::code`], and an example of the text.
    const ERRORS: &'static [(&'static str, &'static str)] = &[];
    /// How a person sees the answer: the usual drawing first. Without one, it is shown as it is; where there are several,
    /// `--format` chooses.
    const DRAWINGS: &'static [Drawing] = &[];
    /// What it answers.
    type Answer: Serialize + JsonSchema;

    /// What no single argument can tell: whether they make sense together. Nothing has been read yet.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// What `external_ids:ovs-plugin` says of the rows that it makes.
    fn mark(&self) -> String {
        Self::NAME.to_owned()
    }

    /// The arguments that it takes, besides those of every command.
    fn known() -> Vec<&'static str> {
        arguments::fields_of::<Self>().to_vec()
    }

    /// Reads what exists and asks the unit of work for changes. May be called again after a lost race.
    fn run(&self, unit: &mut Unit<'_>) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// A way to draw a command's answer.
pub struct Drawing {
    /// What `--format` calls it.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Draws an answer. An error tells why it is none of this command's.
    pub draw: fn(&Value) -> Result<String, serde_json::Error>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

/// A command as the interfaces see it.
pub struct Entry {
    /// The name, without the domain `ovs.`.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// One line for people.
    pub about: &'static str,
    /// More for people, where one line is not enough.
    pub details: &'static str,
    /// Example arguments and their answer, as JSON.
    pub example: (&'static str, &'static str),
    /// Likely errors: code, and an example of the text.
    pub errors: &'static [(&'static str, &'static str)],
    /// How a person sees the answer.
    pub drawings: &'static [Drawing],
    /// The JSON Schema of the arguments.
    pub arguments_schema: fn() -> Schema,
    /// The JSON Schema of the answer.
    pub answer_schema: fn() -> Schema,
    /// Whether the command can be called without any argument.
    pub needs_no_arguments: fn() -> bool,
    /// The names of the arguments, besides those of every command.
    pub known: fn() -> Vec<&'static str>,
    execute: for<'a> fn(Written, bool, &'a mut Session) -> Running<'a>,
    /// Reads the arguments and carries out nothing.
    #[cfg(any(test, fuzzing))]
    pub(crate) understand: fn(&str) -> Result<(), Error>,
}

impl Entry {
    const fn of<C: Command>() -> Self {
        Entry {
            name: C::NAME,
            aliases: C::ALIASES,
            about: C::ABOUT,
            details: C::DETAILS,
            example: C::EXAMPLE,
            errors: C::ERRORS,
            drawings: C::DRAWINGS,
            arguments_schema: || schema_for!(C),
            answer_schema: || schema_for!(C::Answer),
            needs_no_arguments: || arguments::decode(&Arguments::new()).is_ok_and(|command: C| command.check().is_ok()),
            known: C::known,
            execute: |written, strict, session| Box::pin(execute::<C>(written, strict, session)),
            #[cfg(any(test, fuzzing))]
            understand: |text| understand::<C>(&mut arguments::parse(text)?, false).map(drop),
        }
    }

    /// Runs the command with arguments as JSON text. Arguments that it does not take are noted, unless `strict` says
    /// otherwise.
    pub async fn execute(&self, arguments: &str, session: &mut Session) -> Result<Value, Error> {
        (self.execute)(arguments::parse(arguments)?, false, session).await
    }

    /// The same for callers who never knew the original: arguments that it does not take are refused, unless `strict`
    /// says otherwise.
    pub async fn execute_strictly(&self, arguments: &str, session: &mut Session) -> Result<Value, Error> {
        (self.execute)(arguments::parse(arguments)?, true, session).await
    }
}

/// The command of this name. Names are exact, as they were for the original.
pub fn find(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name || entry.aliases.contains(&name))
}

/// Reads arguments as every command reads them: keys in lower case, no nulls.
pub fn read(json: &str) -> Result<Map<String, Value>, Error> {
    arguments::parse(json).map(|written| written.arguments)
}

/// The flag that was probably meant by another one, as a person types it.
pub fn flag_meant(entry: &Entry, flag: &str) -> Option<String> {
    unknown::meant(entry.name, flag.trim_start_matches('-'), &(entry.known)()).map(|meant| meant.as_flag())
}

/// The longest text that a transaction leaves in the database's log.
const COMMENT_MAX: usize = 1024;

async fn execute<C: Command>(mut written: Written, strict: bool, session: &mut Session) -> Result<Value, Error> {
    let (mode, notes, command) = understand::<C>(&mut written, strict)?;
    let report = perform(C::NAME, written.arguments, &command.mark(), mode, &Answered(&command), session).await?;
    answer(report, notes, mode)
}

/// What is asked for and what is to be noted about it, without looking at anything but the arguments. What all commands
/// have in common is taken out of them, and what this one does not take.
fn understand<C: Command>(written: &mut Written, strict: bool) -> Result<(Mode, Vec<String>, C), Error> {
    let Written { arguments, repeated } = written;
    let strict = arguments::take_flag(arguments, schema::STRICT, strict)?;
    let mode = Mode {
        dry_run: arguments::take_flag(arguments, "dry_run", false)?,
        report: arguments::take_flag(arguments, "report", false)?,
        verify: arguments::take_verify(arguments)?,
        durable: arguments::take_flag(arguments, "durable", false)?,
    };
    let known = C::known();
    let mut ignored = unknown::of(C::NAME, arguments, &known);
    ignored.extend(repeated.iter().filter_map(unknown::repeated));
    unknown::refuse(&ignored, strict)?;
    let notes: Vec<String> = ignored.iter().map(unknown::Ignored::note).collect();
    // What was meant may be a secret under another name, so it must not get into the database's log either.
    arguments.retain(|name, _| known.contains(&name.as_str()));
    // At once, so that it is told as well when the command fails: it may be why.
    for note in &notes {
        tracing::warn!("{note}");
    }
    let command: C = arguments::decode(arguments)?;
    command.check()?;
    Ok((mode, notes, command))
}

/// A report with what was noted before anything was done, or the bare result.
fn answer(mut report: Report, notes: Vec<String>, mode: Mode) -> Result<Value, Error> {
    match mode {
        Mode { report: false, dry_run: false, .. } => Ok(report.result),
        _ => {
            report.notes.splice(..0, notes);
            as_json(report)
        }
    }
}

/// The part of the way that is the same for all commands, whatever their types.
async fn perform(
    name: &str,
    arguments: Arguments,
    mark: &str,
    mode: Mode,
    body: &dyn Body,
    session: &mut Session,
) -> Result<Report, Error> {
    let mut arguments = Value::Object(arguments);
    secrets::hide_in_json(&mut arguments);
    let mut comment = format!("ovs-plugin {name} {arguments}");
    if comment.len() > COMMENT_MAX {
        comment.truncate(comment.floor_char_boundary(COMMENT_MAX));
        comment.push('…');
    }
    run::run(session, &comment, mark, mode, body).await
}

/// A command whose answer is JSON, whatever its type.
struct Answered<'a, C>(&'a C);

impl<C: Command> Body for Answered<'_, C> {
    fn run<'a>(&'a self, unit: &'a mut Unit<'_>) -> Working<'a> {
        Box::pin(async move { as_json(self.0.run(unit).await?) })
    }
}

fn as_json(answer: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(|error| Error::Internal(format!("the answer can't be written: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_argument_that_is_published_is_known_and_no_other() {
        for entry in REGISTRY {
            let schema = (entry.arguments_schema)().to_value();
            let published = schema["properties"].as_object().into_iter().flat_map(Map::keys);
            let published: BTreeSet<&str> = published.map(String::as_str).collect();
            assert_eq!((entry.known)().into_iter().collect::<BTreeSet<_>>(), published, "{}", entry.name);
        }
    }
}
