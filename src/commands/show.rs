//! `ovs.show`: the whole switch as a tree.

use schemars::JsonSchema;
use serde::Deserialize;

use super::arguments::OptionalName;
use super::{Command, Drawing};
use crate::draw::{graph, tree};
use crate::error::Error;
use crate::vswitch::topology::Topology;
use crate::vswitch::{Unit, doctor};

/// Arguments of `show`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Show {
    /// Only this bridge.
    #[serde(default)]
    bridge: OptionalName,
}

impl Command for Show {
    const NAME: &'static str = "show";
    const ABOUT: &'static str = "Show the switch: bridges, their ports, their interfaces, and how these are";
    const DETAILS: &'static str = "\
All of it is read in one request, so it is one state of the database. A VLAN bridge of ovs-vsctl is a bridge of its own \
here, and has the ports of its VLAN. Counters are in [stats](#ovsstats). `problems` are those findings of \
[doctor](#ovsdoctor) that the database alone tells; it knows more, of the kernel and of ovs-vswitchd.\n\n\
The database does not tell what a VXLAN device of the kernel runs over (`over`). Where the switch is on the same \
machine, the kernel is asked that, for each such device.\n\n\
On a terminal, `ovs-plugin show` draws a tree; `--format tree|json|dot|mermaid` chooses. Errors are red and have a cross, \
warnings are yellow.";
    const EXAMPLE: (&'static str, &'static str) = (
        r#"{"bridge": "vxbackend"}"#,
        r#"{"ovs_version": "3.1.0", "next_cfg": 7, "cur_cfg": 7, "bridges": [{"name": "vxbackend", "datapath_type": "system", "stp": false, "rstp": false, "network": {"kind": "vlan", "id": 2313, "master": "backplane"}, "mark": "vlan:2313", "ports": [{"name": "vlbr2313in", "mark": "vlan:2313", "interfaces": [{"name": "vlbr2313in", "type": "patch", "options": {"peer": "vlbr2313p"}, "ofport": 1, "patch": {"peer": "vlbr2313p", "bridge": "backplane"}, "mark": "vlan:2313"}]}]}]}"#,
    );
    const ERRORS: &'static [(&'static str, &'static str)] = &[("not-found", "no bridge named vxbackend")];
    const DRAWINGS: &'static [Drawing] = &[
        Drawing {
            name: "tree",
            about: "for a terminal",
            draw: |answer| Ok(tree::draw(&Topology::deserialize(answer)?)),
        },
        Drawing { name: "dot", about: "for Graphviz", draw: |answer| Ok(graph::dot(&Topology::deserialize(answer)?)) },
        Drawing {
            name: "mermaid",
            about: "for Markdown",
            draw: |answer| Ok(graph::mermaid(&Topology::deserialize(answer)?)),
        },
    ];
    type Answer = Topology;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Topology, Error> {
        let mut topology = doctor::marked(&unit.tables().await?);
        unit.mark_dead_daemon(&mut topology).await;
        unit.show_what_vteps_run_over(&mut topology);
        if let Some(name) = &self.bridge.0 {
            if topology.bridge(name).is_none() {
                return Err(Error::NotFound(format!("no bridge named {name}")));
            }
            topology.bridges.retain(|bridge| bridge.name == *name);
        }
        Ok(topology)
    }
}
