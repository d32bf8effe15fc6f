"""Forgetting a class: an edit of a small network against the network that was trained without the class."""

from __future__ import annotations

from gif_dash.lessons.steps import Question, Script, Step, equation, inline

_SCORE = equation(
    "<mtext>score</mtext><mo>=</mo><mfrac><mrow><mn>2</mn><mi>A</mi><mo>(</mo><mn>1</mn><mo>−</mo><mi>B</mi><mo>)</mo>"
    "</mrow><mrow><mi>A</mi><mo>+</mo><mn>1</mn><mo>−</mo><mi>B</mi></mrow></mfrac>"
)
_EDITED = inline("<mover><mi>θ</mi><mo>^</mo></mover><mo>+</mo><mi>s</mi><mi>Δ</mi>")
_A = inline("<mi>A</mi>")
_B = inline("<mi>B</mi>")
_DELTA = inline("<mi>Δ</mi>")
_S = inline("<mi>s</mi>")

SCRIPT = Script(
    name="forgetting",
    title="Forgetting a class",
    summary="A network forgets the digit 8 without being trained again. How far must it be pushed, and where does it "
    "land?",
    minutes=13,
    steps=(
        Step(
            title="Eights, unlearned",
            text=(
                "<p>A small network, 1,898 parameters, reads 8×8 pictures of digits. We want it to be as if it had "
                "never seen an 8. The "
                "truth is known: train again without the eights. Such a network never says “8”, and reads the other "
                "digits as well as before.</p>"
                f"<p>An influence function computes one step {_DELTA} instead. The edited network is {_EDITED}: at "
                f"{_S} = 0 nothing has "
                f"changed, and {_S} = 1 is the method's own prediction of the network without eights. Only a tenth "
                f"of the parameters may move.</p>"
            ),
            state="tab=removal&s=1",
            hide=("words", "table"),
            covered=True,
            question=Question(
                f"At {_S} = 1, how many of the eights of the test set does the edited network still read as 8? The "
                f"untouched one reads more "
                "than four of five.",
                ("none", "about half", "nearly as many as before"),
                2,
                "Nearly as many. The step points the right way (the loss on eights goes up, below on the left), but "
                "it is far too short. For a "
                "quadratic loss it would be exact. This loss is not quadratic, and taking away a whole class is no "
                "small change.",
            ),
        ),
        Step(
            title="Pushing on",
            text=(
                f"<p>So we go on in the same direction. Move {_S} below the plots. Two numbers are wanted: {_A}, the "
                f"accuracy on the other "
                f"digits, should stay; {_B}, the accuracy on eights, should go. One number holds both:</p>{_SCORE}"
                f"<p>Around {_S} = 10 the eights are gone and the others are still there. The score is within a "
                f"hundredth of that of the "
                "retrained network, the black line.</p>"
            ),
            state="tab=removal&s=10",
            hide=("words",),
            question=Question(
                f"The method rests on a quadratic picture of the loss. At {_S} = 10, how well does that picture "
                f"describe what the loss really does?",
                ("within a few percent", "about half right", "not at all"),
                2,
                f"Not at all. The trust ratio, real change over predicted change of the loss, is near 1 at {_S} = 1 "
                f"and near 0 at the best {_S}. "
                "The direction is good for forgetting; the theory that gave it has nothing to say out here. That the "
                "edit works is a "
                f"measurement, not a prediction. The best {_S} was chosen on one half of the test set, and the table "
                f"reports the other half.",
                "tab=removal&s=10",
            ),
        ),
        Step(
            title="Does the curvature matter?",
            text=(
                "<p>GIF, FIF and PIF spend eleven products with the second derivatives each. A plain <b>gradient "
                "step</b> spends none: it "
                "moves the same parameters along the gradient.</p>"
            ),
            state="tab=removal",
            hide=("words",),
            question=Question(
                f"Add the gradient step, each method at its own best {_S}. Which score is highest?",
                ("GIF's, clearly", "PIF's, clearly", "the gradient step's, clearly", "no difference worth a name"),
                3,
                "All four are within a hundredth of each other, and of retraining. The test set has about twenty "
                "eights in this half: one picture more or "
                "less moves the score by more than that. Over ten networks with seeds of their own, and over the "
                "other nine "
                "classes, no difference was shown either. Whoever claims that one method is better has to show more "
                "than one run.",
                "tab=removal&methods=gif,fif,pif,gradient",
            ),
        ),
        Step(
            title="Which tenth?",
            text=(
                "<p>The parameters that may move are the weights into the units that answer eights the loudest "
                "(<i>top-k outputs</i>). A control: "
                "take those into the <i>quietest</i> units instead, as many.</p>"
            ),
            state="tab=removal",
            hide=("words",),
            controls=("criterion",),
            question=Question(
                f"With the quietest units, at the best {_S}, the score is …",
                ("the same", "lower: the eights stay, or others suffer", "higher"),
                1,
                "Lower for all three methods: to lose the eights, these parameters have to be pushed until other "
                "digits are lost too. Which "
                "parameters may move matters more here than which method moves them.",
                "tab=removal&criterion=lowest-outputs",
            ),
        ),
        Step(
            title="Is it where retraining lands?",
            text=(
                "<p>The edited network behaves like the retrained one. Is it the same network? In the space of the "
                "1,898 parameters, the retrained one is "
                "about 6 away from the original.</p>"
            ),
            state="tab=removal",
            question=Question(
                "How far is the edited network, at its best s, from the retrained one?",
                ("less than 1", "about 3, half the way", "about 6, as far as the original"),
                2,
                "About 6: it has gone a few hundredths of the way. Training from scratch without eights leads to "
                "another valley altogether, and so does "
                "training with another seed. Behaving alike on this test set is all that was shown. (See <i>Trust "
                "figures</i> below.)",
            ),
        ),
        Step(
            title="What to keep",
            text=(
                "<ul><li>s = 1 is the prediction; forgetting happens far beyond it, where the theory does not reach. "
                "So measure.</li>"
                "<li>Measure on pictures that did not choose s, against a network trained <i>from scratch</i>. The "
                "other black line, trained on from the "
                "old network for a while, still reads more than half of the eights.</li>"
                "<li>The method matters less than the parameters it may move, and both less than the number of test "
                "pictures suggests.</li></ul>"
                "<p>Now it is yours: another digit, another share of parameters. A question that nobody has asked "
                "here before takes a few "
                "seconds of computing; press Run.</p>"
            ),
            state="tab=removal",
            controls=("forget_classes", "methods", "criterion", "mr"),
        ),
    ),
)
