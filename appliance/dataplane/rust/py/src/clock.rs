//! The machine's clocks, read without a system call where the kernel allows it.

use std::mem::zeroed;

fn read(clock: libc::clockid_t) -> i64 {
    // The C library's words for seconds have 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    // SAFETY: a timespec is valid when zeroed, and the call fills it.
    unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(clock, &raw mut now);
        i64::from(now.tv_sec) * 1_000_000_000 + i64::from(now.tv_nsec)
    }
}

/// ns since 1970 by the system clock.
pub fn realtime_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

/// ns of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}
