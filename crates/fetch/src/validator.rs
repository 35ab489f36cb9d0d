use std::{fmt, str::FromStr};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use thiserror::Error;

/// What a server calls this state of a calendar: the entity tag, or the date, that it sent along.
///
/// It is text from a stranger, kept as it came to be sent back to them alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Validator(HeaderValue);

impl Validator {
    /// Every validator is at most this long, in bytes.
    pub const MAX_LENGTH: usize = 256;

    /// The text to be kept beside the address, for the next fetch.
    pub fn expose(&self) -> &str {
        self.0.to_str().expect("it was parsed from a `str` of visible ASCII")
    }

    /// The entity tag is the better of the two: two states within one second share a date.
    pub(crate) fn of(answer: &HeaderMap) -> Option<Self> {
        let sent = |name, is_well_formed: fn(&str) -> bool| {
            let text = answer.get(name)?.to_str().ok()?;
            if is_well_formed(text) { text.parse().ok() } else { None }
        };
        sent(ETAG, is_entity_tag).or_else(|| sent(LAST_MODIFIED, is_date))
    }

    /// The header that asks for the calendar only if it has changed.
    pub(crate) fn condition(&self) -> (HeaderName, HeaderValue) {
        let name = if is_entity_tag(self.expose()) { IF_NONE_MATCH } else { IF_MODIFIED_SINCE };
        (name, self.0.clone())
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator(..)")
    }
}

impl FromStr for Validator {
    type Err = ValidatorError;

    fn from_str(text: &str) -> Result<Self, ValidatorError> {
        if text.len() > Self::MAX_LENGTH || !(is_entity_tag(text) || is_date(text)) {
            return Err(ValidatorError);
        }
        text.parse().map(Self).map_err(|_| ValidatorError)
    }
}

/// A text is neither an entity tag nor a date of HTTP, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither an entity tag nor a date")]
pub struct ValidatorError;

fn is_entity_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    quoted.len() >= 2
        && quoted.starts_with('"')
        && quoted.ends_with('"')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_date(text: &str) -> bool {
    text.ends_with(" GMT") && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ,:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Sun, 22 Nov 2026 08:49:37 GMT";

    #[track_caller]
    fn check(answer: &[(HeaderName, &'static str)], expected: Option<(HeaderName, &str)>) {
        let answer =
            answer.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let condition = Validator::of(&answer).map(|validator| validator.condition());
        assert_eq!(condition, expected.map(|(name, value)| (name, value.parse().unwrap())));
    }

    #[test]
    fn what_the_server_calls_a_state_is_what_it_is_asked_about() {
        check(&[], None);
        check(&[(ETAG, "\"a1\"")], Some((IF_NONE_MATCH, "\"a1\"")));
        check(&[(ETAG, "W/\"a1\"")], Some((IF_NONE_MATCH, "W/\"a1\"")));
        check(&[(LAST_MODIFIED, DATE)], Some((IF_MODIFIED_SINCE, DATE)));
        check(&[(LAST_MODIFIED, DATE), (ETAG, "\"a1\"")], Some((IF_NONE_MATCH, "\"a1\"")));
    }

    #[test]
    fn what_is_neither_a_tag_nor_a_date_is_not_kept() {
        check(&[(ETAG, "a1")], None);
        check(&[(ETAG, "\"")], None);
        check(&[(ETAG, DATE)], None);
        check(&[(ETAG, "\"a b\"")], None);
        check(&[(ETAG, "a1"), (LAST_MODIFIED, DATE)], Some((IF_MODIFIED_SINCE, DATE)));
        check(&[(LAST_MODIFIED, "yesterday")], None);
        check(&[(LAST_MODIFIED, "\"a1\"")], None);
    }

    #[test]
    fn a_long_one_is_not_kept() {
        let fits = format!("\"{}\"", "a".repeat(254));
        assert_eq!(fits.parse::<Validator>().unwrap().expose(), fits);
        assert_eq!(format!("\"{}\"", "a".repeat(255)).parse::<Validator>(), Err(ValidatorError));
    }

    #[test]
    fn only_visible_ascii_is_kept() {
        for text in ["\"é\"", "\"\0\"", "\"a\r\nb\"", "\"a\tb\"", "é GMT", "a\r\nb GMT"] {
            assert_eq!(text.parse::<Validator>(), Err(ValidatorError), "{text:?}");
        }
    }

    #[test]
    fn debug_tells_nothing() {
        assert_eq!(format!("{:?}", "\"secret\"".parse::<Validator>()), "Ok(Validator(..))");
    }

    proptest! {
        #[test]
        fn whatever_parses_is_kept_as_it_came(text in prop_oneof![any::<String>(), "(W/)?\".{0,9}\"", ".{0,9} GMT"]) {
            if let Ok(validator) = text.parse::<Validator>() {
                prop_assert_eq!(validator.expose(), &text);
                let (_, sent) = validator.condition();
                prop_assert_eq!(sent.to_str().unwrap(), &text);
            }
        }
    }
}
