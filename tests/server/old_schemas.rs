//! The server on databases whose schema is older than the program.

use serde_json::json;

use crate::serving::Server;
use crate::support::proxy::{Proxy, operations};
use crate::support::{Switch, schemas};

fn switch_of(release: &str) -> Switch {
    Switch::builder().schema(schemas::of_release(release)).veth("e1", "e1-p").start()
}

#[test]
fn commands_pages_and_taking_back_work_on_the_schema_of_every_release() {
    for release in ["1.9", "2.1", "2.3", "2.5", "2.9"] {
        let server = Server::on(switch_of(release), &[], &[]);
        server.ok("bridge-add", json!({"bridge": "br0"}));
        server.ok("port-add", json!({"bridge": "br0", "port": "e1"}));
        server.ok("vlan-ensure", json!({"master": "br0", "vlan": 5}));
        let picture = server.ok("show", json!({}));
        let names: Vec<_> =
            picture["bridges"].as_array().unwrap().iter().map(|bridge| bridge["name"].clone()).collect();
        assert_eq!(names, [json!("br0"), json!("vlbr5")], "{release}");
        let error = server.switch.unchanged_by(|| server.failed("port-add", json!({"bridge": "br0", "port": "nodev"})));
        assert_eq!(
            (&error["data"]["kind"], &error["data"]["committed"]),
            (&json!("interface"), &json!("no")),
            "{release}"
        );
        assert_eq!(server.ok("doctor", json!({}))["errors"], 0, "{release}");
        assert_eq!(server.page("/readyz"), (200, "ok\n".into()), "{release}");
        let (_, metrics) = server.page("/metrics");
        for line in ["ovs_plugin_bridges 2", "ovs_plugin_interfaces_failing 0"] {
            assert!(metrics.lines().any(|found| found == line), "{release}: {line} is not in\n{metrics}");
        }
    }
}

#[test]
fn what_the_schema_lacks_is_no_reason_to_ask_the_database_again() {
    let switch = switch_of("1.9");
    let proxy = Proxy::new(&switch.directory().join("between.sock"), switch.database.socket());
    let server = Server::on(switch, &[], &[("OVS_PLUGIN_DB", &proxy.remote())]);
    for (command, arguments) in
        [("bridge-add", json!({"bridge": "br0"})), ("vlan-ensure", json!({"master": "br0", "vlan": 5}))]
    {
        server.ok(command, arguments);
    }
    proxy.take();
    for (command, arguments) in [("vlan-ensure", json!({"master": "br0", "vlan": 5})), ("show", json!({}))] {
        server.ok(command, arguments);
        let asked: Vec<_> = proxy.take().into_iter().filter(|one| operations(&one.message).is_some()).collect();
        assert!(asked.is_empty(), "{command}: {asked:?}");
    }
}
