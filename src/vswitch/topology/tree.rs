//! The tree: bridges, their ports, their interfaces.

use std::collections::{BTreeMap, HashMap};

use ovsdb::value::Uuid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::{BridgeRow, InterfaceRow, PortRow, RemoteRow, Strings, Tables};
use crate::vswitch::health::Severity;
use crate::vswitch::network::{self, Network};
use crate::vswitch::secrets;
use crate::vswitch::tables::MARK;

/// The whole switch. Members without a value are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Topology {
    /// The version of Open vSwitch, as ovs-vswitchd or its starter has noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ovs_version: Option<String>,
    /// The number of the configuration that the database holds.
    pub next_cfg: i64,
    /// The number of the configuration that ovs-vswitchd has applied; behind `next_cfg` it is busy, or away.
    pub cur_cfg: i64,
    /// The OVSDB managers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<RemoteNode>,
    /// What is wrong with the switch as a whole, as far as the database tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// All bridges by name, VLAN bridges of ovs-vsctl included.
    pub bridges: Vec<BridgeNode>,
    /// Rows of the database that could not be read and are missing here, each with what is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// Something that is wrong, or may be, as far as the database tells: what [doctor](#ovsdoctor) finds in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Problem {
    /// The code of the doctor's finding.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub message: String,
}

/// A controller of a bridge, or a manager of the switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RemoteNode {
    /// Where it is, like `tcp:192.0.2.1:6653`.
    pub target: String,
    /// Whether there is a connection to it.
    pub connected: bool,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct BridgeNode {
    /// Its name.
    pub name: String,
    /// The type of its datapath: `system` is that of the kernel, `netdev` that of ovs-vswitchd.
    pub datapath_type: String,
    /// What happens without a controller: `standalone` or `secure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_mode: Option<String>,
    /// Its OpenFlow controllers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<RemoteNode>,
    /// Whether the Spanning Tree Protocol runs.
    pub stp: bool,
    /// Whether the Rapid Spanning Tree Protocol runs.
    pub rstp: bool,
    /// For a VLAN bridge of ovs-vsctl: the bridge that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<VlanBridgeOf>,
    /// The network whose bridge it is, as `vlan-ensure` and `vxlan-ensure` make them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<DerivedFrom>,
    /// What this program made it as; left out if others made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What is wrong with the bridge as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Its ports by name, the local port included.
    pub ports: Vec<PortNode>,
}

/// What a VLAN bridge of ovs-vsctl ("fake bridge") is a part of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct VlanBridgeOf {
    /// The real bridge.
    pub bridge: String,
    /// The VLAN of it.
    pub vlan: i64,
}

/// The network of a derived bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct DerivedFrom {
    /// Of which kind it is.
    pub kind: NetworkKind,
    /// The VLAN id or the VXLAN network identifier.
    pub id: i64,
    /// The bridge that carries the VLAN; left out where the database does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
}

/// The kinds of networks that have bridges of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum NetworkKind {
    /// A VLAN of a master bridge.
    Vlan,
    /// A VXLAN overlay.
    Vxlan,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct PortNode {
    /// Its name.
    pub name: String,
    /// The VLAN of an access port, or the native one of a trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<i64>,
    /// The VLANs of a trunk; left out, it carries all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<i64>,
    /// How it treats VLANs, where that is set: `access`, `trunk`, `native-tagged`, `native-untagged`, `dot1q-tunnel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_mode: Option<String>,
    /// For several interfaces as one port, and for a port with LACP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// Its part in the bridge's spanning tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spanning_tree: Option<SpanningTree>,
    /// What this program made it as; left out if others made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What is wrong with the port as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Its interfaces by name: one, or several in a bond.
    pub interfaces: Vec<InterfaceNode>,
}

/// How the members of a bond work together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Bond {
    /// How traffic is spread.
    pub mode: String,
    /// `active`, `passive` or `off`.
    pub lacp: String,
    /// The active member, where the mode has one: its name, or its MAC address if no member has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_member: Option<String>,
    /// Whether it may work as active-backup where nobody at the other end speaks LACP; left out if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacp_fallback: bool,
}

/// A port's part in the spanning tree of its bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SpanningTree {
    /// `root`, `designated`, `alternate` and so on.
    pub role: String,
    /// `forwarding`, `blocking`, `discarding` and so on.
    pub state: String,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct InterfaceNode {
    /// Its name.
    pub name: String,
    /// Its type; `system` is a network device that others make.
    pub r#type: String,
    /// What the type takes. Keys that may hold a secret have `(hidden)` for a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: Strings,
    /// The OpenFlow port number; -1 when the interface could not be set up, left out when nobody has tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ofport: Option<i64>,
    /// Whether it is set up administratively: `up` or `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_state: Option<String>,
    /// Whether it has a link: `up` or `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_state: Option<String>,
    /// The MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i64>,
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What is wrong with it, in the words of ovs-vswitchd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the LACP partner answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacp_current: Option<bool>,
    /// Where it leads, if it is a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// Where it leads, if it is a patch port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchPeer>,
    /// The device that it runs over, if it is the VXLAN device of a network; left out where the kernel was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// What this program made it as; left out if others made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// Where a tunnel leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Tunnel {
    /// The other end: an address, or `flow` where flows tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The VXLAN network identifier or other key; a number, or `flow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<String>,
    /// The device through which its packets leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
}

/// Where a patch port leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct PatchPeer {
    /// The interface that it wants to be joined to.
    pub peer: String,
    /// The bridge of that interface; left out when there is no patch port of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

/// The types of interfaces that are tunnels (ovs-vswitchd.conf.db(5), Interface `type`).
pub(crate) const TUNNELS: &[&str] =
    &["vxlan", "geneve", "gre", "ip6gre", "erspan", "ip6erspan", "lisp", "stt", "bareudp", "gtpu", "srv6"];

/// How ovs-vswitchd spells that a bond has no active member (vswitchd/bridge.c, `port_refresh_bond_status`).
const NO_MAC: &str = "00:00:00:00:00:00";

impl Topology {
    /// Makes the tree. Looks at each row once. What is wrong with it, `doctor::marked` adds.
    pub fn of(tables: &Tables) -> Topology {
        let index = Index::of(tables);
        let mut bridges: Vec<BridgeNode> = tables.bridges.values().flat_map(|row| index.bridges(row)).collect();
        bridges.sort_by(|one, other| one.name.cmp(&other.name));
        let root = tables.root.clone().unwrap_or_default();
        let managers = root.manager_options.iter().filter_map(|uuid| tables.managers.get(uuid));
        Topology {
            ovs_version: root.ovs_version,
            next_cfg: root.next_cfg,
            cur_cfg: root.cur_cfg,
            managers: remotes(managers),
            problems: Vec::new(),
            bridges,
            unreadable: tables.unreadable.clone(),
        }
    }

    /// The bridge of this name.
    pub fn bridge(&self, name: &str) -> Option<&BridgeNode> {
        let place = self.bridges.binary_search_by(|bridge| bridge.name.as_str().cmp(name)).ok()?;
        self.bridges.get(place)
    }
}

/// What it takes to follow names and references through the tables.
struct Index<'t> {
    tables: &'t Tables,
    /// The bridge that a person would say a port is on, by the port's name.
    bridge_of_port: HashMap<&'t str, &'t str>,
    /// The same for patch interfaces, by their name.
    bridge_of_patch: HashMap<&'t str, &'t str>,
}

impl<'t> Index<'t> {
    fn of(tables: &'t Tables) -> Self {
        let mut index = Index { tables, bridge_of_port: HashMap::new(), bridge_of_patch: HashMap::new() };
        for bridge in tables.bridges.values() {
            let fakes = index.fakes(bridge);
            for port in index.ports(bridge) {
                let on =
                    port.tag.and_then(|tag| fakes.get(&tag)).map_or(bridge.name.as_str(), |fake| fake.name.as_str());
                index.bridge_of_port.insert(&port.name, on);
                for uuid in &port.interfaces {
                    match tables.interfaces.get(uuid) {
                        Some(interface) if interface.r#type == "patch" => {
                            index.bridge_of_patch.insert(&interface.name, on);
                        }
                        _ => {}
                    }
                }
            }
        }
        index
    }

    fn ports(&self, bridge: &'t BridgeRow) -> impl Iterator<Item = &'t PortRow> + use<'t> {
        let ports = &self.tables.ports;
        bridge.ports.iter().filter_map(move |uuid| ports.get(uuid))
    }

    /// The VLAN bridges of ovs-vsctl in a real bridge, by VLAN. Of two for one VLAN, the first by name has the ports.
    fn fakes(&self, bridge: &'t BridgeRow) -> BTreeMap<i64, &'t PortRow> {
        let mut fakes: BTreeMap<i64, &PortRow> = BTreeMap::new();
        for port in self.ports(bridge).filter(|port| port.fake_bridge) {
            let Some(tag) = port.tag else { continue };
            let first = fakes.entry(tag).or_insert(port);
            if port.name < first.name {
                *first = port;
            }
        }
        fakes
    }

    /// A real bridge, and the VLAN bridges in it.
    fn bridges(&self, row: &'t BridgeRow) -> Vec<BridgeNode> {
        let fakes = self.fakes(row);
        let mut own = Vec::new();
        let mut of_fakes: BTreeMap<i64, Vec<PortNode>> = BTreeMap::new();
        let mut others = Vec::new();
        for port in self.ports(row) {
            let topology = self.port(port);
            match port.tag.filter(|tag| fakes.contains_key(tag)) {
                // A second VLAN bridge for the VLAN is one all the same, without ports but its own.
                Some(tag) if port.fake_bridge && fakes[&tag].name != port.name => {
                    others.push((tag, port, vec![topology]))
                }
                Some(tag) => of_fakes.entry(tag).or_default().push(topology),
                None => own.push(topology),
            }
        }
        let fakes = fakes.into_iter().map(|(tag, port)| (tag, port, of_fakes.remove(&tag).unwrap_or_default()));
        let fakes = fakes.chain(others).map(|(vlan, port, ports)| BridgeNode {
            parent: Some(VlanBridgeOf { bridge: row.name.clone(), vlan }),
            mark: port.external_ids.get(MARK).cloned(),
            network: None,
            ..self.bridge(row, &port.name, ports)
        });
        let mut bridges: Vec<BridgeNode> = fakes.collect();
        bridges.push(self.bridge(row, &row.name, own));
        bridges
    }

    fn bridge(&self, row: &BridgeRow, name: &str, mut ports: Vec<PortNode>) -> BridgeNode {
        ports.sort_by(|one, other| one.name.cmp(&other.name));
        let mark = row.external_ids.get(MARK);
        let network = ports.iter().find_map(|port| Network::tied_by(&port.name));
        BridgeNode {
            name: name.to_owned(),
            datapath_type: if row.datapath_type.is_empty() { "system" } else { &row.datapath_type }.to_owned(),
            fail_mode: row.fail_mode.clone(),
            controllers: remotes(row.controller.iter().filter_map(|uuid| self.tables.controllers.get(uuid))),
            stp: row.stp_enable,
            rstp: row.rstp_enable,
            parent: None,
            network: network.or_else(|| Network::marked(mark?)).map(|network| self.network(network)),
            mark: mark.cloned(),
            problems: Vec::new(),
            ports,
        }
    }

    fn network(&self, network: Network) -> DerivedFrom {
        match network {
            Network::Vlan(id) => {
                let (outer, _) = network::patch_names(id);
                let master = self.bridge_of_port.get(outer.as_str()).map(|&bridge| bridge.to_owned());
                DerivedFrom { kind: NetworkKind::Vlan, id, master }
            }
            Network::Vxlan(id) => DerivedFrom { kind: NetworkKind::Vxlan, id, master: None },
        }
    }

    fn port(&self, row: &PortRow) -> PortNode {
        let rows = |uuid: &Uuid| self.tables.interfaces.get(uuid);
        let mut interfaces: Vec<&InterfaceRow> = row.interfaces.iter().filter_map(rows).collect();
        interfaces.sort_by(|one, other| one.name.cmp(&other.name));
        PortNode {
            name: row.name.clone(),
            tag: row.tag,
            trunks: row.trunks.clone(),
            vlan_mode: row.vlan_mode.clone(),
            bond: bond(row, &interfaces),
            spanning_tree: spanning_tree(row),
            mark: row.external_ids.get(MARK).cloned(),
            problems: Vec::new(),
            interfaces: interfaces.into_iter().map(|interface| self.interface(interface)).collect(),
        }
    }

    fn interface(&self, row: &InterfaceRow) -> InterfaceNode {
        let mut options = row.options.clone();
        secrets::hide_in_strings(&mut options);
        let is_tunnel = TUNNELS.contains(&row.r#type.as_str());
        let peer = row.options.get("peer").filter(|_| row.r#type == "patch");
        InterfaceNode {
            name: row.name.clone(),
            r#type: if row.r#type.is_empty() { "system" } else { &row.r#type }.to_owned(),
            ofport: row.ofport,
            admin_state: row.admin_state.clone(),
            link_state: row.link_state.clone(),
            mtu: row.mtu,
            mac: row.mac_in_use.clone(),
            error: row.error.clone(),
            lacp_current: row.lacp_current,
            tunnel: is_tunnel.then(|| Tunnel {
                remote: row.options.get("remote_ip").cloned(),
                vni: row.options.get("key").or_else(|| row.options.get("in_key")).cloned(),
                egress: row.status.get("tunnel_egress_iface").cloned(),
            }),
            patch: peer.map(|peer| PatchPeer {
                peer: peer.clone(),
                bridge: self.bridge_of_patch.get(peer.as_str()).map(|&bridge| bridge.to_owned()),
            }),
            over: None,
            mark: row.external_ids.get(MARK).cloned(),
            problems: Vec::new(),
            options,
        }
    }
}

fn remotes<'t>(rows: impl Iterator<Item = &'t RemoteRow>) -> Vec<RemoteNode> {
    let mut remotes: Vec<RemoteNode> =
        rows.map(|row| RemoteNode { target: row.target.clone(), connected: row.is_connected }).collect();
    remotes.sort_by(|one, other| one.target.cmp(&other.target));
    remotes
}

fn bond(row: &PortRow, interfaces: &[&InterfaceRow]) -> Option<Bond> {
    let lacp = row.lacp.as_deref().unwrap_or("off");
    if interfaces.len() < 2 && lacp == "off" {
        return None;
    }
    let named = |mac: &String| {
        let member = interfaces.iter().find(|interface| interface.mac_in_use.as_ref() == Some(mac));
        member.map_or_else(|| mac.clone(), |member| member.name.clone())
    };
    Some(Bond {
        mode: row.bond_mode.clone().unwrap_or_else(|| "active-backup".into()),
        lacp: lacp.to_owned(),
        active_member: row.bond_active_slave.as_ref().filter(|mac| *mac != NO_MAC).map(named),
        // A key that is not "true" is false (lib/smap.c, smap_get_bool).
        lacp_fallback: row.other_config.get("lacp-fallback-ab").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    })
}

fn spanning_tree(row: &PortRow) -> Option<SpanningTree> {
    let of = |status: &Strings, role: &str, state: &str| {
        let word = |key: &str| status.get(key).map(|word| word.to_ascii_lowercase());
        Some(SpanningTree { role: word(role)?, state: word(state)? })
    };
    of(&row.rstp_status, "rstp_port_role", "rstp_port_state").or_else(|| of(&row.status, "stp_role", "stp_state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(number: u128) -> Uuid {
        Uuid(uuid::Uuid::from_u128(number))
    }

    /// A bridge with ports that are given by name, tag and whether they are a VLAN bridge.
    fn switch(ports: &[(&str, Option<i64>, bool)]) -> Tables {
        let mut tables = Tables::default();
        for (number, (name, tag, fake_bridge)) in (1..).zip(ports) {
            let interface = InterfaceRow { name: (*name).into(), ..InterfaceRow::default() };
            tables.interfaces.insert(uuid(number), interface);
            let (interfaces, fake_bridge) = (vec![uuid(number)], *fake_bridge);
            let port = PortRow { name: (*name).into(), interfaces, tag: *tag, fake_bridge, ..PortRow::default() };
            tables.ports.insert(uuid(number), port);
        }
        let ports = tables.ports.keys().copied().collect();
        tables.bridges.insert(uuid(0), BridgeRow { name: "br0".into(), ports, ..BridgeRow::default() });
        tables
    }

    fn names(topology: &Topology) -> Vec<(String, Vec<String>)> {
        let ports = |bridge: &BridgeNode| bridge.ports.iter().map(|port| port.name.clone()).collect();
        topology.bridges.iter().map(|bridge| (bridge.name.clone(), ports(bridge))).collect()
    }

    fn named(bridges: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |ports: &[&str]| ports.iter().map(|&port| port.to_owned()).collect();
        bridges.iter().map(|(bridge, ports)| ((*bridge).to_owned(), owned(ports))).collect()
    }

    #[test]
    fn ports_are_on_the_vlan_bridge_of_their_tag() {
        let tables = switch(&[
            ("br0", None, false),
            ("five", Some(5), true),
            ("a", Some(5), false),
            ("b", Some(6), false),
            ("untagged", None, true),
        ]);
        let topology = Topology::of(&tables);
        assert_eq!(names(&topology), named(&[("br0", &["b", "br0", "untagged"]), ("five", &["a", "five"])]));
        assert_eq!(topology.bridge("five").unwrap().parent, Some(VlanBridgeOf { bridge: "br0".into(), vlan: 5 }));
        assert_eq!(topology.bridge("br0").unwrap().parent, None);
        assert_eq!(topology.bridge("b"), None);
    }

    #[test]
    fn of_two_vlan_bridges_for_one_vlan_the_first_by_name_has_the_ports() {
        let topology = Topology::of(&switch(&[("two", Some(5), true), ("one", Some(5), true), ("a", Some(5), false)]));
        assert_eq!(names(&topology), named(&[("br0", &[]), ("one", &["a", "one"]), ("two", &["two"])]));
    }
}
