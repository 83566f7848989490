//! What holds for the page of every report.

/// A message of a server that would be markup, a script and a comment.
pub(crate) const HOSTILE: &str = "</p></script><script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\"><!--";

/// Checks that nothing is loaded, and that the policy of the page allows its own style and script by their hashes.
pub(crate) fn is_self_contained(page: &str) {
    for reference in [" src=", " href=", "url(", "@import", " style=", " onclick=", "http://", "fetch("] {
        assert!(!page.contains(reference), "{reference}");
    }
    let policy =
        page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let policy = policy.replace("&#39;", "'");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for (name, begin, end) in [("style-src", "<style>", "</style>"), ("script-src", "<script>", "</script>")]
    {
        let content = page.split(begin).nth(1).unwrap().split(end).next().unwrap();
        let hash = format!("{name} 'sha256-{}'", sha256(content));
        assert!(policy.contains(&hash), "{hash}: {policy}");
    }
}

fn sha256(text: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text))
}

/// Checks what assistive technology needs: a language, one main part, names for fields, tables and drawings, headings in order.
pub(crate) fn is_accessible(page: &str) {
    assert!(page.contains("<html lang=\"en\">") && page.matches("<main>").count() == 1);
    assert!(page.contains("<label for=\"search\">") && page.contains("id=\"search\""));
    assert_eq!(page.matches("<table>").count(), page.matches("<table><caption>").count());
    assert!(page.matches("<th scope=").count() > 10 && !page.contains("<th>"));
    assert_eq!(
        page.matches("role=\"region\" tabindex=\"0\" aria-label=").count(),
        page.matches("<table>").count()
    );
    for drawing in page.split("<svg").skip(1).map(|rest| rest.split('>').next().unwrap()) {
        assert!(drawing.contains("aria-hidden") || drawing.contains("aria-label"), "{drawing}");
    }
    let levels: Vec<u32> =
        page.split("<h").skip(1).filter_map(|rest| rest.chars().next()?.to_digit(10)).collect();
    assert_eq!(levels[0], 1, "{levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
}
