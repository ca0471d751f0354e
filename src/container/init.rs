//! `ovs-plugin init`: makes the container's state usable, from whatever state it is in. Safe to run at any time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{database, process, say, stale};
use crate::paths::Paths;
use crate::problem::Problem;

const STEP: &str = "init";

/// An init before this one, or what is left of it, may still be at work.
const TIME_FOR_OTHERS: Duration = Duration::from_secs(10);

/// All of it takes 30 ms. A disk or a tool that hangs must not: until this has ended, the host agent reads no command.
const DEADLINE: Duration = Duration::from_secs(30);

/// Does it. The database is left alone while an ovsdb-server uses it.
pub fn run(paths: &Paths) -> Result<(), Problem> {
    process::keep_descriptors_from_children();
    end_by_the_deadline();
    tell_what_is_missing();
    let parents = [Some(paths.run.as_path()), paths.database.parent(), Some(paths.log.as_path())];
    for directory in parents.into_iter().flatten() {
        fs::create_dir_all(directory).map_err(|error| Problem::io(directory.display(), error))?;
    }
    let database = stale::target(&paths.database)?;
    let _alone = process::have_alone(database.parent().unwrap_or(Path::new("/")), TIME_FOR_OTHERS)?;
    stale::remove(STEP, &paths.run)?;
    if stale::is_in_use(&database)? {
        say(STEP, format_args!("an ovsdb-server uses {}, which is left as it is", database.display()));
        return Ok(());
    }
    database::prepare(STEP, paths, &database)
}

/// Ends the process whatever it is waiting for; the tools that it runs end with it. Whatever is half-written by then has
/// not been put in place.
fn end_by_the_deadline() {
    std::thread::spawn(|| {
        std::thread::sleep(DEADLINE);
        say(
            STEP,
            format_args!("not done within {} s, given up; nothing that is unfinished is used", DEADLINE.as_secs()),
        );
        std::process::exit(1);
    });
}

/// Says first what will be the cause of later trouble.
fn tell_what_is_missing() {
    let tun = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let missing: Vec<&str> = [
        (tun.is_err(), "/dev/net/tun can't be opened"),
        (!has_capability(CAP_NET_ADMIN), "the capability CAP_NET_ADMIN is missing"),
        (!has_capability(CAP_NET_RAW), "the capability CAP_NET_RAW is missing"),
    ]
    .into_iter()
    .filter_map(|(missing, what)| missing.then_some(what))
    .collect();
    if !missing.is_empty() {
        let what = missing.join(", ");
        say(STEP, format_args!("{what}: no bridge can work; the container has to be created with privileged=True"));
    }
    if !Path::new("/sys/module/openvswitch").exists() {
        say(
            STEP,
            "the kernel module openvswitch is not loaded: bridges of the datapath type system can't work until it is, \
             those of type netdev can",
        );
    }
}

// linux/capability.h. Without the second, no network device can be a port of a bridge of the datapath type netdev.
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Not being able to tell is no reason to complain.
    effective.is_none_or(|mask| mask & (1 << number) != 0)
}
