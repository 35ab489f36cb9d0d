//! The longest free time of each therapist's days: a byte each, close together, so that one pass over all of them reads
//! as fast as memory gives.

use crate::clock::{DAY, Minute};

/// Free time in fives of minutes, rounded up. Most days that are too full for a session are told by this alone.
#[derive(Debug)]
pub(crate) struct Rooms {
    /// The first day, counted from the epoch.
    first: Minute,
    /// For each 64 numbers the days from the first, as far as one of them plans.
    blocks: Vec<Vec<[u8; 64]>>,
}

impl Rooms {
    pub(crate) fn starting(first: Minute) -> Self {
        Self { first, blocks: Vec::new() }
    }

    /// Writes down the longest free minutes of days from `day` on.
    pub(crate) fn set(&mut self, number: u32, day: Minute, longest: &[Minute]) {
        let block = number as usize / 64;
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, Vec::new);
        }
        let days = &mut self.blocks[block];
        for (day, minutes) in (day..).zip(longest) {
            let Some(index) = day.checked_sub(self.first) else { continue };
            let room = u8::try_from(minutes.div_ceil(5)).unwrap_or(u8::MAX);
            if days.len() <= index as usize {
                if room == 0 {
                    continue;
                }
                days.reserve_exact(index as usize + 1 - days.len());
                days.resize(index as usize + 1, [0; 64]);
            }
            days[index as usize][number as usize % 64] = room;
        }
    }

    /// Forgets the days before `first`.
    pub(crate) fn forget(&mut self, first: Minute) {
        let gone = first.saturating_sub(self.first) as usize;
        for days in &mut self.blocks {
            days.drain(..gone.min(days.len()));
        }
        self.first = first.max(self.first);
    }

    /// Forgets all days of a therapist.
    pub(crate) fn clear(&mut self, number: u32) {
        for day in self.blocks.get_mut(number as usize / 64).into_iter().flatten() {
            day[number as usize % 64] = 0;
        }
    }

    /// The days that `[from, to)` touches and that have room for so many minutes, as far as they tell.
    pub(crate) fn days(
        &self,
        number: u32,
        range: (Minute, Minute),
        needed: Minute,
    ) -> impl Iterator<Item = Minute> + '_ {
        let (first, days) = self.block(number as usize / 64, range);
        let has_room = move |day: &[u8; 64]| u32::from(day[number as usize % 64]) * 5 >= needed;
        (first..).zip(days).filter(move |(_, day)| has_room(day)).map(|(day, _)| day)
    }

    /// Which of 64 numbers have such a day.
    pub(crate) fn with_room(&self, block: usize, range: (Minute, Minute), needed: Minute) -> u64 {
        let (_, days) = self.block(block, range);
        let mut most = [0_u8; 64];
        for day in days {
            for (most, room) in most.iter_mut().zip(day) {
                *most = (*most).max(*room);
            }
        }
        let has_room = |most: u8| u64::from(u32::from(most) * 5 >= needed);
        (0..).zip(most).fold(0, |known, (bit, most)| known | has_room(most) << bit)
    }

    fn block(&self, block: usize, (from, to): (Minute, Minute)) -> (Minute, &[[u8; 64]]) {
        let first = (from / DAY).max(self.first);
        let days = self.blocks.get(block).map_or(&[][..], Vec::as_slice);
        let index = |day: Minute| (day.saturating_sub(self.first) as usize).min(days.len());
        let (start, end) = (index(first), index(to.div_ceil(DAY)));
        (first, days.get(start..end).unwrap_or_default())
    }
}
