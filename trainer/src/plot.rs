//! The loss curve of a run, for a terminal and for a page.

use std::fmt::Write;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 32.0;
const MARGIN: f64 = 12.0;

/// Losses (in millionths) as one line of at most `width` bars; each bar is the mean of its share
/// of the steps.
pub fn sparkline(losses: &[u64], width: usize) -> String {
    if losses.is_empty() || width == 0 {
        return String::new();
    }
    let bars = width.min(losses.len());
    let means: Vec<f64> = (0..bars).map(|bar| mean(&losses[share(bar, bars, losses.len())])).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(0.0, f64::max);
    let span = (high - low).max(f64::MIN_POSITIVE);
    means.iter().map(|mean| BARS[(((mean - low) / span * 7.0).round() as usize).min(7)]).collect()
}

/// Losses (in millionths, one a step) as an SVG picture with axes, readable on light and dark
/// pages. The same losses give the same bytes.
pub fn svg(losses: &[u64]) -> String {
    let high = losses.iter().copied().max().unwrap_or(0).max(1) as f64;
    let last = losses.len().saturating_sub(1).max(1) as f64;
    let x = |step: usize| LEFT + step as f64 / last * (WIDTH - LEFT - MARGIN);
    let y = |loss: f64| MARGIN + (1.0 - loss / high) * (HEIGHT - MARGIN - BOTTOM);

    let mut points = String::new();
    for (step, loss) in losses.iter().enumerate() {
        let space = if step == 0 { "" } else { " " };
        write!(points, "{space}{:.1},{:.1}", x(step), y(*loss as f64)).expect("a string takes any text");
    }
    let mut grid = String::new();
    for quarter in 0..=4 {
        let loss = high * f64::from(quarter) / 4.0;
        let (at, right, text) = (y(loss), WIDTH - MARGIN, loss / 1e6);
        write!(
            grid,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke-opacity=\"0.2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" stroke=\"none\" text-anchor=\"end\">{text:.3}</text>",
            LEFT - 6.0,
            at + 4.0,
        )
        .expect("a string takes any text");
    }
    let (steps, end) = (losses.len(), losses.last().copied().unwrap_or(0) as f64 / 1e6);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <title>Loss over {steps} steps, ending at {end:.4}</title>\
         <g stroke=\"currentColor\" fill=\"currentColor\" stroke-width=\"1\" font-family=\"system-ui, sans-serif\" \
         font-size=\"11\"><g>{grid}</g>\
         <text x=\"{LEFT}\" y=\"{label}\" stroke=\"none\">step 1</text>\
         <text x=\"{right}\" y=\"{label}\" stroke=\"none\" text-anchor=\"end\">step {steps}</text></g>\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"1.5\"/></svg>\n",
        label = HEIGHT - 10.0,
        right = WIDTH - MARGIN,
    )
}

fn share(bar: usize, bars: usize, count: usize) -> std::ops::Range<usize> {
    bar * count / bars..(bar + 1) * count / bars
}

fn mean(losses: &[u64]) -> f64 {
    losses.iter().sum::<u64>() as f64 / losses.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_gives_falling_bars() {
        assert_eq!(sparkline(&[8, 7, 6, 5, 4, 3, 2, 1], 8), "█▇▆▅▄▃▂▁");
        assert_eq!(sparkline(&[8, 8, 1, 1], 2), "█▁");
        assert_eq!(sparkline(&[], 8), "");
        assert_eq!(sparkline(&[5], 8), "▁");
    }

    #[test]
    fn the_picture_has_a_point_for_each_step_and_names_the_last_loss() {
        let picture = svg(&[2_000_000, 1_000_000, 500_000]);
        let points = picture.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(points.split(' ').count(), 3);
        assert!(picture.contains("ending at 0.5000"));
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
