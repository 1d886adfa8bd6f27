//! The server beside the floor, drawn: CPU and round trip by the number of sessions.

use std::fmt::Write as _;

use crate::{
    Outcome,
    table::Table,
    ws::{CPU, P99, PROGRAM, SESSIONS},
};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// Around each of the two drawings, for what is written beside them.
const MARGIN: f64 = 56.0;
const PROGRAMS: [(&str, &str); 2] = [("floor", "#8a8f98"), ("server", "#2563eb")];

/// A drawing in SVG of tables with those columns, the fewest sessions first.
pub(crate) fn draw(tables: &[Table]) -> Outcome<String> {
    let (width, height) = (2.0 * (WIDTH + 2.0 * MARGIN), HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let panels = [
        (CPU, "CPU of all sessions, % of a core", true),
        (P99, "round trip p99, us", false),
    ];
    for (place, (column, title, times_sessions)) in panels.into_iter().enumerate() {
        let left = MARGIN + place as f64 * (WIDTH + 2.0 * MARGIN);
        panel(&mut svg, tables, left, column, title, times_sessions)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn panel(
    svg: &mut String,
    tables: &[Table],
    left: f64,
    column: &str,
    title: &str,
    times_sessions: bool,
) -> Outcome<()> {
    let lines = PROGRAMS.map(|(program, colour)| {
        let of = |table: &Table| table.points(SESSIONS, column, (PROGRAM, program));
        let points: Vec<(f64, f64)> = tables
            .iter()
            .flat_map(of)
            .map(|(x, y)| (x, if times_sessions { x * y } else { y }))
            .collect();
        (program, colour, points)
    });
    let all = || lines.iter().flat_map(|(_, _, points)| points);
    let most_x = all().map(|point| point.0).fold(1.0, f64::max);
    let most_y = round_up(all().map(|point| point.1).fold(1.0, f64::max));
    let bottom = MARGIN + HEIGHT;
    let at = |(x, y): (f64, f64)| (left + x / most_x * WIDTH, bottom - y / most_y * HEIGHT);

    writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        MARGIN - 16.0
    )?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let (_, y) = at((0.0, most_y * share));
        writeln!(
            svg,
            "<path d=\"M{left} {y}h{WIDTH}\" stroke=\"#e5e7eb\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>",
            left - 6.0,
            y + 4.0,
            most_y * share,
            left + share * WIDTH,
            bottom + 16.0,
            most_x * share
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">sessions</text>",
        left + WIDTH / 2.0,
        bottom + 34.0
    )?;
    for (number, (program, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|point| {
                let (x, y) = at(*point);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        )?;
        for point in path.iter().filter_map(|point| point.split_once(',')) {
            let (x, y) = point;
            writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>"
            )?;
        }
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{program}</text>",
            left + 8.0,
            MARGIN + 14.0 + 16.0 * number as f64
        )?;
    }
    Ok(())
}

/// The next number with one digit that is not zero, and a half: an axis is to be read.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let step = steps.iter().find(|step| value <= *step * power);
    step.map_or(value, |step| step * power)
}
