//! Who is eligible by a login at the hospital's identity provider, in place of a code (E3).
//!
//! The device signs in there by itself and brings the ID token. The token must say the nonce that this issuer handed
//! out, which is nowhere kept: what is needed to know it again is in it.
//!
//! ```text
//! nonce, as base64url = random(16) | end(8, seconds since 1970) | HMAC-SHA256(32) over both under the secret
//! ```

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use oidc::{Provider, Refused};

use crate::{
    issue::Refusal,
    secret::{Hash, Secret},
};

/// As long as somebody may need in a browser, with a second factor and a password that was forgotten.
const LASTS: TimeDelta = TimeDelta::minutes(10);
const RANDOM: usize = 16;
const END: usize = 8;

/// Logins that this issuer believes.
#[derive(Debug)]
pub struct Logins {
    /// Where workers sign in.
    pub provider: Provider,
    /// What the provider calls the staff number of the roster, such as `employee_number`; `sub` is what it calls the
    /// worker itself. Whatever it is, one of them has one batch.
    pub claim: String,
}

/// What a device brings instead of a code.
pub(crate) struct Login {
    pub(crate) nonce: String,
    pub(crate) id_token: String,
}

impl Logins {
    /// Whose login it is, as a roster keeps them.
    ///
    /// A nonce may come again, as an answer that was lost must: whoever it is has one batch and no more.
    pub(crate) async fn worker(
        &self,
        secret: &Secret,
        login: &Login,
        now: DateTime<Utc>,
    ) -> Result<Hash, Refusal> {
        let Login { nonce, id_token } = login;
        // Before the provider is asked anything.
        if !holds(secret, nonce, now) {
            return Err(Refusal::Login);
        }
        let claims = self.provider.verify(id_token, nonce, now).await.map_err(|refused| match refused {
            Refused::Unavailable(error) => Refusal::Provider(error),
            _ => Refusal::Login,
        })?;
        claims.text(&self.claim).map(|employee_id| secret.worker(employee_id)).ok_or(Refusal::Login)
    }
}

/// A nonce for whoever asks.
pub(crate) fn nonce(secret: &Secret, now: DateTime<Utc>) -> String {
    let mut bytes = [0; RANDOM + END];
    getrandom::fill(&mut bytes[..RANDOM]).expect("the operating system has randomness to give");
    bytes[RANDOM..].copy_from_slice(&(now + LASTS).timestamp().to_be_bytes());
    BASE64URL_NOPAD.encode(&[&bytes[..], &secret.nonce(&bytes)].concat())
}

/// Whether it is one of ours, and has not ended.
fn holds(secret: &Secret, nonce: &str, now: DateTime<Utc>) -> bool {
    let Ok(bytes) = BASE64URL_NOPAD.decode(nonce.as_bytes()) else { return false };
    let Some((bytes, code)) = bytes.split_first_chunk::<{ RANDOM + END }>() else { return false };
    let Some(end) = bytes.last_chunk::<END>() else { return false };
    secret.made_nonce(bytes, code) && now.timestamp() < i64::from_be_bytes(*end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_holds_for_its_issuer_and_its_time_and_no_letter_of_it_changes() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let [secret, other] = [Secret::generate(), Secret::generate()];
        let made = nonce(&secret, at(0));
        assert!(holds(&secret, &made, at(0)) && holds(&secret, &made, at(599)));
        assert!(!holds(&secret, &made, at(600)));
        assert!(!holds(&other, &made, at(0)));
        assert_ne!(made, nonce(&secret, at(0)));
        for index in 0..made.len() {
            let mut changed = made.clone();
            changed.replace_range(index..=index, if &made[index..=index] == "A" { "B" } else { "A" });
            assert!(!holds(&secret, &changed, at(0)), "{index}");
            assert!(!holds(&secret, &made[..index], at(0)), "{index}");
        }
        assert!(!holds(&secret, &format!("{made}AAAA"), at(0)));
    }
}
