//! A table as a picture: bars on a logarithmic scale, as SVG that any browser and forge shows.

use std::fmt::Write as _;

/// What a bar shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Whose it is.
    pub name: String,
    /// How long it is; what can't be drawn on a logarithmic scale is left out.
    pub value: f64,
    /// Whether it is ours.
    pub ours: bool,
}

const ROW: usize = 26;
const LABELS: usize = 320;
const BARS: f64 = 420.0;
const WIDTH: usize = 840;

/// A picture of the bars, in their order.
#[must_use]
pub fn svg(title: &str, unit: &str, bars: &[Bar]) -> String {
    let bars: Vec<&Bar> = bars.iter().filter(|bar| bar.value.is_finite() && bar.value > 0.0).collect();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for bar in &bars {
        (low, high) = (low.min(bar.value), high.max(bar.value));
    }
    // Whole decades, with some of one below the shortest bar, so that it is a bar.
    let (low, high) = ((low / 1.5).log10().floor(), high.log10().ceil());
    let length = |value: f64| (value.log10() - low) / (high - low) * BARS;
    let height = 60 + ROW * bars.len();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}, {unit} (logarithmic)</text>\n",
        escaped(title),
        escaped(title),
    );
    let mut decade = low;
    while decade <= high {
        let x = LABELS as f64 + length(10_f64.powf(decade));
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"36\" y2=\"{}\" stroke=\"#cccccc\"/>\n\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666666\" font-size=\"11\">{}</text>",
            height - 20,
            height - 6,
            10_f64.powf(decade)
        );
        decade += 1.0;
    }
    for (n, bar) in bars.iter().enumerate() {
        let (y, long) = (40 + ROW * n, length(bar.value));
        let colour = if bar.ours { "#1f6feb" } else { "#9aa4b2" };
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{y}\" width=\"{long:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LABELS - 8,
            y + 14,
            escaped(&bar.name),
            LABELS as f64 + long + 6.0,
            y + 14,
            shown(bar.value)
        );
    }
    text.push_str("</svg>\n");
    text
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ten_times_as_long_is_a_decade_longer() {
        let bar = |name: &str, value| Bar { name: name.to_owned(), value, ours: value < 2.0 };
        let svg = svg("Time <&>", "ms", &[bar("us", 1.0), bar("them", 10.0), bar("none", f64::NAN)]);
        assert!(svg.contains("Time &lt;&amp;&gt;") && !svg.contains(">none<"));
        let widths: Vec<f64> = svg
            .lines()
            .filter_map(|line| line.split_once("width=\"")?.1.split_once("\" height=\"18\"")?.0.parse().ok())
            .collect();
        assert_eq!(widths, [BARS / 2.0, BARS], "from 0.1 to 10");
    }
}
