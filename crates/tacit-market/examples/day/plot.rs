//! Pictures of lines and of bars, as SVG.

use core::fmt::Write;

/// A line and its name.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a picture says beside its data.
pub(crate) struct Frame {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) x_max: f64,
    /// The largest value is shown if none is given.
    pub(crate) y_max: Option<f64>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 46.0;
/// Okabe and Ito's colours, which most people can tell apart.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"];

pub(crate) fn lines(frame: &Frame, lines: &[Line]) -> String {
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(0.0, f64::max);
    let y_max = frame.y_max.unwrap_or_else(|| round_up(highest));
    let mut svg = begin(frame.title, frame.x, frame.y);
    axis(&mut svg, y_max);
    for step in 0..=8 {
        let value = frame.x_max * f64::from(step) / 8.0;
        let x = across(value / frame.x_max);
        text(&mut svg, x, HEIGHT - BOTTOM + 16.0, "middle", &number(value));
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", across(x / frame.x_max), up(y.min(y_max) / y_max)))
            .collect();
        let points = points.join(" ");
        let _ = writeln!(
            svg,
            r#"<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>"#
        );
        key(&mut svg, at, colour, &line.name);
    }
    end(svg)
}

/// Bars of several kinds for each name.
pub(crate) fn bars(frame: &Frame, kinds: &[&str], groups: &[(String, Vec<f64>)]) -> String {
    let highest = groups.iter().flat_map(|(_, values)| values).copied().fold(0.0, f64::max);
    let y_max = frame.y_max.unwrap_or_else(|| round_up(highest));
    let mut svg = begin(frame.title, frame.x, frame.y);
    axis(&mut svg, y_max);
    let slot = 1.0 / groups.len() as f64;
    for (group, (name, values)) in groups.iter().enumerate() {
        let width = slot * 0.8 / values.len() as f64;
        for (at, value) in values.iter().enumerate() {
            let left = across(group as f64 * slot + slot * 0.1 + at as f64 * width);
            let right = across(group as f64 * slot + slot * 0.1 + (at + 1) as f64 * width);
            let (top, colour) = (up(value.min(y_max) / y_max), COLOURS[at % COLOURS.len()]);
            let _ = writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
                right - left,
                up(0.0) - top
            );
        }
        text(&mut svg, across((group as f64 + 0.5) * slot), HEIGHT - BOTTOM + 16.0, "middle", name);
    }
    for (at, name) in kinds.iter().enumerate() {
        key(&mut svg, at, COLOURS[at % COLOURS.len()], name);
    }
    end(svg)
}

fn begin(title: &str, x: &str, y: &str) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    let _ = writeln!(svg, r#"<text x="{LEFT}" y="20" font-size="13" font-weight="bold">{title}</text>"#);
    text(&mut svg, across(0.5), HEIGHT - 10.0, "middle", x);
    let middle = up(0.5);
    let _ = writeln!(
        svg,
        r#"<text transform="translate(16,{middle}) rotate(-90)" text-anchor="middle">{y}</text>"#
    );
    svg
}

fn axis(svg: &mut String, y_max: f64) {
    for step in 0..=5 {
        let value = y_max * f64::from(step) / 5.0;
        let (y, right) = (up(f64::from(step) / 5.0), across(1.0));
        let _ = writeln!(svg, r##"<path d="M{LEFT} {y:.1}H{right:.1}" stroke="#dddddd"/>"##);
        text(svg, LEFT - 6.0, y + 4.0, "end", &number(value));
    }
}

fn key(svg: &mut String, at: usize, colour: &str, name: &str) {
    let (x, y) = (across(1.0) + 14.0, TOP + 10.0 + 18.0 * at as f64);
    let _ = writeln!(svg, r#"<rect x="{x}" y="{:.1}" width="12" height="4" fill="{colour}"/>"#, y - 6.0);
    text(svg, x + 18.0, y, "start", name);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{what}</text>"#);
}

fn end(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

fn across(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn up(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 2.5, 4.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
