//! What an attacker would give to become somebody else, and the few ways in which two accounts are one person's.

use rstest::rstest;

use super::*;
use crate::{
    config::provider::{
        Provider,
        fixture::{id_jag, multi_tenant},
        id_jag::IdJag,
    },
    identity::{
        fixture::{ada, asserted, come, count, disable, provider},
        users::{Found, Resolved},
    },
    store::{Db, fixture::On},
};

/// A provider whose assertions may name our users.
fn naming(provider: Provider) -> Provider {
    Provider { id_jag: Some(IdJag { aud_sub: true, ..id_jag() }), ..provider }
}

/// An assertion of an issuer beside that of sign-in that names a user of ours.
async fn name(db: &Db, provider: &Provider, user: &str, tenant: Option<&str>) -> Result<Resolved, Refusal> {
    let mut who = asserted(provider, "https://jag", "1");
    who.voucher = Voucher::Assertion { aud_sub: Some(user.to_owned()) };
    who.tenant = tenant.map(str::to_owned);
    come(db, &who).await
}

#[rstest]
#[tokio::test]
async fn a_provider_may_name_its_own_people(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let okta = naming(provider("okta", &[]));
    let known = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    let user = known.user_id.as_str();
    let joined = name(&fresh.db, &okta, user, None).await.unwrap();
    assert_eq!((joined.found, joined.identity.user_id.as_str()), (Found::Linked(Link::AudSub), user));
    assert_eq!(name(&fresh.db, &okta, user, None).await.unwrap().found, Found::Known);
    assert_eq!(count(&fresh.db).await, (1, 2, 1));
}

#[rstest]
#[tokio::test]
async fn naming_counts_only_where_it_is_configured(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let mut okta = naming(provider("okta", &[]));
    okta.id_jag.as_mut().unwrap().aud_sub = false;
    let known = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    let other = name(&fresh.db, &okta, known.user_id.as_str(), None).await.unwrap();
    assert_eq!(other.found, Found::New);
    assert_ne!(other.identity.user_id, known.user_id);
}

#[rstest]
#[tokio::test]
async fn nobody_names_whom_it_does_not_know(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, partner) = (naming(provider("okta", &[])), naming(provider("partner", &[])));
    let hers = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity.user_id;
    come(&fresh.db, &ada(&partner, "https://p", "1")).await.unwrap();
    let before = count(&fresh.db).await;
    let upper = hers.as_str().to_uppercase();
    for named in [hers.as_str(), upper.as_str(), "01938f5e-8c00-7000-8000-000000000000", "ada", ""] {
        assert_eq!(name(&fresh.db, &partner, named, None).await, Err(Refusal::AudSub), "{named:?}");
    }
    assert_eq!(name(&fresh.db, &okta, &upper, None).await, Err(Refusal::AudSub));
    assert_eq!(count(&fresh.db).await, before);
}

/// The key of an account says whose it is; an assertion that says otherwise is refused.
#[rstest]
#[tokio::test]
async fn a_known_account_stays_whose_it_is(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let okta = naming(provider("okta", &[]));
    let ada_s = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    let eve_s = come(&fresh.db, &ada(&okta, "https://jag", "1")).await.unwrap().identity;
    assert_eq!(name(&fresh.db, &okta, ada_s.user_id.as_str(), None).await, Err(Refusal::AudSub));
    assert_eq!(name(&fresh.db, &okta, eve_s.user_id.as_str(), None).await.unwrap().found, Found::Known);
}

#[rstest]
#[tokio::test]
async fn a_user_who_is_shut_out_is_not_let_in_by_her_name(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let okta = naming(provider("okta", &[]));
    let known = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    disable(&fresh.db, &known.user_id).await;
    let named = name(&fresh.db, &okta, known.user_id.as_str(), None).await;
    assert_eq!(named, Err(Refusal::Disabled(known.user_id)));
    assert_eq!(count(&fresh.db).await, (1, 1, 0));
}

/// One tenant does not name another's people.
#[rstest]
#[case(Some("t1"), true)]
#[case(Some("t2"), false)]
#[case(None, false)]
#[tokio::test]
async fn a_tenant_names_its_own_people_alone(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] tenant: Option<&str>,
    #[case] joins: bool,
) {
    let Some(fresh) = on.fresh().await else { return };
    let mut many = naming(multi_tenant());
    let mut hers = ada(&many, "https://login.example/t1/v2.0", "1");
    hers.tenant = Some("t1".into());
    let known = come(&fresh.db, &hers).await.unwrap().identity;
    let named = name(&fresh.db, &many, known.user_id.as_str(), tenant).await;
    assert_eq!(named.is_ok(), joins, "{named:?}");

    // The same where tenants are told apart by a claim.
    many.issuer = provider("x", &[]).issuer;
    if tenant.is_some() {
        let named = name(&fresh.db, &many, known.user_id.as_str(), tenant).await;
        assert_eq!(named.is_ok(), joins, "{named:?}");
    }
}

#[rstest]
#[tokio::test]
async fn linked_providers_mean_one_person_by_one_verified_address(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, google) = (provider("okta", &["google"]), provider("google", &["okta"]));
    let first = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    let mut at_google = ada(&google, "https://g", "9");
    at_google.email = Some("ADA@Acme.com".into());
    let joined = come(&fresh.db, &at_google).await.unwrap();
    assert_eq!(joined.found, Found::Linked(Link::VerifiedEmail));
    assert_eq!(joined.identity.user_id, first.user_id);
    assert_eq!(count(&fresh.db).await, (1, 2, 1));
    // From now on the key counts, whatever becomes of the address.
    at_google.email = Some("eve@acme.com".into());
    assert_eq!(come(&fresh.db, &at_google).await.unwrap().identity.user_id, first.user_id);
}

/// Ada is known at `okta`; what comes next is an account at `google` that is not hers.
#[rstest]
#[case::not_linked(&[], &[], true, Some("ada@acme.com"), Some(true))]
#[case::linked_elsewhere(&["google"], &["partner"], true, Some("ada@acme.com"), Some(true))]
#[case::hers_is_not_verified(&["google"], &["okta"], false, Some("ada@acme.com"), Some(true))]
#[case::the_new_one_is_not_verified(&["google"], &["okta"], true, Some("ada@acme.com"), Some(false))]
#[case::nothing_is_said_of_the_new_one(&["google"], &["okta"], true, Some("ada@acme.com"), None)]
#[case::another_address(&["google"], &["okta"], true, Some("ada@acme.com.evil.example"), Some(true))]
#[case::no_address(&["google"], &["okta"], true, None, Some(true))]
#[case::a_letter_that_looks_alike(&["google"], &["okta"], true, Some("ada@acm\u{435}.com"), Some(true))]
#[tokio::test]
async fn an_address_alone_is_nobody(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] okta_links: &[&str],
    #[case] google_links: &[&str],
    #[case] known_verified: bool,
    #[case] email: Option<&str>,
    #[case] email_verified: Option<bool>,
) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, google) = (provider("okta", okta_links), provider("google", google_links));
    let hers = VerifiedIdentity { email_verified: Some(known_verified), ..ada(&okta, "https://a", "1") };
    come(&fresh.db, &hers).await.unwrap();
    let email = email.map(str::to_owned);
    let other = VerifiedIdentity { email, email_verified, ..ada(&google, "https://g", "9") };
    assert_eq!(come(&fresh.db, &other).await.unwrap().found, Found::New);
    assert_eq!(count(&fresh.db).await, (2, 2, 0));
}

/// `K`, the sign for kelvin, has the lower case `k`; a database may know that.
#[rstest]
#[tokio::test]
async fn letters_beyond_ascii_link_nobody(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, google) = (provider("okta", &["google"]), provider("google", &["okta"]));
    let of = |who, email: &str| VerifiedIdentity { email: Some(email.into()), ..who };
    come(&fresh.db, &of(ada(&okta, "https://a", "1"), "\u{212A}ate@acme.com")).await.unwrap();
    for (subject, email) in [("1", "kate@acme.com"), ("2", "\u{212A}ate@acme.com")] {
        let found = come(&fresh.db, &of(ada(&google, "https://g", subject), email)).await.unwrap().found;
        assert_eq!(found, Found::New, "{email}");
    }
}

/// An issuer that gives an address to somebody else says that these are two people.
#[rstest]
#[tokio::test]
async fn an_address_that_was_given_to_somebody_else_does_not_bring_the_account_along(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, google) = (provider("okta", &["google", "okta"]), provider("google", &["okta"]));
    come(&fresh.db, &ada(&google, "https://g", "9")).await.unwrap();
    let mut hers = ada(&okta, "https://a", "1");
    let joined = come(&fresh.db, &hers).await.unwrap();
    assert_eq!(joined.found, Found::Linked(Link::VerifiedEmail));
    // Her address changes at okta, and the next employee gets the old one.
    hers.email = Some("ada@byron.uk".into());
    come(&fresh.db, &hers).await.unwrap();
    let next = come(&fresh.db, &ada(&okta, "https://a", "2")).await.unwrap();
    assert_eq!(next.found, Found::New);
    assert_ne!(next.identity.user_id, joined.identity.user_id);
}

#[rstest]
#[tokio::test]
async fn an_address_of_several_people_is_nobodys(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let okta = provider("okta", &["google"]);
    let google = provider("google", &["okta", "google"]);
    for (issuer, subject) in [("https://a", "1"), ("https://a", "2")] {
        come(&fresh.db, &ada(&okta, issuer, subject)).await.unwrap();
    }
    assert_eq!(come(&fresh.db, &ada(&google, "https://g", "9")).await, Err(Refusal::Ambiguous));
    assert_eq!(count(&fresh.db).await, (2, 2, 0));
}

#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_does_not_come_back_by_another_provider(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(fresh) = on.fresh().await else { return };
    let (okta, google) = (provider("okta", &["google"]), provider("google", &["okta"]));
    let known = come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap().identity;
    disable(&fresh.db, &known.user_id).await;
    let back = come(&fresh.db, &ada(&google, "https://g", "9")).await;
    assert_eq!(back, Err(Refusal::Disabled(known.user_id)));
    assert_eq!(count(&fresh.db).await, (1, 1, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_appearances_at_two_linked_providers_at_once_make_one_user(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(fresh) = on.fresh().await else { return };
    for round in 0..8 {
        let come = |id: &'static str, issuer: &'static str| {
            let db = fresh.db.clone();
            tokio::spawn(async move {
                let provider = provider(id, &["okta", "google"]);
                let who = ada(&provider, issuer, "1");
                let email = Some(format!("ada-{round}@acme.com"));
                come(&db, &VerifiedIdentity { email, subject: round.to_string(), ..who }).await.unwrap()
            })
        };
        let (a, b) = (come("okta", "https://a"), come("google", "https://g"));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        assert_eq!(a.identity.user_id, b.identity.user_id);
        assert_eq!(count(&fresh.db).await, (round + 1, 2 * (round + 1), round + 1));
    }
}
