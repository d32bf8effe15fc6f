"""The equations and choices of mislabelled data, in HTML and MathML."""

from __future__ import annotations

_SELF = (
    '<math display="block"><mo>−</mo><mi>I</mi><mo>(</mo><mi>z</mi><mo>,</mo><mi>z</mi><mo>)</mo><mo>=</mo><mo>∇</mo>'
    "<mi>ℓ</mi><msup><mrow><mo>(</mo><mi>z</mi><mo>)</mo></mrow><mi>T</mi></msup><msup><mi>H</mi><mrow><mo>−</mo>"
    "<mn>1</mn></mrow></msup><mo>∇</mo><mi>ℓ</mi><mo>(</mo><mi>z</mi><mo>)</mo></math>"
)

ABOUT = f"""
<p>The <b>self-influence</b> of a training image z says how much its own loss would rise (by 1/N of it), had the network
never seen it:</p>{_SELF}
<p>It is large for images that the network has to learn one by one: odd ones, and those with a wrong label. Koh &amp;
Liang 2017 (§5.4) propose to inspect training data in that order. The <b>loss</b> of the training images is the usual
alternative and costs nothing; a <b>random order</b> is what one finds by chance.</p>
<ul>
<li>On the <b>last layer</b> H<sub>JJ</sub> is formed and decomposed, and the other layers are taken as fixed: exact for
that layer. The <b>whole network</b> likewise up to 3,000 parameters; its Hessian has negative eigenvalues, which count
negatively. A <b>Lanczos subspace</b> keeps the largest eigenvalues only (Schioppa et al. 2022, with Arnoldi's
iteration) and takes the rest of the space to have no influence.</li>
<li>The gradients of a micro-batch are computed at once; a quadratic form needs them, other than the scores of the
images tab.</li>
<li>Damping puts θ/(θ² + λ²) in the place of 1/θ for every eigenvalue θ.</li>
<li>Wrong labels are drawn evenly among the other classes, for images drawn at random. Real mistakes are not like that:
they happen between classes that look alike, and are harder to find.</li>
<li>AUC: the chance that a wrongly labelled image stands before a rightly labelled one; its standard error after Hanley
and McNeil 1982.</li>
<li>After an inspection, the wrong labels among the inspected images are put right, and the network is trained from
scratch by the same recipe and seed. Test labels are never touched. One training each: seeds matter, too, beyond the
errors shown.</li>
</ul>
<p>P. W. Koh and P. Liang, <a href="https://arxiv.org/abs/1703.04730" target="_blank" rel="noopener">Understanding
black-box predictions via influence functions</a>.</p>
"""
