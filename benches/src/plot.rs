//! Latency over the size of the switch, as SVG.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::report::Report;

/// What is drawn: the command that the host agent calls most, done and repeated.
const DRAWN: [&str; 2] = ["vlan-ensure repeated", "vlan-ensure new"];

/// Rows of the Port table and milliseconds.
type Line = Vec<(f64, f64)>;

/// Writes `latency.svg`.
pub fn draw(report: &Report, directory: &Path) -> Result<()> {
    let lines = lines(report);
    let points = || lines.values().flatten();
    let (Some(most), Some(longest), Some(shortest)) = (
        points().map(|point| point.0).max_by(f64::total_cmp),
        points().map(|point| point.1).max_by(f64::total_cmp),
        points().map(|point| point.1).min_by(f64::total_cmp),
    ) else {
        return Ok(());
    };
    let file = directory.join("latency.svg");
    let unusable = |error: &dyn std::fmt::Display| anyhow!("the plot can't be drawn: {error}");
    let area = SVGBackend::new(&file, (900, 560)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| unusable(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption("One command over the size of the switch", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d((1.0..most * 1.2).log_scale(), (shortest / 2.0..longest * 2.0).log_scale())
        .map_err(|error| unusable(&error))?;
    chart
        .configure_mesh()
        .x_desc("rows of the Port table")
        .y_desc("ms, median")
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| unusable(&error))?;
    for (index, (name, line)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(line.iter().copied(), color.stroke_width(2)))
            .map_err(|error| unusable(&error))?
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        let dots = line.iter().map(|point| Circle::new(*point, 3, color.filled()));
        chart.draw_series(dots).map_err(|error| unusable(&error))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| unusable(&error))?;
    area.present().map_err(|error| unusable(&error))?;
    println!("drawn:   {}", file.display());
    Ok(())
}

/// Ours and each yardstick's, by name.
fn lines(report: &Report) -> BTreeMap<String, Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for figure in report.figures.iter().filter(|figure| DRAWN.contains(&figure.what.as_str())) {
        let rows = figure.rows as f64;
        let theirs = format!("{}: {}", figure.what, figure.against);
        lines.entry(theirs).or_default().push((rows, figure.theirs.median));
        // Every figure has ours; the first of a size is as good as the others.
        let ours = lines.entry(format!("{}: ovs-plugin", figure.what)).or_default();
        if ours.last().is_none_or(|last| last.0 != rows) {
            ours.push((rows, figure.ours.median));
        }
    }
    for line in lines.values_mut() {
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    lines
}
