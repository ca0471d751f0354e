//! The pages beside the methods: /healthz, /readyz, /metrics.

use serde_json::json;

use crate::serving::{Server, with_status};

#[test]
fn readyz_tells_what_is_not_ready_and_healthz_that_the_server_serves() {
    let server = Server::new();
    assert_eq!(server.page("/readyz"), (200, "ok\n".into()));
    server.switch.pause_vswitchd();
    let (status, text) = server.page("/readyz");
    assert!(status == 503 && text.contains("ovs-vswitchd does not answer"), "{status} {text}");
    server.switch.resume_vswitchd();
    assert_eq!(server.page("/readyz").0, 200);
    server.switch.stop_database();
    let (status, text) = server.page("/readyz");
    assert!(status == 503 && text.contains("not connected to the database"), "{status} {text}");
    assert_eq!(server.page("/healthz"), (200, "ok\n".into()));
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
fn pages_are_only_read() {
    let server = Server::new();
    let mut command = server.curl();
    command.args(["--data", "x", "http://localhost/metrics"]);
    assert_eq!(with_status(command).0, 405);
}
