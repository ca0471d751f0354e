//! Whether an interface, a bond or a remote works: the one judgement that the verification of commands, `show`, the doctor
//! and `/metrics` share.
//!
//! Everything here is a function over facts and reads nothing. The database supplies the facts; the kernel can add what
//! it knows of a device. Where a fact is not known, the judgement is the one that needs the least assumption.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work, or not as it is meant.
    Warning,
    /// Something worth knowing.
    Note,
}

/// Returns true if ovs-vswitchd has set the interface up: it has an OpenFlow port number (ovs-vswitchd.conf.db(5),
/// Interface `ofport`: -1 is a failure, and none means that nobody has tried).
pub fn is_set_up(ofport: Option<i64>) -> bool {
    ofport.is_some_and(|number| number >= 0)
}

/// What is known of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Interface `type`, spelled out: `system` and not the empty string.
    pub kind: &'a str,
    /// Interface `ofport`.
    pub ofport: Option<i64>,
    /// Interface `error`.
    pub error: Option<&'a str>,
    /// Interface `admin_state`.
    pub admin_state: Option<&'a str>,
    /// Interface `link_state`.
    pub link_state: Option<&'a str>,
    /// Where a patch port leads.
    pub peer: Option<Peer<'a>>,
    /// What the kernel knows of a network device of the system.
    pub device: Device,
    /// Whether it is the member of a bond.
    pub in_bond: bool,
    /// Whether the datapath of its bridge can't be made. Its columns then may be from before, when it could.
    pub without_datapath: bool,
    /// Whether ovs-vswitchd has not applied all that the database holds.
    pub behind: bool,
}

/// What the kernel knows of a network device of the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// It was not asked, or can't tell.
    #[default]
    Unknown,
    /// There is a device of that name.
    There,
    /// There is none.
    Gone,
    /// There is one, and ovs-vswitchd has another one open that is gone.
    Replaced,
}

/// Where a patch port leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer<'a> {
    /// It names no peer.
    Unnamed,
    /// There is no patch port of that name.
    Missing(&'a str),
    /// The peer names another one as its own peer, or none.
    Elsewhere(&'a str, Option<&'a str>),
    /// The peer is on a datapath of another type.
    OtherDatapath(&'a str),
    /// Both name each other.
    Joined,
}

/// How an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health<'a> {
    /// It works, as far as is known.
    Works,
    /// ovs-vswitchd has not come to it yet.
    Pending,
    /// It carries nothing, and waiting does not help.
    Broken(Cause<'a>),
    /// It is a port, and its device carries nothing at present.
    Down(Down),
    /// It carries frames, and ovs-vswitchd reports something wrong with it all the same.
    Complains(&'a str),
}

/// Why an interface carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// Its bridge has no datapath.
    NoDatapath,
    /// ovs-vswitchd has applied the configuration and has neither given it a port number nor said why.
    NoNumber,
    /// ovs-vswitchd could not set it up; its words.
    Refused(Option<&'a str>),
    /// Its device is gone.
    DeviceGone,
    /// Its device is gone, and another one has its name.
    DeviceReplaced,
    /// It is a patch port that leads nowhere.
    Patch(Peer<'a>),
}

/// Why a device carries nothing at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// It is not set up administratively.
    NotUp,
    /// It has no link.
    NoLink,
}

impl Health<'_> {
    /// Returns true if frames pass, as far as is known.
    pub fn passes(&self) -> bool {
        matches!(self, Health::Works | Health::Complains(_))
    }

    /// Returns true if it carries nothing until somebody changes something.
    pub fn is_broken(&self) -> bool {
        matches!(self, Health::Broken(_))
    }
}

/// How an interface is.
pub fn interface<'a>(facts: &Facts<'a>) -> Health<'a> {
    if facts.without_datapath {
        return Health::Broken(Cause::NoDatapath);
    }
    if !is_set_up(facts.ofport) {
        return match (facts.ofport, facts.error) {
            (None, None) if facts.behind => Health::Pending,
            (None, None) => Health::Broken(Cause::NoNumber),
            (_, error) => Health::Broken(Cause::Refused(error)),
        };
    }
    match (facts.device, facts.peer) {
        (Device::Gone, _) => return Health::Broken(Cause::DeviceGone),
        (Device::Replaced, _) => return Health::Broken(Cause::DeviceReplaced),
        (_, Some(Peer::Joined) | None) => {}
        (_, Some(peer)) => return Health::Broken(Cause::Patch(peer)),
    }
    // A local or internal port is down until somebody uses it, and a tunnel has no link of its own. In a bond, whatever
    // is down can't take over.
    if facts.kind == "system" || facts.in_bond {
        if facts.admin_state == Some("down") {
            return Health::Down(Down::NotUp);
        }
        if facts.link_state == Some("down") {
            return Health::Down(Down::NoLink);
        }
    }
    match facts.error {
        // It reports a patch port's peer some time after the change, and takes that back some time after the next.
        Some(_) if facts.peer.is_some() => Health::Works,
        Some(error) => Health::Complains(error),
        None => Health::Works,
    }
}

/// How a bond is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BondHealth {
    /// It works, as far as is known; members that do not are judged for themselves.
    Works,
    /// ovs-vswitchd has not come to its members yet.
    Pending,
    /// No member works.
    NoMember,
    /// It speaks LACP, nobody at the other end does, and so it carries nothing.
    NoPartner,
    /// A port of one interface has no LACP partner; it carries traffic all the same.
    AloneWithoutPartner,
    /// It speaks LACP, nobody at the other end does, and it works as active-backup instead.
    Fallback,
    /// These members that work have no LACP partner, while others have.
    MembersWithoutPartner(Vec<usize>),
}

/// What is known of a bond's member.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// How its interface is.
    pub health: Health<'a>,
    /// Interface `lacp_current`.
    pub lacp_current: Option<bool>,
}

/// How a bond is. `is_active` tells whether ovs-vswitchd reports an active member, `fallback` whether the bond may work
/// as active-backup without a partner (Port `other_config:lacp-fallback-ab`).
pub fn bond(members: &[Member<'_>], lacp: bool, is_active: bool, fallback: bool) -> BondHealth {
    if members.iter().any(|member| member.health == Health::Pending) {
        return BondHealth::Pending;
    }
    if !members.iter().any(|member| member.health.passes()) {
        return BondHealth::NoMember;
    }
    if !lacp {
        return BondHealth::Works;
    }
    let has_partner = |member: &Member<'_>| member.lacp_current == Some(true);
    if !members.iter().any(has_partner) {
        return match members {
            // A port of one interface is no bond for ovs-vswitchd, which forwards whether or not there is a partner.
            [_] => BondHealth::AloneWithoutPartner,
            // A bond that has no active member drops all frames (ofproto/bond.c); with one, it lives on its fallback.
            _ if is_active && fallback => BondHealth::Fallback,
            _ if is_active => BondHealth::Works,
            _ => BondHealth::NoPartner,
        };
    }
    let without = |(_, member): &(usize, &Member<'_>)| member.health.passes() && !has_partner(member);
    let without: Vec<usize> = members.iter().enumerate().filter(without).map(|(place, _)| place).collect();
    if without.is_empty() { BondHealth::Works } else { BondHealth::MembersWithoutPartner(without) }
}

/// Returns true if a daemon should have a connection to this controller or manager and has none.
///
/// A passive one (`ptcp:`, `pssl:`, `punix:`) listens and waits for others. The database has no column for whether that
/// worked: `is_connected` is false as long as nobody has come (ovs-vswitchd.conf.db(5), Controller and Manager).
pub fn is_away(target: &str, is_connected: bool) -> bool {
    let method = target.split(':').next().unwrap_or(target);
    !is_connected && !matches!(method, "ptcp" | "pssl" | "punix")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(ofport: Option<i64>) -> Facts<'static> {
        Facts { kind: "system", ofport, ..Facts::default() }
    }

    #[test]
    fn the_strongest_cause_is_told() {
        let up = Facts { admin_state: Some("up"), link_state: Some("up"), ..system(Some(1)) };
        let down = Facts { admin_state: Some("down"), link_state: Some("down"), ..system(Some(1)) };
        for (facts, expected) in [
            (up, Health::Works),
            (Facts { without_datapath: true, ..up }, Health::Broken(Cause::NoDatapath)),
            (system(None), Health::Broken(Cause::NoNumber)),
            (Facts { behind: true, ..system(None) }, Health::Pending),
            (system(Some(-1)), Health::Broken(Cause::Refused(None))),
            (Facts { error: Some("no"), ..system(None) }, Health::Broken(Cause::Refused(Some("no")))),
            (down, Health::Down(Down::NotUp)),
            (Facts { device: Device::Gone, ..down }, Health::Broken(Cause::DeviceGone)),
            (Facts { device: Device::Replaced, ..up }, Health::Broken(Cause::DeviceReplaced)),
            (Facts { link_state: Some("down"), ..up }, Health::Down(Down::NoLink)),
            (Facts { kind: "internal", ..down }, Health::Works),
            (Facts { kind: "dpdk", in_bond: true, ..down }, Health::Down(Down::NotUp)),
            (Facts { error: Some("it itches"), ..up }, Health::Complains("it itches")),
            (Facts { kind: "patch", peer: Some(Peer::Joined), error: Some("late"), ..up }, Health::Works),
            (Facts { kind: "patch", peer: Some(Peer::Unnamed), ..up }, Health::Broken(Cause::Patch(Peer::Unnamed))),
        ] {
            assert_eq!(interface(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_bond_is_judged_by_whether_traffic_passes() {
        let member = |health, lacp_current| Member { health, lacp_current };
        let (with, without) = (member(Health::Works, Some(true)), member(Health::Works, Some(false)));
        let down = member(Health::Down(Down::NoLink), Some(false));
        for (members, lacp, is_active, fallback, expected) in [
            (vec![down, down], false, false, false, BondHealth::NoMember),
            (vec![with, down], false, true, false, BondHealth::Works),
            (vec![member(Health::Pending, None), with], true, false, false, BondHealth::Pending),
            (vec![without, without], true, false, false, BondHealth::NoPartner),
            (vec![without, without], true, true, true, BondHealth::Fallback),
            // LACP is off then, whatever the column says.
            (vec![without, without], true, true, false, BondHealth::Works),
            (vec![without], true, false, true, BondHealth::AloneWithoutPartner),
            (vec![without], true, false, false, BondHealth::AloneWithoutPartner),
            (vec![with, without], true, true, false, BondHealth::MembersWithoutPartner(vec![1])),
            (vec![with, down], true, true, false, BondHealth::Works),
            (vec![with, with], true, true, false, BondHealth::Works),
        ] {
            assert_eq!(bond(&members, lacp, is_active, fallback), expected, "{members:?}");
        }
    }

    #[test]
    fn who_listens_is_not_away() {
        for target in ["ptcp:6633", "pssl:6632:127.0.0.1", "punix:/run/x.sock", "ptcp:"] {
            assert!(!is_away(target, false), "{target}");
        }
        for target in ["tcp:127.0.0.1:6653", "ssl:[::1]:6653", "unix:/run/x.sock", "pigeon:home"] {
            assert!(is_away(target, false) && !is_away(target, true), "{target}");
        }
    }
}
