//! `up` and `addresses`: the network devices of bridges and internal ports, configured by the command that makes them.

use serde_json::{Value, json};

use super::support::{Namespace, Switch};

/// The addresses of a device that somebody has given it, and whether it is up.
fn device(net: &Namespace, name: &str) -> (bool, Vec<String>) {
    let told: Value = serde_json::from_str(&net.run(&["ip", "-j", "address", "show", "dev", name])).unwrap();
    let told = &told[0];
    let up = told["flags"].as_array().unwrap().contains(&json!("UP"));
    let addresses = told["addr_info"].as_array().unwrap().iter();
    let text = |address: &Value| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"]);
    let mut addresses: Vec<String> = addresses.map(text).filter(|address| !address.starts_with("fe80:")).collect();
    addresses.sort();
    (up, addresses)
}

fn configured(addresses: &[&str]) -> (bool, Vec<String>) {
    (true, addresses.iter().map(|address| (*address).to_owned()).collect())
}

/// The kernel answers ARP requests only on the device that has the address: on the userspace datapath, devices that are
/// ports of a bridge hear what the bridge hears.
pub fn answer_for_own_addresses_only(net: &Namespace) {
    net.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore"]);
}

fn next_cfg(switch: &Switch) -> Value {
    switch.database.rows("Open_vSwitch")[0]["next_cfg"].clone()
}

fn links(report: &Value) -> Vec<Value> {
    report["changes"].as_array().unwrap().iter().filter(|change| change.get("link").is_some()).cloned().collect()
}

#[test]
fn a_bridge_is_up_and_answers_on_its_addresses_when_the_command_does() {
    let switch = Switch::new();
    let peer = Namespace::new();
    answer_for_own_addresses_only(&switch.net);
    switch.net.veth_to(&peer, "e1", "far");
    peer.addr("far", "10.9.0.2/24");
    peer.run(&["ip", "address", "add", "fd00:9::2/64", "dev", "far", "nodad"]);
    let both = json!(["10.9.0.1/24", "fd00:9::1/64"]);
    switch.ok("bridge-add", json!({"bridge": "br0", "up": true, "addresses": both}));
    assert_eq!(device(&switch.net, "br0"), configured(&["10.9.0.1/24", "fd00:9::1/64"]));
    // Not tentative, and without a broadcast address.
    let told = switch.net.run(&["ip", "address", "show", "dev", "br0"]);
    let line = |address: &str| told.lines().find(|line| line.contains(address)).unwrap();
    assert!(!line("fd00:9::1").contains("tentative") && !line("10.9.0.1").contains(" brd "), "{told}");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    assert!(peer.reaches("10.9.0.1") && peer.reaches("fd00:9::1"));
}

#[test]
fn every_command_that_makes_a_bridge_or_an_internal_port_configures_its_device() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    assert_eq!(device(&switch.net, "br0"), (false, vec![]), "the default is as ever");
    let with = |mut arguments: Value, address: &str| {
        arguments["up"] = json!(true);
        arguments["addresses"] = json!([address]);
        arguments
    };
    switch.ok("port-set", with(json!({"port": "br0"}), "10.0.0.1/24"));
    switch.ok("vlan-ensure", with(json!({"master": "br0", "vlan": 5}), "10.0.5.1/24"));
    switch.ok("vxlan-ensure", with(json!({"master": "br0", "vxlan": 7, "name": "net"}), "10.0.7.1/24"));
    let internal = json!({"bridge": "br0", "port": "mgmt", "vlan": 9, "options": {"type": "internal"}});
    switch.ok("port-add", with(internal, "10.0.9.1/24"));
    for (name, address) in
        [("br0", "10.0.0.1/24"), ("vlbr5", "10.0.5.1/24"), ("net", "10.0.7.1/24"), ("mgmt", "10.0.9.1/24")]
    {
        assert_eq!(device(&switch.net, name), configured(&[address]), "{name}");
    }
    switch.ok("port-set", json!({"port": "mgmt", "addresses": ["10.0.10.1/24"]}));
    assert_eq!(device(&switch.net, "mgmt"), configured(&["10.0.10.1/24", "10.0.9.1/24"]), "others stay");
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 6, "addresses": ["10.0.6.1/24"]}));
    assert_eq!(device(&switch.net, "vlbr6"), (false, vec!["10.0.6.1/24".into()]), "up was not asked for");
    // VLAN bridges of ovs-vsctl have devices, too.
    switch.vsctl(&["add-br", "fake8", "br0", "8"]);
    switch.ok("port-set", with(json!({"port": "fake8"}), "10.0.8.1/24"));
    assert_eq!(device(&switch.net, "fake8"), configured(&["10.0.8.1/24"]));
}

#[test]
fn what_is_there_is_left_alone_and_what_is_missing_is_completed() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let ask = json!({"master": "br0", "vlan": 5, "up": true, "addresses": ["10.0.5.1/24", "fd00:5::1/64"]});
    let ensure = |flag: &str| {
        let mut ask = ask.clone();
        ask[flag] = json!(true);
        switch.ok("vlan-ensure", ask)
    };
    switch.ok("vlan-ensure", ask.clone());
    switch.net.addr("vlbr5", "192.0.2.5/24");
    let whole = configured(&["10.0.5.1/24", "192.0.2.5/24", "fd00:5::1/64"]);
    assert_eq!(device(&switch.net, "vlbr5"), whole);
    let before = next_cfg(&switch);
    for flag in ["dry_run", "report"] {
        let report = switch.unchanged_by(|| ensure(flag));
        assert_eq!((&report["changed"], &report["changes"]), (&json!(false), &json!([])), "{flag}");
    }
    assert_eq!(next_cfg(&switch), before, "nothing is written, not even a number");
    for (damage, expected) in [
        (&["ip", "link", "set", "vlbr5", "down"][..], &["add address", "set up"][..]),
        (&["ip", "address", "del", "10.0.5.1/24", "dev", "vlbr5"], &["add address"]),
        (&["ip", "address", "flush", "dev", "vlbr5"], &["add address", "add address"]),
    ] {
        switch.net.run(damage);
        let dry = ensure("dry_run");
        let done = ensure("report");
        let actions = |report: &Value| links(report).iter().map(|link| link["action"].clone()).collect::<Vec<_>>();
        assert_eq!(actions(&done), expected, "{damage:?}");
        assert_eq!(links(&dry), links(&done), "{damage:?}");
        let (up, addresses) = device(&switch.net, "vlbr5");
        assert!(
            up && ["10.0.5.1/24", "fd00:5::1/64"].iter().all(|a| addresses.contains(&(*a).to_owned())),
            "{addresses:?}"
        );
    }
}

#[test]
fn a_device_that_the_command_makes_anew_is_configured_again() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let ask = json!({"master": "br0", "vlan": 5, "up": true, "addresses": ["10.0.5.1/24"]});
    switch.ok("vlan-ensure", ask.clone());
    // The repair of the datapath has ovs-vswitchd make another device, which has nothing.
    for damage in [&["set", "Bridge", "vlbr5", "datapath_type=system"][..], &["del-br", "vlbr5"]] {
        switch.vsctl(&[&["--no-wait"][..], damage].concat());
        switch.ok("vlan-ensure", ask.clone());
        assert_eq!(device(&switch.net, "vlbr5"), configured(&["10.0.5.1/24"]), "{damage:?}");
    }
}

#[test]
fn a_command_that_was_cut_short_completes_the_device_when_it_is_repeated() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let ask = json!({"master": "br0", "vlan": 5, "up": true, "addresses": ["10.0.5.1/24"]});
    switch.pause_vswitchd();
    let late = switch.prepare("vlan-ensure", ask.clone()).env("OVS_PLUGIN_TIMEOUT", "1").run().failed();
    assert!(late.contains("the database holds the change"), "{late}");
    switch.resume_vswitchd();
    assert_eq!(device(&switch.net, "vlbr5"), (false, vec![]));
    switch.ok("vlan-ensure", ask);
    assert_eq!(device(&switch.net, "vlbr5"), configured(&["10.0.5.1/24"]));
}

#[test]
fn a_report_and_a_dry_run_tell_what_is_done_to_the_device() {
    let switch = Switch::new();
    let ask = json!({"bridge": "br0", "up": true, "addresses": ["10.0.0.1/24"]});
    let with = |flag: &str| {
        let mut ask = ask.clone();
        ask[flag] = json!(true);
        ask
    };
    let expected = [
        json!({"link": "br0", "action": "add address", "attributes": {"address": "10.0.0.1/24"}}),
        json!({"link": "br0", "action": "set up"}),
    ];
    let dry = switch.unchanged_by(|| switch.ok("bridge-add", with("dry_run")));
    assert_eq!(links(&dry), expected);
    let report = switch.ok("bridge-add", with("report"));
    assert_eq!(links(&report), expected);
    assert_eq!(report["interfaces"][0]["admin_state"], "up", "what was just done is not told as it was before");
}

#[test]
fn a_device_that_cannot_be_configured_takes_the_whole_command_back() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0", "up": true, "addresses": ["fd00::1/64", "10.0.0.1/24"]}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    // One that is there with another prefix, in a device that was down, after one that could be added.
    switch.net.run(&["ip", "address", "add", "fd00:1::1/128", "dev", "br1", "nodad"]);
    let ask = json!({"port": "br1", "up": true, "addresses": ["10.0.1.1/24", "fd00:1::1/64"]});
    let before = device(&switch.net, "br1");
    let message = switch.refused("port-set", ask.clone());
    let expected = "adding the address fd00:1::1/64 to the network device br1: it has that address already, with a \
                    prefix of another length";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(device(&switch.net, "br1"), before, "it is down, without the address that could be added");
    // The row as well, if one was written.
    let mut both = ask;
    both["external_ids"] = json!({"a": "b"});
    let message = switch.refused("port-set", both);
    assert!(message.starts_with(expected) && message.ends_with("nothing is left of it"), "{message}");
    assert_eq!(device(&switch.net, "br1"), before);

    // New devices without IPv6, as of now: what is made goes with its rows.
    switch.net.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"]);
    for (command, ask) in [
        ("bridge-add", json!({"bridge": "br2"})),
        ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
        ("vxlan-ensure", json!({"master": "br0", "vxlan": 7})),
        ("port-add", json!({"bridge": "br0", "port": "mgmt", "options": {"type": "internal"}})),
    ] {
        let mut ask = ask;
        ask["up"] = json!(true);
        ask["addresses"] = json!(["10.0.2.1/24", "fd00:2::1/64"]);
        let message = switch.refused(command, ask);
        assert!(message.contains("IPv6 is switched off there (sysctl net.ipv6.conf."), "{command}: {message}");
        assert!(message.ends_with("the change was taken back, nothing is left of it"), "{command}: {message}");
    }
    assert_eq!(device(&switch.net, "br0"), configured(&["10.0.0.1/24", "fd00::1/64"]));
}

#[test]
fn a_device_of_somebody_else_is_not_configured() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    // ovs-vswitchd can't make it, as there is one of that name, and nobody looks.
    switch.net.run(&["ip", "link", "add", "taken", "type", "veth", "peer", "name", "other"]);
    let ask = json!({"bridge": "taken", "verify": false, "up": true, "addresses": ["10.0.0.1/24"]});
    let message = switch.refused("bridge-add", ask);
    assert!(message.contains("interface taken does not work"), "{message}");
    assert_eq!(device(&switch.net, "taken"), (false, vec![]));

    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.net.veth("e2", "e3");
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
    for (port, what) in [
        ("e1", "port e1 is a device that the bridge does not make"),
        ("vlbr5p", "port vlbr5p is of type patch"),
        ("bond0", "port bond0 is a bond"),
    ] {
        for (argument, value) in [("up", json!(true)), ("addresses", json!(["10.0.0.1/24"]))] {
            let message = switch.refused("port-set", json!({"port": port, argument: value}));
            let expected = "expected the local port of a bridge, or a port of type internal";
            assert_eq!(message, format!("argument \"{argument}\": {what}; {expected}"));
        }
    }
    assert!(switch.refused("port-add", json!({"bridge": "br0", "port": "e1-p", "up": true})).contains("does not make"));
}

#[test]
fn an_address_that_is_none_is_refused_with_what_was_expected() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for (addresses, words) in [
        (
            json!(["10.0.0.1/33"]),
            "argument \"addresses\": \"10.0.0.1/33\" is not an address with a prefix of 1 to 32 bits",
        ),
        (
            json!(["10.0.0.1"]),
            "argument \"addresses\": \"10.0.0.1\" lacks the length of the prefix; expected an address",
        ),
        (json!(["fd00::1/64", "x"]), "argument \"addresses\": \"x\" is not an IP address"),
        (json!("10.0.0.1/24"), "argument \"addresses\": \"10.0.0.1/24\" is not a list of addresses"),
        (json!([1]), "argument \"addresses\": 1 is not an address"),
    ] {
        for (command, mut ask) in [
            ("bridge-add", json!({"bridge": "br1"})),
            ("vlan-ensure", json!({"master": "br0", "vlan": 5})),
            ("vxlan-ensure", json!({"master": "br0", "vxlan": 5})),
            ("port-set", json!({"port": "br0"})),
            ("port-add", json!({"bridge": "br0", "port": "p"})),
        ] {
            ask["addresses"] = addresses.clone();
            let message = switch.refused(command, ask);
            assert!(message.starts_with(words), "{command}: {message}");
        }
    }
    assert!(switch.refused("port-set", json!({"port": "br0", "up": "yes"})).starts_with("argument \"up\": "));
    assert!(switch.refused("port-set", json!({"port": "br0", "up": false})).contains("nothing to set"));
}

#[test]
fn flags_configure_devices_too() {
    let switch = Switch::new();
    let words = ["bridge-add", "--bridge", "br0", "--up", "--addresses", "10.0.0.1/24,fd00::1/64", "--report"];
    let answer = switch.call().args(&words).run();
    assert_eq!(answer.exit, Some(0), "{answer:?}");
    assert_eq!(device(&switch.net, "br0"), configured(&["10.0.0.1/24", "fd00::1/64"]));
    for line in ["~ device br0  set up", "~ device br0  add address  address=fd00::1/64"] {
        assert!(answer.stdout.lines().any(|drawn| drawn == line), "{line} in\n{}", answer.stdout);
    }
    assert!(answer.stdout.lines().any(|line| line.starts_with("interface br0  internal  #65534  up")), "{answer:?}");
}

#[test]
fn an_overlay_whose_underlay_carries_nothing_is_noted() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let notes = |command: &str, mut ask: Value| {
        ask["report"] = json!(true);
        let answer = switch.plugin(command, ask);
        let stderr = answer.stderr.clone();
        let report = answer.ok();
        let notes = report["notes"].as_array().unwrap().clone();
        assert!(notes.iter().all(|note| stderr.contains(note.as_str().unwrap())), "{notes:?} in {stderr}");
        notes
    };
    let ask = json!({"master": "br0", "vxlan": 7});
    let said = |problem: &str| [json!(format!("VXLAN 7 reaches no other node: br0, over which it runs, {problem}"))];
    assert_eq!(notes("vxlan-ensure", ask.clone()), said("is down and has no IPv4 address"));
    switch.ok("port-set", json!({"port": "br0", "up": true, "addresses": ["fd00::1/64"]}));
    assert_eq!(notes("vxlan-ensure", ask.clone()), said("has no IPv4 address"), "it travels over IPv4");
    switch.ok("port-set", json!({"port": "br0", "addresses": ["10.0.0.1/24"]}));
    assert_eq!(notes("vxlan-ensure", ask.clone()), Vec::<Value>::new());
    assert_eq!(notes("vtep-ensure", json!({"bridge": "br0", "vnid": 8})), Vec::<Value>::new());
    switch.net.run(&["ip", "link", "set", "br0", "down"]);
    assert_eq!(notes("vxlan-ensure", ask), said("is down"));
    assert_eq!(notes("vtep-ensure", json!({"bridge": "br0", "vnid": 7})), said("is down"));
}
