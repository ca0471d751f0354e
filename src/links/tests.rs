//! Kernel devices, in a network namespace of the test.

use rtnetlink::packet_core::{DefaultNla, Emitable};
use rtnetlink::packet_route::link::InfoKind;

use super::*;

fn vxlan(name: &str) -> Vxlan {
    Vxlan { name: name.into(), vni: 7, lower: 12, group: Ipv4Addr::new(239, 0, 0, 1), mtu: 1500 }
}

#[test]
fn an_error_tells_what_was_tried_and_why_it_failed() {
    let vtep7 = vxlan("vtep7");
    let making = |errno, said: Option<&str>| {
        LinkError::refused(&Request::AddVxlan(&vtep7), errno, said.map(str::to_owned)).to_string()
    };
    for (errno, reason) in [
        (EPERM, "not permitted, it needs the capability CAP_NET_ADMIN"),
        (EEXIST, "a device of that name, or with that VNI, exists already"),
        (ENODEV, "there is no device number 12 to run over"),
        (EOPNOTSUPP, "the kernel module vxlan is not available"),
        (ERANGE, "the name or the VNI is out of range"),
    ] {
        assert_eq!(making(errno, None), format!("making the vxlan device vtep7 (VNI 7): {reason}"));
    }
    assert_eq!(
        making(EEXIST, Some("A VXLAN device with the specified VNI already exists")),
        "making the vxlan device vtep7 (VNI 7): a device of that name, or with that VNI, exists already; \
         the kernel says: A VXLAN device with the specified VNI already exists"
    );
    let setting_up = |errno| LinkError::refused(&Request::SetUp("eth1"), errno, None);
    assert_eq!(setting_up(ENODEV).to_string(), "setting the network device eth1 up: there is no such device");
    assert!(!setting_up(EOPNOTSUPP).to_string().contains("vxlan"), "{}", setting_up(EOPNOTSUPP));
}

#[test]
fn errors_are_told_apart() {
    for (errno, exists, missing) in
        [(EEXIST, true, false), (ENODEV, false, true), (EPERM, false, false), (EOPNOTSUPP, false, false)]
    {
        let error = LinkError::refused(&Request::SetUp("eth1"), errno, None);
        assert_eq!((error.is_exists(), error.is_missing()), (exists, missing), "{error}");
    }
}

/// An error message as the kernel sends it: the request again, then attributes.
fn answer(attributes: &[DefaultNla]) -> ErrorMessage {
    let mut request = Request::SetDown("odd").message();
    request.finalize();
    let mut error = ErrorMessage::default();
    error.header.resize(request.buffer_len() + attributes.buffer_len(), 0);
    request.serialize(&mut error.header[..request.buffer_len()]);
    attributes.emit(&mut error.header[request.buffer_len()..]);
    error
}

#[test]
fn the_kernels_own_words_are_found() {
    let offset = DefaultNla::new(2, vec![4, 0, 0, 0]);
    let text = DefaultNla::new(1, b"Unknown device type.\0".to_vec());
    assert_eq!(said(&answer(&[offset.clone(), text])).as_deref(), Some("Unknown device type"));
    assert_eq!(said(&answer(&[offset])), None);
    assert_eq!(said(&answer(&[])), None, "kernels before 4.12");
    let mut cut = answer(&[]);
    for length in (0..cut.header.len()).rev() {
        cut.header.truncate(length);
        assert_eq!(said(&cut), None, "{length} bytes");
    }
}

#[test]
fn a_vxlan_device_is_asked_for_with_everything_but_a_port() {
    let message = Request::AddVxlan(&vxlan("vtep7")).message();
    assert_eq!(message.header.flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = message.payload else {
        panic!("{message:?}");
    };
    assert_eq!((link.header.index, link.header.flags), (0, LinkFlags::Up));
    assert_eq!(link.header.change_mask, LinkFlags::Up);
    let data = vec![
        InfoVxlan::Id(7),
        InfoVxlan::Link(12),
        InfoVxlan::Group(Ipv4Addr::new(239, 0, 0, 1)),
        InfoVxlan::Ttl(0),
        InfoVxlan::Tos(0),
        InfoVxlan::Learning(true),
        InfoVxlan::Proxy(false),
        InfoVxlan::Rsc(false),
        InfoVxlan::L2Miss(false),
        InfoVxlan::L3Miss(false),
        InfoVxlan::UDPZeroCsumTX(false),
        InfoVxlan::UDPZeroCsumRX(false),
    ];
    let expected = [
        LinkAttribute::IfName("vtep7".into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vxlan), LinkInfo::Data(InfoData::Vxlan(data))]),
    ];
    assert_eq!(link.attributes.len(), expected.len(), "{link:?}");
    for attribute in expected {
        assert!(link.attributes.contains(&attribute), "{attribute:?} not in {link:?}");
    }
}

#[test]
fn looking_for_a_device_does_not_list_all_of_them() {
    for request in [Request::Find("eth1"), Request::FindNumber(3)] {
        assert_eq!(request.message().header.flags, NLM_F_REQUEST, "{request}");
    }
}

#[test]
fn setting_up_and_down_makes_no_device() {
    for request in [Request::SetUp("eth1"), Request::SetDown("eth1")] {
        assert_eq!(request.message().header.flags, NLM_F_REQUEST | NLM_F_ACK, "{request}");
    }
}

#[test]
fn a_name_that_the_kernel_would_make_another_of_is_refused() {
    for name in ["", "vtep%d", "vtep7\0", "a-name-too-long-"] {
        let refused = Request::AddVxlan(&vxlan(name)).check();
        assert!(matches!(refused, Err(LinkError::Name { .. })), "{name:?}: {refused:?}");
    }
    for name in ["", "eth1\0", "a-name-too-long-"] {
        for request in [Request::Find(name), Request::SetUp(name), Request::SetDown(name)] {
            assert!(request.check().is_err_and(|error| error.is_missing()), "{request}");
        }
    }
    for number in [0, 1 << 31] {
        assert!(Request::FindNumber(number).check().is_err_and(|error| error.is_missing()), "{number}");
    }
    assert!(Request::AddVxlan(&vxlan("vtep16777215")).check().is_ok());
    assert!(Request::Find("fifteen-bytes-%").check().is_ok());
}

/// A socket in place of the kernel's, whose answer to the next request is here already.
fn answered(answer: &[u8]) -> Links {
    let mut peer = Socket::new(rtnetlink::sys::protocols::NETLINK_USERSOCK).unwrap();
    let peer_address = peer.bind_auto().unwrap();
    let mut socket = Socket::new(rtnetlink::sys::protocols::NETLINK_USERSOCK).unwrap();
    let address = socket.bind_auto().unwrap();
    socket.connect(&peer_address).unwrap();
    socket.set_non_blocking(true).unwrap();
    peer.send_to(answer, &address, 0).unwrap();
    // The peer has to be there when the request is sent.
    std::mem::forget(peer);
    Links { socket, sequence: AtomicU32::new(0) }
}

#[test]
fn an_answer_that_cannot_be_read_is_told_as_that_and_not_as_a_lost_connection() {
    // Shorter than a header; a header that tells another length; a device with an attribute that is cut.
    let mut cut = NetlinkMessage::from(RouteNetlinkMessage::NewLink(LinkUnspec::new_with_name("eth1").build()));
    cut.header.sequence_number = 1;
    cut.finalize();
    let mut bytes = vec![0; cut.buffer_len()];
    cut.serialize(&mut bytes);
    let attribute = bytes.len() - 12;
    bytes[attribute] = 200;
    for answer in [&[1, 2, 3][..], &[255; 20], &bytes] {
        for told in [answered(answer).get("eth1").map(drop), answered(answer).set_up("eth1")] {
            let error = told.unwrap_err();
            assert!(matches!(error, LinkError::Unreadable { .. }), "{error:?}");
            assert!(error.may_be_done() && error.to_string().contains("can't be read"), "{error}");
        }
    }
}

#[test]
fn a_device_without_a_name_is_none() {
    assert!(read(LinkMessage::default()).is_err());
    assert_eq!(read(LinkUnspec::new_with_name("eth1").build()).unwrap().name, "eth1");
}

#[test]
fn a_lost_connection_is_not_taken_for_an_answer() {
    // Nobody in the kernel answers on this one.
    let socket = Links::connect(rtnetlink::sys::protocols::NETLINK_USERSOCK).unwrap();
    let links = Links { socket, sequence: AtomicU32::new(0) };
    for _ in 0..2 {
        let found = links.get("lo");
        assert!(matches!(found, Err(LinkError::Lost { .. })), "{found:?}");
        let set_down = links.set_down("no-such-device");
        assert!(matches!(set_down, Err(LinkError::Lost { .. })), "{set_down:?}");
    }
}
