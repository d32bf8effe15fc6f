"""The equations, sources and choices of the images panel, in HTML and MathML."""

from __future__ import annotations


def _math(body: str) -> str:
    return f'<math display="block">{body}</math>'


_SLOPE = "<mo>∇</mo><mi>ℓ</mi><mo>(</mo>{}<mo>)</mo>"
_Z, _T = "<mi>z</mi>", "<msub><mi>z</mi><mi>t</mi></msub>"
_INFLUENCE = _math(
    f"<mi>I</mi><mo>(</mo>{_Z}<mo>,</mo>{_T}<mo>)</mo><mo>=</mo><mo>−</mo>"
    f"<mo>∇</mo><mi>ℓ</mi><msup><mrow><mo>(</mo>{_T}<mo>)</mo></mrow><mi>T</mi></msup>"
    f"<msup><mi>H</mi><mrow><mo>−</mo><mn>1</mn></mrow></msup>{_SLOPE.format(_Z)}<mo>=</mo><mo>−</mo>"
    f"{_SLOPE.format(_Z)}<mo>·</mo><mi>v</mi><mo>,</mo><mspace width='1em'/><mi>v</mi><mo>=</mo>"
    f"<msup><mi>H</mi><mrow><mo>−</mo><mn>1</mn></mrow></msup>{_SLOPE.format(_T)}"
)

ABOUT = f"""
<p>The <b>influence</b> of a training image z on the loss ℓ of a test image z<sub>t</sub> is the derivative of that loss
with respect to the weight of z in training (Koh &amp; Liang 2017). H is the Hessian of what training minimised, weight
decay included:</p>{_INFLUENCE}
<p>Removing z takes the weight 1/N from it, which changes the loss of z<sub>t</sub> by about −I/N: that is the number
below each image. <b>Helpful: removing it raises the loss.</b> Harmful: removing it lowers the loss. As H is symmetric,
one solve v for the test image serves all training images; their numbers are the derivatives of their losses along v,
which one forward-mode pass over the training set gives, without a gradient of any of them.</p>
<p><b>On a part of the network:</b> on chosen layers (by default the last) the other parameters are taken as fixed,
v<sub>J</sub> = H<sub>JJ</sub><sup>−1</sup>∇ℓ(z<sub>t</sub>)<sub>J</sub>. The selected J are the units that a criterion
picks for the test image, as in class removal; FIF means the same there, PIF solves for all parameters and lets only
those in J move, GIF makes the total gradient as small as J can make it, so that v is the shortest solution of
H<sub>J:</sub>v = ∇ℓ(z<sub>t</sub>)<sub>J</sub>.</p>
<h3>The alternatives</h3>
<ul>
<li><b>Gradient cosine</b> of ∇ℓ(z) and ∇ℓ(z<sub>t</sub>): Charpiat et al. 2019, “Input similarity from the neural
network perspective”; Hanawa et al. 2021, “Evaluation of similarity-based explanations”.</li>
<li><b>Representer points</b>: Yeh et al. 2018, “Representer point selection for explaining deep neural networks”. A
last layer Θ at rest is a sum over the training images, so that each contributes α<sub>i</sub>h<sub>i</sub>ᵀh to an
output, h the last layer’s inputs. The paper trains the last layer again until it is at rest; here it is as training
left it, and what the sum misses is said.</li>
<li><b>Input similarity</b>: cosine of the pixels with the mean picture subtracted (the baseline of Hanawa et al.; they
do not subtract it).</li>
<li><b>Own loss</b> of the training image, which does not depend on the test image.</li>
</ul>
<h3>Removing some of them</h3>
<p>The chosen images are one group U: every method computes the removal step Δ of class removal, at s = 1, and the
edited network is asked about the test image. <i>Predicted</i> is ∇ℓ(z<sub>t</sub>)·Δ, <i>measured</i> the loss of the
edited network minus that of the original. Networks <b>trained again</b> differ by chance as well: each is compared with
one trained in the same way, from the same seed, on all images. From scratch, this is the truth that influence is meant
to predict; trained on from the original for a quarter of the epochs, it shows the direction with less noise, but a
short training does not forget all.</p>
<h3>What to expect</h3>
<ul>
<li>A network fits most training images almost perfectly; their gradients are near zero, and so is their influence.
What is left are the images it finds hard.</li>
<li>The inverse is regularised by few solver steps (or damping), without which it is dominated by directions of almost
no curvature. More steps: larger effects.</li>
<li>Influence is a derivative. Taking an image away that the network had learned by heart can change far more than it
says: compare the numbers after training again.</li>
<li>The Hessian is that of a sample of the training set; batch norm keeps its running statistics; dropout is off.</li>
</ul>
<p>P. W. Koh and P. Liang, <a href="https://arxiv.org/abs/1703.04730" target="_blank" rel="noopener">Understanding
black-box predictions via influence functions</a>.</p>
"""
