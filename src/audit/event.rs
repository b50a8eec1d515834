//! What can be recorded, and with which particulars.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use crate::{
    entropy::Entropy,
    ids::{ClientId, GrantId, ProviderId, Reference, UserId},
    oauth::{resource::ResourceUri, scope::ScopeSet},
};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal $outcome:ident;)+) => {
        /// What happened. The names are stable: searches and alerts outside are built on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Kind {
            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// How it ended.
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$kind => Outcome::$outcome,)+ }
            }
        }
    };
}

kinds! {
    /// A person signed in at a provider and was let in.
    SignIn = "sign_in" Success;
    /// A sign-in ended without a session.
    SignInRefused = "sign_in.refused" Refused;
    /// A browser session was ended: by its owner, by an operator, or by the provider.
    SessionEnded = "session.ended" Success;
    /// An authorization request was turned away before anyone was asked.
    AuthorizationRefused = "authorization.refused" Refused;
    /// A person allowed a client something.
    ConsentGranted = "consent.granted" Success;
    /// A person allowed a client nothing.
    ConsentDenied = "consent.denied" Refused;
    /// A client registered itself (RFC 7591).
    ClientRegistered = "client.registered" Success;
    /// A registration was turned away.
    RegistrationRefused = "registration.refused" Refused;
    /// An access token was issued on any grant but a refresh token.
    TokenIssued = "token.issued" Success;
    /// An access token was issued on a refresh token.
    TokenRefreshed = "token.refreshed" Success;
    /// A token request was turned away.
    TokenRefused = "token.refused" Refused;
    /// An authorization code came a second time; what its first use issued was revoked (OAuth 2.1 §7.5).
    CodeReused = "code.reused" Refused;
    /// A used refresh token came again outside its retry window; its family was revoked.
    RefreshReused = "refresh.reused" Refused;
    /// A grant was ended, and with it every token that stands on it.
    GrantRevoked = "grant.revoked" Success;
    /// A signing or encryption key was made or met for the first time.
    KeyCreated = "key.created" Success;
    /// A signing key has got its successor, from whose first signature on it signs no more.
    KeyRetired = "key.retired" Success;
    /// The oldest part of this record was deleted because its time was over.
    AuditPruned = "audit.pruned" Success;
}

/// How what happened ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Success,
    /// It was turned away.
    Refused,
}

impl Outcome {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
        }
    }
}

/// Which request an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The number that error pages show and the log carries.
    pub reference: Reference,
    /// Where the request came from; `None` for the house's own work.
    pub ip: Option<IpAddr>,
}

impl Origin {
    /// No request's: what the house does of its own accord, or at an operator's command.
    pub fn house(entropy: &Entropy) -> Self {
        Self { reference: Reference::new(entropy), ip: None }
    }
}

/// How long one particular may be; longer ones are cut. Some come from strangers, and each row is kept for years.
const MAX_DETAIL_CHARS: usize = 200;

/// How many particulars one event may have; more than any event of ours names.
const MAX_DETAILS: usize = 16;

/// One thing that happened. Never put a token or a secret into it: their types have no `Display`, leave it so.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    pub(super) reason: Option<&'static str>,
    pub(super) user: Option<UserId>,
    pub(super) client: Option<ClientId>,
    pub(super) provider: Option<ProviderId>,
    pub(super) resource: Option<ResourceUri>,
    pub(super) scope: Option<ScopeSet>,
    pub(super) grant: Option<GrantId>,
    pub(super) details: BTreeMap<&'static str, String>,
}

macro_rules! particulars {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty;)+) => {$(
        $(#[doc = $doc])+
        #[must_use]
        pub fn $name(mut self, $name: &$type) -> Self {
            self.$name = Some($name.clone());
            self
        }
    )+};
}

impl Event {
    /// Something happened in the course of this request.
    pub fn new(kind: Kind, origin: &Origin) -> Self {
        Self {
            kind,
            origin: origin.clone(),
            reason: None,
            user: None,
            client: None,
            provider: None,
            resource: None,
            scope: None,
            grant: None,
            details: BTreeMap::new(),
        }
    }

    particulars! {
        /// Whom it is about.
        user: UserId;
        /// Which client it is about; of a refused request, the one that it named.
        client: ClientId;
        /// At which provider.
        provider: ProviderId;
        /// For which resource.
        resource: ResourceUri;
        /// Which scopes were given.
        scope: ScopeSet;
        /// Which grant it made, used or ended.
        grant: GrantId;
    }

    /// Why, as a stable code such as `code_expired`.
    #[must_use]
    pub fn reason(mut self, code: &'static str) -> Self {
        self.reason = Some(code);
        self
    }

    /// A further particular. What a reader needs to understand the event and no more: it may name a person.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if self.details.len() < MAX_DETAILS {
            self.details.insert(name, value.to_string().chars().take(MAX_DETAIL_CHARS).collect());
        }
        self
    }
}
