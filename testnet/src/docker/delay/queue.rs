//! A queue of packets that wait for a word from this program: the kernel's `nfnetlink_queue`, spoken over a netlink socket.
//! Only what is needed of it: numbers come, and a number lets all up to it go on.
//!
//! Formats: `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nfnetlink_queue.h`. All numbers of netlink are
//! in the machine's order, those of netfilter in network order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

/// Length of a netlink header, and with netfilter's own part.
const HEADER: usize = 16;
const HEADERS: usize = HEADER + 4;
/// Length of an attribute's header.
const ATTRIBUTE: usize = 4;
/// The kind of message that answers: an error, or that all is well.
const ERROR: u16 = 2;
/// This is a request; an answer is wanted.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// Netfilter's part that has the queues, and its messages.
const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const CONFIG: u16 = SUBSYSTEM | 2;
const VERDICT_BATCH: u16 = SUBSYSTEM | 3;
/// Attributes of a configuration: command (1: bind), what is copied (1: no contents), bound, mask of flags, flags.
const CFG_COMMAND: u16 = 1;
const CFG_PARAMS: u16 = 2;
const CFG_MAXLEN: u16 = 3;
const CFG_MASK: u16 = 4;
const CFG_FLAGS: u16 = 5;
/// Packets that the sender's kernel has not cut into those of the wire yet stay as they are.
const FLAG_GSO: u32 = 4;
/// Attributes of a packet and of a verdict; the verdict that lets it go on.
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const ACCEPT: u32 = 1;
/// Which bits of an attribute's kind are its kind.
const KIND_MASK: u16 = 0x3fff;
/// Bytes of messages that the kernel keeps for us: as many as packets are held, about 800 each.
const BUFFER_BYTES: usize = 32 << 20;
/// Bytes of one message at most; those about packets without contents have about a hundred.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// A queue of this program's network.
pub(super) struct Queue {
    socket: OwnedFd,
    number: u16,
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Queue {
    /// Takes a queue that holds so many packets; more are dropped. None: somebody else has it.
    pub(super) fn bind(number: u16, held_max: u32) -> io::Result<Option<Self>> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)?;
        let queue = Self { socket, number };
        match queue.configure(&[(CFG_COMMAND, &[1, 0, 0, 0])]) {
            Err(Errno::BUSY | Errno::PERM) => return Ok(None),
            other => other?,
        }
        let (length, flags) = (held_max.to_be_bytes(), FLAG_GSO.to_be_bytes());
        queue.configure(&[(CFG_PARAMS, &[0, 0, 0, 0, 1])])?;
        queue.configure(&[(CFG_MAXLEN, &length), (CFG_MASK, &flags), (CFG_FLAGS, &flags)])?;
        Ok(Some(queue))
    }

    fn configure(&self, attributes: &[(u16, &[u8])]) -> Result<(), Errno> {
        send(&self.socket, &message(CONFIG, REQUEST | ACK, self.number, attributes), SendFlags::empty())?;
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let (read, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
        let mut outcome = Err(Errno::BADMSG);
        each_message(&buffer[..read], |kind, body| {
            if let (ERROR, Some(code)) = (kind, body.first_chunk()) {
                let code = i32::from_ne_bytes(*code);
                outcome = if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-code)) };
            }
        });
        outcome
    }

    /// Tells the numbers of all packets that have come, in their order.
    pub(super) fn receive(&self, mut tell: impl FnMut(u32)) -> io::Result<()> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            let read = match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(()),
                // Messages were lost, and with them their packets; those that came are there.
                Err(Errno::NOBUFS | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            each_message(&buffer[..read], |kind, body| {
                // Errors are about verdicts for packets that went with their interface.
                if kind == PACKET
                    && let Some(number) = packet_number(body)
                {
                    tell(number);
                }
            });
        }
    }

    /// Lets all packets up to this one go on.
    pub(super) fn release(&self, last: u32) -> io::Result<()> {
        let verdict = [ACCEPT.to_be_bytes(), last.to_be_bytes()].concat();
        let message = message(VERDICT_BATCH, REQUEST, self.number, &[(VERDICT_HEADER, &verdict)]);
        send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }
}

/// A message about a queue.
fn message(kind: u16, flags: u16, queue: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0, 0];
    body.extend(queue.to_be_bytes());
    for (kind, value) in attributes {
        // Values are a few bytes.
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and sender: nobody asks.
    message.extend([0; 8]);
    message.append(&mut body);
    message
}

/// Tells kind and body of each message.
fn each_message(mut bytes: &[u8], mut tell: impl FnMut(u16, &[u8])) {
    while let (Some(length), Some(kind)) = (number_u32(bytes, 0), number_u16(bytes, 4)) {
        let length = length as usize;
        let Some(body) = bytes.get(HEADER..length) else { return };
        tell(kind, body);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The number of a packet.
fn packet_number(body: &[u8]) -> Option<u32> {
    let mut bytes = body.get(HEADERS - HEADER..)?;
    loop {
        let (length, kind) = (usize::from(number_u16(bytes, 0)?), number_u16(bytes, 2)?);
        let value = bytes.get(ATTRIBUTE..length)?;
        if kind & KIND_MASK == PACKET_HEADER {
            return value.first_chunk().map(|number| u32::from_be_bytes(*number));
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn number_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

fn number_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|number| u16::from_ne_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::{ACCEPT, HEADER, PACKET, PACKET_HEADER, VERDICT_BATCH, each_message, message, packet_number};

    #[test]
    fn what_is_said_is_understood() {
        let packet = [5, 0x1234_5678_u32.to_be(), 0].map(u32::to_ne_bytes).concat();
        let mut bytes = message(PACKET, 0, 7, &[(9, &[1]), (PACKET_HEADER, &packet[4..])]);
        bytes.extend(message(VERDICT_BATCH, 1, 7, &[(2, &ACCEPT.to_be_bytes())]));
        let mut heard = Vec::new();
        each_message(&bytes, |kind, body| heard.push((kind, packet_number(body))));
        assert_eq!(heard, [(PACKET, Some(0x1234_5678)), (VERDICT_BATCH, None)]);
    }

    #[test]
    fn what_is_cut_short_or_lies_about_its_length_is_left_out() {
        let whole = message(PACKET, 0, 7, &[(PACKET_HEADER, &[0, 0, 0, 1])]);
        for length in 0..whole.len() {
            each_message(&whole[..length], |_, _| panic!("{length}"));
        }
        for length in [0_u32, 1, 15, u32::MAX] {
            let lying = [&length.to_ne_bytes()[..], &whole[4..]].concat();
            each_message(&lying, |_, _| panic!("{length}"));
        }
        for length in [0_u16, 3, u16::MAX] {
            let mut body = whole[HEADER..].to_vec();
            body[4..6].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(packet_number(&body), None, "{length}");
        }
    }
}
