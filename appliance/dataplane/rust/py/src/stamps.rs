//! When a packet left, told by the kernel through the error queue of its socket.
//!
//! A packet asks for its own stamp, so all others cost nothing. The socket asks for times with SO_TIMESTAMPNS alone, which the
//! kernel then uses for the error queue as well: with SO_TIMESTAMPING switched on for the socket, every received packet would
//! carry its time twice.

use std::mem::zeroed;
use std::os::fd::RawFd;
use std::ptr;

use crate::socket::SO_TIMESTAMPNS_NEW;

/// Headers of Ethernet and IPv6 with room to spare, and the longest reply.
const FRAME_BYTES: usize = 512;
/// A time, a pktinfo, an extended error with the address of its origin.
const CONTROL_WORDS: usize = 64;

/// Call `told` with each packet that came back and when it left, ns since 1970, until the queue is empty; how many came.
///
/// What comes back begins with whatever headers the lower layers put in front.
pub fn read(fd: RawFd, mut told: impl FnMut(&[u8], i64)) -> usize {
    let (mut frame, mut control) = ([0u8; FRAME_BYTES], [0u64; CONTROL_WORDS]);
    let mut count = 0;
    loop {
        let mut vector = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: FRAME_BYTES };
        // SAFETY: all zeros is a valid message head; its pointers lead to memory that outlives the calls.
        let (got, sent_ns) = unsafe {
            let mut head: libc::msghdr = zeroed();
            head.msg_iov = &raw mut vector;
            head.msg_iovlen = 1;
            head.msg_control = control.as_mut_ptr().cast();
            head.msg_controllen = (CONTROL_WORDS * 8) as _;
            let got = libc::recvmsg(fd, &raw mut head, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT);
            (got, if got < 0 { None } else { time_of(&head) })
        };
        let Ok(got) = usize::try_from(got) else {
            return count; // empty, or the socket has something to say that the next call says again
        };
        count += 1;
        if let Some(sent_ns) = sent_ns {
            told(&frame[..got.min(FRAME_BYTES)], sent_ns);
        }
    }
}

/// The time among the control messages.
///
/// # Safety
///
/// The kernel filled the control buffer and set its length.
unsafe fn time_of(head: &libc::msghdr) -> Option<i64> {
    // SAFETY: the macros stay inside the buffer.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(&raw const *head);
        while !control.is_null() {
            if ((*control).cmsg_level, (*control).cmsg_type) == (libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW) {
                let [seconds, ns] = ptr::read_unaligned(libc::CMSG_DATA(control).cast::<[i64; 2]>());
                return Some(seconds * 1_000_000_000 + ns);
            }
            control = libc::CMSG_NXTHDR(&raw const *head, control);
        }
    }
    None
}
