//! Derived bridges: those that `vlan-ensure` and `vxlan-ensure` make for one network of a master bridge.

use ovsdb::value::Value;

use super::bridge::{Bridge, same_datapath};
use super::network::Network;
use super::plan::change_set::RowKey;
use super::plan::query::Query;
use super::port::Port;
use super::tables::{BRIDGE, INTERFACE, MARK, PORT};
use super::unit::Unit;
use crate::error::Error;

/// The master bridge of this name.
pub async fn master(unit: &mut Unit<'_>, name: &str) -> Result<Bridge, Error> {
    unit.bridge(name).await?.ok_or_else(|| Error::NotFound(format!("master bridge {name} does not exist")))
}

/// Refuses a VLAN whose port is on another bridge than the master.
pub fn check_master(unit: &Unit<'_>, network: Network, outer: Option<&Port>, master: &Bridge) -> Result<(), Error> {
    match outer {
        Some(port) if port.bridge != master.row => Err(Error::Conflict(format!(
            "{network} is already tied to another master: {} is on bridge {}, not on {}",
            port.name,
            unit.name(&port.bridge),
            master.name
        ))),
        _ => Ok(()),
    }
}

/// The bridge of a network: the one that has its port, or one that is recognisably its own.
pub async fn find_bridge(
    unit: &mut Unit<'_>,
    network: Network,
    port: Option<&Port>,
    asked: Option<&str>,
) -> Result<Option<Bridge>, Error> {
    let own = network.default_bridge();
    let bridge = match port {
        Some(port) => Some(Bridge { name: unit.name(&port.bridge), row: port.bridge.clone(), fake: None }),
        // Whatever else the name may stand for is not this network's to delete.
        None => {
            let named = unit.bridge(asked.unwrap_or(&own)).await?.filter(|bridge| {
                bridge.fake.is_none() && {
                    let mark = unit.value(&bridge.row, "external_ids").get_str(MARK).map(str::to_owned);
                    mark.as_deref() == Some(&network.mark()) || (bridge.name == own && mark.is_none())
                }
            });
            match (named, asked) {
                (None, None) => {
                    let marked = marked(unit, network).await?;
                    // That the network has no port was read before, and the bridge may have come with one since.
                    if marked.is_some() {
                        unit.rely_on_no_port(&network.port());
                    }
                    marked
                }
                (named, _) => named,
            }
        }
    };
    match (&bridge, asked) {
        (Some(bridge), Some(asked)) if bridge.name != asked => {
            Err(Error::Conflict(format!("{network} has the bridge {}, not {asked}", bridge.name)))
        }
        _ => Ok(bridge),
    }
}

/// Removes a derived bridge. Ports that are not its own keep it from being removed, unless that is forced.
pub async fn remove_bridge(unit: &mut Unit<'_>, bridge: &Bridge, own: &[&str], force: bool) -> Result<(), Error> {
    let mut others = Vec::new();
    for port in unit.references(&bridge.row, "ports", PORT).await? {
        let name = unit.name(&port);
        if name != bridge.name && !own.contains(&name.as_str()) {
            others.push(name);
        }
    }
    if !others.is_empty() && !force {
        others.sort();
        return Err(Error::Conflict(format!(
            "bridge {} still has the ports {}; \"force\": true removes it all the same",
            bridge.name,
            others.join(", ")
        )));
    }
    unit.remove_bridge(bridge).await
}

/// Makes sure that a network has a bridge: the one that its port is on, or else the one that is asked for, which may be
/// there and have lost the port. A network that is tied to a bridge stays with it.
pub async fn ensure(
    unit: &mut Unit<'_>,
    network: Network,
    port: Option<&Port>,
    asked: Option<&str>,
    master: &Bridge,
) -> Result<Bridge, Error> {
    if let Some(port) = port {
        let tied = unit.name(&port.bridge);
        return match asked {
            Some(asked) if asked != tied => Err(Error::Conflict(format!(
                "{network} is already tied to another bridge: {} is on {tied}, not on {asked}",
                port.name
            ))),
            _ => adopt(unit, &tied, port.bridge.clone(), master).await,
        };
    }
    let own = network.default_bridge();
    let name = asked.unwrap_or(&own);
    match unit.bridge_or_vacancy(name).await? {
        _ if name == master.name => {
            Err(Error::argument("name", format!("{name:?} is the master itself; expected another name")))
        }
        Some(bridge) if bridge.row == master.row => {
            let problem = format!("{name:?} and the master {} are one bridge; expected another name", master.name);
            Err(Error::argument("name", problem))
        }
        Some(bridge) => {
            check_vacant(unit, network, &bridge).await?;
            adopt(unit, name, bridge.row, master).await
        }
        None => {
            if asked.is_none()
                && let Some(bridge) = marked_if_careful(unit, network).await?
            {
                check_vacant(unit, network, &bridge).await?;
                return adopt(unit, &bridge.name, bridge.row, master).await;
            }
            let datapath_type = unit.value(&master.row, "datapath_type");
            let row = unit.add_bridge(name, datapath_type.as_str().unwrap_or_default()).await?;
            Ok(Bridge { name: name.to_owned(), row, fake: None })
        }
    }
}

/// The bridge that was made for a network under another name than the default one, and has lost the network's port. There
/// is only one network of a number on a switch, since the names of its ports are fixed.
async fn marked(unit: &mut Unit<'_>, network: Network) -> Result<Option<Bridge>, Error> {
    let rows = unit.find(Query::includes(BRIDGE, "external_ids", mark_of(network))).await?;
    match rows.as_slice() {
        [] => Ok(None),
        [row] => Ok(Some(Bridge { name: unit.name(row), row: row.clone(), fake: None })),
        several => {
            let mut names: Vec<String> = several.iter().map(|row| unit.name(row)).collect();
            names.sort();
            Err(Error::Conflict(format!(
                "the bridges {} are all marked as that of {network}; expected its name, as \"name\"",
                names.join(", ")
            )))
        }
    }
}

/// The same without a look, where that can wait: on the first attempt the transaction is refused if there is one.
async fn marked_if_careful(unit: &mut Unit<'_>, network: Network) -> Result<Option<Bridge>, Error> {
    if unit.careful {
        return marked(unit, network).await;
    }
    unit.absent.insert((BRIDGE.into(), "external_ids".into(), mark_of(network)));
    Ok(None)
}

fn mark_of(network: Network) -> Value {
    Value::string_map([(MARK, network.mark())])
}

/// Takes an existing bridge as the derived one. Patch ports and tunnels only join bridges of one datapath.
async fn adopt(unit: &mut Unit<'_>, name: &str, row: RowKey, master: &Bridge) -> Result<Bridge, Error> {
    let wanted = unit.value(&master.row, "datapath_type");
    let wanted = wanted.as_str().unwrap_or_default();
    if !same_datapath(unit.value(&row, "datapath_type").as_str().unwrap_or_default(), wanted) {
        unit.set(&row, "datapath_type", wanted);
    }
    Ok(Bridge { name: name.to_owned(), row, fake: None })
}

/// Makes sure that an existing bridge may be joined to a network: it must not serve another one, and a bridge that is
/// not recognisably this network's own must not be joined to anything, or there could be a loop.
async fn check_vacant(unit: &mut Unit<'_>, network: Network, bridge: &Bridge) -> Result<(), Error> {
    let name = &bridge.name;
    let refuse = |why: String| Err(Error::Exists(format!("bridge {name} can't become that of {network}: {why}")));
    if bridge.fake.is_some() {
        return refuse("it is a VLAN bridge of ovs-vsctl".into());
    }
    let marked = unit.value(&bridge.row, "external_ids").get_str(MARK) == Some(&network.mark());
    let own = marked || *name == network.default_bridge();
    for port in unit.references(&bridge.row, "ports", PORT).await? {
        let port_name = unit.name(&port);
        if let Some(other) = Network::tied_by(&port_name)
            && other != network
        {
            return refuse(format!("a bridge named {name} already exists, for {other} (it has the port {port_name})"));
        }
        if own {
            continue;
        }
        for interface in unit.references(&port, "interfaces", INTERFACE).await? {
            if unit.value(&interface, "type").as_str() == Some("patch") {
                return refuse(format!("it is joined to another bridge by the patch port {port_name}"));
            }
        }
    }
    Ok(())
}
