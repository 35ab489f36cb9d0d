//! Published vectors, byte for byte.

use crypto_bigint::{U2048, U4096, Uint};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::{NOW, PROGRAMME, SCHEDULE};
use crate::{
    BlindSignature, Client, Directory, Issuer, KeyRecord, Period, PublicKey, TokenChallenge, WireError,
    blinding::{blind, encode_pss, unblind},
    modulus::{encrypt, to_be_bytes},
    origin::{RedeemError, redeem},
    signing::PrivateKey,
    wire::{Nonce, TokenInput},
};

const RFC_9474: &str = include_str!("vectors/rfc9474.json");
const RFC_9578: &str = include_str!("vectors/rfc9578.json");
const PUBLIC_GO: &str = include_str!("vectors/public_go.json");
const PUBLIC_RS: &str = include_str!("vectors/public_rs.json");

/// RFC 9474, appendix A: all four variants, whose salts are 48 bytes or none, under a key of 4096 bits.
#[test]
fn blind_signatures_are_those_of_the_rfc() {
    let vectors = parse(RFC_9474);
    assert_eq!(vectors.len(), 4);
    for vector in &vectors {
        let name = &vector["name"];
        let number = |field: &str| Uint::from_be_slice(&padded(&bytes(vector, field), 256));
        let key: PrivateKey<{ U2048::LIMBS }, { U4096::LIMBS }> =
            PrivateKey::new(&number("p"), &number("q")).unwrap();
        assert_eq!(bytes(vector, "e"), [1, 0, 1]);
        assert_eq!(key.modulus.to_be_bytes::<512>().to_vec(), bytes(vector, "n"));

        let message = [bytes(vector, "msg_prefix"), bytes(vector, "msg")].concat();
        assert_eq!(message, bytes(vector, "input_msg"));
        let encoded = encode_pss(&message, &bytes(vector, "salt"), 512);
        if vector.get("encoded_msg").is_some() {
            assert_eq!(*encoded, bytes(vector, "encoded_msg"), "{name}");
        }
        // The vectors give what undoes the blinding.
        let inverse = key.modulus.residue(&padded(&bytes(vector, "inv"), 512)).unwrap();
        let blinded = blind(&key.modulus, &encoded, &inverse.invert().unwrap()).unwrap();
        assert_eq!(*blinded.inverse, inverse, "{name}");
        assert_eq!(to_be_bytes::<512, _>(&blinded.message).to_vec(), bytes(vector, "blinded_msg"), "{name}");
        let signed = to_be_bytes::<512, _>(&key.sign(&blinded.message).unwrap());
        assert_eq!(signed.to_vec(), bytes(vector, "blind_sig"), "{name}");
        let signature = unblind(&key.modulus, &signed, &blinded.inverse).unwrap();
        assert_eq!(to_be_bytes::<512, _>(&signature).to_vec(), bytes(vector, "sig"), "{name}");
        assert_eq!(to_be_bytes::<512, _>(&encrypt(&signature)).to_vec(), *encoded, "{name}");
    }
}

/// RFC 9578, appendix B.2, and tokens of two other implementations, in Go and in Rust: made anew from the same nonce,
/// salt and blinding.
#[test]
fn tokens_are_those_of_others() {
    let vectors = [parse(RFC_9578), parse(PUBLIC_GO), parse(PUBLIC_RS)].concat();
    assert_eq!(vectors.len(), 12);
    let mut with_a_context = 0;
    for (index, vector) in vectors.iter().enumerate() {
        let pem = String::from_utf8(either(vector, "skS", "sk_s")).unwrap();
        let issuer = Issuer::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(issuer.to_pkcs8_pem().trim(), pem.trim(), "vector {index}");
        let spki = either(vector, "pkS", "pk_s");
        let key = PublicKey::try_from(&spki[..]).unwrap();
        assert_eq!(key.to_spki().to_vec(), spki);
        assert_eq!(&key, issuer.public_key());

        let token = bytes(vector, "token");
        let challenge = bytes(vector, "token_challenge");
        let input = TokenInput::try_from(&token[..98]).unwrap();
        assert_eq!(input.key_id, key.id());
        assert!(key.verifies(&token[..98], token[98..].try_into().unwrap()), "vector {index}");

        let challenge = match TokenChallenge::try_from(&challenge[..]) {
            Ok(read) => {
                assert_eq!(read.to_bytes(), challenge);
                assert_eq!(read.digest(), input.challenge_digest);
                read
            }
            // A challenge for one redemption: made by others, refused here.
            Err(refused) => {
                assert_eq!(refused, WireError::RedemptionContext);
                with_a_context += 1;
                TokenChallenge::new("Another", "").unwrap()
            }
        };
        let good = challenge.digest() == input.challenge_digest;
        let mut directory = Directory::default();
        let period = Period::new("2026-Q4").unwrap();
        let record = KeyRecord { programme: PROGRAMME, period, challenge, schedule: SCHEDULE, key };
        directory.publish(&record).unwrap();
        let redeemed = redeem(&directory, &token, NOW).map(|redemption| redemption.key);
        assert_eq!(redeemed, if good { Ok(&record) } else { Err(RedeemError::Challenge) }, "vector {index}");

        let mut client = Client::new(&directory, PROGRAMME, record.key.id(), NOW).unwrap();
        client.challenge_digest = input.challenge_digest;
        let factor = client.modulus.residue(&bytes(vector, "blind")).unwrap();
        let nonce = Nonce(bytes(vector, "nonce").try_into().unwrap());
        let salt = bytes(vector, "salt").try_into().unwrap();
        let pending = client.blind_with(nonce, &salt, &factor).unwrap();
        let request = pending.request();
        let truncated = record.key.id().as_bytes()[31];
        let sent = [&[0, 2, truncated], &request.blinded_message.as_bytes()[..]].concat();
        assert_eq!(sent, bytes(vector, "token_request"), "vector {index}");
        let signature = issuer.issue(&request).unwrap();
        assert_eq!(signature.as_bytes().to_vec(), bytes(vector, "token_response"), "vector {index}");
        let signature = BlindSignature::try_from(&bytes(vector, "token_response")[..]).unwrap();
        assert_eq!(
            client.finalize(&pending, &signature).unwrap().to_bytes().to_vec(),
            token,
            "vector {index}"
        );
    }
    assert_eq!(with_a_context, 6);
}

fn parse(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let text = vector[field].as_str().unwrap_or_else(|| panic!("no {field}"));
    HEXLOWER.decode(text.trim_start_matches("0x").as_bytes()).unwrap()
}

fn either(vector: &Value, go: &str, rust: &str) -> Vec<u8> {
    bytes(vector, if vector.get(go).is_some() { go } else { rust })
}

fn padded(number: &[u8], length: usize) -> Vec<u8> {
    [vec![0; length - number.len()], number.to_vec()].concat()
}
