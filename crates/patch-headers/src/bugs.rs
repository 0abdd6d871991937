//! Bugs and their trackers, as messages refer to them.

use url::Url;

/// Where a bug is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tracker {
    /// Launchpad.
    Launchpad,
    /// Red Hat's Bugzilla.
    RedHatBugzilla,
    /// GitHub.
    GitHub,
    /// A GitLab server.
    GitLab,
    /// Debian's bug tracker.
    Debian,
    /// The reference does not name it.
    Unnamed,
}

impl Tracker {
    /// Its name; `None` for [`Tracker::Unnamed`].
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Launchpad => Some("Launchpad"),
            Self::RedHatBugzilla => Some("Red Hat Bugzilla"),
            Self::GitHub => Some("GitHub"),
            Self::GitLab => Some("GitLab"),
            Self::Debian => Some("Debian"),
            Self::Unnamed => None,
        }
    }
}

/// A bug.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bug {
    /// Where it is tracked.
    pub tracker: Tracker,
    /// Its number there, with the project if the tracker counts per project, such as
    /// `libical/libical#532`; the text as written if the tracker is not named.
    pub id: String,
    /// Its page.
    pub url: Option<String>,
}

/// What a bare number such as `#42` means where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BareNumber {
    /// Launchpad, with or without `#`: OpenStack's trailers.
    Launchpad,
    /// Debian, if it has as many digits as Debian's bugs: `Closes: #1104009`.
    Debian,
    /// A number of the tracker that the header names: `Bug-Debian: 1104009`.
    Vendor(Tracker),
    /// It does not say.
    Unnamed,
}

/// Debian's numbers had six digits in 2001; those of projects on GitLab and GitHub rarely do.
const DEBIAN_DIGITS: usize = 6;

impl Bug {
    /// Reads a word as a reference to a bug.
    pub(crate) fn from_word(word: &str, bare: BareNumber) -> Option<Self> {
        let word = word.trim_matches(|c: char| "()[]<>,.;\"'`".contains(c));
        if word.contains("://") {
            return Self::from_url(word);
        }
        let lower = word.to_ascii_lowercase();
        for (begin, tracker) in [
            ("rhbz", Tracker::RedHatBugzilla),
            ("lp", Tracker::Launchpad),
            ("deb", Tracker::Debian),
        ] {
            let number = lower
                .strip_prefix(begin)
                .and_then(|rest| rest.strip_prefix([':', '#']));
            if let Some(number) = number.map(|rest| rest.trim_start_matches('#'))
                && is_number(number)
            {
                return Some(Self::numbered(tracker, number));
            }
        }
        let hashed = word.strip_prefix('#');
        match (hashed.unwrap_or(word), bare) {
            (number, BareNumber::Launchpad) if is_number(number) => {
                Some(Self::numbered(Tracker::Launchpad, number))
            }
            (number, BareNumber::Vendor(tracker)) if is_number(number) => {
                Some(Self::numbered(tracker, number))
            }
            (number, BareNumber::Debian)
                if is_number(number) && number.len() >= DEBIAN_DIGITS && hashed.is_some() =>
            {
                Some(Self::numbered(Tracker::Debian, number))
            }
            (number, _) if hashed.is_some() && is_number(number) => Some(Self::unnamed(word)),
            (key, BareNumber::Launchpad | BareNumber::Debian) if is_key(key) => Some(Self::unnamed(word)),
            _ => (is_project_number(word)
                || lower.strip_prefix("gh-").is_some_and(is_number)
                || lower.strip_prefix("bz#").is_some_and(is_number))
            .then(|| Self::unnamed(word)),
        }
    }

    /// Reads the address of a bug's page; `None` if it is not known to be one.
    pub(crate) fn from_url(address: &str) -> Option<Self> {
        let url = plain_url(address)?;
        let host = url.host_str()?.trim_start_matches("www.").to_ascii_lowercase();
        let parts: Vec<&str> = url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        let query = |name: &str| {
            let pair = url.query_pairs().find(|(key, _)| key == name);
            pair.map(|(_, value)| value.into_owned())
        };
        let after = |name: &str| {
            let at = parts.iter().position(|part| *part == name)?;
            parts.get(at + 1).copied().filter(|number| is_number(number))
        };
        match host.as_str() {
            "launchpad.net" | "bugs.launchpad.net" => {
                let alone = parts.first().filter(|part| parts.len() == 1 && is_number(part));
                let number = after("+bug").or_else(|| after("bugs")).or(alone.copied())?;
                Some(Self::numbered(Tracker::Launchpad, number))
            }
            "bugs.debian.org" => {
                let in_path = parts.first().copied().filter(|part| is_number(part));
                let number = in_path.map(ToOwned::to_owned).or_else(|| query("bug"))?;
                let number = number.split([';', '#']).next().unwrap_or_default();
                is_number(number).then(|| Self::numbered(Tracker::Debian, number))
            }
            "bugzilla.redhat.com" => {
                let in_path = parts.first().copied().filter(|part| is_number(part));
                let number = in_path.map(ToOwned::to_owned).or_else(|| query("id"))?;
                is_number(&number).then(|| Self::numbered(Tracker::RedHatBugzilla, &number))
            }
            "github.com" => {
                let [owner, name, "issues" | "pull", number, ..] = parts.as_slice() else {
                    return None;
                };
                is_number(number).then(|| Self {
                    tracker: Tracker::GitHub,
                    id: format!("{owner}/{name}#{number}"),
                    url: Some(format!(
                        "https://github.com/{owner}/{name}/{}/{number}",
                        parts.get(2).copied().unwrap_or_default()
                    )),
                })
            }
            _ => Self::on_another_server(&url, &parts),
        }
    }

    fn on_another_server(url: &Url, parts: &[&str]) -> Option<Self> {
        let at = parts.iter().position(|part| *part == "-");
        if let Some((project, [_, "issues" | "work_items", number, ..])) =
            at.and_then(|at| parts.split_at_checked(at))
            && is_number(number)
        {
            return Some(Self {
                tracker: Tracker::GitLab,
                id: format!("{}#{number}", project.join("/")),
                url: Some(page(url)),
            });
        }
        let number_after = |names: &[&str]| {
            parts
                .windows(2)
                .any(|two| names.contains(&two[0]) && (is_number(two[1]) || is_key(two[1])))
        };
        let is_bug = number_after(&["issues", "bugs", "bug", "browse", "ticket", "story"])
            || (parts.last() == Some(&"show_bug.cgi")
                && url.query().is_some_and(|query| query.contains("id=")));
        is_bug.then(|| Self::elsewhere(url))
    }

    /// A bug by the address that a header gives.
    pub(crate) fn by_address(address: &str) -> Option<Self> {
        Self::from_url(address).or_else(|| {
            let url = plain_url(address)?;
            // A page of these servers that names no bug is a template that was never filled in.
            let is_known = url.host_str().is_some_and(|host| {
                host.ends_with("launchpad.net") || host == "bugs.debian.org" || host == "bugzilla.redhat.com"
            });
            (!is_known).then(|| Self::elsewhere(&url))
        })
    }

    /// Takes a text as written, whatever it is.
    pub(crate) fn unnamed(text: &str) -> Self {
        Self {
            tracker: Tracker::Unnamed,
            id: text.to_owned(),
            url: None,
        }
    }

    fn elsewhere(url: &Url) -> Self {
        let page = url.to_string();
        Self {
            tracker: Tracker::Unnamed,
            id: page.clone(),
            url: Some(page),
        }
    }

    fn numbered(tracker: Tracker, number: &str) -> Self {
        let url = match tracker {
            Tracker::Launchpad => Some(format!("https://bugs.launchpad.net/bugs/{number}")),
            Tracker::RedHatBugzilla => Some(format!("https://bugzilla.redhat.com/show_bug.cgi?id={number}")),
            Tracker::Debian => Some(format!("https://bugs.debian.org/{number}")),
            Tracker::GitHub | Tracker::GitLab | Tracker::Unnamed => None,
        };
        Self {
            tracker,
            id: number.to_owned(),
            url,
        }
    }
}

/// Returns a web address, unless it has credentials or placeholders.
fn plain_url(address: &str) -> Option<Url> {
    let address = address.trim_matches(|c: char| "()[]<>,.;\"'`".contains(c));
    if address.contains(['<', '>', '{', '}']) {
        return None;
    }
    let url = Url::parse(address).ok()?;
    let is_plain =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    is_plain.then_some(url)
}

fn page(url: &Url) -> String {
    let mut page = url.clone();
    page.set_fragment(None);
    page.to_string()
}

/// A positive number of at most nine digits.
fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
}

/// A key such as `ABC-97`.
fn is_key(text: &str) -> bool {
    text.split_once('-').is_some_and(|(project, number)| {
        project.starts_with(|c: char| c.is_ascii_uppercase())
            && project.len() >= 2
            && project
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && project != "CVE"
            && is_number(number)
    })
}

/// `owner/name#42`.
fn is_project_number(text: &str) -> bool {
    text.split_once('#').is_some_and(|(project, number)| {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        project.contains('/') && project.split('/').all(is_name) && is_number(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bug: Option<Bug>) -> String {
        bug.map_or_else(
            || "none".to_owned(),
            |bug| format!("{} {}", bug.tracker.name().unwrap_or("?"), bug.id),
        )
    }

    #[test]
    fn a_tracker_is_named_by_what_is_written() {
        use BareNumber::{Debian, Launchpad, Unnamed};
        for (word, bare, told) in [
            ("#2059809", Launchpad, "Launchpad 2059809"),
            ("2059809", Launchpad, "Launchpad 2059809"),
            ("LP#1", Unnamed, "Launchpad 1"),
            ("lp:#1", Unnamed, "Launchpad 1"),
            ("rhbz#2000001", Launchpad, "Red Hat Bugzilla 2000001"),
            ("#ABC-97", Launchpad, "? #ABC-97"),
            ("RHEL-4711", Debian, "? RHEL-4711"),
            ("#1104009", Debian, "Debian 1104009"),
            ("#390", Debian, "? #390"),
            ("#390", Unnamed, "? #390"),
            ("390", Unnamed, "none"),
            ("libical/libical#532", Unnamed, "? libical/libical#532"),
            ("GH-39", Unnamed, "? GH-39"),
            ("word", Launchpad, "none"),
            ("#0", Launchpad, "none"),
        ] {
            assert_eq!(shown(Bug::from_word(word, bare)), told, "{word}");
        }
    }

    #[test]
    fn addresses() {
        for (address, told) in [
            ("https://bugs.launchpad.net/glance/+bug/77", "Launchpad 77"),
            (
                "https://bugs.launchpad.net/glance/+bug/77/comments/3",
                "Launchpad 77",
            ),
            ("https://launchpad.net/bugs/77", "Launchpad 77"),
            ("https://launchpad.net/bugs/<bugnumber>", "none"),
            ("https://launchpad.net/bugs/bugnumber", "none"),
            ("https://bugs.debian.org/1104009", "Debian 1104009"),
            (
                "https://bugs.debian.org/cgi-bin/bugreport.cgi?bug=928224",
                "Debian 928224",
            ),
            (
                "https://bugs.debian.org/cgi-bin/bugreport.cgi?att=1;bug=1128825",
                "none",
            ),
            (
                "https://bugzilla.redhat.com/show_bug.cgi?id=972427",
                "Red Hat Bugzilla 972427",
            ),
            ("https://github.com/o/r/issues/4711", "GitHub o/r#4711"),
            ("https://github.com/o/r/pull/12/files", "GitHub o/r#12"),
            ("https://gitlab.example.org/a/b/c/-/issues/7", "GitLab a/b/c#7"),
            (
                "https://gitlab.gnome.org/GNOME/libxml2/-/work_items/1124",
                "GitLab GNOME/libxml2#1124",
            ),
            ("https://github.com/o/r/commit/1f0c", "none"),
            ("https://user:secret@bugs.debian.org/1", "none"),
            ("javascript:x", "none"),
        ] {
            assert_eq!(shown(Bug::from_url(address)), told, "{address}");
        }
        let unknown = Bug::by_address("https://tracker.example.org/42").unwrap();
        assert_eq!(shown(Some(unknown)), "? https://tracker.example.org/42");
        assert_eq!(Bug::by_address("https://launchpad.net/bugs/"), None);
    }
}
