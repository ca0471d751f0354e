//! What stands out in a picture: the problems that it shows by itself. `ovs.doctor` knows more.

use crate::vswitch::picture::{BridgePicture, InterfacePicture, PortPicture};

/// What does not work about an interface.
pub(super) fn of_interface(interface: &InterfacePicture) -> Option<String> {
    if let Some(error) = &interface.error {
        return Some(error.clone());
    }
    match interface.ofport {
        None => return Some("ovs-vswitchd has not set it up".into()),
        Some(..0) => return Some("ovs-vswitchd could not set it up".into()),
        Some(_) => {}
    }
    match &interface.patch {
        Some(patch) if patch.bridge.is_none() => Some(format!("its peer {} is not there", patch.peer)),
        _ => None,
    }
}

/// What may not be as it should about an interface. A local port is down until somebody sets it up.
pub(super) fn warning_of_interface(interface: &InterfacePicture) -> Option<&'static str> {
    let down = |state: &Option<String>| state.as_deref() == Some("down");
    match interface.r#type.as_str() {
        "system" if down(&interface.admin_state) => Some("set down"),
        "system" if down(&interface.link_state) => Some("no link"),
        _ => None,
    }
}

/// What does not work about a port as a whole.
pub(super) fn of_port(port: &PortPicture) -> Option<String> {
    let bond = port.bond.as_ref()?;
    let works = |interface: &InterfacePicture| {
        of_interface(interface).is_none() && interface.link_state.as_deref() != Some("down")
    };
    if !port.interfaces.iter().any(works) {
        return Some("no member works".into());
    }
    let partner = port.interfaces.iter().any(|interface| interface.lacp_current == Some(true));
    (bond.lacp != "off" && !partner).then(|| "no LACP partner".into())
}

/// What does not work about a bridge as a whole.
pub(super) fn of_bridge(bridge: &BridgePicture) -> Option<String> {
    let away: Vec<&str> = bridge.controllers.iter().filter(|c| !c.connected).map(|c| c.target.as_str()).collect();
    (!away.is_empty()).then(|| format!("not connected to {}", away.join(", ")))
}
