//! Logging to stderr, one line per write.
//!
//! The host agent parses stderr by the same rules as stdout: a line that starts with digits and `::` would be taken
//! for a message, even for the result. So every line starts with the program's name, and an event never spans lines.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LOG;

/// Logs from here on what `OVS_PLUGIN_LOG` asks for, warnings by default.
pub fn to_stderr() {
    start(Targets::new().with_default(tracing::Level::WARN));
}

/// The same for a server, which by default also tells what it does; the libraries below it only warn.
pub fn of_a_server() {
    start(Targets::new().with_default(tracing::Level::WARN).with_target("ovs_plugin::server", tracing::Level::INFO));
}

fn start(default: Targets) {
    let asked = std::env::var(LOG).unwrap_or_default();
    let (filter, wrong) = match asked.trim() {
        "" => (default, None),
        asked => match asked.parse() {
            Ok(filter) => (filter, None),
            Err(error) => (default, Some(error)),
        },
    };
    // A second call finds a logger in place and leaves it.
    let _ = tracing_subscriber::registry()
        .with(layer().event_format(OneLine).with_writer(std::io::stderr))
        .with(filter)
        .try_init();
    if let Some(error) = wrong {
        tracing::warn!("{LOG}: {asked:?} is not a filter ({error}); expected something like warn or ovs_plugin=debug");
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
        write!(writer, "ovs-plugin: {}: ", event.metadata().level().as_str().to_ascii_lowercase())?;
        for c in fields.chars() {
            match c {
                '\n' | '\r' => writer.write_char(' ')?,
                c => writer.write_char(c)?,
            }
        }
        writer.write_char('\n')
    }
}
