//! What a typed word may mean: the values of a facet that it is, begins, or is mistyped for.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::{Facet, Index, Term};

impl Index {
    /// The values of `facet` that `word` is, begins, or becomes by `errors` typing errors: a letter too many, too few,
    /// another one, or two the other way round. In ascending order.
    ///
    /// It walks the values as a tree of letters, and leaves a branch as soon as no word in it can be near enough: a
    /// look costs what is like the word, not what there is.
    pub fn like(&self, facet: Facet, word: &str, errors: usize) -> Vec<Term> {
        let mut like = Vec::new();
        let Some(values) = self.terms.values(facet) else { return like };
        let typed: Vec<char> = word.chars().collect();
        if typed.is_empty() {
            return like;
        }
        let mut path = Path::new(typed.len());
        let mut from: Bound<String> = Bound::Unbounded;
        while let Some((value, term)) = next(values, &from) {
            match path.follow(value, &typed, errors) {
                Step::Near => {
                    like.push(*term);
                    from = Bound::Excluded(value.to_owned());
                }
                Step::Far => from = Bound::Excluded(value.to_owned()),
                // Whatever goes on from there is too far, too.
                Step::Dead(branch) => match after(branch) {
                    Some(after) => from = Bound::Included(after),
                    None => break,
                },
            }
        }
        like
    }
}

fn next<'a>(values: &'a BTreeMap<Box<str>, Term>, from: &Bound<String>) -> Option<(&'a str, &'a Term)> {
    let from = match from {
        Bound::Included(value) => Bound::Included(value.as_str()),
        Bound::Excluded(value) => Bound::Excluded(value.as_str()),
        Bound::Unbounded => Bound::Unbounded,
    };
    values.range::<str, _>((from, Bound::Unbounded)).next().map(|(value, term)| (&**value, term))
}

/// The first text behind all that begin with `branch`.
fn after(branch: &str) -> Option<String> {
    let mut after = branch.to_owned();
    while let Some(last) = after.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            after.push(next);
            return Some(after);
        }
    }
    None
}

enum Step<'a> {
    Near,
    Far,
    /// Nothing that begins like this is near.
    Dead(&'a str),
}

/// The way from the root of the tree to a value, with the distances of each of its beginnings to those of the typed word
/// (optimal string alignment).
struct Path {
    letters: Vec<char>,
    rows: Vec<Vec<usize>>,
    /// From where on the typed word is the beginning.
    begun: Option<usize>,
}

impl Path {
    fn new(typed: usize) -> Self {
        Self { letters: Vec::new(), rows: vec![(0..=typed).collect()], begun: None }
    }

    fn follow<'a>(&mut self, value: &'a str, typed: &[char], errors: usize) -> Step<'a> {
        let shared = value.chars().zip(&self.letters).take_while(|(this, that)| this == *that).count();
        self.letters.truncate(shared);
        self.rows.truncate(shared + 1);
        self.begun = self.begun.filter(|begun| *begun <= shared);
        for (depth, (at, letter)) in value.char_indices().enumerate().skip(shared) {
            self.letters.push(letter);
            let row = self.row(typed);
            let least = row.iter().copied().min().unwrap_or_default();
            // A swap is seen one letter late.
            let before = self.rows[depth].iter().copied().min().unwrap_or_default();
            self.rows.push(row);
            if self.begun.is_none() && self.letters == typed {
                self.begun = Some(depth + 1);
            }
            if self.begun.is_none() && least > errors && before > errors {
                return Step::Dead(&value[..at + letter.len_utf8()]);
            }
        }
        let distance = self.rows.last().and_then(|row| row.last()).copied().unwrap_or_default();
        if self.begun.is_some() || distance <= errors { Step::Near } else { Step::Far }
    }

    /// The distances with the last letter.
    fn row(&self, typed: &[char]) -> Vec<usize> {
        let (depth, letter) = (self.letters.len(), self.letters[self.letters.len() - 1]);
        let before = &self.rows[depth - 1];
        let mut row = Vec::with_capacity(before.len());
        row.push(depth);
        for (index, wanted) in typed.iter().enumerate() {
            let mut least = (before[index] + usize::from(letter != *wanted))
                .min(before[index + 1] + 1)
                .min(row[index] + 1);
            if depth > 1 && index > 0 && letter == typed[index - 1] && self.letters[depth - 2] == *wanted {
                least = least.min(self.rows[depth - 2][index - 1] + 1);
            }
            row.push(least);
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    /// The slow, obvious distance: of all ways to align, the cheapest.
    fn distance(this: &[char], that: &[char]) -> usize {
        let mut rows = vec![vec![0; that.len() + 1]; this.len() + 1];
        for i in 0..=this.len() {
            for j in 0..=that.len() {
                rows[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let swapped = i > 1 && j > 1 && this[i - 1] == that[j - 2] && this[i - 2] == that[j - 1];
                    (rows[i - 1][j - 1] + usize::from(this[i - 1] != that[j - 1]))
                        .min(rows[i - 1][j] + 1)
                        .min(rows[i][j - 1] + 1)
                        .min(if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX })
                };
            }
        }
        rows[this.len()][that.len()]
    }

    fn index(words: &[String]) -> Index {
        let mut index = Index::new(DateTime::UNIX_EPOCH);
        for word in words {
            index.terms.intern(Facet::Word, word);
        }
        index
    }

    fn like(index: &Index, word: &str, errors: usize) -> Vec<String> {
        let like = index.like(Facet::Word, word, errors);
        index
            .terms(Facet::Word)
            .filter(|(_, term)| like.contains(term))
            .map(|(word, _)| word.to_owned())
            .collect()
    }

    #[test]
    fn d3_a_word_is_found_by_its_beginning_and_with_typing_errors() {
        let words =
            ["anna", "annabel", "hanna", "ana", "nana", "annette", "burnout", "zoe"].map(str::to_owned);
        let index = index(&words);
        for (typed, errors, expected) in [
            ("anna", 0, vec!["anna", "annabel"]),
            ("anna", 1, vec!["ana", "anna", "annabel", "hanna", "nana"]),
            ("ann", 0, vec!["anna", "annabel", "annette"]),
            ("burnuot", 1, vec!["burnout"]),
            ("burnout", 0, vec!["burnout"]),
            ("brnot", 1, vec![]),
            ("brnot", 2, vec!["burnout"]),
            ("", 2, vec![]),
            ("x", 0, vec![]),
        ] {
            assert_eq!(like(&index, typed, errors), expected, "{typed}, {errors}");
        }
    }

    proptest! {
        #[test]
        fn d3_exactly_what_is_near_or_begins_so_is_found(
            words in prop::collection::btree_set("[abü\u{10FFFF}]{1,6}", 0..40),
            typed in "[abü\u{10FFFF}]{1,6}",
            errors in 0_usize..3,
        ) {
            let words: Vec<String> = words.into_iter().collect();
            let letters = |word: &str| word.chars().collect::<Vec<_>>();
            let expected: Vec<String> = words
                .iter()
                .filter(|word| {
                    word.starts_with(&typed) || distance(&letters(word), &letters(&typed)) <= errors
                })
                .cloned()
                .collect();
            prop_assert_eq!(like(&index(&words), &typed, errors), expected);
        }
    }
}
