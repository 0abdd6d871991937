//! Whether an image has installed what it was built from.

use std::collections::{BTreeMap, BTreeSet};

use patchset_api::build::{InstalledStatus, Origin};
use upper_constraints::PackageName;

/// How many distributions are listed.
const MOST: usize = 64;

/// A distribution in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDistribution {
    /// Its name, as the image spells it.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What one platform of an image has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPlatform {
    /// The platform, of an image for several.
    pub name: Option<String>,
    /// All distributions.
    pub distributions: Vec<FoundDistribution>,
}

/// What an image has of what it was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The distributions, as the status lists them.
    pub installed: Vec<InstalledStatus>,
    /// Why the image does not count, where it does not.
    pub stock: Option<String>,
}

/// Looks for the distributions that contexts are the source of. `wanted` has their names by
/// context.
///
/// One counts as installed from its source if one place says so, whatever else there is: an
/// operating system's own packages may be underneath. One that is not found is reported and lets
/// the image count: a builder may keep it elsewhere, and a library may be needed only for the
/// build. An unknown origin is no reason to refuse the image.
#[must_use]
pub fn judge(image: &str, wanted: &BTreeMap<String, String>, platforms: &[FoundPlatform]) -> Judged {
    let mut seen_on: BTreeMap<(Origin, String, Option<String>), Vec<String>> = BTreeMap::new();
    let mut stock: BTreeSet<String> = BTreeSet::new();
    for platform in platforms {
        for (context, name) in wanted {
            let found = find_named(name, &platform.distributions);
            let where_ = platform.name.iter().cloned();
            if found.is_empty() {
                let key = (Origin::NotFound, name.clone(), None);
                seen_on.entry(key).or_default().extend(where_.clone());
            }
            for one in &found {
                let key = (one.origin, name.clone(), one.version.clone());
                let platforms = seen_on.entry(key).or_default();
                platforms.extend(where_.clone());
                platforms.dedup();
            }
            let is_elsewhere = |one: &&FoundDistribution| matches!(one.origin, Origin::Index | Origin::Url);
            if let Some(one) = found.first()
                && found.iter().all(is_elsewhere)
            {
                stock.insert(describe_stock(context, name, one, platform.name.as_deref()));
            }
        }
    }
    let mut installed: Vec<InstalledStatus> = seen_on
        .into_iter()
        .map(|((origin, name, version), platforms)| InstalledStatus {
            name,
            version,
            origin,
            platforms,
        })
        .collect();
    // What needs a person comes first, in case not all can be listed.
    installed.sort_by_key(|one| !matches!(one.origin, Origin::Index | Origin::Url));
    installed.truncate(MOST);
    installed.sort_by(|a, b| (&a.name, &a.version, a.origin).cmp(&(&b.name, &b.version, b.origin)));
    let stock = (!stock.is_empty()).then(|| {
        let all: Vec<String> = stock.into_iter().take(8).collect();
        format!(
            "{image} does not count: {}; install it from its context in one step with what needs it, with constraints that do not pin it, or set build.check to Skip",
            all.join("; ")
        )
    });
    Judged { installed, stock }
}

fn find_named<'a>(name: &str, distributions: &'a [FoundDistribution]) -> Vec<&'a FoundDistribution> {
    let Ok(name) = name.parse::<PackageName>() else {
        return Vec::new();
    };
    let is_it = |one: &&FoundDistribution| one.name.parse::<PackageName>().is_ok_and(|other| other == name);
    distributions.iter().filter(is_it).collect()
}

fn describe_stock(context: &str, name: &str, one: &FoundDistribution, platform: Option<&str>) -> String {
    let version = one.version.as_ref().map(|version| format!(" {version}"));
    let from = match one.origin {
        Origin::Url => "from an address",
        _ => "from a package index",
    };
    let platform = platform.map(|platform| format!(" (on {platform})"));
    format!(
        "{name}{} is installed {from}{}, and not from the patched source of {context}",
        version.unwrap_or_default(),
        platform.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, version: &str, origin: Origin) -> FoundDistribution {
        FoundDistribution {
            name: name.into(),
            version: Some(version.into()),
            origin,
        }
    }

    fn wanted() -> BTreeMap<String, String> {
        [("placement", "openstack-placement"), ("os-traits", "os-traits")]
            .map(|(context, name)| (context.to_owned(), name.to_owned()))
            .into()
    }

    fn judged(distributions: Vec<FoundDistribution>) -> (Vec<(String, Origin)>, Option<String>) {
        let platform = FoundPlatform {
            name: None,
            distributions,
        };
        let judged = judge("r/i@sha256:0", &wanted(), &[platform]);
        let seen_on = judged.installed.into_iter().map(|one| (one.name, one.origin));
        (seen_on.collect(), judged.stock)
    }

    #[test]
    fn what_comes_from_its_source_counts_under_any_spelling() {
        let (seen_on, stock) = judged(vec![
            one("openstack_placement", "14.0.0", Origin::Source),
            one("os_traits", "3.5.0", Origin::Source),
            one("WebOb", "1.8.8", Origin::Index),
        ]);
        let expected = [
            ("openstack-placement".to_owned(), Origin::Source),
            ("os-traits".to_owned(), Origin::Source),
        ];
        assert_eq!((seen_on, stock), (expected.to_vec(), None));
    }

    #[test]
    fn a_stock_wheel_is_refused_and_named() {
        let (seen_on, stock) = judged(vec![
            one("openstack_placement", "14.0.0", Origin::Source),
            one("os-traits", "3.4.0", Origin::Index),
        ]);
        assert_eq!(seen_on[1], ("os-traits".to_owned(), Origin::Index));
        let message = stock.unwrap();
        assert!(
            message.starts_with("r/i@sha256:0 does not count: os-traits 3.4.0 is installed from a package index, and not from the patched source of os-traits;"),
            "{message}"
        );
        let (_, stock) = judged(vec![one("Openstack.Placement", "1", Origin::Url)]);
        assert!(stock.unwrap().contains("from an address"));
    }

    #[test]
    fn what_is_nowhere_or_not_told_is_no_reason_to_refuse() {
        let (seen_on, stock) = judged(vec![one("os.traits", "3", Origin::Unknown)]);
        let expected = [
            ("openstack-placement".to_owned(), Origin::NotFound),
            ("os-traits".to_owned(), Origin::Unknown),
        ];
        assert_eq!((seen_on, stock), (expected.to_vec(), None));
        // The operating system's own is below.
        let both = vec![
            one("os-traits", "1", Origin::Index),
            one("os-traits", "3", Origin::Source),
        ];
        let (seen_on, stock) = judged(both);
        assert_eq!((seen_on.len(), stock), (3, None));
    }

    #[test]
    fn each_platform_has_to_have_it() {
        let platform = |name: &str, origin| FoundPlatform {
            name: Some(name.into()),
            distributions: vec![
                one("openstack-placement", "14", Origin::Source),
                one("os-traits", "3", origin),
            ],
        };
        let platforms = [
            platform("linux/amd64", Origin::Source),
            platform("linux/arm64", Origin::Index),
        ];
        let judged = judge("i", &wanted(), &platforms);
        assert!(judged.stock.unwrap().contains("(on linux/arm64)"));
        let seen_on: Vec<(Origin, usize)> = judged
            .installed
            .iter()
            .map(|one| (one.origin, one.platforms.len()))
            .collect();
        assert_eq!(
            seen_on,
            [(Origin::Source, 2), (Origin::Source, 1), (Origin::Index, 1)]
        );
    }

    #[test]
    fn what_is_told_is_bounded_and_has_what_is_wrong() {
        let many: Vec<FoundDistribution> = (0..200)
            .map(|n| one("os-traits", &format!("0.{n}"), Origin::Source))
            .collect();
        let platforms = [
            FoundPlatform {
                name: Some("a".into()),
                distributions: many,
            },
            FoundPlatform {
                name: Some("b".into()),
                distributions: vec![one("os-traits", "9", Origin::Index)],
            },
        ];
        let judged = judge("i", &wanted(), &platforms);
        assert_eq!(judged.installed.len(), MOST);
        assert!(judged.installed.iter().any(|one| one.origin == Origin::Index));
    }
}
