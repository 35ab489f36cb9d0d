//! A made-up directory to try the product with: plausible, and the same on every machine.
//!
//! Nobody in it exists. Their keys follow from their number, so that a demonstration can sign in as one of
//! them; so can anybody else, which is why a directory with real therapists is refused.

use std::collections::HashSet;

use calendar::{DayWindow, Window};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc, Weekday};
use client::SigningKey;
use sea_orm::{EntityTrait, IntoActiveModel};
use store::therapist::{Gender, Profile, Specialization, Text};
use store::{CredentialId, Db, Horizon, Limits, List, Modality, Opaque, SessionTypeId, TherapistId};
use store::{credential, schedule, session_type, therapist};
use thiserror::Error;

/// Why nobody was added.
#[derive(Debug, Error)]
pub enum SeedError {
    /// Made-up therapists must not stand beside real ones.
    #[error("the directory has {0} therapists that are not made up; seed an empty one")]
    InUse(usize),
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] store::Error),
}

/// Fills the directory up to `therapists` made-up ones, tells how many are done as it goes, and returns how many
/// there are.
///
/// Their credentials are verified, and hold beyond next year, counted from `now`.
pub async fn seed(
    db: &Db,
    therapists: u32,
    now: DateTime<Utc>,
    mut done: impl FnMut(u32),
) -> Result<usize, SeedError> {
    let known: HashSet<TherapistId> = therapist::Entity::find()
        .all(db.read())
        .await
        .map_err(store::Error::from)?
        .into_iter()
        .map(|known| known.id)
        .collect();
    let made_up: HashSet<TherapistId> =
        (0..therapists.max(u32::try_from(known.len()).unwrap_or(u32::MAX))).map(therapist_id).collect();
    let real = known.difference(&made_up).count();
    if real > 0 {
        return Err(SeedError::InUse(real));
    }
    let numbers: Vec<u32> =
        (0..therapists).filter(|number| !known.contains(&therapist_id(*number))).collect();
    let mut written = therapists - u32::try_from(numbers.len()).unwrap_or(therapists);
    for batch in numbers.chunks(BATCH) {
        write(db, batch.iter().map(|number| made_up_therapist(*number, now)).collect()).await?;
        written += u32::try_from(batch.len()).unwrap_or_default();
        done(written);
    }
    Ok(known.len() + numbers.len())
}

/// The id of the made-up therapist of this number.
#[must_use]
pub fn therapist_id(number: u32) -> TherapistId {
    TherapistId(Chance::new("therapist", number).uuid())
}

/// The key with which the made-up therapist of this number signs in.
#[must_use]
pub fn therapist_key(number: u32) -> SigningKey {
    SigningKey::from_bytes(&Chance::new("key", number).bytes())
}

/// Rows of one transaction: well below what SQLite binds in one statement.
const BATCH: usize = 200;

/// Somebody with everything a worker can ask for.
struct MadeUp {
    therapist: therapist::Model,
    credential: credential::Model,
    schedule: schedule::Model,
    session_types: Vec<session_type::Model>,
}

async fn write(db: &Db, batch: Vec<MadeUp>) -> Result<(), store::Error> {
    let (mut therapists, mut credentials, mut schedules, mut session_types) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for made_up in batch {
        therapists.push(made_up.therapist.into_active_model());
        credentials.push(made_up.credential.into_active_model());
        schedules.push(made_up.schedule.into_active_model());
        session_types.extend(made_up.session_types.into_iter().map(IntoActiveModel::into_active_model));
    }
    let tx = db.write().await?;
    therapist::Entity::insert_many(therapists).exec_without_returning(&tx).await?;
    credential::Entity::insert_many(credentials).exec_without_returning(&tx).await?;
    schedule::Entity::insert_many(schedules).exec_without_returning(&tx).await?;
    session_type::Entity::insert_many(session_types).exec_without_returning(&tx).await?;
    Ok(tx.commit().await?)
}

fn made_up_therapist(number: u32, now: DateTime<Utc>) -> MadeUp {
    let mut chance = Chance::new("profile", number);
    let id = therapist_id(number);
    // The first of every region come before the second of any, so that a small directory has all of them.
    let region = &REGIONS[number as usize % REGIONS.len()];
    let people = chance.pick(region.people);
    let (gender, given) = match chance.below(20) {
        0 => (Gender::NonBinary, chance.pick(people.neutral)),
        1..=12 => (Gender::Female, chance.pick(people.female)),
        _ => (Gender::Male, chance.pick(people.male)),
    };
    let profession = chance.pick(PROFESSIONS);
    let specializations = specializations(number, &mut chance);
    let night_staff = chance.below(3) > 0;
    let mut languages: Vec<String> = region.languages.iter().map(|&tag| tag.to_owned()).collect();
    if chance.below(3) == 0 {
        let further =
            (*chance.pick(&["en", "de", "es", "fr", "it", "tr", "pl", "ar", "hi", "pt"])).to_owned();
        if !languages.contains(&further) {
            languages.push(further);
        }
    }
    let profile = Profile {
        display_name: format!("{given} {}", chance.pick(people.family)),
        gender: (chance.below(10) > 0).then_some(gender),
        texts: texts(&languages, &mut chance),
        specializations,
        approaches: chance.some(APPROACHES, 1, 3),
        languages,
        time_zone: region.zone.to_owned(),
        cultural_competences: chance.some(COMPETENCES, 0, 2),
        experienced_with_healthcare_workers: chance.below(4) > 0,
        experienced_with_night_staff: night_staff,
        exclusion_tags: Vec::new(),
    };
    MadeUp {
        therapist: therapist::Model {
            id,
            public_key: Opaque(therapist_key(number).verifying_key().to_bytes().to_vec()),
            accepts_new_clients: true,
            profile,
            revision: 1,
        },
        credential: credential::Model {
            id: CredentialId(Chance::new("credential", number).uuid()),
            therapist_id: id,
            taxonomy_code: (*profession).to_owned(),
            licence_number: format!("{}-{:06}", region.licences, chance.below(1_000_000)),
            jurisdictions: List(region.jurisdictions.iter().map(|&place| place.to_owned()).collect()),
            expires_on: NaiveDate::from_ymd_opt(now.year() + 2 + i32::from(night_staff), 12, 31)
                .unwrap_or(NaiveDate::MAX),
            verified: true,
        },
        schedule: schedule::Model {
            therapist_id: id,
            time_zone: region.zone.to_owned(),
            windows: List(windows(chance.pick::<Week>(WEEKS))),
            travels: List(Vec::new()),
            notice_minutes: *chance.pick(&[60, 120, 240, 720]),
            horizon: Horizon(calendar::Horizon::Days(*chance.pick(&[45, 60, 90]))),
            limits: Limits(calendar::Limits::default()),
            protected_windows: List(Vec::new()),
            protected_dates: List(Vec::new()),
        },
        session_types: session_types(number, id, &mut chance),
    }
}

/// Two to four of them; every third person is versed in burnout, which is what most come for.
fn specializations(number: u32, chance: &mut Chance) -> Vec<Specialization> {
    let mut slugs = chance.some(SPECIALIZATIONS, 2, 4);
    let burnout = (number as usize / REGIONS.len()).is_multiple_of(3);
    if burnout && !slugs.iter().any(|slug| slug == "burnout") {
        "burnout".clone_into(&mut slugs[0]);
    }
    let years = |chance: &mut Chance| u8::try_from(2 + chance.below(25)).unwrap_or(2);
    slugs.into_iter().map(|slug| Specialization { slug, years: years(chance) }).collect()
}

fn texts(languages: &[String], chance: &mut Chance) -> Vec<Text> {
    let which = chance.below(TEXTS[0].1.len());
    let known = TEXTS.iter().filter(|(language, _)| languages.iter().any(|spoken| spoken == language));
    known
        .map(|(language, texts)| Text {
            language_code: (*language).to_owned(),
            text: texts[which].to_owned(),
        })
        .collect()
}

fn windows(week: Week) -> Vec<Window> {
    let time = |text| NaiveTime::parse_from_str(text, "%H:%M").expect("the weeks below are written HH:MM");
    week.iter()
        .flat_map(|(days, start, end)| {
            let hours = DayWindow::new(time(start), time(end)).expect("no week below ends at 23:59");
            days.iter().map(move |weekday| Window { weekday: *weekday, hours })
        })
        .collect()
}

fn session_types(number: u32, therapist: TherapistId, chance: &mut Chance) -> Vec<session_type::Model> {
    let all = [Modality::Video, Modality::Audio, Modality::Chat];
    let mut offered = vec![("Session", 50, 10, 60, &all[..2])];
    if chance.below(2) == 0 {
        offered.push(("Check-in", 20, 5, 30, &all[..2]));
    }
    if chance.below(3) == 0 {
        offered.push(("Chat", 30, 5, 30, &all[2..]));
    }
    let mut ids = Chance::new("session type", number);
    offered
        .into_iter()
        .map(|(name, duration, buffer_after, grid, modalities)| session_type::Model {
            id: SessionTypeId(ids.uuid()),
            therapist_id: therapist,
            display_name: name.to_owned(),
            duration_minutes: duration,
            buffer_before_minutes: 0,
            buffer_after_minutes: buffer_after,
            grid_interval_minutes: grid,
            grid_offset_minutes: 0,
            modalities: List(modalities.to_vec()),
            withdrawn: false,
            load_weight: 1,
        })
        .collect()
}

/// Numbers that look random and are the same on every machine (SplitMix64).
struct Chance(u64);

impl Chance {
    fn new(purpose: &str, number: u32) -> Self {
        let purpose = purpose.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
        Self(purpose << 32 | u64::from(number))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Between `least` and `most` different ones.
    fn some(&mut self, choices: &[&str], least: usize, most: usize) -> Vec<String> {
        let count = least + self.below(most - least + 1);
        let mut left = choices.to_vec();
        (0..count).map(|_| left.swap_remove(self.below(left.len())).to_owned()).collect()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }

    fn uuid(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

struct Region {
    zone: &'static str,
    jurisdictions: &'static [&'static str],
    languages: &'static [&'static str],
    licences: &'static str,
    people: &'static [&'static People],
}

struct People {
    female: &'static [&'static str],
    male: &'static [&'static str],
    neutral: &'static [&'static str],
    family: &'static [&'static str],
}

const REGIONS: &[Region] = &[
    Region {
        zone: "Europe/Berlin",
        jurisdictions: &["DE"],
        languages: &["de", "en"],
        licences: "DE",
        people: &[&GERMAN, &TURKISH],
    },
    Region {
        zone: "America/New_York",
        jurisdictions: &["US-NY", "US-NJ"],
        languages: &["en"],
        licences: "NY",
        people: &[&ENGLISH, &SPANISH, &INDIAN],
    },
    Region {
        zone: "Europe/Madrid",
        jurisdictions: &["ES"],
        languages: &["es"],
        licences: "ES",
        people: &[&SPANISH],
    },
    Region {
        zone: "Europe/Paris",
        jurisdictions: &["FR"],
        languages: &["fr"],
        licences: "FR",
        people: &[&FRENCH],
    },
    Region {
        zone: "America/Los_Angeles",
        jurisdictions: &["US-CA"],
        languages: &["en", "es"],
        licences: "CA",
        people: &[&SPANISH, &ENGLISH, &CHINESE],
    },
    Region {
        zone: "Europe/Vienna",
        jurisdictions: &["AT"],
        languages: &["de"],
        licences: "AT",
        people: &[&GERMAN],
    },
    Region {
        zone: "America/Vancouver",
        jurisdictions: &["CA-BC"],
        languages: &["en"],
        licences: "BC",
        people: &[&ENGLISH, &CHINESE, &INDIAN],
    },
    Region {
        zone: "Europe/London",
        jurisdictions: &["GB"],
        languages: &["en"],
        licences: "GB",
        people: &[&ENGLISH, &INDIAN],
    },
    Region {
        zone: "America/Chicago",
        jurisdictions: &["US-IL", "US-WI"],
        languages: &["en"],
        licences: "IL",
        people: &[&ENGLISH, &SPANISH],
    },
    Region {
        zone: "Europe/Zurich",
        jurisdictions: &["CH"],
        languages: &["de", "fr"],
        licences: "CH",
        people: &[&GERMAN, &FRENCH],
    },
    Region {
        zone: "Australia/Sydney",
        jurisdictions: &["AU-NSW"],
        languages: &["en"],
        licences: "NSW",
        people: &[&ENGLISH, &CHINESE],
    },
    Region {
        zone: "America/Mexico_City",
        jurisdictions: &["MX"],
        languages: &["es"],
        licences: "MX",
        people: &[&SPANISH],
    },
];

const ENGLISH: People = People {
    female: &["Alice", "Grace", "Hannah", "Joan", "Ruth", "Naomi", "Eleanor", "Maya"],
    male: &["Arthur", "Ben", "Daniel", "George", "Henry", "Samuel", "Thomas", "Walter"],
    neutral: &["Alex", "Robin", "Rowan", "Sam"],
    family: &[
        "Archer", "Bennett", "Carter", "Dawson", "Fletcher", "Hughes", "Marsh", "Osborne", "Reed", "Whitaker",
    ],
};
const GERMAN: People = People {
    female: &["Ada", "Britta", "Elke", "Friederike", "Hanna", "Katrin", "Leonie", "Sabine"],
    male: &["Anton", "Bernd", "Emil", "Friedrich", "Jonas", "Konrad", "Matthias", "Uwe"],
    neutral: &["Kim", "Luca", "Toni", "Sascha"],
    family: &[
        "Albrecht", "Brandt", "Dietrich", "Ebert", "Hartmann", "Krüger", "Lindner", "Scholz", "Vogel",
        "Winkler",
    ],
};
const SPANISH: People = People {
    female: &["Ana", "Beatriz", "Carmen", "Elena", "Inés", "Lucía", "Pilar", "Rosa"],
    male: &["Álvaro", "Diego", "Esteban", "Javier", "Luis", "Manuel", "Pablo", "Raúl"],
    neutral: &["Andrea", "Cruz", "Noa", "Trinidad"],
    family: &[
        "Aguilar",
        "Castillo",
        "Domínguez",
        "Fuentes",
        "Herrera",
        "Molina",
        "Navarro",
        "Ortega",
        "Prieto",
        "Vega",
    ],
};
const FRENCH: People = People {
    female: &["Agnès", "Camille", "Claire", "Hélène", "Isabelle", "Margaux", "Nadia", "Sylvie"],
    male: &["Antoine", "Bruno", "Étienne", "Julien", "Laurent", "Mathieu", "Olivier", "Rémi"],
    neutral: &["Dominique", "Maxime", "Sacha", "Charlie"],
    family: &[
        "Beaumont",
        "Chevalier",
        "Delacroix",
        "Fontaine",
        "Garnier",
        "Lambert",
        "Mercier",
        "Perrin",
        "Roussel",
        "Vasseur",
    ],
};
const TURKISH: People = People {
    female: &["Ayşe", "Defne", "Elif", "Zeynep"],
    male: &["Can", "Emre", "Kerem", "Murat"],
    neutral: &["Deniz", "Umut"],
    family: &["Aydın", "Demir", "Kaya", "Şahin", "Yıldız"],
};
const CHINESE: People = People {
    female: &["Jing", "Li", "Mei", "Xiu"],
    male: &["Bo", "Hao", "Jun", "Wei"],
    neutral: &["An", "Ming"],
    family: &["Chen", "Huang", "Lin", "Wong", "Zhao"],
};
const INDIAN: People = People {
    female: &["Anjali", "Kavita", "Meera", "Priya"],
    male: &["Arjun", "Nikhil", "Rahul", "Vikram"],
    neutral: &["Harpreet", "Kiran"],
    family: &["Gill", "Iyer", "Mehta", "Patel", "Rao"],
};

/// NUCC codes: clinical psychologist, mental health counselor, clinical social worker, marriage and family
/// therapist, psychiatrist.
const PROFESSIONS: &[&str] = &["103TC0700X", "101YM0800X", "1041C0700X", "106H00000X", "2084P0800X"];

const SPECIALIZATIONS: &[&str] = &[
    "work-stress",
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
    "perinatal-loss",
    "sleep-and-shift-work",
    "substance-use",
    "relationships",
    "career-distress",
];
const APPROACHES: &[&str] =
    &["cbt", "cbt-i", "emdr", "act", "dbt", "mindfulness", "systemic", "psychodynamic", "solution-focused"];
const COMPETENCES: &[&str] =
    &["lgbtq", "migration", "racism", "religion-and-spirituality", "neurodiversity", "veterans"];

const WEEKDAYS: &[Weekday] = &[Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
const EVENINGS: &[Weekday] = &[Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu];
const NIGHTS: &[Weekday] = &[Weekday::Sun, Weekday::Mon, Weekday::Wed, Weekday::Thu];
const WEEKEND: &[Weekday] = &[Weekday::Sat, Weekday::Sun];

/// Local hours; those of the night run into the next day (T2).
type Week = &'static [(&'static [Weekday], &'static str, &'static str)];
const WEEKS: &[Week] = &[
    &[(WEEKDAYS, "09:00", "12:30"), (WEEKDAYS, "14:00", "18:00")],
    &[(WEEKDAYS, "08:00", "13:00"), (EVENINGS, "17:00", "20:00")],
    &[(EVENINGS, "17:00", "22:00")],
    &[(NIGHTS, "20:00", "02:00")],
    &[(WEEKDAYS, "06:00", "10:00"), (WEEKEND, "07:00", "11:00")],
    &[(WEEKEND, "10:00", "16:00"), (&[Weekday::Wed], "18:00", "21:00")],
    &[(&[Weekday::Mon, Weekday::Wed], "12:00", "20:00"), (&[Weekday::Fri], "22:00", "03:00")],
];

/// The same number of texts in each language.
const TEXTS: &[(&str, [&str; 3])] = &[
    (
        "en",
        [
            "I work with people who look after others for a living. You do not need to explain what a night shift is.",
            "Short, practical sessions for weeks that leave little time. We start with what would help tomorrow.",
            "Many of my clients come after something went wrong at work. There is no hurry here, and no judgement.",
        ],
    ),
    (
        "de",
        [
            "Ich arbeite mit Menschen, die beruflich für andere da sind. Was ein Nachtdienst ist, müssen Sie mir nicht erklären.",
            "Kurze, praktische Gespräche für Wochen, in denen wenig Zeit bleibt. Wir beginnen mit dem, was morgen hilft.",
            "Viele kommen zu mir, nachdem bei der Arbeit etwas schiefgegangen ist. Hier drängt nichts, und niemand urteilt.",
        ],
    ),
    (
        "es",
        [
            "Trabajo con personas que cuidan de otras. No hace falta que me explique qué es un turno de noche.",
            "Sesiones breves y prácticas para semanas sin tiempo. Empezamos por lo que ayudaría mañana.",
            "Muchas personas llegan después de que algo saliera mal en el trabajo. Aquí no hay prisa ni juicios.",
        ],
    ),
    (
        "fr",
        [
            "J'accompagne des personnes dont le métier est de soigner. Inutile de m'expliquer ce qu'est une garde de nuit.",
            "Des séances courtes et concrètes pour les semaines chargées. Nous commençons par ce qui aiderait demain.",
            "Beaucoup viennent après un événement difficile au travail. Ici, rien ne presse et personne ne juge.",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use calendar::Rules;
    use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};
    use store::{Db, credential, therapist};

    use super::{APPROACHES, COMPETENCES, REGIONS, SPECIALIZATIONS, SeedError, made_up_therapist, seed};

    const NOW: &str = "2026-11-23T00:00:00Z";

    async fn database(directory: &std::path::Path) -> Db {
        let db =
            Db::connect(&format!("sqlite://{}", directory.join("respite.db").display()), 4).await.unwrap();
        migrations::up(db.read()).await.unwrap();
        db
    }

    #[tokio::test]
    async fn seeding_twice_adds_only_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let db = database(directory.path()).await;
        let now = NOW.parse().unwrap();
        let mut told = Vec::new();
        seed(&db, 210, now, |done| told.push(done)).await.unwrap();
        assert_eq!(told, [200, 210]);
        seed(&db, 250, now, |done| assert_eq!(done, 250)).await.unwrap();
        let there = seed(&db, 20, now, |_| panic!("nothing is missing")).await.unwrap();
        assert_eq!(there, 250);
        assert_eq!(therapist::Entity::find().count(db.read()).await.unwrap(), 250);
        let today = "2027-11-23".parse().unwrap();
        assert_eq!(credential::Entity::holding(today).count(db.read()).await.unwrap(), 250);
    }

    #[tokio::test]
    async fn real_therapists_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let db = database(directory.path()).await;
        let mut real = made_up_therapist(0, NOW.parse().unwrap()).therapist;
        real.id = store::TherapistId::random();
        therapist::Entity::insert(real.into_active_model()).exec_without_returning(db.read()).await.unwrap();
        let refused = seed(&db, 20, NOW.parse().unwrap(), |_| {}).await;
        assert!(matches!(refused, Err(SeedError::InUse(1))));
    }

    /// A3: what a therapist could not have saved is not seeded either.
    #[test]
    fn a3_every_schedule_makes_sense() {
        let rules = Rules::compiled_in();
        let mut names = HashSet::new();
        for number in 0..500 {
            let made_up = made_up_therapist(number, NOW.parse().unwrap());
            let schedule = calendar::Schedule {
                zone: rules.zone(&made_up.schedule.time_zone).unwrap(),
                windows: made_up.schedule.windows.0,
                overrides: Vec::new(),
                time_off: Vec::new(),
                busy_elsewhere: calendar::Busy::default(),
                protected: calendar::Protected::default(),
                travels: Vec::new(),
                notice: chrono::TimeDelta::minutes(made_up.schedule.notice_minutes.into()),
                horizon: made_up.schedule.horizon.0,
                limits: calendar::Limits::default(),
            };
            let sessions: Vec<_> =
                made_up.session_types.iter().map(store::session_type::Model::rules).collect();
            calendar::check_settings(&schedule, &sessions).unwrap();
            names.insert(made_up.therapist.profile.display_name);
        }
        assert!(names.len() > 250, "{} different names", names.len());
    }

    #[test]
    fn every_region_has_somebody_for_burnout() {
        let first = u32::try_from(REGIONS.len()).unwrap();
        for number in 0..first {
            let profile = made_up_therapist(number, NOW.parse().unwrap()).therapist.profile;
            assert!(
                profile.specializations.iter().any(|entry| entry.slug == "burnout"),
                "{}",
                profile.time_zone
            );
            assert!(!profile.texts.is_empty());
        }
    }

    #[test]
    fn every_slug_is_in_the_vocabulary() {
        let vocabulary = include_str!("../../services/src/vocabulary.toml");
        for slug in [SPECIALIZATIONS, APPROACHES, COMPETENCES].concat() {
            assert!(vocabulary.contains(&format!("\nslug = \"{slug}\"\n")), "{slug}");
        }
    }
}
