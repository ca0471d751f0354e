//! Builds the image of the *ovs* container from the machine's Debian packages and the plugin: `ovs.tar.gz` for a flist
//! hub, `ovs.oci.tar` for Docker and Podman, `manifest.json` about both, and `root/`, the same unpacked.
//!
//! The same commit and the same packages make the same bytes, in whatever directory, on whatever day.

mod archive;
mod checkout;
mod command;
mod contents;
mod debian;
mod elf;
mod hash;
mod image;
mod libraries;
mod manifest;
mod oci;
mod progress;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use checkout::Checkout;
use hash::sha256;
use manifest::Archive;
use progress::{Step, Unit, size};

/// Builds the image of the ovs container.
#[derive(Parser)]
struct Arguments {
    /// The static binary of the plugin.
    #[arg(long)]
    plugin: PathBuf,
    /// The directory that the plugin was built from.
    #[arg(long, default_value = ".")]
    checkout: PathBuf,
    /// Where the results are put.
    #[arg(long, default_value = "target/flist")]
    output: PathBuf,
}

fn main() -> std::process::ExitCode {
    match build(&Arguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flist: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn build(arguments: &Arguments) -> Result<()> {
    let checkout = Checkout::of(&arguments.checkout)?;
    let plugin = fs::canonicalize(&arguments.plugin)
        .with_context(|| format!("{} is missing; build it with: make build", arguments.plugin.display()))?;
    let contents = contents::collect(&plugin, &arguments.checkout)?;

    let tar = archive::of_image(&contents.image, checkout.time)?;
    let step = Step::begin("packing", tar.len() as u64, Unit::Bytes);
    let packed = archive::gzip(&tar, |part| step.advance(part))?;
    step.end(format_args!("{} unpacked, {} packed", size(contents.image.size()), size(packed.len() as u64)));

    let about = oci::About {
        machine: contents.machine,
        version: &contents.plugin_version,
        ovs_version: &contents.ovs_version,
        commit: &checkout.commit,
        time: checkout.time,
    };
    let oci = oci::archive(&packed, &tar, &about)?;

    let files = [("ovs.tar.gz", &packed), ("ovs.oci.tar", &oci)];
    let archives = files.map(|(name, bytes)| Archive { name, size: bytes.len(), sha256: sha256(bytes) });
    let manifest = manifest::text(&contents, &checkout, archives.into())?;

    let output = &arguments.output;
    let step = Step::begin("writing", contents.image.entries().count() as u64, Unit::Files);
    fs::create_dir_all(output).with_context(|| output.display().to_string())?;
    replace_root(&tar, &output.join("root"))?;
    for (name, bytes) in files.into_iter().chain([("manifest.json", &manifest.into_bytes())]) {
        replace(&output.join(name), bytes)?;
    }
    step.end(output.display());
    for (name, bytes) in files {
        eprintln!("{name:20} sha256 {}", sha256(bytes));
    }
    eprintln!(
        "Open vSwitch {}, ovs-plugin {}, commit {}",
        contents.ovs_version, contents.plugin_version, checkout.commit
    );
    Ok(())
}

/// Writes a file so that there is the old one or the new one, never half of it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_added_extension("new");
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, path)).with_context(|| path.display().to_string())
}

/// Unpacks the image in the place of the one of the last time.
fn replace_root(tar: &[u8], root: &Path) -> Result<()> {
    let new = root.with_added_extension("new");
    for old in [&new, root] {
        if old.exists() {
            // Removing what is mounted there, like a bound /dev, would be a disaster.
            let old = fs::canonicalize(old)?;
            if let Some(mount) = mounts()?.into_iter().find(|mount| mount.starts_with(&old)) {
                anyhow::bail!("something is mounted on {}; umount it first", mount.display());
            }
            fs::remove_dir_all(&old).with_context(|| format!("removing {}", old.display()))?;
        }
    }
    fs::create_dir(&new).with_context(|| new.display().to_string())?;
    archive::unpack(tar, &new)?;
    fs::rename(&new, root).with_context(|| root.display().to_string())?;
    ensure!(root.join(".plugin.toml").is_file(), "{} is not complete", root.display());
    Ok(())
}

/// Where something is mounted.
fn mounts() -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    // proc(5): the fifth field, with blanks as \040.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points.map(|point| point.replace("\\040", " ").into()).collect())
}
