//! Which libraries something is built with: those that it names, and those that they name.

use std::collections::BTreeSet;

/// How many libraries anything is built with.
const MOST: usize = 128;

/// Why the libraries cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibrariesError {
    /// Some need each other. The first is also the last.
    #[error("PatchSets need each other in a circle: {}; remove one of these from the libraries of the one before it", .0.join(" → "))]
    Cycle(Vec<String>),
    /// There are too many.
    #[error("it would be built with more than {MOST} libraries")]
    TooMany,
}

/// All libraries that `root` is built with, each once, starting with those that it names. `needs`
/// returns the names in a library's own `libraries`; none if it does not exist.
///
/// # Errors
///
/// [`LibrariesError`].
pub fn all_libraries(
    root: &str,
    needs: &impl Fn(&str) -> Vec<String>,
) -> Result<Vec<String>, LibrariesError> {
    let mut walk = LibraryWalk {
        needs,
        path: Vec::new(),
        done: BTreeSet::new(),
    };
    walk.visit(root)?;
    let direct = needs(root);
    walk.done.remove(root);
    let further = walk.done.iter().filter(|name| !direct.contains(name)).cloned();
    Ok(direct.iter().cloned().chain(further).collect())
}

struct LibraryWalk<'a, F> {
    needs: &'a F,
    /// The path from the root.
    path: Vec<String>,
    /// Those whose libraries were all seen.
    done: BTreeSet<String>,
}

impl<F: Fn(&str) -> Vec<String>> LibraryWalk<'_, F> {
    fn visit(&mut self, name: &str) -> Result<(), LibrariesError> {
        if self.done.contains(name) {
            return Ok(());
        }
        if let Some(at) = self.path.iter().position(|before| before == name) {
            let mut cycle = self.path.split_off(at);
            cycle.push(name.to_owned());
            return Err(LibrariesError::Cycle(cycle));
        }
        if self.path.len() + self.done.len() > MOST {
            return Err(LibrariesError::TooMany);
        }
        self.path.push(name.to_owned());
        for needed in (self.needs)(name) {
            self.visit(&needed)?;
        }
        self.path.pop();
        self.done.insert(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(root: &str, graph: &[(&str, &[&str])]) -> Result<Vec<String>, LibrariesError> {
        let needs = |name: &str| {
            let found = graph.iter().find(|(one, _)| *one == name);
            found.map_or(Vec::new(), |(_, needs)| {
                needs.iter().map(ToString::to_string).collect()
            })
        };
        all_libraries(root, &needs)
    }

    #[test]
    fn those_of_libraries_come_with_them() {
        let graph: &[(&str, &[&str])] = &[("s", &["b", "a"]), ("a", &["c"]), ("b", &["c"])];
        assert_eq!(all_of("s", graph).unwrap(), ["b", "a", "c"]);
        assert_eq!(all_of("s", &[("s", &["missing"])]).unwrap(), ["missing"]);
        assert_eq!(all_of("s", &[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn circles_are_named_in_order() {
        let cycle = |root, graph: &[(&str, &[&str])]| match all_of(root, graph) {
            Err(LibrariesError::Cycle(names)) => names,
            other => panic!("{other:?}"),
        };
        let graph: &[(&str, &[&str])] = &[("s", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])];
        assert_eq!(cycle("s", graph), ["a", "b", "c", "a"]);
        assert_eq!(cycle("b", graph), ["b", "c", "a", "b"]);
        assert_eq!(cycle("a", &[("a", &["a"])]), ["a", "a"]);
        let text = all_of("s", graph).unwrap_err().to_string();
        assert!(text.contains("circle: a → b → c → a;"), "{text}");
    }

    #[test]
    fn there_is_an_end_to_them() {
        let needs = |name: &str| vec![(name.parse::<u64>().unwrap() + 1).to_string()];
        assert_eq!(all_libraries("0", &needs), Err(LibrariesError::TooMany));
        for (libraries, is_within) in [(MOST, true), (MOST + 1, false)] {
            let chain = |name: &str| match name.parse::<usize>().unwrap() {
                last if last == libraries => Vec::new(),
                before => vec![(before + 1).to_string()],
            };
            let beside = |name: &str| match name {
                "0" => (1..=libraries).map(|number| number.to_string()).collect(),
                _ => Vec::new(),
            };
            for found in [all_libraries("0", &chain), all_libraries("0", &beside)] {
                let count = found.as_ref().map(Vec::len);
                assert_eq!(count.ok(), is_within.then_some(libraries), "{found:?}");
            }
        }
    }
}
