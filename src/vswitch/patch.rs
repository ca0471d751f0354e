//! Patch ports: the two ends that join bridges of one datapath (ovs-vswitchd.conf.db(5), Interface `options:peer`).

use ovsdb::value::Value;

use super::bridge::Bridge;
use super::port::Port;
use super::tables::INTERFACE;
use super::unit::Unit;
use crate::error::Error;

impl Unit<'_> {
    /// Makes sure that a bridge has a patch port to a peer, on a VLAN or on none: adds it, or puts right what is wrong
    /// with the one that is there.
    pub async fn ensure_patch(
        &mut self,
        bridge: &Bridge,
        existing: Option<&Port>,
        name: &str,
        peer: &str,
        vlan: Option<i64>,
    ) -> Result<(), Error> {
        let interface = match existing {
            None => self.add_port(bridge, name, vlan).await?.1,
            Some(port) => {
                let interfaces = self.references(&port.row, "interfaces", INTERFACE).await?;
                let [interface] = interfaces.as_slice() else {
                    let bridge = &bridge.name;
                    return Err(Error::Conflict(format!(
                        "port {name} on bridge {bridge} is a bond of {} interfaces, not the patch port to {peer}",
                        interfaces.len()
                    )));
                };
                if self.name(interface) != name {
                    return Err(Error::Conflict(format!(
                        "port {name} on bridge {} is over the interface {}, not the patch port to {peer}",
                        bridge.name,
                        self.name(interface)
                    )));
                }
                let tag = vlan.or(bridge.fake.as_ref().map(|fake| fake.tag));
                self.set(&port.row, "tag", tag);
                // With a mode of its own or a list of trunks the tag would not mean what it must.
                self.set(&port.row, "vlan_mode", Value::empty());
                self.set(&port.row, "trunks", Value::empty());
                interface.clone()
            }
        };
        self.set(&interface, "type", "patch");
        self.set(&interface, "options", Value::string_map([("peer", peer)]));
        Ok(())
    }
}
