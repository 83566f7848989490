//! The screen on which progress is drawn: the terminal of standard error.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use console::{Term, measure_text_width};
use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};

/// How many times a second the terminal is written at most.
const DRAWN_A_SECOND: u8 = 20;
/// The columns at the right that stay free. A terminal echoes Ctrl-C as `^C`; after a full line this would begin another line, and
/// the full one would not be cleared. There is room for two of them.
const FREE: u16 = 4;

/// Returns a screen that draws on standard error.
pub(crate) fn screen() -> MultiProgress {
    on(Term::buffered_stderr())
}

/// Returns a screen that draws on a terminal.
fn on(terminal: impl TermLike + 'static) -> MultiProgress {
    let terminal = Box::new(Narrow { terminal, column: AtomicUsize::new(0) });
    MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(terminal, DRAWN_A_SECOND))
}

/// A terminal whose last columns stay free. indicatif fills each line to its end, so that the terminal begins the next one by itself;
/// here this is done where the free columns begin.
#[derive(Debug)]
struct Narrow<T> {
    terminal: T,
    /// The column of the cursor.
    column: AtomicUsize,
}

impl<T: TermLike> TermLike for Narrow<T> {
    fn width(&self) -> u16 {
        self.terminal.width().saturating_sub(FREE).max(1)
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.column.fetch_add(columns, Relaxed);
        self.terminal.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        let column = self.column.load(Relaxed);
        self.column.store(column.saturating_sub(columns), Relaxed);
        self.terminal.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.column.store(0, Relaxed);
        self.terminal.write_line("")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if text == "\r" {
            self.column.store(0, Relaxed);
            return self.terminal.write_str(text);
        }
        if text.is_empty() {
            return Ok(());
        }
        if self.column.load(Relaxed) >= usize::from(self.width()) {
            self.terminal.write_line("")?;
            self.column.store(0, Relaxed);
        }
        self.column.fetch_add(measure_text_width(text), Relaxed);
        self.terminal.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.column.store(0, Relaxed);
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressBar, ProgressStyle};

    use super::*;

    const COLUMNS: usize = 80;

    /// A terminal of 80 columns. After the last column of a row, the next character begins the next row.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<Cells>>);

    #[derive(Debug, Default)]
    struct Cells {
        rows: Vec<String>,
        row: usize,
        column: usize,
    }

    impl Cells {
        fn put(&mut self, c: char) {
            match c {
                '\r' => self.column = 0,
                '\n' => (self.row, self.column) = (self.row + 1, 0),
                c => {
                    if self.column == COLUMNS {
                        (self.row, self.column) = (self.row + 1, 0);
                    }
                    self.rows.resize(self.rows.len().max(self.row + 1), " ".repeat(COLUMNS));
                    self.rows[self.row].replace_range(self.column..=self.column, c.encode_utf8(&mut [0; 4]));
                    self.column += 1;
                }
            }
        }
    }

    impl Terminal {
        fn write(&self, text: &str) {
            let mut cells = self.0.lock().unwrap();
            text.chars().for_each(|c| cells.put(c));
        }

        /// Returns the text on the terminal.
        fn text(&self) -> Vec<String> {
            let rows = &self.0.lock().unwrap().rows;
            rows.iter().map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            COLUMNS as u16
        }
        fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
            let mut cells = self.0.lock().unwrap();
            cells.row = cells.row.saturating_sub(lines);
            Ok(())
        }
        fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
            self.0.lock().unwrap().row += lines;
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(&format!("{text}\r\n"));
            Ok(())
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            let mut cells = self.0.lock().unwrap();
            cells.column = 0;
            let row = cells.row;
            if let Some(text) = cells.rows.get_mut(row) {
                *text = " ".repeat(COLUMNS);
            }
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_echoed_interrupt_leaves_no_line_of_progress_behind() {
        let terminal = Terminal::default();
        let screen = on(terminal.clone());
        let bars: Vec<ProgressBar> = ["plan 6 of 9 repositories".to_owned(), "r.example: ".repeat(20)]
            .into_iter()
            .map(|text| {
                let style = ProgressStyle::with_template("{wide_msg}").unwrap();
                screen.add(ProgressBar::new_spinner()).with_style(style).with_message(text)
            })
            .collect();
        bars.iter().for_each(ProgressBar::tick);
        let shown = terminal.text();
        assert_eq!(shown.len(), 2, "{shown:#?}");
        assert!(shown[0].starts_with("plan 6 of 9") && shown[1].starts_with("r.example: r."), "{shown:#?}");
        terminal.write("^C");
        screen.suspend(|| terminal.write("interrupted\r\n"));
        let shown = terminal.text();
        assert_eq!((shown.len(), shown[0].as_str()), (3, "interrupted"), "{shown:#?}");
        terminal.write("^C^C");
        bars.iter().for_each(ProgressBar::finish_and_clear);
        assert_eq!(terminal.text(), ["interrupted"]);
    }
}
