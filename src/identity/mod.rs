//! Who is here: users, their accounts at providers, and the browsers in which they are signed in.

pub mod assertion;
pub mod authentication;
pub mod claims;
pub mod ending;
pub mod entry;
#[cfg(test)]
mod fixture;
pub mod link;
pub mod person;
pub mod session;
pub mod users;
pub mod verified;
