//! Work at many hosts at the same time.

use std::collections::HashMap;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use manifest::Edges;
use manifest::Id;
use oci::{Host, Repository};

use crate::run::Run;

/// The most requests of one host that wait at its gate at once. What the host bears is the gate's matter; this bounds
/// memory alone.
const WAITING: usize = 64;

/// Does something for each item, every host's items beside those of all others, so that a slow host slows nobody else.
/// When the run is told to stop, what has not begun is left out.
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
