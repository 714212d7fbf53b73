//! Prefix rules by longest match, over addresses as 128-bit numbers of one family.

/// One table for one address family: prefixes sorted by length, longest first, then by value.
#[derive(Clone, Debug)]
pub struct PrefixTable<T: Copy> {
    by_shift: Vec<(u32, Vec<(u128, T)>)>,
}

impl<T: Copy> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { by_shift: Vec::new() }
    }
}

impl<T: Copy> PrefixTable<T> {
    /// Build from (network address, prefix length, value); `bits` is 32 or 128. Of equal prefixes the last one counts.
    #[must_use]
    pub fn new(bits: u32, rules: &[(u128, u32, T)]) -> Self {
        let mut by_shift: Vec<(u32, Vec<(u128, T)>)> = Vec::new();
        for &(network, length, value) in rules {
            let shift = bits - length.min(bits);
            let at = match by_shift.binary_search_by_key(&shift, |entry| entry.0) {
                Ok(at) => at,
                Err(at) => {
                    by_shift.insert(at, (shift, Vec::new()));
                    at
                }
            };
            let key = network.checked_shr(shift).unwrap_or(0);
            let table = &mut by_shift[at].1;
            match table.binary_search_by_key(&key, |entry| entry.0) {
                Ok(found) => table[found].1 = value,
                Err(place) => table.insert(place, (key, value)),
            }
        }
        Self { by_shift }
    }

    /// The value of the longest prefix that holds `address`.
    #[must_use]
    pub fn find(&self, address: u128) -> Option<T> {
        self.by_shift.iter().find_map(|(shift, table)| {
            let key = address.checked_shr(*shift).unwrap_or(0);
            table.binary_search_by_key(&key, |entry| entry.0).ok().map(|at| table[at].1)
        })
    }

    /// Whether there are no rules at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_shift.is_empty()
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
}
