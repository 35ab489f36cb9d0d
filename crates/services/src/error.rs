//! Why a call was refused, and the one table from that to a gRPC status.

use std::{collections::HashMap, time::Duration};

use calendar::{Refusal, SettingsError, WorkerRefusal, ical::IcalError, pattern::PatternError};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fetch::UrlError;
use store::booking::State;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Whose table of reasons an `ErrorInfo` speaks of.
const DOMAIN: &str = "respite";

/// When to come back after an overload or a database that is away.
const RETRY: Duration = Duration::from_secs(1);

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field does not say what it must.
    #[error("{field}: {violation}")]
    Invalid {
        /// Its path in the request.
        field: String,
        /// What is wrong with it.
        violation: Violation,
    },
    /// The request id was used with another payload (B3).
    #[error("this request id was used with another payload")]
    RequestIdReused,
    /// The caller is not who they say, or does not say.
    #[error("{0}")]
    Unauthenticated(#[from] Unauthenticated),
    /// This kind of caller may not make this call.
    #[error("this call is not for this kind of caller")]
    CallerNotAllowed,
    /// Staff have a listener of their own, and this was the other one.
    #[error("this call is answered on another listener")]
    OtherListener,
    /// It is not there, or it is somebody else's: that is not told apart.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The key signs in somebody else.
    #[error("another caller signs in with this key")]
    KeyInUse,
    /// The provider's word signs in somebody else.
    #[error("another caller signs in by this name")]
    IdentityInUse,
    /// No identity provider is set up.
    #[error("staff sign in with their keys here")]
    LoginsNotAccepted,
    /// The identity provider does not tell its keys.
    #[error("the identity provider does not answer")]
    Provider(#[source] oidc::HttpError),
    /// The date has an override.
    #[error("this date has an override")]
    DateOverridden,
    /// The therapist has a calendar feed.
    #[error("there is a calendar feed")]
    CalendarFeedExists,
    /// The slot is not to be had (T5).
    #[error("{0}")]
    Slot(#[from] Refusal),
    /// The alias must not meet the therapist, as it said itself (D5).
    #[error("the therapist works where one of your exclusion tags says")]
    Excluded,
    /// The alias holds as much as it may (B1).
    #[error("an alias holds at most {most} slots at a time")]
    TooManyHolds {
        /// How many it may.
        most: usize,
    },
    /// The hold has ended (B1).
    #[error("the hold has expired")]
    HoldExpired,
    /// Nothing pays for the session (E2).
    #[error("{0}")]
    Pass(#[from] PassRefusal),
    /// The log of keys lists the key.
    #[error("the key is listed already")]
    KeyListed,
    /// Two keys of a programme would be for the same day.
    #[error("another key of the programme is for some of these days")]
    PeriodsOverlap,
    /// Too little is left of a key's period.
    #[error("the period ends too soon for its key to be seen for a week before it signs")]
    PeriodOver,
    /// The booking is not in a state that allows this (B8).
    #[error("the booking is {}", state_name(*.state))]
    WrongState {
        /// The state it is in.
        state: State,
    },
    /// The room is not open yet (B7).
    #[error("the room opens at {}", instant(*.opens))]
    JoinTooEarly {
        /// When it opens.
        opens: DateTime<Utc>,
    },
    /// The session is over (B7).
    #[error("the session is over")]
    JoinTooLate,
    /// The session has not begun.
    #[error("the session has not begun")]
    SessionNotBegun,
    /// There are as many as there may be.
    #[error("there may be at most {most}")]
    Limit {
        /// Of what; the reason that is told.
        reason: LimitReason,
        /// How many there may be.
        most: u64,
    },
    /// The caller has had as many calendars fetched as may be for now.
    #[error("too many calendars were asked for")]
    TooManyFetches {
        /// Until the next may be.
        wait: TimeDelta,
    },
    /// The feed could not be fetched or read: that is not told apart.
    #[error("the calendar could not be fetched")]
    FeedUnavailable,
    /// The note is not sealed to a device of the booking's therapist (G5).
    #[error("the note is not sealed to a key of the therapist's that lives")]
    DeviceKeyNotLive,
    /// The booking takes this note no more (G5).
    #[error("it is too late for this note")]
    NoteTooLate,
    /// An emergency access does not go so far.
    #[error("{0}")]
    Emergency(#[from] EmergencyRefusal),
    /// The code is wrong.
    #[error("the code is wrong")]
    CodeWrong,
    /// The code has ended, by time or by wrong guesses.
    #[error("the code has expired")]
    CodeExpired,
    /// The database refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// As many searches as may be are watched.
    #[error("too much is asked at the moment")]
    Overloaded,
    /// The caller, or everybody of a network who is not known, has asked for as much as may be for now.
    #[error("too much is asked; wait for as long as is said")]
    RateLimited {
        /// Until the next call may be made.
        wait: TimeDelta,
    },
    /// The server has just begun, and does not know yet who is free when.
    #[error("the server is about to be ready")]
    Loading,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness,
    /// A computation was broken off, as at the end of the process.
    #[error("interrupted")]
    Interrupted,
    /// Something sealed does not open, or what was in it is not what belongs there.
    #[error("something sealed cannot be read")]
    Sealed(&'static str),
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    /// A field that does not say what it must.
    pub(crate) fn invalid(field: impl Into<String>, violation: Violation) -> Self {
        Self::Invalid { field: field.into(), violation }
    }
}

/// Why nobody knows who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// No token, or not one in force.
    #[error("sign in for a token")]
    Token,
    /// The challenge is not ours, is for another key, or has ended.
    #[error("the challenge does not hold; ask for another")]
    Challenge,
    /// The proof of work proves too little.
    #[error("the proof of work does not hold")]
    ProofOfWork,
    /// The signature is not the key's over what it must be.
    #[error("the signature does not hold")]
    Signature,
    /// Signing in failed; not said why.
    #[error("signing in failed; ask for another challenge")]
    Login,
}

/// Why nothing pays for a session (E2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassRefusal {
    /// Sessions are booked for programmes alone.
    #[error("a pass or a credit is needed")]
    Required,
    /// It is not one of ours; not said why.
    #[error("this is not a pass")]
    Invalid,
    /// Its key is not listed, not in use yet, or retired.
    #[error("the key of the pass is not in use")]
    KeyNotLive,
    /// The programme pays for other sessions.
    #[error("the programme does not pay for this kind of session")]
    NotCovering,
    /// The session is not in the period that is paid for.
    #[error("the session is outside the period that is paid for")]
    OutOfPeriod,
    /// It paid for another booking.
    #[error("the pass is spent")]
    Spent,
    /// The alias has none that would do.
    #[error("there is no credit of this programme for that day")]
    NoCredit,
}

/// Why an operator may not go on with an emergency access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmergencyRefusal {
    /// Who asked does not also agree.
    #[error("another operator has to agree")]
    SecondOperatorNeeded,
    /// Who did not ask does not read.
    #[error("another operator asked for it")]
    OtherOperator,
    /// Somebody agreed before.
    #[error("it is approved already")]
    Approved,
    /// Nobody agreed yet.
    #[error("nobody has agreed yet")]
    NotApproved,
    /// It was left too long.
    #[error("the emergency access has expired")]
    Expired,
    /// It was used.
    #[error("the contact was read; ask anew")]
    Read,
    /// There is nothing to be read.
    #[error("the worker has confirmed no contact")]
    NoContact,
}

/// Of what there are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReason {
    /// Calendars elsewhere that keep a therapist busy.
    BusyFeeds,
    /// Codes to a contact a day.
    Codes,
    /// Credentials of a therapist.
    Credentials,
    /// Date overrides of a therapist.
    DateOverrides,
    /// Keys of a therapist's devices.
    DeviceKeys,
    /// Emergencies that an operator asks for in a day.
    Emergencies,
    /// Session types of a therapist.
    SessionTypes,
    /// Times off of a therapist.
    TimeOff,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It is empty.
    #[error("must be given")]
    Required,
    /// It is too long.
    #[error("must have at most {most} {unit}")]
    TooLong {
        /// How long it may be.
        most: usize,
        /// In what.
        unit: &'static str,
    },
    /// It has too many elements.
    #[error("must have at most {most} elements")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// It is not of the form it must be.
    #[error("must be {expected}")]
    Malformed {
        /// Of what form.
        expected: &'static str,
    },
    /// It is too small or too large.
    #[error("must be {allowed}")]
    OutOfRange {
        /// What it may be.
        allowed: &'static str,
    },
    /// No zone rules go by that name.
    #[error("must be the IANA name of a time zone")]
    UnknownZone,
    /// Nothing in the vocabulary is like it.
    #[error("must be like an entry of the vocabulary")]
    UnknownTerm,
    /// It ends before it begins.
    #[error("must begin before it ends")]
    ReversedSpan,
    /// It is there twice.
    #[error("must not be there twice")]
    Duplicate,
    /// The server says what it is.
    #[error("cannot be changed by this call")]
    NotChangeable,
    /// It belongs to another list, or is not one of ours.
    #[error("must be the token of the page before, with everything else the same")]
    PageToken,
    /// Windows must end at 00:00, not a minute before (T2).
    #[error("must end at 00:00 if it lasts until midnight")]
    EndBeforeMidnight,
    /// Settings that contradict each other (A3).
    #[error("{0}")]
    Settings(SettingsError),
    /// An iCalendar file that is not taken.
    #[error("{0}")]
    Icalendar(IcalError),
    /// A pattern that makes no shifts.
    #[error("{0}")]
    Pattern(PatternError),
    /// The address of a calendar that is not taken.
    #[error("{0}")]
    FeedUri(UrlError),
}

impl From<Error> for Status {
    /// What the client is told; internal detail is logged here, once, and goes no further.
    fn from(error: Error) -> Self {
        let reason = reason(&error);
        let mut facts = HashMap::new();
        let mut details = ErrorDetails::new();
        let code = match &error {
            Error::Invalid { field, violation } => {
                details.add_bad_request_violation(field, violation.to_string());
                Code::InvalidArgument
            }
            Error::RequestIdReused => {
                details.add_bad_request_violation("request_id", error.to_string());
                Code::InvalidArgument
            }
            Error::Unauthenticated(_) => Code::Unauthenticated,
            Error::CallerNotAllowed | Error::OtherListener => Code::PermissionDenied,
            Error::Emergency(refusal) => of_emergency(*refusal),
            Error::NotFound(_) => Code::NotFound,
            Error::KeyInUse
            | Error::IdentityInUse
            | Error::KeyListed
            | Error::DateOverridden
            | Error::CalendarFeedExists
            | Error::Slot(Refusal::Taken | Refusal::Adjacent | Refusal::Limit(_) | Refusal::AliasBusy) => {
                Code::AlreadyExists
            }
            Error::Slot(refusal) => {
                match refusal {
                    Refusal::TooSoon { earliest } => {
                        facts.insert("earliest_time".to_owned(), instant(*earliest));
                    }
                    Refusal::BeyondHorizon { last } => {
                        facts.insert("last_date".to_owned(), last.to_string());
                    }
                    _ => {}
                }
                Code::FailedPrecondition
            }
            Error::WrongState { state } => {
                facts.insert("state".to_owned(), state_name(*state).to_owned());
                Code::FailedPrecondition
            }
            Error::JoinTooEarly { opens } => {
                facts.insert("open_time".to_owned(), instant(*opens));
                Code::FailedPrecondition
            }
            Error::LoginsNotAccepted
            | Error::Excluded
            | Error::HoldExpired
            | Error::Pass(_)
            | Error::PeriodsOverlap
            | Error::PeriodOver
            | Error::JoinTooLate
            | Error::SessionNotBegun
            | Error::FeedUnavailable
            | Error::DeviceKeyNotLive
            | Error::NoteTooLate
            | Error::CodeWrong
            | Error::CodeExpired => Code::FailedPrecondition,
            Error::TooManyHolds { .. } | Error::Limit { .. } => Code::ResourceExhausted,
            Error::TooManyFetches { wait } | Error::RateLimited { wait } => {
                details.set_retry_info(wait.to_std().ok());
                Code::ResourceExhausted
            }
            Error::Overloaded => {
                details.set_retry_info(Some(RETRY));
                Code::ResourceExhausted
            }
            Error::Provider(source) => {
                tracing::warn!(error = %source, "the identity provider does not answer");
                details.set_retry_info(Some(RETRY));
                Code::Unavailable
            }
            Error::Loading => {
                details.set_retry_info(Some(RETRY));
                Code::Unavailable
            }
            Error::Store(source) => of_database(source, &mut details),
            Error::Randomness | Error::Interrupted => {
                tracing::error!(%error, "call failed");
                Code::Internal
            }
            Error::Sealed(what) => {
                tracing::error!(what, "something sealed cannot be read");
                Code::Internal
            }
        };
        if code == Code::FailedPrecondition {
            details.add_precondition_failure_violation(reason, "", error.to_string());
        }
        details.set_error_info(reason, DOMAIN, facts);
        let message = match code {
            Code::Internal => "internal error".to_owned(),
            Code::Unavailable => "try again in a moment".to_owned(),
            _ => error.to_string(),
        };
        Status::with_error_details(code, message, details)
    }
}

/// What a client is told when the database refused or failed.
fn of_database(source: &store::Error, details: &mut ErrorDetails) -> Code {
    match source {
        // The database was the judge, since nobody asked it in time (B2).
        store::Error::TherapistOverlap | store::Error::AliasOverlap | store::Error::Duplicate => {
            Code::AlreadyExists
        }
        store::Error::Unavailable(_) => {
            tracing::warn!(error = %source, "database unavailable");
            details.set_retry_info(Some(RETRY));
            Code::Unavailable
        }
        store::Error::Failed { .. } => {
            tracing::error!(error = %source, "database failed");
            Code::Internal
        }
    }
}

fn of_emergency(refusal: EmergencyRefusal) -> Code {
    use EmergencyRefusal as R;
    match refusal {
        R::SecondOperatorNeeded | R::OtherOperator => Code::PermissionDenied,
        R::Approved | R::NotApproved | R::Expired | R::Read | R::NoContact => Code::FailedPrecondition,
    }
}

/// The reason that a client can tell refusals apart by; `proto/` says when each is given.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::Invalid { violation, .. } => match violation {
            Violation::Required => "REQUIRED",
            Violation::TooLong { .. } => "TOO_LONG",
            Violation::TooMany { .. } => "TOO_MANY",
            Violation::Malformed { .. } => "MALFORMED",
            Violation::OutOfRange { .. } => "OUT_OF_RANGE",
            Violation::UnknownZone => "UNKNOWN_ZONE",
            Violation::UnknownTerm => "UNKNOWN_TERM",
            Violation::ReversedSpan => "REVERSED_SPAN",
            Violation::Duplicate => "DUPLICATE",
            Violation::NotChangeable => "FIELD_NOT_CHANGEABLE",
            Violation::PageToken => "PAGE_TOKEN_INVALID",
            Violation::EndBeforeMidnight => "END_BEFORE_MIDNIGHT",
            Violation::Settings(error) => settings_reason(error),
            Violation::Icalendar(error) => icalendar_reason(error),
            Violation::Pattern(error) => pattern_reason(error),
            Violation::FeedUri(error) => match error {
                UrlError::TooLong => "TOO_LONG",
                UrlError::Malformed => "MALFORMED",
                UrlError::Scheme | UrlError::Credentials | UrlError::Host | UrlError::Port => {
                    "FEED_URI_REFUSED"
                }
            },
        },
        Error::RequestIdReused => "REQUEST_ID_REUSED",
        Error::Unauthenticated(error) => match error {
            Unauthenticated::Token => "TOKEN_INVALID",
            Unauthenticated::Challenge => "CHALLENGE_INVALID",
            Unauthenticated::ProofOfWork => "PROOF_OF_WORK_INVALID",
            Unauthenticated::Signature => "SIGNATURE_INVALID",
            Unauthenticated::Login => "LOGIN_REFUSED",
        },
        Error::CallerNotAllowed => "CALLER_NOT_ALLOWED",
        Error::OtherListener => "OTHER_LISTENER",
        Error::NotFound(_) => "NOT_FOUND",
        Error::KeyInUse => "KEY_IN_USE",
        Error::IdentityInUse => "IDENTITY_IN_USE",
        Error::LoginsNotAccepted => "LOGINS_NOT_ACCEPTED",
        Error::Provider(_) => "PROVIDER_UNAVAILABLE",
        Error::DateOverridden => "DATE_OVERRIDDEN",
        Error::CalendarFeedExists => "CALENDAR_FEED_EXISTS",
        Error::Slot(refusal) => match refusal {
            Refusal::TooSoon { .. } => "TOO_SOON",
            Refusal::BeyondHorizon { .. } => "BEYOND_HORIZON",
            Refusal::OutsideHours => "OUTSIDE_HOURS",
            Refusal::OffGrid => "OFF_GRID",
            Refusal::Taken | Refusal::Adjacent | Refusal::Limit(_) => "SLOT_TAKEN",
            Refusal::AliasBusy => "OWN_BOOKING_OVERLAPS",
            Refusal::Worker(refusal) => worker_reason(*refusal),
        },
        Error::Excluded => "EXCLUDED",
        Error::TooManyHolds { .. } => "TOO_MANY_HOLDS",
        Error::HoldExpired => "HOLD_EXPIRED",
        Error::Pass(refusal) => pass_reason(*refusal),
        Error::KeyListed => "KEY_LISTED",
        Error::PeriodsOverlap => "PERIODS_OVERLAP",
        Error::PeriodOver => "PERIOD_OVER",
        Error::WrongState { .. } => "WRONG_STATE",
        Error::JoinTooEarly { .. } => "JOIN_TOO_EARLY",
        Error::JoinTooLate => "JOIN_TOO_LATE",
        Error::SessionNotBegun => "SESSION_NOT_BEGUN",
        Error::Limit { reason, .. } => match reason {
            LimitReason::BusyFeeds => "TOO_MANY_BUSY_FEEDS",
            LimitReason::Codes => "TOO_MANY_CODES",
            LimitReason::Credentials => "TOO_MANY_CREDENTIALS",
            LimitReason::DateOverrides => "TOO_MANY_DATE_OVERRIDES",
            LimitReason::DeviceKeys => "TOO_MANY_DEVICE_KEYS",
            LimitReason::Emergencies => "TOO_MANY_EMERGENCIES",
            LimitReason::SessionTypes => "TOO_MANY_SESSION_TYPES",
            LimitReason::TimeOff => "TOO_MANY_TIME_OFF",
        },
        Error::TooManyFetches { .. } => "TOO_MANY_FETCHES",
        Error::FeedUnavailable => "FEED_UNAVAILABLE",
        Error::DeviceKeyNotLive => "DEVICE_KEY_NOT_LIVE",
        Error::NoteTooLate => "NOTE_TOO_LATE",
        Error::Emergency(refusal) => emergency_reason(*refusal),
        Error::CodeWrong => "CODE_WRONG",
        Error::CodeExpired => "CODE_EXPIRED",
        Error::Store(error) => match error {
            store::Error::TherapistOverlap => "SLOT_TAKEN",
            store::Error::AliasOverlap => "OWN_BOOKING_OVERLAPS",
            store::Error::Duplicate => "ALREADY_EXISTS",
            store::Error::Unavailable(_) => "DATABASE_UNAVAILABLE",
            store::Error::Failed { .. } => "INTERNAL",
        },
        Error::Overloaded => "OVERLOADED",
        Error::RateLimited { .. } => "RATE_LIMITED",
        Error::Loading => "LOADING",
        Error::Sealed(_) | Error::Randomness | Error::Interrupted => "INTERNAL",
    }
}

fn pass_reason(refusal: PassRefusal) -> &'static str {
    match refusal {
        PassRefusal::Required => "PASS_REQUIRED",
        PassRefusal::Invalid => "PASS_INVALID",
        PassRefusal::KeyNotLive => "PASS_KEY_NOT_LIVE",
        PassRefusal::NotCovering => "PASS_NOT_COVERING",
        PassRefusal::OutOfPeriod => "PASS_OUT_OF_PERIOD",
        PassRefusal::Spent => "PASS_SPENT",
        PassRefusal::NoCredit => "NO_CREDIT",
    }
}

fn emergency_reason(refusal: EmergencyRefusal) -> &'static str {
    match refusal {
        EmergencyRefusal::SecondOperatorNeeded => "SECOND_OPERATOR_NEEDED",
        EmergencyRefusal::OtherOperator => "OTHER_OPERATOR",
        EmergencyRefusal::Approved => "EMERGENCY_ACCESS_APPROVED",
        EmergencyRefusal::NotApproved => "EMERGENCY_ACCESS_NOT_APPROVED",
        EmergencyRefusal::Expired => "EMERGENCY_ACCESS_EXPIRED",
        EmergencyRefusal::Read => "EMERGENCY_ACCESS_READ",
        EmergencyRefusal::NoContact => "NO_CONTACT",
    }
}

/// Why a worker has no time.
pub(crate) fn worker_reason(refusal: WorkerRefusal) -> &'static str {
    match refusal {
        WorkerRefusal::Shift => "COLLIDES_WITH_SHIFT",
        WorkerRefusal::Break | WorkerRefusal::OffDuty => "OUTSIDE_BREAK",
        WorkerRefusal::Commute => "COLLIDES_WITH_COMMUTE",
        WorkerRefusal::Rest => "COLLIDES_WITH_REST",
        WorkerRefusal::Sleep => "COLLIDES_WITH_SLEEP",
        WorkerRefusal::BeyondRoster => "BEYOND_ROSTER",
    }
}

fn settings_reason(error: &SettingsError) -> &'static str {
    match error {
        SettingsError::NoticeBeyondHorizon { .. } => "NOTICE_BEYOND_HORIZON",
        SettingsError::WindowsOverlap { .. }
        | SettingsError::OverrideHoursOverlap { .. }
        | SettingsError::TravelsOverlap { .. } => "WINDOWS_OVERLAP",
        SettingsError::WindowShorterThanSession { .. } | SettingsError::OverrideShorterThanSession { .. } => {
            "WINDOW_TOO_SHORT"
        }
        SettingsError::ProtectedCoversEveryWindow => "PROTECTED_TIME_TOO_LONG",
        SettingsError::LimitBelowEverySession { .. } | SettingsError::LimitsExcludeEverySession => {
            "LIMIT_TOO_LOW"
        }
        SettingsError::ReplacedTwice { .. } => "DUPLICATE",
        SettingsError::TravelReversed { .. } => "REVERSED_SPAN",
        SettingsError::NoticeOutOfRange
        | SettingsError::HorizonOutOfRange
        | SettingsError::DurationOutOfRange { .. }
        | SettingsError::BufferOutOfRange { .. }
        | SettingsError::GridIntervalOutOfRange { .. }
        | SettingsError::GridOffsetOutOfRange { .. }
        | SettingsError::LoadWeightOutOfRange { .. }
        | SettingsError::InARowOutOfRange
        | SettingsError::BreakOutOfRange => "OUT_OF_RANGE",
    }
}

fn icalendar_reason(error: &IcalError) -> &'static str {
    match error {
        IcalError::TooLarge { .. }
        | IcalError::LineTooLong { .. }
        | IcalError::NestedTooDeep { .. }
        | IcalError::TooManyEvents
        | IcalError::TooManyRecurring
        | IcalError::TooManyDates { .. }
        | IcalError::TooManyShifts
        | IcalError::TooMuchWork => "ICALENDAR_TOO_LARGE",
        IcalError::Frequency { .. }
        | IcalError::Interval { .. }
        | IcalError::Count { .. }
        | IcalError::TimesOfDay { .. }
        | IcalError::ExceptionRule { .. }
        | IcalError::MalformedRule { .. }
        | IcalError::SeveralRules { .. }
        | IcalError::StartOutOfReach { .. }
        | IcalError::ThisAndFuture { .. } => "ICALENDAR_RECURRENCE_REFUSED",
        IcalError::UnknownZone { .. } => "ICALENDAR_UNKNOWN_ZONE",
        IcalError::NotUtf8 { .. }
        | IcalError::NotACalendar
        | IcalError::Unbalanced { .. }
        | IcalError::NoStart { .. }
        | IcalError::MalformedTime { .. }
        | IcalError::MalformedFreeBusy
        | IcalError::EndsBeforeStart { .. } => "ICALENDAR_MALFORMED",
    }
}

fn pattern_reason(error: &PatternError) -> &'static str {
    match error {
        PatternError::Reversed | PatternError::TooLong => "OUT_OF_RANGE",
        PatternError::CycleTooLong { .. } => "TOO_MANY",
        PatternError::BadName { .. } => "MALFORMED",
        PatternError::NameTwice { .. } => "DUPLICATE",
        PatternError::UnknownName { .. } => "PATTERN_UNKNOWN_SHIFT",
        PatternError::Rule(_) => "RECURRENCE_REFUSED",
        PatternError::NoShift => "PATTERN_WITHOUT_SHIFT",
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Pending => "PENDING",
        State::Booked => "BOOKED",
        State::Arrived => "ARRIVED",
        State::Fulfilled => "FULFILLED",
        State::Cancelled => "CANCELLED",
        State::NoShow => "NOSHOW",
    }
}
