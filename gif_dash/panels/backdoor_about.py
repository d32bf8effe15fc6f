"""The equations and choices of the backdoor, in HTML and MathML."""

from __future__ import annotations


def _math(body: str) -> str:
    return f'<math display="block">{body}</math>'


def _loss(label: str) -> str:
    return f"<mo>∇</mo><msub><mi>L</mi><mtext>{label}</mtext></msub>"


_INVERSE = "<mrow><mo>−</mo><mn>1</mn></mrow>"
_G = _math(
    "<mi>g</mi><mo>=</mo><mfrac><mi>m</mi><mi>N</mi></mfrac><mo>(</mo>"
    f"{_loss('U, wrong')}<mo>−</mo>{_loss('U, right')}<mo>)</mo><mo>,</mo><mspace width='1em'/><mi>H</mi><mo>=</mo>"
    "<msub><mi>H</mi><mrow><mi>D</mi><mo>′</mo></mrow></msub><mo>+</mo><mi>μ</mi><mi>I</mi><mo>,</mo>"
    "<mspace width='1em'/><mi>D</mi><mo>′</mo><mo>=</mo><mi>R</mi><mo>∪</mo><msub><mi>U</mi><mtext>right</mtext></msub>"
)
_REMOVAL = _math(
    "<mi>g</mi><mo>=</mo><mfrac><mi>m</mi><mrow><mi>N</mi><mo>−</mo><mi>m</mi></mrow></mfrac><mo>(</mo>"
    f"{_loss('U, wrong')}<mo>+</mo><mi>μ</mi><mover><mi>θ</mi><mo>^</mo></mover><mo>)</mo>"
    "<mo>,</mo><mspace width='1em'/><mi>H</mi><mo>=</mo><msub><mi>H</mi><mi>R</mi></msub><mo>+</mo><mi>μ</mi><mi>I</mi>"
)
_IF2 = _math(
    "<mi>Δ</mi><mo>=</mo><msub><mi>Δ</mi><mn>1</mn></msub><mo>−</mo><mfrac><mi>m</mi><mi>N</mi></mfrac>"
    f"<msubsup><mi>H</mi><mi>D</mi>{_INVERSE}</msubsup><mo>(</mo><msub><mi>H</mi><mtext>U, right</mtext></msub>"
    "<mo>−</mo><msub><mi>H</mi><mtext>U, wrong</mtext></msub><mo>)</mo><msub><mi>Δ</mi><mn>1</mn></msub><mo>,</mo>"
    f"<mspace width='1em'/><msub><mi>Δ</mi><mn>1</mn></msub><mo>=</mo><msubsup><mi>H</mi><mi>D</mi>{_INVERSE}</msubsup>"
    "<mi>g</mi>"
)

ABOUT = f"""
<p>Of N training pictures, m were corrupted, the group U, drawn at random from the other classes: each got the trigger,
a few grey levels added before any normalisation, and the corrupt label. The network θ̂ is trained on these data from
scratch. <b>Relabelling</b> asks where training would have led had these pictures, trigger and all, borne their right
labels:</p>{_G}
<p>R are the other pictures, L<sub>U</sub> mean losses at θ̂, μ the weight decay. For a quadratic loss the step Δ = H⁻¹g
lands exactly there (a test holds it to that). <b>Removal</b> asks where training without U would have led, as in class
removal:</p>{_REMOVAL}
<p>GIF, FIF, PIF, IF and the gradient step turn g and H into Δ as in class removal, on selected parameters J. IF2
changes all parameters; for relabelling it is derived here, to second order in m/N:</p>{_IF2}
<p>Where the group under its right labels has a curvature far from that of the data, as a network that is sure of the
wrong label sees it, this expansion does not hold; the panel says so when its second term is the longer one.</p>
<p>Measured on test pictures: how many with the trigger get the corrupt label (attack success; those that really show
it are its floor), how many with the trigger and how many without get their right label. The <b>score</b> is the
harmonic mean of the last two. The truth in every plot: the network trained again on the repaired data, from scratch
and, shorter, from θ̂.</p>
<p>Grey levels: 0 and 255 are black and white of the scenario's normalisation where that is known, else the smallest
and largest value of a channel in (at most 4,096 of) the training pictures. In colour pictures all channels get
brighter.</p>
<h3>Where this differs from the paper</h3>
<ul>
<li>The authors' code weighs the gradient by m/(N−m) and takes the curvature of R; the form above has m/N and D′, and
only that is exact for a quadratic. Theirs is in the advanced settings, “as published”.</li>
<li>The best s is chosen on one half of the test pictures and reported on the other; “whole test set (as published)”
does both on all of them. No constant hides in Δ, so the paper's scalars do not carry over.</li>
<li>CGLS, five steps, instead of 1,000 steps of the Neumann series; up to 1,024 pictures for curvature and gradient
each, from the training data. Fewer steps regularise more: on mnist-cnn (seed 0) one step scored higher than five for
every method that is solved for.</li>
<li>The <b>gradient step</b> is no method of the paper's table. Add it to the methods: on both built-in networks
(seed 0) it scored at least as high as GIF, FIF and PIF at its best s, at the cost of two gradients.</li>
<li>The published table has ten runs; this is one. For others, change the seed: it draws other pictures and trains
another network.</li>
<li>The paper's IF2 numbers come from a formula with an extra constant and are no target here.</li>
<li>Square in a corner and frame are not in the paper.</li>
</ul>
<p>The methods: Lyu et al., <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">arXiv
2312.05586</a>; second-order influence: S. Basu, X. You, S. Feizi, ICML 2020.</p>
"""
