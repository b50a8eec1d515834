//! Who acts for a person: the claims `act` and `may_act` (RFC 8693 §4.1, §4.4).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ids::ClientId, oauth::issuer::Issuer};

/// How many servers may stand one behind the other. A longer way is more likely to be a loop than anybody's plan, and
/// every server on it adds to the token.
const LONGEST_CHAIN: usize = 4;

/// A server that acts for a person, and those that acted before it, the latest outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    sub: ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Self>>,
}

impl Actor {
    /// `client` acts now, where `before` did so far. `None`: there are too many.
    pub fn after(client: &ClientId, before: Option<Self>) -> Option<Self> {
        let actor = Self { sub: client.clone(), act: before.map(Box::new) };
        (actor.chain().count() <= LONGEST_CHAIN).then_some(actor)
    }

    /// Those who act, the latest first.
    pub fn chain(&self) -> impl Iterator<Item = &ClientId> {
        std::iter::successors(Some(self), |actor| actor.act.as_deref()).map(|actor| &actor.sub)
    }
}

/// Whether a token with this `may_act` may be used by `client` to act for its subject. What is not understood in it
/// could narrow whom it admits, so it admits nobody.
pub fn admits(may_act: &Value, client: &ClientId, issuer: &Issuer) -> bool {
    let Some(members) = may_act.as_object() else { return false };
    members.contains_key("sub")
        && members.iter().all(|(name, value)| match name.as_str() {
            "sub" => value == client.as_str(),
            "iss" => value == issuer.as_str(),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn client(id: &str) -> ClientId {
        ClientId::try_from(id.to_owned()).unwrap()
    }

    #[test]
    fn a_chain_grows_outwards_and_ends() {
        let mut chain = None;
        for server in ["a", "b", "c", "d"] {
            chain = Some(Actor::after(&client(server), chain).unwrap());
        }
        let chain = chain.unwrap();
        let written =
            json!({ "sub": "d", "act": { "sub": "c", "act": { "sub": "b", "act": { "sub": "a" } } } });
        assert_eq!(serde_json::to_value(&chain).unwrap(), written);
        assert_eq!(serde_json::from_value::<Actor>(written).unwrap(), chain);
        assert_eq!(Actor::after(&client("e"), Some(chain)), None);
    }

    #[rstest]
    #[case(json!("a"))]
    #[case(json!({}))]
    #[case(json!({ "sub": "" }))]
    #[case(json!({ "sub": "a", "act": "b" }))]
    #[case(json!({ "sub": "a", "iss": "https://elsewhere" }))]
    fn what_we_did_not_write_is_no_chain(#[case] act: Value) {
        assert!(serde_json::from_value::<Actor>(act).is_err());
    }

    #[rstest]
    #[case(json!({ "sub": "a" }), true)]
    #[case(json!({ "sub": "a", "iss": "https://auth.acme.com" }), true)]
    #[case(json!({ "sub": "b" }), false)]
    #[case(json!({ "sub": "a", "iss": "https://elsewhere" }), false)]
    #[case(json!({ "sub": "a", "on": "tuesdays" }), false)]
    #[case(json!({ "iss": "https://auth.acme.com" }), false)]
    #[case(json!({}), false)]
    #[case(json!("a"), false)]
    #[case(json!(["a"]), false)]
    #[case(json!(null), false)]
    fn may_act_is_taken_at_its_narrowest(#[case] may_act: Value, #[case] admitted: bool) {
        let issuer = Issuer::try_from("https://auth.acme.com".to_owned()).unwrap();
        assert_eq!(admits(&may_act, &client("a"), &issuer), admitted);
    }
}
