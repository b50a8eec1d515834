//! `id_jag.issuers:` who signs assertions, and how each names people.

use super::super::{
    IssuerRule, Tenants,
    issuer::{Around, TrustedIssuer},
};
use crate::config::{
    claims::{ClaimPath, ClaimPaths},
    form::text,
    reader::Section,
};

/// An issuer of identity assertions.
#[derive(Debug, Clone)]
pub struct IdJagIssuer {
    /// Who it is.
    pub trusted: TrustedIssuer,
    /// The issuer under which its people are known: its own, or the one that they sign in by.
    pub known_as: String,
    /// The claims that together are a person's key there; never empty.
    pub subject: Vec<ClaimPath>,
    /// The tenants that are let in, of an issuer that has such.
    pub tenants: Option<Tenants>,
}

/// The list `issuers`; whoever signs the ID tokens where it is absent. Empty: something is wrong and reported.
pub(super) fn read(section: &Section<'_>, around: Around<'_>, claims: &ClaimPaths) -> Vec<IdJagIssuer> {
    if !section.has("issuers") {
        let own = TrustedIssuer::of_sign_in(around);
        if own.is_none() && around.sign_in.is_some() {
            let message =
                "is missing: people sign in by an issuer for each tenant, so say whose assertions count";
            section.problem("issuers", message);
        }
        return own.into_iter().map(|own| IdJagIssuer::of_sign_in(own, claims)).collect();
    }
    let mut all: Vec<IdJagIssuer> = Vec::new();
    if section.count("issuers") == 0 {
        section.problem("issuers", "is empty, so no assertion could be accepted");
    }
    let read = |entry: &Section<'_>| IdJagIssuer::read(entry, around, claims);
    for issuer in section.sections("issuers", read).into_iter().flatten() {
        if all.iter().any(|known| known.trusted.issuer == issuer.trusted.issuer) {
            section.problem("issuers", format!("names {} twice", issuer.trusted.issuer));
        }
        all.push(issuer);
    }
    all
}

impl IdJagIssuer {
    fn of_sign_in(trusted: TrustedIssuer, claims: &ClaimPaths) -> Self {
        Self { known_as: trusted.issuer.clone(), trusted, subject: claims.subject.clone(), tenants: None }
    }

    fn read(entry: &Section<'_>, around: Around<'_>, claims: &ClaimPaths) -> Option<Self> {
        let trusted = TrustedIssuer::read(entry, around);
        let same_subjects = entry.flag("same_subjects").unwrap_or(false);
        let written = entry.list("subject", ClaimPath::try_from);
        let tenants = Tenants::new(entry.restriction("tenants", text));
        if written.is_some() && entry.count("subject") == 0 {
            entry.problem("subject", "is empty, so nobody could be told from anybody else");
        }
        let several = tenants.as_ref().is_some_and(Tenants::are_several);
        if same_subjects && several {
            entry.problem("same_subjects", "cannot be with several tenants: each names people by itself");
        }
        let sign_in = around.sign_in.filter(|_| same_subjects);
        if matches!(sign_in, Some(IssuerRule::Template { .. })) {
            entry.problem("same_subjects", "cannot be: people sign in by an issuer for each tenant");
        }
        let trusted = trusted?;
        let is_own = around.sign_in.is_some_and(|rule| rule.admits(&trusted.issuer));
        // Two ways to name the people of one issuer could name two of them alike.
        if is_own && written.as_ref().is_some_and(|written| *written != claims.subject) {
            entry.problem("subject", "is not claims.subject, by which people who sign in here are known");
        }
        let subject = written.unwrap_or_else(|| match &tenants {
            _ if is_own => claims.subject.clone(),
            Some(_) if !same_subjects => ["tenant", "sub"].map(ClaimPath::known).into(),
            _ => vec![ClaimPath::known("sub")],
        });
        if several && !same_subjects && !subject.iter().any(|path| path.as_str() == "tenant") {
            entry.problem("subject", "lacks tenant, so people of two tenants could be taken for one");
        }
        let known_as = match sign_in {
            Some(IssuerRule::Exact(sign_in)) => sign_in.clone(),
            _ => trusted.issuer.clone(),
        };
        Some(Self { trusted, known_as, subject, tenants })
    }
}
