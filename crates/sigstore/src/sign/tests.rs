//! Services that are temporarily unavailable, and clocks that differ.

use std::sync::Mutex as SyncMutex;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use transport::{Retry, Secret, Settings};

use super::waiting::Pauses;
use super::*;
use crate::error::{Rejection, Service};
use crate::identity::Sources;
use crate::identity::service::token_of;
use crate::testing::{Answer, Authority, SIGNER, Server, from_pem, now, pem, seconds, trusted_root};
use crate::trust::{Trust, TrustSettings};
use crate::verify::OwnAuthority;

/// The number of concurrent signatures.
const AT_ONCE: usize = 50;

/// Returns a door without retries, so that all retries are the signer's.
fn door() -> Door {
    let retry = Retry { attempts: 1, ..Retry::default() };
    Door::open(Settings { retry, ..Settings::default() }).unwrap()
}

fn short_pauses() -> Pauses {
    let millis = Duration::from_millis;
    Pauses { first: millis(2), longest: millis(20), rest: millis(600_000), at_first: 3 }
}

/// The authorities and the services of a test.
struct World {
    authority: Arc<Authority>,
    clock: Arc<OwnAuthority>,
    fulcio: Server,
    stamps: Server,
}

/// The validity of a certificate: its start and its end, in seconds from now.
type Good = (i64, i64);

const TEN_MINUTES: Good = (-1, 599);

impl World {
    /// Creates services that first return these answers and then work. Certificates get these validities in turn, the last one
    /// repeatedly. The clock of the timestamp authority is ahead by this many seconds.
    async fn new(
        fulcio: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
        good: Vec<Good>,
        stamps: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
        ahead: i64,
    ) -> Self {
        let authority = Arc::new(Authority::new("authority"));
        let clock = Arc::new(OwnAuthority::new().unwrap());
        let (issuer, own, issued) = (Arc::clone(&authority), Arc::clone(&clock), SyncMutex::new(0));
        let fulcio = Server::start(move |number, body| {
            fulcio(number).unwrap_or_else(|| {
                let mut issued = issued.lock().unwrap();
                let (from, until) = good[(*issued).min(good.len() - 1)];
                *issued += 1;
                let body: Value = serde_json::from_slice(body).unwrap();
                let key = from_pem(body["publicKeyRequest"]["publicKey"]["content"].as_str().unwrap());
                let leaf = issuer.issue(&key, now() + seconds(from), now() + seconds(until));
                let chain = json!({ "certificates": [pem("CERTIFICATE", &leaf)] });
                let answer = json!({ "signedCertificateEmbeddedSct": { "chain": chain } });
                Some((200, answer.to_string().into_bytes()))
            })
        });
        let stamps = Server::start(move |number, body| {
            stamps(number)
                .unwrap_or_else(|| Some((200, own.stamp(&body[24..56], now() + seconds(ahead)).unwrap())))
        });
        Self { authority, clock, fulcio: fulcio.await, stamps: stamps.await }
    }

    /// Creates services that work immediately.
    async fn working(good: Vec<Good>, ahead: i64) -> Self {
        Self::new(|_| None, good, |_| None, ahead).await
    }

    /// Returns a trusted root without logs: the timestamp authority is the only source of times.
    fn root(&self) -> Vec<u8> {
        let mut root = trusted_root(&self.authority, Some(&self.clock));
        root["tlogs"] = json!([]);
        root.to_string().into_bytes()
    }

    fn signer(&self) -> Signer {
        self.signer_with(short_pauses())
    }

    /// Returns a signer that gives up half a second after the first failure of a service that has not answered yet, long before
    /// the patience of the door ends.
    fn hasty_signer(&self) -> Signer {
        self.signer_with(Pauses { at_first: 360, ..short_pauses() })
    }

    fn signer_with(&self, pauses: Pauses) -> Signer {
        let door = door();
        let sources = Sources { value: Some(Secret::new(token_of(SIGNER, 3600))), ..Sources::default() };
        let holder = Holder::Identity {
            identity: Box::new(Identity::new(sources, door.clone())),
            current: Mutex::default(),
            waiting: Waiting::with(pauses),
        };
        let services = Services {
            fulcio: Some(self.fulcio.url.clone()),
            rekor: Vec::new(),
            timestamp_authorities: vec![self.stamps.url.clone()],
        };
        let verifier = Arc::new(Verifier::with_root(&self.root()).unwrap());
        let waiting = Arc::new(Waiting::with(pauses));
        Signer { waiting, ..Signer::new(door, Arc::new(holder), services, verifier) }
    }
}

/// Signs this many messages, [`AT_ONCE`] at a time.
async fn sign(signer: &Signer, number: usize) -> Vec<Result<Signed, SignError>> {
    let one = async |index: usize| signer.message(&index.to_be_bytes()).await;
    stream::iter(0..number).map(one).buffer_unordered(AT_ONCE).collect().await
}

fn failing(status: u16, times: usize) -> impl Fn(usize) -> Option<Answer> + Send + Sync {
    move |number| (number < times).then(|| Some((status, Vec::new())))
}

#[tokio::test]
async fn a_short_outage_of_fulcio_fails_none_of_three_hundred_signatures() {
    let world = World::new(failing(503, 6), vec![TEN_MINUTES], |_| None, 0).await;
    let signed = sign(&world.signer(), 300).await;
    assert_eq!(signed.iter().filter(|signed| signed.is_ok()).count(), 300);
    assert_eq!(world.fulcio.count(), 7, "one task requests the certificate and the others wait for it");
}

#[tokio::test]
async fn a_short_outage_of_a_timestamp_authority_fails_none_of_three_hundred_signatures() {
    for status in [503, 429] {
        let began = std::time::Instant::now();
        let failing = move |_| (began.elapsed().as_millis() < 700).then(|| Some((status, Vec::new())));
        let world = World::new(|_| None, vec![TEN_MINUTES], failing, 0).await;
        let signed = sign(&world.signer(), 300).await;
        assert_eq!(signed.iter().filter(|signed| signed.is_ok()).count(), 300, "{status}");
        assert_eq!(world.fulcio.count(), 1);
        assert!(world.stamps.count() > 300, "some requests failed");
    }
}

#[tokio::test]
async fn after_patience_has_ended_fulcio_is_asked_again_only_in_a_second_round() {
    let is_back = Arc::new(std::sync::atomic::AtomicBool::default());
    let switch = Arc::clone(&is_back);
    let failing = move |_| {
        let is_back = switch.load(std::sync::atomic::Ordering::SeqCst);
        (!is_back).then(|| Some((503, Vec::new())))
    };
    let world = World::new(failing, vec![TEN_MINUTES], |_| None, 0).await;
    let signer = world.hasty_signer();
    let errors: Vec<_> = sign(&signer, 300).await.into_iter().map(Result::unwrap_err).collect();
    assert!(
        errors.iter().all(|error| error.is_temporary() && error.to_string().contains("503")),
        "{}",
        errors[0]
    );
    let asked = world.fulcio.count();
    assert!((2..100).contains(&asked), "only one task requests the certificate: {asked}");
    is_back.store(true, std::sync::atomic::Ordering::SeqCst);
    signer.message(b"message").await.unwrap_err();
    assert_eq!(world.fulcio.count(), asked, "no request is sent after patience has ended");
    signer.try_again();
    assert!(sign(&signer, 10).await.iter().all(Result::is_ok));
    assert_eq!(world.fulcio.count(), asked + 1);
}

#[tokio::test]
async fn a_timestamp_authority_that_was_given_up_is_asked_again_in_a_second_round() {
    let is_back = Arc::new(std::sync::atomic::AtomicBool::default());
    let switch = Arc::clone(&is_back);
    let failing = move |_| {
        let is_back = switch.load(std::sync::atomic::Ordering::SeqCst);
        (!is_back).then(|| Some((503, Vec::new())))
    };
    let world = World::new(|_| None, vec![TEN_MINUTES], failing, 0).await;
    let signer = world.hasty_signer();
    assert!(sign(&signer, 4).await.iter().all(Result::is_err));
    let asked = world.stamps.count();
    is_back.store(true, std::sync::atomic::Ordering::SeqCst);
    signer.message(b"message").await.unwrap_err();
    assert_eq!(world.stamps.count(), asked);
    signer.clone().try_again();
    signer.message(b"message").await.unwrap();
}

#[tokio::test]
async fn a_permanent_refusal_by_fulcio_is_not_retried() {
    for status in [400, 401, 403] {
        let world = World::new(failing(status, usize::MAX), vec![TEN_MINUTES], |_| None, 0).await;
        let signer = world.signer();
        let errors: Vec<_> = sign(&signer, 300).await.into_iter().map(Result::unwrap_err).collect();
        assert!(
            errors.iter().all(|error| matches!(error, SignError::Refused { service: Service::Fulcio, .. }))
        );
        assert_eq!(world.fulcio.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_before_it_expires() {
    let world = World::working(vec![(-511, 89), TEN_MINUTES], 0).await;
    let signer = world.signer();
    for certificates in [1, 2, 2, 2] {
        signer.message(b"message").await.unwrap();
        assert_eq!(world.fulcio.count(), certificates);
    }
}

#[tokio::test]
async fn a_signature_is_made_again_if_its_certificate_expires_while_a_service_hangs() {
    let hangs = |number| (number == 0).then_some(None);
    let world = World::new(|_| None, vec![(-597, 3), TEN_MINUTES], hangs, 0).await;
    world.signer().message(b"message").await.unwrap();
    assert_eq!((world.fulcio.count(), world.stamps.count()), (2, 2));
}

#[tokio::test]
async fn services_at_most_a_minute_ahead_are_used_and_others_are_reported() {
    for ahead in [-50, 2, 50] {
        let world = World::working(vec![(ahead - 1, ahead + 599)], ahead).await;
        let signed = world.signer().message(b"message").await.unwrap();
        Verifier::with_root(&world.root()).unwrap().message(&signed.bundle(), b"message").unwrap();
    }
    let world = World::working(vec![(90, 690)], 90).await;
    let error = world.signer().message(b"message").await.unwrap_err().to_string();
    assert!(
        error.contains("Fulcio") && error.contains("the clocks differ") && error.contains("s ahead"),
        "{error}"
    );
    assert_eq!(
        world.stamps.count(),
        0,
        "no timestamp is requested for a signature that would not verify here"
    );
    let world = World::working(vec![(-1, 599)], 90).await;
    let error = world.signer().message(b"message").await.unwrap_err().to_string();
    assert!(error.contains("timestamp authority") && error.contains("the clocks differ"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_an_untrusted_authority_is_not_used() {
    let (world, stranger) =
        (World::working(vec![TEN_MINUTES], 0).await, World::working(vec![TEN_MINUTES], 0).await);
    let mut signer = world.signer();
    let services = Services { fulcio: Some(stranger.fulcio.url.clone()), ..(*signer.services).clone() };
    signer.services = Arc::new(services);
    let error = signer.message(b"message").await.unwrap_err();
    assert!(matches!(&error, SignError::Unverified(Rejection::SomeoneElses(_))), "{error}");
}

#[tokio::test]
async fn the_log_names_the_signing_identity_once() {
    let trust = Trust::new(door(), TrustSettings::default()).unwrap();
    let sources = Sources { value: Some(Secret::new(token_of(SIGNER, 3600))), ..Sources::default() };
    let identity = Identity::new(sources, door());
    let key = SigningKey::generate().unwrap();
    let by_key = format!("signing as {}", key.signatory());
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let sources =
        [SignerSource::identity(door(), identity, trust.clone()), SignerSource::key(door(), key, trust)];
    for source in &sources {
        for _ in 0..3 {
            source.owner().await.unwrap();
        }
    }
    let text = std::fs::read_to_string(log.path()).unwrap();
    let lines =
        |words: &str| text.lines().filter(|line| line.contains("INFO") && line.contains(words)).count();
    assert_eq!(lines(&format!("signing as {SIGNER} (https://accounts.google.com)")), 1);
    assert_eq!(lines(&by_key), 1);
    assert_eq!(lines("signing as"), 2);
}
