//! Who an assertion (ID-JAG) is about: its claims become a [`VerifiedIdentity`] by the rules of its issuer
//! (draft-ietf-oauth-identity-assertion-authz-grant §3.1, §6).

use serde_json::Value;

use super::{
    authentication::Authentication,
    claims::{Claims, NoSubject},
    verified::{VerifiedIdentity, Voucher},
};
use crate::{
    config::{
        claims::ClaimPath,
        provider::{Provider, Tenants},
    },
    jose::json::Object,
};

/// How an issuer of assertions names people.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// The issuer under which its people are known: its own, or the one that they sign in by.
    pub issuer: &'a str,
    /// The claims that together are a person's key there.
    pub subject: &'a [ClaimPath],
    /// The tenants that are let in, of an issuer that has such.
    pub tenants: Option<&'a Tenants>,
}

/// Why an assertion, good as its signature may be, names nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NobodyNamed {
    /// A claim that tells people apart is missing.
    #[error(transparent)]
    Subject(#[from] NoSubject),
    /// `tenant` is missing or not among those of the configuration; or it is there although none are configured, and
    /// the same `sub` in two tenants would be one person.
    #[error("tenant is missing, not listed, or there although the issuer is configured without tenants")]
    Tenant,
    /// `aud_tenant` is not our name for the provider's people.
    #[error("aud_tenant is not this provider's organization")]
    AudTenant,
    /// `aud_sub` is no text.
    #[error("aud_sub is no text")]
    AudSub,
}

/// Whom an assertion is about.
pub fn of_assertion<'p>(
    provider: &'p Provider,
    naming: Naming<'_>,
    authentication: Authentication,
    signed: Object,
) -> Result<VerifiedIdentity<'p>, NobodyNamed> {
    let tenant = match (signed.get("tenant"), naming.tenants) {
        (None, None) => None,
        (Some(Value::String(named)), Some(tenants)) if tenants.contains(named) => Some(named.clone()),
        _ => return Err(NobodyNamed::Tenant),
    };
    if signed.get("aud_tenant").is_some_and(|named| named.as_str() != provider.organization.as_deref()) {
        return Err(NobodyNamed::AudTenant);
    }
    let aud_sub = match signed.get("aud_sub") {
        None => None,
        Some(Value::String(named)) => Some(named.clone()),
        Some(_) => return Err(NobodyNamed::AudSub),
    };
    let claims = Claims { signed, userinfo: None };
    let key = (naming.issuer.to_owned(), naming.subject);
    let mut who = claims.identity(provider, key, authentication, Voucher::Assertion { aud_sub })?;
    who.tenant = tenant.or(who.tenant);
    Ok(who)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::config::provider::fixture::{path, provider};

    fn of(subject: &[&str], tenants: &[&str], claims: &Value) -> Result<String, NobodyNamed> {
        let provider = provider();
        let subject: Vec<_> = subject.iter().map(|claim| path(claim)).collect();
        let tenants = Tenants::new(tenants.iter().map(|&tenant| tenant.to_owned()));
        let mut signed = json!({ "sub": "ada" }).as_object().unwrap().clone();
        signed.extend(claims.as_object().unwrap().clone());
        let naming = Naming { issuer: "https://idp.acme.com", subject: &subject, tenants: tenants.as_ref() };
        of_assertion(&provider, naming, Authentication::default(), signed).map(|who| who.subject)
    }

    #[test]
    fn the_same_sub_in_two_tenants_is_two_people() {
        let of = |tenant: &str| of(&["tenant", "sub"], &["t1", "t2"], &json!({ "tenant": tenant }));
        assert_eq!(of("t1").unwrap(), "t1|ada");
        assert_eq!(of("t2").unwrap(), "t2|ada");
        assert_eq!(of("t3"), Err(NobodyNamed::Tenant));
    }

    #[rstest]
    #[case("missing", &["t1"], json!({}))]
    #[case("nobody reckoned with it", &[], json!({ "tenant": "t1" }))]
    #[case("no text", &["t1"], json!({ "tenant": ["t1"] }))]
    #[case("null", &[], json!({ "tenant": null }))]
    fn a_tenant_is_exactly_where_it_is_configured(
        #[case] why: &str,
        #[case] tenants: &[&str],
        #[case] claims: Value,
    ) {
        assert_eq!(of(&["sub"], tenants, &claims), Err(NobodyNamed::Tenant), "{why}");
    }

    #[rstest]
    #[case(json!({ "aud_tenant": "acme" }), None)]
    #[case(json!({ "aud_tenant": "partner" }), Some(NobodyNamed::AudTenant))]
    #[case(json!({ "aud_tenant": null }), Some(NobodyNamed::AudTenant))]
    #[case(json!({ "aud_sub": "u1" }), None)]
    #[case(json!({ "aud_sub": ["u1"] }), Some(NobodyNamed::AudSub))]
    fn what_names_us_must_name_us(#[case] claims: Value, #[case] refused: Option<NobodyNamed>) {
        assert_eq!(of(&["sub"], &[], &claims).err(), refused);
    }

    #[test]
    fn every_part_of_the_key_is_required() {
        assert!(matches!(of(&["uid"], &[], &json!({})), Err(NobodyNamed::Subject(_))));
    }
}
