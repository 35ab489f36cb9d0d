//! What is somebody's, and a world in which there is one of each.

use api::v1::{self, alias_service_client::AliasServiceClient};
use chrono::{DateTime, TimeDelta, Utc};
use client::{Client, Secret, SigningKey, request_id};
use e2e::{
    Engine, Therapist, Worker, World, channel, date,
    hospital::{self, Hospital},
    hours_of, minutes, profile, sign_in, span, timestamp, with_token,
};
use pass::Issuer;
use sea_orm::{ActiveModelTrait, IntoActiveModel};
use sha2::{Digest, Sha256};
use store::{AliasId, CreditId, List, ProgrammeId, credit, report};

use super::{
    BERLIN, public,
    visitors::Visitor::{
        self, AliasA, AliasB, ManagerA, ManagerB, Operator, TherapistA, TherapistB, TherapistC,
    },
};

/// What a call can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// A slot that the alias holds with the therapist: the alias's alone.
    Hold,
    /// A session to come.
    Booking,
    /// A session that is over.
    PastBooking,
    /// The session that is going on.
    CurrentBooking,
    /// What the therapist offers.
    SessionType,
    /// A day of other hours.
    DateOverride,
    /// An absence.
    TimeOff,
    /// A calendar from elsewhere.
    BusyFeed,
    /// Of the therapist, not verified yet.
    Credential,
    /// Of a device of the therapist's.
    DeviceKey,
    /// The therapist whom nobody has verified yet.
    Newcomer,
    /// A programme, which is the operators' to hand over.
    Programme,
    /// The key of a manager's programme.
    ProgrammeKey,
    /// What another operator asked for in an emergency.
    Emergency,
    /// What the operator asked for, and another agreed to.
    ApprovedEmergency,
}

impl Object {
    /// For whom it is there. For everybody else it is as if it were not.
    pub(super) fn owners(self) -> &'static [Visitor] {
        match self {
            Self::Hold => &[AliasA],
            Self::Booking | Self::PastBooking | Self::CurrentBooking => &[AliasA, TherapistA],
            Self::SessionType | Self::DateOverride | Self::TimeOff | Self::BusyFeed | Self::DeviceKey => {
                &[TherapistA]
            }
            Self::Credential => &[TherapistA, Operator],
            Self::Newcomer => &[TherapistC, Operator],
            Self::Programme | Self::Emergency | Self::ApprovedEmergency => &[Operator],
            Self::ProgrammeKey => &[ManagerA],
        }
    }

    /// Whether nobody but the owners may so much as read its id.
    pub(super) fn is_secret(self) -> bool {
        match self {
            // Offered by searches; given out with bookings; told to everybody; listed in the log of keys; told to the
            // worker whom it is about.
            Self::SessionType
            | Self::DeviceKey
            | Self::Programme
            | Self::ProgrammeKey
            | Self::Emergency
            | Self::ApprovedEmergency => false,
            Self::Hold
            | Self::Booking
            | Self::PastBooking
            | Self::CurrentBooking
            | Self::DateOverride
            | Self::TimeOff
            | Self::BusyFeed
            | Self::Credential
            | Self::Newcomer => true,
        }
    }
}

/// When everything is made.
const FRIDAY: &str = "2026-03-20T09:00:00Z";
/// When everybody calls: during a session.
const MONDAY: &str = "2026-03-23T09:05:00Z";
pub(super) const WEEK: &str =
    "Mon 08:00-20:00, Tue 08:00-20:00, Wed 08:00-20:00, Thu 08:00-20:00, Fri 08:00-20:00";
/// When sessions begin that are over on Monday.
const PAST: [&str; 2] = ["2026-03-23T07:00:00Z", "2026-03-23T08:00:00Z"];
/// When those begin that are to come: on the hour, twelve a day.
const TO_COME: &str = "2026-03-24T07:00:00Z";
const NURSES_EMAIL: &str = "nurse@example.org";
/// Of her roster.
const NURSES_ZONE: &str = "Europe/Vienna";
/// What the first manager's hospital was told of.
const QUARTER: &str = "2025-Q4";
/// What the intake of the session that is going on is made of.
const INTAKE: u8 = 0xa5;
/// The public key of every therapist's device.
const DEVICE: [u8; 32] = [9; 32];

/// A world in which everybody has what the calls are about.
pub(super) struct Scene {
    pub(super) world: World,
    /// Whom the first alias sees.
    pub(super) ada: Therapist,
    /// Whom it does not.
    pub(super) ben: Therapist,
    /// Whom nobody has verified yet.
    pub(super) cleo: Therapist,
    /// Keys that a hospital can publish: of the first, and of the other.
    pub(super) next: [Issuer; 2],
    nurse: Worker,
    porter: Worker,
    hospital: Hospital,
    other_hospital: Hospital,
    operator: SigningKey,
    current: v1::Booking,
    /// A booking of a third alias's, for whom somebody fears.
    alarming: v1::Booking,
    /// The programme that owes the first alias a session.
    paying: String,
    past: usize,
    to_come: i64,
    /// Tokens that are no more.
    ended: Vec<(Visitor, String)>,
}

impl Scene {
    /// The world with these objects in it, and the id of each of them.
    pub(super) async fn with(engine: Engine, objects: &[Object]) -> (Self, Vec<Vec<u8>>) {
        let world = World::at(engine, FRIDAY).await;
        let licensed = |name: &str| {
            let mut profile = profile(name, BERLIN);
            profile.credentials[0].licence_number = licence(name);
            profile
        };
        let ada = world.therapist_like(licensed("Ada")).await.works(WEEK).await;
        let ben = world.therapist_like(licensed("Ben")).await.works(WEEK).await;
        let cleo = world.newcomer(licensed("Cleo")).await.0.works(WEEK).await;
        world.calendars.publish(CALENDAR, "BEGIN:VCALENDAR\nEND:VCALENDAR\n");
        for therapist in [&ada, &ben, &cleo] {
            let key = device_key(world.app.clock.now());
            therapist.client.notes().create_device_key(key).await.unwrap();
        }
        let (nurse, porter) = (world.worker().await, world.worker().await);
        for (worker, email, zone) in
            [(&nurse, NURSES_EMAIL, NURSES_ZONE), (&porter, "porter@example.org", BERLIN)]
        {
            worker.works(zone, &[("2026-03-21T20:00:00Z", "2026-03-22T05:00:00Z")], "2026-04-30").await;
            worker.reached_at(&world, email, "en", v1::ReminderLevel::Time).await;
        }
        let hospital = world.hospital(hospital::programme()).await;
        let other_hospital = world.hospital(hospital::programme()).await;
        let operator = Secret::generate().login_key();
        services::operators::create(&world.app, "the second", &public(&operator)).await.unwrap();
        let current = nurse.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        let intake = v1::PutIntakeRequest {
            request_id: request_id(),
            booking_id: current.id.clone(),
            intake: note(INTAKE),
            copy: note(0),
        };
        nurse.client.notes().put_intake(intake).await.unwrap();
        let third = world.worker().await;
        third.reached_at(&world, "third@example.org", "en", v1::ReminderLevel::Time).await;
        let alarming = third.books(&ben, "2026-03-27T07:00:00Z").await.unwrap();
        let paying = create_programme(&world).await;
        by_the_server_itself(&world, &hospital.id, &nurse.id, &paying).await;

        let mut scene = Self {
            next: [Issuer::generate(), Issuer::generate()],
            world,
            ada,
            ben,
            cleo,
            nurse,
            porter,
            hospital,
            other_hospital,
            operator,
            current,
            alarming,
            paying,
            past: 0,
            to_come: 0,
            ended: Vec::new(),
        };
        let mut ids = vec![Vec::new(); objects.len()];
        let lasting =
            |object| !matches!(object, Object::Hold | Object::Emergency | Object::ApprovedEmergency);
        for (id, object) in ids.iter_mut().zip(objects).filter(|(_, object)| lasting(**object)) {
            *id = scene.make(*object).await;
        }
        let expired = scene.sign_in(&scene.porter.key).await;
        scene.world.set_clock(MONDAY);
        for (id, object) in ids.iter_mut().zip(objects).filter(|(_, object)| !lasting(**object)) {
            *id = scene.make(*object).await;
        }

        let mut service = AliasServiceClient::new(channel(scene.world.address).await);
        let logged_out = scene.sign_in(&scene.nurse.key).await;
        service.logout(with_token(v1::LogoutRequest {}, &logged_out)).await.unwrap();
        let erased = scene.sign_in(&scene.world.worker().await.key).await;
        service.erase_alias(with_token(v1::EraseAliasRequest {}, &erased)).await.unwrap();
        scene.ended =
            vec![(Visitor::Expired, expired), (Visitor::LoggedOut, logged_out), (Visitor::Erased, erased)];
        (scene, ids)
    }

    /// What the visitor brings.
    pub(super) async fn token(&self, visitor: Visitor) -> Option<String> {
        let key = match visitor {
            Visitor::Anonymous => return None,
            Visitor::Malformed => return Some("ct1_?".to_owned()),
            Visitor::Unknown => return Some("ct1_".to_owned() + &"A".repeat(43)),
            Visitor::Expired | Visitor::LoggedOut | Visitor::Erased => {
                let ended = self.ended.iter().find(|(ended, _)| *ended == visitor);
                return ended.map(|(_, token)| token.clone());
            }
            AliasA => &self.nurse.key,
            AliasB => &self.porter.key,
            TherapistA => &self.ada.key,
            TherapistB => &self.ben.key,
            TherapistC => &self.cleo.key,
            Operator => &self.operator,
            ManagerA => &self.hospital.key,
            ManagerB => &self.other_hospital.key,
        };
        Some(self.sign_in(key).await)
    }

    /// The programme of the first manager.
    pub(super) fn programme(&self) -> &str {
        &self.hospital.id
    }

    async fn sign_in(&self, key: &SigningKey) -> String {
        sign_in(&channel(self.world.address).await, key).await
    }

    /// What these visitors are told, and nobody else.
    pub(super) fn secrets(&self) -> Vec<(Vec<u8>, &'static [Visitor])> {
        let texts: [(&str, &[Visitor]); 8] = [
            (&self.nurse.id, &[AliasA]),
            (&self.nurse.handle, &[AliasA]),
            (NURSES_EMAIL, &[AliasA]),
            (NURSES_ZONE, &[AliasA]),
            (&self.paying, &[AliasA, Operator]),
            (&licence("Ada"), &[TherapistA, Operator]),
            (&licence("Cleo"), &[TherapistC, Operator]),
            (QUARTER, &[ManagerA]),
        ];
        let texts = texts.map(|(text, owners)| (text.as_bytes().to_vec(), owners));
        texts.into_iter().chain([(note(INTAKE), [TherapistA].as_slice())]).collect()
    }

    /// Makes one, or says which one there is, as a request names it.
    async fn make(&mut self, object: Object) -> Vec<u8> {
        let ada = &self.ada;
        let availability = || ada.client.availability();
        let id = match object {
            Object::Hold => {
                self.to_come += 1;
                self.nurse.holds(ada, &hour(self.to_come - 1)).await.unwrap().id
            }
            Object::Booking => {
                self.to_come += 1;
                self.nurse.books(ada, &hour(self.to_come - 1)).await.unwrap().id
            }
            Object::PastBooking => {
                self.past += 1;
                self.nurse.books(ada, PAST[self.past - 1]).await.unwrap().id
            }
            Object::CurrentBooking => self.current.id.clone(),
            Object::SessionType => {
                let session_type = Some(fifty_minutes());
                let wanted = v1::CreateSessionTypeRequest { request_id: request_id(), session_type };
                let created = availability().create_session_type(wanted).await.unwrap().into_inner();
                created.session_type.unwrap().id
            }
            Object::DateOverride => {
                let wanted = date_override("2026-03-26");
                let created = availability().create_date_override(wanted).await.unwrap().into_inner();
                created.date_override.unwrap().id
            }
            Object::TimeOff => {
                availability().create_time_off(time_off()).await.unwrap().into_inner().time_off.unwrap().id
            }
            Object::BusyFeed => {
                let created = availability().create_busy_feed(busy_feed()).await.unwrap().into_inner();
                created.busy_feed.unwrap().id
            }
            Object::Credential => {
                let created = ada.client.directory().create_credential(credential("")).await.unwrap();
                created.into_inner().credential.unwrap().id
            }
            Object::DeviceKey => {
                let key = device_key(self.world.app.clock.now());
                let created = ada.client.notes().create_device_key(key).await.unwrap().into_inner();
                created.device_key.unwrap().id
            }
            Object::Newcomer => self.cleo.id.clone(),
            Object::Programme => create_programme(&self.world).await,
            Object::ProgrammeKey => {
                return self.hospital.publishes("2026-04-01", "2026-06-30").await.unwrap().key_id;
            }
            Object::Emergency => self.asks(&self.world.operator().await).await,
            Object::ApprovedEmergency => {
                let own = self.world.anybody().await.login(self.operator.clone()).await.unwrap();
                let emergency_access_id = self.asks(&own).await;
                let request = v1::ApproveEmergencyAccessRequest {
                    request_id: request_id(),
                    emergency_access_id: emergency_access_id.clone(),
                };
                self.world.operator().await.accesses().approve_emergency_access(request).await.unwrap();
                emergency_access_id
            }
        };
        id.into_bytes()
    }

    /// An operator asks in an emergency.
    async fn asks(&self, operator: &Client) -> String {
        let asked = operator.accesses().request_emergency_access(self.emergency()).await.unwrap();
        asked.into_inner().emergency_access_id
    }

    pub(super) fn emergency(&self) -> v1::RequestEmergencyAccessRequest {
        v1::RequestEmergencyAccessRequest {
            request_id: request_id(),
            booking_id: self.alarming.id.clone(),
            reason: v1::EmergencyReason::Medical.into(),
        }
    }
}

async fn create_programme(world: &World) -> String {
    let created = world.operator().await.programmes().create_programme(programme()).await;
    created.unwrap().into_inner().programme.unwrap().id
}

/// A report and a credit, which come of months of sessions that were paid for.
async fn by_the_server_itself(world: &World, reported: &str, owed: &str, paying: &str) {
    let db = world.app.db.read();
    let report = report::Model {
        programme_id: ProgrammeId(reported.parse().unwrap()),
        year: 2025,
        quarter: 4,
        sessions: Some(10),
        year_by_modality: List(Vec::new()),
    };
    report.publish(db).await.unwrap();
    let credit = credit::Model {
        id: CreditId::random(),
        alias_id: AliasId(owed.parse().unwrap()),
        programme_id: ProgrammeId(paying.parse().unwrap()),
        first_date: "2026-01-01".parse().unwrap(),
        last_date: "2026-06-30".parse().unwrap(),
    };
    credit.into_active_model().insert(db).await.unwrap();
}

/// Of the shape that devices seal, to the key of the therapist's, and made of one byte.
pub(super) fn note(of: u8) -> Vec<u8> {
    let key_id = &Sha256::digest(DEVICE)[..8];
    [&[1, 0, 0x20, 0, 1, 0, 3], key_id, &[of; 32 + 16 + 1024]].concat()
}

/// The number of a licence, which is told to the therapist and to operators.
fn licence(name: &str) -> String {
    format!("PT-4711-{name}")
}

/// When the therapist's next free hour begins.
fn hour(nth: i64) -> String {
    let start: DateTime<Utc> = TO_COME.parse().unwrap();
    (start + TimeDelta::days(nth / 12) + TimeDelta::hours(nth % 12)).to_rfc3339()
}

/// Where the calendar from elsewhere is.
const CALENDAR: &str = "https://calendars.example.org/1.ics";

pub(super) fn fifty_minutes() -> v1::SessionType {
    v1::SessionType {
        id: String::new(),
        display_name: "session".to_owned(),
        duration: Some(minutes(50)),
        buffer_before: None,
        buffer_after: None,
        modalities: vec![v1::Modality::Video.into()],
        grid_interval: Some(minutes(30)),
        grid_offset: None,
        load_weight: 1,
    }
}

pub(super) fn date_override(day: &str) -> v1::CreateDateOverrideRequest {
    let date_override = v1::DateOverride {
        id: String::new(),
        date: Some(date(day)),
        kind: v1::DateOverrideKind::Add.into(),
        hours: vec![hours_of("10:00-12:00")],
    };
    v1::CreateDateOverrideRequest { request_id: request_id(), date_override: Some(date_override) }
}

pub(super) fn time_off() -> v1::CreateTimeOffRequest {
    let span = Some(span("2026-04-06T06:00:00Z", "2026-04-07T06:00:00Z"));
    let time_off = Some(v1::TimeOff { id: String::new(), span });
    v1::CreateTimeOffRequest { request_id: request_id(), time_off }
}

pub(super) fn busy_feed() -> v1::CreateBusyFeedRequest {
    let busy_feed = v1::BusyFeed {
        display_name: "clinic".to_owned(),
        feed_uri: CALENDAR.to_owned(),
        ..Default::default()
    };
    v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(busy_feed) }
}

pub(super) fn credential(therapist_id: &str) -> v1::CreateCredentialRequest {
    let credential = profile("", BERLIN).credentials.pop();
    v1::CreateCredentialRequest {
        request_id: request_id(),
        therapist_id: therapist_id.to_owned(),
        credential,
    }
}

pub(super) fn device_key(now: DateTime<Utc>) -> v1::CreateDeviceKeyRequest {
    let device_key = v1::DeviceKey {
        id: String::new(),
        public_key: DEVICE.to_vec(),
        expire_time: Some(timestamp(now + TimeDelta::days(300))),
        signature: vec![1; 64],
    };
    v1::CreateDeviceKeyRequest { request_id: request_id(), device_key: Some(device_key) }
}

pub(super) fn programme() -> v1::CreateProgrammeRequest {
    v1::CreateProgrammeRequest {
        request_id: request_id(),
        programme: Some(hospital::programme()),
        public_key: public(&Secret::generate().login_key()),
    }
}
