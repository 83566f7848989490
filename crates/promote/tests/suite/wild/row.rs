//! A row of the table: the quirks of the registries, and the expected outcome of a run.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use oci::{Client, Credential, CredentialSource, FoundCredential, Host, HostOptions, RepositoryPath};
use registry::quirks::Quirks;
use registry::sample::Sample;
use registry::{Access, Account, Authentication, Config, Fault, Tokens};
use transport::{Door, Secret, Settings};

use crate::support::{World, door};

/// The expected outcome of a run.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The run has no failures, everything is promoted, and a second run writes nothing.
    Works,
    /// The run has an error that contains each of these texts. What the quirk does not affect is promoted.
    Clear(&'static [&'static str]),
}

/// The registry that a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Staging.
    Source,
    /// The first region. The second one is always a plain registry.
    Destination,
}

/// Both registries that a row can be about.
pub(crate) const SIDES: [Side; 2] = [Side::Source, Side::Destination];

impl Side {
    pub(crate) fn server(self, world: &World) -> &registry::Server {
        match self {
            Self::Source => &world.staging,
            Self::Destination => &world.production[0],
        }
    }
}

type Arrange = Box<dyn Fn(&World)>;
type Options = fn(&World) -> HashMap<Host, HostOptions>;

/// One row.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// Whether the quirk prevents the promotion of every image, not only to the first region.
    pub(crate) concerns_staging: bool,
    /// Whether staging has additional tags and pages have two tags each.
    pub(crate) many_tags: bool,
    /// The number of images to promote.
    pub(crate) images: u64,
    /// The size of each layer, in bytes.
    pub(crate) layer_size: usize,
    /// Additional images to promote.
    pub(crate) odd: Vec<Sample>,
    /// Whether the images have signatures in staging, which are carried.
    pub(crate) signed: bool,
    /// Additional content of the registries: the side, the repository, the sample and its tag.
    pub(crate) held: Vec<(Side, String, Sample, Option<String>)>,
    /// The time until the registries show what was written.
    pub(crate) settle: Duration,
    source: Config,
    destination: Config,
    credential: Option<Credential>,
    arrange: Vec<Arrange>,
    options: Options,
    patient: bool,
}

impl Row {
    fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            outcome,
            concerns_staging: false,
            many_tags: false,
            images: 2,
            layer_size: 1024,
            odd: Vec::new(),
            signed: false,
            held: Vec::new(),
            settle: Duration::ZERO,
            source: Config::default(),
            destination: Config::default(),
            credential: None,
            arrange: Vec::new(),
            options: |_| HashMap::new(),
            patient: false,
        }
    }

    pub(crate) fn works(name: impl Into<String>) -> Self {
        Self::new(name, Outcome::Works)
    }

    pub(crate) fn clear(name: impl Into<String>, texts: &'static [&'static str]) -> Self {
        Self::new(name, Outcome::Clear(texts))
    }

    fn config(&mut self, side: Side) -> &mut Config {
        match side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        }
    }

    /// Adds a quirk to a registry.
    pub(crate) fn quirk(self, side: Side, change: impl Fn(&mut Quirks) + 'static) -> Self {
        self.arranged(move |world| side.server(world).quirks().change(&change)).concerning(side)
    }

    /// Adds a fault to a registry.
    pub(crate) fn fault(self, side: Side, fault: Fault) -> Self {
        self.arranged(move |world| {
            side.server(world).faults().add(fault.clone());
        })
        .concerning(side)
    }

    fn concerning(mut self, side: Side) -> Self {
        self.concerns_staging |= side == Side::Source;
        self
    }

    /// Adds a change to the registries before the run.
    pub(crate) fn arranged(mut self, arrange: impl Fn(&World) + 'static) -> Self {
        self.arrange.push(Box::new(arrange));
        self
    }

    /// Makes a registry require tokens, and gives the client the credentials.
    pub(crate) fn tokens(mut self, side: Side) -> Self {
        self.config(side).authentication = tokens();
        self.with(basic())
    }

    /// Makes a registry require a password, and gives the client the credentials.
    pub(crate) fn password(mut self, side: Side) -> Self {
        self.config(side).authentication = Authentication::Basic(accounts());
        self.with(basic())
    }

    pub(crate) fn with(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    pub(crate) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Makes both registries return two tags per page, and gives staging many tags.
    pub(crate) fn pages(mut self) -> Self {
        for side in SIDES {
            self.config(side).page_size = 2.try_into().unwrap();
        }
        self.many_tags = true;
        self
    }

    pub(crate) fn without_referrers_api(mut self, side: Side) -> Self {
        self.config(side).referrers_api = false;
        self
    }

    pub(crate) fn google(mut self, side: Side) -> Self {
        self.config(side).google_listing = true;
        self
    }

    pub(crate) fn images(mut self, images: u64) -> Self {
        self.images = images;
        self
    }

    pub(crate) fn layers_of(mut self, bytes: usize) -> Self {
        self.layer_size = bytes;
        self
    }

    pub(crate) fn odd(mut self, sample: Sample) -> Self {
        self.odd.push(sample);
        self
    }

    pub(crate) fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Adds content to a registry before the run. `repository` is the full path.
    pub(crate) fn holding(mut self, side: Side, repository: &str, sample: Sample, tag: Option<&str>) -> Self {
        self.held.push((side, repository.to_owned(), sample, tag.map(str::to_owned)));
        self
    }

    /// Uses the default retries of the client, and delays the second run by this time.
    pub(crate) fn patient(mut self, settle: Duration) -> Self {
        self.patient = true;
        self.settle = settle;
        self
    }

    /// Starts the registries of the row, without quirks.
    pub(crate) async fn world(&self) -> World {
        let regions = vec![self.destination.clone(), Config::default()];
        World::with(self.source.clone(), regions, std::sync::Arc::new(oci::Anonymous)).await
    }

    /// Applies the quirks to the registries.
    pub(crate) fn arrange(&self, world: &World) {
        self.arrange.iter().for_each(|arrange| arrange(world));
    }

    /// Replaces the client of the world by one without any knowledge.
    pub(crate) fn renew_client(&self, world: &mut World) {
        world.door = if self.patient { Door::open(Settings::default()).unwrap() } else { door() };
        let credentials = Login {
            hosts: vec![world.staging.host().clone(), world.production[0].host().clone()],
            credential: self.credential.clone(),
        };
        let credentials = std::sync::Arc::new(credentials);
        world.client = Client::new(world.door.clone(), credentials, (self.options)(world));
    }
}

fn accounts() -> Vec<Account> {
    vec![Account { name: "promoter".to_owned(), password: "secret".to_owned(), access: Access::Full }]
}

fn basic() -> Credential {
    Credential::Basic { user: "promoter".to_owned(), password: Secret::new("secret") }
}

fn tokens() -> Authentication {
    Authentication::Token(Tokens {
        accounts: accounts(),
        anonymous_pull: false,
        lifetime: Duration::from_secs(300),
        service: "test".to_owned(),
    })
}

/// The credential for the registries that a row can be about.
#[derive(Debug)]
struct Login {
    hosts: Vec<Host>,
    credential: Option<Credential>,
}

impl CredentialSource for Login {
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        let credential = self.credential.clone().filter(|_| self.hosts.contains(host));
        Box::pin(async { Ok(credential.map(|credential| credential.from("the table"))) })
    }

    fn places(&self) -> String {
        "the table".to_owned()
    }
}
