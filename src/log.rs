//! Logging to stderr, one line per write.
//!
//! The host agent parses stderr by the same rules as stdout: a line that starts with digits and `::` would be taken
//! for a message, even for the result. So every line starts with the program's name, and an event never spans lines.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LOG;
use crate::terminal::in_line;

/// Logs from here on what `OVS_PLUGIN_LOG` asks for, warnings by default.
pub fn to_stderr() {
    start(None);
}

/// The same for a server, which by default also tells what it does; the libraries below it only warn.
pub fn of_a_server() {
    start(Some(Targets::new().with_default(Level::WARN).with_target("ovs_plugin::server", Level::INFO)));
}

/// Without a filter of its own, a process only warns.
fn start(default: Option<Targets>) {
    let asked = std::env::var(LOG).unwrap_or_default();
    let (filter, wrong) = match asked.trim() {
        "" => (default, None),
        "warn" => (None, None),
        asked => match asked.parse::<Targets>() {
            Ok(filter) => (Some(filter), None),
            Err(error) => (default, Some(error)),
        },
    };
    // A second call finds a logger in place and leaves it.
    match filter {
        None => drop(tracing::subscriber::set_global_default(Warnings)),
        Some(filter) => drop(
            tracing_subscriber::registry()
                .with(layer().event_format(OneLine).with_writer(std::io::stderr))
                .with(filter)
                .try_init(),
        ),
    }
    if let Some(error) = wrong {
        tracing::warn!("{LOG}: {asked:?} is not a filter ({error}); expected something like warn or ovs_plugin=debug");
    }
}

/// Warnings and errors, nothing else: what every command starts with. Setting up tracing-subscriber's registry, which it
/// has no use for, would take longer than all the rest of its start.
struct Warnings;

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let mut line = String::new();
        // Writing to a String can't fail. Nobody is left to be told that stderr is gone.
        let _ = one_line(&mut line, *event.metadata().level(), &fields.0);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    // This program has no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The message, then the fields as `name=value`, as tracing-subscriber writes them.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let blank = if self.0.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.0, "{blank}{value:?}"),
            name => write!(self.0, "{blank}{name}={value:?}"),
        };
    }
}

struct OneLine;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        one_line(&mut writer, *event.metadata().level(), &fields)
    }
}

fn one_line(writer: &mut impl fmt::Write, level: Level, text: &str) -> fmt::Result {
    write!(writer, "ovs-plugin: {}: ", level.as_str().to_ascii_lowercase())?;
    for c in text.chars() {
        writer.write_char(in_line(c))?;
    }
    writer.write_char('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_and_does_nothing_to_a_terminal() {
        let mut line = String::new();
        one_line(&mut line, Level::WARN, "a\nb\r20:::c\u{1b}[31m\u{9b}31m\u{202e}").unwrap();
        assert_eq!(line, "ovs-plugin: warn: a b 20:::c\u{fffd}[31m\u{fffd}31m\u{fffd}\n");
    }
}
