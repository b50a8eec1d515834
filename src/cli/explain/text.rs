//! An explanation as people read it.

use std::io::{self, Write};

use crate::explain::{Again, Asker, By, Explanation, Finding, Known, Person, Refused, Way};

/// Who, what, where; then each way with its rules.
pub(super) fn explanation(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let Explanation { user, client, resource, scope, ways } = explanation;
    if let Some(user) = user {
        person(user, out)?;
    }
    writeln!(out, "client    {}", asker(client))?;
    match resource {
        Some(resource) => writeln!(out, "resource  {} ({})", resource.id, resource.uri)?,
        None => writeln!(out, "resource  not known")?,
    }
    writeln!(out, "scope     {}", if scope.is_empty() { "none named" } else { scope })?;
    ways.iter().try_for_each(|one| way(one, out))
}

fn person(user: &Person, out: &mut impl Write) -> io::Result<()> {
    let labels: Vec<_> = [&user.name, &user.email].into_iter().flatten().map(String::as_str).collect();
    let labels = if labels.is_empty() { "no name".to_owned() } else { labels.join(", ") };
    writeln!(out, "user      {} ({labels})", user.id)?;
    writeln!(out, "account   {} at {}, last seen {}", user.subject, user.issuer, user.last_seen_at)?;
    let groups = if user.groups.is_empty() { "none".to_owned() } else { user.groups.join(", ") };
    let organization = user.organization.as_deref().unwrap_or("none");
    writeln!(out, "facts     provider {}, organization {organization}, groups {groups}", user.provider)
}

fn asker(client: &Asker) -> String {
    let known = match client.known {
        Known::Declared => "declared",
        Known::Registered => "registered itself",
        Known::Document => "by its metadata document, which is not read here",
        Known::Unknown => "not known",
    };
    let name = client.name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
    format!("{} ({name}{known})", client.id)
}

fn way(way: &Way, out: &mut impl Write) -> io::Result<()> {
    let by = match way.by {
        By::Consent => "by consent",
        By::Refresh => "by refresh",
        By::Assertion => "by assertion",
        By::Itself => "for itself",
    };
    match (way.allowed, way.granted.as_str()) {
        (false, _) => writeln!(out, "\n{by}: refused")?,
        (true, "") => writeln!(out, "\n{by}: allowed, without scopes")?,
        (true, granted) => writeln!(out, "\n{by}: allowed, {granted}")?,
    }
    let mut about = None;
    for finding in &way.findings {
        if finding.scope.as_ref() != about {
            about = finding.scope.as_ref();
            writeln!(out, "  {}", about.map_or("", String::as_str))?;
        }
        line(finding, out)?;
    }
    Ok(())
}

fn line(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let Finding { admits, scope: _, rule, at, wants } = finding;
    let wants = if wants.is_empty() { String::new() } else { format!(": {wants}") };
    let at = at.as_ref().map(|at| format!("  ({at})")).unwrap_or_default();
    writeln!(out, "  {}  {rule}{wants}{at}", if *admits { "yes" } else { "NO " })
}

/// What the record says.
pub(super) fn refused(refused: &Refused, out: &mut impl Write) -> io::Result<()> {
    let Refused { at, event, reason, details, user, client, provider, resource, scope, grant } = refused;
    writeln!(out, "{event}  {at}")?;
    let columns = [
        ("reason", reason),
        ("user", user),
        ("client", client),
        ("provider", provider),
        ("resource", resource),
        ("scope", scope),
        ("grant", grant),
    ];
    for (name, value) in columns {
        if let Some(value) = value {
            writeln!(out, "  {name:<10}  {value}")?;
        }
    }
    details.iter().try_for_each(|(name, value)| writeln!(out, "  {name:<10}  {value}"))
}

/// What would be decided now.
pub(super) fn again(again: &Again, out: &mut impl Write) -> io::Result<()> {
    match again {
        Again::Unknown(why) => writeln!(out, "\ntoday: {why}"),
        Again::Today(today) => {
            writeln!(out, "\ntoday")?;
            explanation(today, out)
        }
    }
}
