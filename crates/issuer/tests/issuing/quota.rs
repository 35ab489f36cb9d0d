//! All passes of a period, or none; once, however often and by however many it is asked.

use api::issuer::v1::IdTokenLogin;
use issuer::{Mode, period::Terms};
use tonic::Code as Grpc;
use tonic_types::StatusExt;

use crate::world::{PASSES, World, check_refused, roster, terms};

/// privacy.md 1.6: who loses the answer does not lose the passes.
#[tokio::test]
async fn the_same_batch_is_signed_the_same_again() {
    let world = World::with_roster(50).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let batch = world.batch(&code, &issuer.offer().await.unwrap());
    let first = issuer.issue(&batch.request).await.unwrap();
    assert_eq!(issuer.issue(&batch.request).await.unwrap(), first);
    issuer.stop().await;

    // Neither a restart, nor having left the hospital with most of the others, nor a new code, takes away what was
    // signed before.
    world.import(&roster(1..20)).await.unwrap();
    let issuer = world.serve().await;
    assert_eq!(issuer.issue(&batch.request).await.unwrap(), first);
    world.import(&roster(0..60)).await.unwrap();
    let mut request = batch.request.clone();
    request.activation_code = world.code("N-0").await.to_text().to_string();
    assert_eq!(issuer.issue(&request).await.unwrap(), first);
    world.redeem(&batch.finalize(&first));
}

#[tokio::test]
async fn another_batch_is_not_signed_in_the_same_period() {
    let world = World::with_roster(50).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let first = world.batch(&code, &offer).request;
    issuer.issue(&first).await.unwrap();
    let refuse = async |request| {
        check_refused(issuer.issue(&request).await, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
    };
    refuse(world.batch(&code, &offer).request).await;
    let mut turned = first.clone();
    turned.blinded_messages.swap(0, 1);
    refuse(turned).await;
    let mut changed = first.clone();
    changed.blinded_messages[0][255] ^= 1;
    refuse(changed).await;
    // A code in place of a lost one is no second quota.
    refuse(world.batch(&world.code("N-0").await, &offer).request).await;
}

/// All at once, so that asking says nothing about wanting one session.
#[tokio::test]
async fn a_batch_has_exactly_as_many_messages_as_are_offered() {
    let world = World::with_roster(50).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let whole = world.batch(&code, &offer);
    for wrong in [0, 1, PASSES - 1, PASSES + 1, 50, 60] {
        let mut request = world.batch(&code, &offer).request;
        let message = request.blinded_messages[0].clone();
        request.blinded_messages = vec![message; wrong as usize];
        check_refused(issuer.issue(&request).await, Grpc::InvalidArgument, "OUT_OF_RANGE");
    }
    let mut request = whole.request.clone();
    request.blinded_messages[1].pop();
    check_refused(issuer.issue(&request).await, Grpc::InvalidArgument, "MALFORMED");
    // Larger than any batch: not even read.
    request.blinded_messages = vec![vec![7; 256]; 150];
    assert_eq!(issuer.issue(&request).await.unwrap_err().code(), Grpc::OutOfRange);

    // A number that no client blinds to: whoever sent it has not used up anything.
    let mut request = whole.request.clone();
    request.blinded_messages[1] = vec![0xff; 256];
    let refused = check_refused(issuer.issue(&request).await, Grpc::InvalidArgument, "OUT_OF_RANGE");
    assert!(refused.message().contains("blinded_messages[1]"), "{refused:?}");
    world.redeem(&whole.finalize(&issuer.issue(&whole.request).await.unwrap()));
}

/// As many as a programme may agree on, with the longest ID token beside them.
#[tokio::test]
async fn a_hundred_passes_come_in_one_batch() {
    let mut world = World::without_period(Mode::Roster).await;
    world.import(&roster(0..50)).await.unwrap();
    let most = Terms { passes: 100, ..terms("2026-10-01", "2027-01-01") };
    let period = world.make("2026-Q4", most).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let asks = |passes| world.batch_under(&code, period.key_id, passes);
    check_refused(issuer.issue(&asks(101).request).await, Grpc::InvalidArgument, "OUT_OF_RANGE");
    // Read, and then refused for what it says: this program has no provider.
    let mut by_login = asks(100).request;
    let token = IdTokenLogin { nonce: "n".repeat(75), id_token: "t".repeat(8 << 10) };
    (by_login.activation_code, by_login.login) = (String::new(), Some(token));
    check_refused(issuer.issue(&by_login).await, Grpc::FailedPrecondition, "LOGINS_NOT_ACCEPTED");
    let batch = asks(issuer.offer().await.unwrap().passes);
    let tokens = batch.finalize(&issuer.issue(&batch.request).await.unwrap());
    assert_eq!(tokens.len(), 100);
    world.redeem(&tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_workers_at_once_all_get_theirs() {
    let world = World::with_roster(60).await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let mut batches = Vec::new();
    for number in 0..60 {
        batches.push(world.batch(&world.code(&format!("N-{number}")).await, &offer));
    }
    let answers: Vec<_> = batches
        .iter()
        .map(|batch| {
            let (mut client, request) = (issuer.client.clone(), batch.request.clone());
            tokio::spawn(async move { client.issue_passes(request).await.unwrap().into_inner() })
        })
        .collect();
    let mut tokens = Vec::new();
    for (batch, answer) in batches.iter().zip(answers) {
        tokens.extend(batch.finalize(&answer.await.unwrap().blind_signatures));
    }
    assert_eq!(tokens.len(), 60 * PASSES as usize);
    world.redeem(&tokens);
}

/// The check before signing sees nothing of the others: the transaction decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_batches_for_one_code_at_once_one_is_signed() {
    let world = World::with_roster(50).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let asking: Vec<_> = (0..24)
        .map(|_| world.batch(&code, &offer).request)
        // Each of them twice, as by a device that lost its patience.
        .flat_map(|request| [request.clone(), request])
        .map(|request| {
            let mut client = issuer.client.clone();
            tokio::spawn(async move {
                let answer = client.issue_passes(request.clone()).await;
                (request, answer.map(|answer| answer.into_inner().blind_signatures))
            })
        })
        .collect();
    let mut signed = Vec::new();
    for asked in asking {
        match asked.await.unwrap() {
            (request, Ok(signatures)) => signed.push((request, signatures)),
            (_, refused) => {
                check_refused(refused, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
            }
        }
    }
    assert!((1..=2).contains(&signed.len()), "{}", signed.len());
    assert!(signed.iter().all(|answer| *answer == signed[0]));
}

/// Another process writes to the same file: both wait for each other, and neither is told to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn staff_and_workers_write_at_once() {
    let world = World::new(Mode::Cards).await;
    let cards = world.cards(50, "2026-12-31").await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let asking: Vec<_> = cards
        .iter()
        .map(|card| {
            let (mut client, request) = (issuer.client.clone(), world.batch(card, &offer).request);
            tokio::spawn(async move { client.issue_passes(request).await })
        })
        .collect();
    for _ in 0..25 {
        world.cards(2, "2026-12-31").await;
    }
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
}

/// While the staff's own command writes, workers are told to come back, and lose nothing.
#[tokio::test]
async fn a_busy_database_is_no_refusal() {
    let world = World::with_roster(50).await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let batch = world.batch(&code, &issuer.offer().await.unwrap());
    let mut staff = world.database().await;
    sqlx::query("begin exclusive").execute(&mut staff).await.unwrap();
    let busy = check_refused(issuer.issue(&batch.request).await, Grpc::Unavailable, "UNAVAILABLE");
    assert!(busy.get_error_details().retry_info().is_some());
    sqlx::query("rollback").execute(&mut staff).await.unwrap();
    issuer.issue(&batch.request).await.unwrap();
}
