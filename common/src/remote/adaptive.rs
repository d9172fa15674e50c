//! How many streams, how large the batches, and whether to compress: from what was measured.
//!
//! The figures come from timing runs with rsync 3.1.2 to 3.5.0 in two network namespaces, with and without 40 ms of
//! delay: on a LAN ssh and rsync need a core per stream, and each further stream costs; on a WAN each stream waits
//! for its own window.

use std::ops::Range;
use std::time::Duration;

use super::connection::MAX_MASTERS;
use super::rsync::Compression;
use super::versions::RsyncVersion;

/// Below this round trip the network is near: the processors are the limit.
const LAN: Duration = Duration::from_millis(5);
/// Faster than zstd level 1 fills a stream on one core.
const ZSTD_PAYS_BELOW: u64 = 100_000_000;
/// zlib level 1 does 20 MB/s of redo on one core.
const ZLIB_PAYS_BELOW: u64 = 20_000_000;

/// How many rsyncs at once for so many files.
pub fn streams(rtt: Duration, files: usize, workers: usize, cores: usize) -> usize {
    let workers = workers.clamp(1, MAX_MASTERS);
    let useful = if rtt < LAN { workers.min(cores.max(1)) } else { workers };
    useful.min(files.max(1))
}

/// Whether compression pays. `rate` is what all streams together have moved so far, in bytes per second of
/// uncompressed data without compression, `None` before the first batch.
pub fn compression(
    rtt: Duration,
    rate: Option<u64>,
    here: Option<RsyncVersion>,
    there: Option<RsyncVersion>,
) -> Compression {
    let zstd = |v: Option<RsyncVersion>| v.is_some_and(|v| v.zstd && v.at_least(3, 2, 0));
    if zstd(here) && zstd(there) {
        let slow = match rate {
            Some(rate) => rate < ZSTD_PAYS_BELOW,
            None => rtt >= LAN,
        };
        return if slow && rtt > Duration::ZERO { Compression::Zstd1 } else { Compression::None };
    }
    // Without a figure zlib would be a guess that can cost a factor of ten.
    match rate {
        Some(rate) if rate < ZLIB_PAYS_BELOW && rtt > Duration::ZERO => Compression::Zlib1,
        _ => Compression::None,
    }
}

/// The largest batch: what is lost when it has to be sent again, and how long nothing of it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize {
    pub bytes: u64,
    pub files: usize,
    /// A batch is not cut smaller than a stream's share of all bytes divided by this.
    pub cuts: u64,
}

/// Batch size for a round trip: an rsync over an open master costs 50–75 ms near, 300 ms far.
pub fn batch_size(rtt: Duration) -> BatchSize {
    if rtt < LAN {
        BatchSize { bytes: 512 << 20, files: 256, cuts: 4 }
    } else {
        BatchSize { bytes: 64 << 20, files: 64, cuts: 3 }
    }
}

/// Cuts files (in the order in which they are wanted at the target) into consecutive batches.
///
/// The first are large, for each costs the start of an rsync; they get smaller towards the end, so that the streams end
/// together and little is left to check when the last byte has arrived. A file larger than the limit is a batch of its
/// own.
pub fn batches(sizes: &[u64], streams: usize, largest: BatchSize) -> Vec<Range<usize>> {
    let total: u64 = sizes.iter().sum();
    let streams = streams.max(1) as u64;
    // Below this the start of an rsync would cost more than it moves.
    let smallest = (total / (streams * largest.cuts.max(1))).max(4 << 20);
    let mut out = Vec::new();
    let mut start = 0;
    let mut left = total;
    while start < sizes.len() {
        let bytes = (left / (streams * 2)).max(smallest).min(largest.bytes);
        let mut sum = 0_u64;
        let fits = |size: &&u64| {
            sum = sum.saturating_add(**size);
            sum <= bytes
        };
        let files = sizes[start..].iter().take(largest.files.max(1)).take_while(fits).count().max(1);
        left -= sizes[start..start + files].iter().sum::<u64>();
        out.push(start..start + files);
        start += files;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEAR: Duration = Duration::from_millis(1);
    const FAR: Duration = Duration::from_millis(40);
    const MIB: u64 = 1 << 20;

    fn rsync(minor: u32) -> Option<RsyncVersion> {
        Some(RsyncVersion { major: 3, minor, patch: 2, zstd: minor >= 2 })
    }

    #[test]
    fn near_the_cores_decide_and_far_the_workers() {
        assert_eq!(streams(NEAR, 200, 5, 2), 2);
        assert_eq!(streams(FAR, 200, 5, 2), 5);
        assert_eq!(streams(FAR, 200, 64, 2), MAX_MASTERS);
        assert_eq!(streams(FAR, 3, 5, 2), 3);
        assert_eq!(streams(NEAR, 0, 0, 0), 1);
    }

    #[test]
    fn compression_follows_the_measured_rate() {
        use Compression::{None as Plain, Zlib1, Zstd1};
        assert_eq!(compression(NEAR, None, rsync(2), rsync(5)), Plain);
        assert_eq!(compression(FAR, None, rsync(2), rsync(5)), Zstd1);
        assert_eq!(compression(FAR, Some(300_000_000), rsync(2), rsync(5)), Plain);
        assert_eq!(compression(NEAR, Some(10_000_000), rsync(2), rsync(5)), Zstd1);
        assert_eq!(compression(FAR, None, rsync(2), rsync(1)), Plain);
        assert_eq!(compression(FAR, Some(10_000_000), rsync(2), rsync(1)), Zlib1);
        assert_eq!(compression(FAR, Some(30_000_000), rsync(1), rsync(1)), Plain);
        assert_eq!(compression(Duration::ZERO, Some(1), rsync(5), rsync(5)), Plain);
    }

    #[test]
    fn batches_get_smaller_towards_the_end() {
        let files = |cut: Vec<Range<usize>>| cut.iter().map(Range::len).collect::<Vec<_>>();
        assert_eq!(files(batches(&[4 * MIB; 200], 2, batch_size(NEAR))), [50, 37, 28, 25, 25, 25, 10]);
        assert_eq!(files(batches(&[64 * MIB; 40], 2, batch_size(NEAR))), [8, 8, 6, 5, 5, 5, 3]);
        assert_eq!(
            files(batches(&[4 * MIB; 60], 5, batch_size(FAR))),
            [6, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 1]
        );
        assert_eq!(batches(&[1024 * MIB; 4], 2, batch_size(NEAR)).len(), 4);
        assert!(batches(&[], 2, batch_size(NEAR)).is_empty());
    }

    proptest! {
        #[test]
        fn every_file_is_in_exactly_one_batch_and_in_order(
            sizes in proptest::collection::vec(0_u64..200 * MIB, 0..400), streams in 0_usize..12, far: bool,
        ) {
            let largest = batch_size(if far { FAR } else { NEAR });
            let cut = batches(&sizes, streams, largest);
            let all: Vec<usize> = cut.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..sizes.len()).collect::<Vec<_>>());
            for batch in cut {
                prop_assert!(!batch.is_empty() && batch.len() <= largest.files);
                prop_assert!(batch.len() == 1 || sizes[batch].iter().sum::<u64>() <= largest.bytes);
            }
        }
    }
}
