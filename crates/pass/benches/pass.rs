//! What each step of a pass costs, beside the bare arithmetic that no such step can do without.
//!
//! Both are timed by turns, so that whatever else the machine does slows both: `ratio` is the median of bare over ours
//! of each turn, and 1.00 would be nothing but arithmetic.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use crypto_bigint::{
    U1024, U2048,
    modular::{FixedMontyForm, FixedMontyParams},
};
use pass::{
    Client, Directory, Issuer, KeyRecord, PendingToken, Period, ProgrammeId, Schedule, TokenChallenge, origin,
};
use ring::signature::{RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents};

const PROGRAMME: ProgrammeId = ProgrammeId([0; 16]);
const NOW: i64 = Schedule::NOTICE;
const TURNS: usize = 2001;

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn main() {
    let steps: [Step; 4] = [
        ("pass_issue", pass_issue),
        ("pass_redeem", pass_redeem),
        ("pass_blind", pass_blind),
        ("pass_finalize", pass_finalize),
    ];
    let named: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    println!("                   µs    bare   ratio");
    for (name, step) in steps {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            let Comparison { ours, bare, ratio } = step();
            println!("{name:13} {:>7.1} {:>7.1}    {ratio:.2}", micros(ours), micros(bare));
        }
    }
}

/// What is compared, and how.
type Step = (&'static str, fn() -> Comparison);

struct World {
    issuer: Issuer,
    directory: Directory,
    client: Client,
}

impl World {
    fn new() -> Self {
        let issuer = Issuer::generate();
        let schedule =
            Schedule { published: 0, active_from: NOW, grace_from: NOW + 1, retired_from: NOW + 2 };
        let record = KeyRecord {
            programme: PROGRAMME,
            period: Period::new("2026-Q4").expect("a name"),
            challenge: TokenChallenge::new("issuer.example", "origin.example").expect("two names"),
            schedule,
            key: issuer.public_key().clone(),
        };
        let mut directory = Directory::default();
        directory.publish(&record).expect("the first key");
        let client = Client::new(&directory, PROGRAMME, record.key.id(), NOW).expect("a listed key");
        Self { issuer, directory, client }
    }

    fn modulus(&self) -> Vec<u8> {
        self.issuer.public_key().to_spki()[81..337].to_vec()
    }

    fn token(&self) -> [u8; 354] {
        let pending = self.client.blind();
        let signature = self.issuer.issue(&pending.request()).expect("a client's request");
        self.client.finalize(&pending, &signature).expect("the issuer's answer").to_bytes()
    }
}

/// Bare: two powers of half the size, which is all the private operation is but for putting them together.
fn pass_issue() -> Comparison {
    let world = World::new();
    let request = world.client.blind().request();
    let params = FixedMontyParams::new(U1024::MAX.to_odd().expect("all ones are odd"));
    let base = FixedMontyForm::new(&U1024::MAX.shr_vartime(1), &params);
    let exponent = U1024::MAX.shr_vartime(2);
    compare(
        || world.issuer.issue(black_box(&request)),
        || [(); 2].map(|()| black_box(&base).pow(black_box(&exponent))),
    )
}

/// Bare: the verification of a signature by a known key.
fn pass_redeem() -> Comparison {
    let world = World::new();
    let (token, modulus) = (world.token(), world.modulus());
    compare(
        || origin::redeem(&world.directory, black_box(&token), NOW).is_ok(),
        || verify(&modulus, black_box(&token)),
    )
}

/// Bare: one inversion and one public operation.
fn pass_blind() -> Comparison {
    let world = World::new();
    let modulus = U2048::from_be_slice(&world.modulus());
    let params = FixedMontyParams::new_vartime(modulus.to_odd().expect("a key is odd"));
    let factor = FixedMontyForm::new(&U2048::ONE.shl_vartime(2000), &params);
    compare(
        || world.client.blind(),
        || (black_box(&factor).invert(), black_box(&factor).square_repeat_vartime(16).mul(&factor)),
    )
}

/// Bare: the verification that a client owes itself.
fn pass_finalize() -> Comparison {
    let world = World::new();
    let (token, modulus) = (world.token(), world.modulus());
    let pending = world.client.blind();
    let signature = world.issuer.issue(&pending.request()).expect("a client's request");
    let pending = pending.to_bytes();
    compare(
        || {
            let pending = PendingToken::try_from(black_box(&pending[..])).expect("what was kept");
            world.client.finalize(&pending, &signature)
        },
        || verify(&modulus, black_box(&token)),
    )
}

fn verify(modulus: &[u8], token: &[u8]) -> bool {
    let (input, authenticator) = token.split_at(98);
    RsaPublicKeyComponents { n: modulus, e: &[1, 0, 1] }
        .verify(&RSA_PSS_2048_8192_SHA384, input, authenticator)
        .is_ok()
}

/// Medians of one call.
struct Comparison {
    ours: Duration,
    bare: Duration,
    ratio: f64,
}

fn compare<O, B>(ours: impl Fn() -> O, bare: impl Fn() -> B) -> Comparison {
    let turns: Vec<_> = (0..TURNS).map(|_| (time(&ours), time(&bare))).collect();
    Comparison {
        ours: median(turns.iter().map(|turn| turn.0)),
        bare: median(turns.iter().map(|turn| turn.1)),
        ratio: median(turns.iter().map(|turn| turn.1.as_secs_f64() / turn.0.as_secs_f64())),
    }
}

/// Of one call, so that most turns end before the machine turns to something else.
fn time<T>(call: impl Fn() -> T) -> Duration {
    let begun = Instant::now();
    black_box(call());
    begun.elapsed()
}

fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<_> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("times are numbers"));
    values[values.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
