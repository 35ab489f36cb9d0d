//! G5: notes from device to device, which the server carries and cannot read.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use api::v1;
use chrono::{Days, TimeDelta};
use client::{
    Certificate, CertificateError, DeviceNotes, Notes, NotesError, NotesKey, OpenError, PracticeKey,
    PracticePublicKey, Refusal, Secret, request_id,
};
use data_encoding::{BASE64, HEXLOWER};
use e2e::{Therapist, Worker, World, time, timestamp};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set};
use services::Clock;
use store::{Opaque, device_key};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::privacy::{files, search};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
/// A session of 50 minutes with Ada.
const MONDAY: &str = "2026-03-23T10:00:00Z";
/// One with Ben.
const TUESDAY: &str = "2026-03-24T10:00:00Z";
pub(crate) const INTAKE: &str = "zq1canary: since the night shifts began";
pub(crate) const HANDOVER: &str = "zq2canary: rest after night shifts";

/// Two therapists of one practice, each with a device, and a worker with a phrase.
struct Practice {
    world: World,
    key: PracticeKey,
    ada: Therapist,
    ben: Therapist,
    at_ada: DeviceNotes,
    nurse: Worker,
    secret: Secret,
}

/// A new alias, signed in, with the secret that its phrase says.
pub(crate) async fn worker(world: &World) -> (Worker, Secret) {
    let secret = Secret::generate();
    let (key, anybody) = (secret.login_key(), world.anybody().await);
    let alias = anybody.create_alias(&key).await.unwrap();
    let client = anybody.login(key.clone()).await.unwrap();
    (Worker { id: alias.id, handle: alias.handle, key, client }, secret)
}

/// The worker writes an intake to the therapist of a booking, who gets this device for it.
pub(crate) async fn tells(
    world: &World,
    to: &Therapist,
    nurse: &Worker,
    secret: &Secret,
    booking: &v1::Booking,
) -> DeviceNotes {
    let (practice, device) = (PracticeKey::from_bytes(&[7; 32]), NotesKey::generate());
    let known = vec![practice.verifying_key()];
    let signed = Certificate::sign(&practice, id(&to.id).into_bytes(), &device.public(), in_a_year(world));
    let at = DeviceNotes::new(to.client.clone(), device);
    at.register(&signed, &known, id(&to.id), now(world)).await.unwrap();
    let notes = Notes::new(nurse.client.clone(), secret, known);
    let device = notes.device_key(id(&booking.id), id(&to.id), now(world)).await.unwrap();
    notes.write(id(&booking.id), &device, INTAKE).await.unwrap();
    at
}

fn practices_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("respite-practice");
    assert!(program.exists(), "{} is missing: cargo build --package practice", program.display());
    program
}

impl Practice {
    async fn of(engine: e2e::Engine) -> Self {
        let world = World::at(engine, FRIDAY).await;
        let key = PracticeKey::from_bytes(&[7; 32]);
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Tue 08:00-20:00").await;
        let (nurse, secret) = worker(&world).await;
        let device = NotesKey::generate();
        let signed = Certificate::sign(&key, id(&ada.id).into_bytes(), &device.public(), in_a_year(&world));
        let at_ada = DeviceNotes::new(ada.client.clone(), device);
        at_ada.register(&signed, &[key.verifying_key()], id(&ada.id), now(&world)).await.unwrap();
        Self { world, key, ada, ben, at_ada, nurse, secret }
    }

    fn known(&self) -> Vec<PracticePublicKey> {
        vec![self.key.verifying_key()]
    }

    fn now(&self) -> i64 {
        now(&self.world)
    }

    fn notes(&self) -> Notes {
        Notes::new(self.nurse.client.clone(), &self.secret, self.known())
    }

    /// A new device of a therapist's, signed by the practice.
    async fn device(&self, therapist: &Therapist) -> DeviceNotes {
        let device = NotesKey::generate();
        let signed = self.sign(therapist, &device);
        let at = DeviceNotes::new(therapist.client.clone(), device);
        at.register(&signed, &self.known(), id(&therapist.id), self.now()).await.unwrap();
        at
    }

    fn sign(&self, therapist: &Therapist, device: &NotesKey) -> Certificate {
        Certificate::sign(&self.key, id(&therapist.id).into_bytes(), &device.public(), in_a_year(&self.world))
    }

    async fn books(&self, therapist: &Therapist, start: &str) -> Uuid {
        id(&self.nurse.books(therapist, start).await.unwrap().id)
    }

    /// Writes an intake as the app does.
    async fn writes(&self, booking: Uuid, therapist: &Therapist, text: &str) -> Result<(), NotesError> {
        let notes = self.notes();
        let device = notes.device_key(booking, id(&therapist.id), self.now()).await?;
        notes.write(booking, &device, text).await
    }

    async fn kept(&self) -> i64 {
        self.world.count("select count(*) from note").await
    }
}

e2e::stories! {
    // As it is done: the practice's program signs what a therapist's device shows, and a worker writes to that device.
    async fn what_the_practices_program_signs_is_taken_and_believed(engine: Engine) {
        let today = Clock::System.now();
        let world = World::at(engine, &today.to_rfc3339()).await;
        let ada = world.therapist("Ada", "Etc/UTC").await
            .works("Mon 08:00-20:00, Tue 08:00-20:00, Wed 08:00-20:00, Thu 08:00-20:00, Fri 08:00-20:00, Sat 08:00-20:00, Sun 08:00-20:00").await;
        let folder = tempfile::tempdir().unwrap();
        let says = |arguments: &[&str]| {
            let output = Command::new(practices_program()).current_dir(&folder).args(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let known = HEXLOWER.decode(says(&["make", "practice.key"]).trim().as_bytes()).unwrap();
        let known = vec![PracticePublicKey::from_bytes(&known.try_into().unwrap()).unwrap()];

        let device = NotesKey::generate();
        let (public_key, read_out) = (BASE64.encode(&device.public().to_bytes()), device.public().fingerprint());
        let last = (today.date_naive() + Days::new(365)).to_string();
        let printed = says(&[
            "sign", "--key", "practice.key", "--therapist", &ada.id, "--public-key", &public_key,
            "--fingerprint", &read_out, "--until", &last,
        ]);
        // What a client with protobuf's JSON hands in as it is.
        let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let bytes = |field: &str| BASE64.decode(printed[field].as_str().unwrap().as_bytes()).unwrap();
        let expire_time = timestamp(time(printed["expireTime"].as_str().unwrap()));
        let device_key = v1::DeviceKey {
            public_key: bytes("publicKey"),
            expire_time: Some(expire_time),
            signature: bytes("signature"),
            ..Default::default()
        };
        let add = v1::CreateDeviceKeyRequest { request_id: request_id(), device_key: Some(device_key) };
        ada.client.notes().create_device_key(add).await.unwrap();

        let (nurse, secret) = worker(&world).await;
        let start = (today.date_naive() + Days::new(3)).and_hms_opt(10, 0, 0).unwrap().and_utc();
        let booking = id(&nurse.books(&ada, &start.to_rfc3339()).await.unwrap().id);
        let notes = Notes::new(nurse.client.clone(), &secret, known);
        let believed = notes.device_key(booking, id(&ada.id), now(&world)).await.unwrap();
        notes.write(booking, &believed, INTAKE).await.unwrap();
        let [(_, intake)] = DeviceNotes::new(ada.client.clone(), device).intakes().await.unwrap().try_into().ok().unwrap();
        assert_eq!(intake.text.as_str(), INTAKE);
    }

    async fn nobody_has_to_tell_their_story_twice(engine: Engine) {
        let practice = Practice::of(engine).await;
        let Practice { world, ada, ben, at_ada, nurse, secret, .. } = &practice;
        let (first, next) = (practice.books(ada, MONDAY).await, practice.books(ben, TUESDAY).await);
        let at_ben = practice.device(ben).await;
        practice.writes(first, ada, INTAKE).await.unwrap();

        world.set_clock(MONDAY);
        let [(booking, intake)] = at_ada.intakes().await.unwrap().try_into().ok().unwrap();
        assert_eq!((booking, intake.text.as_str()), (first, INTAKE));
        at_ada.hand_over(first, &intake.reply_key, HANDOVER).await.unwrap();
        // Nobody but the worker says who reads on.
        assert!(at_ben.intakes().await.unwrap().is_empty());

        // Another device, which has the phrase and nothing else.
        let secret = Secret::parse(&secret.to_phrase()).unwrap();
        let client = world.anybody().await.login(secret.login_key()).await.unwrap();
        let notes = Notes::new(client, &secret, practice.known());
        let read = notes.read(first).await.unwrap();
        assert_eq!(read.copy.as_ref().unwrap().as_str(), INTAKE);
        let handover = read.handover.unwrap();
        assert_eq!(*handover, HANDOVER);
        let device = notes.device_key(next, id(&ben.id), practice.now()).await.unwrap();
        notes.write(next, &device, &format!("{INTAKE}\n{}", *handover)).await.unwrap();
        let [(booking, told)] = at_ben.intakes().await.unwrap().try_into().ok().unwrap();
        assert_eq!((booking, told.text.as_str()), (next, format!("{INTAKE}\n{HANDOVER}").as_str()));
        let [(booking, _)] = at_ada.intakes().await.unwrap().try_into().ok().unwrap();
        assert_eq!(booking, first, "Ada is told nothing new");

        // What a thief has of all this, keys that open the database included, is sealed.
        let canaries = [("intake", INTAKE.into()), ("handover", HANDOVER.into()), ("any of it", b"canary: ".to_vec())];
        assert!(search(&files(world, engine), &canaries).is_empty());
        let told = nurse.client.notes().get_notes(v1::GetNotesRequest { booking_id: first.to_string() }).await.unwrap().into_inner();
        let carried = [told.copy, told.handover].concat();
        assert!(search(&carried, &canaries).is_empty());
        assert_eq!(carried.len(), 2 * (63 + 1024), "however much was written");
        // Nor has a thief what the server was sent: that is sealed under the alias's key, which goes with the alias.
        assert!(search(&files(world, engine), &[("as it was sent", carried[..64].to_vec())]).is_empty());
    }

    // The server gives out another key: nothing is sealed to it.
    async fn a_key_that_the_practice_did_not_sign_is_believed_by_no_device(engine: Engine) {
        let practice = Practice::of(engine).await;
        let Practice { world, ada, ben, .. } = &practice;
        let booking = practice.books(ada, MONDAY).await;
        let refused = async || match practice.writes(booking, ada, INTAKE).await.unwrap_err() {
            NotesError::Certificate(error) => error,
            error => panic!("{error}"),
        };
        let [honest] = device_key::Entity::find().all(world.app.db.read()).await.unwrap().try_into().unwrap();
        let lie = async |change: &dyn Fn(&mut device_key::ActiveModel)| {
            let mut row = honest.clone().into_active_model().reset_all();
            change(&mut row);
            row.update(world.app.db.read()).await.unwrap();
        };
        let own = NotesKey::generate();
        lie(&|row| row.public_key = Set(Opaque(own.public().to_bytes().to_vec()))).await;
        assert_eq!(refused().await, CertificateError::Signature);
        let mallory = PracticeKey::from_bytes(&[8; 32]);
        let signed = Certificate::sign(&mallory, id(&ada.id).into_bytes(), &own.public(), in_a_year(world));
        lie(&|row| {
            row.public_key = Set(Opaque(signed.public_key.to_vec()));
            row.signature = Set(Opaque(signed.signature.to_vec()));
        }).await;
        assert_eq!(refused().await, CertificateError::Signature);
        // A colleague's, whom the practice did sign.
        let signed = practice.sign(ben, &own);
        lie(&|row| {
            row.public_key = Set(Opaque(signed.public_key.to_vec()));
            row.signature = Set(Opaque(signed.signature.to_vec()));
        }).await;
        assert_eq!(refused().await, CertificateError::Signature);
        lie(&|row| row.expires_at = Set((time(FRIDAY) + TimeDelta::days(3_000)).into())).await;
        assert_eq!(refused().await, CertificateError::Signature, "for longer than it was signed");
        lie(&|_| {}).await;
        practice.writes(booking, ada, INTAKE).await.unwrap();
        // A device's clock says more than the server's.
        let late = practice.notes().device_key(booking, id(&ada.id), in_a_year(world)).await.unwrap_err();
        assert!(matches!(late, NotesError::Certificate(CertificateError::Expired)));
        // A therapist's device adds no key that others would refuse.
        let unsigned = Certificate { signature: [0; 64], ..practice.sign(ada, &own) };
        let mine = DeviceNotes::new(ada.client.clone(), own);
        assert!(mine.register(&unsigned, &practice.known(), id(&ada.id), practice.now()).await.is_err());
        let other = practice.sign(ada, &NotesKey::generate());
        assert!(mine.register(&other, &practice.known(), id(&ada.id), practice.now()).await.is_err(), "not this device's");
    }

    async fn a_note_belongs_to_one_booking(engine: Engine) {
        let practice = Practice::of(engine).await;
        let Practice { world, ada, ben, at_ada, nurse, .. } = &practice;
        let booking = practice.books(ada, MONDAY).await;
        let later = practice.books(ada, "2026-03-23T12:00:00Z").await;
        let with_ben = practice.books(ben, TUESDAY).await;
        let at_ben = practice.device(ben).await;
        let notes = practice.notes();
        let device = notes.device_key(booking, id(&ada.id), practice.now()).await.unwrap();
        let of_ben = notes.device_key(with_ben, id(&ben.id), practice.now()).await.unwrap();
        notes.write(booking, &device, INTAKE).await.unwrap();

        // Neither therapist can be given what was meant for the other.
        assert_eq!(reason(notes.write(booking, &of_ben, INTAKE).await), "DEVICE_KEY_NOT_LIVE");
        assert_eq!(reason(notes.write(with_ben, &device, INTAKE).await), "DEVICE_KEY_NOT_LIVE");

        // A note that was written for one session is put to another: it does not open there.
        let key = NotesKey::from_seed(&[1; 32]);
        let misplaced = v1::PutIntakeRequest {
            request_id: request_id(),
            booking_id: later.to_string(),
            intake: device.seal_intake(booking.into_bytes(), INTAKE, &key.public()).unwrap(),
            copy: practice.secret.notes_key().seal_copy(booking.into_bytes(), INTAKE).unwrap(),
        };
        nurse.client.notes().put_intake(misplaced.clone()).await.unwrap();
        assert!(matches!(at_ada.intakes().await, Err(NotesError::Open(OpenError::Changed))));
        assert!(matches!(notes.read(later).await, Err(NotesError::Open(OpenError::Changed))));
        // B3: said again, it is done once.
        nurse.client.notes().put_intake(misplaced).await.unwrap();
        notes.delete(later).await.unwrap();

        // What is somebody else's is not there.
        let stranger = world.worker().await;
        let before = world.fingerprint().await;
        let asks = |client: &client::Client| client.notes();
        let booking_id = || booking.to_string();
        let sealed = device.seal_intake(booking.into_bytes(), "x", &key.public()).unwrap();
        let put = v1::PutIntakeRequest { request_id: request_id(), booking_id: booking_id(), intake: sealed.clone(), copy: sealed.clone() };
        not_found(asks(&stranger.client).put_intake(put).await);
        not_found(asks(&stranger.client).get_notes(v1::GetNotesRequest { booking_id: booking_id() }).await);
        not_found(asks(&stranger.client).get_device_key(v1::GetDeviceKeyRequest { booking_id: booking_id() }).await);
        not_found(asks(&stranger.client).delete_notes(v1::DeleteNotesRequest { request_id: request_id(), booking_id: booking_id() }).await);
        let hand_over = v1::PutHandoverRequest { request_id: request_id(), booking_id: booking_id(), handover: sealed };
        not_found(asks(&ben.client).put_handover(hand_over.clone()).await);
        let [mine] = asks(&ada.client).list_device_keys(v1::ListDeviceKeysRequest {}).await.unwrap().into_inner().device_keys.try_into().unwrap();
        not_found(asks(&ben.client).delete_device_key(v1::DeleteDeviceKeyRequest { request_id: request_id(), device_key_id: mine.id }).await);
        assert!(at_ben.intakes().await.unwrap().is_empty());
        assert!(world.fingerprint().await == before, "a refused call changed something");

        // A session that is cancelled has no intake, and takes none.
        let cancelled = nurse.books(ada, "2026-03-23T14:00:00Z").await.unwrap();
        notes.write(id(&cancelled.id), &device, INTAKE).await.unwrap();
        assert_eq!(at_ada.intakes().await.unwrap().len(), 2);
        nurse.cancels(&cancelled).await;
        assert_eq!(at_ada.intakes().await.unwrap().len(), 1);
        assert_eq!(reason(notes.write(id(&cancelled.id), &device, INTAKE).await), "WRONG_STATE");
        assert_eq!(notes.read(id(&cancelled.id)).await.unwrap().copy.unwrap().as_str(), INTAKE, "it stays the worker's");

        // Each at its time.
        assert_eq!(reason(at_ada.hand_over(booking, &key.public(), HANDOVER).await), "SESSION_NOT_BEGUN");
        world.set_clock("2026-03-23T10:50:00Z");
        assert_eq!(reason(notes.write(booking, &device, INTAKE).await), "NOTE_TOO_LATE");
        world.set_clock("2026-04-22T10:49:59Z");
        at_ada.hand_over(booking, &key.public(), HANDOVER).await.unwrap();
        world.set_clock("2026-04-22T10:50:00Z");
        assert_eq!(reason(at_ada.hand_over(booking, &key.public(), HANDOVER).await), "NOTE_TOO_LATE");
    }

    async fn notes_go_when_the_worker_says_so_and_when_they_have_served(engine: Engine) {
        let practice = Practice::of(engine).await;
        let Practice { world, ada, at_ada, nurse, .. } = &practice;
        let (booking, other) = (practice.books(ada, MONDAY).await, practice.books(ada, "2026-03-23T12:00:00Z").await);
        for session in [booking, other] {
            practice.writes(session, ada, INTAKE).await.unwrap();
        }
        world.set_clock("2026-03-23T12:00:00Z");
        for (session, intake) in at_ada.intakes().await.unwrap() {
            at_ada.hand_over(session, &intake.reply_key, HANDOVER).await.unwrap();
        }
        assert_eq!(practice.kept().await, 6);
        practice.notes().delete(other).await.unwrap();
        assert_eq!(practice.kept().await, 3);
        assert_eq!(at_ada.intakes().await.unwrap().len(), 1);

        for (day, kept) in [("2026-04-22T10:49:59Z", 3), ("2026-04-22T10:50:00Z", 2), ("2027-03-26T09:59:59Z", 2), ("2027-03-26T10:00:00Z", 0)] {
            world.set_clock(day);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(practice.kept().await, kept, "{day}");
        }
        // The device's key expired with its year.
        assert_eq!(world.count("select count(*) from device_key").await, 0);

        let device = practice.device(ada).await;
        let booking = practice.books(ada, "2027-04-05T10:00:00Z").await;
        practice.writes(booking, ada, INTAKE).await.unwrap();
        world.set_clock("2027-04-05T10:00:00Z");
        let [(_, intake)] = device.intakes().await.unwrap().try_into().ok().unwrap();
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(practice.kept().await, 0);
        assert!(device.intakes().await.unwrap().is_empty());
        assert_eq!(reason(device.hand_over(booking, &intake.reply_key, HANDOVER).await), "NOT_FOUND");
    }

    async fn a_lost_device_is_taken_back(engine: Engine) {
        let practice = Practice::of(engine).await;
        let Practice { world, ada, at_ada, .. } = &practice;
        let booking = practice.books(ada, MONDAY).await;
        let notes = practice.notes();
        let lost = notes.device_key(booking, id(&ada.id), practice.now()).await.unwrap();
        world.pass(TimeDelta::hours(1));
        // A newer key expires later, and is the one that is given out.
        let new = practice.device(ada).await;
        let device = notes.device_key(booking, id(&ada.id), practice.now()).await.unwrap();
        assert_ne!(device.public().fingerprint(), lost.public().fingerprint());
        let keys = async || ada.client.notes().list_device_keys(v1::ListDeviceKeysRequest {}).await.unwrap().into_inner().device_keys;
        let listed = keys().await;
        assert_eq!(listed.iter().map(|key| key.public_key.clone()).collect::<Vec<_>>(), [device, lost].map(|key| key.public().to_bytes().to_vec()));
        // While it is not taken back, what was sealed to it is taken.
        notes.write(booking, &lost, INTAKE).await.unwrap();
        assert_eq!((at_ada.intakes().await.unwrap().len(), new.intakes().await.unwrap().len()), (1, 0));
        let request = v1::DeleteDeviceKeyRequest { request_id: request_id(), device_key_id: listed[1].id.clone() };
        ada.client.notes().delete_device_key(request).await.unwrap();
        assert_eq!(reason(notes.write(booking, &lost, INTAKE).await), "DEVICE_KEY_NOT_LIVE");
        notes.write(booking, &device, INTAKE).await.unwrap();
        assert_eq!((at_ada.intakes().await.unwrap().len(), new.intakes().await.unwrap().len()), (0, 1));

        for _ in 1..5 {
            practice.device(ada).await;
        }
        let sixth = NotesKey::generate();
        let signed = practice.sign(ada, &sixth);
        let sixth = DeviceNotes::new(ada.client.clone(), sixth);
        let refused = sixth.register(&signed, &practice.known(), id(&ada.id), practice.now()).await;
        assert_eq!(reason(refused), "TOO_MANY_DEVICE_KEYS");
        assert_eq!(keys().await.len(), 5);
        let ends = practice.now() + 365 * 86_400;
        world.pass(TimeDelta::seconds(ends - practice.now()));
        assert!(keys().await.is_empty(), "expired");
    }
}

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn now(world: &World) -> i64 {
    world.app.clock.now().timestamp()
}

fn in_a_year(world: &World) -> i64 {
    now(world) + 365 * 86_400
}

#[track_caller]
fn reason(answer: Result<(), NotesError>) -> String {
    match answer.unwrap_err() {
        NotesError::Call(error) => error.refusal().unwrap().reason.clone(),
        error => panic!("{error}"),
    }
}

#[track_caller]
fn not_found<A>(answer: Result<Response<A>, Status>) {
    let refused = Refusal::from(answer.err().expect("a refusal"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}
