//! `/.plugin.toml` and `/.startup.toml`, made from the registry and the services, so that they can't list what does not
//! exist. Their format is the host agent's (0-core, base/settings/startup.go): an unknown key fails the whole file.

use std::fmt::Write;

use super::services::{PLUGIN, Running, services};
use crate::commands::REGISTRY;
use crate::paths::Paths;

/// What the host agent may call.
pub fn plugin() -> String {
    let mut names: Vec<&str> = REGISTRY.iter().map(|entry| entry.name).collect();
    names.extend(REGISTRY.iter().flat_map(|entry| entry.aliases));
    format!("[plugin.ovs]\npath = {PLUGIN:?}\nqueue = true\nexports = {names:?}\n")
}

/// What the host agent starts. A daemon stays in the foreground and is `protected`: the agent then starts it again,
/// also after SIGKILL, which Open vSwitch's own monitor does not survive.
pub fn startup() -> String {
    let mut file = String::new();
    for service in services(&Paths::from_env(), PLUGIN) {
        let name = service.name;
        // Writing to a string does not fail.
        let _ = writeln!(file, "[startup.{name}]\nname = \"core.system\"");
        if !service.after.is_empty() {
            let _ = writeln!(file, "after = {:?}", service.after);
        }
        let _ = match service.running {
            // Only a step that ends by itself may be waited for like this, or the container never reads a command.
            Running::Ended => writeln!(file, "running_delay = -1"),
            Running::Prints(line) => {
                let pattern = line.replace('(', "[(]").replace(')', "[)]");
                writeln!(file, "running_match = {pattern:?}\nprotected = true")
            }
        };
        let (program, arguments) = service.command.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let _ = writeln!(file, "\n[startup.{name}.args]\nname = {program:?}\nargs = {arguments:?}\n");
    }
    file.truncate(file.trim_end().len());
    file.push('\n');
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_exported_under_all_its_names() {
        let file = plugin();
        for name in REGISTRY.iter().flat_map(|entry| entry.aliases.iter().chain([&entry.name])) {
            assert!(file.contains(&format!("{name:?}")), "{name}");
        }
    }

    #[test]
    fn only_keys_that_the_host_agent_knows_are_used() {
        const KNOWN: &[&str] = &["name", "args", "after", "running_delay", "running_match", "protected"];
        for line in startup().lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
            let (key, _) = line.split_once(" = ").unwrap();
            assert!(KNOWN.contains(&key), "{key}");
        }
    }
}
