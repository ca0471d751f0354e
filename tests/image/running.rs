//! Containers of the image at work.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::container::{Container, LIMIT};
use crate::files;
use crate::support::{Namespace, run_to_end, wait_until};

/// Namespaces that play containers behind a switch, each with one device `eth0`.
struct Hosts {
    one: Namespace,
    two: Namespace,
    elsewhere: Namespace,
}

/// `p1` and `p2` are on VLAN 10 of a bridge, `p3` is on VLAN 20; all three in one subnet.
fn connect(container: &Container) -> Hosts {
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
    let host = |port: &str, vlan: u16, address: &str| {
        let host = Namespace::new();
        container.veth(&host, "eth0", port);
        host.addr("eth0", address);
        container.plugin("port-add", json!({"bridge": "backplane", "port": port, "vlan": vlan})).ok();
        host
    };
    Hosts {
        one: host("p1", 10, "10.9.0.1/24"),
        two: host("p2", 10, "10.9.0.2/24"),
        elsewhere: host("p3", 20, "10.9.0.3/24"),
    }
}

#[test]
fn the_documented_bootstrap_works_and_can_be_repeated() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
    for _ in 0..2 {
        let vlan = json!({"master": "backplane", "vlan": 2313, "name": "vxbackend"});
        assert_eq!(container.plugin("vlan-ensure", vlan).ok(), "vxbackend");
        assert_eq!(container.plugin("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001})).ok(), "vxlbr10001");
    }
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!(["backplane", "vxbackend", "vxlbr10001"]));
}

#[test]
fn hosts_on_one_vlan_reach_each_other_and_those_on_another_do_not() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    let hosts = connect(&container);
    assert!(hosts.one.reaches("10.9.0.2") && hosts.two.reaches("10.9.0.1"));
    assert!(hosts.one.never_reaches("10.9.0.3") && hosts.elsewhere.never_reaches("10.9.0.2"));
}

#[test]
fn daemons_that_are_killed_come_back_and_the_hosts_reach_each_other_again() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    let hosts = connect(&container);
    for daemon in ["ovsdb-server", "ovs-vswitchd"] {
        container.kill(daemon);
        assert!(hosts.one.reaches("10.9.0.2"), "{daemon} was killed");
        assert!(hosts.one.never_reaches("10.9.0.3"), "{daemon} was killed");
        container.plugin("bridge-add", json!({"bridge": format!("after-{}", &daemon[4..8])})).ok();
    }
}

#[test]
fn a_restart_keeps_the_bridges_and_the_system_id() {
    let Some(_) = files::directory() else { return };
    let mut container = Container::builder().ready();
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
    let id = fs::read(container.state().join("system-id.conf")).unwrap();
    assert_eq!(container.stop(), 0, "{}", container.said());
    container.start_again();
    container.wait_ready();
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!(["backplane"]));
    assert_eq!(fs::read(container.state().join("system-id.conf")).unwrap(), id);
    // Another container that is given the same directory goes on with it.
    container.stop();
    let other = Container::builder().state(container.state()).ready();
    assert_eq!(other.plugin("bridge-list", json!({})).ok(), json!(["backplane"]));
    assert_eq!(fs::read(other.state().join("system-id.conf")).unwrap(), id);
}

#[test]
fn what_a_killed_container_leaves_is_no_obstacle() {
    let Some(_) = files::directory() else { return };
    let mut container = Container::builder().ready();
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
    container.kill_all();
    container.start_again();
    container.wait_ready();
    let said = container.said();
    assert!(said.contains("ovs-vswitchd.pid, left by a process that is gone"), "{said}");
    assert_eq!(container.plugin("bridge-list", json!({})).ok(), json!(["backplane"]));
}

#[test]
fn stopping_ends_both_daemons_cleanly() {
    let Some(_) = files::directory() else { return };
    let mut container = Container::builder().ready();
    assert_eq!(container.stop(), 0);
    let said = container.said();
    assert_eq!(said.matches("terminating with signal 15").count(), 2, "{said}");
    assert!(!said.contains("is killed"), "{said}");
}

#[test]
fn the_health_check_says_healthy() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    let Some(name) = container.docker_name() else { return };
    let mut health = String::new();
    let healthy = wait_until(LIMIT, || {
        let inspect = ["inspect", "--format", "{{.State.Health.Status}}", name];
        health = String::from_utf8_lossy(&run_to_end(Command::new("docker").args(inspect)).stdout).trim().to_owned();
        health == "healthy"
    });
    assert!(healthy, "{health}\n{}", container.said());
}

#[test]
fn a_container_without_privileges_names_the_cause_first() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().unprivileged().start();
    assert!(wait_until(LIMIT, || container.said().contains('\n')));
    let said = container.said();
    let first = said.lines().next().unwrap();
    for part in ["/dev/net/tun can't be opened", "CAP_NET_ADMIN is missing", "privileged=True"] {
        assert!(first.contains(part), "{said}");
    }
}

#[test]
fn a_container_with_what_it_needs_complains_of_nothing_but_the_kernel_module() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    let said = container.said();
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| line.contains("|ERR|") || line.contains("|EMER|") || line.contains("can't"))
        .filter(|line| !line.contains("kernel module openvswitch"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn what_people_type_in_the_container_is_found() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    let added = container.exec(&["ovs-plugin", "bridge-add", "--bridge", "backplane"]);
    assert!(added.status.success(), "{added:?}");
    let shown = container.exec(&["ovs-plugin", "show"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.starts_with("Open vSwitch") && text.contains("backplane"), "{shown:?}");
}

#[test]
fn net_admin_and_the_tun_device_are_all_that_it_needs() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().with_documented_rights().ready();
    let hosts = connect(&container);
    assert!(hosts.one.reaches("10.9.0.2") && hosts.one.never_reaches("10.9.0.3"));
    let vlan =
        json!({"master": "backplane", "vlan": 2313, "name": "vxbackend", "up": true, "addresses": ["10.240.0.1/24"]});
    assert_eq!(container.plugin("vlan-ensure", vlan).ok(), "vxbackend");
    assert_eq!(container.plugin("vxlan-ensure", json!({"master": "vxbackend", "vxlan": 10001})).ok(), "vxlbr10001");
    assert_eq!(container.plugin("doctor", json!({})).ok()["errors"], 0);
}

#[test]
fn the_tools_for_people_work_in_the_container() {
    let Some(_) = files::directory() else { return };
    let container = Container::builder().ready();
    container.plugin("bridge-add", json!({"bridge": "backplane"})).ok();
    let bridges = container.exec(&["/usr/bin/ovs-vsctl", "list-br"]);
    assert_eq!(String::from_utf8_lossy(&bridges.stdout), "backplane\n", "{bridges:?}");
    let version = container.exec(&["/usr/bin/ovs-appctl", "version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains("ovs-vswitchd (Open vSwitch)"), "{version:?}");
}
