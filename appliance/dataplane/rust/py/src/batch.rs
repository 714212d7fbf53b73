//! Packets in and out, up to 32 with one system call each, through memory that is laid out once.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use timeball_core::gathering::Gathering;

use crate::clock::monotonic_ns;
use crate::socket::{Name, SO_TIMESTAMPNS_NEW, Udp};

/// Packets taken at a time. More would only add waiting.
pub const WIDTH: usize = 32;

/// Control messages are aligned like a `cmsghdr`: room for a time stamp and a pktinfo of either family.
pub const CONTROL_WORDS: usize = 16;

/// Room for one packet, longer by a cache line: rooms of a power of two would all share a few places of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Room<const SIZE: usize>([u8; SIZE], [u8; 64]);

/// What came with one packet.
pub struct Envelope {
    /// Its length on the wire, more than the slot holds if it was cut off.
    pub size: usize,
    /// Where it came from.
    pub source: SocketAddr,
    /// The address it was sent to, if the kernel said.
    pub own: Option<IpAddr>,
    /// When it arrived, ns since 1970, if the kernel said.
    pub rx_ns: Option<i64>,
}

/// Room for the packets of one socket, their replies and their addresses.
pub struct Batch<const IN: usize, const OUT: usize> {
    packets: Box<[Room<IN>]>,
    replies: Box<[Room<OUT>]>,
    names: Box<[Name]>,
    controls: Box<[[u64; CONTROL_WORDS]]>,
    out_controls: Box<[[u64; CONTROL_WORDS]]>,
    in_vectors: Box<[libc::iovec]>,
    out_vectors: Box<[libc::iovec]>,
    in_heads: Box<[libc::mmsghdr]>,
    out_heads: Box<[libc::mmsghdr]>,
    filled: usize,
    /// Heads that the kernel wrote into: their lengths are to be set anew.
    taken: usize,
    gathering: Gathering,
}

// SAFETY: every pointer inside leads into a box that the batch itself owns, and the batch has one owner at a time.
unsafe impl<const IN: usize, const OUT: usize> Send for Batch<IN, OUT> {}

impl<const IN: usize, const OUT: usize> Batch<IN, OUT> {
    /// Lay out the memory.
    pub fn new() -> Self {
        // SAFETY: all of these C structures are valid when zeroed.
        let (name, vector, head) = unsafe { (zeroed::<Name>(), zeroed::<libc::iovec>(), zeroed::<libc::mmsghdr>()) };
        let mut batch = Self {
            packets: vec![Room([0; IN], [0; 64]); WIDTH].into(),
            replies: vec![Room([0; OUT], [0; 64]); WIDTH].into(),
            names: vec![name; WIDTH].into(),
            controls: vec![[0; CONTROL_WORDS]; WIDTH].into(),
            out_controls: vec![[0; CONTROL_WORDS]; WIDTH].into(),
            in_vectors: vec![vector; WIDTH].into(),
            out_vectors: vec![vector; WIDTH].into(),
            in_heads: vec![head; WIDTH].into(),
            out_heads: vec![head; WIDTH].into(),
            filled: 0,
            taken: WIDTH,
            gathering: Gathering::default(),
        };
        for i in 0..WIDTH {
            batch.in_vectors[i] = libc::iovec { iov_base: batch.packets[i].0.as_mut_ptr().cast(), iov_len: IN };
            batch.out_vectors[i].iov_base = batch.replies[i].0.as_mut_ptr().cast();
            let head = &mut batch.in_heads[i].msg_hdr;
            head.msg_name = (&raw mut batch.names[i]).cast();
            head.msg_iov = &raw mut batch.in_vectors[i];
            head.msg_iovlen = 1;
            head.msg_control = batch.controls[i].as_mut_ptr().cast();
            let head = &mut batch.out_heads[i].msg_hdr;
            head.msg_iov = &raw mut batch.out_vectors[i];
            head.msg_iovlen = 1;
        }
        batch
    }

    /// Wait for at least one packet, take up to `WIDTH`; returns how many.
    pub fn receive(&mut self, socket: &Udp) -> io::Result<usize> {
        if let Some(rest) = self.gathering.rest(self.taken, monotonic_ns) {
            std::thread::sleep(rest);
        }
        for head in &mut self.in_heads[..self.taken] {
            head.msg_hdr.msg_namelen = size_of::<Name>() as u32;
            head.msg_hdr.msg_controllen = CONTROL_WORDS * 8;
        }
        self.filled = 0;
        // SAFETY: the heads lead to memory of this batch, with the lengths that they say.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.in_heads.as_mut_ptr(),
                WIDTH as u32,
                socket.patience() | libc::MSG_TRUNC,
                ptr::null_mut(),
            )
        };
        self.taken = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok(self.taken)
    }

    /// The packet in slot `i` and what came with it.
    pub fn packet(&self, i: usize) -> (&[u8], Envelope) {
        let head = &self.in_heads[i];
        let size = head.msg_len as usize;
        let mut envelope = Envelope { size, source: crate::socket::from_name(&self.names[i]), own: None, rx_ns: None };
        // SAFETY: the kernel filled this control buffer and set its length; the macros stay inside it.
        unsafe {
            let mut control = libc::CMSG_FIRSTHDR(&raw const head.msg_hdr);
            while !control.is_null() {
                let data = libc::CMSG_DATA(control);
                match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW) => {
                        let [seconds, ns] = ptr::read_unaligned(data.cast::<[i64; 2]>());
                        envelope.rx_ns = Some(seconds * 1_000_000_000 + ns);
                    }
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info = ptr::read_unaligned(data.cast::<libc::in_pktinfo>());
                        envelope.own = Some(IpAddr::V4(u32::from_be(info.ipi_addr.s_addr).into()));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = ptr::read_unaligned(data.cast::<libc::in6_pktinfo>());
                        envelope.own = Some(IpAddr::V6(info.ipi6_addr.s6_addr.into()));
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(&raw const head.msg_hdr, control);
            }
        }
        (&self.packets[i].0[..size.min(IN)], envelope)
    }

    /// The packet in slot `i` and the room for its reply, side by side.
    pub fn slot(&mut self, i: usize) -> (&[u8], &mut [u8; OUT]) {
        let size = (self.in_heads[i].msg_len as usize).min(IN);
        (&self.packets[i].0[..size], &mut self.replies[self.filled].0)
    }

    /// Keep what was written into the room of `slot` as a reply of `length` bytes to packet `i`, from the address `own`.
    pub fn keep(&mut self, i: usize, length: usize, own: Option<IpAddr>) {
        let at = self.filled;
        self.out_vectors[at].iov_len = length;
        let control = &mut self.out_controls[at];
        let head = &mut self.out_heads[at].msg_hdr;
        head.msg_name = (&raw mut self.names[i]).cast();
        head.msg_namelen = self.in_heads[i].msg_hdr.msg_namelen;
        head.msg_control = ptr::null_mut();
        head.msg_controllen = 0;
        if let Some(own) = own {
            head.msg_control = control.as_mut_ptr().cast();
            head.msg_controllen = CONTROL_WORDS * 8;
            // SAFETY: the buffer has room for either pktinfo, and the length is set to what was written.
            unsafe { head.msg_controllen = write_source(head, own) };
        }
        self.filled += 1;
    }

    /// Let the kernel tell when the reply that was kept last leaves; see `stamps`.
    pub fn ask_for_stamp(&mut self) {
        let Some(at) = self.filled.checked_sub(1) else {
            return;
        };
        let head = &mut self.out_heads[at].msg_hdr;
        let used = head.msg_controllen;
        head.msg_control = self.out_controls[at].as_mut_ptr().cast();
        // SAFETY: behind the pktinfo (40 bytes at most, with its head) the buffer has room for 24 more.
        unsafe {
            let control = self.out_controls[at].as_mut_ptr().cast::<u8>().add(used).cast::<libc::cmsghdr>();
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SO_TIMESTAMPING;
            (*control).cmsg_len = libc::CMSG_LEN(size_of::<u32>() as u32) as usize;
            ptr::write_unaligned(libc::CMSG_DATA(control).cast(), libc::SOF_TIMESTAMPING_TX_SOFTWARE);
            head.msg_controllen = used + libc::CMSG_SPACE(size_of::<u32>() as u32) as usize;
        }
    }

    /// Send what was kept; calls `failed` with the number of each reply that the kernel did not take.
    pub fn send(&mut self, fd: RawFd, mut failed: impl FnMut(usize)) {
        let mut sent = 0;
        while sent < self.filled {
            // SAFETY: the heads from `sent` to `filled` were completed by `keep`.
            let done = unsafe {
                libc::sendmmsg(fd, self.out_heads[sent..].as_mut_ptr(), (self.filled - sent) as u32, libc::MSG_DONTWAIT)
            };
            if done > 0 {
                sent += done as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // The call stops at the first message that fails, and says why only if that is the first of the call.
                failed(sent);
                sent += 1;
            }
        }
    }
}

/// Write a pktinfo that sends from `own`; returns the length of the control buffer in use.
pub unsafe fn write_source(head: &mut libc::msghdr, own: IpAddr) -> usize {
    // SAFETY: the caller gives a control buffer with room for the larger of the two.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(&raw const *head);
        let (level, kind, size) = match own {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>()),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>()),
        };
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size as u32) as usize;
        // The interface stays 0: the way back is the routing table's business.
        match own {
            IpAddr::V4(v4) => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = u32::from(v4).to_be();
                ptr::write_unaligned(libc::CMSG_DATA(control).cast(), info);
            }
            IpAddr::V6(v6) => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = v6.octets();
                ptr::write_unaligned(libc::CMSG_DATA(control).cast(), info);
            }
        }
        libc::CMSG_SPACE(size as u32) as usize
    }
}
