//! What each command is to do with the state of a switch, in a few lines each, and commands by chance.
//!
//! The names are few, so that commands meet: bridges `br0` to `br2`, the devices `e0` to `e3`, one container's device,
//! two VLANs and two VXLAN networks. Some commands can't work: nobody can make a bridge named `lo`.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub command: &'static str,
    pub arguments: Value,
}

/// What a command comes to when nothing is in its way.
#[derive(Debug)]
pub enum Effect {
    /// It is done, and answers this.
    Done(Value, Value),
    /// It refuses, and changes nothing.
    Refused,
    /// This is what it writes, but an interface does not work, so it is taken back.
    Broken(Value),
}

pub const DEVICES: [&str; 5] = ["e0", "e1", "e2", "e3", "cont5-0"];
pub const MASTERS: [&str; 2] = ["br0", "br1"];

fn operation(command: &'static str, arguments: Value) -> Operation {
    Operation { command, arguments }
}

/// How many kinds of commands there are.
pub const COMMANDS: u64 = 21;

/// A command of a kind, with arguments by chance.
pub fn any(random: &mut Random, kind: u64) -> Operation {
    let master = *random.pick(&MASTERS);
    let bridge = *random.pick(&["br0", "br1", "br2", "vlbr5"]);
    let device = *random.pick(&DEVICES);
    let vlan = *random.pick(&[5, 6]);
    let vni = *random.pick(&[7, 8]);
    let tag = random.below(4);
    let value = random.below(1000).to_string();
    match kind {
        0 | 1 => operation("bridge-add", json!({"bridge": random.pick(&["br0", "br1", "br2"])})),
        2 => operation("bridge-del", json!({"bridge": random.pick(&["br0", "br1", "br2", "br2", "vlbr5", "vxlbr7"])})),
        3 | 4 => operation("port-add", json!({"bridge": bridge, "port": device, "vlan": tag})),
        5 => operation("port-set", json!({"port": device, "vlan": tag})),
        6 => operation("port-set", json!({"port": device, "external_ids": {"chaos": value}})),
        7 => operation("port-del", json!({"port": device})),
        8 => operation("bond-add", json!({"bridge": bridge, "port": "bond0", "links": ["e2", "e3"]})),
        9 => operation("bond-del", json!({"port": "bond0"})),
        10 => operation("bond-member-add", json!({"port": "bond0", "link": random.pick(&["e0", "e1"])})),
        11 => operation("bond-member-del", json!({"port": "bond0", "link": random.pick(&["e1", "e2"]), "force": true})),
        12 => operation("set", json!({"table": "Bridge", "record": bridge, "values": {"external_ids:chaos": value}})),
        13 => {
            operation("set", json!({"table": "Open_vSwitch", "record": ".", "values": {"external_ids:chaos": value}}))
        }
        14 => operation("vtep-ensure", json!({"bridge": master, "vnid": 9})),
        15 => operation("vtep-del", json!({"vnid": 9})),
        16 => operation("vlan-ensure", json!({"master": master, "vlan": vlan})),
        17 => operation("vlan-del", json!({"master": master, "vlan": vlan, "force": random.one_in(2)})),
        18 => operation("vxlan-ensure", json!({"master": master, "vxlan": vni})),
        19 => operation("vxlan-del", json!({"vxlan": vni})),
        _ => match random.below(4) {
            0 => operation("bridge-list", json!({})),
            1 => operation("port-list", json!({"bridge": bridge})),
            _ => hopeless(random, master),
        },
    }
}

/// A command by chance, mostly one that changes something, so that all kinds are tried about equally often.
pub fn likely(random: &mut Random, before: &Value) -> Operation {
    let often = std::env::var("CHAOS_COMMAND").ok().filter(|_| !random.one_in(3));
    loop {
        let kind = random.below(COMMANDS);
        let tried = any(random, kind);
        if often.as_ref().is_some_and(|often| tried.command != *often) {
            continue;
        }
        if random.one_in(10) {
            return tried;
        }
        for _ in 0..6 {
            let operation = any(random, kind);
            match operation.effect(before) {
                Effect::Done(after, _) if after == *before => {}
                Effect::Done(..) | Effect::Broken(_) => return operation,
                Effect::Refused => {}
            }
        }
    }
}

/// A command that can't work.
fn hopeless(random: &mut Random, master: &str) -> Operation {
    match random.below(4) {
        0 => operation("vlan-ensure", json!({"master": master, "vlan": 66, "name": "lo"})),
        1 => operation("vxlan-ensure", json!({"master": master, "vxlan": 77, "name": "lo"})),
        2 => operation("port-add", json!({"bridge": master, "port": "absent"})),
        _ => operation("port-set", json!({"port": "e0", "options": {"type": "bogus"}})),
    }
}

/// How many kinds of races there are.
pub const KINDS: u64 = 8;

/// The races over a bond, and those with commands that can't work.
const BONDS: u64 = 4;
const HOPELESS: u64 = 7;

/// What is done before a race, so that there is something to meet over: half of the time nothing.
pub fn before_race(random: &mut Random, kind: u64) -> Vec<Operation> {
    let mut before = if random.one_in(2) { race(random, kind) } else { Vec::new() };
    if kind == BONDS {
        // Their members must be free, and mostly there is a bond.
        before = ["e0", "e2", "e3"].map(|port| operation("port-del", json!({"port": port}))).to_vec();
        if !random.one_in(3) {
            before.push(operation("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]})));
        }
    }
    if kind == HOPELESS {
        before.push(operation("port-add", json!({"bridge": "br0", "port": "e0"})));
    }
    before.retain(|operation| !operation.is_hopeless());
    before
}

/// Two or three commands that are likely to meet.
pub fn race(random: &mut Random, kind: u64) -> Vec<Operation> {
    let master = *random.pick(&MASTERS);
    let (vlan, vni) = (5, 7);
    let of_vlan = |random: &mut Random| match random.below(4) {
        0 => operation("vlan-del", json!({"master": master, "vlan": vlan})),
        1 => operation("bridge-del", json!({"bridge": format!("vlbr{vlan}")})),
        2 => operation("vlan-ensure", json!({"master": random.pick(&MASTERS), "vlan": vlan})),
        _ => operation("vlan-ensure", json!({"master": master, "vlan": vlan})),
    };
    let of_vxlan = |random: &mut Random| match random.below(5) {
        0 | 1 => operation("vxlan-del", json!({"vxlan": vni})),
        2 => operation("bridge-del", json!({"bridge": format!("vxlbr{vni}")})),
        3 => operation("vxlan-ensure", json!({"master": random.pick(&MASTERS), "vxlan": vni})),
        _ => operation("vxlan-ensure", json!({"master": master, "vxlan": vni})),
    };
    let of_port = |random: &mut Random| match random.below(4) {
        0 => operation("port-del", json!({"port": "e1"})),
        1 => operation("port-set", json!({"port": "e1", "vlan": random.below(4)})),
        _ => operation("port-add", json!({"bridge": random.pick(&MASTERS), "port": "e1", "vlan": random.below(4)})),
    };
    let of_container = |random: &mut Random| match random.below(3) {
        0 => operation("port-del", json!({"port": "cont5-0"})),
        _ => operation("port-add", json!({"bridge": random.pick(&MASTERS), "port": "cont5-0"})),
    };
    let of_bond = |random: &mut Random| match random.below(5) {
        0 => operation("bond-del", json!({"port": "bond0"})),
        1 => operation("bond-member-add", json!({"port": "bond0", "link": "e0"})),
        2 => operation("bond-member-del", json!({"port": "bond0", "link": "e2", "force": random.one_in(2)})),
        3 => operation("port-add", json!({"bridge": master, "port": "e2"})),
        _ => operation("bond-add", json!({"bridge": master, "port": "bond0", "links": ["e2", "e3"]})),
    };
    let of_bridge = |random: &mut Random| match random.below(4) {
        0 => operation("bridge-add", json!({"bridge": "br2"})),
        1 => operation("bridge-del", json!({"bridge": "br2"})),
        2 => operation("port-add", json!({"bridge": "br2", "port": "e3"})),
        _ => operation("bridge-list", json!({})),
    };
    let count = 2 + random.below(2);
    if kind == HOPELESS {
        let same = hopeless(random, master);
        let beside = operation("port-set", json!({"port": "e0", "vlan": random.below(4)}));
        return match random.below(3) {
            0 => vec![same.clone(), same],
            1 => vec![same, beside],
            _ => vec![same.clone(), same, beside],
        };
    }
    let one = |_| match kind {
        0 => of_vlan(random),
        1 => of_vxlan(random),
        2 => of_port(random),
        3 => of_container(random),
        BONDS => of_bond(random),
        5 => of_bridge(random),
        _ => loop {
            let kind = random.below(COMMANDS);
            let any = any(random, kind);
            // What others read of it before it is taken back is for the races of its own kind.
            if !any.is_hopeless() {
                break any;
            }
        },
    };
    (0..count).map(one).collect()
}

impl Operation {
    pub fn is_hopeless(&self) -> bool {
        let argument = |name: &str| self.arguments[name].as_str();
        argument("name") == Some("lo") || argument("port") == Some("absent") || !self.arguments["options"].is_null()
    }

    fn text(&self, argument: &str) -> &str {
        self.arguments[argument].as_str().unwrap()
    }

    fn number(&self, argument: &str) -> u64 {
        self.arguments[argument].as_u64().unwrap()
    }

    /// What it comes to in a state.
    pub fn effect(&self, before: &Value) -> Effect {
        let mut state = State(before.clone());
        match self.perform(&mut state) {
            None => Effect::Refused,
            Some(_) if self.is_hopeless() => Effect::Broken(state.0),
            Some(answer) => Effect::Done(state.0, answer),
        }
    }

    /// None where it refuses.
    fn perform(&self, state: &mut State) -> Option<Value> {
        let tag = self.arguments["vlan"].as_u64().filter(|tag| *tag != 0);
        match self.command {
            "bridge-add" => {
                let name = self.text("bridge");
                state.is_free(name).then(|| state.add_bridge(name))?;
                Some(Value::Null)
            }
            "bridge-del" => {
                state.remove_bridge(self.text("bridge"))?;
                Some(json!(""))
            }
            "bridge-list" => Some(state.bridges().keys().cloned().collect()),
            "port-list" => {
                let bridge = self.text("bridge");
                let ports = state.0["bridges"].get(bridge)?["ports"].as_object().unwrap().keys();
                Some(ports.filter(|port| *port != bridge).cloned().collect())
            }
            "port-add" => {
                let (bridge, port) = (self.text("bridge"), self.text("port"));
                state.bridge(bridge)?;
                // A container's port is taken over from wherever it is.
                if port.starts_with("cont") {
                    state.remove_port(port);
                }
                state.is_free(port).then_some(())?;
                state.add_port(bridge, port, tag, &[port]);
                Some(Value::Null)
            }
            "port-set" => {
                let name = self.text("port");
                let port = state.port(name)?;
                if !self.arguments["vlan"].is_null() {
                    set(port, "tag", tag.map(Value::from));
                }
                let interfaces = port["interfaces"].as_object_mut().unwrap();
                for interface in interfaces.values_mut() {
                    if let Some(kind) = self.arguments["options"].get("type") {
                        set(interface, "type", Some(kind.clone()));
                    }
                    put_all(interface, "external_ids", &self.arguments["external_ids"]);
                }
                put_all(port, "external_ids", &self.arguments["external_ids"]);
                Some(Value::Null)
            }
            "port-del" => {
                state.remove_port(self.text("port"))?;
                Some(Value::Null)
            }
            "bond-add" => {
                let (bridge, port) = (self.text("bridge"), self.text("port"));
                state.bridge(bridge)?;
                let links: Vec<&str> =
                    self.arguments["links"].as_array().unwrap().iter().map(|link| link.as_str().unwrap()).collect();
                let free = state.is_free(port) && links.iter().all(|link| state.is_free(link));
                free.then_some(())?;
                state.add_port(bridge, port, None, &links);
                set(state.port(port)?, "bond_mode", Some(json!("balance-slb")));
                Some(Value::Null)
            }
            "bond-del" => {
                let port = self.text("port");
                (state.port(port)?["interfaces"].as_object().unwrap().len() > 1).then_some(())?;
                state.remove_port(port);
                Some(Value::Null)
            }
            "bond-member-add" => {
                let link = self.text("link");
                let free = state.is_free(link);
                let port = state.port(self.text("port"))?;
                free.then(|| port["interfaces"][link] = json!({}))?;
                Some(Value::Null)
            }
            "bond-member-del" => {
                let force = self.arguments["force"] == true;
                let members = state.port(self.text("port"))?["interfaces"].as_object_mut().unwrap();
                (members.len() > if force { 1 } else { 2 }).then_some(())?;
                members.remove(self.text("link"))?;
                Some(Value::Null)
            }
            "set" => {
                let row = match self.text("table") {
                    "Bridge" => state.bridge(self.text("record"))?,
                    _ => &mut state.0["root"],
                };
                put_all(row, "external_ids", &json!({"chaos": self.arguments["values"]["external_ids:chaos"]}));
                Some(Value::Null)
            }
            "vtep-ensure" => {
                let vni = self.number("vnid");
                state.ensure_vtep(self.text("bridge"), vni)?;
                Some(json!(format!("vtep{vni}")))
            }
            "vtep-del" => {
                state.devices().remove(&format!("vtep{}", self.number("vnid")))?;
                Some(Value::Null)
            }
            "vlan-ensure" => {
                let (master, vlan) = (self.text("master"), self.number("vlan"));
                let (outer, inner) = (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
                state.bridge(master)?;
                if state.bridge_of(&outer).is_some_and(|bridge| bridge != master) {
                    return None;
                }
                let bridge = state.derived(&inner, self.arguments["name"].as_str(), &format!("vlbr{vlan}"));
                for (bridge, port, peer, tag) in [(master, &outer, &inner, Some(vlan)), (&bridge, &inner, &outer, None)]
                {
                    if state.port(port).is_none() {
                        state.add_port(bridge, port, None, &[port]);
                    }
                    let row = state.port(port)?;
                    set(row, "tag", tag.map(Value::from));
                    row["interfaces"][port] = json!({"type": "patch", "options": {"peer": peer}});
                }
                Some(json!(bridge))
            }
            "vlan-del" => {
                let (master, vlan) = (self.text("master"), self.number("vlan"));
                let (outer, inner) = (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"));
                state.bridge(master)?;
                let on = state.bridge_of(&outer);
                if on.as_ref().is_some_and(|bridge| bridge != master) {
                    return None;
                }
                let own = format!("vlbr{vlan}");
                let bridge = state.bridge_of(&inner).or_else(|| state.bridge(&own).is_some().then(|| own.clone()));
                if bridge.is_none() && on.is_none() {
                    return None;
                }
                state.remove_port(&outer);
                if let Some(bridge) = &bridge {
                    state.remove_derived(bridge, &inner, self.arguments["force"] == true)?;
                }
                Some(json!(bridge.unwrap_or(own)))
            }
            "vxlan-ensure" => {
                let (master, vni) = (self.text("master"), self.number("vxlan"));
                let device = format!("vtep{vni}");
                state.bridge(master)?;
                state.ensure_vtep(master, vni)?;
                let bridge = state.derived(&device, self.arguments["name"].as_str(), &format!("vxlbr{vni}"));
                if state.port(&device).is_none() {
                    state.add_port(&bridge, &device, None, &[&device]);
                }
                Some(json!(bridge))
            }
            "vxlan-del" => {
                let vni = self.number("vxlan");
                let (device, own) = (format!("vtep{vni}"), format!("vxlbr{vni}"));
                let bridge = state.bridge_of(&device).or_else(|| state.bridge(&own).is_some().then(|| own.clone()));
                let there = state.devices().contains_key(&device);
                if bridge.is_none() && !there {
                    return None;
                }
                if let Some(bridge) = &bridge {
                    state.remove_derived(bridge, &device, false)?;
                }
                state.devices().remove(&device);
                Some(json!(bridge.unwrap_or(own)))
            }
            other => panic!("no model of {other}"),
        }
    }
}

/// A state that a command works on.
struct State(Value);

impl State {
    fn bridges(&mut self) -> &mut Map<String, Value> {
        self.0["bridges"].as_object_mut().unwrap()
    }

    fn bridge(&mut self, name: &str) -> Option<&mut Value> {
        self.bridges().get_mut(name)
    }

    fn devices(&mut self) -> &mut Map<String, Value> {
        self.0["devices"].as_object_mut().unwrap()
    }

    fn bridge_of(&self, port: &str) -> Option<String> {
        let bridges = self.0["bridges"].as_object().unwrap();
        bridges.iter().find(|(_, bridge)| bridge["ports"].get(port).is_some()).map(|(name, _)| name.clone())
    }

    fn port(&mut self, name: &str) -> Option<&mut Value> {
        let bridge = self.bridge_of(name)?;
        Some(&mut self.0["bridges"][bridge]["ports"][name])
    }

    /// Bridges, ports and interfaces share their names.
    fn is_free(&self, name: &str) -> bool {
        let bridges = self.0["bridges"].as_object().unwrap();
        let ports = bridges.values().flat_map(|bridge| bridge["ports"].as_object().unwrap());
        bridges.get(name).is_none()
            && ports.into_iter().all(|(port, row)| port != name && row["interfaces"].get(name).is_none())
    }

    fn add_bridge(&mut self, name: &str) {
        let port = json!({"interfaces": {name: {"type": "internal"}}});
        self.bridges().insert(name.into(), json!({"datapath_type": "netdev", "ports": {name: port}}));
        // Everybody has a device of this name, so nobody can make one.
        if name != "lo" {
            self.devices().insert(name.into(), json!("bridge"));
        }
    }

    fn add_port(&mut self, bridge: &str, name: &str, tag: Option<u64>, interfaces: &[&str]) {
        let interfaces: Map<_, _> = interfaces.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        let mut port = json!({"interfaces": interfaces});
        set(&mut port, "tag", tag.map(Value::from));
        self.0["bridges"][bridge]["ports"][name] = port;
    }

    fn remove_port(&mut self, name: &str) -> Option<()> {
        let bridge = self.bridge_of(name).filter(|bridge| bridge != name)?;
        self.0["bridges"][bridge]["ports"].as_object_mut().unwrap().remove(name);
        Some(())
    }

    /// The patch ports that pointed into it go too, and so do the kernel's VXLAN devices that ran over its device.
    fn remove_bridge(&mut self, name: &str) -> Option<()> {
        let removed = self.bridges().remove(name)?;
        let gone = removed["ports"].as_object().unwrap();
        for bridge in self.bridges().values_mut() {
            let points_there = |port: &Value| {
                let interfaces = port["interfaces"].as_object().unwrap();
                interfaces.values().any(|row| {
                    row["type"] == "patch" && gone.contains_key(row["options"]["peer"].as_str().unwrap_or_default())
                })
            };
            bridge["ports"].as_object_mut().unwrap().retain(|_, port| !points_there(port));
        }
        self.devices().retain(|device, shown| device != name && shown["over"] != name);
        Some(())
    }

    /// The bridge of a network: the one that has its port, or the one asked for, which is made if it is not there.
    fn derived(&mut self, port: &str, asked: Option<&str>, own: &str) -> String {
        if let Some(bridge) = self.bridge_of(port) {
            return bridge;
        }
        let name = asked.unwrap_or(own);
        if self.bridge(name).is_none() {
            self.add_bridge(name);
        }
        name.to_owned()
    }

    fn remove_derived(&mut self, bridge: &str, own: &str, force: bool) -> Option<()> {
        let mut ports = self.bridge(bridge)?["ports"].as_object().unwrap().keys();
        let others = ports.any(|port| port != bridge && port != own);
        (force || !others).then_some(())?;
        self.remove_bridge(bridge)
    }

    fn ensure_vtep(&mut self, lower: &str, vni: u64) -> Option<()> {
        self.devices().get(lower)?;
        let wanted = json!({"vni": vni, "over": lower});
        let device = self.devices().entry(format!("vtep{vni}")).or_insert_with(|| wanted.clone());
        (*device == wanted).then_some(())
    }
}

fn set(row: &mut Value, column: &str, value: Option<Value>) {
    let row = row.as_object_mut().unwrap();
    match value {
        Some(value) => drop(row.insert(column.into(), value)),
        None => drop(row.remove(column)),
    }
}

fn put_all(row: &mut Value, column: &str, pairs: &Value) {
    for (key, value) in pairs.as_object().into_iter().flatten() {
        row[column][key] = value.clone();
    }
}
