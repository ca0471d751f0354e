//! The network device of a bridge or an internal port: set up, and given addresses.
//!
//! ovs-vswitchd makes the device when it applies the transaction, so this is a step of its own, after `cur_cfg` has caught
//! up and the interfaces have been looked at. What is missing then is done, whatever was planned: the transaction may have
//! made the device anew. If it fails, the whole command is taken back, the rows as well.

use ovsdb::operation::{Condition, Row as Columns};
use ovsdb::transaction::Transaction;
use ovsdb::value::{UuidRef, Value};

use super::plan::change_set::{LinkChange, RowKey};
use super::plan::transaction::Committed;
use super::session::Session;
use super::tables::INTERFACE;
use super::unit::Unit;
use super::verify::InterfaceStatus;
use crate::error::Error;
use crate::links::{Address, LinkError, Links};

/// What a device shall be like.
#[derive(Clone, Debug)]
pub(super) struct DeviceSettings {
    name: String,
    up: bool,
    addresses: Vec<Address>,
}

/// Which addresses a device lacks.
fn missing(wanted: &[Address], present: &[Address]) -> Vec<Address> {
    wanted.iter().filter(|address| !present.contains(address)).copied().collect()
}

impl Unit<'_> {
    /// Has the device of an internal interface, which may be inserted by this unit, set up and given addresses. Others that
    /// it has stay.
    pub fn configure_device(&mut self, interface: &str, up: bool, addresses: &[Address]) -> Result<(), Error> {
        if !up && addresses.is_empty() {
            return Ok(());
        }
        let is_inserted = |key: &&RowKey| key.table == INTERFACE && matches!(key.id, UuidRef::New(_));
        let is_new = self.touched.iter().filter(is_inserted).any(|key| self.name(key) == interface);
        // A device that is to be made has nothing yet, whatever may have its name now.
        let link = if is_new { None } else { self.link(interface)? };
        let present = match &link {
            Some(link) if !addresses.is_empty() => self.session.links()?.addresses(link)?,
            _ => Vec::new(),
        };
        for address in missing(addresses, &present) {
            self.change_link(LinkChange::AddAddress(interface.to_owned(), address));
        }
        if up && !link.is_some_and(|link| link.up) {
            self.change_link(LinkChange::SetUpOwn(interface.to_owned()));
        }
        self.devices.push(DeviceSettings { name: interface.to_owned(), up, addresses: addresses.to_vec() });
        self.promise(interface);
        Ok(())
    }

    /// Does what [`Unit::configure_device`] has planned, and takes the unit back where that fails. What was done is noted in
    /// the interfaces' states, of which ovs-vswitchd tells a moment later.
    pub(super) async fn configure_devices(
        &mut self,
        committed: &Committed,
        interfaces: &mut [InterfaceStatus],
    ) -> Result<(), Error> {
        let is_planned = self.links.iter().any(|c| matches!(c, LinkChange::SetUpOwn(_) | LinkChange::AddAddress(..)));
        // Nothing was changed, and nothing was missing.
        if self.devices.is_empty() || (!committed.wrote && !is_planned) {
            return Ok(());
        }
        match self.configure().await {
            Ok(()) => {
                for device in self.devices.iter().filter(|device| device.up) {
                    for status in interfaces.iter_mut().filter(|status| status.name == device.name) {
                        status.admin_state = Some("up".to_owned());
                        // What was told is of the time before.
                        status.link_state = status.link_state.take().filter(|state| state == "up");
                    }
                }
                Ok(())
            }
            // The devices are taken back by whoever gets the error; the database holds nothing of it.
            Err(error) if !committed.wrote => Err(error),
            Err(error) => {
                let taken_back = self.take_back(committed).await;
                Err(Error::Interface { problem: error.to_string(), still_there: taken_back.err() })
            }
        }
    }

    async fn configure(&mut self) -> Result<(), Error> {
        self.require_own_devices().await?;
        for device in &self.devices {
            let links = self.session.links()?;
            let gone = || Error::NotFound(format!("no network device named {}, to be configured", device.name));
            let link = links.get(&device.name)?.ok_or_else(gone)?;
            let present = if device.addresses.is_empty() { Vec::new() } else { links.addresses(&link)? };
            for address in missing(&device.addresses, &present) {
                let links = self.session.links()?;
                let made = links.add_address(&link, address);
                // Somebody may have added it at the same moment.
                if made.as_ref().is_err_and(LinkError::is_exists) && links.addresses(&link)?.contains(&address) {
                    continue;
                }
                note(&mut self.session.done_to_links, LinkChange::AddAddress(device.name.clone(), address), made)?;
            }
            // Last, so that it need not be taken back: the kernel forgets IPv6 addresses of a device that is set down.
            if device.up && !link.up {
                let made = self.session.links()?.set_up(&device.name);
                note(&mut self.session.done_to_links, LinkChange::SetUpOwn(device.name.clone()), made)?;
            }
        }
        Ok(())
    }

    /// Makes sure that the devices are those of the interfaces: where one does not work, a device of its name is somebody
    /// else's.
    async fn require_own_devices(&mut self) -> Result<(), Error> {
        let mut selects = Transaction::new();
        for device in &self.devices {
            selects.select(INTERFACE, vec![Condition::equal("name", &device.name)], &["ofport"]);
        }
        let results = self.session.read(&selects).await?;
        for (device, result) in self.devices.iter().zip(results) {
            let rows: Vec<Columns> = result.into_rows().map_err(|error| Error::NotCommitted {
                cause: format!("unreadable state of the interface {}: {error}", device.name),
            })?;
            let number = rows.first().and_then(|row| row.get("ofport")).and_then(Value::as_integer);
            if number.is_none_or(|number| number < 0) {
                let problem = "does not work, so a network device of that name is not its own, and is not configured";
                return Err(Error::Conflict(format!("interface {} {problem}", device.name)));
            }
        }
        Ok(())
    }
}

/// Remembers what was done to a device. Where the answer is lost or can't be read, it may have been done all the same.
fn note(done: &mut Vec<LinkChange>, change: LinkChange, made: Result<(), LinkError>) -> Result<(), LinkError> {
    if made.as_ref().map_or_else(LinkError::may_be_done, |()| true) {
        done.push(change);
    }
    made
}

/// Takes back what was done to a device. With its interface, it may be gone.
pub(super) fn take_back(session: &mut Session, change: &LinkChange) {
    let undone = session.links().map_err(|error| error.to_string());
    let undone = undone.and_then(|links| undo(links, change).map_err(|error| error.to_string()));
    if let Err(error) = undone {
        tracing::warn!(%error, "a device could not be put back");
    }
}

fn undo(links: &Links, change: &LinkChange) -> Result<(), LinkError> {
    let (LinkChange::SetUpOwn(name) | LinkChange::AddAddress(name, _)) = change else { return Ok(()) };
    let Some(link) = links.get(name)? else { return Ok(()) };
    let undone = match change {
        LinkChange::AddAddress(_, address) => links.remove_address(&link, *address),
        _ => links.set_down(name),
    };
    match undone {
        Err(error) if error.is_missing() || error.is_no_address() => Ok(()),
        undone => undone,
    }
}
