//! Where a person is sent to connect an account (RFC 6749 §4.1.1).

use url::Url;

use super::{Vendors, failure::VendorError};
use crate::{
    config::connection::{
        Connection,
        behaviour::{Incremental, Pkce},
    },
    oauth::{pkce::CodeChallenge, scope::ScopeSet},
};

/// One account that shall be connected.
#[derive(Debug, Clone, Copy)]
pub struct Authorization<'a> {
    /// Our address for the answer.
    pub redirect_uri: &'a str,
    /// What ties the answer to the browser.
    pub state: &'a str,
    /// What ties the code to us (RFC 7636); left out where the vendor takes none.
    pub challenge: &'a CodeChallenge,
    /// What the account shall allow.
    pub scopes: &'a ScopeSet,
    /// What it allows already.
    pub held: &'a ScopeSet,
}

impl Vendors {
    /// The vendor's page on which the person allows it.
    pub async fn authorize_url(
        &self,
        connection: &Connection,
        authorization: &Authorization<'_>,
    ) -> Result<Url, VendorError> {
        let reached = self.reach(connection).await?;
        let behaviour = &reached.behaviour;
        let mut url = reached.url("authorize_url")?.clone();
        let wanted = match behaviour.scopes.incremental {
            Incremental::Union => authorization.scopes.union(authorization.held),
            Incremental::Added => authorization.scopes.difference(authorization.held),
        };
        // Nothing new: it is asked anew for what it shall have.
        let wanted = if wanted.is_empty() { authorization.scopes.clone() } else { wanted };
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &reached.client_id)
            .append_pair("redirect_uri", authorization.redirect_uri)
            .append_pair("state", authorization.state);
        if !wanted.is_empty() {
            query.append_pair(&behaviour.scopes.parameter, &behaviour.scopes.written(&wanted));
        }
        if behaviour.pkce != Pkce::Off {
            query
                .append_pair("code_challenge", authorization.challenge.as_str())
                .append_pair("code_challenge_method", "S256");
        }
        query.extend_pairs(reached.resource.iter().map(|resource| ("resource", resource)));
        query.extend_pairs(&behaviour.authorize_params);
        drop(query);
        Ok(url)
    }
}
