//! Everything a letter can say, in every language, checked for telling words while it compiles.

use std::fmt;

use chrono::{Datelike, NaiveDateTime, Timelike};

/// A language in which letters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
    /// Spanish.
    Es,
    /// French.
    Fr,
}

/// How much a reminder says. Saying nothing at all is having no reminder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// That there is something to look at.
    Update,
    /// A time, and nothing that it is the time of.
    Time,
}

/// Six digits that prove a contact reaches the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

/// What a letter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks a contact to prove itself, before anything else is sent to it.
    ConfirmContact {
        /// What the worker types to prove it.
        code: Code,
    },
    /// Comes ahead of what the worker has arranged.
    Reminder {
        /// How much the worker lets it say.
        level: Level,
        /// When it is, by the clock on the worker's wall; shown at [`Level::Time`] alone.
        local: NaiveDateTime,
    },
}

impl Language {
    /// Every language there is.
    pub const ALL: [Self; 4] = [Self::En, Self::De, Self::Es, Self::Fr];

    /// The language of a BCP 47 tag: the first subtag decides, and English stands in for the rest.
    #[must_use]
    pub fn of_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.tag()))
            .unwrap_or(Self::En)
    }

    /// The BCP 47 tag of this language.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Es => "es",
            Self::Fr => "fr",
        }
    }

    const fn texts(self) -> &'static Texts {
        match self {
            Self::En => &EN,
            Self::De => &DE,
            Self::Es => &ES,
            Self::Fr => &FR,
        }
    }
}

impl Code {
    /// The code with this number, if that has at most six digits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number < 1_000_000 { Some(Self(number)) } else { None }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

impl Message {
    /// Which entry of the catalogue this is: all that a log may tell about a letter.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ConfirmContact { .. } => "confirmation",
            Self::Reminder { level: Level::Update, .. } => "update",
            Self::Reminder { level: Level::Time, .. } => "time",
        }
    }

    pub(crate) fn text(self, language: Language) -> String {
        let texts = language.texts();
        match self {
            Self::ConfirmContact { code } => texts.confirm.replace("{code}", &code.to_string()),
            Self::Reminder { level: Level::Update, .. } => texts.update.to_owned(),
            Self::Reminder { level: Level::Time, local } => texts.time_of(local),
        }
    }
}

/// The same for every kind of letter, so that a list of subjects tells nothing.
pub(crate) const fn subject(language: Language) -> &'static str {
    language.texts().subject
}

/// A word that must stand neither in a letter nor in its sender, if `text` has one.
///
/// Every word of every language is looked for, inside longer words too, and
/// capital letters of Latin-1 count as small ones.
pub(crate) const fn telling_word(text: &str) -> Option<&'static str> {
    let mut next = 0;
    while next < TELLING.len() {
        if contains(text, TELLING[next]) {
            return Some(TELLING[next]);
        }
        next += 1;
    }
    None
}

#[derive(Clone, Copy)]
struct Texts {
    subject: &'static str,
    update: &'static str,
    time: &'static str,
    confirm: &'static str,
    /// From Monday.
    weekdays: [&'static str; 7],
    /// From January.
    months: [&'static str; 12],
    /// How the first day of a month is written.
    first: &'static str,
}

const EN: Texts = Texts {
    subject: "Reminder",
    update: "You have an update.",
    time: "Your time:\n{weekday}, {day} {month} {year}, {clock}",
    confirm: "Your code is {code}.\nIf you did not ask for it, ignore this message.",
    weekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    months: [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    first: "1",
};

const DE: Texts = Texts {
    subject: "Erinnerung",
    update: "Es gibt eine Neuigkeit für Sie.",
    time: "Ihre Zeit:\n{weekday}, {day}. {month} {year}, {clock} Uhr",
    confirm: "Ihr Code lautet {code}.\nFalls Sie ihn nicht angefordert haben, ignorieren Sie diese Nachricht.",
    weekdays: ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
    months: [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    first: "1",
};

const ES: Texts = Texts {
    subject: "Recordatorio",
    update: "Tiene una novedad.",
    time: "Su hora:\n{weekday}, {day} de {month} de {year}, {clock}",
    confirm: "Su código es {code}.\nSi no lo ha pedido, ignore este mensaje.",
    weekdays: ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
    months: [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    first: "1",
};

const FR: Texts = Texts {
    subject: "Rappel",
    update: "Il y a du nouveau pour vous.",
    time: "Votre heure\u{a0}:\n{weekday} {day} {month} {year}, {clock}",
    confirm: "Votre code est {code}.\nSi vous ne l'avez pas demandé, ignorez ce message.",
    weekdays: ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
    months: [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    first: "1er",
};

const _: () = {
    let mut next = 0;
    while next < Language::ALL.len() {
        assert!(
            Language::ALL[next].texts().telling_word().is_none(),
            "a text of the catalogue tells too much"
        );
        next += 1;
    }
};

impl Texts {
    fn time_of(&self, local: NaiveDateTime) -> String {
        let day = match local.day() {
            1 => self.first.to_owned(),
            day => day.to_string(),
        };
        self.time
            .replace("{weekday}", self.weekdays[local.weekday().num_days_from_monday() as usize])
            .replace("{day}", &day)
            .replace("{month}", self.months[local.month0() as usize])
            .replace("{year}", &local.year().to_string())
            .replace("{clock}", &format!("{:02}:{:02}", local.hour(), local.minute()))
    }

    const fn telling_word(&self) -> Option<&'static str> {
        let sentences = [self.subject, self.update, self.time, self.confirm, self.first];
        match first_telling(&sentences) {
            None => match first_telling(&self.weekdays) {
                None => first_telling(&self.months),
                found => found,
            },
            found => found,
        }
    }
}

/// Parts of words, in small letters, that say what a letter is about or who it is from.
const TELLING: [&str; 108] = [
    // English
    "therap",
    "session",
    "appointment",
    "counsel",
    "psych",
    "mental",
    "health",
    "wellbeing",
    "wellness",
    "care",
    "support",
    "help",
    "trauma",
    "burnout",
    "burn-out",
    "depress",
    "anxi",
    "panic",
    "grief",
    "stress",
    "crisis",
    "suicid",
    "addict",
    "substance",
    "abuse",
    "violence",
    "fatigue",
    "treatment",
    "patient",
    "hospital",
    "clinic",
    "doctor",
    "nurse",
    "medic",
    "employer",
    "programme",
    "program",
    "respite",
    "booking",
    "circle",
    "peer",
    "shift",
    "sleep",
    "distress",
    "injury",
    "relationship",
    // German
    "sitzung",
    "termin",
    "gespräch",
    "berat",
    "seel",
    "gesund",
    "krank",
    "klinik",
    "arzt",
    "ärzt",
    "pflege",
    "sucht",
    "angst",
    "ängst",
    "hilfe",
    "krise",
    "trauer",
    "erschöpf",
    "behandl",
    "schicht",
    "schlaf",
    "arbeitgeber",
    "buchung",
    "unterstütz",
    // Spanish
    "terap",
    "sesión",
    "sesion",
    "cita",
    "consej",
    "psic",
    "salud",
    "clínic",
    "médic",
    "enferm",
    "ansiedad",
    "duelo",
    "ayuda",
    "apoyo",
    "adicc",
    "depres",
    "tratamiento",
    "paciente",
    "reserva",
    "agotamiento",
    "estrés",
    // French
    "thérap",
    "séance",
    "seance",
    "conseil",
    "santé",
    "sante",
    "hôpital",
    "médec",
    "infirm",
    "angoiss",
    "deuil",
    "aide",
    "soin",
    "soutien",
    "dépress",
    "toxico",
    "rendez-vous",
];

const fn first_telling(texts: &[&'static str]) -> Option<&'static str> {
    let mut next = 0;
    while next < texts.len() {
        if let Some(word) = telling_word(texts[next]) {
            return Some(word);
        }
        next += 1;
    }
    None
}

const fn contains(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let mut start = 0;
    while start + word.len() <= text.len() {
        let mut same = 0;
        while same < word.len() && small(text, start + same) == word[same] {
            same += 1;
        }
        if same == word.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// The byte at `place` of UTF-8 text, as it would be in small letters.
const fn small(text: &[u8], place: usize) -> u8 {
    const LATIN_1: u8 = 0xc3;
    let byte = text[place];
    let capital = place > 0 && text[place - 1] == LATIN_1 && byte >= 0x80 && byte <= 0x9e && byte != 0x97;
    if capital { byte + 0x20 } else { byte.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::{Code, DE, EN, ES, FR, Language, Level, Message, TELLING, Texts, subject, telling_word};
    use chrono::{NaiveDate, NaiveDateTime};

    fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(hour, minute, 59).unwrap()
    }

    fn reminder(level: Level) -> Message {
        Message::Reminder { level, local: at(2026, 3, 1, 9, 5) }
    }

    /// R3: whoever changes a text sees here what a bedside table would show.
    #[test]
    fn r3_the_whole_catalogue() {
        let code = Code::new(4217).unwrap();
        let messages = [Message::ConfirmContact { code }, reminder(Level::Update), reminder(Level::Time)];
        let shown: Vec<_> = Language::ALL
            .into_iter()
            .flat_map(|language| messages.map(|message| (language, message)))
            .map(|(language, message)| {
                let (tag, kind, subject) = (language.tag(), message.kind(), subject(language));
                format!("{tag} {kind} [{subject}]\n{}", message.text(language))
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n\n"));
    }

    #[test]
    fn r3_every_telling_word_is_found_in_every_text() {
        let places: [fn(&mut Texts) -> &mut &'static str; 7] = [
            |texts| &mut texts.subject,
            |texts| &mut texts.update,
            |texts| &mut texts.time,
            |texts| &mut texts.confirm,
            |texts| &mut texts.first,
            |texts| &mut texts.weekdays[6],
            |texts| &mut texts.months[11],
        ];
        for word in TELLING {
            let sentence: &'static str = format!("One {}s.", word.to_uppercase()).leak();
            for place in places {
                for texts in [EN, DE, ES, FR] {
                    let mut texts = texts;
                    assert_eq!(texts.telling_word(), None);
                    *place(&mut texts) = sentence;
                    assert!(texts.telling_word().is_some(), "{sentence}");
                }
            }
        }
    }

    #[test]
    fn r3_capitals_and_accents_do_not_hide_a_word() {
        assert_eq!(telling_word("Deine SITZUNG"), Some("sitzung"));
        assert_eq!(telling_word("ÄRZTLICH"), Some("ärzt"));
        assert_eq!(telling_word("Votre SÉANCE"), Some("séance"));
        assert_eq!(telling_word("März"), None);
        assert_eq!(telling_word(""), None);
    }

    #[track_caller]
    fn check_language(tag: &str, language: Language) {
        assert_eq!(Language::of_tag(tag), language, "{tag:?}");
    }

    #[test]
    fn the_first_subtag_decides() {
        check_language("de", Language::De);
        check_language("de-AT", Language::De);
        check_language("FR_ca", Language::Fr);
        check_language("es-419", Language::Es);
        check_language("den", Language::En);
        check_language("pt-BR", Language::En);
        check_language("", Language::En);
        check_language("-de", Language::En);
    }

    #[test]
    fn a_code_has_six_digits() {
        assert_eq!(Code::new(0).unwrap().to_string(), "000000");
        assert_eq!(Code::new(999_999).unwrap().to_string(), "999999");
        assert_eq!(Code::new(1_000_000), None);
        assert_eq!(format!("{:?}", Code::new(123_456).unwrap()), "Code(..)");
    }
}
