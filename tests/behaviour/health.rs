//! One answer to "does it work": what show marks, the doctor finds, and whether traffic passes.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Namespace, Switch, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

fn findings(switch: &Switch) -> Vec<Value> {
    switch.ok("doctor", json!({}))["findings"].as_array().unwrap().clone()
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

fn coded<'f>(findings: &'f [Value], code: &str) -> Option<&'f Value> {
    findings.iter().find(|finding| finding["code"] == code)
}

/// Waits until the doctor finds these codes and nothing else.
#[track_caller]
fn eventually(switch: &Switch, expected: &[&str]) -> Vec<Value> {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    let mut last = Vec::new();
    let found = wait_until(LIMIT, || {
        last = findings(switch);
        codes(&last).into_iter().collect::<BTreeSet<_>>() == expected
    });
    assert!(found, "expected {expected:?}, found {last:#?}");
    last
}

/// Executes the command that an advice ends with, as a person would.
#[track_caller]
fn follow(switch: &Switch, finding: &Value) {
    let advice = finding["advice"].as_str().unwrap();
    let (_, command) = advice.split_once(": ovs-plugin ").unwrap_or_else(|| panic!("no command in {advice}"));
    let (name, arguments) = command.split_once(' ').unwrap();
    switch.ok(name, serde_json::from_str::<Value>(arguments.trim_matches('\'')).unwrap());
}

fn message(finding: &Value) -> &str {
    finding["message"].as_str().unwrap()
}

fn tree(switch: &Switch) -> String {
    switch.call().args(&["show", "--format", "tree"]).run().stdout
}

fn interface(switch: &Switch, name: &str, column: &str) -> Value {
    let rows = switch.database.rows("Interface");
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no interface {name}"))[column].clone()
}

/// Codes of findings for which more than the database has to be looked at.
const BEYOND_THE_DATABASE: &[&str] = &["device-gone", "device-replaced", "nic-addresses", "overlay-mtu"];

type About = (String, String, String, String);

/// All problems of a picture: code, bridge, port and interface.
fn problems(picture: &Value) -> BTreeSet<About> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    let mut add = |of: &Value, about: [String; 3]| {
        for problem in list(&of["problems"]) {
            let [bridge, port, interface] = about.clone();
            found.insert((problem["code"].as_str().unwrap().to_owned(), bridge, port, interface));
        }
    };
    add(picture, Default::default());
    for bridge in list(&picture["bridges"]) {
        add(&bridge, [name(&bridge), String::new(), String::new()]);
        for port in list(&bridge["ports"]) {
            add(&port, [name(&bridge), name(&port), String::new()]);
            for interface in list(&port["interfaces"]) {
                add(&interface, [name(&bridge), name(&port), name(&interface)]);
            }
        }
    }
    found
}

/// What the doctor finds in the database alone, in the same form.
fn found(findings: &[Value]) -> BTreeSet<About> {
    let text = |finding: &Value, member: &str| finding[member].as_str().unwrap_or_default().to_owned();
    let of_database =
        findings.iter().filter(|finding| !BEYOND_THE_DATABASE.contains(&finding["code"].as_str().unwrap()));
    of_database.map(|f| (text(f, "code"), text(f, "bridge"), text(f, "port"), text(f, "interface"))).collect()
}

/// Asserts that show and the doctor say the same of a switch.
#[track_caller]
fn agree(switch: &Switch, expected: &[&str]) {
    let findings = eventually(switch, expected);
    let picture = switch.ok("show", json!({}));
    let mut marked = problems(&picture);
    // The doctor tells of a bridge without a datapath once; in the picture each of its ports shows that it is dead.
    marked.retain(|(code, _, _, interface)| code != "datapath-unknown" || interface.is_empty());
    assert_eq!(marked, found(&findings), "{}", tree(switch));

    // Each error has a red cross, each warning a yellow mark, and nothing else has.
    let drawn = tree(switch);
    let of = |severity: &str| {
        let text = picture.to_string();
        text.matches(&format!("\"severity\":\"{severity}\"")).count()
    };
    assert_eq!((drawn.matches('✗').count(), drawn.matches("! ").count()), (of("error"), of("warning")), "{drawn}");
    let remote = switch.call().args(&["show", "--color=always", "--format", "tree"]).run().stdout;
    for line in remote.lines().filter(|line| line.contains('✗')) {
        assert!(line.contains("\u{1b}[31m✗") || line.contains("31m✗"), "not red: {line:?}");
    }
}

#[test]
fn show_marks_exactly_what_the_doctor_finds() {
    let switch = Switch::builder().veth("e1", "e1-p").veth("e2", "f2").veth("e3", "f3").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    agree(&switch, &[]);

    switch.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "p0", "options": {"type": "patch", "options:peer": "p1"}}));
    switch.net.run(&["ip", "link", "set", "e1", "down"]);
    agree(&switch, &["interface-broken", "patch-no-peer", "interface-down"]);

    switch.ok("port-del", json!({"port": "nodev"}));
    switch.ok("port-add", json!({"bridge": "br1", "port": "p1", "options": {"type": "patch", "options:peer": "p2"}}));
    switch.net.run(&["ip", "link", "set", "e1-p", "down"]);
    switch.net.up("e1");
    agree(&switch, &["patch-no-peer", "patch-peer-elsewhere", "interface-no-link"]);

    switch.ok("port-del", json!({"port": "p0"}));
    switch.ok("port-del", json!({"port": "p1"}));
    switch.net.up("e1-p");
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"], "lacp": true}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
    switch.vsctl(&["del-port", "vlbr5in"]);
    switch.vsctl(&["set-controller", "br1", "tcp:127.0.0.1:9"]);
    switch.vsctl(&["set-manager", "tcp:127.0.0.1:9"]);
    agree(&switch, &["bond-no-lacp-partner", "vlan-incomplete", "controller-away", "manager-away"]);
    switch.net.run(&["ip", "link", "set", "f2", "down"]);
    switch.net.run(&["ip", "link", "set", "f3", "down"]);
    agree(&switch, &["bond-no-member", "vlan-incomplete", "controller-away", "manager-away"]);
}

#[test]
fn ports_of_a_bridge_whose_datapath_is_unknown_are_not_shown_as_working() {
    let switch = Switch::builder().veth("e1", "e1-p").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let line = |tree: &str| tree.lines().find(|line| line.contains(" e1 ")).unwrap().to_owned();
    let well = line(&tree(&switch));
    assert!(well.contains(" #") && well.contains("up") && !well.contains('✗'), "{well}");
    // The port numbers stay in the database, though every port is dead.
    switch.vsctl(&["set", "bridge", "br0", "datapath_type=nonsense"]);
    agree(&switch, &["datapath-unknown"]);
    let dead = line(&tree(&switch));
    assert!(dead.contains('✗') && !dead.contains(" #"), "{dead}");
    for port in switch.ok("show", json!({}))["bridges"][0]["ports"].as_array().unwrap() {
        assert_eq!(port["interfaces"][0]["problems"][0]["severity"], "error", "{port}");
    }
}

#[test]
fn rings_are_found_by_the_vlans_that_their_ports_carry() {
    // A ring that forwards would keep the machine busy.
    let switch = Switch::builder().without_vswitchd().start();
    for bridge in ["a", "b", "master"] {
        switch.vsctl(&["--no-wait", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]);
    }
    let patch = |one: (&str, &str, &str), other: (&str, &str, &str)| {
        for ((bridge, port, setting), peer) in [(one, other.1), (other, one.1)] {
            let (options, add) = (format!("options:peer={peer}"), ["--no-wait", "add-port", bridge, port]);
            let interface = ["--", "set", "interface", port, "type=patch", &options];
            let setting = if setting.is_empty() { vec![] } else { vec!["--", "set", "port", port, setting] };
            switch.vsctl(&[&add[..], &interface, &setting].concat());
        }
    };
    let ring = || coded(&findings(&switch), "loop-risk").map(|finding| message(finding).to_owned());
    let set = |port: &str, setting: &str| switch.vsctl(&["--no-wait", "set", "port", port, setting]);
    patch(("a", "trunk0", ""), ("b", "trunk1", ""));
    patch(("a", "acc0", "tag=10"), ("b", "acc1", "tag=10"));
    let found = ring().expect("a trunk carries VLAN 10, too");
    assert!(found.contains("VLAN 10 of bridge a") && found.contains("trunk0 to trunk1"), "{found}");
    for (setting, expected) in [("trunks=11,12", false), ("trunks=9,10", true), ("tag=11", false)] {
        set("trunk0", setting);
        set("trunk1", setting);
        assert_eq!(ring().is_some(), expected, "{setting}");
        switch.vsctl(&["--no-wait", "clear", "port", "trunk0", "trunks", "tag"]);
        switch.vsctl(&["--no-wait", "clear", "port", "trunk1", "trunks", "tag"]);
    }
    switch.vsctl(&["--no-wait", "del-port", "trunk0", "--", "del-port", "trunk1"]);

    // What vlan-ensure makes: the tag is outside, and none inside.
    for vlan in ["20", "21"] {
        let (outer, inner, tag) = (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"), format!("tag={vlan}"));
        let own = format!("vlbr{vlan}");
        switch.vsctl(&["--no-wait", "add-br", &own, "--", "set", "bridge", &own, "datapath_type=netdev"]);
        patch(("master", &outer, &tag), (&own, &inner, ""));
    }
    assert_eq!(ring(), None);
    // One VLAN that leads to one bridge by two ways.
    patch(("master", "second", "tag=20"), ("vlbr20", "way", ""));
    assert!(ring().is_some_and(|found| found.contains("VLAN 20 of bridge master")));
}

/// A namespace with `eth0`, of which the switch's namespace has the other end under this name.
fn container(switch: &Switch, device: &str, address: &str) -> Namespace {
    let container = Namespace::new();
    switch.net.veth_to(&container, device, "eth0");
    container.addr("eth0", address);
    container
}

#[test]
fn a_device_that_was_made_anew_is_found_and_carries_frames_again_after_the_advice() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let other = container(&switch, "e2", "10.0.0.2/24");
    let first = container(&switch, "e1", "10.0.0.1/24");
    for port in ["e1", "e2"] {
        switch.ok("port-add", json!({"bridge": "br0", "port": port}));
    }
    assert!(first.reaches("10.0.0.2"));
    let number = interface(&switch, "e1", "ofport");

    switch.net.run(&["ip", "link", "del", "e1"]);
    let gone = eventually(&switch, &["device-gone"]);
    assert_eq!((&gone[0]["port"], &gone[0]["severity"]), (&json!("e1"), &json!("error")), "{gone:?}");
    let advice = gone[0]["advice"].as_str().unwrap();
    assert!(!advice.contains("ip link set") && advice.contains("reopen"), "{advice}");

    let second = container(&switch, "e1", "10.0.0.3/24");
    let replaced = eventually(&switch, &["device-replaced"]);
    assert_eq!((&replaced[0]["port"], &replaced[0]["severity"]), (&json!("e1"), &json!("error")), "{replaced:?}");
    assert!(second.never_reaches("10.0.0.2"), "ovs-vswitchd has found out by itself");
    let dry = json!({"port": "e1", "reopen": true, "dry_run": true});
    switch.unchanged_by(|| switch.ok("port-set", dry));
    follow(&switch, &replaced[0]);
    eventually(&switch, &[]);
    assert!(second.reaches("10.0.0.2") && other.reaches("10.0.0.3"));
    // Flows may name the port by its number.
    assert_eq!(interface(&switch, "e1", "ofport"), number);
    assert_eq!(interface(&switch, "e1", "ofport_request"), json!(["set", []]));
}

#[test]
fn a_port_that_asks_for_its_number_has_it_after_it_was_opened_again() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let _other = container(&switch, "e2", "10.0.0.2/24");
    let first = container(&switch, "e1", "10.0.0.1/24");
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1", "options": {"ofport_request": 33}}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    drop(first);
    eventually(&switch, &["device-gone"]);
    let second = container(&switch, "e1", "10.0.0.1/24");
    let report = switch.ok("port-set", json!({"port": "e1", "reopen": true, "report": true}));
    assert_eq!(report["interfaces"][0]["ofport"], 33, "{report}");
    assert!(second.reaches("10.0.0.2"));
    assert_eq!(interface(&switch, "e1", "ofport_request"), 33);
}

#[test]
fn what_was_made_anew_is_found_whatever_it_is() {
    let switch = Switch::builder().veth("e1", "f1").veth("e2", "f2").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let make_tap = || {
        switch.net.run(&["ip", "tuntap", "add", "tap9", "mode", "tap"]);
        switch.net.up("tap9");
    };
    make_tap();
    switch.ok("port-add", json!({"bridge": "br0", "port": "tap9"}));
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"], "mode": "active-backup"}));
    // Nobody has the other end of the tap device.
    eventually(&switch, &["interface-no-link"]);
    switch.net.run(&["ip", "link", "del", "tap9"]);
    make_tap();
    let found = eventually(&switch, &["device-replaced"]);
    assert_eq!(found[0]["port"], "tap9");
    follow(&switch, &found[0]);
    eventually(&switch, &["interface-no-link"]);

    // A bond's members are told of as such, and all of them are opened again.
    switch.net.run(&["ip", "link", "del", "e1"]);
    let found = eventually(&switch, &["bond-member-down", "interface-no-link"]);
    assert!(
        message(coded(&found, "bond-member-down").unwrap())
            .contains("e1 of bond bond0 does not work: its device is gone")
    );
    switch.net.veth("e1", "f1");
    wait_until(LIMIT, || findings(&switch).iter().any(|finding| message(finding).contains("made anew")));
    switch.ok("port-set", json!({"port": "bond0", "reopen": true}));
    eventually(&switch, &["interface-no-link"]);
}

#[test]
fn only_devices_of_the_system_are_opened_again() {
    let switch = Switch::builder().veth("e1", "f1").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "i0", "options": {"type": "internal"}}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let refused = switch.refused("port-set", json!({"port": "i0", "reopen": true}));
    assert!(refused.contains("reopen") && refused.contains("of type internal"), "{refused}");
    switch.net.run(&["ip", "link", "del", "e1"]);
    eventually(&switch, &["device-gone"]);
    let failed = switch.plugin("port-set", json!({"port": "e1", "reopen": true})).failed();
    assert!(failed.contains("No such device"), "{failed}");
    assert_eq!(interface(&switch, "e1", "ofport_request"), json!(["set", []]));
}

#[test]
fn a_vxlan_whose_device_was_deleted_carries_frames_again_once_ensured() {
    let hosts = [Switch::new(), Switch::new()];
    for (host, address) in hosts.iter().zip(["192.168.0.1/24", "192.168.0.2/24"]) {
        host.ok("bridge-add", json!({"bridge": "br0"}));
        host.net.up("br0");
        host.net.addr("br0", address);
    }
    hosts[0].net.veth_to(&hosts[1].net, "eth0", "eth0");
    let mut containers = Vec::new();
    for (host, address) in hosts.iter().zip(["10.0.0.1/24", "10.0.0.2/24"]) {
        host.ok("port-add", json!({"bridge": "br0", "port": "eth0"}));
        host.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
        containers.push(container(host, "c0", address));
        host.ok("port-add", json!({"bridge": "vxlbr7", "port": "c0"}));
    }
    assert!(containers[0].reaches("10.0.0.2"));
    hosts[0].net.run(&["ip", "link", "del", "vtep7"]);
    let found = wait_until(LIMIT, || codes(&findings(&hosts[0])).contains(&"vtep-missing"));
    assert!(found, "{:#?}", findings(&hosts[0]));
    hosts[0].ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    assert!(!codes(&findings(&hosts[0])).contains(&"device-replaced"));
    assert!(containers[0].reaches("10.0.0.2"));
}

#[test]
fn a_vxlan_device_that_was_made_again_is_up_once_ensured() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.net.up("br0");
    for _ in 0..20 {
        switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
        let link = switch.net.run(&["ip", "-oneline", "link", "show", "vtep7"]);
        assert!(link.contains(",UP"), "{link}");
        switch.net.run(&["ip", "link", "del", "vtep7"]);
    }
}

#[test]
fn a_member_without_an_lacp_partner_is_found_beside_one_that_has_one() {
    let switch = Switch::builder().veth("e1", "f1").veth("e2", "f2").start();
    for bridge in ["br0", "br1", "br2"] {
        switch.ok("bridge-add", json!({"bridge": bridge}));
    }
    switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e1", "e2"], "lacp": true}));
    switch.vsctl(&["add-port", "br1", "f1", "lacp=active"]);
    // This cable leads to a switch that knows nothing of the bond.
    switch.ok("port-add", json!({"bridge": "br2", "port": "f2"}));
    let found = eventually(&switch, &["bond-member-no-lacp-partner"]);
    assert_eq!((&found[0]["port"], &found[0]["interface"]), (&json!("bond0"), &json!("e2")), "{found:?}");
    assert_eq!(found[0]["severity"], "warning");
}

#[test]
fn a_bond_without_a_partner_is_an_error_only_if_it_carries_nothing() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let other = Switch::new();
    other.ok("bridge-add", json!({"bridge": "br0"}));
    for device in ["eth0", "eth1"] {
        switch.net.veth_to(&other.net, device, device);
    }
    let one = container(&switch, "c0", "10.0.0.1/24");
    let _two = container(&other, "c0", "10.0.0.2/24");
    for switch in [&switch, &other] {
        switch.ok("port-add", json!({"bridge": "br0", "port": "c0"}));
    }
    other.ok("port-add", json!({"bridge": "br0", "port": "eth0"}));
    let bond = |fallback: bool| {
        json!({"bridge": "br0", "port": "bond0", "links": ["eth0", "eth1"], "lacp": true,
        "lacp_fallback": fallback, "primary": "eth0", "mode": "active-backup"})
    };
    switch.ok("bond-add", bond(false));
    let found = eventually(&switch, &["bond-no-lacp-partner"]);
    assert_eq!(found[0]["severity"], "error");
    assert!(one.never_reaches("10.0.0.2"));

    switch.ok("bond-del", json!({"port": "bond0"}));
    switch.ok("bond-add", bond(true));
    let found = eventually(&switch, &["bond-lacp-fallback"]);
    assert_eq!(found[0]["severity"], "warning");
    assert!(!tree(&switch).contains('✗'), "{}", tree(&switch));
    let found = wait_until(LIMIT, || message(&findings(&switch)[0]).contains("eth0 carries its traffic"));
    assert!(found, "{:?}", findings(&switch));
    assert!(one.reaches("10.0.0.2"));

    // A port of one interface is no bond, and forwards whoever is at the other end.
    switch.ok("bond-del", json!({"port": "bond0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "eth0", "options": {"port.lacp": "active"}}));
    let found = eventually(&switch, &["lacp-no-partner"]);
    assert_eq!(found[0]["severity"], "note");
    assert!(one.reaches("10.0.0.2"));
}

#[test]
fn who_listens_for_controllers_and_managers_is_not_marked() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let socket = format!("punix:{}", switch.directory().join("c.sock").display());
    switch.vsctl(&["set-controller", "br0", "ptcp:0:127.0.0.1", &socket]);
    switch.vsctl(&["set-manager", "ptcp:0:127.0.0.1"]);
    agree(&switch, &[]);
    let graph = switch.call().args(&["show", "--format", "dot"]).run().stdout;
    assert!(!graph.contains("color=red"), "{graph}");
    switch.vsctl(&["set-controller", "br0", "ptcp:0:127.0.0.1", "tcp:127.0.0.1:9"]);
    agree(&switch, &["controller-away"]);
}

/// An ovs-vswitchd that a test has started by other means; it ends with the test.
struct Daemon(Child);

impl Daemon {
    fn start(switch: &Switch, options: &[String]) -> Daemon {
        let mut command = switch.tool("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "ovs-vswitchd"]).arg(switch.remote()).args(options);
        command.args(["-vconsole:off"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Daemon(command.spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_ovs_vswitchd_whose_control_socket_is_elsewhere_is_not_dead() {
    for with_pid_file in [true, false] {
        let switch = Switch::builder().without_vswitchd().veth("e2", "f2").veth("e3", "f3").start();
        let file = |name: &str| switch.directory().join(name).display().to_string();
        let mut options = vec![format!("--unixctl={}", file("elsewhere.ctl"))];
        options.push(format!("--pidfile={}", file(if with_pid_file { "ovs-vswitchd.pid" } else { "else.pid" })));
        let daemon = Daemon::start(&switch, &options);
        // Waits until it has applied this.
        switch.ok("bridge-add", json!({"bridge": "br0"}));
        let found = eventually(&switch, &["vswitchd-not-asked"]);
        assert_eq!(found[0]["severity"], "note");

        // That it could not be asked silences nothing.
        switch.ok("bond-add", json!({"bridge": "br0", "port": "bond0", "links": ["e2", "e3"]}));
        for device in ["f2", "f3"] {
            switch.net.run(&["ip", "link", "set", device, "down"]);
        }
        eventually(&switch, &["vswitchd-not-asked", "bond-no-member"]);

        drop(daemon);
        let found = eventually(&switch, &["vswitchd-dead", "bond-no-member"]);
        assert_eq!(coded(&found, "vswitchd-dead").unwrap()["severity"], "error");
    }
}

#[test]
fn an_ovs_vswitchd_that_is_stopped_is_dead_wherever_its_control_socket_is() {
    let switch = Switch::builder().without_vswitchd().start();
    let file = |name: &str| switch.directory().join(name).display().to_string();
    let options =
        ["--unixctl", "--pidfile"].map(|o| (o, if o == "--pidfile" { "ovs-vswitchd.pid" } else { "else.ctl" }));
    let daemon = Daemon::start(&switch, &options.map(|(option, name)| format!("{option}={}", file(name))));
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    eventually(&switch, &["vswitchd-not-asked"]);
    let pid = nix::unistd::Pid::from_raw(daemon.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    eventually(&switch, &["vswitchd-dead"]);
}

#[test]
fn mirrors_of_nothing_and_to_nowhere_are_found() {
    let switch = Switch::builder().veth("e1", "f1").veth("e2", "f2").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    for port in ["e1", "e2"] {
        switch.ok("port-add", json!({"bridge": "br0", "port": port}));
    }
    let ports = ["--id=@one", "get", "port", "e1", "--", "--id=@two", "get", "port", "e2", "--"];
    let create = ["--id=@m", "create", "mirror", "name=m", "select_src_port=@one", "output_port=@two", "--"];
    switch.vsctl(&[&ports[..], &create, &["set", "bridge", "br0", "mirrors=@m"]].concat());
    eventually(&switch, &[]);
    switch.vsctl(&["set", "mirror", "m", "select_vlan=5", "--", "clear", "mirror", "m", "select_src_port"]);
    let found = eventually(&switch, &["mirror-no-source"]);
    assert_eq!(found[0]["bridge"], "br0");
    switch.vsctl(&["set", "mirror", "m", "select_all=true"]);
    eventually(&switch, &[]);
    // The database takes the reference away with the port.
    switch.ok("port-del", json!({"port": "e2"}));
    let found = eventually(&switch, &["mirror-no-output"]);
    assert!(message(&found[0]).contains("mirror m of bridge br0"), "{found:?}");
    switch.vsctl(&["set", "mirror", "m", "output_vlan=9"]);
    eventually(&switch, &[]);
    // Of two outputs the port counts, and a port of another bridge does not count at all.
    switch.ok("port-add", json!({"bridge": "br0", "port": "e2"}));
    switch.vsctl(&["--id=@two", "get", "port", "e2", "--", "set", "mirror", "m", "output_port=@two"]);
    eventually(&switch, &["mirror-two-outputs"]);
    switch.vsctl(&["clear", "mirror", "m", "output_vlan"]);
    eventually(&switch, &[]);
    switch.ok("bridge-add", json!({"bridge": "br1"}));
    switch.vsctl(&["del-port", "e2", "--", "add-port", "br1", "e2"]);
    switch.vsctl(&["--id=@two", "get", "port", "e2", "--", "set", "mirror", "m", "output_port=@two"]);
    let found = eventually(&switch, &["mirror-port-elsewhere"]);
    assert!(message(&found[0]).ends_with("not on that bridge: e2"), "{found:?}");
}

#[test]
fn what_an_interface_asks_for_and_does_not_have_is_found_later_too() {
    let switch = Switch::builder().veth("e1", "f1").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    let internal =
        |port: &str| json!({"bridge": "br0", "port": port, "options": {"type": "internal", "ofport_request": 77}});
    switch.ok("port-add", internal("p1"));
    eventually(&switch, &[]);
    switch.ok("port-add", internal("p2"));
    let found = eventually(&switch, &["request-not-met"]);
    assert_eq!((&found[0]["port"], &found[0]["severity"]), (&json!("p2"), &json!("warning")));
    assert!(message(&found[0]).contains("asks for 77"), "{found:?}");
    switch.vsctl(&["clear", "interface", "p2", "ofport_request"]);
    eventually(&switch, &[]);
    switch.vsctl(&["set", "bridge", "br0", "other_config:hwaddr=\"03:00:00:00:00:01\""]);
    let found = eventually(&switch, &["request-not-met"]);
    assert!(message(&found[0]).contains("multicast"), "{found:?}");
}

#[test]
fn quality_of_service_that_nothing_uses_is_found() {
    let switch = Switch::builder().veth("e1", "f1").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let qos = ["--id=@qos", "create", "qos", "type=linux-noop", "queues:0=@queue", "--"];
    switch.vsctl(
        &[&["set", "port", "e1", "qos=@qos", "--"], &qos[..], &["--id=@queue", "create", "queue", "dscp=1"]].concat(),
    );
    eventually(&switch, &[]);
    switch.vsctl(&["clear", "port", "e1", "qos"]);
    // A queue that this one refers to is not told of as well.
    let found = eventually(&switch, &["qos-unused"]);
    let uuid = switch.vsctl(&["--bare", "--columns=_uuid", "list", "qos"]);
    assert!(message(&found[0]).contains(&uuid), "{found:?}");
    switch.vsctl(&["destroy", "qos", &uuid]);
    eventually(&switch, &["queue-unused"]);
    switch.vsctl(&["--all", "destroy", "queue"]);
    eventually(&switch, &[]);
}

#[test]
fn an_internal_port_with_a_larger_mtu_than_its_uplink_is_found() {
    let switch = Switch::builder().veth("e1", "f1").start();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "i0", "mtu": 9000, "options": {"type": "internal"}}));
    switch.ok("port-add", json!({"bridge": "br0", "port": "i1", "options": {"type": "internal"}}));
    // A port that nobody uses sends nothing.
    eventually(&switch, &[]);
    for port in ["i0", "i1", "br0"] {
        switch.net.up(port);
    }
    let found = eventually(&switch, &["internal-mtu"]);
    assert_eq!(found[0]["interface"], "i0");
    assert!(message(&found[0]).contains("9000") && message(&found[0]).contains("e1 on the same bridge has 1500"));
    // In VLANs of their own, they don't meet.
    switch.ok("port-set", json!({"port": "i0", "vlan": 5}));
    switch.ok("port-set", json!({"port": "e1", "vlan": 6}));
    eventually(&switch, &[]);
    switch.ok("port-set", json!({"port": "e1", "vlan": 5}));
    eventually(&switch, &["internal-mtu"]);
    switch.ok("port-set", json!({"port": "i0", "mtu": 0}));
    eventually(&switch, &[]);
}

#[test]
fn a_vlan_of_a_vlan_bridge_and_of_vlan_ensure_is_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.vsctl(&["add-br", "seven", "br0", "7"]);
    // A VLAN bridge may be joined to others.
    switch.ok("vlan-ensure", json!({"master": "seven", "vlan": 0}));
    eventually(&switch, &[]);
    switch.ok("vlan-del", json!({"master": "seven", "vlan": 0}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 7}));
    let found = eventually(&switch, &["vlan-duplicate"]);
    assert!(message(&found[0]).ends_with("VLAN 7 of bridge br0 is that of seven, vlbr7"), "{found:?}");
    assert_eq!(found[0]["bridge"], "br0");
}

#[test]
fn an_underlay_without_an_address_is_found() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vxlan-ensure", json!({"master": "br0", "vxlan": 7}));
    let found = eventually(&switch, &["vtep-down", "vtep-no-address"]);
    assert!(message(coded(&found, "vtep-no-address").unwrap()).contains("runs over br0"), "{found:?}");
    switch.net.up("br0");
    switch.net.run(&["ip", "address", "add", "fd00::1/64", "dev", "br0"]);
    let found = eventually(&switch, &["vtep-no-address"]);
    assert_eq!(found[0]["severity"], "error");
    assert!(
        found[0]["advice"].as_str().unwrap().contains("ovs-plugin port-set --port br0 --up --addresses"),
        "{found:?}"
    );
    switch.net.addr("br0", "192.168.0.1/24");
    eventually(&switch, &[]);
}

#[test]
fn the_picture_joins_a_vxlan_device_to_what_it_runs_over() {
    let switch = Switch::new();
    switch.ok("bridge-add", json!({"bridge": "br0"}));
    switch.ok("vlan-ensure", json!({"master": "br0", "vlan": 5, "name": "vxbackend"}));
    switch.ok("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001}));
    let picture = switch.ok("show", json!({"bridge": "vxlbr10001"}));
    let ports = picture["bridges"][0]["ports"].as_array().unwrap();
    let vtep = ports.iter().find(|port| port["name"] == "vtep10001").unwrap();
    assert_eq!(vtep["interfaces"][0]["over"], "vxbackend", "{vtep}");
    assert!(tree(&switch).contains("VXLAN 10001 over vxbackend"), "{}", tree(&switch));

    // The node of a label, and the line between two nodes, in either language.
    let node = |text: &str, label: &str| {
        let line = text.lines().find(|line| line.contains(&format!("\"{label}"))).unwrap_or_else(|| panic!("{text}"));
        line.trim_start().split(['[', '(', ' ']).next().unwrap().to_owned()
    };
    for (format, expected) in [("dot", "-- {} [label=\"over\"];"), ("mermaid", "---|\"over\"| {}")] {
        let text = switch.call().args(&["show", "--format", format]).run().stdout;
        let line = format!("{} {}", node(&text, "vtep10001"), expected.replace("{}", &node(&text, "vxbackend")));
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}
