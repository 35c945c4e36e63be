//! `Content-Range: bytes {start}-{end}/{total}`, read strictly.

/// The range of one PUT; `end` is its last byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    pub start: usize,
    pub end: usize,
    pub total: usize,
}

impl Range {
    /// `None` when it is not of that form or runs out of its own total.
    pub fn read(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let range = Self { start: number(start)?, end: number(end)?, total: number(total)? };
        (unit.eq_ignore_ascii_case("bytes") && range.start <= range.end && range.end < range.total)
            .then_some(range)
    }

    pub fn length(&self) -> usize {
        self.end - self.start + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        let range = Range::read("bytes 2097152-3483321/3483322").unwrap();
        assert_eq!(range, Range { start: 2_097_152, end: 3_483_321, total: 3_483_322 });
        assert_eq!(range.length(), 1_386_170);
        for bad in ["", "bytes", "0-1/2", "bytes 0-1", "bytes 1-0/2", "bytes 0-2/2", "bytes a-1/2"]
        {
            assert_eq!(Range::read(bad), None, "{bad}");
        }
    }
}
