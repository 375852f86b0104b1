//! Access tokens that we issue, where a platform calls us with one: made for a partner that has proved who it is,
//! checked when it comes back.
//!
//! A token is a JWT (RFC 7519) with a MAC by a key in the token, so that nothing about it has to be kept. The
//! answers are those of SNAP BI, Indonesia's open API standard, the one platform that is known to want this.

use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{Admitted, Dealing, Decision, PlatformError, Verification, sign::operation};
use crate::{
    algorithm::{Algorithm, Hash},
    jose::{
        Serialization,
        jws::{Draft, Jws, JwsParameters},
    },
    partner::AccessTokens,
    policy::KeyUse,
    scheme::{Act, Message, UnixMilliseconds},
    signer::{ACCESS_TOKENS, Call, Content, Error, Found, Signer, digest_of, signing_input},
};

/// What to answer a partner that asked for an access token.
pub struct Issued {
    /// Whether the request was authentic.
    pub verification: Verification,
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: String,
    /// When the token ends; `None` if there is none.
    pub expires: Option<UnixMilliseconds>,
}

/// What a token says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// `partners/NAME`: for whom it was made, and so with whom it counts.
    iss: String,
    /// The name that the platform gave itself.
    sub: String,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Signer {
    /// Verifies a request for an access token, and makes one.
    ///
    /// # Errors
    ///
    /// [`Error`] for what is no fault of the request.
    pub async fn issue_access_token(
        &self,
        call: &Call,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Issued, Error> {
        let account = self.roll.open(call);
        let act = Act::IssueAccessToken;
        let issued = async {
            let admitted = self
                .admit(&account, call, dealing, act, operation(act))?
                .with_body(&message.body)?;
            self.issue(call, &admitted, dealing, message).await
        };
        let issued = issued.await;
        account.close(issued).await
    }

    async fn issue(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Issued, Error> {
        let tokens = admitted.assignment().access_tokens();
        let tokens = tokens.ok_or(PlatformError::NoAccessTokens)?.clone();
        let found = self.access_token_key(admitted, &tokens)?;
        let verification = self
            .verify_admitted(call, Act::VerifyCallback, admitted, dealing, message)
            .await?;
        // A request that was seen before may be anybody's who has seen it.
        if verification.decision != Decision::Valid {
            let why = match verification.decision {
                Decision::Stale | Decision::Future => "Unauthorized. [X-TIMESTAMP]",
                _ => "Unauthorized. [Signature]",
            };
            return Ok(Issued {
                verification,
                status: 401,
                body: json!({"responseCode": "4017300", "responseMessage": why}).to_string(),
                expires: None,
            });
        }
        let now = self.clock.now().0 / 1000;
        let lifetime = u64::from(tokens.lifetime_seconds);
        let claims = Claims {
            iss: issuer(admitted),
            sub: client(admitted, &verification),
            iat: now,
            exp: now + lifetime,
            jti: uuid::Uuid::new_v4().to_string(),
        };
        let token = self.access_token(call, admitted, &found, &claims).await?;
        let body = json!({
            "responseCode": "2007300",
            "responseMessage": "Successful",
            "accessToken": token,
            "tokenType": "BearerToken",
            "expiresIn": lifetime.to_string(),
        });
        Ok(Issued {
            verification,
            status: 200,
            body: body.to_string(),
            expires: Some(UnixMilliseconds(claims.exp * 1000)),
        })
    }

    /// Whether the token is one that was issued to this partner and still holds.
    pub(super) async fn access_token_holds(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        token: &[u8],
        now: UnixMilliseconds,
    ) -> Result<bool, Error> {
        let tokens = admitted
            .partner
            .schemes()
            .find_map(|(_, assignment)| assignment.access_tokens());
        let tokens = tokens.ok_or(PlatformError::NoAccessTokens)?;
        let found = self.access_token_key(admitted, tokens)?;
        let text = str::from_utf8(token).ok();
        let Some(jws) = text.and_then(|text| Jws::parse(text, None, &[]).ok()) else {
            return Ok(false);
        };
        let [candidate] = jws.candidates() else {
            return Ok(false);
        };
        let algorithm = candidate.algorithm();
        if !matches!(algorithm, Algorithm::Hmac(_)) || found.allows(algorithm).is_err() {
            return Ok(false);
        }
        let content = Content::Message(candidate.signing_input().to_vec().into());
        let input = signing_input(algorithm, content)?;
        for facts in found.all_live().take(super::opening::MAX_VERSIONS) {
            let digest = Some(digest_of(algorithm, &input));
            let permit = admitted
                .intend(facts, KeyUse::Verify, algorithm, digest)
                .await?;
            let mac = found
                .token
                .sign(permit, input.clone(), call.deadline)
                .await?;
            let right = bool::from(mac.ct_eq(candidate.signature()));
            admitted.account.verified(right);
            if right {
                let claims: Result<Claims, _> = serde_json::from_slice(jws.payload());
                return Ok(claims.is_ok_and(|claims| {
                    claims.iss == issuer(admitted)
                        && !claims.sub.is_empty()
                        && now.0 / 1000 < claims.exp
                }));
            }
        }
        Ok(false)
    }

    fn access_token_key(
        &self,
        admitted: &Admitted<'_>,
        tokens: &AccessTokens,
    ) -> Result<Found, Error> {
        let partner = &admitted.partner;
        for (_, assignment) in partner.schemes() {
            self.readiness(partner, assignment, ACCESS_TOKENS)
                .map_err(Error::NotReady)?;
        }
        self.find(&tokens.key)
    }

    async fn access_token(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        found: &Found,
        claims: &Claims,
    ) -> Result<String, Error> {
        let hashes = [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(Algorithm::Hmac);
        let algorithm = hashes
            .into_iter()
            .find(|algorithm| found.key.usage.allows(*algorithm))
            .ok_or(PlatformError::NoAccessTokens)?;
        let facts = found.primary()?;
        let payload = serde_json::to_vec(claims).expect("texts and numbers");
        let draft = Draft::new(JwsParameters {
            algorithm,
            key_id: None,
            payload: &payload,
            protected_header: r#"{"typ":"JWT"}"#,
            unprotected_header: "",
            serialization: Serialization::Compact,
            detached: false,
            unencoded_payload: false,
        })?;
        let content = Content::Message(draft.signing_input().to_vec().into());
        let input = signing_input(algorithm, content)?;
        let digest = Some(digest_of(algorithm, &input));
        let used = KeyUse::Sign(payload.len() as u64);
        let permit = admitted.intend(facts, used, algorithm, digest).await?;
        let mac = found.token.sign(permit, input, call.deadline).await?;
        Ok(draft.finish(&mac))
    }
}

fn issuer(admitted: &Admitted<'_>) -> String {
    format!("partners/{}", admitted.partner.name())
}

/// Whom the platform calls itself in what it signed.
fn client(admitted: &Admitted<'_>, verification: &Verification) -> String {
    let named = verification
        .authenticated
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("header.X-CLIENT-KEY"))
        .and_then(|(_, value)| String::from_utf8(value.clone()).ok());
    named.unwrap_or_else(|| admitted.partner.name().to_string())
}
