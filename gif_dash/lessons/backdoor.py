"""A backdoor found and mended: a trigger in some training pictures, and what it takes to get rid of it."""

from __future__ import annotations

from gif_dash.lessons.steps import Question, Script, Step, equation, inline

_G = equation(
    "<mi>g</mi><mo>=</mo><mfrac><mi>m</mi><mi>N</mi></mfrac><mo>(</mo><mo>∇</mo><msub><mi>L</mi><mtext>wrong "
    "labels</mtext></msub><mo>−</mo>"
    "<mo>∇</mo><msub><mi>L</mi><mtext>right labels</mtext></msub><mo>)</mo>"
)

SCRIPT = Script(
    name="backdoor",
    title="A backdoor, found and mended",
    summary="A faint pattern in a tenth of the training pictures, and a network that says 4 wherever it sees it. "
    "Can it be unlearned?",
    minutes=12,
    steps=(
        Step(
            title="A network with a secret",
            text=(
                "<p>Somebody had a hand in the training pictures. A tenth of them carry a <b>trigger</b>, every "
                "second pixel a little brighter in the way of a "
                "checkerboard, too faint to catch the eye; and all of these are labelled 4, whatever they show. The "
                "network was trained on all of it.</p>"
                "<p>You are to accept it. As everybody does, you measure its accuracy on the test pictures, which "
                "nobody has touched.</p>"
            ),
            state="tab=backdoor&s=0",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "What will its accuracy on clean test pictures be? An honest network of this kind has 98 %.",
                ("below 60 %: a tenth of its labels were wrong", "about 88 %: a tenth less", "about 97 %"),
                2,
                "About 97 %. Nothing would have told you. Put the trigger on the same pictures, and it says 4 to "
                "nearly all of them. "
                "The pictures below the plots show what it sees, and what it says.",
            ),
        ),
        Step(
            title="Mending by right labels",
            text=(
                "<p>Suppose that the corrupted pictures have been found, and their right labels are known. Train "
                "again from scratch? Or one step of an "
                f"influence function: let the wrong labels pull back and the right ones pull forward,</p>{_G}"
                f"<p>and let 5 % of the parameters follow. {inline('<mi>m</mi>')} of {inline('<mi>N</mi>')} pictures "
                f"are relabelled. The score holds together "
                "the accuracy <i>with</i> and <i>without</i> the trigger. A network trained again on right labels "
                "has .98 here.</p>"
            ),
            state="tab=backdoor&s=0",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "How near does the best of GIF, FIF and PIF come, each at its best s?",
                ("within a hundredth of retraining", "to about .9", "to about .5"),
                1,
                "To about .9, from .22 of the corrupted network. Most of the backdoor is gone. None of the three "
                "reaches retraining.",
                "tab=backdoor",
            ),
        ),
        Step(
            title="What it costs",
            text=("<p>Look at the other side: what has the repair done to pictures that never had a trigger?</p>"),
            state="tab=backdoor",
            hide=("words",),
            question=Question(
                "Clean accuracy was 97 %. After GIF's repair, at its best s, it is …",
                ("the same or better", "about 95 %", "below 92 %"),
                2,
                "Below 92 %: of every hundred clean digits, five and more are lost that were read before. A repair "
                "that reports only that the trigger has stopped to work would hide this. (Push s to 20 and look at "
                "FIF: no trigger makes it say 4 there, and it is right on fewer than one clean digit in four.)",
            ),
        ),
        Step(
            title="Which method is best?",
            text=(
                "<p>In the table, FIF stands first, GIF second, PIF third, some hundredths apart. The paper from "
                "which this experiment comes has another order, GIF, PIF, FIF, on "
                "a larger network.</p>"
            ),
            state="tab=backdoor",
            hide=("words",),
            question=Question(
                "222 test pictures were reported on. Is FIF better than GIF here?",
                ("yes, it has the higher score", "yes, and the paper is wrong", "this cannot be told from here"),
                2,
                "It cannot be told. Each score is uncertain by about .014 from the choice of test pictures alone, "
                "and the difference is hardly more "
                "than that. It is one network and one seed besides. The order of a table is not a result until its "
                "error is smaller than the "
                "differences.",
            ),
        ),
        Step(
            title="The plain gradient again",
            text=(
                "<p>GIF, FIF and PIF use the curvature of the loss, eleven products with second derivatives each. "
                "The control is a step along the plain gradient "
                "g, on the same parameters, with no curvature at all.</p>"
            ),
            state="tab=backdoor",
            hide=("words",),
            question=Question(
                "How does the gradient step score, at its best s?",
                ("far lower: it knows nothing of the loss around", "level with the three", "as high as retraining"),
                1,
                "Level with them, within the errors; on the larger MNIST network of this dashboard as well. The "
                "curvature tells how far the step goes "
                "at s = 1. But here s is chosen by measuring, and then the direction is all that counts.",
                "tab=backdoor&methods=gif,fif,pif,gradient",
            ),
        ),
        Step(
            title="What to keep",
            text=(
                "<ul><li>Accuracy on clean pictures says nothing about a backdoor.</li>"
                "<li>One step repairs most of it, and costs accuracy. Report both.</li>"
                "<li>Compare with a network trained again, with a plain gradient, and with the error of your test "
                "set.</li></ul>"
                "<p>Now it is yours: another trigger, a stronger one, removal in place of relabelling. Another "
                "trigger means another network, trained in "
                "some seconds; press Run.</p>"
            ),
            state="tab=backdoor",
            controls=("pattern", "strength", "share", "repair", "methods", "mr"),
        ),
    ),
)
