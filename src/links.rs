//! Kernel network devices over rtnetlink: looking them up, making VXLAN devices, setting devices up and down, and their
//! addresses.
//!
//! Each operation is one request and one answer; no look-up lists all devices. The kernel works on a request while it
//! is being sent, and the answer is there when sending returns. So nothing here is asynchronous: there is nothing to
//! wait for, and where something else holds the kernel's routing lock, no timer would cut the sending short. Knows
//! nothing of switches or of how devices are named.

mod addresses;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVxlan};

pub use addresses::Address;

/// What the kernel tells of one device takes about 2 KiB; a network card with many functions is not asked about them.
const ANSWER_SIZE: usize = 32 * 1024;

/// The longest name of a device in bytes (linux/if.h: `IFNAMSIZ` less the terminating zero).
const NAME_MAX: usize = 15;

/// A connection to the kernel's routing subsystem (`NETLINK_ROUTE`), for the network namespace it was opened in.
#[derive(Debug)]
pub struct Links {
    socket: Socket,
    /// Of the last request; its answer repeats it.
    sequence: AtomicU32,
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it (`ifi_index`).
    pub index: u32,
    /// Its name (`IFLA_IFNAME`).
    pub name: String,
    /// Its kind as `ip -d link` shows it ("vxlan", "veth", "tun", …; `IFLA_INFO_KIND`); none for a physical device.
    pub kind: Option<String>,
    /// Whether it is set up administratively (`IFF_UP`).
    pub up: bool,
    /// In bytes (`IFLA_MTU`).
    pub mtu: u32,
    /// What there is to know about a VXLAN device.
    pub vxlan: Option<VxlanInfo>,
}

/// The attributes of a VXLAN device (linux/if_link.h, `IFLA_VXLAN_*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VxlanInfo {
    /// The network identifier (`IFLA_VXLAN_ID`).
    pub vni: u32,
    /// The device that it runs over (`IFLA_VXLAN_LINK`).
    pub lower: Option<u32>,
    /// The multicast group for frames whose destination is not known (`IFLA_VXLAN_GROUP`); none for one of IPv6.
    pub group: Option<Ipv4Addr>,
    /// The UDP port (`IFLA_VXLAN_PORT`).
    pub port: Option<u16>,
}

/// A VXLAN device to be made. It learns addresses; the UDP port is the kernel's default, 8472.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// Its name.
    pub name: String,
    /// The network identifier, 24 bits.
    pub vni: u32,
    /// The number of the device that it runs over.
    pub lower: u32,
    /// The multicast group for frames whose destination is not known.
    pub group: Ipv4Addr,
    /// In bytes. The kernel lowers it to what fits into the lower device, 50 bytes less than that has.
    pub mtu: u32,
}

/// Why something could not be done to a device, or could not be found out about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no way to the kernel.
    #[error("opening a netlink socket: {0}")]
    Open(#[source] io::Error),
    /// The kernel would make a device of another name.
    #[error("{action}: the name of a new device must have 1 to {NAME_MAX} bytes, without % and NUL")]
    Name {
        /// What was tried, with the device's name.
        action: String,
    },
    /// The kernel said no (`NLMSG_ERROR`).
    #[error("{action}: {reason}")]
    Refused {
        /// What was tried, with the device's name.
        action: String,
        /// The error number (linux/errno.h).
        errno: i32,
        /// The same in words, and what the kernel had to add.
        reason: String,
    },
    /// The netlink socket failed before the answer was there.
    #[error(
        "{action}: the connection to the kernel ended before its answer came ({cause}); it is unknown whether it was done"
    )]
    Lost {
        /// What was tried, with the device's name.
        action: String,
        /// How the socket failed.
        #[source]
        cause: io::Error,
    },
    /// The kernel answered, and its answer can't be read.
    #[error("{action}: the kernel's answer can't be read ({problem}); it is unknown whether it was done")]
    Unreadable {
        /// What was tried, with the device's name.
        action: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The kernel answered something else than what was asked for.
    #[error("{action}: the kernel's answer is of netlink message type {answer}, which does not fit the request")]
    Unexpected {
        /// What was tried, with the device's name.
        action: String,
        /// The type of the answer.
        answer: u16,
    },
}

// linux/errno.h; the same on every architecture that Zero-OS runs on.
const EPERM: i32 = 1;
const EINTR: i32 = 4;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const ERANGE: i32 = 34;
const EOPNOTSUPP: i32 = 95;
const EADDRNOTAVAIL: i32 = 99;

impl LinkError {
    /// A device of that name, or a VXLAN device with that VNI and UDP port, is there already (`EEXIST`).
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(EEXIST)
    }

    /// The device does not have the address that is to be removed (`EADDRNOTAVAIL`).
    pub fn is_no_address(&self) -> bool {
        self.errno() == Some(EADDRNOTAVAIL)
    }

    /// There is no such device (`ENODEV`); for [`Links::add_vxlan`]: none that it could run over.
    pub fn is_missing(&self) -> bool {
        self.errno() == Some(ENODEV)
    }

    /// Whether a change may have been made all the same: the kernel was asked, and did not refuse.
    pub fn may_be_done(&self) -> bool {
        matches!(self, LinkError::Lost { .. } | LinkError::Unreadable { .. } | LinkError::Unexpected { .. })
    }

    fn errno(&self) -> Option<i32> {
        match self {
            LinkError::Refused { errno, .. } => Some(*errno),
            // Only the kernel gives error numbers.
            LinkError::Open(_)
            | LinkError::Name { .. }
            | LinkError::Lost { .. }
            | LinkError::Unreadable { .. }
            | LinkError::Unexpected { .. } => None,
        }
    }

    fn refused(request: &Request, errno: i32, said: Option<String>) -> Self {
        let mut reason = match (errno, request) {
            // Before the general EACCES: the kernel says it of a device without IPv6 (net/ipv6/addrconf.c).
            (EACCES, Request::AddAddress(device, address)) if address.ip.is_ipv6() => {
                format!("IPv6 is switched off there (sysctl net.ipv6.conf.{}.disable_ipv6)", device.name)
            }
            (EOPNOTSUPP, Request::AddAddress(_, address)) if address.ip.is_ipv6() => "the kernel has no IPv6".into(),
            (EEXIST, Request::AddAddress(..)) => "it has that address already, with a prefix of another length".into(),
            (EPERM | EACCES, _) => "not permitted, it needs the capability CAP_NET_ADMIN".into(),
            (EEXIST, Request::AddVxlan(_)) => "a device of that name, or with that VNI, exists already".into(),
            (ENODEV, Request::AddVxlan(vxlan)) => format!("there is no device number {} to run over", vxlan.lower),
            (ENODEV, _) => "there is no such device".into(),
            (ERANGE, Request::AddVxlan(_)) => "the name or the VNI is out of range".into(),
            (EOPNOTSUPP, Request::AddVxlan(_)) => "the kernel module vxlan is not available".into(),
            // What the system calls the number.
            _ => io::Error::from_raw_os_error(errno).to_string(),
        };
        if let Some(said) = said {
            reason = format!("{reason}; the kernel says: {said}");
        }
        LinkError::Refused { action: request.to_string(), errno, reason }
    }
}

impl Links {
    /// Opens a netlink socket.
    pub fn open() -> Result<Self, LinkError> {
        let socket = Links::connect(NETLINK_ROUTE).map_err(LinkError::Open)?;
        // Words with the error numbers. Kernels before 4.12 have none, and everything else works.
        let _ = socket.set_ext_ack(true);
        Ok(Links { socket, sequence: AtomicU32::new(0) })
    }

    fn connect(protocol: isize) -> io::Result<Socket> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // An answer that is not there when sending returns will never come.
        socket.set_non_blocking(true)?;
        Ok(socket)
    }

    /// The device of this name, if there is one. From Linux 5.5 on an alternative name finds it, too.
    pub fn get(&self, name: &str) -> Result<Option<Link>, LinkError> {
        self.find(Request::Find(name))
    }

    /// The name of the device with this number, if there is one.
    pub fn name_of(&self, index: u32) -> Result<Option<String>, LinkError> {
        Ok(self.find(Request::FindNumber(index))?.map(|link| link.name))
    }

    /// Makes a VXLAN device and sets it up, in one request: the kernel removes it again where it can't be set up.
    pub fn add_vxlan(&self, vxlan: &Vxlan) -> Result<(), LinkError> {
        self.change(Request::AddVxlan(vxlan))
    }

    /// Sets a device up.
    pub fn set_up(&self, name: &str) -> Result<(), LinkError> {
        self.change(Request::SetUp(name))
    }

    /// Sets a device down.
    pub fn set_down(&self, name: &str) -> Result<(), LinkError> {
        self.change(Request::SetDown(name))
    }

    /// Deletes a device, by its number: the kernel gives that to no other device, while another one may have its name by
    /// now.
    pub fn delete(&self, device: &Link) -> Result<(), LinkError> {
        self.change(Request::Delete(device))
    }

    fn find(&self, request: Request<'_>) -> Result<Option<Link>, LinkError> {
        match self.call(&request) {
            Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))) => {
                let unreadable = |problem| LinkError::Unreadable { action: request.to_string(), problem };
                read(link).map(Some).map_err(unreadable)
            }
            Ok(other) => Err(LinkError::Unexpected { action: request.to_string(), answer: other.message_type() }),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn change(&self, request: Request<'_>) -> Result<(), LinkError> {
        match self.call(&request)? {
            // An error message without an error number is an acknowledgement.
            NetlinkPayload::Error(_) => Ok(()),
            other => Err(LinkError::Unexpected { action: request.to_string(), answer: other.message_type() }),
        }
    }

    /// The kernel's answer to a request, unless it is an error.
    fn call(&self, request: &Request<'_>) -> Result<NetlinkPayload<RouteNetlinkMessage>, LinkError> {
        request.check()?;
        let lost = |cause| LinkError::Lost { action: request.to_string(), cause };
        let mut message = request.message();
        message.header.sequence_number = self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(lost)?;
        let mut answer = Vec::with_capacity(ANSWER_SIZE);
        loop {
            answer.clear();
            self.socket.recv(&mut answer, 0).map_err(lost)?;
            let told = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| LinkError::Unreadable { action: request.to_string(), problem: error.to_string() })?;
            // What a request before was answered late.
            if told.header.sequence_number != message.header.sequence_number {
                continue;
            }
            return match told.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    Err(LinkError::refused(request, error.raw_code().saturating_neg(), said(&error)))
                }
                answer => Ok(answer),
            };
        }
    }
}

/// What is asked of the kernel.
enum Request<'a> {
    Find(&'a str),
    FindNumber(u32),
    AddVxlan(&'a Vxlan),
    SetUp(&'a str),
    SetDown(&'a str),
    Delete(&'a Link),
    Addresses(&'a Link),
    AddAddress(&'a Link, Address),
    RemoveAddress(&'a Link, Address),
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Find(name) => write!(f, "looking for the network device {name}"),
            Request::FindNumber(index) => write!(f, "looking for network device number {index}"),
            Request::AddVxlan(vxlan) => write!(f, "making the vxlan device {} (VNI {})", vxlan.name, vxlan.vni),
            Request::SetUp(name) => write!(f, "setting the network device {name} up"),
            Request::SetDown(name) => write!(f, "setting the network device {name} down"),
            Request::Delete(device) => write!(f, "deleting the network device {}", device.name),
            Request::Addresses(device) => write!(f, "listing the addresses of the network device {}", device.name),
            Request::AddAddress(device, address) => {
                write!(f, "adding the address {address} to the network device {}", device.name)
            }
            Request::RemoveAddress(device, address) => {
                write!(f, "removing the address {address} from the network device {}", device.name)
            }
        }
    }
}

impl Request<'_> {
    /// Keeps back what the kernel would misunderstand.
    fn check(&self) -> Result<(), LinkError> {
        let is_name = |name: &str| (1..=NAME_MAX).contains(&name.len()) && !name.contains('\0');
        match self {
            // The kernel reads % as a pattern, and takes the first number that is free. No name, too, has it choose one.
            Request::AddVxlan(vxlan) if !is_name(&vxlan.name) || vxlan.name.contains('%') => {
                Err(LinkError::Name { action: self.to_string() })
            }
            // A name would end at the NUL, and stand for another device.
            Request::Find(name) | Request::SetUp(name) | Request::SetDown(name) if !is_name(name) => {
                Err(LinkError::refused(self, ENODEV, None))
            }
            // ifi_index has a sign, and 0 stands for none.
            // 0 would have the kernel go by a name.
            Request::Delete(device) if device.index == 0 => Err(LinkError::refused(self, ENODEV, None)),
            Request::FindNumber(index) if *index == 0 || i32::try_from(*index).is_err() => {
                Err(LinkError::refused(self, ENODEV, None))
            }
            _ => Ok(()),
        }
    }

    fn message(&self) -> NetlinkMessage<RouteNetlinkMessage> {
        let named = LinkUnspec::new_with_name;
        // RTM_NEWLINK without NLM_F_CREATE changes a device that is there.
        let (message, flags) = match self {
            Request::Find(name) => (look_up(named(name)), 0),
            Request::FindNumber(index) => (look_up(LinkUnspec::new_with_index(*index)), 0),
            Request::AddVxlan(vxlan) => {
                (RouteNetlinkMessage::NewLink(vxlan_message(vxlan).build()), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            }
            Request::SetUp(name) => (RouteNetlinkMessage::NewLink(named(name).up().build()), NLM_F_ACK),
            Request::SetDown(name) => (RouteNetlinkMessage::NewLink(named(name).down().build()), NLM_F_ACK),
            Request::Delete(device) => {
                let message = LinkUnspec::new_with_index(device.index).build();
                (RouteNetlinkMessage::DelLink(message), NLM_F_ACK)
            }
            Request::Addresses(_) => addresses::list_message(),
            Request::AddAddress(device, address) => (
                RouteNetlinkMessage::NewAddress(addresses::message(device, *address)),
                NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            ),
            Request::RemoveAddress(device, address) => {
                (RouteNetlinkMessage::DelAddress(addresses::message(device, *address)), NLM_F_ACK)
            }
        };
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message
    }
}

/// Counters, nearly half of what would be told, are not asked for.
fn look_up(link: LinkMessageBuilder<LinkUnspec>) -> RouteNetlinkMessage {
    let mask = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
    RouteNetlinkMessage::GetLink(link.append_extra_attribute(mask).build())
}

/// Not a port: the kernel takes its default, which is 8472 unless the parameter `udp_port` of its module says otherwise.
fn vxlan_message(vxlan: &Vxlan) -> LinkMessageBuilder<LinkVxlan> {
    LinkVxlan::new(&vxlan.name, vxlan.vni)
        .mtu(vxlan.mtu)
        .dev(vxlan.lower)
        .group(vxlan.group)
        .ttl(0)
        .tos(0)
        .learning(true)
        .proxy(false)
        .rsc(false)
        .l2miss(false)
        .l3miss(false)
        .udp_zero_csum6_tx(false)
        .udp_zero_csum6_rx(false)
        .up()
}

/// The kernel's own words about an error: `NLMSGERR_ATTR_MSG`, behind the request that an error message repeats
/// (Documentation/userspace-api/netlink/intro.rst).
///
/// The error number says what went wrong. So where these words are missing or can't be read, there is nothing to add.
fn said(error: &ErrorMessage) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let length = error.header.first_chunk().map(|length| u32::from_ne_bytes(*length))?;
    let attributes = error.header.get(usize::try_from(length).ok()?.checked_next_multiple_of(4)?..)?;
    let text = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(text.value());
    Some(text.trim_end_matches(['\0', '\n', '.']).to_owned()).filter(|text| !text.is_empty())
}

/// A device without a name is none that anybody could mean; everything else may be left out by the kernel.
fn read(message: LinkMessage) -> Result<Link, String> {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: 0,
        vxlan: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
                        LinkInfo::Data(InfoData::Vxlan(data)) => link.vxlan = Some(read_vxlan(data)),
                        // Of other kinds nothing more is asked.
                        _ => {}
                    }
                }
            }
            // The kernel tells much more than is asked for here.
            _ => {}
        }
    }
    if link.name.is_empty() { Err(format!("device number {} has no name", link.index)) } else { Ok(link) }
}

fn read_vxlan(data: Vec<InfoVxlan>) -> VxlanInfo {
    let mut vxlan = VxlanInfo::default();
    for attribute in data {
        match attribute {
            InfoVxlan::Id(vni) => vxlan.vni = vni,
            InfoVxlan::Link(index) => vxlan.lower = Some(index).filter(|index| *index != 0),
            InfoVxlan::Group(group) => vxlan.group = Some(group),
            InfoVxlan::Port(port) => vxlan.port = Some(port),
            // The kernel tells much more than is asked for here.
            _ => {}
        }
    }
    vxlan
}

#[cfg(test)]
mod tests;
