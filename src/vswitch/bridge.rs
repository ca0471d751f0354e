//! Bridges: finding, adding, removing. A VLAN bridge of ovs-vsctl (a "fake bridge") is a bridge here too: it is a port
//! of its parent with `fake_bridge` set, and every port of the parent that has its tag belongs to it (ovs-vsctl(8)).

use ovsdb::value::Value;

use super::plan::change_set::RowKey;
use super::plan::query::Query;
use super::port::Port;
use super::tables::{BRIDGE, FLOW_SAMPLE_COLLECTOR_SET, INTERFACE, OPEN_VSWITCH, PORT};
use super::unit::Unit;
use crate::error::Error;

/// A bridge that exists, real or fake.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The row in the Bridge table; that of the parent if the bridge is fake.
    pub row: RowKey,
    /// What makes it fake.
    pub fake: Option<Fake>,
}

/// The part of a fake bridge that is its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Fake {
    /// Its port on the parent.
    pub port: RowKey,
    /// The VLAN that it stands for.
    pub tag: i64,
}

/// Below this many interfaces, the server is asked for the patch ports that point at each; above, all patch ports are
/// read once.
const FEW_INTERFACES: usize = 16;

/// `""` is how the database spells the default type.
pub fn same_datapath(one: &str, other: &str) -> bool {
    let spelled = |name: &str| if name.is_empty() { "system" } else { name }.to_owned();
    spelled(one) == spelled(other)
}

impl Unit<'_> {
    /// The bridge of this name.
    pub async fn bridge(&mut self, name: &str) -> Result<Option<Bridge>, Error> {
        if let Some(row) = self.find_one(Query::bridge(name)).await? {
            return Ok(Some(Bridge { name: name.to_owned(), row, fake: None }));
        }
        let Some(port) = self.find_one(Query::port(name)).await? else {
            return Ok(None);
        };
        let Some(tag) = self.fake_bridge_tag(&port) else {
            return Ok(None);
        };
        let Some(parent) = self.find_one(Query::includes(BRIDGE, "ports", port.reference())).await? else {
            return Ok(None);
        };
        Ok(Some(Bridge { name: name.to_owned(), row: parent, fake: Some(Fake { port, tag }) }))
    }

    /// The VLAN that a port stands for, if it is a fake bridge. Without a tag it is an ordinary port.
    fn fake_bridge_tag(&mut self, port: &RowKey) -> Option<i64> {
        match self.value(port, "fake_bridge").as_bool() {
            Some(true) => self.value(port, "tag").as_integer(),
            _ => None,
        }
    }

    /// The bridge of this name, for one who would add it if there is none. A fake one is a port, so adding the bridge
    /// would fail at the unique index of the ports; that saves the first attempt a scan of them all.
    pub async fn bridge_or_vacancy(&mut self, name: &str) -> Result<Option<Bridge>, Error> {
        if self.careful {
            return self.bridge(name).await;
        }
        let row = self.find_one(Query::bridge(name)).await?;
        Ok(row.map(|row| Bridge { name: name.to_owned(), row, fake: None }))
    }

    /// The bridge of this name, or the error that there is none.
    pub async fn require_bridge(&mut self, name: &str) -> Result<Bridge, Error> {
        self.bridge(name).await?.ok_or_else(|| Error::NotFound(format!("no bridge named {name}")))
    }

    /// The ports that are fake bridges.
    pub fn vlan_bridges() -> Query {
        Query::equals(PORT, "fake_bridge", true)
    }

    /// The fake bridges of a real one, with their VLANs.
    pub async fn fake_bridges_of(&mut self, parent: &RowKey) -> Result<Vec<(RowKey, i64)>, Error> {
        let ports = self.find(Unit::vlan_bridges()).await?;
        self.fetch(ports.iter().filter_map(|port| Unit::membership(parent, "ports", port))).await?;
        let mut fakes = Vec::new();
        for port in ports {
            if let Some(tag) = self.fake_bridge_tag(&port)
                && self.includes(parent, "ports", &port).await?
            {
                fakes.push((port, tag));
            }
        }
        Ok(fakes)
    }

    /// The names of all bridges in byte order, fake ones included.
    pub async fn bridge_names(&mut self) -> Result<Vec<String>, Error> {
        let fakes = Query::equals(PORT, "fake_bridge", true);
        self.fetch([Query::all(BRIDGE), fakes.clone()]).await?;
        let mut names = Vec::new();
        for bridge in self.find(Query::all(BRIDGE)).await? {
            names.push(self.name(&bridge));
        }
        for port in self.find(fakes).await? {
            if self.fake_bridge_tag(&port).is_some() {
                names.push(self.name(&port));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Adds a bridge with its local port. The caller has found that there is none of that name.
    pub async fn add_bridge(&mut self, name: &str, datapath_type: &str) -> Result<RowKey, Error> {
        if self.careful {
            self.require_free(name, "bridge").await?;
        }
        let root = self.root().await?;
        let interface = self.insert(INTERFACE, [("name", name.into()), ("type", "internal".into())]);
        let port = self.insert(PORT, [("name", name.into()), ("interfaces", interface.reference().into())]);
        let bridge = self.insert(BRIDGE, [("name", name.into()), ("ports", port.reference().into())]);
        if !datapath_type.is_empty() {
            self.set(&bridge, "datapath_type", datapath_type);
        }
        self.add_to(&root, "bridges", &bridge);
        Ok(bridge)
    }

    /// Removes a bridge with its ports, and the patch ports on other bridges that pointed into it.
    pub async fn remove_bridge(&mut self, bridge: &Bridge) -> Result<(), Error> {
        if let Some(fake) = &bridge.fake {
            return self.remove_fake_bridge(&bridge.row, fake).await;
        }
        let ports = self.references(&bridge.row, "ports", PORT).await?;
        for port in self.peers_on_other_bridges(&bridge.row, &ports).await? {
            self.remove_port(&port).await?;
        }
        // These rows would keep the bridge alive in the database, though no longer in the switch.
        let samplers = Query::equals(FLOW_SAMPLE_COLLECTOR_SET, "bridge", bridge.row.reference());
        for row in self.find(samplers).await? {
            self.delete(&row);
        }
        let root = self.find_one(Query::all(OPEN_VSWITCH)).await?;
        let root = root.ok_or_else(|| Error::NotFound("the database has no Open_vSwitch row".into()))?;
        self.take_from(&root, "bridges", &bridge.row);
        for port in &ports {
            self.collect_port(port).await?;
        }
        self.collected(&bridge.row);
        Ok(())
    }

    /// A fake bridge goes with every port of its VLAN.
    async fn remove_fake_bridge(&mut self, parent: &RowKey, fake: &Fake) -> Result<(), Error> {
        for port in self.references(parent, "ports", PORT).await? {
            if port == fake.port || self.value(&port, "tag").as_integer() == Some(fake.tag) {
                self.take_from(parent, "ports", &port);
                self.collect_port(&port).await?;
            }
        }
        Ok(())
    }

    /// The ports elsewhere with a patch interface whose peer is an interface of one of these ports.
    async fn peers_on_other_bridges(&mut self, bridge: &RowKey, ports: &[RowKey]) -> Result<Vec<Port>, Error> {
        let mut interfaces = Vec::new();
        let mut all = Vec::new();
        for port in ports {
            all.extend(self.value(port, "interfaces").uuids());
        }
        self.fetch(all.into_iter().map(|uuid| Query::row(INTERFACE, uuid))).await?;
        for port in ports {
            interfaces.extend(self.references(port, "interfaces", INTERFACE).await?);
        }
        let names: std::collections::BTreeSet<String> = interfaces.iter().map(|row| self.name(row)).collect();

        let mut pointing = Vec::new();
        if names.len() <= FEW_INTERFACES {
            let at =
                |name: &String| Query::includes(INTERFACE, "options", Value::string_map([("peer", name.as_str())]));
            self.fetch(names.iter().map(at)).await?;
            for name in &names {
                pointing.extend(self.find(at(name)).await?);
            }
            pointing.retain(|row| self.peek(row, "type").is_some_and(|kind| kind.as_str() == Some("patch")));
        } else {
            pointing = self.find(Query::equals(INTERFACE, "type", "patch")).await?;
            pointing.retain(|row| {
                self.peek(row, "options")
                    .is_some_and(|options| options.get_str("peer").is_some_and(|peer| names.contains(peer)))
            });
        }
        pointing.retain(|row| !interfaces.contains(row));

        let holders = |row: &RowKey| Query::includes(PORT, "interfaces", row.reference());
        self.fetch(pointing.iter().map(holders)).await?;
        let mut found = Vec::new();
        for interface in &pointing {
            found.extend(self.find(holders(interface)).await?);
        }
        let owners = |row: &RowKey| Query::includes(BRIDGE, "ports", row.reference());
        self.fetch(found.iter().map(owners)).await?;
        let mut peers = Vec::new();
        for row in found {
            if let Some(owner) = self.find_one(owners(&row)).await?
                && owner != *bridge
            {
                peers.push(Port { name: self.name(&row), row, bridge: owner });
            }
        }
        Ok(peers)
    }
}
