//! Names such as `quiet-heron-482136`: nobody chooses one, since people would type their own.

use store::{AliasId, TherapistId};
use vault::{Keyring, Purpose};

use crate::error::Error;

/// A name that only the alias itself sees.
pub(crate) fn random() -> Result<String, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(words(bytes))
}

/// The name under which one therapist knows one alias: always the same, and another with every therapist, so
/// that two of them cannot join their notes.
pub(crate) fn pair(keyring: &Keyring, alias: AliasId, therapist: TherapistId) -> String {
    let mac = keyring.mac(Purpose::PairHandle, &[alias.0.as_bytes(), therapist.0.as_bytes()]);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&mac[..8]);
    words(bytes)
}

fn words(bytes: [u8; 8]) -> String {
    let number = u64::from_be_bytes(bytes);
    let place = |number: u64| usize::try_from(number % 128).unwrap_or_default();
    let (adjective, animal) = (ADJECTIVES[place(number)], ANIMALS[place(number >> 7)]);
    format!("{adjective}-{animal}-{:06}", (number >> 14) % 1_000_000)
}

const ADJECTIVES: [&str; 128] = [
    "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk", "bronze",
    "calm", "candid", "cheerful", "clear", "clever", "cobalt", "copper", "coral", "cosy", "crisp", "curious",
    "dapper", "daring", "deft", "dewy", "eager", "early", "earnest", "elegant", "emerald", "fair", "fabled",
    "fleet", "fond", "frank", "fresh", "friendly", "gallant", "generous", "gentle", "gifted", "glad",
    "gleaming", "glowing", "golden", "graceful", "grand", "green", "handy", "happy", "hazel", "honest",
    "hopeful", "humble", "indigo", "ivory", "jade", "jolly", "jovial", "joyful", "keen", "kind", "lilac",
    "lively", "loyal", "lucid", "lucky", "lunar", "maple", "mellow", "merry", "mild", "mossy", "neat",
    "nimble", "noble", "olive", "opal", "orange", "pearly", "placid", "playful", "pleasant", "polite",
    "proud", "quick", "quiet", "rapid", "ready", "regal", "rosy", "ruby", "russet", "rustic", "sage",
    "scarlet", "serene", "shiny", "silken", "silver", "sincere", "smooth", "snowy", "solar", "spry",
    "stately", "sterling", "sunny", "sure", "swift", "tawny", "thrifty", "tidy", "topaz", "tranquil",
    "trusty", "valiant", "velvet", "verdant", "violet", "vivid", "warm", "willing", "winsome", "wise",
    "witty", "zesty",
];

const ANIMALS: [&str; 128] = [
    "badger", "bear", "beaver", "bison", "bittern", "bluebird", "bobcat", "camel", "caribou", "chamois",
    "cheetah", "chipmunk", "condor", "cougar", "crane", "curlew", "deer", "dipper", "dolphin", "dormouse",
    "dove", "duck", "eagle", "egret", "eider", "elk", "ermine", "falcon", "fawn", "ferret", "finch",
    "firefly", "flamingo", "fox", "gannet", "gazelle", "gecko", "gibbon", "giraffe", "gopher", "goshawk",
    "gull", "hamster", "hare", "harrier", "hawk", "hedgehog", "heron", "hoopoe", "ibex", "ibis", "iguana",
    "impala", "jackdaw", "jaguar", "jay", "kestrel", "kite", "kiwi", "koala", "lapwing", "lark", "lemur",
    "leopard", "linnet", "lion", "llama", "lynx", "macaw", "magpie", "marmot", "marten", "martin", "meerkat",
    "moose", "narwhal", "newt", "nuthatch", "ocelot", "okapi", "oriole", "osprey", "otter", "owl", "panda",
    "panther", "parrot", "pelican", "penguin", "petrel", "pheasant", "pika", "pipit", "plover", "porpoise",
    "puffin", "puma", "quail", "quokka", "rabbit", "raccoon", "raven", "reindeer", "robin", "seal", "serval",
    "siskin", "skylark", "sparrow", "squirrel", "starling", "stork", "swallow", "swan", "tapir", "tern",
    "tiger", "toucan", "turtle", "wagtail", "walrus", "warbler", "waxwing", "whimbrel", "wombat", "wren",
    "yak", "zebra",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_is_there_once_and_is_small_letters() {
        let all: HashSet<_> = ADJECTIVES.iter().chain(&ANIMALS).collect();
        assert_eq!(all.len(), 256);
        assert!(all.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn the_bytes_decide_every_part() {
        assert_eq!(words([0; 8]), format!("{}-{}-000000", ADJECTIVES[0], ANIMALS[0]));
        let number = (999_999_u64 << 14) | (127 << 7) | 1;
        assert_eq!(words(number.to_be_bytes()), format!("{}-{}-999999", ADJECTIVES[1], ANIMALS[127]));
    }

    #[test]
    fn every_therapist_knows_an_alias_by_another_name_and_always_the_same() {
        let keyring = Keyring::generate();
        let (alias, other) = (AliasId::random(), AliasId::random());
        let therapists: Vec<_> = (0..40).map(|_| TherapistId::random()).collect();
        let names: HashSet<_> = therapists.iter().map(|id| pair(&keyring, alias, *id)).collect();
        assert_eq!(names.len(), 40);
        for id in therapists {
            let name = pair(&keyring, alias, id);
            let restarted = Keyring::parse(&keyring.to_text()).unwrap();
            assert_eq!(pair(&restarted, alias, id), name);
            assert_ne!(pair(&keyring, other, id), name);
            assert_ne!(pair(&Keyring::generate(), alias, id), name);
        }
    }

    #[test]
    fn random_names_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
