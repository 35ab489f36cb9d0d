//! What a reason is called for people (D4), in the shipped languages; slugs have their labels in the vocabulary.

use api::v1::Criterion;
use store::{Modality, therapist::Gender};

use crate::vocabulary::LANGUAGES;

/// How a session is held.
pub(crate) fn modality(modality: Modality, language: &str) -> &'static str {
    let texts = match modality {
        Modality::Video => ["Video", "Video", "Vídeo", "Vidéo"],
        Modality::Audio => ["Audio", "Audio", "Audio", "Audio"],
        Modality::Chat => ["Text chat", "Textchat", "Chat de texto", "Messagerie"],
    };
    of(texts, language)
}

/// A therapist's gender.
pub(crate) fn gender(gender: Gender, language: &str) -> &'static str {
    let texts = match gender {
        Gender::Female => ["Female", "Weiblich", "Mujer", "Femme"],
        Gender::Male => ["Male", "Männlich", "Hombre", "Homme"],
        Gender::NonBinary => ["Non-binary", "Nichtbinär", "No binario", "Non binaire"],
    };
    of(texts, language)
}

/// A criterion that needs no value to be understood.
pub(crate) fn criterion(criterion: Criterion, language: &str) -> &'static str {
    let texts = match criterion {
        Criterion::Verified => [
            "Licence verified, takes on new people",
            "Zulassung geprüft, nimmt neue Menschen an",
            "Licencia verificada, acepta personas nuevas",
            "Licence vérifiée, accueille de nouvelles personnes",
        ],
        Criterion::Opening => [
            "Has an opening in this time",
            "Hat in dieser Zeit etwas frei",
            "Tiene un hueco en ese periodo",
            "A une disponibilité dans cette période",
        ],
        Criterion::Roster => [
            "Fits between your shifts",
            "Passt zwischen deine Dienste",
            "Cabe entre tus turnos",
            "Se place entre vos gardes",
        ],
        Criterion::Continuity => {
            ["You have met before", "Ihr kennt euch schon", "Ya se conocen", "Vous vous connaissez déjà"]
        }
        Criterion::Load => ["Has openings", "Hat Termine frei", "Tiene huecos", "A des disponibilités"],
        Criterion::Specialization
        | Criterion::Approach
        | Criterion::CulturalCompetence
        | Criterion::Query
        | Criterion::Language
        | Criterion::Modality
        | Criterion::Jurisdiction
        | Criterion::Gender
        | Criterion::Therapist
        | Criterion::Unspecified => [""; 4],
    };
    of(texts, language)
}

/// A language by its own name, since whoever looks for it can read that; an unlisted one by its tag.
pub(crate) fn language(tag: &str) -> String {
    let (primary, region) = tag.split_once('-').unwrap_or((tag, ""));
    let name = ENDONYMS.iter().find(|(code, _)| code.eq_ignore_ascii_case(primary)).map(|(_, name)| *name);
    match (name, region) {
        (None, _) => tag.to_owned(),
        (Some(name), "") => name.to_owned(),
        (Some(name), region) => format!("{name} ({region})"),
    }
}

const ENDONYMS: [(&str, &str); 42] = [
    ("am", "አማርኛ"),
    ("ar", "العربية"),
    ("bg", "Български"),
    ("bn", "বাংলা"),
    ("ca", "Català"),
    ("cs", "Čeština"),
    ("da", "Dansk"),
    ("de", "Deutsch"),
    ("el", "Ελληνικά"),
    ("en", "English"),
    ("es", "Español"),
    ("et", "Eesti"),
    ("fa", "فارسی"),
    ("fi", "Suomi"),
    ("fil", "Filipino"),
    ("fr", "Français"),
    ("he", "עברית"),
    ("hi", "हिन्दी"),
    ("hr", "Hrvatski"),
    ("hu", "Magyar"),
    ("id", "Bahasa Indonesia"),
    ("it", "Italiano"),
    ("ja", "日本語"),
    ("ko", "한국어"),
    ("lt", "Lietuvių"),
    ("lv", "Latviešu"),
    ("nl", "Nederlands"),
    ("no", "Norsk"),
    ("pl", "Polski"),
    ("pt", "Português"),
    ("ro", "Română"),
    ("ru", "Русский"),
    ("sk", "Slovenčina"),
    ("sl", "Slovenščina"),
    ("sr", "Српски"),
    ("sv", "Svenska"),
    ("sw", "Kiswahili"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("ur", "اردو"),
    ("vi", "Tiếng Việt"),
    ("zh", "中文"),
];

/// The text of a tag's primary subtag; English for any language that is not shipped.
fn of(texts: [&'static str; LANGUAGES.len()], language: &str) -> &'static str {
    let primary = language.split('-').next().unwrap_or_default();
    let index = LANGUAGES.iter().position(|shipped| shipped.eq_ignore_ascii_case(primary));
    texts[index.unwrap_or_default()]
}
