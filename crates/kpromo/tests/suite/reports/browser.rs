//! The page in a browser.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::reports::world::World;
use crate::support::html::HOSTILE;

/// Returns the page as the browser has it after its scripts have run.
fn loaded(page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(testkit::tool("chromium"))
        // The sandbox cannot be set up by root and in most containers. The page is a file that this test has written.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !dom.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    dom
}

/// Returns a world with a registry that refuses an image with a message full of markup, and the path of a page.
async fn refusing() -> (World, String) {
    let world = World::new().await;
    world.refuse("prod/two", HOSTILE);
    let path = world.path("report.html");
    (world, path)
}

fn title(dom: &str) -> &str {
    dom.split("<title>").nth(1).unwrap().split("</title>").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_script_in_the_message_of_a_registry_does_not_run() {
    let (world, path) = refusing().await;
    assert_eq!(world.cip(&["--confirm", "--report", &path]).code, 30);
    let dom = loaded(Path::new(&path));
    assert!(title(&dom).starts_with("kpromo: failed"), "{}", title(&dom));
    assert!(dom.contains("&lt;script&gt;document.title="), "the message is shown: {dom}");
    let search = dom.split("role=\"search\"").nth(1).unwrap().split('>').next().unwrap();
    assert!(!search.contains("hidden"), "the page's own script has run: {search}");

    // Even what would be markup is stopped by the policy.
    let page = fs::read_to_string(&path).unwrap();
    let broken = page.replace("</main>", "</main><script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\">");
    let dom = loaded(&world.desk.write("broken.html", &broken));
    assert!(title(&dom).starts_with("kpromo: failed"), "{}", title(&dom));
    // Without the policy the same page is taken over, so that this test can fail.
    let open = broken.replace("Content-Security-Policy", "Open");
    assert_eq!(title(&loaded(&world.desk.write("open.html", &open))), "taken over");
}

/// Returns the violations of accessibility rules that axe finds in a page.
fn violations(world: &World, page: &str) -> String {
    // The program is a Python package, and this file is next to it.
    let program = fs::canonicalize(testkit::tool("axe")).unwrap();
    let axe = program.parent().unwrap().join("lib/axe_playwright_python/axe.min.js");
    let script = format!(
        "<script>{}</script><script>axe.run().then(({{violations}}) => {{ document.title = 'checked: ' + violations.map(\
         ({{id, nodes}}) => id + ' ' + nodes.map((node) => node.target.join(' ')).join(', ')).join('; ') }})</script></body>",
        fs::read_to_string(axe).unwrap()
    );
    // The policy of the page permits only its own script.
    let page = page.replace("Content-Security-Policy", "Open").replace("</body>", &script);
    let dom = loaded(&world.desk.write("checked.html", &page));
    let checked = title(&dom).strip_prefix("checked: ");
    checked.unwrap_or_else(|| panic!("axe has not finished: {}", title(&dom))).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_page_is_accessible_in_light_and_dark() {
    let (world, path) = refusing().await;
    for code in [30, 0] {
        assert_eq!(world.cip(&["--confirm", "--report", &path]).code, code);
        let page = fs::read_to_string(&path).unwrap();
        let dark = page.replace("(prefers-color-scheme: dark)", "all");
        assert_ne!(page, dark);
        for page in [&page, &dark] {
            assert_eq!(violations(&world, page), "", "of the page of a run with exit code {code}");
        }
        world.production.faults().clear();
    }
    let page = fs::read_to_string(&path).unwrap().replace("</main>", "<img src=x></main>");
    assert!(violations(&world, &page).contains("image-alt"), "a page with a fault does not pass");
}
