//! Times in buckets of 1.6 % width, so that a hundred million of them need a few kilobytes.

/// 2^6 buckets for each power of two.
const FINE: u32 = 6;

/// Counts of times in ns.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest_ns: u64,
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Self {
        Self { counts: vec![0; (64 - FINE as usize + 1) << FINE], total: 0, largest_ns: 0 }
    }

    /// Count one; a negative time (a clock that was set) counts as 0.
    pub fn add(&mut self, ns: i64) {
        let ns = ns.max(0) as u64;
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.largest_ns = self.largest_ns.max(ns);
    }

    /// Add what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.largest_ns = self.largest_ns.max(other.largest_ns);
    }

    /// The time in µs that `share` of all did not exceed (upper end of its bucket), or None without any.
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(at, count)| {
            seen += count;
            (seen >= wanted).then(|| upper(at).min(self.largest_ns) as f64 / 1000.0)
        })
    }
}

fn bucket(ns: u64) -> usize {
    let bits = 64 - ns.leading_zeros();
    if bits <= FINE + 1 {
        return ns as usize;
    }
    let shift = bits - FINE - 1;
    ((shift as usize) << FINE) + (ns >> shift) as usize
}

/// The largest time in a bucket.
fn upper(at: usize) -> u64 {
    if at < 2 << FINE {
        return at as u64;
    }
    let shift = (at >> FINE) - 1;
    let mantissa = (at - (shift << FINE)) as u64;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_a_bucket_that_is_at_most_two_percent_wide() {
        for ns in (0..5000).chain((12..40).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1])) {
            let end = upper(bucket(ns));
            assert!(end >= ns && (end - ns) as f64 <= 0.02 * ns as f64, "{ns} {end}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let mut times = Histogram::new();
        assert_eq!(times.quantile_us(0.5), None);
        for us in 1..=1000 {
            times.add(us * 1000);
        }
        let median = times.quantile_us(0.5).unwrap();
        assert!((500.0..510.0).contains(&median), "{median}");
        assert_eq!(times.quantile_us(1.0), Some(1000.0));
    }
}
