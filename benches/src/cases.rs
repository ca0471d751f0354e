//! The commands in the states in which they meet a switch, and what each yardstick does for the same.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::switch::{MASTER, Rows, Size, add_bridges, add_ports, remove_bridges, remove_ports, uuid};

/// How a command finds the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What is asked for has to be made, or is there to be deleted.
    New,
    /// What is asked for is there.
    Repeated,
    /// It can't be done.
    Refused,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::New => "new",
            State::Repeated => "repeated",
            State::Refused => "refused",
        }
    }
}

/// One command in one state. Every measured run has a number of its own, so that runs do not meet.
pub struct Case {
    pub command: &'static str,
    pub state: State,
    pub arguments: fn(Size, usize) -> Value,
    /// The operations of the least transaction; none where the database has no part in it.
    pub floor: fn(Size, usize) -> Result<Vec<Value>>,
    /// The calls that the original makes, as words; those of vtep-ensure and vtep-del stand for its netlink requests.
    pub calls: fn(Size, usize) -> Vec<String>,
    /// The same in one call, where there are several.
    pub batch: Option<fn(Size, usize) -> String>,
    /// Changes the switch so that all these runs find it as they should.
    pub before: fn(Size, &[usize]) -> Result<Vec<Value>>,
    /// Puts the switch back.
    pub after: fn(Size, &[usize]) -> Result<Vec<Value>>,
}

/// Network devices that a case may use: `e0` and so on, as many as twice the runs of a case, and `g0` and so on, one for
/// each run.
pub fn make_devices(runs: usize) -> Result<()> {
    let pairs = (0..2 * runs).map(|n| format!("link add e{n} up type veth peer name f{n}\n"));
    let more = (0..runs).map(|n| format!("link add g{n} up type veth peer name h{n}\n"));
    ip(&pairs.chain(more).collect::<String>())
}

fn ip(lines: &str) -> Result<()> {
    let file = batch_file(lines)?;
    ensure!(Command::new("ip").args(["-batch", file]).status()?.success(), "ip failed at: {lines}");
    Ok(())
}

fn batch_file(lines: &str) -> Result<&'static str> {
    let file = "/run/ip-batch";
    std::fs::write(file, lines)?;
    Ok(file)
}

fn select(table: &str, name: &str, columns: &[&str]) -> Value {
    json!({"op": "select", "table": table, "where": [["name", "==", name]], "columns": columns})
}

fn nothing(_: Size, _: &[usize]) -> Result<Vec<Value>> {
    Ok(Vec::new())
}

fn named(prefix: &'static str) -> impl Fn(&usize) -> String {
    move |n| format!("{prefix}{n}")
}

/// A VLAN that is there, whatever the size.
pub fn present_vlan(size: Size) -> usize {
    match size {
        Size::Ports(_) => 4000,
        Size::Vlans(count) => count,
    }
}

/// A port that is there, whatever the size.
fn present_port(size: Size) -> String {
    format!("vlbr{}p", present_vlan(size))
}

/// The VLANs to be made: above those that are there, or, where all are, some of them that are taken away before.
fn new_vlan(n: usize) -> usize {
    3000 + n
}

fn is_full(size: Size) -> bool {
    matches!(size, Size::Vlans(count) if count > 3000)
}

fn remove_vlans(ns: &[usize]) -> Result<Vec<Value>> {
    let names =
        |suffix: &'static str| ns.iter().map(move |n| format!("vlbr{}{suffix}", new_vlan(*n))).collect::<Vec<_>>();
    let mut operations = remove_ports(&names("p"))?;
    operations.extend(remove_bridges(&names(""))?);
    Ok(operations)
}

fn vnis(ns: &[usize]) -> impl Iterator<Item = usize> {
    ns.iter().map(|n| 10_000 + n)
}

fn make_vteps(ns: &[usize]) -> Result<()> {
    let add = |vni| format!("link add vtep{vni} up type vxlan id {vni} dev {MASTER} group 239.0.0.40 dstport 8472\n");
    ip(&vnis(ns).map(add).collect::<String>())
}

fn delete_vteps(ns: &[usize]) -> Result<()> {
    ip(&vnis(ns).map(|vni| format!("link delete vtep{vni}\n")).collect::<String>())
}

/// Those of them that are still there: some yardsticks leave theirs.
fn delete_vteps_left(ns: &[usize]) -> Result<Vec<Value>> {
    let lines = vnis(ns).map(|vni| format!("link delete vtep{vni}\n"));
    let file = batch_file(&lines.collect::<String>())?;
    let quiet = (Stdio::null(), Stdio::null());
    Command::new("ip").args(["-force", "-batch", file]).stdout(quiet.0).stderr(quiet.1).status()?;
    Ok(Vec::new())
}

fn bridge_operations(name: &str, rows: impl FnOnce(&mut Rows) -> Vec<Value>) -> Vec<Value> {
    let mut made = Rows::default();
    let ports = rows(&mut made);
    let bridge = made.bridge(name, ports);
    made.operations.push(add_bridges(vec![bridge]));
    made.operations
}

fn port_operations(name: &str, interfaces: &[String], columns: Value) -> Result<Vec<Value>> {
    let mut rows = Rows::default();
    let interfaces: Vec<Value> = interfaces.iter().map(|interface| rows.interface(interface, json!({}))).collect();
    let port = rows.port(name, &interfaces, columns);
    rows.operations.push(add_ports(&uuid("Bridge", MASTER)?, vec![port]));
    Ok(rows.operations)
}

/// A bond of the master for each run.
fn bonds(ns: &[usize], members: impl Fn(usize) -> Vec<String>) -> Result<Vec<Value>> {
    let mut rows = Rows::default();
    let mut ports = Vec::new();
    for &n in ns {
        let interfaces: Vec<Value> = members(n).iter().map(|name| rows.interface(name, json!({}))).collect();
        ports.push(rows.port(&format!("bond{n}"), &interfaces, json!({"bond_mode": "active-backup"})));
    }
    rows.operations.push(add_ports(&uuid("Bridge", MASTER)?, ports));
    Ok(rows.operations)
}

fn make_vlans(ns: &[usize]) -> Result<Vec<Value>> {
    let mut rows = Rows::default();
    let (outer, bridges) = ns.iter().map(|n| rows.vlan(new_vlan(*n))).unzip();
    rows.operations.push(add_ports(&uuid("Bridge", MASTER)?, outer));
    rows.operations.push(add_bridges(bridges));
    Ok(rows.operations)
}

fn members(n: usize) -> [String; 2] {
    [format!("e{}", 2 * n), format!("e{}", 2 * n + 1)]
}

fn tie_vxlan(n: usize) -> Vec<Value> {
    let vni = 10_000 + n;
    bridge_operations(&format!("vxlbr{vni}"), |rows| {
        let interface = rows.interface(&format!("vtep{vni}"), json!({}));
        vec![rows.port(&format!("vtep{vni}"), &[interface], json!({}))]
    })
}

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        command: "bridge-add",
        state: State::New,
        arguments: |_, n| json!({"bridge": format!("new{n}"), "options": {"datapath_type": "netdev"}}),
        floor: |_, n| Ok(bridge_operations(&format!("new{n}"), |_| Vec::new())),
        calls: |_, n| vec![format!("ovs-vsctl add-br new{n} -- set Bridge new{n} datapath_type=netdev")],
        batch: None,
        before: nothing,
        after: |_, ns| remove_bridges(&ns.iter().map(named("new")).collect::<Vec<_>>()),
    },
    Case {
        command: "bridge-add",
        state: State::Refused,
        arguments: |_, _| json!({"bridge": MASTER}),
        floor: |_, _| Ok(vec![select("Bridge", MASTER, &["name"])]),
        calls: |_, _| vec![format!("ovs-vsctl add-br {MASTER}")],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "bridge-del",
        state: State::New,
        arguments: |_, n| json!({"bridge": format!("old{n}")}),
        floor: |_, n| remove_bridges(&[format!("old{n}")]),
        calls: |_, n| vec![format!("ovs-vsctl del-br old{n}")],
        batch: None,
        before: |_, ns| Ok(ns.iter().flat_map(|n| bridge_operations(&format!("old{n}"), |_| Vec::new())).collect()),
        after: nothing,
    },
    Case {
        command: "bridge-del",
        state: State::Refused,
        arguments: |_, _| json!({"bridge": "nowhere"}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl del-br nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "port-add",
        state: State::New,
        arguments: |_, n| json!({"bridge": MASTER, "port": format!("e{n}"), "vlan": 9}),
        floor: |_, n| port_operations(&format!("e{n}"), &[format!("e{n}")], json!({"tag": 9})),
        calls: |_, n| vec![format!("ovs-vsctl add-port {MASTER} e{n} tag=9")],
        batch: None,
        before: nothing,
        after: |_, ns| remove_ports(&ns.iter().map(named("e")).collect::<Vec<_>>()),
    },
    Case {
        command: "port-add",
        state: State::Refused,
        arguments: |_, _| json!({"bridge": "nowhere", "port": "e0"}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl add-port nowhere e0".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "port-del",
        state: State::New,
        arguments: |_, n| json!({"bridge": MASTER, "port": format!("e{n}")}),
        floor: |_, n| remove_ports(&[format!("e{n}")]),
        calls: |_, n| vec![format!("ovs-vsctl del-port {MASTER} e{n}")],
        batch: None,
        before: |_, ns| {
            let mut rows = Rows::default();
            let mut ports = Vec::new();
            for name in ns.iter().map(named("e")) {
                let interface = rows.interface(&name, json!({}));
                ports.push(rows.port(&name, &[interface], json!({})));
            }
            rows.operations.push(add_ports(&uuid("Bridge", MASTER)?, ports));
            Ok(rows.operations)
        },
        after: nothing,
    },
    Case {
        command: "port-del",
        state: State::Refused,
        arguments: |_, _| json!({"port": "nowhere"}),
        floor: |_, _| Ok(vec![select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl del-port nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "bond-add",
        state: State::New,
        arguments: |_, n| json!({"bridge": MASTER, "port": format!("bond{n}"), "links": members(n), "mode": "active-backup"}),
        floor: |_, n| port_operations(&format!("bond{n}"), &members(n), json!({"bond_mode": "active-backup"})),
        calls: |_, n| {
            let [one, other] = members(n);
            vec![format!("ovs-vsctl add-bond {MASTER} bond{n} {one} {other} bond_mode=active-backup")]
        },
        batch: None,
        before: nothing,
        after: |_, ns| remove_ports(&ns.iter().map(named("bond")).collect::<Vec<_>>()),
    },
    Case {
        command: "bond-add",
        state: State::Refused,
        arguments: |_, _| json!({"bridge": "nowhere", "port": "bond0", "links": ["e0", "e1"]}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl add-bond nowhere bond0 e0 e1".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "bridge-list",
        state: State::Repeated,
        arguments: |_, _| json!({}),
        floor: |_, _| {
            let fakes = json!([["fake_bridge", "==", true]]);
            Ok(vec![
                json!({"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}),
                json!({"op": "select", "table": "Port", "where": fakes, "columns": ["name"]}),
            ])
        },
        calls: |_, _| vec!["ovs-vsctl list-br".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "port-list",
        state: State::Repeated,
        arguments: |size, _| json!({"bridge": format!("vlbr{}", present_vlan(size))}),
        floor: |size, _| {
            let bridge = format!("vlbr{}", present_vlan(size));
            Ok(vec![select("Bridge", &bridge, &["ports"]), select("Port", &bridge, &["name"])])
        },
        calls: |size, _| vec![format!("ovs-vsctl list-ports vlbr{}", present_vlan(size))],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "port-set",
        state: State::New,
        arguments: |size, n| json!({"port": present_port(size), "external_ids": {"run": n.to_string()}}),
        floor: |size, n| {
            let change = |table| -> Result<Value> {
                let pair = json!(["map", [["run", n.to_string()]]]);
                let mutations = json!([["external_ids", "delete", ["set", ["run"]]], ["external_ids", "insert", pair]]);
                let this = json!([["_uuid", "==", uuid(table, &present_port(size))?]]);
                Ok(json!({"op": "mutate", "table": table, "where": this, "mutations": mutations}))
            };
            Ok(vec![change("Port")?, change("Interface")?])
        },
        calls: |size, n| {
            let port = present_port(size);
            vec![format!("ovs-vsctl set Port {port} external_ids:run={n} -- set Interface {port} external_ids:run={n}")]
        },
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "port-set",
        state: State::Refused,
        arguments: |_, _| json!({"port": "nowhere", "vlan": 9}),
        floor: |_, _| Ok(vec![select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl set Port nowhere tag=9".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "bond-del",
        state: State::New,
        arguments: |_, n| json!({"bridge": MASTER, "port": format!("bond{n}")}),
        floor: |_, n| remove_ports(&[format!("bond{n}")]),
        calls: |_, n| vec![format!("ovs-vsctl del-port {MASTER} bond{n}")],
        batch: None,
        before: |_, ns| bonds(ns, |n| members(n).to_vec()),
        after: nothing,
    },
    Case {
        command: "bond-member-add",
        state: State::New,
        arguments: |_, n| json!({"port": format!("bond{n}"), "link": format!("g{n}")}),
        floor: |_, n| {
            let mut rows = Rows::default();
            let member = rows.interface(&format!("g{n}"), json!({}));
            let this = json!([["_uuid", "==", uuid("Port", &format!("bond{n}"))?]]);
            let mutations = json!([["interfaces", "insert", member]]);
            rows.operations.push(json!({"op": "mutate", "table": "Port", "where": this, "mutations": mutations}));
            Ok(rows.operations)
        },
        calls: |_, n| {
            vec![format!("ovs-vsctl -- --id=@i create Interface name=g{n} -- add Port bond{n} interfaces @i")]
        },
        batch: None,
        before: |_, ns| bonds(ns, |n| members(n).to_vec()),
        after: |_, ns| remove_ports(&ns.iter().map(named("bond")).collect::<Vec<_>>()),
    },
    Case {
        command: "bond-member-del",
        state: State::New,
        arguments: |_, n| json!({"port": format!("bond{n}"), "link": format!("g{n}")}),
        floor: |_, n| {
            let this = json!([["_uuid", "==", uuid("Port", &format!("bond{n}"))?]]);
            let mutations = json!([["interfaces", "delete", uuid("Interface", &format!("g{n}"))?]]);
            Ok(vec![json!({"op": "mutate", "table": "Port", "where": this, "mutations": mutations})])
        },
        calls: |_, n| vec![format!("ovs-vsctl -- --id=@i get Interface g{n} -- remove Port bond{n} interfaces @i")],
        batch: None,
        before: |_, ns| {
            bonds(ns, |n| {
                let [one, other] = members(n);
                vec![one, other, format!("g{n}")]
            })
        },
        after: |_, ns| remove_ports(&ns.iter().map(named("bond")).collect::<Vec<_>>()),
    },
    Case {
        command: "set",
        state: State::New,
        arguments: |_, n| json!({"table": "Bridge", "record": MASTER, "values": {"external_ids:run": n.to_string()}}),
        floor: |_, n| {
            let pair = json!(["map", [["run", n.to_string()]]]);
            let mutations = json!([["external_ids", "delete", ["set", ["run"]]], ["external_ids", "insert", pair]]);
            let this = json!([["_uuid", "==", uuid("Bridge", MASTER)?]]);
            Ok(vec![json!({"op": "mutate", "table": "Bridge", "where": this, "mutations": mutations})])
        },
        calls: |_, n| vec![format!("ovs-vsctl set Bridge {MASTER} external_ids:run={n}")],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "set",
        state: State::Repeated,
        arguments: |_, _| json!({"table": "Bridge", "record": MASTER, "values": {"external_ids:same": "1"}}),
        floor: |_, _| Ok(vec![select("Bridge", MASTER, &["external_ids"])]),
        calls: |_, _| vec![format!("ovs-vsctl set Bridge {MASTER} external_ids:same=1")],
        batch: None,
        before: |_, _| {
            let mutations = json!([["external_ids", "insert", ["map", [["same", "1"]]]]]);
            let this = json!([["name", "==", MASTER]]);
            Ok(vec![json!({"op": "mutate", "table": "Bridge", "where": this, "mutations": mutations})])
        },
        after: nothing,
    },
    Case {
        command: "set",
        state: State::Refused,
        arguments: |_, _| json!({"table": "Bridge", "record": "nowhere", "values": {"external_ids:run": "1"}}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl set Bridge nowhere external_ids:run=1".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vtep-ensure",
        state: State::New,
        arguments: |_, n| json!({"bridge": MASTER, "vnid": 10_000 + n}),
        floor: |_, _| Ok(Vec::new()),
        calls: |_, n| {
            let vni = 10_000 + n;
            vec![
                format!("ip link add vtep{vni} type vxlan id {vni} dev {MASTER} group 239.0.0.40 dstport 8472"),
                format!("ip link set vtep{vni} up"),
            ]
        },
        batch: None,
        before: nothing,
        after: |_, ns| delete_vteps(ns).map(|()| Vec::new()),
    },
    Case {
        command: "vtep-ensure",
        state: State::Repeated,
        arguments: |_, _| json!({"bridge": MASTER, "vnid": 10_000}),
        floor: |_, _| Ok(Vec::new()),
        calls: |_, _| vec!["ip -details link show vtep10000".into()],
        batch: None,
        before: |_, _| make_vteps(&[0]).map(|()| Vec::new()),
        after: |_, _| delete_vteps(&[0]).map(|()| Vec::new()),
    },
    Case {
        command: "vtep-ensure",
        state: State::Refused,
        arguments: |_, _| json!({"bridge": "nowhere", "vnid": 10_000}),
        floor: |_, _| Ok(Vec::new()),
        calls: |_, _| vec!["ip link show nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vtep-del",
        state: State::New,
        arguments: |_, n| json!({"vnid": 10_000 + n}),
        floor: |_, _| Ok(Vec::new()),
        calls: |_, n| vec![format!("ip link delete vtep{}", 10_000 + n)],
        batch: None,
        before: |_, ns| make_vteps(ns).map(|()| Vec::new()),
        after: nothing,
    },
    Case {
        command: "vtep-del",
        state: State::Refused,
        arguments: |_, _| json!({"vnid": 9999}),
        floor: |_, _| Ok(Vec::new()),
        calls: |_, _| vec!["ip link delete vtep9999".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vlan-ensure",
        state: State::New,
        arguments: |_, n| json!({"master": MASTER, "vlan": new_vlan(n)}),
        floor: |_, n| {
            let mut rows = Rows::default();
            let (outer, bridge) = rows.vlan(new_vlan(n));
            rows.operations.push(add_ports(&uuid("Bridge", MASTER)?, vec![outer]));
            rows.operations.push(add_bridges(vec![bridge]));
            Ok(rows.operations)
        },
        calls: |_, n| {
            let vlan = new_vlan(n);
            let (bridge, outer, inner) = (format!("vlbr{vlan}"), format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
            vec![
                format!("ovs-vsctl br-exists {MASTER}"),
                format!("!ovs-vsctl port-to-br {outer}"),
                format!("!ovs-vsctl port-to-br {inner}"),
                format!("ovs-vsctl add-br {bridge} -- set Bridge {bridge} datapath_type=netdev"),
                format!("ovs-vsctl add-port {MASTER} {outer} tag={vlan}"),
                format!("ovs-vsctl set Interface {outer} type=patch options:peer={inner}"),
                format!("ovs-vsctl add-port {bridge} {inner}"),
                format!("ovs-vsctl set Interface {inner} type=patch options:peer={outer}"),
            ]
        },
        batch: Some(|_, n| {
            let vlan = new_vlan(n);
            let (bridge, outer, inner) = (format!("vlbr{vlan}"), format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
            format!(
                "ovs-vsctl add-br {bridge} -- set Bridge {bridge} datapath_type=netdev \
                 -- add-port {MASTER} {outer} tag={vlan} -- set Interface {outer} type=patch options:peer={inner} \
                 -- add-port {bridge} {inner} -- set Interface {inner} type=patch options:peer={outer}"
            )
        }),
        before: |size, ns| if is_full(size) { remove_vlans(ns) } else { Ok(Vec::new()) },
        after: |size, ns| if is_full(size) { Ok(Vec::new()) } else { remove_vlans(ns) },
    },
    Case {
        command: "vlan-ensure",
        state: State::Repeated,
        arguments: |size, _| json!({"master": MASTER, "vlan": present_vlan(size)}),
        floor: |size, _| {
            let vlan = present_vlan(size);
            Ok(vec![
                select("Bridge", MASTER, &["_uuid", "name", "datapath_type"]),
                select("Bridge", &format!("vlbr{vlan}"), &["_uuid", "name", "datapath_type"]),
                select("Port", &format!("vlbr{vlan}p"), &["_uuid", "name", "interfaces", "tag"]),
                select("Port", &format!("vlbr{vlan}in"), &["_uuid", "name", "interfaces", "tag"]),
            ])
        },
        calls: |size, _| {
            let vlan = present_vlan(size);
            vec![
                format!("ovs-vsctl br-exists {MASTER}"),
                format!("ovs-vsctl port-to-br vlbr{vlan}p"),
                format!("ovs-vsctl port-to-br vlbr{vlan}in"),
            ]
        },
        batch: Some(|size, _| {
            let vlan = present_vlan(size);
            format!("ovs-vsctl br-exists {MASTER} -- port-to-br vlbr{vlan}p -- port-to-br vlbr{vlan}in")
        }),
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vlan-ensure",
        state: State::Refused,
        arguments: |_, _| json!({"master": "nowhere", "vlan": 4000}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl br-exists nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vlan-del",
        state: State::New,
        arguments: |_, n| json!({"master": MASTER, "vlan": new_vlan(n)}),
        floor: |_, n| remove_vlans(&[n]),
        calls: |_, n| {
            let vlan = new_vlan(n);
            vec![format!("ovs-vsctl del-port {MASTER} vlbr{vlan}p"), format!("ovs-vsctl del-br vlbr{vlan}")]
        },
        batch: Some(|_, n| {
            let vlan = new_vlan(n);
            format!("ovs-vsctl del-port {MASTER} vlbr{vlan}p -- del-br vlbr{vlan}")
        }),
        before: |size, ns| if is_full(size) { Ok(Vec::new()) } else { make_vlans(ns) },
        after: |size, ns| if is_full(size) { make_vlans(ns) } else { Ok(Vec::new()) },
    },
    Case {
        command: "vlan-del",
        state: State::Refused,
        arguments: |_, _| json!({"master": "nowhere", "vlan": 4000}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl br-exists nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vxlan-ensure",
        state: State::New,
        arguments: |_, n| json!({"master": MASTER, "vxlan": 10_000 + n}),
        floor: |_, n| Ok(tie_vxlan(n)),
        calls: |_, n| {
            let vni = 10_000 + n;
            vec![
                format!("ovs-vsctl br-exists {MASTER}"),
                format!("!ovs-vsctl port-to-br vtep{vni}"),
                format!("ovs-vsctl add-br vxlbr{vni} -- set Bridge vxlbr{vni} datapath_type=netdev"),
                format!("ovs-vsctl add-port vxlbr{vni} vtep{vni}"),
            ]
        },
        batch: Some(|_, n| {
            let vni = 10_000 + n;
            format!(
                "ovs-vsctl add-br vxlbr{vni} -- set Bridge vxlbr{vni} datapath_type=netdev \
                 -- add-port vxlbr{vni} vtep{vni}"
            )
        }),
        // The device is there already: none of the yardsticks makes it.
        before: |_, ns| make_vteps(ns).map(|()| Vec::new()),
        after: |_, ns| {
            delete_vteps(ns)?;
            remove_bridges(&vnis(ns).map(|vni| format!("vxlbr{vni}")).collect::<Vec<_>>())
        },
    },
    Case {
        command: "vxlan-ensure",
        state: State::Repeated,
        arguments: |_, _| json!({"master": MASTER, "vxlan": 10_000}),
        floor: |_, _| {
            Ok(vec![
                select("Bridge", MASTER, &["_uuid", "name", "datapath_type"]),
                select("Bridge", "vxlbr10000", &["_uuid", "name", "datapath_type"]),
                select("Port", "vtep10000", &["_uuid", "name", "interfaces", "tag"]),
            ])
        },
        calls: |_, _| vec![format!("ovs-vsctl br-exists {MASTER}"), "ovs-vsctl port-to-br vtep10000".into()],
        batch: Some(|_, _| format!("ovs-vsctl br-exists {MASTER} -- port-to-br vtep10000")),
        before: |_, _| make_vteps(&[0]).map(|()| tie_vxlan(0)),
        after: |_, _| {
            delete_vteps(&[0])?;
            remove_bridges(&["vxlbr10000".into()])
        },
    },
    Case {
        command: "vxlan-ensure",
        state: State::Refused,
        arguments: |_, _| json!({"master": "nowhere", "vxlan": 10_000}),
        floor: |_, _| Ok(vec![select("Bridge", "nowhere", &["_uuid"]), select("Port", "nowhere", &["_uuid"])]),
        calls: |_, _| vec!["ovs-vsctl br-exists nowhere".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
    Case {
        command: "vxlan-del",
        state: State::New,
        arguments: |_, n| json!({"master": MASTER, "vxlan": 10_000 + n}),
        floor: |_, n| remove_bridges(&[format!("vxlbr{}", 10_000 + n)]),
        calls: |_, n| {
            let vni = 10_000 + n;
            vec![format!("ovs-vsctl del-br vxlbr{vni}"), format!("ip link delete vtep{vni}")]
        },
        batch: None,
        before: |_, ns| {
            make_vteps(ns)?;
            Ok(ns.iter().flat_map(|n| tie_vxlan(*n)).collect())
        },
        // The floor leaves its devices.
        after: |_, ns| delete_vteps_left(ns),
    },
    Case {
        command: "version",
        state: State::Repeated,
        arguments: |_, _| json!({}),
        floor: |_, _| {
            Ok(vec![json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["ovs_version"]})])
        },
        calls: |_, _| vec!["ovs-vsctl get Open_vSwitch . ovs_version".into()],
        batch: None,
        before: nothing,
        after: nothing,
    },
];
