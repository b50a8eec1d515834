//! Tells cargo that a new migration file is a change: `sqlx::migrate!` only knows those it read last time.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
