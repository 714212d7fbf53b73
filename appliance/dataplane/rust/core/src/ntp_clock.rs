//! What our time is worth: the clock as control tells it, as a reply says it, and times as they stand on the wire.

use crate::ntp_outcome::Reason;

/// How long a snapshot is used before dispersion is aged again.
pub const REFRESH_NS: i64 = 50_000_000;
/// The two clocks of a machine come apart by less while a thread waits for its turn between two readings.
pub const SET_NS: i64 = 250_000_000;

/// What our time is worth, with the coefficients that age it; see `model.ClockState`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockState {
    /// Leap indicator, 3 for unsynchronised.
    pub leap: u8,
    /// 1..=15, 0 for unsynchronised.
    pub stratum: u8,
    /// Reference identifier.
    pub refid: [u8; 4],
    /// UTC of the last correction, ns since 1970.
    pub reference_ns: i64,
    /// Seconds.
    pub root_delay_s: f64,
    /// Seconds, at `as_of_mono_ns`.
    pub root_dispersion_s: f64,
    /// Seconds per second.
    pub dispersion_rate: f64,
    /// Monotonic ns.
    pub as_of_mono_ns: i64,
    /// The same moment by the system clock, ns since 1970; `None` for a clock that is right by decree.
    pub as_of_wall_ns: Option<i64>,
    /// To be added to the system clock, seconds.
    pub correction_s: f64,
    /// log2 seconds.
    pub precision: i8,
    /// Past this root distance we do not claim to be synchronised.
    pub max_distance_s: f64,
    /// Past this monotonic moment neither.
    pub expires_mono_ns: i64,
}

impl ClockState {
    /// Whether the system clock was set since the state was made. Steering moves both clocks alike; setting, one of them.
    #[must_use]
    pub fn was_set(&self, wall_ns: i64, mono_ns: i64) -> bool {
        self.as_of_wall_ns.is_some_and(|then_ns| {
            let before_ns = then_ns.saturating_sub(self.as_of_mono_ns);
            wall_ns.saturating_sub(mono_ns).saturating_sub(before_ns).saturating_abs() > SET_NS
        })
    }

    /// The same clock when nobody knows whether it is right.
    #[must_use]
    pub fn unsynchronised(&self) -> Self {
        Self { leap: 3, stratum: 0, ..self.clone() }
    }

    fn dispersion_s(&self, mono_ns: i64) -> f64 {
        let age_s = mono_ns.saturating_sub(self.as_of_mono_ns).max(0) as f64 / 1e9;
        self.root_dispersion_s + age_s * self.dispersion_rate
    }

    fn synchronised(&self, mono_ns: i64) -> bool {
        self.leap != 3
            && (1..=15).contains(&self.stratum)
            && mono_ns < self.expires_mono_ns
            && self.root_delay_s / 2.0 + self.dispersion_s(mono_ns) <= self.max_distance_s
    }
}

/// All that a reply depends on besides its request, prepared so that a packet costs little.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Make a new one from this monotonic moment on.
    pub valid_until_mono_ns: i64,
    pub(crate) leap: u8,
    pub(crate) stratum: u8,
    /// Precision, root delay, root dispersion, reference identifier, reference time as on the wire.
    pub(crate) fixed: [u8; 21],
    pub(crate) reference_ns: i64,
    pub(crate) correction_ns: i64,
    pub(crate) fuzz: u64,
    pub(crate) served: Reason,
}

impl Snapshot {
    /// The snapshot for replies made from `mono_ns` until `valid_until_mono_ns`.
    ///
    /// The state in which it ends is the worst one it will see, so that is what it claims.
    #[must_use]
    pub fn at(mono_ns: i64, clock: &ClockState) -> Self {
        let mut until_ns = mono_ns.saturating_add(REFRESH_NS);
        if mono_ns < clock.expires_mono_ns && clock.expires_mono_ns < until_ns {
            until_ns = clock.expires_mono_ns;
        }
        let bits = (32 + i32::from(clock.precision)).clamp(1, 32);
        let fuzz = (1u64 << bits) - 1;
        let last_ns = until_ns - 1;
        let synchronised = clock.synchronised(last_ns);
        let (leap, stratum, delay, dispersion, refid, reference, reference_ns) = if synchronised {
            (
                clock.leap,
                clock.stratum,
                short_from_s(clock.root_delay_s),
                short_from_s(clock.dispersion_s(last_ns)),
                clock.refid,
                ntp_from_unix_ns(i128::from(clock.reference_ns)) & !fuzz,
                clock.reference_ns,
            )
        } else {
            (3, 0, 0x1_0000, 0x1_0000, [0; 4], 0, i64::MIN)
        };
        let mut fixed = [0; 21];
        fixed[0] = clock.precision as u8;
        fixed[1..5].copy_from_slice(&delay.to_be_bytes());
        fixed[5..9].copy_from_slice(&dispersion.to_be_bytes());
        fixed[9..13].copy_from_slice(&refid);
        fixed[13..21].copy_from_slice(&reference.to_be_bytes());
        Self {
            valid_until_mono_ns: until_ns,
            leap,
            stratum,
            fixed,
            reference_ns,
            correction_ns: round_half_even(clock.correction_s * 1e9) as i64,
            fuzz,
            served: if synchronised { Reason::Ok } else { Reason::Unsynchronised },
        }
    }
}

/// The 64-bit NTP timestamp of a moment in ns since 1970, rounded down; the era is lost, as on the wire.
#[must_use]
pub fn ntp_from_unix_ns(unix_ns: i128) -> u64 {
    const UNIX_TO_NTP_NS: i128 = 2_208_988_800 * 1_000_000_000;
    let ns = unix_ns + UNIX_TO_NTP_NS;
    // The common case in 64 bits: seconds and fraction apart, which is what a division of 128 bits would cost most of.
    if let Ok(small) = u64::try_from(ns) {
        let (seconds, rest) = (small / 1_000_000_000, small % 1_000_000_000);
        return (seconds << 32) | ((rest << 32) / 1_000_000_000);
    }
    ((ns << 32).div_euclid(1_000_000_000)) as u64
}

/// Seconds as 16.16 fixed point, rounded up: an error bound must never shrink on its way.
#[must_use]
pub fn short_from_s(seconds: f64) -> u32 {
    if seconds <= 0.0 {
        0
    } else if seconds < 65535.0 {
        (seconds * 65536.0).ceil() as u32
    } else {
        u32::MAX // also for "not a number": what is not known is as bad as can be
    }
}

/// To the nearest whole number, halves to the even one, as Python rounds.
fn round_half_even(value: f64) -> f64 {
    value.round_ties_even()
}
