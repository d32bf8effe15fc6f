"""What fragility computes and where it differs from the paper, in HTML."""

from __future__ import annotations

ABOUT = """
<p>Take a training example z<sub>i</sub> away: by how much does the loss of a test example change? The estimate needs
one trained network θ̂; the truth needs another training. Both are done here for the examples of largest |influence|,
and correlated.</p>
<p><b>Exact Hessian (classic)</b>: Δ<sub>i</sub> = (H + λI)<sup>−1</sup>∇ℓ(z<sub>i</sub>)/N with H of all N training
examples, weight decay included, and λ relative to its largest eigenvalue magnitude; predicted change
∇ℓ(z<sub>t</sub>)<sup>T</sup>Δ<sub>i</sub>, which is −I/N of the Images tab. <b>Hessian of the rest</b>: the Newton step
of the N − 1 examples that remain, and the test loss measured after it, not to first order. On a quadratic loss (depth
0, squared error) it is exact. <b>Hessian of a sample</b> and <b>LiSSA</b>: what one takes where the exact one is too
large. Directions without curvature (dead units, no damping) stay where they are.</p>
<p><b>Retrained</b>: from the optimum, with the weights 1/(N − 1) on the others and 0 on z<sub>i</sub>, as many steps as
published. All networks of a shape and all their retrainings are one batch of stacked parameters, with the full batch of
examples in every step: no noise tells them apart. One more network is trained on with <i>all</i> examples: what it does
is the part of “retrained” that has nothing to do with a removal. It moves all retrained changes of a network nearly
alike, so that the correlations hardly see it; the norms do.</p>
<h3>Where this differs from the paper, and what it leaves open</h3>
<ul>
<li>Iris: 120 flowers for training, 30 for testing, features standardised; hidden units ReLU, gradient descent with
momentum .9 and rate .1, float64. The paper's split, activation and optimizer are not known to us.</li>
<li>Damping .001·σ_max by default, chosen beforehand; “damping” can be what varies, 0 included.</li>
<li>Several networks per setting, from different initialisations.</li>
<li>The test example of the highest loss is another one for every network.</li>
<li>MNIST: a CNN of 2,538 parameters (the paper's has 2,600) on 6,000 images, batches of 100 in an order that all
retrainings share; MINRES in the place of the matrix. It takes many minutes, so only the command computes it.</li>
<li>LeNet, VGG and ResNets are published numbers only; nobody trained them here.</li>
</ul>
<p>S. Basu, P. Pope &amp; S. Feizi, “Influence functions in deep learning are fragile”, ICLR 2021. P. W. Koh &amp;
P. Liang, “Understanding black-box predictions via influence functions”, ICML 2017.</p>
"""
