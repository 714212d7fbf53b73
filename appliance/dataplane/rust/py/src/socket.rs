//! UDP sockets for servers: bound to one family, with receive times, and the address each packet was sent to.
//!
//! The only module with unsafe code besides `batch`: every block calls the C library with memory that it owns.

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::batch::{CONTROL_WORDS, write_source};

/// 64-bit seconds on every machine; from Linux' asm-generic/socket.h.
pub const SO_TIMESTAMPNS_NEW: libc::c_int = 64;
const SO_ATTACH_REUSEPORT_CBPF: libc::c_int = 51;
/// From Linux' linux/in.h and linux/in6.h: of both families.
const PMTUDISC_PROBE: libc::c_int = 3;
const PMTUDISC_OMIT: libc::c_int = 5;

/// A bound UDP socket.
pub struct Udp {
    fd: OwnedFd,
    /// What ends the wait on a socket of the service manager's, which cannot be shut down: it is used again.
    wake: Option<Arc<OwnedFd>>,
    /// Where it is bound, port filled in.
    pub bound: SocketAddr,
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Udp {
    /// Bind `address`; several sockets share it when `shared` says so.
    pub fn bind(address: SocketAddr, shared: bool, receive_buffer: i32) -> io::Result<Self> {
        let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
        // SAFETY: no memory is passed.
        let raw = check(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if address.is_ipv6() {
            set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1)?;
        }
        if shared {
            set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1)?;
        }
        prepare(raw, address, receive_buffer)?;
        let (name, length) = to_name(address);
        // SAFETY: `name` is a sockaddr of `length` bytes.
        check(unsafe { libc::bind(raw, (&raw const name).cast(), length) })?;
        let bound = own_name(raw)?;
        Ok(Self { fd, wake: None, bound })
    }

    /// Work on a copy of `theirs`, which the service manager bound; writing to `wake` ends every wait for packets.
    fn lent(theirs: RawFd, wake: Arc<OwnedFd>, receive_buffer: i32) -> io::Result<Self> {
        // SAFETY: no memory is passed, and the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::fcntl(theirs, libc::F_DUPFD_CLOEXEC, 0))?) };
        let bound = own_name(fd.as_raw_fd())?;
        prepare(fd.as_raw_fd(), bound, receive_buffer)?;
        Ok(Self { fd, wake: Some(wake), bound })
    }

    /// Wait where receiving itself must not; afterwards there may be packets, or an end.
    pub fn wait(&self) -> io::Result<()> {
        if let Some(wake) = &self.wake {
            let mut both =
                [self.as_raw_fd(), wake.as_raw_fd()].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
            // SAFETY: two structures, which live through the call.
            check(unsafe { libc::ppoll(both.as_mut_ptr(), 2, std::ptr::null(), std::ptr::null()) })?;
        }
        Ok(())
    }

    /// Whether it is the service manager's.
    pub fn is_lent(&self) -> bool {
        self.wake.is_some()
    }

    /// Flags of a receive call: after `wait`, there may be nothing after all (a packet whose checksum was wrong).
    pub fn patience(&self) -> libc::c_int {
        if self.is_lent() { libc::MSG_DONTWAIT } else { libc::MSG_WAITFORONE }
    }

    /// Let the kernel choose among `count` sockets of one address by the *source address* of a packet alone.
    ///
    /// A client may change its port with each request (RFC 9109), and its next packet must find what is known of it.
    pub fn shard_by_source(&self, count: u32) -> io::Result<()> {
        const NET: u32 = (-0x10_0000_i32) as u32; // SKF_NET_OFF: from the IP header on
        let load = |offset: u32| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NET + offset);
        let mut program = Vec::new();
        if self.bound.is_ipv6() {
            program.push(load(8));
            for offset in [12, 16, 20] {
                program.push(op(libc::BPF_MISC | libc::BPF_TAX, 0));
                program.push(load(offset));
                program.push(op(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0));
            }
        } else {
            program.push(load(12));
        }
        // Neighbours in one network differ in their last bits only: spread them before the remainder is taken.
        program.push(op(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, 0x9E37_79B1));
        program.push(op(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 16));
        program.push(op(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count));
        program.push(op(libc::BPF_RET | libc::BPF_A, 0));
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        set_option(self.as_raw_fd(), libc::SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter)
    }

    /// What a DNS server needs beside: no arrival times, and no fragments because of forged ICMP messages (RFC 9715).
    ///
    /// Kernels without one of these do no harm.
    pub fn prepare_for_dns(&self) {
        let set = |level, name, value: libc::c_int| drop(set_option(self.as_raw_fd(), level, name, &value));
        set(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, 0);
        if self.bound.is_ipv6() {
            set(libc::IPPROTO_IPV6, libc::IPV6_MTU, 1280);
            set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, PMTUDISC_OMIT);
        }
    }

    /// Send one message to `to`, from the address `own`, without waiting.
    pub fn send(&self, message: &[u8], to: SocketAddr, own: Option<IpAddr>) -> io::Result<()> {
        let (mut name, length) = to_name(to);
        let mut vector = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        let mut control = [0_u64; CONTROL_WORDS];
        // SAFETY: a msghdr is valid when zeroed; all that it points to lives through the call, which only reads it; the
        // control buffer has room for either pktinfo.
        let sent = unsafe {
            let mut head: libc::msghdr = zeroed();
            head.msg_name = (&raw mut name).cast();
            head.msg_namelen = length;
            head.msg_iov = &raw mut vector;
            head.msg_iovlen = 1;
            if let Some(own) = own {
                head.msg_control = control.as_mut_ptr().cast();
                head.msg_controllen = size_of_val(&control) as _;
                head.msg_controllen = write_source(&mut head, own) as _;
            }
            libc::sendmsg(self.as_raw_fd(), &raw const head, libc::MSG_DONTWAIT)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Wake whoever waits for packets, for good.
    pub fn shut_down(&self) {
        if let Some(wake) = &self.wake {
            let one = 1_u64;
            // SAFETY: an event counter takes eight bytes, which live through the call; nobody reads it, so it stays up.
            unsafe { libc::write(wake.as_raw_fd(), (&raw const one).cast(), size_of_val(&one)) };
            return;
        }
        // SAFETY: no memory is passed. The kernel says "not connected", and wakes the receiver all the same.
        unsafe { libc::shutdown(self.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

/// What both kinds of sockets are set to.
fn prepare(raw: RawFd, address: SocketAddr, receive_buffer: i32) -> io::Result<()> {
    let set = |level, name, value: libc::c_int| set_option(raw, level, name, &value);
    if address.ip().is_unspecified() {
        // Without it the kernel chooses the source address of a reply by its routes: wrong with several addresses.
        if address.is_ipv6() {
            set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
    }
    if address.is_ipv4() {
        // Don't fragment, and believe no ICMP message about it. All that we send fits any link (a reply has at most
        // 1232 bytes), and the kernel need not draw an identification for each packet.
        set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, PMTUDISC_PROBE)?;
    }
    set(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)?;
    set(libc::SOL_SOCKET, libc::SO_RCVBUF, receive_buffer)
}

/// An address to serve, and the sockets that the service manager has bound to it already.
pub struct Wanted {
    pub address: SocketAddr,
    pub lent: Vec<RawFd>,
}

/// Sockets for every address of `listen`: those that are lent, else `workers` new ones. What is bound for each, and all.
pub fn bind_each(
    listen: &[Wanted],
    workers: u32,
    receive_buffer: i32,
) -> Result<(Vec<SocketAddr>, Vec<Udp>), (SocketAddr, io::Error)> {
    let (mut endpoints, mut sockets) = (Vec::new(), Vec::new());
    for &Wanted { address, ref lent } in listen {
        let shared =
            if lent.is_empty() { bind_all(address, workers, receive_buffer) } else { borrow_all(lent, receive_buffer) };
        let shared = shared.map_err(|error| (address, error))?;
        endpoints.push(shared[0].bound);
        sockets.extend(shared);
    }
    Ok((endpoints, sockets))
}

/// `workers` sockets that share an address, sharded by the source of a packet.
fn bind_all(address: SocketAddr, workers: u32, receive_buffer: i32) -> io::Result<Vec<Udp>> {
    // Sockets that share a port share it with whoever else of this user shares it: ask alone first, so that another
    // server on the port is an error and not a silent half of the traffic.
    let alone = Udp::bind(address, false, receive_buffer)?;
    if workers <= 1 {
        return Ok(vec![alone]);
    }
    let address = alone.bound;
    drop(alone);
    let first = Udp::bind(address, true, receive_buffer)?;
    let bound = first.bound;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(Udp::bind(bound, true, receive_buffer)?);
    }
    sockets[0].shard_by_source(workers)?;
    Ok(sockets)
}

/// All sockets that are lent for an address. Their number is the manager's choice, and none may be left out: the kernel
/// spreads packets over all of them.
fn borrow_all(lent: &[RawFd], receive_buffer: i32) -> io::Result<Vec<Udp>> {
    // SAFETY: no memory is passed, and the descriptor is new.
    let wake = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
    let wake = Arc::new(wake);
    let borrow = |&theirs| Udp::lent(theirs, wake.clone(), receive_buffer);
    let sockets = lent.iter().map(borrow).collect::<io::Result<Vec<_>>>()?;
    if let Ok(count @ 2..) = u32::try_from(sockets.len()) {
        sockets[0].shard_by_source(count)?;
    }
    Ok(sockets)
}

fn op(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn set_option<T>(fd: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` lives through the call and its size is given.
    let done = unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), size_of_val(value) as u32) };
    check(done).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn to_name(address: SocketAddr) -> (libc::sockaddr_storage, u32) {
    // SAFETY: all zeros is a valid sockaddr_storage.
    let mut name: libc::sockaddr_storage = unsafe { zeroed() };
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a sockaddr_storage has room for, and the alignment of, any sockaddr.
            let to = unsafe { &mut *(&raw mut name).cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET as u16;
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            (name, size_of::<libc::sockaddr_in>() as u32)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let to = unsafe { &mut *(&raw mut name).cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as u16;
            to.sin6_port = v6.port().to_be();
            to.sin6_addr.s6_addr = v6.ip().octets();
            to.sin6_scope_id = v6.scope_id();
            (name, size_of::<libc::sockaddr_in6>() as u32)
        }
    }
}

fn own_name(fd: RawFd) -> io::Result<SocketAddr> {
    // SAFETY: all zeros is valid, and its size is given to the call that fills it.
    let mut name: Name = unsafe { zeroed() };
    let mut length = size_of_val(&name) as u32;
    // SAFETY: as above.
    check(unsafe { libc::getsockname(fd, (&raw mut name).cast(), &raw mut length) })?;
    Ok(from_name(&name))
}

/// Room for the address of either family, in a quarter of what a `sockaddr_storage` takes.
pub type Name = libc::sockaddr_in6;

/// The address in a sockaddr of either family.
pub fn from_name(name: &Name) -> SocketAddr {
    if libc::c_int::from(name.sin6_family) == libc::AF_INET6 {
        let (address, port) = (Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port));
        // A link-local address means nothing without its interface.
        SocketAddr::V6(SocketAddrV6::new(address, port, 0, name.sin6_scope_id))
    } else {
        // SAFETY: it is shorter, aligned alike, and any bits are valid; a zeroed name is 0.0.0.0:0.
        let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))), u16::from_be(v4.sin_port))
    }
}

/// What a socket may say about the network without being broken itself: an interface went down, a route is gone.
pub fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::EAGAIN
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ECONNREFUSED
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EPERM
        )
    )
}
