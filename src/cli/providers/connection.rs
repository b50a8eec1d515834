//! What a preset needs to keep accounts at a vendor.

use std::io::Write;

use super::{parameter_lines, secret_variable, steps};
use crate::{
    config::preset::{ConnectionPart, Preset},
    ids::Slug,
    oauth::issuer::Issuer,
};

pub(super) fn show(
    preset: &Preset,
    part: &ConnectionPart,
    name: &Slug,
    issuer: &Issuer,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let heading = if part.kind.is_personal() { "TO CONNECT ACCOUNTS" } else { "FOR AN ACCOUNT OF YOUR OWN" };
    writeln!(out, "\n{heading}\n")?;
    steps(&part.register, &issuer.url(&format!("/connect/{name}/callback")), out)?;
    writeln!(out, "\nIn the configuration:\n\n{}", snippet(preset, part, name))?;
    for note in &part.notes {
        writeln!(out, "- {note}")?;
    }
    let verified = part.verified.as_deref().map_or("not yet", |day| day);
    writeln!(out, "\nVendor's documentation: {}\nRun against a real account: {verified}", part.docs)?;
    if part.unverified.is_empty() {
        return Ok(());
    }
    writeln!(out, "Not confirmed by the vendor's documentation: {}", part.unverified.join(", "))
}

/// An entry for `connections:` that only lacks the values from the vendor's.
fn snippet(preset: &Preset, part: &ConnectionPart, name: &Slug) -> String {
    let mut lines =
        vec!["connections:".to_owned(), format!("  {name}:"), format!("    preset: {}", preset.name)];
    let parameters = preset.parameters.iter().filter(|(key, _)| part.parameters.contains(key));
    lines.extend(parameters.flat_map(|(key, parameter)| parameter_lines(key, parameter)));
    if !part.knows_documents() && !part.kind.is_entered() {
        lines.push("    client_id: the-client-id".to_owned());
        lines.push(format!("    client_secret: {}", secret_variable(name)));
    }
    lines.push("    # what each scope of a resource needs there".to_owned());
    let scopes = if part.kind.is_entered() { "" } else { "their-scope" };
    lines.push(format!("    # use: {{ tickets: {{ \"tickets:write\": [{scopes}] }} }}"));
    lines.join("\n") + "\n"
}
