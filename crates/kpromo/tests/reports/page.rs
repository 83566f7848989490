//! `--report FILE.html`.

use std::fs;

use crate::world::World;

/// A message of a registry that would be markup, a script and a comment.
pub(crate) const HOSTILE: &str = "</p></script><script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\"><!--";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_writes_a_page_and_json_of_the_same_report() {
    let world = World::new().await;
    world.refuse("prod/two", HOSTILE);
    let (json, page) = (world.path("report.json"), world.path("report.html"));
    let ran = world.cip(&["--confirm", "--report", &json, "--report", &page]);
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    let report = world.desk.json("report.json");
    let page = fs::read_to_string(page).unwrap();
    for heading in ["Failures", "By project", "By destination", "By phase", "Registries", "Promoted images"] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}: {page}");
    }
    let failures = page.find("<h2>Failures</h2>").unwrap();
    assert!(failures < page.find("<h2>By project</h2>").unwrap(), "failures come first");
    for text in [
        report["failed"][0]["destination"].as_str().unwrap(),
        report["promoted"][0]["destination"].as_str().unwrap(),
        world.production.host().as_str(),
        world.staging.host().as_str(),
        "exit code 30",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<script>document"), "a message is text: {page}");
    assert!(page.contains("&lt;script&gt;document.title="), "a message is shown: {page}");
    assert_eq!(page.matches("<script").count(), 1, "the page has its own script alone");
}

/// Nothing is loaded, and the policy of the page allows its own style and script by their hashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_needs_no_other_file_and_allows_no_other_script() {
    let world = World::new().await;
    let path = world.path("report.HTML");
    assert_eq!(world.cip(&["--confirm", "--report", &path]).code, 0);
    let page = fs::read_to_string(path).unwrap();
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

/// What assistive technology needs: a language, one main part, names for fields, tables and drawings, headings in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_read_by_assistive_technology() {
    let world = World::new().await;
    world.refuse("prod/two", "no");
    let path = world.path("report.html");
    assert_eq!(world.cip(&["--confirm", "--report", &path]).code, 30);
    let page = fs::read_to_string(path).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn each_report_is_checked_before_the_first_request() {
    let world = World::new().await;
    let (good, bad) = (world.path("report.html"), world.path("no/such/directory/report.html"));
    for flags in [["--report", &good, "--report", &bad], ["--report", &good, "--metrics", &bad]] {
        let ran = world.cip(&flags);
        assert_eq!(ran.code, 10, "{}", ran.stderr);
        assert!(ran.stderr.contains("no/such/directory"), "{}", ran.stderr);
    }
    let asked = world.staging.tally().snapshot().total() + world.production.tally().snapshot().total();
    assert_eq!((asked, world.desk.names()), (0, vec!["manifest.yaml".to_owned()]));
    let ran = world.cip(&["--parse-only", "--metrics", &good]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("remove --metrics"), "{}", ran.stderr);
}
