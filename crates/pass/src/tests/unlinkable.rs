//! E1: hospital and booking side, with all that both saw, can't tell whose token it was.

use crypto_bigint::{NonZero, U64, U2048};

use super::{NOW, PROGRAMME, WORLD, World, record};
use crate::{
    BlindSignature, Client, Directory, KeyRecord, PublicKey, Token, TokenRequest,
    modulus::{encrypt, to_be_bytes},
    signing::PrivateKey,
};

/// What an issuer keeps of one token at the worst, and what the booking side does.
struct Seen {
    request: TokenRequest,
    answer: BlindSignature,
    token: Token,
}

fn seen(world: &World) -> Seen {
    let client = world.client();
    let pending = client.blind();
    let request = pending.request();
    let answer = world.issuer.issue(&request).unwrap();
    let token = client.finalize(&pending, &answer).unwrap();
    Seen { request, answer, token }
}

/// privacy.md 9: for each request and each token there is a blinding under which the one became the other, so that no
/// pair is likelier than another, whoever asks and however much they can compute, with the private key too.
#[test]
fn every_request_fits_every_token() {
    let PrivateKey { modulus, .. } = &WORLD.issuer.key;
    let seen: Vec<_> = (0..5).map(|_| seen(&WORLD)).collect();
    for Seen { token, .. } in &seen {
        let authenticator = modulus.residue(&token.authenticator).unwrap();
        let encoded = encrypt(&authenticator);
        for Seen { request, answer, .. } in &seen {
            let blinded = modulus.residue(request.blinded_message.as_bytes()).unwrap();
            let factor = WORLD.issuer.key.decrypt(&blinded.mul(&encoded.invert().unwrap()));
            assert_eq!(encoded.mul(&encrypt(&factor)), blinded, "this blinding makes this request");
            let answered = modulus.residue(answer.as_bytes()).unwrap();
            let finalized = answered.mul(&factor.invert().unwrap());
            assert_eq!(
                to_be_bytes::<256, _>(&finalized),
                token.authenticator,
                "and of its answer this token"
            );
        }
    }
}

/// RFC 9474, section 4.2: which primes of a key divide a message would show through any blinding. Here five do that
/// divide a good part of all messages.
#[test]
fn a_key_of_small_primes_sees_nothing() {
    let primes = [3, 5, 7, 11, 13];
    let twice = NonZero::new(U2048::from_u32(2 * primes.iter().product::<u32>())).unwrap();
    // The greatest odd multiple of them.
    let multiple = U2048::MAX.wrapping_sub(&U2048::MAX.rem(&twice));
    let modulus = multiple.wrapping_sub(&twice.get().shr_vartime(1)).to_be_bytes();
    let key = PublicKey::new(modulus.as_slice().try_into().unwrap()).unwrap();
    let mut directory = Directory::default();
    directory.publish(&KeyRecord { key: key.clone(), ..record(&WORLD.issuer) }).unwrap();
    let client = Client::new(&directory, PROGRAMME, key.id(), NOW).unwrap();
    for _ in 0..32 {
        let blinded = U2048::from_be_slice(client.blind().request().blinded_message.as_bytes());
        for prime in primes {
            assert_ne!(blinded.rem(&NonZero::new(U64::from_u32(prime)).unwrap()), U64::ZERO, "{prime}");
        }
    }
}

/// privacy.md 9: what both sides store has the public key's id in common, and no eight bytes more.
#[test]
fn transcripts_and_tokens_share_the_key_alone() {
    for Seen { request, answer, token } in (0..64).map(|_| seen(&WORLD)) {
        let token = token.to_bytes();
        assert_eq!(&token[66..98], request.key_id.as_bytes());
        let outside_the_key = token.windows(8).enumerate().filter(|&(at, _)| !(66..=90).contains(&at));
        for (at, part) in outside_the_key {
            for sent in
                [&request.key_id.as_bytes()[..], request.blinded_message.as_bytes(), answer.as_bytes()]
            {
                assert!(!sent.windows(8).any(|other| other == part), "what the token has at {at}");
            }
        }
    }
}
