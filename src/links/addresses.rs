//! IP addresses of network devices: listing those of one device, adding and removing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{ANSWER_SIZE, Link, LinkError, Links, Request};

/// An IP address of a device, with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// From 1 to 32 bits, or 128 of IPv6.
    pub prefix: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Refuses what no device can have as its own address, and says what was expected.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected an address with the length of its prefix, like 10.0.0.1/24 or fd00::1/64";
        let refuse = |problem: &str| Err(format!("{text:?} {problem}; {expected}"));
        let Some((ip, prefix)) = text.split_once('/') else {
            return match text.parse::<IpAddr>() {
                Ok(_) => refuse("lacks the length of the prefix"),
                Err(_) => refuse("is not an IP address"),
            };
        };
        let Ok(ip) = ip.parse::<IpAddr>() else { return refuse("is not an IP address") };
        let (family, longest) = if ip.is_ipv4() { ("IPv4", 32) } else { ("IPv6", 128) };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse::<u8>().ok().filter(|prefix| digits && (1..=longest).contains(prefix));
        let Some(prefix) = prefix else {
            return refuse(&format!("is not an address with a prefix of 1 to {longest} bits, which {family} has"));
        };
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast {
            return refuse("is not an address that a device of a bridge can have");
        }
        Ok(Address { ip, prefix })
    }
}

/// A list that changes while it is read is read again, so many times.
const READINGS: usize = 10;

// linux/netlink.h, linux/rtnetlink.h
const HEADER_LENGTH: usize = 16;
const RTM_NEWADDR: u16 = 20;
/// Where a message about an address has the number of its device (linux/if_addr.h, `struct ifaddrmsg`).
const INDEX_AT: std::ops::Range<usize> = HEADER_LENGTH + 4..HEADER_LENGTH + 8;

impl Links {
    /// The addresses of a device, those included that it gives itself.
    pub fn addresses(&self, device: &Link) -> Result<Vec<Address>, LinkError> {
        let request = Request::Addresses(device);
        for _ in 0..READINGS {
            if let Some(addresses) = self.list(&request, device.index)? {
                return Ok(addresses);
            }
        }
        let reason = format!("the kernel's list changed during each of {READINGS} readings");
        Err(LinkError::Refused { action: request.to_string(), errno: super::EINTR, reason })
    }

    /// Adds an address. One of IPv6 is usable at once: the kernel does not look whether another node has it.
    pub fn add_address(&self, device: &Link, address: Address) -> Result<(), LinkError> {
        self.change(Request::AddAddress(device, address))
    }

    /// Removes an address.
    pub fn remove_address(&self, device: &Link, address: Address) -> Result<(), LinkError> {
        self.change(Request::RemoveAddress(device, address))
    }

    /// Reads the addresses of all devices, as kernels before 4.20 tell no others, and decodes those of this one. `None`
    /// where the list changed meanwhile, so that something of it may be missing.
    fn list(&self, request: &Request<'_>, index: u32) -> Result<Option<Vec<Address>>, LinkError> {
        let lost = |cause| LinkError::Lost { action: request.to_string(), cause };
        let unreadable = |problem| LinkError::Unreadable { action: request.to_string(), problem };
        let mut message = request.message();
        message.header.sequence_number = self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(lost)?;

        let (mut addresses, mut is_whole) = (Vec::new(), true);
        let mut answer = Vec::with_capacity(ANSWER_SIZE);
        // The kernel makes the next piece of the list while the one before is received, so none is waited for.
        loop {
            answer.clear();
            self.socket.recv(&mut answer, 0).map_err(lost)?;
            let mut rest = answer.as_slice();
            while let Some(header) = Header::read(rest) {
                let message_bytes =
                    rest.get(..header.length).ok_or_else(|| unreadable("a message is cut off".into()))?;
                // The last one may lack the bytes that would align the next.
                rest = rest.get(header.length.next_multiple_of(4)..).unwrap_or_default();
                if header.sequence != message.header.sequence_number {
                    continue;
                }
                is_whole &= header.flags & NLM_F_DUMP_INTR == 0;
                // Those of other devices, which may be many, are not decoded.
                if header.kind == RTM_NEWADDR && message_bytes.get(INDEX_AT) != Some(&index.to_ne_bytes()) {
                    continue;
                }
                let told = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message_bytes)
                    .map_err(|error| unreadable(error.to_string()))?;
                match told.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                        addresses.extend(read(&address));
                    }
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(is_whole.then_some(addresses)),
                    NetlinkPayload::Done(done) => {
                        return Err(LinkError::refused(request, done.code.saturating_neg(), None));
                    }
                    NetlinkPayload::Error(error) => {
                        return Err(LinkError::refused(
                            request,
                            error.raw_code().saturating_neg(),
                            super::said(&error),
                        ));
                    }
                    other => {
                        let answer = other.message_type();
                        return Err(LinkError::Unexpected { action: request.to_string(), answer });
                    }
                }
            }
        }
    }
}

/// What stands before each message (linux/netlink.h, `struct nlmsghdr`).
struct Header {
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    /// `None` at the end of what was received.
    fn read(bytes: &[u8]) -> Option<Header> {
        let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let short = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let length = usize::try_from(number(0)?).ok().filter(|length| *length >= HEADER_LENGTH)?;
        Some(Header { length, kind: short(4)?, flags: short(6)?, sequence: number(8)? })
    }
}

/// The device's own address, which is not that of a peer (IFA_ADDRESS of IPv4 is the peer's, where there is one).
fn read(message: &AddressMessage) -> Option<Address> {
    let find = |own: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) if own => Some(*ip),
            AddressAttribute::Address(ip) if !own => Some(*ip),
            _ => None,
        })
    };
    let ip = find(true).or_else(|| find(false))?;
    Some(Address { ip, prefix: message.header.prefix_len })
}

/// The question for all addresses.
pub(super) fn list_message() -> (RouteNetlinkMessage, u16) {
    (RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_REQUEST | NLM_F_DUMP)
}

/// As `ip address add` does it: no broadcast address, and the kernel's default of everything else. But an IPv6 address is
/// not looked for on the network first (RFC 4862, duplicate address detection), which would leave it unusable for a
/// second or two after the command has answered.
pub(super) fn message(device: &Link, address: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.prefix_len = address.prefix;
    message.header.index = device.index;
    message.header.family = AddressFamily::Inet;
    if address.ip.is_ipv6() {
        message.header.family = AddressFamily::Inet6;
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message.attributes.push(AddressAttribute::Local(address.ip));
    message.attributes.push(AddressAttribute::Address(address.ip));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_is_one_that_a_device_can_have() {
        for text in ["10.0.0.1/24", "10.0.0.1/32", "192.0.2.1/31", "169.254.1.1/16", "fd00::1/64", "fe80::1/128"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("FD00:0::1/64".parse::<Address>().map(|address| address.to_string()).as_deref(), Ok("fd00::1/64"));
        for (text, problem) in [
            ("10.0.0.1", "lacks the length of the prefix"),
            ("fd00::1", "lacks the length of the prefix"),
            ("", "is not an IP address"),
            ("/24", "is not an IP address"),
            ("eth0/24", "is not an IP address"),
            ("10.0.0/24", "is not an IP address"),
            ("10.0.0.256/24", "is not an IP address"),
            ("fe80::1%eth0/64", "is not an IP address"),
            (" 10.0.0.1/24", "is not an IP address"),
            ("10.0.0.1/33", "is not an address with a prefix of 1 to 32 bits, which IPv4 has"),
            ("10.0.0.1/0", "is not an address with a prefix of 1 to 32 bits, which IPv4 has"),
            ("10.0.0.1/", "is not an address with a prefix of 1 to 32 bits"),
            ("10.0.0.1/+24", "is not an address with a prefix of 1 to 32 bits"),
            ("10.0.0.1/24/24", "is not an address with a prefix of 1 to 32 bits"),
            ("10.0.0.1/255.255.255.0", "is not an address with a prefix of 1 to 32 bits"),
            ("fd00::1/129", "is not an address with a prefix of 1 to 128 bits, which IPv6 has"),
            ("fd00::1/256", "is not an address with a prefix of 1 to 128 bits"),
            ("0.0.0.0/24", "is not an address that a device of a bridge can have"),
            ("255.255.255.255/32", "is not an address that a device of a bridge can have"),
            ("239.0.0.1/24", "is not an address that a device of a bridge can have"),
            ("127.0.0.1/8", "is not an address that a device of a bridge can have"),
            ("::/64", "is not an address that a device of a bridge can have"),
            ("::1/128", "is not an address that a device of a bridge can have"),
            ("ff02::1/64", "is not an address that a device of a bridge can have"),
        ] {
            let said = text.parse::<Address>().unwrap_err();
            assert!(said.starts_with(&format!("{text:?} {problem}")), "{said}");
            assert!(said.ends_with("like 10.0.0.1/24 or fd00::1/64"), "{said}");
        }
    }

    #[test]
    fn the_devices_own_address_is_told_and_not_its_peers() {
        let mut message = AddressMessage::default();
        message.header.prefix_len = 32;
        let [own, peer] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        message.attributes.push(AddressAttribute::Address(peer));
        assert_eq!(read(&message), Some(Address { ip: peer, prefix: 32 }));
        message.attributes.push(AddressAttribute::Local(own));
        assert_eq!(read(&message), Some(Address { ip: own, prefix: 32 }));
        assert_eq!(read(&AddressMessage::default()), None);
    }
}
