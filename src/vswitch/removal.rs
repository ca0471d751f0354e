//! Deleting VXLAN devices of ours that nothing refers to.
//!
//! The database decides whether one is still needed: an interface of its name may have come at any moment. So it is asked
//! before the device is deleted, and again afterwards: an interface that came between the two has found the device, and
//! gets it back. One that comes later finds none, and whoever adds it makes the device anew (`Unit::verify`).

use std::time::Duration;

use ovsdb::operation::{Condition, Row as Columns};
use ovsdb::transaction::Transaction;
use ovsdb::value::Value;

use super::commit::TIME_TO_TAKE_BACK;
use super::plan::change_set::LinkChange;
use super::plan::query::Query;
use super::session::Session;
use super::tables::{INTERFACE, OPEN_VSWITCH};
use super::unit::{Unit, unreadable};
use super::{commit, health, vtep};
use crate::error::{Committed, Error};
use crate::links::{Link, LinkError, Vxlan};

/// So often an interface of the device's name may come just when the device goes.
const ROUNDS: usize = 5;

/// How long to leave it to others whether they need a device, between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// So long the end of another command is waited for, which has built upon a device of one that has failed.
const TIME_OF_OTHERS: Duration = Duration::from_secs(5);

/// What became of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It is gone.
    Gone,
    /// It was gone before.
    Missing,
    /// An interface refers to it, so it is there.
    InUse,
}

/// What the database says of the interface of a device's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    None,
    /// Nobody can tell yet whether it stays: ovs-vswitchd has not applied everything, or it does not work.
    Open,
    Works,
}

async fn interface(session: &mut Session, name: &str) -> Result<Interface, Error> {
    let mut selects = Transaction::new();
    selects.select(INTERFACE, vec![Condition::equal("name", name)], &["ofport"]);
    selects.select(OPEN_VSWITCH, Vec::new(), &["cur_cfg", "next_cfg"]);
    // What was in memory may be from before.
    session.set_fresh(false);
    let mut tables = Vec::new();
    for result in session.read(&selects).await? {
        let rows: Vec<Columns> = result.into_rows().map_err(unreadable)?;
        tables.push(rows);
    }
    let number = |row: Option<&Columns>, column: &str| row.and_then(|row| row.get(column)).and_then(Value::as_integer);
    let [interfaces, root] = tables.as_slice() else {
        return Err(Error::NotCommitted { cause: "the server answers something else than what was asked".into() });
    };
    let is_applied = number(root.first(), "cur_cfg") >= number(root.first(), "next_cfg");
    Ok(match interfaces.first() {
        None => Interface::None,
        row if is_applied && health::is_set_up(number(row, "ofport")) => Interface::Works,
        Some(_) => Interface::Open,
    })
}

/// Deletes a device unless an interface refers to it.
pub(super) async fn remove(session: &mut Session, link: &Link) -> Result<Removed, Error> {
    let mut link = link.clone();
    for _ in 0..ROUNDS {
        if interface(session, &link.name).await? != Interface::None {
            return Ok(Removed::InUse);
        }
        let removed = match session.links()?.delete(&link) {
            Ok(()) => Removed::Gone,
            Err(error) if error.is_missing() => return Ok(Removed::Missing),
            Err(error) => return Err(error.into()),
        };
        if interface(session, &link.name).await? == Interface::None {
            return Ok(removed);
        }
        make_again(session, &link)?;
        have_it_opened(session, &link.name).await?;
        // Whoever came may have gone again, as the device was missing for a moment.
        let Some(now) = session.links()?.get(&link.name)?.filter(|now| is_same(now, &link)) else {
            return Ok(Removed::Gone);
        };
        link = now;
    }
    Ok(Removed::InUse)
}

/// Whether a device is the same VTEP as another, made at another time perhaps.
fn is_same(one: &Link, other: &Link) -> bool {
    one.name == other.name && one.vxlan == other.vxlan
}

fn make_again(session: &mut Session, link: &Link) -> Result<(), Error> {
    let Some(vxlan) = &link.vxlan else { return Ok(()) };
    let (Some(lower), Some(group)) = (vxlan.lower, vxlan.group) else { return Ok(()) };
    let vxlan = Vxlan { name: link.name.clone(), vni: vxlan.vni, lower, group, mtu: vtep::MTU };
    match session.links()?.add_vxlan(&vxlan) {
        // Whoever needs it has made it.
        Err(error) if error.is_exists() => Ok(()),
        made => Ok(made?),
    }
}

/// Has ovs-vswitchd open the device of an interface again.
async fn have_it_opened(session: &mut Session, name: &str) -> Result<(), Error> {
    // On the userspace datapath, ovs-vswitchd goes on with the device that is gone. Where the interface is not in use yet,
    // its command finds that and runs again; a request for a port number would keep it from taking its rows back.
    let is_open = interface(session, name).await? == Interface::Works;
    let mut unit = Unit::new(session, format!("ovs-plugin: the network device {name} is there again"), "", false);
    for interface in unit.find(Query::interface(name)).await? {
        if is_open {
            unit.reopen(interface);
        } else {
            unit.nudge(interface);
        }
    }
    match Box::pin(unit.commit()).await {
        // The interface has gone meanwhile.
        Ok(_) | Err(commit::Failure::LostRace(_)) => Ok(()),
        Err(commit::Failure::Final(error)) => Err(error),
    }
}

impl Unit<'_> {
    /// Deletes the devices that are to be deleted. `wrote` tells whether anything else was done.
    pub(super) async fn remove_devices(&mut self, wrote: bool) -> Result<(), commit::Failure> {
        let after = |error: Error| if wrote { Error::after_commit(error) } else { error };
        for change in self.links.clone() {
            let (link, removed) = match change {
                LinkChange::DeleteUnused(link) => {
                    let removed = remove(self.session, &link).await.map_err(after)?;
                    (link, removed)
                }
                LinkChange::Delete(link) => match self.session.links().and_then(|links| links.delete(&link)) {
                    Ok(()) => (link, Removed::Gone),
                    Err(error) if error.is_missing() => (link, Removed::Missing),
                    Err(error) => return Err(after(error.into()).into()),
                },
                _ => continue,
            };
            match removed {
                Removed::Gone => {}
                // There was nothing else to do, and now there is.
                Removed::InUse if !wrote && !self.leaves_what_is_used => {
                    let came = Error::Conflict(format!("an interface {} has come meanwhile", link.name));
                    return Err(commit::Failure::LostRace(came));
                }
                Removed::InUse => self.note(format!(
                    "the network device {} stays: an interface of that name has come meanwhile",
                    link.name
                )),
                Removed::Missing if wrote => {}
                // There was nothing else to do, so somebody else has done it all.
                Removed::Missing => {
                    let gone = Error::NotFound(format!("the network device {} is gone", link.name));
                    return Err(commit::Failure::LostRace(gone));
                }
            }
        }
        Ok(())
    }

    /// Remembers which devices are to be deleted, however the command ends.
    pub(super) fn plan_removal(&mut self) {
        let unused = self.links.iter().filter_map(|change| match change {
            LinkChange::DeleteUnused(link) => Some(link.clone()),
            _ => None,
        });
        self.session.to_delete = unused.collect();
    }
}

/// After a command that failed: deletes what can be deleted safely, and says what is left.
///
/// What the command made goes, and what it was to delete goes, if the database may hold its change. Nothing in the database
/// refers to what goes.
pub(super) async fn tidy(session: &mut Session, error: Error) -> Error {
    let committed = error.committed();
    let made = std::mem::take(&mut session.done_to_links);
    let mut devices = Vec::new();
    if committed != Committed::No {
        devices = std::mem::take(&mut session.to_delete);
    }
    session.deadline = session.deadline.leaving(TIME_TO_TAKE_BACK);
    let mut left = std::mem::take(&mut session.left);
    for change in made.iter().rev() {
        let LinkChange::AddVxlan(vxlan, _) = change else { continue };
        match made_device(session, vxlan) {
            Ok(link) => devices.extend(link),
            Err(error) => left.push(format!("the network device {} may be left: {error}", vxlan.name)),
        }
    }
    for link in devices {
        let removed = match committed {
            Committed::No => remove_when_settled(session, &link).await,
            _ => remove(session, &link).await,
        };
        match removed {
            Ok(Removed::Gone | Removed::Missing) => {}
            // The database does not hold the change, and yet there is a device that was not there before.
            Ok(Removed::InUse) if committed == Committed::No => {
                left.push(format!("the network device {} was made and stays, as an interface refers to it", link.name));
            }
            // The database holds what refers to it, as far as anybody can tell.
            Ok(Removed::InUse) => {}
            Err(error) => left.push(format!("the network device {} is left: {error}", link.name)),
        }
    }
    match left.is_empty() {
        true => error,
        false => Error::Leaving { error: Box::new(error), left: left.join("; ") },
    }
}

/// The device that the command made, if it is there.
fn made_device(session: &mut Session, vxlan: &Vxlan) -> Result<Option<Link>, LinkError> {
    let link = session.links()?.get(&vxlan.name)?;
    Ok(link.filter(|link| {
        vtep::is_own(link, vxlan.vni) && link.vxlan.as_ref().is_some_and(|info| info.lower == Some(vxlan.lower))
    }))
}

/// The same as [`remove`], where another command may have built upon the device: it decides by whether its interface
/// stays. If that fails as well, the device is nobody's.
async fn remove_when_settled(session: &mut Session, link: &Link) -> Result<Removed, Error> {
    let deadline = session.deadline.at_most(TIME_OF_OTHERS);
    loop {
        // Another one may have been made in its place, for who came while it was deleted.
        let Some(link) = session.links()?.get(&link.name)?.filter(|now| is_same(now, link)) else {
            return Ok(Removed::Missing);
        };
        match interface(session, &link.name).await? {
            Interface::Works if has_sound_bridge(session, &link.name).await? => return Ok(Removed::InUse),
            Interface::None => match remove(session, &link).await? {
                Removed::InUse => {}
                removed => return Ok(removed),
            },
            Interface::Works | Interface::Open => {}
        }
        // It is the other command's by now, whatever becomes of that.
        if deadline.sleep(PAUSE).await.is_err() {
            return Ok(Removed::InUse);
        }
    }
}

/// Whether the bridge that has this port works: if not, whoever has made both takes both back.
async fn has_sound_bridge(session: &mut Session, port: &str) -> Result<bool, Error> {
    let mut look = Unit::new(session, String::new(), "", false);
    let Some(port) = look.port(port).await? else { return Ok(false) };
    let bridge = look.name(&port.bridge);
    let Some(local) = look.find_one(Query::interface(&bridge)).await? else { return Ok(false) };
    Ok(health::is_set_up(look.peek(&local, "ofport").and_then(|number| number.as_integer())))
}
