//! The words a worker and a therapist meet on: specializations, approaches, cultural competences.
//!
//! **Invariant:** nothing here asks the database or changes while the process runs. The vocabulary is data compiled
//! in from `vocabulary.toml`; the tests below are its editor, and refuse a term without a language, a broader link
//! that leads nowhere, or a word that could mean two things.

use std::{
    collections::{BTreeSet, HashSet},
    iter,
    sync::LazyLock,
};

use serde::Deserialize;
use strsim::osa_distance;

/// The shipped languages, as primary BCP 47 subtags; the first is the one every text falls back to.
pub(crate) const LANGUAGES: [&str; 4] = ["en", "de", "es", "fr"];

/// The longest text worth searching for, in characters: callers refuse more, and `Vocabulary::find` finds nothing.
pub(crate) const LONGEST_QUERY: usize = 100;

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let lists = toml::from_str(include_str!("vocabulary.toml"))
        .expect("the compiled-in vocabulary is read by every test");
    Vocabulary::of(lists)
});

/// Every term, and the index that finds a specialization by what people call it.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    lists: Lists,
    phrases: Vec<Phrase>,
    /// Every word of every phrase, in order and once.
    words: Vec<String>,
    fillers: HashSet<&'static str>,
    everyday: HashSet<&'static str>,
}

/// One entry of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Term {
    /// The stable name, as profiles and searches carry it.
    pub(crate) slug: String,
    /// Slugs of the terms that include this one.
    #[serde(default)]
    pub(crate) broader: Vec<String>,
    label: Texts<String>,
    #[serde(default)]
    synonyms: Texts<Vec<String>>,
}

/// A specialization that a text may have meant, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match<'a> {
    /// The specialization.
    pub(crate) slug: &'a str,
    /// The slug, label or synonym that the text came closest to, as a person would write it.
    pub(crate) text: &'a str,
    /// The language of `text`; none for a slug.
    pub(crate) language: Option<&'static str>,
    /// How close the two are.
    pub(crate) kind: MatchKind,
}

/// How a text agrees with a label or synonym, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MatchKind {
    /// Letter for letter, apart from case, accents and punctuation.
    Exact,
    /// One stands in the other from the start of a word: `burn` in `burnout`, `burned out` in `I am burned really out`,
    /// where filler words between its words count for nothing.
    Prefix,
    /// They agree but for typing errors: none forgiven up to 3 letters, one up to 7, two above.
    Typo,
}

impl Vocabulary {
    /// The vocabulary that this build ships.
    #[must_use]
    pub(crate) fn get() -> &'static Self {
        &VOCABULARY
    }

    /// What a session can be about.
    #[must_use]
    pub(crate) fn specializations(&self) -> &[Term] {
        &self.lists.specializations
    }

    /// How a therapist works.
    #[must_use]
    pub(crate) fn approaches(&self) -> &[Term] {
        &self.lists.approaches
    }

    /// Which lives a therapist knows well enough that they need no explaining.
    #[must_use]
    pub(crate) fn cultural_competences(&self) -> &[Term] {
        &self.lists.cultural_competences
    }

    /// The specialization of that slug, if there is one.
    #[must_use]
    pub(crate) fn specialization(&self, slug: &str) -> Option<&Term> {
        self.specializations().iter().find(|term| term.slug == slug)
    }

    /// The specialization and all narrower ones, transitively, in the order of the list; nothing for an unknown slug.
    #[must_use]
    pub(crate) fn narrower_or_same(&self, slug: &str) -> Vec<&str> {
        let mut found: HashSet<&str> =
            self.specialization(slug).map(|term| term.slug.as_str()).into_iter().collect();
        let mut known = 0;
        while known < found.len() {
            known = found.len();
            for term in self.specializations() {
                if term.broader.iter().any(|broader| found.contains(broader.as_str())) {
                    found.insert(&term.slug);
                }
            }
        }
        self.specializations()
            .iter()
            .map(|term| term.slug.as_str())
            .filter(|slug| found.contains(slug))
            .collect()
    }

    /// The words of a question that say something, folded; all of them if none does.
    #[must_use]
    pub(crate) fn telling<'a>(&self, question: &'a [String]) -> Vec<&'a str> {
        let telling: Vec<_> =
            question.iter().map(String::as_str).filter(|word| !self.everyday.contains(word)).collect();
        if telling.is_empty() { question.iter().map(String::as_str).collect() } else { telling }
    }

    /// The specializations that a text may mean, in whichever shipped language, the likeliest first.
    ///
    /// Each appears once, by its closest label or synonym. The order depends on nothing but the text and the
    /// vocabulary: kind, a whole phrase before a part, the phrase that leaves less of a longer text over, typing
    /// errors, a label before a synonym, the smaller difference in length, the order of the list.
    ///
    /// A text has at most 50 words, of which at most 20 have the 4 letters that can be mistyped. So the worst costs
    /// 50 looks at each phrase and into the vocabulary's words, 20 edit distances for each of those with the same
    /// initial, and for each phrase one more per run of its words with nearly the same letters.
    #[must_use]
    pub(crate) fn find(&self, text: &str) -> Vec<Match<'_>> {
        if text.chars().nth(LONGEST_QUERY).is_some() {
            return Vec::new();
        }
        let query = Folded::new(text);
        if query.letters == 0 {
            return Vec::new();
        }
        let typed: Vec<_> = query.text().split(' ').map(|word| self.read(word)).collect();
        let telling = query.text().split(' ').any(|word| !self.everyday.contains(word));
        let mut closest: Vec<Option<(Rank, &Phrase)>> = vec![None; self.specializations().len()];
        for phrase in &self.phrases {
            let Some(closeness) = phrase.closeness(&query, &typed, telling) else { continue };
            let rank = Rank {
                closeness,
                synonym: phrase.synonym,
                stretch: phrase.folded.letters.abs_diff(query.letters),
                term: phrase.term,
            };
            let held = &mut closest[phrase.term];
            if held.is_none_or(|(best, _)| rank < best) {
                *held = Some((rank, phrase));
            }
        }
        let mut found: Vec<_> = closest.into_iter().flatten().collect();
        found.sort_unstable_by_key(|(rank, _)| *rank);
        found
            .into_iter()
            .map(|(rank, phrase)| Match {
                slug: &self.specializations()[phrase.term].slug,
                text: &phrase.text,
                language: phrase.language,
                kind: rank.closeness.kind,
            })
            .collect()
    }

    fn of(lists: Lists) -> Self {
        let mut phrases = Vec::new();
        for (index, term) in lists.specializations.iter().enumerate() {
            let slug = iter::once((None, false, &term.slug));
            let labels =
                term.label.each().into_iter().map(|(language, label)| (Some(language), false, label));
            let synonyms = term.synonyms.each().into_iter().flat_map(|(language, synonyms)| {
                synonyms.iter().map(move |synonym| (Some(language), true, synonym))
            });
            for (language, synonym, text) in slug.chain(labels).chain(synonyms) {
                let spelled_out = spell_out_umlauts(text);
                let second = (spelled_out != *text).then_some(spelled_out);
                for form in iter::once(text).chain(&second) {
                    let folded = Folded::new(form);
                    let words = Vec::new();
                    phrases.push(Phrase {
                        term: index,
                        language,
                        synonym,
                        text: text.clone(),
                        folded,
                        words,
                    });
                }
            }
        }
        let words: BTreeSet<_> = phrases.iter().flat_map(|phrase| phrase.folded.text().split(' ')).collect();
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        for phrase in &mut phrases {
            let known = |word: &str| words.binary_search_by(|known| known.as_str().cmp(word)).ok();
            phrase.words = phrase.folded.text().split(' ').filter_map(known).collect();
        }
        let fillers: HashSet<_> = FILLERS.into_iter().flatten().copied().collect();
        let everyday = fillers.iter().chain(EVERYDAY.into_iter().flatten()).copied().collect();
        Self { lists, phrases, words, fillers, everyday }
    }

    /// Which words of the vocabulary a typed word may be.
    ///
    /// Inside a longer text a typing error needs more evidence than alone, since every sentence is full of short
    /// words: six letters in one of the two, the first of them right (it seldom is mistyped: `turned out` is not
    /// `burned out`), and no everyday meaning.
    fn read(&self, typed: &str) -> TypedWord {
        let filler = self.fillers.contains(typed);
        let letters = typed.chars().count();
        let tolerance = if self.everyday.contains(typed) { 0 } else { tolerance(letters) };
        let exact = self.words.binary_search_by(|word| word.as_str().cmp(typed)).ok();
        let mut readings: Vec<_> = exact.map(|word| (word, 0)).into_iter().collect();
        if tolerance > 0 {
            for (index, word) in self.words.iter().enumerate() {
                let length = word.chars().count();
                let may_be = word.chars().next() == typed.chars().next()
                    && length.max(letters) >= SHORTEST_MISTYPED_WORD
                    && length.abs_diff(letters) <= tolerance
                    && word != typed;
                if may_be {
                    let errors = osa_distance(word, typed);
                    readings.extend((errors <= tolerance).then_some((index, errors)));
                }
            }
        }
        TypedWord { filler, readings }
    }
}

impl Term {
    /// The label in the language of a BCP 47 tag, by its primary subtag (`de-CH` reads `de`); English for any other.
    #[must_use]
    pub(crate) fn label(&self, language: &str) -> &str {
        self.label.of(language)
    }

    /// What else people call it, in the language that `label` would choose.
    #[must_use]
    pub(crate) fn synonyms(&self, language: &str) -> &[String] {
        self.synonyms.of(language)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    specializations: Vec<Term>,
    approaches: Vec<Term>,
    cultural_competences: Vec<Term>,
}

/// The same thing in every shipped language: one that is missing fails to parse.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts<T> {
    en: T,
    de: T,
    es: T,
    fr: T,
}

impl<T> Texts<T> {
    fn each(&self) -> [(&'static str, &T); 4] {
        let [en, de, es, fr] = LANGUAGES;
        [(en, &self.en), (de, &self.de), (es, &self.es), (fr, &self.fr)]
    }

    fn of(&self, language: &str) -> &T {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        let texts = self.each();
        texts
            .iter()
            .find(|(shipped, _)| shipped.eq_ignore_ascii_case(primary))
            .map_or(&self.en, |(_, text)| text)
    }
}

/// One thing that one specialization is called.
#[derive(Debug)]
struct Phrase {
    term: usize,
    language: Option<&'static str>,
    synonym: bool,
    text: String,
    folded: Folded,
    /// Where its words stand in the vocabulary's.
    words: Vec<usize>,
}

/// A word of a text.
struct TypedWord {
    /// Whether it says nothing by itself.
    filler: bool,
    /// Words of the vocabulary that it may be, each with its typing errors.
    readings: Vec<(usize, usize)>,
}

impl TypedWord {
    fn errors(&self, word: usize) -> Option<usize> {
        self.readings.iter().find(|(known, _)| *known == word).map(|(_, errors)| *errors)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    closeness: Closeness,
    synonym: bool,
    stretch: usize,
    term: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Closeness {
    kind: MatchKind,
    part: bool,
    /// How many letters of a longer text the phrase does not explain.
    left_over: usize,
    typing_errors: usize,
}

/// Shorter ones stand inside longer texts by chance.
const SHORTEST_INNER_TYPED: usize = 3;
const SHORTEST_INNER_PHRASE: usize = 4;
/// A shorter word is one typing error away from too many others.
const SHORTEST_MISTYPED_WORD: usize = 6;
/// More fillers within a phrase make another sentence of it.
const MOST_SKIPPED: usize = 3;
/// What the longest text is forgiven is what a phrase within it is forgiven.
const MOST_ERRORS: usize = 2;

/// Words that say nothing by themselves, without accents, in the order of `LANGUAGES`: one may stand between the
/// words of a phrase. No language has its negations here: `want to die` is not in `want not to die`.
const FILLERS: [&[&str]; 4] = [
    &[
        "a",
        "again",
        "already",
        "also",
        "always",
        "am",
        "an",
        "and",
        "are",
        "at",
        "be",
        "been",
        "being",
        "by",
        "completely",
        "ever",
        "for",
        "from",
        "had",
        "has",
        "have",
        "i",
        "im",
        "in",
        "is",
        "ive",
        "just",
        "more",
        "my",
        "now",
        "of",
        "on",
        "our",
        "quite",
        "really",
        "so",
        "some",
        "still",
        "than",
        "that",
        "the",
        "then",
        "this",
        "to",
        "too",
        "totally",
        "very",
        "was",
        "well",
        "with",
        "your",
    ],
    &[
        "aber", "als", "am", "an", "auch", "auf", "bei", "beim", "bin", "da", "das", "dem", "den", "der",
        "des", "die", "doch", "ein", "eine", "einem", "einen", "einer", "einfach", "ganz", "gerade", "gut",
        "hab", "habe", "ich", "im", "immer", "in", "ist", "ja", "jetzt", "langer", "mal", "mehr", "mein",
        "meine", "meinem", "meinen", "meiner", "mich", "mir", "mit", "nach", "noch", "nur", "richtig",
        "schon", "sehr", "seit", "so", "total", "um", "und", "vollig", "vom", "von", "vor", "war", "wieder",
        "wirklich", "zu", "zum", "zur",
    ],
    &[
        "a",
        "ahora",
        "al",
        "aun",
        "bastante",
        "bien",
        "como",
        "con",
        "de",
        "del",
        "demasiado",
        "desde",
        "el",
        "en",
        "es",
        "esta",
        "este",
        "estoy",
        "la",
        "las",
        "lo",
        "los",
        "mas",
        "me",
        "mi",
        "mis",
        "mucho",
        "muy",
        "para",
        "por",
        "que",
        "realmente",
        "se",
        "seguir",
        "siempre",
        "simplemente",
        "solo",
        "soy",
        "su",
        "tambien",
        "tan",
        "tanto",
        "todavia",
        "un",
        "una",
        "y",
        "ya",
        "yo",
    ],
    &[
        "a",
        "ai",
        "au",
        "aussi",
        "aux",
        "avec",
        "bien",
        "ce",
        "cest",
        "cette",
        "completement",
        "de",
        "depuis",
        "des",
        "du",
        "elle",
        "en",
        "encore",
        "est",
        "et",
        "etre",
        "jai",
        "je",
        "la",
        "le",
        "les",
        "ma",
        "me",
        "mes",
        "moi",
        "mon",
        "par",
        "pour",
        "que",
        "simplement",
        "suis",
        "tellement",
        "totalement",
        "toujours",
        "tout",
        "toute",
        "tres",
        "trop",
        "un",
        "une",
        "vraiment",
    ],
];

/// Words of everybody's day, in the order of `LANGUAGES`: those that stand in phrases of many terms, and those one
/// slip away from a phrase. A text that has one means it, however near it is to another (`casada` is married, not
/// `cansada`), and a text of nothing else points to a term only if the term is called so from the first word on.
const EVERYDAY: [&[&str]; 4] = [
    &[
        "addition",
        "after",
        "care",
        "carriage",
        "day",
        "expression",
        "home",
        "job",
        "life",
        "message",
        "messages",
        "night",
        "nights",
        "patient",
        "patients",
        "people",
        "shift",
        "shifts",
        "stretched",
        "time",
        "work",
        "working",
    ],
    &[
        "adresse",
        "adressen",
        "arbeit",
        "beziehen",
        "dienst",
        "gewahlt",
        "hause",
        "leben",
        "nacht",
        "patient",
        "patienten",
        "pflege",
        "schicht",
        "tag",
        "zeit",
    ],
    &[
        "accion",
        "acciones",
        "adicion",
        "canada",
        "candado",
        "casa",
        "casada",
        "casado",
        "dia",
        "expresion",
        "mensaje",
        "mensajes",
        "noche",
        "noches",
        "paciente",
        "pacientes",
        "perdido",
        "tiempo",
        "trabajar",
        "trabajo",
        "turno",
        "turnos",
        "vida",
    ],
    &[
        "adresse",
        "adresses",
        "attache",
        "couleur",
        "creee",
        "jour",
        "maison",
        "nuit",
        "nuits",
        "patient",
        "patients",
        "pratique",
        "temps",
        "travail",
        "travailler",
        "vie",
    ],
];

impl Phrase {
    fn closeness(&self, query: &Folded, typed: &[TypedWord], telling: bool) -> Option<Closeness> {
        let errorless = |kind, part| Some(Closeness { kind, typing_errors: 0, part, left_over: 0 });
        if self.folded.padded == query.padded {
            return errorless(MatchKind::Exact, false);
        }
        let open_ended = query.padded.trim_end();
        if self.folded.padded.starts_with(open_ended) {
            return errorless(MatchKind::Prefix, false);
        }
        if telling && query.letters >= SHORTEST_INNER_TYPED && self.folded.padded.contains(open_ended) {
            return errorless(MatchKind::Prefix, true);
        }
        let among = self.among(typed).map(|typing_errors| Closeness {
            kind: if typing_errors == 0 { MatchKind::Prefix } else { MatchKind::Typo },
            typing_errors,
            part: true,
            left_over: query.letters.saturating_sub(self.folded.letters),
        });
        among.into_iter().chain(self.typing_errors(query, telling)).min()
    }

    /// The fewest typing errors with which the phrase stands among the typed words.
    ///
    /// It has to stand there whole, one word after the other with nothing but a few fillers between them: a word
    /// means a specialization by itself only if the vocabulary lists it by itself. So `work`, `trabajo` and `nacht`,
    /// which many phrases have and none is, pull in nothing.
    fn among(&self, typed: &[TypedWord]) -> Option<usize> {
        if self.folded.letters < SHORTEST_INNER_PHRASE {
            return None;
        }
        (0..typed.len()).filter_map(|start| self.errors_from(&typed[start..])).min()
    }

    fn errors_from(&self, typed: &[TypedWord]) -> Option<usize> {
        let mut typed = typed.iter();
        let mut errors = typed.next()?.errors(*self.words.first()?)?;
        let mut skipped = 0;
        for word in &self.words[1..] {
            errors += loop {
                let next = typed.next()?;
                if let Some(errors) = next.errors(*word) {
                    break errors;
                }
                skipped += 1;
                if !next.filler || skipped > MOST_SKIPPED {
                    return None;
                }
            };
        }
        (errors <= MOST_ERRORS).then_some(errors)
    }

    /// The fewest typing errors between the query and the phrase, or as many of its words as were typed.
    fn typing_errors(&self, query: &Folded, telling: bool) -> Option<Closeness> {
        let tolerance = tolerance(query.letters);
        let errors = |candidate: &str| {
            let possible = candidate.chars().count().abs_diff(query.letters) <= tolerance
                && may_be_near(letters_of(candidate), query.letters_used, tolerance);
            possible.then(|| osa_distance(candidate, query.text())).filter(|errors| *errors <= tolerance)
        };
        if tolerance == 0 {
            return None;
        }
        let whole = errors(self.folded.text()).map(|errors| (errors, false));
        let part = self
            .folded
            .runs(query.words())
            .filter(|run| telling && run.len() >= SHORTEST_MISTYPED_WORD)
            .filter_map(errors)
            .min()
            .map(|errors| (errors, true));
        whole.into_iter().chain(part).min().map(|(typing_errors, part)| Closeness {
            kind: MatchKind::Typo,
            typing_errors,
            part,
            left_over: 0,
        })
    }
}

/// The words of a question, without case and accents.
pub(crate) fn typed_words(text: &str) -> Vec<String> {
    Folded::new(text).text().split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The words of a text as they may be typed, each once: without case and accents, and those with umlauts spelled out,
/// too.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = typed_words(text);
    words.extend(typed_words(&spell_out_umlauts(text)));
    words.sort_unstable();
    words.dedup();
    words
}

/// A text without case, accents and punctuation, its words apart by one space.
pub(crate) fn folded(text: &str) -> String {
    Folded::new(text).text().to_owned()
}

/// How many typing errors a word of so many letters may have.
pub(crate) fn tolerance(letters: usize) -> usize {
    match letters {
        0..=3 => 0,
        4..=7 => 1,
        _ => MOST_ERRORS,
    }
}

/// Which letters a text has, a bit each: one typing error adds one at most, and takes one at most.
fn letters_of(text: &str) -> u64 {
    text.chars().fold(0, |used, letter| used | 1 << (u32::from(letter) % u64::BITS))
}

fn may_be_near(one: u64, other: u64, errors: usize) -> bool {
    let beyond = |more: u64, less: u64| (more & !less).count_ones() as usize <= errors;
    beyond(one, other) && beyond(other, one)
}

/// A text without case, accents and punctuation: words apart by one space, with a space at either end, so that a
/// search for ` word` is a search from the start of a word.
#[derive(Debug)]
struct Folded {
    padded: String,
    letters: usize,
    letters_used: u64,
}

impl Folded {
    fn new(text: &str) -> Self {
        let mut padded = String::from(" ");
        for letter in text.chars().flat_map(char::to_lowercase) {
            let plain = without_accent(letter);
            if !plain.is_empty() {
                padded.push_str(plain);
            } else if letter.is_alphanumeric() {
                padded.push(letter);
            } else if !joins_letters(letter) && !padded.ends_with(' ') {
                padded.push(' ');
            }
        }
        if !padded.ends_with(' ') {
            padded.push(' ');
        }
        let letters = padded.trim().chars().count();
        let letters_used = letters_of(padded.trim());
        Self { padded, letters, letters_used }
    }

    fn text(&self) -> &str {
        self.padded.trim()
    }

    fn words(&self) -> usize {
        self.text().split(' ').count()
    }

    /// Every `words` words that stand together.
    fn runs(&self, words: usize) -> impl Iterator<Item = &str> {
        let gaps = || self.padded.match_indices(' ').map(|(at, _)| at);
        gaps().zip(gaps().skip(words)).map(|(before, after)| &self.padded[before + 1..after])
    }
}

/// The letters of the shipped languages (and their nearest neighbours) that people type without their marks.
fn without_accent(letter: char) -> &'static str {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => "a",
        'æ' => "ae",
        'ç' => "c",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => "o",
        'œ' => "oe",
        'ù' | 'ú' | 'û' | 'ü' => "u",
        'ý' | 'ÿ' => "y",
        'ß' => "ss",
        _ => "",
    }
}

/// Apostrophes of every keyboard, and accents that arrive as marks of their own.
fn joins_letters(letter: char) -> bool {
    matches!(letter, '\'' | '’' | '‘' | '´' | '`' | '\u{300}'..='\u{36f}')
}

/// The second way to write a German word without umlauts: `Übergriff` is typed `Ubergriff` and `Uebergriff`.
fn spell_out_umlauts(text: &str) -> String {
    let umlauts = [("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("Ä", "Ae"), ("Ö", "Oe"), ("Ü", "Ue")];
    umlauts.iter().fold(text.to_owned(), |text, (umlaut, letters)| text.replace(umlaut, letters))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, slug: &str, kind: MatchKind) {
        let found = Vocabulary::get().find(text);
        let first = found.first().map(|found| (found.slug, found.kind));
        assert_eq!(first, Some((slug, kind)), "{text:?} found {found:?}");
    }

    #[test]
    fn d2_the_listed_specializations_are_there() {
        for slug in [
            "burnout",
            "compassion-fatigue",
            "moral-injury",
            "trauma",
            "ptsd",
            "secondary-trauma",
            "second-victim",
            "workplace-violence",
            "anxiety",
            "panic",
            "depression",
            "grief",
            "sleep-and-shift-work",
            "substance-use",
            "perinatal-loss",
            "relationships",
            "career-distress",
        ] {
            assert!(Vocabulary::get().specialization(slug).is_some(), "{slug}");
        }
        assert!(Vocabulary::get().specialization("Burnout").is_none(), "a slug is exact");
    }

    #[test]
    fn d2_slugs_labels_and_synonyms_are_found_exactly() {
        for (text, slug) in [
            ("burnout", "burnout"),
            ("sleep-and-shift-work", "sleep-and-shift-work"),
            ("PTSD", "ptsd"),
            ("Burned out", "burnout"),
            ("can't sleep after nights", "sleep-and-shift-work"),
            ("cant sleep after nights", "sleep-and-shift-work"),
            ("can’t sleep", "sleep-and-shift-work"),
            ("vicarious trauma", "secondary-trauma"),
            ("medication error", "second-victim"),
            ("want to die", "suicidal-thoughts"),
            ("ausgebrannt", "burnout"),
            ("BURN-OUT", "burnout"),
            ("Mitgefühlserschöpfung", "compassion-fatigue"),
            ("mitgefuhlserschopfung", "compassion-fatigue"),
            ("Mitgefuehlserschoepfung", "compassion-fatigue"),
            ("Moralische Verletzung", "moral-injury"),
            ("Zweites Opfer", "second-victim"),
            ("PTBS", "ptsd"),
            ("Übergriff", "workplace-violence"),
            ("uebergriff", "workplace-violence"),
            ("agotamiento", "burnout"),
            ("fatiga por compasión", "compassion-fatigue"),
            ("daño moral", "moral-injury"),
            ("dano moral", "moral-injury"),
            ("duelo", "grief"),
            ("insomnio", "sleep-and-shift-work"),
            ("épuisement", "burnout"),
            ("EPUISEMENT", "burnout"),
            ("e\u{301}puisement", "burnout"),
            ("je n'en peux plus", "burnout"),
            ("traumatisme vicariant", "secondary-trauma"),
            ("coeur qui s'emballe", "panic"),
            ("deuil périnatal", "perinatal-loss"),
            ("  fausse   couche ", "perinatal-loss"),
        ] {
            check(text, slug, MatchKind::Exact);
        }
    }

    #[test]
    fn d2_the_beginning_is_enough_and_more_does_no_harm() {
        for (text, slug) in [
            ("burn", "burnout"),
            ("secon", "second-victim"),
            ("desgaste ocup", "burnout"),
            ("moral injury help", "moral-injury"),
            ("since the miscarriage in May", "perinatal-loss"),
            ("Schichtarb", "sleep-and-shift-work"),
            ("harcel", "workplace-violence"),
        ] {
            check(text, slug, MatchKind::Prefix);
        }
    }

    #[test]
    fn d2_typing_errors_are_forgiven() {
        for (text, slug) in [
            ("burnuot", "burnout"),
            ("axniety", "anxiety"),
            ("deppresion", "depression"),
            ("compasion fatige", "compassion-fatigue"),
            ("Schlaflosikeit", "sleep-and-shift-work"),
            ("Panickattacken", "panic"),
            ("agotameinto", "burnout"),
            ("ansiedda", "anxiety"),
            ("epuissement", "burnout"),
            ("insomie", "sleep-and-shift-work"),
            ("misscarriage", "perinatal-loss"),
        ] {
            check(text, slug, MatchKind::Typo);
        }
    }

    #[test]
    fn d2_short_texts_forgive_nothing() {
        for text in ["", " ", "-", "?!", "xq", "zzz", "qwertzuiop", "😀"] {
            assert_eq!(Vocabulary::get().find(text), [], "{text:?}");
        }
    }

    #[test]
    fn d2_filler_words_lose_nothing() {
        for (text, slug, kind) in [
            ("I am so burned out", "burnout", MatchKind::Prefix),
            ("i'm totally burnd out this week", "burnout", MatchKind::Typo),
            ("cannot really sleep", "sleep-and-shift-work", MatchKind::Prefix),
            ("I have nightmares", "ptsd", MatchKind::Prefix),
            ("my patient just died last night", "grief", MatchKind::Prefix),
            ("I was attackd by a patient", "workplace-violence", MatchKind::Typo),
            ("anxiety attack last night", "panic", MatchKind::Prefix),
            ("bin ausgebrannt", "burnout", MatchKind::Prefix),
            ("bin ausgebrant", "burnout", MatchKind::Typo),
            ("ich kann nicht mehr schlafen nach der nacht", "sleep-and-shift-work", MatchKind::Prefix),
            ("kann seit Mai nicht mehr richtig schlafen", "sleep-and-shift-work", MatchKind::Prefix),
            ("mein Patient ist gestorben", "grief", MatchKind::Prefix),
            ("habe Panikatacken im Dienst", "panic", MatchKind::Typo),
            ("estoy muy agotada del trabajo", "burnout", MatchKind::Prefix),
            ("such compasion fatige", "compassion-fatigue", MatchKind::Typo),
            ("estoy muy agotda", "burnout", MatchKind::Typo),
            ("ya no puedo más dormir bien", "sleep-and-shift-work", MatchKind::Prefix),
            ("tengo pesadilas", "ptsd", MatchKind::Typo),
            ("he sido agredida", "workplace-violence", MatchKind::Prefix),
            ("je suis épuisée", "burnout", MatchKind::Prefix),
            ("je suis vraiment epuisee par mon travail", "burnout", MatchKind::Prefix),
            ("je dors très mal", "sleep-and-shift-work", MatchKind::Prefix),
            ("j'ai des crises d'angoise", "panic", MatchKind::Typo),
            ("depuis le travail de la nuit", "sleep-and-shift-work", MatchKind::Prefix),
        ] {
            check(text, slug, kind);
        }
    }

    #[test]
    fn d2_other_sentences_find_nothing() {
        for text in [
            "the weather is nice",
            "football",
            "car insurance",
            "it turned out well",
            "I tried to call you",
            "we came in a horse carriage",
            "my work",
            "after the shift",
            "a patient",
            "I need help",
            "guten tag",
            "ich brauche Hilfe",
            "die Arbeit",
            "in der Nacht",
            "nach der Schicht",
            "der Zug kommt spät",
            "ich will nicht mehr lesen",
            "buenos días",
            "el trabajo",
            "por la noche",
            "estoy casada con un médico",
            "pizza con queso",
            "bonjour à tous",
            "mon travail",
            "de la nuit",
            "la page a été créée",
            "un billet de train",
        ] {
            assert_eq!(Vocabulary::get().find(text), [], "{text:?}");
        }
    }

    #[test]
    fn d2_an_everyday_word_finds_only_what_begins_with_it() {
        let slugs = |text| Vocabulary::get().find(text).iter().map(|found| found.slug).collect::<Vec<_>>();
        assert_eq!(slugs("work"), ["work-stress", "workplace-violence"]);
        assert_eq!(slugs("trabajo"), ["sleep-and-shift-work"]);
        assert_eq!(slugs("nacht"), ["sleep-and-shift-work"]);
        assert_eq!(slugs("travail"), ["sleep-and-shift-work"]);
    }

    #[test]
    fn b9_the_will_to_die_is_heard_in_a_sentence_and_not_in_a_figure_of_speech() {
        let heard = |text| Vocabulary::get().find(text).iter().any(|found| found.slug == "suicidal-thoughts");
        for text in [
            "I just don't want to live anymore",
            "I do not want to live like this",
            "sometimes I want to just die",
            "I keep having suicidle thoughts",
            "ich will nicht mehr leben müssen",
            "ich will einfach nicht mehr leben",
            "ich möchte einfach nur sterben",
            "dass ich nicht mehr leben will",
            "ya no quiero vivir más",
            "no quiero seguir viviendo así",
            "pienso en quitarme la vida",
            "je n'ai plus envie de vivre",
            "je veux juste mourir, je veux mourir",
            "j'ai des idees suicidaire",
        ] {
            assert!(heard(text), "{text:?}");
        }
        for text in [
            "I could kill for a coffee",
            "my shift is killing me",
            "I want to be a better nurse",
            "I want to drive to work",
            "ich will nicht mehr lesen",
            "ich will nicht mehr im Dienst sein",
            "ich sterbe vor Hunger",
            "quiero vivir en la costa",
            "me muero de hambre",
            "je meurs de faim",
            "envie de vivre à Paris",
        ] {
            assert!(!heard(text), "{text:?}");
        }
    }

    #[test]
    fn the_phrase_that_explains_most_of_a_text_comes_first() {
        let found = Vocabulary::get().find("ich kann nicht mehr schlafen nach der nacht");
        let texts: Vec<_> = found.iter().map(|found| found.text).collect();
        assert_eq!(texts, ["ich kann nicht mehr schlafen", "ich kann nicht mehr"]);
    }

    #[test]
    fn more_fillers_than_a_few_part_a_phrase() {
        let slug = |text| Vocabulary::get().find(text).first().map(|found| found.slug);
        assert_eq!(slug("burned so very really out"), Some("burnout"));
        assert_eq!(slug("burned so very really totally out"), None);
    }

    #[test]
    fn tables_of_words_are_written_as_they_are_looked_up() {
        for word in FILLERS.into_iter().chain(EVERYDAY).flatten() {
            assert_eq!(Folded::new(word).text(), *word);
        }
        for table in [FILLERS, EVERYDAY] {
            assert!(table.iter().all(|words| words.is_sorted_by(|one, next| one < next)));
        }
    }

    #[test]
    fn a_match_says_what_and_in_which_language() {
        let found = Vocabulary::get().find("mitgefuehlsmuedigkeit");
        let expected = Match {
            slug: "compassion-fatigue",
            text: "Mitgefühlsmüdigkeit",
            language: Some("de"),
            kind: MatchKind::Exact,
        };
        assert_eq!(found.first(), Some(&expected));
        assert_eq!(Vocabulary::get().find("second-victim")[0].language, None);
    }

    #[test]
    fn exact_comes_before_prefix_and_prefix_before_typo() {
        for text in ["trauma", "stress", "burn", "angst", "agression", "traumatisme", "moral"] {
            let found = Vocabulary::get().find(text);
            assert!(found.is_sorted_by_key(|found| found.kind), "{text}: {found:?}");
            let slugs: HashSet<_> = found.iter().map(|found| found.slug).collect();
            assert_eq!(slugs.len(), found.len(), "{text}: a specialization stands twice");
        }
        let trauma: Vec<_> = Vocabulary::get().find("trauma").iter().map(|found| found.slug).collect();
        assert_eq!(trauma[0], "trauma");
        assert!(trauma.contains(&"secondary-trauma"));
    }

    #[test]
    fn d2_a_broader_term_finds_the_narrower_ones() {
        let vocabulary = Vocabulary::get();
        assert_eq!(
            vocabulary.narrower_or_same("trauma"),
            ["moral-injury", "trauma", "ptsd", "secondary-trauma", "second-victim", "workplace-violence"]
        );
        assert_eq!(vocabulary.narrower_or_same("anxiety"), ["anxiety", "panic"]);
        assert_eq!(vocabulary.narrower_or_same("grief"), ["grief", "perinatal-loss"]);
        assert_eq!(vocabulary.narrower_or_same("panic"), ["panic"]);
        assert!(vocabulary.narrower_or_same("unheard-of").is_empty());
    }

    #[test]
    fn narrower_terms_are_found_over_several_steps_and_even_round_a_circle() {
        let term = |slug: &str, broader: &[&str]| Term {
            slug: slug.to_owned(),
            broader: broader.iter().map(|&broader| broader.to_owned()).collect(),
            label: Texts::default(),
            synonyms: Texts::default(),
        };
        let vocabulary = Vocabulary::of(Lists {
            specializations: vec![term("c", &["b"]), term("b", &["a"]), term("a", &["c"]), term("d", &[])],
            approaches: Vec::new(),
            cultural_competences: Vec::new(),
        });
        assert_eq!(vocabulary.narrower_or_same("a"), ["c", "b", "a"]);
    }

    #[test]
    fn a_label_falls_back_to_english() {
        let burnout = Vocabulary::get().specialization("burnout").unwrap();
        for (language, label) in [
            ("de", "Burn-out"),
            ("de-CH", "Burn-out"),
            ("ES", "Síndrome de desgaste ocupacional"),
            ("fr_CA", "Épuisement professionnel"),
            ("pt-BR", "Burnout"),
            ("", "Burnout"),
        ] {
            assert_eq!(burnout.label(language), label, "{language}");
        }
        assert!(burnout.synonyms("es-MX").iter().any(|synonym| synonym == "agotamiento"));
    }

    #[test]
    fn every_term_speaks_every_language() {
        let vocabulary = Vocabulary::get();
        let lists =
            [vocabulary.specializations(), vocabulary.approaches(), vocabulary.cultural_competences()];
        for term in lists.into_iter().flatten() {
            let slug_is_plain = term.slug.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
            assert!(slug_is_plain && !term.slug.is_empty(), "{}", term.slug);
            for language in LANGUAGES {
                let label = term.label(language);
                assert_eq!(label.trim(), label, "{}", term.slug);
                assert!(!label.is_empty(), "{} in {language}", term.slug);
            }
        }
        for term in vocabulary.specializations() {
            for language in LANGUAGES {
                assert!(term.synonyms(language).len() >= 2, "{} in {language}", term.slug);
            }
        }
    }

    #[test]
    fn slugs_are_unique_and_broader_links_lead_upwards() {
        let vocabulary = Vocabulary::get();
        for list in [vocabulary.specializations(), vocabulary.approaches(), vocabulary.cultural_competences()]
        {
            let slugs: HashSet<_> = list.iter().map(|term| &term.slug).collect();
            assert_eq!(slugs.len(), list.len());
        }
        for term in vocabulary.specializations() {
            for broader in &term.broader {
                assert!(vocabulary.specialization(broader).is_some(), "{} is under {broader}", term.slug);
                let below = vocabulary.narrower_or_same(&term.slug);
                assert!(
                    !below.contains(&broader.as_str()),
                    "{} and {broader} are above each other",
                    term.slug
                );
            }
        }
        let flat = [vocabulary.approaches(), vocabulary.cultural_competences()];
        assert!(flat.into_iter().flatten().all(|term| term.broader.is_empty()));
    }

    #[test]
    fn no_text_means_two_specializations() {
        let vocabulary = Vocabulary::get();
        let mut meanings: HashMap<&str, usize> = HashMap::new();
        for phrase in &vocabulary.phrases {
            assert!(phrase.folded.letters > 0, "{:?}", phrase.text);
            assert!(phrase.text.chars().count() <= LONGEST_QUERY, "{:?}", phrase.text);
            let meaning = *meanings.entry(&phrase.folded.padded).or_insert(phrase.term);
            assert_eq!(
                vocabulary.specializations()[meaning].slug,
                vocabulary.specializations()[phrase.term].slug,
                "{:?} is ambiguous",
                phrase.text
            );
        }
    }

    #[test]
    fn no_synonym_is_listed_twice_in_a_language() {
        for term in Vocabulary::get().specializations() {
            for language in LANGUAGES {
                let mut texts = HashSet::new();
                for text in term.synonyms(language).iter().map(String::as_str).chain([term.label(language)]) {
                    assert!(texts.insert(Folded::new(text).padded), "{}: {text:?} in {language}", term.slug);
                }
            }
        }
    }

    #[test]
    fn a_text_over_the_limit_finds_nothing() {
        let longest = format!("burnout{}", " ".repeat(LONGEST_QUERY - 7));
        check(&longest, "burnout", MatchKind::Exact);
        assert_eq!(Vocabulary::get().find(&format!("{longest} ")), []);
    }

    proptest! {
        #[test]
        fn find_takes_any_text(text in any::<String>()) {
            let first = Vocabulary::get().find(&text);
            prop_assert_eq!(first, Vocabulary::get().find(&text));
        }

        #[test]
        fn find_takes_any_letters(text in "[a-zäöüßéñçœ'’ -]{0,110}") {
            let found = Vocabulary::get().find(&text);
            prop_assert!(found.is_sorted_by_key(|found| found.kind));
            prop_assert!(found.len() <= Vocabulary::get().specializations().len());
        }

        #[test]
        fn d2_a_label_with_two_letters_swapped_is_found(
            term in 0..Vocabulary::get().specializations().len(),
            language in prop::sample::select(&LANGUAGES[..]),
            at in any::<prop::sample::Index>(),
        ) {
            let term = &Vocabulary::get().specializations()[term];
            let mut label: Vec<char> = term.label(language).chars().collect();
            let at = at.index(label.len() - 1);
            label.swap(at, at + 1);
            let typed: String = label.into_iter().collect();
            let found = Vocabulary::get().find(&typed);
            prop_assert!(found.iter().any(|found| found.slug == term.slug), "{typed:?} found {found:?}");
        }
    }
}
