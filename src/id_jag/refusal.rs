//! Why an assertion is refused: exactly inside, dully on the wire (Enterprise-Managed Authorization §7.6, RFC 7521
//! §5.2, RFC 8707 §2).

use std::time::Duration;

use crate::{
    audit::About,
    federation::DiscoveryError,
    identity::{
        assertion::NobodyNamed,
        users::{self, ResolveError},
    },
    ids::ProviderId,
    jose::VerifyError,
    oauth::error::ErrorCode,
    policy::Decision,
    store::StoreError,
    web::error::ApiError,
};

/// The reason. Its text is for the log and the record, and repeats nothing of the assertion.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its form, its signature, its dates, or the type of a claim.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// Signed with what its issuer does not sign with.
    #[error("the algorithm is not among those accepted of its issuer")]
    Algorithm,
    /// Nobody trusts who made it.
    #[error("its issuer is none whose assertions are accepted")]
    Issuer,
    /// The operator has switched the provider off.
    #[error("the provider {0} is switched off")]
    SwitchedOff(ProviderId),
    /// The keys of its issuer could not be found: a fault, and none of the assertion's.
    #[error("{issuer} {error}")]
    Unreachable {
        /// The issuer.
        issuer: String,
        /// What came of asking it.
        error: DiscoveryError,
    },
    /// It could be used for too long.
    #[error("it lives longer than {} s", .0.as_secs())]
    Lifetime(Duration),
    /// Not made for us, or not for us alone.
    #[error("aud does not name us alone")]
    Audience,
    /// Made for another client.
    #[error("it was made for another client than the one that presents it")]
    Client,
    /// Empty, overlong, or with control characters.
    #[error("jti cannot be accepted")]
    Jti,
    /// It came before, and counts once.
    #[error("it was presented before")]
    Replayed,
    /// It restricts what is given in a way that we do not know.
    #[error("it holds authorization_details")]
    AuthorizationDetails,
    /// It is bound to a key in a way that we cannot check.
    #[error("cnf is not a jkt alone")]
    Confirmation,
    /// It is bound to a key whose possession the request does not prove.
    #[error("cnf names a key that was not proved with the request")]
    Possession,
    /// The client cannot prove who it is, and the operator did not say that such a one may present assertions.
    #[error("public clients may not present assertions of this provider")]
    PublicClient,
    /// It is for resources that are none of ours.
    #[error("none of its resources is one of ours")]
    ResourceClaim,
    /// The request names a resource that it is not for, or several.
    #[error("the parameter resource names none of ours that the assertion is for, or several")]
    ResourceParameter,
    /// Neither names one, and there is no default.
    #[error("neither the assertion nor the request names one resource")]
    ResourceMissing,
    /// It gives scopes that the resource does not have.
    #[error("the resource has none of the assertion's scopes")]
    ScopeClaim,
    /// The request asks for what is no scope.
    #[error("the parameter scope: {0}")]
    ScopeParameter(&'static str),
    /// Its subject is no workload that the operator declared.
    #[error("sub is none of the provider's workload.subjects")]
    Workload,
    /// It names nobody.
    #[error(transparent)]
    Nobody(#[from] NobodyNamed),
    /// Whom it names may not come in.
    #[error(transparent)]
    Person(#[from] users::Refusal),
    /// The rules leave nothing.
    #[error("{0}")]
    Policy(Decision),
    /// The shared part of the pipeline refused the request, or failed.
    #[error("{}", .0.reason())]
    Request(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Request(error)
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Refused(refusal) => refusal.into(),
            ResolveError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Request(error.into())
    }
}

impl Refusal {
    /// A stable code for the record.
    const fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => code_of(error),
            Self::Algorithm => "assertion_algorithm",
            Self::Issuer => "assertion_issuer",
            Self::SwitchedOff(_) => "provider_disabled",
            Self::Unreachable { .. } => "assertion_issuer_unreachable",
            Self::Lifetime(_) => "assertion_lifetime",
            Self::Audience => "assertion_audience",
            Self::Client => "assertion_client",
            Self::Jti => "assertion_jti",
            Self::Replayed => "assertion_replayed",
            Self::AuthorizationDetails => "assertion_authorization_details",
            Self::Confirmation | Self::Possession => "assertion_confirmation",
            Self::PublicClient => "public_client",
            Self::ResourceClaim | Self::ResourceParameter | Self::ResourceMissing => "assertion_resource",
            Self::ScopeClaim | Self::ScopeParameter(_) => "assertion_scope",
            Self::Workload | Self::Nobody(_) => "assertion_subject",
            Self::Person(refusal) => refusal.code(),
            Self::Policy(_) => "policy",
            Self::Request(error) => error.code().as_str(),
        }
    }

    /// What the client is answered; `about` is what else the record says of the request.
    pub fn answer(self, about: About) -> ApiError {
        let (code, text) = match &self {
            Self::Token(VerifyError::NoKeys(_)) | Self::Unreachable { .. } => {
                return ApiError::unavailable(format!("an assertion's keys: {self}"));
            }
            Self::Request(error) => return error.clone(),
            Self::Token(_)
            | Self::Algorithm
            | Self::Issuer
            | Self::SwitchedOff(_)
            | Self::Lifetime(_)
            | Self::Audience
            | Self::Client
            | Self::Jti
            | Self::Replayed
            | Self::AuthorizationDetails
            | Self::Confirmation
            | Self::Possession
            | Self::ResourceClaim
            | Self::ScopeClaim
            | Self::Workload
            | Self::Nobody(_)
            | Self::Person(_) => (ErrorCode::InvalidGrant, "the assertion is not accepted: get a new one"),
            Self::PublicClient => (
                ErrorCode::UnauthorizedClient,
                "only a client that proves who it is may present this assertion",
            ),
            Self::ResourceParameter
            | Self::ResourceMissing
            | Self::Policy(Decision { barred: Some(_), .. }) => {
                (ErrorCode::InvalidTarget, "the assertion gives this client no token for the resource")
            }
            Self::ScopeParameter(text) => (ErrorCode::InvalidScope, *text),
            Self::Policy(_) => {
                (ErrorCode::InvalidScope, "the assertion gives this client none of the scopes")
            }
        };
        let about = match &self {
            Self::Person(users::Refusal::Disabled(user)) => about.user(user),
            Self::SwitchedOff(provider) => about.provider(provider),
            Self::Policy(decision) => about.rules(decision.reasons()),
            _ => about,
        };
        ApiError::new(code, text).with_reason(self.to_string()).with_about(about.reason(self.code()))
    }
}

const fn code_of(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::TooLong
        | VerifyError::NotCompact
        | VerifyError::Base64(_)
        | VerifyError::Json(_)
        | VerifyError::Header(_)
        | VerifyError::PrivateKey
        | VerifyError::Key => "assertion_form",
        VerifyError::Kind => "assertion_type",
        VerifyError::Algorithm => "assertion_algorithm",
        VerifyError::Signature => "assertion_signature",
        VerifyError::Lookup(_) | VerifyError::NoKeys(_) => "assertion_key",
        VerifyError::Missing(_) | VerifyError::Malformed(_) => "assertion_claim",
        VerifyError::Expired => "assertion_expired",
        VerifyError::NotYetValid => "assertion_not_yet_valid",
        VerifyError::TooOld => "assertion_too_old",
    }
}
