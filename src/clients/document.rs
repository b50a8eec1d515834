//! stub
use crate::{
    clock::Clock,
    config::registration::Documents,
    ids::ClientId,
    net::Guarded,
    oauth::{grant_type::GrantType, redirect_uri::RedirectUri},
};
pub struct DocumentCache;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct DocumentError;
impl DocumentError {
    pub fn is_transient(&self) -> bool {
        true
    }
}
pub struct D {
    pub name: Option<String>,
    pub host: String,
    pub assured: bool,
    pub redirect_uris: Vec<RedirectUri>,
    pub grant_types: Vec<GrantType>,
}
impl DocumentCache {
    pub fn new(_: Guarded, _: Documents) -> Self {
        Self
    }
    pub async fn get(&self, _: &ClientId, _: &Clock) -> Result<std::sync::Arc<D>, DocumentError> {
        Err(DocumentError)
    }
}
