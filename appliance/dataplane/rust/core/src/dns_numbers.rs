//! Numbers of the protocol: RCODEs, opcodes, classes and types.

pub(crate) const NOERROR: u8 = 0;
pub(crate) const FORMERR: u8 = 1;
pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;
pub(crate) const NOTIMP: u8 = 4;
pub(crate) const REFUSED: u8 = 5;
pub(crate) const NOTAUTH: u8 = 9;
pub(crate) const BADVERS: u8 = 16;
pub(crate) const BADCOOKIE: u8 = 23;

pub(crate) const OPCODE_QUERY: u8 = 0;
pub(crate) const OPCODE_NOTIFY: u8 = 4;

pub(crate) const CLASS_IN: u16 = 1;
pub(crate) const CLASS_CH: u16 = 3;
pub(crate) const CLASS_ANY: u16 = 255;

pub(crate) const SOA: u16 = 6;
pub(crate) const TXT: u16 = 16;
pub(crate) const OPT: u16 = 41;
pub(crate) const TKEY: u16 = 249;
pub(crate) const TSIG: u16 = 250;
pub(crate) const IXFR: u16 = 251;
pub(crate) const AXFR: u16 = 252;
pub(crate) const MAILB: u16 = 253;
pub(crate) const MAILA: u16 = 254;
pub(crate) const ANY: u16 = 255;
