//! A real Prometheus on loopback, from Debian.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::git_server::free_port;
use super::program::program;

/// A Prometheus; stopped when dropped.
pub struct Prometheus {
    child: Child,
    address: String,
    root: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes an address each second, with the labels that Prometheus Operator sets, and evaluates
    /// a file of rules.
    pub async fn scraping(target: &str, rules: &std::path::Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        std::fs::write(
            root.path().join("config.yml"),
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
                 scrape_configs:\n- job_name: patchset\n  static_configs:\n  - targets: ['{target}']\n    \
                 labels: {{namespace: patchset-system, pod: patchset-0, container: controller}}\n",
                rules.display()
            ),
        )
        .unwrap();
        let log = std::fs::File::create(root.path().join("log")).unwrap();
        let child = program("prometheus")
            .arg(format!(
                "--config.file={}",
                root.path().join("config.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                root.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, root };
        let begun = Instant::now();
        let url = format!("http://{}/-/ready", prometheus.address);
        while !reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", prometheus.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        prometheus
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.path().join("log")).unwrap()
    }

    async fn ask(&self, path: &str, pairs: &[(&str, &str)]) -> Value {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{path}", self.address)).unwrap();
        url.query_pairs_mut().extend_pairs(pairs);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{pairs:?}: {answer}");
        answer["data"].clone()
    }

    /// The results of an expression over the last minutes, as a panel draws them: labels, and a
    /// value for each second.
    pub async fn query_range(&self, expression: &str) -> Vec<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (start, end) = ((now - 600).to_string(), now.to_string());
        let pairs = [
            ("query", expression),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("step", "1"),
        ];
        let data = self.ask("query_range", &pairs).await;
        data["result"].as_array().unwrap().clone()
    }

    /// The labels of an expression's current results.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.ask("query", &[("query", expression)]).await;
        let results = data["result"].as_array().unwrap().iter();
        results.map(|result| result["metric"].clone()).collect()
    }

    /// The labels of all series of a metric.
    pub async fn series(&self, metric: &str) -> Vec<Value> {
        self.ask("series", &[("match[]", metric)])
            .await
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits until an expression's results satisfy a condition.
    pub async fn until(&self, expression: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let results = self.query(expression).await;
            if wanted(&results) {
                return results;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{expression} gives {results:#?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
