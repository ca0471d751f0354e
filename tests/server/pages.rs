//! The pages beside the methods: /healthz, /readyz, /metrics.

use serde_json::json;

use crate::serving::{LIMIT, Server, with_status};
use crate::support::{Switch, wait_until};

#[test]
fn readyz_tells_what_is_not_ready_and_healthz_whether_calls_can_be_served() {
    let server = Server::new();
    assert_eq!(server.page("/readyz"), (200, "ok\n".into()));
    server.switch.pause_vswitchd();
    let (status, text) = server.page("/readyz");
    assert!(status == 503 && text.contains("ovs-vswitchd does not answer"), "{status} {text}");
    assert_eq!(server.page("/healthz"), (200, "ok\n".into()), "calls are served, up to their deadlines");
    server.switch.resume_vswitchd();
    assert_eq!(server.page("/readyz").0, 200);
    server.switch.stop_database();
    let (status, text) = server.page("/readyz");
    assert!(status == 503 && text.contains("not connected to the database"), "{status} {text}");
    let (status, text) = server.page("/healthz");
    assert!(status == 503 && text.contains("not connected to the database"), "{status} {text}");
    server.switch.start_database();
    assert!(wait_until(LIMIT, || server.page("/healthz") == (200, "ok\n".into())));
}

#[test]
fn metrics_count_commands_by_name_and_outcome() {
    let server = Server::new();
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.failed("bridge-add", json!({"bridge": "br0"}));
    server.failed("bridge-add", json!({"bridge": "br0"}));
    let mut command = server.curl();
    command.args(["--include", "http://localhost/metrics"]);
    let (status, text) = with_status(command);
    assert_eq!(status, 200);
    for line in [
        "content-type: text/plain; version=0.0.4; charset=utf-8",
        "# TYPE ovs_plugin_commands_total counter",
        "ovs_plugin_commands_total{command=\"bridge-add\",outcome=\"ok\"} 1",
        "ovs_plugin_commands_total{command=\"bridge-add\",outcome=\"exists\"} 2",
        "# TYPE ovs_plugin_command_duration_seconds histogram",
        "ovs_plugin_command_duration_seconds_bucket{command=\"bridge-add\",le=\"+Inf\"} 3",
        "ovs_plugin_command_duration_seconds_count{command=\"bridge-add\"} 3",
        "ovs_plugin_commands_in_flight 0",
        "ovs_plugin_connections 1",
    ] {
        assert!(text.lines().any(|found| found.trim_end() == line), "{line} is not in\n{text}");
    }
}

#[test]
fn metrics_tell_how_the_database_the_switch_and_its_interfaces_are() {
    let server = Server::on(Switch::builder().veth("e1", "e1-p").start(), &[], &[]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    server.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let root = server.switch.database.rows("Open_vSwitch")[0].clone();
    let (_, text) = server.page("/metrics");
    for line in [
        "ovs_plugin_database_connected 1".to_owned(),
        "ovs_plugin_database_connections_total 1".to_owned(),
        format!("ovs_plugin_configuration_requested {}", root["next_cfg"]),
        format!("ovs_plugin_configuration_applied {}", root["cur_cfg"]),
        "ovs_plugin_bridges 1".to_owned(),
        "ovs_plugin_ports 3".to_owned(),
        "ovs_plugin_interfaces 3".to_owned(),
        "ovs_plugin_interfaces_failing 1".to_owned(),
        "# TYPE ovs_plugin_interface_rx_bytes gauge".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("ovs_plugin_interface_tx_packets{bridge=\"br0\",interface=\"e1\"} "), "{text}");

    server.switch.stop_database();
    assert!(wait_until(LIMIT, || server.page("/metrics").1.contains("ovs_plugin_database_connected 0\n")));
    server.switch.start_database();
    let again = "ovs_plugin_database_connections_total 2\n";
    assert!(wait_until(LIMIT, || server.page("/metrics").1.contains(again)), "{}", server.page("/metrics").1);
}

#[test]
fn pages_are_only_read() {
    let server = Server::new();
    let mut command = server.curl();
    command.args(["--data", "x", "http://localhost/metrics"]);
    assert_eq!(with_status(command).0, 405);
}

#[test]
fn metrics_count_what_show_marks() {
    let server = Server::on(Switch::builder().veth("e1", "e1-p").start(), &[], &[]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    server.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
    let agree = |failing: usize, errors: usize, warnings: usize| {
        let expected = [
            format!("ovs_plugin_interfaces_failing {failing}"),
            format!("ovs_plugin_problems{{severity=\"error\"}} {errors}"),
            format!("ovs_plugin_problems{{severity=\"warning\"}} {warnings}"),
        ];
        let mut text = String::new();
        let found = wait_until(LIMIT, || {
            text = server.page("/metrics").1;
            expected.iter().all(|line| text.lines().any(|found| found == line))
        });
        assert!(found, "{expected:?} are not in\n{text}");
        // Only now ovs-vswitchd is known to have told.
        let picture = server.ok("show", json!({}));
        let drawn = |severity: &str| picture.to_string().matches(&format!("\"severity\":\"{severity}\"")).count();
        (drawn("error"), drawn("warning"))
    };
    assert_eq!(agree(0, 0, 0), (0, 0));
    server.ok("port-add", json!({"bridge": "br0", "port": "nodev", "verify": false}));
    let lone = json!({"type": "patch", "options:peer": "nobody"});
    server.ok("port-add", json!({"bridge": "br0", "port": "p0", "options": lone}));
    server.switch.net.run(&["ip", "link", "set", "e1", "down"]);
    assert_eq!(agree(2, 2, 1), (2, 1));
    // The port numbers stay, and every interface of the bridge is dead. The doctor tells that once.
    server.switch.vsctl(&["set", "bridge", "br0", "datapath_type=nonsense"]);
    assert_eq!(agree(4, 1, 0), (5, 0));
}
