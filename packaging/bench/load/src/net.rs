//! Sockets that send from many addresses, and packets in and out by the dozen. All unsafe code is here.

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::wire::REQUEST_BYTES;

const REPLY_BYTES: usize = 1500;
/// Room for a pktinfo, or for a time stamp.
const CONTROL_WORDS: usize = 8;
/// From Linux' asm-generic/socket.h.
const SO_TIMESTAMPNS_NEW: libc::c_int = 64;
const RECEIVE_BUFFER: libc::c_int = 4 << 20;

/// A UDP socket bound to no address, so that each request can leave from another one of this machine's.
#[derive(Debug)]
pub struct Udp(OwnedFd);

impl Udp {
    /// A free port; with the kernel's receive times when `stamped`.
    pub fn new(stamped: bool) -> io::Result<Self> {
        // SAFETY: no memory is passed, and the descriptor is new and nobody else's.
        let socket = unsafe {
            let raw = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
            Self(OwnedFd::from_raw_fd(raw))
        };
        socket.set(libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        if stamped {
            socket.set(SO_TIMESTAMPNS_NEW, 1)?;
        }
        let name = name_of(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        // SAFETY: `name` is a sockaddr of the size given.
        check(unsafe { libc::bind(socket.fd(), (&raw const name).cast(), size_of_val(&name) as u32) })?;
        Ok(socket)
    }

    fn fd(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }

    fn set(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: `value` lives through the call and its size is given.
        let done = unsafe {
            let at = (&raw const value).cast();
            libc::setsockopt(self.fd(), libc::SOL_SOCKET, option, at, size_of_val(&value) as u32)
        };
        check(done).map(drop)
    }
}

/// Memory for packets, laid out once.
pub struct Batch {
    bytes: Box<[[u8; REPLY_BYTES]]>,
    controls: Box<[[u64; CONTROL_WORDS]]>,
    // Only the kernel reads what these hold besides `server` itself.
    _vectors: Box<[libc::iovec]>,
    _server: Box<libc::sockaddr_in>,
    heads: Box<[libc::mmsghdr]>,
}

// SAFETY: every pointer inside leads into a box that the batch itself owns, and the batch has one owner at a time.
unsafe impl Send for Batch {}

impl Batch {
    /// Room for `size` packets, sent to `server` when they are sent.
    pub fn new(size: usize, server: SocketAddrV4) -> Self {
        let mut bytes: Box<[_]> = vec![[0; REPLY_BYTES]; size].into();
        let mut controls: Box<[_]> = vec![[0; CONTROL_WORDS]; size].into();
        let mut server = Box::new(name_of(server));
        let vector = |room: &mut [u8; REPLY_BYTES]| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 0 };
        let mut vectors: Box<[_]> = bytes.iter_mut().map(vector).collect();
        let heads = vectors.iter_mut().zip(&mut controls).map(|(vector, control)| {
            // SAFETY: all zeros is a valid mmsghdr.
            let mut head: libc::mmsghdr = unsafe { zeroed() };
            head.msg_hdr.msg_name = (&raw mut *server).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            head.msg_hdr.msg_iov = &raw mut *vector;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = control.as_mut_ptr().cast();
            head
        });
        let heads = heads.collect();
        Self { bytes, controls, _vectors: vectors, _server: server, heads }
    }

    /// How many packets fit.
    pub fn size(&self) -> usize {
        self.heads.len()
    }

    /// Let `write` fill in packet `at`, which will leave from `source`.
    pub fn put(&mut self, at: usize, source: Ipv4Addr, write: impl FnOnce(&mut [u8; REQUEST_BYTES]) -> usize) {
        let room = self.bytes[at].first_chunk_mut().expect("a request is shorter than a reply");
        let length = write(room);
        let header = &mut self.heads[at].msg_hdr;
        // SAFETY: the vector is this batch's own; the control buffer has room for one pktinfo.
        unsafe {
            (*header.msg_iov).iov_len = length;
            header.msg_controllen = CONTROL_WORDS * 8;
            let control = libc::CMSG_FIRSTHDR(&raw const *header);
            (*control).cmsg_level = libc::IPPROTO_IP;
            (*control).cmsg_type = libc::IP_PKTINFO;
            (*control).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize;
            let mut info: libc::in_pktinfo = zeroed();
            info.ipi_spec_dst.s_addr = u32::from(source).to_be();
            ptr::write_unaligned(libc::CMSG_DATA(control).cast(), info);
            header.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as usize;
        }
    }

    /// Send the first `count` packets that were put; how many the kernel took (0 when it has no room now).
    pub fn send(&mut self, socket: &Udp, count: usize) -> io::Result<usize> {
        // SAFETY: the heads were completed by `put` and lead to memory of this batch.
        let sent = unsafe {
            libc::sendmmsg(socket.fd(), self.heads.as_mut_ptr(), count.min(self.size()) as u32, libc::MSG_DONTWAIT)
        };
        taken(sent)
    }

    /// Take what has come; how many packets.
    pub fn receive(&mut self, socket: &Udp) -> io::Result<usize> {
        for head in &mut self.heads {
            let header = &mut head.msg_hdr;
            // SAFETY: the vector is this batch's own.
            unsafe { (*header.msg_iov).iov_len = REPLY_BYTES };
            header.msg_name = ptr::null_mut();
            header.msg_namelen = 0;
            header.msg_controllen = CONTROL_WORDS * 8;
        }
        // SAFETY: the heads lead to memory of this batch, with the lengths that they say.
        let got = unsafe {
            let heads = self.heads.as_mut_ptr();
            libc::recvmmsg(socket.fd(), heads, self.size() as u32, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        taken(got)
    }

    /// Packet `at` of those that came.
    pub fn packet(&self, at: usize) -> &[u8] {
        &self.bytes[at][..(self.heads[at].msg_len as usize).min(REPLY_BYTES)]
    }

    /// When packet `at` came, ns since 1970, if the kernel said.
    pub fn stamp_ns(&self, at: usize) -> Option<i64> {
        let header = &self.heads[at].msg_hdr;
        debug_assert!(!self.controls.is_empty());
        // SAFETY: the kernel filled this control buffer and set its length.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(&raw const *header);
            let stamped = !control.is_null() && (*control).cmsg_type == SO_TIMESTAMPNS_NEW;
            stamped.then(|| {
                let [seconds, ns] = ptr::read_unaligned(libc::CMSG_DATA(control).cast::<[i64; 2]>());
                seconds * 1_000_000_000 + ns
            })
        }
    }
}

/// Wait until a reply is there, at most `ns`.
pub fn wait(sockets: &[Udp], ns: i64) {
    let entry = |socket: &Udp| libc::pollfd { fd: socket.fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<_> = sockets.iter().map(entry).collect();
    let ns = ns.max(0);
    let limit = libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ };
    // SAFETY: both live through the call. Whatever it says, the sockets are looked at afterwards.
    unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as _, &raw const limit, ptr::null()) };
}

/// Wake up when asked to, not up to 50 µs later.
pub fn wake_exactly() {
    // SAFETY: no memory is passed; without it the pace is a little rougher.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// ns since 1970.
pub fn now_ns() -> i64 {
    read_clock(libc::CLOCK_REALTIME)
}

/// Processor time of this thread, ns.
pub fn used_ns() -> i64 {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: libc::clockid_t) -> i64 {
    #[allow(clippy::useless_conversion, clippy::cast_lossless)] // seconds have 32 bits on some machines
    // SAFETY: a timespec is valid when zeroed, and the call fills it.
    unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(clock, &raw mut now);
        i64::from(now.tv_sec) * 1_000_000_000 + i64::from(now.tv_nsec)
    }
}

fn name_of(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: all zeros is a valid sockaddr_in.
    let mut name: libc::sockaddr_in = unsafe { zeroed() };
    name.sin_family = libc::AF_INET as u16;
    name.sin_port = address.port().to_be();
    name.sin_addr.s_addr = u32::from(*address.ip()).to_be();
    name
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A count, or 0 when there is nothing now.
fn taken(result: libc::c_int) -> io::Result<usize> {
    match check(result) {
        Ok(count) => Ok(count as usize),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => Ok(0),
            _ => Err(error),
        },
    }
}
