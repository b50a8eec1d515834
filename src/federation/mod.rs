//! stub
#[derive(Debug)]
pub struct Federation;
impl Federation {
    pub fn new(_: &crate::config::Config) -> Self {
        Self
    }
}
pub fn router() -> axum::Router<std::sync::Arc<crate::app::App>> {
    axum::Router::new()
}
