//! How many messages a page of a mailbox may have: as many as asked for, until a page is too large
//! or takes too long; then a quarter, and twice as many with each page that fits.
//!
//! It is kept from one call to the next, since one that timed out has no time left to ask again.

/// A mailbox's own limit, if it has one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PageSize(Option<u32>);

impl PageSize {
    pub(super) fn of(&self, asked: u32) -> u32 {
        asked.min(self.0.unwrap_or(u32::MAX)).max(1)
    }

    /// Notes what became of a page of so many.
    pub(super) fn told(&mut self, size: u32, fits: bool) {
        /// Graph gives no more in a page (learn.microsoft.com, graph paging).
        const SIZE_MAX: u32 = 1000;
        self.0 = match (self.0, fits) {
            (_, false) => Some((size / 4).max(1)),
            (Some(limit), true) if limit < SIZE_MAX => Some(limit.max(size.saturating_mul(2))),
            (_, true) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shrinks_at_once_and_grows_back_slowly() {
        let mut page = PageSize::default();
        assert_eq!(page.of(100), 100);
        let mut sizes = Vec::new();
        for fits in [false, false, false, false, true, true, true, true, true, true, true, true] {
            let size = page.of(100);
            sizes.push(size);
            page.told(size, fits);
        }
        assert_eq!(sizes, [100, 25, 6, 1, 1, 2, 4, 8, 16, 32, 64, 100]);
        assert_eq!(page.of(0), 1);
    }
}
