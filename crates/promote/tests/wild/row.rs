//! What a row of the table says: which registry has which habits, and what a run makes of them.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use oci::{Client, Credential, CredentialSource, FoundCredential, Host, HostOptions, RepositoryPath};
use registry::quirks::Quirks;
use registry::sample::Sample;
use registry::{Access, Account, Authentication, Config, Fault, Tokens};
use transport::{Door, Secret, Settings};

use crate::support::{World, door};

/// What a run ends with.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Without failures, with everything in place, and a second run writes nothing.
    Works,
    /// With an error that contains each of these texts; what has nothing to do with the row is in place.
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
    /// Whether what the row is about keeps every image from being promoted, not only those of the first region.
    pub(crate) concerns_staging: bool,
    /// Tags of staging that the rest of the table does not need: a page is two tags where this is true.
    pub(crate) many_tags: bool,
    /// How many images are promoted.
    pub(crate) images: u64,
    /// The size of each layer, in bytes.
    pub(crate) layer_size: usize,
    /// More images that are promoted.
    pub(crate) odd: Vec<Sample>,
    /// Whether the images have signatures in staging, which are carried.
    pub(crate) signed: bool,
    /// What registries hold besides: where, in which repository, under which tag.
    pub(crate) held: Vec<(Side, String, Sample, Option<String>)>,
    /// How long until the registries show what was written.
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

    /// A registry has quirks.
    pub(crate) fn quirk(self, side: Side, change: impl Fn(&mut Quirks) + 'static) -> Self {
        self.arranged(move |world| side.server(world).quirks().change(&change)).concerning(side)
    }

    /// A registry has a fault.
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

    /// Something is done to the registries before the run.
    pub(crate) fn arranged(mut self, arrange: impl Fn(&World) + 'static) -> Self {
        self.arrange.push(Box::new(arrange));
        self
    }

    /// A registry lets in a known account by tokens, which the client has the credentials for.
    pub(crate) fn tokens(mut self, side: Side) -> Self {
        self.config(side).authentication = tokens();
        self.with(basic())
    }

    /// A registry lets in a known account by its password, which the client has.
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

    /// Both registries give two tags a page, and staging has many.
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

    /// A registry holds something before the run, `repository` being its whole path.
    pub(crate) fn holding(mut self, side: Side, repository: &str, sample: Sample, tag: Option<&str>) -> Self {
        self.held.push((side, repository.to_owned(), sample, tag.map(str::to_owned)));
        self
    }

    /// The client tries for as long as it does by default, and the second run comes after this time.
    pub(crate) fn patient(mut self, settle: Duration) -> Self {
        self.patient = true;
        self.settle = settle;
        self
    }

    /// The registries of the row, which have no habits yet.
    pub(crate) async fn world(&self) -> World {
        let regions = vec![self.destination.clone(), Config::default()];
        World::with(self.source.clone(), regions, std::sync::Arc::new(oci::Anonymous)).await
    }

    /// Gives the registries their habits.
    pub(crate) fn arrange(&self, world: &World) {
        self.arrange.iter().for_each(|arrange| arrange(world));
    }

    /// Gives the world a client that knows nothing yet.
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

/// The credential of the registries that a row can be about.
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
