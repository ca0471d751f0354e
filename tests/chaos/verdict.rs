//! Whether what a command said is true, given the state before it and the state after it.

use std::time::Duration;

use serde_json::Value;

use crate::model::{Effect, Operation};
use crate::observe::observe;
use crate::support::{difference, wait_until};
use crate::world::{Answer, Claim, DEADLINE, Fault, GRACE, World};

/// Devices come and go a moment after the database has changed; on a busy machine that may take its time.
const SETTLING: Duration = Duration::from_secs(10);

/// What was found wrong.
#[derive(Clone, Debug)]
pub struct Violation {
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither a result nor an error in the protocol's form.
    NoAnswer,
    /// It ended later than it may.
    Late,
    /// It succeeded where it can't, or was refused where nothing was in its way, or told something else than the truth.
    WrongAnswer,
    /// Rows are not what the answer promises.
    Rows,
    /// Only kernel devices are not what the answer promises.
    Devices,
    /// No order of the commands explains the answers and the state.
    NotSerial,
}

type Answered = (Operation, Answer);

/// What is wrong with the answer itself.
fn wrong_with(answered: &Answered) -> Option<Violation> {
    let (_, answer) = answered;
    if answer.claim == Claim::Nothing {
        return Some(Violation { kind: Kind::NoAnswer, text: answer.text.clone() });
    }
    let allowed = DEADLINE + GRACE + Duration::from_millis(500) + answer.starved;
    (answer.elapsed > allowed).then(|| {
        let text = format!("took {:?}, waited {:?} for a processor: {}", answer.elapsed, answer.starved, answer.text);
        Violation { kind: Kind::Late, text }
    })
}

/// Holds one command's answer against the state, which is at rest.
pub fn of_one(world: &World, before: &Value, answered: &Answered, fault: Fault) -> Vec<Violation> {
    let (operation, answer) = answered;
    let mut violations: Vec<_> = wrong_with(answered).into_iter().collect();
    let effect = operation.effect(before);
    let mut wrong = |text: String| violations.push(Violation { kind: Kind::WrongAnswer, text });
    let (after, promised) = match &effect {
        Effect::Done(state, result) => (state, Some(result)),
        Effect::Broken(state) => (state, None),
        Effect::Refused => (before, None),
    };
    let mut allowed = match &answer.claim {
        Claim::Done(result) => {
            match promised {
                Some(promised) if promised == result => {}
                Some(promised) => wrong(format!("answered {result} instead of {promised}")),
                None => wrong(format!("answered {result}, but can't have succeeded")),
            }
            vec![after]
        }
        Claim::Refused { about_the_switch, interface } => {
            let reason = if *about_the_switch { true } else { *interface && !fault.is_of_vswitchd() };
            if promised.is_some() && reason {
                wrong("was refused, but nothing was in its way".into());
            }
            if promised.is_some() && fault == Fault::None && !reason {
                // On a machine this busy the deadline may pass; then that is what it says.
                if !answer.text.contains("deadline") {
                    wrong("was refused though nothing went wrong".into());
                }
            }
            vec![before]
        }
        Claim::Committed => {
            if matches!(effect, Effect::Refused) {
                wrong("says that the database holds a change, but can't have made one".into());
            }
            vec![after]
        }
        Claim::Unknown | Claim::Nothing => vec![before, after],
    };
    if matches!(answer.claim, Claim::Nothing) && allowed[0] == allowed[1] {
        allowed.pop();
    }
    let done = matches!(answer.claim, Claim::Done(_));
    violations.extend(
        state_is_one_of(world, &allowed, done, &answer.text).err().map(|(kind, text)| Violation { kind, text }),
    );
    for found in &mut violations {
        found.text = format!("{} {}\n{}", operation.command, operation.arguments, found.text);
        found.text += &format!("\nit said: {:?} {}\n{}", answer.claim, answer.text, world.last_words());
    }
    violations
}

/// What a command may leave that does not succeed: a port that asks for its number (docs/design.md, "A container's port
/// on the same bridge"), and a device of which its error tells.
fn tolerant(state: &Value, said: &str) -> Value {
    let mut state = without_requests(state, |name| name.starts_with("cont") || tells_of_request(said, name));
    state["devices"]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.starts_with("vtep") || !said.contains(name.as_str()));
    state
}

/// Whether it is said that an interface may go on asking for the port number by which its device was opened again.
fn tells_of_request(said: &str, interface: &str) -> bool {
    said.contains(&format!("interface {interface} may still ask for port number"))
}

/// The state without the port numbers that some interfaces ask for.
fn without_requests(state: &Value, of: impl Fn(&str) -> bool) -> Value {
    let mut state = state.clone();
    for bridge in state["bridges"].as_object_mut().unwrap().values_mut() {
        for port in bridge["ports"].as_object_mut().unwrap().values_mut() {
            for (name, interface) in port["interfaces"].as_object_mut().unwrap() {
                if of(name) {
                    interface.as_object_mut().unwrap().remove("ofport_request");
                }
            }
        }
    }
    state
}

fn state_is_one_of(world: &World, allowed: &[&Value], exactly: bool, said: &str) -> Result<(), (Kind, String)> {
    // A note that comes with success: on stderr, or in the server's log.
    let told = format!("{said}\n{}", world.last_words());
    let shown = |state: &Value| match exactly {
        true => without_requests(state, |name| tells_of_request(&told, name)),
        false => tolerant(state, said),
    };
    let allowed: Vec<_> = allowed.iter().map(|state| shown(state)).collect();
    let mut last = Value::Null;
    let settled = wait_until(SETTLING, || {
        if let Ok(state) = observe(&world.switch) {
            last = shown(&state);
        }
        allowed.contains(&last)
    });
    if settled {
        return Ok(());
    }
    let differences: Vec<_> = allowed.iter().map(|state| difference(state, &last)).collect();
    let devices = |text: &String| text.lines().all(|line| line.starts_with("/devices/"));
    let kind = if differences.iter().any(devices) { Kind::Devices } else { Kind::Rows };
    let texts = differences.iter().map(|text| format!("expected -> found:\n{text}"));
    Err((kind, texts.collect::<Vec<_>>().join("\nor else ")))
}

/// Holds the answers of commands that ran at once against every order of them.
pub fn of_race(world: &World, before: &Value, race: &[Answered]) -> Vec<Violation> {
    let mut violations: Vec<_> = race.iter().filter_map(wrong_with).collect();
    let mut explained = Vec::new();
    for race in with_repeated_ensures(race) {
        for order in orders(race.len()) {
            explain(before, &order.iter().map(|place| race[*place]).collect::<Vec<_>>(), 0, &mut explained);
        }
    }
    let told = race.iter().map(|(_, answer)| answer.text.as_str()).collect::<Vec<_>>().join("\n");
    let exactly = race
        .iter()
        .all(|(_, answer)| matches!(answer.claim, Claim::Done(_) | Claim::Refused { about_the_switch: true, .. }));
    let wrong = if explained.is_empty() {
        Some("no order explains the answers".to_owned())
    } else {
        let allowed: Vec<_> = explained.iter().collect();
        state_is_one_of(world, &allowed, exactly, &told).err().map(|(_, text)| text)
    };
    if let Some(text) = wrong {
        let mut text = text;
        for (operation, answer) in race {
            text += &format!("\n{} {}: {:?} {}", operation.command, operation.arguments, answer.claim, answer.text);
        }
        violations.push(Violation { kind: Kind::NotSerial, text });
    }
    violations
}

/// The race, and the race with each vxlan-ensure twice: one whose network somebody deletes before it has looked at it makes it
/// again (docs/design.md, "Kernel devices"), so what it made at first was there for the others.
fn with_repeated_ensures(race: &[Answered]) -> Vec<Vec<&Answered>> {
    let plain: Vec<&Answered> = race.iter().collect();
    let ensures = race.iter().filter(|(operation, _)| operation.command == "vxlan-ensure");
    let repeated = ensures.map(|ensure| plain.iter().copied().chain([ensure]).collect());
    [plain.clone()].into_iter().chain(repeated).collect()
}

/// The states that commands lead to, one after the other from this place on, where that explains their answers.
fn explain(state: &Value, order: &[&Answered], place: usize, found: &mut Vec<Value>) {
    let Some((operation, answer)) = order.get(place) else {
        if !found.contains(state) {
            found.push(state.clone());
        }
        return;
    };
    let mut go_on = |state: &Value| explain(state, order, place + 1, found);
    // Of two who delete a network at the same time, one may delete its rows and the other its device; both have done it.
    let shares_work = || {
        let same = |(other, of_other): &&Answered| other == operation && of_other.claim == answer.claim;
        operation.command == "vxlan-del" && order[..place].iter().any(same)
    };
    match (&answer.claim, operation.effect(state)) {
        (Claim::Done(result), Effect::Done(after, promised)) if *result == promised => go_on(&after),
        (Claim::Done(_), Effect::Refused) if shares_work() => go_on(state),
        (Claim::Committed, Effect::Done(after, _) | Effect::Broken(after)) => go_on(&after),
        (Claim::Unknown, Effect::Done(after, _) | Effect::Broken(after)) => {
            go_on(&after);
            go_on(state);
        }
        (Claim::Unknown, Effect::Refused) | (Claim::Refused { .. }, Effect::Refused | Effect::Broken(_)) => {
            go_on(state)
        }
        // The deadline passed before it came to anything.
        (Claim::Refused { about_the_switch: false, interface: false }, _) => go_on(state),
        _ => {}
    }
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let insert = |order: &Vec<usize>, place: usize| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..count).map(|place| insert(order, place)).collect::<Vec<_>>()).collect()
}
