//! Compiles the presets in: every `providers/*.yaml` becomes one entry of a list, so that a new upstream is a new
//! file and nothing else. And tells cargo that a new migration is a change, which `sqlx::migrate!` alone does not.
#![expect(clippy::disallowed_methods, reason = "how cargo speaks to a build script")]

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=providers");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo names the package")?);
    let entries: Result<Vec<_>, _> = fs::read_dir(root.join("providers"))?.collect();
    let mut files: Vec<_> = entries?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort_by(|one, other| one.file_stem().cmp(&other.file_stem()));
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).ok_or("a preset's name is UTF-8")?;
        writeln!(list, "({name:?}, include_str!({:?})),", file.display().to_string())?;
    }
    list.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names a folder for output")?);
    fs::write(out.join("presets.rs"), list)?;
    Ok(())
}
