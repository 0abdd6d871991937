//! What Prometheus expressions refer to: metrics, labels, and values of labels.

use std::collections::BTreeSet;

use regex::Regex;

/// What an expression refers to.
#[derive(Debug, Default)]
pub struct Asked {
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
    /// Labels with each value that a matcher names.
    pub values: BTreeSet<(String, String)>,
}

/// Reads an expression without validating it: Prometheus does that.
pub fn asked(expression: &str) -> Asked {
    let found = |pattern: &str| {
        let pattern = Regex::new(pattern).unwrap();
        let all = pattern.captures_iter(expression);
        all.map(|captures| {
            let group = |n: usize| {
                captures
                    .get(n)
                    .map_or(String::new(), |text| text.as_str().to_owned())
            };
            [group(1), group(2)]
        })
        .collect::<Vec<_>>()
    };
    let mut asked = Asked::default();
    for [metric, _] in found(r"(patchset_[a-z_]+)") {
        // The series of a histogram count as one metric here.
        asked.metrics.insert(metric);
    }
    for [label, value] in found(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#) {
        for alternative in value.split('|').filter(|value| !value.contains(['$', '*'])) {
            asked.values.insert((label.clone(), alternative.to_owned()));
        }
        asked.labels.insert(label);
    }
    for [list, _] in found(r"\b(?:by|on|without|group_left|group_right)\s*\(([^)]*)\)") {
        let labels = list.split(',').map(|label| label.trim().to_owned());
        asked.labels.extend(labels.filter(|label| !label.is_empty()));
    }
    asked
}

#[test]
fn an_expression_is_taken_apart() {
    let asked = asked(
        r#"sum by (a, le) (rate(patchset_x_bucket{b=~"C|D",e!="f",g=~"$h"}[5m])) unless on (i) patchset_y"#,
    );
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(list(&asked.metrics), "patchset_x_bucket patchset_y");
    assert_eq!(list(&asked.labels), "a b e g i le");
    let values: Vec<_> = asked
        .values
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    assert_eq!(values, ["b=C", "b=D", "e=f"]);
}
