//! Why ovs-vswitchd could not set an interface up.
//!
//! ovs-vswitchd reports an errno's words and the step that failed: opening the device, configuring it, or adding it to the
//! datapath (vswitchd/bridge.c, `iface_do_create`; lib/netdev.c). Those words alone mean different things for different
//! steps and types. So a cause is only stated when a fact proves it. Otherwise the candidates are called possible causes,
//! or nothing is added to the error. [`cause`] is a function over [`Facts`] and asks for nothing.

use ovsdb::operation::{Condition, Row as Columns};
use ovsdb::transaction::{OperationResult, Transaction};
use ovsdb::value::{Atom, Optional, Uuid, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bridge::same_datapath;
use super::health;
use super::plan::query::Query;
use super::tables::{BRIDGE, INTERFACE, OPEN_VSWITCH, PORT};
use super::topology::Strings;
use super::unit::{Unit, unreadable};
use super::verify::{InterfaceStatus, map};
use crate::error::Error;

/// The longest name of a network device in bytes (linux/if.h: `IFNAMSIZ` less the terminating zero).
const DEVICE_NAME_MAX: usize = 15;

/// What is known of an interface that does not work, and of its surroundings. Whatever has a value was looked up; `None`,
/// or an empty list, stands for "not known".
#[derive(Clone, Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    /// Its type; empty is `system`.
    pub(super) kind: &'a str,
    pub(super) ofport: Option<i64>,
    /// What ovs-vswitchd reports.
    pub(super) error: Option<&'a str>,
    /// The datapath type of its bridge; empty is `system`.
    pub(super) datapath_type: Option<&'a str>,
    /// The interface types that ovs-vswitchd knows.
    pub(super) iface_types: &'a [String],
    /// The datapath types that ovs-vswitchd knows.
    pub(super) datapath_types: &'a [String],
    /// Whether the kernel has a network device of that name.
    pub(super) device: Option<bool>,
    /// Whether the kernel has its part of Open vSwitch.
    pub(super) has_module: Option<bool>,
    /// Another interface that works and whose device has the same name, as both names begin with the same 15 bytes.
    pub(super) namesake: Option<&'a str>,
    /// Another tunnel interface with the same configuration.
    pub(super) twin: Option<&'a str>,
}

/// Why an interface does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It has been checked.
    Known(String),
    /// It may be one of these.
    Possible(Vec<&'static str>),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Known(cause) => f.write_str(cause),
            Cause::Possible(causes) => {
                write!(f, "possible cause{}: {}", if causes.len() > 1 { "s" } else { "" }, causes.join("; "))
            }
        }
    }
}

/// A cause as it follows an error.
pub(super) fn in_brackets(cause: Option<Cause>) -> String {
    cause.map(|cause| format!(" ({cause})")).unwrap_or_default()
}

/// The name of the network device of an interface: the kernel takes 15 bytes of a name, and on the userspace datapath
/// ovs-vswitchd cuts longer ones.
pub(super) fn device_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(DEVICE_NAME_MAX)]
}

/// What ovs-vswitchd was doing when it failed, with the errno's words.
enum Step<'a> {
    /// Opening or making the device.
    Open(&'a str),
    /// Adding it to the datapath.
    Add(&'a str),
    /// Anything else. For a wrong configuration the error says itself what is wrong.
    Other,
}

impl<'a> Step<'a> {
    fn of(error: &'a str, name: &str) -> Self {
        let within = |before: &str, after: &str| {
            error.strip_prefix(before)?.strip_prefix(name)?.strip_prefix(after)?.strip_suffix(')')
        };
        if let Some(words) = within("could not open network device ", " (") {
            Step::Open(words)
        } else if let Some(words) = within("could not add network device ", " to ofproto (") {
            Step::Add(words)
        } else {
            Step::Other
        }
    }
}

// The words of strerror(3), which glibc and musl spell differently in part.
const ADDRESS_FAMILY: [&str; 2] = ["Address family not supported by protocol", "Address family not supported"];
const NO_DEVICE: [&str; 1] = ["No such device"];
const INVALID: [&str; 1] = ["Invalid argument"];
const BUSY: [&str; 2] = ["Device or resource busy", "Resource busy"];
const EXISTS: [&str; 1] = ["File exists"];
const TOO_LONG: [&str; 4] =
    ["Numerical result out of range", "Result not representable", "File name too long", "Filename too long"];

/// Types whose port has a device of the kernel on the kernel's datapath, made by ovs-vswitchd (lib/dpif-netlink-rtnl.c).
const TUNNELS: [&str; 11] =
    ["bareudp", "erspan", "geneve", "gre", "gtpu", "ip6erspan", "ip6gre", "lisp", "srv6", "stt", "vxlan"];

/// What names begin with that ovs-vswitchd keeps for itself (lib/netdev.c, `netdev_is_reserved_name`;
/// lib/netdev-vport.c).
const RESERVED: [&str; 11] = [
    "genev_sys",
    "gre_sys",
    "vxlan_sys",
    "erspan_sys",
    "ip6erspan_sys",
    "ip6gre_sys",
    "gtpu_sys",
    "udp_sys",
    "srv6_sys",
    "lisp_sys",
    "stt_sys",
];

/// Why an interface does not work, as far as the facts tell.
pub(super) fn cause(facts: &Facts<'_>) -> Option<Cause> {
    match facts.error.map(|error| Step::of(error, facts.name)) {
        Some(Step::Open(words)) => facts.cannot_be_opened(words),
        Some(Step::Add(words)) => facts.cannot_be_added(words),
        Some(Step::Other) => None,
        None if facts.ofport == Some(-1) => facts
            .is_reserved()
            .then(|| Cause::Known(format!("Open vSwitch keeps the name {} for a device of its own", facts.name))),
        None => Some(no_datapath(facts)),
    }
}

/// Why a bridge has no datapath.
pub(super) fn no_datapath(facts: &Facts<'_>) -> Cause {
    let Some(kind) = facts.datapath_type else { return Cause::Possible(vec![SEE_LOG]) };
    let is_system = same_datapath(kind, "system");
    let is_known = facts.datapath_types.iter().any(|known| same_datapath(known, kind));
    if !facts.datapath_types.is_empty() && !is_known {
        Cause::Known(format!(
            "ovs-vswitchd knows no datapath type {kind:?}, which its bridge has; it knows {}",
            facts.datapath_types.join(", ")
        ))
    } else if is_system && facts.has_module == Some(false) {
        Cause::Known("the kernel module openvswitch is not loaded; load it, or use datapath_type netdev".into())
    } else if facts.datapath_types.is_empty() && !is_system && !same_datapath(kind, "netdev") {
        Cause::Possible(vec!["ovs-vswitchd does not know the datapath type of its bridge"])
    } else {
        Cause::Possible(vec![SEE_LOG])
    }
}

const SEE_LOG: &str = "the datapath of its bridge could not be made, see the log of ovs-vswitchd";

impl Facts<'_> {
    fn is_tunnel(&self) -> bool {
        TUNNELS.contains(&self.kind)
    }

    /// Whether ovs-vswitchd makes the network device.
    fn makes_device(&self) -> bool {
        matches!(self.kind, "internal" | "tap")
    }

    fn is_reserved(&self) -> bool {
        let is_datapath = |kind: &str| self.datapath_types.iter().any(|known| known == kind);
        RESERVED.iter().any(|reserved| self.name.starts_with(reserved))
            || self.name.strip_prefix("ovs-").is_some_and(is_datapath)
    }

    fn is_too_long(&self) -> bool {
        self.name.len() > DEVICE_NAME_MAX
    }

    /// The cause of `EINVAL` and the like for a long name. ovs-vswitchd's own datapath takes such a name.
    fn long_name(&self) -> Option<Cause> {
        let is_userspace = self.datapath_type.is_some_and(|kind| same_datapath(kind, "netdev"));
        (self.is_too_long() && !is_userspace).then(|| {
            let length = self.name.len();
            Cause::Known(format!("the name has {length} bytes, that of a network device has at most {DEVICE_NAME_MAX}"))
        })
    }

    fn cannot_be_opened(&self, words: &str) -> Option<Cause> {
        let name = device_name(self.name);
        if ADDRESS_FAMILY.contains(&words) {
            // That no class of devices has this name is the usual reason (lib/netdev.c, `netdev_open`).
            let is_known = self.iface_types.iter().any(|known| known == self.kind);
            return match (self.iface_types.is_empty(), is_known) {
                (false, false) => Some(Cause::Known(format!("ovs-vswitchd knows no interface type {:?}", self.kind))),
                (false, true) => self.is_tunnel().then_some(Cause::Possible(NO_TUNNELS.to_vec())),
                (true, _) => {
                    let mut causes = vec!["ovs-vswitchd does not know that interface type"];
                    causes.extend(NO_TUNNELS.iter().filter(|_| self.is_tunnel()));
                    Some(Cause::Possible(causes))
                }
            };
        }
        if NO_DEVICE.contains(&words) && matches!(self.kind, "" | "system" | "afxdp" | "afxdp-nonpmd") {
            return Some(match self.device {
                Some(false) => Cause::Known(format!("there is no network device named {name}")),
                Some(true) => Cause::Possible(vec![
                    "the device has come after ovs-vswitchd looked for it",
                    "ovs-vswitchd runs in another network namespace than this program",
                ]),
                None => Cause::Possible(vec!["there is no network device of that name"]),
            });
        }
        if INVALID.contains(&words) && self.makes_device() {
            let is_impossible =
                matches!(name, "." | "..") || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
            return match self.device {
                _ if is_impossible => Some(Cause::Known(format!("no network device can be named {name:?}"))),
                Some(true) if self.is_too_long() => Some(Cause::Known(format!(
                    "a network device named {name} exists already, and the kernel takes {DEVICE_NAME_MAX} bytes of a name"
                ))),
                Some(true) => Some(Cause::Known(format!("a network device named {name} exists already"))),
                device => self.long_name().or_else(|| {
                    device.is_none().then(|| Cause::Possible(vec!["a network device of that name exists already"]))
                }),
            };
        }
        if BUSY.contains(&words) && self.makes_device() {
            return self.namesake.map(|other| {
                Cause::Known(format!(
                    "the interface {other} has a network device named {name}, as the kernel takes {DEVICE_NAME_MAX} bytes \
                     of a name"
                ))
            });
        }
        self.long_name().filter(|_| INVALID.contains(&words) || TOO_LONG.contains(&words))
    }

    fn cannot_be_added(&self, words: &str) -> Option<Cause> {
        let name = device_name(self.name);
        if ADDRESS_FAMILY.contains(&words) {
            return self.is_tunnel().then_some(Cause::Possible(NO_TUNNELS.to_vec()));
        }
        if INVALID.contains(&words) || TOO_LONG.contains(&words) {
            if name == "lo" {
                return Some(Cause::Known("lo is the loopback device, which can't be a port".into()));
            }
            return self.long_name().or_else(|| {
                let is_system = matches!(self.kind, "" | "system");
                is_system.then(|| Cause::Possible(vec!["it is not a kind of device that can be a port"]))
            });
        }
        if EXISTS.contains(&words) {
            return match self.twin {
                Some(twin) => Some(Cause::Known(format!("the tunnel interface {twin} has the same configuration"))),
                None if self.is_tunnel() => Some(Cause::Possible(vec![
                    "another tunnel interface has the same configuration",
                    "the kernel has a tunnel device with that UDP port which Open vSwitch did not make",
                ])),
                None if self.makes_device() && self.device == Some(true) => {
                    Some(Cause::Known(format!("a network device named {name} exists already")))
                }
                None => None,
            };
        }
        if BUSY.contains(&words) {
            return Some(Cause::Possible(vec!["the device is in use, by a Linux bridge or bond for instance"]));
        }
        None
    }
}

const NO_TUNNELS: &[&str] =
    &["the kernel module for tunnels of that type is missing", "IPv6 is switched off in the kernel"];

/// Whether two tunnel interfaces of one type have the same configuration, as far as the datapath tells them apart
/// (ofproto/tunnel.c, `struct tnl_match`). A key that is left out is 0.
pub(super) fn is_twin(one: &Strings, other: &Strings) -> bool {
    let key =
        |options: &Strings| options.get("in_key").or_else(|| options.get("key")).cloned().unwrap_or_else(|| "0".into());
    let same = |setting: &&str| one.get(*setting) == other.get(*setting);
    key(one) == key(other) && ["remote_ip", "local_ip", "dst_port", "exts"].iter().all(same)
}

impl Unit<'_> {
    /// Whether the database is on this machine, and so, with it, the switch: its socket is a file.
    pub(super) fn is_on_this_machine(&self) -> bool {
        self.settings().socket().is_some()
    }

    /// Why an interface does not work. A fact that can't be found out is left out: the error stands without it, and that
    /// the interface is broken has to be told in any case.
    pub(super) async fn cause_of(&mut self, uuid: Uuid, status: &InterfaceStatus) -> Option<Cause> {
        let unknown = |error: Error| tracing::debug!(%error, interface = status.name, "looking for the cause");
        let bridge = self.datapath_type_around(uuid).await.map_err(unknown).ok().flatten();
        let [iface_types, datapath_types] = self.known_types().await.map_err(unknown).unwrap_or_default();
        let alike = self.alike(uuid, status).await.map_err(unknown).unwrap_or_default();
        let device = self.has_device(&status.name).map_err(unknown).ok().flatten();
        cause(&Facts {
            name: &status.name,
            kind: &status.r#type,
            ofport: status.ofport,
            error: status.error.as_deref(),
            datapath_type: bridge.as_deref(),
            iface_types: &iface_types,
            datapath_types: &datapath_types,
            device,
            has_module: self.has_module(),
            namesake: alike.namesake.as_deref(),
            twin: alike.twin.as_deref(),
        })
    }

    /// Why a bridge of this datapath type has no datapath.
    pub(super) async fn cause_of_no_datapath(&mut self, datapath_type: &str) -> Cause {
        let unknown = |error: Error| tracing::debug!(%error, datapath_type, "looking for the cause");
        // Without them the error stands with fewer facts.
        let [iface_types, datapath_types] = self.known_types().await.map_err(unknown).unwrap_or_default();
        no_datapath(&Facts {
            datapath_type: Some(datapath_type),
            iface_types: &iface_types,
            datapath_types: &datapath_types,
            has_module: self.has_module(),
            ..Facts::default()
        })
    }

    /// Whether the kernel of the switch has its part of Open vSwitch, if that is this machine's.
    fn has_module(&self) -> Option<bool> {
        self.is_on_this_machine().then(|| std::path::Path::new("/sys/module/openvswitch").exists())
    }

    /// The interface types and the datapath types that ovs-vswitchd knows. Each is empty where the schema has no such
    /// column, as before Open vSwitch 2.4, and as long as ovs-vswitchd has not told.
    pub(super) async fn known_types(&mut self) -> Result<[Vec<String>; 2], Error> {
        const TYPES: [&str; 2] = ["iface_types", "datapath_types"];
        let mut select = Transaction::new();
        select.select(OPEN_VSWITCH, Vec::new(), &TYPES);
        let rows: Vec<Columns> = rows_of(self.session.read(&select).await?)?;
        let types = |column: &str| {
            let atoms = rows.iter().filter_map(|row| row.get(column)).flat_map(Value::atoms);
            // The columns are sets of strings in every schema that has them.
            let texts =
                atoms.filter_map(|atom| if let Atom::String(text) = atom { Some(text.to_string()) } else { None });
            texts.collect()
        };
        Ok(TYPES.map(types))
    }

    /// The datapath type of the bridge that an interface is on; none if somebody has taken it away meanwhile.
    async fn datapath_type_around(&mut self, interface: Uuid) -> Result<Option<String>, Error> {
        // A fresh look: what this unit remembers is from before its own change.
        let mut look = Unit::new(self.session, String::new(), "", false);
        let Some(port) = look.find_one(Query::includes(PORT, "interfaces", interface)).await? else { return Ok(None) };
        let Some(bridge) = look.find_one(Query::includes(BRIDGE, "ports", port.reference())).await? else {
            return Ok(None);
        };
        Ok(look.value(&bridge, "datapath_type").as_str().map(str::to_owned))
    }

    /// Other interfaces of the same type that an interface may collide with, if its error is about that.
    async fn alike(&mut self, uuid: Uuid, status: &InterfaceStatus) -> Result<Collisions, Error> {
        let is_about =
            |words: &[&str]| words.iter().any(|words| status.error.as_ref().is_some_and(|e| e.contains(words)));
        if !is_about(&BUSY) && !is_about(&EXISTS) {
            return Ok(Collisions::default());
        }
        let mut select = Transaction::new();
        let of_type = vec![Condition::equal("type", status.r#type.as_str())];
        select.select(INTERFACE, of_type, &["_uuid", "name", "options", "ofport"]);
        let rows: Vec<Alike> = rows_of(self.session.read(&select).await?)?;
        let (this, others): (Vec<Alike>, Vec<Alike>) = rows.into_iter().partition(|row| row._uuid == uuid);
        let mut others: Vec<Alike> = others.into_iter().filter(|row| health::is_set_up(row.ofport.0)).collect();
        let namesake = others.iter().find(|row| device_name(&row.name) == device_name(&status.name));
        let namesake = namesake.map(|row| row.name.clone());
        others.retain(|other| this.iter().any(|this| is_twin(&this.options, &other.options)));
        Ok(Collisions { namesake, twin: others.into_iter().next().map(|row| row.name) })
    }

    /// Whether the kernel has the network device of an interface; not known if the switch may be on another machine.
    fn has_device(&mut self, interface: &str) -> Result<Option<bool>, Error> {
        if !self.is_on_this_machine() {
            return Ok(None);
        }
        Ok(Some(self.link(device_name(interface))?.is_some()))
    }
}

/// An interface of the same type as the one that does not work.
#[derive(Deserialize)]
struct Alike {
    _uuid: Uuid,
    name: String,
    #[serde(deserialize_with = "map")]
    options: Strings,
    ofport: Optional<i64>,
}

/// Interfaces that another one collides with.
#[derive(Default)]
struct Collisions {
    namesake: Option<String>,
    twin: Option<String>,
}

/// The rows of the only select of a request.
fn rows_of<T: DeserializeOwned>(results: Vec<OperationResult>) -> Result<Vec<T>, Error> {
    results.first().map(OperationResult::rows).transpose().map_err(unreadable).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> &'static [String] {
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().leak()
    }

    #[test]
    fn a_cause_is_stated_only_where_a_fact_proves_it() {
        let ifaces = strings(&["internal", "patch", "system", "tap", "vxlan"]);
        let datapaths = strings(&["netdev", "system"]);
        let facts = |name: &'static str, kind: &'static str, error: &'static str| Facts {
            name,
            kind,
            ofport: Some(-1),
            error: Some(error),
            datapath_type: Some("netdev"),
            iface_types: ifaces,
            datapath_types: datapaths,
            device: Some(false),
            has_module: Some(false),
            ..Facts::default()
        };
        let unknown = |facts: Facts<'static>| Facts {
            iface_types: &[],
            datapath_types: &[],
            device: None,
            has_module: None,
            ..facts
        };
        let open = |words: &str| -> &'static str { format!("could not open network device X ({words})").leak() };
        let add =
            |words: &str| -> &'static str { format!("could not add network device X to ofproto ({words})").leak() };
        let named = |text: &'static str, name: &str| -> &'static str { text.replace('X', name).leak() };
        let family = "Address family not supported by protocol";
        let long = "a-name-of-19-bytes.";
        let none: &[&str] = &[];
        for (facts, is_known, words) in [
            // An unknown type fails when it is opened. A tunnel of a known type fails when it is added.
            (facts("X", "bogus", open(family)), true, &["no interface type \"bogus\""][..]),
            (facts("X", "vxlan", add(family)), false, &["kernel module for tunnels", "IPv6 is switched off"]),
            (facts("X", "vxlan", open(family)), false, &["kernel module for tunnels", "IPv6"]),
            (unknown(facts("X", "gre", open(family))), false, &["does not know that interface type", "IPv6"]),
            (facts("X", "internal", open(family)), false, none),
            (facts("X", "internal", add(family)), false, none),
            // The kernel was asked for the device, or could not be asked.
            (facts("X", "", open("No such device")), true, &["no network device named X"]),
            (
                Facts { device: Some(true), ..facts("X", "", open("No such device")) },
                false,
                &["another network namespace"],
            ),
            (unknown(facts("X", "system", open("No such device"))), false, &["no network device of that name"]),
            (facts("X", "internal", open("No such device")), false, none),
            (facts("X", "", add("No such device")), false, none),
            // A name that is taken, impossible, or too long; which of them, the kernel and the datapath tell.
            (
                Facts { device: Some(true), ..facts("X", "internal", open("Invalid argument")) },
                true,
                &["X exists already"],
            ),
            (facts("X", "internal", open("Invalid argument")), false, none),
            (unknown(facts("X", "tap", open("Invalid argument"))), false, &["exists already"]),
            (facts("a/b", "internal", named(open("Invalid argument"), "a/b")), true, &["can be named \"a/b\""]),
            (
                Facts { datapath_type: Some(""), ..facts(long, "internal", named(add("Invalid argument"), long)) },
                true,
                &["19 bytes", "at most 15"],
            ),
            (
                Facts { datapath_type: Some("system"), ..facts(long, "", named(add("File name too long"), long)) },
                true,
                &["19 bytes"],
            ),
            (
                Facts { datapath_type: None, ..facts(long, "internal", named(open("Invalid argument"), long)) },
                true,
                &["19 bytes"],
            ),
            (facts(long, "internal", named(open("Invalid argument"), long)), false, none),
            (
                Facts { device: Some(true), ..facts(long, "internal", named(open("Invalid argument"), long)) },
                true,
                &["named a-name-of-19-by exists already", "15 bytes"],
            ),
            (
                Facts {
                    namesake: Some("other"),
                    ..facts(long, "internal", named(open("Device or resource busy"), long))
                },
                true,
                &["interface other", "a-name-of-19-by", "15 bytes"],
            ),
            (facts("X", "internal", open("Device or resource busy")), false, none),
            // What can't be a port.
            (facts("lo", "", named(add("Invalid argument"), "lo")), true, &["loopback device"]),
            (facts("X", "", add("Invalid argument")), false, &["not a kind of device that can be a port"]),
            (facts("X", "vxlan", add("Invalid argument")), false, none),
            (facts("X", "", add("Device or resource busy")), false, &["in use"]),
            (
                Facts { twin: Some("vy"), ..facts("X", "vxlan", add("File exists")) },
                true,
                &["vy has the same configuration"],
            ),
            (facts("X", "vxlan", add("File exists")), false, &["the same configuration", "UDP port"]),
            (Facts { device: Some(true), ..facts("X", "internal", add("File exists")) }, true, &["X exists already"]),
            (facts("X", "internal", add("File exists")), false, none),
            // The error says it all, or is about another interface, or new.
            (facts("X", "vxlan", "X: vxlan type requires valid 'remote_ip' argument"), false, none),
            (facts("X", "patch", "X: could not set configuration (Invalid argument)"), false, none),
            (facts("Y", "", open("No such device")), false, none),
            (facts("X", "", open("Operation not permitted")), false, none),
            (facts("X", "", "something new (No such device)"), false, none),
        ] {
            let told = cause(&facts);
            let text = told.as_ref().map(ToString::to_string).unwrap_or_default();
            assert_eq!(told.is_some(), !words.is_empty(), "{facts:?}: {text}");
            assert_eq!(matches!(told, Some(Cause::Known(_))), is_known, "{facts:?}: {text}");
            assert_eq!(text.starts_with("possible cause"), !is_known && !words.is_empty(), "{text}");
            for word in words {
                assert!(text.contains(word), "{facts:?}: {text:?} lacks {word:?}");
            }
        }
    }

    #[test]
    fn without_an_error_the_name_or_the_datapath_is_the_cause() {
        let datapaths = strings(&["netdev", "system"]);
        let facts = |name: &'static str, ofport: Option<i64>, datapath_type: &'static str| Facts {
            name,
            kind: "internal",
            ofport,
            datapath_type: Some(datapath_type),
            datapath_types: datapaths,
            has_module: Some(false),
            ..Facts::default()
        };
        for (facts, is_known, words) in [
            (facts("ovs-netdev", Some(-1), "netdev"), true, "keeps the name ovs-netdev"),
            (facts("vxlan_sys_4789", Some(-1), "netdev"), true, "keeps the name vxlan_sys_4789"),
            (facts("ovs-other", Some(-1), "netdev"), false, ""),
            (facts("p1", None, "foo"), true, "no datapath type \"foo\""),
            (facts("p1", None, "system"), true, "kernel module openvswitch is not loaded"),
            (facts("p1", None, ""), true, "kernel module openvswitch is not loaded"),
            (facts("p1", None, "netdev"), false, "see the log"),
            (Facts { has_module: Some(true), ..facts("p1", None, "system") }, false, "see the log"),
            (Facts { has_module: None, ..facts("p1", None, "system") }, false, "see the log"),
            (Facts { datapath_types: &[], ..facts("p1", None, "foo") }, false, "does not know the datapath type"),
            (Facts { datapath_type: None, ..facts("p1", None, "") }, false, "see the log"),
        ] {
            let told = cause(&facts);
            let text = told.as_ref().map(ToString::to_string).unwrap_or_default();
            assert_eq!(matches!(told, Some(Cause::Known(_))), is_known, "{facts:?}: {text}");
            assert!(text.contains(words) && text.is_empty() == words.is_empty(), "{facts:?}: {text}");
        }
    }

    #[test]
    fn tunnels_are_twins_by_what_the_datapath_tells_them_apart() {
        let options = |pairs: &[(&str, &str)]| -> Strings {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let one = options(&[("remote_ip", "10.0.0.1"), ("csum", "true")]);
        assert!(is_twin(&one, &options(&[("remote_ip", "10.0.0.1"), ("key", "0")])));
        assert!(!is_twin(&one, &options(&[("remote_ip", "10.0.0.1"), ("key", "7")])));
        assert!(!is_twin(&one, &options(&[("remote_ip", "10.0.0.2")])));
        assert!(!is_twin(&one, &options(&[("remote_ip", "10.0.0.1"), ("dst_port", "8472")])));
    }

    #[test]
    fn the_name_of_a_device_is_cut_between_characters() {
        assert_eq!(device_name("fifteen-bytes-x"), "fifteen-bytes-x");
        assert_eq!(device_name("sixteen-bytes-xy"), "sixteen-bytes-x");
        assert_eq!(device_name("fourteen-byte-ä"), "fourteen-byte-");
    }
}
