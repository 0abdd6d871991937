//! The long form, for `hack/hostile.sh`: all inputs at their largest, all tenants at once, and
//! generated inputs for as long as the environment says. Prints a table and ends with a line
//! `N passed, N failed`.

use std::time::{Duration, Instant};

use super::chance::Chance;
use super::cluster::{Cluster, MOST};
use super::offline::Offline;
use super::table::{Row, show};
use super::{Scale, constraints, patches, registries, releases, tenants, upstreams};

/// How often an honest object is measured, alone and among all others.
const ROUNDS: usize = 10;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
    })
}

fn add(row: Row, rows: &mut Vec<Row>) {
    rows.push(row);
    show(rows);
}

async fn run(input: Offline, rows: &mut Vec<Row>) {
    add(tokio::task::spawn_blocking(|| input.run()).await.unwrap(), rows);
}

/// All known inputs by kind, each created when its turn comes.
fn known_offline() -> Vec<Box<dyn Iterator<Item = Offline>>> {
    let scale = Scale::Long;
    let kinds: Vec<(&str, Box<dyn Iterator<Item = Offline>>)> = vec![
        (
            "patches",
            Box::new(patches::known(scale).into_iter().map(patches::Patch::offline)),
        ),
        (
            "constraints",
            Box::new(
                constraints::known(scale)
                    .into_iter()
                    .map(constraints::Files::offline),
            ),
        ),
        (
            "releases",
            Box::new(releases::known(scale).into_iter().map(releases::Yaml::check)),
        ),
        (
            "manifests",
            Box::new(releases::known(scale).into_iter().map(releases::Yaml::build_plan)),
        ),
        (
            "upstreams",
            Box::new(
                upstreams::known_refs(scale)
                    .into_iter()
                    .map(upstreams::Upstream::check),
            ),
        ),
        (
            "upstreams",
            Box::new(std::iter::once_with(|| upstreams::nothing(2000))),
        ),
        (
            "upstreams",
            Box::new(
                upstreams::known_packs(scale)
                    .into_iter()
                    .map(upstreams::Upstream::check),
            ),
        ),
        (
            "upstreams",
            Box::new(
                upstreams::known_trees(scale)
                    .into_iter()
                    .map(upstreams::Upstream::source),
            ),
        ),
        ("servers", Box::new(registries::known())),
    ];
    let wanted = kinds.into_iter().filter(|(kind, _)| tenants::is_wanted(kind));
    wanted.map(|(_, inputs)| inputs).collect()
}

fn generated_offline(chance: &mut Chance) -> Offline {
    match chance.below(5) {
        0 => constraints::generated(chance).offline(),
        1 => releases::generated(chance).check(),
        2 => upstreams::generated(chance).check(),
        _ => patches::generated(chance).offline(),
    }
}

/// All tenants at once: how long an honest object takes, and the controller's memory.
async fn at_once(cluster: &mut Cluster) -> Row {
    let mut alone: f64 = 0.0;
    for _ in 0..ROUNDS {
        alone = alone.max(cluster.honest().await.unwrap());
    }
    cluster.forget_peak();
    let mut tenants = Vec::new();
    for tenant in tenants::known(Scale::Short) {
        let mut tenant = tenant(cluster);
        cluster.settle(&mut tenant).await;
        // Its servers have to stay.
        tenants.push(tenant);
    }
    let (mut among, mut faults): (f64, Vec<String>) = (0.0, Vec::new());
    for _ in 0..ROUNDS {
        match cluster.honest().await {
            Ok(seconds) => among = among.max(seconds),
            Err(fault) => faults.push(fault),
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    if let Some(status) = cluster.ended() {
        faults.push(format!("the controller ended: {status}"));
    }
    let peak = cluster.peak();
    if peak > MOST {
        faults.push(format!("the controller takes {peak} MiB, more than {MOST}"));
    }
    faults.extend(cluster.end().await);
    Row {
        input: format!("all {} tenants at once", tenants.len()),
        by: "controller",
        said: format!("an honest object takes {alone:.1} s alone at most, {among:.1} s among them"),
        seconds: among,
        computed: 0.0,
        peak,
        faults,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as PATCHSET_HOSTILE_MINUTES says, and half an hour before: hack/hostile.sh runs it"]
async fn all_inputs() {
    let seed = number("PATCHSET_HOSTILE_SEED", 1);
    let minutes = number("PATCHSET_HOSTILE_MINUTES", 10);
    println!("seed {seed}, {minutes} minutes of generated inputs");
    let mut rows = Vec::new();
    for input in known_offline().into_iter().flatten() {
        run(input, &mut rows).await;
    }
    let mut cluster = Cluster::start().await;
    for tenant in tenants::known(Scale::Long) {
        let tenant = tenant(&cluster);
        add(cluster.run(tenant).await, &mut rows);
    }
    drop(cluster);
    if tenants::is_wanted("together") {
        let mut cluster = Cluster::start().await;
        add(at_once(&mut cluster).await, &mut rows);
    }

    let mut chance = Chance(seed);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut cluster = Cluster::start().await;
    let mut round = 0;
    while Instant::now() < end {
        round += 1;
        let input = generated_offline(&mut chance);
        run(input, &mut rows).await;
        if round % 4 == 0 {
            let tenant = if chance.below(2) == 0 {
                tenants::patch(&cluster, 1000 + round, patches::generated(&mut chance))
            } else {
                tenants::upstream(&cluster, upstreams::generated(&mut chance))
            };
            add(cluster.run(tenant).await, &mut rows);
        }
    }
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.faults.is_empty()).collect();
    for row in &failed {
        println!("failed: {}: {}", row.input, row.faults.join("; "));
    }
    println!("{} passed, {} failed", rows.len() - failed.len(), failed.len());
    assert!(failed.is_empty(), "repeat it with --seed {seed}");
}
