//! Prefix rules by longest match, over addresses as 128-bit numbers of one family.

/// One table for one address family: where along the addresses the longest match changes, and to what.
///
/// Prefixes are nested or apart, so `n` of them cut the addresses into at most `2 n + 1` ranges; a lookup is one binary
/// search over these, however many lengths there are.
#[derive(Clone, Debug)]
pub struct PrefixTable<T: Copy> {
    starts: Vec<u128>,
    values: Vec<Option<T>>,
}

impl<T: Copy> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), values: Vec::new() }
    }
}

impl<T: Copy> PrefixTable<T> {
    /// Build from (network address, prefix length, value); `bits` is 32 or 128. Of equal prefixes the last one counts.
    #[must_use]
    pub fn new(bits: u32, rules: &[(u128, u32, T)]) -> Self {
        let highest = u128::MAX >> (128 - bits);
        let mut spans: Vec<(u128, u128, T)> = rules
            .iter()
            .map(|&(network, length, value)| {
                let hosts = highest.checked_shr(length).unwrap_or(0);
                (network & !hosts, network & !hosts | hosts, value)
            })
            .collect();
        // Outer prefixes before inner ones; the sort keeps the order of equal ones, so the last of them ends up inside.
        spans.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut table = Self { starts: Vec::new(), values: Vec::new() };
        if !spans.is_empty() {
            table.from(0, None);
        }
        let mut around: Vec<(u128, T)> = Vec::new();
        for (first, last, value) in spans {
            table.leave(&mut around, Some(first));
            table.from(first, Some(value));
            around.push((last, value));
        }
        table.leave(&mut around, None);
        table.starts.retain(|&start| start <= highest);
        table.values.truncate(table.starts.len());
        table
    }

    /// End the prefixes that end before `next`, or all of them.
    fn leave(&mut self, around: &mut Vec<(u128, T)>, next: Option<u128>) {
        while let Some(&(last, _)) = around.last() {
            if next.is_some_and(|next| next <= last) {
                break;
            }
            around.pop();
            if let Some(start) = last.checked_add(1) {
                self.from(start, around.last().map(|outer| outer.1));
            }
        }
    }

    /// From `start` on it is `value`.
    fn from(&mut self, start: u128, value: Option<T>) {
        if self.starts.last() == Some(&start) {
            self.values.pop();
        } else {
            self.starts.push(start);
        }
        self.values.push(value);
    }

    /// The value of the longest prefix that holds `address`.
    #[must_use]
    pub fn find(&self, address: u128) -> Option<T> {
        let after = self.starts.partition_point(|&start| start <= address);
        self.values.get(after.wrapping_sub(1)).copied().flatten()
    }

    /// Whether there are no rules at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_wins() {
        let table = PrefixTable::new(32, &[(0x0a00_0000, 8, 1), (0x0a01_0000, 16, 2), (0, 0, 3)]);
        assert_eq!(table.find(0x0a01_0203), Some(2));
        assert_eq!(table.find(0x0a02_0203), Some(1));
        assert_eq!(table.find(0x0b00_0000), Some(3));
    }

    #[test]
    fn a_whole_ipv6_space_is_one_prefix() {
        let table = PrefixTable::new(128, &[(0, 0, 9)]);
        assert_eq!(table.find(u128::MAX), Some(9));
        assert_eq!(PrefixTable::<u8>::new(128, &[]).find(1), None);
    }

    #[test]
    fn the_edges_of_the_addresses_are_no_exception() {
        let table = PrefixTable::new(128, &[(u128::MAX, 128, 1), (0, 128, 2), (1 << 127, 1, 3)]);
        assert_eq!(table.find(u128::MAX), Some(1));
        assert_eq!(table.find(u128::MAX - 1), Some(3));
        assert_eq!((table.find(0), table.find(1)), (Some(2), None));
        let table = PrefixTable::new(32, &[(0xFFFF_FFFF, 32, 1), (0x0a00_0000, 8, 2), (0x0a00_0000, 8, 3)]);
        assert_eq!((table.find(0xFFFF_FFFF), table.find(0xFFFF_FFFE)), (Some(1), None));
        assert_eq!(table.find(0x0aff_ffff), Some(3));
    }

    #[test]
    fn it_finds_what_reading_all_rules_finds() {
        let mut state = 88_172_645_463_325_252u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..200 {
            // Few bits, so that prefixes nest and meet.
            let rules: Vec<(u128, u32, u64)> = (0..next() % 12)
                .map(|value| {
                    let length = (24 + next() % 9) as u32;
                    (u128::from((next() % 256) << (32 - length) & 0xFF), length, value)
                })
                .map(|(network, length, value)| {
                    (network & !(0xFFFF_FFFFu128.checked_shr(length).unwrap_or(0)), length, value)
                })
                .collect();
            let table = PrefixTable::new(32, &rules);
            for address in 0..300u128 {
                let holds = |rule: &&(u128, u32, u64)| (address ^ rule.0) >> (32 - rule.1) == 0;
                let longest = rules.iter().filter(holds).max_by_key(|rule| rule.1);
                assert_eq!(table.find(address), longest.map(|rule| rule.2), "{address} {rules:?}");
            }
        }
    }
}
