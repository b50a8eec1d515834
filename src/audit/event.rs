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
    /// An account that was seen for the first time joined a user who was known by another.
    IdentityLinked = "identity.linked" Success;
    /// A browser session was ended: by its owner, by an operator, or by the provider.
    SessionEnded = "session.ended" Success;
    /// A provider said that a session of its own is over, and what was born of it here was ended.
    LogoutReceived = "logout.received" Success;
    /// A logout token was turned away.
    LogoutRefused = "logout.refused" Refused;
    /// An authorization request was turned away before anyone was asked.
    AuthorizationRefused = "authorization.refused" Refused;
    /// A person allowed a client something.
    ConsentGranted = "consent.granted" Success;
    /// A person allowed a client nothing.
    ConsentDenied = "consent.denied" Refused;
    /// A person took back what she had allowed a client.
    ConsentWithdrawn = "consent.withdrawn" Success;
    /// A client registered itself (RFC 7591).
    ClientRegistered = "client.registered" Success;
    /// A registration was turned away.
    RegistrationRefused = "registration.refused" Refused;
    /// An access token was issued on any grant but the two below.
    TokenIssued = "token.issued" Success;
    /// An access token was issued on a refresh token.
    TokenRefreshed = "token.refreshed" Success;
    /// The server of a resource got a token at another one for a user whose token it was sent (RFC 8693).
    TokenExchanged = "token.exchanged" Success;
    /// A grant for the authorization server of somebody else was issued (ID-JAG).
    IdJagIssued = "id_jag.issued" Success;
    /// The server of a resource got the token of a person's account at a vendor.
    ConnectionVended = "connection.vended" Success;
    /// A job got it while the person was not there.
    ConnectionVendedOffline = "connection.vended_offline" Success;
    /// Either got none, since the person has to do something first, and was given a link for her.
    ConnectionNeeded = "connection.needed" Refused;
    /// A token request was turned away.
    TokenRefused = "token.refused" Refused;
    /// An authorization code came a second time; what its first use issued was revoked (OAuth 2.1 §7.5).
    CodeReused = "code.reused" Refused;
    /// A used refresh token came again outside its retry window; its family was revoked.
    RefreshReused = "refresh.reused" Refused;
    /// A grant was ended, and with it every token that stands on it.
    GrantRevoked = "grant.revoked" Success;
    /// An operator switched a client off.
    ClientDisabled = "client.disabled" Success;
    /// An operator switched a client on again.
    ClientEnabled = "client.enabled" Success;
    /// An operator switched a provider off.
    ProviderDisabled = "provider.disabled" Success;
    /// An operator switched a provider on again.
    ProviderEnabled = "provider.enabled" Success;
    /// An operator shut a person out, and all of her access ended.
    UserDisabled = "user.disabled" Success;
    /// An operator let a person in again.
    UserEnabled = "user.enabled" Success;
    /// An operator shut a person out for good: all of her access ended, and what she had allowed was withdrawn.
    UserOffboarded = "user.offboarded" Success;
    /// A person's account elsewhere was connected, or connected again.
    ConnectionMade = "connection.made" Success;
    /// An account was not connected, because somebody or a rule decided so.
    ConnectionRefused = "connection.refused" Refused;
    /// A person chose with which of its sites an account is used.
    ConnectionSiteChosen = "connection.site_chosen" Success;
    /// A server behind a connection registered us as its client.
    ConnectionRegistered = "connection.registered" Success;
    /// That no longer counts: the server has forgotten us, or an operator wants it to register us anew.
    ConnectionUnregistered = "connection.unregistered" Success;
    /// The vendor of a connection gave new tokens, and they are kept.
    ConnectionRefreshed = "connection.refreshed" Success;
    /// The vendor of a connection gave no new token; it is asked again.
    ConnectionDegraded = "connection.degraded" Refused;
    /// A connection is of no use any more until its person connects again.
    ConnectionLost = "connection.lost" Refused;
    /// A connection was ended, and its tokens are owed to the vendor.
    ConnectionEnded = "connection.ended" Success;
    /// The vendor ended the tokens of a connection that is gone.
    ConnectionRevoked = "connection.revoked" Success;
    /// The tokens of a connection that is gone live on at the vendor until they expire.
    ConnectionNotRevoked = "connection.not_revoked" Refused;
    /// An operator switched a connection off: one person's, or what everybody has of it.
    ConnectionDisabled = "connection.disabled" Success;
    /// An operator switched a connection on again.
    ConnectionEnabled = "connection.enabled" Success;
    /// A person gave a connection another label, or made it the one that is meant where nobody says which.
    ConnectionChanged = "connection.changed" Success;
    /// A signing or encryption key was made or met for the first time.
    KeyCreated = "key.created" Success;
    /// A signing key has got its successor, from whose first signature on it signs no more.
    KeyRetired = "key.retired" Success;
    /// An encryption key by which nothing is sealed any more has left the configuration.
    KeyDropped = "key.dropped" Success;
    /// Sealed values began to be moved from old encryption keys to the first.
    RewrapBegun = "rewrap.begun" Success;
    /// It ended.
    RewrapEnded = "rewrap.ended" Success;
    /// A sealed value did not open: somebody has changed or moved it, or its key is missing.
    SealRefused = "seal.refused" Refused;
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

/// How long the list of the rules that refused something may be. Their names are the operator's, but for scopes that
/// somebody made up.
const MAX_RULES_CHARS: usize = 2000;

/// How many of the scopes that were asked for and refused are kept; no resource has as many.
const MAX_ASKED_SCOPES: usize = 32;

/// Whom and what something is about: what is known of a request that is refused, too, so that the same question can be
/// put to the rules again later.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub(super) user: Option<UserId>,
    pub(super) client: Option<ClientId>,
    pub(super) provider: Option<ProviderId>,
    pub(super) resource: Option<ResourceUri>,
    pub(super) scope: Option<ScopeSet>,
    pub(super) grant: Option<GrantId>,
    reason: Option<&'static str>,
    subject: Option<String>,
    rules: String,
}

/// One thing that happened. Never put a token or a secret into it: their types have no `Display`, leave it so.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    pub(super) reason: Option<&'static str>,
    pub(super) about: About,
    pub(super) details: BTreeMap<&'static str, String>,
}

macro_rules! particulars {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty;)+) => {
        impl About {$(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $name(mut self, $name: &$type) -> Self {
                self.$name = Some($name.clone());
                self
            }
        )+}

        impl Event {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $name(mut self, $name: &$type) -> Self {
                    self.about = self.about.$name($name);
                    self
                }
            )+

            /// Everything that is known of it; what `about` leaves open stays.
            #[must_use]
            pub fn about(mut self, about: About) -> Self {
                let About { rules, reason, subject, $($name,)+ } = about;
                $(self.about.$name = $name.or(self.about.$name);)+
                self.reason = reason.or(self.reason);
                if let Some(subject) = subject {
                    self = self.detail("subject", subject);
                }
                if rules.is_empty() { self } else { self.with("rules", rules) }
            }
        }
    };
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

impl About {
    /// Why, as a stable code that says more than the wire does.
    #[must_use]
    pub const fn reason(mut self, code: &'static str) -> Self {
        self.reason = Some(code);
        self
    }

    /// Whom it is about, as her provider names her: for one who is no user of ours, or not yet.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Which scopes were asked for, where nothing was given.
    #[must_use]
    pub fn asked(mut self, scope: &ScopeSet) -> Self {
        self.scope = Some(scope.iter().take(MAX_ASKED_SCOPES).cloned().collect());
        self
    }

    /// The rules that refused it, each by its path in the configuration.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        let rules: Vec<_> = rules.into_iter().map(|rule| rule.to_string()).collect();
        self.rules = rules.join(", ").chars().take(MAX_RULES_CHARS).collect();
        self
    }
}

impl Event {
    /// Something happened in the course of this request.
    pub fn new(kind: Kind, origin: &Origin) -> Self {
        Self { kind, origin: origin.clone(), reason: None, about: About::default(), details: BTreeMap::new() }
    }

    /// Why, as a stable code such as `code_expired`.
    #[must_use]
    pub fn reason(mut self, code: &'static str) -> Self {
        self.reason = Some(code);
        self
    }

    /// A further particular. What a reader needs to understand the event and no more: it may name a person.
    #[must_use]
    pub fn detail(self, name: &'static str, value: impl fmt::Display) -> Self {
        self.with(name, value.to_string().chars().take(MAX_DETAIL_CHARS).collect())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        if self.details.len() < MAX_DETAILS {
            self.details.insert(name, value);
        }
        self
    }
}
