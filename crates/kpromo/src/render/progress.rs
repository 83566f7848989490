//! Progress: updated lines on a terminal, or plain lines in a log.

mod state;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use oci::{DigestReference, Host};
use promote::{Event, Examination, Observer};
use state::{Look, State};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use transport::Door;
use trust::Problem;

use super::human::{bytes, count, duration};
use crate::terminal::{ErrorLine, is_json};

/// The interval at which a terminal is drawn.
const DRAWN: Duration = Duration::from_millis(200);
/// The interval of the lines of a log.
const LOGGED: Duration = Duration::from_secs(10);
/// The interval at which hosts are looked at for a log. Their rests may be short.
const LOOKED: Duration = Duration::from_secs(1);

/// Periodic progress: updated lines on a terminal, or a line in the log at intervals.
pub(crate) struct Progress {
    screen: MultiProgress,
    began: Instant,
    state: Mutex<State>,
    /// The lines on the terminal.
    lines: Mutex<Vec<ProgressBar>>,
}

impl Progress {
    /// Creates the progress of a run. Without a visible screen it is logged.
    pub(crate) fn new(screen: &MultiProgress) -> Arc<Self> {
        Arc::new(Self {
            screen: screen.clone(),
            began: Instant::now(),
            state: Mutex::default(),
            lines: Mutex::default(),
        })
    }

    /// Shows the progress while it is polled.
    pub(crate) async fn show(&self, door: &Door) -> Infallible {
        let look = || self.look(door);
        if self.screen.is_hidden() {
            self.log(look, |line| tracing::info!("{line}")).await
        } else {
            self.draw(look).await
        }
    }

    /// Draws the lines a few times a second at most.
    async fn draw(&self, look: impl Fn() -> Look) -> Infallible {
        let mut ticks = ticks(DRAWN);
        loop {
            ticks.tick().await;
            let look = look();
            let mut bars = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            // The state stays locked until the lines are drawn, so that none is drawn after the end of a phase.
            let mut state = self.state();
            let lines = state.lines(&look);
            while bars.len() > lines.len() {
                bars.pop().iter().for_each(ProgressBar::finish_and_clear);
            }
            while bars.len() < lines.len() {
                // The template is a constant and well-formed. If it were not, the default bar would be used.
                let style = ProgressStyle::with_template("{wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                bars.push(self.screen.add(ProgressBar::new_spinner()).with_style(style));
            }
            bars.iter().zip(lines).for_each(|(bar, line)| bar.set_message(line));
        }
    }

    /// Logs a line at intervals.
    async fn log(&self, look: impl Fn() -> Look, tell: impl Fn(String)) -> Infallible {
        let mut ticks = ticks(LOOKED);
        let mut told = Instant::now();
        loop {
            ticks.tick().await;
            let line = self.state().line(&look());
            if told.elapsed() >= LOGGED {
                told = Instant::now();
                line.into_iter().for_each(&tell);
            }
        }
    }

    /// Removes the lines from the terminal.
    pub(crate) fn clear(&self) {
        let mut bars = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        bars.drain(..).for_each(|bar| bar.finish_and_clear());
    }

    fn look(&self, door: &Door) -> Look {
        let tally = door.tally();
        let served = tally.keys().filter_map(|host| Some((host.clone(), door.last_served(host)?.elapsed())));
        let (now, served) = (self.began.elapsed(), served.collect());
        Look { now, queues: door.queues(), silent: door.silent(), served, tally }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Observer<Event> for Progress {
    fn observe(&self, event: &Event) {
        let is_end = matches!(event, Event::Ended { .. });
        self.state().observe(event, self.began.elapsed());
        if is_end {
            // Output between phases must not be mixed with these lines.
            self.clear();
        }
    }
}

/// Progress as log lines. Of failures with the same cause the first one is logged when it happens. The number of further ones is logged at
/// the end of the phase.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    shown: Mutex<Shown>,
}

/// What happens to one item, and to several.
type Kind = [&'static str; 2];

const FAILED: Kind = ["image failed", "images failed"];
const WITHHELD: Kind = ["image is not promoted", "images are not promoted"];
const UNSIGNED: Kind = ["manifest is not signed", "manifests are not signed"];
const UNRECORDED: Kind = ["promotion is not recorded", "promotions are not recorded"];

/// The failures and advice that have been logged.
#[derive(Debug, Default)]
struct Shown {
    /// The number of unreported repetitions of each failure, by the kind of operation and the cause.
    repeated: BTreeMap<(Kind, String), usize>,
    advice: HashSet<String>,
}

impl Shown {
    /// Returns the failure to log, or `None` if an identical one was logged. Advice that was logged is removed.
    fn first(&mut self, kind: Kind, problem: &Problem) -> Option<Problem> {
        match self.repeated.entry((kind, problem.group().to_owned())) {
            Entry::Occupied(mut repeated) => {
                *repeated.get_mut() += 1;
                None
            }
            Entry::Vacant(new) => {
                new.insert(0);
                let advice = problem.advice.clone().filter(|advice| self.advice.insert(advice.clone()));
                Some(Problem { advice, ..problem.clone() })
            }
        }
    }

    /// Returns the number of repetitions of each failure since the last report.
    fn more(&mut self) -> Vec<String> {
        let repeated = self.repeated.iter_mut().filter(|(_, number)| **number > 0);
        let text = |(([one, many], error), number): (&(Kind, String), &mut usize)| {
            let what = if *number == 1 { one } else { many };
            format!("{} more {what}: {error}", count(std::mem::take(number)))
        };
        repeated.map(text).collect()
    }
}

impl Lines {
    /// Logs a failure of an image at a registry.
    fn failed(&self, kind: Kind, what: &str, problem: &Problem, image: &DigestReference, at: &Host) {
        if is_json() {
            // Programs need each failure with its fields.
            let (image, advice) = (image.to_string(), problem.advice.as_deref());
            let (image, registry) = (Some(&*image), Some(at.as_str()));
            ErrorLine { image, registry, advice, ..ErrorLine::new(&problem.error) }.print();
            return;
        }
        match self.shown().first(kind, problem) {
            Some(problem) => tracing::error!("{what}: {problem}"),
            None => tracing::debug!("{what}: {}", problem.error),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer<Event> for Lines {
    fn observe(&self, event: &Event) {
        match event {
            Event::Started(phase) => tracing::debug!(%phase, "begins"),
            Event::Ended { phase, elapsed } => {
                self.shown().more().iter().for_each(|text| tracing::error!("{text}"));
                tracing::info!(%phase, took = duration(*elapsed), "done");
            }
            Event::Skipped { phase, why } => tracing::debug!(%phase, why, "skipped"),
            Event::Work { units, more } => tracing::debug!(units, more, "to do"),
            Event::Warned(text) => tracing::warn!("{text}"),
            Event::Lost(text) => tracing::error!("{text}"),
            Event::Blob { destination, size, sent } => tracing::trace!(%destination, size, sent, "blob"),
            Event::Tagged(reference) => tracing::debug!(%reference, "tagged"),
            Event::Begun(promotion) => tracing::trace!("promoting {promotion}"),
            Event::Promoted(promotion, copied) => {
                tracing::info!(sent = bytes(copied.bytes_sent), "promoted {promotion}");
            }
            Event::Failed(promotion, error) => {
                let what = format!("{promotion} failed");
                let (image, at) = (&promotion.source, &promotion.destination.host);
                self.failed(FAILED, &what, &Problem::from(&**error), image, at);
            }
            Event::Withheld(promotion, why) => {
                let (what, why) = (format!("{promotion} is not promoted"), why.clone());
                let (image, at) = (&promotion.source, &promotion.destination.host);
                let problem = Problem::without_advice(why);
                self.failed(WITHHELD, &what, &problem, image, at);
            }
            Event::Examined(examination) if examination.is_worth_telling() => {
                let Examination { image, judgement, signed_by, .. } = &**examination;
                let signed: Vec<String> = signed_by.iter().map(ToString::to_string).collect();
                tracing::info!(%image, signed_by = signed.join(", "), "attached in staging: {judgement}");
            }
            Event::Examined(examination) => {
                tracing::debug!(image = %examination.image, "nothing is attached");
            }
            Event::Scanned(scanned) => {
                tracing::debug!(image = %scanned.image, passes = scanned.passes(), "scanned");
            }
            Event::Signed(image) => tracing::debug!("signed {image}"),
            Event::Unsigned(image, problem) => {
                let (what, at) = (format!("{image} is not signed"), &image.repository.host);
                self.failed(UNSIGNED, &what, problem, image, at);
            }
            Event::Recorded(image) => tracing::debug!("recorded the promotion of {image}"),
            Event::Unrecorded(image, problem) => {
                let (what, at) =
                    (format!("the promotion of {image} is not recorded"), &image.repository.host);
                self.failed(UNRECORDED, &what, problem, image, at);
            }
            Event::Worked | Event::ToPromote { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal of eighty columns that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        /// Returns what was written since the last look.
        fn take(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    /// The clock is the test's own.
    #[tokio::test(start_paused = true)]
    async fn a_terminal_is_drawn_during_a_phase_and_left_alone_between_phases() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let progress = Progress::new(&MultiProgress::with_draw_target(target));
        let queue = transport::Queue {
            host: "us-west2.example".to_owned(),
            requests: 3,
            rests: Duration::from_secs(4),
            refuses: true,
            is_quota: false,
        };
        let look = || Look { now: progress.began.elapsed(), queues: vec![queue.clone()], ..Look::default() };
        let drawing = async || {
            let drawn = progress.draw(look);
            assert!(tokio::time::timeout(Duration::from_secs(1), drawn).await.is_err());
            terminal.take()
        };
        assert_eq!(drawing().await.trim(), "", "nothing goes on");
        progress.observe(&Event::Started(promote::Phase::Sign));
        progress.observe(&Event::Work { units: "signatures", more: 4 });
        let drawn = drawing().await;
        assert!(drawn.contains("sign 0 of 4 signatures") && drawn.contains("us-west2.example: "), "{drawn}");
        progress.observe(&Event::Ended { phase: promote::Phase::Sign, elapsed: Duration::from_secs(1) });
        terminal.take();
        assert_eq!(drawing().await.trim(), "", "results are printed now");
        assert!(progress.lines.lock().unwrap().is_empty());
    }

    /// The clock is the test's own.
    #[tokio::test(start_paused = true)]
    async fn a_log_gets_a_line_once_in_ten_seconds_while_a_phase_goes_on() {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let progress = Progress::new(&screen);
        let told = Mutex::new(Vec::new());
        let tell = |line| told.lock().unwrap().push(line);
        let look = || Look { now: progress.began.elapsed(), ..Look::default() };
        let logging = async |seconds| {
            let logged = progress.log(look, tell);
            assert!(tokio::time::timeout(Duration::from_secs(seconds), logged).await.is_err());
        };
        logging(35).await;
        assert!(told.lock().unwrap().is_empty(), "nothing goes on");
        progress.observe(&Event::Started(promote::Phase::Sign));
        progress.observe(&Event::Work { units: "signatures", more: 4 });
        logging(35).await;
        assert_eq!(told.lock().unwrap().len(), 3);
        assert!(told.lock().unwrap()[2].starts_with("sign 0 of 4 signatures"), "{told:?}");
        progress.observe(&Event::Ended { phase: promote::Phase::Sign, elapsed: Duration::from_secs(35) });
        logging(35).await;
        assert_eq!(told.lock().unwrap().len(), 3);
    }

    #[test]
    fn failures_that_are_alike_are_told_once_and_then_counted() {
        let problem = |error: &str| Problem::new(error, Some("log in".to_owned()));
        let mut shown = Shown::default();
        assert_eq!(shown.first(FAILED, &problem("a")), Some(problem("a")));
        let without_advice = Problem { advice: None, ..problem("b") };
        assert_eq!(shown.first(FAILED, &problem("b")), Some(without_advice), "advice is given once");
        assert_eq!(shown.more(), Vec::<String>::new());
        for _ in 0..8 {
            assert_eq!(shown.first(FAILED, &problem("a")), None);
        }
        assert!(shown.first(UNSIGNED, &problem("a")).is_some(), "of another kind");
        let caused = |error: &str| Problem { cause: Some("a.io: refused".to_owned()), ..problem(error) };
        assert!(
            shown.first(WITHHELD, &caused("x")).is_some() && shown.first(WITHHELD, &caused("y")).is_none()
        );
        assert_eq!(shown.more(), ["8 more images failed: a", "1 more image is not promoted: a.io: refused"]);
        assert_eq!(shown.more(), Vec::<String>::new());
        assert_eq!(shown.first(FAILED, &problem("a")), None);
        assert_eq!(shown.more(), ["1 more image failed: a"]);
    }
}
