//! Unusable tokens never leave this process.

use sigstore::{Identity, IdentityError, InvalidToken, Services, SignError, Signer, Sources};
use testkit::{Rekor, TokenRequest};
use transport::Secret;

use crate::support::server::Server;
use crate::support::stack::{SIGNER, door, services, sigstore, verifier};

/// A signer that sends its token to a Fulcio that counts requests.
fn signer(request: &TokenRequest, account: Option<&str>, fulcio: &Server) -> Signer {
    let sources = Sources {
        value: Some(Secret::new(sigstore().token_of(request))),
        account: account.map(ToOwned::to_owned),
        ..Sources::default()
    };
    let services = Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    Signer::with_identity(door(), Identity::new(sources, door()), services, verifier())
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_unusable_token_is_never_sent_to_fulcio() {
    let fulcio = Server::before(sigstore().fulcio(), |_, answer| answer);
    let request = || TokenRequest::email(SIGNER);
    type Reason = fn(&InvalidToken) -> bool;
    let (expired, another): (Reason, Reason) = (
        |why| matches!(why, InvalidToken::Expired { .. }),
        |why| matches!(why, InvalidToken::Another { .. }),
    );
    let cases: [(TokenRequest, Option<&str>, Reason); 6] = [
        (request().expires_in(30), None, expired),
        (request().expires_in(-30), None, expired),
        (request().audience("elsewhere"), None, |why| matches!(why, InvalidToken::Audience { .. })),
        (request().unverified(), None, |why| matches!(why, InvalidToken::UnverifiedEmail { .. })),
        (request(), Some("somebody@example.com"), another),
        (request(), Some("PROMOTER@example.com"), another),
    ];
    for (request, account, is_expected) in cases {
        let signer = signer(&request, account, &fulcio);
        for error in [signer.signatory().await.unwrap_err(), signer.message(b"message").await.unwrap_err()] {
            let has_reason = matches!(&error, SignError::Identity(IdentityError::Unusable { why, .. }) if is_expected(why));
            assert!(has_reason && !error.to_string().contains("eyJ"), "{error}");
        }
    }
    assert_eq!(fulcio.count(), 0);
    let signer = signer(&request().expires_in(120), Some(SIGNER), &fulcio);
    signer.message(b"message").await.unwrap();
    assert_eq!(fulcio.count(), 1, "a valid token is sent");
}
