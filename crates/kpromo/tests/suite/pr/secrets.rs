//! The token: where it is sent, and where it must not be.

use std::fs;

use testkit::write_script;

use crate::pr::scene::{Scene, TOKEN};
use crate::support::{base64, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_sent_as_a_header_and_is_in_no_url_no_argument_and_no_output() {
    let scene = Scene::new().await;
    // A git that notes its arguments, and the arguments of what it runs.
    let real = scene.git(&["--exec-path"]);
    fs::create_dir(scene.desk.path("bin")).unwrap();
    let arguments = scene.desk.path("arguments");
    let shim = format!("echo \"$@\" >> '{}'\nexec '{}/git' \"$@\"", arguments.display(), real.trim());
    write_script(&scene.desk.path("bin/git"), &shim);
    #[expect(clippy::disallowed_methods, reason = "git is found on the PATH of the tests")]
    let path = std::env::var("PATH").unwrap();
    let mut command = scene.command();
    command
        .env("PATH", format!("{}:{path}", scene.desk.path("bin").display()))
        .env("GIT_TRACE", scene.desk.path("trace"));
    command
        .args(["pr", "--fork", "me", "--tag", "v1.31.0", "--use-ssh=false", "--log-level", "trace"])
        .args(scene.places());
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let arguments = fs::read_to_string(scene.desk.path("arguments")).unwrap();
    assert!(arguments.contains("push --quiet --force-with-lease="), "{arguments}");
    let trace = fs::read_to_string(scene.desk.path("trace")).unwrap();
    let body = &scene.forge.pulls()[0].body;
    for text in [&ran.stdout, &ran.stderr, &arguments, &trace, body] {
        assert!(!text.contains(TOKEN) && !text.contains(&TOKEN[..12]), "{text}");
    }
    let mut sent = 0;
    for request in scene.forge.requests() {
        assert!(!request.path.contains(TOKEN) && !request.body.contains(TOKEN), "{request:?}");
        let Some(authorization) = &request.authorization else { continue };
        sent += 1;
        match authorization.split_once(' ') {
            Some(("Bearer", token)) => assert!(request.path.starts_with("/api/") && token == TOKEN),
            Some(("Basic", pair)) => {
                assert!(request.path.contains("git-receive-pack"), "reading needs no token: {request:?}");
                assert_eq!(base64(pair), format!("x-access-token:{TOKEN}"));
            }
            _ => panic!("{request:?}"),
        }
    }
    assert!(sent > 4, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_by_ssh_gets_no_token_and_a_helper_is_not_given_it() {
    let scene = Scene::new().await;
    let helper = scene.desk.path("helper.log");
    let config = format!(
        "[user]\n\tname = A\n\temail = a@example.org\n[credential]\n\thelper = \"!cat >> {}; :\"\n",
        helper.display()
    );
    scene.desk.write("home/.gitconfig", &config);
    let mut command = scene.command();
    command.args(["pr", "--fork", "me", "--tag", "v1.31.0", "--image", "kube-proxy"]).args(scene.places());
    let ran = run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let log = fs::read_to_string(scene.forge.ssh().with_extension("log")).unwrap();
    assert!(log.contains("git@127.0.0.1 git-receive-pack 'me/k8s.io'"), "{log}");
    let mut by_https = scene.command();
    by_https
        .args(["pr", "--fork", "me", "--tag", "3.10", "--image", "pause", "--use-ssh=false"])
        .args(scene.places());
    let ran = run(by_https);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!helper.exists(), "{}", fs::read_to_string(&helper).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn gh_token_counts_too_and_github_token_comes_first() {
    let scene = Scene::new().await;
    let propose = |github: Option<&str>, gh: &str| {
        let mut command = scene.command();
        command.env_remove("GITHUB_TOKEN").env("GH_TOKEN", gh);
        if let Some(token) = github {
            command.env("GITHUB_TOKEN", token);
        }
        command.args(["pr", "--fork", "me", "--tag", "v1.31.0", "--image", "kube-proxy", "--use-ssh=false"]);
        command.args(scene.places());
        run(command).code
    };
    assert_eq!(propose(Some("wrong"), TOKEN), 20);
    assert_eq!(propose(None, TOKEN), 0);
    assert_eq!(propose(Some(TOKEN), "wrong"), 0);
}
