//! The Jobs that build and test images: watched, started, cancelled, and asked for their outcome.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::channel::mpsc::{self, UnboundedSender};
use futures::{AsyncReadExt, StreamExt};
use image_references::ImageReference;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, LogParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use patchset_api::{GROUP, InputsDigest, PatchSet, Recorded, reason};
use serde_json::Value;

use super::api_server::{Guarded, controller_of, find};
use super::build_log::tail;
use super::build_places::{BEGINS_WITHIN, BuildLimits, BuildQueue, Queued, UnderWay};
use super::job_status::{JobEnd, JobPurpose, JobToExplain, explain_failure, explain_waiting, job_end};
use super::locking::lock;
use super::referents::{ReferentChanges, WatchScope};
use crate::build_request::test_results::RESULTS_END;
use crate::build_request::{INPUTS_ANNOTATION, MANAGED_BY, TARGET_ANNOTATION, TEST_CONTAINER};
use crate::plan::Failure;
use crate::plan::attempt::AttemptState;
use crate::status::FIELD_MANAGER;
use crate::status::limit::{API_TIMEOUT, within_limit};

/// How often a Job that waits for its place asks for it again. It is woken when its turn comes.
pub const ASK_FOR_PLACE_AGAIN: Duration = Duration::from_secs(60);

/// How much of a log is read: lines, and bytes from the server.
pub const LOG_LINES: usize = 30;
pub const LOG_BYTES: usize = 64 << 10;

/// A Job that is to be created.
pub struct NewJob<'a> {
    pub key: &'a ObjectKey,
    /// The uid of its `PatchSet`.
    pub uid: &'a str,
    /// What it is made from: a digest that it carries as an annotation.
    pub inputs: &'a InputsDigest,
    pub manifest: &'a Value,
    pub purpose: JobPurpose,
}

/// Which part of a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Its last lines; all of it where absent.
    pub lines: Option<usize>,
    /// How many bytes of these, from their first.
    pub bytes: usize,
}

/// The Jobs of one scope.
pub struct BuildJobs {
    client: Client,
    store: Store<Job>,
    places: Arc<JobPlaces>,
}

/// The places for builds by Jobs.
struct JobPlaces {
    jobs: Store<Job>,
    patch_sets: Store<Guarded<PatchSet>>,
    limits: BuildLimits,
    taken: Mutex<Taken>,
    /// Wakes those that may begin.
    wake: UnboundedSender<Referent>,
}

/// What the watch of Jobs does not show.
#[derive(Default)]
struct Taken {
    /// Jobs that were started and that the watch has not shown yet; since when.
    started: HashMap<ObjectKey, Instant>,
    queue: BuildQueue,
}

impl BuildJobs {
    /// Starts the watch. The store fills while the stream of changes is polled.
    pub fn watch(
        client: Client,
        scope: &WatchScope,
        patch_sets: Store<Guarded<PatchSet>>,
        limits: BuildLimits,
    ) -> (Self, ReferentChanges) {
        let (store, writer) = reflector::store();
        let (wake, woken) = mpsc::unbounded();
        let places = Arc::new(JobPlaces {
            jobs: store.clone(),
            patch_sets,
            limits,
            taken: Mutex::default(),
            wake,
        });
        let shown = Arc::clone(&places);
        let config = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let changes = scope
            .watch::<Job>(config)
            .modify(|job: &mut Job| {
                job.managed_fields_mut().clear();
                // The template is large, and the annotations have what was asked for.
                if let Some(spec) = &mut job.spec {
                    spec.template.spec = None;
                    spec.template.metadata = None;
                }
                // Nothing is kept of a Job with our labels that is none of ours.
                if owner(job).is_none() {
                    (job.spec, job.status) = (None, None);
                    job.labels_mut().clear();
                    job.annotations_mut().clear();
                    job.owner_references_mut().clear();
                }
            })
            .reflect(writer)
            .touched_objects()
            .filter_map(move |job| {
                let referent = match job {
                    Ok(job) => {
                        let key = ObjectKey::of_object(&job);
                        owner(&job).map(|owner| {
                            // From now on the store tells whether it is active; what is gone takes
                            // no place.
                            shown.give_back(&key);
                            Referent {
                                kind: ReferentKind::Job,
                                key: ObjectKey::new(key.namespace, &owner.name),
                            }
                        })
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the watch of Jobs was interrupted");
                        None
                    }
                };
                futures::future::ready(referent)
            });
        let jobs = Self {
            client,
            store,
            places,
        };
        (jobs, futures::stream::select(changes, woken).boxed())
    }

    /// Waits until the Jobs are known.
    pub async fn wait_until_known(&self) {
        // An error means that the watch has ended, which its own task reports.
        let _ = self.store.wait_until_ready().await;
    }

    /// The Jobs of a `PatchSet` for one purpose.
    pub fn of_patch_set(&self, namespace: &str, uid: &str, purpose: JobPurpose) -> Vec<Arc<Job>> {
        let is_its_own = |job: &Arc<Job>| {
            job.metadata.namespace.as_deref() == Some(namespace)
                && is_owned_by(job, uid)
                && JobPurpose::from_labels(job) == purpose
        };
        self.store.state().into_iter().filter(is_its_own).collect()
    }

    /// Takes a place for a Job of a `PatchSet`, if the bounds leave one and it is its turn: it is
    /// given back when the watch shows the Job, or by [`BuildJobs::give_up`]. If it has to wait,
    /// the `PatchSet` is woken when its turn comes.
    pub fn take_place(&self, patch_set: &ObjectKey, job: &ObjectKey) -> Result<(), Queued> {
        let mut taken = lock(&self.places.taken);
        let under_way = self.places.under_way(&mut taken);
        let limits = self.places.limits;
        taken.queue.ask(patch_set, &under_way, limits, Instant::now())?;
        taken.started.insert(job.clone(), Instant::now());
        Ok(())
    }

    /// Gives back a place that was not used.
    pub fn give_up(&self, job: &ObjectKey) {
        self.places.give_back(job);
    }

    /// Creates a Job. An existing one with the same owner and inputs is the same attempt, started
    /// before a restart or unseen by the watch.
    pub async fn start(&self, job: &NewJob<'_>) -> Result<(), Failure> {
        let NewJob {
            key: job,
            uid,
            inputs,
            manifest,
            purpose,
        } = *job;
        let namespace = &job.namespace;
        let failed = |error: &dyn Display| {
            Failure::retried(
                purpose.step(),
                reason::WRITE_FAILED,
                format!("cannot create Job {job}: {error}"),
            )
        };
        // Unknown fields are an error, not dropped.
        let request = http::Request::post(format!(
            "/apis/batch/v1/namespaces/{namespace}/jobs?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"
        ))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(manifest.to_string().into_bytes())
        .map_err(|error| failed(&error))?;
        let answer = tokio::time::timeout(API_TIMEOUT, self.client.request::<Job>(request)).await;
        match answer.map_err(|_| failed(&crate::status::Error::TimedOut))? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
                let there = within_limit(api.get(&job.name))
                    .await
                    .map_err(|error| failed(&error))?;
                let is_same = JobPurpose::from_labels(&there) == purpose && is_owned_by(&there, uid);
                if is_same && inputs_of(&there).as_ref() == Some(inputs) {
                    return Ok(());
                }
                Err(Failure::stalled(
                    purpose.step(),
                    reason::NAME_TAKEN,
                    format!("Job {job} already exists for something else: remove it"),
                ))
            }
            Err(kube::Error::Api(status)) if status.is_invalid() || status.code == 400 => {
                Err(Failure::stalled(
                    purpose.step(),
                    reason::INVALID_SPEC,
                    format!("{}: the Job was refused: {}", purpose.field(), status.message),
                ))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Stops a build or a test, and removes its Job.
    pub async fn cancel(&self, job: &Job) -> Result<(), Failure> {
        let key = ObjectKey::of_object(job);
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let parameters = DeleteParams {
            // The Job stays until its pods are gone, so that they push nothing later than what
            // comes next.
            propagation_policy: Some(kube::api::PropagationPolicy::Foreground),
            preconditions: Some(kube::api::Preconditions {
                uid: job.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match within_limit(api.delete(&key.name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(crate::status::Error::Api(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
            Err(error) => Err(Failure::retried(
                JobPurpose::from_labels(job).step(),
                reason::WRITE_FAILED,
                format!("cannot cancel Job {key}: {error}"),
            )),
        }
    }

    /// The state of a Job.
    pub async fn attempt_state(&self, key: &ObjectKey, purpose: JobPurpose) -> Result<AttemptState, Failure> {
        let job = if let Some(job) = find(&self.store, key) {
            job
        } else {
            // The watch may not have shown it yet.
            let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
            let found = within_limit(api.get_opt(&key.name)).await.map_err(|error| {
                Failure::retried(
                    purpose.step(),
                    reason::UNREACHABLE,
                    format!("cannot read Job {key}: {error}"),
                )
            })?;
            match found {
                Some(job) => Arc::new(job),
                None => return Ok(AttemptState::Gone),
            }
        };
        match job_end(&job) {
            Some(JobEnd::Complete) => return Ok(AttemptState::Succeeded),
            Some(JobEnd::Failed(failure)) => {
                let pod = self.last_pod(key).await;
                let log = match &pod {
                    Some(pod) => self.log_of(pod, purpose).await,
                    None => None,
                };
                // Results at the end of a log explain nothing to people.
                let log = log.filter(|log| !log.contains(RESULTS_END));
                let job = JobToExplain {
                    name: &key.name,
                    purpose,
                };
                let why = explain_failure(job, &failure, pod.as_ref(), log.as_deref());
                return Ok(AttemptState::Failed { why, log });
            }
            None => {}
        }
        let runs = job
            .status
            .as_ref()
            .and_then(|status| status.ready)
            .unwrap_or_default()
            > 0;
        if runs {
            return Ok(AttemptState::Active(None));
        }
        let pod = self.last_pod(key).await;
        Ok(AttemptState::Active(pod.as_ref().and_then(explain_waiting)))
    }

    /// The last pod of a Job; `None` if it cannot be read, as it only explains.
    async fn last_pod(&self, job: &ObjectKey) -> Option<Pod> {
        self.find_last_pod(job).await.ok()?
    }

    async fn find_last_pod(&self, job: &ObjectKey) -> Result<Option<Pod>, crate::status::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &job.namespace);
        let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", job.name));
        let pods = within_limit(api.list(&selector)).await?;
        Ok(pods.into_iter().max_by_key(ResourceExt::creation_timestamp))
    }

    /// Parts of the log of a test's last pod; `None` if there is no pod any more.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read now.
    pub async fn read_test_log(&self, job: &ObjectKey, part: LogPart) -> Result<Option<Vec<u8>>, Failure> {
        let failed = |error: &dyn Display| {
            Failure::retried(
                JobPurpose::Test.step(),
                reason::UNREACHABLE,
                format!("cannot read the results of Job {job} from the log of its pod: {error}"),
            )
        };
        let found = self.find_last_pod(job).await;
        let Some(pod) = found.map_err(|error| failed(&error))? else {
            return Ok(None);
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &job.namespace);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let parameters = LogParams {
            container: Some(TEST_CONTAINER.to_owned()),
            tail_lines: part.lines.map(count),
            limit_bytes: Some(count(part.bytes)),
            ..LogParams::default()
        };
        let reading = async {
            let name = pod.name_any();
            let stream = api
                .log_stream(&name, &parameters)
                .await
                .map_err(|error| failed(&error))?;
            let mut log = Vec::new();
            // The server may exceed the limit.
            let most = u64::try_from(part.bytes).unwrap_or(u64::MAX);
            let read = stream.take(most).read_to_end(&mut log).await;
            read.map_err(|error| failed(&error))?;
            Ok(log)
        };
        let read = tokio::time::timeout(API_TIMEOUT, reading).await;
        read.map_err(|_| failed(&crate::status::Error::TimedOut))?
            .map(Some)
    }

    /// The end of a pod's log, if that can be read and says something.
    async fn log_of(&self, pod: &Pod, purpose: JobPurpose) -> Option<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace()?);
        let parameters = LogParams {
            container: Some(purpose.container().to_owned()),
            tail_lines: i64::try_from(LOG_LINES).ok(),
            limit_bytes: i64::try_from(LOG_BYTES).ok(),
            ..LogParams::default()
        };
        let log = within_limit(api.logs(&pod.name_any(), &parameters)).await.ok()?;
        Some(tail(&log)).filter(|log| !log.is_empty())
    }
}

impl JobPlaces {
    /// Gives back the place of a Job that the watch shows or that was not made, and wakes those
    /// whose turn it is, and no others.
    fn give_back(&self, job: &ObjectKey) {
        let mut taken = lock(&self.taken);
        taken.started.remove(job);
        if taken.queue.is_empty() {
            return;
        }
        let under_way = self.under_way(&mut taken);
        for next in taken.queue.next_builds(&under_way, self.limits) {
            // No receiver is no error: the controller is about to end.
            let _ = self.wake.unbounded_send(Referent {
                kind: ReferentKind::Job,
                key: next,
            });
        }
    }

    /// How many builds are under way: only Jobs of live `PatchSet`s count, whoever else gives a Job
    /// our labels.
    fn under_way(&self, taken: &mut Taken) -> UnderWay {
        taken
            .started
            .retain(|job, since| since.elapsed() < BEGINS_WITHIN && find(&self.jobs, job).is_none());
        taken.queue.retain(|waiting| {
            find(&self.patch_sets, waiting).is_some_and(|patch_set| {
                patch_set.meta().deletion_timestamp.is_none()
                    && patch_set
                        .0
                        .as_ref()
                        .is_ok_and(|patch_set| !patch_set.spec.suspend)
            })
        });
        let shown = self.jobs.state().into_iter();
        let shown = shown
            .filter(|job| job_end(job).is_none() && self.is_of_living(job))
            .map(|job| job.namespace().unwrap_or_default());
        shown
            .chain(taken.started.keys().map(|job| job.namespace.clone()))
            .collect()
    }

    fn is_of_living(&self, job: &Job) -> bool {
        owner(job).is_some_and(|owner| {
            let namespace = job.namespace().unwrap_or_default();
            find(&self.patch_sets, &ObjectKey::new(namespace, &owner.name))
                .is_some_and(|patch_set| patch_set.meta().uid.as_deref() == Some(&owner.uid))
        })
    }
}

/// The `PatchSet` that a Job builds or tests for.
fn owner(job: &Job) -> Option<&OwnerReference> {
    controller_of(job).filter(|owner| {
        owner.kind == PatchSet::kind(&())
            && owner
                .api_version
                .split_once('/')
                .is_some_and(|(group, _)| group == GROUP)
    })
}

/// Whether a Job builds for the `PatchSet` with a uid.
fn is_owned_by(job: &Job, uid: &str) -> bool {
    owner(job).is_some_and(|owner| owner.uid == uid)
}

/// What a Job builds from.
pub fn inputs_of(job: &Job) -> Option<InputsDigest> {
    let annotation = job.annotations().get(INPUTS_ANNOTATION)?;
    Some(annotation.as_str().into())
}

/// What a Job pushes to.
pub fn target_of(job: &Job) -> Option<Recorded<ImageReference>> {
    let annotation = job.annotations().get(TARGET_ANNOTATION)?;
    Some(annotation.as_str().into())
}

/// The number of a Job's attempt.
pub fn number_of(job: &Job) -> Option<u32> {
    job.metadata.name.as_deref()?.rsplit_once('-')?.1.parse().ok()
}
