//! Who asks, and who is answered.

use std::sync::Arc;

use crate::limit::RateLimit;
use crate::ntp_keys::{Keys, NoKeys};
use crate::prefix::PrefixTable;

/// What a prefix rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Answer.
    Allow,
    /// Say nothing.
    Ignore,
    /// Answer with the kiss code DENY.
    Deny,
}

/// Who is answered.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Rules for IPv4.
    pub v4: PrefixTable<Rule>,
    /// Rules for IPv6.
    pub v6: PrefixTable<Rule>,
    /// Without a matching rule.
    pub default: Rule,
    /// A request that waited longer than this gets no reply: the client has stopped trusting it, and others wait too.
    pub late_ns: i64,
    /// How much each client is answered.
    pub limit: Option<RateLimit>,
    /// Which requests with a MAC are believed.
    pub keys: Arc<dyn Keys>,
}

impl Default for Policy {
    fn default() -> Self {
        let (v4, v6) = (PrefixTable::default(), PrefixTable::default());
        Self { v4, v6, default: Rule::Allow, late_ns: 50_000_000, limit: None, keys: Arc::new(NoKeys) }
    }
}

impl Policy {
    pub(crate) fn rule(&self, source: &Source) -> Rule {
        let table = if source.six { &self.v6 } else { &self.v4 };
        if table.is_empty() { self.default } else { table.find(source.address).unwrap_or(self.default) }
    }
}

/// Where a packet came from, or was sent to: the address as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// IPv6?
    pub six: bool,
    /// The address.
    pub address: u128,
    /// The UDP port.
    pub port: u16,
}

impl Source {
    /// Clients have addresses that are not 0.0.0.0/8, multicast, reserved, broadcast, :: or `ff00::/8`.
    pub(crate) fn can_be_client(&self, own: &Source) -> bool {
        let (low, high) = if self.six { (0, 0xFF << 120) } else { (0x00FF_FFFF, 0xE000_0000) };
        self.port != 0
            && !(self.port == own.port && self.address == own.address)
            && low < self.address
            && self.address < high
    }
}
