//! What the kernel tells of the devices that the switch uses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::error::Error;
use crate::links::Link;
use crate::vswitch::picture::{NetworkKind, Picture};
use crate::vswitch::unit::Unit;
use crate::vswitch::vtep;

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
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
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
}

impl Unit<'_> {
    /// Asks the kernel for what the checks need: one list of all devices, and more about those of overlays.
    pub(super) fn kernel(&mut self, picture: &Picture) -> Result<Kernel, Error> {
        let has_datapath = std::path::Path::new("/sys/module/openvswitch").exists();
        let mut kernel = Kernel { devices: devices()?, has_datapath, ..Kernel::default() };
        let mut wanted = BTreeSet::new();
        wanted.extend(kernel.devices.keys().filter(|name| vtep::vni_of(name).is_some()).cloned());
        for bridge in &picture.bridges {
            let vni = bridge.network.as_ref().filter(|network| network.kind == NetworkKind::Vxlan);
            wanted.extend(vni.and_then(|network| u32::try_from(network.id).ok()).map(vtep::name));
            let interfaces = bridge.ports.iter().flat_map(|port| &port.interfaces);
            wanted.extend(interfaces.filter_map(|interface| interface.tunnel.as_ref()?.egress.clone()));
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
        let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let six = address.as_sockaddr_in6().map(|address| address.ip());
        let six = six.filter(|address| !address.is_unicast_link_local()).map(IpAddr::V6);
        device.addresses.extend(four.or(six));
    }
    Ok(devices)
}
