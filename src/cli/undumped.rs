//! A process that has keys and tokens in memory leaves none of it behind when it dies, and lets nobody look while it
//! lives.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Switches core dumps off. On Linux no other process of the same user can attach or read its memory either, which
/// needs `CAP_SYS_PTRACE` from then on.
pub(super) fn begin() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "other processes of this user can read the memory of this one");
    }
}
