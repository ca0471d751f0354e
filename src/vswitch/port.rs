//! Ports and the interfaces under them: finding, adding, removing, and whether a name is free.

use ovsdb::value::{UuidRef, Value};

use super::bridge::Bridge;
use super::causes::device_name;
use super::plan::change_set::{LinkChange, RowKey};
use super::plan::query::{Query, Wanted};
use super::tables::{BRIDGE, INTERFACE, MIRROR, PORT};
use super::unit::Unit;
use crate::error::{Error, with_article};

/// A port that exists on some bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The row in the Port table.
    pub row: RowKey,
    /// The real bridge that has it.
    pub bridge: RowKey,
}

impl Unit<'_> {
    /// The port of this name, local ports of bridges included.
    pub async fn port(&mut self, name: &str) -> Result<Option<Port>, Error> {
        let Some(row) = self.find_one(Query::port(name)).await? else {
            return Ok(None);
        };
        let bridge = self.find_one(Query::includes(BRIDGE, "ports", row.reference())).await?;
        Ok(bridge.map(|bridge| Port { name: name.to_owned(), row, bridge }))
    }

    /// States that a decision rests on there being no port of this name.
    pub fn rely_on_no_port(&mut self, name: &str) {
        self.absent.insert((PORT.into(), "name".into(), name.into()));
    }

    /// The port of this name, when it is expected to be on this bridge: if it is, no other bridge is searched.
    pub async fn port_expected_on(&mut self, name: &str, bridge: Option<&RowKey>) -> Result<Option<Port>, Error> {
        let Some(row) = self.find_one(Query::port(name)).await? else {
            return Ok(None);
        };
        match bridge {
            Some(bridge) if self.includes(bridge, "ports", &row).await? => {
                Ok(Some(Port { name: name.to_owned(), row, bridge: bridge.clone() }))
            }
            _ => self.port(name).await,
        }
    }

    /// Asks in one request for what it takes to decide about ports that have been looked up by name: whether they are
    /// on the bridge where they are expected, or else on which, and their interfaces. `promised` is a further interface that
    /// the answer will rest on.
    pub async fn fetch_ports(
        &mut self,
        ports: &[(&str, Option<&RowKey>)],
        promised: Option<&str>,
    ) -> Result<(), Error> {
        let mut queries: Vec<Query> = promised.map(Query::interface).into_iter().collect();
        for (name, bridge) in ports {
            let Some(row) = self.find_one(Query::port(name)).await? else {
                continue;
            };
            queries.extend(match bridge {
                Some(bridge) => Unit::membership(bridge, "ports", &row),
                None => Some(Query::includes(BRIDGE, "ports", row.reference())),
            });
            let interfaces = self.peek(&row, "interfaces").unwrap_or_else(Value::empty);
            queries.extend(interfaces.uuids().map(|uuid| Query::row(INTERFACE, uuid)));
        }
        self.fetch(queries).await
    }

    /// Asks for what a change of a port's settings needs: the port, then its bridge and its interfaces, with the columns
    /// that are wanted of each.
    /// `further` is asked in the same request.
    pub async fn fetch_port_with(
        &mut self,
        name: &str,
        of_port: &Wanted,
        of_interface: &Wanted,
        further: Option<Query>,
    ) -> Result<(), Error> {
        let Some(row) = self.find_one(Query::port(name).with(of_port)).await? else {
            return Ok(());
        };
        let mut queries = vec![Query::includes(BRIDGE, "ports", row.reference())];
        let interfaces = self.peek(&row, "interfaces").unwrap_or_else(Value::empty);
        queries.extend(interfaces.uuids().map(|uuid| Query::row(INTERFACE, uuid).with(of_interface)));
        queries.extend(further);
        self.fetch(queries).await
    }

    /// The bridge that a person would say the port is on: a fake one if there is one for its tag.
    pub async fn bridge_of(&mut self, port: &Port) -> Result<Bridge, Error> {
        let real = Bridge { name: self.name(&port.bridge), row: port.bridge.clone(), fake: None };
        let Some(tag) = self.value(&port.row, "tag").as_integer() else {
            return Ok(real);
        };
        let fakes = self.fake_bridges_of(&port.bridge).await?;
        Ok(match fakes.into_iter().find(|(_, vlan)| *vlan == tag) {
            Some((row, tag)) => {
                let fake = Some(super::bridge::Fake { port: row.clone(), tag });
                Bridge { name: self.name(&row), row: port.bridge.clone(), fake }
            }
            None => real,
        })
    }

    /// Whether the port is what makes a bridge a network device: the local port of a real bridge, or a fake bridge.
    pub fn is_local_port(&mut self, port: &Port) -> bool {
        port.name == self.name(&port.bridge)
            || (self.value(&port.row, "fake_bridge").as_bool() == Some(true)
                && self.value(&port.row, "tag").as_integer().is_some())
    }

    /// Adds a port with one interface, on the VLAN given or else on that of a fake bridge.
    pub async fn add_port(&mut self, bridge: &Bridge, name: &str, tag: Option<i64>) -> Result<(RowKey, RowKey), Error> {
        let (port, mut interfaces) = self.add_port_over(bridge, name, tag, &[name]).await?;
        let interface = interfaces.pop().ok_or_else(|| Error::Internal("a port without an interface".into()))?;
        Ok((port, interface))
    }

    /// Notes a port that is added to a VLAN bridge of ovs-vsctl and has another tag than that: it is on the parent, where
    /// ovs-vsctl and the original put it as well.
    pub(super) fn note_other_vlans(&mut self) {
        for (port, bridge) in std::mem::take(&mut self.on_vlan_bridges) {
            let tag = self.peek(&port, "tag").and_then(|tag| tag.as_integer());
            let Some(fake) = bridge.fake.filter(|fake| tag != Some(fake.tag)) else { continue };
            let on = tag.map_or_else(|| "has no VLAN".to_owned(), |tag| format!("has VLAN {tag}"));
            let note = format!(
                "port {} {on}, so it is on bridge {} and not on the VLAN bridge {} of ovs-vsctl, which is VLAN {}",
                self.name(&port),
                self.name(&bridge.row),
                bridge.name,
                fake.tag
            );
            self.note(note);
        }
    }

    /// Adds a port over several interfaces, that is, a bond.
    pub async fn add_port_over(
        &mut self,
        bridge: &Bridge,
        name: &str,
        tag: Option<i64>,
        interfaces: &[&str],
    ) -> Result<(RowKey, Vec<RowKey>), Error> {
        if self.careful {
            self.require_free(name, "port").await?;
            for interface in interfaces.iter().filter(|interface| **interface != name) {
                self.require_free(interface, "interface").await?;
            }
        }
        let rows: Vec<RowKey> =
            interfaces.iter().map(|interface| self.insert(INTERFACE, [("name", (*interface).into())])).collect();
        let references = Value::set(rows.iter().map(RowKey::reference));
        let port = self.insert(PORT, [("name", name.into()), ("interfaces", references)]);
        if let Some(tag) = tag.or(bridge.fake.as_ref().map(|fake| fake.tag)) {
            self.set(&port, "tag", tag);
        }
        if bridge.fake.is_some() {
            self.on_vlan_bridges.push((port.clone(), bridge.clone()));
        }
        self.add_to(&bridge.row, "ports", &port);
        Ok((port, rows))
    }

    /// The port of this name if it may be deleted: one that makes a bridge a network device goes with the bridge only.
    pub async fn require_removable_port(&mut self, name: &str, bridge: Option<&str>) -> Result<Port, Error> {
        if let Some(port) = self.port(name).await?
            && self.is_local_port(&port)
        {
            return Err(Error::Conflict(format!(
                "cannot delete port {name} because it is the local port for bridge {name} (deleting this port \
                 requires deleting the entire bridge)"
            )));
        }
        self.require_port(name, bridge).await
    }

    /// The port of this name, or the error that there is none, or that it is on another bridge than the one asked for.
    pub async fn require_port(&mut self, name: &str, bridge: Option<&str>) -> Result<Port, Error> {
        let Some(port) = self.port(name).await? else {
            return Err(Error::NotFound(format!("no port named {name}")));
        };
        let Some(asked) = bridge else { return Ok(port) };
        let asked = self.require_bridge(asked).await?;
        let actual = self.bridge_of(&port).await?;
        if actual.name == asked.name {
            return Ok(port);
        }
        let whereabouts = match asked.row == actual.row && asked.fake.is_none() {
            true => format!(" (although its child bridge {} does)", actual.name),
            false => format!(" (it is on bridge {})", actual.name),
        };
        Err(Error::Conflict(format!("bridge {} does not have a port {name}{whereabouts}", asked.name)))
    }

    /// Removes a port that a container left behind, wherever it is, so that one of the same name can be added.
    /// All of it is read, so that it can be brought back should the new one not work. Returns what was removed.
    pub async fn remove_stale_port(&mut self, name: &str) -> Result<Option<Port>, Error> {
        let Some(row) = self.find_one(Query::port(name).whole()).await? else {
            return Ok(None);
        };
        let Some(port) = self.port(name).await? else {
            return Ok(None);
        };
        if self.is_local_port(&port) {
            return Ok(None);
        }
        let interfaces: Vec<_> = self.value(&row, "interfaces").uuids().collect();
        self.fetch(interfaces.into_iter().map(|uuid| Query::row(INTERFACE, uuid).whole())).await?;
        let bridge = self.bridge_of(&port).await?.name;
        // The server would clear these references by itself, but then nobody could bring them back.
        for column in ["select_src_port", "select_dst_port", "output_port"] {
            for mirror in self.find(Query::includes(MIRROR, column, row.reference())).await? {
                self.take_from(&mirror, column, &row);
            }
        }
        self.remove_port(&port).await?;
        self.note(format!("port {name} was left on bridge {bridge} by a container that is gone, and is taken over"));
        Ok(Some(port))
    }

    /// Adds an interface to a port, which makes it a bond or a larger one.
    pub async fn add_interface(&mut self, port: &RowKey, name: &str) -> Result<RowKey, Error> {
        if self.careful {
            self.require_free(name, "interface").await?;
        }
        let interface = self.insert(INTERFACE, [("name", name.into())]);
        self.add_to(port, "interfaces", &interface);
        Ok(interface)
    }

    /// Says in a dry run which new interfaces would not work, because they are network devices of the system that are not
    /// there. The kernel is only asked where it is that of the switch.
    pub(super) fn note_missing_devices(&mut self) -> Result<(), Error> {
        if self.settings().socket().is_none() {
            return Ok(());
        }
        let new: Vec<RowKey> = self.touched.iter().filter(|key| key.table == INTERFACE).cloned().collect();
        for key in new {
            let is_of_system =
                matches!(self.peek(&key, "type").as_ref().and_then(Value::as_str), None | Some("" | "system"));
            if !matches!(key.id, UuidRef::New(_)) || !is_of_system {
                continue;
            }
            let name = self.name(&key);
            let is_made =
                self.links.iter().any(|change| matches!(change, LinkChange::AddVxlan(vxlan, _) if vxlan.name == name));
            if !is_made && self.link(device_name(&name))?.is_none() {
                self.note(format!(
                    "interface {name} would not work, and the change would be taken back: there is no network device of that \
                     name"
                ));
            }
        }
        Ok(())
    }

    /// Sets a network device up if it is there and down: ovs-vswitchd does not, and a bond needs its members up.
    pub async fn ensure_up(&mut self, device: &str) -> Result<(), Error> {
        if self.link(device)?.is_none_or(|link| link.up) {
            return Ok(());
        }
        // A device that is somebody else's already stays as it is: the database will refuse to have it twice.
        let interfaces = self.find(Query::interface(device)).await?;
        if interfaces.iter().all(|interface| matches!(interface.id, UuidRef::New(_))) {
            self.change_link(LinkChange::SetUp(device.to_owned()));
            self.expect_up(device);
        }
        Ok(())
    }

    /// The names of a bridge's ports in byte order, its local port left out. The ports on the VLAN of a fake bridge
    /// belong to that one and not to its parent.
    pub async fn port_names(&mut self, bridge: &Bridge) -> Result<Vec<String>, Error> {
        let fakes = match &bridge.fake {
            Some(_) => Vec::new(),
            None => self.fake_bridges_of(&bridge.row).await?,
        };
        let mut names = Vec::new();
        for port in self.references(&bridge.row, "ports", PORT).await? {
            let tag = self.value(&port, "tag").as_integer();
            let name = self.name(&port);
            let belongs = match &bridge.fake {
                Some(fake) => tag == Some(fake.tag),
                None => !fakes.iter().any(|(_, vlan)| tag == Some(*vlan)),
            };
            if belongs && name != bridge.name {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Takes a port from its bridge; the server then deletes it with its interfaces.
    pub async fn remove_port(&mut self, port: &Port) -> Result<(), Error> {
        self.take_from(&port.bridge, "ports", &port.row);
        self.collect_port(&port.row).await
    }

    pub(super) async fn collect_port(&mut self, port: &RowKey) -> Result<(), Error> {
        for interface in self.references(port, "interfaces", INTERFACE).await? {
            self.collected(&interface);
        }
        self.collected(port);
        Ok(())
    }

    /// Bridges, ports and interfaces share one name space; says who is in the way of a new `what`.
    pub async fn require_free(&mut self, name: &str, what: &str) -> Result<(), Error> {
        self.fetch([Query::bridge(name), Query::port(name), Query::interface(name)]).await?;
        let what = with_article(what);
        let because = |who: String| Err(Error::Exists(format!("cannot create {what} named {name} because {who}")));
        if self.bridge(name).await?.is_some() {
            return because(format!("a bridge named {name} already exists"));
        }
        if let Some(port) = self.port(name).await? {
            let bridge = self.bridge_of(&port).await?.name;
            return because(format!("a port named {name} already exists on bridge {bridge}"));
        }
        let Some(interface) = self.find_one(Query::interface(name)).await? else {
            return Ok(());
        };
        let holder = self.find_one(Query::includes(PORT, "interfaces", interface.reference())).await?;
        let port = match holder {
            Some(row) => self.port(&self.name(&row)).await?,
            None => None,
        };
        match port {
            Some(port) => {
                let bridge = self.bridge_of(&port).await?.name;
                because(format!("an interface named {name} already exists on bridge {bridge} (in port {})", port.name))
            }
            None => because(format!("an interface named {name} already exists")),
        }
    }
}

/// `cont<ID>-<IDX>`, or `contm<ID>-<IDX>` for a monitored network interface (0-core, subsys/containers/network.go).
pub fn is_container_port(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = name.strip_prefix("cont") else {
        return false;
    };
    let rest = rest.strip_prefix('m').unwrap_or(rest);
    rest.split_once('-').is_some_and(|(id, index)| digits(id) && digits(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_a_container_port() {
        for name in ["cont5-0", "cont12-3", "contm5-0", "contm0-10"] {
            assert!(is_container_port(name), "{name}");
        }
        for name in [
            "cont5-0p",
            "cont-0",
            "cont5-",
            "cont5",
            "contmm5-0",
            "contx5-0",
            "xcont5-0",
            "cont5-0-1",
            "Cont5-0",
            "cont5_0",
            "contm-1",
        ] {
            assert!(!is_container_port(name), "{name}");
        }
    }
}
