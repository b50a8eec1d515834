//! Who is known, what is kept of her, and who stays outside.

use rstest::rstest;

use super::*;
use crate::{
    config::provider::{EntryRules, Provider, Requirements},
    identity::fixture::{ada, asserted, come, count, disable, provider},
    store::{fixture::On, identities, on},
};

#[rstest]
#[tokio::test]
async fn an_address_is_no_key_and_neither_is_a_subject_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    let first = come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap();
    for (issuer, subject) in [("https://a", "2"), ("https://b", "1"), ("https://a", "1 ")] {
        for other in [asserted(&provider, issuer, subject), ada(&provider, issuer, subject)] {
            let resolved = come(&fresh.db, &other).await.unwrap();
            assert_ne!(resolved.identity.user_id, first.identity.user_id);
        }
    }
    let again = come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap();
    assert_eq!((again.found, again.identity.id), (Found::Known, first.identity.id));
    assert_eq!(count(&fresh.db).await, (4, 4, 0));
}

/// Whether the browser or an assertion came first.
#[rstest]
#[tokio::test]
async fn sign_in_and_assertion_mean_one_user(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] browser_first: bool,
) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    let mut ways = [ada(&provider, "https://a", "1"), asserted(&provider, "https://a", "1")];
    if !browser_first {
        ways.reverse();
    }
    let first = come(&fresh.db, &ways[0]).await.unwrap();
    let second = come(&fresh.db, &ways[1]).await.unwrap();
    assert_eq!((first.found, second.found), (Found::New, Found::Known));
    assert_eq!(first.identity.id, second.identity.id);
    let kept = second.identity;
    assert_eq!((kept.email.as_deref(), kept.email_verified), (Some("ada@acme.com"), true));
    assert_eq!((kept.name.as_deref(), kept.groups.0), (Some("Ada"), vec!["staff".to_owned()]));
}

#[rstest]
#[tokio::test]
async fn what_the_provider_says_last_holds(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    let mut ada = ada(&provider, "https://a", "1");
    come(&fresh.db, &ada).await.unwrap();
    (ada.name, ada.email, ada.groups) = (None, Some("ada@byron.uk".into()), Groups::TooMany);
    let kept = come(&fresh.db, &ada).await.unwrap().identity;
    assert_eq!((kept.name, kept.email.as_deref(), kept.groups.0), (None, Some("ada@byron.uk"), vec![]));
    let shown: (Option<String>, Option<String>) =
        on!(fresh.db, |e| sqlx::query_as("SELECT name, email FROM users").fetch_one(e).await).unwrap();
    assert_eq!(shown, (Some("Ada".into()), Some("ada@byron.uk".into())));
}

/// At sign-in silence means none; an assertion's silence means nothing.
#[rstest]
#[case::nothing((None, None, Groups::Unsaid), ("ada@acme.com", true, "staff"))]
#[case::the_same_address((Some("ada@acme.com"), None, Groups::Unsaid), ("ada@acme.com", true, "staff"))]
#[case::no_longer_verified((Some("ada@acme.com"), Some(false), Groups::Unsaid), ("ada@acme.com", false, "staff"))]
#[case::another_address((Some("eve@acme.com"), None, Groups::Unsaid), ("eve@acme.com", false, "staff"))]
#[case::another_verified((Some("eve@acme.com"), Some(true), Groups::Unsaid), ("eve@acme.com", true, "staff"))]
#[case::no_groups((None, None, Groups::of([])), ("ada@acme.com", true, ""))]
#[case::other_groups((None, None, Groups::of(["boss".into()])), ("ada@acme.com", true, "boss"))]
#[case::too_many_groups((None, None, Groups::TooMany), ("ada@acme.com", true, ""))]
#[tokio::test]
async fn an_assertion_changes_what_it_speaks_of(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] (email, email_verified, groups): (Option<&str>, Option<bool>, Groups),
    #[case] (kept_email, kept_verified, kept_groups): (&str, bool, &str),
) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap();
    let said = VerifiedIdentity {
        email: email.map(str::to_owned),
        email_verified,
        groups,
        ..asserted(&provider, "https://a", "1")
    };
    let kept = come(&fresh.db, &said).await.unwrap().identity;
    assert_eq!((kept.email.as_deref(), kept.email_verified), (Some(kept_email), kept_verified));
    assert_eq!((kept.name.as_deref(), kept.groups.0.join(" ").as_str()), (Some("Ada"), kept_groups));
}

/// The rules are asked of what an assertion says, and of what the provider said before where it is silent.
#[rstest]
#[case::as_at_sign_in(true, Groups::Unsaid, true)]
#[case::still_in(true, Groups::of(["staff".into()]), true)]
#[case::no_longer(true, Groups::of(["guests".into()]), false)]
#[case::too_many(true, Groups::TooMany, false)]
#[case::never_heard_of(false, Groups::Unsaid, false)]
#[case::said_at_once(false, Groups::of(["staff".into()]), true)]
#[tokio::test]
async fn nobody_comes_in_past_the_entry_rules(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] signed_in_before: bool,
    #[case] groups: Groups,
    #[case] comes_in: bool,
) {
    let Some(fresh) = on.fresh().await else { return };
    let rules = Requirements {
        groups: vec!["staff".into()],
        email_domains: vec!["acme.com".into()],
        ..Requirements::default()
    };
    let provider = Provider { sign_in: EntryRules::Require(rules), ..provider("okta", &[]) };
    let mut said = VerifiedIdentity { groups, ..asserted(&provider, "https://a", "1") };
    if signed_in_before {
        come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap();
    } else {
        (said.email, said.email_verified) = (Some("ada@acme.com".into()), Some(true));
    }
    let before = count(&fresh.db).await;
    let came = come(&fresh.db, &said).await;
    if comes_in {
        assert!(came.is_ok(), "{came:?}");
    } else {
        assert_eq!(came.unwrap_err().code(), "entry_groups");
        assert_eq!(count(&fresh.db).await, before);
    }
}

#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_stays_out_and_leaves_no_trace(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] by_browser: bool,
) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    let known = come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap().identity;
    disable(&fresh.db, &known.user_id).await;
    let mut again =
        if by_browser { ada(&provider, "https://a", "1") } else { asserted(&provider, "https://a", "1") };
    again.email = Some("new@acme.com".into());
    assert_eq!(come(&fresh.db, &again).await, Err(Refusal::Disabled(known.user_id.clone())));
    assert_eq!(identities::find_enabled(&fresh.db, &known.id).await.unwrap(), None);
    let kept = identities::of_user(&fresh.db, &known.user_id).await.unwrap();
    assert_eq!((&kept[0].identity, kept[0].disabled_at.is_some()), (&known, true));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_appearances_of_one_person_make_one_user(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let appearances: Vec<_> = (0..16)
        .map(|n| {
            let db = fresh.db.clone();
            tokio::spawn(async move {
                let provider = provider("okta", &["okta"]);
                let who = if n % 2 == 0 {
                    ada(&provider, "https://a", "1")
                } else {
                    asserted(&provider, "https://a", "1")
                };
                come(&db, &who).await.unwrap().found
            })
        })
        .collect();
    let mut new = 0;
    for appearance in appearances {
        new += usize::from(appearance.await.unwrap() == Found::New);
    }
    assert_eq!((new, count(&fresh.db).await), (1, (1, 1, 0)));
}

#[rstest]
#[tokio::test]
async fn people_are_found_by_what_they_are_called(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let provider = provider("okta", &[]);
    let hers = come(&fresh.db, &ada(&provider, "https://a", "1")).await.unwrap().identity;
    let mut unverified = ada(&provider, "https://b", "1");
    (unverified.email, unverified.email_verified) = (Some("ADA@acme.com".into()), None);
    let other = come(&fresh.db, &unverified).await.unwrap().identity;
    let found = identities::with_email(&fresh.db, "Ada@Acme.com").await.unwrap();
    let found: Vec<_> = found.into_iter().map(|account| account.identity).collect();
    assert_eq!(found, [hers.clone(), other]);
    assert_eq!(identities::with_email(&fresh.db, "ada@acme").await.unwrap(), []);
    let accounts = identities::of_user(&fresh.db, &hers.user_id).await.unwrap();
    assert_eq!(accounts.into_iter().map(|account| account.identity).collect::<Vec<_>>(), [hers]);
}

/// An assertion is judged by what the provider said before: a sign-in that says otherwise comes before or after it.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_what_is_known_while_it_is_judged(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    let okta = provider("okta", &[]);
    come(&fresh.db, &ada(&okta, "https://a", "1")).await.unwrap();
    let mut judging = fresh.db.begin().await.unwrap();
    let known = identities::hold(&mut judging, "https://a", "1").await.unwrap().unwrap();
    let db = fresh.db.clone();
    let sign_in = tokio::spawn(async move {
        let okta = provider("okta", &[]);
        let guest =
            VerifiedIdentity { groups: Groups::of(["guests".into()]), ..ada(&okta, "https://a", "1") };
        come(&db, &guest).await.unwrap().identity
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!sign_in.is_finished(), "it does not wait");
    judging.commit().await.unwrap();
    assert_ne!(sign_in.await.unwrap().groups, known.identity.groups);
}
