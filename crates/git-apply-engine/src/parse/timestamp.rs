//! The times that `diff -u` writes after file names.

use super::scan::{at, from, to};

fn matches(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            other => byte == other,
        })
}

/// Whether a text ends in a shape: `0` is a digit, `+` a sign, all else itself.
fn ends_in(text: &[u8], shape: &[u8]) -> bool {
    text.len() >= shape.len() && matches(from(text, text.len() - shape.len()), shape)
}

fn shape_length(text: &[u8], shape: &[u8]) -> usize {
    if ends_in(text, shape) { shape.len() } else { 0 }
}

fn fractional_time_length(text: &[u8]) -> usize {
    let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some(point) = text.len().checked_sub(digits + 1).filter(|_| digits > 0) else {
        return 0;
    };
    if at(text, point) != b'.' {
        return 0;
    }
    match shape_length(to(text, point), b" 00:00:00") {
        0 => 0,
        time => time + 1 + digits,
    }
}

/// How many bytes at the end of a line are a time and the space before it; 0 where there is none
/// (`diff_timestamp_len` in Git's apply.c).
pub(super) fn length_at_end(line: &[u8]) -> usize {
    if !line.last().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    let mut rest = line;
    let mut cut = |length: usize| {
        rest = to(rest, rest.len() - length);
        rest
    };
    let text = cut(match shape_length(line, b" +0000") {
        0 => shape_length(line, b" +00:00"),
        length => length,
    });
    let text = cut(match shape_length(text, b" 00:00:00") {
        0 => fractional_time_length(text),
        length => length,
    });
    let date = match (shape_length(text, b"0000-00-00"), shape_length(text, b"00-00-00")) {
        (0, length) | (length, _) => length,
    };
    if date == 0 {
        return 0;
    }
    let text = cut(date);
    match text.last() {
        Some(b'\t') => line.len() - (text.len() - 1),
        Some(b' ') => {
            let spaces = text.iter().rev().take_while(|b| **b == b' ').count();
            line.len() - (text.len() - spaces)
        }
        _ => 0,
    }
}

/// Whether the time after the last tab of a line is the epoch, by which `diff -N` says that a file
/// does not exist (`has_epoch_timestamp` in Git's apply.c).
pub(super) fn is_epoch(line: &[u8]) -> bool {
    let line = to(line, line.iter().position(|b| *b == b'\n').unwrap_or(line.len()));
    let Some(tab) = line.iter().rposition(|b| *b == b'\t') else {
        return false;
    };
    let time = from(line, tab + 1);
    let (time, epoch_minutes) = if let Some(time) = time.strip_prefix(b"1969-12-31 ") {
        (time, 24 * 60)
    } else if let Some(time) = time.strip_prefix(b"1970-01-01 ") {
        (time, 0)
    } else {
        return false;
    };
    let (clock, mut zone) = (to(time, 8), from(time, 8));
    if !matches(clock, b"00:00:00") || at(clock, 0) > b'2' || at(clock, 3) > b'5' || from(clock, 6) != b"00" {
        return false;
    }
    if at(zone, 0) == b'.' {
        let zeros = from(zone, 1).iter().take_while(|b| **b == b'0').count();
        if zeros == 0 {
            return false;
        }
        zone = from(zone, 1 + zeros);
    }
    let digits: Vec<i32> = if matches(zone, b" +0000") || matches(zone, b" +00:00") {
        zone.iter()
            .filter(|b| b.is_ascii_digit())
            .map(|b| i32::from(b - b'0'))
            .collect()
    } else {
        return false;
    };
    let ([h1, h2, m1, m2], sign) = (&digits[..], at(zone, 1)) else {
        return false;
    };
    if *h1 > 2 || *m1 > 5 {
        return false;
    }
    let offset = (h1 * 10 + h2) * 60 + m1 * 10 + m2;
    let offset = if sign == b'-' { -offset } else { offset };
    let two = |place| i32::from(at(clock, place) - b'0') * 10 + i32::from(at(clock, place + 1) - b'0');
    two(0) * 60 + two(3) - offset == epoch_minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_at_the_end() {
        assert_eq!(length_at_end(b"f\t2010-07-05 19:41:17.620000023 -0500"), 36);
        assert_eq!(length_at_end(b"f 2010-07-05 19:41:17"), 20);
        assert_eq!(length_at_end(b"f2010-07-05"), 0);
        assert_eq!(length_at_end(b"f"), 0);
        assert_eq!(length_at_end(b"f\t72-02-05"), 9);
    }

    /// `diff_timestamp_len`: a date, a time with or without a fraction, and a zone, each after a
    /// space; a tab before them, or any number of spaces.
    #[test]
    fn each_form_of_a_time_at_the_end() {
        for date in ["2010-07-05", "10-07-05"] {
            for time in ["", " 19:41:17", " 19:41:17.620000023", " 19:41:17.6"] {
                for zone in ["", " -0500", " +0500", " -05:00", " +05:00"] {
                    let whole = format!("{date}{time}{zone}");
                    for (before, blanks) in [("f\t", 1), ("f ", 1), ("f   ", 3), ("f \t", 1)] {
                        let line = format!("{before}{whole}");
                        let expected = whole.len() + blanks;
                        assert_eq!(length_at_end(line.as_bytes()), expected, "{line:?}");
                    }
                    assert_eq!(length_at_end(format!("f{whole}").as_bytes()), 0, "{whole}");
                }
            }
        }
        for none in [
            "f\t2010-07-05 19:41:17.",
            "f\t2010-07-05 19:41:17. +0500",
            "f\t2010-07-05 19:41:17.6x",
            "f\t2010-07-05T19:41:17",
            "f\t2010-07-05 19:41",
            "f\t2010/07/05",
            "f\t 19:41:17",
            "f\t.5",
            "f\t5",
            "5",
            "",
        ] {
            assert_eq!(length_at_end(none.as_bytes()), 0, "{none:?}");
        }
    }

    #[test]
    fn the_epoch() {
        assert!(is_epoch(b"f\t1970-01-01 00:00:00.000000000 +0000\n"));
        assert!(is_epoch(b"f\t1969-12-31 16:00:00 -0800\n"));
        assert!(is_epoch(b"f\t1970-01-01 09:00:00 +09:00\n"));
        assert!(!is_epoch(b"f\t1970-01-01 09:00:00 +0000\n"));
        assert!(!is_epoch(b"f\t2010-07-05 19:41:17 +0000\n"));
        for (time, expected) in [
            ("1970-01-01 00:00:00 +0000", true),
            ("1970-01-01 05:30:00 +0530", true),
            ("1970-01-01 05:30:00 +05:30", true),
            ("1970-01-01 05:29:00 +0530", false),
            ("1970-01-01 23:59:00 +2359", true),
            ("1970-01-01 20:30:00 +2030", true),
            ("1969-12-31 23:00:00 -0100", true),
            ("1969-12-31 18:15:00 -0545", true),
            ("1969-12-31 18:14:00 -0545", false),
            ("1970-01-01 00:00:00.0 +0000", true),
            ("1970-01-01 00:00:00. +0000", false),
            ("1970-01-01 00:00:00.10 +0000", false),
            ("1970-01-01 00:00:00.x +0000", false),
            ("1970-01-01 00:00:01 +0000", false),
            ("1970-01-01 00:00:10 +0000", false),
            ("1970-01-01 00:00:00", false),
            ("1970-01-01 00:00:00 +000", false),
            ("1970-01-01 00:00:00 0000", false),
            ("1970-01-01 00:00 +0000", false),
            ("1970-01-02 00:00:00 +0000", false),
            ("1969-12-31 00:00:00 +0000", false),
            ("1969-12-31 01:00:00 +0100", false),
            // The bounds of Git's pattern: hours up to 29, minutes up to 59.
            ("1970-01-01 24:00:00 +2400", true),
            ("1970-01-01 30:00:00 +3000", false),
            ("1970-01-01 01:60:00 +0200", false),
            ("1970-01-01 02:00:00 +0160", false),
        ] {
            for end in ["\n", ""] {
                let line = format!("a\tb\t{time}{end}");
                assert_eq!(is_epoch(line.as_bytes()), expected, "{line:?}");
            }
            assert!(!is_epoch(format!("f {time}\n").as_bytes()), "{time}");
        }
    }
}
