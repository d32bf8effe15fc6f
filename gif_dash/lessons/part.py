"""Part of a network: GIF, FIF and PIF on the toy, where everything can be computed exactly."""

from __future__ import annotations

from gif_dash.lessons.steps import Question, Script, Step, equation, inline

_THETA = "<mover><mi>θ</mi><mo>^</mo></mover>"
_INVERSE = "<mrow><mo>−</mo><mn>1</mn></mrow>"
_DELTA = "<msub><mi>Δ</mi><mi>J</mi></msub>"

_FIF = equation(
    f"{_DELTA}<mo>=</mo><msubsup><mi>H</mi><mi>JJ</mi>{_INVERSE}</msubsup><msub><mi>g</mi><mi>J</mi></msub>"
)
_PIF = equation(
    f"{_DELTA}<mo>=</mo><msub><mrow><mo>[</mo><msup><mi>H</mi>{_INVERSE}</msup><mi>g</mi><mo>]</mo></mrow><mi>J</mi></msub>"
)
_GIF = equation(
    f"{_DELTA}<mo>=</mo><munder><mi>arg min</mi><mi>x</mi></munder><msup><mrow><mo>‖</mo>"
    "<msub><mi>H</mi><mrow><mo>:</mo><mi>J</mi></mrow></msub><mi>x</mi><mo>−</mo><mi>g</mi><mo>‖</mo></mrow><mn>2</mn></msup>"
)
_J = inline("<mi>J</mi>")
_G = inline("<mi>g</mi>")
_H = inline("<mi>H</mi>")

_START = "tab=toy&removal=group&step=0"
_END = "tab=toy&removal=group"

SCRIPT = Script(
    name="part",
    title="Part of a network",
    summary="Only some of the parameters may change. Three methods, three destinations: which one is right?",
    minutes=12,
    steps=(
        Step(
            title="Two of six may move",
            text=(
                "<p>A linear model with five weights and a bias was fitted to 1,000 points. 200 of them are "
                "outliers: their "
                "targets were turned upside down and made five times as large. We want the model that would have "
                "come out "
                "without them.</p>"
                "<p>That model is no secret here: fit again without the outliers. All six parameters move then. But "
                "in a network of "
                "millions of parameters one would like to touch few of them. So let only <b>weights 1 and 2</b> "
                "change, and "
                "leave the other four where they are.</p>"
                "<p>The picture is the plane of these two weights. ▽ is where they are now, ✕ where fitting again "
                "puts them. "
                "The rings join points of equal loss over the points that stay. Press <b>Play</b>, or move the "
                "slider: three "
                "methods leave ▽ for three different places.</p>"
            ),
            state=_START,
            hide=("words", "table"),
        ),
        Step(
            title="FIF: as if the rest were frozen",
            text=(
                f"<p>Call the two weights {_J}, the gradient that the outliers leave behind {_G}, and the matrix of "
                f"second derivatives "
                f"of the loss {_H}. The first idea is to look at the two weights alone:</p>{_FIF}"
                "<p>This is Newton's step in the plane, and the loss is quadratic, so one step is enough: it ends in "
                "the middle "
                "of the rings (◇). <b>FIF</b>, the frozen influence function.</p>"
            ),
            state=_START,
            hide=("words", "table"),
            question=Question(
                "Which of the three methods will end with the least loss over the points that stay?",
                ("FIF", "GIF", "PIF, which knows about all six parameters", "all three the same"),
                0,
                "FIF ends at 30.2, PIF at 37.9 and GIF at 40.1; the untouched model had 36.2. With four parameters "
                "frozen, nothing "
                "in this plane is better than the middle of the rings. But compare with fitting again: 0.99. The two "
                "weights "
                "alone cannot do what all six can.",
                _END,
            ),
        ),
        Step(
            title="PIF: right, for another model",
            text=(
                f"<p>The second idea solves for all parameters, and then keeps only what it found for {_J}:</p>{_PIF}"
                "<p><b>PIF</b>, the projected influence function, puts the two weights exactly on ✕, where fitting "
                "again puts them. "
                "Exactly: the loss is quadratic.</p>"
            ),
            state=_END,
            hide=("words", "table"),
            question=Question(
                "Both weights are right now, and the other four are where they were. What has that done to the loss "
                "of the "
                "untouched model, 36.2?",
                ("it is clearly lower", "it is a little higher", "it is zero, as after fitting again"),
                1,
                "It is 37.9. Two weights that are right in the company of four others that moved along need not be "
                "good in the company "
                "of four that did not. Yet of the three, PIF is nearest to the retrained model when all six "
                "parameters count: "
                "5.7 away, FIF 6.5, GIF 9.1.",
            ),
        ),
        Step(
            title="GIF: make the whole gradient small",
            text=(
                f"<p>The third idea lets only {_J} move, but asks what this does to the gradient of <i>all</i> "
                f"parameters, and makes that "
                f"gradient as small as possible:</p>{_GIF}"
                "<p>So says <b>GIF</b>, the generalized influence function: at a trained model the whole gradient is "
                "zero, so come as near to "
                "that as you can. The lowest plot on the right measures it.</p>"
            ),
            state=_END,
            hide=("words", "table"),
            question=Question(
                "GIF has the smallest gradient, by design. What about its loss?",
                (
                    "the least, since a small gradient means a small loss",
                    "between FIF's and PIF's",
                    "the highest of the three, and above the untouched model's",
                ),
                2,
                "The gradient is 10.3, against 12.0 for FIF and 16.3 for PIF. The loss is 40.1, against 36.2 for the "
                "untouched model. A gradient "
                "is small far down a flat valley too. None of the three is wrong: each is best at what it asks for.",
            ),
        ),
        Step(
            title="When the question does not matter",
            text=(
                "<p>The three differ because the two weights are coupled to the other four: neighbouring features "
                "are correlated "
                "(0.5). Take the correlation away, and take more points, so that none is left by chance.</p>"
            ),
            controls=("correlation", "points"),
            hide=("words", "table"),
            covered=True,
            question=Question(
                "Without correlation and with 5,000 points, the three end points are …",
                ("as far apart as before", "about half as far apart", "nearly one point"),
                2,
                "FIF, GIF and PIF end within 0.03 of each other, after a way of 0.7. Where the parameters that move "
                "are not coupled to those "
                "that do not, there is one answer. Move <b>Correlation</b> and watch them part.",
                "tab=toy&removal=group&correlation=0&points=5000",
            ),
        ),
        Step(
            title="Once, or step by step",
            text=(
                "<p>So far all outliers left at once, by one estimate. One can also remove ten at a time, and "
                "estimate again from "
                "where the last step led.</p>"
            ),
            state=_END,
            controls=("removal",),
            hide=("words", "table"),
            question=Question(
                "Where do 20 small steps end, compared with one large one?",
                ("nearer to ✕", "at the same places", "farther from ✕, errors add up"),
                1,
                "At the same places, to every digit. On a quadratic loss one estimate from anywhere is exact, so "
                "nothing is gained by small steps. "
                "The loss of a network is not quadratic. There the size of the step matters, and the lesson "
                "<i>Forgetting a class</i> is about that.",
                "tab=toy",
            ),
        ),
        Step(
            title="What to keep",
            text=(
                "<ul><li>“The model without these points” is one model. “The best edit of a part” is a question with "
                "several answers.</li>"
                "<li><b>FIF</b>: least loss, the rest frozen. <b>PIF</b>: the part of the full answer. <b>GIF</b>: "
                "least total gradient.</li>"
                "<li>They agree where the part is not coupled to the rest.</li></ul>"
                "<p>Do not carry the distances over to networks. There the three are solved with few steps, on "
                "samples, and on the two networks "
                "of this dashboard no difference between their scores was shown over ten seeds and over all "
                "classes.</p>"
                "<p>Now it is yours: change the data, or choose two other weights.</p>"
            ),
            state="tab=toy",
            controls=("removal", "correlation", "strength", "outliers", "points", "noise", "first", "second"),
        ),
    ),
)
