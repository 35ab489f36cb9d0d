//! Who stands at the door.

use services::Policy;
use tonic::Code;

/// Somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Visitor {
    /// Without a token.
    Anonymous,
    /// With something that is no token.
    Malformed,
    /// With a token that nobody was ever given.
    Unknown,
    /// With a token whose quarter of an hour is over.
    Expired,
    /// With a token that was given back.
    LoggedOut,
    /// With a token of an alias that is no more.
    Erased,
    /// The alias whose things they are.
    AliasA,
    /// Another one.
    AliasB,
    /// The therapist whose things they are, whom the first alias sees.
    TherapistA,
    /// Another one.
    TherapistB,
    /// One whom nobody has verified yet.
    TherapistC,
    /// Somebody who runs the service.
    Operator,
    /// Who manages the programme whose things they are.
    ManagerA,
    /// Who manages another one.
    ManagerB,
}

/// What kind of caller a visitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nobody,
    Stranger,
    Alias,
    Therapist,
    Operator,
    Manager,
}

impl Visitor {
    pub(super) const ALL: [Self; 14] = [
        Self::Anonymous,
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::LoggedOut,
        Self::Erased,
        Self::AliasA,
        Self::AliasB,
        Self::TherapistA,
        Self::TherapistB,
        Self::TherapistC,
        Self::Operator,
        Self::ManagerA,
        Self::ManagerB,
    ];

    /// Whose things the calls are about, or who runs the service.
    pub(super) fn is_first(self) -> bool {
        matches!(self, Self::AliasA | Self::TherapistA | Self::ManagerA | Self::Operator)
    }

    /// Whether a worker is to see that they read something: an export of theirs, or an intake.
    pub(super) fn is_written_down(self) -> bool {
        matches!(self, Self::AliasA | Self::AliasB | Self::TherapistA)
    }

    fn kind(self) -> Kind {
        match self {
            Self::Anonymous => Kind::Nobody,
            Self::Malformed | Self::Unknown | Self::Expired | Self::LoggedOut | Self::Erased => {
                Kind::Stranger
            }
            Self::AliasA | Self::AliasB => Kind::Alias,
            Self::TherapistA | Self::TherapistB | Self::TherapistC => Kind::Therapist,
            Self::Operator => Kind::Operator,
            Self::ManagerA | Self::ManagerB => Kind::Manager,
        }
    }

    /// How the policy turns them away, if it does.
    pub(super) fn refused_by(self, policy: Policy) -> Option<(Code, &'static str)> {
        use Policy as P;
        let admitted = match (policy, self.kind()) {
            (P::Open | P::OpenToStaff, _) => true,
            (_, Kind::Stranger) => return Some((Code::Unauthenticated, "TOKEN_INVALID")),
            (P::Public, _) => true,
            (_, Kind::Nobody) => return Some((Code::Unauthenticated, "TOKEN_INVALID")),
            (P::Alias, kind) => kind == Kind::Alias,
            (P::Therapist, kind) => kind == Kind::Therapist,
            (P::Operator, kind) => kind == Kind::Operator,
            (P::Manager, kind) => kind == Kind::Manager,
            (P::AliasOrTherapist, kind) => matches!(kind, Kind::Alias | Kind::Therapist),
            (P::TherapistOrOperator, kind) => matches!(kind, Kind::Therapist | Kind::Operator),
            (P::Anyone, _) => true,
        };
        if admitted { None } else { Some((Code::PermissionDenied, "CALLER_NOT_ALLOWED")) }
    }
}
