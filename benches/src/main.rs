//! `make bench`: ovs-plugin beside its yardsticks.
//!
//! Every figure is the ratio of two things that were measured in turns, in one run, on one switch, so that whatever
//! else the machine does meets both. All of it happens in namespaces of its own and ends with them.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod cases;
mod library;
mod machine;
mod measure;
mod plot;
mod replica;
mod report;
mod server;
mod switch;

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use cases::{CASES, Case, State};
use measure::{Figure, Run, Target};
use switch::{Size, Switch};

/// Measure ovs-plugin beside ovs-vsctl and beside the least that any process can do.
#[derive(Parser)]
struct Options {
    /// The program to measure
    #[arg(long)]
    plugin: PathBuf,
    /// The yardstick that does the least
    #[arg(long)]
    floor: PathBuf,
    /// Where report.json and latency.svg go
    #[arg(long)]
    output: PathBuf,
    /// Measured pairs for each figure
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Only this command
    #[arg(long)]
    command: Option<String>,
    /// Numbers of ports on the switch
    #[arg(long, value_delimiter = ',', default_value = "0,100,1000,10000")]
    ports: Vec<usize>,
    /// Numbers of VLAN bridges on the switch; 0 for none of these sizes
    #[arg(long, value_delimiter = ',', default_value = "500,4094")]
    vlans: Vec<usize>,
    /// Measure also what takes hours: every change where ovs-vswitchd takes more than a second for each
    #[arg(long)]
    full: bool,
    /// Only this part
    #[arg(long)]
    section: Option<Section>,
    /// The Python that has PyPI's ovs and ovsdbapp; without it, the library is not measured beside them
    #[arg(long)]
    python: Option<PathBuf>,
    /// The namespaces are made already
    #[arg(long, hide = true)]
    inside: bool,
}

/// A part of what can be measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// One process for each command
    OneShot,
    /// A server that stays
    Server,
    /// The replica and the hub by themselves
    Replica,
    /// The library by itself
    Library,
}

/// Above this, ovs-vswitchd's own time hides everyone else's, and measuring becomes a matter of hours.
const SLOW: Duration = Duration::from_millis(500);

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(("part", arguments)) = arguments.get(1).map(String::as_str).zip(arguments.get(2..)) {
        println!("{}", replica::run_part(arguments)?);
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    if !options.inside {
        return enter_namespaces();
    }
    mount_run()?;
    let mut figures = Vec::new();
    let mut notes = Vec::new();
    let mut limits = Vec::new();
    let wanted = |section| options.section.is_none_or(|only| only == section);
    if wanted(Section::OneShot) {
        one_shot(&options, &mut figures, &mut notes)?;
    }
    if wanted(Section::Server) {
        let sizes = [Size::Ports(0), Size::Ports(10_000), Size::Vlans(4000)];
        let (of_server, its_limits) = server::measure(&options.plugin, options.rounds, &sizes)?;
        figures.extend(of_server);
        limits.extend(its_limits);
    }
    if wanted(Section::Replica) {
        let (of_replica, its_limits) = replica::measure(options.python.as_deref())?;
        figures.extend(of_replica);
        limits.extend(its_limits);
    }
    if wanted(Section::Library) {
        figures.extend(library::measure(options.rounds, options.python.as_deref())?);
    }
    let report = report::Report { machine: machine::Machine::describe()?, switches: notes, figures, limits };
    print!("{}", report.table());
    report.write(&options.output)?;
    plot::draw(&report, &options.output)?;
    Ok(if report.all_met() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// A process for each command, on switches of all sizes.
fn one_shot(options: &Options, figures: &mut Vec<Figure>, notes: &mut Vec<report::SwitchNote>) -> Result<()> {
    let runs = 4 * options.rounds;
    cases::make_devices(runs)?;
    let sizes = options.ports.iter().map(|count| Size::Ports(*count));
    let vlans = options.vlans.iter().filter(|count| **count > 0);
    for size in sizes.chain(vlans.map(|count| Size::Vlans(*count))) {
        eprintln!("a switch with {}", size.label());
        let switch = Switch::start(size)?;
        eprintln!("  ovs-vswitchd takes {:.1} ms for a change", switch.change.as_secs_f64() * 1000.0);
        for case in CASES.iter().filter(|case| options.command.as_deref().is_none_or(|name| name == case.command)) {
            if switch.change > SLOW && case.state == State::New && case.command != "vlan-ensure" && !options.full {
                continue;
            }
            eprintln!("  {} {}", case.command, case.state.word());
            figures.extend(measure(case, &switch, options)?);
        }
        notes.push(report::SwitchNote {
            size: size.label(),
            rows: size.rows(),
            change_ms: switch.change.as_secs_f64() * 1000.0,
            vswitchd_mb: switch.vswitchd_memory()? as f64 / 1e6,
        });
    }
    Ok(())
}

/// Runs this program again in namespaces of its own; everything in them ends with it.
fn enter_namespaces() -> Result<ExitCode> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--mount-proc", "--net", "--pid", "--fork", "--kill-child"]);
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    // On the largest switches, ovs-vswitchd takes longer for a change than anybody would wait for by default.
    command.env("OVS_PLUGIN_TIMEOUT", "120");
    command.arg("--").arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).arg("--inside");
    let status = command.status().context("unshare")?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn mount_run() -> Result<()> {
    let run = |words: &str| -> Result<()> {
        let mut words = words.split_whitespace();
        let status = Command::new(words.next().unwrap_or_default()).args(words).status()?;
        ensure!(status.success(), "the namespaces can't be furnished");
        Ok(())
    };
    run(&format!("mount -t tmpfs tmpfs {}", switch::RUN))?;
    run("ip link set lo up")?;
    // A large switch needs many devices, and each a descriptor.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = rustix::process::Rlimit { current: most, maximum: most };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Ok(())
}

/// Who takes part in a measurement besides us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yardstick {
    Floor,
    Calls,
    Batch,
}

/// Ours and all yardsticks in turns, round after round.
fn measure(case: &Case, switch: &Switch, options: &Options) -> Result<Vec<Figure>> {
    let size = switch.size;
    let has_floor = !(case.floor)(size, 0).is_ok_and(|operations| operations.is_empty());
    // One run of the calls would take a minute.
    let patient = switch.change < SLOW || case.state != State::New || options.full;
    let yardsticks: Vec<Yardstick> =
        [(Yardstick::Floor, has_floor), (Yardstick::Calls, patient), (Yardstick::Batch, case.batch.is_some())]
            .into_iter()
            .filter_map(|(yardstick, takes_part)| takes_part.then_some(yardstick))
            .collect();

    let contenders = 1 + yardsticks.len();
    // Where changes are slow, all runs are prepared at once; where they are quick, each finds the switch at its size.
    let step = if switch.change > Duration::from_millis(20) { options.rounds } else { 1 };
    let mut times = vec![Vec::new(); contenders];
    for first in (0..options.rounds).step_by(step) {
        let rounds = step.min(options.rounds - first);
        let numbers: Vec<usize> = (first * contenders..(first + rounds) * contenders).collect();
        // Even if there is nothing to prepare: what went before must have been applied.
        switch::change((case.before)(size, &numbers)?)?;
        for round in numbers.chunks(contenders) {
            let mut taken = vec![Duration::ZERO; contenders];
            for (number, contender) in round.iter().zip(shuffled(contenders, round[0])) {
                switch.settle()?;
                taken[contender] = match contender.checked_sub(1).map(|index| yardsticks[index]) {
                    None => ours(case, size, *number, options).time()?,
                    Some(Yardstick::Floor) => floor(case, size, *number, &options.floor)?.time()?,
                    Some(Yardstick::Calls) => time_calls(case, size, *number)?,
                    Some(Yardstick::Batch) => {
                        let line = case.batch.map(|batch| batch(size, *number)).unwrap_or_default();
                        Run::words(&line).time()?
                    }
                };
            }
            for (times, taken) in times.iter_mut().zip(taken) {
                times.push(taken);
            }
        }
        switch::change((case.after)(size, &numbers)?)?;
    }

    let what = format!("{} {}", case.command, case.state.word());
    let figures = yardsticks.iter().enumerate().map(|(index, yardstick)| {
        let pairs: Vec<_> = times[0].iter().copied().zip(times[index + 1].iter().copied()).collect();
        let calls = (case.calls)(size, 0).len();
        let program = if has_floor { "ovs-vsctl" } else { "ip" };
        let against = match yardstick {
            Yardstick::Floor => "floor".to_owned(),
            Yardstick::Calls if calls == 1 => format!("1 {program} call"),
            Yardstick::Calls => format!("{calls} {program} calls"),
            Yardstick::Batch => format!("1 {program} call, batched"),
        };
        let figure = Figure::new(what.clone(), "process", (size.label(), size.rows()), &against, &pairs);
        figure.with_target(target(case, size, *yardstick))
    });
    Ok(figures.collect())
}

/// Contenders in another order each round, the same in every run: it matters who came before.
fn shuffled(contenders: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contenders).collect();
    order.sort_by_key(|contender| {
        let mut hasher = std::hash::DefaultHasher::new();
        (round, contender).hash(&mut hasher);
        hasher.finish()
    });
    order
}

fn ours(case: &Case, size: Size, number: usize, options: &Options) -> Run {
    let arguments = (case.arguments)(size, number).to_string();
    Run::new(options.plugin.as_os_str(), [case.command.to_owned(), arguments]).expecting(case.state != State::Refused)
}

/// The floor with its text, which is written before the clock starts.
fn floor(case: &Case, size: Size, number: usize, program: &Path) -> Result<Run> {
    let mut operations = (case.floor)(size, number)?;
    let mut text = String::new();
    if case.state == State::New {
        operations.extend(switch::ask());
        text.push_str(
            r#"{"id":0,"method":"monitor","params":["Open_vSwitch",null,{"Open_vSwitch":[{"columns":["cur_cfg"]}]}]}"#,
        );
    }
    text.push_str(&switch::request(&operations.into()).to_string());
    let file = format!("{}/floor.json", switch::DIRECTORY);
    std::fs::write(&file, text)?;
    Ok(Run::new(program.as_os_str(), [switch::SOCKET.to_owned(), file]))
}

/// One after the other, as the original does. Those that are expected to fail are marked.
fn time_calls(case: &Case, size: Size, number: usize) -> Result<Duration> {
    let mut taken = Duration::ZERO;
    for line in (case.calls)(size, number) {
        let (line, fails) = line.strip_prefix('!').map_or((line.as_str(), false), |line| (line, true));
        taken += Run::words(line).expecting(!fails && case.state != State::Refused).time()?;
    }
    Ok(taken)
}

/// What the project holds itself to.
fn target(case: &Case, size: Size, yardstick: Yardstick) -> Option<Target> {
    let ensures = matches!(case.command, "vlan-ensure" | "vxlan-ensure");
    match (yardstick, case.state) {
        (Yardstick::Floor, State::Repeated) if ensures => Some(Target::AtMost(1.25)),
        (Yardstick::Floor, State::New) => Some(Target::AtMost(1.15)),
        (Yardstick::Calls, State::New) if case.command == "vlan-ensure" && size == Size::Ports(0) => {
            Some(Target::AtLeast(12.0))
        }
        (Yardstick::Calls, State::Repeated) if case.command == "vlan-ensure" => match size {
            Size::Ports(0) => Some(Target::AtLeast(10.0)),
            Size::Vlans(500) => Some(Target::AtLeast(100.0)),
            _ => Some(Target::AtLeast(1.0)),
        },
        // Where there is one call only, it is the batch.
        (Yardstick::Batch, _) => Some(Target::AtLeast(1.0)),
        (Yardstick::Calls, _) if case.batch.is_none() => Some(Target::AtLeast(1.0)),
        _ => None,
    }
}
