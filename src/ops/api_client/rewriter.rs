//! Bounds how deeply JSON is nested, piece by piece as it comes, in constant memory.

/// The deepest nesting of objects and arrays that is kept. Kubernetes objects have about 20, and
/// `serde_json` reads 127.
pub(super) const DEEPEST: usize = 64;

/// The deepest level at which `metadata` is looked for: a list, its items, one of them, its
/// metadata.
const METADATA_WITHIN: usize = 4;

/// Whether `metadata.annotations` is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnnotationsKeeping {
    /// They stay.
    Kept,
    /// An empty object stands in their place.
    LeftOut,
}

/// The names of members that are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum MemberName {
    Metadata,
    ManagedFields,
    Annotations,
    #[default]
    Other,
}

/// Passes JSON on, one value or many, cut into pieces anywhere.
///
/// Each object or array deeper than [`DEEPEST`] becomes `null`. `metadata.managedFields` of an
/// object, of the items of a list and of the events of a watch becomes empty, and so do its
/// annotations if they are of no use. Everything else stays byte for byte, even if it is not JSON.
#[derive(Debug)]
pub(super) struct Rewriter {
    annotations: AnnotationsKeeping,
    /// How many objects and arrays are open, except those that are left out.
    depth: usize,
    /// A bit for each of them, from the lowest for the outermost: set for an object.
    objects: u64,
    /// How many are open within a value that is left out; 0 if none is.
    left_out: usize,
    text: StringState,
    /// Whether the next string names a member.
    expects_name: bool,
    /// The last name at each depth, as far as it matters.
    names: [MemberName; METADATA_WITHIN + 1],
    too_deep: u64,
}

/// Where in a string the last byte was.
#[derive(Debug)]
enum StringState {
    Outside,
    Within {
        is_escaped: bool,
        spelled: Option<Spelled>,
    },
}

/// The beginning of a member's name.
#[derive(Debug, Default)]
struct Spelled {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Spelled {
    /// One more than the longest name that is looked for.
    const LONGEST: usize = 14;

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length += 1;
        }
    }

    fn name(&self) -> MemberName {
        match self.bytes.get(..self.length) {
            Some(b"metadata") => MemberName::Metadata,
            Some(b"managedFields") => MemberName::ManagedFields,
            Some(b"annotations") => MemberName::Annotations,
            _ => MemberName::Other,
        }
    }
}

impl Rewriter {
    pub(super) fn new(annotations: AnnotationsKeeping) -> Self {
        Self {
            annotations,
            depth: 0,
            objects: 0,
            left_out: 0,
            text: StringState::Outside,
            expects_name: false,
            names: [MemberName::Other; METADATA_WITHIN + 1],
            too_deep: 0,
        }
    }

    /// Returns what stays of the next piece.
    pub(super) fn rewrite(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(piece.len());
        for byte in piece {
            self.take(*byte, &mut kept);
        }
        kept
    }

    /// Returns how many values were too deep since the last call.
    pub(super) fn take_too_deep(&mut self) -> u64 {
        std::mem::take(&mut self.too_deep)
    }

    fn take(&mut self, byte: u8, kept: &mut Vec<u8>) {
        if let StringState::Within { .. } = self.text {
            self.take_text(byte);
        } else {
            match byte {
                b'"' => {
                    let is_name = self.expects_name && self.left_out == 0;
                    self.text = StringState::Within {
                        is_escaped: false,
                        spelled: is_name.then(Spelled::default),
                    };
                }
                b'{' | b'[' => return self.open(byte, kept),
                b'}' | b']' => return self.close(byte, kept),
                b',' if self.left_out == 0 => self.expects_name = self.is_in_object(),
                _ => {}
            }
        }
        if self.left_out == 0 {
            kept.push(byte);
        }
    }

    fn take_text(&mut self, byte: u8) {
        let StringState::Within { is_escaped, spelled } = &mut self.text else {
            return;
        };
        if *is_escaped {
            *is_escaped = false;
        } else if byte == b'\\' {
            *is_escaped = true;
        } else if byte == b'"' {
            if let Some(spelled) = spelled {
                let name = spelled.name();
                if let Some(slot) = self.names.get_mut(self.depth) {
                    *slot = name;
                }
                self.expects_name = false;
            }
            self.text = StringState::Outside;
            return;
        }
        if let Some(spelled) = spelled {
            spelled.push(byte);
        }
    }

    fn open(&mut self, byte: u8, kept: &mut Vec<u8>) {
        if self.left_out > 0 {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        if self.depth == DEEPEST {
            self.too_deep += 1;
            self.left_out = 1;
            kept.extend_from_slice(b"null");
            return;
        }
        if self.is_of_no_use() {
            self.left_out = 1;
            kept.extend_from_slice(if byte == b'{' { b"{}" } else { b"[]" });
            return;
        }
        let bit = 1 << self.depth;
        self.objects = if byte == b'{' {
            self.objects | bit
        } else {
            self.objects & !bit
        };
        self.depth += 1;
        if let Some(slot) = self.names.get_mut(self.depth) {
            *slot = MemberName::Other;
        }
        self.expects_name = byte == b'{';
        kept.push(byte);
    }

    fn close(&mut self, byte: u8, kept: &mut Vec<u8>) {
        if self.left_out > 0 {
            self.left_out -= 1;
            return;
        }
        self.depth = self.depth.saturating_sub(1);
        self.expects_name = false;
        kept.push(byte);
    }

    fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects & (1 << (self.depth - 1)) != 0
    }

    /// Whether the object or array that begins here is a part of metadata that nothing reads.
    fn is_of_no_use(&self) -> bool {
        let name = |depth: usize| self.names.get(depth).copied().unwrap_or_default();
        let is_in_metadata = self.depth > 0 && name(self.depth - 1) == MemberName::Metadata;
        is_in_metadata
            && match name(self.depth) {
                MemberName::ManagedFields => true,
                MemberName::Annotations => self.annotations == AnnotationsKeeping::LeftOut,
                MemberName::Metadata | MemberName::Other => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    /// The text after passing through in pieces that end at these places.
    fn rewritten(text: &str, annotations: AnnotationsKeeping, ends: &[usize]) -> String {
        let mut rewriter = Rewriter::new(annotations);
        let mut ends: Vec<usize> = ends.iter().map(|end| end % (text.len() + 1)).collect();
        ends.push(text.len());
        ends.sort_unstable();
        let (mut start, mut kept) = (0, Vec::new());
        for end in ends {
            kept.extend(rewriter.rewrite(&text.as_bytes()[start..end]));
            start = end;
        }
        String::from_utf8(kept).unwrap()
    }

    /// What should remain of a value with this many others around it.
    fn bounded(value: &Value, around: usize) -> Value {
        match value {
            Value::Object(_) | Value::Array(_) if around >= DEEPEST => Value::Null,
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), bounded(value, around + 1)))
                .collect::<Map<_, _>>()
                .into(),
            Value::Array(items) => items
                .iter()
                .map(|item| bounded(item, around + 1))
                .collect::<Vec<_>>()
                .into(),
            scalar => scalar.clone(),
        }
    }

    fn within(mut value: Value, levels: &[bool]) -> Value {
        for is_object in levels {
            value = if *is_object {
                json!({ "a": 1, "b": value, "c\"{[": "}]\\" })
            } else {
                json!([value, "\\\"", [null, -1.5e3]])
            };
        }
        value
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            r#"[a-z"\\{}\[\],:\n\u{0}-\u{10ffff}]{0,12}"#.prop_map(Value::from),
        ];
        scalar.prop_recursive(6, 60, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((r#"[a-c"\\{]{0,6}"#, inner), 0..5)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_deeper_becomes_null_and_all_else_stays(
            value in values(),
            levels in prop::collection::vec(any::<bool>(), 0..100),
            pretty in any::<bool>(),
            ends in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let value = within(value, &levels);
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let kept = rewritten(&text, AnnotationsKeeping::LeftOut, &ends);
            let expected = bounded(&value, 0);
            prop_assert_eq!(&serde_json::from_str::<Value>(&kept).unwrap(), &expected);
            if expected == value {
                prop_assert_eq!(kept, text);
            }
        }

        #[test]
        fn anything_may_come(
            text in r#"[a\\"{}\[\],: 0-9]{0,200}"#,
            ends in prop::collection::vec(any::<usize>(), 0..9),
        ) {
            rewritten(&text, AnnotationsKeeping::LeftOut, &ends);
        }
    }

    #[test]
    fn metadata_that_nothing_reads_is_left_out_at_its_places_alone() {
        let deep = within(json!({}), &[true; 500]);
        let metadata = json!({
            "annotations": { "a": "}{\"" }, "managedFields": [{ "fieldsV1": deep }], "name": "n"
        });
        let object = json!({ "metadata": metadata, "data": { "managedFields": "x", "annotations": "y" } });
        let event = json!({ "type": "ADDED", "object": object });
        let list = json!({ "items": [object, object], "metadata": { "resourceVersion": "1" } });
        for (value, annotations) in [&object, &event, &list].into_iter().flat_map(|value| {
            [
                (value, AnnotationsKeeping::Kept),
                (value, AnnotationsKeeping::LeftOut),
            ]
        }) {
            let kept = rewritten(&value.to_string(), annotations, &[7, 70, 71, 90]);
            let kept: Value = serde_json::from_str(&kept).unwrap();
            let expected = json!({ "metadata": {
                "annotations": if annotations == AnnotationsKeeping::Kept { json!({ "a": "}{\"" }) } else { json!({}) },
                "managedFields": [], "name": "n"
            }, "data": { "managedFields": "x", "annotations": "y" } });
            let found = [kept.pointer("/items/1"), kept.get("object"), Some(&kept)]
                .into_iter()
                .flatten()
                .next();
            assert_eq!(found, Some(&expected));
        }
        // CrossOriginPolicy the names mean something else.
        let other = json!({ "spec": { "a": { "b": { "metadata": { "annotations": { "x": "y" } } } } } });
        assert_eq!(
            rewritten(&other.to_string(), AnnotationsKeeping::LeftOut, &[]),
            other.to_string()
        );
    }

    #[test]
    fn events_follow_each_other() {
        let deep = "[".repeat(3000) + &"]".repeat(3000);
        let text = format!("{deep}\n{{\"a\":{deep}}}\n{{\"type\":\"BOOKMARK\"}}\n");
        let mut rewriter = Rewriter::new(AnnotationsKeeping::Kept);
        let kept = String::from_utf8(rewriter.rewrite(text.as_bytes())).unwrap();
        assert_eq!((rewriter.take_too_deep(), rewriter.take_too_deep()), (2, 0));
        let lines: Vec<Value> = kept
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((lines.len(), &lines[2]), (3, &json!({ "type": "BOOKMARK" })));
    }
}
