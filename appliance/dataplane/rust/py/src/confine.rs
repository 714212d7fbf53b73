//! What a packet thread gives away before its first packet: signals, privileges, and most system calls.
//!
//! All of it is the thread's own; the rest of the process keeps what it has. Unsafe code: each block calls the kernel or
//! the C library with memory that it owns.

use std::io;
use std::mem::zeroed;

use crate::seccomp;

/// From Linux' uapi/linux/capability.h; the C library has no names for it.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHead {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Confine the calling thread for good.
///
/// # Errors
/// A sentence: what of it is not in force.
pub fn confine() -> Result<(), String> {
    block_signals();
    let told = |what: &str, error: io::Error| format!("{what}: {error}");
    // What cannot be had does not keep us from the rest. Sockets are bound: nothing to come needs a privilege.
    let privileges = drop_capabilities().map_err(|error| told("capabilities cannot be given away", error));
    // Without it the kernel lets only a privileged thread filter its own calls.
    // SAFETY: no memory is passed.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    check(done.into()).map_err(|error| told("new privileges cannot be ruled out", error))?;
    let Some(mut program) = seccomp::program() else {
        return Err(format!("system calls are not filtered on this kind of machine ({})", std::env::consts::ARCH));
    };
    filter(&mut program).map_err(|error| told("the kernel does not filter system calls", error))?;
    privileges
}

/// Signals are for the main thread: a handler that runs here could not even wake the event loop.
fn block_signals() {
    // SAFETY: a set is valid when zeroed, and the calls fill and read it.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigfillset(&raw mut set);
        // These are this thread's own doing and must show.
        for number in
            [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS]
        {
            libc::sigdelset(&raw mut set, number);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Effective, permitted and inheritable ones; the ambient ones go with them.
fn drop_capabilities() -> io::Result<()> {
    let head = CapabilityHead { version: CAPABILITY_VERSION_3, pid: 0 };
    let sets = [CapabilitySets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: both structures live through the call; pid 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const head, &raw const sets) })
}

fn filter(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // By prctl, which a service manager's own filter is likely to let through; seccomp(2) is in few of its lists.
    // SAFETY: the kernel copies the program during the call.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) };
    check(done.into())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One system call from a confined thread of its own: its error number, 0 for none. For the tests of the filter.
pub fn attempt(number: libc::c_long, arguments: [usize; 4]) -> Result<i32, String> {
    let [first, second, third, fourth] = arguments;
    let tried = std::thread::spawn(move || {
        confine()?;
        // SAFETY: the caller answers for its numbers; the filter lets nothing through that could do harm.
        let done = unsafe { libc::syscall(number, first, second, third, fourth) };
        Ok(if done < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 })
    });
    tried.join().unwrap_or_else(|_| Err("the thread panicked".to_owned()))
}
