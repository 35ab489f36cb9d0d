//! Which tokens are believed: one that is sound, and no other.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod provider;

use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use oidc::{HttpError, Provider, ProviderError, ProviderSettings, Refused};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};

use provider::{Fake, Key, Real, signed};

const NOW: i64 = 1_800_000_000;
const NONCE: &str = "nonce-of-this-login";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

async fn verify(fake: &Fake, token: &str) -> Result<String, Refused> {
    let provider = Provider::new(&fake.settings()).unwrap();
    provider.verify(token, NONCE, now()).await.map(|claims| claims.subject().to_owned())
}

#[tokio::test]
async fn every_claim_must_be_what_it_must_be() {
    let fake = Fake::start().await;
    let check = async |change: Value, expected: Result<&str, Refused>| {
        let mut claims = fake.claims("nurse", NONCE, NOW);
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().iter().filter(|(_, value)| **value != "gone");
        let claims: Value = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
        let answer = verify(&fake, &fake.key.sign(&claims)).await;
        assert_eq!(answer, expected.map(str::to_owned), "{change}");
    };
    let sound = Ok("nurse");
    check(json!({}), sound).await;
    check(json!({ "employee_number": "N-7", "groups": ["ward"] }), sound).await;

    check(json!({ "iss": "https://login.other.example" }), Err(Refused::Issuer)).await;
    check(json!({ "iss": format!("{}/", fake.issuer) }), Err(Refused::Issuer)).await;
    check(json!({ "iss": "gone" }), Err(Refused::Malformed)).await;

    check(json!({ "aud": ["respite"] }), sound).await;
    check(json!({ "azp": "respite" }), sound).await;
    check(json!({ "aud": ["payroll", "respite"], "azp": "respite" }), sound).await;
    check(json!({ "aud": "payroll" }), Err(Refused::Audience)).await;
    check(json!({ "aud": [] }), Err(Refused::Audience)).await;
    check(json!({ "aud": "payroll", "azp": "respite" }), Err(Refused::Audience)).await;
    check(json!({ "aud": ["respite", "payroll"] }), Err(Refused::Audience)).await;
    check(json!({ "aud": ["respite", "payroll"], "azp": "payroll" }), Err(Refused::Audience)).await;
    check(json!({ "azp": "payroll" }), Err(Refused::Audience)).await;
    check(json!({ "aud": "gone" }), Err(Refused::Malformed)).await;

    check(json!({ "exp": NOW - 59 }), sound).await;
    check(json!({ "exp": NOW - 60 }), Err(Refused::Time)).await;
    check(json!({ "exp": 0 }), Err(Refused::Time)).await;
    check(json!({ "exp": "4000000000" }), Err(Refused::Malformed)).await;
    check(json!({ "exp": i64::MAX }), Err(Refused::Malformed)).await;
    check(json!({ "exp": "gone" }), Err(Refused::Malformed)).await;
    check(json!({ "iat": NOW + 60 }), sound).await;
    check(json!({ "iat": NOW + 61 }), Err(Refused::Time)).await;
    check(json!({ "iat": "gone" }), Err(Refused::Malformed)).await;
    check(json!({ "nbf": NOW + 61 }), Err(Refused::Time)).await;

    check(json!({ "nonce": "nonce-of-another-login" }), Err(Refused::Nonce)).await;
    check(json!({ "nonce": "" }), Err(Refused::Nonce)).await;
    check(json!({ "nonce": "gone" }), Err(Refused::Nonce)).await;

    check(json!({ "sub": "" }), Err(Refused::Malformed)).await;
    check(json!({ "sub": "n".repeat(255) }), Ok(&"n".repeat(255))).await;
    check(json!({ "sub": "n".repeat(256) }), Err(Refused::Malformed)).await;
    check(json!({ "sub": "gone" }), Err(Refused::Malformed)).await;
}

#[tokio::test]
async fn nobody_but_the_provider_signs() {
    let fake = Fake::start().await;
    let claims = fake.claims("nurse", NONCE, NOW);
    let sound = fake.key.sign(&claims);
    let check =
        async |token: &str, expected| assert_eq!(verify(&fake, token).await, Err(expected), "{token}");

    // Without a signature, in every spelling.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": none, "kid": "first" });
        check(&format!("{}.", signed(&header, &claims)), Refused::Algorithm).await;
        check(&fake.key.sign_under(&header, &claims), Refused::Algorithm).await;
    }
    // With what everybody may read as a symmetric key.
    for (alg, key) in [("HS256", fake.key.jwk()["x"].to_string()), ("HS384", fake.key.jwk().to_string())] {
        let text = signed(&json!({ "alg": alg, "kid": "first" }), &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes());
        check(&format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref())), Refused::Algorithm).await;
    }
    // Another key, under its own name and under the provider's, and one that came along.
    let other = Key::generate("other");
    check(&other.sign(&claims), Refused::Key).await;
    check(&other.sign_under(&json!({ "alg": "ES256", "kid": "first" }), &claims), Refused::Signature).await;
    let header =
        json!({ "alg": "ES256", "kid": "first", "jwk": other.jwk(), "jku": "http://127.0.0.1:1/keys" });
    check(&other.sign_under(&header, &claims), Refused::Signature).await;
    // The provider's own key in a way that is not its own, without its name, with what must be understood.
    for alg in ["RS256", "PS256", "EdDSA"] {
        check(&fake.key.sign_under(&json!({ "alg": alg, "kid": "first" }), &claims), Refused::Key).await;
    }
    check(&fake.key.sign_under(&json!({ "alg": "ES256" }), &claims), Refused::Key).await;
    let critical = json!({ "alg": "ES256", "kid": "first", "crit": ["b64"], "b64": false });
    check(&fake.key.sign_under(&critical, &claims), Refused::Algorithm).await;
    // What was signed, and the rest changed.
    let [header, payload, signature]: [&str; 3] = sound.split('.').collect::<Vec<_>>().try_into().unwrap();
    let changed = signed(&json!({}), &fake.claims("matron", NONCE, NOW));
    let changed = changed.split('.').nth(1).unwrap();
    check(&format!("{header}.{changed}.{signature}"), Refused::Signature).await;
    check(&format!("{header}.{payload}."), Refused::Signature).await;
    check(&format!("{header}.{payload}.AAAA"), Refused::Signature).await;

    for wrong in [
        "",
        ".",
        "..",
        "a.b.c",
        header,
        &format!("{header}.{payload}"),
        &format!("{sound}."),
        &format!("{sound}="),
        &format!("{sound}.{signature}"),
        &"a".repeat(9000),
    ] {
        let refused = verify(&fake, wrong).await.unwrap_err();
        assert!(matches!(refused, Refused::Malformed), "{wrong}: {refused}");
    }
    assert_eq!(verify(&fake, &sound).await.unwrap(), "nurse");
}

#[tokio::test]
async fn rsa_and_ed25519_sign_too_and_short_keys_do_not() {
    let fake = Fake::start().await;
    let claims = fake.claims("nurse", NONCE, NOW);
    let rsa = RsaKeyPair::from_pkcs8(include_bytes!("keys/rsa_2048.pk8")).unwrap();
    let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let x = ed25519.public_key().as_ref().to_vec();
    let [n, e, x] = [n, e, x].map(|part| BASE64URL_NOPAD.encode(&part));
    let key = |id: &str, extra: Value| {
        let mut key = json!({ "kty": "RSA", "kid": id, "n": n, "e": e });
        key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        key
    };
    let short: Value = serde_json::from_str(include_str!("keys/rsa_1024.json")).unwrap();
    fake.publish(vec![
        key("any", json!({})),
        key("one", json!({ "alg": "RS256" })),
        key("sealing", json!({ "use": "enc" })),
        key("other", json!({ "alg": "RSA-OAEP" })),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x }),
        json!({ "kty": "oct", "kid": "symmetric", "k": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-521", "kid": "large", "x": "AA", "y": "AA" }),
        json!("not a key"),
        short["jwk"].clone(),
    ]);
    let check = async |id: &str, alg: &str, expected: Result<&str, Refused>| {
        let text = signed(&json!({ "alg": alg, "kid": id }), &claims);
        let by_rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; rsa.public().modulus_len()];
            rsa.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
            signature
        };
        let signature = match alg {
            "RS256" => by_rsa(&RSA_PKCS1_SHA256),
            "PS256" => by_rsa(&RSA_PSS_SHA256),
            _ => ed25519.sign(text.as_bytes()).as_ref().to_vec(),
        };
        let answer = verify(&fake, &format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))).await;
        assert_eq!(answer, expected.map(str::to_owned), "{id} {alg}");
    };
    check("any", "RS256", Ok("nurse")).await;
    check("any", "PS256", Ok("nurse")).await;
    check("one", "RS256", Ok("nurse")).await;
    check("one", "PS256", Err(Refused::Key)).await;
    check("sealing", "RS256", Err(Refused::Key)).await;
    check("other", "RS256", Err(Refused::Key)).await;
    check("ed", "EdDSA", Ok("nurse")).await;
    check("any", "EdDSA", Err(Refused::Key)).await;
    check("symmetric", "RS256", Err(Refused::Key)).await;
    check("any", "RS512", Err(Refused::Algorithm)).await;
    assert_eq!(verify(&fake, short["token"].as_str().unwrap()).await, Err(Refused::Signature));
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_names_of_keys_make_nobody_busy() {
    let mut fake = Fake::start().await;
    let provider = Provider::new(&fake.settings()).unwrap();
    let at = |seconds| now() + TimeDelta::seconds(seconds);
    let old = fake.token("nurse", NONCE, NOW);
    for _ in 0..3 {
        provider.verify(&old, NONCE, at(0)).await.unwrap();
    }
    assert_eq!(fake.asked(), 1);

    fake.key = Key::generate("second");
    fake.publish(vec![fake.key.jwk()]);
    let new = fake.token("nurse", NONCE, NOW);
    for seconds in [1, 9] {
        assert_eq!(provider.verify(&new, NONCE, at(seconds)).await, Err(Refused::Key));
    }
    assert_eq!(fake.asked(), 1);
    provider.verify(&new, NONCE, at(10)).await.unwrap();
    // What the provider took back is worth nothing from then on.
    assert_eq!(provider.verify(&old, NONCE, at(20)).await, Err(Refused::Key));
    assert_eq!(fake.asked(), 3);
    // Nor is it believed for longer than an hour, if nobody brings a new one.
    fake.publish(vec![Key::generate("third").jwk()]);
    let later = |seconds| fake.token("nurse", NONCE, NOW + seconds);
    provider.verify(&later(3600), NONCE, at(3600)).await.unwrap();
    assert_eq!(provider.verify(&later(3620), NONCE, at(3620)).await, Err(Refused::Key));

    let provider = Provider::new(&fake.settings()).unwrap();
    let asked = fake.asked();
    let tokens: Vec<_> = (0..20)
        .map(|number| Key::generate(&number.to_string()).sign(&fake.claims("x", NONCE, NOW)))
        .collect();
    for token in &tokens {
        assert_eq!(provider.verify(token, NONCE, at(0)).await, Err(Refused::Key));
    }
    assert_eq!(fake.asked(), asked + 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_wrong_token() {
    let fake = Fake::start().await;
    let provider = Provider::new(&fake.settings()).unwrap();
    let token = fake.token("nurse", NONCE, NOW);
    let away = |error| Err(Refused::Unavailable(error));
    fake.is_away(true);
    assert_eq!(provider.verify(&token, NONCE, now()).await, away(HttpError::Status(503)));
    fake.is_away(false);
    assert_eq!(provider.verify(&token, NONCE, now()).await, away(HttpError::Connection));
    provider.verify(&token, NONCE, now() + TimeDelta::seconds(10)).await.unwrap();
    // With its keys kept, it may go away again.
    fake.is_away(true);
    provider.verify(&token, NONCE, now() + TimeDelta::seconds(20)).await.unwrap();

    // Who answers at that address says that it is another, or sends elsewhere.
    let mut settings = fake.settings();
    fake.is_away(false);
    settings.issuer = settings.issuer.replace("127.0.0.1", "localhost");
    let provider = Provider::new(&settings).unwrap();
    assert_eq!(provider.verify(&token, NONCE, now()).await, away(HttpError::Form));
    settings.issuer = format!("{}/elsewhere", fake.issuer);
    let provider = Provider::new(&settings).unwrap();
    assert_eq!(provider.verify(&token, NONCE, now()).await, away(HttpError::Status(302)));
}

#[test]
fn settings_that_cannot_be_trusted_are_refused() {
    let check = |issuer: &str, client_id: &str, ca_file: Option<&str>, expected| {
        let [issuer, client_id] = [issuer, client_id].map(str::to_owned);
        let settings = ProviderSettings { issuer, client_id, ca_file: ca_file.map(Into::into) };
        assert_eq!(Provider::new(&settings).err(), Some(expected), "{settings:?}");
    };
    check("http://login.hospital.example", "respite", None, ProviderError::Issuer);
    check("login.hospital.example", "respite", None, ProviderError::Issuer);
    check("https://login.hospital.example?tenant=1", "respite", None, ProviderError::Issuer);
    check("https://login.hospital.example", "", None, ProviderError::ClientId);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    check(
        "https://login.hospital.example",
        "respite",
        Some(path),
        ProviderError::CaFile { path: path.into() },
    );
}

/// What is secret is in no text that could be logged.
#[tokio::test]
async fn nothing_is_shown_of_a_token() {
    let fake = Fake::start().await;
    let provider = Provider::new(&fake.settings()).unwrap();
    let claims = provider.verify(&fake.token("canary", NONCE, NOW), NONCE, now()).await.unwrap();
    assert_eq!(format!("{claims:?}"), "Claims(..)");
    assert!(!format!("{provider:?}").contains("canary"));
}

/// The whole way, by a certified provider: browser, code, PKCE, and the token that it signs.
#[tokio::test]
async fn somebody_signs_in_at_a_real_provider() {
    let mut real = Real::start().await;
    let token = real.sign_in("N-7", NONCE).await;
    let provider = Provider::new(&real.settings()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the provider's process has the machine's clock")]
    let now = DateTime::from(SystemTime::now());
    let claims = provider.verify(&token, NONCE, now).await.unwrap();
    assert_eq!(
        (claims.subject(), claims.text("employee_number"), claims.text("email")),
        ("N-7", Some("N-7"), None)
    );
    assert_eq!(provider.verify(&token, "another", now).await, Err(Refused::Nonce));
    assert_eq!(provider.verify(&token, NONCE, now + TimeDelta::days(1)).await, Err(Refused::Time));
}
