//! The report of a check.

use patchset::page::{PatchView, ReportPage, SeriesView, Tally};
use patchset_api::status::{PatchState, PatchStatus};
use serde_json::{Value, json};

use super::example::Example;
use super::pictures;
use crate::gate::{Team, patch};
use crate::support::browser::{Browser, Theme, WIDTHS};

/// The text visible before anything is scrolled or opened.
fn first_screen() -> &'static str {
    "[...document.querySelectorAll('.needs li')]
        .filter((one) => one.getBoundingClientRect().bottom < innerHeight)
        .map((one) => one.innerText).join('\\n')"
}

#[tokio::test]
async fn a_look_at_the_report_tells_what_needs_a_person_why_and_who_broke_it() {
    let example = Example::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    example.report(&file);
    for theme in Theme::ALL {
        let browser = Browser::start(theme, true).await;
        for width in WIDTHS {
            browser.resize(width, 1000).await;
            browser.open_file(&file).await;
            let told = browser.evaluate(first_screen()).await;
            let told = told.as_str().unwrap();
            for word in [
                "needs a person",
                "2026.1",
                "0002-take-requests-without-headers.patch",
                "hunk 1 does not fit",
                "Refuse requests that name no project",
                "Aiko Tanaka",
            ] {
                assert!(told.contains(word), "{word} at {width}: {told}");
            }
            browser
                .assert_readable(&format!("{width} {}", theme.name()))
                .await;
            assert_eq!(browser.complaints().await, Vec::<String>::new());
            if let Some(pictures) = pictures() {
                let name = format!("report-{}-{width}.png", theme.name());
                browser.open_file(&file).await;
                browser.screenshot(&pictures.join(name)).await;
            }
        }
        if let Some(pictures) = pictures() {
            browser.resize(1440, 1000).await;
            let opened = "document.querySelector('details.patch.person').scrollIntoView() ?? true";
            browser.evaluate(opened).await;
            let name = format!("conflict-{}.png", theme.name());
            browser.screenshot(&pictures.join(name)).await;
        }
        // Even with every diff open.
        browser
            .evaluate(
                "[...document.querySelectorAll('details')].forEach((one) => { one.open = true; }) ?? true",
            )
            .await;
        assert_eq!(
            browser.axe().await,
            Vec::<String>::new(),
            "all open, {}",
            theme.name()
        );
        browser.close().await;
    }
}

#[tokio::test]
async fn the_report_is_filtered_and_read_by_keyboard() {
    let example = Example::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    example.report(&file);
    let browser = Browser::start(Theme::Light, true).await;
    browser.open_file(&file).await;
    let shown = "[...document.querySelectorAll('[data-series]:not([hidden])')].length";
    assert_eq!(browser.evaluate(shown).await, 14);
    let type_in = |text: &str| {
        format!(
            "(() => {{ const q = document.querySelector('input[name=q]'); q.value = {}; q.dispatchEvent(new Event('input', {{ bubbles: true }})); return true; }})()",
            json!(text)
        )
    };
    browser.evaluate(&type_in("drain 2026.1")).await;
    assert_eq!(browser.evaluate(shown).await, 1);
    assert_eq!(
        browser
            .evaluate(
                "[...document.querySelectorAll('.cell:not([hidden])')].map((one) => one.textContent.replace(/\\s+/g, ' ')).join()"
            )
            .await,
        "nova 2026.1: needs a person, ✗ 2/4 applied, 1 conflict, 1 merged"
    );
    browser.evaluate(&type_in("CVE-2026-21877")).await;
    assert_eq!(browser.evaluate(shown).await, 14);
    browser.evaluate(&type_in("")).await;
    // The first stop is the link past the head; a cell leads to its patches.
    browser
        .evaluate("document.querySelector('#cell-s0-cinder-2025-1, .cell').focus() ?? true")
        .await;
    let focused = browser.client.active_element().await.unwrap();
    focused.send_keys("\u{e007}").await.unwrap();
    browser
        .wait_until("document.querySelector(':target') !== null")
        .await;
    let target = browser
        .evaluate("document.querySelector(':target')?.dataset.series ?? ''")
        .await;
    assert_ne!(target, Value::String(String::new()));
    browser.close().await;
}

#[tokio::test]
async fn the_report_is_whole_without_scripts() {
    let example = Example::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    example.report(&file);
    let browser = Browser::start(Theme::Light, false).await;
    browser.open_file(&file).await;
    // The driver's own scripts run all the same.
    let filter = browser.evaluate("document.getElementById('filter').hidden").await;
    assert_eq!(filter, true, "what only a script does is not offered");
    let text = browser.evaluate("document.body.textContent").await;
    for word in ["Components and releases", "Upstream has", "raise Unauthorized()"] {
        assert!(text.as_str().unwrap().contains(word), "{word}: {text}");
    }
    browser.close().await;
}

/// Whatever a patch, its name, its subject or upstream's history contains is shown, and never
/// interpreted as markup.
#[tokio::test]
async fn nothing_of_a_patch_is_markup() {
    const SUBJECT: &str = "</style></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{ 7*7 }}";
    let team = Team::new();
    let nasty = patch("nine", "NINE\"><script>document.title='owned'</script>")
        .replace("Subject: [PATCH] Say", &format!("Subject: [PATCH] {SUBJECT}"));
    team.write(
        "patches/glance/2025.2/0009-<img src=x onerror=alert(1)>'\"&.patch",
        &nasty,
    );
    team.glance.commit(
        &[("f", &crate::gate::BASE.replace("nine", "<b onclick=x>neun</b>"))],
        SUBJECT,
    );
    team.glance.git(&["tag", "1.2"]);
    team.write(
        "releases/2025.2/source-refs.yaml",
        "glance: \"1.2\"\nkeystone: \"7.0\"\n",
    );
    team.write("patches/glance/2025.2/<i>x<script>.txt", "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    team.run(&["--output", &format!("html={}", file.display())], 1);
    let browser = Browser::start(Theme::Light, true).await;
    browser.open_file(&file).await;
    let title = browser.client.title().await.unwrap();
    assert!(!title.contains("owned"), "{title}");
    let elements = browser
        .evaluate("document.querySelectorAll('img, iframe, i, b, object, [onclick], [onerror]').length + document.scripts.length + document.styleSheets.length")
        .await;
    assert_eq!(elements, 2, "the page's own script and style alone");
    let text = browser.evaluate("document.body.textContent").await;
    let text = text.as_str().unwrap();
    assert!(
        text.contains("</style></script><script>") && text.contains("<b onclick=x>neun</b>"),
        "{text}"
    );
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
}

/// Five hundred cells with five patches each. The bound is far above a second, because the machine
/// may be shared.
#[tokio::test]
async fn five_hundred_cells_are_painted_at_once() {
    let status = |name: String, state| PatchStatus {
        name,
        state,
        subject: Some("Wait longer for slow stores".to_owned()),
        author: Some("Miriam Okafor <miriam@example.org>".to_owned()),
        ..serde_json::from_value(json!({ "name": "", "state": "Clean" })).unwrap()
    };
    let series = (0..500).map(|number: usize| {
        let patches: Vec<PatchView> = (0..5)
            .map(|at| {
                let state = PatchState::ALL[(number / 7 * usize::from(number.is_multiple_of(7)) + at) % 2];
                let status = status(format!("{at:04}-wait.patch"), state);
                PatchView::new(format!("s{number}-p{at}"), &status, None, "refresh it")
            })
            .collect();
        SeriesView {
            id: format!("s{number}"),
            href: format!("#s{number}"),
            namespace: None,
            component: format!("component-{:03}", number / 5),
            release: format!("202{}.1", number % 5),
            reference: None,
            folder: None,
            standing: SeriesView::standing_of_patches(&patches),
            failure: None,
            tally: Tally::count(patches.iter().map(|patch| patch.state)),
            tag: Some("31.0.0-p5-0123456789ab".to_owned()),
            since: None,
            patches,
            omitted: 0,
        }
    });
    let page = ReportPage {
        title: "many".to_owned(),
        is_ok: true,
        series: series.collect(),
        ..ReportPage::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, page.render().unwrap()).unwrap();
    let browser = Browser::start(Theme::Light, true).await;
    browser.open_file(&file).await;
    assert_eq!(
        browser
            .evaluate("document.querySelectorAll('.cell').length")
            .await,
        500
    );
    let script = "const done = arguments[0];
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));";
    let painted = browser.client.execute_async(script, Vec::new()).await.unwrap();
    let painted = painted.as_f64().unwrap();
    let begun = std::time::Instant::now();
    browser
        .evaluate("(() => { const q = document.querySelector('input[name=q]'); q.value = 'component-042'; q.dispatchEvent(new Event('input', { bubbles: true })); return document.body.offsetHeight; })()")
        .await;
    println!(
        "500 cells: painted after {painted:.0} ms, filtered within {:?}",
        begun.elapsed()
    );
    assert!(painted < 10_000.0, "{painted} ms");
    assert_eq!(
        browser
            .evaluate("document.querySelectorAll('.matrix tbody tr:not([hidden])').length")
            .await,
        1
    );
    browser.close().await;
}
