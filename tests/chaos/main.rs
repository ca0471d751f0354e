//! Faults × commands, and races: every answer is held against the database and the kernel.
//!
//! A command that succeeds is wholly there; one that is refused has left nothing; of one whose end is unknown, all is
//! there or nothing. What is to be there is told by a model of the commands (`model.rs`), what is there by a reader that
//! shares no code with the plugin (`observe.rs`).
//!
//! `make chaos` runs the long form. What goes wrong is repeated by its seed, as far as the timing allows:
//!
//! | variable | |
//! |---|---|
//! | `CHAOS_SEED` | the seed |
//! | `CHAOS_CALM` | how many commands without a fault, which tell whether the model is right |
//! | `CHAOS_COMMANDS` | how many commands, each with a fault or none |
//! | `CHAOS_RACES` | how many races of two or three commands |
//! | `CHAOS_WORLDS` | how many switches at the same time |
//! | `CHAOS_COMMAND` | two of three commands are this one |
//! | `CHAOS_FAULT` | only faults whose name contains this |

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod model;
mod observe;
mod random;
mod report;
mod verdict;
mod world;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use observe::observe;
use random::Random;
use report::Report;
use world::{Door, FAULTS, Fault, World};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{variable} is {text:?}: {error}")),
        Err(_) => default,
    }
}

/// Past the capture of what tests print.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn pause(random: &mut Random, longest: u64) {
    thread::sleep(Duration::from_millis(random.below(longest)));
}

fn either_door(random: &mut Random) -> Door {
    *random.pick(&[Door::OneShot, Door::Server])
}

/// A round's place in the sequence of its world.
struct Place {
    name: String,
    number: u64,
}

/// Runs rounds on several switches at the same time, and reports. A round gets its switch, its choices, and its place for
/// the report.
fn run(what: &str, rounds: u64, round: impl Fn(&mut World, &mut Random, &Place, &Report) + Sync) {
    let (seed, worlds) = (number("CHAOS_SEED", 1), number("CHAOS_WORLDS", 3));
    let report = Report::default();
    let begun = AtomicU64::new(0);
    thread::scope(|scope| {
        for world in 0..worlds {
            let (report, begun, round) = (&report, &begun, &round);
            scope.spawn(move || {
                let mut random = Random::new(seed.wrapping_mul(1000) + world);
                let mut switch = World::new();
                for step in 0.. {
                    if begun.fetch_add(1, Ordering::Relaxed) >= rounds {
                        break;
                    }
                    let name = format!("{what}, CHAOS_SEED={seed}, world {world}, step {step}");
                    // Neighbouring worlds are not in step.
                    let place = Place { name, number: step + 4 * world };
                    round(&mut switch, &mut random, &place, report);
                    tidy(&switch);
                }
            });
        }
    });
    let table = report.table();
    say(&format!("\n{what}, CHAOS_SEED={seed}:\n\n{table}"));
    let violations = report.violations.lock().unwrap();
    assert!(violations.is_empty(), "{}\n{} violations", violations.join("\n\n"), violations.len());
}

/// Removes what can't work and has stayed, as the answer said or in spite of it, and devices that nobody refers to.
fn tidy(world: &World) {
    let state = observe(&world.switch).unwrap();
    let port = |name: &str| {
        let bridges = state["bridges"].as_object().unwrap();
        bridges.values().find_map(|bridge| bridge["ports"].get(name))
    };
    if state["bridges"].get("lo").is_some() || port("absent").is_some() || port("vlbr66p").is_some() {
        let words = "--if-exists del-br lo -- --if-exists del-port absent -- --if-exists del-port vlbr66p";
        world.switch.vsctl(&words.split(' ').collect::<Vec<_>>());
    }
    if port("e0").is_some_and(|port| port["interfaces"]["e0"].get("type").is_some()) {
        world.switch.vsctl(&["set", "Interface", "e0", "type=\"\""]);
    }
    for device in ["vtep7", "vtep8", "vtep77"] {
        if state["devices"].get(device).is_some() && port(device).is_none() {
            world.switch.net.run(&["ip", "link", "delete", "dev", device]);
        }
    }
}

#[test]
fn the_model_and_the_plugin_agree_where_nothing_goes_wrong() {
    run("calm", number("CHAOS_CALM", 40), |world, random, place, report| {
        one(world, random, place, report, &[Fault::None]);
    });
}

#[test]
fn every_answer_is_true_whatever_goes_wrong() {
    let only = std::env::var("CHAOS_FAULT").unwrap_or_default();
    let faults: Vec<Fault> = FAULTS.into_iter().filter(|fault| fault.name().contains(&only)).collect();
    run("faults", number("CHAOS_COMMANDS", 66), |world, random, place, report| {
        one(world, random, place, report, &faults);
    });
}

#[test]
fn races_end_as_if_the_commands_had_come_one_after_the_other() {
    run("races", number("CHAOS_RACES", 40), |world, random, place, report| {
        world.make_masters();
        let kind = random.below(model::KINDS);
        for operation in model::before_race(random, kind) {
            world.begin(&operation, Door::OneShot).join().unwrap();
        }
        world.heal();
        let before = observe(&world.switch).unwrap();
        let race = model::race(random, kind);
        let running: Vec<_> = race
            .iter()
            .map(|operation| {
                let running = world.begin(operation, either_door(random));
                pause(random, 4);
                running
            })
            .collect();
        let answers = running.into_iter().map(|running| running.join().unwrap());
        let answered: Vec<_> = race.into_iter().zip(answers).collect();
        world.heal();
        let names: Vec<_> = answered.iter().map(|(operation, _)| operation.command).collect();
        for (operation, answer) in &answered {
            report.answered("race", operation.command, answer);
        }
        report.found("race", &names.join(" + "), &place.name, &verdict::of_race(world, &before, &answered));
    });
}

/// One command with one fault, before it or while it is carried out.
fn one(world: &mut World, random: &mut Random, place: &Place, report: &Report, faults: &[Fault]) {
    let before = observe(&world.switch).unwrap();
    let operation = model::likely(random, &before);
    // In turn, so that few commands are enough for all faults.
    let fault = faults[usize::try_from(place.number).unwrap() % faults.len()];
    let door = either_door(random);
    let at_proxy = matches!(fault, Fault::RequestLost | Fault::ReplyLost);
    let (first, early_end) = (at_proxy || random.one_in(2), random.one_in(2));
    if first && !world.inject(fault, random) {
        return skip(fault, world);
    }
    let running = world.begin(&operation, door);
    if !first {
        pause(random, 60);
        if !world.inject(fault, random) {
            running.join().unwrap();
            return skip(fault, world);
        }
    }
    if early_end {
        pause(random, 1500);
        world.heal();
    }
    let answer = running.join().unwrap();
    if !early_end {
        world.heal();
    }
    if fault == Fault::VswitchdKilled {
        world.remove_devices_without_bridges();
    }
    report.answered(fault.name(), operation.command, &answer);
    let place = format!("{}, {door:?}, {} the command", place.name, if first { "before" } else { "during" });
    let command = operation.command;
    let answered = (operation, answer);
    report.found(fault.name(), command, &place, &verdict::of_one(world, &before, &answered, fault));
}

fn skip(fault: Fault, world: &mut World) {
    world.heal();
    say(&format!("skipped: {}, since this process may not mount a file system", fault.name()));
}
