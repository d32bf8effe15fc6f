"""What influence is: a line through twenty points, two of which are far off."""

from __future__ import annotations

from gif_dash.lessons.steps import Question, Script, Step, equation, inline

_GRADIENT = "<mo>∇</mo><mi>ℓ</mi>"
_T = "<msub><mi>z</mi><mi>t</mi></msub>"

_INFLUENCE = equation(
    f"<mi>I</mi><mo>(</mo><mi>z</mi><mo>,</mo>{_T}<mo>)</mo><mo>=</mo><mo>−</mo>{_GRADIENT}<msup><mrow><mo>(</mo>{_T}<mo>)</mo></mrow>"
    f"<mi>T</mi></msup><mspace width='0.2em'/><msup><mi>H</mi><mrow><mo>−</mo><mn>1</mn></mrow></msup><mspace "
    f"width='0.2em'/>{_GRADIENT}"
    "<mo>(</mo><mi>z</mi><mo>)</mo>"
)
_MINUS_I_OVER_N = inline("<mo>−</mo><mi>I</mi><mo>/</mo><mi>N</mi>")
_H = inline("<mi>H</mi>")


def _sketch() -> str:
    """The points, both lines and the test point as a small drawing that gives nothing away; in the page's colours."""

    def at(x: float, y: float) -> str:
        return f"{30 * (x + 6):.1f},{(110 - y) * 0.95:.1f}"

    points = [(-5 + 0.5 * place, 100.0 if place in (1, 15) else 30 - 2.5 * place) for place in range(20)]
    circles = "".join(
        '<circle cx="{}" cy="{}" r="3.5" fill="currentColor" fill-opacity="0.55"/>'.format(*at(*point).split(","))
        for point in points
    )
    stroke = 'fill="none" stroke="currentColor"'
    return (
        '<svg viewBox="0 0 360 150" role="img" aria-label="Twenty points, two of them far above the others; the line '
        'through all of them lies above the true line; the test point is below it on the right" '
        'style="width:100%;height:auto;display:block;margin:0 0 8px">'
        f'<path d="M{at(-6, 35)}L{at(6, -25)}" {stroke} stroke-dasharray="2 4"/>'
        f'<path d="M{at(-6, 44.4)}L{at(6, -16.5)}" {stroke} stroke-width="2"/>{circles}'
        f'<path d="M{at(3.2, -11)}m0,-8l8,8l-8,8l-8,-8z" {stroke} stroke-width="2"/></svg>'
    )


SCRIPT = Script(
    name="line",
    title="What influence is",
    summary="A line, twenty points, two of them far off: which point helps a prediction, which harms it, and how would "
    "one know?",
    minutes=10,
    steps=(
        Step(
            title="A line, pulled off",
            text=(
                "<p>Twenty points were made from the line y = −5x + 5 (dotted), with a little noise. Then two of "
                "them, at "
                "x = −4.5 and at x = 2.5, were put up to y = 100. The line through all twenty, fitted by least "
                "squares, "
                "has hardly another slope, −5.08. But it lies nine too high.</p>"
                f"{_sketch()}"
                "<p>We ask about one prediction: at x = 3.2 (◇), where the truth is y = −11. The line says −2.3; the "
                "error "
                "squared, the <b>loss</b>, is 75.9. Leave one point out, fit again: if this loss falls, the point "
                "was "
                "<b>harmful</b> to the prediction; if it rises, <b>helpful</b>.</p>"
            ),
            state="tab=line",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "Both outliers are far above the line. Which of them harms the prediction at x = 3.2?",
                ("both", "only the one nearby, at x = 2.5", "only the one far away, at x = −4.5", "neither"),
                1,
                "Only the one nearby. It pulls the line up at x = 3.2. The other sits on the far end of the line, as "
                "on a "
                "see-saw: pulled up there, the line goes down here, where it is too high anyway. Without it, the "
                "loss "
                "would rise from 75.9 to 134. An outlier, and it helps. (Drag any point and watch the line follow; "
                "<i>Reset</i> puts things in order again.)",
            ),
        ),
        Step(
            title="Without fitting again",
            text=(
                "<p>With twenty points one can leave each out and fit again. With a network and a million pictures "
                "one cannot. The influence "
                f"function needs no second fit:</p>{_INFLUENCE}"
                f"<p>On the right, how the point {inline('<mi>z</mi>')} pulls at the parameters; {_H}, the second "
                f"derivatives of the training loss, says how far they give "
                "way; on the left, what this does to the loss of the test point. Removing the point changes that "
                "loss by about "
                f"{_MINUS_I_OVER_N}, with {inline('<mi>N</mi>')} = 20.</p>"
                "<p>For the point at x = 2.5, the formula predicts a change of −184.</p>"
            ),
            state="tab=line",
            hide=("words",),
            question=Question(
                "The loss is 75.9 now. Can removing one point change it by −184?",
                ("yes, this is what the formula is for", "no, it can fall by 75.9 at most", "no, it will rise"),
                1,
                "No: a square is never negative. Fitted again without the point, the loss falls to 8.9, by 67. The "
                "formula follows a straight line "
                "where the loss is a parabola, and this point is too big a step for that. The sign is right, the "
                "size is off by almost three times.",
                "tab=line&removed=15",
            ),
        ),
        Step(
            title="How good is it?",
            text=(
                "<p>The bars on the right are the predictions for every point, and the black ticks the truth, which is "
                "leaving it out. Where a tick stands at the end of its bar, they agree.</p>"
            ),
            state="tab=line",
            hide=("words",),
            question=Question(
                "For how many of the twenty points does the prediction have the right sign?",
                ("about half", "fifteen", "all twenty"),
                2,
                "All twenty: as to who helps and who harms, one solve with a 2×2 matrix has told the truth. As to by "
                "how much, it is within 10 % for nine "
                "of them. It says too little for points at the ends of the line, which hold it more firmly than the "
                "formula knows: there, "
                "what it predicts is to be divided by 1 − h, with the leverage h of the point.",
            ),
        ),
        Step(
            title="It depends on what you ask",
            text=(
                "<p>Influence is not a property of a point. It belongs to a pair: this training point, that "
                "prediction. Let us ask about another "
                "place, x = −4.</p>"
            ),
            state="tab=line",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "For the prediction at x = −4, the outlier at x = −4.5 is …",
                ("still helpful", "harmful now"),
                1,
                "Harmful, and the other one is helpful now: they have changed parts. “Bad data” is a short way to "
                "say “bad for what I am "
                "asking”.",
                "tab=line&test-x=-4",
            ),
        ),
        Step(
            title="What to keep",
            text=(
                "<ul><li>Influence answers: what would the loss <i>here</i> be without the point <i>there</i>?</li>"
                "<li>One gradient per point and one solve in place of a fit per point.</li>"
                "<li>It is a first-order answer. Signs and order hold longer than sizes.</li>"
                "<li>The truth to hold against it is fitting (training) again.</li></ul>"
                "<p>Now it is yours. Drag the test point along the line: where does nobody have any influence? Add "
                "noise, move the outliers, drag "
                "one so far that its prediction is absurd.</p>"
            ),
            state="tab=line",
            controls=("noise", "height", "outliers", "decay"),
        ),
    ),
)
