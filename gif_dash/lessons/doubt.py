"""When not to believe it: five ways in which a sound computation leads to a wrong sentence."""

from __future__ import annotations

from gif_dash.lessons.steps import Question, Script, Step, inline

_H = inline("<mi>H</mi>")
_X = inline("<msup><mi>v</mi><mi>T</mi></msup><mi>H</mi><mi>v</mi>")

SCRIPT = Script(
    name="doubt",
    title="When not to believe it",
    summary="A wrong reference, too few pictures, a curvature with holes, a part for the whole, a drawing of another "
    "plane.",
    minutes=13,
    steps=(
        Step(
            title="Compared with what?",
            text=(
                "<p>Somebody reports: “We made the network forget eights by one step. Our score is above .99. "
                "Training without the eights reached only "
                ".55. So editing beats training again.” All numbers are true. They are on the right, in the table "
                "<i>Scores</i>.</p>"
            ),
            state="tab=removal",
            hide=("words",),
            question=Question(
                "What is wrong?",
                (
                    "the edit was measured on its own training pictures",
                    "the network it is compared with has not forgotten yet",
                    "nothing, editing is better",
                ),
                1,
                "The .55 belong to the <i>warm start</i>: the old network, trained on without eights for a while. It "
                "still reads more than half of them. The network that "
                "has never seen an eight, trained from scratch, is within a hundredth of the edit. A weak reference "
                "makes every method look good.",
            ),
        ),
        Step(
            title="How many pictures?",
            text=(
                "<p>Three methods stand in the table with nearly the same score. Let us say that a fourth one is .02 "
                "lower. The score is made of the accuracy on the "
                "other digits and the one on eights, and the half of the test set that is reported has 222 pictures, "
                "21 of them eights.</p>"
            ),
            hide=("words",),
            question=Question(
                "All eights are forgotten, score .9975. Then a single picture of an eight is read as 8 again. The "
                "score falls …",
                ("by less than .001", "by about .005", "by more than .02"),
                2,
                "By .024. A difference of .02 between two methods is less than one picture. The bands in the plots "
                "are one standard error; in the tab "
                "<i>Methods</i> the same is asked of ten networks with paired tests.",
            ),
        ),
        Step(
            title="A valley with holes",
            text=(
                f"<p>Every method here divides by the curvature {_H}. In the bottom of a bowl that is safe: {_X} is "
                f"positive in every direction. A trained network "
                "is not at the bottom of a bowl. We take a small one, 682 parameters, trained on the digits, and "
                "compute all eigenvalues of its Hessian.</p>"
            ),
            state="tab=spectrum&alphas=0,0.03,0.1&losses=cross-entropy&count=682",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "How many of the eigenvalues are negative, where no regulariser was added?",
                ("none, it was trained", "one or two, by rounding", "about a hundred"),
                2,
                "About a hundred, one in seven. LiSSA, a well-known way to solve with this matrix, needs that there "
                "are none, and diverges. A regulariser that is strong "
                "enough to remove them all, α = 0.1, removes the network as well: it is right on one digit in ten, "
                "by chance. So one takes few steps, or "
                "damps, or takes another matrix, and each of these is another answer. Say which.",
            ),
        ),
        Step(
            title="A part for the whole",
            text=(
                "<p>A picture of a 2 is taken for a 4. Which training pictures keep the network from doing even "
                "worse? Influence ranks them. To save time it is often "
                "computed on the <b>last layer</b> alone, as if the others did not learn. Here are both.</p>"
            ),
            state="tab=attribution&rankings=influence,influence-layers",
            hide=("words", "table"),
            covered=True,
            question=Question(
                "Of the twelve most helpful pictures by the whole network, how many are also among the twelve by the "
                "last layer?",
                ("all twelve", "about seven", "none or one"),
                1,
                "About seven. The first ones agree, and the rest is another list. Both are called “the influential "
                "training images” in papers. Ask on which parameters, "
                "with which solver, and after how many steps; switch between the two above the pictures.",
            ),
        ),
        Step(
            title="A drawing of another plane",
            text=(
                "<p>Last, a figure as it was published for the toy: three methods on their way over rings of equal "
                "loss. ★ marks the middle of the rings. GIF and FIF "
                "approach it, PIF does not.</p>"
            ),
            state="tab=toy&variant=published",
            hide=("words", "table"),
            question=Question(
                "Why does PIF go astray in this figure?",
                (
                    "it is the worst method",
                    "the steps are too long",
                    "the rings belong to other weights than the paths",
                ),
                2,
                "The paths are weights 1 and 2, the rings weights 2 and 3. The rings of the plane in which the paths "
                "really run have their middle at (1.05, 1.21), ◇, not at (1.12, 0.75), ★. "
                "PIF aims at neither: it goes, at a tenth of its pace, to where fitting again leads, (−12, 9), far "
                "outside. This dashboard can draw its own "
                "mistakes just as neatly, so it gives you the numbers with every picture.",
            ),
        ),
        Step(
            title="Before you believe it",
            text=(
                "<ul><li>Compared with a network trained <i>from scratch</i>?</li>"
                "<li>How large is the error of the test set, and of the seed?</li>"
                "<li>Is the step still where the quadratic picture holds? (<i>Trust ratio</i>.)</li>"
                "<li>Is the curvature positive there, and if not, what was done about it? (Few steps, damping, "
                "Gauss–Newton.)</li>"
                "<li>On which parameters?</li>"
                "<li>Is there a control: a plain gradient, a random choice, the worst choice?</li></ul>"
                "<p>If you cannot answer one of these, you know what to compute next.</p>"
            ),
            state="tab=removal",
            controls=("methods", "criterion", "iterations", "curvature"),
        ),
    ),
)
