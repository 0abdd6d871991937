//! Histories of random edits, renames, deletions and modes against `git format-patch` and `git am`.

use super::repository::Repository;

/// A pseudorandom generator, so that failures are reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn text(&mut self) -> String {
        let mut text: String = (0..self.below(40))
            .map(|_| match self.below(4) {
                0 => "\n".to_owned(),
                1 => "}\n".to_owned(),
                2 => format!("def f{}():\n", self.below(9)),
                _ => format!("    line {}\n", self.below(60)),
            })
            .collect();
        if self.below(6) == 0 {
            text.push_str("no newline at the end");
        }
        text
    }

    fn edited(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(ToOwned::to_owned).collect();
        for _ in 0..=self.below(3) {
            let at = self.below(lines.len() + 1);
            let gone = self.below(4).min(lines.len() - at);
            let come: Vec<String> = (0..self.below(4))
                .map(|_| format!("    new {}\n", self.below(30)))
                .collect();
            lines.splice(at..at + gone, come);
        }
        lines.concat()
    }
}

#[test]
fn random_histories() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let repository = Repository::new();
        let mut files: Vec<(String, String)> = Vec::new();
        for number in 0..12 {
            let file = (
                format!("d{}/e{}/f{number}", random.below(3), random.below(2)),
                random.text(),
            );
            repository.write(&file.0, &file.1);
            files.push(file);
        }
        let base = repository.commit("base");
        for step in 0..12 {
            for change in 0..=random.below(5) {
                let at = random.below(files.len());
                let (path, text) = files[at].clone();
                match random.below(6) {
                    0 => {
                        let to = format!("d{}/g{}/h{step}-{change}", random.below(3), random.below(3));
                        let text = if random.below(2) == 0 {
                            random.edited(&text)
                        } else {
                            text
                        };
                        repository.remove(&path);
                        repository.write(&to, &text);
                        files[at] = (to, text);
                    }
                    1 => {
                        let file = (
                            format!("d{}/n{step}-{change}", random.below(3)),
                            random.edited(&text),
                        );
                        repository.write(&file.0, &file.1);
                        files.push(file);
                    }
                    2 if files.len() > 4 => {
                        repository.remove(&path);
                        files.remove(at);
                    }
                    3 => repository.mode(&path, if random.below(2) == 0 { 0o755 } else { 0o644 }),
                    _ => {
                        let text = random.edited(&text);
                        repository.write(&path, &text);
                        files[at].1 = text;
                    }
                }
            }
            repository.commit(&format!("Step {step} of {seed}"));
        }
        repository.check(base);
    }
}
