//! Pictures: SVG generated from text files in `docs/images`.
//!
//! - `*.console` is the transcript of a terminal: commands (`$ …`) and their output.
//! - `*.diagram` is a drawing of boxes and arrows by the characters `─│┌┐└┘├┤┬┴┼►▼`, with text in between.
//!
//! A picture has the colors of the reader's theme, light or dark.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::Error;

/// The directory of the text files and the pictures.
const DIRECTORY: &str = "docs/images";
/// Width of a character, in hundredths of a pixel.
const CHARACTER: usize = 783;
/// Height of a line, in pixels.
const LINE: usize = 18;
/// The space around the text, in pixels.
const MARGIN: usize = 16;
/// The height of the bar above a transcript, in pixels.
const BAR: usize = 28;

const STYLE: &str = "<style>
.paper{fill:#f6f8fa;stroke:#d0d7de}.dot{fill:#d0d7de}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#57606a;white-space:pre}
.command,.diagram text{fill:#1f2328}.command{font-weight:600}.added{fill:#1a7f37}.error{fill:#cf222e}
.lines{fill:none;stroke:#57606a;stroke-width:1.2}.heads{fill:#57606a}
@media(prefers-color-scheme:dark){
.paper{fill:#161b22;stroke:#30363d}.dot{fill:#30363d}text{fill:#9da7b1}
.command,.diagram text{fill:#e6edf3}.added{fill:#56d364}.error{fill:#ff7b72}
.lines{stroke:#9da7b1}.heads{fill:#9da7b1}}
</style>
";

/// A picture and its file.
#[derive(Debug)]
pub(crate) struct Picture {
    /// The file, relative to the root of the checkout.
    pub(crate) file: String,
    /// The picture.
    pub(crate) svg: String,
}

/// Makes all pictures, sorted by file.
///
/// # Errors
/// If the text files cannot be read.
pub(crate) fn all(root: &Path) -> Result<Vec<Picture>, Error> {
    let directory = root.join(DIRECTORY);
    let mut pictures = Vec::new();
    for entry in fs::read_dir(&directory).map_err(Error::file("listing", &directory))? {
        let path = entry.map_err(Error::file("listing", &directory))?.path();
        let draw = match path.extension().and_then(|extension| extension.to_str()) {
            Some("console") => of_transcript,
            Some("diagram") => of_diagram,
            _ => continue,
        };
        let text = fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        pictures.push(Picture { file: format!("{DIRECTORY}/{stem}.svg"), svg: draw(&text) });
    }
    pictures.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(pictures)
}

/// Draws the transcript of a terminal.
fn of_transcript(transcript: &str) -> String {
    let lines: Vec<&str> = transcript.trim_end().lines().collect();
    let (width, height) = (longest(&lines) + 2 * MARGIN, BAR + lines.len() * LINE + MARGIN);
    let mut svg = begun(width, height, "terminal");
    for dot in 0..3 {
        // Writing to a string does not fail.
        let _ = writeln!(svg, "<circle class=\"dot\" cx=\"{}\" cy=\"16\" r=\"5\"/>", MARGIN + 4 + dot * 16);
    }
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let class = match line {
            line if line.starts_with("$ ") => " class=\"command\"",
            line if line.starts_with("+ ") => " class=\"added\"",
            line if line.starts_with("error") => " class=\"error\"",
            _ => "",
        };
        words(&mut svg, class, 0, BAR + (number + 1) * LINE - 5, line);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The directions in which a character has a line from its center, and the direction of an arrow.
struct Stroke {
    left: bool,
    right: bool,
    up: bool,
    down: bool,
}

impl Stroke {
    /// Returns the stroke of a character, unless it is text.
    fn of(character: char) -> Option<Self> {
        let (left, right, up, down) = match character {
            '─' => (true, true, false, false),
            '│' => (false, false, true, true),
            '┌' => (false, true, false, true),
            '┐' => (true, false, false, true),
            '└' => (false, true, true, false),
            '┘' => (true, false, true, false),
            '├' => (false, true, true, true),
            '┤' => (true, false, true, true),
            '┬' => (true, true, false, true),
            '┴' => (true, true, true, false),
            '┼' => (true, true, true, true),
            '►' => (true, false, false, false),
            '▼' => (false, false, true, false),
            _ => return None,
        };
        Some(Self { left, right, up, down })
    }
}

/// Draws boxes and arrows.
fn of_diagram(diagram: &str) -> String {
    let lines: Vec<&str> = diagram.trim_end().lines().collect();
    let mut svg = begun(longest(&lines) + 2 * MARGIN, lines.len() * LINE + 2 * MARGIN, "diagram");
    let (mut strokes, mut heads) = (String::new(), String::new());
    for (row, line) in lines.iter().enumerate() {
        let y = MARGIN + row * LINE + LINE / 2;
        for (column, character) in line.chars().enumerate() {
            let Some(stroke) = Stroke::of(character) else { continue };
            let (left, right) = (MARGIN + pixels(column), MARGIN + pixels(column + 1));
            let x = left.midpoint(right);
            if stroke.left || stroke.right {
                let (from, to) = (if stroke.left { left } else { x }, if stroke.right { right } else { x });
                let _ = write!(strokes, "M{from} {y}H{to}");
            }
            if stroke.up || stroke.down {
                let from = if stroke.up { y - LINE / 2 } else { y };
                let to = if stroke.down { y + LINE / 2 } else { y };
                let _ = write!(strokes, "M{x} {from}V{to}");
            }
            match character {
                '►' => _ = write!(heads, "M{} {}L{} {y}L{} {}Z", left, y - 4, right, left, y + 4),
                '▼' => _ = write!(heads, "M{} {}L{x} {}L{} {}Z", x - 4, y - 1, y + LINE / 2, x + 4, y - 1),
                _ => {}
            }
        }
        for (column, text) in texts(line) {
            words(&mut svg, "", column, y + 4, &text);
        }
    }
    let _ = write!(
        svg,
        "<path class=\"lines\" d=\"{strokes}\"/>\n<path class=\"heads\" d=\"{heads}\"/>\n</svg>\n"
    );
    svg
}

/// Returns the texts between the strokes of a line, each with its column. Two blanks separate texts.
fn texts(line: &str) -> Vec<(usize, String)> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut end = None;
    for (column, character) in line.chars().enumerate() {
        if character == ' ' || Stroke::of(character).is_some() {
            // A stroke ends a text, and so does a second blank.
            end = end.filter(|end| character == ' ' && *end == column);
            continue;
        }
        match (texts.last_mut(), end) {
            (Some((_, text)), Some(last)) => {
                if last < column {
                    text.push(' ');
                }
                text.push(character);
            }
            _ => texts.push((column, character.to_string())),
        }
        end = Some(column + 1);
    }
    texts
}

/// Returns the beginning of a picture of this size, with its background.
fn begun(width: usize, height: usize, kind: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{kind}\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n{STYLE}\
         <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        width - 1,
        height - 1,
    )
}

/// Writes a text that begins in a column.
fn words(svg: &mut String, class: &str, column: usize, y: usize, text: &str) {
    let (x, length) = (MARGIN + pixels(column), pixels(text.chars().count()));
    let _ = writeln!(
        svg,
        "<text{class} x=\"{x}\" y=\"{y}\" xml:space=\"preserve\" textLength=\"{length}\">{}</text>",
        escaped(text),
    );
}

/// Returns the width of the longest line, in pixels.
fn longest(lines: &[&str]) -> usize {
    pixels(lines.iter().map(|line| line.chars().count()).max().unwrap_or_default())
}

/// Returns the width of a number of characters, in pixels.
fn pixels(characters: usize) -> usize {
    (characters * CHARACTER + 50) / 100
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_transcript_have_their_position_and_their_class() {
        let svg = of_transcript("$ run <a>\n+ one\n\nerror: two & three\n");
        for expected in [
            "<text class=\"command\" x=\"16\" y=\"41\" xml:space=\"preserve\" textLength=\"70\">$ run &lt;a&gt;</text>",
            "<text class=\"added\" x=\"16\" y=\"59\" xml:space=\"preserve\" textLength=\"39\">+ one</text>",
            "<text class=\"error\" x=\"16\" y=\"95\" xml:space=\"preserve\" textLength=\"141\">error: two &amp; three</text>",
        ] {
            assert!(svg.contains(expected), "{svg}");
        }
        assert!(svg.contains("width=\"173\" height=\"116\""), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3, "an empty line has no text");
    }

    #[test]
    fn a_diagram_has_lines_arrows_and_texts() {
        let svg = of_diagram("┌─┐\n│a├► b c  d\n└─┘\n");
        assert!(svg.contains("class=\"lines\" d=\"M20 25H24M20 25V34M24 25H32M32 25H35M35 25V34"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3, "{svg}");
        assert!(svg.contains(">b c</text>") && svg.contains(">d</text>"), "{svg}");
        assert!(svg.contains("class=\"heads\" d=\"M39 39L47 43L39 47Z\""), "{svg}");
    }

    #[test]
    fn texts_are_separated_by_strokes_and_by_two_blanks() {
        let found = texts(" a b  c│d │ e");
        let expected = [(1, "a b"), (6, "c"), (8, "d"), (12, "e")];
        assert_eq!(found, expected.map(|(column, text)| (column, text.to_owned())));
    }

    #[test]
    fn the_pictures_in_the_repository_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pictures = all(&root).unwrap();
        assert!(pictures.len() > 1);
        for Picture { file, svg } in pictures {
            let kept = fs::read_to_string(root.join(&file)).unwrap_or_default();
            assert!(kept == svg, "{file} is stale: run `cargo xtask docs`");
        }
    }
}
