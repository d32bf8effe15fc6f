"""The equations and choices of the line with two outliers, in HTML."""

from __future__ import annotations

ABOUT = """
<p>The data are those of a well-known tutorial: y = −5x + 5 at x = −5, −4.5 … 4.5 with a little noise, and two of the 20
values set to 100: index 1 (x = −4.5) and index −5, counted from the end (x = 2.5, point 15 here). The tutorial names no
seed, so the noise is ours (seed 0), and no y of its test point at x = 3.2: here it lies on the true line until it is
dragged away.</p>
<ul>
<li><b>Loss</b>: ℓ = (ŷ − y)², without a half. The line minimises the mean over the N points, plus
μ/2·(slope² + intercept²) if there is weight decay. θ = (slope, intercept), x̃ = (x, 1), r = ŷ − y; for the test point
x̃<sub>t</sub>, r<sub>t</sub>.</li>
<li><b>Influence</b>: I(z, z<sub>t</sub>) = −∇ℓ(z<sub>t</sub>)ᵀH⁻¹∇ℓ(z), with the exact Hessian
H = 2/N·Σ x̃x̃ᵀ + μ𝟙, two by two. It is the slope of the test loss as z gets more weight. Removing z takes 1/N of
weight away and changes the test loss by about −I/N. <b>Helpful</b>: removing it raises the test loss, I &lt; 0;
<b>harmful</b>: removing it lowers it. A helpful point need not be a right one: the outlier at x = −4.5 helps, as it
tilts the line against the other outlier.</li>
<li><b>Leave-one-out</b>: the line is fitted again without the point, with the same μ.</li>
</ul>
<h3>Why they differ</h3>
<p>Let Δ be the step of the parameters when a point leaves, and δ = x̃<sub>t</sub>ᵀΔ that of the test point's prediction.
The test loss changes by exactly 2·r<sub>t</sub>·δ + δ². Without weight decay, with the leverage
h = x̃ᵀ(Σ x̃x̃ᵀ)⁻¹x̃ of the point,</p>
<p><b>left out = (−I/N)/(1 − h) + δ²</b>.</p>
<p>The factor 1/(1 − h) is there because I takes the Hessian with the point still in it. The form
Δ = m/(N−m)·H<sub>R</sub>⁻¹(∇ℓ(z) + μθ̂) with m = 1 and the Hessian H<sub>R</sub> of the other points is exact for a
quadratic loss: it lands on the line fitted again. The square is there because the loss of the test point is a parabola
and I follows its tangent, which lies below it and may even promise a loss below 0. With weight decay,
the Hessian of the other points and the share of the decay in Δ take the place of the factor.</p>
<p>P. W. Koh and P. Liang, <a href="https://arxiv.org/abs/1703.04730" target="_blank" rel="noopener">arXiv
1703.04730</a>.</p>
"""
