//! A byte for each therapist in each of many rows, such as days: close together, so that one pass over all of them reads
//! as fast as memory gives.

/// Rows of bytes, from a first one on.
#[derive(Debug)]
pub(crate) struct Rows {
    first: u32,
    /// For each 64 numbers the rows from the first, as far as one of them has anything but zero.
    blocks: Vec<Vec<[u8; 64]>>,
}

impl Rows {
    pub(crate) fn starting(first: u32) -> Self {
        Self { first, blocks: Vec::new() }
    }

    /// Writes down the bytes of rows from `row` on.
    pub(crate) fn set(&mut self, number: u32, row: u32, bytes: impl IntoIterator<Item = u8>) {
        let block = number as usize / 64;
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, Vec::new);
        }
        let rows = &mut self.blocks[block];
        for (row, byte) in (row..).zip(bytes) {
            let Some(index) = row.checked_sub(self.first) else { continue };
            if rows.len() <= index as usize {
                if byte == 0 {
                    continue;
                }
                rows.reserve_exact(index as usize + 1 - rows.len());
                rows.resize(index as usize + 1, [0; 64]);
            }
            rows[index as usize][number as usize % 64] = byte;
        }
    }

    /// The byte in a row; zero where nothing was written.
    pub(crate) fn get(&self, number: u32, row: u32) -> u8 {
        let rows = self.blocks.get(number as usize / 64);
        let row = rows.zip(row.checked_sub(self.first)).and_then(|(rows, index)| rows.get(index as usize));
        row.map_or(0, |row| row[number as usize % 64])
    }

    /// The rows of 64 numbers in `[from, to)` that there are, with the first of these.
    pub(crate) fn block(&self, block: usize, (from, to): (u32, u32)) -> (u32, &[[u8; 64]]) {
        let first = from.max(self.first);
        let rows = self.blocks.get(block).map_or(&[][..], Vec::as_slice);
        let index = |row: u32| (row.saturating_sub(self.first) as usize).min(rows.len());
        (first, rows.get(index(first)..index(to)).unwrap_or_default())
    }

    /// Forgets the rows before `first`.
    pub(crate) fn forget(&mut self, first: u32) {
        let gone = first.saturating_sub(self.first) as usize;
        for rows in &mut self.blocks {
            rows.drain(..gone.min(rows.len()));
        }
        self.first = first.max(self.first);
    }

    /// Forgets all of one number.
    pub(crate) fn clear(&mut self, number: u32) {
        for row in self.blocks.get_mut(number as usize / 64).into_iter().flatten() {
            row[number as usize % 64] = 0;
        }
    }
}
