//! Accounts elsewhere, whose tokens the house keeps.

mod canary;
mod crash;
mod disconnect;
mod kill;
mod misuse;
mod refresh;
mod trouble;
mod upkeep;
