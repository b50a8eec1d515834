//! What became of it, as people read it.

use std::io::{self, Write};

use super::LetIn;
use crate::{
    admin::{
        Account, Act, Connected, Disconnected, Entry, Other, Overview, Permission, Profile, Receipt, Session,
        Switched, SwitchedAccounts, Unregistered, Withdrawn,
    },
    store::vendor_clients::Forgotten,
};

/// A switch.
pub(super) fn switched(switched: &Switched, out: &mut impl Write) -> io::Result<()> {
    let Switched { kind, name, disabled_since, changed, reference, .. } = switched;
    let name = plain(name);
    let stands = match (disabled_since, changed) {
        (Some(since), true) => format!("is switched off on every instance, since {since}"),
        (Some(since), false) => format!("was off already, since {since}"),
        (None, true) => "is switched on".to_owned(),
        (None, false) => "was not off".to_owned(),
    };
    writeln!(out, "{kind} {name} {stands}")?;
    recorded(reference.as_deref(), out)
}

/// Somebody let in again.
pub(super) fn let_in(let_in: &LetIn, out: &mut impl Write) -> io::Result<()> {
    if let_in.changed {
        writeln!(out, "user {} may sign in again; what had ended does not come back", let_in.user)?;
    } else {
        writeln!(out, "user {} was not shut out", let_in.user)?;
    }
    recorded(let_in.reference.as_deref(), out)
}

fn recorded(reference: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    reference.map_or(Ok(()), |reference| writeln!(out, "number    {reference} in the audit record"))
}

/// A person and what she has.
pub(super) fn profile(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "user      {} ({})", profile.user, labels(profile.name.as_ref(), profile.email.as_ref()))?;
    writeln!(out, "since     {}", profile.created_at)?;
    if let Some(since) = &profile.disabled_since {
        writeln!(out, "shut out  since {since}")?;
    }
    list("accounts", &profile.accounts, account, out)?;
    list("sessions", &profile.sessions, session, out)?;
    list("grants", &profile.grants, permission, out)?;
    list("accounts connected", &profile.connections, connection, out)
}

/// What was ended.
pub(super) fn receipt(receipt: &Receipt, out: &mut impl Write) -> io::Result<()> {
    let done = match receipt.act {
        Act::Disable => "disabled",
        Act::Offboard => "offboarded",
    };
    let labels = labels(receipt.name.as_ref(), receipt.email.as_ref());
    writeln!(out, "{done:<9} user {} ({labels})", receipt.user)?;
    writeln!(out, "at        {}, shut out since {}", receipt.at, receipt.disabled_since)?;
    writeln!(out, "number    {} in the audit record", receipt.reference)?;
    list("accounts refused, for sign-in and assertions", &receipt.accounts_refused, account, out)?;
    list("sessions ended", &receipt.sessions, session, out)?;
    list("grants ended", &receipt.grants, permission, out)?;
    writeln!(out, "refresh tokens ended: {}", receipt.refresh_tokens)?;
    writeln!(out, "codes taken away: {}", receipt.codes)?;
    if receipt.act == Act::Offboard {
        let consent = |consent: &Withdrawn| format!("{} at {}", consent.client, consent.resource);
        list("consents withdrawn", &receipt.consents, consent, out)?;
        list("accounts disconnected", &receipt.connections, connection, out)?;
        writeln!(out, "revocations owed to vendors: {}", receipt.revocations_owed)?;
    }
    writeln!(out, "access tokens already handed out run out by {}", receipt.access_tokens_until)?;
    if !receipt.others.is_empty() {
        let other = |other: &Other| format!("user {}  {}", other.user, account(&other.account));
        list("not touched, but with the same address", &receipt.others, other, out)?;
    }
    Ok(())
}

/// What people have connected, counted.
pub(super) fn overview(overview: &Overview, out: &mut impl Write) -> io::Result<()> {
    let Overview { connections, revocations_owed } = overview;
    for Entry { name, configured, disabled_since, accounts, .. } in connections {
        let counts: Vec<_> = accounts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let counts = if counts.is_empty() { "none connected".to_owned() } else { counts.join(", ") };
        let off =
            disabled_since.as_ref().map_or_else(String::new, |since| format!(", switched off since {since}"));
        let missing = if *configured { "" } else { ", not in this configuration" };
        writeln!(out, "{}  {counts}{off}{missing}", plain(name))?;
    }
    writeln!(out, "revocations owed to vendors: {revocations_owed}")
}

/// What one person has connected.
pub(super) fn connected(hers: &[Connected], out: &mut impl Write) -> io::Result<()> {
    list("accounts connected", hers, connection, out)
}

fn connection(one: &Connected) -> String {
    let Connected { connection_id, connection, account, account_name, state, scope, last_used_at, .. } = one;
    let account = account_name.as_ref().unwrap_or(account);
    let used = last_used_at.as_ref().map_or_else(|| "not used".to_owned(), |at| format!("last used {at}"));
    format!("{connection_id}  {account} at {connection}, {state}, {used}: {scope}")
}

/// Accounts disconnected.
pub(super) fn disconnected(done: &Disconnected, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "accounts disconnected: {}", done.ended)?;
    if done.ended > 0 {
        writeln!(out, "the servers that run revoke their tokens at the vendor")?;
    }
    recorded(done.reference.as_deref(), out)
}

/// One person's accounts switched.
pub(super) fn switched_accounts(done: &SwitchedAccounts, out: &mut impl Write) -> io::Result<()> {
    let SwitchedAccounts { connection, user, enabled, changed, reference } = done;
    let stands = if *enabled { "on" } else { "off" };
    writeln!(out, "accounts of user {user} at {connection} switched {stands}: {changed}")?;
    recorded(reference.as_deref(), out)
}

/// What servers had called us.
pub(super) fn unregistered(done: &Unregistered, out: &mut impl Write) -> io::Result<()> {
    if done.clients.is_empty() {
        return writeln!(out, "connection {}: no server had registered us", done.connection);
    }
    let client = |gone: &Forgotten| format!("{} at {}", gone.client_id, gone.issuer);
    list("no longer used", &done.clients, client, out)?;
    recorded(done.reference.as_deref(), out)
}

fn list<T>(title: &str, things: &[T], line: impl Fn(&T) -> String, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{title}: {}", things.len())?;
    things.iter().try_for_each(|thing| writeln!(out, "  {}", plain(&line(thing))))
}

fn account(account: &Account) -> String {
    let Account { provider, issuer, subject, email, email_verified, last_seen_at } = account;
    let email = match (email, email_verified) {
        (Some(email), true) => format!(", {email}"),
        (Some(email), false) => format!(", {email} (not verified)"),
        (None, _) => String::new(),
    };
    format!("{subject} at {provider} ({issuer}){email}, last seen {last_seen_at}")
}

fn session(session: &Session) -> String {
    let Session { session, provider, browser, signed_in_at } = session;
    format!("{session}  through {provider}, signed in {signed_in_at}, {browser}")
}

fn permission(permission: &Permission) -> String {
    let Permission { grant, client, resource, scope, by_assertion } = permission;
    let by = if *by_assertion { ", by an assertion" } else { "" };
    format!("{grant}  {client} at {resource}: {scope}{by}")
}

fn labels(name: Option<&String>, email: Option<&String>) -> String {
    let labels: Vec<_> = [name, email].into_iter().flatten().map(|label| plain(label)).collect();
    if labels.is_empty() { "no name".to_owned() } else { labels.join(", ") }
}

/// Text of strangers' on a terminal: what could move its cursor is left out.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
