//! How a file is cut into parts: pure arithmetic.

/// S3's limits.
pub const MAX_PARTS: u64 = 10_000;
pub const MIN_PART: u64 = 5 << 20;
pub const MAX_OBJECT: u64 = 5 << 40;
const MIB: u64 = 1 << 20;

/// The parts of one file, numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Size of the file in bytes.
    pub size: u64,
    /// Size of each part but the last.
    pub part_size: u64,
}

impl Layout {
    /// Parts of the wanted size, or of the smallest whole number of MiB with which 10,000 are enough.
    pub fn new(size: u64, wanted: u64) -> Self {
        let needed = size.div_ceil(MAX_PARTS).div_ceil(MIB) * MIB;
        Self { size, part_size: wanted.max(MIN_PART).max(needed) }
    }

    /// How many parts; one for an empty file.
    pub fn count(&self) -> u64 {
        self.size.div_ceil(self.part_size).max(1)
    }

    /// Bytes of part `number`.
    pub fn length(&self, number: u64) -> u64 {
        let from = (number - 1) * self.part_size;
        self.size.saturating_sub(from).min(self.part_size)
    }

    /// Whether S3 takes it.
    pub fn is_valid(&self) -> bool {
        self.count() <= MAX_PARTS
            && (self.part_size >= MIN_PART || self.count() == 1)
            && self.size <= MAX_OBJECT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_cover_the_file_and_s3_takes_them(size in 0..=MAX_OBJECT, wanted in MIN_PART..(64 * MIB)) {
            let layout = Layout::new(size, wanted);
            prop_assert!(layout.is_valid());
            let count = layout.count();
            let whole = (count - 1) * layout.part_size;
            prop_assert_eq!(whole + layout.length(count), size);
            prop_assert!(size == 0 || layout.length(count) > 0);
            for number in [1, count / 2, count.saturating_sub(1)] {
                if number >= 1 && number < count {
                    prop_assert_eq!(layout.length(number), layout.part_size);
                }
            }
        }
    }

    #[test]
    fn around_one_part() {
        let part = 8 * MIB;
        let counts = [0, 1, part - 1, part, part + 1].map(|size| Layout::new(size, part).count());
        assert_eq!(counts, [1, 1, 1, 1, 2]);
    }

    #[test]
    fn ten_thousand_and_one_parts_worth_makes_the_parts_larger() {
        let size = 10_001 * 8 * MIB;
        let layout = Layout::new(size, 8 * MIB);
        assert_eq!((layout.part_size, layout.count()), (9 * MIB, 8890));
        assert_eq!(Layout::new(10_000 * 8 * MIB, 8 * MIB).count(), 10_000);
    }
}
