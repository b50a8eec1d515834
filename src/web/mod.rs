//! What every room borrows: extractors, error pages, pages, limits, and the loop that accepts connections.

pub mod error;
pub mod limits;
pub mod page;
pub mod pages;
pub mod request;
pub mod serve;
