//! What is in the image, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use object::elf;

use crate::command::output;
use crate::debian::{Package, Packages};
use crate::elf::{Elf, is_elf};
use crate::image::{Image, Kind, Origin};
use crate::libraries;
use crate::progress::{Step, Unit};
use crate::tree::{Machine, Tree};

/// Where the host agent finds the plugin, because `/.plugin.toml` says so.
pub const PLUGIN: &str = "/var/lib/corex/plugins/ovs-plugin";

/// More than this is not worth downloading to every node.
const SIZE_LIMIT: u64 = 40_000_000;

/// Of Open vSwitch: the path in the image, where Debian has it (the first that exists), and what it is for.
///
/// Debian's /usr/sbin/ovs-vswitchd is one of several alternatives, so the package's own file goes before it: which one
/// the machine prefers makes no difference to the image.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("/usr/sbin/ovsdb-server", &["/usr/sbin/ovsdb-server"], "the database server"),
    ("/usr/bin/ovsdb-tool", &["/usr/bin/ovsdb-tool"], "makes and converts the database"),
    ("/usr/sbin/ovs-vswitchd", &["/usr/lib/openvswitch-switch/ovs-vswitchd", "/usr/sbin/ovs-vswitchd"], "the switch"),
    ("/usr/bin/ovs-appctl", &["/usr/bin/ovs-appctl"], "talks to the daemons, for people"),
    ("/usr/bin/ovs-vsctl", &["/usr/bin/ovs-vsctl"], "shows and changes the configuration, for people"),
];

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const COMMON_LICENCES: &str = "/usr/share/common-licenses/";

const LINKS: &[(&str, &str, &str)] = &[
    ("/var/run", "../run", "one directory under both names, so that everybody finds the sockets"),
    // The host agent goes by the path in its manifest, which stays.
    ("/usr/local/bin/ovs-plugin", "../../../var/lib/corex/plugins/ovs-plugin", "in PATH, for people in the container"),
];

/// Directories that are empty at first.
const DIRECTORIES: &[(&str, u32, &str)] = &[
    ("/dev", 0o755, "the host agent or the engine mounts devices there"),
    ("/etc/openvswitch", 0o755, "the database"),
    ("/proc", 0o755, "the host agent or the engine mounts proc there"),
    ("/run/openvswitch", 0o755, "sockets and pid files"),
    ("/sys", 0o755, "the host agent or the engine mounts sysfs there"),
    ("/tmp", 0o1777, "temporary files"),
    ("/var/log/openvswitch", 0o755, "log files"),
];

/// What was found out while collecting.
pub struct Contents {
    /// The image.
    pub image: Image,
    /// Of each file that comes from a package, by path in the image.
    pub owners: BTreeMap<PathBuf, Package>,
    /// The version of Open vSwitch.
    pub ovs_version: String,
    /// The version of the plugin.
    pub plugin_version: String,
    /// The processor.
    pub machine: elf::Machine,
}

/// Puts the image together from the machine's packages, the built plugin and the checkout.
pub fn collect(plugin: &Path, checkout: &Path) -> Result<Contents> {
    let mut image = Image::new();
    for (path, target, why) in LINKS {
        image.add_link(Path::new(path), target, why)?;
    }
    for (path, mode, why) in DIRECTORIES {
        image.add_directory(Path::new(path), *mode, why)?;
    }
    // Where people look for programs; the host agent expects it to be there.
    directory_of_machine(&mut image, Path::new("/bin"))?;

    let ovs_version = add_open_vswitch(&mut image)?;
    let (plugin_version, machine) = add_plugin(&mut image, plugin, checkout)?;
    let owners = find_owners(&image, "checking packages")?;
    let licences = add_licences(&mut image, &owners)?;
    let owners = owners.into_iter().chain(licences).collect();
    check_manifests(&image)?;
    image.check(SIZE_LIMIT)?;
    Ok(Contents { image, owners, ovs_version, plugin_version, machine })
}

/// Adds the programs with their loader and libraries, and the schema. Returns their version.
fn add_open_vswitch(image: &mut Image) -> Result<String> {
    let mut programs = Vec::new();
    for (path, places, why) in PROGRAMS {
        let found = places.iter().find_map(|place| Machine.canonical(Path::new(place)));
        let found = found.with_context(|| missing(path, places, "openvswitch-switch openvswitch-common"))?;
        add_machine_file(image, Path::new(path), 0o755, &found, why)?;
        programs.push(found);
    }
    for library in libraries::closure(&Machine, &programs)? {
        let (Some(directory), Some(name)) = (library.path.parent(), library.path.file_name()) else {
            bail!("{} is no file", library.path.display());
        };
        let directory = directory_of_machine(image, directory)?;
        let mode = if library.is_loader { 0o755 } else { 0o644 };
        add_machine_file(image, &directory.join(name), mode, &library.path, &library.why)?;
    }
    let schema = Path::new(SCHEMA);
    ensure!(schema.exists(), missing(SCHEMA, &[SCHEMA], "openvswitch-switch"));
    add_machine_file(image, schema, 0o644, schema, "the schema that the database is made from and converted to")?;

    let program = programs.first().context("no programs")?;
    // "ovsdb-server (Open vSwitch) 3.1.0"
    let text = output(program, &["--version"])?;
    let version = text.lines().next().and_then(|line| line.split_whitespace().last());
    version.map(str::to_owned).with_context(|| format!("{} --version printed nothing", program.display()))
}

fn missing(path: &str, places: &[&str], packages: &str) -> String {
    format!(
        "{path} is missing on this machine (looked at {}); install it with: apt-get install {packages}",
        places.join(", ")
    )
}

fn add_machine_file(image: &mut Image, path: &Path, mode: u32, source: &Path, why: &str) -> Result<()> {
    let source = Machine.canonical(source).with_context(|| format!("{} is missing", source.display()))?;
    let bytes = Machine.read(&source).with_context(|| format!("reading {}", source.display()))?;
    image.add_file(path, mode, bytes, why, Origin::Machine(source))
}

/// Makes a directory in the image with the symbolic links that lead to it on the machine, such as those of a merged
/// `/usr`: the loader's path is `/lib64/...` in every program. Returns the path without links.
fn directory_of_machine(image: &mut Image, directory: &Path) -> Result<PathBuf> {
    let mut at = PathBuf::from("/");
    for part in directory.strip_prefix("/").context("a relative path")?.components() {
        let next = at.join(part);
        if next.is_symlink() {
            let target = Machine.canonical(&next).with_context(|| format!("{} leads nowhere", next.display()))?;
            let up = "../".repeat(at.components().count() - 1);
            let relative = format!("{up}{}", target.strip_prefix("/")?.display());
            image.add_directory(&target, 0o755, "programs and libraries")?;
            image.add_link(&next, &relative, "as on the machine, since paths in programs go through it")?;
            at = target;
        } else {
            image.add_directory(&next, 0o755, "programs and libraries")?;
            at = next;
        }
    }
    Ok(at)
}

/// Adds the plugin and what it says to the host agent. Returns its version and its processor.
fn add_plugin(image: &mut Image, plugin: &Path, checkout: &Path) -> Result<(String, elf::Machine)> {
    let shown = plugin.display();
    let bytes = fs::read(plugin).with_context(|| format!("{shown} is missing; build it with: make build"))?;
    let elf = Elf::parse(&bytes).with_context(|| shown.to_string())?;
    ensure!(elf.is_static(), "{shown} is not static, so it needs what the image has not; build it with: make build");
    image.add_file(Path::new(PLUGIN), 0o755, bytes, "the plugin", Origin::Project)?;

    for (which, path) in [("plugin", "/.plugin.toml"), ("startup", "/.startup.toml")] {
        let text = output(plugin, &["manifest", which])?;
        image.add_file(Path::new(path), 0o644, text.into_bytes(), "read by the host agent", Origin::Project)?;
    }
    let licence = checkout.join("LICENSE");
    let text = fs::read(&licence).with_context(|| licence.display().to_string())?;
    image.add_file(Path::new("/usr/share/doc/ovs-plugin/LICENSE"), 0o644, text, "licence", Origin::Project)?;

    // "ovs-plugin 0.1.0"
    let version = output(plugin, &["--version"])?;
    let version = version.split_whitespace().last().with_context(|| format!("{shown} --version printed nothing"))?;
    Ok((version.to_owned(), elf.machine))
}

/// The packages of all files that come from the machine.
fn find_owners(image: &Image, step: &'static str) -> Result<BTreeMap<PathBuf, Package>> {
    let files = image.entries().filter_map(|(path, entry)| match (&entry.origin, &entry.kind) {
        (Origin::Machine(source), Kind::File(bytes)) => Some((path, source, bytes)),
        _ => None,
    });
    let files: Vec<_> = files.collect();
    let sources: Vec<PathBuf> = files.iter().map(|(_, source, _)| (*source).clone()).collect();
    let step = Step::begin(step, files.len() as u64, Unit::Files);
    let packages = Packages::of_files(&sources)?;
    let mut owners = BTreeMap::new();
    for (path, source, bytes) in files {
        owners.insert(path.to_owned(), packages.owner(source, bytes)?.clone());
        step.advance(1);
    }
    let names: BTreeSet<&str> = owners.values().map(|package| package.name.as_str()).collect();
    step.end(format_args!("{} files are as their {} packages brought them", owners.len(), names.len()));
    Ok(owners)
}

/// Adds the copyright file of every package that something comes from, and the licences that they refer to.
fn add_licences(image: &mut Image, owners: &BTreeMap<PathBuf, Package>) -> Result<BTreeMap<PathBuf, Package>> {
    let mut texts = String::new();
    let packages: BTreeSet<&str> = owners.values().map(|package| package.name.as_str()).collect();
    for package in packages {
        let path = PathBuf::from(format!("/usr/share/doc/{package}/copyright"));
        let found = Machine.canonical(&path).with_context(|| {
            format!("{} is missing; put it back with: apt-get install --reinstall {package}", path.display())
        })?;
        add_machine_file(image, &path, 0o644, &found, &format!("copyright and licences of {package}"))?;
        texts.push_str(&String::from_utf8_lossy(image.file(&path).unwrap_or_default()));
    }
    for name in common_licences(&texts) {
        let path = PathBuf::from(format!("{COMMON_LICENCES}{name}"));
        // Texts also name licences by patterns, or say "GPL" at the end of a line that goes on.
        if path.is_file() {
            add_machine_file(image, &path, 0o644, &path, "a licence that copyright files refer to")?;
        }
    }
    let mut all = find_owners(image, "checking licences")?;
    all.retain(|path, _| !owners.contains_key(path));
    Ok(all)
}

/// The files in /usr/share/common-licenses that texts mention.
fn common_licences(texts: &str) -> BTreeSet<&str> {
    let mentions = texts.split(COMMON_LICENCES).skip(1);
    let names = mentions.map(|rest| {
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '+');
        rest.find(|character| !is_name(character)).map_or(rest, |end| &rest[..end]).trim_end_matches(['.', '-'])
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// What the host agent is told to run has to be in the image.
fn check_manifests(image: &Image) -> Result<()> {
    let parse = |path: &str| -> Result<toml::Table> {
        let text = image.file(Path::new(path)).with_context(|| format!("{path} is missing"))?;
        std::str::from_utf8(text)?.parse().with_context(|| format!("{path} is not TOML"))
    };
    let must_run = |path: &str, said_by: &str| -> Result<()> {
        let bytes =
            image.file(Path::new(path)).with_context(|| format!("{said_by} runs {path}, which is not in the image"))?;
        ensure!(is_elf(bytes), "{said_by} runs {path}, which is no program");
        Ok(())
    };

    let plugins = parse("/.plugin.toml")?;
    let plugins =
        plugins.get("plugin").and_then(toml::Value::as_table).context("/.plugin.toml has no [plugin.NAME]")?;
    for (name, plugin) in plugins {
        let said_by = format!("[plugin.{name}] of /.plugin.toml");
        must_run(plugin.get("path").and_then(toml::Value::as_str).unwrap_or_default(), &said_by)?;
        let exports = plugin.get("exports").and_then(toml::Value::as_array).map_or(0, Vec::len);
        ensure!(exports > 0, "{said_by} exports no command");
    }

    let startup = parse("/.startup.toml")?;
    let services = startup.get("startup").and_then(toml::Value::as_table);
    for (name, service) in services.context("/.startup.toml has no [startup.NAME]")? {
        let said_by = format!("[startup.{name}] of /.startup.toml");
        let args = service.get("args").with_context(|| format!("{said_by} has no args"))?;
        must_run(args.get("name").and_then(toml::Value::as_str).unwrap_or_default(), &said_by)?;
        // A service may run another program.
        let arguments = args.get("args").and_then(toml::Value::as_array).into_iter().flatten();
        for argument in arguments.filter_map(toml::Value::as_str).filter(|argument| argument.starts_with("/usr/")) {
            must_run(argument, &said_by)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_found_wherever_a_text_mentions_them() {
        let texts = "see /usr/share/common-licenses/GPL-2.\nor \"/usr/share/common-licenses/LGPL-2.1\", \
                     /usr/share/common-licenses/Apache-2.0 /usr/share/common-licenses/.";
        assert_eq!(common_licences(texts), BTreeSet::from(["Apache-2.0", "GPL-2", "LGPL-2.1"]));
    }

    fn manifests(plugin: &str, startup: &str) -> Image {
        let mut image = Image::new();
        for (path, text) in [("/.plugin.toml", plugin), ("/.startup.toml", startup)] {
            image.add_file(Path::new(path), 0o644, text.into(), "", Origin::Project).unwrap();
        }
        image.add_file(Path::new("/plugin"), 0o755, b"\x7fELF".to_vec(), "", Origin::Project).unwrap();
        image
    }

    #[test]
    fn a_manifest_that_runs_what_is_not_there_is_refused() {
        let plugin = "[plugin.ovs]\npath = \"/plugin\"\nexports = [\"bridge-add\"]\n";
        let startup = "[startup.a]\nname = \"core.system\"\n[startup.a.args]\nname = \"/plugin\"\n";
        check_manifests(&manifests(plugin, startup)).unwrap();
        for (plugin, startup, expected) in [
            (plugin.replace("/plugin", "/other"), startup.to_owned(), "runs /other, which is not in the image"),
            (plugin.replace("\"bridge-add\"", ""), startup.to_owned(), "exports no command"),
            (plugin.to_owned(), startup.replace("/plugin", "/.plugin.toml"), "which is no program"),
            (plugin.to_owned(), format!("{startup}args = [\"/usr/sbin/x\"]"), "runs /usr/sbin/x, which is not"),
            (String::new(), startup.to_owned(), "has no [plugin.NAME]"),
            (plugin.to_owned(), "x".to_owned(), "/.startup.toml is not TOML"),
        ] {
            let error = format!("{:#}", check_manifests(&manifests(&plugin, &startup)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn people_find_the_plugin_in_path() {
        let mut image = Image::new();
        for (path, target, why) in LINKS {
            image.add_link(Path::new(path), target, why).unwrap();
        }
        image.add_file(Path::new(PLUGIN), 0o755, b"\x7fELF".to_vec(), "", Origin::Project).unwrap();
        assert_eq!(image.canonical(Path::new("/usr/local/bin/ovs-plugin")).as_deref(), Some(Path::new(PLUGIN)));
    }

    #[test]
    fn merged_directories_of_the_machine_become_relative_links() {
        let mut image = Image::new();
        let directory = directory_of_machine(&mut image, Path::new("/var/run")).unwrap();
        assert_eq!(Machine.canonical(Path::new("/var/run")).unwrap(), directory);
        assert_eq!(image.canonical(Path::new("/var/run")).unwrap(), directory);
    }
}
