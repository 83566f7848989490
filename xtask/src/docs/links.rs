//! The links of the built book: the target of each relative link must be a file of the book.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Returns the broken links, as `page: link`, sorted.
///
/// # Errors
/// If the pages cannot be read.
pub(super) fn broken(book: &Path) -> Result<Vec<String>, Error> {
    let mut pages = Vec::new();
    find_pages(book, &mut pages)?;
    let mut broken = Vec::new();
    for page in pages {
        let html = fs::read_to_string(&page).map_err(Error::file("reading", &page))?;
        let directory = page.parent().unwrap_or(book);
        let dead = relative(&html).filter(|link| !directory.join(link).is_file());
        let name = page.strip_prefix(book).unwrap_or(&page).display();
        broken.extend(dead.map(|link| format!("{name}: {link}")));
    }
    broken.sort_unstable();
    broken.dedup();
    Ok(broken)
}

fn find_pages(directory: &Path, pages: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::file("listing", directory))? {
        let path = entry.map_err(Error::file("listing", directory))?.path();
        if path.is_dir() {
            find_pages(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            pages.push(path);
        }
    }
    Ok(())
}

/// Returns the paths of the relative links of a page, without fragments and queries.
fn relative(html: &str) -> impl Iterator<Item = &str> {
    let links = html.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links = links.map(|link| link.split(['#', '?']).next().unwrap_or_default());
    links.filter(|link| !link.is_empty() && !link.contains(':') && !link.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_page_that_is_not_in_the_book_is_broken() {
        let book = tempfile::tempdir().unwrap();
        fs::create_dir(book.path().join("guide")).unwrap();
        fs::write(book.path().join("index.html"), "<a href=\"guide/a.html#part\"> <a href=\"b.html\">")
            .unwrap();
        let page = "<a href=\"../index.html\"> <a href=\"https://x.example/\"> <a href=\"#here\"> <a href=\"../c.html?q\">";
        fs::write(book.path().join("guide/a.html"), page).unwrap();
        assert_eq!(broken(book.path()).unwrap(), ["guide/a.html: ../c.html", "index.html: b.html"]);
    }
}
