//! Accounts elsewhere, whose tokens the house keeps.

mod canary;
mod connect;
mod crash;
mod disconnect;
mod figures;
pub(crate) mod guide;
mod house;
mod kill;
mod misuse;
mod operator;
mod refresh;
mod rewrap;
pub(crate) mod sign_in;
mod switch;
mod trouble;
mod upkeep;
