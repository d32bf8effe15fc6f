"""The equations and choices of two digits and a linear model, in HTML and MathML."""

from __future__ import annotations


def _math(body: str) -> str:
    return f'<math display="block">{body}</math>'


_F = _math(
    "<mi>F</mi><mo>(</mo><mi>w</mi><mo>)</mo><mo>=</mo><mfrac><mn>1</mn><mi>N</mi></mfrac><munder><mo>∑</mo><mi>i</mi>"
    "</munder><mi>ℓ</mi><mo>(</mo><msub><mi>y</mi><mi>i</mi></msub><msup><mi>w</mi><mi>T</mi></msup><msub><mi>x</mi>"
    "<mi>i</mi></msub><mo>)</mo><mo>+</mo><mfrac><mi>λ</mi><mn>2</mn></mfrac><msup><mrow><mo>‖</mo><mi>w</mi><mo>‖</mo>"
    "</mrow><mn>2</mn></msup><mo>,</mo><mspace width='1em'/><mi>H</mi><mo>=</mo><mfrac><mn>1</mn><mi>N</mi></mfrac>"
    "<msup><mi>X</mi><mi>T</mi></msup><mi>D</mi><mi>X</mi><mo>+</mo><mi>λ</mi><mi>I</mi><mo>,</mo>"
    "<mspace width='1em'/><msub><mi>D</mi><mi>ii</mi></msub><mo>=</mo><msup><mi>ℓ</mi><mo>″</mo></msup>"
)
_I = _math(
    "<mi>I</mi><mo>(</mo><mi>z</mi><mo>,</mo><msub><mi>z</mi><mi>t</mi></msub><mo>)</mo><mo>=</mo><mo>−</mo><mo>∇</mo>"
    "<mi>ℓ</mi><msup><mrow><mo>(</mo><msub><mi>z</mi><mi>t</mi></msub><mo>)</mo></mrow><mi>T</mi></msup><msup><mi>H</mi>"
    "<mrow><mo>−</mo><mn>1</mn></mrow></msup><mo>∇</mo><mi>ℓ</mi><mo>(</mo><mi>z</mi><mo>)</mo>"
)
_LISSA = _math(
    "<msub><mi>x</mi><mrow><mi>k</mi><mo>+</mo><mn>1</mn></mrow></msub><mo>=</mo><mi>g</mi><mo>+</mo><msub><mi>x</mi>"
    "<mi>k</mi></msub><mo>−</mo><msub><mover><mi>H</mi><mo>~</mo></mover><mi>k</mi></msub><msub><mi>x</mi><mi>k</mi>"
    "</msub><mo>/</mo><mtext>scale</mtext><mo>,</mo><mspace width='1em'/><msup><mi>H</mi><mrow><mo>−</mo><mn>1</mn>"
    "</mrow></msup><mi>g</mi><mo>≈</mo><msub><mi>x</mi><mi>k</mi></msub><mo>/</mo><mtext>scale</mtext>"
)

ABOUT = f"""
<p>The images of two digits, as vectors x of length 1, and y = 1 for the first, −1 for the second. A linear model
f(x) = wᵀx without bias minimises</p>{_F}
<p>by Newton’s method in float64 until the gradient vanishes. The influence of a training image z on the loss of the
test image z<sub>t</sub> is</p>{_I}
<p>Leaving z out changes that loss by about −I/N. <b>Helpful: leaving it out raises the test loss.</b></p>
<ul>
<li>The reference is H in its closed form, decomposed directly; the engine has no part in it. All other rows are the
engine’s solvers with products by automatic differentiation, as for any network: <b>direct</b> builds the matrix by one
product for every weight, <b>CG</b>, MINRES and CGLS take products on all training images.</li>
<li><b>LiSSA</b> takes a fresh batch for every step:{_LISSA}with λ inside H. It converges in the mean if
0 &lt; eigenvalues of H &lt; 2·scale. The scale is a multiple of an estimate of the largest eigenvalue, whose
products are counted. What is left is noise of the batches: it falls with their size, with the scale (which then needs
more steps) and with the number of repeats.</li>
<li>A <b>pass</b> is a product on all training images, or as many products on batches as see that many images. Unlike
times, passes do not depend on the machine or on how well the products are programmed; the curves start before the
products for LiSSA’s scale.</li>
<li>Trained again means: without one image, the mean over the N − 1 others with the same λ, from the old weights to
convergence. Its first-order prediction, drawn against it, is (−I + λwᵀv)/(N − 1), v = H⁻¹∇ℓ(z<sub>t</sub>): −I/N,
and the part of the penalty, which is the same for all images.</li>
<li>The <b>smoothed hinge</b> t·log(1 + exp((1 − m)/t)) is the hinge max(0, 1 − m) as t goes to 0. Its second
derivative σ(1 − σ)/t, σ = 1/(1 + exp((m − 1)/t)), is a peak of width t at m = 1: at small t, H knows the few images
at the kink only, and a batch that has none of them knows nothing.</li>
</ul>
<p>P. W. Koh and P. Liang, <a href="https://arxiv.org/abs/1703.04730" target="_blank" rel="noopener">Understanding
black-box predictions via influence functions</a>; N. Agarwal, B. Bullins and E. Hazan,
<a href="https://arxiv.org/abs/1602.03943" target="_blank" rel="noopener">Second-order stochastic optimization for
machine learning in linear time</a> (LiSSA).</p>
"""
