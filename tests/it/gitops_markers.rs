//! Markers in the YAML files of a `GitOps` repository, with `PyYAML` as the other reader.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use gitops_markers::{
    DEFAULT_MESSAGE, DeliveredImage, EditError, EditedFile, PatchSetName, Trailers, commit_message, edit_file,
};
use rstest::rstest;
use serde_json::Value;

use crate::support::program::python;

mod readers;

fn image() -> DeliveredImage {
    DeliveredImage {
        patch_set: PatchSetName::new("ours", "glance"),
        repository: "registry.example.org:5000/glance".to_owned(),
        tag: "31.0.0-p2".to_owned(),
        digest: "sha256:00ff".to_owned(),
        reference: "registry.example.org:5000/glance:31.0.0-p2@sha256:00ff".to_owned(),
        revision: "31.0.0@sha1:00".to_owned(),
    }
}

/// Edits with the image of `ours:glance`.
fn edited(text: &str) -> Result<EditedFile, EditError> {
    let image = image();
    edit_file(text, |patch_set| {
        (*patch_set == image.patch_set).then_some(&image)
    })
}

fn changed(text: &str) -> String {
    let edited = edited(text).unwrap();
    assert_eq!(edited.problems, []);
    edited.text.expect("nothing changed")
}

/// The documents that `PyYAML` reads, as JSON.
fn read(text: &str) -> Result<Value, String> {
    let script = "import sys, json, yaml\n\
        print(json.dumps(list(yaml.safe_load_all(sys.stdin.buffer.read())), default=str))";
    let mut child = python("python")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

#[rstest]
#[case::plain(
    "image: old # {\"$patchset\": \"ours:glance\"}\n",
    "registry.example.org:5000/glance:31.0.0-p2@sha256:00ff"
)]
#[case::reference(
    "image: old # {\"$patchset\": \"ours:glance:reference\"}\n",
    "registry.example.org:5000/glance:31.0.0-p2@sha256:00ff"
)]
#[case::repository(
    "image: old # {\"$patchset\": \"ours:glance:repository\"}\n",
    "registry.example.org:5000/glance"
)]
#[case::tag("tag: 1.10   # {\"$patchset\": \"ours:glance:tag\"}", "31.0.0-p2")]
#[case::digest("x: 'a ''b''' #{\"$patchset\":\"ours:glance:digest\"}\r\n", "sha256:00ff")]
#[case::double(
    "x: \"a \\\" # b\" # {\"$patchset\": \"ours:glance:tag\"}\r\ny: z\r\n",
    "31.0.0-p2"
)]
#[case::item("- old # {\"$patchset\": \"ours:glance:tag\"}\n- b\n", "31.0.0-p2")]
#[case::anchor("a: &x old # {\"$patchset\": \"ours:glance:tag\"}\nb: *x\n", "31.0.0-p2")]
#[case::tagged("a: !!str 5 # {\"$patchset\": \"ours:glance:tag\"}\n", "31.0.0-p2")]
#[case::flow("a: {t: old, # {\"$patchset\": \"ours:glance:tag\"}\n  u: v}\n", "31.0.0-p2")]
#[case::flow_colon(
    "a: {t: old, # {\"$patchset\": \"ours:glance:digest\"}\n  u: v}\n",
    "sha256:00ff"
)]
#[case::bom("\u{feff}ä: ö\nü: old # {\"$patchset\": \"ours:glance:tag\"}\n", "31.0.0-p2")]
#[case::documents(
    "---\na: b\n---\n# c\na: old # {\"$patchset\": \"ours:glance:tag\"}\n...\n",
    "31.0.0-p2"
)]
#[case::cr("x: y\ra: old # {\"$patchset\": \"ours:glance:tag\"}\rb: c\r", "31.0.0-p2")]
#[case::bracket_at_the_key(
    "c: [\n  \"sh\",\n  \"-c\"\n]\na: old # {\"$patchset\": \"ours:glance:tag\"}\n",
    "31.0.0-p2"
)]
#[case::quoted_at_the_key("c: \"x\ny\"\na: old # {\"$patchset\": \"ours:glance:tag\"}\n", "31.0.0-p2")]
#[case::alias_at_the_key(
    "x: &x 1\nc: [\n*x, b]\na: old # {\"$patchset\": \"ours:glance:tag\"}\n",
    "31.0.0-p2"
)]
#[case::unspecific("a: ! old # {\"$patchset\": \"ours:glance:tag\"}\n", "31.0.0-p2")]
#[case::empty("a: '' # {\"$patchset\": \"ours:glance:tag\"}\n", "31.0.0-p2")]
fn only_the_value_changes(#[case] text: &str, #[case] value: &str) {
    let result = changed(text);
    // The text around the value is that around the former one.
    let (head, tail) = result.split_once(value).unwrap();
    assert!(text.starts_with(head.trim_end_matches('"')), "{result:?}");
    assert!(text.ends_with(tail.trim_start_matches('"')), "{result:?}");
    assert!(
        tail.trim_start_matches(['"', '\''])
            .trim_start_matches([' ', '\t', ','])
            .starts_with('#')
    );
    assert_eq!(
        edited(&result).unwrap().text,
        None,
        "a second time nothing changes"
    );
    let (before, after) = (read(text).unwrap(), read(&result).unwrap());
    assert_ne!(before, after);
    assert!(after.to_string().contains(&format!("{value:?}")), "{after}");
}

#[test]
fn a_value_that_another_reader_takes_for_a_number_is_quoted() {
    let mut image = image();
    for (tag, quoted) in [
        ("1.10", true),
        ("2025", true),
        ("1e3", true),
        ("0x1f", true),
        ("1_0", true),
        ("12:30:45", true),
        ("2001-12-14", true),
        ("yes", true),
        ("null", true),
        ("1.10-p1", false),
        ("v1", false),
    ] {
        tag.clone_into(&mut image.tag);
        let text = "a: old # {\"$patchset\": \"ours:glance:tag\"}\n";
        let result = edit_file(text, |_| Some(&image)).unwrap().text.unwrap();
        assert_eq!(result.starts_with("a: \""), quoted, "{result}");
        assert_eq!(read(&result).unwrap(), serde_json::json!([{ "a": tag }]));
    }
}

#[test]
fn real_manifests_change_in_their_marked_values_alone() {
    let text = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: glance, namespace: ours}   # the image service
spec:

  values:
    images:
      tags:
        glance_api: registry.example.org/glance:30 # {\"$patchset\": \"ours:glance\"}
        # The database job uses the same image.
        glance_db_sync: 'registry.example.org/glance:30'  # {\"$patchset\": \"ours:glance:reference\"}
        dep_check: quay.io/x:1 # {\"$imagepolicy\": \"flux-system:dep\"}
    conf: |
      [DEFAULT]
      image = old # {\"$patchset\": \"theirs:glance\"}
    script: >-
      one
      two
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images:
- name: glance
  newName: registry.example.org/glance # {\"$patchset\": \"ours:glance:repository\"}
  newTag: \"30\" # {\"$patchset\": \"ours:glance:tag\"}
  digest: sha256:aa   # {\"$patchset\": \"ours:glance:digest\"}
";
    let edited = edited(text).unwrap();
    assert_eq!(edited.problems, []);
    let lines: Vec<usize> = edited.changes.iter().map(|change| change.line).collect();
    assert_eq!(lines, [9, 11, 24, 25, 26]);
    assert_eq!(edited.changes[3].before, "30");
    let result = edited.text.unwrap();
    let differing: Vec<usize> = (1..)
        .zip(text.lines().zip(result.lines()))
        .filter(|(_, (before, after))| before != after)
        .map(|(number, _)| number)
        .collect();
    assert_eq!(differing, lines);
    assert_eq!(text.lines().count(), result.lines().count());
    let after = read(&result).unwrap();
    assert_eq!(after[1]["images"][0]["newTag"], "31.0.0-p2");
    assert_eq!(
        after[0]["spec"]["values"]["images"]["tags"]["dep_check"],
        "quay.io/x:1"
    );
    insta::assert_snapshot!(result);
}

/// Files assembled from parts in pseudorandom order: whatever `PyYAML` reads is edited correctly.
#[test]
fn files_of_all_kinds_of_parts_are_edited_as_another_reader_sees_it() {
    let values = [
        "old",
        "'old'",
        "\"o\\tld\"",
        "&a old",
        "!!str 1",
        "1.0",
        "\"\"",
        "ö ld",
        "a#b",
        "a: 'b'",
    ];
    let around = [
        "x: |\n  # {y}\n",
        "y: [1, 2] # c\n",
        "z: {a: b, c: 'd # e'}\n",
        "# c\n\n",
        "w: >+\n  f\n\n",
        "v: \"q\n  r\"\n",
    ];
    let marker = "# {\"$patchset\": \"ours:glance:tag\"}";
    let mut seed = 7_usize;
    let mut next = |n: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        let (mut text, mut keys) = (String::new(), Vec::new());
        for number in 0..=next(5) {
            text.push_str(&around[next(around.len())].replacen(':', &format!("{number}:"), 1));
            let value = values[next(values.len())];
            if !value.contains(": ") {
                keys.push(format!("k{number}"));
            }
            let end = ["\n", "\r\n"][next(2)];
            let (value, gap) = (
                value.replace("&a", &format!("&a{number}")),
                [" ", "  ", "    "][next(3)],
            );
            write!(text, "k{number}: {value}{gap}{marker}{end}").unwrap();
        }
        if text.contains("a: 'b'") {
            assert!(edited(&text).is_err(), "{text:?}");
            continue;
        }
        let result = edited(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(result.problems, [], "{text:?}");
        files.push((text, result.text.unwrap()));
        expected.push(keys);
    }
    assert!(files.len() > 100);
    for chunk in files.chunks(50).zip(expected.chunks(50)) {
        let all = |which: fn(&(String, String)) -> &str| -> Value {
            let texts: Vec<String> = chunk
                .0
                .iter()
                .map(|file| format!("---\n{}\n", which(file)))
                .collect();
            read(&texts.concat()).unwrap()
        };
        let (mut before, after) = (all(|file| &file.0), all(|file| &file.1));
        for (document, keys) in before.as_array_mut().unwrap().iter_mut().zip(chunk.1) {
            for key in keys {
                document[key] = Value::from("31.0.0-p2");
            }
        }
        assert_eq!(before, after);
    }
}

#[test]
fn git_reads_the_trailers_of_a_message() {
    let image = image();
    let other = DeliveredImage {
        patch_set: PatchSetName::new("ours", "nova"),
        ..image.clone()
    };
    let text = commit_message(
        DEFAULT_MESSAGE,
        &[&image, &other],
        &["a.yaml"],
        &Trailers::default(),
    )
    .unwrap();
    let mut child = Command::new("git")
        .args(["interpret-trailers", "--parse"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let line = |name: &str| format!("Patchset: ours/{name} {}\n", image.reference);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        line("glance") + &line("nova")
    );
}

#[test]
fn the_documented_markers_are_followed() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let block = text
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .find(|block| block.contains("$patchset"))
        .unwrap();
    let image = image();
    let patch_set = PatchSetName::new("glance", "glance-2025.2");
    let edited = edit_file(block, |marked| (*marked == patch_set).then_some(&image)).unwrap();
    assert_eq!((edited.problems.len(), edited.changes.len()), (0, 2));
    let after = read(&edited.text.unwrap()).unwrap();
    assert_eq!(after[0]["spec"]["image"]["repository"], image.repository);
    assert_eq!(after[0]["spec"]["image"]["digest"], image.digest);
    // The message for `tag: 1.20`.
    let wanted = DeliveredImage {
        tag: "1.20".to_owned(),
        ..image
    };
    let number = "tag: 1.20 # {\"$patchset\": \"glance:glance-2025.2:tag\"}\n";
    assert!(text.contains("`tag: 1.20` is a number") && text.contains("`tag: \"1.20\"` a tag"));
    let quoted = edit_file(number, |_| Some(&wanted)).unwrap().text.unwrap();
    assert_eq!(quoted, number.replace("1.20", "\"1.20\""));
}
