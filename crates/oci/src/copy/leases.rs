//! Leases on blobs: one leader moves a blob to a host, while all others wait and then mount it.
//!
//! A leader never waits for another task here, so leaders and followers cannot deadlock. If a leader fails or is dropped, the
//! next task that claims the blob becomes the leader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci_types::Digest;
use oci_types::{Host, Repository, RepositoryPath};
use tokio::sync::watch;

/// Records which host has which blob, and in which repository.
#[derive(Clone, Debug, Default)]
pub(super) struct BlobLeases {
    table: Arc<Mutex<Table>>,
}

/// A blob on a host.
type Place = (Key, u32);

/// The first half of a digest. A collision of two blobs would only cost a failed mount, so half of the digest suffices.
type Key = u128;

/// The blobs that hosts have or are receiving. A run may involve a hundred thousand blobs on twenty hosts, so an entry has 32
/// bytes, however many hosts have the blob.
#[derive(Debug, Default)]
struct Table {
    hosts: HashMap<Host, u32>,
    numbers: HashMap<RepositoryPath, u32>,
    paths: Vec<RepositoryPath>,
    held: HashMap<Key, Held>,
    /// Entries that do not fit into `held`: hosts that have the blob in another repository, and hosts beyond the 64th.
    elsewhere: HashMap<Place, u32>,
    /// Blobs that a leader is moving to a host. The channel closes when the leader ends.
    moving: HashMap<Place, watch::Receiver<()>>,
}

/// A repository, by its number, and the set of hosts that have the blob in it, one bit for each host number.
#[derive(Clone, Copy, Debug)]
struct Held {
    hosts: u64,
    path: u32,
}

/// The action to take on a blob for a repository.
#[derive(Debug)]
pub(super) enum Turn {
    /// Mount it from this repository of the host.
    Mount(RepositoryPath),
    /// Move it.
    Lead(Lead),
}

/// The result of a claim. `Err` means that another task is moving the blob until the channel closes.
pub(super) type Claim = Result<Turn, watch::Receiver<()>>;

/// The lease to move a blob to a host. If it is dropped without success, the next task that claims the blob takes over.
#[derive(Debug)]
pub(super) struct Lead {
    leases: BlobLeases,
    place: Place,
    /// Dropping it wakes the followers.
    _over: watch::Sender<()>,
}

impl BlobLeases {
    /// Waits until no other task is moving the blob to the host, and returns the action to take for the repository. The caller
    /// must not hold anything that a leader may need.
    pub(super) async fn turn(&self, mut claim: Claim, repository: &Repository, digest: Digest) -> Turn {
        loop {
            match claim {
                Ok(turn) => return turn,
                // An error means that the leader has ended.
                Err(mut over) => drop(over.changed().await),
            }
            claim = self.claim(repository, digest);
        }
    }

    /// Claims a blob for a repository.
    pub(super) fn claim(&self, repository: &Repository, digest: Digest) -> Claim {
        let mut table = self.table();
        let place = (key(digest), table.host(&repository.host));
        if let Some(path) = table.holder(place) {
            return Ok(Turn::Mount(path.clone()));
        }
        if let Some(over) = table.moving.get(&place) {
            return Err(over.clone());
        }
        let (over, waiting) = watch::channel(());
        table.moving.insert(place, waiting);
        Ok(Turn::Lead(Lead { leases: self.clone(), place, _over: over }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Returns the number of a host.
    fn host(&mut self, host: &Host) -> u32 {
        let next = number(self.hosts.len());
        match self.hosts.get(host) {
            Some(number) => *number,
            None => *self.hosts.entry(host.clone()).or_insert(next),
        }
    }

    /// Returns the number of a repository path.
    fn path(&mut self, path: &RepositoryPath) -> u32 {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = number(self.paths.len());
        self.numbers.insert(path.clone(), number);
        self.paths.push(path.clone());
        number
    }

    /// Returns the repository that has a blob on a host.
    fn holder(&self, place: Place) -> Option<&RepositoryPath> {
        let held = self.held.get(&place.0).filter(|held| held.hosts & bit(place.1) != 0);
        let path = held.map(|held| held.path).or_else(|| self.elsewhere.get(&place).copied())?;
        self.paths.get(path as usize)
    }

    fn hold(&mut self, place: Place, path: u32) {
        let held = self.held.entry(place.0).or_insert(Held { hosts: 0, path });
        if held.path == path && bit(place.1) != 0 {
            held.hosts |= bit(place.1);
        } else {
            self.elsewhere.insert(place, path);
        }
    }
}

impl Lead {
    /// Records that the blob is in this repository, and ends the lease.
    pub(super) fn succeeded(self, repository: &Repository) {
        let mut table = self.leases.table();
        let path = table.path(&repository.path);
        table.hold(self.place, path);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leases.table().moving.remove(&self.place);
    }
}

fn key(digest: Digest) -> Key {
    digest.hash().iter().take(size_of::<Key>()).fold(0, |key, byte| key << 8 | Key::from(*byte))
}

/// Returns the bit of a host, or 0 for hosts beyond the 64th.
fn bit(host: u32) -> u64 {
    1_u64.checked_shl(host).unwrap_or(0)
}

/// Converts an index to a number. There are always fewer names in memory than `u32` has values.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use futures_util::future::join_all;
    use proptest::prelude::*;
    use tokio::time::{sleep, timeout};

    use super::*;

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    fn lead(leases: &BlobLeases, text: &str, blob: Digest) -> Lead {
        match leases.claim(&repository(text), blob) {
            Ok(Turn::Lead(lead)) => lead,
            other => panic!("{text} should lead: {other:?}"),
        }
    }

    #[tokio::test]
    async fn followers_mount_what_the_leader_moved() {
        let leases = BlobLeases::default();
        let blob = Digest::of(b"blob");
        let leader = lead(&leases, "a.io/one", blob);
        let mut over = leases.claim(&repository("a.io/two"), blob).unwrap_err();
        drop(lead(&leases, "b.io/one", blob));
        leader.succeeded(&repository("a.io/one"));
        assert!(over.changed().await.is_err(), "the wait is over");
        let two = repository("a.io/two");
        let Turn::Mount(from) = leases.turn(leases.claim(&two, blob), &two, blob).await else {
            panic!("expected a mount")
        };
        assert_eq!(from.as_str(), "one");
    }

    #[tokio::test]
    async fn the_next_claim_leads_after_a_leader_fails() {
        let leases = BlobLeases::default();
        let blob = Digest::of(b"blob");
        let leader = lead(&leases, "a.io/one", blob);
        let mut over = leases.claim(&repository("a.io/two"), blob).unwrap_err();
        drop(leader);
        assert!(over.changed().await.is_err(), "the wait is over");
        drop(lead(&leases, "a.io/two", blob));
    }

    /// Each host is recorded separately, whether or not the other hosts have the blob in the same repository, including hosts
    /// beyond the 64th.
    #[test]
    fn each_of_many_hosts_has_its_own_repository() {
        let leases = BlobLeases::default();
        let blob = Digest::of(b"blob");
        let name = |host: usize| format!("h{host}.io/{}", ["most", "few"][usize::from(host % 7 == 3)]);
        for host in (0..100).step_by(2) {
            lead(&leases, &name(host), blob).succeeded(&repository(&name(host)));
        }
        for host in 0..100 {
            match leases.claim(&repository(&name(host)), blob) {
                Ok(Turn::Mount(path)) if host % 2 == 0 => assert_eq!(path, repository(&name(host)).path),
                Ok(Turn::Lead(_)) if host % 2 == 1 => {}
                other => panic!("host {host}: {other:?}"),
            }
        }
    }

    /// The actions of one repository on one blob in a run.
    #[derive(Clone, Debug)]
    struct Request {
        blob: u8,
        host: u8,
        starts: u8,
        takes: u8,
        fails: bool,
        /// When the request is dropped, if it is.
        dropped: Option<u8>,
    }

    prop_compose! {
        fn request()(
            blob in 0_u8..4, host in 0_u8..3, starts in 0_u8..20, takes in 0_u8..20,
            fails in prop::bool::weighted(0.2), dropped in prop::option::weighted(0.2, 0_u8..40),
        ) -> Request {
            Request { blob, host, starts, takes, fails, dropped }
        }
    }

    /// The events of the blobs on their hosts.
    #[derive(Default)]
    struct Account {
        moving: HashSet<(u8, u8)>,
        moved: HashSet<(u8, u8)>,
        errors: Vec<String>,
    }

    /// Marks a leader as working until it is dropped.
    struct AtWork<'a>(&'a Mutex<Account>, (u8, u8));

    impl<'a> AtWork<'a> {
        fn begin(account: &'a Mutex<Account>, place: (u8, u8)) -> Self {
            let mut all = account.lock().unwrap();
            if !all.moving.insert(place) {
                all.errors.push(format!("{place:?} has two leaders"));
            }
            if all.moved.contains(&place) {
                all.errors.push(format!("{place:?} is moved again"));
            }
            drop(all);
            Self(account, place)
        }
    }

    impl Drop for AtWork<'_> {
        fn drop(&mut self) {
            self.0.lock().unwrap().moving.remove(&self.1);
        }
    }

    async fn carry_out(leases: &BlobLeases, account: &Mutex<Account>, index: usize, request: &Request) {
        let tick = |ticks: u8| Duration::from_millis(u64::from(ticks));
        let place = (request.blob, request.host);
        let repository = repository(&format!("h{}.io/r{index}", request.host));
        sleep(tick(request.starts)).await;
        let blob = Digest::of(&[request.blob]);
        match leases.turn(leases.claim(&repository, blob), &repository, blob).await {
            Turn::Mount(_) if account.lock().unwrap().moved.contains(&place) => {}
            Turn::Mount(from) => account.lock().unwrap().errors.push(format!("{from} does not have it")),
            Turn::Lead(lead) => {
                let at_work = AtWork::begin(account, place);
                sleep(tick(request.takes)).await;
                drop(at_work);
                if !request.fails {
                    account.lock().unwrap().moved.insert(place);
                    lead.succeeded(&repository);
                }
            }
        }
    }

    proptest! {
        /// Many images share blobs over several hosts, and leaders fail or are dropped at any moment. All requests end, a blob
        /// never has two leaders, and a host that has received a blob mounts it from then on.
        #[test]
        fn all_requests_end_and_a_blob_is_moved_once_for_each_host(
            requests in proptest::collection::vec(request(), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
            let (leases, account) = (BlobLeases::default(), Mutex::new(Account::default()));
            runtime.block_on(async {
                let (leases, account) = (&leases, &account);
                let all = requests.iter().enumerate().map(|(index, request)| async move {
                    let work = carry_out(leases, account, index, request);
                    match request.dropped {
                        Some(after) => drop(timeout(Duration::from_millis(after.into()), work).await),
                        None => work.await,
                    }
                });
                timeout(Duration::from_secs(60), join_all(all)).await
            })
            .map_err(|_| TestCaseError::fail("a request waits forever"))?;
            let account = account.into_inner().unwrap();
            prop_assert!(account.errors.is_empty(), "{:?}", account.errors);
            prop_assert!(leases.table().moving.is_empty(), "no leader is left in the table");
        }
    }

    /// The largest known production has a large backlog, so the size of an entry must not depend on the number of hosts.
    #[test]
    fn the_size_of_an_entry_does_not_depend_on_the_number_of_hosts() {
        assert!(size_of::<(Key, Held)>() <= 32);
        let mut table = Table::default();
        for blob in 0..1000_u32 {
            (0..22).for_each(|host| table.hold((Key::from(blob), host), blob / 10));
        }
        assert_eq!((table.held.len(), table.elsewhere.len()), (1000, 0));
    }
}
