//! Which system calls a packet thread may make: a filter of a few dozen instructions for the kernel (seccomp, mode 2).
//!
//! A thread that answers packets needs few calls. What else it asks for is refused in one of three ways (ADR 9):
//! nobody but an attacker starts a program, maps code or opens a file for writing here, so that ends the process; a call
//! that is newer than this list "does not exist", so that a C library of tomorrow falls back to an older one; the rest
//! is "not permitted".

use libc::{c_long, sock_filter};

/// What the kernel says about the machine of a call; from Linux' uapi/linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
#[cfg(all(target_arch = "arm", target_endian = "little"))]
const ARCHITECTURE: Option<u32> = Some(0x4000_0028);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "arm", target_endian = "little"))))]
const ARCHITECTURE: Option<u32> = None;

/// Offsets in `struct seccomp_data`; all machines above store the low half of an argument first.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The last call that Linux had when this list was written. Numbers from 403 on are the same for all machines.
const NEWEST: u32 = 469;

/// Packets, waiting, memory, and the end of a thread.
const ALLOWED: &[c_long] = &[
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_exit,
];

/// The same calls with 64 bits of seconds, where a machine of 32 bits has them apart.
#[cfg(target_pointer_width = "32")]
const ALLOWED_64: &[c_long] = &[403, 407, 414, 417, 422]; // clock_gettime, clock_nanosleep, ppoll, recvmmsg, futex
#[cfg(not(target_pointer_width = "32"))]
const ALLOWED_64: &[c_long] = &[];

#[cfg(target_pointer_width = "32")]
const MMAP: c_long = libc::SYS_mmap2;
#[cfg(not(target_pointer_width = "32"))]
const MMAP: c_long = libc::SYS_mmap;

/// Calls that no worker makes, whatever becomes of the C library.
const DEADLY: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_memfd_create,
];

const WRITING: u32 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u32;
const STANDARD_ERROR: u32 = 2;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn refuse(code: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | code as u32
}

fn op(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// A filter in the making.
struct Program(Vec<sock_filter>);

impl Program {
    fn load(&mut self, offset: u32) {
        self.0.push(op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0));
    }

    fn give(&mut self, verdict: u32) {
        self.0.push(op(libc::BPF_RET | libc::BPF_K, verdict, 0, 0));
    }

    /// The next `skip` instructions are for `value` only.
    fn unless_equal(&mut self, value: u32, skip: u8) {
        self.0.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, skip));
    }

    fn on(&mut self, call: c_long, verdict: u32) {
        self.unless_equal(call as u32, 1);
        self.give(verdict);
    }

    /// For `call`: the verdict depends on whether any of `bits` is set in argument `argument`.
    fn on_bits(&mut self, call: c_long, argument: u32, bits: u32, none: u32, any: u32) {
        self.unless_equal(call as u32, 5);
        self.load(ARGUMENTS + 8 * argument);
        self.0.push(op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, bits, 0, 0));
        self.unless_equal(0, 1);
        self.give(none);
        self.give(any);
    }
}

/// The filter for this machine, or nothing where its calls are not known to us.
pub fn program() -> Option<Vec<sock_filter>> {
    let mut program = Program(Vec::new());
    program.load(MACHINE);
    program.0.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, ARCHITECTURE?, 1, 0));
    program.give(KILL); // another machine's numbers mean other calls
    program.load(NUMBER);
    for &call in ALLOWED.iter().chain(ALLOWED_64) {
        program.on(call, ALLOW);
    }
    for &call in DEADLY {
        program.on(call, KILL);
    }
    let executable = libc::PROT_EXEC as u32;
    program.on_bits(MMAP, 2, executable, ALLOW, KILL);
    program.on_bits(libc::SYS_mprotect, 2, executable, ALLOW, KILL);
    program.on_bits(libc::SYS_openat, 2, WRITING, refuse(libc::EPERM), KILL);
    #[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
    {
        program.on_bits(libc::SYS_open, 1, WRITING, refuse(libc::EPERM), KILL);
        program.on(libc::SYS_creat, KILL);
    }
    // What a panic says. Nothing else of this thread may reach a file.
    program.unless_equal(libc::SYS_write as u32, 4);
    program.load(ARGUMENTS);
    program.unless_equal(STANDARD_ERROR, 1);
    program.give(ALLOW);
    program.give(refuse(libc::EPERM));
    // Also the calls of the x32 machine, which look like very high numbers.
    program.0.push(op(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, NEWEST, 0, 1));
    program.give(refuse(libc::ENOSYS));
    program.give(refuse(libc::EPERM));
    Some(program.0)
}
