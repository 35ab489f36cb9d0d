//! What each call names, and a request of it that is taken.
//!
//! **A new call needs one row**, under its service:
//! * `Nothing` if its request has no field for an id: it is about the caller's own, or about nobody;
//! * `Anybodys` with a few words if it has one that is for everybody to name, or is not looked at;
//! * `This(object)` if what it names is somebody's. What no object here stands for yet becomes an `Object`, with its
//!   owners, and `Scene::make` makes one. Of a call that names several things, each has a row.
//!
//! Then comes a request that is taken: of whoever may make the call, and names their own. `case.id()` is what it names.
//! Where what it takes cannot be had here, `.refused` says how it is refused; that is not how strangers are.
//!
//! What reads is called first. What changes something is called in the order of the rows: what ends something comes after
//! what needs it.

use api::v1::{self, link_identity_request::Staff};
use client::{Secret, request_id};
use e2e::{
    Worker, date, hospital::Hospital, hours_of, minutes, profile, span, time, timestamp, weekly_windows,
};
use prost::Message;
use prost_types::FieldMask;
use services::Policy;
use tonic::Code;

use super::{
    BERLIN,
    objects::{
        Object::{self, *},
        Scene, WEEK, busy_feed, credential, date_override, device_key, fifty_minutes, note, programme,
        time_off,
    },
    public,
    visitors::Visitor,
};
use Names::*;

/// A call, what it names, and how.
pub(super) struct Row {
    call: &'static str,
    pub(super) names: Names,
    pub(super) request: fn(&Case) -> Vec<u8>,
    /// How it is refused even so, if it is.
    pub(super) refused: Option<(Code, &'static str)>,
}

/// What a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// It has no field for an id.
    Nothing,
    /// It has one, and whatever is in it is nobody's own; why.
    Anybodys(&'static str),
    /// Something of its owners'.
    This(Object),
}

/// One call of one visitor.
pub(super) struct Case<'a> {
    pub(super) visitor: Visitor,
    /// What it names.
    pub(super) named: &'a [u8],
    pub(super) scene: &'a Scene,
}

impl Case<'_> {
    fn id(&self) -> String {
        String::from_utf8(self.named.to_vec()).unwrap()
    }

    /// Whether the visitor is not the one whose things the objects are, but another of the kind.
    fn is_other(&self) -> bool {
        matches!(self.visitor, Visitor::AliasB | Visitor::TherapistB | Visitor::ManagerB)
    }
}

impl Row {
    /// As a client calls it.
    pub(super) fn path(&self) -> String {
        format!("/respite.v1.{}", self.call)
    }

    /// Whether the call changes nothing even when it is answered.
    pub(super) fn reads(&self) -> bool {
        let (_, method) = self.call.split_once('/').unwrap();
        ["Get", "List", "Search", "Preview", "Watch", "Export"].iter().any(|verb| method.starts_with(verb))
    }

    /// Whether answers come for as long as somebody listens.
    pub(super) fn is_endless(&self) -> bool {
        self.call == "SlotService/WatchSlots"
    }

    /// Whether its caller is somebody else afterwards, or nobody.
    pub(super) fn ends_the_caller(&self) -> bool {
        ["AliasService/Logout", "AliasService/EraseAlias"].contains(&self.call)
    }

    /// Whether what it is answered is the caller's own to change. What anybody is told, or is offered, others change, too,
    /// and these two tell that their caller has signed in again.
    pub(super) fn is_private(&self, policy: Policy) -> bool {
        let offers = ["SlotService/SearchSlots", "SlotService/WatchSlots"].contains(&self.call);
        let signs_in = ["AccessService/ListAccesses", "AliasService/ExportAlias"].contains(&self.call);
        let anybodys =
            matches!(policy, Policy::Open | Policy::OpenToStaff | Policy::Public | Policy::Operator);
        !offers && !signs_in && !anybodys
    }

    const fn refused(self, code: Code, reason: &'static str) -> Self {
        Self { refused: Some((code, reason)), ..self }
    }
}

const fn row(call: &'static str, names: Names, request: fn(&Case) -> Vec<u8>) -> Row {
    Row { call, names, request, refused: None }
}

const SERVERS: Names = Anybodys("what is made gets its id from the server");
const OPEN: Names = Anybodys("everybody may know it");
const FILTER: Names = Anybodys("whoever is not there, or not for the caller, is not found");

/// Every call.
pub(super) const TABLE: &[Row] = &[
    row("AccessService/ListAccesses", Nothing, |_| bytes(&v1::ListAccessesRequest {})),
    row(
        "AccessService/RequestEmergencyAccess",
        Anybodys("operators may, for whomever somebody fears"),
        |case| bytes(&case.scene.emergency()),
    ),
    row("AccessService/ListEmergencyAccesses", Nothing, |_| {
        bytes(&v1::ListEmergencyAccessesRequest::default())
    }),
    row("AccessService/ApproveEmergencyAccess", This(Emergency), |case| {
        bytes(&v1::ApproveEmergencyAccessRequest { request_id: request_id(), emergency_access_id: case.id() })
    }),
    row("AccessService/ReadEmergencyContact", This(ApprovedEmergency), |case| {
        bytes(&v1::ReadEmergencyContactRequest { emergency_access_id: case.id() })
    }),
    row("AliasService/BeginCreateAlias", Nothing, |_| {
        bytes(&v1::BeginCreateAliasRequest { public_key: new_key() })
    }),
    row("AliasService/CreateAlias", Nothing, |_| {
        let (challenge, signature) = (vec![1; 56], vec![1; 64]);
        bytes(&v1::CreateAliasRequest {
            public_key: new_key(),
            challenge,
            proof_of_work: vec![1; 8],
            signature,
        })
    })
    .refused(Code::Unauthenticated, "CHALLENGE_INVALID"),
    row("AliasService/BeginLogin", Nothing, |_| bytes(&v1::BeginLoginRequest { public_key: new_key() })),
    row("AliasService/FinishLogin", Nothing, |_| {
        bytes(&v1::FinishLoginRequest {
            public_key: new_key(),
            challenge: vec![1; 56],
            signature: vec![1; 64],
        })
    })
    .refused(Code::Unauthenticated, "LOGIN_REFUSED"),
    // Nobody has set up a provider.
    row("AliasService/BeginIdTokenLogin", Nothing, |_| bytes(&v1::BeginIdTokenLoginRequest {}))
        .refused(Code::FailedPrecondition, "LOGINS_NOT_ACCEPTED"),
    row("AliasService/FinishIdTokenLogin", Nothing, |_| {
        bytes(&v1::FinishIdTokenLoginRequest { challenge: vec![1; 56], id_token: "a.b.c".to_owned() })
    })
    .refused(Code::FailedPrecondition, "LOGINS_NOT_ACCEPTED"),
    row("AliasService/LinkIdentity", This(Newcomer), |case| bytes(&unlink(Staff::TherapistId(case.id())))),
    row("AliasService/LinkIdentity", This(Programme), |case| bytes(&unlink(Staff::ProgrammeId(case.id())))),
    row("AliasService/GetAlias", Nothing, |_| bytes(&v1::GetAliasRequest {})),
    row("AliasService/UpdateAlias", Nothing, |_| {
        let settings = Some(v1::AliasSettings { commute: Some(minutes(20)), ..Default::default() });
        bytes(&v1::UpdateAliasRequest { request_id: request_id(), settings, update_mask: None })
    }),
    row("AliasService/SetExclusionTags", Nothing, |_| {
        let exclusion_tags = vec!["St. Ada".to_owned()];
        bytes(&v1::SetExclusionTagsRequest { request_id: request_id(), exclusion_tags })
    }),
    row("AliasService/ExportAlias", Nothing, |_| bytes(&v1::ExportAliasRequest {})),
    row("AuditService/ListAuditEntries", Nothing, |_| bytes(&v1::ListAuditEntriesRequest::default())),
    row("AvailabilityService/GetSchedule", Nothing, |_| bytes(&v1::GetScheduleRequest {})),
    row("AvailabilityService/UpdateSchedule", Nothing, |_| {
        let schedule = v1::Schedule {
            time_zone: BERLIN.to_owned(),
            windows: weekly_windows(WEEK),
            minimum_notice: Some(minutes(30)),
            horizon: Some(v1::schedule::Horizon::HorizonDays(90)),
            ..Default::default()
        };
        bytes(&v1::UpdateScheduleRequest { request_id: request_id(), schedule: Some(schedule) })
    }),
    row("AvailabilityService/ListSessionTypes", Nothing, |_| bytes(&v1::ListSessionTypesRequest {})),
    row("AvailabilityService/CreateSessionType", SERVERS, |case| {
        let id = case.scene.ada.session_type_id.clone();
        let session_type = Some(v1::SessionType { id, ..fifty_minutes() });
        bytes(&v1::CreateSessionTypeRequest { request_id: request_id(), session_type })
    }),
    row("AvailabilityService/PreviewAvailability", This(SessionType), |case| {
        let window = Some(span("2026-03-24T00:00:00Z", "2026-03-25T00:00:00Z"));
        bytes(&v1::PreviewAvailabilityRequest { session_type_id: case.id(), window })
    }),
    row("AvailabilityService/UpdateSessionType", This(SessionType), |case| {
        let session_type = Some(v1::SessionType { id: case.id(), load_weight: 2, ..fifty_minutes() });
        bytes(&v1::UpdateSessionTypeRequest { request_id: request_id(), session_type })
    }),
    row("AvailabilityService/DeleteSessionType", This(SessionType), |case| {
        bytes(&v1::DeleteSessionTypeRequest { request_id: request_id(), session_type_id: case.id() })
    }),
    row("AvailabilityService/ListDateOverrides", Nothing, |_| bytes(&v1::ListDateOverridesRequest {})),
    row("AvailabilityService/CreateDateOverride", SERVERS, |_| bytes(&date_override("2026-03-28"))),
    row("AvailabilityService/DeleteDateOverride", This(DateOverride), |case| {
        bytes(&v1::DeleteDateOverrideRequest { request_id: request_id(), date_override_id: case.id() })
    }),
    row("AvailabilityService/ListTimeOff", Nothing, |_| bytes(&v1::ListTimeOffRequest {})),
    row("AvailabilityService/CreateTimeOff", SERVERS, |_| bytes(&time_off())),
    row("AvailabilityService/DeleteTimeOff", This(TimeOff), |case| {
        bytes(&v1::DeleteTimeOffRequest { request_id: request_id(), time_off_id: case.id() })
    }),
    row("AvailabilityService/ListBusyFeeds", Nothing, |_| bytes(&v1::ListBusyFeedsRequest {})),
    row("AvailabilityService/CreateBusyFeed", SERVERS, |_| bytes(&busy_feed())),
    row("AvailabilityService/DeleteBusyFeed", This(BusyFeed), |case| {
        bytes(&v1::DeleteBusyFeedRequest { request_id: request_id(), busy_feed_id: case.id() })
    }),
    row("AvailabilityService/GetLoad", Nothing, |_| {
        let (start_date, end_date) = (Some(date("2026-03-01")), Some(date("2026-03-31")));
        bytes(&v1::GetLoadRequest { start_date, end_date })
    }),
    row("AvailabilityService/CreateCalendarFeed", Nothing, |_| {
        bytes(&v1::CreateCalendarFeedRequest { request_id: request_id() })
    }),
    row("AvailabilityService/RotateCalendarFeed", Nothing, |_| {
        bytes(&v1::RotateCalendarFeedRequest { request_id: request_id() })
    }),
    row("AvailabilityService/DeleteCalendarFeed", Nothing, |_| {
        bytes(&v1::DeleteCalendarFeedRequest { request_id: request_id() })
    }),
    row("BookingService/HoldSlot", OPEN, |case| {
        let start = if case.is_other() { "2026-03-27T10:00:00Z" } else { "2026-03-27T13:00:00Z" };
        bytes(&Worker::hold_request(&case.scene.ben, start))
    }),
    // It is offered by its own therapist alone.
    row("BookingService/HoldSlot", This(SessionType), |case| {
        let wanted = Worker::hold_request(&case.scene.ben, "2026-03-27T14:00:00Z");
        bytes(&v1::HoldSlotRequest { session_type_id: case.id(), ..wanted })
    }),
    row("BookingService/HoldSlot", This(Newcomer), |case| {
        let wanted = Worker::hold_request(&case.scene.cleo, "2026-03-27T14:00:00Z");
        bytes(&v1::HoldSlotRequest { therapist_id: case.id(), ..wanted })
    }),
    row("BookingService/ConfirmBooking", This(Hold), |case| {
        let booking_id = case.id();
        bytes(&v1::ConfirmBookingRequest { request_id: request_id(), booking_id, ..Default::default() })
    }),
    row("BookingService/ReleaseHold", This(Hold), |case| {
        bytes(&v1::ReleaseHoldRequest { request_id: request_id(), booking_id: case.id() })
    }),
    row("BookingService/GetBooking", This(Booking), |case| {
        bytes(&v1::GetBookingRequest { booking_id: case.id() })
    }),
    row("BookingService/RescheduleBooking", This(Booking), |case| {
        let start_time = Some(timestamp(time("2026-03-27T18:00:00Z")));
        let booking_id = case.id();
        bytes(&v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id,
            start_time,
            roster_use: None,
        })
    }),
    row("BookingService/CancelBooking", This(Booking), |case| {
        bytes(&v1::CancelBookingRequest { request_id: request_id(), booking_id: case.id() })
    }),
    row("BookingService/ListBookings", Nothing, |_| {
        bytes(&v1::ListBookingsRequest { page_size: 100, ..Default::default() })
    }),
    row("BookingService/ListAgenda", Nothing, |_| {
        let span = Some(span("2026-03-20T00:00:00Z", "2026-03-31T00:00:00Z"));
        bytes(&v1::ListAgendaRequest { span, page_size: 100, ..Default::default() })
    }),
    row("BookingService/JoinSession", This(CurrentBooking), |case| {
        bytes(&v1::JoinSessionRequest { booking_id: case.id() })
    }),
    row("BookingService/CompleteBooking", This(PastBooking), |case| {
        let outcome = v1::BookingState::Fulfilled.into();
        bytes(&v1::CompleteBookingRequest { request_id: request_id(), booking_id: case.id(), outcome })
    }),
    row("BookingService/ListZoneChanges", Nothing, |_| bytes(&v1::ListZoneChangesRequest::default())),
    row("DirectoryService/ListSpecializations", Nothing, |_| {
        bytes(&v1::ListSpecializationsRequest::default())
    }),
    row("DirectoryService/SearchTherapists", FILTER, |case| {
        bytes(&v1::SearchTherapistsRequest { filter: Some(everybody(case)), ..Default::default() })
    }),
    row("DirectoryService/GetTherapist", This(Newcomer), |case| {
        bytes(&v1::GetTherapistRequest { therapist_id: case.id() })
    }),
    row("DirectoryService/GetTherapist", OPEN, |case| {
        bytes(&v1::GetTherapistRequest { therapist_id: case.scene.ada.id.clone() })
    }),
    row("DirectoryService/ListTherapists", Nothing, |_| bytes(&v1::ListTherapistsRequest::default())),
    row("DirectoryService/CreateTherapist", SERVERS, |case| {
        let therapist = Some(v1::Therapist { id: case.scene.ada.id.clone(), ..profile("Dora", BERLIN) });
        bytes(&v1::CreateTherapistRequest { request_id: request_id(), therapist, public_key: new_key() })
    }),
    row(
        "DirectoryService/UpdateTherapist",
        Anybodys("it is the caller's own, whatever the id says"),
        |case| {
            let therapist = v1::Therapist {
                id: case.scene.ada.id.clone(),
                languages: vec!["fr".to_owned()],
                ..Default::default()
            };
            let update_mask = Some(FieldMask { paths: vec!["languages".to_owned()] });
            bytes(&v1::UpdateTherapistRequest {
                request_id: request_id(),
                therapist: Some(therapist),
                update_mask,
            })
        },
    ),
    row("DirectoryService/CreateCredential", This(Newcomer), |case| bytes(&credential(&case.id()))),
    row("DirectoryService/CreateCredential", SERVERS, |case| {
        let own = if case.visitor == Visitor::Operator { &case.scene.ada.id } else { "" };
        bytes(&credential(own))
    }),
    row("DirectoryService/VerifyCredential", This(Credential), |case| {
        bytes(&v1::VerifyCredentialRequest {
            request_id: request_id(),
            credential_id: case.id(),
            verified: true,
        })
    }),
    row("DirectoryService/DeleteCredential", This(Credential), |case| {
        bytes(&v1::DeleteCredentialRequest { request_id: request_id(), credential_id: case.id() })
    }),
    row("DirectoryService/ListCrisisResources", Nothing, |_| {
        bytes(&v1::ListCrisisResourcesRequest::default())
    }),
    row("NoteService/GetDeviceKey", This(Booking), |case| {
        bytes(&v1::GetDeviceKeyRequest { booking_id: case.id() })
    }),
    row("NoteService/PutIntake", This(Booking), |case| {
        let booking_id = case.id();
        bytes(&v1::PutIntakeRequest { request_id: request_id(), booking_id, intake: note(0), copy: note(0) })
    }),
    row("NoteService/GetNotes", This(Booking), |case| bytes(&v1::GetNotesRequest { booking_id: case.id() })),
    row("NoteService/DeleteNotes", This(Booking), |case| {
        bytes(&v1::DeleteNotesRequest { request_id: request_id(), booking_id: case.id() })
    }),
    row("NoteService/ListIntakes", Nothing, |_| bytes(&v1::ListIntakesRequest::default())),
    row("NoteService/PutHandover", This(PastBooking), |case| {
        bytes(&v1::PutHandoverRequest { request_id: request_id(), booking_id: case.id(), handover: note(0) })
    }),
    row("NoteService/ListDeviceKeys", Nothing, |_| bytes(&v1::ListDeviceKeysRequest {})),
    row("NoteService/CreateDeviceKey", SERVERS, |case| bytes(&device_key(case.scene.world.app.clock.now()))),
    row("NoteService/DeleteDeviceKey", This(DeviceKey), |case| {
        bytes(&v1::DeleteDeviceKeyRequest { request_id: request_id(), device_key_id: case.id() })
    }),
    row("ProgrammeService/GetProgramme", OPEN, |case| {
        bytes(&v1::GetProgrammeRequest { programme_id: case.scene.programme().to_owned() })
    }),
    row("ProgrammeService/ListProgrammes", Nothing, |_| bytes(&v1::ListProgrammesRequest::default())),
    row("ProgrammeService/CreateProgramme", SERVERS, |_| bytes(&programme())),
    row("ProgrammeService/ListKeyLog", Nothing, |_| bytes(&v1::ListKeyLogRequest::default())),
    row("ProgrammeService/CreateProgrammeKey", Nothing, |case| {
        let issuer = &case.scene.next[usize::from(case.is_other())];
        bytes(&Hospital::key_request(issuer, "2026-07-01", "2026-09-30"))
    }),
    row("ProgrammeService/RevokeProgrammeKey", This(ProgrammeKey), |case| {
        bytes(&v1::RevokeProgrammeKeyRequest { request_id: request_id(), key_id: case.named.to_vec() })
    }),
    row("ProgrammeService/ListCredits", Nothing, |_| bytes(&v1::ListCreditsRequest {})),
    row("ProgrammeService/ListReports", Nothing, |_| bytes(&v1::ListReportsRequest {})),
    row("ProgrammeService/UpdateProgrammeManager", This(Programme), |case| {
        let programme_id = case.id();
        bytes(&v1::UpdateProgrammeManagerRequest {
            request_id: request_id(),
            programme_id,
            public_key: new_key(),
        })
    }),
    row("ReminderService/GetContact", Nothing, |_| bytes(&v1::GetContactRequest {})),
    row("ReminderService/ListReminders", Nothing, |_| bytes(&v1::ListRemindersRequest {})),
    row("ReminderService/SetContact", Nothing, |_| {
        let contact = v1::Contact {
            email: "another@example.org".to_owned(),
            language_code: "en".to_owned(),
            level: v1::ReminderLevel::Update.into(),
            ..Default::default()
        };
        bytes(&v1::SetContactRequest { request_id: request_id(), contact: Some(contact) })
    }),
    // What the code is says a letter to the caller alone.
    row("ReminderService/ConfirmContact", Nothing, |_| {
        bytes(&v1::ConfirmContactRequest { request_id: request_id(), code: "12345".to_owned() })
    })
    .refused(Code::InvalidArgument, "MALFORMED"),
    row("ReminderService/DeleteContact", Nothing, |_| {
        bytes(&v1::DeleteContactRequest { request_id: request_id() })
    }),
    row("RosterService/GetRoster", Nothing, |_| bytes(&v1::GetRosterRequest {})),
    row("RosterService/ImportRoster", Nothing, |_| {
        let shift = v1::Shift {
            span: Some(span("2026-03-28T08:00:00Z", "2026-03-28T16:00:00Z")),
            kind: v1::ShiftKind::Day.into(),
            breaks: Vec::new(),
        };
        let list = v1::ShiftList { shifts: vec![shift] };
        bytes(&v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::ShiftList(list)),
            time_zone: BERLIN.to_owned(),
            ..Default::default()
        })
    }),
    row("RosterService/DeleteRoster", Nothing, |_| {
        bytes(&v1::DeleteRosterRequest { request_id: request_id() })
    }),
    row("SlotService/SearchSlots", FILTER, |case| bytes(&search(case, String::new()))),
    row("SlotService/SearchSlots", This(Booking), |case| bytes(&search(case, case.id()))),
    row("SlotService/WatchSlots", FILTER, |case| {
        bytes(&v1::WatchSlotsRequest { search: Some(search(case, String::new())) })
    }),
    row("SlotService/WatchSlots", This(Booking), |case| {
        bytes(&v1::WatchSlotsRequest { search: Some(search(case, case.id())) })
    }),
    row("AliasService/Logout", Nothing, |_| bytes(&v1::LogoutRequest {})),
    row("AliasService/EraseAlias", Nothing, |_| bytes(&v1::EraseAliasRequest {})),
];

fn bytes(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// Of somebody who has not called yet.
fn new_key() -> Vec<u8> {
    public(&Secret::generate().login_key())
}

/// The therapists, whom nobody has verified included.
fn everybody(case: &Case) -> v1::TherapistFilter {
    let Scene { ada, ben, cleo, .. } = case.scene;
    v1::TherapistFilter {
        therapist_ids: [ada, ben, cleo].map(|therapist| therapist.id.clone()).to_vec(),
        ..Default::default()
    }
}

fn search(case: &Case, moving_booking_id: String) -> v1::SearchSlotsRequest {
    v1::SearchSlotsRequest {
        filter: Some(everybody(case)),
        window: Some(span("2026-03-24T00:00:00Z", "2026-03-26T00:00:00Z")),
        times_of_day: vec![hours_of("08:00-20:00")],
        moving_booking_id,
        ..Default::default()
    }
}

fn unlink(staff: Staff) -> v1::LinkIdentityRequest {
    v1::LinkIdentityRequest { request_id: request_id(), staff: Some(staff), subject: String::new() }
}
