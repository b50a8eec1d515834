//! `chancery keys list`: which keys there are, and what still needs them.

use std::io::Write;

use super::{Database, heading, open};
use crate::{
    clock::Clock,
    oauth::purpose::Role,
    seal::rewrap::{Uses, Values},
    store::{key_proofs, signing_keys},
};

pub(super) async fn list(database: &Database, out: &mut impl Write) -> anyhow::Result<()> {
    let (_, db, sealer) = open(database).await?;
    let now = Clock::System.now();
    let Uses { keys, strange } = Uses::count(&db, &sealer).await?;
    let known = key_proofs::all(&db).await?;
    writeln!(out, "encryption keys")?;
    for (at, (id, values)) in keys.iter().enumerate() {
        let idle = known.iter().any(|known| known.key_id == *id && known.idle_since.is_some());
        let does = if at == 0 { "seals" } else { "opens" };
        let left_out = match values.count() {
            0 if at > 0 && idle => ", can be left out",
            0 if at > 0 => ", can be left out after `chancery keys rotate --encryption`",
            _ => "",
        };
        writeln!(out, "  {id}  {does}  {}{left_out}", described(values))?;
    }
    if strange.count() > 0 {
        writeln!(out, "  none of these  {}", described(&strange))?;
    }
    for role in Role::ALL {
        let keys = signing_keys::published(&db, role, now).await?;
        if role == Role::IdentityProvider && keys.is_empty() {
            continue;
        }
        writeln!(out, "{}", heading(role))?;
        for key in keys {
            let until = key.retired_at.map_or_else(String::new, |at| format!(", published until {at}"));
            writeln!(out, "  {}  {}, signs from {}{until}", key.id, key.algorithm.as_str(), key.active_at)?;
        }
    }
    db.close().await;
    Ok(())
}

/// How many values of which tables.
pub(super) fn described(values: &Values) -> String {
    let tables: Vec<_> = values.0.iter().map(|(column, count)| format!("{} {count}", column.table)).collect();
    match values.count() {
        0 => "no values".to_owned(),
        1 => format!("1 value ({})", tables.join(", ")),
        count => format!("{count} values ({})", tables.join(", ")),
    }
}
