"""The definitions and choices of the selection criteria, in HTML."""

from __future__ import annotations

ABOUT = """
<p>A method may change the parameters J only, a share MR of each convolutional and linear layer. A <i>unit</i> is an
output of a linear layer or a channel of a convolution; its row is its weights and its bias. The criteria differ in
which they pick (§4 of the paper):</p>
<ul>
<li><b>top-k outputs</b>: whole rows of the units with the largest |mean of the unit's own output|, over the removed
examples and over space, before normalisation and activation; the rest of the quota from the weights of the next unit,
at random.</li>
<li><b>top-k gradients</b>: the same with the gradient of the mean loss of the removed examples with respect to that
output.</li>
<li><b>threshold</b>: weights and biases at random among the units whose output score is above t; t falls from 1 in
steps of 0.01 until there are enough, anew in every layer.</li>
<li><b>random</b>: as many weights and biases, anywhere in the layer.</li>
<li><b>lowest-k outputs</b> and <b>gradients</b>: the units that top-k ranks last: negative controls. If they did as
well, the ranking would not matter.</li>
</ul>
<p>All cells share the trained network, the samples behind curvature and gradient, and the right-hand side g; the
selection, the solve and the sweep along s are each cell's own. A cell is the same question as in the tab Class removal,
with the same answer: press it to see its curves, layers and confusions there. Quotas are rounded down in every layer,
so the share k/p that was really selected is below MR.</p>
<p><b>Self</b>: the test images of the removed classes. <b>Test</b>: those of the other classes. The score is the
harmonic mean of keeping and forgetting (eq. 32). Standard errors are those of the test images: they do not speak of
another draw of the random criteria or of another training. For these, run the same with other seeds, for example
<code>gif-dash run criteria --grid seed=0,1,2,3,4</code>. Two cells are called different beyond two standard errors of
their difference, as if they had been measured on different images; they share theirs, so this is cautious. It is no
correction for many comparisons: of twenty that are alike, about one goes beyond by chance.</p>
<h3>Where this differs from the paper</h3>
<ul>
<li>Table 1 is about a ResNet-18 on MNIST, with one scalar per MR in a scaling of the authors; here every cell has its
own best s, chosen by the score on one half of the test set and reported on the other (“whole test set” in the advanced
settings: both on the whole). Losses grow with s, so they compare criteria only where the scores do not differ.</li>
<li>The paper's self loss is on the removed training data; here it is on the test images of the class. The CSV has the
removed training images' loss, too (forget_loss).</li>
<li>Systems are solved by CGLS with few steps, which regularise, instead of the Neumann series (offered too).</li>
<li>The authors' code lets the threshold drift from layer to layer: “threshold (as published)” under Criteria,
more.</li>
</ul>
<p>Lyu et al., <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">arXiv 2312.05586</a>.</p>
"""
