//! Loss curves as a picture, one line a run.

use super::text::micro;
use maud::{Markup, html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 30.0;
const MARGIN: f64 = 12.0;
/// Lines drawn across.
const QUARTERS: u32 = 4;

/// Losses of a run, as its trainer reported them.
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Step and mean loss in millionths.
    pub points: Vec<(u32, u64)>,
}

/// The curves over their steps. The same curves give the same picture.
pub fn losses(curves: &[Curve]) -> Markup {
    let all = || curves.iter().flat_map(|curve| curve.points.iter());
    if all().next().is_none() {
        return html! { p.empty { "No loss had been reported by then." } };
    }
    let high = all().map(|(_, loss)| *loss).max().unwrap_or(0).max(1) as f64;
    let last = f64::from(all().map(|(step, _)| *step).max().unwrap_or(0).max(1));
    let x = |step: u32| LEFT + f64::from(step) / last * (WIDTH - LEFT - MARGIN);
    let y = |loss: f64| MARGIN + (1.0 - loss / high) * (HEIGHT - MARGIN - BOTTOM);
    let line = |curve: &Curve| -> String {
        let points = curve.points.iter().map(|(step, loss)| format!("{:.1},{:.1}", x(*step), y(*loss as f64)));
        points.collect::<Vec<_>>().join(" ")
    };
    html! {
        figure {
            svg.chart xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
                aria-label=(said(curves)) {
                @for quarter in 0..=QUARTERS {
                    @let loss = high * f64::from(quarter) / f64::from(QUARTERS);
                    line x1=(LEFT) x2=(WIDTH - MARGIN) y1=(format!("{:.1}", y(loss))) y2=(format!("{:.1}", y(loss))) class="grid" {}
                    text x=(LEFT - 6.0) y=(format!("{:.1}", y(loss) + 4.0)) class="left" { (format!("{:.3}", loss / 1e6)) }
                }
                text x=(LEFT) y=(HEIGHT - 10.0) { "step 0" }
                text x=(WIDTH - MARGIN) y=(HEIGHT - 10.0) class="left" { "step " (last) }
                @for (number, curve) in curves.iter().enumerate() {
                    polyline points=(line(curve)) class={ "curve curve-" (number) } {}
                }
            }
            figcaption { ul.legend { @for (number, curve) in curves.iter().enumerate() {
                li { span class={ "key curve-" (number) } aria-hidden="true" { @if number == 0 { "━━" } @else { "╍╍" } } " " (curve.name) ": "
                    (end(curve)) }
            } } }
        }
    }
}

fn end(curve: &Curve) -> String {
    curve
        .points
        .last()
        .map_or_else(|| "nothing reported".into(), |(step, loss)| format!("{} at step {step}", micro(*loss)))
}

fn said(curves: &[Curve]) -> String {
    let parts: Vec<_> = curves.iter().map(|curve| format!("{} ends at {}", curve.name, end(curve))).collect();
    format!("Loss by step: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_curve_has_its_points_and_its_last_loss_in_words() {
        let curve = |name: &str, points: &[(u32, u64)]| Curve { name: name.into(), points: points.into() };
        let page = losses(&[curve("run 7", &[(0, 2_000_000), (10, 500_000)]), curve("run 9", &[(5, 1_000_000)])]);
        let page = page.into_string();
        assert_eq!(page.matches("<polyline").count(), 2);
        assert!(page.contains("points=\"56.0,12.0 628.0,160.5\""), "{page}");
        assert!(page.contains("run 7 ends at 0.5000 at step 10"), "{page}");
        assert!(losses(&[curve("run 7", &[])]).into_string().contains("No loss"));
    }
}
