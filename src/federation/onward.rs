//! Where a sign-in leads that is for none of the interactions: to a page on which an account is connected.

use crate::{
    app::App,
    ids::ProviderId,
    seal::{OpenError, SealContext, Sealed},
    store::logins::Login,
    web::error::PageError,
};

/// The parameter of `/login` that names it.
pub(super) const PARAMETER: &str = "onward";

/// The path of such a page with its query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Onward<'a>(&'a str);

impl<'a> Onward<'a> {
    /// Nothing but a page of ours that only shows something: a person can be led here by anybody.
    pub(super) fn parse(path: &'a str) -> Result<Self, PageError> {
        const LONGEST: usize = 256;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/?=&-_".contains(c);
        let ours = path.starts_with("/connect/") && path.len() <= LONGEST && path.chars().all(plain);
        if ours { Ok(Self(path)) } else { Err(PageError::stale_link().with_reason("leads nowhere")) }
    }

    /// The path, below the issuer's.
    pub(super) const fn path(self) -> &'a str {
        self.0
    }

    /// The path, sealed for the sign-in of this `state`: it may hold a link.
    pub(super) async fn seal(
        self,
        app: &App,
        provider: &ProviderId,
        state: &str,
    ) -> Result<Sealed, PageError> {
        Ok(app.sealer.seal(&app.entropy, &context(provider, state), self.0.as_bytes()).await?)
    }
}

/// What was sealed when the sign-in began.
pub(super) async fn open(app: &App, login: &Login, state: &str) -> Result<Option<String>, PageError> {
    let Some(sealed) = &login.onward else { return Ok(None) };
    let unusable = |error: &OpenError| PageError::stale_link().with_reason(format!("way onward: {error}"));
    let opened = app.open_pending((&context(&login.provider, state), sealed), None, unusable).await?;
    Ok(Some(String::from_utf8_lossy(&opened).into_owned()))
}

fn context<'a>(provider: &'a ProviderId, state: &'a str) -> SealContext<'a> {
    SealContext {
        table: "logins",
        column: "onward",
        row: state,
        owner: "",
        provider: provider.as_str(),
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Onward;

    #[rstest]
    #[case("/connect/github", true)]
    #[case("/connect/github?link=chy_cl_A-9_&account=01938f5e-8c00-7000-8000-000000000000", true)]
    #[case("/account", false)]
    #[case("//evil.example/connect/", false)]
    #[case("https://evil.example/connect/", false)]
    #[case("/connect/../logout", false)]
    #[case("/connect/github\r\nset-cookie:", false)]
    #[case("/connect/%2e%2e/", false)]
    #[case("/connect/\\evil", false)]
    fn it_leads_to_a_page_that_connects_and_nowhere_else(#[case] path: &str, #[case] leads: bool) {
        assert_eq!(Onward::parse(path).is_ok(), leads);
        assert!(Onward::parse(&format!("{path}{}", "a".repeat(256))).is_err());
    }
}
