//! Uploads over slow lines, and interrupted uploads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Method;
use git_apply_engine::{ObjectError, Objects, Oid, TreeEntry};
use git_mirrors::folder::Folder;
use rstest::rstest;
use source_images::layer::Contents;
use source_images::source_image::{SourceImage, describe_constraints, describe_folder};
use source_images::{Credentials, Error, Registry as Client, RegistryConfig};

use super::image_reference;
use crate::support::fake_registry::{FakeRegistry, Habit, Parts, Profile, Says, Trap, Uploads};
use crate::support::registry::Registry;
use crate::support::relay::{Line, Relay};

/// A client with this timeout for progress.
fn client(host: &str, timeout: Duration, retries: usize) -> Client {
    let config = RegistryConfig {
        plain_http: vec![host.to_owned()],
        timeout,
        retries,
        ..RegistryConfig::default()
    };
    Client::new(config, Credentials::default())
}

/// A client that retries once.
fn patient(host: &str) -> Client {
    client(host, Duration::from_secs(30), 1)
}

/// An image with a layer of a little more than this many bytes.
fn image(host: &str, size: usize) -> SourceImage {
    describe_constraints(
        &image_reference(&format!("{host}/a")),
        "demo",
        "1",
        "0123456789abcde\n".repeat(size / 16),
    )
    .unwrap()
}

/// A registry that accepts such parts.
fn taking(parts: Parts) -> FakeRegistry {
    let uploads = Uploads {
        parts,
        ..Profile::default().uploads
    };
    FakeRegistry::start(Profile {
        uploads,
        ..Profile::default()
    })
}

/// The ranges of the received parts.
fn ranges(registry: &FakeRegistry) -> Vec<String> {
    let state = registry.state();
    let parts = state.seen.iter().filter(|seen| seen.method == Method::PATCH);
    parts.map(|seen| seen.content_range.clone().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_is_gone_on_with() {
    let registry = taking(Parts::Taken(usize::MAX));
    registry.state().cuts = VecDeque::from([50_000, 40_000]);
    let image = image(&registry.host, 300_000);
    let (layer, last) = (image.image.layer.digest.to_string(), image.image.layer.size - 1);
    image.push(&patient(&registry.host)).await.unwrap();
    assert_eq!(
        ranges(&registry),
        [format!("50000-{last}"), format!("90000-{last}")]
    );
    // One for the layer, and one for the configuration.
    assert_eq!(registry.count(&Method::POST, "/blobs/uploads/"), 2);
    assert_eq!(registry.state().blobs[&layer].len() as u64, last + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_does_not_fit_is_sent_from_where_the_registry_is() {
    let registry = taking(Parts::Taken(usize::MAX));
    registry.state().cuts = VecDeque::from([50_000]);
    // It has received more than it reports at first.
    let late = Says::new(204, "").with("range", "0-29999");
    registry.habit(Habit::instead(Method::GET, "/blobs/uploads/", late).times(1));
    let image = image(&registry.host, 300_000);
    let last = image.image.layer.size - 1;
    image.push(&patient(&registry.host)).await.unwrap();
    assert_eq!(
        ranges(&registry),
        [format!("30000-{last}"), format!("50000-{last}")]
    );
    assert_eq!(registry.count(&Method::POST, "/blobs/uploads/"), 2);
}

/// What a registry reports of an interrupted upload that then has to start over.
#[rstest]
#[case::nothing(Parts::Untold, None)]
#[case::no_parts(Parts::Refused, Some(Says::new(204, "").with("range", "0-49999")))]
#[case::smaller_parts(Parts::Taken(1000), None)]
#[case::no_range(Parts::Taken(usize::MAX), Some(Says::new(204, "")))]
#[case::an_odd_range(Parts::Taken(usize::MAX), Some(Says::new(204, "").with("range", "0-18446744073709551615")))]
#[case::more_than_there_is(Parts::Taken(usize::MAX), Some(Says::new(204, "").with("range", "0-999999999")))]
#[case::as_little_as_nothing(Parts::Taken(usize::MAX), Some(Says::new(204, "").with("range", "0-0")))]
#[case::all_of_it(Parts::Taken(usize::MAX), Some(Says::new(204, "").with("range", "0-301567")))]
#[case::an_error(Parts::Taken(usize::MAX), Some(Says::new(416, "")))]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_gone_on_with_is_begun_anew(
    #[case] parts: Parts,
    #[case] says: Option<Says>,
) {
    let registry = taking(parts);
    registry.state().cuts = VecDeque::from([50_000]);
    registry
        .state()
        .profile
        .habits
        .extend(says.map(|says| Habit::instead(Method::GET, "/blobs/uploads/", says)));
    let image = image(&registry.host, 300_000);
    let layer = image.image.layer.digest.to_string();
    image.push(&patient(&registry.host)).await.unwrap();
    assert_eq!(registry.count(&Method::POST, "/blobs/uploads/"), 3);
    assert!(registry.state().blobs.contains_key(&layer));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_never_gets_on_is_given_up() {
    for parts in [Parts::Refused, Parts::Taken(usize::MAX)] {
        let registry = taking(parts);
        // At first it makes a little progress.
        registry.state().cuts = [50_000, 10].into_iter().chain([0; 1000]).collect();
        let image = image(&registry.host, 300_000);
        let error = image.push(&patient(&registry.host)).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("cannot be reached for a"), "{error}");
        assert_eq!(registry.count(&Method::POST, "/blobs/uploads/"), 2);
        assert!(
            registry.count(&Method::PATCH, "") <= 2,
            "{}",
            registry.count(&Method::PATCH, "")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_leads_no_upload_elsewhere_while_it_is_gone_on_with() {
    let trap = Trap::new();
    let registry = taking(Parts::Taken(usize::MAX));
    registry.state().cuts = VecDeque::from([50_000]);
    let there = format!("http://{}/v2/a/blobs/uploads/session", trap.host);
    let status = Says::new(204, "")
        .with("range", "0-49999")
        .with("location", &there);
    registry.habit(Habit::instead(Method::GET, "/blobs/uploads/", status));
    registry.habit(Habit::after(
        Method::PATCH,
        "/blobs/uploads/",
        Says::new(202, "").with("location", &there),
    ));
    image(&registry.host, 300_000)
        .push(&patient(&registry.host))
        .await
        .unwrap();
    assert_eq!(trap.hits(), 0);
}

/// A folder whose files are gone after this many reads.
struct Vanishing(Folder, AtomicUsize);

impl Objects for Vanishing {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.0.tree(id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        let left = self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| ObjectError::NotFound(id))?;
        self.0.blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.0.blob_size(id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_cannot_be_read_is_not_sent_again() {
    let registry = taking(Parts::Taken(usize::MAX));
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::write(root.path().join(name), name.repeat(3 << 20)).unwrap();
    }
    let folder = Folder::read(root.path()).unwrap();
    let tree = folder.tree_id();
    // Once for its digest, and the first of both for the upload.
    let image = of_objects(
        &registry.host,
        tree,
        Arc::new(Vanishing(folder, AtomicUsize::new(3))),
    );
    let error = image.push(&patient(&registry.host)).await.unwrap_err();
    assert!(matches!(&error, Error::Object(_)), "{error}");
    assert_eq!(registry.count(&Method::GET, "/blobs/uploads/"), 0);
    assert_eq!(registry.count(&Method::POST, "/blobs/uploads/"), 1);
}

fn of_objects(host: &str, tree: Oid, objects: Arc<dyn Objects + Send + Sync>) -> SourceImage {
    let contents = Contents {
        tree: Some(tree),
        files: Vec::new(),
    };
    describe_folder(&image_reference(&format!("{host}/a")), contents, objects).unwrap()
}

/// A real registry behind a line.
fn behind(line: Line) -> (Registry, Relay, String) {
    let registry = Registry::open();
    let relay = Relay::over(line, registry.host.parse().unwrap());
    let host = relay.address.to_string();
    (registry, relay, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_registry_gets_a_layer_whose_connection_breaks() {
    let line = Line {
        breaks: VecDeque::from([6 << 20, 12 << 20]),
        ..Line::default()
    };
    let (registry, _relay, host) = behind(line);
    let image = image(&host, 24 << 20);
    let (name, digest) = (image.target.to_string(), image.image.digest().to_string());
    let tag = name.rsplit_once(':').unwrap().1;
    image
        .push(&client(&host, Duration::from_secs(30), 4))
        .await
        .unwrap();
    assert_eq!(registry.digest("a", tag), digest);
    // This registry forgets an interrupted upload when asked about it: both times the layer was
    // started over.
    assert_eq!(registry.uploads(), 4);
}

/// Sending takes several times as long as the timeout for progress. (The socket accepts more when a
/// third of its buffer is free, which is some megabytes here.)
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_is_waited_for_as_long_as_it_carries() {
    let line = Line {
        rate: Some(2 << 20),
        ..Line::default()
    };
    let (registry, _relay, host) = behind(line);
    let image = image(&host, 32 << 20);
    let (name, digest) = (image.target.to_string(), image.image.digest().to_string());
    let begun = Instant::now();
    image
        .push(&client(&host, Duration::from_secs(5), 0))
        .await
        .unwrap();
    assert!(begun.elapsed() > Duration::from_secs(15));
    let tag = name.rsplit_once(':').unwrap().1;
    assert_eq!(registry.digest("a", tag), digest);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than four minutes: 600 MiB over 20 Mbit/s"]
async fn a_layer_of_600_mebibytes_arrives_over_20_megabits_a_second() {
    let line = Line {
        rate: Some(20_000_000 / 8),
        ..Line::default()
    };
    let (registry, _relay, host) = behind(line);
    let root = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let file = std::fs::File::create(root.path().join(format!("{number}.bin"))).unwrap();
        file.set_len(60 << 20).unwrap();
    }
    let folder = Folder::read(root.path()).unwrap();
    let tree = folder.tree_id();
    let image = of_objects(&host, tree, Arc::new(folder));
    assert!(image.image.layer.size > 600 << 20);
    let (name, digest) = (image.target.to_string(), image.image.digest().to_string());
    let begun = Instant::now();
    image
        .push(&client(&host, Duration::from_secs(30), 0))
        .await
        .unwrap();
    println!("sent in {:?}", begun.elapsed());
    let tag = name.rsplit_once(':').unwrap().1;
    assert_eq!(registry.digest("a", tag), digest);
}
