//! Patch ports that lead nowhere. Those of VLANs' bridges are in `vlans.rs`.

use super::{Code, Examination, Findings, Severity, vlans};
use crate::vswitch::health::{Cause, Health, Peer};

pub(super) const NO_PEER: Code = Code {
    name: "patch-no-peer",
    severity: Severity::Error,
    meaning: "The other end of the patch port does not exist, or is no patch port. Frames sent to it are lost.",
    advice: "Add the other end, or remove the port with `ovs-plugin port-del`.",
};

pub(super) const PEER_ELSEWHERE: Code = Code {
    name: "patch-peer-elsewhere",
    severity: Severity::Error,
    meaning: "The other end of the patch port names a third one as its peer, so the two are not joined.",
    advice: "Set options:peer of both ends to each other's names.",
};

pub(super) const DATAPATHS: Code = Code {
    name: "patch-datapaths",
    severity: Severity::Error,
    meaning: "The two ends of the patch are on bridges of different datapath types, which patch ports do not join.",
    advice: "Give both bridges the same datapath_type.",
};

pub(super) fn check(examination: &Examination, findings: &mut Findings) {
    let patches = examination.patches();
    for place in examination.places().filter(|place| place.interface.r#type == "patch") {
        if vlans::part(&place.interface.name).is_some() {
            continue;
        }
        let name = &place.interface.name;
        let Health::Broken(Cause::Patch(peer)) = examination.health(&place, &patches) else { continue };
        match peer {
            Peer::Joined => {}
            Peer::Unnamed => {
                findings.add(&NO_PEER, place.about(), format!("patch port {name} names no peer (options:peer)"));
            }
            Peer::Missing(peer) => {
                let message = format!("the peer {peer} of patch port {name} is not there, or is no patch port");
                findings.add(&NO_PEER, place.about(), message);
            }
            Peer::Elsewhere(peer, third) => {
                let third = third.unwrap_or("nothing");
                let message = format!("patch port {name} names {peer} as its peer, which names {third}");
                findings.add(&PEER_ELSEWHERE, place.about(), message);
            }
            Peer::OtherDatapath(peer) => {
                let Some(other) = patches.get(peer) else { continue };
                let message = format!(
                    "patch port {name} is on {} (datapath type {}), its peer {peer} on {} ({})",
                    place.bridge.name, place.bridge.datapath_type, other.bridge.name, other.bridge.datapath_type
                );
                findings.add(&DATAPATHS, place.about(), message);
            }
        }
    }
}
