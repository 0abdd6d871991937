//! A real Chromium, driven by its `chromedriver`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::Url;

use super::program::{cached, program};

/// The preferred colour scheme of the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The widths of a phone, a tablet and a desk, in pixels.
pub const WIDTHS: [u32; 3] = [390, 820, 1440];

/// A browser with one window. It ends when dropped.
pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser that prefers a theme, with or without scripts.
    pub async fn start(theme: Theme, scripts: bool) -> Self {
        let mut driver = program("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.expect("a line of chromedriver");
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        let profile = tempfile::tempdir().unwrap();
        let scheme = match theme {
            Theme::Dark => 0,
            Theme::Light => 1,
        };
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        // An empty first page: a page for new tabs may still be loading when the first address is
        // opened, and either can then stop the other.
        let mut preferences = json!({
            "session.restore_on_startup": 4,
            "session.startup_urls": ["about:blank"],
        });
        if !scripts {
            preferences["profile.managed_default_content_settings.javascript"] = json!(2);
        }
        let options = json!({
            "args": args,
            "binary": program("chromium").get_program().to_str(),
            "prefs": preferences,
        });
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let capabilities: Capabilities = capabilities.as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session of Chromium");
        Self {
            client,
            driver,
            _profile: profile,
        }
    }

    /// Opens a file as a person does.
    pub async fn open_file(&self, path: &Path) {
        self.open(Url::from_file_path(path).unwrap().as_str()).await;
    }

    /// Opens an address. A browser that has just started may stop a navigation, so there are three
    /// tries.
    pub async fn open(&self, address: &str) {
        let mut failures = Vec::new();
        while failures.len() < 3 {
            let Err(error) = self.client.goto(address).await else {
                return;
            };
            failures.push(error.to_string());
        }
        panic!("{address} cannot be opened: {failures:?}");
    }

    /// Shows the page at a width and height.
    pub async fn resize(&self, width: u32, height: u32) {
        let command = Devtools {
            cmd: "Emulation.setDeviceMetricsOverride",
            params: json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        };
        self.client.issue_cmd(command).await.unwrap();
    }

    /// Checks that the page is not wider than the screen, and that axe finds nothing.
    pub async fn assert_readable(&self, what: &str) {
        let overflow = self
            .evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        assert_eq!(overflow, 0, "{what}: the page is wider than the screen");
        assert_eq!(self.axe().await, Vec::<String>::new(), "{what}");
    }

    /// Sends a header with each request, such as the one that identifies the user.
    pub async fn send_header(&self, name: &str, value: &str) {
        let enable = Devtools {
            cmd: "Network.enable",
            params: json!({}),
        };
        self.client.issue_cmd(enable).await.unwrap();
        let command = Devtools {
            cmd: "Network.setExtraHTTPHeaders",
            params: json!({ "headers": { name: value } }),
        };
        self.client.issue_cmd(command).await.unwrap();
    }

    /// What the browser has done since the first call: counts, and times in seconds.
    pub async fn performance(&self) -> BTreeMap<String, f64> {
        let enable = Devtools {
            cmd: "Performance.enable",
            params: json!({}),
        };
        self.client.issue_cmd(enable).await.unwrap();
        let command = Devtools {
            cmd: "Performance.getMetrics",
            params: json!({}),
        };
        let answer = self.client.issue_cmd(command).await.unwrap();
        let metrics = answer["metrics"].as_array().unwrap().iter();
        let pairs = metrics.map(|one| {
            (
                one["name"].as_str().unwrap().to_owned(),
                one["value"].as_f64().unwrap(),
            )
        });
        pairs.collect()
    }

    pub async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client.execute(&script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn wait_until(&self, expression: &str) {
        for _ in 0..600 {
            if self.evaluate(expression).await == Value::Bool(true) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let text = self.evaluate("document.body.innerText").await;
        panic!("{expression} did not become true within a minute: {text}");
    }

    pub async fn screenshot(&self, path: &Path) {
        let png = self.client.screenshot().await.unwrap();
        std::fs::write(path, png).unwrap();
    }

    /// What axe-core reports against WCAG 2.2 AA and its best practices, each with the elements.
    pub async fn axe(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(cached("axe-core/node_modules/axe-core/axe.min.js")).unwrap();
        self.client.execute(&axe, Vec::new()).await.unwrap();
        let script = "const done = arguments[0];
            axe.run(document, { resultTypes: ['violations'] })
                .then((found) => done(found.violations), (error) => done(String(error)));";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        let violations = found.as_array().unwrap_or_else(|| panic!("axe: {found}"));
        let told = violations.iter().map(|one| {
            let nodes = one["nodes"].as_array().unwrap().iter();
            let nodes: Vec<String> = nodes
                .map(|node| format!("{} {}", node["html"], node["failureSummary"]))
                .take(3)
                .collect();
            format!("{}: {}", one["id"], nodes.join("\n"))
        });
        told.collect()
    }

    /// The browser's errors since the last call: scripts that failed, and what the page's policy
    /// refused.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(BrowserLog).await.unwrap();
        let lines = log.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .filter(|line| !line.contains("favicon.ico"))
            .collect()
    }

    pub async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of the developer tools.
#[derive(Debug)]
struct Devtools {
    cmd: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        let body = json!({ "cmd": self.cmd, "params": self.params });
        (http::Method::POST, Some(body.to_string()))
    }
}

/// The lines of the browser's console.
#[derive(Debug)]
struct BrowserLog;

impl WebDriverCompatibleCommand for BrowserLog {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}
