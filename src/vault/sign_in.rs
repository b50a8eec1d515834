//! The tokens of a sign-in, kept as a connection, so that the provider's own APIs need no second screen.
//!
//! A sign-in asks for what the connection needs, too. Whether anything is kept of it, the person is signed in: the
//! rules of the connection, an outage, or a fault of ours cost her the connection alone. What is not kept is forgotten
//! and not ended at the provider, where that could end her sign-in or her consent. A connection that was ended comes
//! back by no sign-in, before she has connected the account herself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    connect::NotConnected,
    keep::{Arrived, How, Keeping, NotKept, Prepared, Written},
    safe::Kept,
    vendor::VendorError,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    config::{
        Config,
        connection::Connection as Configured,
        provider::{Provider, Recheck},
    },
    oauth::scope::{Scope, ScopeSet},
    secret::Secret,
    store::{
        StoreError, connections,
        sessions::{self, SignedIn},
        sign_in_tokens,
        switched_off::{self, Switch},
    },
    web::request::Origin,
};

/// How often the rows may change between reading and writing them.
const ATTEMPTS: u32 = 5;

/// How long a person who signs in waits for it. It goes on without her.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a sign-in asks for besides, for the sake of what its tokens become.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct KeptAs {
    /// Scopes.
    pub scopes: ScopeSet,
    /// Parameters of the authorization request.
    pub params: BTreeMap<String, String>,
}

impl KeptAs {
    /// Nothing, where the provider's tokens are not kept. When the person is asked is the sign-in's to say (`prompt`).
    pub fn of(config: &Config, provider: &Provider) -> Self {
        let Some((scopes, configured)) = becomes(config, provider) else { return Self::default() };
        let params = configured.app.behaviour.authorize_params.iter();
        let params = params.filter(|(name, _)| *name != "prompt");
        Self { scopes, params: params.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// All scopes of a sign-in, each once.
    pub fn with_scopes<'a>(&'a self, provider: &'a Provider) -> impl Iterator<Item = &'a str> {
        let more = self.scopes.iter().map(Scope::as_str);
        let more = more.filter(|scope| !provider.scopes.iter().any(|own| own == scope));
        provider.scopes.iter().map(String::as_str).chain(more)
    }
}

/// What the tokens of a sign-in become, and what it asks for on that account.
fn becomes<'a>(config: &'a Config, provider: &Provider) -> Option<(ScopeSet, &'a Configured)> {
    let keeps = provider.keeps.as_ref()?;
    let configured = config.connections.get(&keeps.connection)?;
    Some((keeps.scopes(configured), configured))
}

/// Why the tokens of a sign-in are not kept.
#[derive(Debug, thiserror::Error)]
enum Forgotten {
    /// They could not be connected either.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The connection was ended.
    #[error("the connection was ended, and not made again by the person")]
    Ended,
    /// What is kept gives more.
    #[error("they give less than those that are kept")]
    Less,
    /// The session has ended meanwhile.
    #[error("signed out meanwhile")]
    SignedOut,
    /// Our own fault.
    #[error(transparent)]
    Kept(#[from] NotKept),
    /// Our database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<VendorError> for Forgotten {
    fn from(error: VendorError) -> Self {
        NotConnected::from(error).into()
    }
}

/// A sign-in whose tokens are to be kept.
struct Arrival {
    app: Arc<App>,
    provider: Provider,
    configured: Configured,
    asked: ScopeSet,
    signed_in: SignedIn,
    origin: Origin,
}

/// Keeps the tokens of a sign-in that has succeeded, if the provider's entry says so. `answer`: the token endpoint's.
pub async fn keep(
    app: &Arc<App>,
    provider: &Provider,
    (signed_in, answer): (&SignedIn, Secret),
    origin: &Origin,
) {
    let Some((more, configured)) = becomes(&app.config, provider) else { return };
    let own = provider.scopes.iter().filter_map(|scope| Scope::try_from(scope.clone()).ok());
    let arrival = Arrival {
        app: Arc::clone(app),
        provider: provider.clone(),
        configured: configured.clone(),
        asked: own.collect::<ScopeSet>().union(&more),
        signed_in: signed_in.clone(),
        origin: origin.clone(),
    };
    let keeping = tokio::spawn(async move {
        if let Err(error) = arrival.keep(&answer).await {
            arrival.report(&error).await;
        }
    });
    if timeout(PATIENCE, keeping).await.is_err() {
        tracing::info!(connection = %configured.name, "keeping the tokens of a sign-in takes long");
    }
}

impl Arrival {
    async fn keep(&self, answer: &Secret) -> Result<(), Forgotten> {
        let Self { app, configured, .. } = self;
        if switched_off::is_off(&app.db, Switch::Connection(&configured.name)).await? {
            return Err(NotConnected::Disabled.into());
        }
        if self.was_ended().await? {
            return Err(Forgotten::Ended);
        }
        let vendors = &app.vault.vendors;
        let tokens = vendors.came_with_sign_in(configured, answer, &self.asked).await?;
        let account = vendors.account(configured, &tokens).await?;
        if let Some(rule) = account.breaks(&configured.account.require) {
            return Err(NotConnected::Rule(rule).into());
        }
        let arrived = Arrived {
            account,
            scope: tokens.scopes,
            names_scope: tokens.names_scopes,
            details: tokens.details,
            expires_at: tokens.expires_at,
            refresh_expires_at: tokens.refresh_expires_at,
            tokens: Kept { access: tokens.access_token, refresh: tokens.refresh_token },
        };
        let keeping = Keeping { user: &self.signed_in.user_id, configured, renews: None, label: None };
        for _ in 0..ATTEMPTS {
            let prepared = match Prepared::of(app, keeping, &arrived).await {
                Ok(prepared) => prepared,
                Err(NotKept::AnotherAccount) => return Err(NotConnected::AnotherAccount(None).into()),
                Err(NotKept::Disabled) => return Err(NotConnected::Disabled.into()),
                Err(fault) => return Err(fault.into()),
            };
            if prepared.gives_less(&arrived.scope) {
                return Err(Forgotten::Less);
            }
            if self.was_ended().await? {
                return Err(Forgotten::Ended);
            }
            if self.write(&prepared, &arrived).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Whether tokens were kept before, and no connection of that name is left. Where the provider is to be asked by
    /// them, they are kept all the same.
    async fn was_ended(&self) -> Result<bool, StoreError> {
        if self.provider.recheck == Recheck::Upstream {
            return Ok(false);
        }
        let (db, name) = (&self.app.db, &self.configured.name);
        let before = sign_in_tokens::find(db, &self.signed_in.identity_id, name).await?;
        Ok(before.is_some()
            && connections::of_user_named(db, &self.signed_in.user_id, name).await?.is_empty())
    }

    /// `false`: the rows have changed since they were read.
    async fn write(&self, prepared: &Prepared, arrived: &Arrived) -> Result<bool, Forgotten> {
        let Self { app, configured, signed_in, .. } = self;
        let mut tx = app.db.begin().await?;
        if !sessions::hold(&mut tx, &signed_in.id, app.clock.now()).await? {
            return Err(Forgotten::SignedOut);
        }
        let Some(written) = prepared.write(app, &mut tx).await? else { return Ok(false) };
        sign_in_tokens::put(&mut tx, &signed_in.identity_id, (&configured.name, &written.id)).await?;
        app.record(&mut tx, &self.event(arrived, &written)).await?;
        tx.commit().await?;
        if written.how == How::Changed {
            app.vault.owed.notify_one();
        }
        Ok(true)
    }

    fn event(&self, arrived: &Arrived, written: &Written) -> Event {
        Event::new(Kind::ConnectionMade, &self.origin.recorded)
            .user(&self.signed_in.user_id)
            .provider(&self.provider.id)
            .reason(written.how.code())
            .scope(&arrived.scope)
            .detail("connection", &self.configured.name)
            .detail("connection_id", &written.id)
            .detail("account", &arrived.account.id)
            .detail("session", &self.signed_in.id)
    }

    /// Logs it, and records it where somebody decided it.
    async fn report(&self, error: &Forgotten) {
        let connection = &self.configured.name;
        let user = &self.signed_in.user_id;
        match error {
            Forgotten::Ended | Forgotten::Less | Forgotten::SignedOut => {
                tracing::info!(%connection, %user, why = %error, "the tokens of a sign-in are not kept");
            }
            _ => tracing::warn!(%connection, %user, why = %error, "the tokens of a sign-in are not kept"),
        }
        let Forgotten::NotConnected(refused) = error else { return };
        let Some(event) = refused.event(&self.configured, user, &self.origin) else { return };
        let event = event.provider(&self.provider.id).detail("session", &self.signed_in.id);
        if let Err(error) = self.app.record_refusal(&self.origin, &event).await {
            tracing::error!(%connection, %error, "a refusal could not be recorded");
        }
    }
}
