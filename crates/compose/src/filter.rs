//! Filters that mails need, beside those of the template engine: dates, numbers and money as people
//! read them, and values that may be null.
//!
//! Names of months and days are English; whoever writes in another language uses numbers, or a
//! template that maps them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{DateTime, Time},
    fmt::{strtime, temporal::Pieces},
    tz::TimeZone,
};
use minijinja::{Environment, Error, Value, value::Kwargs};

use crate::error::said;

/// Seconds since 1970 above this are taken for milliseconds: it is the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;
/// How a date looks when nothing is said.
const DATE: &str = "%Y-%m-%d %H:%M";
/// Digits after the point at most.
const DECIMALS_MAX: usize = 12;

/// Makes them known to templates.
pub(crate) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("date", date);
    environment.add_filter("plus", plus);
    environment.add_filter("number", number);
    environment.add_filter("money", money);
    environment.add_filter("base64", base64);
    environment.add_filter("json", minijinja::filters::tojson);
}

/// As the engine's own, but null is missing too.
fn default(value: &Value, other: Option<Value>, also_empty: Option<bool>) -> Value {
    let missing = value.is_undefined() || value.is_none();
    if missing || (also_empty == Some(true) && !value.is_true()) {
        return other.unwrap_or_else(|| Value::from(""));
    }
    value.clone()
}

/// `{{ event.time | date("%d.%m.%Y %H:%M", "Europe/Berlin") }}`: a time as strftime writes it, in a
/// time zone or as it came.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands over values")]
fn date(value: &Value, format: Option<String>, zone: Option<String>) -> Result<String, Error> {
    let time = time(value).ok_or_else(not_a_time)?;
    let format = format.as_deref().unwrap_or(DATE);
    let wrong = |_| said("the format of `date` is not one that strftime knows");
    let zone = match zone {
        Some(name) => Some(TimeZone::get(&name).map_err(|_| {
            said("`date` knows no such time zone; give a name such as Europe/Berlin, or UTC")
        })?),
        None => None,
    };
    match (time, zone) {
        (When::Exact(time), Some(zone)) => {
            strtime::format(format, &time.with_time_zone(zone)).map_err(wrong)
        }
        (When::Exact(time), None) => strtime::format(format, &time).map_err(wrong),
        (When::Civil(time), Some(zone)) => {
            let time = time.to_zoned(zone).map_err(|_| not_a_time())?;
            strtime::format(format, &time).map_err(wrong)
        }
        (When::Civil(time), None) => strtime::format(format, time).map_err(wrong),
    }
}

/// `{{ event.time | plus("2h") }}`: a later time, or an earlier one with `-`, in RFC 3339.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands over values")]
fn plus(value: &Value, duration: String) -> Result<String, Error> {
    let Some(When::Exact(time)) = time(value) else { return Err(not_a_time()) };
    let duration: SignedDuration = duration
        .parse()
        .map_err(|_| said("`plus` takes a duration such as 90s, 15m, 2h or -1h 30m"))?;
    let later = time.timestamp().checked_add(duration).map_err(|_| not_a_time())?;
    Ok(later.to_string())
}

fn not_a_time() -> Error {
    said("this is not a time such as 2026-01-31T12:00:00Z, or seconds since 1970")
}

enum When {
    /// A moment, with the offset that it was given with.
    Exact(Zoned),
    /// A date, or a date with a time of day, of no zone.
    Civil(DateTime),
}

fn time(value: &Value) -> Option<When> {
    if let Some(text) = value.as_str() {
        let pieces = Pieces::parse(text.trim()).ok()?;
        let time = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
        return match pieces.to_numeric_offset() {
            Some(offset) => {
                let at = offset.to_timestamp(time).ok()?;
                Some(When::Exact(at.to_zoned(TimeZone::fixed(offset))))
            }
            None => Some(When::Civil(time)),
        };
    }
    let number = value.as_i64()?;
    let at = if number.abs() < SECONDS_MAX {
        Timestamp::from_second(number)
    } else {
        Timestamp::from_millisecond(number)
    };
    Some(When::Exact(at.ok()?.to_zoned(TimeZone::UTC)))
}

/// `{{ data.weight | number(1, locale="de") }}`: a number with so many digits after the point.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands over values")]
fn number(value: &Value, decimals: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let locale = Locale::of(&options)?;
    options.assert_all_used()?;
    let number = Number::of(value)?;
    Ok(locale.write(&number.digits(decimals)?))
}

/// `{{ data.total | money("EUR", locale="de") }}`: an amount with the digits that its currency has.
/// With `minor=true` it is given in cents, or whatever the currency's smallest unit is.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands over values")]
fn money(value: &Value, currency: String, options: Kwargs) -> Result<String, Error> {
    let locale = Locale::of(&options)?;
    let minor: Option<bool> = options.get("minor")?;
    options.assert_all_used()?;
    let decimals = decimals_of(&currency);
    let number = Number::of(value)?;
    let digits = if minor == Some(true) {
        number.shifted(decimals).ok_or_else(|| said("an amount in cents is a whole number"))?
    } else {
        number.digits(Some(decimals))?
    };
    Ok(format!("{} {currency}", locale.write(&digits)))
}

/// Digits after the point of a currency (ISO 4217).
fn decimals_of(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// `{{ text | base64 }}`: the standard base64 of a text.
fn base64(text: String) -> String {
    STANDARD.encode(text)
}

enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    /// A number, or a text that is one, as JSON has it where digits must not be lost.
    fn of(value: &Value) -> Result<Self, Error> {
        let text = value.as_str().map(str::trim);
        if value.is_number() || text.is_some() {
            let whole = match text {
                Some(text) => text.parse().ok(),
                None if value.is_integer() => i128::try_from(value.clone()).ok(),
                None => None,
            };
            if let Some(whole) = whole {
                return Ok(Self::Whole(whole));
            }
            let float = match text {
                Some(text) => text.parse().ok(),
                None => f64::try_from(value.clone()).ok(),
            };
            if let Some(float) = float.filter(|float: &f64| float.is_finite()) {
                return Ok(Self::Float(float));
            }
        }
        Err(said("this is not a number"))
    }

    /// Its digits, with a point; as many after it as are asked for, else as it has.
    fn digits(&self, decimals: Option<usize>) -> Result<String, Error> {
        if decimals.is_some_and(|decimals| decimals > DECIMALS_MAX) {
            return Err(said("a number has at most 12 digits after the point"));
        }
        Ok(match (self, decimals) {
            (Self::Whole(number), None | Some(0)) => number.to_string(),
            (Self::Whole(number), Some(decimals)) => format!("{number}.{:0decimals$}", 0),
            (Self::Float(number), None) => number.to_string(),
            (Self::Float(number), Some(decimals)) => format!("{number:.decimals$}"),
        })
    }

    /// A whole number's digits with the point so many places further left.
    fn shifted(&self, decimals: usize) -> Option<String> {
        let Self::Whole(number) = self else { return None };
        let sign = if *number < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", number.unsigned_abs(), width = decimals + 1);
        let (whole, rest) = digits.split_at(digits.len() - decimals);
        let point = if decimals == 0 { "" } else { "." };
        Some(format!("{sign}{whole}{point}{rest}"))
    }
}

/// How a country writes numbers.
#[derive(Clone, Copy)]
struct Locale {
    thousands: &'static str,
    point: &'static str,
}

impl Locale {
    fn of(options: &Kwargs) -> Result<Self, Error> {
        let name: Option<String> = options.get("locale")?;
        let (thousands, point) = match name.as_deref() {
            None | Some("en") => (",", "."),
            Some("de" | "es" | "it" | "nl" | "pt") => (".", ","),
            Some("fr" | "pl" | "cs" | "sv" | "fi" | "nb") => ("\u{202f}", ","),
            Some("ch") => ("’", "."),
            Some("plain") => ("", "."),
            Some(_) => {
                return Err(said(
                    "known locales are en, de, es, it, nl, pt, fr, pl, cs, sv, fi, nb, ch, plain",
                ));
            }
        };
        Ok(Self { thousands, point })
    }

    fn write(self, digits: &str) -> String {
        let (sign, digits) = match digits.strip_prefix('-') {
            // what is rounded to nothing has no sign
            Some(digits) if digits.chars().any(|c| c.is_ascii_digit() && c != '0') => ("-", digits),
            Some(digits) => ("", digits),
            None => ("", digits),
        };
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let mut text = sign.to_owned();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                text.push_str(self.thousands);
            }
            text.push(digit);
        }
        if !rest.is_empty() {
            text.push_str(self.point);
            text.push_str(rest);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(template: &str) -> String {
        let mut environment = Environment::new();
        add_to(&mut environment);
        let root = json!({
            "null": null, "empty": "", "at": "2026-11-23T23:30:00Z",
            "there": "2026-11-23T23:30:00-05:00", "day": "2026-03-01", "seconds": 1_700_000_000,
        });
        let root = Value::from(minijinja::value::Serde(root));
        environment.render_str(template, root).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn dates() {
        for (template, wanted) in [
            ("{{ at | date }}", "2026-11-23 23:30"),
            ("{{ at | date('%d.%m.%Y %H:%M', 'Europe/Berlin') }}", "24.11.2026 00:30"),
            ("{{ there | date('%H:%M %z') }}", "23:30 -0500"),
            ("{{ there | date('%a %-d %B', 'Asia/Tokyo') }}", "Tue 24 November"),
            ("{{ day | date('%d/%m/%Y') }}", "01/03/2026"),
            ("{{ day | date('%H:%M %Z', 'Europe/Berlin') }}", "00:00 CET"),
            ("{{ seconds | date }}", "2023-11-14 22:13"),
            ("{{ (seconds * 1000) | date }}", "2023-11-14 22:13"),
            ("{{ at | plus('2h') }}", "2026-11-24T01:30:00Z"),
            ("{{ there | plus('-1h 30m') }}", "2026-11-24T03:00:00Z"),
        ] {
            assert_eq!(shown(template), wanted, "{template}");
        }
        for (template, wanted) in [
            ("{{ 'soon' | date }}", "not a time"),
            ("{{ at | date('%!') }}", "strftime"),
            ("{{ at | date('%H', 'Berlin') }}", "no such time zone"),
            ("{{ day | plus('1h') }}", "not a time"),
            ("{{ at | plus('an hour') }}", "duration"),
        ] {
            assert!(shown(template).contains(wanted), "{template}: {}", shown(template));
        }
    }

    #[test]
    fn numbers_and_money() {
        for (template, wanted) in [
            ("{{ 1234567 | number }}", "1,234,567"),
            ("{{ 1234.5 | number(2) }}", "1,234.50"),
            ("{{ 0.125 | number }}", "0.125"),
            ("{{ 1234567.891 | number(1, locale='de') }}", "1.234.567,9"),
            ("{{ '123456789012345678' | number(locale='plain') }}", "123456789012345678"),
            ("{{ -999 | number(2) }}", "-999.00"),
            ("{{ -0.001 | number(2) }}", "0.00"),
            ("{{ 1999 | money('EUR') }}", "1,999.00 EUR"),
            ("{{ 39.9 | money('EUR', locale='de') }}", "39,90 EUR"),
            ("{{ 3990 | money('EUR', minor=true) }}", "39.90 EUR"),
            ("{{ -5 | money('USD', minor=true) }}", "-0.05 USD"),
            ("{{ 1234.6 | money('JPY') }}", "1,235 JPY"),
            ("{{ 12345 | money('KWD', minor=true) }}", "12.345 KWD"),
        ] {
            assert_eq!(shown(template), wanted, "{template}");
        }
        for (template, wanted) in [
            ("{{ 'many' | number }}", "not a number"),
            ("{{ null | number }}", "not a number"),
            ("{{ 1 | number(99) }}", "12 digits"),
            ("{{ 1 | number(locale='xx') }}", "known locales"),
            ("{{ 1.5 | money('EUR', minor=true) }}", "whole number"),
        ] {
            assert!(shown(template).contains(wanted), "{template}: {}", shown(template));
        }
    }

    #[test]
    fn null_is_missing_and_empty_is_not() {
        assert_eq!(shown("{{ null | default('x') }}{{ missing | default('y') }}"), "xy");
        assert_eq!(shown("[{{ empty | default('x') }}{{ missing | d }}]"), "[]");
        assert_eq!(shown("{{ empty | default('x', true) }}"), "x");
        assert_eq!(shown("{{ 'hi' | base64 }} {{ [1, 'a'] | json }}"), "aGk= [1, \"a\"]");
    }
}
