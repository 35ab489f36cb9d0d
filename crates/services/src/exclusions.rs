//! D5: whom an alias must not meet. Tags are known here by keyed hashes alone, so that the data does not tell where
//! anybody works; that two of them are the same is all that can be seen.

use api::v1;
use data_encoding::HEXLOWER;
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use store::{AliasId, Tags, alias, booking};
use unicode_normalization::UnicodeNormalization;
use vault::{Keyring, Purpose};

use crate::{App, error::Error, field, once::Once, vocabulary};

/// How long a tag is at most, an alias's and a therapist's alike: else they could not meet.
pub(crate) const LONGEST: usize = 60;

/// How many tags an alias has, or a search names.
const MOST: usize = 10;

/// Reads the tags of a request.
pub(crate) fn read(keyring: &Keyring, tags: Vec<String>, field: &str) -> Result<Tags, Error> {
    let tags = field::list(tags, MOST, field, |tag, path| {
        hash(keyring, &field::line(tag, LONGEST, path)?)
            .ok_or_else(|| field::malformed(path, "a text with a letter or a digit"))
    })?;
    Ok(Tags::new(tags))
}

/// Those of a therapist. One that says nothing meets nobody.
pub(crate) fn of(keyring: &Keyring, tags: &[String]) -> Tags {
    Tags::new(tags.iter().filter_map(|tag| hash(keyring, tag)))
}

/// As the index knows those of therapists.
pub(crate) fn terms(tags: &Tags) -> Vec<String> {
    tags.iter().map(|hash| HEXLOWER.encode(hash)).collect()
}

/// As the index knows those of sessions, and of who asks.
pub(crate) fn tags(tags: &Tags) -> Vec<search::Tag> {
    tags.iter().copied().map(search::Tag).collect()
}

/// Whether a booking is that of another alias that names one of these tags, too.
pub(crate) fn shares(other: &booking::Tagged, alias: AliasId, tags: &Tags) -> bool {
    other.booking.alias_id != Some(alias)
        && other.exclusion_tags.as_ref().is_some_and(|others| others.meet(tags))
}

/// Replaces those of an alias, and says how many there are. What is booked stays.
pub(crate) async fn set(
    app: &App,
    once: &Once,
    alias: AliasId,
    tags: Vec<String>,
) -> Result<v1::SetExclusionTagsResponse, Error> {
    let tags = read(&app.keyring, tags, "exclusion_tags")?;
    let exclusion_tag_count = field::count(tags.iter().len());
    let change = alias::ActiveModel { id: Set(alias), exclusion_tags: Set(tags), ..Default::default() };
    change.update(&once.tx).await?;
    Ok(v1::SetExclusionTagsResponse { exclusion_tag_count })
}

/// The hash of a tag, however it is spelled; nothing if there is neither a letter nor a digit in it.
fn hash(keyring: &Keyring, tag: &str) -> Option<[u8; Tags::LENGTH]> {
    let folded = vocabulary::folded(&tag.nfkc().collect::<String>());
    if folded.is_empty() {
        return None;
    }
    keyring.mac(Purpose::ExclusionTag, &[folded.as_bytes()]).first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_same(one: &str, other: &str, expected: bool) {
        let keyring = Keyring::generate();
        assert!(hash(&keyring, one).is_some());
        assert_eq!(hash(&keyring, one) == hash(&keyring, other), expected, "{one} {other}");
    }

    #[test]
    fn d5_tags_meet_however_they_are_spelled() {
        check_same("St. Agnes Hospital", "  st agnes  HOSPITAL ", true);
        check_same("Charité", "CHARITE", true);
        check_same("Charit\u{e9}", "Charite\u{301}", true);
        check_same("Stra\u{df}e", "STRASSE", true);
        check_same("ICU 3", "\u{ff29}\u{ff23}\u{ff35} \u{ff13}", true);
        check_same("病院", "病院", true);
        check_same("Больница № 1", "больница № 1", true);
        check_same("ICU 3", "ICU 31", false);
        check_same("ICU 3", "ICU 3 nights", false);
        check_same("Ward 1/2", "Ward 12", false);
    }

    #[test]
    fn d5_a_tag_is_hashed_under_the_key_of_one_server() {
        assert_ne!(hash(&Keyring::generate(), "ICU 3"), hash(&Keyring::generate(), "ICU 3"));
        for nothing in ["", " ", "***", "\u{301}"] {
            assert_eq!(hash(&Keyring::generate(), nothing), None, "{nothing:?}");
        }
    }
}
