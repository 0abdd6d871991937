//! A Code Quality report, as GitLab CI reads it: a JSON list of findings, each with a description,
//! a check's name, a stable fingerprint, a severity and a place.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::annotations::{Annotation, AnnotationLevel};
use super::links::Links;
use crate::cli::error::Error;

#[derive(serde::Serialize)]
struct Finding {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(serde::Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(serde::Serialize)]
struct Lines {
    begin: usize,
}

pub(super) fn text(annotations: &[Annotation], links: &Links) -> Result<Vec<u8>, Error> {
    let mut seen = HashMap::new();
    let findings: Vec<Finding> = annotations
        .iter()
        .map(|annotation| {
            // Findings of one kind on one subject are told apart by their order in the list.
            let count = seen.entry((&annotation.kind, &annotation.subject)).or_insert(0);
            *count += 1;
            Finding {
                description: format!("{}: {}", annotation.title, annotation.message),
                check_name: format!("patchset/{}", annotation.kind),
                fingerprint: fingerprint(&[&annotation.kind, &annotation.subject, &count.to_string()]),
                severity: match annotation.level {
                    AnnotationLevel::Error => "major",
                    AnnotationLevel::Warning => "minor",
                },
                location: Location {
                    path: links.path(&annotation.path),
                    lines: Lines {
                        begin: annotation.line,
                    },
                },
            }
        })
        .collect();
    let mut text = serde_json::to_vec(&findings)?;
    text.push(b'\n');
    Ok(text)
}

fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}
