//! What the kernel tells of the devices that the switch uses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::error::Error;
use crate::links::Link;
use crate::vswitch::causes::device_name;
use crate::vswitch::network;
use crate::vswitch::topology::{BridgeNode, NetworkKind, Topology};
use crate::vswitch::unit::Unit;

/// The devices of the network namespace in which the program runs, which is that of ovs-vswitchd.
#[derive(Debug, Default)]
pub struct Kernel {
    /// All devices by name.
    pub devices: BTreeMap<String, Device>,
    /// More about the devices that overlays run over, and about VTEPs.
    pub links: BTreeMap<String, Link>,
    /// The names of devices by number, those that VTEPs run over.
    pub names: BTreeMap<u32, String>,
    /// Whether the kernel has its datapath for Open vSwitch.
    pub has_datapath: bool,
    /// The numbers of the devices from which a process reads whole frames (packet(7)); none if the kernel does not tell.
    pub read: Option<BTreeSet<u32>>,
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The kernel's number of it; 0 if the kernel did not tell.
    pub index: u32,
    /// Whether it is set up administratively.
    pub up: bool,
    /// Its addresses, those of IPv6 left out that each device gives itself.
    pub addresses: Vec<IpAddr>,
}

impl Kernel {
    /// The device that a VTEP runs over.
    pub(super) fn lower(&self, vtep: &Link) -> Option<&str> {
        self.names.get(&vtep.vxlan.as_ref()?.lower?).map(String::as_str)
    }

    /// Whether a device is a port of the userspace datapath by its name, and ovs-vswitchd does not read from it.
    ///
    /// It reads from a device of the system through a packet socket (lib/netdev-linux.c). The kernel unbinds that from a
    /// device that goes; when another device comes by that name, ovs-vswitchd tells of that one in the database, its
    /// `ifindex` included, and goes on with the old socket.
    pub(super) fn is_not_read(&self, device: &Device, bridge: &BridgeNode) -> bool {
        let read = self.read.as_ref().filter(|_| bridge.datapath_type == "netdev" && device.index != 0);
        read.is_some_and(|read| !read.contains(&device.index))
    }
}

impl Unit<'_> {
    /// Asks the kernel for what the checks need: one list of all devices, and more about those of overlays.
    pub(super) fn kernel(&mut self, topology: &Topology) -> Result<Kernel, Error> {
        let has_datapath = std::path::Path::new("/sys/module/openvswitch").exists();
        let mut kernel = Kernel { devices: devices()?, has_datapath, read: packet_sockets(), ..Kernel::default() };
        let mut wanted = BTreeSet::new();
        wanted.extend(kernel.devices.keys().filter(|name| network::vni_of(name).is_some()).cloned());
        for bridge in &topology.bridges {
            let vni = bridge.network.as_ref().filter(|network| network.kind == NetworkKind::Vxlan);
            wanted.extend(vni.and_then(|network| u32::try_from(network.id).ok()).map(network::vtep_name));
            let interfaces = bridge.ports.iter().flat_map(|port| &port.interfaces);
            wanted.extend(interfaces.filter_map(|interface| interface.tunnel.as_ref()?.egress.clone()));
        }
        let interfaces = topology.bridges.iter().flat_map(|bridge| &bridge.ports).flat_map(|port| &port.interfaces);
        for interface in interfaces.filter(|interface| interface.r#type == "system") {
            // A device may be a port by an alternative name, which is in no list of devices.
            let name = device_name(&interface.name);
            if !kernel.devices.contains_key(name)
                && let Some(link) = self.link(name)?
            {
                let by_name = kernel.devices.get(&link.name).cloned();
                let device = by_name.unwrap_or(Device { index: link.index, up: link.up, ..Device::default() });
                kernel.devices.insert(name.to_owned(), device);
            }
        }
        for name in wanted {
            if !kernel.devices.contains_key(&name) {
                continue;
            }
            let Some(link) = self.link(&name)? else { continue };
            if let Some(lower) = link.vxlan.as_ref().and_then(|vxlan| vxlan.lower)
                && !kernel.names.contains_key(&lower)
                && let Some(lower_name) = self.link_name(lower)?
                && let Some(lower_link) = self.link(&lower_name)?
            {
                kernel.names.insert(lower, lower_name.clone());
                kernel.links.insert(lower_name, lower_link);
            }
            kernel.links.insert(name, link);
        }
        Ok(kernel)
    }
}

/// The names of all devices.
pub(in crate::vswitch) fn device_names() -> Result<BTreeSet<String>, Error> {
    Ok(devices()?.into_keys().collect())
}

/// All devices and their addresses (getifaddrs(3)), in two dumps of the kernel's however many there are.
fn devices() -> Result<BTreeMap<String, Device>, Error> {
    let entries = getifaddrs().map_err(|error| Error::NotCommitted {
        cause: format!("the kernel does not tell its network devices: {}", error.desc()),
    })?;
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    for entry in entries {
        let device = devices.entry(entry.interface_name).or_default();
        device.up = entry.flags.contains(InterfaceFlags::IFF_UP);
        let Some(address) = entry.address else { continue };
        if let Some(link) = address.as_link_addr().and_then(|link| u32::try_from(link.ifindex()).ok()) {
            device.index = link;
        }
        let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let six = address.as_sockaddr_in6().map(|address| address.ip());
        let six = six.filter(|address| !address.is_unicast_link_local()).map(IpAddr::V6);
        device.addresses.extend(four.or(six));
    }
    Ok(devices)
}

/// The devices that packet sockets of this network namespace are bound to. A file that is not there, or is of another
/// form, tells nothing: nothing is concluded from it then.
fn packet_sockets() -> Option<BTreeSet<u32>> {
    let text = std::fs::read_to_string("/proc/self/net/packet").ok()?;
    let mut lines = text.lines();
    let place = lines.next()?.split_whitespace().position(|column| column == "Iface")?;
    // 0 is every device, and -1 one that is gone.
    Some(lines.filter_map(|line| line.split_whitespace().nth(place)?.parse().ok()).collect())
}
