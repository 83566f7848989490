//! Tells what a run waits for, where it waits for long: each thing once.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use transport::{Door, Queue, Stall};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// A request of which nothing moves for so long is told of, well before it is given up.
const SILENT: Duration = Duration::from_secs(20);
/// A host that is left alone for so long is told of.
const RESTS: Duration = Duration::from_secs(10);
/// The most requests that are told of at a time: where many hang, they hang for one reason.
const AT_ONCE: usize = 3;

/// What has been told already.
#[derive(Debug, Default)]
struct Told {
    stalls: HashSet<u64>,
    hosts: HashSet<String>,
}

/// Watches the door for as long as it is polled, and warns.
pub(crate) async fn watch(door: &Door) -> Infallible {
    let mut told = Told::default();
    loop {
        tokio::time::sleep(EVERY).await;
        for text in told.news(door.stalled(SILENT), door.queues()) {
            tracing::warn!("{text}");
        }
    }
}

impl Told {
    /// What is worth telling of what is found now.
    fn news(&mut self, stalls: Vec<Stall>, queues: Vec<Queue>) -> Vec<String> {
        let hang: HashSet<u64> = stalls.iter().map(|stall| stall.number).collect();
        self.stalls.retain(|number| hang.contains(number));
        let new: Vec<Stall> = stalls.into_iter().filter(|stall| self.stalls.insert(stall.number)).collect();
        let mut news: Vec<String> = new
            .iter()
            .take(AT_ONCE)
            .map(|stall| format!("nothing has moved for {} s: {}", stall.silent.as_secs(), stall.what))
            .collect();
        if new.len() > AT_ONCE {
            news.push(format!("and {} more requests do not move", new.len() - AT_ONCE));
        }
        let resting: Vec<Queue> = queues.into_iter().filter(|queue| queue.rests >= RESTS).collect();
        self.hosts.retain(|host| resting.iter().any(|queue| queue.host == *host));
        news.extend(resting.into_iter().filter(|queue| self.hosts.insert(queue.host.clone())).map(|queue| {
            let Queue { host, requests, rests } = queue;
            let seconds = rests.as_secs_f64().ceil();
            format!("{host} refuses requests and is left alone for {seconds} s; {requests} wait for it")
        }));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(number: u64) -> Stall {
        Stall { number, what: format!("GET https://r.example/{number}"), silent: Duration::from_secs(21) }
    }

    fn queue(rests: u64) -> Queue {
        Queue { host: "r.example".to_owned(), requests: 7, rests: Duration::from_secs(rests) }
    }

    #[test]
    fn what_hangs_is_named_once_and_again_when_it_hangs_anew() {
        let mut told = Told::default();
        let news = told.news(vec![stall(1)], Vec::new());
        assert_eq!(news, ["nothing has moved for 21 s: GET https://r.example/1"]);
        assert!(told.news(vec![stall(1)], Vec::new()).is_empty());
        assert!(told.news(Vec::new(), Vec::new()).is_empty());
        assert_eq!(told.news(vec![stall(1)], Vec::new()).len(), 1);
    }

    #[test]
    fn many_that_hang_are_counted() {
        let news = Told::default().news((0..10).map(stall).collect(), Vec::new());
        assert_eq!((news.len(), news[3].as_str()), (4, "and 7 more requests do not move"));
    }

    #[test]
    fn a_host_that_is_left_alone_for_long_is_named() {
        let mut told = Told::default();
        assert!(told.news(Vec::new(), vec![queue(2)]).is_empty(), "short rests are the way of a limit");
        let news = told.news(Vec::new(), vec![queue(30)]);
        assert_eq!(news, ["r.example refuses requests and is left alone for 30 s; 7 wait for it"]);
        assert!(told.news(Vec::new(), vec![queue(25)]).is_empty());
    }
}
