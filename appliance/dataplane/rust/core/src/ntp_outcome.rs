//! What becomes of an NTP packet, and why: numbers that both planes, metrics and pages share.

/// Why a packet was treated as it was; the numbers are those of `interface.Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A request we serve.
    Ok = 0,
    /// A request we serve with leap 3 and stratum 0.
    Unsynchronised = 1,
    /// Fewer than 48 bytes.
    TooShort = 2,
    /// Not a multiple of 4, or trailing data that is neither extension field nor MAC.
    BadLength = 3,
    /// Version 0, or 5 and up.
    BadVersion = 4,
    /// A mode that we do not answer.
    BadMode = 5,
    /// Mode 4: a reply is never answered.
    Reply = 6,
    /// Mode 6 or 7.
    Control = 7,
    /// A MAC that is not right, or authentication that we do not know.
    Auth = 8,
    /// The prefix is ignored or denied.
    Policy = 9,
    /// Over the rate limit.
    Rate = 10,
    /// No client can have this address and port.
    BadSource = 11,
    /// Waited too long in the queue.
    Late = 12,
    /// The kernel did not take the reply.
    SendFailed = 13,
    /// Deciding about it failed.
    Bug = 14,
}

/// Every reason, by its number.
pub const REASONS: [(&str, Reason); 15] = [
    ("OK", Reason::Ok),
    ("UNSYNCHRONISED", Reason::Unsynchronised),
    ("TOO_SHORT", Reason::TooShort),
    ("BAD_LENGTH", Reason::BadLength),
    ("BAD_VERSION", Reason::BadVersion),
    ("BAD_MODE", Reason::BadMode),
    ("REPLY", Reason::Reply),
    ("CONTROL", Reason::Control),
    ("AUTH", Reason::Auth),
    ("POLICY", Reason::Policy),
    ("RATE", Reason::Rate),
    ("BAD_SOURCE", Reason::BadSource),
    ("LATE", Reason::Late),
    ("SEND_FAILED", Reason::SendFailed),
    ("BUG", Reason::Bug),
];

/// What became of a packet; the numbers are those of `interface.Action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Answered with time.
    Reply = 0,
    /// Silence.
    Ignore = 1,
    /// Answered with a kiss code.
    Kiss = 2,
}

/// Every action, by its number.
pub const ACTIONS: [(&str, Action); 3] = [("REPLY", Action::Reply), ("IGNORE", Action::Ignore), ("KISS", Action::Kiss)];
