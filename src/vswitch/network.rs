//! The networks that derived bridges are for, and the names that tell them.

use std::fmt::{self, Display};

/// What a derived bridge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A VLAN id of the master.
    Vlan(i64),
    /// A VNI over the master's device.
    Vxlan(i64),
}

impl Network {
    /// The name that the bridge gets when none is asked for.
    pub fn default_bridge(self) -> String {
        match self {
            Network::Vlan(id) => format!("vlbr{id}"),
            Network::Vxlan(id) => format!("vxlbr{id}"),
        }
    }

    /// What the mark says of rows made for this network.
    pub fn mark(self) -> String {
        match self {
            Network::Vlan(id) => format!("vlan:{id}"),
            Network::Vxlan(id) => format!("vxlan:{id}"),
        }
    }

    /// The network that a mark tells of.
    pub fn marked(mark: &str) -> Option<Network> {
        let (kind, id) = mark.split_once(':')?;
        let id: i64 = id.parse().ok()?;
        let network = match kind {
            "vlan" => Network::Vlan(id),
            "vxlan" => Network::Vxlan(id),
            _ => return None,
        };
        (network.mark() == mark).then_some(network)
    }

    /// The port that ties a bridge to this network.
    pub fn port(self) -> String {
        match self {
            Network::Vlan(id) => patch_names(id).1,
            Network::Vxlan(id) => vtep_name(id),
        }
    }

    /// The network that a port's name ties its bridge to, if it is such a name.
    pub fn tied_by(port: &str) -> Option<Network> {
        if let Some(vni) = vni_of(port) {
            return Some(Network::Vxlan(vni.into()));
        }
        let id: i64 = port.strip_prefix("vlbr")?.strip_suffix("in")?.parse().ok()?;
        (patch_names(id).1 == port).then_some(Network::Vlan(id))
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Vlan(id) => write!(f, "VLAN {id}"),
            Network::Vxlan(id) => write!(f, "VXLAN {id}"),
        }
    }
}

/// The two ends of the pair that joins a VLAN's bridge: on the master with the tag, and inside the VLAN's bridge.
pub fn patch_names(vlan: i64) -> (String, String) {
    (format!("vlbr{vlan}p"), format!("vlbr{vlan}in"))
}

/// The name of the VTEP of a VNI.
pub fn vtep_name(vni: impl Display) -> String {
    format!("vtep{vni}")
}

/// The VNI that a device name stands for, if it is one of a VTEP.
pub fn vni_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("vtep")?;
    digits.parse().ok().filter(|vni: &u32| vtep_name(vni) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_stands_for_a_vni() {
        assert_eq!(vni_of("vtep10001"), Some(10001));
        for other in ["vtep", "vtep01", "vtep+1", "vtepx", "vtep1p", "xvtep1", "vtep99999999999"] {
            assert_eq!(vni_of(other), None, "{other}");
        }
    }
}
