//! What a command asked of interfaces, compared with what ovs-vswitchd reports of them.
//!
//! ovs-vswitchd ignores a setting that it can't apply, and only writes a line to its log: a port number that is taken, a
//! MAC address of a local port, an MTU that the device refuses (vswitchd/bridge.c: `iface_pick_ofport`, `iface_set_mac`,
//! `iface_set_netdev_mtu`, `bridge_pick_local_hw_addr`). Only what the command itself set is compared.

use std::time::Duration;

use ovsdb::operation::Row as Columns;
use ovsdb::value::{UuidRef, Value};

use super::plan::change_set::{Fate, Row};
use super::plan::transaction::Committed;
use super::tables::{BRIDGE, INTERFACE};
use super::unit::Unit;
use super::verify::{InterfaceStatus, Look};
use crate::error::Error;

/// ovs-vswitchd writes the status of interfaces right after the transaction that writes `cur_cfg`, but in another one
/// (vswitchd/bridge.c, `run_status_update`), and gives a port number that was taken to the interface that asks for it
/// some 40 ms later. So a difference counts only if it is still there after these pauses.
const PAUSES_MS: [u64; 6] = [5, 20, 50, 125, 300, 500];

/// The OpenFlow number of every local port (`OFPP_LOCAL`, openflow/openflow-1.0.h).
const LOCAL_PORT: i64 = 65534;

/// A setting that has a counterpart among the columns that ovs-vswitchd writes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// Interface `ofport_request`.
    Ofport(i64),
    /// Interface `mac`.
    Mac(String),
    /// Interface `mtu_request`.
    Mtu(i64),
    /// Bridge `other_config:hwaddr`, which is about the bridge's local port.
    Hwaddr(String),
}

/// Something that was asked for and is not so.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    text: String,
    /// Whether it can't be that ovs-vswitchd has not come to it yet.
    lasts: bool,
}

/// Who was asked.
#[derive(Debug)]
enum Whom {
    Row(UuidRef),
    Named(String),
}

impl Unit<'_> {
    /// States that a network device was asked to be up. The look after the commit compares it with the kernel.
    pub fn expect_up(&mut self, device: &str) {
        if !self.expected_up.iter().any(|known| known == device) {
            self.expected_up.push(device.to_owned());
        }
    }

    /// What the command asked for and is not so. Where ovs-vswitchd may still be at it, the interfaces are looked at
    /// again, within the deadline; `looks` are then the last ones.
    pub(super) async fn differences(
        &mut self,
        committed: &Committed,
        looks: &mut Vec<Look>,
    ) -> Result<Vec<String>, Error> {
        let asked = self.asked();
        let mut found = Vec::new();
        let mut pauses = PAUSES_MS.iter();
        while !asked.is_empty() {
            found = compare(&asked, committed, looks);
            let Some(pause) = pauses.next().filter(|_| found.iter().any(|difference| !difference.lasts)) else { break };
            // Where the time is up, what is known so far has to do.
            if self.session.deadline.sleep(Duration::from_millis(*pause)).await.is_err() {
                break;
            }
            // Answers from memory would be those from before.
            self.session.set_fresh(false);
            let concerns = std::mem::take(looks).into_iter().map(|look| look.concern).collect();
            *looks = self.look(concerns).await?;
        }
        let mut texts: Vec<String> = found.into_iter().map(|difference| difference.text).collect();
        texts.extend(self.devices_not_up()?);
        Ok(texts)
    }

    /// What the rows that the unit inserts or changes ask for.
    fn asked(&self) -> Vec<(Whom, Asked)> {
        let mut asked = Vec::new();
        for key in &self.touched {
            let Some(row) = self.rows.get(key).filter(|row| !row.is_gone()) else { continue };
            if key.table == INTERFACE {
                asked.extend(of_interface(row).map(|asked| (Whom::Row(key.id.clone()), asked)));
            }
            if key.table == BRIDGE
                && let Some(hwaddr) = hwaddr(row)
            {
                asked.push((Whom::Named(self.name(key)), Asked::Hwaddr(hwaddr)));
            }
        }
        asked
    }

    /// The devices that were asked to be up and are not.
    fn devices_not_up(&mut self) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        for device in std::mem::take(&mut self.expected_up) {
            match self.link(&device).map_err(Error::after_commit)? {
                Some(link) if link.up => {}
                Some(_) => texts.push(format!("device {device} was asked to be up, but it is down")),
                None => texts.push(format!("device {device} was asked to be up, but there is no such device")),
            }
        }
        Ok(texts)
    }
}

fn of_interface(row: &Row) -> impl Iterator<Item = Asked> {
    row.changed_columns().filter_map(|(column, change)| asked(column, &change.applied_to(row.stored.get(column))?))
}

/// What a column of an interface asks for.
fn asked(column: &str, value: &Value) -> Option<Asked> {
    match column {
        "ofport_request" => value.as_integer().map(Asked::Ofport),
        "mac" => value.as_str().map(|mac| Asked::Mac(mac.to_owned())),
        "mtu_request" => value.as_integer().map(Asked::Mtu),
        _ => None,
    }
}

/// The columns of an interface that [`not_met`] compares.
pub(super) const COMPARED: &[&str] =
    &["name", "type", "ofport", "mtu", "mac_in_use", "ofport_request", "mtu_request", "mac"];

/// What a stored interface asks for and does not have, or the bridge whose local port it is, by its `other_config:hwaddr`.
pub(super) fn not_met(row: &Columns, status: &InterfaceStatus, hwaddr: Option<&str>) -> Vec<String> {
    let of_bridge = hwaddr.map(|mac| Asked::Hwaddr(mac.to_owned()));
    let of_row = row.iter().filter_map(|(column, value)| asked(column, value));
    of_row.chain(of_bridge).filter_map(|asked| asked.difference(status)).map(|difference| difference.text).collect()
}

/// The MAC address that a bridge row asks for, if the unit changes it.
fn hwaddr(row: &Row) -> Option<String> {
    const KEY: &str = "hwaddr";
    let stored = row.stored.get("other_config");
    let (_, change) = row.changed_columns().find(|(column, _)| *column == "other_config")?;
    let of = |value: Option<&Value>| value.and_then(|value| value.get_str(KEY)).map(str::to_owned);
    // Where the stored value was not read, the change alone tells.
    let now = of(change.applied_to(stored.or(Some(&Value::empty()))).as_ref())?;
    (row.fate == Fate::Inserted || of(stored).as_ref() != Some(&now)).then_some(now)
}

fn compare(asked: &[(Whom, Asked)], committed: &Committed, looks: &[Look]) -> Vec<Difference> {
    let status = |whom: &Whom| {
        let look = looks.iter().find(|look| match whom {
            Whom::Row(UuidRef::Row(uuid)) => look.concern.uuid == *uuid,
            Whom::Row(UuidRef::New(name)) => committed.uuids.get(name) == Some(&look.concern.uuid),
            Whom::Named(name) => look.status.name == *name,
        });
        look.map(|look| &look.status)
    };
    // An interface that somebody has deleted since is no concern any more.
    asked.iter().filter_map(|(whom, asked)| asked.difference(status(whom)?)).collect()
}

impl Asked {
    /// How the interface differs from what was asked. Of one that does not work, nothing is expected.
    fn difference(&self, status: &InterfaceStatus) -> Option<Difference> {
        if !status.works() {
            return None;
        }
        let name = &status.name;
        let has =
            |value: Option<String>, none: &str| value.map_or_else(|| none.to_owned(), |value| format!("has {value}"));
        match self {
            Asked::Ofport(number) if status.ofport != Some(*number) => {
                let has = has(status.ofport.map(|port| port.to_string()), "has none");
                let is_local = status.ofport == Some(LOCAL_PORT);
                let why = if is_local { "; a bridge's local port always has that number" } else { "" };
                let text = format!("interface {name}: ofport_request asks for {number}, but it {has}{why}");
                Some(Difference { text, lasts: is_local })
            }
            Asked::Mtu(mtu) if status.mtu != Some(*mtu) => {
                let has = has(status.mtu.map(|mtu| mtu.to_string()), "has no MTU");
                // Tunnels and patch ports have no device whose MTU could be set.
                let lasts = status.mtu.is_none();
                Some(Difference { text: format!("interface {name}: mtu_request asks for {mtu}, but it {has}"), lasts })
            }
            Asked::Mac(mac) if !same_mac(mac, status) => {
                let has = has(status.mac_in_use.clone(), "has none");
                let why = match status.r#type.as_str() {
                    "internal" if status.ofport == Some(LOCAL_PORT) => Some(
                        "for a bridge's local port, Open vSwitch ignores mac of the Interface; set other_config:hwaddr of \
                         the Bridge",
                    ),
                    "internal" => why_no_device_has(mac),
                    _ => Some("Open vSwitch sets the MAC address of internal interfaces only"),
                };
                let text = format!("interface {name}: mac asks for {mac}, but it {has}{}", because(why));
                Some(Difference { text, lasts: why.is_some() })
            }
            Asked::Hwaddr(mac) if !same_mac(mac, status) => {
                let has = has(status.mac_in_use.clone(), "has none");
                let why = why_no_device_has(mac);
                let text = format!(
                    "bridge {name}: other_config:hwaddr asks for {mac}, but its local port {has}{}",
                    because(why)
                );
                Some(Difference { text, lasts: why.is_some() })
            }
            _ => None,
        }
    }
}

fn because(why: Option<&str>) -> String {
    why.map(|why| format!("; {why}")).unwrap_or_default()
}

/// Whether an interface has the address that is asked for. Schemas before Open vSwitch 2.1 do not tell which it has.
fn same_mac(asked: &str, status: &InterfaceStatus) -> bool {
    let Some(in_use) = &status.mac_in_use else { return true };
    octets(in_use).is_some_and(|in_use| octets(asked) == Some(in_use))
}

/// Why ovs-vswitchd gives this address to no device, if that can be told from the address.
fn why_no_device_has(mac: &str) -> Option<&'static str> {
    match octets(mac) {
        None => Some("that is not six bytes as two hexadecimal digits each, with colons between them"),
        Some([0, 0, 0, 0, 0, 0]) => Some("that is no address of a device"),
        Some([first, ..]) if first & 1 == 1 => Some("that is a multicast address"),
        Some(_) => None,
    }
}

/// The bytes of a MAC address; none if the text is not one.
fn octets(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        // A sign would be taken, too.
        *octet = u8::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+'))?;
    }
    parts.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(kind: &str, ofport: Option<i64>, mtu: Option<i64>, mac: &str) -> InterfaceStatus {
        InterfaceStatus {
            name: "p1".into(),
            r#type: kind.into(),
            ofport,
            mtu,
            mac_in_use: Some(mac.into()),
            ..InterfaceStatus::default()
        }
    }

    #[test]
    fn what_is_as_asked_is_no_difference() {
        let internal = status("internal", Some(7), Some(1400), "02:00:00:00:00:0a");
        for asked in [
            Asked::Ofport(7),
            Asked::Mtu(1400),
            Asked::Mac("02:00:00:00:00:0A".into()),
            Asked::Hwaddr("2:0:0:0:0:a".into()),
        ] {
            assert_eq!(asked.difference(&internal), None, "{asked:?}");
        }
        let broken = status("internal", Some(-1), None, "02:00:00:00:00:0a");
        assert_eq!(Asked::Ofport(7).difference(&broken), None, "that it does not work is told already");
    }

    #[test]
    fn what_is_not_as_asked_is_told_with_both_values_and_with_a_reason_where_one_is_known() {
        let internal = status("internal", Some(7), Some(1400), "02:00:00:00:00:0a");
        let local = status("internal", Some(65534), Some(1400), "02:00:00:00:00:0a");
        let system = status("system", Some(7), Some(1400), "02:00:00:00:00:0a");
        let tunnel = status("vxlan", Some(7), None, "02:00:00:00:00:0a");
        let mac = |text: &str| Asked::Mac(text.into());
        for (asked, status, words, lasts) in [
            (Asked::Ofport(8), &internal, &["asks for 8", "has 7"][..], false),
            (Asked::Ofport(8), &local, &["asks for 8", "65534", "local port"], true),
            (Asked::Mtu(9000), &system, &["asks for 9000", "has 1400"], false),
            (Asked::Mtu(9000), &tunnel, &["asks for 9000", "no MTU"], true),
            (mac("02:00:00:00:00:0b"), &internal, &["02:00:00:00:00:0b", "has 02:00:00:00:00:0a"], false),
            (mac("02:00:00:00:00:0b"), &local, &["other_config:hwaddr of the Bridge"], true),
            (mac("02:00:00:00:00:0b"), &system, &["internal interfaces only"], true),
            (mac("03:00:00:00:00:0b"), &internal, &["multicast"], true),
            (mac("00:00:00:00:00:00"), &internal, &["no address of a device"], true),
            (mac("02-00-00-00-00-0b"), &internal, &["hexadecimal"], true),
            (Asked::Hwaddr("02:00:00:00:00:0b".into()), &local, &["bridge p1", "other_config:hwaddr"], false),
            (Asked::Hwaddr("nonsense".into()), &local, &["bridge p1", "hexadecimal"], true),
        ] {
            let difference = asked.difference(status).unwrap_or_else(|| panic!("{asked:?} is no difference"));
            for word in words {
                assert!(difference.text.contains(word), "{difference:?} lacks {word:?}");
            }
            assert_eq!(difference.lasts, lasts, "{difference:?}");
        }
    }

    #[test]
    fn only_six_bytes_with_colons_are_an_address() {
        assert_eq!(octets("02:00:00:00:00:0a"), Some([2, 0, 0, 0, 0, 10]));
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:0a:0b", "02:00:00:00:00:+a", "02:00:00:00:00:00a", "x:0:0:0:0:0"]
        {
            assert_eq!(octets(text), None, "{text:?}");
        }
    }
}
