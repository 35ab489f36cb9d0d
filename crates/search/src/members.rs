//! Sets of therapists by their number.

/// A set that costs what is in it: words of 64 numbers, without the empty ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// Which words there are, ascending.
    at: Vec<u32>,
    words: Vec<u64>,
}

impl Members {
    pub(crate) fn insert(&mut self, number: u32) {
        match self.at.binary_search(&(number / 64)) {
            Ok(index) => self.words[index] |= 1 << (number % 64),
            Err(index) => {
                if self.at.len() == self.at.capacity() {
                    // There are thousands of these: doubling would cost more memory than it saves time.
                    self.at.reserve_exact(self.at.len() / 8 + 1);
                    self.words.reserve_exact(self.words.len() / 8 + 1);
                }
                self.at.insert(index, number / 64);
                self.words.insert(index, 1 << (number % 64));
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Ok(index) = self.at.binary_search(&(number / 64)) {
            self.words[index] &= !(1 << (number % 64));
            if self.words[index] == 0 {
                self.at.remove(index);
                self.words.remove(index);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn words(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.at.iter().map(|at| *at as usize).zip(self.words.iter().copied())
    }
}

/// A set for one question: a word for every 64 numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wide(Vec<u64>);

impl Wide {
    pub(crate) fn none(numbers: usize) -> Self {
        Self(vec![0; numbers.div_ceil(64)])
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn add(&mut self, members: &Members) {
        for (at, word) in members.words() {
            if let Some(known) = self.0.get_mut(at) {
                *known |= word;
            }
        }
    }

    pub(crate) fn join(&mut self, other: &Wide) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Keeps what is in `other` as well, or only what is not.
    pub(crate) fn keep(&mut self, other: &Wide, inside: bool) {
        let flip = if inside { 0 } else { u64::MAX };
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other ^ flip);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).zip(&self.0).flat_map(|(at, word)| ones(at, *word))
    }

    /// Those which are also in the words that `of` gives for each 64 numbers; it is not asked about those without any.
    pub(crate) fn numbers_of(&self, of: impl Fn(usize) -> u64) -> impl Iterator<Item = u32> {
        let words = (0_u32..).zip(&self.0).filter(|(_, word)| **word != 0);
        words.flat_map(move |(at, word)| ones(at, word & of(at as usize)))
    }

    /// How many of `members` are here.
    pub(crate) fn count_of(&self, members: &Members) -> usize {
        members.words().map(|(at, word)| (word & self.word(at)).count_ones() as usize).sum()
    }

    /// Which of `members` are here.
    pub(crate) fn among<'a>(&'a self, members: &'a Members) -> impl Iterator<Item = u32> + 'a {
        members.at.iter().zip(&members.words).flat_map(|(at, word)| ones(*at, word & self.word(*at as usize)))
    }

    fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or_default()
    }
}

fn ones(at: u32, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let next = (word != 0).then(|| at * 64 + word.trailing_zeros());
        word &= word.wrapping_sub(1);
        next
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn members_are_a_set(steps in prop::collection::vec((any::<bool>(), 0_u32..300), 0..60)) {
            let (mut members, mut model) = (Members::default(), BTreeSet::new());
            for (insert, number) in steps {
                if insert {
                    members.insert(number);
                    model.insert(number);
                } else {
                    members.remove(number);
                    model.remove(&number);
                }
            }
            let mut wide = Wide::none(300);
            wide.add(&members);
            prop_assert_eq!(wide.numbers().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(wide.count(), model.len());
            let even = (0..300).filter(|number| number % 2 == 0);
            let mut evens = Wide::none(300);
            even.for_each(|number| evens.insert(number));
            let expected: Vec<_> = model.iter().copied().filter(|number| number % 2 == 0).collect();
            prop_assert_eq!(evens.count_of(&members), expected.len());
            prop_assert_eq!(evens.among(&members).collect::<Vec<_>>(), expected.clone());
            wide.keep(&evens, true);
            prop_assert_eq!(wide.numbers().collect::<Vec<_>>(), expected);
            wide.keep(&evens, false);
            prop_assert_eq!(wide.count(), 0);
            prop_assert!(members.words.iter().all(|word| *word != 0));
        }
    }
}
