"""The equations and choices of class removal, in HTML and MathML."""

from __future__ import annotations


def _math(body: str) -> str:
    return f'<math display="block">{body}</math>'


_H = "<msub><mi>H</mi><mrow><mo>:</mo><mi>J</mi></mrow></msub>"
_DELTA_J = "<msub><mi>Δ</mi><mi>J</mi></msub>"
_INVERSE = "<mrow><mo>−</mo><mn>1</mn></mrow>"

_GIF = _math(
    f"{_DELTA_J}<mo>=</mo><munder><mi>arg min</mi><mi>x</mi></munder><msup><mrow><mo>‖</mo>{_H}<mi>x</mi><mo>−</mo>"
    "<mi>g</mi><mo>‖</mo></mrow><mn>2</mn></msup>"
)
_FIF = _math(f"{_DELTA_J}<mo>=</mo><msubsup><mi>H</mi><mi>JJ</mi>{_INVERSE}</msubsup><msub><mi>g</mi><mi>J</mi></msub>")
_PIF = _math(
    f"{_DELTA_J}<mo>=</mo><msub><mrow><mo>[</mo><msup><mi>H</mi>{_INVERSE}</msup><mi>g</mi><mo>]</mo></mrow>"
    "<mi>J</mi></msub>"
)
_G = _math(
    "<mi>g</mi><mo>=</mo><mfrac><mi>m</mi><mrow><mi>N</mi><mo>−</mo><mi>m</mi></mrow></mfrac><mo>(</mo>"
    "<msub><mi>g</mi><mi>U</mi></msub><mo>+</mo><mi>μ</mi><mover><mi>θ</mi><mo>^</mo></mover><mo>)</mo>"
    "<mo>,</mo><mspace width='1em'/><mi>H</mi><mo>=</mo><msub><mi>H</mi><mi>R</mi></msub><mo>+</mo><mi>μ</mi><mi>I</mi>"
)
_SCORE = _math(
    "<mtext>score</mtext><mo>=</mo><mfrac><mrow><mn>2</mn><mi>A</mi><mo>(</mo><mn>1</mn><mo>−</mo><mi>B</mi><mo>)</mo>"
    "</mrow><mrow><mi>A</mi><mo>+</mo><mn>1</mn><mo>−</mo><mi>B</mi></mrow></mfrac>"
)
_RHO = _math(
    "<mi>ρ</mi><mo>(</mo><mi>s</mi><mo>)</mo><mo>=</mo><mfrac><mrow><mi>F</mi><mo>(</mo><mover><mi>θ</mi><mo>^</mo></mover>"
    "<mo>+</mo><mi>s</mi><mi>Δ</mi><mo>)</mo><mo>−</mo><mi>F</mi><mo>(</mo><mover><mi>θ</mi><mo>^</mo></mover><mo>)</mo>"
    "</mrow><mrow><mi>s</mi><mo>∇</mo><msup><mi>F</mi><mi>T</mi></msup><mi>Δ</mi><mo>+</mo><mfrac><mn>1</mn><mn>2</mn>"
    "</mfrac><msup><mi>s</mi><mn>2</mn></msup><msup><mi>Δ</mi><mi>T</mi></msup><mi>H</mi><mi>Δ</mi></mrow></mfrac>"
)

ABOUT = f"""
<p>A network with parameters θ̂ was trained on N examples; m of them, the group U, are to be forgotten, the rest R
stays. Only a selected set J of parameters may change. Each method turns the same right-hand side g and the same
curvature H into a step Δ on J; μ is the weight decay of training:</p>{_G}
<p><b>GIF</b>, the generalized influence function, makes the <i>total</i> gradient as small as J can make
it:</p>{_GIF}
<p><b>FIF</b> freezes the other parameters:</p>{_FIF}
<p><b>PIF</b> solves for all parameters and keeps the part on J:</p>{_PIF}
<p><b>IF</b> is the same with J = all parameters; the <b>gradient step</b> uses g itself. For a quadratic loss FIF
lands on the optimum of the frozen slice, GIF on the point of least total gradient, PIF on the projection of the full
optimum: which is “best” depends on which optimum is meant.</p>
<p>For comparison: <b>IF (Koh &amp; Liang)</b> takes the curvature H<sub>D</sub> of the whole training set and
(m/N)·g<sub>U</sub>; <b>IF2</b> adds how the group changes the curvature: with q = m/N, Δ₁ =
q/(1−q)·H<sub>D</sub><sup>−1</sup>g<sub>U</sub> and Δ = Δ₁ − q/(1−q)·(I − H<sub>D</sub><sup>−1</sup>H<sub>U</sub>)Δ₁,
in the sign of a removal. Both change all parameters and draw samples of their own. MINRES, CG and LiSSA (all but GIF)
damp by H + λI, the other solvers by HᵀH + λ²I; CG stops at curvature that is not positive, which the
<b>Gauss–Newton</b> matrix does not have. The lowest-k criteria choose the units that the others leave out, as a
control; <i>as published</i> are the search for the series' constant by restarts and a threshold that drifts from
layer to layer.</p>
<p>The edited model is θ̂ + s·Δ. <b>s = 1</b> is the method's own prediction; the best s is larger by far, because
forgetting a class by one step is extrapolation. With A the accuracy on the other classes and B that on the removed
class,</p>{_SCORE}
<p>The trust ratio compares what the loss F on the retained examples really does with what its quadratic picture says
(1: exactly that; 0: nothing like it):</p>{_RHO}
<h3>Where this differs from the paper</h3>
<ul>
<li>The best s is chosen on one fixed half of the test set and reported on the other; the paper chooses and reports on
the same images (“whole test set” in the advanced settings).</li>
<li>Systems are solved by CGLS, two Hessian-vector products a step, instead of the Neumann series, whose constant has
to be searched for (offered too). Few steps regularise; all methods get the same number. Regularised alike, the
methods differ by little. Add the <b>gradient step</b> to the methods: on both built-in networks it scored as high at
its best s, at the cost of one gradient.</li>
<li>The weight of g is m/(N−m) and includes weight decay, so that s = 1 is exact for a quadratic loss; no constant
hides in Δ, so the paper's scalars do not carry over.</li>
<li>Self metrics use the <i>test</i> images of the removed class; the removed training images have a column of their
own.</li>
<li>Batch norm keeps the running statistics of θ̂; dropout is off.</li>
</ul>
<p>The methods: Lyu et al., <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">arXiv
2312.05586</a>.</p>
"""
