//! Small charts as SVG: lines and points over two axes, readable on light and dark pages.

use std::fmt::Write;

/// The picture's size, and where in it the axes lie.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 284.0;
/// Lines across the picture.
const STEPS: usize = 5;
/// Distinguishable also without colour vision (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// How a row of values is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Joined by a line.
    Line,
    /// By a dashed one: a prediction or a bound.
    Dashed,
    /// Each as a point.
    Points,
}

/// A row of values.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Where: across and up.
    pub values: Vec<(f64, f64)>,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it counts, with its unit.
    pub name: &'static str,
    /// Where it begins and ends.
    pub range: (f64, f64),
    /// Whether equal lengths are equal ratios; the range is positive then.
    pub is_logarithmic: bool,
}

impl Axis {
    /// From zero on, with equal steps.
    pub fn linear(name: &'static str, most: f64) -> Axis {
        Axis { name, range: (0.0, most), is_logarithmic: false }
    }

    /// With equal steps for powers of ten.
    pub fn logarithmic(name: &'static str, range: (f64, f64)) -> Axis {
        Axis { name, range, is_logarithmic: true }
    }

    /// Which part of the axis lies before this value, 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let (from, to) = self.range;
        let part =
            if self.is_logarithmic { (value / from).ln() / (to / from).ln() } else { (value - from) / (to - from) };
        part.clamp(0.0, 1.0)
    }

    /// The values that are written at it.
    fn ticks(&self) -> Vec<f64> {
        let (from, to) = self.range;
        if self.is_logarithmic {
            let decades = (to / from).log10().round() as i32;
            return (0..=decades).map(|decade| from * 10_f64.powi(decade)).collect();
        }
        (0..=STEPS).map(|step| from + (to - from) * step as f64 / STEPS as f64).collect()
    }
}

/// A picture.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Its title.
    pub title: String,
    /// The axis across.
    pub x: Axis,
    /// The axis up.
    pub y: Axis,
    /// What is shown.
    pub series: Vec<Series>,
}

impl Chart {
    /// The picture as an SVG document.
    pub fn svg(&self) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _written = self.draw(&mut out);
        out
    }

    fn draw(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>",
            escaped(&self.title)
        )?;
        for tick in self.x.ticks() {
            let x = self.across(tick);
            writeln!(out, "<path d=\"M{x:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>")?;
            writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 16.0,
                short(tick)
            )?;
        }
        for tick in self.y.ticks() {
            let y = self.up(tick);
            writeln!(out, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>")?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(tick)
            )?;
        }
        writeln!(out, "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" stroke=\"black\" fill=\"none\"/>")?;
        let middle = f64::midpoint(LEFT, RIGHT);
        writeln!(
            out,
            "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 32.0,
            escaped(self.x.name)
        )?;
        writeln!(
            out,
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(TOP, BOTTOM),
            escaped(self.y.name)
        )?;
        let mut legend = LEFT;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            self.draw_series(out, series, colour)?;
            writeln!(out, "<text x=\"{legend:.1}\" y=\"38\" fill=\"{colour}\">{}</text>", escaped(&series.name))?;
            legend += 7.0 * series.name.chars().count() as f64 + 14.0;
        }
        writeln!(out, "</svg>")
    }

    fn draw_series(&self, out: &mut String, series: &Series, colour: &str) -> std::fmt::Result {
        if series.mark == Mark::Points {
            for &(x, y) in &series.values {
                writeln!(
                    out,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                    self.across(x),
                    self.up(y)
                )?;
            }
            return Ok(());
        }
        let points: Vec<String> =
            series.values.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.across(x), self.up(y))).collect();
        let dashes = if series.mark == Mark::Dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            points.join(" ")
        )
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.x.part(x)
    }

    fn up(&self, y: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * self.y.part(y)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number as one writes it at an axis.
fn short(value: f64) -> String {
    if value >= 1000.0 && value % 1000.0 == 0.0 {
        return format!("{},000", value / 1000.0);
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let values = vec![(0.0, 1.0), (50.0, 0.5), (100.0, 0.0)];
        let row = |name: &str, mark| Series { name: name.to_owned(), mark, values: values.clone() };
        Chart {
            title: "a < b".to_owned(),
            x: Axis::linear("killed, %", 100.0),
            y: Axis::linear("survive", 1.0),
            series: vec![row("seen", Mark::Points), row("said", Mark::Dashed)],
        }
    }

    #[test]
    fn values_lie_where_the_axes_say() {
        let svg = chart().svg();
        assert!(svg.contains("cx=\"70.0\" cy=\"46.0\"") && svg.contains("cx=\"620.0\" cy=\"284.0\""), "{svg}");
        assert!(svg.contains("points=\"70.0,46.0 345.0,165.0 620.0,284.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
    }

    #[test]
    fn a_logarithmic_axis_has_equal_decades() {
        let axis = Axis::logarithmic("nodes", (100.0, 100_000.0));
        assert_eq!(axis.ticks().len(), 4);
        assert!((axis.part(1_000.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(axis.part(1.0), 0.0, "what lies outside is drawn at the edge");
    }

    #[test]
    fn numbers_are_written_briefly() {
        assert_eq!([0.0, 0.25, 12.5, 1000.0, 65_000.0].map(short), ["0", "0.25", "12.5", "1,000", "65,000"]);
    }
}
