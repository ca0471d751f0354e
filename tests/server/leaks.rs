//! What many calls and subscriptions leave behind in a server: no descriptors, and no memory that grows with them.
//!
//! `OVS_PLUGIN_LEAKS=long` makes 100,000 calls and 1,000 subscriptions instead of 2,000 and 200.

use std::fs;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use ovs_plugin::client::Client;

use crate::serving::{LIMIT, Server};
use crate::support::{Switch, wait_until};
use crate::websocket;

/// So many calls at once, on connections that are kept and used again.
const AT_ONCE: usize = 16;

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Resident memory in kB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn call_often(server: &Server, calls: usize) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut callers = JoinSet::new();
        for caller in 0..AT_ONCE {
            let client = Client::new(&server.socket, LIMIT);
            callers.spawn(async move {
                for number in (caller..calls).step_by(AT_ONCE) {
                    // A repetition, a read, an error of a caller, and one that the switch is asked for.
                    let (method, arguments) = match number % 4 {
                        0 => ("ovs.vlan-ensure", json!({"master": "br0", "vlan": 5})),
                        1 => ("ovs.show", json!({})),
                        2 => ("ovs.bridge-del", json!({"bridge": "a\0b"})),
                        _ => ("ovs.bridge-add", json!({"bridge": "br0"})),
                    };
                    let outcome = client.call::<Value>(method, &arguments).await;
                    assert_eq!(outcome.is_ok(), number % 4 < 2, "{method}: {outcome:?}");
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    });
}

fn watch_often(server: &Server, subscriptions: usize) {
    for number in 0..subscriptions {
        let mut socket = websocket::connect(server);
        let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "ovs.watch"});
        websocket::send(&mut socket, &subscribe);
        let subscription = websocket::receive(&mut socket)["result"].clone();
        assert_eq!(websocket::receive(&mut socket)["params"]["result"]["event"], "picture");
        // Some say that they go, others just go.
        if number % 2 == 0 {
            let unsubscribe = json!({"jsonrpc": "2.0", "id": 2, "method": "ovs.unwatch", "params": [subscription]});
            websocket::send(&mut socket, &unsubscribe);
            assert_eq!(websocket::receive(&mut socket)["result"], true);
            socket.close(None).unwrap();
        }
    }
}

#[test]
fn many_calls_and_subscriptions_leave_no_descriptors_and_no_memory_behind() {
    let is_long = std::env::var("OVS_PLUGIN_LEAKS").is_ok_and(|long| long == "long");
    let (calls, subscriptions) = if is_long { (100_000, 1_000) } else { (2_000, 200) };
    let server = Server::on(Switch::new(), &[], &[]);
    server.ok("bridge-add", json!({"bridge": "br0"}));
    let pid = server.pid();
    // What is made once and kept is there afterwards: buffers, the pages of the program.
    call_often(&server, 500);
    watch_often(&server, 20);
    assert!(wait_until(LIMIT, || server.connections() == 1));
    let before = (descriptors(pid), memory(pid));
    call_often(&server, calls);
    watch_often(&server, subscriptions);
    assert!(wait_until(LIMIT, || server.connections() == 1), "connections are left: {}", server.connections());
    // The one that has just asked may still be there.
    let are_gone = wait_until(LIMIT, || descriptors(pid) <= before.0);
    let after = (descriptors(pid), memory(pid));
    println!("{calls} calls, {subscriptions} subscriptions: descriptors and kB before {before:?}, after {after:?}");
    assert!(are_gone, "descriptors and kB before {before:?}, after {after:?}");
    assert!(after.1 <= before.1 + 16 * 1024, "descriptors and kB before {before:?}, after {after:?}");
}
