"""The equations and choices of the spectrum, in HTML."""

from __future__ import annotations

ABOUT = """
<p>Influence functions need H<sup>−1</sup>g, and methods such as LiSSA and CG count on a Hessian H whose eigenvalues
are all positive. Networks do not have one. The usual remedy is a regulariser with weight α in the loss,</p>
<p><b>squared</b>: R(θ) = α/2·‖θ‖², ∇²R = αI: every eigenvalue moves up by α;<br>
<b>not squared</b>, as in the authors' code: R(θ) = α/2·‖θ‖, ∇²R = α/2·(I/‖θ‖ − θθ<sup>T</sup>/‖θ‖³): across θ the
eigenvalues move up by α/(2‖θ‖) only, along θ not at all. The larger the network's weights, the less it does.</p>
<p>The share of negative eigenvalues is counted among the k of largest magnitude, as in the paper's Fig. 3, and among
all. The first can be 0 while the second is not: a regulariser lifts the many eigenvalues near 0 above the few
negative ones, which then no longer belong to the largest.</p>
<p><b>LiSSA</b> repeats x ← g + x − Hx/scale. Its residual is multiplied by 1 − λ/scale along every eigenvector, so it
converges if and only if 0 &lt; λ &lt; 2·scale for all eigenvalues λ. A damping of λ added to H does what α does here
with the squared norm and training once: then the axis is the damping. The check runs the recursion with all images in
every step, from a random g. The logarithm of the residual is convex along the steps, so that once it grows it grows
for ever; while it falls it may still come to grow, where the eigenvalue is barely negative.</p>
<h3>What the paper leaves open, and what we chose</h3>
<ul>
<li>Whether the network is trained anew <b>for each α</b>, or <b>once</b> and α enters the Hessian only, is not said.
The default is for each α: a regulariser is a part of the loss that is minimised, and the Hessian is that of this loss
at its own solution. “Once” shows what adding α to one and the same Hessian does. With large α the two differ most: a
network trained with it learns nothing any more (see its accuracy).</li>
<li>On MNIST (seed 0, 2,000 training steps, the settings as published) the share of the 500 largest goes, for α = 0,
0.06, 0.25, with training for each α: cross entropy 20.4, 14.4, 7.6 %, squared error 4.6, 0, 0 %; trained once: 20.4,
17.2, 11.8 % and 4.6, 0.2, 0 %. The authors' runs: 18.4 to 10.9 % and 4.59 to 0 %. One seed does not decide it; “once”
comes nearer.</li>
<li>The norm is squared by default, as weight decay is; the authors' is not (a setting).</li>
<li>The Hessian is that of a sample of the <i>training</i> images; the authors take the first 512 <i>test</i> images
(a setting).</li>
<li>The hidden layers are the authors' (8 and 8 units: 784-8-8-10 has 6,442 parameters on MNIST, 64-8-8-10 has 682 on
the small digits); that they use ReLU, and how they train, is not known. We train with Adam and a rate that falls to
0.</li>
<li>Squared error is the mean over the classes of (output − 0 or 1)².</li>
<li>Eigenvalues are computed in float64: below −10<sup>−8</sup> counts as negative, and in float32 rounding alone
gives such values. Up to 2,000 parameters all of them come from the dense matrix. Beyond, the largest come from
Lanczos and the others from a density estimated with random vectors; an eigenvalue that occurs many times (a pixel
that is always black gives 8) may be found once there, and the panel says when that matters.</li>
<li>In the figure as published the names of the two losses appear to be exchanged; here every number carries the name
of the loss that was run.</li>
</ul>
<p>Lyu et al., <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">arXiv 2312.05586</a>. The
density: stochastic Lanczos quadrature (Ubaru, Chen &amp; Saad 2017). LiSSA: Agarwal, Bullins &amp; Hazan 2017; Koh
&amp; Liang 2017.</p>
"""
