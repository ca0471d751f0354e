//! Whether ovs-vswitchd is alive. What the database says of it outlives it, so it is asked itself.

use std::path::Path;

use crate::deadline::Deadline;
use crate::ovsdb::{Connection, Remote};

/// Asks ovs-vswitchd for its version on its control socket, which speaks the same JSON-RPC as a database server and is
/// answered from the loop that does the switching. The socket's name holds the daemon's pid, which is where
/// ovs-appctl(8) looks for it. The error tells what is wrong.
pub async fn answers(run: &Path, deadline: &Deadline) -> Result<(), String> {
    let file = run.join("ovs-vswitchd.pid");
    let pid = std::fs::read_to_string(&file)
        .map_err(|error| format!("ovs-vswitchd does not run: {}: {error}", file.display()))?;
    let socket = Remote::Unix(run.join(format!("ovs-vswitchd.{}.ctl", pid.trim())));
    let asked = async {
        let connection = Connection::open(&socket).await.map_err(|error| error.to_string())?;
        connection.call::<String>("version", [(); 0]).await.map_err(|error| error.to_string())
    };
    match deadline.limit(asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("ovs-vswitchd does not answer on {socket}: {error}")),
        Err(expired) => Err(format!("ovs-vswitchd does not answer on {socket}: {expired}")),
    }
}
