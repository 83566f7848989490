//! Runs work on many hosts concurrently.

use std::collections::HashMap;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use manifest::Edges;
use manifest::Id;
use oci::{Host, Repository};

use crate::event::Run;

/// The maximum number of concurrent tasks per host. The gate of the host limits the requests in flight; this limit only bounds
/// memory.
const WAITING: usize = 64;

/// Runs `work` on each item. The items of different hosts run concurrently, so that a slow host does not delay the others.
/// Items that have not started when the run is stopped are left out of the result.
pub(super) async fn by_host<I: Copy, T>(
    run: &Run,
    edges: &Edges,
    items: impl IntoIterator<Item = I>,
    repository: impl Fn(I) -> Id<Repository>,
    work: impl AsyncFn(I) -> T,
) -> Vec<T> {
    let mut hosts: HashMap<&Host, Vec<I>> = HashMap::new();
    for item in items {
        hosts.entry(&edges.repository(repository(item)).host).or_default().push(item);
    }
    let work = &work;
    let each = hosts.into_values().map(|items| {
        stream::iter(items)
            .take_while(|_| std::future::ready(!run.is_stopping()))
            .map(|item| work(item))
            .buffer_unordered(WAITING)
            .collect::<Vec<T>>()
    });
    join_all(each).await.into_iter().flatten().collect()
}
