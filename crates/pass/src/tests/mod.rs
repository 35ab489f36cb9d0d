//! The three roles together, as they meet: what no file can prove alone.

mod unlinkable;
mod vectors;

use std::sync::LazyLock;

use crypto_bigint::U1024;
use data_encoding::BASE64;
use proptest::prelude::*;

use crate::{
    BlindSignature, Client, Directory, FinalizeError, IssueError, Issuer, KeyId, KeyRecord, KeyState,
    NotIssuing, PendingToken, Period, PrivateKeyError, ProgrammeId, Schedule, Token, TokenChallenge,
    WireError,
    origin::{RedeemError, Redemption, redeem},
};

const PROGRAMME: ProgrammeId = ProgrammeId([1; 16]);
const SCHEDULE: Schedule =
    Schedule { published: 0, active_from: 1_000_000, grace_from: 2_000_000, retired_from: 3_000_000 };
const NOW: i64 = 1_500_000;

/// One hospital, one programme, one period.
struct World {
    issuer: Issuer,
    directory: Directory,
}

/// Generating a key takes a moment; what needs no key of its own shares these two.
static WORLD: LazyLock<World> = LazyLock::new(World::new);
static ELSEWHERE: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        Self::of(Issuer::generate())
    }

    fn of(issuer: Issuer) -> Self {
        let mut directory = Directory::default();
        directory.publish(&record(&issuer)).unwrap();
        Self { issuer, directory }
    }

    fn key_id(&self) -> KeyId {
        self.issuer.public_key().id()
    }

    fn client(&self) -> Client {
        Client::new(&self.directory, PROGRAMME, self.key_id(), NOW).unwrap()
    }

    fn token(&self) -> Token {
        let client = self.client();
        let pending = client.blind();
        let signature = self.issuer.issue(&pending.request()).unwrap();
        client.finalize(&pending, &signature).unwrap()
    }

    fn redeem(&self, token: &[u8]) -> Result<Redemption<'_>, RedeemError> {
        redeem(&self.directory, token, NOW)
    }
}

fn record(issuer: &Issuer) -> KeyRecord {
    KeyRecord {
        programme: PROGRAMME,
        period: Period::new("2026-Q4").unwrap(),
        challenge: TokenChallenge::new("passes.hospital.example", "respite.example").unwrap(),
        schedule: SCHEDULE,
        key: issuer.public_key().clone(),
    }
}

/// privacy.md 9: whoever changes a token, wherever and however little, has none.
#[test]
fn a_token_with_any_bit_changed_is_refused() {
    let token = WORLD.token().to_bytes();
    assert!(WORLD.redeem(&token).is_ok());
    for at in 0..token.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut token = token;
            token[at] ^= flip;
            let refused = WORLD.redeem(&token).expect_err("a changed token");
            let expected = match at {
                0..2 => matches!(refused, RedeemError::Wire(WireError::Type { .. })),
                34..66 => refused == RedeemError::Challenge,
                66..98 => matches!(refused, RedeemError::UnknownKey { .. }),
                // The nonce and the authenticator.
                _ => refused == RedeemError::Signature,
            };
            assert!(expected, "byte {at} changed by {flip:#04x}: {refused}");
        }
    }
}

#[test]
fn a_token_has_one_length() {
    let token = WORLD.token().to_bytes();
    for length in (0..354).chain(355..400) {
        let token: Vec<u8> = token.iter().copied().cycle().take(length).collect();
        let refused = RedeemError::Wire(WireError::Length { expected: 354, found: length });
        assert_eq!(WORLD.redeem(&token), Err(refused));
    }
}

/// privacy.md 1.3: keys whose ids end alike are not confused, as they are by who looks keys up by that byte.
#[test]
fn a_key_is_known_by_all_of_its_id() {
    let token = WORLD.token();
    let mut forged = *token.key_id().as_bytes();
    forged[0] ^= 1;
    let mut bytes = token.to_bytes();
    bytes[66..98].copy_from_slice(&forged);
    assert_eq!(bytes[97], token.to_bytes()[97], "ids that end alike");
    let refused = RedeemError::UnknownKey { key_id: KeyId::from(forged) };
    assert_eq!(WORLD.redeem(&bytes), Err(refused));

    let other = ELSEWHERE.token();
    assert_eq!(WORLD.redeem(&other.to_bytes()), Err(RedeemError::UnknownKey { key_id: ELSEWHERE.key_id() }));
    // Both listed: a token of the one that names the other.
    let mut both = WORLD.directory.clone();
    let elsewhere = KeyRecord { programme: ProgrammeId([2; 16]), ..record(&ELSEWHERE.issuer) };
    both.publish(&elsewhere).unwrap();
    let mut renamed = other.to_bytes();
    renamed[66..98].copy_from_slice(WORLD.key_id().as_bytes());
    assert_eq!(redeem(&both, &renamed, NOW), Err(RedeemError::Signature));
    assert_eq!(redeem(&both, &other.to_bytes(), NOW).unwrap().key, &elsewhere);
}

/// privacy.md 1.2: 256 bits of a challenge that nobody compared would be a tag on every worker. The token is signed
/// and good in all else.
#[test]
fn a_token_for_another_challenge_is_refused() {
    let challenge = TokenChallenge::new("passes.hospital.example", "elsewhere.example").unwrap();
    let mut elsewhere = Directory::default();
    elsewhere.publish(&KeyRecord { challenge, ..record(&WORLD.issuer) }).unwrap();
    let client = Client::new(&elsewhere, PROGRAMME, WORLD.key_id(), NOW).unwrap();
    let pending = client.blind();
    let signature = WORLD.issuer.issue(&pending.request()).unwrap();
    let token = client.finalize(&pending, &signature).unwrap().to_bytes();
    assert!(redeem(&elsewhere, &token, NOW).is_ok());
    assert_eq!(WORLD.redeem(&token), Err(RedeemError::Challenge));
}

/// privacy.md 1.6: `published → active → grace → retired`.
#[test]
fn a_key_signs_and_is_redeemed_in_its_time() {
    let token = WORLD.token().to_bytes();
    let check = |now, state, signs: bool, redeems: bool| {
        let key_id = WORLD.key_id();
        assert_eq!(WORLD.directory.record(key_id).unwrap().state(now), state, "{now}");
        let client = Client::new(&WORLD.directory, PROGRAMME, key_id, now).map(|_| ());
        assert_eq!(client, if signs { Ok(()) } else { Err(NotIssuing::State { key_id, state }) }, "{now}");
        let redeemed = redeem(&WORLD.directory, &token, now).map(|_| ());
        assert_eq!(redeemed, if redeems { Ok(()) } else { Err(RedeemError::KeyState { state }) }, "{now}");
    };
    check(i64::MIN, KeyState::Published, false, false);
    check(999_999, KeyState::Published, false, false);
    check(1_000_000, KeyState::Active, true, true);
    check(1_999_999, KeyState::Active, true, true);
    check(2_000_000, KeyState::Grace, false, true);
    check(2_999_999, KeyState::Grace, false, true);
    check(3_000_000, KeyState::Retired, false, false);
    check(i64::MAX, KeyState::Retired, false, false);
}

/// privacy.md 1.6: a key of one's own is refused before there is anything that it could mark.
#[test]
fn nothing_is_blinded_under_an_unlisted_key() {
    let check = |programme, key_id, expected| {
        assert_eq!(Client::new(&WORLD.directory, programme, key_id, NOW).map(|_| ()), expected);
    };
    let key_id = WORLD.key_id();
    check(PROGRAMME, key_id, Ok(()));
    check(PROGRAMME, ELSEWHERE.key_id(), Err(NotIssuing::Unlisted { key_id: ELSEWHERE.key_id() }));
    check(ProgrammeId([2; 16]), key_id, Err(NotIssuing::Programme { key_id }));
}

/// E1: an issuer signs under the key that was asked for, and no number that it can't have been asked for.
#[test]
fn an_issuer_signs_what_a_client_may_ask() {
    let request = WORLD.client().blind().request();
    let asked = WORLD.key_id();
    assert_eq!(ELSEWHERE.issuer.issue(&request), Err(IssueError::OtherKey { asked }));
    let mut beyond = request.clone();
    beyond.blinded_message.0 = [0xff; 256];
    assert_eq!(WORLD.issuer.issue(&beyond), Err(IssueError::OutOfRange));
    beyond.blinded_message.0 = *WORLD.issuer.public_key().modulus();
    assert_eq!(WORLD.issuer.issue(&beyond), Err(IssueError::OutOfRange));
    beyond.blinded_message.0[255] -= 1;
    assert!(WORLD.issuer.issue(&beyond).is_ok());
    // Losing the answer loses nothing: the same request has the same answer.
    assert_eq!(WORLD.issuer.issue(&request), WORLD.issuer.issue(&request));
}

/// One signature that was miscalculated modulo one prime gives the other away: whoever has it divides.
#[test]
fn a_miscalculated_signature_stays_here() {
    let request = WORLD.client().blind().request();
    let faulty = |damage: &dyn Fn(&mut Issuer)| {
        let mut issuer = Issuer::from_pkcs8_pem(&WORLD.issuer.to_pkcs8_pem()).unwrap();
        damage(&mut issuer);
        issuer.issue(&request)
    };
    assert!(faulty(&|_| ()).is_ok());
    assert_eq!(faulty(&|issuer| issuer.key.p.exponent = U1024::ONE), Err(IssueError::Fault));
    assert_eq!(faulty(&|issuer| issuer.key.q.exponent = U1024::ONE), Err(IssueError::Fault));
}

/// A client hands out no token that would not be accepted.
#[test]
fn what_is_not_signed_is_not_finalized() {
    let client = WORLD.client();
    let check = |change: &dyn Fn(&mut [u8; 256])| {
        let pending = client.blind();
        let mut signature = WORLD.issuer.issue(&pending.request()).unwrap();
        change(&mut signature.0);
        assert_eq!(client.finalize(&pending, &signature), Err(FinalizeError::Signature));
        let again = WORLD.issuer.issue(&pending.request()).unwrap();
        assert!(client.finalize(&pending, &again).is_ok(), "a bad answer costs no pass");
    };
    check(&|signature| signature[0] ^= 1);
    check(&|signature| signature[255] ^= 1);
    check(&|signature| *signature = [0; 256]);
    check(&|signature| *signature = [0xff; 256]);
    check(&|signature| *signature = *WORLD.issuer.public_key().modulus());

    let pending = client.blind();
    let signature = WORLD.issuer.issue(&pending.request()).unwrap();
    assert_eq!(
        ELSEWHERE.client().finalize(&pending, &signature),
        Err(FinalizeError::OtherKey { pending: WORLD.key_id() })
    );
}

/// The key of a file is the key that was written.
#[test]
fn an_issuers_key_is_kept_in_a_file() {
    let pem = WORLD.issuer.to_pkcs8_pem();
    let read = Issuer::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(read.public_key(), WORLD.issuer.public_key());
    assert_eq!(read.to_pkcs8_pem(), pem);
    let request = WORLD.client().blind().request();
    assert_eq!(read.issue(&request), WORLD.issuer.issue(&request));
    assert_eq!(format!("{read:?}"), format!("Issuer {{ public_key: PublicKey({:?}), .. }}", WORLD.key_id()));
    let check = |text: &str| assert_eq!(Issuer::from_pkcs8_pem(text).err(), Some(PrivateKeyError::Form));
    check("");
    check(&pem.replace("PRIVATE", "PUBLIC"));
    check(&pem[..pem.len() / 2]);
}

/// Wherever the file is damaged, it is refused, or it is the same key, since that follows from the rest.
#[test]
fn a_damaged_key_file_is_no_other_key() {
    let pem = WORLD.issuer.to_pkcs8_pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let file = BASE64.decode(body.as_bytes()).unwrap();
    let request = WORLD.client().blind().request();
    let answer = WORLD.issuer.issue(&request);
    // The algorithm, the modulus and the exponent are what the key is; both primes come after 256 bytes more.
    let decides = |at| (9..294).contains(&at) || (560..810).contains(&at);
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let mut body = BASE64.encode(&damaged);
        for line in (1..=body.len() / 64).rev() {
            body.insert(line * 64, '\n');
        }
        match Issuer::from_pkcs8_pem(&format!(
            "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
        )) {
            Err(_) => (),
            Ok(read) => {
                assert!(!decides(at), "byte {at}");
                assert_eq!(read.issue(&request), answer, "byte {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// E1, for keys and tokens as they come: what a worker was given pays, for its programme, and once.
    #[test]
    fn a_pass_goes_from_the_hospital_to_the_booking(tokens in 1_usize..4) {
        let world = World::new();
        let client = world.client();
        let mut spent = Vec::new();
        for _ in 0..tokens {
            let pending = PendingToken::try_from(&client.blind().to_bytes()[..]).unwrap();
            let request = pending.request();
            let signature = world.issuer.issue(&request).unwrap();
            let signature = BlindSignature::try_from(&signature.as_bytes()[..]).unwrap();
            let token = client.finalize(&pending, &signature).unwrap().to_bytes();
            let redemption = world.redeem(&token).unwrap();
            prop_assert_eq!(redemption.key, &record(&world.issuer));
            prop_assert_eq!(world.redeem(&token), Ok(redemption), "the same nullifier each time");
            prop_assert!(!spent.contains(&redemption.nullifier));
            spent.push(redemption.nullifier);
        }
    }
}

proptest! {
    /// Whatever is sent instead of a token is refused, also with a listed key and the right challenge.
    #[test]
    fn anything_else_is_refused(
        mut bytes in prop_oneof![prop::collection::vec(any::<u8>(), 354), prop::collection::vec(any::<u8>(), 0..800)],
        typed: bool,
        named: bool,
    ) {
        if bytes.len() == 354 && typed {
            bytes[..2].copy_from_slice(&[0, 2]);
            if named {
                bytes[34..98].copy_from_slice(&WORLD.token().to_bytes()[34..98]);
            }
        }
        prop_assert!(WORLD.redeem(&bytes).is_err());
        prop_assert_eq!(PendingToken::try_from(&bytes[..]).is_ok(), bytes.len() == 610 && bytes[..2] == [0, 2]);
    }
}
