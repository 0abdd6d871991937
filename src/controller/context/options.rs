//! The options of `patchset controller`, named as Flux's controllers name theirs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use patchset_api::FluxDuration;
use patchset_api::build::CloudProvider;
use patchset_api::common::ServiceAccountName;

use crate::build_request::PodTemplatePolicy;
use crate::controller::state::build_places::BuildLimits;
use crate::ops::telemetry::{Encoding, LogLevel};
use crate::status::notify::Address;
use crate::web::{TrustedProxies, ViewerOptions};

/// Ways of reaching a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum TransportName {
    /// HTTP over TLS.
    Https,
    /// SSH with a checked host key.
    Ssh,
    /// Plain HTTP: contents and credentials can be read and changed on the way.
    Http,
    /// The git protocol: contents can be changed on the way.
    Git,
}

/// Options of `patchset controller`.
#[derive(Clone, Debug, Args)]
pub struct ControllerOptions {
    /// How many objects are reconciled at the same time; with several namespaces, none takes the
    /// last quarter of the places
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrent: u16,
    /// The longest time that one attempt at an object may take; a longer `spec.timeout` counts as
    /// this
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub max_timeout: Duration,
    /// The shortest time between two looks at an object, and between two at an upstream's refs for
    /// all objects on it; a shorter `spec.interval` counts as this
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = parse_duration)]
    pub min_interval: Duration,
    /// Watch all namespaces; with `false`, only the controller's own
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub watch_all_namespaces: bool,
    /// Watch only objects with these labels, for instance `sharding.fluxcd.io/key=one`, so that several
    /// controllers share the work
    #[arg(long, value_name = "SELECTOR")]
    pub watch_label_selector: Option<String>,
    /// The namespace that the controller runs in
    #[arg(
        long,
        env = "RUNTIME_NAMESPACE",
        default_value = "default",
        value_name = "NAMESPACE"
    )]
    pub runtime_namespace: String,
    /// Folder for the mirrors of upstreams
    #[arg(long, default_value = "/data", value_name = "DIR")]
    pub storage_path: PathBuf,
    /// How much disk space the mirrors may take, for instance 500Mi or 2Gi
    #[arg(long, default_value = "2Gi", value_name = "SIZE", value_parser = parse_size)]
    pub storage_capacity: u64,
    /// Transports that upstreams and patches may be fetched over
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["https", "ssh"], value_name = "LIST")]
    pub allow_transport: Vec<TransportName>,
    /// A registry (host and port) to talk to without TLS; may be repeated
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub plain_http_registry: Vec<String>,
    /// The image of the BuildKit builder, if a resource names none
    #[arg(long, default_value = "moby/buildkit:v0.34.2-rootless", value_name = "IMAGE")]
    pub buildkit_image: String,
    /// The image of the buildah builder, if a resource names none
    #[arg(long, default_value = "quay.io/buildah/stable:latest", value_name = "IMAGE")]
    pub buildah_image: String,
    /// The shortest time between two changes to a pull request for the upkeep of patches
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = parse_duration)]
    pub upkeep_update_interval: Duration,
    /// The shortest time between two such pull requests from a namespace to a repository
    #[arg(long, default_value = "6h", value_name = "DURATION", value_parser = parse_duration)]
    pub upkeep_request_interval: Duration,
    /// How many builds may be under way at the same time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_builds: u16,
    /// How many builds may be under way at the same time in one namespace [default: half of
    /// --max-builds, rounded up]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_builds_per_namespace: Option<u16>,
    /// The longest time that a build may ask for, for instance 90m
    #[arg(long, default_value = "2h", value_name = "DURATION", value_parser = parse_duration)]
    pub max_build_timeout: Duration,
    /// What the pod templates of builds may set
    #[arg(long, value_enum, ignore_case = true, default_value_t, value_name = "POLICY")]
    pub job_pod_template: PodTemplatePolicy,
    /// The service account of a resource's namespace in whose name ConfigMaps are delivered, and
    /// that builds run as, if a resource names none
    #[arg(long, value_name = "NAME", value_parser = parse_service_account)]
    pub default_service_account: Option<ServiceAccountName>,
    /// Clouds to whose registries resources may log in as service accounts of their own namespaces
    /// (`build.provider`)
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = parse_cloud)]
    pub registry_identities: Vec<CloudProvider>,
    /// Refuse references to objects in other namespaces
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub no_cross_namespace_refs: bool,
    /// Spread intervals by up to this percentage, so that objects do not all look at the same time
    #[arg(long, default_value_t = 5, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub interval_jitter_percentage: u8,
    /// Address for /metrics
    #[arg(long, default_value = ":8080", value_name = "ADDRESS")]
    pub metrics_addr: String,
    /// Address for /healthz and /readyz
    #[arg(long, default_value = ":9440", value_name = "ADDRESS")]
    pub health_addr: String,
    /// Address for pushes from forges (`/hook/NAMESPACE/SECRET`), for instance `:9292`; empty for
    /// none
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    pub webhook_addr: String,
    /// Address for the page of components and releases, for instance `:9090`; empty for none
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    pub web_addr: String,
    /// Proxies, by address or range, whose headers say who is viewing the page, for instance
    /// 10.1.2.3 or 10.1.0.0/16
    #[arg(long, default_value = "", hide_default_value = true, value_name = "LIST")]
    pub web_trusted_proxy: TrustedProxies,
    /// The header in which these proxies name the user; they must remove it from the requests that
    /// they receive
    #[arg(long, default_value = "X-Forwarded-User", value_name = "HEADER")]
    pub web_proxy_user_header: String,
    /// The same for the groups
    #[arg(long, default_value = "X-Forwarded-Groups", value_name = "HEADER")]
    pub web_proxy_groups_header: String,
    /// Namespaces that everybody who reaches the page may look at
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub web_anonymous: Vec<String>,
    /// Where to post events in Flux's format, for instance
    /// `http://notification-controller.flux-system.svc.cluster.local./`; empty for nowhere
    #[arg(long, default_value = "", hide_default_value = true, value_name = "URL")]
    pub events_addr: Address,
    /// Let one replica work and the others stand by
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub enable_leader_election: bool,
    /// The lowest level that is logged
    #[arg(long, value_enum, default_value = "info", value_name = "LEVEL")]
    pub log_level: LogLevel,
    /// The format of log lines
    #[arg(long, value_enum, default_value = "json", value_name = "ENCODING")]
    pub log_encoding: Encoding,
}

impl ControllerOptions {
    /// How viewers of the page are identified.
    pub(in crate::controller) fn viewers(&self) -> ViewerOptions {
        ViewerOptions {
            trusted_proxies: self.web_trusted_proxy.clone(),
            user_header: self.web_proxy_user_header.clone(),
            groups_header: self.web_proxy_groups_header.clone(),
            anonymous: self.web_anonymous.iter().cloned().collect(),
        }
    }

    /// The bounds of builds by one engine.
    pub(in crate::controller) fn build_limits(&self) -> BuildLimits {
        let share = self
            .max_builds_per_namespace
            .unwrap_or(self.max_builds.div_ceil(2));
        BuildLimits {
            in_namespace: usize::from(share),
            in_all: usize::from(self.max_builds),
            timeout: self.max_build_timeout,
        }
    }
}

/// Parses a duration of at least a second, in the format of the resources.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = FluxDuration::new(text).get().map_err(|error| error.to_string())?;
    if duration < Duration::from_secs(1) {
        return Err("it is shorter than a second".to_owned());
    }
    Ok(duration)
}

/// Reads the name of a service account.
fn parse_service_account(text: &str) -> Result<ServiceAccountName, String> {
    let is_name = text.split('.').all(|label| {
        let edges = [label.chars().next(), label.chars().last()];
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        edges.into_iter().all(|edge| edge.is_some_and(is_word))
            && label.chars().all(|c| is_word(c) || c == '-')
    });
    if is_name && text.len() <= 253 {
        Ok(ServiceAccountName(text.to_owned()))
    } else {
        Err("write the name of a service account, for instance patchset-builder".to_owned())
    }
}

/// Reads the name of a cloud.
fn parse_cloud(text: &str) -> Result<CloudProvider, String> {
    [CloudProvider::Aws, CloudProvider::Azure, CloudProvider::Gcp]
        .into_iter()
        .find(|cloud| cloud.as_str() == text)
        .ok_or_else(|| "write aws, azure or gcp".to_owned())
}

/// Reads a size in bytes, with Kubernetes' binary or decimal suffixes.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000 * 1000,
        "G" => 1000 * 1000 * 1000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(format!("unknown unit {unit:?}: write for instance 500Mi or 2Gi")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| "write a number and a unit, for instance 500Mi or 2Gi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, parse_service_account, parse_size};
    use std::time::Duration;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "1ms", "9000h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn service_accounts() {
        for name in ["builder", "a-1", "a.b", "0"] {
            assert!(parse_service_account(name).is_ok(), "{name}");
        }
        for wrong in [
            "",
            "-a",
            "a-",
            "a..b",
            "A",
            "a_b",
            "a:b",
            "a\nb",
            &"a".repeat(254),
        ] {
            assert!(parse_service_account(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("2Gi"), Ok(2 << 30));
        assert_eq!(parse_size("500M"), Ok(500_000_000));
        assert_eq!(parse_size("7"), Ok(7));
        for wrong in ["", "Gi", "2gb", "-1", "99999999999Ti"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
