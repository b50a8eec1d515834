//! Accounts elsewhere, whose tokens the house keeps.

mod crash;
mod disconnect;
mod kill;
mod refresh;
mod trouble;
mod upkeep;
