//! The address of the network card, and the way to everybody else.
//!
//! Sources: Linux, `include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`; RFC 3549.
//!
//! The address is of the command line, so it is measured: a host that gives the machine another one reaches nobody in it. There is no DHCP,
//! which would be configuration from outside.

use crate::error::{At as _, During as _, Failure};
use crate::settings::Address;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::os::fd::{AsFd, OwnedFd};

/// Turns the loopback interface and the card on, gives the card its address, and all else to the gateway.
pub(crate) fn set_up(address: &Address) -> Result<(), Failure> {
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .during("opening the kernel's network")?;
    let card = index(CARD)?;
    for message in [turn_on(index(LOOPBACK)?), turn_on(card), own(card, address), gateway(card, address)] {
        ask(&socket, &message)?;
    }
    Ok(())
}

fn index(interface: &str) -> Result<u32, Failure> {
    let path = format!("/sys/class/net/{interface}/ifindex");
    let text = crate::system::read(&path)?;
    text.trim().parse().map_err(|_| std::io::ErrorKind::InvalidData.into()).at(&path)
}

/// Sends a message and waits for the kernel's answer, which is an error number.
fn ask(socket: &OwnedFd, message: &[u8]) -> Result<(), Failure> {
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(socket.as_fd(), message, SendFlags::empty(), &kernel)
        .during("asking the kernel's network")?;
    let mut answer = [0; 4096];
    let (length, _) = rustix::net::recv(socket.as_fd(), &mut answer[..], RecvFlags::empty())
        .during("hearing the kernel's network")?;
    match answer_code(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        code => {
            let error = code.map_or(rustix::io::Errno::BADMSG, |code| {
                rustix::io::Errno::from_raw_os_error(code.saturating_neg())
            });
            Err(Failure::Step { step: "setting up the network", error })
        }
    }
}

/// The error number of an answer, zero or negative.
fn answer_code(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_le_bytes(*answer.get(4..)?.first_chunk()?);
    let code = i32::from_le_bytes(*answer.get(16..)?.first_chunk()?);
    (kind == ANSWER).then_some(code)
}

fn turn_on(interface: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(interface.to_le_bytes());
    // Which flags, and which of them change.
    body.extend(UP.to_le_bytes());
    body.extend(UP.to_le_bytes());
    message(SET_LINK, 0, &body)
}

fn own(interface: u32, address: &Address) -> Vec<u8> {
    let mut body = vec![IPV4, address.prefix, 0, 0];
    body.extend(interface.to_le_bytes());
    attribute(&mut body, ADDRESS_LOCAL, address.own.octets());
    attribute(&mut body, ADDRESS, address.own.octets());
    message(NEW_ADDRESS, CREATE, &body)
}

fn gateway(interface: u32, address: &Address) -> Vec<u8> {
    // To all addresses; the main table; set up at the start; everywhere; to a single address.
    let mut body = vec![IPV4, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    attribute(&mut body, ROUTE_GATEWAY, address.gateway.octets());
    attribute(&mut body, ROUTE_INTERFACE, interface.to_le_bytes());
    message(NEW_ROUTE, CREATE, &body)
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(16);
    let mut message = Vec::new();
    message.extend(length.to_le_bytes());
    message.extend(kind.to_le_bytes());
    message.extend((flags | REQUEST_AND_ANSWER).to_le_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    body.extend(8_u16.to_le_bytes());
    body.extend(kind.to_le_bytes());
    body.extend(value);
}

const LOOPBACK: &str = "lo";
const CARD: &str = "eth0";
const IPV4: u8 = 2;
const UP: u32 = 1;
const ANSWER: u16 = 2;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST_AND_ANSWER: u16 = 5;
const CREATE: u16 = 0x600;
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn messages_say_how_long_they_are() {
        let address =
            Address { own: Ipv4Addr::new(10, 0, 2, 15), prefix: 24, gateway: Ipv4Addr::new(10, 0, 2, 2) };
        for (message, kind) in [(turn_on(3), 19), (own(3, &address), 20), (gateway(3, &address), 24)] {
            assert_eq!(u32::from_le_bytes(message[..4].try_into().unwrap()) as usize, message.len());
            assert_eq!(message[4], kind);
            assert_eq!(message.len() % 4, 0);
        }
        assert_eq!(
            own(3, &address)[16..],
            [2, 24, 0, 0, 3, 0, 0, 0, 8, 0, 2, 0, 10, 0, 2, 15, 8, 0, 1, 0, 10, 0, 2, 15]
        );
        assert_eq!(
            gateway(3, &address)[16..],
            [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 8, 0, 5, 0, 10, 0, 2, 2, 8, 0, 4, 0, 3, 0, 0, 0]
        );
    }

    #[test]
    fn answers() {
        let mut answer = [0; 36];
        answer[4] = 2;
        assert_eq!(answer_code(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-17_i32).to_le_bytes());
        assert_eq!(answer_code(&answer), Some(-17));
        answer[4] = 3;
        assert_eq!(answer_code(&answer), None);
        assert_eq!(answer_code(&answer[..19]), None);
    }
}
