//! Rows as a switch with many ports has them, and the monitor reply in which ovsdb-server tells them.
//!
//! The bytes are what ovsdb-server 3.1 sends: members in its order, columns sorted, columns with default values left
//! out, no blanks.

use std::collections::HashMap;
use std::fmt::Write;

use ovsdb::monitor::RowUpdate2;
use ovsdb::value::{Map, Optional, PlainUuid, Uuid};
use serde::Deserialize;

/// The columns of Interface that are asked for: those that the program itself relies on.
pub const COLUMNS: &[&str] = &[
    "name",
    "type",
    "options",
    "external_ids",
    "mtu_request",
    "ofport_request",
    "ofport",
    "error",
    "admin_state",
    "link_state",
    "mtu",
    "mac_in_use",
    "ifindex",
    "status",
];

/// A row of Interface, typed.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Interface {
    pub name: Box<str>,
    pub r#type: Box<str>,
    pub options: Map<Box<str>, Box<str>>,
    pub external_ids: Map<Box<str>, Box<str>>,
    pub mtu_request: Optional<i64>,
    pub ofport_request: Optional<i64>,
    pub ofport: Optional<i64>,
    pub error: Optional<Box<str>>,
    pub admin_state: Optional<Box<str>>,
    pub link_state: Optional<Box<str>>,
    pub mtu: Optional<i64>,
    pub mac_in_use: Optional<Box<str>>,
    pub ifindex: Optional<i64>,
    pub status: Map<Box<str>, Box<str>>,
}

/// The part of a reply or an update that is the tables.
#[derive(Debug, Deserialize)]
pub struct Tables {
    #[serde(rename = "Interface")]
    pub interface: HashMap<PlainUuid, RowUpdate2<Interface>>,
}

/// The identity of the row with this number: looks random, and is the same in every run.
pub fn identity(row: u64) -> Uuid {
    // The finalizer of SplitMix64.
    let mix = |seed: u64| {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ (seed >> 31)
    };
    Uuid(uuid::Uuid::from_u64_pair(mix(2 * row + 1), mix(2 * row + 2)))
}

/// The columns of the row with this number, as JSON: of ten, seven are ports of containers, two tunnels, one a patch.
pub fn interface(row: u64) -> String {
    let (a, b, c) = (row >> 16 & 255, row >> 8 & 255, row & 255);
    match row % 10 {
        0 => format!(
            r#"{{"admin_state":"up","external_ids":["map",[["ovs-plugin","vlan:{vlan}"]]],"link_state":"up","mac_in_use":"5a:00:00:{a:02x}:{b:02x}:{c:02x}","name":"vlbr{row}p","ofport":{ofport},"options":["map",[["peer","vlbr{row}in"]]],"type":"patch"}}"#,
            vlan = row % 4094 + 1,
            ofport = row % 65000 + 1,
        ),
        1 | 2 => format!(
            r#"{{"admin_state":"up","external_ids":["map",[["ovn-chassis-id","{chassis}"]]],"link_state":"up","mac_in_use":"16:00:00:{a:02x}:{b:02x}:{c:02x}","name":"vx-{row:06x}","ofport":{ofport},"options":["map",[["csum","true"],["key","flow"],["remote_ip","10.{a}.{b}.{c}"]]],"status":["map",[["tunnel_egress_iface","bond0"],["tunnel_egress_iface_carrier","up"]]],"type":"vxlan"}}"#,
            chassis = identity(row ^ 1 << 40),
            ofport = row % 65000 + 1,
        ),
        _ => format!(
            r#"{{"admin_state":"up","external_ids":["map",[["attached-mac","02:42:{a:02x}:{b:02x}:{c:02x}:01"],["iface-id","{iface}"],["iface-status","active"],["vm-uuid","{machine}"]]],"ifindex":{ifindex},"link_state":"up","mac_in_use":"fe:42:{a:02x}:{b:02x}:{c:02x}:01","mtu":1500,"name":"tap{row:08x}","ofport":{ofport},"status":["map",[["driver_name","veth"],["driver_version","1.0"],["firmware_version",""]]]}}"#,
            iface = identity(row ^ 1 << 41),
            machine = identity(row ^ 1 << 42),
            ifindex = row + 10,
            ofport = row % 65000 + 1,
        ),
    }
}

/// The reply to a `monitor_cond_since` of Interface with so many rows.
pub fn reply(rows: u64) -> Vec<u8> {
    let mut text = String::from(r#"{"id":1,"result":[false,"00000000-0000-0000-0000-000000000000",{"Interface":{"#);
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // Writing to a String can't fail.
        let _ = write!(text, r#"{comma}"{}":{{"initial":{}}}"#, identity(row), interface(row));
    }
    text.push_str(r#"}}],"error":null}"#);
    text.into_bytes()
}
