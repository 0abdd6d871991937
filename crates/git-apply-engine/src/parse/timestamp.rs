//! The times that `diff -u` writes behind file names.

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

/// Whether the time behind the last tab of a line is the epoch, by which `diff -N` says that a file
/// is not there (`has_epoch_timestamp` in Git's apply.c).
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

    #[test]
    fn the_epoch() {
        assert!(is_epoch(b"f\t1970-01-01 00:00:00.000000000 +0000\n"));
        assert!(is_epoch(b"f\t1969-12-31 16:00:00 -0800\n"));
        assert!(is_epoch(b"f\t1970-01-01 09:00:00 +09:00\n"));
        assert!(!is_epoch(b"f\t1970-01-01 09:00:00 +0000\n"));
        assert!(!is_epoch(b"f\t2010-07-05 19:41:17 +0000\n"));
    }
}
