//! `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7521 §4.1, RFC 7523 §2.1): an assertion of somebody whom the
//! operator trusts. Its `typ` says which kind it is, and the kinds are never mixed.

use std::sync::Arc;

use crate::{
    app::App,
    audit::About,
    id_jag::presented::Presented,
    oauth::error::ErrorCode,
    token::{
        TokenRequest,
        grants::{id_jag, workload},
        issue::Issuance,
    },
    web::error::ApiError,
};

/// Exchanges an assertion.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    let sent = request.params.require("assertion")?;
    if request.params.get("authorization_details").is_some() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "authorization_details are not supported"));
    }
    match Presented::read(sent).map_err(|refusal| refusal.answer(About::default()))? {
        Presented::IdJag(assertion) => id_jag::exchange(app, request, assertion).await,
        Presented::Workload(assertion) => workload::exchange(app, request, assertion).await,
    }
}
