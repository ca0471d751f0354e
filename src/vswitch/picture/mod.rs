//! A picture of the switch: everything that is configured and what ovs-vswitchd reports of it, as a tree.
//!
//! [`Tables`] are the rows, read in one request. [`Picture::of`] makes the tree of them and looks at nothing else, so
//! the rows may come from anywhere.

mod rows;
mod tree;

pub use rows::{BridgeRow, COLUMNS, InterfaceRow, PortRow, RemoteRow, RootRow, Strings, Tables};
pub use tree::{
    Bond, BridgePicture, DerivedFrom, InterfacePicture, NetworkKind, PatchPeer, Picture, PortPicture, Problem,
    RemotePicture, SpanningTree, Tunnel, VlanBridgeOf,
};
